"""The figure of benchmarks.scaling: four log-log panels, measured times beside the machine's line."""

from pathlib import Path
from typing import Any

import matplotlib.figure

PANELS = {
    "n": ("samples n", ("moments_s", "seconds")),
    "d": ("width d", ("gap_s", "leading_s")),
    "models": ("weak models", ("seconds",)),
    "devices": ("devices", ("seconds",)),
}
NAMES = {"moments_s": "moments", "seconds": "all", "gap_s": "gap", "leading_s": "leading_gap"}
COUNTED = ("models", "devices")
"""Panels whose ticks are their points."""


def figure(result: dict[str, Any], path: Path) -> None:
    """Draw ``result`` of the record into a file."""
    made = matplotlib.figure.Figure(figsize=(10, 7), layout="constrained")
    for axes, (name, (label, keys)) in zip(made.subplots(2, 2).flat, PANELS.items(), strict=True):
        part = result[name]
        for key in keys:
            points = [(row[name], row[key]) for row in part["rows"] if row.get(key)]
            if points:
                exponent = part["exponents"].get(key)
                fitted = "" if exponent is None else f", exponent {exponent:.2f}"
                axes.loglog(*zip(*points, strict=True), "o-", label=NAMES[key] + fitted)
        hardware = [(row[name], row["hardware_s"]) for row in part["rows"] if row.get("hardware_s")]
        if hardware:
            axes.loglog(*zip(*hardware, strict=True), "k--", alpha=0.6, label="the machine's own limit")
        axes.set(xlabel=label, ylabel="time [s]")
        if name in COUNTED:
            counts = [row[name] for row in part["rows"]]
            axes.set_xticks(counts, map(str, counts))
            axes.set_xticks([], minor=True)
        axes.grid(which="both", alpha=0.3)
        axes.legend()
    made.savefig(path, dpi=120)
