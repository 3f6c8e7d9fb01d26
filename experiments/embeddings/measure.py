"""Weak models beside every strong one, on one split: what weak labels cost, and what every predictor said before."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

import w2sg_jax as w2sg
from w2sg_jax.batch import trial
from w2sg_jax.evaluation.leaderboard import RESAMPLED
from w2sg_jax.evaluation.predictions import column, costs, predictions
from w2sg_jax.evaluation.two_classes import drawn_rows, standard_error, two_class_errors
from w2sg_jax.predictors import PREDICTORS, Inputs
from w2sg_jax.predictors.predicted_error import own_ridges

FIXED, OWN = "1e-2", "own"
"""Names of ridges: one for all models, and each model's own, by leave-one-out on the labelled split."""
RIDGE = 1e-2
PATH = (1e-4, 1e-3, 1e-2, 1e-1)
"""Fixed ridges of heads, and of maps of predictors, beside the models' own."""
HEADS = (*(f"{ridge:.0e}".replace("e-0", "e-") for ridge in PATH), OWN)
MAPPED = ("norm", "supervised")
"""Predictors of which there is a map over ridges."""
MAPS = ("1e-4", FIXED, OWN)
"""Its ridges."""
EVERY_SPLIT = (
    *("predicted_err_w2s", "predicted_pred_gap", "predicted_gain", "cross_validated_err_w2s"),
    *("leave_one_out_weak", "leave_one_out_strong", "probe_difference", "supervised", "width"),
)
"""Predictors that are computed on every split; the others on the first."""
AT_OWN = ("predicted_err_w2s", "predicted_pred_gap", "predicted_gain", "cross_validated_err_w2s", "predicted", "misfit")
"""Predictors at own ridges alone: they are of heads that have these."""


@dataclass(frozen=True)
class Labelled:
    """A task and one split of it."""

    label: Path
    """(n,), npy"""
    group: Path
    """(n,), npy: rows of one are left out together"""
    parts: Path
    """(n,), npy: 0 labelled, 1 weakly labelled, 2 test"""


@dataclass(frozen=True)
class Ceilings:
    """Strong models on one split."""

    strong: tuple[Path, ...]
    """(n, d_strong), folders of safetensors"""
    labelled: Labelled


@dataclass(frozen=True)
class Supervision:
    """Weak models beside strong ones, on one split."""

    weak: tuple[Path, ...]
    """(n, d_weak), folders of safetensors"""
    strong: tuple[Path, ...]
    """(n, d_strong), folders of safetensors"""
    labelled: Labelled
    every_predictor: bool
    """or those of ``EVERY_SPLIT`` alone, at own ridges"""


@trial(version=1)
def ceilings(config: Ceilings) -> dict[str, Any]:
    """By how much each strong model, fitted on true labels, is better than their mean; and the standard error of that.

    Differences of squared errors on test rows, of which a group counts once.
    """
    task = _Task.read(config.labelled)
    train, w2s, test = task.rows
    found: dict[str, list[float]] = {"lead": [], "standard_error": [], "err_ceiling": [], "err_ceiling_01": []}
    y, middle = task.label[test], task.label[w2s].mean()
    for path in config.strong:
        h = _representation(path)
        ridge = w2sg.leave_one_out(h[train], task.label[train], groups=task.group[train]).ridge
        f = np.asarray(w2sg.ridge_path(h[w2s], task.label[w2s], [ridge]).predict(h[test]), np.float64).reshape(-1)
        lead = (y - middle) ** 2 - (y - f) ** 2
        found["lead"].append(float(lead.mean()))
        found["standard_error"].append(standard_error(lead, task.group[test]))
        found["err_ceiling"].append(float(((y - f) ** 2).mean()))
        found["err_ceiling_01"].append(float(((f > 0.5) != (y > 0.5)).mean()))
    return found | {"label_variance": float(y.var()), "sizes": [len(rows) for rows in task.rows]}


