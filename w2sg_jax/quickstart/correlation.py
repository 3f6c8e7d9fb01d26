"""Spearman's rank correlation of a predictor with a measured error, with an interval over models and splits."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.stats import rankdata

DRAWS = 2000
"""Bootstrap samples of an interval."""
CONFIDENCE = 0.95
"""Coverage aimed at by an interval."""


@dataclass(frozen=True)
class Correlation:
    """Spearman's correlation over the models of quantities averaged over splits; NaN where all values tie."""

    value: float
    """the correlation"""
    low: float
    """lower end of the interval"""
    high: float
    """upper end of the interval"""


def correlate(
    predictor: Float[np.ndarray, "models splits"], error: Float[np.ndarray, "models splits"], *, seed: int
) -> Correlation:
    """Rank correlation of the split averages, with a percentile bootstrap interval.

    Models and splits are both drawn with replacement, independently: the models because they stand for other
    weak models that one could have had, the splits because they stand for other samples. Draws in which all
    models tie are left out. Few models make wide intervals; splits of one data set share molecules, so the
    interval is a little too narrow.

    Args:
        predictor: One value for each model and split.
        error: The measured error of the same models on the same splits.
        seed: Of the bootstrap; the same seed draws the same models and splits for every predictor.
    """
    generator = np.random.default_rng(seed)
    models, splits = error.shape
    rows = generator.integers(models, size=(DRAWS, models))
    columns = generator.integers(splits, size=(DRAWS, splits))
    drawn = [
        np.stack([table[:, chosen].mean(axis=1)[drawn_rows] for drawn_rows, chosen in zip(rows, columns, strict=True)])
        for table in (predictor, error)
    ]
    samples = rank_correlation(*drawn)
    tail = 50 * (1 - CONFIDENCE)
    samples = samples[np.isfinite(samples)]
    low, high = np.percentile(samples, [tail, 100 - tail]) if len(samples) else (np.nan, np.nan)
    value = rank_correlation(predictor.mean(axis=1)[None], error.mean(axis=1)[None])[0]
    return Correlation(float(value), float(low), float(high))


def rank_correlation(
    x: Float[np.ndarray, "draws models"], y: Float[np.ndarray, "draws models"]
) -> Float[np.ndarray, " draws"]:
    """Spearman's correlation of each row of x with that of y, ties at their mean rank; NaN for a constant row."""
    ranks = [rankdata(table, axis=1) for table in (x, y)]
    a, b = (table - table.mean(axis=1, keepdims=True) for table in ranks)
    scale = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    return np.divide((a * b).sum(axis=1), scale, out=np.full(len(scale), np.nan), where=scale > 0)
