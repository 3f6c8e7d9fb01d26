"""One split of one labelled set: what weak-to-strong fine-tuning did, and what every predictor said before."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64

import w2sg_jax as w2sg
from w2sg_jax.batch import trial
from w2sg_jax.datasets.splits import make_splits
from w2sg_jax.evaluation.predictions import costs, predictions
from w2sg_jax.predictors import PREDICTORS, Inputs
from w2sg_jax.predictors.predicted_error import own_ridges

KNOWN, OWN = "1e-4", "own"
"""Names of ridges: the heads' ridge of the molecular experiment, known; and each model's own, by leave-one-out."""
RIDGE = 1e-4
RIDGES = (KNOWN, OWN)
MEASURED = ("err_w2s", "err_weak", "err_ceiling", "pred_gap")
EVERY_SPLIT = (
    *("predicted_err_w2s", "predicted_pred_gap", "predicted_gain", "cross_validated_err_w2s"),
    *("leave_one_out_weak", "leave_one_out_strong", "probe_difference", "supervised", "predicted", "width"),
)
"""Predictors that are computed on every split; the others on the first few."""
TIMED = 8
"""Weak models that costs are measured on."""


@dataclass(frozen=True)
class Supervision:
    """The weak models beside the strong one, on one split."""

    weak: tuple[Path, ...]
    """(n, d_weak), safetensors"""
    strong: Path
    """(n, d_strong), safetensors"""
    molecules: Path
    """SMILES, one a line"""
    target: Path
    """(n,), npy"""
    splits: int
    seed: int
    split: int
    """of them"""
    every_predictor: bool
    """or those of ``EVERY_SPLIT`` alone"""


@trial(version=2)
def supervise(config: Supervision) -> dict[str, Any]:
    """Measured errors by kind of heads, and predictors by ridge: a list each, over weak models.

    Heads "1e-4" have this ridge; heads "own" the ridges with the smallest leave-one-out errors on the train part, of
    the weak and of the strong model each. Predictors have either ridge, whatever that of the heads; the pseudo-labels
    that some of them see are those of a weak head with the predictor's ridge.
    """
    samples = _Samples.read(config)
    measured = {heads: {name: [] for name in MEASURED} for heads in RIDGES}
    said: dict[str, dict[str, list[float]]] = {}
    ridges, base = [], None
    for path in config.weak:
        inputs = samples.inputs(path, base)
        base = base or inputs
        own = own_ridges(inputs)
        ridges.append(own)
        for heads, found in _measured(samples, path, own).items():
            for name, value in found.items():
                measured[heads][name].append(value)
        every = config.every_predictor
        labels = samples.pseudo_labels(path, [RIDGE, own[0]]) if every else None
        names = PREDICTORS if every else EVERY_SPLIT
        for name, ridge, value in predictions(_at_ridges(inputs, own, labels), names):
            said.setdefault(name, {}).setdefault(ridge, []).append(value)
    test = samples.target[samples.rows[2]]
    return {
        "measured": measured,
        "predictors": said,
        "own_ridges": {"weak": [weak for weak, _ in ridges], "strong": ridges[0][1]},
        "label_variance": float(test.var()),
        "molecules": len(samples.target),
    }


@trial(version=1)
def cost(config: Supervision) -> dict[str, Any]:
    """Seconds of each predictor of one more weak model, alone: the strong model is factored, the weak one is not.

    The median over some weak models of all widths, of the faster of two calls each; compilation is left out.
    """
    samples = _Samples.read(config)
    chosen = [config.weak[place] for place in np.linspace(0, len(config.weak) - 1, TIMED).astype(int)]
    base = samples.inputs(chosen[0], None)

    def pair(path: Path) -> Callable[[], Inputs]:
        labels = samples.pseudo_labels(path, [RIDGE])[0]
        return lambda: replace(samples.inputs(path, base), pseudo_labels=labels)

    return costs(pair(path) for path in chosen)


@dataclass(frozen=True, eq=False)
class _Samples:
    """The strong model, the target, and the split."""

    strong: Float64[np.ndarray, "n d_strong"]
    target: Float64[np.ndarray, " n"]
    rows: tuple[np.ndarray, np.ndarray, np.ndarray]

    @classmethod
    def read(cls, config: Supervision) -> "_Samples":
        """What a configuration names."""
        smiles = config.molecules.read_text().splitlines()
        splits = make_splits(smiles, splits=config.splits, seed=config.seed)
        rows = tuple(part[config.split] for part in (splits.train, splits.w2s, splits.test))
        return cls(_representation(config.strong), np.load(config.target, allow_pickle=False), rows)

    def inputs(self, weak: Path, base: Inputs | None) -> Inputs:
        """Of one weak model; what is known of the strong one comes from ``base``."""
        h = _representation(weak)
        train, w2s, _ = self.rows
        if base is not None:
            return base.with_weak(h[w2s], train_weak=h[train])
        return Inputs(
            h[w2s],
            self.strong[w2s],
            train_weak=h[train],
            train_strong=self.strong[train],
            train_labels=self.target[train, None],
            labels=self.target[w2s, None],
            ridge=(RIDGE, RIDGE),
        )

    def pseudo_labels(self, weak: Path, ridges: list[float]) -> Float64[np.ndarray, "R n 1"]:
        """What weak heads of these ridges say of the w2s part."""
        h = _representation(weak)
        train, w2s, _ = self.rows
        return np.asarray(w2sg.ridge_path(h[train], self.target[train], ridges).predict(h[w2s]), np.float64)


def _measured(samples: _Samples, weak: Path, own: tuple[float, float]) -> dict[str, dict[str, float]]:
    """Errors on the test part, of either kind of heads."""
    train, w2s, test = (rows[None] for rows in samples.rows)
    found = w2sg.weak_to_strong_splits(
        _representation(weak), samples.strong, samples.target, train=train, w2s=w2s, test=test, ridges=(RIDGE, own)
    )
    return {
        heads: {name: float(getattr(found, name)[0, place]) for name in MEASURED} for place, heads in enumerate(RIDGES)
    }


def _at_ridges(
    inputs: Inputs, own: tuple[float, float], labels: Float64[np.ndarray, "R n 1"] | None
) -> dict[str, Inputs]:
    """The inputs at the known and at their own ridges.

    Args:
        inputs: of one weak model, with the known ridge.
        own: its own ridges.
        labels: pseudo-labels of either ridge, or None.
    """
    both = [inputs.with_ridge(inputs.ridge), inputs.with_ridge(own)]
    if labels is not None:
        # A predictor sees nothing else of them: what is known of both models stays.
        both = [replace(one, pseudo_labels=of_ridge) for one, of_ridge in zip(both, labels, strict=True)]
    return dict(zip(RIDGES, both, strict=True))


def _representation(path: Path) -> Float64[np.ndarray, "n d"]:
    return np.asarray(w2sg.load(path), np.float64)
