"""The whole experiment: a zoo, what its models make of the labelled molecules, trials, correlations, figures."""

from collections.abc import Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from rich.console import Console

from w2sg_jax import InputError
from w2sg_jax.batch.records import locked
from w2sg_jax.datasets import MoleculeSet
from w2sg_jax.numerics.checks import as_count
from w2sg_jax.report.record import checkout_of, record, to_json
from w2sg_jax.report.style import draw
from w2sg_jax.store.atomic import make_results_folder, write_text
from w2sg_jax.terminal.console import standard_output
from w2sg_jax.training.zoo import Zoo

from .analyse import Tables, analyse, tables_of
from .figures import correlation_figure, map_figure, scatter_figure
from .measure import RIDGE, RIDGES, THRESHOLDS
from .obtain import measure_all, published
from .options import PUBLISHED, Options
from .tables import correlation_table
from .trials import Measured, Provenance
from .zoo import paper_zoo

STEPS_OF_A_WIDTH = 1_000_000
"""So many that the training length decides among models of one width alone."""


def run(
    options: Options,
    *,
    zoo: Zoo | None = None,
    datasets: Sequence[MoleculeSet] | None = None,
    console: Console | None = None,
) -> int:
    """Run the experiment and return the exit code: 0, or 1 when trials failed.

    Args:
        options: from the command line.
        zoo: other encoders than those of the experiment.
        datasets: other labelled sets.
        console: for progress and tables; standard output by default.
    """
    console, zoo = console or standard_output(), zoo or paper_zoo()
    _check(options)
    with locked(options.out):
        obtained = published(options, zoo, console) or measure_all(options, zoo, datasets, console)
        if obtained is None:
            return 1
        measured, made_from = obtained
        tables, elsewhere = _tables(measured, zoo)
        found = _report(tables, zoo, options, console)
        _write_result(found, made_from, zoo, options)
        _draw(found, tables, elsewhere, zoo, options, console)
    console.print(f"results and figures are in {options.results}", highlight=False, soft_wrap=True)
    return 0


def _check(options: Options) -> None:
    """Refuse, before hours of training, what would be refused after them (InputError); make the folder."""
    for name, least in (("splits", 2), ("seed", 0), ("workers", 1)):
        if getattr(options, name) is not None:
            as_count(getattr(options, name), name, least)
    if options.ray is not None and find_spec("ray") is None:
        raise InputError('ray is not installed: pip install "w2sg_jax[ray]"')
    if not options.from_zoo and (options.measure or options.zoo != PUBLISHED):
        raise InputError("--measure and --zoo are of a trained zoo: pass --from-zoo as well")
    if options.from_zoo and options.retrain_damaged:
        raise InputError("--retrain-damaged trains, --from-zoo does not: pass one of them")
    make_results_folder(options.results)


def _tables(measured: Measured, zoo: Zoo) -> tuple[list[Tables], list[Tables]]:
    """Of the zoo and of the candidates from elsewhere, for each set."""
    static = {
        plan.name: {
            "width": plan.width,
            "depth": plan.depth,
            "heads": plan.heads,
            "steps": plan.training.steps,
            "parameters": plan.shape.parameters,
            "recipe": plan.width + plan.training.steps / STEPS_OF_A_WIDTH,
        }
        for plan in zoo.weak
    }
    tables, elsewhere = [], []
    for data, found in measured.items():
        tables.append(tables_of(data, {name: found[name] for name in static}, static))
        others = {name: result for name, result in found.items() if name not in static}
        widths = {name: {"width": result["width"]} for name, result in others.items()}
        if others:
            elsewhere.append(tables_of(data, others, widths))
    return tables, elsewhere


def _report(tables: Sequence[Tables], zoo: Zoo, options: Options, console: Console) -> dict[str, Any]:
    """Correlations of every set, and their table."""
    shapes = [plan.shape.name for plan in zoo.weak]
    found = {}
    for t in tables:
        with console.status(f"{t.data}: intervals"):
            found[t.data] = analyse(t, shapes, seed=options.seed)
    console.print(correlation_table(found))
    return found


def _draw(
    found: dict[str, Any],
    tables: Sequence[Tables],
    elsewhere: Sequence[Tables],
    zoo: Zoo,
    options: Options,
    console: Console,
) -> None:
    """The figures: one a set, and two of all sets."""
    others = {t.data: t for t in elsewhere}
    for t in tables:
        scatter = partial(scatter_figure, t, found[t.data], zoo, others.get(t.data))
        draw(options.results / f"{t.data.lower()}.png", scatter, console)
    draw(options.results / "maps.png", lambda: map_figure(found), console)
    draw(options.results / "correlations.png", lambda: correlation_figure(found), console)


def _write_result(found: dict[str, Any], made_from: Provenance, zoo: Zoo, options: Options) -> None:
    strong, training = zoo.strong.shape, zoo.strong.training
    settings = {
        "corpus": None if options.from_zoo else options.corpus,
        "from_zoo": options.from_zoo,
        "splits": options.splits,
        "seed": options.seed,
        "ridge": RIDGE,
        "ridges": RIDGES,
        "thresholds": THRESHOLDS,
        "strong": {"shape": strong, "parameters": strong.parameters, "training": training},
        "weak_models": len(zoo.weak),
    }
    entry = record("experiments.molecules", settings, made_from["files"], {"sets": found})
    entry |= checkout_of(Path(__file__))
    write_text(options.results / "results.json", to_json(entry, indent=1) + "\n")
