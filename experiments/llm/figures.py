"""The figures of the page: Err_w2s by weak model and against predictors, and the losses of every run."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from w2sg_jax.report.style import MARKS, panels

from .obtain import LOSSES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TRENDS = {
    "pretrained:norm@own": "gap norm, own ridges",
    "pretrained:mutual_knn": "mutual nearest neighbours",
    "pretrained:leave_one_out_weak": "leave-one-out Err_w",
    "pretrained:predicted_err_w2s@own": "predicted Err_w2s of ridge heads",
    "tuned:norm@own": "gap norm after fine-tuning",
}
SEEN = "err_weak", "err_w2s", "err_ceiling"
LABELS = "Err_w", "Err_w2s", "Err_sc"


def depth_figure(pairs: Sequence[Mapping[str, Any]]) -> "Figure":
    """Errors by the share of blocks that the weak model has, a panel a task and strong model."""
    figure, (axes,) = panels(1, len(pairs), 4.2 * len(pairs), 3.6)
    for axis, pair in zip(axes, pairs, strict=True):
        networks = list(dict.fromkeys(name.partition("[")[0] for name in pair["models"]))
        for number, network in enumerate(networks):
            names = [name for name in pair["models"] if name.startswith(f"{network}[")]
            x = [pair["depth"][name] for name in names]
            for style, key, label in zip(("--", "-", ":"), SEEN, LABELS, strict=True):
                means = [pair["models"][name][key]["mean"] for name in names]
                errors = [pair["models"][name][key]["standard_error"] or 0.0 for name in names]
                shown = {"linestyle": style, "linewidth": 1, "markersize": 3.5, **MARKS[number % len(MARKS)]}
                axis.errorbar(x, means, errors, elinewidth=0.7, label=f"{label}, {network}", **shown)
        axis.axhline(pair["label_variance"], color="0.6", linewidth=0.8)
        axis.set_title(f"{pair['task']}, strong {pair['strong']}", fontsize=9)
        axis.set_xlabel("blocks of the weak model")
    axes[0].set_ylabel("mean squared error, with standard error over splits;\ngrey: the mean label", fontsize=8)
    axes[0].legend(fontsize=7)
    return figure


def trend_figure(pairs: Sequence[Mapping[str, Any]]) -> "Figure":
    """Err_w2s against some predictors, a row a task and strong model."""
    figure, axes = panels(len(pairs), len(TRENDS), 2.5 * len(TRENDS), 2.3 * len(pairs) + 0.4)
    for row, pair in zip(axes, pairs, strict=True):
        names = list(pair["models"])
        y = np.array([pair["models"][name]["err_w2s"]["mean"] for name in names])
        errors = np.array([pair["models"][name]["err_w2s"]["standard_error"] or 0.0 for name in names])
        networks = [name.partition("[")[0] for name in names]
        for axis, (name, title) in zip(row, TRENDS.items(), strict=True):
            x = np.array([np.nan if value is None else value for value in pair["values"][name]], float)
            for number, network in enumerate(dict.fromkeys(networks)):
                own = np.array([one == network for one in networks])
                mark = MARKS[number % len(MARKS)]
                bars = {"elinewidth": 0.6, "ecolor": mark["color"]}
                axis.errorbar(x[own], y[own], errors[own], linestyle="", markersize=4, label=network, **bars, **mark)
            axis.set_xlabel(title, fontsize=7)
            axis.tick_params(labelsize=6)
        row[0].set_ylabel(f"Err_w2s, {pair['task']},\nstrong {pair['strong']}", fontsize=7)
    axes[0, 0].legend(fontsize=7)
    return figure


def loss_figure(curves: Sequence[Mapping[str, Any]]) -> "Figure":
    """The loss of every step, smoothed over a few; a row a task: on true labels, and on those of weak models."""
    tasks = list(dict.fromkeys(one["task"] for one in curves))
    figure, axes = panels(len(tasks), 2, 9, 2.6 * len(tasks) + 0.3, sharey="row")
    for row, task in zip(axes, tasks, strict=True):
        for axis, true in zip(row, (True, False), strict=True):
            some = [one for one in curves if one["task"] == task and (one["labels"] == "true labels") == true]
            keys = list(dict.fromkeys(one["model"] if true else one["labels"] for one in some))
            for one in some:
                place = keys.index(one["model"] if true else one["labels"])
                color = MARKS[place % len(MARKS)]["color"]
                first = one is next(
                    other for other in some if (other["model"] if true else other["labels"]) == keys[place]
                )
                axis.plot(_smoothed(one[LOSSES]), color=color, linewidth=0.8, label=keys[place] if first else None)
            axis.set_title(f"{task}: {'on true labels' if true else 'the strong model on weak labels'}", fontsize=8)
            axis.set_xlabel("step", fontsize=8)
            axis.legend(fontsize=5, ncols=2)
        row[0].set_ylabel("cross-entropy, nats", fontsize=8)
    return figure


def _smoothed(losses: Sequence[float], over: int = 5) -> list[float]:
    """Of each step, the mean of its loss and the few before it."""
    return [float(np.mean(losses[max(0, step - over + 1) : step + 1])) for step in range(len(losses))]
