"""The whole leaderboard: representations of the published zoo, trials, tables, figures."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console

from experiments.molecules.represent import Represented
from experiments.molecules.zoo import paper_zoo
from w2sg_jax import InputError
from w2sg_jax.batch.records import locked
from w2sg_jax.numerics.checks import as_count
from w2sg_jax.report.record import checkout_of, record, rounded, to_json
from w2sg_jax.report.style import draw
from w2sg_jax.report.tables import table
from w2sg_jax.store.atomic import make_results_folder, write_text
from w2sg_jax.terminal.console import standard_output
from w2sg_jax.training.zoo import Zoo

from .analyse import boards, by_model, noise, own_quantities, own_ridges
from .figures import error_figure, leaderboard_figure
from .measure import EVERY_SPLIT, RIDGE, RIDGES, cost, supervise
from .obtain import Measured, measure_all, represented, task_of
from .options import Options
from .results import HEADS


def run(
    options: Options,
    *,
    zoo: Zoo | None = None,
    sets: Sequence[Represented] | None = None,
    console: Console | None = None,
) -> int:
    """Run what is left of the experiment and return the exit code: 0, or 1 when trials failed.

    Args:
        options: from the command line.
        zoo: other encoders than those of the molecular experiment.
        sets: other labelled sets, represented already.
        console: for progress and tables; standard output by default.
    """
    console, zoo = console or standard_output(), zoo or paper_zoo()
    _check(options)
    with locked(options.out):
        sets = represented(options, zoo, console) if sets is None else sets
        tasks = [task_of(one, zoo, options) for one in sets]
        measured = measure_all(tasks, options, console)
        if measured is None:
            return 1
        found = {one.task.name: _result(one, zoo, options, console) for one in measured}
        _write(found, zoo, options)
        for heads in RIDGES:
            of_sets = {name: one[heads]["leaderboard"] for name, one in found.items()}
            console.print(_table(of_sets, heads))
            draw(options.results / f"heads-{heads}.png", partial(leaderboard_figure, of_sets, heads), console)
            means = {name: one[heads]["by_model"] for name, one in found.items()}
            draw(options.results / f"errors-{heads}.png", partial(error_figure, means, heads), console)
    console.print(f"results and figures are in {options.results}", highlight=False, soft_wrap=True)
    return 0


def _check(options: Options) -> None:
    """Refuse, before minutes of trials, what would be refused after them (InputError); make the folder."""
    for name, least in (("splits", 2), ("splits_of_all", 1), ("seed", 0), ("workers", 1), ("draws", 1)):
        if getattr(options, name) is not None:
            as_count(getattr(options, name), name, least)
    if options.splits_of_all > options.splits:
        raise InputError(f"splits_of_all: {options.splits_of_all} of {options.splits} splits; give as many at most")
    make_results_folder(options.results)


def _result(measured: Measured, zoo: Zoo, options: Options, console: Console) -> dict[str, Any]:
    """All that is reported of one set."""
    families = {plan.name: plan.shape.name for plan in zoo.weak}
    with console.status(f"{measured.task.name}: intervals"):
        made = boards(measured, zoo.strong.name, families, seed=options.seed, draws=options.draws)
    found: dict[str, Any] = {
        heads: {
            "own_quantities": own_quantities(of_heads, heads),
            "leaderboard": board.to_dict(),
            "noise": noise(of_heads, heads),
            "by_model": by_model(of_heads, heads),
        }
        for heads, (of_heads, board) in made.items()
    }
    first = measured.splits[0]
    return found | {"molecules": first["molecules"], "own_ridges": own_ridges(measured.splits)}


def _table(found: dict[str, Any], heads: str) -> Any:
    """The leading predictors, on the terminal."""
    first = next(iter(found.values()))
    rows = []
    for one in first["scores"]:
        standings = [
            next(score for score in board["scores"] if score["entrant"]["name"] == one["entrant"]["name"])["everywhere"]
            for board in found.values()
        ]
        values = [standing["spearman"]["value"] for standing in standings]
        rows.append([one["entrant"]["title"], *("undefined" if value is None else f"{value:.3f}" for value in values)])
    return table(f"{HEADS[heads]}: Spearman correlation with the measured Err_w2s", ("predictor", *found), rows)


def _write(found: dict[str, Any], zoo: Zoo, options: Options) -> None:
    settings = {
        "splits": options.splits,
        "splits_of_all": options.splits_of_all,
        "every_split": EVERY_SPLIT,
        "seed": options.seed,
        "draws": options.draws,
        "ridge": RIDGE,
        "strong": zoo.strong.name,
        "weak_models": len(zoo.weak),
        "versions_of_trials": {"supervise": supervise.version, "cost": cost.version},
    }
    # Trials repeat to seven digits on no two machines.
    entry = record("experiments.leaderboard", settings, {}, {"sets": rounded(found, 6)}) | checkout_of(Path(__file__))
    write_text(options.results / "results.json", to_json(entry, indent=None) + "\n")
