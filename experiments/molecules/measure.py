"""One weak model on one labelled set: what weak-to-strong fine-tuning did, and what every predictor said before."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

import w2sg_jax as w2sg
from w2sg_jax.batch import trial
from w2sg_jax.datasets.splits import Splits, make_splits
from w2sg_jax.predictors.cka import linear_cka

RIDGE = 1e-4
"""Of every head, and therefore of every predictor: the paper's kind of ridge, in units of unit trace."""
RIDGES = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0)
THRESHOLDS = (0.0, 1e-4, 1e-3, 1e-2, 1e-1)
"""The map over the two parameters of a predictor."""
MEASURED = ("err_weak", "err_w2s", "err_ceiling", "pred_gap")
DELTAS = ("delta_weak", "delta_strong")
"""How far each model is from decomposable."""
MAPPED = ("norm", "frobenius", "predicted", "supervised")
"""Predictors that have a ridge and a threshold."""


@dataclass(frozen=True)
class Pairing:
    """A weak model, the strong one, and the molecules that both have seen."""

    weak: Path
    """(n, d_weak), safetensors"""
    strong: Path
    """(n, d_strong), safetensors"""
    molecules: Path
    """SMILES, one a line"""
    target: Path
    """(n,), npy"""
    splits: int
    seed: int


@trial(version=3)
def measure(pairing: Pairing) -> dict[str, Any]:
    """Measured quantities and predictors by split; maps over (ridge, threshold) are means over splits.

    ``norm`` and ``frobenius`` are the gap's norms on the w2s split, ``predicted`` the predicted gap with that split's
    hidden labels, ``supervised`` the one on the train split with the labels that the weak model is fitted on: all with
    the ridge of the heads and without a threshold. ``cka`` is the linear CKA of the w2s split.

    The deltas say how far each model is from decomposable at that ridge, on the first split alone: splits differ
    little, and all weak models share the strong one.
    """
    weak, strong = (np.asarray(w2sg.load(path), np.float64) for path in (pairing.weak, pairing.strong))
    smiles, target = pairing.molecules.read_text().splitlines(), np.load(pairing.target, allow_pickle=False)
    splits = make_splits(smiles, splits=pairing.splits, seed=pairing.seed)
    measured = w2sg.weak_to_strong_splits(
        weak, strong, target, train=splits.train, w2s=splits.w2s, test=splits.test, ridges=(RIDGE,)
    )
    maps = [_maps(weak, strong, target, splits, split) for split in range(len(splits))]
    used = RIDGES.index(RIDGE), THRESHOLDS.index(0.0)
    return {
        **{name: getattr(measured, name)[:, 0].tolist() for name in MEASURED},
        **{name: [found[name][used].item() for found in maps] for name in MAPPED},
        "cka": [linear_cka(weak[rows], strong[rows]) for rows in splits.w2s],
        "maps": {name: np.mean([found[name] for found in maps], axis=0).tolist() for name in MAPPED},
        "delta_weak": delta(pairing.weak, pairing.molecules, pairing.splits, pairing.seed),
        "delta_strong": delta(pairing.strong, pairing.molecules, pairing.splits, pairing.seed),
        "width": weak.shape[1],
        "molecules": len(smiles),
    }


def _maps(
    weak: Float[np.ndarray, "n d_weak"],
    strong: Float[np.ndarray, "n d_strong"],
    target: Float[np.ndarray, " n"],
    splits: Splits,
    split: int,
) -> dict[str, Float[np.ndarray, "ridges thresholds"]]:
    """Every mapped predictor on one split."""
    grids = [
        w2sg.gap_grid(w2sg.moments(weak[rows], strong[rows], target[rows]), RIDGES, THRESHOLDS)
        for rows in (splits.w2s[split], splits.train[split])
    ]
    predicted, supervised = (grid.predicted for grid in grids)
    assert predicted is not None and supervised is not None  # there are labels
    return {"norm": grids[0].norm, "frobenius": grids[0].frobenius, "predicted": predicted, "supervised": supervised}


@lru_cache(maxsize=4)
def delta(model: Path, molecules: Path, splits: int, seed: int) -> float:
    """The delta of ``w2sg.decomposability`` between the train and the w2s part of the first split.

    Kept for the next trial of this process, which has the same strong model.
    """
    h, first = w2sg.load(model), make_splits(molecules.read_text().splitlines(), splits=splits, seed=seed)
    return w2sg.decomposability(h[first.train[0]], h[first.w2s[0]], RIDGE).delta
