"""The tables of the documentation page, from the results."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from w2sg_jax.predictors import PREDICTORS
from w2sg_jax.report.tables import markdown_table

from .measure import MAPPED, MAPS

MAIN = {
    "norm@1e-2": "gap norm, ridge 1e-2",
    "norm@own": "gap norm, own ridges",
    "mutual_knn": "mutual nearest neighbours",
    "width": "width",
    "leave_one_out_weak": "leave-one-out Err_w",
    "supervised@own": "supervised-split gap",
    "cross_validated_err_w2s@own": "cross-validated Err_w2s",
    "predicted_err_w2s@own": "predicted Err_w2s",
}
"""Predictors with a column in the table of pairs."""
CANDIDATES = 6
"""Rows of the table of what is chosen on halves."""
BESIDE = ("width", "norm@1e-2", "layer", "parameters")
"""And these, wherever they stand."""


def markdown(result: Mapping[str, Any]) -> str:
    """Every table."""
    blocks = ["### Tasks and strong models", strong_table(result)]
    if "overview" in result:
        able = [one for one in result["pairs"] if one["able"]]
        blocks += ["### Every predictor", overview_table(result["overview"])]
        blocks += ["### By task and strong model", pair_table(result["boards"], able)]
        blocks += ["### Chosen on half of the tasks, judged on the other half", halves_table(result)]
        blocks += ["### Ridges", head_table(result["ridges"]), map_table(result["ridges"])]
        if result["orders"]:
            blocks += ["### Orders of weak models under different strong ones", order_table(result["orders"])]
        blocks += ["### Performance gap recovered", pgr_table(result["pgr"])]
    return "\n\n".join(blocks)


def strong_table(result: Mapping[str, Any]) -> str:
    """Ceilings, and whether they are above chance; errors in squares and, in brackets, in shares of wrong classes."""
    lines = []
    for one in result["pairs"]:
        ceiling, means, about = one["ceiling"], one["means"], result["tasks"][one["task"]]
        error = "{:.3f} ({:.1%})".format
        lead, noise = (ceiling[key] / np.mean(about["label_variance"]) for key in ("lead", "standard_error"))
        lines.append(
            [
                one["task"],
                one["strong"],
                ", ".join(str(round(float(np.mean(size)))) for size in zip(*about["sizes"], strict=True)),
                f"{lead:+.1%} ± {noise:.1%}",
                error(means["err_ceiling"], means["err_ceiling_01"]),
                error(means["err_weak"], means["err_weak_01"]),
                error(means["err_w2s"], means["err_w2s_01"]),
                error(means["pred_gap"], means["pred_gap_01"]),
                f"{one['above']} of {one['models']}",
                "" if one["able"] else "nothing can be ranked",
            ]
        )
    header = ["task", "strong model", "rows", "better than the mean label", "Err_sc", "Err_w", "Err_w2s", "PredGap",
              "weak models above the ceiling", ""]  # fmt: skip
    return markdown_table(header, lines)


def overview_table(found: Sequence[Mapping[str, Any]]) -> str:
    """Means over pairs, the best first."""
    lines, timed = [], any(one["seconds"] is not None for one in found)
    for one in found:
        if one["spearman"] is None:  # of the strong model alone: it orders nothing
            continue
        title = f"*{one['title']}*" if one["hindsight"] else one["title"]
        lines.append(
            [
                f"{title} †" if one["label_free"] else title,
                _interval(one),
                f"{_number(one['least'])} to {_number(one['most'])}",
                _number(one["above"]),
                _number(one["foreign"]),
                _number(one["skill"]),
                _interval(one["lead"]["leave_one_out_weak"]),
                *([] if not timed else [""] if one["seconds"] is None else [f"{1e3 * one['seconds']:.0f}"]),
            ]
        )
    header = ["predictor", "mean [95%]", "of a pair", "above the ceiling", "without its own network", "skill, median",
              "lead over leave-one-out Err_w", *(["ms"] if timed else [])]  # fmt: skip
    return markdown_table(header, lines)


def pair_table(boards: Mapping[str, Mapping[str, Any]], able: Sequence[Mapping[str, Any]]) -> str:
    """Some predictors, a row a pair: all weak models; and skill of what foretells an error."""
    lines = []
    for pair in able:
        board = boards[f"{pair['task']}, {pair['strong']}"]
        cells = []
        for name in MAIN:
            standing = board["scores"][name]
            cell = _interval(standing["spearman"])
            if standing["skill"] is not None:
                cell += f"; {_number(standing['skill']['value'])}"
            cells.append(cell)
        lines.append([pair["task"], pair["strong"], *cells, _number(board["reliability"])])
    return markdown_table(["task", "strong model", *MAIN.values(), "splits with each other"], lines)


def halves_table(result: Mapping[str, Any]) -> str:
    """Label-free predictors, and predicted errors."""
    lines = []
    for kind, key, most in (("without labels", "label_free", CANDIDATES), ("Err_w2s itself", "errors", 3)):
        found = result[key]
        shown = found[:most]
        if key == "label_free":
            shown = [*shown, *(one for one in found[most:] if one["name"] in BESIDE)]
        for one in shown:
            held = "–" if one["held_out"] is None else _number(one["held_out"])
            cells = f"{one['chosen']:.0%}", held, _number(one["mean"]), f"{one['least']:.2f} to {one['most']:.2f}"
            lines.append([kind, one["title"], *cells])
    return markdown_table(["", "predictor", "chosen", "on the other half", "mean of all pairs", "of a pair"], lines)


def head_table(found: Mapping[str, Any]) -> str:
    """What heads with a fixed ridge cost."""
    lines = [
        [f"heads with ridge {ridge}", *(f"{value - 1:+.1%}" for value in quartiles)]
        for ridge, quartiles in found["heads"].items()
    ]
    return markdown_table(
        ["Err_w2s against that of own ridges", "lower quartile of pairs", "median", "upper quartile"], lines
    )


def map_table(found: Mapping[str, Any]) -> str:
    """Correlations of predictors at fixed ridges."""
    lines = []
    for name in MAPPED:
        for ridge in MAPS:
            values = found["maps"][name][ridge]
            cells = f"{np.mean(values):.2f}", f"{min(values):.2f} to {max(values):.2f}"
            lines.append([PREDICTORS[name].title, "own" if ridge == "own" else ridge, *cells])
    return markdown_table(["predictor", "ridge", "mean of pairs", "of a pair"], lines)


def order_table(found: Sequence[Mapping[str, Any]]) -> str:
    """By task: how alike strong models order weak ones, and who knows the difference."""
    tasks = list(dict.fromkeys(one["task"] for one in found))
    lines = []
    for task in tasks:
        own = [one for one in found if one["task"] == task]
        agreement = [one["agreement"] for one in own]
        knows = {name: [one["knows"][name] for one in own] for name in own[0]["knows"]}
        cells = ["–" if None in values else f"{np.mean(values):.2f}" for values in knows.values()]
        lines.append(
            [task, str(len(own)), f"{np.mean(agreement):.2f} ({min(agreement):.2f} to {max(agreement):.2f})", *cells]
        )
    names = [_title(name) for name in found[0]["knows"]]
    return markdown_table(["task", "pairs of strong models", "agreement of Err_w2s", *names], lines)


def pgr_table(found: Sequence[Mapping[str, Any]]) -> str:
    """Where PGR is defined, and what goes with it."""
    names = next((list(one["goes_with"]) for one in found if "goes_with" in one), [])
    lines = []
    for one in found:
        cells = ["–"] * (2 + len(names))
        if "goes_with" in one:
            low, middle, high = one["quartiles"]
            spread = f"{middle:.2f} ({low:.2f} to {high:.2f})"
            cells = [spread, f"{one['standard_error']:.2f}", *(_number(one["goes_with"][name]) for name in names)]
        lines.append([one["task"], one["strong"], f"{one['defined']} of {one['models']}", *cells])
    header = ["task", "strong model", "PGR is defined for", "median (quartiles)", "standard error", *map(_title, names)]
    return markdown_table(header, lines)


def _title(name: str) -> str:
    """Of a column of a table."""
    known, _, _ = name.partition("@")
    if known in PREDICTORS:
        return PREDICTORS[known].title
    return {"measured_err_weak": "Err_w, measured", "err_w2s": "Err_w2s, measured"}[known]


def _interval(found: Mapping[str, Any]) -> str:
    value = found.get("spearman", found.get("value"))
    if value is None:
        return "–"
    return f"{value:.2f} [{_number(found['low'])}, {_number(found['high'])}]"


def _number(value: float | None, digits: int = 2) -> str:
    if value is None:
        return "–"
    return f"{value:.{digits}f}" if value > -10 else "< -10"
