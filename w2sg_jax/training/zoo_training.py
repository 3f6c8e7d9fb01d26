"""Train a zoo, group by group, with everything finished kept on disk.

A group of equal shapes has a folder `cache/NAME-KEY`; KEY is a hash of all that its models depend on: shape, trainings,
corpus, vocabulary, the version of the arithmetic, and the versions of JAX, Flax and Optax. Another corpus is another
key, so nothing stale is ever read, and an interrupted run goes on from its last checkpoints.
"""

import functools
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from rich.console import Console

from .._errors import InputError
from ..encoders import Encoder, EncoderConfig, SmilesTokenizer, TokenSet, load_encoder, save_encoder
from ..store.atomic import remove_stale, save_safetensors
from ..store.content import bytes_hash
from ..terminal.progress import Lines
from .checkpoint import code_fingerprint, run_fingerprint
from .loop import TrainingProgress
from .together import pretrain_together
from .zoo import Group, Zoo, grouped

WORKERS = 2
"""Groups trained at a time: matrices this small leave a core idle when only one is."""
CHECKPOINT_EVERY = 50
"""Steps lost at most to an interruption, of each group that is running."""
LONGEST = EncoderConfig(1).max_length
"""Tokens of a molecule that an encoder takes."""


class Damaged(InputError):
    """A file that an earlier run left in the cache is damaged."""


@dataclass(frozen=True)
class Corpus:
    """What all models of a zoo share: the vocabulary, and the molecules to train on."""

    tokenizer: SmilesTokenizer
    """covers the molecules to be represented too, so that none of their tokens is unknown"""
    tokens: TokenSet
    """what models are trained on"""
    too_long: int
    """molecules left out of the training because they are longer than batches are padded to"""

    @classmethod
    def build(cls, smiles: Sequence[str], represented: Mapping[str, Sequence[str]], *, longest: int) -> "Corpus":
        """Tokenize once.

        Args:
            smiles: molecules to train on.
            represented: name of a set -> the molecules that will be represented (structures, no labels).
            longest: tokens of a molecule to train on, as ``Zoo.longest``; those with more are left out and counted.

        Raises:
            InputError: no molecule short enough to train on, or one to represent that is too long for an encoder.
        """
        tokenizer = SmilesTokenizer.from_corpus([*smiles, *(one for own in represented.values() for one in own)])
        tokens = tokenizer.encode(smiles)
        fits = np.flatnonzero(tokens.lengths <= longest)
        if not len(fits):
            raise InputError(f"corpus: all of its {len(tokens)} molecules have more than {longest} tokens")
        for name, own in represented.items():
            lengths = tokenizer.encode(own).lengths
            if lengths.max() > LONGEST:
                row = int(lengths.argmax())
                raise InputError(f"{name}: row {row} has {lengths[row]} tokens; encoders take {LONGEST}")
        if len(fits) < len(tokens):
            tokens = tokenizer.encode([smiles[int(row)] for row in fits])
        return cls(tokenizer, tokens, len(smiles) - len(fits))


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """One model of a zoo, trained."""

    encoder: Encoder
    """its weights"""
    key: str
    """hash of everything that they depend on; models that are trained together have the same"""
    reused: bool
    """whether it was there already"""


def train_zoo(
    zoo: Zoo, corpus: Corpus, cache: Path, console: Console, *, retrain_damaged: bool
) -> dict[str, TrainedModel]:
    """Train what is not trained yet, equal shapes together; read what an earlier run left in `cache`.

    An interruption (Ctrl-C) stops the workers at their next report and is raised again; finished groups and the
    checkpoints of the others stay.

    Args:
        zoo: The models.
        corpus: What they are trained on.
        cache: Folder of everything that is kept.
        console: A line for each group that is done, and, on a terminal, how far the others are.
        retrain_damaged: Train a group again, and say so, when a file of it is damaged.

    Returns:
        name -> model, in the order of `zoo.plans`.

    Raises:
        Damaged: a file of an earlier run is damaged, and `retrain_damaged` is False.
        InputError, FloatingPointError: as ``pretrain_together``.

    Cost: that of ``pretrain_together``; memory for two groups at a time.
    """
    stop = threading.Event()
    groups = sorted(grouped(zoo.plans), key=lambda group: -group.cost)  # the largest first, so that none is last
    keys = {group: group_key(group, corpus) for group in groups}
    folders = {group: cache / f"{group.name}-{key[:12]}" for group, key in keys.items()}
    with Lines(console, "encoders", {folders[group].name: group.cost for group in groups}) as lines:
        jobs = {
            folders[group].name: functools.partial(_group, group, folders[group], corpus, lines, stop, retrain_damaged)
            for group in groups
        }
        done = run_jobs(jobs, WORKERS, stop)
    found: dict[str, TrainedModel] = {}
    for group in groups:
        encoders, reused = done[folders[group].name]
        found |= {
            name: TrainedModel(encoder, keys[group], reused)
            for name, encoder in zip(group.names, encoders, strict=True)
        }
    return {plan.name: found[plan.name] for plan in zoo.plans}


