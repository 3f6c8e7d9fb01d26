"""The tables of the documentation page, from the results."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from w2sg_jax.report.tables import markdown_table

from .measure import RIDGES

HEADS = {
    "1e-4": "Heads of ridge 1e-4, as in the molecular experiment",
    "own": "Heads with their own ridges, by leave-one-out",
}
SKILLS = {
    "skill": "averages of all splits",
    "skill_without_shift": "the same, less what all models have in common",
    "skill_of_a_split_for_averages": "one split, against averages of all",
    "skill_of_a_split": "one split, against its own test molecules",
}
Boards = Mapping[str, Mapping[str, Any]]
"""Set -> leaderboard."""


def markdown(result: Mapping[str, Any]) -> str:
    """Every table: for either kind of heads, order, then size; and what noise leaves."""
    blocks = []
    for heads in RIDGES:
        found = {name: one[heads]["leaderboard"] for name, one in result["sets"].items()}
        others = {name: one[heads]["own_quantities"] for name, one in result["sets"].items()}
        blocks += [f"### {HEADS[heads]}", order_table(found, heads), size_table(found, heads), quantity_table(others)]
    known = {name: one[RIDGES[0]]["leaderboard"] for name, one in result["sets"].items()}
    blocks += ["### The ridge of the predictor, heads of ridge 1e-4", ridge_table(known)]
    return "\n\n".join([*blocks, "### What noise leaves", noise_table(result["sets"])])


def order_table(found: Boards, heads: str) -> str:
    """Spearman's correlation of every predictor, the best on average first; at the heads' ridges where it has one."""
    other, first = _other(heads), next(iter(found.values()))
    names = [one["entrant"]["name"] for one in first["scores"] if not one["entrant"]["name"].endswith(f"@{other}")]
    scores = {name: [_score(board, name) for board in found.values()] for name in names}

    def average(name: str) -> float:
        values = [one["everywhere"]["spearman"]["value"] for one in scores[name]]
        return -2.0 if None in values else float(np.mean(values))

    header = ["predictor", *found, "within a shape", "on one split", "above the ceiling", "best of draws", "ms a model"]
    lines = []
    for name in sorted(names, key=average, reverse=True):
        of_sets = scores[name]
        entrant = of_sets[0]["entrant"]
        title = _at_heads(entrant["title"])
        seconds = [one["entrant"]["seconds"] for one in of_sets]
        lines.append(
            [
                f"*{title}*" if entrant["hindsight"] else title,
                *(_order(one["everywhere"]) for one in of_sets),
                _several(one["within_families"]["value"] for one in of_sets),
                _several(one["on_one_split"] for one in of_sets),
                _several(one["above_ceiling"] and one["above_ceiling"]["spearman"]["value"] for one in of_sets),
                _several((one["everywhere"]["best"] for one in of_sets), "{:.0%}"),
                "" if None in seconds else _several((1e3 * one for one in seconds), "{:.0f}"),
            ]
        )
    return markdown_table(header, lines)


def size_table(found: Boards, heads: str) -> str:
    """How close predicted errors come, and what the predicted Err_w2s leads the baselines by."""
    first = next(iter(found.values()))
    names = [one["entrant"]["name"] for one in first["scores"] if one["everywhere"]["skill"] is not None]
    lines = []
    for name in names:
        scores = [_score(board, name) for board in found.values()]
        title = scores[0]["entrant"]["title"]
        lines.append([f"skill: {title}", *(_interval(one["everywhere"]["skill"]) for one in scores)])
        if not name.endswith(f"@{_other(heads)}"):
            above = [one["above_ceiling"] for one in scores]
            lines.append(["the same, above the ceiling", *(_interval(one and one["skill"]) for one in above)])
            lines.append(["measured / predicted, median", *(_number(one["everywhere"]["ratio"]) for one in scores)])
    name = f"predicted_err_w2s@{heads}"
    for baseline in first["baselines"]:
        scores = [_score(board, name)["everywhere"]["to_baselines"][baseline] for board in found.values()]
        against = _at_heads(_score(first, baseline)["entrant"]["title"])
        lines.append([f"Spearman, predicted Err_w2s minus {against}", *(_interval(one, 3) for one in scores)])
    for key, label in (("above_ceiling", "weak models above the ceiling"),):
        lines.append([label, *(f"{one[key]} of {one['models']}" for one in found.values())])
    errors = ("err_weak", "err_w2s", "err_ceiling")
    lines.append(
        [
            "mean Err_w, Err_w2s, Err_sc",
            *(", ".join(f"{one['errors'][name]:.2f}" for name in errors) for one in found.values()),
        ]
    )
    lines.append(
        ["Err_w2s of even with odd splits, Spearman", *(_number(one["reliability"], 3) for one in found.values())]
    )
    return markdown_table(["", *found], lines)


def quantity_table(found: Mapping[str, Any]) -> str:
    """Predicted gain and PredGap against themselves."""
    lines = []
    for quantity, title in (("gain", "gain, Err_w - Err_w2s"), ("pred_gap", "PredGap")):
        of_sets = [one[quantity] for one in found.values()]
        cells = [f"{_number(one['spearman'], 3)}, {_number(one['skill'])}" for one in of_sets]
        lines.append([f"predicted {title}, against the measured one: Spearman, skill", *cells])
    gains = [one["gain"] for one in found.values()]
    lines.append(
        [
            "weak models whose student is better; told so",
            *(f"{one['positive']:.0%}; {one['same_sign']:.0%}" for one in gains),
        ]
    )
    return markdown_table(["", *found], lines)


def ridge_table(found: Boards) -> str:
    """Spearman's correlation of predictors that have a ridge, at either."""
    first = next(iter(found.values()))
    names = [one["entrant"]["name"] for one in first["scores"] if one["entrant"]["name"].endswith(f"@{RIDGES[0]}")]
    lines = []
    for name in names:
        cells = []
        for ridge in RIDGES:
            other = f"{name.removesuffix(RIDGES[0])}{ridge}"
            cells.append(
                _several(
                    (_score(board, other)["everywhere"]["spearman"]["value"] for board in found.values()), "{:.3f}"
                )
            )
        if cells[0].strip("–, "):
            lines.append([_at_heads(_score(first, name)["entrant"]["title"]), *cells])
    return markdown_table(["predictor", "ridge 1e-4", "own ridges"], lines)


