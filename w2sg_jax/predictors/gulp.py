r"""The GULP distance: how differently ridge heads on two representations predict, whatever the labels."""

import numpy as np

from .predictor import Inputs, Predictor


def gulp(inputs: Inputs) -> float:
    r"""$\lVert P_w - P_s \rVert_F$ on the unlabelled samples, at the models' own ridges.

    $$
    \lVert P_w - P_s \rVert_F^2 = \sum_k g_{w,k}^2 + \sum_j g_{s,j}^2 - 2 \sum_{jk} g_{s,j}\, C_{jk}^2\, g_{w,k}
    $$

    The authors' `predictor_dist` is its square, written with covariances and cross-covariances, with one $\lambda$ for
    both models, and of representations in whatever units they come. It is a difference of squares: distances below
    $10^{-7}$ of $\sqrt{\operatorname{tr} P}$ are not resolved, and are then 0 or of that size.

    Cost: $k_s k_w$. Source: Boix-Adsera et al., arXiv 2210.06545.
    """
    weak, strong = (
        inputs.weak_model.factored.gains(inputs.ridge[0]),
        inputs.strong_model.factored.gains(inputs.ridge[1]),
    )
    square = (weak**2).sum() + (strong**2).sum() - 2 * float(strong @ (inputs.cross**2 @ weak))
    return float(np.sqrt(max(square, 0.0)))


GULP = Predictor(
    "gulp", "GULP distance", ("representations",), 1, "k_s k_w", "Boix-Adsera et al. 2022, arXiv 2210.06545", gulp
)
