"""Train the zoo, group by group, with everything finished kept on disk.

A group has a folder `cache/NAME-KEY`; KEY is a hash of all that its models depend on: shapes, trainings, corpus, code
of the encoders and of their training, versions of JAX, Flax and Optax. Another corpus is another key, so nothing stale
is ever read; what is damaged is named and, on request, made again.
"""

import functools
import hashlib
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from w2sg_jax import InputError
from w2sg_jax.datasets import MoleculeSet
from w2sg_jax.encoders import Encoder, EncoderConfig, SmilesTokenizer, TokenSet, load_encoder, save_encoder
from w2sg_jax.store.atomic import remove_stale, save_safetensors
from w2sg_jax.training import TrainingProgress, pretrain_together
from w2sg_jax.training.checkpoint import code_fingerprint, run_fingerprint
from w2sg_jax.training.zoo_training import Stopped, run_jobs

from .zoo import EDGES, Group, Zoo

WORKERS = 2
"""Groups trained at a time on a CPU: matrices this small leave a core idle when only one is."""
CHECKPOINT_EVERY = 50
"""Steps that a kill loses at most, of each group that is running."""
LONGEST = EncoderConfig(1).max_length
"""Tokens of a molecule that an encoder takes."""


@dataclass(frozen=True)
class Corpus:
    """Vocabulary and the molecules to train on."""

    tokenizer: SmilesTokenizer
    """covers the labelled sets too (their structures, not their labels)"""
    tokens: TokenSet
    """what models are trained on"""
    too_long: int
    """molecules left out of the training because they have more tokens than `EDGES` hold"""

    @classmethod
    def build(cls, smiles: Sequence[str], datasets: Sequence[MoleculeSet]) -> "Corpus":
        """Tokenize once.

        Raises:
            InputError: no molecule short enough to train on, or a labelled one that is too long for an encoder.
        """
        tokenizer = SmilesTokenizer.from_corpus([*smiles, *(one for data in datasets for one in data.smiles)])
        tokens = tokenizer.encode(smiles)
        fits = np.flatnonzero(tokens.lengths <= EDGES[-1])
        if not len(fits):
            raise InputError(f"corpus: all of its {len(tokens)} molecules have more than {EDGES[-1]} tokens")
        for data in datasets:
            lengths = tokenizer.encode(data.smiles).lengths
            if lengths.max() > LONGEST:
                row = int(lengths.argmax())
                raise InputError(f"{data.name}: row {row} has {lengths[row]} tokens; encoders take {LONGEST}")
        if len(fits) < len(tokens):
            tokens = tokenizer.encode([smiles[int(row)] for row in fits])
        return cls(tokenizer, tokens, len(smiles) - len(fits))


class Watch:
    """One bar for the zoo, one line for each group that is running."""

    def __init__(self, groups: Sequence[Group], console: Console) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
        self.stop = threading.Event()
        self.console, self.bar, self._lock = console, Progress(*columns, console=console), threading.Lock()
        self._done = {group.shape.name: 0.0 for group in groups}
        self._all = self.bar.add_task("zoo", total=sum(group.cost for group in groups))

    @contextmanager
    def line(self, group: Group) -> Iterator["Line"]:
        """The line of a group while it runs."""
        task = self.bar.add_task(group.shape.name, total=1.0)
        try:
            yield Line(self, group, task)
        finally:
            self.bar.remove_task(task)

    def advance(self, group: Group, share: float) -> None:
        """This share of a group is done."""
        with self._lock:
            self._done[group.shape.name] = share * group.cost
            self.bar.update(self._all, completed=sum(self._done.values()))


@dataclass(frozen=True)
class Line:
    """What a group reports to."""

    watch: Watch
    group: Group
    task: TaskID

    def training(self, state: TrainingProgress) -> None:
        """Steps have been taken; ends the thread when the run is to stop."""
        if self.watch.stop.is_set():
            raise Stopped(self.group.shape.name)
        share = state.step / state.steps
        text = f"step {state.step}/{state.steps}, loss {state.loss:.3f}, {state.tokens_per_second:,.0f} tokens/s"
        self.watch.bar.update(self.task, completed=share, description=f"{self.group.shape.name} {text}")
        self.watch.advance(self.group, share)


