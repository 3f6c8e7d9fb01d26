"""How often the intervals of a ranking cover the value that is expected at their number of samples.

    python -m benchmarks.coverage

For each population and each size, fresh samples are drawn again and again; E is the mean of all estimates.
Populations: a spiked covariance with power-law tails, Gaussian and with heavy-tailed latents (Student's t, 5 degrees of
freedom), and, where files are given, real representations, whose rows are drawn with replacement, so that all of them
are the population. Beside the coverage stands how far E is from the value in the whole population, in percent,
and how the mean standard error compares to the spread of the estimates.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import tyro

import w2sg_jax as w2sg
from benchmarks.results import folder_of, save
from w2sg_jax import synthetic as syn
from w2sg_jax.report.tables import markdown_table, table
from w2sg_jax.terminal.console import standard_output
from w2sg_jax.terminal.progress import progress_bar

HEADINGS = ("population", "n", "widths", "quantity", "coverage", "warned", "SE / spread", "E / true")
LATENTS = 16
LARGE = 100_000
"""Samples that stand for a synthetic population."""
QUANTITIES = ("norm", "predicted")

Draw = Callable[[int, int], tuple[np.ndarray, np.ndarray, np.ndarray]]
"""(seed, n) -> weak, strong, labels."""


@dataclass(frozen=True)
class Config:
    """What is measured, and where the result goes."""

    sizes: tuple[tuple[int, int, int], ...] = (
        (100, 32, 64),
        (100, 256, 512),
        (300, 64, 128),
        (300, 768, 1024),
        (1000, 32, 64),
        (1000, 384, 768),
        (1000, 1024, 2048),
        (5000, 64, 128),
        (5000, 256, 512),
    )
    """Samples, weak width, strong width."""
    real: tuple[Path, Path, Path] | None = None
    """Files of a weak representation, a strong one and labels of the same samples, such as those of a quickstart."""
    real_sizes: tuple[int, ...] = (100, 300, 1000, 5000)
    """Samples drawn of them."""
    draws: int = 300
    """Of each size, as long as ``most_columns`` allows."""
    most_columns: int = 150_000
    """Draws times columns are at most so many, and draws at least 60: wide ones take long."""
    ridge: float = 1e-2
    """Ridge, in units of unit trace."""
    confidence: float = 0.95
    """Of the intervals."""
    out: Path | None = None
    """Folder for the JSON; by default benchmarks/results/<device>."""


def main(config: Config) -> dict[str, Any]:
    """Run the benchmark and return its record."""
    console = standard_output()
    rows = []
    with progress_bar(console, "draws") as progress:
        for name, latents in (("spiked", syn.gaussian), ("heavy tails", syn.student_t(5.0))):
            for n, d_weak, d_strong in config.sizes:
                draw = spiked(d_weak, d_strong, latents)
                population = w2sg.gap(w2sg.moments(*draw(10**6, max(LARGE, 20 * d_strong))), config.ridge)
                rows += measured(name, (d_weak, d_strong), n, draw, population, config, progress)
        if config.real:
            weak, strong, y = (np.asarray(w2sg.load(path)[:]) for path in config.real)
            population = w2sg.gap(w2sg.moments(weak, strong, y), config.ridge)
            widths = (weak.shape[1], strong.shape[1])
            for n in config.real_sizes:
                rows += measured("real", widths, n, resampled(weak, strong, y), population, config, progress)
    entry = save("coverage", config, {"rows": rows})
    title = f"Coverage of {100 * config.confidence:g}% intervals, ridge {config.ridge:g}"
    console.print(table(title, HEADINGS, map(_cells, rows), words=(0, 3)))
    console.print(f"written to {folder_of(config.out)}")
    return entry


def spiked(d_weak: int, d_strong: int, latents: syn.Entries) -> Draw:
    """Sixteen latents, of which the weak model sees twelve, and power-law tails up to these widths."""
    variances = 0.7 ** np.arange(LATENTS)
    weak = np.where(np.arange(LATENTS) % 4 == 3, 0.0, variances)
    tails = (syn.IndependentTail(0.5, 1.0, width - LATENTS) for width in (d_weak, d_strong))
    population = syn.spiked(weak, variances, variances**0.5, tail_weak=next(tails), tail_strong=next(tails), noise=0.5)

    def draw(seed: int, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        found = syn.samples(jax.random.key(seed), population, n, latents)
        return found.weak, found.strong, found.y

    return draw


def resampled(*arrays: np.ndarray) -> Draw:
    """Rows with replacement."""

    def draw(seed: int, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        rows = np.random.default_rng(seed).integers(len(arrays[0]), size=n)
        weak, strong, y = (x[rows] for x in arrays)
        return weak, strong, y

    return draw


def measured(
    name: str,
    widths: tuple[int, int],
    n: int,
    draw: Draw,
    population: w2sg.Gap,
    config: Config,
    progress: Callable[[int, int], None] | None,
) -> list[dict[str, Any]]:
    """One population at one size: a row a quantity."""
    draws = max(60, min(config.draws, config.most_columns // sum(widths)))
    found = {quantity: np.empty((draws, 4)) for quantity in QUANTITIES}
    warned = 0
    for seed in range(draws):
        weak, strong, y = draw(seed, n)
        ranking = w2sg.rank({"w": weak}, strong, y, ridge=config.ridge, confidence=config.confidence)
        row = ranking.rows[0]
        warned += bool(row.warnings)
        for quantity, values in found.items():
            error = ranking.covariances[quantity][0][0] ** 0.5
            values[seed] = getattr(row, quantity), *row.intervals[quantity], error
        if progress is not None:
            progress(seed + 1, draws)
    rows = []
    for quantity, values in found.items():
        estimate, low, high, error = values.T
        expected = estimate.mean()
        rows.append(
            {
                "population": name,
                "n": n,
                "widths": list(widths),
                "quantity": quantity,
                "draws": draws,
                "expected": expected,
                "in_population": getattr(population, quantity),
                "coverage": float(((low <= expected) & (expected <= high)).mean()),
                "warned": warned / draws,
                "error_over_spread": float(error.mean() / estimate.std(ddof=1)),
            }
        )
    return rows


def markdown(entry: dict[str, Any]) -> str:
    """The result for its page of the documentation."""
    return markdown_table(HEADINGS, map(_cells, entry["result"]["rows"]))


def _cells(row: dict[str, Any]) -> list[str]:
    return [
        row["population"],
        str(row["n"]),
        "{}, {}".format(*row["widths"]),
        row["quantity"],
        f"{100 * row['coverage']:.1f}%",
        f"{100 * row['warned']:.0f}%",
        f"{row['error_over_spread']:.2f}",
        f"{row['expected'] / row['in_population']:.3f}",
    ]


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
