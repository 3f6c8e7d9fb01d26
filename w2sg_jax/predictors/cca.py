r"""Canonical correlations of two representations: the singular values $\rho_i$ of $C = U_s^\top U_w$, summarised.

Both are 1 for any weak model where the strong one has $n - 1$ directions left, as with $d_s \ge n$ (PWCCA) or with many
directions of like variance (SVCCA): samples are then too few for them to tell anything.
"""

import numpy as np

from .factored import HOST, Factored
from .predictor import Inputs, Predictor

SHARE = 0.99
"""Of the variance, kept by SVCCA."""


def svcca(inputs: Inputs) -> float:
    r"""The mean of $\rho_i$ between the leading principal components of both, 99% of the variance of each.

    The components are the fewest whose eigenvalues sum to at least that share; the mean is over the smaller number of
    them. The authors' `cca_core` also drops the trailing correlations, beyond 98% of their sum, from the mean, and
    others' versions keep a fixed number of components (platonic-rep), or divide by the width (repsim, which also
    whitens before it looks for the 99%): none of that is done here.

    Cost: $4 k_s k_w^2$ of the kept ones. Source: Raghu et al., arXiv 1706.05806.
    """
    weak, strong = (_components(model.factored) for model in (inputs.weak_model, inputs.strong_model))
    return float(np.linalg.svd(inputs.cross[:strong, :weak], compute_uv=False).mean())


def pwcca(inputs: Inputs) -> float:
    r"""The mean of $\rho_i$, weighted by how much of the weak representation its canonical vector $h_i$ accounts for.

    $$
    \alpha_i = \sum_j \lvert \langle h_i, z_j \rangle \rvert, \qquad
    \mathrm{PWCCA} = \frac{\sum_i \alpha_i \rho_i}{\sum_i \alpha_i}
    $$

    with the centred columns $z_j$ of the weak representation, so that it depends on how that is rotated. Weights come
    from the weak model whichever is wider (`repsim.pwcca` is the mean of both ways); all directions above rounding are
    kept.

    Cost: $20 k_s k_w^2$. Source: Morcos, Raghu and Bengio, arXiv 1806.05759.
    """
    _, correlations, right = np.linalg.svd(inputs.cross, full_matrices=False)
    vectors = HOST.product(inputs.weak_model.factored.left, right.T)  # h_i, in the samples
    columns = inputs.weak - inputs.weak.mean(axis=0)
    weights = np.abs(HOST.cross(vectors, columns / np.abs(columns).max())).sum(axis=1)
    return float(weights @ correlations / weights.sum())


def _components(model: Factored) -> int:
    """How many leading components hold the share of the variance."""
    held = np.cumsum(model.eigenvalues) / model.eigenvalues.sum()
    return min(int(np.searchsorted(held, SHARE)) + 1, model.rank)


SVCCA = Predictor(
    "svcca", "SVCCA", ("representations",), -1, "4 k_s k_w^2", "Raghu et al. 2017, arXiv 1706.05806", svcca
)
PWCCA = Predictor(
    "pwcca", "PWCCA", ("representations",), -1, "20 k_s k_w^2", "Morcos et al. 2018, arXiv 1806.05759", pwcca
)
