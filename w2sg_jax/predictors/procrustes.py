r"""The orthogonal Procrustes distance: what is left between two representations after the best rotation."""

import numpy as np

from .predictor import Inputs, Predictor


def procrustes(inputs: Inputs) -> float:
    r"""$\min_Q \lVert X - Y Q \rVert_F$ over orthogonal Q, with X and Y centred and of Frobenius norm 1.

    $$
    d^2 = 2 - 2 \lVert X^\top Y \rVert_* , \qquad
    \lVert X^\top Y \rVert_* = \lVert \Lambda_s^{1/2} C \Lambda_w^{1/2} \rVert_*
    $$

    (of models of other widths, the narrower one has columns of zeros added). Between 0 and $\sqrt 2$. Ding et al.
    report $d^2$; `scipy.spatial.procrustes` also fits the scale and reports $1 - (1 - d^2 / 2)^2$; netrep's angular
    distance is $\arccos(1 - d^2 / 2)$: all order models alike. $d^2$ is a difference: distances below $10^{-7}$ are not
    resolved.

    Cost: $4 k_s k_w^2$ and more, singular values alone.
    Source: Ding, Denain and Steinhardt, arXiv 2108.01661; Williams et al., arXiv 2110.14739.
    """
    weak, strong = inputs.weak_model.factored.eigenvalues, inputs.strong_model.factored.eigenvalues
    weighted = np.sqrt(strong)[:, None] * inputs.cross * np.sqrt(weak)
    nuclear = float(np.linalg.svd(weighted, compute_uv=False).sum())
    return float(np.sqrt(max(2.0 - 2.0 * nuclear, 0.0)))


PROCRUSTES = Predictor(
    "procrustes",
    "Procrustes distance",
    ("representations",),
    1,
    "4 k_s k_w^2",
    "Ding et al. 2021, arXiv 2108.01661; Williams et al. 2021, arXiv 2110.14739",
    procrustes,
)
