"""The trials of the leaderboard: which there are, and their results."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from experiments.molecules.obtain import represented_by_zoo
from experiments.molecules.options import PUBLISHED
from experiments.molecules.options import Options as MolecularOptions
from experiments.molecules.represent import Represented
from experiments.molecules.sets import checked, labelled_sets
from w2sg_jax import batch
from w2sg_jax.batch.local import cores
from w2sg_jax.batch.tables import told_failures
from w2sg_jax.training.zoo import Zoo

from .measure import Supervision, cost, supervise
from .options import Options


@dataclass(frozen=True)
class Task:
    """One labelled set with its trials.

    Attributes:
        name: of the set.
        models: names of the weak models.
        splits: one trial each.
    """

    name: str
    models: tuple[str, ...]
    splits: tuple[Supervision, ...]


@dataclass(frozen=True)
class Measured:
    """The results of a task: of ``supervise``, one a split, and of ``cost``."""

    task: Task
    splits: Sequence[Mapping[str, Any]]
    seconds: Mapping[str, float]


def represented(options: Options, zoo: Zoo, console: Console) -> list[Represented]:
    """Every set of the molecular experiment, by the trained zoo of the repository."""
    molecular = MolecularOptions(sets=options.sets, data_dir=options.data_dir, splits=options.splits, seed=options.seed)
    datasets = checked(labelled_sets(molecular, console), molecular, console)
    return represented_by_zoo(PUBLISHED, zoo, datasets, options.out / "representations", console)


def task_of(one: Represented, zoo: Zoo, options: Options) -> Task:
    """The trials of a set, beside the zoo's strong model."""
    strong = zoo.strong.name
    models = tuple(name for name in one.models if name != strong)
    weak = tuple(one.models[name] for name in models)
    splits = tuple(
        Supervision(
            weak, one.models[strong], one.molecules, one.target, options.splits, options.seed, split,
            every_predictor=split < options.splits_of_all,
        )
        for split in range(options.splits)
    )  # fmt: skip
    return Task(one.data.name, models, splits)


def measure_all(tasks: Sequence[Task], options: Options, console: Console) -> list[Measured] | None:
    """Run every trial that has no record yet; None, after a report, where one failed."""
    found = []
    for function in (supervise, cost):
        configs = [config for task in tasks for config in (task.splits if function is supervise else task.splits[:1])]
        results = batch.run(
            function,
            configs,
            options.out / "trials",
            workers=options.workers if options.workers is not None else len(cores()),
            retry_failed=options.retry_failed,
            console=console,
        )
        if told_failures(results, console):
            return None
        found.append(iter([record["result"] for record in results.records]))
    return [Measured(task, [next(found[0]) for _ in task.splits], next(found[1])) for task in tasks]
