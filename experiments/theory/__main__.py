"""The theory laboratory: measure on synthetic representations with known answers, and draw what came out.

    python -m experiments.theory                          # every figure that has no result yet, and all drawings
    python -m experiments.theory --figure benign --fresh  # measure one of them again

A figure's numbers are kept as DIR/FIGURE.json and its drawing as DIR/FIGURE.svg; interrupted, the same command goes on
with the next figure. All is float64 on the device that JAX finds, about 70 minutes, 55 of them for predicted_errors.
"""

import json
import sys
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

from rich.console import Console
from tyro.conf import FlagCreatePairsOff

from w2sg_jax import InputError
from w2sg_jax.report.record import checkout_of, record, to_json
from w2sg_jax.report.style import draw
from w2sg_jax.store.atomic import write_text
from w2sg_jax.terminal.console import standard_error
from w2sg_jax.terminal.guard import guarded
from w2sg_jax.terminal.progress import progress_bar
from w2sg_jax.terminal.usage import parse

FIGURES = ("predicted_gap", "convergence", "anisotropy", "copying", "benign", "regimes", "predicted_errors")
"""Modules with Config, TOY, compute(config, step), figure(result) and markdown(result)."""
RESULTS = Path(__file__).parents[1] / "results" / "theory"


@dataclass(frozen=True)
class Options:
    """What is measured and drawn, and where it goes."""

    figure: tuple[str, ...] = FIGURES
    """Figures, by name."""
    out: Path = RESULTS
    """Folder for JSON and SVG; made where it is not there."""
    fresh: Annotated[bool, FlagCreatePairsOff] = False
    """Measure again what has a result already."""


def main(options: Options, *, toy: bool = False) -> dict[str, dict[str, Any]]:
    """Make the figures, or, for tests, toys of the same; returns the record of each."""
    unknown = [name for name in options.figure if name not in FIGURES]
    if unknown:
        raise InputError(f"{unknown[0]}: there is no such figure; the figures are {', '.join(FIGURES)}")
    options.out.mkdir(parents=True, exist_ok=True)
    console = standard_error()
    return {name: _made(name, options, console, toy=toy) for name in options.figure}


def _made(name: str, options: Options, console: Console, *, toy: bool) -> dict[str, Any]:
    """The record of one figure, measured if need be; its drawing is always made again."""
    module = import_module(f"{__package__}.{name}")
    config = module.TOY if toy else module.Config()
    path = options.out / f"{name}.json"
    entry = None if options.fresh else kept(path, config)
    if entry is None:
        with progress_bar(console, name) as report:
            result = module.compute(config, report or (lambda _done, _total: None))
        entry = record(f"experiments.theory --figure {name}", asdict(config), {}, result)
        entry |= checkout_of(Path(__file__))
        write_text(path, to_json(entry, indent=None) + "\n")
        entry = json.loads(path.read_text(encoding="utf-8"))
    drawing = path.with_suffix(".svg")
    if draw(drawing, lambda: module.figure(entry["result"]), console):
        console.print(f"{name}: {drawing}", highlight=False, soft_wrap=True)
    return entry


def kept(path: Path, config: Any) -> dict[str, Any] | None:
    """An earlier record with these settings, or None."""
    if not path.exists():
        return None
    entry = json.loads(path.read_text(encoding="utf-8"))
    return entry if entry["settings"] == json.loads(to_json(asdict(config))) else None


def command(options: Options) -> int:
    """Make the figures, and return the exit code."""
    main(options)
    return 0


if __name__ == "__main__":
    Options.__doc__ = __doc__
    prog = "python -m experiments.theory"
    sys.exit(guarded("experiments.theory", lambda: command(parse(Options, sys.argv[1:], prog))))
