r"""Linear CKA: how similar two representations are, whatever rotation and scale they come in."""

import math

import numpy as np
from jaxtyping import Float

from ..numerics import rounding
from .predictor import Inputs, Predictor


def linear_cka(x: Float[np.ndarray, "n d_x"], y: Float[np.ndarray, "n d_y"]) -> float:
    r"""Compute the linear centred kernel alignment of two representations of the same samples, the biased estimate.

    $$\frac{\lVert X^\top Y \rVert_F^2}{\lVert X^\top X \rVert_F \, \lVert Y^\top Y \rVert_F}$$

    Args:
        x: (n, d_x); columns are centred here.
        y: (n, d_y), the same samples.

    Returns:
        Between 0 and 1, 1 where one is the other up to rotation and scale; NaN where one is constant.

    Cost: 2 n (d_x + d_y)^2 flops.
    Source: Kornblith et al., Similarity of Neural Network Representations Revisited (2019).
    """
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    return float(np.linalg.norm(y.T @ x) ** 2 / (np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)))


def cka(inputs: Inputs) -> float:
    r"""``linear_cka`` of the pair from the factors of both: $\lVert \Lambda_s^{1/2} C \Lambda_w^{1/2} \rVert_F^2$ over
    $\lVert \Lambda_s \rVert \, \lVert \Lambda_w \rVert$.

    Cost: $k_s k_w$. Source: Kornblith et al., arXiv 1905.00414, with linear kernels.
    """
    weak, strong = inputs.weak_model.factored.eigenvalues, inputs.strong_model.factored.eigenvalues
    return _alignment(inputs) / float(np.linalg.norm(weak) * np.linalg.norm(strong))


def debiased_cka(inputs: Inputs) -> float:
    r"""The alignment of linear kernels by the unbiased estimate of HSIC, which ignores each sample beside itself.

    $$
    \mathrm{HSIC}_1(K, L) = \frac{1}{n (n - 3)} \left[ \operatorname{tr}(\tilde K \tilde L)
    + \frac{\mathbb 1^\top \tilde K \mathbb 1 \; \mathbb 1^\top \tilde L \mathbb 1}{(n - 1)(n - 2)}
    - \frac{2}{n - 2} \mathbb 1^\top \tilde K \tilde L \mathbb 1 \right]
    $$

    with zeros on the diagonals of $\tilde K, \tilde L$; the value is
    $\mathrm{HSIC}_1(K, L) / \sqrt{\mathrm{HSIC}_1(K, K)\, \mathrm{HSIC}_1(L, L)}$. For centred linear kernels with
    diagonals k and l the bracket is
    $\lVert X^\top Y \rVert_F^2 - \frac{n}{n - 2} k^\top l + \frac{\sum k \sum l}{(n - 1)(n - 2)}$: no n x n matrix.

    (`repsim.cka` divides this estimate by the biased one; here both are unbiased.)

    At most 1, and negative where models are less alike than chance has them. NaN, undefined, below 4 samples and where
    one model has all samples at the same distance from each other.

    Cost: $k_s k_w + n (k_s + k_w)$. Source: Song et al. 2012, equation (5); Nguyen, Raghu and Kornblith,
    arXiv 2010.15327.
    """
    if inputs.n < 4:
        return math.nan
    models = (inputs.weak_model, inputs.strong_model)
    lengths = [model.factored.square_lengths() / inputs.n for model in models]
    norms = [float((model.factored.eigenvalues**2).sum()) for model in models]
    own = [_unbiased(norm, k, k) for norm, k in zip(norms, lengths, strict=True)]
    if any(h <= rounding.DENOMINATOR * rounding.epsilon("float64") * norm for h, norm in zip(own, norms, strict=True)):
        return math.nan
    return _unbiased(_alignment(inputs), *lengths) / math.sqrt(own[0] * own[1])


def _alignment(inputs: Inputs) -> float:
    r"""$\lVert H_s^\top H_w / n \rVert_F^2$ at unit traces."""
    weak, strong = inputs.weak_model.factored.eigenvalues, inputs.strong_model.factored.eigenvalues
    return float(strong @ (inputs.cross**2 @ weak))


def _unbiased(alignment: float, k: np.ndarray, ell: np.ndarray) -> float:
    """n (n - 3) HSIC_1 of centred kernels with these diagonals."""
    n = len(k)
    return alignment - n / (n - 2) * float(k @ ell) + float(k.sum() * ell.sum()) / ((n - 1) * (n - 2))


CKA = Predictor(
    "cka", "linear CKA", ("representations",), -1, "k_s k_w", "Kornblith et al. 2019, arXiv 1905.00414", cka
)
DEBIASED_CKA = Predictor(
    "debiased_cka",
    "linear CKA, debiased",
    ("representations",),
    -1,
    "k_s k_w + n (k_s + k_w)",
    "Song et al. 2012; Nguyen et al. 2021, arXiv 2010.15327",
    debiased_cka,
)
