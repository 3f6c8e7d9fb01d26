r"""The predicted gap that is to be expected of random labels: no label is needed, and every direction counts.

$$
\mathbb E \, \tfrac1n \lVert P_s (I - P_w)\, y \rVert^2
= \tfrac1n \operatorname{tr}\!\left( P_s (I - P_w) \, \mathcal C \, (I - P_w) P_s \right),
\qquad y \sim N(0, \mathcal C)
$$

In both forms the labels have mean square 1, so that the values are shares of it.
"""

import numpy as np

from .factored import HOST
from .predictor import Inputs, Predictor


def expected_gap(inputs: Inputs) -> float:
    r"""$\lVert P_s (I - P_w) \rVert_F^2 / n$: of labels $y \sim N(0, I)$, pure noise.

    Source: derived here; see ``theory.gap``.
    """
    return inputs.gap.frobenius**2


def expected_gap_kernel(inputs: Inputs) -> float:
    r"""$\lVert P_s (I - P_w) H_s \rVert_F^2 / n$: of labels $y \sim N(0, K_s)$, random linear functions of $h_s$.

    $H_s$ is centred and of unit trace. With C, the gains D and eigenvalues $\Lambda_s$ it is
    $\lVert D_s (I - C D_w C^\top) \Lambda_s^{1/2} \rVert_F^2$.

    Cost: $2 k_s^2 k_w$. Source: derived here.
    """
    strong, cross = inputs.strong_model.factored, inputs.cross
    covered = HOST.product(cross * inputs.weak_model.factored.gains(inputs.ridge[0]), cross.T)
    left = -covered
    left[np.diag_indices_from(left)] += 1.0
    left *= strong.gains(inputs.ridge[1])[:, None]
    return float((left**2 @ strong.eigenvalues).sum())


EXPECTED_GAP = Predictor(
    "expected_gap",
    "expected gap of labels y ~ N(0, I)",
    ("representations",),
    1,
    "as the gap norm",
    "derived here from Xue et al. 2025, arXiv 2502.00620",
    expected_gap,
)
EXPECTED_GAP_KERNEL = Predictor(
    "expected_gap_kernel",
    "expected gap of labels y ~ N(0, K_s)",
    ("representations",),
    1,
    "2 k_s^2 k_w",
    "derived here from Xue et al. 2025, arXiv 2502.00620",
    expected_gap_kernel,
)
