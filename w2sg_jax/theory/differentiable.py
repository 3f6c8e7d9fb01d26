"""The gap as pure functions of the representations, for jit, vmap and grad in the caller's precision."""

from functools import partial

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Float
from numpy.typing import ArrayLike

from .._errors import InputError
from ..numerics.checks import as_array, as_ridge, at_least_two, check_option, same_rows
from ..numerics.linalg import HIGHEST, Device, product
from ..numerics.settings import own_settings
from .smoother import of_rows

LA = Device()


@own_settings()
def gap_norm(
    weak: ArrayLike,
    strong: ArrayLike,
    *,
    ridge_weak: float | Float[Array, ""] = 1e-2,
    ridge_strong: float | Float[Array, ""] = 1e-2,
    center: bool = True,
    scale: str = "trace",
) -> Float[Array, ""]:
    r"""$\lVert P_s (I - P_w) \rVert_{op}$ as a differentiable function of both representations.

    The value is $u^\top (I - P_w) P_s v$ at the leading singular vectors (u, v), which are held constant: by the
    Hellmann-Feynman theorem that is also the gradient, and it passes through linear solves only, so repeated
    eigenvalues give no NaN (where the largest singular value is repeated, one of its subgradients).

    Args:
        weak, strong: representations of the same samples; traced or concrete.
        ridge_weak, ridge_strong: positive; what is added to K/n, in the units of ``scale``.
        center, scale: as in ``gap``.

    Returns:
        A scalar in the precision of the inputs (``gap`` is the accurate one; this one squares condition numbers).

    Raises:
        InputError: shapes, kinds of numbers or options that do not fit, or a concrete ridge that is not positive.
            Values are not looked at: NaN or Inf, and a constant representation, give NaN.

    Cost: that of the smaller of primal (d x d) and dual (n x n) solves for each side, and one eigh.
    """
    ridge_weak, ridge_strong = _checked_ridge(ridge_weak, "ridge_weak"), _checked_ridge(ridge_strong, "ridge_strong")
    weak, strong = _checked_pair(weak, strong, center, scale)
    return _gap_norm(weak, strong, ridge_weak, ridge_strong, center=center, scale=scale)


@partial(jax.jit, static_argnames=("center", "scale"))
def _gap_norm(weak, strong, ridge_weak, ridge_strong, *, center, scale):
    a_weak, a_strong = (_standardised(h, center, scale) for h in (weak, strong))
    u, v = _leading_pair(jax.lax.stop_gradient(a_weak), jax.lax.stop_gradient(a_strong), ridge_weak, ridge_strong)
    missed = of_rows(LA, a_weak, ridge_weak).residual(LA, u)
    return jnp.vdot(missed, of_rows(LA, a_strong, ridge_strong).apply(LA, v), precision=HIGHEST)


@own_settings()
def predicted_gap(
    weak: ArrayLike,
    strong: ArrayLike,
    labels: ArrayLike,
    *,
    ridge_weak: float | Float[Array, ""] = 1e-2,
    ridge_strong: float | Float[Array, ""] = 1e-2,
    center: bool = True,
    scale: str = "trace",
) -> Float[Array, ""]:
    r"""$\lVert P_s (I - P_w)\, y \rVert^2 / n$ as a differentiable function of the representations and the labels.

    Args, units, errors and cost as ``gap_norm``; labels (n,) or (n, c) are centred when ``center``, and columns summed.
    """
    ridge_weak, ridge_strong = _checked_ridge(ridge_weak, "ridge_weak"), _checked_ridge(ridge_strong, "ridge_strong")
    weak, strong = _checked_pair(weak, strong, center, scale)
    y = _real(labels, "labels")
    if y.ndim not in (1, 2) or y.shape[0] != weak.shape[0]:
        raise InputError(f"labels: expected shape ({weak.shape[0]},) or ({weak.shape[0]}, columns), got {y.shape}")
    return _predicted_gap(weak, strong, y.reshape(y.shape[0], -1), ridge_weak, ridge_strong, center=center, scale=scale)


