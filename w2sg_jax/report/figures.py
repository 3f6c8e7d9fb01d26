"""Predictors against what was measured: one labelled point a weak model."""

from typing import TYPE_CHECKING

import numpy as np

from .placement import nearest, place_names
from .style import MARKS, panels

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..evaluation.result import DatasetResult

PANELS = (
    ("norm", "gap norm |P_s (I - P_w)| on the w2s split"),
    ("supervised", "predicted gap on the supervised split"),
)
"""Quantity and axis title of the panels, left to right."""


def metric_against_error(result: "DatasetResult") -> "Figure":
    """Draw the label-free and the supervised-split predictor against the measured Err_w2s of every weak model.

    Points are means over splits, bars their standard errors (as if splits were independent); the dashed line
    is the strong ceiling, which no supervisor is expected to beat.

    Returns:
        A matplotlib figure that belongs to no window.
    """
    figure, axes = panels(1, len(PANELS), 11, 5, sharey=True)
    unit = f"({result.data.unit})²"
    for axis, (quantity, title) in zip(axes[0], PANELS, strict=True):
        _scatter(axis, result, quantity)
        axis.set_xlabel(title + (", no unit" if quantity == "norm" else f", {unit}"))
        found = result.correlations[quantity]
        axis.set_title(f"Spearman {found.value:.2f}  [{found.low:.2f}, {found.high:.2f}]", fontsize=10)
    axes[0, 0].set_ylabel(f"measured Err_w2s, {unit}")
    figure.suptitle(
        f"{result.data.name}: {result.data.property_name}, {result.strong} supervised by weak models\n"
        f"means and standard errors over {len(result.splits)} splits; w: width, d: depth, s: training steps",
        fontsize=11,
    )
    figure.draw_without_rendering()
    for axis, (quantity, _) in zip(axes[0], PANELS, strict=True):
        measured = result.measured
        points = np.column_stack([measured.mean(quantity), measured.mean("err_w2s")])
        errors = np.column_stack([measured.standard_error(quantity), measured.standard_error("err_w2s")])
        label_points(axis, points, measured.names, errors=np.nan_to_num(errors))
    return figure


def _scatter(axis: "Axes", result: "DatasetResult", quantity: str) -> None:
    """Means with standard errors, and the strong ceiling."""
    measured = result.measured
    axis.errorbar(
        measured.mean(quantity),
        measured.mean("err_w2s"),
        xerr=np.nan_to_num(measured.standard_error(quantity)),
        yerr=np.nan_to_num(measured.standard_error("err_w2s")),
        linestyle="",
        ecolor="#9db8d2",
        elinewidth=1,
        markersize=5,
        **MARKS[0],
    )
    ceiling = float(measured.mean("err_ceiling").mean())
    axis.axhline(ceiling, color="0.5", linestyle="--", linewidth=1)
    axis.annotate(
        f"strong ceiling Err_sc {ceiling:.3g}",
        (0.99, ceiling),
        xycoords=("axes fraction", "data"),
        xytext=(0, 3),
        textcoords="offset points",
        ha="right",
        fontsize=8,
        color="0.35",
    )
    axis.margins(0.17, 0.12)


def label_points(axis: "Axes", points: np.ndarray, names: tuple[str, ...], *, errors: np.ndarray | None = None) -> None:
    """Write each name near its point, clear of other names, of points and, where there is room, of error bars.

    The axis limits must be final. A name that had to move away from its point is tied to it with a dotted line.

    Args:
        axis: Where the points are drawn already.
        points: (models, 2) in data coordinates.
        names: One a point.
        errors: (models, 2), half lengths of the error bars in data coordinates, or None.
    """
    scale = axis.figure.dpi / 72  # pixels a point
    spread = np.zeros_like(points) if errors is None else errors
    centres, low, high = (axis.transData.transform(at) / scale for at in (points, points - spread, points + spread))
    texts = [
        axis.annotate(name, (x, y), (0, 0), textcoords="offset points", fontsize=8)
        for name, (x, y) in zip(names, points, strict=True)
    ]
    extents = [text.get_window_extent() for text in texts]
    sizes = np.array([(extent.width, extent.height) for extent in extents]) / scale
    boxes = place_names(centres, low, high, sizes, np.array(axis.bbox.extents) / scale)
    for text, centre, box in zip(texts, centres, boxes, strict=True):
        text.set_position(tuple(box[:2] - centre))
        end = nearest(box[None], centre)[0]
        if np.linalg.norm(end - centre) > 10:
            ends = axis.transData.inverted().transform(scale * np.array([centre, end]))
            axis.plot(*ends.T, color="0.55", linewidth=0.9, linestyle=":", zorder=1)
