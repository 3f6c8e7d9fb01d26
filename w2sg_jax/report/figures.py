"""Predictors against what was measured: one labelled point a weak model."""

from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox, BboxBase

if TYPE_CHECKING:
    from ..quickstart.result import DatasetResult

PANELS = (
    ("norm", "gap norm |P_s (I - P_w)| on the w2s split"),
    ("supervised", "predicted gap on the supervised split"),
)
"""Quantity and axis title of the panels, left to right."""
COLOUR = "#1f5a91"


def metric_against_error(result: "DatasetResult") -> Figure:
    """Draw the label-free and the supervised-split predictor against the measured Err_w2s of every weak model.

    Points are means over splits, bars their standard errors (as if splits were independent); the dashed line
    is the strong ceiling, which no supervisor is expected to beat.

    Returns:
        A matplotlib figure that belongs to no window.
    """
    figure = Figure(figsize=(11, 5), layout="constrained")
    axes = figure.subplots(1, len(PANELS), sharey=True)
    unit = f"({result.data.unit})²"
    for axis, (quantity, title) in zip(axes, PANELS, strict=True):
        _scatter(axis, result, quantity)
        axis.set_xlabel(title + (", no unit" if quantity == "norm" else f", {unit}"))
        found = result.correlations[quantity]
        axis.set_title(f"Spearman {found.value:.2f}  [{found.low:.2f}, {found.high:.2f}]", fontsize=10)
    axes[0].set_ylabel(f"measured Err_w2s, {unit}")
    figure.suptitle(
        f"{result.data.name}: {result.data.property_name}, {result.strong} supervised by weak models\n"
        f"means and standard errors over {len(result.splits)} splits; w: width, d: depth, s: training steps",
        fontsize=11,
    )
    figure.draw_without_rendering()
    for axis, (quantity, _) in zip(axes, PANELS, strict=True):
        points = np.column_stack([result.measured.mean(quantity), result.measured.mean("err_w2s")])
        label_points(axis, points, result.measured.names)
    return figure


def _scatter(axis: Axes, result: "DatasetResult", quantity: str) -> None:
    measured = result.measured
    axis.errorbar(
        measured.mean(quantity),
        measured.mean("err_w2s"),
        xerr=np.nan_to_num(measured.standard_error(quantity)),
        yerr=np.nan_to_num(measured.standard_error("err_w2s")),
        fmt="o",
        color=COLOUR,
        ecolor="#9db8d2",
        elinewidth=1,
        markersize=5,
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
    axis.margins(0.14, 0.12)
    axis.grid(color="0.92", linewidth=0.8)
    axis.set_axisbelow(True)
    axis.spines[["top", "right"]].set_visible(False)


def label_points(axis: Axes, points: np.ndarray, names: tuple[str, ...]) -> None:
    """Write each name beside its point, where it covers the least of other names and points.

    Greedy, from the most crowded point to the least; the axis limits must be final. A name that had to move away from
    its point is tied to it with a thin line.

    Args:
        axis: Where the points are drawn already.
        points: (models, 2) in data coordinates.
        names: One a point.
    """
    scale = axis.figure.dpi / 72  # pixels a point
    centres = axis.transData.transform(points)
    taken = [Bbox.from_extents(x - 4 * scale, y - 4 * scale, x + 4 * scale, y + 4 * scale) for x, y in centres]
    distances = np.linalg.norm(centres[:, None] - centres[None], axis=-1)
    for index in np.argsort(np.sort(distances, axis=1)[:, 1:4].sum(axis=1)):
        text = axis.annotate(names[index], tuple(points[index]), (0, 0), textcoords="offset points", fontsize=8)
        size = text.get_window_extent()
        others = [box for other, box in enumerate(taken) if other != index]
        offset, box = _best_place(centres[index], (size.width, size.height), scale, others, axis.bbox)
        text.set_position((offset[0] / scale, offset[1] / scale))
        taken.append(box)
        nearest = np.clip(centres[index], box.min, box.max)
        if np.linalg.norm(nearest - centres[index]) > 12 * scale:
            ends = axis.transData.inverted().transform([centres[index], nearest])
            axis.plot(*ends.T, color="0.6", linewidth=0.6, zorder=1)


def _best_place(
    centre: np.ndarray, size: tuple[float, float], scale: float, taken: list[Bbox], inside: BboxBase
) -> tuple[tuple[float, float], Bbox]:
    """The offset of the lower left corner (pixels) whose box covers least, near the point, inside the axes."""
    width, height = size
    best, least = None, np.inf
    for radius, angle in product((7, 14, 24, 36, 50), np.radians(np.arange(0, 360, 30))):
        across, up = radius * scale * np.cos(angle), radius * scale * np.sin(angle)
        left = across - width * (across < -1) - 0.5 * width * (abs(across) <= 1)
        offset = (left, up - 0.5 * height)
        x, y = centre[0] + offset[0], centre[1] + offset[1]
        box = Bbox.from_extents(x, y, x + width, y + height)
        outside = width * height - _overlap(box, inside)
        covered = sum(_overlap(box, other) for other in taken) + 100 * outside
        if covered + 2 * radius < least:
            best, least = (offset, box), covered + 2 * radius
    assert best is not None
    return best


def _overlap(a: BboxBase, b: BboxBase) -> float:
    common = Bbox.intersection(a, b)
    return 0.0 if common is None else common.width * common.height