@partial(jax.jit, static_argnames=("center", "scale"))
def _predicted_gap(weak, strong, y, ridge_weak, ridge_strong, *, center, scale):
    a_weak, a_strong = (_standardised(h, center, scale) for h in (weak, strong))
    y = y - y.mean(axis=0, keepdims=True) if center else y
    missed = of_rows(LA, a_weak, ridge_weak).residual(LA, y)
    return (of_rows(LA, a_strong, ridge_strong).apply(LA, missed) ** 2).sum() / y.shape[0]


def _checked_pair(weak: ArrayLike, strong: ArrayLike, center: bool, scale: str) -> tuple[jax.Array, jax.Array]:
    """What can be checked of a traced array too: its kind and shape."""
    check_option(center, "center", (True, False))
    check_option(scale, "scale", ("trace", "none"))
    pair = _real(weak, "weak"), _real(strong, "strong")
    for h, name in zip(pair, ("weak", "strong"), strict=True):
        if h.ndim != 2 or 0 in h.shape:
            raise InputError(f"{name}: expected a matrix (n samples, d features), got an array of shape {h.shape}")
    same_rows(pair, ("weak", "strong"))
    if center:
        at_least_two(pair[0].shape[0], "weak")
    return pair


def _real(x: ArrayLike, name: str) -> jax.Array:
    """Real numbers in at least float32, in which linear solves exist; what is no array yet is read as everywhere."""
    array = x if isinstance(x, Tracer) else jnp.asarray(as_array(x, name))
    if jnp.issubdtype(array.dtype, jnp.complexfloating):
        raise InputError(f"{name}: complex numbers ({array.dtype}); pass real features")
    return array.astype(jnp.promote_types(array.dtype, jnp.float32))


def _checked_ridge(ridge: float | Float[Array, ""], name: str) -> float | Float[Array, ""]:
    if isinstance(ridge, Tracer):
        return ridge
    value, _ = as_ridge(ridge, name)
    if value == 0:
        raise InputError(f"{name}: got 0; these solves need a positive ridge (w2sg_jax.gap takes 0)")
    return value


def _standardised(h: jax.Array, center: bool, scale: str) -> jax.Array:
    """H / sqrt(n), centred and of unit trace as asked."""
    h = h - h.mean(axis=0, keepdims=True) if center else h
    if scale == "trace":
        h = h / jax.lax.stop_gradient(jnp.abs(h).max())
        return h / jnp.sqrt((h**2).sum())
    return h / jnp.sqrt(jnp.asarray(h.shape[0], h.dtype))


def _leading_pair(
    a_weak: jax.Array, a_strong: jax.Array, ridge_weak: float | Float[Array, ""], ridge_strong: float | Float[Array, ""]
) -> tuple[jax.Array, jax.Array]:
    """Leading singular vectors: (I - P_w) P_s v = norm u."""
    kernel_side = a_strong.shape[0] <= a_strong.shape[1]
    gram = product(a_strong, a_strong.T) if kernel_side else product(a_strong.T, a_strong)
    values, vectors = jnp.linalg.eigh(gram)
    values = jnp.maximum(values, 0.0)
    components = vectors * jnp.sqrt(values)[None, :] if kernel_side else product(a_strong, vectors)
    weak = of_rows(LA, a_weak, ridge_weak)
    t = weak.residual(LA, components) * (jnp.sqrt(values) / (values + ridge_strong))[None, :]
    u = _unit(product(t, jnp.linalg.eigh(product(t.T, t))[1][:, -1]))
    return u, _unit(of_rows(LA, a_strong, ridge_strong).apply(LA, weak.residual(LA, u)))


def _unit(x: jax.Array) -> jax.Array:
    length = jnp.linalg.norm(x)
    return x / jnp.where(length > 0, length, 1.0)
