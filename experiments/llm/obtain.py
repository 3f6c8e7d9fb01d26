"""What is trained: texts and splits are written, and trials run that have no record yet."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from w2sg_jax import InputError, batch, save
from w2sg_jax.batch.tables import told_failures
from w2sg_jax.batch.trial import TrialFunction
from w2sg_jax.datasets import load_text, text_splits
from w2sg_jax.datasets.text_splits import parts_of
from w2sg_jax.encoders.hub import fetched, located
from w2sg_jax.encoders.language_model import Pretrained, open_pretrained
from w2sg_jax.evaluation.leaderboard import RESAMPLED
from w2sg_jax.evaluation.two_classes import drawn_rows, standard_error, two_class_errors

from . import hub
from .measure import Foretold, Labelled, Model, Represented, Training, Tuning, foretell, represent, tune
from .models import NETWORKS, STRONG, TASKS, Network, Task
from .options import Options

SHARES = (0.35, 0.35, 0.3)
"""Of groups: labelled, weakly labelled, test."""
SEED = 0
"""Of the rows that are taken."""
TRUE, LOSSES = "true", "losses"
REPRESENTED = ("pretrained", "tuned")
"""Representations that predictors see: before and after fine-tuning."""


@dataclass(frozen=True)
class Written:
    """A task on disk: its texts and splits."""

    task: Task
    texts: tuple[str, ...]
    splits: tuple[Labelled, ...]


@dataclass(frozen=True)
class Asked:
    """What the options ask for."""

    tasks: tuple[Task, ...]
    networks: Mapping[Network, Path]
    """and where their files are"""
    opened: Mapping[Network, Pretrained]
    strong: tuple[Network, ...]

    def model(self, network: Network, depth: int) -> Model:
        """Of a network, its first blocks."""
        return Model(self.networks[network], depth)


def networks_of(options: Options) -> tuple[Network, ...]:
    """Of the zoo that was asked for."""
    return NETWORKS if options.zoo == "cuts" else tuple(hub.networks())


def strong_of(options: Options) -> tuple[str, ...]:
    """Names of the strong models of that zoo."""
    return STRONG if options.zoo == "cuts" else tuple(one.name for one in hub.networks() if not one.depths)


def asked(options: Options) -> Asked:
    """Tasks and networks.

    Raises:
        InputError: a network that there is not, or one of another depth than ours.
    """
    known = {task.name: task for task in TASKS}
    known_networks = {network.name: network for network in networks_of(options)}
    places = located(options.models, {name: network.hub for name, network in known_networks.items()})
    names = {name: known_networks[name] for name in places}
    strong = options.strong or strong_of(options)
    absent = [name for name in strong if name not in names]
    if absent:
        raise InputError(f"strong: {', '.join(absent)} is not among the models, {', '.join(names)}")
    networks = {names[name]: fetched(where) for name, where in places.items()}
    opened = {network: open_pretrained(where) for network, where in networks.items()}
    for network, model in opened.items():
        if model.depth != network.whole:
            raise InputError(
                f"models: {networks[network]} has {model.depth} blocks, {network.name} has {network.whole}; is it "
                "another model?"
            )
    tasks = tuple(known[name] for name in dict.fromkeys(options.tasks))
    return Asked(tasks, networks, opened, tuple(names[name] for name in dict.fromkeys(strong)))


def written(task: Task, options: Options) -> Written:
    """Write the texts of a task, their labels and splits."""
    data = load_text(task.name, options.data_dir)
    taken = text_splits(data, n=options.rows, shares=SHARES, seed=SEED)
    rows = np.sort(np.concatenate([taken.train, taken.w2s, taken.test]))
    texts = tuple(data.texts[row] for row in rows)
    folder = options.out / "tasks" / f"{task.name}-{len(rows)}"
    folder.mkdir(parents=True, exist_ok=True)
    path, label, group = folder / "texts.json", folder / "label.npy", folder / "group.npy"
    path.write_text(json.dumps(texts), encoding="utf-8")
    save(label, data.label[rows])
    save(group, data.group[rows])
    splits = []
    for seed in range(options.splits):
        part = folder / f"split-{seed}.npy"
        save(part, parts_of(data, rows, SHARES, seed))
        splits.append(Labelled(path, label, group, part))
    return Written(task, texts, tuple(splits))


@dataclass(frozen=True, eq=False)
class _Cell:
    """One split of a task."""

    task: Task
    split: int
    labelled: Labelled
    training: Training
    states: str

    @cached_property
    def label(self) -> np.ndarray:
        """(n,) 0 or 1."""
        return np.load(self.labelled.label, allow_pickle=False).astype(float)

    @cached_property
    def group(self) -> np.ndarray:
        """(n,)"""
        return np.load(self.labelled.group, allow_pickle=False)

    @cached_property
    def part(self) -> np.ndarray:
        """(n,) 0 labelled, 1 weakly labelled, 2 test."""
        return np.load(self.labelled.parts, allow_pickle=False)

    def tuning(self, model: Model, part: int, name: str, values: np.ndarray) -> Tuning:
        """Of a model on the rows of a part, with labels that are written under a name."""
        path = self.labelled.parts.parent / "labels" / f"{self.split}-{name}.npy"
        path.parent.mkdir(exist_ok=True)
        save(path, np.asarray(values, np.float32))
        return Tuning(model, self.labelled, part, path, self.training, self.states)


class _Failed(Exception):
    """Trials that failed, and were told of."""


def measure_all(found: Asked, tasks: Sequence[Written], options: Options, console: Console) -> dict[str, Any] | None:
    """Train what has no record yet; plain "rows" and "losses", or None, after a report, where a trial failed."""
    try:
        return _measured(found, list(_cells(tasks, options)), options, console)
    except _Failed:
        return None


def _cells(tasks: Sequence[Written], options: Options) -> Iterator[_Cell]:
    states = str(options.out / "states")
    for task in tasks:
        for split, labelled in enumerate(task.splits):
            training = Training(
                options.epochs,
                options.batch_size,
                options.learning_rate,
                options.rank,
                task.task.max_length,
                options.dtype,
                split,
            )
            yield _Cell(task.task, split, labelled, training, states)


def _measured(found: Asked, cells: Sequence[_Cell], options: Options, console: Console) -> dict[str, Any]:
    """Stage by stage, each on all splits of all tasks at once: models as they are, teachers and ceilings, pupils, and
    what was foretold."""

    def run(function: TrialFunction[Any], plan: Mapping[Any, Any]) -> dict[Any, Mapping[str, Any]]:
        return _run(function, plan, options, console)

    weak = [(network, depth) for network in found.networks for depth in network.depths]
    whole = {network.name: (network, network.whole) for network in found.strong}
    places = range(len(cells))
    known = run(
        represent,
        {
            (place, *one): Represented(
                found.model(*one), cells[place].labelled, cells[place].training, cells[place].states
            )
            for place in places
            for one in dict.fromkeys([*weak, *whole.values()])
        },
    )
    first: dict[Any, Tuning] = {}
    for place in places:
        cell = cells[place]
        for network, depth in weak:
            own = cell.label[cell.part == 0]
            first[place, network.called(depth)] = cell.tuning(found.model(network, depth), 0, TRUE, own)
        for name, one in whole.items():
            first[place, name] = cell.tuning(found.model(*one), 1, f"{TRUE}-weakly", cell.label[cell.part == 1])
    tuned = run(tune, first)
    second: dict[Any, Tuning] = {}
    for place in places:
        cell = cells[place]
        for network, depth in weak:
            name = network.called(depth)
            said = np.array(tuned[place, name]["probabilities"])[cell.part == 1]
            for kind in options.labels:
                values = said if kind == "soft" else (said > 0.5).astype(float)
                for strong, one in whole.items():
                    second[place, name, strong, kind] = cell.tuning(found.model(*one), 1, f"{kind}-{name}", values)
    taught = run(tune, second)
    told = run(
        foretell,
        {
            (place, network.called(depth), strong): Foretold(
                Path(known[place, network, depth]["states"]),
                Path(known[place, *one]["states"]),
                Path(tuned[place, network.called(depth)]["states"]),
                Path(tuned[place, strong]["states"]),
                cells[place].labelled,
            )
            for place in places
            for network, depth in weak
            for strong, one in whole.items()
        },
    )
    rows = [
        _row(cells[place], network, depth, strong, tuned, taught, told, place, options)
        for place in places
        for strong in whole
        for network, depth in weak
    ]
    curves = [_curve(cells[place], model, "true labels", one) for (place, model), one in tuned.items()]
    curves += [_curve(cells[key[0]], key[2], f"{key[1]}, {key[3]}", one) for key, one in taught.items()]
    return {"rows": rows, LOSSES: curves}


def _row(
    cell: _Cell,
    network: Network,
    depth: int,
    strong: str,
    tuned: Mapping[Any, Any],
    taught: Mapping[Any, Any],
    told: Mapping[Any, Any],
    place: int,
    options: Options,
) -> dict[str, Any]:
    """A weak and a strong model on one split: errors of fine-tuned models and of heads, and predictors."""
    name, test = network.called(depth), cell.part == 2
    y, group = cell.label[test], cell.group[test]

    def said(result: Mapping[str, Any]) -> np.ndarray:
        return np.array(result["probabilities"])[test]

    teacher, ceiling = said(tuned[place, name]), said(tuned[place, strong])
    row: dict[str, Any] = {"task": cell.task.name, "strong": strong, "model": name, "family": network.name}
    row |= {"split": cell.split, "depth": depth, "label_variance": float(y.var())}
    for number, kind in enumerate(options.labels):
        pupil = said(taught[place, name, strong, kind])
        found = two_class_errors(y, teacher, pupil, ceiling, group)
        if number == 0:
            row |= found | {RESAMPLED: (drawn_rows(group) @ (pupil - y) ** 2).tolist()}
        else:
            row |= {f"{kind}:{key}": value for key, value in found.items()}
    lead = (y - cell.label[cell.part == 1].mean()) ** 2 - (y - ceiling) ** 2
    row |= {"lead": float(lead.mean()), "lead_standard_error": standard_error(lead, group)}
    result = told[place, name, strong]
    for when in REPRESENTED:
        row |= {f"{when}:{key}": value for key, value in result[when].items()}
    for kind, heads in result["heads"].items():
        weak, w2s, best = (np.array(heads[one]) for one in ("weak", "w2s", "ceiling"))
        row |= {f"{kind}:{key}": value for key, value in two_class_errors(y, weak, w2s, best, group).items()}
    return row


def _curve(cell: _Cell, model: str, labels: str, result: Mapping[str, Any]) -> dict[str, Any]:
    """The losses of a run."""
    return {"task": cell.task.name, "split": cell.split, "model": model, "labels": labels, LOSSES: result[LOSSES]}


def _run(
    function: TrialFunction[Any], plan: Mapping[Any, Any], options: Options, console: Console
) -> dict[Any, Mapping[str, Any]]:
    """Results by the keys of their configurations (_Failed)."""
    results = batch.run(
        function,
        plan.values(),
        options.out / "trials",
        workers=options.workers,
        ray=options.ray,
        retry_failed=options.retry_failed,
        console=console,
    )
    if told_failures(results, console):
        raise _Failed
    return dict(zip(plan, (record["result"] for record in results.records), strict=True))
