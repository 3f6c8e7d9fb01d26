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

import tyro

import w2sg_jax as w2sg
from benchmarks.children import in_child
from benchmarks.results import folder_of, save
from w2sg_jax.bench import pair, timed
from w2sg_jax.report.tables import markdown_table, table
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
            m = w2sg.moments(*pair(int(config.samples_per_width * width), width, width, seed=config.seed))
            rows += [time_width(m, threshold, config) for threshold in config.thresholds]
    widest = None
    if config.widest:
        with console.status(f"d = {config.widest}"):
            widest = in_child("known_norm", width=config.widest, ridge=config.ridge, seed=config.seed)
        if widest["relative_difference"] > AGREEMENT:
            raise ArithmeticError(f"d = {config.widest}: the norm is off by {widest['relative_difference']:.1e}")
    entry = save("wide", config, {"rows": rows, "widest": widest})
    title = "Gap norm of one pair of widths (d, d), from its moments"
    console.print(table(title, HEADINGS, map(_cells, rows), words=()))
    if widest:
        console.print(_sentence(widest))
    console.print(f"written to {folder_of(config.out)}")
    return entry


def time_width(m: w2sg.Moments, threshold: float, config: Config) -> dict[str, Any]:
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


def markdown(entry: dict[str, Any]) -> str:
    """The result for its page of the documentation."""
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
