"""Pictures of the experiment."""

from collections.abc import Mapping
from itertools import cycle
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from w2sg_jax.training.zoo import Zoo, grouped

from .analyse import PREDICTORS, Tables
from .measure import MAPPED, RIDGE, RIDGES, THRESHOLDS

PANELS = (
    ("norm", "1 - gap norm |P_s (I - P_w)|, no labels; a larger gap is on the right"),
    ("supervised", "predicted gap on the supervised split"),
)
MARKERS = {1: "o", 2: "s", 3: "v", 4: "^", 6: "P", 8: "D"}
"""Depth -> marker."""
COLOURS = "viridis"
SET_COLOURS = ("#1f5a91", "#c1602a", "#4a8f57", "#7a4a8f")


def scatter_figure(t: Tables, found: Mapping[str, Any], zoo: Zoo, elsewhere: Tables | None) -> Figure:
    """Measured Err_w2s against the label-free and the supervised-split predictor; colour is width, marker is depth.

    A thin line joins models of one shape, which differ in training length alone.
    """
    figure = Figure(figsize=(11, 5.2), layout="constrained")
    axes = figure.subplots(1, len(PANELS), sharey=True)
    norm = LogNorm(min(plan.width for plan in zoo.weak), max(plan.width for plan in zoo.weak))
    for axis, (name, title) in zip(axes, PANELS, strict=True):
        _points(axis, t, name, zoo, norm)
        if elsewhere is not None:
            axis.plot(_place(elsewhere, name), elsewhere.mean("err_w2s"), "*", color="#c1602a", markersize=11, zorder=4)
        ceiling = float(t.mean("err_ceiling").mean())
        axis.axhline(ceiling, color="0.4", linestyle="--", linewidth=1)
        axis.set_xlabel(title)
        axis.set_xscale("log")
        axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.xaxis.set_minor_formatter(NullFormatter())
        correlation = found["spearman"][name]
        axis.set_title(
            f"Spearman {correlation['value']:.2f}  [{correlation['low']:.2f}, {correlation['high']:.2f}]", fontsize=10
        )
        _plain(axis)
    axes[0].invert_xaxis()
    axes[0].set_ylabel("measured Err_w2s")
    _legend(axes[0], zoo, elsewhere is not None)
    bar = figure.colorbar(ScalarMappable(norm, colormaps[COLOURS]), ax=axes, pad=0.01)
    bar.set_label("width of the weak model")
    widths = sorted({plan.width for plan in zoo.weak})
    bar.set_ticks(widths, labels=[str(width) for width in widths])
    bar.minorticks_off()
    figure.suptitle(
        f"{t.data}: {len(t.models)} weak encoders, means over {t.tables['norm'].shape[1]} splits", fontsize=11
    )
    return figure


def _points(axis: Axes, t: Tables, name: str, zoo: Zoo, norm: LogNorm) -> None:
    x, y = _place(t, name), t.mean("err_w2s")
    colours = colormaps[COLOURS]
    for group in grouped(zoo.weak):
        rows = [t.models.index(model) for model in group.names]
        axis.plot(x[rows], y[rows], color="0.82", linewidth=0.6, zorder=1)
        axis.plot(
            x[rows],
            y[rows],
            MARKERS.get(group.shape.depth, "X"),
            color=colours(norm(group.shape.width)),
            markeredgecolor="white",
            markeredgewidth=0.4,
            markersize=6,
            zorder=3,
        )


def _place(t: Tables, name: str) -> Float[np.ndarray, " models"]:
    """Where models stand on the axis; the gap norm by its distance to 1, where it saturates."""
    return 1 - t.mean(name) if name == "norm" else t.mean(name)


def _legend(axis: Axes, zoo: Zoo, elsewhere: bool) -> None:
    """Depths, the ceiling, and where the stars come from."""
    for depth in sorted({plan.depth for plan in zoo.weak}):
        axis.plot([], [], MARKERS.get(depth, "X"), color="0.35", label=f"depth {depth}")
    if elsewhere:
        axis.plot([], [], "*", color="#c1602a", markersize=11, label="RDKit (fingerprints, descriptors)")
    axis.plot([], [], "--", color="0.4", label="strong ceiling Err_sc")
    axis.legend(fontsize=8, framealpha=0.9)


def map_figure(found: Mapping[str, Any]) -> Figure:
    """Spearman's correlation with Err_w2s over (threshold, ridge): a row a set, a column a predictor."""
    figure = Figure(figsize=(13, 1.2 + 2.7 * len(found)), layout="constrained")
    axes = figure.subplots(len(found), len(MAPPED), squeeze=False)
    titles = {one.name: one.title for one in PREDICTORS}
    for row, (data, result) in zip(axes, found.items(), strict=True):
        for axis, name in zip(row, MAPPED, strict=True):
            values = np.array(result["spearman_map"][name])
            axis.imshow(values, cmap="RdBu", vmin=-1, vmax=1, aspect="auto")
            for i, j in np.ndindex(*values.shape):
                used = (RIDGES[i], THRESHOLDS[j]) == (RIDGE, 0.0)
                dark = abs(values[i, j]) > 0.7
                weight = "bold" if used else "normal"
                text = f"[{values[i, j]:.2f}]" if used else f"{values[i, j]:.2f}"
                axis.text(j, i, text, ha="center", va="center", fontsize=7, weight=weight, color="w" if dark else "k")
            axis.set_xticks(range(len(THRESHOLDS)), [f"{one:g}" for one in THRESHOLDS])
            axis.set_yticks(range(len(RIDGES)), [f"{one:g}" for one in RIDGES])
            axis.set_title(f"{data}: {titles[name]}", fontsize=8)
        row[0].set_ylabel("ridge")
    for axis in axes[-1]:
        axis.set_xlabel("threshold")
    figure.suptitle(
        f"Spearman correlation with Err_w2s of heads with ridge {RIDGE:g}, over the predictor's ridge and threshold;"
        " in brackets: what is reported",
        fontsize=11,
    )
    return figure


def correlation_figure(found: Mapping[str, Any]) -> Figure:
    """Every predictor's correlation with its interval, the sets beside each other."""
    figure = Figure(figsize=(9, 0.9 + 0.55 * len(PREDICTORS)), layout="constrained")
    axis = figure.subplots()
    offsets = np.linspace(-0.22, 0.22, len(found)) if len(found) > 1 else [0.0]
    looks = cycle(zip(SET_COLOURS, "os^D", strict=True))
    for (data, result), offset, (colour, marker) in zip(found.items(), offsets, looks, strict=False):
        for place, one in enumerate(PREDICTORS):
            c = result["spearman"][one.name]
            axis.plot([c["low"], c["high"]], [place + offset] * 2, color=colour, linewidth=1.6)
            axis.plot(c["value"], place + offset, marker, color=colour, label=data if place == 0 else None)
    axis.set_yticks(range(len(PREDICTORS)), [one.title for one in PREDICTORS])
    axis.invert_yaxis()
    axis.axvline(0, color="0.6", linewidth=0.8)
    axis.set_xlabel("Spearman correlation with Err_w2s, 95% interval over shapes of models and splits")
    axis.legend(fontsize=8, loc="lower left")
    _plain(axis)
    return figure


def _plain(axis: Axes) -> None:
    axis.grid(color="0.92", linewidth=0.8)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)
