"""Work on the rows or columns of arrays, shared among threads; NumPy lets go of the interpreter meanwhile."""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from typing import Any

import numpy as np

SLAB = 1 << 18
"""Numbers that a thread takes at once: few enough to stay in cache from one operation to the next, and enough that
threads seldom wait for the interpreter."""
SLABS = 2
"""That a thread is handed together, so that handing over costs little."""
MOST = 16
"""Threads, at most: what they do is bound by memory traffic."""


def each(task: Callable[[slice], Any], rows: int, width: int) -> list[Any]:
    """Return ``task(slab)`` for slabs of 0, 1, ..., rows - 1 in their order; computed at the same time, given cores.

    The cuts depend on the shape alone, and so does the rounding of sums over them. Floating-point warnings are off:
    what is not finite shows in the result.

    Args:
        task: of a slice of rows.
        rows: how many there are.
        width: numbers in each.
    """
    slabs = _cut(0, rows, max(1, SLAB // width))
    several = partial(_several, task)
    parts = [slabs[part] for part in _cut(0, len(slabs), SLABS)]
    done = map(several, parts) if len(parts) == 1 else _pool().map(several, parts)
    return [result for results in done for result in results]


def _several(task: Callable[[slice], Any], slabs: list[slice]) -> list[Any]:
    with np.errstate(all="ignore"):
        return [task(slab) for slab in slabs]


def _cut(start: int, stop: int, size: int) -> list[slice]:
    return [slice(first, min(first + size, stop)) for first in range(start, stop, size)]


@cache
def _pool() -> ThreadPoolExecutor:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return ThreadPoolExecutor(min(cores, MOST), thread_name_prefix="w2sg-rows")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)