def group_key(group: Group, corpus: Corpus) -> str:
    """sha256 of everything that the weights of a group depend on."""
    encoder = group.shape.encoder(corpus.tokenizer.size)
    run = run_fingerprint(encoder, corpus.tokens, *group.trainings)
    return bytes_hash(run.encode(), "\0".join(corpus.tokenizer.tokens).encode(), code_fingerprint().encode())


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


def _group(
    group: Group, folder: Path, corpus: Corpus, lines: Lines, stop: threading.Event, retrain_damaged: bool
) -> tuple[list[Encoder], bool]:
    """The encoders of a group, and whether they were there already."""
    folder.mkdir(parents=True, exist_ok=True)
    remove_stale(folder)
    started = time.perf_counter()
    train = functools.partial(_train, group, folder, corpus, lines, stop)
    try:
        kept = load_group(group, folder)
        encoders = train() if kept is None else kept
    except InputError as error:
        files = list(folder.glob("*.safetensors"))
        if not files:
            raise
        if not retrain_damaged:
            raise Damaged(str(error)) from error
        lines.print(f"{group.name:<14} a file is damaged and all is trained again ({error})")
        for path in files:
            path.unlink()
        kept, encoders = None, train()
    models = "" if len(encoders) == 1 else f"{len(encoders)} models "
    seconds = time.perf_counter() - started
    how = "reused from an earlier run" if kept is not None else f"trained in {seconds:.0f} s"
    lines.finished(folder.name, f"{group.name:<14} {models}{how}")
    return encoders, kept is not None


def _train(group: Group, folder: Path, corpus: Corpus, lines: Lines, stop: threading.Event) -> list[Encoder]:
    """Train a group, from its checkpoint where there is one, and keep its encoders and their losses."""

    def report(state: TrainingProgress) -> None:
        text = f"step {state.step}/{state.steps}, loss {state.loss:.3f}, {state.tokens_per_second:,.0f} tokens/s"
        lines.running(folder.name, state.step / state.steps, f"{group.name:<14} {text}")
        if stop.is_set():
            raise Stopped(group.name)

    checkpoint = folder / "checkpoint.safetensors"
    if checkpoint.exists():
        lines.print(f"{group.name:<14} goes on from its last checkpoint")
    trained = pretrain_together(
        group.shape.encoder(corpus.tokenizer.size),
        corpus.tokens,
        group.trainings,
        order_seed=group.order_seed,
        checkpoint=checkpoint,
        checkpoint_every=CHECKPOINT_EVERY,
        on_progress=report,
    )
    for name, one in zip(group.names, trained, strict=True):
        save_safetensors(folder / f"{name}-losses.safetensors", {"losses": one.losses})
        save_encoder(folder / f"{name}.safetensors", one.encoder)
    checkpoint.unlink(missing_ok=True)
    return [one.encoder for one in trained]


Result = TypeVar("Result")


class Stopped(Exception):
    """Raised inside a job that finds `stop` set."""


def run_jobs(jobs: Mapping[str, Callable[[], Result]], workers: int, stop: threading.Event) -> dict[str, Result]:
    """Run all jobs, `workers` at a time.

    Args:
        jobs: by name, in the order in which they start.
        workers: threads.
        stop: is set when a job fails or the user interrupts; jobs look at it whenever they report.

    Returns:
        name -> result, in the same order.

    Raises:
        BaseException: what the first job to fail raised, or KeyboardInterrupt, once the others have stopped.
    """
    with ThreadPoolExecutor(workers, thread_name_prefix="w2sg") as pool:
        futures = {name: pool.submit(job) for name, job in jobs.items()}
        try:
            done, _ = wait(futures.values(), return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        return {name: future.result() for name, future in futures.items()}