@trial(version=2)
def supervise(config: Supervision) -> dict[str, Any]:
    """Measured errors and predictors by ridge: for each a list a strong model, in it a number a weak model.

    Pseudo-labels that some predictors see are those of a weak head with the predictor's ridge.
    """
    task, every = _Task.read(config.labelled), config.every_predictor
    names = PREDICTORS if every else EVERY_SPLIT
    found: dict[str, dict[str, list[list[Any]]]] = {"measured": {}, "predictors": {}, "own_ridges": {}}

    def keep(kind: str, name: str, place: int, value: float | list[float]) -> None:
        found[kind].setdefault(name, [[] for _ in config.strong])[place].append(value)

    heads: list[_WeakHeads] = []
    for path in config.weak:
        weak = task.inputs(path, config.strong[0])
        for place, other in enumerate(config.strong):
            inputs = weak.beside(_strong(config.labelled, other))
            own = own_ridges(inputs)
            keep("own_ridges", "weak", place, own[0])
            keep("own_ridges", "strong", place, own[1])
            if place == 0:
                heads.append(_weak_heads(task, path, own[0]))
            at_ridges = _at_ridges(inputs, own, heads[-1], every=every)
            of_heads = {OWN: at_ridges[OWN]}
            for at, chosen in ((at_ridges, set(names) - set(AT_OWN)), (of_heads, set(names) & set(AT_OWN))):
                for name, ridge, value in predictions(at, [name for name in names if name in chosen]):
                    keep("predictors", column(name, ridge), place, value)
            for ridge, called in zip(PATH, HEADS, strict=False):
                if not every or called not in MAPS or called == FIXED:  # which all predictors have
                    continue
                at_ridge = inputs.with_ridge((ridge, ridge))
                for name in MAPPED:
                    keep("predictors", column(name, called), place, PREDICTORS[name].value(at_ridge))
    for place, other in enumerate(config.strong):
        for one in _measured(task, other, found["own_ridges"]["strong"][place][0], heads):
            for name, value in one.items():
                keep("measured", name, place, value)
    return found


@trial(version=1)
def errors(config: Supervision) -> dict[str, Any]:
    """Measured errors alone, as ``supervise`` has them: where nothing can be ranked, no predictor is asked."""
    task = _Task.read(config.labelled)
    train = task.rows[0]

    def own_ridge(path: Path) -> float:
        return w2sg.leave_one_out(_representation(path)[train], task.label[train], groups=task.group[train]).ridge

    weak = [own_ridge(path) for path in config.weak]
    heads = [_weak_heads(task, path, ridge) for path, ridge in zip(config.weak, weak, strict=True)]
    found: dict[str, dict[str, list[list[Any]]]] = {"measured": {}, "own_ridges": {"weak": [], "strong": []}}
    for place, other in enumerate(config.strong):
        strong = own_ridge(other)
        found["own_ridges"]["weak"].append(weak)
        found["own_ridges"]["strong"].append([strong] * len(weak))
        for one in _measured(task, other, strong, heads):
            for name, value in one.items():
                found["measured"].setdefault(name, [[] for _ in config.strong])[place].append(value)
    return {**found, "predictors": {}}


@trial(version=1)
def cost(config: Supervision) -> dict[str, float]:
    """Seconds of each predictor of one more weak model, alone: the strong model is factored, the weak one is not."""
    task, base = _Task.read(config.labelled), _strong(config.labelled, config.strong[0])

    def pair(path: Path) -> Callable[[], Inputs]:
        labels = _weak_heads(task, path, RIDGE).w2s[-1, :, None]
        return lambda: replace(task.inputs(path, config.strong[0]).beside(base), pseudo_labels=labels)

    return costs(pair(path) for path in config.weak)


