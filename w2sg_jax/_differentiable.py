"""The gap as pure functions of the representations, for jit, vmap and grad in the caller's precision."""

from functools import partial

import jax
import jax.numpy as jnp
from jax.scipy.linalg import cho_factor, cho_solve
from jaxtyping import Float

from ._inputs import Array

HIGHEST = jax.lax.Precision.HIGHEST


@partial(jax.jit, static_argnames=("center", "scale"))
def gap_norm(
    weak: Float[Array, "n d_weak"],
    strong: Float[Array, "n d_strong"],
    *,
    ridge_weak: float | Float[Array, ""] = 1e-2,
    ridge_strong: float | Float[Array, ""] = 1e-2,
    center: bool = True,
    scale: str = "trace",
) -> Float[Array, ""]:
    """|P_s (I - P_w)|_op as a differentiable function of both representations.

    The value is u^T (I - P_w) P_s v at the leading singular vectors (u, v), which are held constant: by the
    Hellmann-Feynman theorem that is also the gradient, and it passes through linear solves only, so repeated
    eigenvalues give no NaN (where the largest singular value is repeated, one of its subgradients).

    Args:
        weak, strong: representations of the same samples; traced or concrete.
        ridge_weak, ridge_strong: positive; what is added to K/n, in the units of ``scale``.
        center, scale: as in ``gap``.

    Returns:
        A scalar in the precision of the inputs (``gap`` is the accurate one; this one squares condition numbers).

    Cost: that of the smaller of primal (d x d) and dual (n x n) solves for each side, and one eigh.
    """
    a_weak, a_strong = (_standardised(jnp.asarray(h), center, scale) for h in (weak, strong))
    u, v = _leading_pair(jax.lax.stop_gradient(a_weak), jax.lax.stop_gradient(a_strong), ridge_weak, ridge_strong)
    missed = u - _smooth(a_weak, ridge_weak, u)
    return jnp.vdot(missed, _smooth(a_strong, ridge_strong, v), precision=HIGHEST)


@partial(jax.jit, static_argnames=("center", "scale"))
def predicted_gap(
    weak: Float[Array, "n d_weak"],
    strong: Float[Array, "n d_strong"],
    labels: Float[Array, "n *c"],
    *,
    ridge_weak: float | Float[Array, ""] = 1e-2,
    ridge_strong: float | Float[Array, ""] = 1e-2,
    center: bool = True,
    scale: str = "trace",
) -> Float[Array, ""]:
    """|P_s (I - P_w) y|^2 / n as a differentiable function of the representations and the labels.

    Args, units and cost as ``gap_norm``; labels are centred when ``center``, and columns are summed.
    """
    a_weak, a_strong = (_standardised(jnp.asarray(h), center, scale) for h in (weak, strong))
    y = jnp.asarray(labels).reshape(labels.shape[0], -1)
    y = y - y.mean(axis=0) if center else y
    missed = y - _smooth(a_weak, ridge_weak, y)
    return (_smooth(a_strong, ridge_strong, missed) ** 2).sum() / y.shape[0]


def _standardised(h: jax.Array, center: bool, scale: str) -> jax.Array:
    """H / sqrt(n), centred and of unit trace as asked."""
    h = h - h.mean(axis=0) if center else h
    if scale == "trace":
        h = h / jax.lax.stop_gradient(jnp.abs(h).max())
        return h / jnp.sqrt((h**2).sum())
    return h / jnp.sqrt(jnp.asarray(h.shape[0], h.dtype))


def _smooth(a: jax.Array, ridge: float | Float[Array, ""], x: jax.Array) -> jax.Array:
    """P x = A (A^T A + ridge I)^-1 A^T x, on the smaller side."""
    n, d = a.shape
    if d <= n:
        sigma = _product(a.T, a) + ridge * jnp.eye(d, dtype=a.dtype)
        return _product(a, cho_solve(cho_factor(sigma), _product(a.T, x)))
    kernel = _product(a, a.T)
    return _product(kernel, cho_solve(cho_factor(kernel + ridge * jnp.eye(n, dtype=a.dtype)), x))


def _leading_pair(
    a_weak: jax.Array, a_strong: jax.Array, ridge_weak: float | Float[Array, ""], ridge_strong: float | Float[Array, ""]
) -> tuple[jax.Array, jax.Array]:
    """Leading singular vectors: (I - P_w) P_s v = norm u."""
    kernel_side = a_strong.shape[0] <= a_strong.shape[1]
    gram = _product(a_strong, a_strong.T) if kernel_side else _product(a_strong.T, a_strong)
    values, vectors = jnp.linalg.eigh(gram)
    values = jnp.maximum(values, 0.0)
    components = vectors * jnp.sqrt(values) if kernel_side else _product(a_strong, vectors)
    t = (components - _smooth(a_weak, ridge_weak, components)) * (jnp.sqrt(values) / (values + ridge_strong))
    u = _unit(_product(t, jnp.linalg.eigh(_product(t.T, t))[1][:, -1]))
    return u, _unit(_smooth(a_strong, ridge_strong, u - _smooth(a_weak, ridge_weak, u)))


def _unit(x: jax.Array) -> jax.Array:
    length = jnp.linalg.norm(x)
    return x / jnp.where(length > 0, length, 1.0)


def _product(a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.matmul(a, b, precision=HIGHEST)
