"""What is measured: representations are extracted, and trials run that have no record yet."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from w2sg_jax import InputError, batch
from w2sg_jax.batch.local import cores
from w2sg_jax.batch.tables import told_failures
from w2sg_jax.batch.trial import TrialFunction
from w2sg_jax.encoders.hub import located
from w2sg_jax.terminal.progress import progress_bar

from . import hub
from .measure import Ceilings, Labelled, Supervision, ceilings, cost, errors, supervise
from .models import NETWORKS, STRONG, TASKS, Network, Task, family, network_of
from .options import Options
from .represent import Plan, Represented, plan, represent
from .trials import CEILING, Pairs, above_chance

CHUNK = 16
"""Weak models of a trial, at most: a minute's work, or a few."""
TIMED = 4
"""Weak models of a task that costs of predictors are measured on."""


def networks_of(options: Options) -> tuple[Network, ...]:
    """Of the zoo that was asked for."""
    return NETWORKS if options.zoo == "layers" else tuple(hub.SHAPES)


def strong_of(options: Options) -> tuple[str, ...]:
    """Names of the strong models of the zoo that was asked for."""
    return STRONG if options.zoo == "layers" else tuple(network.name for network in hub.STRONG)


def asked(options: Options) -> tuple[list[Task], Mapping[Network, str]]:
    """Tasks, and networks with where each is read (InputError: a name that there is not, or no strong model)."""
    known = {task.name: task for task in TASKS}
    unknown = [name for name in options.tasks if name not in known]
    if unknown or not options.tasks:
        raise InputError(f"tasks: {', '.join(unknown) or 'none'}; choose of {', '.join(known)}")
    known_networks = {network.name: network for network in networks_of(options)}
    places = located(options.models, {name: network.hub for name, network in known_networks.items()})
    networks, strong = {known_networks[name]: where for name, where in places.items()}, strong_of(options)
    if not {network_of(name) for name in strong} & {network.name for network in networks}:
        raise InputError(
            f"models: none of them has a strong model ({', '.join(strong)}); give one of those networks too"
        )
    return [known[name] for name in dict.fromkeys(options.tasks)], networks


def plans(options: Options) -> list[Plan]:
    """What is to be extracted, task by task (InputError: as ``asked``, or a model that cannot be used)."""
    tasks, networks = asked(options)
    store = options.out / "store"
    return [plan(task, networks, options.data_dir, store, options.dtype) for task in tasks]


def represent_all(found: Sequence[Plan], options: Options, console: Console) -> list[Represented]:
    """Extract what is missing, with a bar over texts."""
    done, total = 0, sum(one.rows for task in found for one in task.networks.values())
    represented = []
    with progress_bar(console, "texts") as bar:
        for task in found:

            def report(rows: int, _: int, done: int = done) -> None:
                if bar is not None:
                    bar(done + rows, total)

            represented.append(represent(task, options.splits, options.out / "tasks", options.out / "store", report))
            done += sum(one.rows for one in task.networks.values())
    return represented


def measure_all(tasks: Sequence[Represented], options: Options, console: Console) -> Pairs | None:
    """Run every trial that has no record yet; None, after a report, where one failed.

    Predictors are computed beside strong models that are surely better than chance: every one on the first split, on
    the others those alone that need little time.
    """
    wanted = strong_of(options)
    rows: list[dict[str, Any]] = []
    about: dict[str, dict[str, Any]] = {}
    for task in tasks:
        strong = tuple(name for name in wanted if name in task.models)
        paths = tuple(task.models[name] for name in strong)
        one_split = [Labelled(task.label, task.group, part) for part in task.parts]
        found = _run(ceilings, [Ceilings(paths, labelled) for labelled in one_split], options, console)
        if found is None:
            return None
        about[task.task.name] = _about(task, strong, found)
        able = tuple(name for name in strong if above_chance(about[task.task.name]["strong"][name]))
        planned, results = [], []
        for function, beside in ((supervise, able), (errors, tuple(name for name in strong if name not in able))):
            own = list(_planned(task, beside, one_split))
            of_own = _run(function, [config for _, _, config in own], options, console)
            if of_own is None:
                return None
            planned, results = planned + own, results + of_own
        timed = [Supervision(_timed(task), (task.models[able[0]],), one_split[0], True)] if able else []
        costs = _run(cost, timed, options, console)  # after the others, which would take its core
        if costs is None:
            return None
        about[task.task.name]["seconds"] = costs[0] if costs else {}
        for (names, beside, config), result in zip(planned, results, strict=True):
            rows += _rows(task, names, beside, one_split.index(config.labelled), result)
    return Pairs(rows, about)


def _planned(
    task: Represented, strong: tuple[str, ...], one_split: Sequence[Labelled]
) -> Iterator[tuple[tuple[str, ...], tuple[str, ...], Supervision]]:
    """Weak models, strong models, and their trial; weak ones by family, and of a family in neighbouring layers."""
    beside = tuple(task.models[name] for name in strong)
    families: dict[str, list[str]] = {}
    for name in task.models:
        families.setdefault(family(name), []).append(name)
    for split, labelled in enumerate(one_split):
        for names in families.values():
            for start in range(0, len(names), CHUNK):
                weak = tuple(names[start : start + CHUNK])
                if strong:
                    yield (
                        weak,
                        strong,
                        Supervision(tuple(task.models[name] for name in weak), beside, labelled, split == 0),
                    )


def _timed(task: Represented) -> tuple[Path, ...]:
    """Some weak models, of every kind."""
    paths = list(task.models.values())
    return tuple(paths[place] for place in np.linspace(0, len(paths) - 1, TIMED).astype(int))


def _about(task: Represented, strong: Sequence[str], found: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """What is reported of a task beside its pairs."""
    return {
        "title": task.data.name,
        "rows": len(task.rows),
        "max_length": task.task.max_length,
        "sizes": [one["sizes"] for one in found],
        "label_variance": [one["label_variance"] for one in found],
        "strong": {
            name: {key: [one[key][place] for one in found] for key in CEILING} for place, name in enumerate(strong)
        },
    }


def _rows(
    task: Represented, weak: Sequence[str], strong: Sequence[str], split: int, result: Mapping[str, Any]
) -> Iterator[dict[str, Any]]:
    """Plain rows of a trial."""
    for place, name in enumerate(strong):
        numbers = {key: values[place] for kind in ("measured", "predictors") for key, values in result[kind].items()}
        numbers |= {f"ridge_{model}": values[place] for model, values in result["own_ridges"].items()}
        for index, model in enumerate(weak):
            if model != name:  # its own supervisor is none
                keys = {"task": task.task.name, "strong": name, "model": model, "family": family(model), "split": split}
                yield {**keys, **{key: values[index] for key, values in numbers.items()}, **task.about[model]}


def _run(
    function: TrialFunction[Any], configs: Sequence[Any], options: Options, console: Console
) -> list[Mapping[str, Any]] | None:
    """Results in the order of their configurations; None, after a report, where one failed."""
    if not configs:
        return []
    results = batch.run(
        function,
        configs,
        options.out / "trials",
        workers=options.workers if options.workers is not None else len(cores()),
        ray=options.ray,
        retry_failed=options.retry_failed,
        console=console,
    )
    if told_failures(results, console):
        return None
    return [record["result"] for record in results.records]
