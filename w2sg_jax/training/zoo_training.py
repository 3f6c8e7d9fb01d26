"""Train the zoo and extract representations, two models at a time, with everything finished kept on disk.

Each model has a folder `cache/NAME-KEY`, where KEY is a hash of all that its content depends on: both
configurations, the corpus, the molecules to represent, the code of the encoders and of their training, and
the versions of JAX, Flax and Optax. So a second run reuses exactly what is still valid, and an interrupted
one goes on from its last checkpoint. What is damaged counts as missing.
"""

import functools
import hashlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TypeVar

import numpy as np
from jaxtyping import Float32
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from .. import store
from .._errors import InputError
from ..datasets import MoleculeSet
from ..encoders import Encoder, SmilesTokenizer, TokenSet, encode, load_encoder, save_encoder
from ..store.atomic import remove_stale
from ..store.trees import read_metadata
from . import TrainingProgress, pretrain
from .checkpoint import code_fingerprint, run_fingerprint
from .zoo import ModelPlan

ENCODING_SHARE = 0.05
"""Share of a model's cost that extracting its representations takes, for the bar."""


class ZooProgress:
    """Progress of several models that are trained at the same time, from several threads."""

    def __init__(self, plans: tuple[ModelPlan, ...], console: Console):
        self._console, self._plans, self._lock = console, plans, threading.Lock()
        self._done = dict.fromkeys((plan.name for plan in plans), 0.0)
        self._finished = 0
        self._lines: dict[str, TaskID] = {}
        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, console=console)
        self._all = self._bar.add_task(self._title(), total=sum(plan.cost for plan in plans))

    def __enter__(self) -> "ZooProgress":
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def resumed(self, plan: ModelPlan) -> None:
        """A model's training was interrupted and goes on."""
        self._console.print(f"  {plan.name:<14} goes on from its last checkpoint", highlight=False)

    def damaged(self, plan: ModelPlan, name: str) -> None:
        """A file of an earlier run is damaged and was deleted."""
        self._console.print(f"  {plan.name:<14} {name} is damaged and is made again", highlight=False)

    def training(self, plan: ModelPlan, state: TrainingProgress) -> None:
        """A model has come to `state.step`."""
        text = f"step {state.step}/{state.steps}, loss {state.loss:.3f}, {state.tokens_per_second:,.0f} tokens/s"
        self._update(plan, (1 - ENCODING_SHARE) * state.step / state.steps, text)

    def representing(self, plan: ModelPlan, done: int, total: int) -> None:
        """A trained model has represented `done` of `total` molecules."""
        self._update(plan, 1 - ENCODING_SHARE * (1 - done / total), f"representations {done}/{total}")

    def finished(self, plan: ModelPlan, seconds: float, *, reused: bool) -> None:
        """A model is trained and its representations are on disk."""
        with self._lock:
            if plan.name in self._lines:
                self._bar.remove_task(self._lines.pop(plan.name))
            self._finished += 1
            self._advance(plan, 1.0)
        how = "reused from an earlier run" if reused else f"trained in {seconds:.0f} s"
        self._console.print(f"  {plan.name:<14} {how}", highlight=False)

    def _update(self, plan: ModelPlan, share: float, text: str) -> None:
        with self._lock:
            if plan.name not in self._lines:
                self._lines[plan.name] = self._bar.add_task("", total=1.0)
            line = self._lines[plan.name]
            self._bar.update(line, completed=share, description=f"  {plan.name:<14} {text}")
            self._advance(plan, share)

    def _advance(self, plan: ModelPlan, share: float) -> None:
        self._done[plan.name] = share
        completed = sum(model.cost * self._done[model.name] for model in self._plans)
        self._bar.update(self._all, completed=completed, description=self._title())

    def _title(self) -> str:
        return f"encoders {self._finished}/{len(self._plans)}"


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


WORKERS = 2
"""Models trained at a time: matrices this small leave a core idle when only one is."""

CHECKPOINT_EVERY = 50
"""Steps lost at most to an interruption."""


@dataclass(frozen=True)
class Corpus:
    """What all models share: the text they are trained on and the molecules that they represent."""

    tokenizer: SmilesTokenizer
    """vocabulary of all molecules, labelled sets included (their structures, not their labels)"""
    pretraining: TokenSet
    """the unlabelled molecules that models are trained on"""
    datasets: tuple[MoleculeSet, ...]
    """the labelled sets to represent"""

    @classmethod
    def build(cls, pretraining: Sequence[str], datasets: Sequence[MoleculeSet]) -> "Corpus":
        """Tokenize once. The vocabulary covers every set, so that no token of a labelled molecule is unknown."""
        everything = [*pretraining, *(one for data in datasets for one in data.smiles)]
        tokenizer = SmilesTokenizer.from_corpus(everything)
        return cls(tokenizer, tokenizer.encode(pretraining), tuple(datasets))


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """One model of the zoo, trained, with its representations."""

    plan: ModelPlan
    """what was trained"""
    key: str
    """hash of everything that the result depends on"""
    folder: Path
    """where it is kept"""
    representations: dict[str, Float32[np.ndarray, "n width"]]
    """name of the data set -> one row a molecule, in the order of the set"""
    reused: bool
    """whether all of it was there already"""


