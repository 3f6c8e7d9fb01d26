"""The four conditions of decomposability on a draw, with V, gamma and the population known: no estimate."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..numerics.linalg import product
from ..numerics.settings import own_settings
from ._draw import Draw
from ._population import EffectiveRidges


class Conditions(NamedTuple):
    """Of both models, the larger value of each; in units of the effective ridges. delta is the largest."""

    moments: Any
    r"""1: $\|(\Sigma_V + r I)^{-1/2} (\hat\Sigma_V - \Sigma_V) (\Sigma_V + r I)^{-1/2}\|_{op}$, hat: of the draw"""
    identity: Any
    r"""2: $\|K_{V'}/n - \gamma I\|_{op} / r$, weak tail on both splits, strong tail on D^"""
    orthogonality: Any
    r"""3: $\|\hat H_{V'} \tilde H_{V'}^T / \sqrt{\hat n \tilde n}\|_{op} / r$, of the weak tail"""
    tail_variance: Any
    r"""4: $\|\Sigma_{V'}\|_{op} / r$"""

    @property
    def delta(self) -> Any:
        """The largest of the four."""
        return jnp.stack(self).max(axis=0)


@own_settings()
def conditions(draw: Draw, effective: EffectiveRidges) -> Conditions:
    r"""The four conditions of decomposability on this draw; ``decomposability`` estimates them from arrays.

    Args:
        draw: from ``draw``.
        effective: $r = \beta + \gamma$ of both models; above 0.

    Returns:
        Conditions, scalars.

    Cost: eigenvalues of n x n, about $20 n^3$ flops.
    Source: arXiv 2502.00620, definition of (delta, gamma^, gamma~)-decomposable.
    """
    draw = jax.tree.map(jnp.asarray, draw)
    p, n_train, n_w2s = draw.population, draw.y_train.shape[0], draw.y_w2s.shape[0]
    r_weak, r_strong = effective
    moments = [
        _moments(h, a, r)
        for h, a, r in (
            (draw.weak_train, p.weak, r_weak),
            (draw.weak_w2s, p.weak, r_weak),
            (draw.strong_w2s, p.strong, r_strong),
        )
    ]
    variance = [tail.largest / r for tail, r in ((p.tail_weak, r_weak), (p.tail_strong, r_strong))]
    identity, orthogonality = [jnp.zeros(())], jnp.zeros(())
    if draw.tail_weak is not None:
        gram, trace = draw.tail_weak.gram, p.tail_weak.trace
        for block, n in ((gram[:n_train, :n_train], n_train), (gram[n_train:, n_train:], n_w2s)):
            identity.append(_distance(block / n, trace / n) / r_weak)
        cross = gram[n_train:, :n_train]
        largest = jnp.linalg.eigvalsh(product(cross, cross.T))[-1]
        orthogonality = jnp.sqrt(largest / (n_train * n_w2s)) / r_weak
    if draw.tail_strong is not None:
        identity.append(_distance(draw.tail_strong.gram / n_w2s, p.tail_strong.trace / n_w2s) / r_strong)
    return Conditions(_largest(moments), _largest(identity), orthogonality, _largest(variance))


def _largest(values: list[Any]) -> Any:
    return jnp.stack([jnp.asarray(x) for x in values]).max()


def _moments(h: Float[Array, "n k"], a: Float[Array, "k p"], ridge: Any) -> Any:
    sigma = product(a, a.T)
    values, vectors = jnp.linalg.eigh(sigma + ridge * jnp.eye(sigma.shape[0], dtype=sigma.dtype))
    white = vectors / jnp.sqrt(values)
    return jnp.abs(jnp.linalg.eigvalsh(product(white.T, product(product(h.T, h) / h.shape[0] - sigma, white)))).max()


def _distance(kernel: Float[Array, "n n"], gamma: Any) -> Any:
    r"""$\|K - \gamma I\|_{op}$."""
    return jnp.abs(jnp.linalg.eigvalsh(kernel) - gamma).max()