def train_zoo(
    zoo: Zoo, corpus: Corpus, cache: Path, console: Console, *, retrain_damaged: bool = False
) -> dict[str, Encoder]:
    """Train what is not trained yet; return the encoders by name, the strong one first.

    An interruption (Ctrl-C) stops the workers at their next report; finished groups and checkpoints stay.

    Raises:
        InputError: a file of an earlier run is damaged, and `retrain_damaged` is False.
    """
    watch = Watch(zoo.groups, console)
    run = functools.partial(_group, corpus=corpus, cache=cache, watch=watch, retrain=retrain_damaged)
    largest_first = sorted(zoo.groups, key=lambda group: -group.cost)
    with watch.bar:
        jobs = {group.shape.name: functools.partial(run, group) for group in largest_first}
        trained = run_jobs(jobs, WORKERS, watch.stop)
    found = {name: model for models in trained.values() for name, model in models.items()}
    return {name: found[name] for group in zoo.groups for name in group.names}


def group_key(group: Group, corpus: Corpus) -> str:
    """sha256 of everything that the weights of a group depend on."""
    encoder = group.shape.encoder(corpus.tokenizer.size)
    digest = hashlib.sha256(run_fingerprint(encoder, corpus.tokens, *group.trainings).encode())
    digest.update("\0".join(corpus.tokenizer.tokens).encode())
    digest.update(code_fingerprint().encode())
    return digest.hexdigest()


def folder_of(group: Group, corpus: Corpus, cache: Path) -> Path:
    """Where the models of a group are kept."""
    return cache / f"{group.shape.name}-{group_key(group, corpus)[:12]}"


def load_group(group: Group, folder: Path) -> list[Encoder] | None:
    """The encoders of a group that has been trained; None where one is missing (InputError where one is damaged)."""
    paths = [folder / f"{name}.safetensors" for name in group.names]
    if not all(path.exists() for path in paths):
        return None
    encoders = [load_encoder(path) for path in paths]
    for path, encoder in zip(paths, encoders, strict=True):
        if encoder.config != group.shape.encoder(encoder.config.vocabulary):
            raise InputError(f"path: {path} holds an encoder of another shape; delete it and make it again")
    return encoders


def _group(group: Group, *, corpus: Corpus, cache: Path, watch: Watch, retrain: bool) -> dict[str, Encoder]:
    folder = folder_of(group, corpus, cache)
    folder.mkdir(parents=True, exist_ok=True)
    remove_stale(folder)
    try:
        encoders = _trained(group, corpus, folder, watch)
    except InputError as error:
        if not retrain:
            raise InputError(f"{error}; --retrain-damaged trains the group {group.shape.name} again") from error
        watch.console.print(f"{error}: training {group.shape.name} again", markup=False)
        for path in folder.glob("*.safetensors"):
            path.unlink()
        encoders = _trained(group, corpus, folder, watch)
    watch.advance(group, 1.0)
    return dict(zip(group.names, encoders, strict=True))


def _trained(group: Group, corpus: Corpus, folder: Path, watch: Watch) -> list[Encoder]:
    encoders = load_group(group, folder)
    if encoders is not None:
        return encoders
    with watch.line(group) as line:
        trained = pretrain_together(
            group.shape.encoder(corpus.tokenizer.size),
            corpus.tokens,
            group.trainings,
            checkpoint=folder / "checkpoint.safetensors",
            checkpoint_every=CHECKPOINT_EVERY,
            on_progress=line.training,
        )
    for name, one in zip(group.names, trained, strict=True):
        save_safetensors(folder / f"{name}-losses.safetensors", {"losses": one.losses})
        save_encoder(folder / f"{name}.safetensors", one.encoder)
    (folder / "checkpoint.safetensors").unlink(missing_ok=True)
    return [one.encoder for one in trained]
