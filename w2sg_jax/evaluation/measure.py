"""What weak supervision costs, measured and predicted, for every weak model on every split of one data set."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64

from .._errors import InputError
from ..datasets.splits import Splits
from ..second_moments.from_arrays import moments
from ..theory.gap import Gap, gap
from ..theory.weak_to_strong import weak_to_strong

Representations = Mapping[str, Float[np.ndarray, "n _"]]

MEASURED = ("err_weak", "err_w2s", "err_ceiling", "pred_gap", "pgr")
"""Fields of `w2sg_jax.WeakToStrong` that are kept."""
PREDICTED = ("norm", "frobenius", "predicted", "supervised", "dof_weak")
"""Quantities of the gap that are kept: of the w2s split, and `supervised`, the predicted gap of the train split."""


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
    progress: Callable[[int, int], None] | None = None,
) -> Measurements:
    """Run the pipeline and compute the gap on every split, with one ridge for the heads and for every predictor.

    Args:
        weak: name -> (n, d_weak) representation of all samples.
        strong: The strong model's representation of the same samples.
        target: Their labels.
        splits: Row numbers of the three parts.
        ridge: What is added to K/n of unit-trace representations: of the heads, and therefore of the predictors.
        progress: Called with (done, total) splits.

    Raises:
        InputError: as `w2sg_jax.gap` and `w2sg_jax.weak_to_strong`; the weak model is named.

    Cost: two gaps and one pipeline for each split and weak model.
    """
    values: dict[str, list[list[float]]] = {quantity: [] for quantity in MEASURED + PREDICTED}
    for done, (train, w2s, test) in enumerate(zip(splits.train, splits.w2s, splits.test, strict=True), start=1):
        for found in values.values():
            found.append([])
        for name, rows in weak.items():
            on_w2s, on_train = (_gap(name, rows[part], strong[part], target[part], ridge) for part in (w2s, train))
            result = weak_to_strong(
                (rows[train], target[train]),
                (rows[w2s], strong[w2s], target[w2s]),
                (rows[test], strong[test], target[test]),
                ridge,
                ids=(train, w2s, test),  # type: ignore[arg-type]
            )
            numbers = {quantity: getattr(result, quantity) for quantity in MEASURED}
            numbers |= {quantity: getattr(on_w2s, quantity) for quantity in PREDICTED if quantity != "supervised"}
            numbers["supervised"] = on_train.predicted
            for quantity, value in numbers.items():
                values[quantity][-1].append(value)
        if progress is not None:
            progress(done, len(splits))
    return Measurements(tuple(weak), {name: np.array(rows, float).T for name, rows in values.items()})


def _gap(
    name: str, weak: Float[np.ndarray, "n _"], strong: Float[np.ndarray, "n _"], target: np.ndarray, ridge: float
) -> Gap:
    """The gap of one weak model on some of the samples."""
    try:
        return gap(moments(weak, strong, target), ridge)
    except InputError as error:
        raise InputError(f"weak model {name!r}: {error}") from error
