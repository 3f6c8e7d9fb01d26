"""Ridge heads on a draw, their exact test errors, and what the main theorem predicts for that draw."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.linalg import cho_factor, cho_solve
from jaxtyping import Array, Float

from ..numerics.linalg import product
from ..numerics.settings import own_settings
from ._draw import Draw
from ._population import EffectiveRidges
from ._tails import Grams

SMALLEST_RIDGE = 1e-12
"""Added to Sigma where a prediction has no ridge at all, so that directions padded with zeros stay zero."""


class Measured(NamedTuple):
    r"""Errors of fitted heads: expectations over fresh samples, exact given the draw; squared label units.

    $f_w - y$ is the sum of what is copied, $f_{w2s} - f_{sc}$, whose mean square is PredGap, and of what is corrected.
    """

    err_weak: Any
    err_w2s: Any
    err_ceiling: Any
    pred_gap: Any
    """$E[(f_{w2s} - f_{sc})^2]$: the part of the weak model's error that the strong model copies"""
    corrected: Any
    """$E[(f_w - y - (f_{w2s} - f_{sc}))^2]$: the part that it corrects"""
    residual: Any
    """mean squared residual of the strong model on the weak labels; 0 where it interpolates them"""


class Predicted(NamedTuple):
    """The main theorem on the samples of D^."""

    pred_gap: Any
    r"""$\|P_s (I - P_w) \hat y\|^2 / \hat n$"""
    norm: Any
    r"""$\|P_s (I - P_w)\|_{op}$"""


class _Head(NamedTuple):
    r"""$f(x) = \theta \cdot h_V(x) + \sum_i \alpha_i \, t_i \cdot t(x)$, c labels; no $\alpha$ without a tail."""

    theta: Float[Array, "k c"]
    alpha: Float[Array, "n c"] | None


@own_settings()
def measure(draw: Draw, ridge_weak: Any, ridge_strong: Any) -> Measured:
    r"""Fit the weak head on D~, label D^ with it, fit the strong head on those labels and the ceiling on the true ones.

    $\theta = H^T (K/n + \beta I)^{-1} y/n$ in the dual where there is a tail (ridge 0 interpolates), in the primal
    where there is none (the ridge has to be positive there; 1e-10 is least squares). Test errors use $E[h h^T]$ of the
    population and carry no sampling error of a test set. Pure, in the precision of the draw.

    Args:
        draw: from ``draw``.
        ridge_weak, ridge_strong: $\beta$, what is added to K/n.

    Returns:
        Measured, scalars.

    Cost: two Cholesky factors, $\tilde n^3 / 3 + \hat n^3 / 3$; without a tail $n k^2$.
    Source: arXiv 2502.00620, section 2.
    """
    draw = jax.tree.map(jnp.asarray, draw)
    p, n_train = draw.population, draw.weak_train.shape[0]
    own, cross, own_weighted = _split(draw.tail_weak, n_train)
    strong_gram, _, strong_weighted = _split(draw.tail_strong, draw.y_w2s.shape[0])
    weak = _fit(draw.weak_train, own, ridge_weak, draw.y_train[:, None])
    pseudo = _outputs(weak, draw.weak_w2s, cross)[:, 0]
    strong = _fit(draw.strong_w2s, strong_gram, ridge_strong, jnp.stack([pseudo, draw.y_w2s], axis=1))
    residual = _outputs(strong, draw.strong_w2s, strong_gram)[:, 0] - pseudo
    error = product(p.weak.T, weak.theta)[:, 0] - p.target
    f_w2s, f_ceiling = product(p.strong.T, strong.theta).T
    copied = f_w2s - f_ceiling
    (weak_tail,) = _tail_energy(weak.alpha, own_weighted, 1)
    w2s_tail, ceiling_tail, copied_tail = _tail_energy(_with_difference(strong.alpha), strong_weighted, 3)
    return Measured(
        err_weak=_square(error) + weak_tail,
        err_w2s=_square(f_w2s - p.target) + w2s_tail,
        err_ceiling=_square(f_ceiling - p.target) + ceiling_tail,
        pred_gap=_square(copied) + copied_tail,
        corrected=_square(error - copied) + weak_tail + copied_tail,
        residual=(residual**2).mean(),
    )


