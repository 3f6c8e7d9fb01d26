"""The tables of the documentation page, from the results."""

from collections.abc import Mapping
from typing import Any

from w2sg_jax.report.tables import markdown_table

from .analyse import KINDS

TITLES = {
    "": "fine-tuned, soft labels",
    "hard:": "fine-tuned, hard labels",
    "ridge:": "ridge heads, frozen",
    "logistic:": "logistic heads, frozen",
}
SHOWN = 24
"""Predictors of the table."""


def markdown(result: Mapping[str, Any]) -> str:
    """Every table."""
    blocks = []
    for pair in result["pairs"]:
        title = f"### {pair['task']}, strong model {pair['strong']}"
        blocks += [title, model_table(pair)]
    blocks += ["### Heads and fine-tuning", head_table(result)]
    if result["means"]:
        blocks += ["### Predictors", predictor_table(result)]
    return "\n\n".join(blocks)


def model_table(pair: Mapping[str, Any]) -> str:
    """Errors of fine-tuned models by weak model, in squares and in shares of wrong classes."""
    lines = []
    for name, one in pair["models"].items():
        cells = [f"{_mean(one[key])} ({_mean(one[f'{key}_01'], share=True)})" for key in ("err_weak", "err_w2s")]
        hard = _mean(one["hard:err_w2s"]) if "hard:err_w2s" in one else "–"
        pgr = one["pgr"]
        recovered = "undefined" if pgr["mean"] is None else f"{_mean(pgr, 2)}, {pgr['splits']} of {pair['splits']}"
        ceiling = f"{_mean(one['err_ceiling'])} ({_mean(one['err_ceiling_01'], share=True)})"
        lines.append([name, *cells, hard, ceiling, _mean(one["pred_gap"]), recovered])
    header = ["weak model", "Err_w", "Err_w2s", "Err_w2s, hard labels", "Err_sc", "PredGap", "PGR, splits"]
    return markdown_table(header, lines)


def head_table(result: Mapping[str, Any]) -> str:
    """Means over weak models of every way to fit, and whether it orders them as fine-tuning does."""
    lines = []
    for pair in result["pairs"]:
        for kind in KINDS:
            some = [one for one in pair["models"].values() if f"{kind}err_w2s" in one]
            if not some:
                continue
            means = [
                sum(one[f"{kind}{key}"]["mean"] for one in some) / len(some)
                for key in ("err_weak", "err_w2s", "err_ceiling", "err_w2s_01")
            ]
            order = pair["heads"].get(kind.rstrip(":"))
            cells = [*(f"{value:.3f}" for value in means[:3]), f"{means[3]:.1%}"]
            lines.append([pair["task"], pair["strong"], TITLES[kind], *cells, "–" if order is None else f"{order:.2f}"])
    header = ["task", "strong model", "models", "Err_w", "Err_w2s", "Err_sc", "wrong classes",
              "order as fine-tuned"]  # fmt: skip
    return markdown_table(header, lines)


def predictor_table(result: Mapping[str, Any]) -> str:
    """The leading predictors, means over pairs, and each pair."""
    able = [pair for pair in result["pairs"] if pair["able"]]
    lines = []
    for one in result["means"][:SHOWN]:
        title = f"*{one['title']}*" if one["hindsight"] else one["title"]
        cells = [_interval(pair["scores"][one["name"]]) for pair in able]
        lines.append([title, f"{one['spearman']:.2f}", *cells])
    return markdown_table(["predictor", "mean", *(f"{pair['task']}, {pair['strong']}" for pair in able)], lines)


def _mean(one: Mapping[str, Any], digits: int = 3, *, share: bool = False) -> str:
    if one["mean"] is None:
        return "–"
    if share:
        return f"{one['mean']:.1%}"
    error = "" if one["standard_error"] is None else f" ± {one['standard_error']:.{digits}f}"
    return f"{one['mean']:.{digits}f}{error}"


def _interval(one: Mapping[str, Any]) -> str:
    low, high = one["low"], one["high"]
    ends = "" if low is None or high is None else f" [{low:.2f}, {high:.2f}]"
    return f"{one['spearman']:.2f}{ends}"
