"""The whole experiment: fine-tuning, tables and figures."""

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from w2sg_jax import InputError
from w2sg_jax.batch.records import locked
from w2sg_jax.datasets import load_text
from w2sg_jax.encoders.shapes import WORDS_TO_TOKENS
from w2sg_jax.numerics.checks import as_count
from w2sg_jax.report.record import checkout_of, record, rounded, to_json
from w2sg_jax.report.style import draw
from w2sg_jax.report.tables import correlation, table
from w2sg_jax.store.atomic import make_results_folder, write_text
from w2sg_jax.terminal.console import standard_output
from w2sg_jax.training.finetune import memory as memory_of

from . import hub
from .analyse import analysed
from .figures import depth_figure, loss_figure, trend_figure
from .measure import Training, foretell, represent, tune
from .models import TASKS, Network
from .obtain import LOSSES, SHARES, Asked, Written, asked, measure_all, strong_of, written
from .options import RESULTS, Options

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TRIALS = "trials.json"
DRAWS = 2000
"""Bootstrap samples of an interval."""
DIGITS = 6
"""Of what is published: fine-tuning repeats to more on no two machines."""
SHOWN = 12
"""Predictors on the terminal."""


def run(options: Options, *, console: Console | None = None) -> int:
    """Run what is left of the experiment and return the exit code: 0, or 1 when trials failed.

    Args:
        options: from the command line.
        console: for progress and tables; standard output by default.
    """
    console = console or standard_output()
    _check(options)
    with locked(options.out):
        if options.dry_run and options.zoo == "hub":
            console.print(_shapes(options))
            return 0
        if options.from_trials:
            measured = _published(RESULTS / TRIALS)
        else:
            found = asked(options)
            tasks = [written(task, options) for task in found.tasks]
            console.print(_plan(found, tasks, options))
            if options.dry_run:
                return 0
            measured = measure_all(found, tasks, options, console)
            if measured is None:
                return 1
            measured = rounded({**measured, "settings": _settings(options)}, DIGITS)
            write_text(options.results / TRIALS, to_json(measured, indent=None) + "\n")
            measured = json.loads((options.results / TRIALS).read_text(encoding="utf-8"))
        result = analysed(measured["rows"], seed=0, draws=DRAWS)
        entry = record("experiments.llm", measured["settings"], {}, rounded(result, 4)) | checkout_of(Path(__file__))
        write_text(options.results / "results.json", to_json(entry, indent=None) + "\n")
        figures: dict[str, Callable[[], Figure]] = {
            "depths": partial(depth_figure, result["pairs"]),
            "trends": partial(trend_figure, result["pairs"]),
            "losses": partial(loss_figure, measured[LOSSES]),
        }
        for name, make in figures.items():
            draw(options.results / f"{name}.png", make, console)
        console.print(_table(result))
    console.print(f"results and figures are in {options.results}", highlight=False, soft_wrap=True)
    return 0


def _check(options: Options) -> None:
    """Refuse, before an hour of training, what would be refused after it (InputError); make the folder."""
    for name, least in (("rows", 10), ("splits", 1), ("epochs", 1), ("batch_size", 1), ("rank", 0), ("workers", 1)):
        if getattr(options, name) is not None:
            as_count(getattr(options, name), name, least)
    if not options.learning_rate > 0:
        raise InputError(f"learning_rate: expected a positive number, got {options.learning_rate}")
    if not options.labels or len(set(options.labels)) < len(options.labels):
        raise InputError("labels: give soft, hard, or both, each once")
    if options.ray is not None and find_spec("ray") is None:
        raise InputError('ray is not installed: pip install "w2sg_jax[ray]"')
    if options.from_trials and (options.dry_run or options.models):
        raise InputError("--from-trials: the trials in the repository are as they are; leave out --dry-run, --models")
    unknown = [name for name in options.tasks if name not in {task.name for task in TASKS}]
    if not options.from_trials and (unknown or not options.tasks):
        raise InputError(f"tasks: {', '.join(unknown) or 'none'}; choose of {', '.join(task.name for task in TASKS)}")
    if not options.from_trials and find_spec("sklearn") is None:
        raise InputError("scikit-learn is not installed, which fits logistic heads: pip install scikit-learn")
    make_results_folder(options.results)


