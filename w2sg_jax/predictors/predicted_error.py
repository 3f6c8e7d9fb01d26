r"""Predicted errors: Err_w2s itself, from the labels of D~, by theory and by cross-validating the whole pipeline.

The heads are those of the inputs' ridges, fitted on the labelled split and on the unlabelled samples; samples of a
group are left out together. Each representation is factored once on each split: the strong model's for all weak models
(``Inputs.with_weak``), both for all ridges (``Inputs.with_ridge``).

Undefined, NaN, on fewer than 8 samples of either split, and at ridges below 1e-6: eigenpairs that serve every ridge
come from squares, which hide what a smaller one would let through. ``w2sg_jax.predict_errors`` has them from 1e-10 on.
"""

import math
from typing import NamedTuple

import numpy as np

from .._errors import InputError
from ..numerics.rounding import LARGEST_RIDGE, SMALLEST_SQUARED_RIDGE
from ..theory.cross_validation import folds_of
from ..theory.kernel import refuse_constant
from ..theory.pipeline import (
    AUTO,
    FEWEST,
    Rows,
    StrongHead,
    Train,
    TrainedHead,
    labelled_split,
    pipeline,
    sample_rows,
    strong_head,
    trained_head,
)
from ..theory.predicted_errors import ERRORS, Sizes, estimated
from .predictor import Inputs, Model, Predictor

FOLDS = 10
"""Parts of the labelled split for cross-validation."""


class Weak(NamedTuple):
    """The weak model: its head on the labelled split, and the unlabelled samples that it labels."""

    head: TrainedHead
    pool: Rows


class Strong(NamedTuple):
    """The strong model on both splits, and the labelled split as all weak models share it."""

    head: StrongHead
    train: Train


def predicted_err_w2s(inputs: Inputs) -> float:
    """Err_w2s: the squared error of the strong model on fresh samples, after it was fitted on weak labels.

    Source: ours; see ``theory.predicted_errors``.
    """
    return _told(inputs, "err_w2s")


def predicted_pred_gap(inputs: Inputs) -> float:
    """PredGap: how far the strong model will be from the one that is fitted on true labels, on fresh samples.

    Source: as ``predicted_err_w2s``.
    """
    return _told(inputs, "pred_gap")


def predicted_gain(inputs: Inputs) -> float:
    """Err_w - Err_w2s, by how much the strong model will be better than its supervisor.

    Source: as ``predicted_err_w2s``.
    """
    return _told(inputs, "gain")


def cross_validated_err_w2s(inputs: Inputs) -> float:
    """Err_w2s on ten folds of the labelled split that the weak head is fitted without: no theory is needed.

    Whole groups come to a fold, drawn with seed 0. The weak head has a tenth fewer labels.

    Source: ours, a baseline; see ``theory.cross_validation``.
    """
    if not _defined(inputs):
        return math.nan
    weak, strong = inputs.weak_model.once(weak_heads), inputs.strong_model.once(strong_heads)
    groups = sum(len(rows) for rows in strong.train.members)
    if groups < FOLDS:
        return math.nan
    folded = strong.train._replace(members=folds_of(strong.train, FOLDS, 0))
    left = pipeline(weak.head, weak.pool, strong.head, folded, inputs.ridge).left_w2s
    assert left is not None
    return float((left**2).sum()) / len(left)


def own_ridges(inputs: Inputs) -> tuple[float, float]:
    """The ridges with the smallest leave-one-out errors on the labelled split, of the weak and of the strong model.

    Those that heads are given whose ridges are chosen on the labelled split; "auto" in ``w2sg_jax.predict_errors``.
    """
    weak, strong = inputs.weak_model.once(weak_heads), inputs.strong_model.once(strong_heads)
    return weak.head.choice.ridge, strong.head.ceiling.choice.ridge


def weak_heads(model: Model) -> Weak:
    """Of the weak model, whatever the ridge."""
    rows, pool = _on_both_splits(model)
    return Weak(trained_head(rows, _labelled(model, rows), AUTO), pool)


def strong_heads(model: Model) -> Strong:
    """Of the strong model, whatever the ridge."""
    rows, pool = _on_both_splits(model)
    split = _labelled(model, rows)
    return Strong(strong_head(pool, split, AUTO), split)


def predicted_errors(inputs: Inputs) -> dict[str, float] | None:
    """Every error that is predicted of one pair, by its name in ``ERRORS``; None where it is undefined."""
    if not _defined(inputs):
        return None
    weak, strong = inputs.weak_model.once(weak_heads), inputs.strong_model.once(strong_heads)
    ridges = (inputs.ridge[0], inputs.ridge[1], inputs.ridge[1])
    sizes = Sizes(strong.train.n, strong.head.rows.n)
    found = estimated(weak.head, weak.pool, strong.head, strong.train, ridges, sizes)
    return dict(zip(ERRORS, map(float, found.values), strict=True))


def _told(inputs: Inputs, quantity: str) -> float:
    """One of the predicted quantities; NaN where it is undefined."""
    found = inputs.once(predicted_errors)
    return math.nan if found is None else found[quantity]


def _defined(inputs: Inputs) -> bool:
    """Whether there are enough samples, and ridges that tell heads apart."""
    return min(inputs.n, inputs.n_train) >= FEWEST and all(
        SMALLEST_SQUARED_RIDGE <= ridge < LARGEST_RIDGE for ridge in inputs.ridge
    )


def _on_both_splits(model: Model) -> tuple[Rows, Rows]:
    """The representation of the labelled split, and of the unlabelled samples (InputError)."""
    assert model.train is not None
    given = (model.train, f"train_{model.name}"), (model.samples, model.name)
    widths = [h.shape[1] for h, _ in given]
    if widths[0] != widths[1]:
        raise InputError(f"train_{model.name}: {widths[0]} columns, and {widths[1]} in {model.name}; give one model's")
    for h, name in given:
        # A constant's mean rounds, and what is left would pass for variance: its range does not round.
        if not np.ptp(h, axis=0).any():
            refuse_constant(name, 0.0, h[0], center=True, dtype="float64")
    first, second = (sample_rows(h, name, center=True) for h, name in given)
    return first, second


def _labelled(model: Model, rows: Rows) -> Train:
    """The labelled split, as one model's heads see it."""
    return labelled_split(rows, rows, model.train_labels, model.train_groups, False, center=True)


FACTORED = "9 min(n, d)^3 and 100 n~ k c a model, then 2 n k_s k_w"
PREDICTED_ERR_W2S = Predictor(
    "predicted_err_w2s",
    "predicted Err_w2s",
    ("representations", "train_labels"),
    1,
    FACTORED,
    "ours; theory.predicted_errors",
    predicted_err_w2s,
)
PREDICTED_PRED_GAP = Predictor(
    "predicted_pred_gap",
    "predicted PredGap",
    ("representations", "train_labels"),
    1,
    "none beyond predicted_err_w2s",
    "ours; theory.predicted_errors",
    predicted_pred_gap,
)
PREDICTED_GAIN = Predictor(
    "predicted_gain",
    "predicted gain, Err_w - Err_w2s",
    ("representations", "train_labels"),
    -1,
    "none beyond predicted_err_w2s",
    "ours; theory.predicted_errors",
    predicted_gain,
)
CROSS_VALIDATED_ERR_W2S = Predictor(
    "cross_validated_err_w2s",
    "cross-validated Err_w2s, ten folds",
    ("representations", "train_labels"),
    1,
    "as predicted_err_w2s, and (n~ / 10)^3 a fold",
    "ours, a baseline; theory.cross_validation",
    cross_validated_err_w2s,
)
