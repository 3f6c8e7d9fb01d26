r"""Probes on the labelled split: leave-one-out errors of ridge heads on either model, and their difference.

Each head has the ridge where its own leave-one-out error is smallest, found along a path; samples of a group are left
out together. Errors are mean squares, summed over label columns.
"""

from ..theory.leave_one_out import leave_one_out
from .predictor import Inputs, Model, Predictor


def leave_one_out_weak(inputs: Inputs) -> float:
    """Of the weak model: the baseline to beat, which says how good the supervisor is.

    Source: Allen (1974); see ``theory.leave_one_out``.
    """
    return inputs.weak_model.once(left_out_error)


def leave_one_out_strong(inputs: Inputs) -> float:
    """Of the strong model, if it were fitted on the labelled split itself.

    Source: as ``leave_one_out_weak``.
    """
    return inputs.strong_model.once(left_out_error)


def probe_difference(inputs: Inputs) -> float:
    """The strong model's error minus the weak one's: beside one strong model, larger is a better supervisor.

    The source takes accuracies of probes, and relates their difference to the gain Err_w - Err_w2s instead.

    Source: a submission to ICLR 2026, from notes: Spearman 0.85 with the gain over 111 pairs.
    """
    return leave_one_out_strong(inputs) - leave_one_out_weak(inputs)


def left_out_error(model: Model) -> float:
    """The smallest leave-one-out error of a model on the labelled split.

    Cost: that of ``leave_one_out``.
    """
    assert model.train is not None and model.train_labels is not None
    h = model.train
    if h.shape[1] >= len(h):
        # Errors are those of any rotation. In principal components the rows are more than the columns, and
        # leave_one_out takes eigenpairs of a diagonal matrix for the singular value decomposition of a wide one.
        factored = model.train_factored
        h = factored.left * factored.eigenvalues**0.5
    return leave_one_out(h, model.train_labels, groups=model.train_groups).error


PATH_COST = "n~ d min(n~, d) and 100 n~ k c"
LEAVE_ONE_OUT_WEAK = Predictor(
    "leave_one_out_weak",
    "leave-one-out error, weak model",
    ("train_labels",),
    1,
    PATH_COST,
    "Allen 1974; a baseline",
    leave_one_out_weak,
)
LEAVE_ONE_OUT_STRONG = Predictor(
    "leave_one_out_strong",
    "leave-one-out error, strong model",
    ("train_labels",),
    1,
    PATH_COST,
    "Allen 1974; a baseline",
    leave_one_out_strong,
)
PROBE_DIFFERENCE = Predictor(
    "probe_difference",
    "difference of both leave-one-out errors",
    ("train_labels",),
    -1,
    "none beyond them",
    "a submission to ICLR 2026",
    probe_difference,
)
