"""Times of a computation: the first call apart, then the median of synchronised runs."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np


class Timing(NamedTuple):
    """Seconds.

    Attributes:
        first: of the first call, which compiles.
        median, low, high: of the calls after it.
    """

    first: float
    median: float
    low: float
    high: float


def timed(
    run: Callable[[], Any], *, repeats: int = 5, at_least: float = 0.0, before: Callable[[], Any] | None = None
) -> Timing:
    """Time a call, after one that warms up.

    Args:
        run: what is timed; JAX arrays that it returns are waited for.
        repeats: calls after the first one, at least.
        at_least: seconds over which calls are repeated, for short ones.
        before: called before each of them, and not timed.
    """
    first = _seconds(run, before)
    times: list[float] = []
    while len(times) < repeats or sum(times) < at_least:
        times.append(_seconds(run, before))
    return Timing(first, float(np.median(times)), min(times), max(times))


def _seconds(run: Callable[[], Any], before: Callable[[], Any] | None) -> float:
    if before is not None:
        before()
    start = time.perf_counter()
    jax.block_until_ready(run())
    return time.perf_counter() - start