def train_zoo(
    plans: Sequence[ModelPlan], corpus: Corpus, cache: Path, progress: ZooProgress
) -> dict[str, TrainedModel]:
    """Train every model and extract its representations, or read what an earlier run left in `cache`.

    An interruption (Ctrl-C) stops the workers at their next report and is raised again; the finished models and the
    checkpoints of the others stay.

    Returns:
        name -> model, in the order of `plans`.

    Cost: see `DEFAULT_ZOO`; memory for two models at a time.
    """
    stop = threading.Event()
    jobs = {plan.name: functools.partial(_prepare, plan, corpus, cache, progress, stop) for plan in plans}
    return run_jobs(jobs, WORKERS, stop)


def model_key(plan: ModelPlan, corpus: Corpus) -> str:
    """sha256 of everything that a model's weights and representations depend on."""
    digest = hashlib.sha256()
    digest.update(run_fingerprint(plan.encoder(corpus.tokenizer.size), corpus.pretraining, plan.training).encode())
    for text in (*corpus.tokenizer.tokens, *(one for data in corpus.datasets for one in (data.name, *data.smiles))):
        digest.update(text.encode() + b"\0")
    digest.update(code_fingerprint().encode())
    return digest.hexdigest()


def _prepare(
    plan: ModelPlan, corpus: Corpus, cache: Path, progress: ZooProgress, stop: threading.Event
) -> TrainedModel:
    key = model_key(plan, corpus)
    folder = cache / f"{plan.name}-{key[:12]}"
    folder.mkdir(parents=True, exist_ok=True)
    remove_stale(folder)
    started = time.perf_counter()
    representations = _kept(plan, corpus, folder, progress)
    reused = representations is not None
    if representations is None:
        encoder = _train(plan, corpus, folder, progress, stop)
        _represent(plan, corpus, encoder, folder, progress, stop)
        representations = {data.name: np.asarray(store.load(_path(folder, data))) for data in corpus.datasets}
    progress.finished(plan, time.perf_counter() - started, reused=reused)
    return TrainedModel(plan, key, folder, representations, reused)


def _path(folder: Path, data: MoleculeSet) -> Path:
    return folder / f"{data.name}.safetensors"


def _kept(plan: ModelPlan, corpus: Corpus, folder: Path, progress: ZooProgress) -> dict[str, np.ndarray] | None:
    """The representations of an earlier run, if all of them and their encoder are there and whole.

    Damaged files are deleted, so that they are made again.
    """
    found: dict[str, np.ndarray] = {}
    encoder = folder / "encoder.safetensors"
    complete = encoder.exists()
    if complete:
        try:
            read_metadata(encoder)
        except InputError:
            complete = _drop(plan, encoder, progress)
    for data in corpus.datasets:
        path = _path(folder, data)
        if not path.exists():
            continue
        try:
            found[data.name] = np.asarray(store.load(path))
            if found[data.name].shape != (len(data), plan.width):
                complete = _drop(plan, path, progress)
        except InputError:
            complete = _drop(plan, path, progress)
    return found if complete and len(found) == len(corpus.datasets) else None


def _drop(plan: ModelPlan, path: Path, progress: ZooProgress) -> bool:
    """Deletes a damaged file; False, for what is no longer complete."""
    path.unlink()
    progress.damaged(plan, path.name)
    return False


def _train(plan: ModelPlan, corpus: Corpus, folder: Path, progress: ZooProgress, stop: threading.Event) -> Encoder:
    def report(state: TrainingProgress) -> None:
        progress.training(plan, state)
        if stop.is_set():
            raise Stopped(plan.name)

    path, checkpoint = folder / "encoder.safetensors", folder / "checkpoint.safetensors"
    if path.exists():
        try:
            return load_encoder(path)
        except InputError:
            _drop(plan, path, progress)
    train = functools.partial(
        pretrain,
        plan.encoder(corpus.tokenizer.size),
        corpus.pretraining,
        plan.training,
        checkpoint=checkpoint,
        checkpoint_every=CHECKPOINT_EVERY,
        on_progress=report,
    )
    if checkpoint.exists():
        progress.resumed(plan)
    try:
        trained = train()
    except InputError:
        if not checkpoint.exists():
            raise
        _drop(plan, checkpoint, progress)
        trained = train()
    save_encoder(path, trained.encoder)
    checkpoint.unlink()
    return trained.encoder


def _represent(
    plan: ModelPlan, corpus: Corpus, encoder: Encoder, folder: Path, progress: ZooProgress, stop: threading.Event
) -> None:
    done, total = 0, sum(map(len, corpus.datasets))

    def report(molecules: int) -> None:
        nonlocal done
        done += molecules
        progress.representing(plan, done, total)
        if stop.is_set():
            raise Stopped(plan.name)

    smiles = [one for data in corpus.datasets for one in data.smiles]
    rows = encode(encoder, corpus.tokenizer, smiles, on_batch=report)
    ends = np.cumsum([len(data) for data in corpus.datasets])[:-1]
    for data, part in zip(corpus.datasets, np.split(rows, ends), strict=True):
        store.save(_path(folder, data), part)
