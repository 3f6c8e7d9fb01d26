"""What the documentation shows of the experiment, made from its results."""

from collections.abc import Mapping
from typing import Any

from w2sg_jax.report.tables import markdown_table

from .analyse import PREDICTORS
from .tables import cell


def markdown(result: Mapping[str, Any]) -> str:
    """Correlations of every predictor on every set, and what else was found, as Markdown."""
    sets = result["sets"]
    rows = [[one.title, *(cell(found["spearman"][one.name]) for found in sets.values())] for one in PREDICTORS]
    return f"{markdown_table(['predictor', *sets], rows)}\n\n{_more(sets)}"


def _more(sets: Mapping[str, Any]) -> str:
    """Fits, equal shapes and noise, a row each."""
    label_aware, supervised = (
        [_fit(found["log_fit"][name]) for found in sets.values()] for name in ("predicted", "supervised")
    )
    shapes = next(iter(sets.values()))["within_shapes"]["shapes"]
    rows = [
        ["R² of log PredGap on log predicted gap, hidden labels (slope; median of their ratio)", *label_aware],
        ["the same, supervised split", *supervised],
        ["Kendall's tau of the gap norm", *(cell(found["kendall"]["norm"]) for found in sets.values())],
        *(
            [f"gap norm minus width, {title}", *(cell(found[name]["norm"]["over_width"]) for found in sets.values())]
            for name, title in (("spearman", "Spearman"), ("kendall", "Kendall's tau"))
        ),
        [
            f"Spearman among models of one shape, mean of {shapes} shapes, gap norm",
            *(_within(found, "norm") for found in sets.values()),
        ],
        *(
            [f"the same, {title}", *(_within(found, name) for found in sets.values())]
            for name, title in (("supervised", "supervised split"), ("err_weak", "Err_w"))
        ),
        ["Err_w2s of even with odd splits, Spearman", *(f"{found['reliability']:.2f}" for found in sets.values())],
        [
            "δ of the strong encoder; of the weak ones, median (share up to 0.5)",
            *(_delta(one) for one in sets.values()),
        ],
        ["molecules, each once", *(str(found["molecules"]) for found in sets.values())],
        ["mean Err_w, Err_w2s, Err_sc", *(_errors(found) for found in sets.values())],
    ]
    return markdown_table(["", *sets], rows)


def _fit(fit: Mapping[str, float]) -> str:
    return f"{fit['r2']:.2f} ({fit['slope']:.2f}; {fit['measured_over_predicted']:.2f})"


def _within(found: Mapping[str, Any], name: str) -> str:
    """A correlation among models of one shape: undefined where the predictor is the same for all of them."""
    value = found["within_shapes"]["spearman"][name]
    return "undefined" if value is None else cell(value)


def _errors(found: Mapping[str, Any]) -> str:
    return ", ".join(f"{found['errors'][name]:.2f}" for name in ("err_weak", "err_w2s", "err_ceiling"))


def _delta(found: Mapping[str, Any]) -> str:
    one = found["decomposability"]
    return f"{one['strong']:.2f}; {one['weak_median']:.2f} ({one['weak_share']:.0%})"
