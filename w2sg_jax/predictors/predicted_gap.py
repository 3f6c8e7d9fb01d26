r"""The predicted gap $\lVert P_s (I - P_w)\, y \rVert^2 / n$, with the labels of the one set or of the other."""

import numpy as np
from jaxtyping import Float

from .factored import Factored, centred
from .predictor import Inputs, Predictor


def predicted_gap(inputs: Inputs) -> float:
    """On the unlabelled samples with their true labels, which are hidden in use: what the main theorem says.

    Cost: $4 n (k_s + k_w) c$.
    Source: arXiv 2502.00620, main theorem; see ``theory.gap``.
    """
    assert inputs.labels is not None
    return _passed(inputs.weak_model.factored, inputs.strong_model.factored, centred(inputs.labels), inputs.ridge)


def supervised_gap(inputs: Inputs) -> float:
    """On the labelled split with the labels that the weak model is fitted on anyway.

    Cost: as ``predicted_gap``.
    Source: derived here; the formula of arXiv 2502.00620 on the other set.
    """
    assert inputs.train_labels is not None
    weak, strong = inputs.weak_model.train_factored, inputs.strong_model.train_factored
    return _passed(weak, strong, centred(inputs.train_labels), inputs.ridge)


def _passed(weak: Factored, strong: Factored, y: Float[np.ndarray, "n c"], ridge: tuple[float, float]) -> float:
    r"""$\lVert P_s (I - P_w)\, y \rVert^2 / n$."""
    return float((strong.smoothed(y - weak.smoothed(y, ridge[0]), ridge[1]) ** 2).sum()) / weak.n


PREDICTED = Predictor(
    "predicted",
    "predicted gap",
    ("representations", "labels"),
    1,
    "4 n (k_s + k_w) c",
    "Xue et al. 2025, arXiv 2502.00620",
    predicted_gap,
)
SUPERVISED = Predictor(
    "supervised",
    "supervised-split predicted gap",
    ("train_labels",),
    1,
    "4 n~ (k_s + k_w) c",
    "derived here from Xue et al. 2025, arXiv 2502.00620",
    supervised_gap,
)
