"""One model fine-tuned on one split; and what representations and heads say of a weak and a strong one."""

import json
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

import w2sg_jax as w2sg
from w2sg_jax.batch import trial
from w2sg_jax.encoders.language_model import OWN, LanguageModel, open_pretrained
from w2sg_jax.evaluation.predictions import column, predictions
from w2sg_jax.predictors import PREDICTORS, Inputs
from w2sg_jax.predictors.predicted_error import own_ridges
from w2sg_jax.store.content import bytes_hash
from w2sg_jax.training import FinetuneConfig, Lora, finetune

LAST = "last"
"""The state of the last token: what heads and predictors see."""
RIDGE, FIXED, HEADS = 1e-2, "1e-2", "own"
"""Ridges of predictors: one for all models, and each model's own."""
STRENGTHS = tuple(float(f"{one:.3g}") for one in np.geomspace(1e-4, 1e2, 7))
"""Of logistic heads: the inverse of the penalty, of representations of unit trace."""
FOLDS, ITERATIONS = 5, 2000
"""Of logistic heads."""


@dataclass(frozen=True)
class Labelled:
    """A task and one split of it."""

    texts: Path
    """a list in JSON"""
    label: Path
    """(n,), npy: 0 or 1"""
    group: Path
    """(n,), npy: rows that belong together"""
    parts: Path
    """(n,), npy: 0 labelled, 1 weakly labelled, 2 test"""


@dataclass(frozen=True)
class Training:
    """How models are fine-tuned."""

    epochs: int
    batch_size: int
    learning_rate: float
    rank: int
    """of adapters; 0 for whole models"""
    max_length: int
    dtype: str
    seed: int

    @property
    def config(self) -> FinetuneConfig:
        """Of ``finetune``."""
        return FinetuneConfig(
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            lora=Lora(self.rank, 2.0 * self.rank) if self.rank else None,
            pool=LAST,
            max_length=self.max_length,
            dtype="bfloat16" if self.dtype == "bfloat16" else "float32",
            seed=self.seed,
        )


@dataclass(frozen=True)
class Model:
    """A network cut to its first blocks."""

    network: Path
    """a folder, or a GGUF file"""
    depth: int


@dataclass(frozen=True)
class Tuning:
    """A model, the rows that it learns from, and their labels."""

    model: Model
    labelled: Labelled
    part: int
    """0: the labelled rows, 1: the weakly labelled ones"""
    labels: Path
    """(rows,), npy: shares of the label 1"""
    training: Training
    states: str
    """folder for final states"""


@dataclass(frozen=True)
class Represented:
    """A model whose representations are wanted as it was pretrained."""

    model: Model
    labelled: Labelled
    training: Training
    states: str


@dataclass(frozen=True)
class Foretold:
    """A weak and a strong model: final states of every row, as pretrained and as fine-tuned."""

    weak: Path
    strong: Path
    weak_tuned: Path
    strong_tuned: Path
    """on true labels"""
    labelled: Labelled


@trial(version=1)
def tune(config: Tuning) -> dict[str, Any]:
    """Fine-tune; "probabilities" of the label 1 of every row, "losses" of every step, and where final "states" are."""
    task, model = _task(config.labelled), _model(config.model, config.training.dtype)
    rows = np.flatnonzero(task.part == config.part)
    labels = np.load(config.labels, allow_pickle=False).astype(np.float64)
    found = finetune(model, [task.texts[row] for row in rows], labels, config.training.config)
    said = found.say(task.texts)
    return {
        "probabilities": said.probabilities[:, 1].tolist(),
        "losses": found.losses.tolist(),
        "states": _kept(said.states, config, config.states),
    }


@trial(version=1)
def represent(config: Represented) -> dict[str, Any]:
    """Where final "states" of every row are, of the model as it was pretrained."""
    task, model = _task(config.labelled), _model(config.model, config.training.dtype)
    found = model.represent(task.texts, layers=[OWN], pools=[LAST], max_length=config.training.max_length)
    return {"states": _kept(found[OWN, LAST], config, config.states)}


@trial(version=1)
def foretell(config: Foretold) -> dict[str, Any]:
    """What predictors say, from pretrained and from fine-tuned representations, and what heads on frozen ones do.

    Returns:
        "pretrained" and "tuned": column of a predictor -> value; "heads": "ridge" and "logistic" -> what was said of
        the test rows, "weak", "w2s" and "ceiling".
    """
    task = _task(config.labelled)
    states = [np.load(path, allow_pickle=False).astype(np.float64) for path in (config.weak, config.strong)]
    tuned = [np.load(path, allow_pickle=False).astype(np.float64) for path in (config.weak_tuned, config.strong_tuned)]
    found = {name: _predicted(task, *pair) for name, pair in (("pretrained", states), ("tuned", tuned))}
    return {**found, "heads": {"ridge": _ridge_heads(task, *states), "logistic": _logistic_heads(task, *states)}}


