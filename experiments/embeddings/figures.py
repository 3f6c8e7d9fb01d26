"""The figures of the page: a point a weak model, coloured by family."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from w2sg_jax.predictors import PREDICTORS
from w2sg_jax.report.style import MARKS, panels

from .analyse import Pair
from .measure import MAPPED, MAPS, OWN

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TRENDS = ("norm@1e-2", "mutual_knn", "leave_one_out_weak", "supervised@own", "predicted_err_w2s@own")
"""Predictors with a panel a task."""
LEADING = "smollm2#15:mean"
"""The strong model of the trends, where it is able; else the first that is."""


def leaderboard_figure(found: Sequence[Mapping[str, Any]]) -> "Figure":
    """Mean correlations with intervals, and a small dot a pair; hollow ones use labels that nobody has beforehand."""
    shown = [one for one in found if not one["name"].endswith("@1e-4") and np.isfinite(one["spearman"])]
    figure, ((axis,),) = panels(1, 1, 8.2, 1.4 + 0.2 * len(shown))
    for place, one in enumerate(shown):
        mark = MARKS[2] if one["label_free"] else MARKS[0]
        values = list(one["each"].values())
        axis.plot(values, [place] * len(values), "|", color="0.6", markersize=6)
        axis.plot([one["low"], one["high"]], [place] * 2, color=mark["color"], linewidth=1.4)
        filled = "white" if one["hindsight"] else mark["color"]
        axis.plot(one["spearman"], place, linestyle="", markerfacecolor=filled, markersize=5, **mark)
    axis.axvline(0, color="0.6", linewidth=0.8)
    axis.set_yticks(range(len(shown)), [one["title"] for one in shown], fontsize=7)
    axis.set_ylim(len(shown) - 0.4, -0.6)
    axis.set_xlabel("Spearman correlation with Err_w2s, mean over\ntasks and strong models", fontsize=8)
    axis.tick_params(axis="x", labelsize=8)
    for mark, label in ((MARKS[0], "uses labels"), (MARKS[2], "label-free")):
        axis.plot([], [], linestyle="", markersize=5, label=label, **mark)
    axis.plot([], [], "|", color="0.6", label="a task and strong model", markersize=6)
    axis.legend(fontsize=7, loc="upper left")
    return figure


def calibration_figure(pairs: Sequence[Pair]) -> "Figure":
    """Measured against predicted Err_w2s, a row a task and a column a strong model; on the line they agree."""
    tasks, strong = (list(dict.fromkeys(getattr(pair, key) for pair in pairs)) for key in ("task", "strong"))
    figure, axes = panels(len(tasks), len(strong), 2.3 * len(strong), 2.2 * len(tasks) + 0.5)
    for row in axes:
        for axis in row:
            axis.set_visible(False)
    for pair in pairs:
        axis = axes[tasks.index(pair.task)][strong.index(pair.strong)]
        axis.set_visible(True)
        _points(axis, pair, "predicted_err_w2s@own")
        ends = np.array([pair.error.min(), pair.error.max()])
        axis.plot(ends, ends, color="0.4", linewidth=0.9)
        axis.axhline(pair.ceiling["err_ceiling"], color="0.6", linewidth=0.8, linestyle=":")
        axis.set_title(f"{pair.task}, {pair.strong}", fontsize=7)
        axis.tick_params(labelsize=6)
        axis.locator_params(nbins=5)
    _legend(figure, pairs)
    figure.supxlabel("predicted Err_w2s", fontsize=8)
    figure.supylabel("measured Err_w2s, with its standard error over splits; dotted: the ceiling", fontsize=8)
    return figure


def trend_figure(pairs: Sequence[Pair]) -> "Figure":
    """Err_w2s against some predictors, a row a task, with one strong model."""
    tasks = list(dict.fromkeys(pair.task for pair in pairs))
    figure, axes = panels(len(tasks), len(TRENDS), 2.4 * len(TRENDS), 2.2 * len(tasks) + 0.5)
    for row, task in zip(axes, tasks, strict=True):
        of_task = [pair for pair in pairs if pair.task == task]
        pair = next((one for one in of_task if one.strong == LEADING), of_task[0])
        for axis, name in zip(row, TRENDS, strict=True):
            _points(axis, pair, name)
            axis.tick_params(labelsize=6)
            known, _, ridge = name.partition("@")
            at = {"": "", OWN: ", own ridges"}.get(ridge, f", ridge {ridge}")
            axis.set_xlabel(f"{PREDICTORS[known].title}{at}", fontsize=6)
        row[0].set_ylabel(f"Err_w2s, {task},\nstrong {pair.strong}", fontsize=7)
    _legend(figure, pairs)
    return figure


def ridge_figure(found: Mapping[str, Any], pairs: Sequence[Pair]) -> "Figure":
    """Correlations of predictors at fixed ridges beside those at own ridges, a line a pair."""
    figure, (axes,) = panels(1, len(MAPPED), 4.2 * len(MAPPED), 3.4, sharey=True)
    tasks = list(dict.fromkeys(pair.task for pair in pairs))
    for axis, name in zip(axes, MAPPED, strict=True):
        for place, pair in enumerate(pairs):
            mark = MARKS[tasks.index(pair.task) % len(MARKS)]
            values = [found["maps"][name][ridge][place] for ridge in MAPS]
            axis.plot(range(len(MAPS) - 1), values[:-1], linewidth=0.9, markersize=3, **mark)
            axis.plot(len(MAPS) - 1, values[-1], linestyle="", markersize=4, **mark)
        axis.axhline(0, color="0.6", linewidth=0.8)
        axis.set_xticks(range(len(MAPS)), MAPS)
        axis.set_xlabel("ridge of the predictor")
        axis.set_title(PREDICTORS[name].title, fontsize=9)
    for place, task in enumerate(tasks):
        axes[0].plot([], [], label=task, markersize=4, **MARKS[place % len(MARKS)])
    axes[0].set_ylabel("Spearman correlation with Err_w2s")
    axes[0].legend(fontsize=7)
    return figure


def order_figure(found: Sequence[Mapping[str, Any]]) -> "Figure":
    """For any two strong models of a task: how alike they order weak models, and whether the predicted error knows."""
    figure, ((axis,),) = panels(1, 1, 5.2, 4.2)
    tasks = list(dict.fromkeys(one["task"] for one in found))
    for place, task in enumerate(tasks):
        own = [one for one in found if one["task"] == task]
        x = [one["agreement"] for one in own]
        y = [one["knows"]["predicted_err_w2s@own"] for one in own]
        axis.plot(x, y, linestyle="", markersize=4.5, label=task, **MARKS[place % len(MARKS)])
    axis.axhline(0, color="0.6", linewidth=0.8)
    axis.set_xlabel("Spearman correlation of Err_w2s under one strong model\nwith that under the other", fontsize=8)
    axis.set_ylabel("difference of predicted against difference\nof measured Err_w2s, Spearman correlation", fontsize=8)
    axis.legend(fontsize=7)
    return figure


def _points(axis: "Axes", pair: Pair, name: str) -> None:
    """Err_w2s, with its standard error over splits, against a predictor."""
    error = pair.table.measured["err_w2s"]
    spread = error.std(axis=1, ddof=1) / np.sqrt(error.shape[1]) if error.shape[1] > 1 else np.zeros(len(error))
    x = pair.value(name)
    for place, family in enumerate(dict.fromkeys(pair.table.families)):
        rows = np.array([one == family for one in pair.table.families])
        mark = MARKS[place % len(MARKS)]
        bars = {"elinewidth": 0.5, "ecolor": mark["color"]}
        axis.errorbar(x[rows], pair.error[rows], spread[rows], linestyle="", markersize=2.5, **bars, **mark)


def _legend(figure: "Figure", pairs: Sequence[Pair]) -> None:
    """Families, above all panels."""
    families = list(dict.fromkeys(family for pair in pairs for family in pair.table.families))
    handles = figure.axes[0]
    lines = [
        handles.plot([], [], linestyle="", markersize=4, label=family, **MARKS[place % len(MARKS)])[0]
        for place, family in enumerate(families)
    ]
    figure.legend(lines, families, loc="outside upper center", ncols=len(families), fontsize=7)
