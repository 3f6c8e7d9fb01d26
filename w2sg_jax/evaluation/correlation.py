"""Rank correlations of predictors with a measured error; intervals over models, or whole shapes of them, and splits."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int
from numpy.random import Generator
from scipy.stats import kendalltau, rankdata

DRAWS = 2000
"""Bootstrap samples of an interval."""
CONFIDENCE = 0.95
"""Coverage aimed at by an interval."""


@dataclass(frozen=True)
class Predictor:
    """Something known before the strong model is trained on weak labels (Err_w needs test labels: for comparison)."""

    name: str
    """of its table"""
    title: str
    """what tables and figures call it"""
    sign: int = 1
    """+1 when a larger value should go with a larger error"""


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
    x: Float[np.ndarray, "draws models"], y: Float[np.ndarray, "_ models"]
) -> Float[np.ndarray, " draws"]:
    """Spearman's correlation of each row of x with that of y, or with its only one, ties at their mean rank; NaN for a
    constant row."""
    ranks = [rankdata(table, axis=1) for table in (x, y)]
    a, b = (table - table.mean(axis=1, keepdims=True) for table in ranks)
    scale = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    return np.divide((a * b).sum(axis=1), scale, out=np.full(len(scale), np.nan), where=scale > 0)


def drawn_groups(
    quantities: Float[np.ndarray, "models splits q"],
    groups: Sequence[np.ndarray],
    *,
    seed: int,
    draws: int = DRAWS,
    resampled: Float[np.ndarray, "models splits samples"] | None = None,
) -> Iterator[Float[np.ndarray, "m q"]]:
    """Split averages in each bootstrap sample of groups and splits; the models of a group come together.

    Models of one shape are much alike: drawn one by one they would make intervals too narrow.

    Args:
        quantities: one table for each quantity; all are drawn alike, so that differences are paired.
        groups: rows of the models of each group, as ``groups_of``.
        seed: of the bootstrap.
        draws: bootstrap samples.
        resampled: the first quantity over bootstrap samples of its split's test rows, of which a draw takes one a
            split; by default it is what was measured on all of them.
    """
    generator = np.random.default_rng(seed)
    splits = quantities.shape[1]
    for _ in range(draws):
        chosen = generator.integers(len(groups), size=len(groups))
        columns = generator.integers(splits, size=splits)
        rows = np.concatenate([groups[one] for one in chosen])
        drawn = quantities[:, columns].mean(axis=1)
        if resampled is not None:
            drawn[:, 0] = with_test_rows(resampled, columns, generator)
        yield drawn[rows]


def with_test_rows(
    resampled: Float[np.ndarray, "models splits samples"], columns: Int[np.ndarray, " drawn"], generator: Generator
) -> Float[np.ndarray, " models"]:
    """Averages over drawn splits, of one sample of the test rows of each; the same sample for all models."""
    return resampled[:, columns, generator.integers(resampled.shape[2], size=len(columns))].mean(axis=1)


def groups_of(labels: Sequence[str]) -> list[np.ndarray]:
    """Rows of the models with each label, in the order in which labels first appear."""
    return [np.flatnonzero(np.array(labels) == label) for label in dict.fromkeys(labels)]


def spearman(x: Float[np.ndarray, "models q"]) -> Float[np.ndarray, " q-1"]:
    """Spearman's correlation of every further column with the first, ties at their mean rank; NaN if constant."""
    first, *others = x.T
    return rank_correlation(np.stack(others), np.tile(first, (len(others), 1)))


def kendall(x: Float[np.ndarray, "models q"]) -> Float[np.ndarray, " q-1"]:
    """Kendall's tau-b of every further column with the first; NaN if constant."""
    return np.array([kendalltau(column, x[:, 0])[0] for column in x.T[1:]])
