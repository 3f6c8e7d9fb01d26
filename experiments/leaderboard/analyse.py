"""From trials to leaderboards: plain rows, the predictors that take part, and what noise leaves to predict."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from w2sg_jax.evaluation.correlation import rank_correlation
from w2sg_jax.evaluation.leaderboard import Leaderboard, Table, leaderboard, skill, tables_of
from w2sg_jax.evaluation.predictions import ERR_WEAK, FORETELL, baselines, column, entrants

from .measure import KNOWN, MEASURED, RIDGES
from .obtain import Measured

OF_RIDGE = {KNOWN: "ridge 1e-4", "own": "own ridges"}


def rows_of(measured: Measured, strong: str, families: Mapping[str, str], heads: str) -> Iterator[dict[str, Any]]:
    """Plain rows of a task with one kind of heads, one a weak model and split.

    Args:
        measured: the results of its trials.
        strong: name of the strong model.
        families: weak model -> its shape.
        heads: which of the measured heads.
    """
    for split, result in enumerate(measured.splits):
        for place, model in enumerate(measured.task.models):
            errors = {name: result["measured"][heads][name][place] for name in MEASURED}
            said = {
                column(name, ridge): values[place]
                for name, by_ridge in result["predictors"].items()
                for ridge, values in by_ridge.items()
            }
            yield {
                **{"task": measured.task.name, "strong": strong, "model": model, "family": families[model]},
                **{"split": split, **errors, ERR_WEAK: errors["err_weak"], **said},
            }


def boards(
    measured: Measured, strong: str, families: Mapping[str, str], *, seed: int, draws: int
) -> dict[str, tuple[Table, Leaderboard]]:
    """The leaderboard of a task for either kind of heads."""
    found = {}
    taking_part = entrants(OF_RIDGE, measured.seconds)
    for heads in RIDGES:
        (table,) = tables_of(rows_of(measured, strong, families, heads))
        # The gap of both strong heads was measured; no predictor.
        values = dict(table.values)
        measured_too = {**table.measured, "pred_gap": values.pop("pred_gap")}
        table = replace(table, measured=measured_too, values=values)
        made = leaderboard(table, taking_part, baselines=baselines(heads), seed=seed, draws=draws)
        found[heads] = table, made
    return found


def noise(table: Table, heads: str) -> dict[str, dict[str, float]]:
    """Where the skill of predicted errors comes from: averages over splits, single splits, and what all models share.

    A split's samples make all errors larger or smaller together, those on D~ and those on test samples unlike:
    ``shift`` is the mean of measured minus predicted over models, ``shift_of_a_split`` its standard deviation over
    splits, and ``skill_without_shift`` the skill of what is left. ``skill_of_a_split`` holds the prediction of a split
    against the errors on its own test samples, ``skill_of_a_split_for_averages`` against averages over all splits.
    """
    found = {}
    measured = table.measured["err_w2s"]
    for name in (column(one, heads) for one in FORETELL):
        values = table.values[name]
        means = values.mean(axis=1), measured.mean(axis=1)
        shift = (measured - values).mean(axis=0)
        found[name] = {
            "skill": skill(*means),
            "skill_of_a_split": float(np.mean([skill(x, y) for x, y in zip(values.T, measured.T, strict=True)])),
            "skill_of_a_split_for_averages": float(np.mean([skill(x, means[1]) for x in values.T])),
            "skill_without_shift": skill(means[0] + shift.mean(), means[1]),
            "shift": float(shift.mean()),
            "shift_of_a_split": float(shift.std(ddof=1)) if len(shift) > 1 else float("nan"),
            "mean_error": float(means[1].mean()),
        }
    return found


def own_quantities(table: Table, heads: str) -> dict[str, dict[str, float]]:
    """Predicted gain and PredGap against what they foretell themselves, averaged over splits."""
    means = {name: x.mean(axis=1) for name, x in table.measured.items()}
    pairs = {
        "gain": ("predicted_gain", means["err_weak"] - means["err_w2s"]),
        "pred_gap": ("predicted_pred_gap", means["pred_gap"]),
    }
    found = {}
    for quantity, (name, measured) in pairs.items():
        said = table.values[column(name, heads)].mean(axis=1)
        found[quantity] = {
            "spearman": float(rank_correlation(said[None], measured[None])[0]),
            "skill": skill(said, measured),
            "same_sign": float(((said > 0) == (measured > 0)).mean()),
            "positive": float((measured > 0).mean()),
        }
    return found


def by_model(table: Table, heads: str) -> dict[str, list[float] | tuple[str, ...]]:
    """Means over splits of Err_w2s and of what foretells it, a number a weak model."""
    said = {name: table.values[name] for name in (column(one, heads) for one in FORETELL)}
    errors = {name: table.measured[name] for name in ("err_w2s", "err_weak")}
    return {"models": table.models} | {name: x.mean(axis=1).tolist() for name, x in (errors | said).items()}


def own_ridges(splits: Sequence[Mapping[str, Any]]) -> dict[str, list[float]]:
    """Quartiles over models and splits of the ridges that leave-one-out chose, of weak and strong heads."""
    return {
        model: np.quantile(np.ravel([one["own_ridges"][model] for one in splits]), [0.25, 0.5, 0.75]).tolist()
        for model in ("weak", "strong")
    }