def noise_table(sets: Mapping[str, Any]) -> str:
    """Skill of averages, of single splits, and without what all models of a split share; heads of the known ridge."""
    lines = []
    for name, title in (("predicted_err_w2s", "predicted"), ("cross_validated_err_w2s", "cross-validated")):
        found = [one[RIDGES[0]]["noise"][f"{name}@{RIDGES[0]}"] for one in sets.values()]
        for key, label in SKILLS.items():
            lines.append([f"{title}, {label}", *(f"{one[key]:.2f}" for one in found)])
        lines.append(
            [
                f"{title}, measured minus predicted: of averages, ± of a split",
                *(
                    f"{one['shift'] / one['mean_error']:+.1%}, ± {one['shift_of_a_split'] / one['mean_error']:.1%}"
                    for one in found
                ),
            ]
        )
    return markdown_table(["skill", *sets], lines)


def _score(board: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return next(one for one in board["scores"] if one["entrant"]["name"] == name)


def _order(standing: Mapping[str, Any]) -> str:
    """A correlation, and for how many models it is undefined."""
    made = _interval(standing["spearman"], 3)
    undefined = standing["undefined"]
    return f"{made}; undefined for {undefined}" if undefined else made


def _interval(found: Mapping[str, Any] | None, digits: int = 2) -> str:
    """A value with its interval."""
    if found is None or found["value"] is None:
        return "–"
    value, low, high = (f"{found[key]:.{digits}f}" for key in ("value", "low", "high"))
    return f"{value} [{low}, {high}]"


def _number(value: float | None, digits: int = 2) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def _other(heads: str) -> str:
    """The ridges that are not the heads'."""
    return next(one for one in RIDGES if one != heads)


def _at_heads(title: str) -> str:
    """A predictor's title where its ridges are the heads'."""
    return title.removesuffix(", own ridges").removesuffix(", ridge 1e-4")


def _several(values: Iterator[float | None], form: str = "{:.2f}") -> str:
    """One of each set."""
    return ", ".join("–" if value is None else form.format(value) for value in values)
