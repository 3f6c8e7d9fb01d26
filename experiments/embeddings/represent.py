"""What every network and every kind of features makes of the texts of a task, in a store, beside their labels."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from w2sg_jax import InputError, save
from w2sg_jax.datasets import TextSet, load_text, text_splits
from w2sg_jax.datasets.text_splits import parts_of
from w2sg_jax.encoders.language_model import OWN, Key, Pretrained, open_pretrained
from w2sg_jax.extraction.texts import Extraction, Settings, extraction
from w2sg_jax.store.content import texts_hash
from w2sg_jax.store.entries import entry_of

from .features import VERSION, text_features
from .models import STRONG, Network, Task, called, network_of

SHARES = (0.35, 0.35, 0.3)
"""Of groups: labelled, weakly labelled, test."""
SEED = 0
"""Of the rows that are taken."""


@dataclass(frozen=True)
class Represented:
    """A task on disk.

    Attributes:
        task: as it is run.
        data: all of its rows.
        rows: those that are taken.
        label, group: (n,) npy.
        parts: (n,) npy, one a split; 0 labelled, 1 weakly labelled, 2 test.
        models: representation -> folder of its shards.
        about: representation -> what is known of it without texts: "layer", its share of the network's depth, and
            "parameters", of the embedding and of the layers up to it; both 0 for features.
    """

    task: Task
    data: TextSet
    rows: np.ndarray
    label: Path
    group: Path
    parts: tuple[Path, ...]
    models: Mapping[str, Path]
    about: Mapping[str, Mapping[str, float]]


@dataclass(frozen=True)
class Plan:
    """What is to be extracted of a task; nothing is written yet."""

    task: Task
    data: TextSet
    rows: np.ndarray
    texts: tuple[str, ...]
    networks: Mapping[Network, Extraction]
    opened: Mapping[Network, Pretrained]


def plan(task: Task, networks: Mapping[Network, str], data_dir: Path | None, store: Path, dtype: str) -> Plan:
    """The rows of a task, and what of their representations is missing (InputError: as ``extraction``)."""
    data = load_text(task.name, data_dir)
    taken = text_splits(data, n=task.rows, shares=SHARES, seed=SEED)
    rows = np.sort(np.concatenate([taken.train, taken.w2s, taken.test]))
    texts = tuple(data.texts[row] for row in rows)
    found, opened = {}, {}
    for network, where in networks.items():
        model = opened[network] = open_pretrained(where)
        layers = [] if network.own else network.keys(model.depth)
        keys = [key for layer, pool in layers for key in model.keys([layer], [pool])] or model.keys()
        lacking = [name for name in STRONG if network_of(name) == network.name and name not in _names(network, keys)]
        if lacking and not network.own:
            raise InputError(
                f"models: {where} has {model.depth} layers, and {network.name} would have {', '.join(lacking)}; "
                "is it another model?"
            )
        settings = Settings(max_length=task.max_length, prompt=network.prompt, dtype=dtype)
        found[network] = extraction(model, texts, keys, store, f"{task.name}-{len(rows)}", settings, name=network.name)
    return Plan(task, data, rows, texts, found, opened)


def _names(network: Network, keys: Sequence[Key]) -> set[str]:
    return {called(network, key) for key in keys}


def represent(
    plan: Plan, splits: int, folder: Path, store: Path, progress: Callable[[int, int], None] | None = None
) -> Represented:
    """Extract what is missing of a task, and write its labels and splits."""
    models: dict[str, Path] = {}
    about: dict[str, dict[str, float]] = {}
    total, before = sum(one.rows for one in plan.networks.values()), 0
    for network, one in plan.networks.items():
        one.run(None if progress is None else lambda done, _, before=before: progress(before + done, total))
        before += one.rows
        for key, entry in one.entries.items():
            name = called(network, key)
            models[name], about[name] = entry.folder, _about(plan.opened[network], key[0])
    found = _features(plan.task, plan.texts, store)
    models |= found
    about |= {name: {"layer": 0.0, "parameters": 0.0} for name in found}
    own = folder / plan.task.name
    own.mkdir(parents=True, exist_ok=True)
    label, group, parts = own / "label.npy", own / "group.npy", tuple(own / f"split-{n}.npy" for n in range(splits))
    save(label, plan.data.label[plan.rows])
    save(group, plan.data.group[plan.rows])
    for seed, path in enumerate(parts):
        save(path, parts_of(plan.data, plan.rows, SHARES, seed))
    return Represented(plan.task, plan.data, plan.rows, label, group, parts, models, about)


def _about(model: Pretrained, layer: int) -> dict[str, float]:
    """Of a layer."""
    embedding = model.config.vocabulary * model.config.width
    blocks = model.bytes_of(np.float32) / 4 - embedding
    share = 1.0 if layer == OWN else layer / model.depth
    return {"layer": share, "parameters": embedding + blocks * share}


def _features(task: Task, texts: Sequence[str], store: Path) -> dict[str, Path]:
    """Folder of each kind of features; they are kept as representations of networks are."""
    found = {}
    features = text_features(texts)
    for name, h in features.items():
        made_from = {"features": name, "version": VERSION, "texts": texts_hash(*texts)}
        entry = entry_of(store, f"{name}@{task.name}-{len(texts)}", len(h), h.shape[1], made_from)
        missing = entry.missing()
        if missing:
            entry.prepare()
        for part in missing:
            entry.write(part, h[entry.rows_of(part)])
        found[name] = entry.folder
    return found
