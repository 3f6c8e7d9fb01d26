"""A grid of ridges and thresholds beside one point of it.

    python -m benchmarks.grid

Claim: a grid of 20 points costs less than 20% more than one. Every point is checked against its own computation first.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

import w2sg_jax as w2sg
from benchmarks.results import folder_of, save
from w2sg_jax.bench import pair, timed
from w2sg_jax.report.tables import markdown_table, table
from w2sg_jax.terminal.console import standard_output

AGREEMENT = 1e-8
HEADINGS = ("widths", "n", "moments [s]", "one point [s]", "grid [s]", "points", "grid over one", "with the moments")


@dataclass(frozen=True)
class Config:
    """What is measured, and where the result goes."""

    widths: tuple[tuple[int, int], ...] = ((384, 768), (1024, 2048))
    """Pairs of a weak and a strong width."""
    n: int = 20_000
    """Samples."""
    ridges: tuple[float, ...] = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
    """Ridges, in units of unit trace."""
    thresholds: tuple[float, ...] = (0.0, 1e-4, 1e-3, 1e-2)
    """Shares of the largest eigenvalue."""
    repeats: int = 9
    """Runs of each; the median is kept."""
    out: Path | None = None
    """Folder for the JSON; by default benchmarks/results/<device>."""


def main(config: Config) -> dict[str, Any]:
    """Run the benchmark and return its record."""
    console = standard_output()
    rows = []
    for widths in config.widths:
        with console.status(f"widths {widths}"):
            rows.append(time_pair(widths, config))
    entry = save("grid", config, {"rows": rows})
    console.print(table("A grid of ridges and thresholds beside one point", HEADINGS, map(_cells, rows)))
    console.print(f"written to {folder_of(config.out)}")
    return entry


def time_pair(widths: tuple[int, int], config: Config) -> dict[str, Any]:
    """Time one pair; agreement first."""
    weak, strong = pair(config.n, *widths)
    m = w2sg.moments(weak, strong)
    grid = w2sg.gap_grid(m, config.ridges, config.thresholds)
    worst = 0.0
    for i, j in ((0, -1), (2, 2), (-1, 0)):
        alone = w2sg.gap(m, config.ridges[i], config.thresholds[j]).norm
        worst = max(worst, abs(grid.norm[i, j] - alone) / alone)
    if worst > AGREEMENT:
        raise ArithmeticError(f"widths {widths}: the grid differs by {worst:.1e}; nothing is timed")
    middle = [config.ridges[len(config.ridges) // 2]], [config.thresholds[len(config.thresholds) // 2]]
    times = {
        "moments": timed(lambda: w2sg.moments(weak, strong), repeats=config.repeats),
        "point": timed(lambda: w2sg.gap_grid(m, *middle), repeats=config.repeats),
        "grid": timed(lambda: w2sg.gap_grid(m, config.ridges, config.thresholds), repeats=config.repeats),
    }
    row: dict[str, Any] = {"d_weak": widths[0], "d_strong": widths[1], "n": config.n, "largest_difference": worst}
    for name, time in times.items():
        row |= {f"{name}_s": time.median, f"{name}_spread_s": [time.low, time.high]}
    together = row["moments_s"] + row["grid_s"], row["moments_s"] + row["point_s"]
    row |= {"points": len(config.ridges) * len(config.thresholds), "grid_over_point": row["grid_s"] / row["point_s"]}
    return row | {"with_moments": together[0] / together[1]}


def markdown(entry: dict[str, Any]) -> str:
    """The result for its page of the documentation."""
    return markdown_table(HEADINGS, map(_cells, entry["result"]["rows"]))


def _cells(row: dict[str, Any]) -> list[str]:
    return [
        f"{row['d_weak']}, {row['d_strong']}",
        str(row["n"]),
        f"{row['moments_s']:.2f}",
        f"{row['point_s']:.2f}",
        f"{row['grid_s']:.2f}",
        str(row["points"]),
        f"{row['grid_over_point']:.2f}",
        f"{row['with_moments']:.2f}",
    ]


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
