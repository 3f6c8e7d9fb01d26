"""A split of labelled texts into three parts by hash: rows that belong together stay together."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int8, Int64

from .._errors import InputError
from ..store.content import texts_hash
from .splits import SHARES
from .text import TextSet

PARTS = ("train", "w2s", "test")


@dataclass(frozen=True, eq=False)
class TextSplits:
    """Row numbers of three parts of a ``TextSet``, ascending and read-only; no group has rows in two of them."""

    train: Int64[np.ndarray, " n_train"]
    """the labelled part, that weak models are fitted on"""
    w2s: Int64[np.ndarray, " n_w2s"]
    """the part that weak models label and the strong model is fitted on"""
    test: Int64[np.ndarray, " n_test"]
    """the part that errors are measured on"""
    seed: int
    """what they were drawn with"""


def text_splits(data: TextSet, *, n: int | None = None, shares: Sequence[float] = SHARES, seed: int = 0) -> TextSplits:
    """Split by the hash of each group's content and the seed.

    A group's hash says which part it is in, whatever else the data hold: rows that are added, removed or put in
    another order leave every other row where it was. So the shares are met on average and not to the row.

    Args:
        data: the texts.
        n: rows in all three parts together, at most; by default all. Groups are taken whole, in the order of a second
            hash, until the next one would be too many; which part a group is in does not depend on n.
        shares: of groups in train, w2s and test, three positive numbers that sum to 1.
        seed: another one is another split.

    Raises:
        InputError: the shares or n cannot be used; a part has no group, or labels of one value only.
    """
    if len(shares) != 3 or not all(share > 0 for share in shares) or not math.isclose(sum(shares), 1, abs_tol=1e-9):
        raise InputError(f"shares: got {tuple(shares)}; expected three positive numbers that sum to 1")
    if n is not None and n < 3:
        raise InputError(f"n: got {n}; three parts need 3 rows or more")
    taken = _taken(data, n, seed)
    places = np.array([_uniform(seed, "part", key) for key in data.group_keys])
    part = np.searchsorted(np.cumsum(shares)[:2], places, side="right")
    rows = [np.flatnonzero(taken[data.group] & (part[data.group] == which)) for which in range(3)]
    for name, found in zip(PARTS, rows, strict=True):
        groups = int(taken.sum())
        count = f"{groups} group{'s' * (groups != 1)}" + ("" if n is None else f" with n={n}")
        if len(data.group_keys) < 3:
            raise InputError(
                f"data: the {len(data)} rows of {data.name} are {count}, since equal texts are one; three parts need"
                " three at least: is this the right column of texts, and of groups?"
            )
        if len(found) == 0:
            raise InputError(f"data: {count} of {data.name} leave the part {name} empty; give more rows")
        if np.ptp(data.label[found]) == 0:
            raise InputError(
                f"data: {count} of {data.name} leave one label alone ({data.label[found[0]]:g}) in the part {name};"
                " give more rows, or pass another seed"
            )
        found.setflags(write=False)
    return TextSplits(*rows, seed=seed)


def parts_of(
    data: TextSet, rows: Int64[np.ndarray, " n"], shares: Sequence[float], seed: int
) -> Int8[np.ndarray, " n"]:
    """Which part of ``text_splits`` each of some rows is in: 0 train, 1 w2s, 2 test.

    Raises:
        InputError: as ``text_splits``, or a part has labels of one value only among these rows.
    """
    split, part = text_splits(data, shares=shares, seed=seed), np.full(len(data), -1, np.int8)
    for number, of_part in enumerate((split.train, split.w2s, split.test)):
        part[of_part] = number
        if np.ptp(data.label[np.intersect1d(of_part, rows)]) == 0:
            raise InputError(f"{data.name}: a part of split {seed} has one label alone; take more rows")
    return part[rows]


def _taken(data: TextSet, n: int | None, seed: int) -> np.ndarray:
    """Which groups are used: all, or the first by hash that have no more than n rows together."""
    if n is None or n >= len(data):
        return np.ones(len(data.group_keys), bool)
    order = np.argsort([_uniform(seed, "order", key) for key in data.group_keys], kind="stable")
    sizes = np.bincount(data.group, minlength=len(data.group_keys))
    taken = np.zeros(len(sizes), bool)
    taken[order] = np.cumsum(sizes[order]) <= n
    return taken


def _uniform(seed: int, what: str, key: str) -> float:
    """A number from [0, 1) that looks drawn: 53 bits of a hash, all that float64 holds."""
    return (int(texts_hash(str(seed), what, key)[:16], 16) >> 11) * 2.0**-53
