"""The figure of benchmarks.scaling: four log-log panels, measured times beside the machine's line."""

from typing import TYPE_CHECKING, Any

from w2sg_jax.report.style import MARKS, panels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PANELS = {
    "n": ("samples n", ("moments_s", "seconds")),
    "d": ("width d", ("gap_s", "leading_s")),
    "models": ("weak models", ("seconds",)),
    "devices": ("devices", ("seconds",)),
}
NAMES = {"moments_s": "moments", "seconds": "all", "gap_s": "gap", "leading_s": "leading_gap"}
COUNTED = ("models", "devices")
"""Panels whose ticks are their points."""


def figure(result: dict[str, Any]) -> "Figure":
    """Draw ``result`` of the record."""
    made, grid = panels(2, 2, 10, 7)
    for axes, (name, (label, keys)) in zip(grid.flat, PANELS.items(), strict=True):
        part = result[name]
        for key, mark in zip(keys, MARKS, strict=False):
            points = [(row[name], row[key]) for row in part["rows"] if row.get(key)]
            if points:
                exponent = part["exponents"].get(key)
                fitted = "" if exponent is None else f", exponent {exponent:.2f}"
                axes.loglog(*zip(*points, strict=True), label=NAMES[key] + fitted, **mark)
        hardware = [(row[name], row["hardware_s"]) for row in part["rows"] if row.get("hardware_s")]
        if hardware:
            axes.loglog(*zip(*hardware, strict=True), "k--", alpha=0.6, label="the machine's own limit")
        axes.set(xlabel=label, ylabel="time [s]")
        if name in COUNTED:
            counts = [row[name] for row in part["rows"]]
            axes.set_xticks(counts, map(str, counts))
            axes.set_xticks([], minor=True)
        axes.grid(which="minor", color="0.95", linewidth=0.5)
        axes.legend()
    return made
