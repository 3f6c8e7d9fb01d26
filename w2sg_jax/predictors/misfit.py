r"""Misfit: how much of the weak labels the strong model cannot express, $(I - P_s)$ of them.

In a convex class that holds the truth, the strong model that is fitted on weak labels gains at least its misfit,
$\mathrm{Err}_w - \mathrm{Err}_{w2s} \ge \mathbb E\,(f_{w2s} - f_w)^2$: a larger one foretells a smaller error of the
strong model beside the same weak error. Labels are centred, and errors are summed over their columns.

Source: Charikar, Pabbaraju and Shiragur, arXiv 2405.15116, Theorem 1; the forms for ridge heads are derived here.
"""

import numpy as np

from .factored import HOST, Factored, centred
from .predictor import Inputs, Predictor

SOURCE = "Charikar et al. 2024, arXiv 2405.15116"


def misfit(inputs: Inputs) -> float:
    r"""$\lVert (I - P_s)\, \hat y \rVert^2 / n$ of the pseudo-labels $\hat y$.

    Cost: $4 n k_s c$.
    """
    assert inputs.pseudo_labels is not None
    return _mean_square_missed(inputs.strong_model.factored, centred(inputs.pseudo_labels), inputs.ridge[1])


def supervised_misfit(inputs: Inputs) -> float:
    r"""$\lVert (I - P_s) P_w\, \tilde y \rVert^2 / \tilde n$ on the labelled split.

    Cost: $4 \tilde n (k_s + k_w) c$.
    """
    assert inputs.train_labels is not None
    fitted = inputs.weak_model.train_factored.smoothed(centred(inputs.train_labels), inputs.ridge[0])
    return _mean_square_missed(inputs.strong_model.train_factored, fitted, inputs.ridge[1])


def label_free_misfit(inputs: Inputs) -> float:
    r"""$\lVert (I - P_s) P_w \rVert_F^2 / n$: what is to be expected of $\tilde y \sim N(0, I)$.

    Cost: $2 n k_s k_w$.
    """
    weak, strong = inputs.weak_model.factored, inputs.strong_model.factored
    # (I - P_s) U_w itself: no square is subtracted from another one.
    missed = weak.left - HOST.product(strong.left, strong.gains(inputs.ridge[1])[:, None] * inputs.cross)
    return float((missed**2).sum(axis=0) @ weak.gains(inputs.ridge[0]) ** 2) / inputs.n


def _mean_square_missed(strong: Factored, y: np.ndarray, ridge: float) -> float:
    return float(((y - strong.smoothed(y, ridge)) ** 2).sum()) / len(y)


MISFIT = Predictor(
    "misfit", "misfit of the pseudo-labels", ("representations", "pseudo_labels"), -1, "4 n k_s c", SOURCE, misfit
)
SUPERVISED_MISFIT = Predictor(
    "supervised_misfit",
    "misfit on the labelled split",
    ("train_labels",),
    -1,
    "4 n~ (k_s + k_w) c",
    f"derived here from {SOURCE}",
    supervised_misfit,
)
LABEL_FREE_MISFIT = Predictor(
    "label_free_misfit",
    "misfit without labels",
    ("representations",),
    -1,
    "2 n k_s k_w",
    f"derived here from {SOURCE}",
    label_free_misfit,
)