@own_settings()
def predict(draw: Draw, effective: EffectiveRidges) -> Predicted:
    r"""$P_s (I - P_w)$ on the principal parts of D^, with ridges that are effective ones, or not, as the caller likes.

    Args:
        draw: from ``draw``.
        effective: what is added to K/n of the principal parts; ``effective_ridges`` gives $\beta + \gamma$.

    Returns:
        Predicted, scalars.

    Cost: $\hat n (k_w + k_s)^2$; no n x n matrix.
    Source: arXiv 2502.00620, main theorem.
    """
    draw = jax.tree.map(jnp.asarray, draw)
    n = draw.y_w2s.shape[0]
    weak, strong = (
        _root(h / jnp.sqrt(n), ridge)
        for h, ridge in ((draw.weak_w2s, effective.weak), (draw.strong_w2s, effective.strong))
    )

    def missed(x: Array) -> Array:
        return x - product(weak, product(weak.T, x))

    gap = product(strong, product(strong.T, missed(draw.y_w2s)))
    rest = missed(strong)
    values, vectors = jnp.linalg.eigh(product(strong.T, strong))
    half = vectors * jnp.sqrt(jnp.maximum(values, 0.0))
    gram = product(half.T, product(product(rest.T, rest), half))
    return Predicted((gap**2).mean(), jnp.sqrt(jnp.linalg.eigvalsh(gram)[-1]))


def _root(a: Float[Array, "n k"], ridge: Any) -> Float[Array, "n k"]:
    r"""R with $R R^T = P = A (A^T A + \rho I)^{-1} A^T$, $\rho$ the ridge."""
    values, vectors = jnp.linalg.eigh(product(a.T, a))
    values = jnp.maximum(values, 0.0)
    return product(a, vectors) / jnp.sqrt(values + ridge + SMALLEST_RIDGE * values[-1])


def _fit(h: Float[Array, "n k"], gram: Float[Array, "n n"] | None, ridge: Any, y: Float[Array, "n c"]) -> _Head:
    n, k = h.shape
    if gram is None:
        sigma = product(h.T, h) / n + ridge * jnp.eye(k, dtype=h.dtype)
        return _Head(cho_solve(cho_factor(sigma), product(h.T, y) / n), None)
    kernel = product(h, h.T) + gram + n * ridge * jnp.eye(n, dtype=h.dtype)
    alpha = cho_solve(cho_factor(kernel), y)
    return _Head(product(h.T, alpha), alpha)


def _split(tail: Grams | None, n: int) -> tuple[Array | None, Array | None, Array | None]:
    """Of the first n samples: $T T^T$, later samples against them, and the weighted Gram matrix."""
    return (None, None, None) if tail is None else (tail.gram[:n, :n], tail.gram[n:, :n], tail.weighted[:n, :n])


def _outputs(head: _Head, h: Float[Array, "m k"], cross: Float[Array, "m n"] | None) -> Float[Array, "m c"]:
    fitted = product(h, head.theta)
    return fitted if head.alpha is None or cross is None else fitted + product(cross, head.alpha)


def _square(x: Float[Array, " p"]) -> Float[Array, ""]:
    r"""$E[(x \cdot z)^2]$."""
    return (x**2).sum()


def _with_difference(alpha: Float[Array, "n 2"] | None) -> Float[Array, "n 3"] | None:
    """Of f_w2s, f_sc and their difference."""
    return None if alpha is None else jnp.concatenate([alpha, alpha[:, :1] - alpha[:, 1:]], axis=1)


def _tail_energy(
    alpha: Float[Array, "n c"] | None, weighted: Float[Array, "n n"] | None, columns: int
) -> Float[Array, " c"]:
    r"""$E[(\sum_i \alpha_i \, t_i \cdot t)^2]$ for each column."""
    if alpha is None or weighted is None:
        return jnp.zeros(columns)
    return (alpha * product(weighted, alpha)).sum(axis=0)
