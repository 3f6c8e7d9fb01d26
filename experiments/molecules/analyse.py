"""How well every predictor foretold the measured error, with intervals over shapes of weak models and splits."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from w2sg_jax.evaluation.correlation import (
    DRAWS,
    Predictor,
    drawn_groups,
    groups_of,
    interval,
    kendall,
    rank_correlation,
    spearman,
)
from w2sg_jax.theory.decomposability import SMALL

from .measure import DELTAS, MAPPED, MEASURED

KENDALL_DRAWS = 500
"""Bootstrap samples of Kendall's coefficient, which costs more."""


PREDICTORS = (
    Predictor("norm", "gap norm (no labels)"),
    Predictor("frobenius", "Frobenius norm (no labels)"),
    Predictor("supervised", "predicted gap, supervised split"),
    Predictor("predicted", "predicted gap, hidden labels"),
    Predictor("cka", "linear CKA", -1),
    Predictor("width", "width", -1),
    Predictor("parameters", "parameters", -1),
    Predictor("recipe", "width, then training length", -1),
    Predictor("err_weak", "Err_w (test labels)"),
)


@dataclass(frozen=True, eq=False)
class Tables:
    """All trials of one data set: one table (models, splits) for each quantity."""

    data: str
    models: tuple[str, ...]
    tables: dict[str, Float[np.ndarray, "models splits"]]
    maps: dict[str, Float[np.ndarray, "models ridges thresholds"]]
    """means over splits"""
    molecules: int
    """each once"""

    def mean(self, quantity: str) -> Float[np.ndarray, " models"]:
        """Average over splits."""
        return self.tables[quantity].mean(axis=1)


def tables_of(data: str, results: Mapping[str, Mapping[str, Any]], static: Mapping[str, Mapping[str, float]]) -> Tables:
    """Tables of one data set.

    Args:
        data: its name.
        results: weak model -> result of ``measure``.
        static: weak model -> what does not depend on splits, such as its width.
    """
    names = tuple(results)
    by_split = (*MEASURED, *MAPPED, "cka")
    tables = {quantity: np.array([results[name][quantity] for name in names]) for quantity in by_split}
    splits = tables["norm"].shape[1]
    for quantity in DELTAS:
        tables[quantity] = np.repeat([[float(results[name][quantity])] for name in names], splits, axis=1)
    for quantity in next(iter(static.values())):
        tables[quantity] = np.repeat([[float(static[name][quantity])] for name in names], splits, axis=1)
    maps = {quantity: np.array([results[name]["maps"][quantity] for name in names]) for quantity in MAPPED}
    return Tables(data, names, tables, maps, results[names[0]]["molecules"])


def analyse(t: Tables, shapes: Sequence[str], *, seed: int) -> dict[str, Any]:
    """Everything that is reported of one data set.

    Args:
        t: its tables.
        shapes: the shape of each model, for what equal shapes leave to tell.
        seed: of the bootstrap.
    """
    return {
        "models": len(t.models),
        "splits": t.tables["norm"].shape[1],
        "errors": {name: float(t.mean(name).mean()) for name in MEASURED},
        "molecules": t.molecules,
        "spearman": correlations(t, shapes, spearman, seed=seed),
        "kendall": correlations(t, shapes, kendall, seed=seed, draws=KENDALL_DRAWS),
        "spearman_map": {name: spearman_map(t, name) for name in MAPPED},
        "log_fit": {name: log_fit(t.mean(name), t.mean("pred_gap")) for name in ("predicted", "supervised")},
        "within_shapes": within_shapes(t, shapes, seed=seed),
        "reliability": reliability(t),
        "decomposability": decomposability(t),
    }


def correlations(
    t: Tables, shapes: Sequence[str], statistic: Callable[..., np.ndarray], *, seed: int, draws: int = DRAWS
) -> dict[str, dict[str, Any]]:
    """Correlation of each predictor with Err_w2s over models, signed so that 1 is best, and its lead over the width.

    Splits and models are both resampled, the same for all predictors, so that differences are paired. Models of one
    shape are much alike, so whole shapes are drawn: models alone would make intervals too narrow.
    """
    names = [one.name for one in PREDICTORS]
    signs = np.array([one.sign for one in PREDICTORS])
    quantities = np.stack([t.tables[name] for name in ("err_w2s", *names)], axis=-1)
    whole = signs * statistic(quantities.mean(axis=1))
    samples = signs * np.array(
        [statistic(one) for one in drawn_groups(quantities, groups_of(shapes), seed=seed, draws=draws)]
    )
    width = names.index("width")
    return {
        name: {
            **asdict(interval(float(whole[i]), samples[:, i])),
            "over_width": asdict(interval(float(whole[i] - whole[width]), samples[:, i] - samples[:, width])),
        }
        for i, name in enumerate(names)
    }


def spearman_map(t: Tables, name: str) -> list[list[float]]:
    """Spearman's correlation with Err_w2s at each (ridge, threshold)."""
    values = t.maps[name]
    whole = t.mean("err_w2s")[None]
    return [
        [float(rank_correlation(values[None, :, i, j], whole)[0]) for j in range(values.shape[2])]
        for i in range(values.shape[1])
    ]


def log_fit(predicted: Float[np.ndarray, " models"], measured: Float[np.ndarray, " models"]) -> dict[str, float]:
    """Least squares of log measured on log predicted: R^2 and slope; and the median of measured / predicted."""
    x, y = np.log(predicted), np.log(measured)
    slope = float(np.cov(x, y)[0, 1] / x.var(ddof=1))
    return {
        "r2": float(np.corrcoef(x, y)[0, 1] ** 2),
        "slope": slope,
        "measured_over_predicted": float(np.exp(np.median(y - x))),
    }


def within_shapes(t: Tables, shapes: Sequence[str], *, seed: int) -> dict[str, Any]:
    """What width and depth cannot tell: Spearman's correlation among models of one shape, averaged over shapes.

    Shapes are resampled for the interval. None for what is the same for all models of a shape.
    """
    groups = [rows for rows in groups_of(shapes) if len(rows) >= 3]
    error = t.mean("err_w2s")
    chosen = np.random.default_rng(seed).integers(len(groups), size=(DRAWS, len(groups)))
    found = {}
    for one in PREDICTORS:
        x = t.mean(one.name)
        each = np.array([one.sign * rank_correlation(x[None, rows], error[None, rows])[0] for rows in groups])
        defined = bool(np.isfinite(each).all())
        found[one.name] = asdict(interval(float(each.mean()), each[chosen].mean(axis=1))) if defined else None
    return {"shapes": len(groups), "spearman": found}


def reliability(t: Tables) -> float:
    """Spearman's correlation of Err_w2s over even splits with that over odd ones: what noise leaves to predict."""
    error = t.tables["err_w2s"]
    return float(rank_correlation(error[:, ::2].mean(axis=1)[None], error[:, 1::2].mean(axis=1)[None])[0])


def decomposability(t: Tables) -> dict[str, float]:
    """The strong model's delta, the weak models' median, and the share of them that are decomposable."""
    weak = t.mean("delta_weak")
    return {
        "strong": float(t.mean("delta_strong")[0]),
        "weak_median": float(np.median(weak)),
        "weak_share": float((weak <= SMALL).mean()),
    }
