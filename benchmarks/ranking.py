"""Rankings of real sizes: seconds, and which share of the machine's product rate they reach.

    python -m benchmarks.ranking

Intervals are included. The floating-point operations that are counted are those of products over samples (of symmetric
ones a half), Cholesky factors, triangular solves and products with factors; the rest (Lanczos, influences,
conversions) counts as time alone. The rate is that of a float64 product in the same run. The last part has one pair
beside the scores of RADS-Lin alone, by two n x n solves of NumPy. Samples have power-law spectra; every model shares
half of the strong one's directions.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import tyro

import w2sg_jax as w2sg
from benchmarks.peer_routes import rads_lin_scores
from benchmarks.problems import Problem
from benchmarks.results import folder_of, save
from w2sg_jax.bench import timed
from w2sg_jax.bench.machine import product_rate
from w2sg_jax.ranking.cost import Work, flops
from w2sg_jax.report.tables import markdown_table, table
from w2sg_jax.terminal.console import standard_output

HEADINGS = ("work", "seconds", "Gflop", "share of the product rate")
PAIR_HEADINGS = ("n", "norm, predicted gap, intervals and scores [s]", "RADS-Lin, scores [s]", "times faster")


def named(work: Work) -> str:
    """In words."""
    low, high = min(work.weak), max(work.weak)
    widths = f"{low}" if low == high else f"{low} to {high}"
    return f"{len(work.weak)} weak of {widths}, strong {work.strong}, n = {work.n}"


COMMAND = Work((384, 384, 384, 576, 576, 576, 640, 640), 576, 630)


@dataclass(frozen=True)
class Config:
    """What is measured, and where the result goes."""

    rankings: tuple[Work, ...] = (
        Work((768,) * 10, 1024, 2000),
        Work((2048,) * 10, 4096, 2000),
        Work(tuple(int(d) for d in np.linspace(64, 1024, 50)), 4096, 20_000),
    )
    """From arrays in memory, with labels."""
    command: Work | None = COMMAND
    """By `w2sg rank` with a labelled split of the same size, the whole process; None for none."""
    pair: tuple[int, int] = (1024, 4096)
    """Weak and strong width of the one pair."""
    pair_samples: tuple[int, ...] = (1000, 2000, 4000)
    """Samples of the pair; () for none."""
    repeats: int = 3
    """Runs of each after a first one; the median is kept."""
    once_above: float = 20.0
    """Seconds of a first run above which it is not repeated, and counts itself."""
    ridge: float = 1e-2
    """Ridge, in units of unit trace."""
    product: int = 4096
    """Columns of the product whose rate stands for the machine."""
    out: Path | None = None
    """Folder for the JSON; by default benchmarks/results/<device>."""


def main(config: Config) -> dict[str, Any]:
    """Run the benchmark and return its record."""
    console = standard_output()
    rows, pairs = [], []
    with console.status("product rate"):
        rate = product_rate("float64", size=config.product, at_least=2.0)
    for work in config.rankings:
        with console.status(named(work)):
            weak, strong, y = samples(work)
            names = {str(index): h for index, h in enumerate(weak)}
            seconds = once_or_more(partial(w2sg.rank, names, strong, y, ridge=config.ridge), config)
            operations = flops(work)
            rows.append(
                {"work": named(work), "seconds": seconds, "flops": operations, "share": operations / seconds / rate}
            )
    if config.command:
        with console.status(named(config.command)):
            seconds = by_command(config.command)
            rows.append(
                {"work": f"w2sg rank, {named(config.command)} twice", "seconds": seconds, "flops": None, "share": None}
            )
    for n in config.pair_samples:
        with console.status(f"one pair, n = {n}"):
            pairs.append(one_pair(n, *config.pair, config))
    entry = save("ranking", config, {"rate": rate, "rows": rows, "pairs": pairs})
    console.print(
        table(f"Rankings; a product reaches {rate / 1e9:.0f} Gflop/s", HEADINGS, map(_cells, rows), words=(0,))
    )
    title = "One pair of widths ({}, {})".format(*config.pair)
    console.print(table(title, PAIR_HEADINGS, map(_pair_cells, pairs), words=()))
    console.print(f"written to {folder_of(config.out)}")
    return entry


def samples(work: Work, seed: int = 0) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """float32, as models give them: weak representations, the strong one, labels."""
    rng = np.random.default_rng(seed)
    strong = rng.standard_normal((work.n, work.strong), dtype=np.float32)
    strong *= np.arange(1, work.strong + 1, dtype=np.float32) ** -0.5
    weak = []
    for width in work.weak:
        h = rng.standard_normal((work.n, width), dtype=np.float32) * np.arange(1, width + 1, dtype=np.float32) ** -0.5
        shared = min(width, work.strong) // 2
        h[:, :shared] = strong[:, :shared] + 0.1 * h[:, :shared]
        weak.append(h)
    return weak, strong, (strong[:, :50].sum(axis=1) + rng.standard_normal(work.n)).astype(np.float32)


def once_or_more(run: Callable[[], Any], config: Config) -> float:
    """Seconds of one run."""
    start = time.perf_counter()
    run()
    first = time.perf_counter() - start
    return first if first > config.once_above else timed(run, repeats=config.repeats).median


def by_command(work: Work) -> float:
    """Seconds of `w2sg rank`, from files to the table, in a process of its own; the second of two runs."""
    with TemporaryDirectory() as folder:
        words = ["rank", "strong.npy", *_written(Path(folder), work, "", 0)]
        words += ["--train-strong", "strong-train.npy", "--train-labels", "y-train.npy", "--train-weak"]
        words += _written(Path(folder), work, "-train", 1)
        command = [sys.executable, "-m", "w2sg_jax.cli", *words]
        seconds = 0.0
        for _ in range(2):
            start = time.perf_counter()
            subprocess.run(command, check=True, cwd=folder, env=os.environ, stdout=subprocess.DEVNULL)
            seconds = time.perf_counter() - start
    return seconds


def _written(folder: Path, work: Work, suffix: str, seed: int) -> Sequence[str]:
    weak, strong, y = samples(work, seed)
    np.save(folder / f"strong{suffix}.npy", strong)
    np.save(folder / f"y{suffix}.npy", y)
    names = [f"weak{index}{suffix}.npy" for index in range(len(weak))]
    for name, h in zip(names, weak, strict=True):
        np.save(folder / name, h)
    return names


def one_pair(n: int, d_weak: int, d_strong: int, config: Config) -> dict[str, Any]:
    """Everything about one pair beside the scores of RADS-Lin."""
    (weak,), strong, y = samples(Work((d_weak,), d_strong, n))
    problem = Problem(weak.astype(np.float64), strong.astype(np.float64), y.astype(np.float64), config.ridge)
    ours = once_or_more(lambda: w2sg.gap_influence(weak, strong, y, config.ridge), config)
    theirs = once_or_more(lambda: rads_lin_scores(problem), config)
    return {"n": n, "ours_s": ours, "rads_lin_s": theirs, "times_faster": theirs / ours}


def markdown(entry: dict[str, Any]) -> str:
    """The result for its page of the documentation."""
    result = entry["result"]
    first = markdown_table(HEADINGS, map(_cells, result["rows"]))
    return f"{first}\n\n{markdown_table(PAIR_HEADINGS, map(_pair_cells, result['pairs']))}"


def _cells(row: dict[str, Any]) -> list[str]:
    known = row["flops"] is not None
    return [
        row["work"],
        f"{row['seconds']:.2f}",
        f"{row['flops'] / 1e9:.0f}" if known else "",
        f"{100 * row['share']:.0f}%" if known else "",
    ]


def _pair_cells(row: dict[str, Any]) -> list[str]:
    return [str(row["n"]), f"{row['ours_s']:.2f}", f"{row['rads_lin_s']:.2f}", f"{row['times_faster']:.1f}"]


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