def _published(path: Path) -> dict[str, Any]:
    """The trials in the repository."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return {name: found[name] for name in ("rows", LOSSES, "settings")}
    except FileNotFoundError:
        raise InputError(f"{path}: there are no trials; train, without --from-trials") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: not a whole file of trials ({error}); train, without --from-trials") from None


def _settings(options: Options) -> dict[str, Any]:
    """What the trials depend on; no path of this machine."""
    kept = ("tasks", "rows", "splits", "epochs", "batch_size", "learning_rate", "rank", "labels", "dtype")
    return {
        **{name: getattr(options, name) for name in kept},
        "strong": options.strong or strong_of(options),
        "models": [one.partition("=")[0] for one in options.models],
        "max_length": {task.name: task.max_length for task in TASKS},
        "shares": SHARES,
        "versions": {function.name: function.version for function in (represent, tune, foretell)},
    }


def _plan(found: Asked, tasks: list[Written], options: Options) -> Any:
    """What is trained: runs and operations."""
    shapes = {network: model.flops_of for network, model in found.opened.items()}
    rows = []
    for task in tasks:
        for network, model in found.opened.items():
            tokens = model.tokens(task.texts, task.task.max_length)
            counts = _counts(network, found.networks, network in found.strong, options)
            total = _operations(network, shapes[network](tokens), counts, options)
            words = (task.task.name, network.name, str(len(task.texts)), str(int(tokens.lengths.sum())))
            rows.append([*words, *map(str, counts), f"{total / 1e12:.0f}"])
    heading = ("task", "network", "texts", "tokens", "weak models trained", "strong ones", "Tflop, about")
    return table("To be trained, as far as there is no record", heading, rows, words=(0, 1))


def _shapes(options: Options) -> Any:
    """The same of models that are known by their shapes, with steps and the memory of a run; texts by their words."""
    known = hub.networks()
    texts = [load_text(name, options.data_dir).texts[: options.rows] for name in options.tasks]
    limits = {task.name: task.max_length for task in TASKS}
    lengths = [
        min(round(WORDS_TO_TOKENS * len(text.split())), limits[name])
        for name, some in zip(options.tasks, texts, strict=True)
        for text in some
    ]
    config = Training(
        options.epochs, options.batch_size, options.learning_rate, options.rank, max(lengths), "bfloat16", 0
    ).config
    steps = options.epochs * math.ceil(SHARES[0] * options.rows / options.batch_size)
    rows = []
    for network, shape in known.items():
        counts = _counts(network, known, not network.depths, options)
        told = {"tokens": options.batch_size * max(lengths), "longest": max(lengths)}
        memory = (memory_of(shape.network, replace(config, remat=remat), "bfloat16", **told) for remat in (False, True))
        total = _operations(network, shape.flops(lengths), counts, options)
        sizes = (f"{shape.parameters / 1e6:.0f} M", *(f"{one / 2**30:.1f}" for one in memory))
        rows.append([network.name, *sizes, str(steps), str(sum(counts) * len(texts)), f"{total / 1e15:.2f}"])
    heading = ("model", "parameters", "GiB a run", "GiB, remat", "steps a run", "runs", "Pflop, about")
    caption = f"bfloat16, adapters of rank {options.rank}; {len(lengths)} texts of about {sum(lengths)} tokens"
    return table("To be trained", heading, rows, caption=caption, words=(0,))


def _counts(network: Network, networks: Iterable[Network], strong: bool, options: Options) -> tuple[int, int]:
    """Runs of a network's weak models, and of it as a strong model."""
    teachers = sum(len(one.depths) for one in networks)
    pupils = teachers * len(options.labels) + 1 if strong else 0
    return len(network.depths) * options.splits, pupils * options.splits


def _operations(network: Network, one_pass: float, counts: tuple[int, int], options: Options) -> float:
    """Of all runs, from those of a pass of the whole network over all texts: a step costs about three passes."""
    each = 3 * options.epochs * SHARES[0] + 1
    depths = sum(network.depths) * options.splits / network.whole
    return one_pass * (depths * each + counts[1] * each)


def _table(result: dict[str, Any]) -> Any:
    """The leading predictors, on the terminal."""
    able = [pair for pair in result["pairs"] if pair["able"]]
    rows = [
        [one["title"], correlation(one["spearman"], one["least"], one["most"])]
        for one in [one for one in result["means"] if not one["hindsight"]][:SHOWN]
    ]
    told = f"{len(result['pairs']) - len(able)} strong models are not surely above chance, and are left out."
    return table(
        f"Spearman correlation with the measured Err_w2s, mean of {len(able)} tasks and strong models",
        ("predictor", "mean (of a pair)"),
        rows,
        caption=told,
    )
