"""Everything that a machine with an accelerator should measure, in one command within a budget of seconds.

    python -m benchmarks.device --budget 420

First the tests that a device can fail, then each benchmark by itself; the record is written after each part, so that
what was measured is kept whatever ends the run. A part that fails is an error in the record, not the end; one that the
budget has no room for is left out and named. On a CPU it runs too, and says that it did.
"""

import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import tyro

from benchmarks.results import folder_of, save
from w2sg_jax.report.tables import table
from w2sg_jax.terminal.console import standard_output

ROOT = Path(__file__).parents[1]
TESTS = tuple(f"tests/test_{name}.py" for name in (
    "accelerator", "devices", "solves", "precision", "settings", "language_models", "gguf", "extraction",
))  # fmt: skip
"""Those whose numbers or transfers depend on the device."""
WORKERS = 8
"""Processes of the tests, at most: most of their time is compilation, on the host."""
HEADINGS = ("part", "seconds", "how it ended")


@dataclass(frozen=True)
class Config:
    """What is measured, and where the result goes."""

    budget: float = 420.0
    """Seconds in all. A part begins only where it is expected to end in time."""
    parts: tuple[str, ...] = (
        "tests",
        "encoders",
        "limits",
        "million",
        "ranking",
        "grid",
        "ridge_fits",
        "wide",
        "training",
        "peers",
    )
    """Which parts, in this order."""
    toy: bool = False
    """At toy size: a rehearsal, which measures nothing."""
    out: Path | None = None
    """Folder for device.json and the JSON of each part; by default benchmarks/results/<device>."""


class Part(NamedTuple):
    """One part: seconds that it is expected to need, and what it runs."""

    expected: float
    run: Callable[[], Any]


def main(config: Config) -> dict[str, Any]:
    """Run the parts and return the record."""
    console, start = standard_output(), time.perf_counter()
    found: dict[str, dict[str, Any]] = {}
    entry: dict[str, Any] = {}
    for name in config.parts:
        part = part_of(name, config)
        spent = time.perf_counter() - start
        if spent + part.expected > config.budget:
            found[name] = {
                "left_out": f"{config.budget - spent:.0f} s were left, about {part.expected:.0f} s are needed"
            }
        else:
            found[name] = measured(name, part)
        entry = save("device", config, {"parts": found, "seconds": time.perf_counter() - start})
    console.print(table(f"Within {config.budget:.0f} s", HEADINGS, map(_cells, found.items()), words=(0, 2)))
    console.print(f"written to {folder_of(config.out)}")
    return entry


def measured(name: str, part: Part) -> dict[str, Any]:
    """Run one part; an error is kept with its last lines."""
    start = time.perf_counter()
    try:
        result = part.run()
    except Exception as error:  # the other parts are worth their time
        traceback.print_exc()
        return {"seconds": time.perf_counter() - start, "error": f"{name}: {type(error).__name__}: {error}"}
    return {"seconds": time.perf_counter() - start, "result": result}


def part_of(name: str, config: Config) -> Part:
    """A part by its name, at full or at toy size.

    Raises:
        KeyError: there is none of this name.
    """
    if name == "tests":
        return Part(0.0 if config.toy else 100.0, partial(tested, ("-k", "rounds_as") if config.toy else ()))
    expected = 0.0 if config.toy else PARTS[name][1]
    return Part(expected, lambda: _run(*settings_of(name, toy=config.toy, out=config.out)))


PARTS: dict[str, tuple[str, float, dict[str, Any], dict[str, Any]]] = {
    "encoders": (
        "encoders",
        120.0,
        {},
        {"work": (("tiny", "float32", 6, 3, 9),), "product": 64, "repeats": 1},
    ),
    "limits": (
        "limits",
        60.0,
        {"widths": (1024, 2048, 4096, 8192), "flops": 2e13, "whole_n": 0},
        {"widths": (32,), "flops": 1e7, "whole_n": 0, "product": 64, "at_least": 0.01},
    ),
    "million": (
        "limits",
        90.0,
        {"widths": (), "whole_n": 1_000_000, "whole_widths": (4096, 4096)},
        {"widths": (), "whole_n": 2000, "whole_widths": (16, 24), "product": 64, "at_least": 0.01},
    ),
    "ranking": (
        "ranking",
        90.0,
        {"rankings": (((4096,) * 50, 4096, 20_000),), "command": None, "pair_samples": (4000,), "repeats": 1},
        {
            "rankings": (((16, 24, 24), 32, 300), ((40, 60), 50, 30)),
            "command": None,
            "pair": (16, 24),
            "pair_samples": (40,),
            "repeats": 1,
            "product": 64,
        },
    ),
    "grid": (
        "grid",
        20.0,
        {"repeats": 5},
        {"widths": ((8, 16),), "n": 200, "repeats": 1},
    ),
    "ridge_fits": (
        "ridge_fits",
        25.0,
        {"repeats": 3},
        {"sizes": (("FreeSolv", 40, 6, 9),), "splits": 2, "ridges": 2, "repeats": 1, "machine_size": 64},
    ),
    "wide": (
        "wide",
        60.0,
        {"widths": (4096,), "widest": 16_384},
        {"widths": (48,), "widest": 64, "repeats": 1},
    ),
    "training": (
        "training",
        60.0,
        {},
        {"shapes": ((8, 1),), "models": 2, "steps": (2, 4)},
    ),
    "peers": (
        "peers",
        90.0,
        {"widths": ((1024, 4096),), "ns": (1000, 4000, 30_000), "memory_n": ()},
        {"widths": ((8, 12),), "ns": (40,), "memory_n": (), "repeats": 1, "machine_size": 64},
    ),
}
"""name -> the benchmark, seconds expected, its settings, and those of a rehearsal."""


def tested(options: tuple[str, ...]) -> str:
    """The last line of the tests, which run in a process of their own; AssertionError where one fails."""
    workers = str(min(WORKERS, os.cpu_count() or 1))
    command = [sys.executable, "-m", "pytest", "-q", "-n", workers, *TESTS, *options]
    environment = os.environ | {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    lines = [line for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    last = done.stdout.strip().splitlines()[-1:] or [done.stderr[-500:]]
    if done.returncode not in (0, 5):  # 5: none was selected
        raise AssertionError("; ".join([*lines, *last]))
    return last[0]


def settings_of(name: str, *, toy: bool, out: Path | None) -> tuple[Any, Any]:
    """The benchmark of a part, and its settings."""
    module, _, full, small = PARTS[name]
    benchmark: Any = import_module(f"benchmarks.{module}")
    settings = {key: _made(benchmark, key, value) for key, value in (small if toy else full).items()}
    return benchmark, benchmark.Config(**settings, out=out)


def _run(benchmark: Any, settings: Any) -> Any:
    return benchmark.main(settings)["result"]


def _made(benchmark: Any, name: str, value: Any) -> Any:
    """Settings that are classes of their benchmark are given by what they are made of."""
    kinds = {"rankings": "Work", "sizes": "Size", "work": "Work"}
    return tuple(getattr(benchmark, kinds[name])(*each) for each in value) if name in kinds else value


def _cells(item: tuple[str, dict[str, Any]]) -> list[str]:
    name, part = item
    ended = part.get("error") or part.get("left_out") or (part["result"] if name == "tests" else "measured")
    return [name, f"{part['seconds']:.0f}" if "seconds" in part else "", str(ended)]


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
