"""The gap norm of wide representations: Lanczos (leading_gap), Cholesky solves (gap), and full eigendecompositions.

    python -m benchmarks.wide

All three start from the same moments, and are checked to agree to 1e-8 before anything is timed.
"""

import subprocess
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import rich.console
import rich.table
import tyro

import w2sg_jax as w2sg
from w2sg_jax._eigenpairs import make_pair
from w2sg_jax._factor import joint_factor
from w2sg_jax._gap import gap_of_pair
from w2sg_jax.atomic import write_text
from w2sg_jax.report.record import record, to_json

AGREEMENT = 1e-8


@dataclass(frozen=True)
class Config:
    """What is measured, and where the result goes."""

    widths: tuple[int, ...] = (512, 1024, 2048, 4096)
    """Width of both representations."""
    samples_per_width: float = 2.5
    """Samples, in multiples of the width."""
    ridge: float = 1e-2
    """Ridge, in units of unit trace."""
    repeats: int = 3
    """Runs of each; the median is kept."""
    seed: int = 0
    """Seed of the samples."""
    out: Path | None = None
    """Folder for the JSON; by default benchmarks/results/<device>."""


def main(config: Config) -> dict[str, Any]:
    """Run the benchmark and return its record."""
    console = rich.console.Console()
    rows = []
    for width in config.widths:
        with console.status(f"d = {width}"):
            rows.append(measure(width, config))
    console.print(table(rows))
    folder = config.out or Path(__file__).parent / "results" / jax.devices()[0].device_kind.replace(" ", "-").lower()
    folder.mkdir(parents=True, exist_ok=True)
    settings = asdict(config) | {"out": str(config.out) if config.out else None}
    entry = record("benchmarks.wide", settings, {}, {"rows": rows}) | {"commit": commit()}
    write_text(folder / "wide.json", to_json(entry))
    console.print(f"written to {folder}")
    return entry


def measure(width: int, config: Config) -> dict[str, Any]:
    """Time one width; agreement first."""
    m = moments(width, config)
    routes: dict[str, Callable[[], Any]] = {
        "leading": lambda: w2sg.leading_gap(m, config.ridge),
        "solves": lambda: w2sg.gap(m, config.ridge),
        "eigenpairs": lambda: by_eigenpairs(m, config.ridge),
    }
    found = {name: run() for name, run in routes.items()}
    norm = found["eigenpairs"].norm
    worst = max(abs(each.norm - norm) / norm for each in found.values())
    if worst > AGREEMENT:
        raise ArithmeticError(f"d = {width}: the routes differ by {worst:.1e}; nothing is timed")
    row: dict[str, Any] = {"d": width, "n": int(m.n), "norm": norm, "largest_difference": worst}
    row |= {f"{name}_s": float(np.median([_timed(run) for _ in range(config.repeats)])) for name, run in routes.items()}
    row |= {"products": found["leading"].products, "residual": found["leading"].residual}
    return row | {"times_faster": row["eigenpairs_s"] / row["leading_s"]}


def by_eigenpairs(m: w2sg.Moments, ridge: float) -> w2sg.Gap:
    """The route of thresholds and of deficient ranks: full eigendecompositions of both second moments."""
    factor = joint_factor(m)
    return gap_of_pair(m, factor, make_pair(m, factor), ridge, 0.0)


def moments(width: int, config: Config) -> w2sg.Moments:
    """Of a pair with power-law spectra that shares half of its directions, up to a tenth of noise."""
    rng = np.random.default_rng(config.seed)
    n = int(config.samples_per_width * width)
    strong, weak = rng.standard_normal((n, width)), rng.standard_normal((n, width))
    weak[:, : width // 2] = strong[:, : width // 2] + 0.1 * weak[:, : width // 2]
    scales = np.arange(1, width + 1.0) ** -0.5
    return w2sg.moments(weak * scales, strong * scales)


def commit() -> str | None:
    """The checkout's commit, or None outside one."""
    found = subprocess.run(
        ["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False, cwd=Path(__file__).parent
    )
    return found.stdout.strip() or None


def table(rows: list[dict[str, Any]]) -> rich.table.Table:
    """The result as a table."""
    made = rich.table.Table(title="One pair of width (d, d), from its moments")
    for name in ("d", "Lanczos [s]", "solves [s]", "eigenpairs [s]", "times faster", "products", "residual"):
        made.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        made.add_row(
            str(row["d"]),
            f"{row['leading_s']:.3f}",
            f"{row['solves_s']:.3f}",
            f"{row['eigenpairs_s']:.3f}",
            f"{row['times_faster']:.1f}",
            str(row["products"]),
            f"{row['residual']:.0e}",
        )
    return made


def _timed(function: Callable[[], Any]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
