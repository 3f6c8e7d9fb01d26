r"""The predicted gap $\lVert P_s (I - P_w)\, y \rVert^2 / n$, with the labels of the one set or of the other."""

import math

from .predictor import Inputs, Predictor


def predicted_gap(inputs: Inputs) -> float:
    """On the unlabelled samples with their true labels, which are hidden in use: what the main theorem says.

    Source: arXiv 2502.00620, main theorem; see ``theory.gap``.
    """
    return _predicted(inputs.gap.predicted)


def supervised_gap(inputs: Inputs) -> float:
    """On the labelled split with the labels that the weak model is fitted on anyway.

    Source: derived here; the formula of arXiv 2502.00620 on the other set.
    """
    return _predicted(inputs.train_gap.predicted)


def _predicted(gap: float | None) -> float:
    return math.nan if gap is None else gap


PREDICTED = Predictor(
    "predicted",
    "predicted gap",
    ("representations", "labels"),
    1,
    "as the gap norm",
    "Xue et al. 2025, arXiv 2502.00620",
    predicted_gap,
)
SUPERVISED = Predictor(
    "supervised",
    "supervised-split predicted gap",
    ("train_labels",),
    1,
    "as the gap norm, on the labelled split",
    "derived here from Xue et al. 2025, arXiv 2502.00620",
    supervised_gap,
)
