"""What weak supervision costs, measured and predicted, for every weak model on every split of one data set."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64

from ..datasets.splits import Splits
from ..ranking.rank import rank
from ..theory.weak_to_strong import weak_to_strong

Representations = Mapping[str, Float[np.ndarray, "n _"]]

MEASURED = ("err_weak", "err_w2s", "err_ceiling", "pred_gap", "pgr")
"""Fields of `w2sg_jax.WeakToStrong` that are kept."""
PREDICTED = ("norm", "frobenius", "predicted", "supervised", "dof_weak")
"""Columns of `w2sg_jax.rank` that are kept."""


@dataclass(frozen=True, eq=False)
class Measurements:
    """One table (models, splits) for each quantity, models in the order of `names`."""

    names: tuple[str, ...]
    """the weak models"""
    tables: dict[str, Float64[np.ndarray, "models splits"]]
    """quantity (`MEASURED` and `PREDICTED`) -> values; squared errors in squared units of the target"""

    def mean(self, quantity: str) -> Float64[np.ndarray, " models"]:
        """Average over splits; for `pgr` over the splits where it is defined (NaN if none)."""
        table = self.tables[quantity]
        defined = np.isfinite(table)
        count = defined.sum(axis=1)
        total = np.where(defined, table, 0.0).sum(axis=1)
        return np.divide(total, count, out=np.full(len(table), np.nan), where=count > 0)

    def standard_error(self, quantity: str) -> Float64[np.ndarray, " models"]:
        """Standard error of the average over splits, as if splits were independent; NaN for one split."""
        table = self.tables[quantity]
        if table.shape[1] < 2:
            return np.full(len(table), np.nan)
        return table.std(axis=1, ddof=1) / np.sqrt(table.shape[1])


def measure(
    weak: Representations,
    strong: Float[np.ndarray, "n d_strong"],
    target: Float[np.ndarray, " n"],
    splits: Splits,
    *,
    ridge: float,
    on_split: Callable[[], None] | None = None,
) -> Measurements:
    """Run the pipeline and the ranking on every split, with one ridge for the heads and for every predictor.

    Args:
        weak: name -> representation of all molecules.
        strong: The strong model's representation of the same molecules.
        target: Their labels.
        splits: Row numbers of the three parts.
        ridge: What is added to K/n of unit-trace representations: of the heads, and therefore of the predictors.
        on_split: Called after each split.
    """
    values: dict[str, list[list[float]]] = {quantity: [] for quantity in MEASURED + PREDICTED}
    for train, w2s, test in zip(splits.train, splits.w2s, splits.test, strict=True):
        ranking = rank(
            {name: rows[w2s] for name, rows in weak.items()},
            strong[w2s],
            target[w2s],
            train=({name: rows[train] for name, rows in weak.items()}, strong[train], target[train]),
            ridge=ridge,
            bootstrap=0,
        )
        predictions = {row.name: row for row in ranking.rows}
        results = [
            weak_to_strong(
                (rows[train], target[train]),
                (rows[w2s], strong[w2s], target[w2s]),
                (rows[test], strong[test], target[test]),
                ridge,
                ids=(train, w2s, test),  # type: ignore[arg-type]
            )
            for rows in weak.values()
        ]
        for quantity in MEASURED:
            values[quantity].append([getattr(result, quantity) for result in results])
        for quantity in PREDICTED:
            values[quantity].append([getattr(predictions[name], quantity) for name in weak])
        if on_split is not None:
            on_split()
    return Measurements(tuple(weak), {name: np.array(rows, float).T for name, rows in values.items()})
