"""Populations with known answers: linear images of common latents, with tails, and their limits in closed form."""

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from ._tails import Number, Tail


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["weak", "strong", "target", "noise", "tail_weak", "tail_strong"],
    meta_fields=[],
)
@dataclass(frozen=True, eq=False)
class Population:
    r"""A pair of representations of one latent z with $E[z] = 0$, $E[z z^T] = I$, and a target that is linear in it.

    $h_w = (A_w z, t_w)$, $h_s = (A_s z, t_s)$, $y = \theta \cdot z + \sigma \epsilon$. The first part spans the
    principal subspace V, the tails t are uncorrelated with it and with each other. Neither centred nor scaled: the
    paper's raw form (``center=False, scale="none"`` elsewhere in this package). Errors are against the noiseless
    target.

    Attributes:
        weak: $A_w$.
        strong: $A_s$.
        target: $\theta$, coefficients of the target on the latents.
        noise: $\sigma$, standard deviation of the label noise, on both splits.
        tail_weak, tail_strong: laws of the tails.
    """

    weak: Float[Any, "*b k_weak p"]
    strong: Float[Any, "*b k_strong p"]
    target: Float[Any, "*b p"]
    noise: Number
    tail_weak: Tail
    tail_strong: Tail


class EffectiveRidges(NamedTuple):
    r"""What acts as a ridge on the principal subspaces: $\beta + \gamma$."""

    weak: Any
    r"""$\beta_w + \tilde\gamma_w$, $\tilde\gamma_w = \mathrm{tr} \Sigma(t_w) / \tilde n$"""
    strong: Any
    r"""$\beta_s + \hat\gamma_s$, $\hat\gamma_s = \mathrm{tr} \Sigma(t_s) / \hat n$"""


class Limit(NamedTuple):
    """What everything tends to as n grows with the effective ridges held fixed and the tails decomposable."""

    norm: float
    r"""$\|P_s (I - P_w)\|_{op}$"""
    pred_gap: float
    r"""PredGap, $\|P_s (I - P_w) y\|^2 / n$: the part of the weak model's error that the strong model copies"""
    corrected: float
    """mean square of the part that it does not copy: $(I - P_s)(f_w - y)$"""
    err_weak: float
    err_w2s: float
    err_ceiling: float


def effective_ridges(p: Population, ridge_weak: Any, ridge_strong: Any, n_train: int, n_w2s: int) -> EffectiveRidges:
    r"""The tails as extra ridge: $\beta + \mathrm{tr} \Sigma(h_{V'}) / n$.

    Args:
        p: the population.
        ridge_weak, ridge_strong: $\beta$, what is added to K/n.
        n_train, n_w2s: samples that the weak and the strong head are fitted on.

    Source: arXiv 2502.00620, the definition of decomposability.
    """
    return EffectiveRidges(ridge_weak + p.tail_weak.trace / n_train, ridge_strong + p.tail_strong.trace / n_w2s)


@np.errstate(under="ignore")
def limit(p: Population, effective: EffectiveRidges) -> Limit:
    r"""The limits in closed form: a smoother acts on linear functions of z as $S = A^T (A A^T + \rho I)^{-1} A$.

    $f_w = S_w \theta$, $f_{sc} = S_s \theta$ and $f_{w2s} = S_s S_w \theta$, with $\theta$ the target and $\rho$ the
    effective ridge, so PredGap is $\|S_s (I - S_w) \theta\|^2$ and the gap norm $\|S_s (I - S_w)\|_{op}$. Label noise
    and tails leave nothing in the limit.

    Args:
        p: the population, a single one.
        effective: from ``effective_ridges``.

    Returns:
        Limit; squared errors in the units of the labels.

    Cost: $p^3$ flops, p latents.
    Source: arXiv 2502.00620, main theorem, on the population.
    """
    s_weak, s_strong = function_smoother(p.weak, effective.weak), function_smoother(p.strong, effective.strong)
    target = np.asarray(jax.device_get(p.target))
    f_weak, f_ceiling = s_weak @ target, s_strong @ target
    f_w2s = s_strong @ f_weak
    error, copied = f_weak - target, f_w2s - f_ceiling
    operator = s_strong @ (np.eye(len(target)) - s_weak)
    squares = [float(x @ x) for x in (copied, error - copied, error, f_w2s - target, f_ceiling - target)]
    return Limit(float(np.linalg.norm(operator, 2)), *squares)


@np.errstate(under="ignore")
def function_smoother(a: Float[Any, "k p"], ridge: Any) -> Float[np.ndarray, "p p"]:
    r"""$S = A^T (A A^T + \rho I)^{-1} A$, (p, p); at ridge $\rho = 0$ the projector on the functions that A spans."""
    _, singular, right = np.linalg.svd(np.asarray(jax.device_get(a), np.float64), full_matrices=False)
    keep = singular > np.finfo(float).eps * max(a.shape) * singular.max(initial=0.0)
    gains = singular[keep] ** 2 / (singular[keep] ** 2 + float(jax.device_get(ridge)))
    return (right[keep].T * gains) @ right[keep]


def correlation_dimension(p: Population) -> float:
    r"""$d_{s \wedge w} = \|V_s^T V_w\|_F^2$, V orthonormal bases of the spans of the principal parts: what they share.

    Args:
        p: the population, a single one; between 0 and the smaller of its ranks.

    Source: Dong et al., arXiv 2502.05075; $d_w - d_{s \wedge w}$ is their discrepancy.
    """
    return float(np.trace(function_smoother(p.strong, 0.0) @ function_smoother(p.weak, 0.0)))


def inherited_variance(p: Population, n_train: int, n_w2s: int) -> float:
    r"""Variance of the weak-to-strong model that the label noise causes, heads fitted by least squares, no tail.

    $$
    \frac{\sigma^2}{\tilde n - d_w - 1}
    \left[ d_{s \wedge w} + \frac{d_s}{\hat n - d_s - 1} (d_w - d_{s \wedge w}) \right]
    $$

    is exact for Gaussian latents (an inverse Wishart matrix has the mean $I / (n - d - 1)$); with $n$ in the place of
    $n - d - 1$ it is the formula of Dong et al. Derivation: the weak head's noise is $\sum_j \xi_j u_j(x)$ with
    $\mathrm{Var} \, \xi = \sigma^2 / (\tilde n - d_w - 1)$; what of it lies in the strong span is copied, the rest is
    noise of the strong fit.

    Args:
        p: the population, a single one.
        n_train, n_w2s: samples, more than the ranks plus 1.

    Source: Dong et al., arXiv 2502.05075; derived and checked by Monte Carlo in this package's tests.
    """
    d_weak, d_strong = (int(np.linalg.matrix_rank(jax.device_get(a))) for a in (p.weak, p.strong))
    shared = correlation_dimension(p)
    own = d_strong / (n_w2s - d_strong - 1) * (d_weak - shared)
    return float(jax.device_get(p.noise)) ** 2 / (n_train - d_weak - 1) * (shared + own)
