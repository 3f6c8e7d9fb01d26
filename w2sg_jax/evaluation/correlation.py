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
    value = rank_correlation(predictor.mean(axis=1)[None], error.mean(axis=1)[None])[0]
    return interval(float(value), rank_correlation(*drawn(predictor, error, seed=seed)))


def drawn(
    *tables: Float[np.ndarray, "models splits"], seed: int, draws: int = DRAWS
) -> list[Float[np.ndarray, "draws models"]]:
    """Split averages in each bootstrap sample of models and splits, the same samples for every table."""
    generator = np.random.default_rng(seed)
    models, splits = tables[0].shape
    rows = generator.integers(models, size=(draws, models))
    columns = generator.integers(splits, size=(draws, splits))
    return [
        np.stack([table[:, chosen].mean(axis=1)[own_rows] for own_rows, chosen in zip(rows, columns, strict=True)])
        for table in tables
    ]


def interval(value: float, samples: Float[np.ndarray, " draws"]) -> Correlation:
    """A value with the percentile interval of its bootstrap samples; undefined samples are left out."""
    tail = 50 * (1 - CONFIDENCE)
    samples = samples[np.isfinite(samples)]
    low, high = np.percentile(samples, [tail, 100 - tail]) if len(samples) else (np.nan, np.nan)
    return Correlation(value, float(low), float(high))


def rank_correlation(
    x: Float[np.ndarray, "draws models"], y: Float[np.ndarray, "draws models"]
) -> Float[np.ndarray, " draws"]:
    """Spearman's correlation of each row of x with that of y, ties at their mean rank; NaN for a constant row."""
    ranks = [rankdata(table, axis=1) for table in (x, y)]
    a, b = (table - table.mean(axis=1, keepdims=True) for table in ranks)
    scale = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    return np.divide((a * b).sum(axis=1), scale, out=np.full(len(scale), np.nan), where=scale > 0)
