"""The gap norm of wide representations: the leading singular values alone beside full eigendecompositions.

    python -m benchmarks.wide

All routes start from the same moments, and are checked to agree to 1e-8 before anything is timed. The widest pair has a
norm in closed form instead, and its time and memory are those of a process of its own.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rich.table
import tyro

import w2sg_jax as w2sg
from benchmarks.children import in_child
from benchmarks.results import folder_of, save
from w2sg_jax.bench import timed
from w2sg_jax.report.tables import markdown_table
from w2sg_jax.terminal.console import standard_output
from w2sg_jax.theory.gap import gap_of_pair
from w2sg_jax.theory.gap_operator import make_pair
from w2sg_jax.theory.kernel import joint_factor

AGREEMENT = 1e-8
HEADINGS = ("d", "threshold", "n", "leading_gap [s]", "gap [s]", "eigendecompositions [s]", "times faster", "residual")


@dataclass(frozen=True)
class Config:
    """What is measured, and where the result goes."""

    widths: tuple[int, ...] = (1024, 2048, 4096)
    """Width of both representations."""
    thresholds: tuple[float, ...] = (0.0, 0.02)
    """0: every direction is kept; above: the leading ones."""
    widest: int = 16_384
    """Width of the pair whose norm is known; 0 for none."""
    samples_per_width: float = 2.5
    """Samples, in multiples of the width."""
    ridge: float = 1e-2
    """Ridge, in units of unit trace."""
    repeats: int = 3
    """Runs of each after the first one; the median is kept."""
    once_above: float = 10.0
    """Seconds of a first run above which it is not repeated, and counts itself, with what it compiles."""
    seed: int = 0
    """Seed of the samples."""
    out: Path | None = None
    """Folder for the JSON; by default benchmarks/results/<device>."""


def main(config: Config) -> dict[str, Any]:
    """Run the benchmark and return its record."""
    console = standard_output()
    rows = []
    for width in config.widths:
        with console.status(f"d = {width}"):
            m = moments(width, config)
            rows += [measure(m, threshold, config) for threshold in config.thresholds]
    widest = None
    if config.widest:
        with console.status(f"d = {config.widest}"):
            widest = in_child("known_norm", width=config.widest, ridge=config.ridge, seed=config.seed)
        if widest["relative_difference"] > AGREEMENT:
            raise ArithmeticError(f"d = {config.widest}: the norm is off by {widest['relative_difference']:.1e}")
    entry = save("wide", config, {"rows": rows, "widest": widest})
    console.print(table(rows))
    if widest:
        console.print(_sentence(widest))
    console.print(f"written to {folder_of(config.out)}")
    return entry


def measure(m: w2sg.Moments, threshold: float, config: Config) -> dict[str, Any]:
    """Time one width at one threshold; agreement first."""
    routes: dict[str, Callable[[], Any]] = {
        "leading": lambda: w2sg.leading_gap(m, config.ridge, threshold),
        "eigenpairs": lambda: by_eigenpairs(m, config.ridge, threshold),
    }
    if threshold == 0:  # else gap is the route by eigendecompositions
        routes["gap"] = lambda: w2sg.gap(m, config.ridge)
    found, first = {}, {}
    for name, run in routes.items():
        start = time.perf_counter()
        found[name] = run()
        first[name] = time.perf_counter() - start
    norm = found["eigenpairs"].norm
    worst = max(abs(each.norm - norm) / norm for each in found.values())
    if worst > AGREEMENT:
        raise ArithmeticError(f"d = {m.d_strong}: the routes differ by {worst:.1e}; nothing is timed")
    leading = found["leading"]
    row: dict[str, Any] = {"d": m.d_strong, "n": int(m.n), "threshold": threshold, "norm": norm}
    row |= {"largest_difference": worst, "method": leading.method, "products": leading.products}
    row |= {"residual": leading.residual, "rank_weak": leading.rank_weak, "rank_strong": leading.rank_strong}
    for name, run in routes.items():
        timing = timed(run, repeats=config.repeats) if first[name] <= config.once_above else None
        row |= {f"{name}_first_s": first[name], f"{name}_s": timing.median if timing else first[name]}
    return row | {"times_faster": row["eigenpairs_s"] / row["leading_s"]}


def by_eigenpairs(m: w2sg.Moments, ridge: float, threshold: float) -> w2sg.Gap:
    """Full eigendecompositions of both second moments, whatever the threshold."""
    factor = joint_factor(m)
    return gap_of_pair(m, factor, make_pair(m, factor), ridge, threshold)


def moments(width: int, config: Config) -> w2sg.Moments:
    """Of a pair with power-law spectra that shares half of its directions, up to a tenth of noise."""
    rng = np.random.default_rng(config.seed)
    n = int(config.samples_per_width * width)
    strong, weak = rng.standard_normal((n, width)), rng.standard_normal((n, width))
    weak[:, : width // 2] = strong[:, : width // 2] + 0.1 * weak[:, : width // 2]
    scales = np.arange(1, width + 1.0) ** -0.5
    return w2sg.moments(weak * scales, strong * scales)


def known_pair(width: int, ridge: float, seed: int) -> tuple[w2sg.Moments, float]:
    """Moments of a population whose gap norm is known: max_i g_i sqrt(1 - (2 g_i - g_i^2) c_i^2).

    Both models have the eigenvalues 1 / i, up to unit trace, and direction i of one is correlated by c_i with direction
    i of the other alone; then each space is reflected, so that no entry of the moments is zero.
    """
    rng = np.random.default_rng(seed)
    eigenvalues = 1 / np.arange(1, width + 1.0)
    eigenvalues /= eigenvalues.sum()
    correlations = np.linspace(0.99, 0.5, width)
    weak, strong = (u / np.linalg.norm(u) for u in rng.standard_normal((2, width)))
    product = np.empty((2 * width, 2 * width))
    _reflected(product[:width, :width], eigenvalues, weak, weak)
    _reflected(product[width:, width:], eigenvalues, strong, strong)
    _reflected(product[:width, width:], eigenvalues * correlations, weak, strong)
    for start in range(0, width, 256):
        product[width + start : width + start + 256, :width] = product[:width, width + start : width + start + 256].T
    gains = eigenvalues / (eigenvalues + ridge)
    norm = float((gains * np.sqrt(1 - (2 * gains - gains**2) * correlations**2)).max())
    none = np.zeros(2 * width)
    return w2sg.Moments(1e9, none, none, None, product, width, width, 0, True, "float64"), norm


def _reflected(out: np.ndarray, diagonal: np.ndarray, left: np.ndarray, right: np.ndarray) -> None:
    """(I - 2 u u^T) D (I - 2 v v^T), a few rows at a time."""
    middle = 4 * (left * diagonal) @ right
    for start in range(0, len(out), 256):
        rows = slice(start, start + 256)
        u = left[rows, None]
        out[rows] = u * (middle * right - 2 * left * diagonal) - 2 * (diagonal * right)[rows, None] * right
        out[rows, rows] += np.diag(diagonal[rows])


def table(rows: list[dict[str, Any]]) -> rich.table.Table:
    """The result as a table."""
    made = rich.table.Table(title="Gap norm of one pair of widths (d, d), from its moments")
    for name in HEADINGS:
        made.add_column(name, justify="right")
    for row in rows:
        made.add_row(*_cells(row))
    return made


def markdown(entry: dict[str, Any]) -> str:
    """The result for the README."""
    made = markdown_table(HEADINGS, map(_cells, entry["result"]["rows"]))
    widest = entry["result"]["widest"]
    return f"{made}\n\n{_sentence(widest)}" if widest else made


def _cells(row: dict[str, Any]) -> list[str]:
    times = [f"{row[f'{name}_s']:.2f}" if f"{name}_s" in row else "" for name in ("leading", "gap", "eigenpairs")]
    return [
        str(row["d"]),
        f"{row['threshold']:g}",
        str(row["n"]),
        *times,
        f"{row['times_faster']:.1f}",
        f"{row['residual']:.0e}",
    ]


def _sentence(widest: dict[str, Any]) -> str:
    return (
        f"d = {widest['d']}, a pair whose norm is known in closed form: {widest['seconds']:.0f} s,"
        f" {widest['memory_mib'] / 1024:.1f} GiB with its moments, {widest['relative_difference']:.0e} from the truth."
    )


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
