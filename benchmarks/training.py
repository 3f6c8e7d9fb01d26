"""Models an hour: encoders of one shape trained together, beside the same ones trained one by one.

    python -m benchmarks.training

Both see batches of the same molecules. Compilation counts: one program for each model and padded length, or one for
all; so the gain is larger for a short training than for a long one. On a CPU models take turns within a step. The first
model of a group is checked to have the losses that it has alone before anything is reported.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import tyro

from benchmarks.results import folder_of, save
from w2sg_jax.datasets import load_moses_sample
from w2sg_jax.encoders import EncoderConfig, SmilesTokenizer, TokenSet
from w2sg_jax.report.tables import markdown_table, table
from w2sg_jax.terminal.console import standard_output
from w2sg_jax.training import PretrainConfig, Pretrained, pretrain, pretrain_together

HEADINGS = ("width, depth", "models", "steps", "one by one [models/h]", "together [models/h]", "times")
AGREEMENT = 2e-2
"""Of the losses, relative: training amplifies the rounding of another program."""
CHECKED_STEPS = 20


@dataclass(frozen=True)
class Config:
    """What is measured, and where the result goes."""

    shapes: tuple[tuple[int, int], ...] = ((8, 1), (32, 2), (64, 4))
    """Width and depth."""
    models: int = 4
    """Of each shape."""
    steps: tuple[int, ...] = (100, 600)
    """Of each model's training."""
    out: Path | None = None
    """Folder for the JSON; by default benchmarks/results/<device>."""


def main(config: Config) -> dict[str, Any]:
    """Run the benchmark and return its record."""
    console = standard_output()
    smiles = load_moses_sample()
    tokenizer = SmilesTokenizer.from_corpus(smiles)
    tokens = tokenizer.encode(smiles)
    rows = []
    for (width, depth), steps in product(config.shapes, config.steps):
        with console.status(f"width {width}, depth {depth}, {steps} steps"):
            rows.append(time_shape(EncoderConfig(tokenizer.size, width, depth, 4), tokens, config.models, steps))
    entry = save("training", config, {"rows": rows})
    console.print(table("Models an hour", HEADINGS, map(_cells, rows)))
    console.print(f"written to {folder_of(config.out)}")
    return entry


def time_shape(encoder: EncoderConfig, tokens: TokenSet, models: int, steps: int) -> dict[str, Any]:
    """One shape and length; agreement first."""
    trainings = [PretrainConfig(steps, 64, 3e-3, bucket_edges=(32, 44, 60), seed=seed) for seed in range(models)]
    alone, alone_s = _timed(lambda: [pretrain(encoder, tokens, training) for training in trainings])
    group, group_s = _timed(lambda: pretrain_together(encoder, tokens, trainings, order_seed=trainings[0].seed))
    first = slice(min(CHECKED_STEPS, steps))
    difference = float(np.max(np.abs(group[0].losses[first] / alone[0].losses[first] - 1)))
    if difference > AGREEMENT:
        raise ArithmeticError(
            f"width {encoder.width}: the first losses differ by {difference:.1e}; nothing is reported"
        )
    return {
        "width": encoder.width,
        "depth": encoder.depth,
        "models": models,
        "steps": steps,
        "largest_difference": difference,
        "alone_s": alone_s,
        "together_s": group_s,
        "alone_per_hour": 3600 * models / alone_s,
        "together_per_hour": 3600 * models / group_s,
        "times": alone_s / group_s,
    }


def _timed(run: Callable[[], list[Pretrained]]) -> tuple[list[Pretrained], float]:
    start = time.perf_counter()
    return run(), time.perf_counter() - start


def markdown(entry: dict[str, Any]) -> str:
    """The result for its page of the documentation."""
    return markdown_table(HEADINGS, map(_cells, entry["result"]["rows"]))


def _cells(row: dict[str, Any]) -> list[str]:
    return [
        f"{row['width']}, {row['depth']}",
        str(row["models"]),
        str(row["steps"]),
        f"{row['alone_per_hour']:.0f}",
        f"{row['together_per_hour']:.0f}",
        f"{row['times']:.2f}",
    ]


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
