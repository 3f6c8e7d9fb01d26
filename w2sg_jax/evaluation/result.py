"""The quickstart's results: what was measured on each data set, and how well each predictor foretold it."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..datasets import MoleculeSet
from ..datasets.splits import Splits
from .correlation import Correlation, Predictor, correlate
from .measure import Measurements

PREDICTORS = (
    Predictor("norm", "gap norm"),
    Predictor("frobenius", "Frobenius norm"),
    Predictor("supervised", "predicted gap, supervised split"),
    Predictor("predicted", "predicted gap, hidden labels"),
    Predictor("dof_weak", "effective dimension", -1),
    Predictor("width", "width", -1),
    Predictor("err_weak", "Err_w, needs test labels"),
)
"""Each has a table in `Measurements.tables`, `width` aside."""


@dataclass(frozen=True, eq=False)
class DatasetResult:
    """One data set."""

    data: MoleculeSet
    """the molecules"""
    strong: str
    """name of the strong model"""
    splits: Splits
    """row numbers of each split"""
    measured: Measurements
    """errors and predictions, by weak model and split"""
    widths: tuple[int, ...]
    """width of each weak model"""
    correlations: dict[str, Correlation]
    """name of a predictor -> its correlation with the measured Err_w2s"""
    seed: int
    """of the splits and of the bootstrap"""

    def to_dict(self) -> dict[str, Any]:
        """Plain Python values, ready for JSON; undefined numbers are None."""
        measured = self.measured
        models = {
            name: {quantity: _plain(table[row]) for quantity, table in measured.tables.items()}
            | {"width": self.widths[row]}
            for row, name in enumerate(measured.names)
        }
        return {
            "dataset": self.data.name,
            "property": self.data.property_name,
            "unit": self.data.unit,
            "molecules": len(self.data),
            "duplicates_left_out": self.splits.duplicates,
            "target_variance": float(np.var(self.data.target)),
            "strong": self.strong,
            "splits": len(self.splits),
            "split_sizes": {part: getattr(self.splits, part).shape[1] for part in ("train", "w2s", "test")},
            "seed": self.seed,
            "weak": models,
            "spearman_with_err_w2s": {
                name: {key: _plain(np.array([value]))[0] for key, value in asdict(found).items()}
                for name, found in self.correlations.items()
            },
        }


@dataclass(frozen=True, eq=False)
class QuickstartResult:
    """Everything that `w2sg quickstart` found."""

    datasets: tuple[DatasetResult, ...]
    """one a data set"""
    ridge: float
    """of the heads and of every predictor, added to K/n of unit-trace representations"""
    models: dict[str, str]
    """name of an encoder -> hash of everything that its weights depend on; the same for those trained together"""
    reused: bool
    """whether every encoder and every representation was there from an earlier run"""
    seconds: float
    """wall time of this run"""
    versions: dict[str, str]
    """versions of the packages that matter"""
    out: Path
    """the folder that was written"""

    def to_dict(self) -> dict[str, Any]:
        """Plain Python values, ready for JSON; undefined numbers are None."""
        return {
            "ridge": self.ridge,
            "seconds": self.seconds,
            "reused_encoders": self.reused,
            "out": str(self.out),
            "versions": self.versions,
            "encoders": self.models,
            "datasets": [result.to_dict() for result in self.datasets],
        }


def summarise(
    data: MoleculeSet, strong: str, splits: Splits, measured: Measurements, widths: tuple[int, ...], *, seed: int
) -> DatasetResult:
    """Correlate every predictor with the measured Err_w2s."""
    error = measured.tables["err_w2s"]
    tables = measured.tables | {"width": np.repeat(np.array(widths, float)[:, None], error.shape[1], axis=1)}
    found = {one.name: correlate(tables[one.name], error, seed=seed) for one in PREDICTORS}
    return DatasetResult(data, strong, splits, measured, widths, found, seed)


def _plain(values: np.ndarray) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]
