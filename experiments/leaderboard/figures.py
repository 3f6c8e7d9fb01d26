"""Dots with intervals, one panel a set."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from w2sg_jax.evaluation.predictions import FORETELL, column
from w2sg_jax.predictors import PREDICTORS
from w2sg_jax.report.style import MARKS, panels

from .measure import RIDGES
from .results import HEADS

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def leaderboard_figure(found: Mapping[str, Mapping[str, Any]], heads: str) -> "Figure":
    """Spearman's correlation of every predictor at the heads' ridges with Err_w2s; hollow dots need labels of later."""
    other = next(one for one in RIDGES if one != heads)
    first = next(iter(found.values()))
    shown = [
        one["entrant"]
        for one in first["scores"]
        if not one["entrant"]["name"].endswith(f"@{other}") and one["everywhere"]["spearman"]["value"] is not None
    ]
    figure, (axes,) = panels(1, len(found), 3.2 + 2.6 * len(found), 1.2 + 0.26 * len(shown), sharey=True, sharex=True)
    for axis, (name, board) in zip(axes, found.items(), strict=True):
        scores = {one["entrant"]["name"]: one for one in board["scores"]}
        for place, entrant in enumerate(shown):
            score = scores[entrant["name"]]
            for standing, mark, above in (
                (score["everywhere"], MARKS[0], 0.0),
                (score["above_ceiling"], MARKS[1], 0.28),
            ):
                if standing is None or standing["spearman"]["value"] is None:
                    continue
                c = standing["spearman"]
                filled = "white" if entrant["hindsight"] else mark["color"]
                axis.plot([c["low"], c["high"]], [place + above] * 2, color=mark["color"], linewidth=1.2)
                axis.plot(c["value"], place + above, linestyle="", markerfacecolor=filled, markersize=4, **mark)
        axis.axvline(0, color="0.6", linewidth=0.8)
        axis.set_title(f"{name}, {board['above_ceiling']} of {board['models']} above", fontsize=9)
        axis.set_xlabel("Spearman correlation with Err_w2s")
    axes[0].set_yticks(range(len(shown)), [_title(one["title"]) for one in shown], fontsize=8)
    axes[0].invert_yaxis()
    for mark, label in ((MARKS[0], "all weak models"), (MARKS[1], "Err_w above the ceiling")):
        axes[0].plot([], [], linestyle="", markersize=4, label=label, **mark)
    axes[0].legend(fontsize=7, loc="center left")
    figure.suptitle(f"{HEADS[heads]}; 95% intervals over shapes of models and splits", fontsize=10)
    return figure


def error_figure(found: Mapping[str, Mapping[str, Any]], heads: str) -> "Figure":
    """Measured against predicted Err_w2s, a dot a weak model; on the line they agree.

    Args:
        found: set -> ``by_model`` of its results.
        heads: which heads.
    """
    figure, (axes,) = panels(1, len(found), 3.6 * len(found), 3.8)
    for axis, (name, means) in zip(axes, found.items(), strict=True):
        for mark, (name_of, title) in zip(MARKS, _foretelling(heads).items(), strict=False):
            axis.plot(means[name_of], means["err_w2s"], linestyle="", markersize=3.5, label=title, **mark)
        ends = [min(means["err_w2s"]), max(means["err_w2s"])]
        axis.plot(ends, ends, color="0.4", linewidth=1)
        axis.set_title(name, fontsize=9)
        axis.set_xlabel("predicted error")
    axes[0].set_ylabel("measured Err_w2s")
    axes[0].legend(fontsize=7)
    figure.suptitle(f"{HEADS[heads]}; means over splits", fontsize=10)
    return figure


def _foretelling(heads: str) -> dict[str, str]:
    """Column of a predicted error -> its title, the baselines first, so that nothing hides the others."""
    titles = {name: PREDICTORS[name].title for name in reversed(FORETELL)}
    return {column(name, heads): title for name, title in titles.items()}


def _title(title: str) -> str:
    return title.removesuffix(", own ridges").removesuffix(", ridge 1e-4")
