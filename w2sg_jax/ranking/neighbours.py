"""Shared nearest neighbours of a ranking: the share of each weak model, and how these vary together over samples."""

from typing import Any

import numpy as np
from jaxtyping import Float64, Int

from ..numerics.checks import Array
from ..numerics.settings import rows_of
from ..predictors.mutual_knn import NEIGHBOURS, influences, nearest, why_undefined
from ..theory.uncertainty import Joint, effective_draws
from .candidates import Candidates

FEWEST = 3 * NEIGHBOURS
"""Samples; of fewer, most are neighbours of each other whatever a model says, and no interval would be right."""
MOST = 4096
"""Samples; of more, some stand for all, since every sample is compared with every other."""


class Neighbours:
    """Shared neighbours of one weak model after the other; the strong model's are found once.

    Samples of a group are no neighbours of each other: twins that every model finds alike say nothing of a model.

    Args:
        pool: the samples that weak models would label.
    """

    def __init__(self, pool: Candidates):
        self.pool, self.rows = pool, chosen_rows(pool)
        groups = pool.groups
        self.groups = None if groups is None else groups[self.rows]
        self.strong: Int[np.ndarray, "m k"] | None = None
        self.values: dict[str, float] = {}
        self.influences: dict[str, Float64[np.ndarray, " m"]] = {}
        self.undefined: dict[str, str] = {}
        """name, or "the strong model" -> why"""

    @property
    def notes(self) -> tuple[str, ...]:
        """What is to be known beside the values."""
        n = self.pool.strong.shape[0]
        if len(self.rows) == n:
            return ()
        return (f"mutual_knn: of {len(self.rows)} of {n} samples, drawn at random",)

    def measure(self, name: str) -> None:
        """Of one weak model, unless it is undefined for it or for the strong one."""
        if self.strong is None and not self.undefined:
            self.strong = self._nearest("the strong model", self.pool.strong)
        if self.strong is None:
            return
        weak = self._nearest(repr(name), self.pool.weak[name])
        if weak is not None:
            self.values[name], self.influences[name] = influences(weak, self.strong)

    def joint(self, names: list[str]) -> Joint:
        """Shares of neighbours that are not shared, of which the smallest is best; by the jackknife over groups."""
        moved = np.stack([self.influences[name] for name in names], axis=1)
        if self.groups is not None:
            sums = np.zeros((int(self.groups.max()) + 1, len(names)))
            np.add.at(sums, self.groups, moved)
            moved = sums
        values = 1 - np.array([self.values[name] for name in names])
        changes = moved / len(self.rows) / np.where(values > 0, values, 1.0)
        return Joint(values, changes.T @ changes, 1.0, effective_draws(changes))

    def _nearest(self, called: str, array: Array) -> Int[np.ndarray, "m k"] | None:
        samples = np.array(_rows(array, self.rows), np.float64)
        found = nearest(samples, self.groups)
        if found is None:
            self.undefined[called] = why_undefined(samples)
        return found


def chosen_rows(pool: Candidates) -> Int[np.ndarray, " m"]:
    """All samples, or ``MOST`` of them at most, drawn at random with a fixed seed, in order; groups come whole."""
    n = pool.strong.shape[0]
    if n <= MOST:
        return np.arange(n)
    generator = np.random.default_rng(0)
    if pool.groups is None:
        return np.sort(generator.choice(n, MOST, replace=False))
    sizes = np.bincount(pool.groups)
    order = generator.permutation(len(sizes))
    kept = np.zeros(len(sizes), bool)
    kept[order[np.cumsum(sizes[order]) <= MOST]] = True
    return np.flatnonzero(kept[pool.groups])


def _rows(array: Array, rows: Int[np.ndarray, " m"]) -> Any:
    """Some rows of an array in memory, on a device or on disk."""
    if len(rows) == array.shape[0]:
        return rows_of(array, slice(None))
    return np.concatenate([np.asarray(rows_of(array, slice(row, row + 1))) for row in rows.tolist()])