@dataclass(frozen=True, eq=False)
class _Task:
    texts: list[str]
    label: Float64[np.ndarray, " n"]
    group: np.ndarray
    part: np.ndarray

    @property
    def rows(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of the parts."""
        train, w2s, test = (np.flatnonzero(self.part == one) for one in range(3))
        return train, w2s, test


@lru_cache(maxsize=2)
def _task(labelled: Labelled) -> _Task:
    label, group, part = (np.load(one, allow_pickle=False) for one in (labelled.label, labelled.group, labelled.parts))
    return _Task(json.loads(labelled.texts.read_text(encoding="utf-8")), label.astype(np.float64), group, part)


@lru_cache(maxsize=1)
def _model(model: Model, dtype: str) -> LanguageModel:
    pretrained = open_pretrained(model.network)
    cut = pretrained if model.depth == pretrained.depth else pretrained.cut(model.depth)
    return cut.load(dtype=dtype)


def _kept(states: np.ndarray, config: Any, folder: str) -> str:
    """Where states are written, by the hash of what they were made from."""
    told = json.dumps(asdict(config), sort_keys=True, default=str)
    path = Path(folder) / f"{bytes_hash(told.encode())[:32]}.npy"
    path.parent.mkdir(parents=True, exist_ok=True)
    w2sg.save(path, states.astype(np.float32))
    return str(path)


def _predicted(
    task: _Task, weak: Float64[np.ndarray, "n d_w"], strong: Float64[np.ndarray, "n d_s"]
) -> dict[str, float]:
    """Of every predictor, at the fixed and at own ridges."""
    train, w2s, _ = task.rows
    inputs = Inputs(
        weak[w2s],
        strong[w2s],
        train_weak=weak[train],
        train_strong=strong[train],
        train_labels=task.label[train, None],
        labels=task.label[w2s, None],
        groups=task.group[w2s],
        train_groups=task.group[train],
        ridge=(RIDGE, RIDGE),
    )
    own = own_ridges(inputs)
    heads = w2sg.ridge_path(weak[train], task.label[train], (RIDGE, own[0])).predict(weak[w2s])
    at = {
        name: replace(inputs.with_ridge(ridge), pseudo_labels=np.asarray(labels, np.float64))
        for (name, ridge), labels in zip({FIXED: (RIDGE, RIDGE), HEADS: own}.items(), heads, strict=True)
    }
    return {column(name, ridge): value for name, ridge, value in predictions(at, list(PREDICTORS))}


def _ridge_heads(task: _Task, weak: np.ndarray, strong: np.ndarray) -> dict[str, list[float]]:
    """With ridges by leave-one-out on the labelled rows."""
    train, w2s, test = task.rows
    ridges = [w2sg.leave_one_out(h[train], task.label[train], groups=task.group[train]).ridge for h in (weak, strong)]

    def fitted(h: np.ndarray, rows: np.ndarray, labels: np.ndarray, ridge: float, new: np.ndarray) -> np.ndarray:
        return np.asarray(w2sg.ridge_path(h[rows], labels, [ridge]).predict(h[new]), np.float64).reshape(-1)

    pseudo = fitted(weak, train, task.label[train], ridges[0], w2s)
    return {
        "weak": fitted(weak, train, task.label[train], ridges[0], test).tolist(),
        "w2s": fitted(strong, w2s, pseudo, ridges[1], test).tolist(),
        "ceiling": fitted(strong, w2s, task.label[w2s], ridges[1], test).tolist(),
    }


def _logistic_heads(task: _Task, weak: np.ndarray, strong: np.ndarray) -> dict[str, list[float]]:
    """With penalties by cross-validation on the labelled rows, groups whole; a soft label is two rows of its shares."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold, cross_val_score

    train, w2s, test = task.rows

    def scaled(h: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Centred and of unit trace on these rows."""
        centred = h - h[rows].mean(axis=0)
        return centred / np.sqrt((centred[rows] ** 2).sum() / len(rows))

    def chosen(h: np.ndarray) -> float:
        x, y = scaled(h, train)[train], task.label[train]
        folds = list(GroupKFold(FOLDS).split(train, groups=task.group[train]))
        heads = [LogisticRegression(C=one * len(train), max_iter=ITERATIONS) for one in STRENGTHS]
        losses = [-cross_val_score(head, x, y, cv=folds, scoring="neg_log_loss").mean() for head in heads]
        return STRENGTHS[int(np.argmin(losses))]

    def fitted(h: np.ndarray, rows: np.ndarray, shares: np.ndarray, strength: float, new: np.ndarray) -> np.ndarray:
        x = scaled(h, rows)
        head = LogisticRegression(C=strength * len(rows), max_iter=ITERATIONS)
        labels = np.repeat([0, 1], len(rows))
        head.fit(np.vstack([x[rows], x[rows]]), labels, np.concatenate([1 - shares, shares]))
        return head.predict_proba(x[new])[:, 1]

    weak_strength, strong_strength = chosen(weak), chosen(strong)
    pseudo = fitted(weak, train, task.label[train], weak_strength, w2s)
    return {
        "weak": fitted(weak, train, task.label[train], weak_strength, test).tolist(),
        "w2s": fitted(strong, w2s, pseudo, strong_strength, test).tolist(),
        "ceiling": fitted(strong, w2s, task.label[w2s], strong_strength, test).tolist(),
    }
