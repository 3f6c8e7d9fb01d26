"""Few widths instead of many: models of other widths share a program when they are padded with zero columns."""

from collections.abc import Iterable

MOST_PROGRAMS = 8
"""Widths up to this number keep their own programs; padding costs time in every run, a program only once."""


def padded_widths(widths: Iterable[int]) -> dict[int, int]:
    """Which width each one is padded to: itself while they are few, else the next of 1, 2, 3, 4, 6, 8, 12, 16, 24, ...

    A column of zeros is a direction without variance: it is never kept, and changes nothing else.
    """
    distinct = set(widths)
    if len(distinct) <= MOST_PROGRAMS:
        return {width: width for width in distinct}
    return {width: bucket(width) for width in distinct}


def bucket(width: int) -> int:
    """The next of 1, 2, 3, 4, 6, 8, 12, 16, 24, ..."""
    power = 1 << (width - 1).bit_length()
    between = 3 * power // 4
    return between if width <= between and power >= 4 else power