@dataclass(frozen=True, eq=False)
class _Task:
    """Labels, groups and the rows of the parts of a split."""

    label: Float64[np.ndarray, " n"]
    group: np.ndarray
    rows: tuple[np.ndarray, np.ndarray, np.ndarray]

    @classmethod
    @lru_cache(maxsize=1)
    def read(cls, config: Labelled) -> "_Task":
        """What a configuration names."""
        label, group, part = (np.load(path, allow_pickle=False) for path in (config.label, config.group, config.parts))
        train, w2s, test = (np.flatnonzero(part == one) for one in range(3))
        return cls(label.astype(np.float64), group, (train, w2s, test))

    def inputs(self, weak: Path, strong: Path) -> Inputs:
        """Of one pair, with the fixed ridge."""
        train, w2s, _ = self.rows
        h, other = _representation(weak), _representation(strong)
        return Inputs(
            h[w2s],
            other[w2s],
            train_weak=h[train],
            train_strong=other[train],
            train_labels=self.label[train, None],
            labels=self.label[w2s, None],
            groups=self.group[w2s],
            train_groups=self.group[train],
            ridge=(RIDGE, RIDGE),
        )


@dataclass(frozen=True, eq=False)
class _WeakHeads:
    """What weak heads say, those of ``HEADS`` in their order."""

    w2s: Float64[np.ndarray, "heads n"]
    test: Float64[np.ndarray, "heads n_test"]


def _weak_heads(task: _Task, path: Path, own: float) -> _WeakHeads:
    h = _representation(path)
    train, w2s, test = task.rows
    fitted = w2sg.ridge_path(h[train], task.label[train], (*PATH, own))
    return _WeakHeads(*(np.asarray(fitted.predict(h[rows]), np.float64)[..., 0] for rows in (w2s, test)))


@lru_cache(maxsize=12)
def _strong(labelled: Labelled, strong: Path) -> Inputs:
    """Inputs from which a strong model is taken; kept for the next trials of this process."""
    return _Task.read(labelled).inputs(strong, strong)


def _measured(task: _Task, strong: Path, own: float, heads: Sequence[_WeakHeads]) -> Iterator[dict[str, Any]]:
    """Errors on the test part by weak model: all of heads with their own ridges, Err_w2s of those with fixed ones.

    The strong model is factored once for the labels of all weak models.
    """
    _, w2s, test = task.rows
    h, y = _representation(strong), task.label[test]
    labels = np.concatenate([task.label[None, w2s], *(one.w2s for one in heads)])
    said = np.asarray(w2sg.ridge_path(h[w2s], labels.T, (*PATH, own)).predict(h[test]), np.float64)
    ceiling = said[-1, :, 0]
    drawn = drawn_rows(task.group[test])
    by_head = said[:, :, 1:].reshape(len(HEADS), len(y), len(heads), len(HEADS))
    for place, one in enumerate(heads):
        # The weak head and the strong one have the same fixed ridge, or each its own.
        f_w2s = np.stack([by_head[head, :, place, head] for head in range(len(HEADS))])
        found = two_class_errors(y, one.test[-1], f_w2s[-1], ceiling, task.group[test])
        fixed = ((f_w2s - y) ** 2).mean(axis=1)
        again = {RESAMPLED: (drawn @ (f_w2s[-1] - y) ** 2).tolist()}
        yield found | again | {f"err_w2s@{head}": float(fixed[index]) for index, head in enumerate(HEADS[:-1])}


def _at_ridges(inputs: Inputs, own: tuple[float, float], heads: _WeakHeads, *, every: bool) -> dict[str, Inputs]:
    """The inputs at the fixed and at their own ridges, with pseudo-labels of either; or at their own alone."""
    if not every:
        return {OWN: inputs.with_ridge(own)}
    both = {FIXED: inputs.with_ridge(inputs.ridge), OWN: inputs.with_ridge(own)}
    return {name: replace(one, pseudo_labels=heads.w2s[HEADS.index(name), :, None]) for name, one in both.items()}


@lru_cache(maxsize=12)
def _representation(path: Path) -> Float64[np.ndarray, "n d"]:
    return np.asarray(w2sg.load(path), np.float64)
