"""How the figures look: marks that differ in shape and in lightness, so that they can be told apart in grey."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

MARKS: tuple[dict[str, Any], ...] = (
    {"color": "#12375c", "marker": "o"},
    {"color": "#c4622d", "marker": "s"},
    {"color": "#4a9d8f", "marker": "^"},
    {"color": "#9a9a9a", "marker": "D"},
    {"color": "#7b4b94", "marker": "v"},
)
"""Of the series, in order."""
LINES = ("-", "--", ":", "-.", (0, (1, 3)))


def panels(rows: int, columns: int, width: float, height: float, **options: Any) -> tuple[Figure, np.ndarray]:
    """A figure that belongs to no window, and its axes (rows, columns)."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **options)
    for axis in axes.flat:
        axis.grid(color="0.92", linewidth=0.8)
        axis.set_axisbelow(True)
        axis.spines[["top", "right"]].set_visible(False)
    return figure, axes


def points(axis: Axes, x: Any, y: Any, error: Any, label: str, series: int, *, joined: bool = True) -> None:
    """Means with standard errors, joined by a thin line or not."""
    axis.errorbar(
        x,
        y,
        yerr=error,
        label=label,
        linestyle=LINES[series] if joined else "",
        linewidth=1,
        markersize=4.5,
        elinewidth=1,
        **MARKS[series],
    )


def mean_and_error(values: Sequence[Any] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means over the last axis (seeds) and their standard errors."""
    table = np.asarray(values, np.float64)
    return table.mean(axis=-1), table.std(axis=-1, ddof=min(1, table.shape[-1] - 1)) / np.sqrt(table.shape[-1])


def save(figure: Figure, path: Path) -> None:
    """An SVG that is the same file whenever the drawing is the same."""
    with matplotlib.rc_context({"svg.hashsalt": "w2sg_jax", "svg.fonttype": "path"}):
        figure.savefig(path, format="svg", metadata={"Date": None})
