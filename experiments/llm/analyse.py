"""From rows to what is reported: errors by weak model, predictors before and after fine-tuning, heads beside them."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from w2sg_jax.evaluation.correlation import rank_correlation
from w2sg_jax.evaluation.leaderboard import FEWEST, Entrant, Table, leaderboard, tables_of
from w2sg_jax.evaluation.predictions import entrants
from w2sg_jax.predictors import PREDICTORS

from .measure import FIXED, HEADS
from .obtain import REPRESENTED

OF_RIDGE = {FIXED: "ridge 1e-2", HEADS: "own ridges"}
CONFIDENT = 1.96
"""Standard errors."""
BASELINE = "leave_one_out_weak"
KINDS = ("", "hard:", "ridge:", "logistic:")
"""Of models that are fitted: fine-tuned on soft labels, or hard ones, and heads on frozen representations."""
MEASURED = ("err_weak", "err_w2s", "err_ceiling", "pred_gap")


def analysed(rows: Sequence[Mapping[str, Any]], *, seed: int, draws: int) -> dict[str, Any]:
    """What is reported: of each task and strong model, "pairs", and "means" of predictors over those that are able."""
    # Undefined numbers, which JSON has none of, are NaN.
    known = [{name: float("nan") if value is None else value for name, value in row.items()} for row in rows]
    pairs = [_pair(table, known, seed=seed, draws=draws) for table in tables_of(known)]
    able = [pair for pair in pairs if pair["able"]]
    means = []
    for name in able[0]["scores"] if able else ():
        of_pairs = [pair["scores"][name]["spearman"] for pair in able if name in pair["scores"]]
        values = [value for value in of_pairs if np.isfinite(value)]
        if len(values) == len(able):
            least, most = min(values), max(values)
            means.append(
                {"name": name, **_title(name), "spearman": float(np.mean(values)), "least": least, "most": most}
            )
    return {"pairs": pairs, "means": sorted(means, key=lambda one: -one["spearman"])}


def _pair(table: Table, rows: Sequence[Mapping[str, Any]], *, seed: int, draws: int) -> dict[str, Any]:
    """One task and strong model."""
    own = [row for row in rows if (row["task"], row["strong"]) == (table.task, table.strong)]
    by_model = {name: [row for row in own if row["model"] == name] for name in table.models}
    models = {
        name: {key: _mean_and_error([row[key] for row in some]) for key in some[0] if _is_measured(key)}
        for name, some in by_model.items()
    }
    lead, noise = (float(np.mean([row[key] for row in own])) for key in ("lead", "lead_standard_error"))
    chosen = [one for one in taking_part() if one.name in table.values]
    # Cuts of one network are no families to be drawn whole: of one or two there is nothing to draw.
    made = leaderboard(
        replace(table, families=table.models),
        chosen,
        baselines=(f"{REPRESENTED[0]}:{BASELINE}",),
        seed=seed,
        draws=draws,
    )
    scores = {}
    for one in made.scores:
        found = one.everywhere
        scores[one.entrant.name] = {
            **asdict(found.spearman)
            | {"spearman": found.spearman.value, "skill": None if found.skill is None else found.skill.value}
        }
    error = table.measured["err_w2s"].mean(axis=1)
    return {
        **{"task": table.task, "strong": table.strong, "splits": table.splits, "able": lead > CONFIDENT * noise},
        **{"lead": lead, "lead_standard_error": noise, "reliability": made.reliability},
        **{"label_variance": float(np.mean([row["label_variance"] for row in own]))},
        "models": models,
        "depth": {name: some[0]["depth"] for name, some in by_model.items()},
        "values": {one.name: table.values[one.name].mean(axis=1).tolist() for one in chosen},
        "scores": scores,
        "heads": _orders(models, error),
    }


def _is_measured(name: str) -> bool:
    kind, _, rest = name.rpartition(":")
    return f"{kind}:" in ("", *KINDS, ":") and rest.removesuffix("_01") in (*MEASURED, "pgr")


def _orders(models: Mapping[str, Mapping[str, Any]], error: np.ndarray) -> dict[str, float]:
    """How Err_w2s of other ways to fit orders weak models as fine-tuning on the first labels does, by Spearman."""
    found = {}
    for kind in KINDS[1:]:
        values = [one[f"{kind}err_w2s"]["mean"] for one in models.values() if f"{kind}err_w2s" in one]
        if len(values) == len(error) >= FEWEST:
            found[kind.rstrip(":")] = float(rank_correlation(np.array(values)[None], error[None])[0])
    return found


def _mean_and_error(values: Sequence[float]) -> dict[str, Any]:
    """Over splits that it is defined on."""
    x = np.array([value for value in values if np.isfinite(value)])
    if not len(x):
        return {"mean": None, "standard_error": None, "splits": 0}
    spread = float(x.std(ddof=1) / np.sqrt(len(x))) if len(x) > 1 else None
    return {"mean": float(x.mean()), "standard_error": spread, "splits": len(x)}


def taking_part() -> list[Entrant]:
    """Every predictor at both ridges, of representations before and after fine-tuning."""
    found = []
    for when in REPRESENTED:
        for one in entrants(OF_RIDGE, dict.fromkeys(PREDICTORS)):
            hindsight = one.hindsight or when == REPRESENTED[1]  # the strong model's were fine-tuned on true labels
            found.append(replace(one, name=f"{when}:{one.name}", title=f"{one.title}, {when}", hindsight=hindsight))
    return found


def _title(name: str) -> dict[str, Any]:
    one = next(one for one in taking_part() if one.name == name)
    return {"title": one.title, "hindsight": one.hindsight}
