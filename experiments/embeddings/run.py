"""The whole experiment: representations, trials, leaderboards, tables and figures."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from w2sg_jax import InputError
from w2sg_jax.batch.records import locked
from w2sg_jax.bench.machine import product_rate
from w2sg_jax.datasets import load_text
from w2sg_jax.encoders.shapes import WORDS_TO_TOKENS
from w2sg_jax.extraction.texts import SHARE, seconds, told
from w2sg_jax.numerics.checks import as_count
from w2sg_jax.report.record import checkout_of, record, rounded, to_json
from w2sg_jax.report.style import draw
from w2sg_jax.report.tables import correlation, table
from w2sg_jax.store.atomic import make_results_folder, write_text
from w2sg_jax.terminal.console import standard_output

from . import hub
from .analyse import (
    Pair,
    board,
    chosen_on_halves,
    label_free,
    orders,
    overview,
    pairs_of,
    recovered,
    ridge_cost,
)
from .figures import calibration_figure, leaderboard_figure, order_figure, ridge_figure, trend_figure
from .measure import FIXED, OWN, PATH, RIDGE, ceilings, cost, errors, supervise
from .models import TASKS
from .obtain import asked, measure_all, plans, represent_all, strong_of
from .options import RESULTS, Options
from .represent import SHARES, Plan
from .trials import TRIALS, Pairs, read_trials, write_trials

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ERRORS = ("predicted_err_w2s@own", "cross_validated_err_w2s@own", "mean_of_both")
"""What foretells Err_w2s: among these, too, the best is chosen on halves of the tasks."""


def run(options: Options, *, console: Console | None = None) -> int:
    """Run what is left of the experiment and return the exit code: 0, or 1 when trials failed.

    Args:
        options: from the command line.
        console: for progress and tables; standard output by default.
    """
    console = console or standard_output()
    _check(options)
    with locked(options.out):
        if options.from_trials:
            measured, made_from = read_trials(RESULTS / TRIALS)
        else:
            if options.dry_run and options.zoo == "hub":
                console.print(_shapes(options))
                return 0
            planned = plans(options)
            _announce(planned, console)
            if options.dry_run:
                return 0
            measured = measure_all(represent_all(planned, options, console), options, console)
            if measured is None:
                return 1
            made_from = _made_from(planned, options)
            write_trials(options.results / TRIALS, measured, made_from)
        found, pairs = _analysed(measured, options, console)
        _write(found, made_from, options)
        _draw(found, pairs, options, console)
        console.print(_table(found))
    console.print(f"results and figures are in {options.results}", highlight=False, soft_wrap=True)
    return 0


def _check(options: Options) -> None:
    """Refuse, before an hour of extraction, what would be refused after it (InputError); make the folder."""
    for name, least in (("splits", 1), ("seed", 0), ("workers", 1), ("draws", 1)):
        if getattr(options, name) is not None:
            as_count(getattr(options, name), name, least)
    if options.ray is not None and find_spec("ray") is None:
        raise InputError('ray is not installed: pip install "w2sg_jax[ray]"')
    if options.from_trials:
        if options.dry_run or options.models or options.zoo != "layers":
            raise InputError(
                "--from-trials: the trials in the repository are as they are; leave out --dry-run, --models, --zoo"
            )
        if not (RESULTS / TRIALS).is_file():
            raise InputError(f"{RESULTS / TRIALS}: there are no trials; measure them, without --from-trials")
    else:
        asked(options)
    if not options.from_trials and find_spec("sklearn") is None:
        raise InputError("scikit-learn is not installed, which counts words: pip install scikit-learn")
    make_results_folder(options.results)


def _announce(planned: Sequence[Plan], console: Console) -> None:
    """What will be extracted, and about how long it will take."""
    left = [one for plan in planned for one in plan.networks.values() if one.missing]
    for plan in planned:
        for one in plan.networks.values():
            console.print(f"{plan.task.name}: {told(one)}", markup=False, highlight=False, soft_wrap=True)
    if left:
        rate = product_rate("float32", size=1024, at_least=0.1)
        minutes = sum(seconds(one, rate) for one in left) / 60
        console.print(f"to extract: about {minutes:.0f} minutes on this machine", highlight=False, soft_wrap=True)


def _shapes(options: Options) -> Any:
    """What each model of the zoo needs, by its published shape; texts are counted by their words."""
    (tasks, networks), words = asked(options), []
    for task in tasks:
        texts = load_text(task.name, options.data_dir).texts[: task.rows]
        words += [min(round(WORDS_TO_TOKENS * len(text.split())), task.max_length) for text in texts]
    rate, rows = product_rate("float32", size=1024, at_least=0.1), []
    for network in networks:
        shape = hub.SHAPES[network]
        flops, size = shape.flops(words), shape.parameters
        memory = (f"{size * of_one / 2**30:.1f}" for of_one in (2, 4))
        cost = f"{flops / 1e12:.0f}", f"{flops / (SHARE * rate) / 3600:.1f}"
        rows.append([network.name, network.hub, f"{size / 1e6:.0f} M", *memory, *cost])
    heading = ("model", "on the hub", "parameters", "GiB, bfloat16", "GiB, float32", "Tflop", "hours here")
    told = f"{len(words)} texts of about {sum(words)} tokens"
    caption = f"{told}; a product reaches {rate / 1e9:.0f} Gflop/s here in float32"
    return table("To be extracted", heading, rows, caption=caption, words=(0, 1))


def _made_from(planned: Sequence[Plan], options: Options) -> dict[str, Any]:
    """What the trials depend on."""
    return {
        "splits": options.splits,
        "shares": SHARES,
        "ridge": RIDGE,
        "path": PATH,
        "versions": {
            "supervise": supervise.version,
            "errors": errors.version,
            "ceilings": ceilings.version,
            "cost": cost.version,
        },
        "networks": {
            network.name: {"hub": network.hub, **one.model.made_with(None, None)}
            for plan in planned[:1]
            for network, one in plan.networks.items()
        },
    }


def _analysed(measured: Pairs, options: Options, console: Console) -> tuple[dict[str, Any], list[Pair]]:
    """All that is reported."""
    pairs = pairs_of(measured)
    able = [pair for pair in pairs if pair.able]
    drawn = {"seed": options.seed, "draws": options.draws}
    found: dict[str, Any] = {"tasks": measured.about, "pairs": [_of_pair(pair) for pair in pairs]}
    if able:
        with console.status("intervals"):
            found["overview"] = overview(able, **drawn)
            found["boards"] = {f"{pair.task}, {pair.strong}": board(pair, **drawn) for pair in able}
            found["label_free"] = chosen_on_halves(able, label_free, seed=options.seed)
            found["errors"] = chosen_on_halves(able, lambda one: one.name in ERRORS, seed=options.seed)
            found["ridges"] = ridge_cost(able)
            found["orders"] = orders(able)
            found["pgr"] = recovered(able)
    return found, pairs


def _of_pair(pair: Pair) -> dict[str, Any]:
    """A row of the first table."""
    means = {name: float(x.mean()) for name, x in pair.measured.items() if not name.startswith("pgr")}
    return {
        **{"task": pair.task, "strong": pair.strong, "able": pair.able, "ceiling": pair.ceiling, "means": means},
        **{"models": len(pair.table.models), "above": int(pair.above.sum())},
    }


def _table(found: dict[str, Any]) -> Any:
    """The leading predictors, on the terminal."""
    able = [pair for pair in found["pairs"] if pair["able"]]
    rows = [
        [
            one["title"],
            correlation(one["spearman"], one["low"], one["high"]),
            f"{one['least']:.2f} to {one['most']:.2f}",
        ]
        for one in found.get("overview", ())
        if math.isfinite(one["spearman"])
    ]
    return table(
        f"Spearman correlation with the measured Err_w2s, mean of {len(able)} tasks and strong models",
        ("predictor", "mean", "of a pair"),
        rows,
        caption=f"{len(found['pairs']) - len(able)} strong models are not surely above chance, and are left out.",
    )


def _draw(found: dict[str, Any], pairs: Sequence[Pair], options: Options, console: Console) -> None:
    """The figures, of pairs whose strong model can be supervised at all."""
    able = [pair for pair in pairs if pair.able]
    if not able:
        return
    figures: dict[str, Callable[[], Figure]] = {
        "leaderboard": partial(leaderboard_figure, found["overview"]),
        "calibration": partial(calibration_figure, able),
        "trends": partial(trend_figure, able),
        "ridges": partial(ridge_figure, found["ridges"], able),
    }
    if found["orders"]:
        figures["orders"] = partial(order_figure, found["orders"])
    for name, make in figures.items():
        draw(options.results / f"{name}.png", make, console)


def _write(found: dict[str, Any], made_from: Any, options: Options) -> None:
    settings = {
        "seed": options.seed,
        "draws": options.draws,
        "tasks": [asdict(task) for task in TASKS],
        "strong": strong_of(options),
        "ridges": [FIXED, OWN],
        "made_from": made_from,
    }
    # Trials repeat to more digits on no two machines.
    entry = record("experiments.embeddings", settings, {}, rounded(found, 4)) | checkout_of(Path(__file__))
    write_text(options.results / "results.json", to_json(entry, indent=None) + "\n")
