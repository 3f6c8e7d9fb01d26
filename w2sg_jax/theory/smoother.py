"""One model's side of a wide pair: its smoother by a Cholesky factor, or by its principal components alone."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import cho_factor, cho_solve
from jaxtyping import Array, Float

from ..numerics.linalg import Host, product
from .spectrum import Spectrum, kept, principal


def gains(s: Spectrum, ridge: Float[Any, ""] | float, threshold: Float[Any, ""] | float = 0.0) -> Float[Any, " k"]:
    """Gains g = l / (l + ridge) of the kept directions, 0 elsewhere: the eigenvalues of the smoother P.

    At ridge 0 these are the projector's 1 and 0 (the min-norm interpolator).
    """
    mask = kept(s, threshold)
    return jnp.where(mask, s.eigenvalues / jnp.where(mask, s.eigenvalues + ridge, 1.0), 0.0)


def effective_dimension(
    s: Spectrum, ridge: Float[Any, ""] | float, threshold: Float[Any, ""] | float = 0.0
) -> Float[Any, ""]:
    """tr P = sum of the gains."""
    return gains(s, ridge, threshold).sum()


class Full(NamedTuple):
    """Every direction: (Sigma + ridge I)^-1, and R with R R^T = Sigma where it is needed; lower halves."""

    inverse: Any
    root: Any
    ridge: Any


class Leading(NamedTuple):
    """The directions above a threshold: eigenpairs of Sigma, (d, k) and (k,)."""

    vectors: Any
    eigenvalues: Any
    ridge: Any


class Side(NamedTuple):
    """A smoother and its sizes.

    Attributes:
        smoother: how it is applied.
        rank: kept directions.
        dof: effective dimension tr P.
        strong_weight, weak_weight: largest l / (l + ridge)^2 and 1 / (l + ridge): by how much rounding of the moments
            grows on either side.
        residual: of the principal components; 0 for every direction.
    """

    smoother: Full | Leading
    rank: int
    dof: float
    strong_weight: float
    weak_weight: float
    residual: float


def full_side(sigma: Float[np.ndarray, "d d"], ridge: float, *, with_root: bool) -> Side | None:
    """The side of every direction, or None at ridge 0 and where Sigma is not positive definite; Sigma is overwritten.

    Cost: d^3, and d^3 / 3 for the root.
    """
    if ridge <= 0:
        return None
    try:
        root = Host().root(sigma, clean=False) if with_root else None
        sigma.flat[:: len(sigma) + 1] += ridge
        inverse = Host().inverse(Host().root(sigma, clean=False, overwrite=True))
    except ArithmeticError:
        return None
    d = len(sigma)
    return Side(Full(inverse, root, ridge), d, d - ridge * float(np.trace(inverse)), 0.25 / ridge, 1 / ridge, 0.0)


def principal_side(sigma: Float[np.ndarray, "d d"], ridge: float, threshold: float) -> Side | None:
    """The side of the directions above a threshold, or None where they are too many to compute them alone."""
    found = principal(sigma, threshold)
    if found is None:
        return None
    values = found.eigenvalues
    weights = 1 / (values + ridge)
    return Side(
        Leading(found.eigenvectors, values, ridge),
        len(values),
        float((values * weights).sum()),
        float((values * weights**2).max()),
        float(weights.max()),
        found.residual,
    )


def covered(la: Any, smoother: Full | Leading, y: Any) -> Any:
    """(2 M^-1 - M^-1 Sigma M^-1) y, so that H^T (2 P - P^2) H = n Sigma-cross products with it; by ``la``."""
    if isinstance(smoother, Full):
        once = la.times(smoother.inverse, y)
        return once + smoother.ridge * la.times(smoother.inverse, once)
    weights = 1 / (smoother.eigenvalues + smoother.ridge)
    seen = la.matvec(smoother.vectors, y, transposed=True)
    weights = weights * (1 + smoother.ridge * weights)
    return la.matvec(smoother.vectors, (seen.T * weights).T)


class Parameters(NamedTuple):
    """Ridges in units of unit trace, thresholds as shares of the largest eigenvalue."""

    ridge_weak: Float[Any, ""] | float
    ridge_strong: Float[Any, ""] | float
    threshold_weak: Float[Any, ""] | float
    threshold_strong: Float[Any, ""] | float


def weak_residual(q: Float[Any, "r k"], x: Float[Any, "r c"]) -> Float[Any, "r c"]:
    """(I - Q Q^T) x = (I - P_w) x: what the weak model cannot express of x."""
    return x - product(q, product(q.T, x))


def _smooth(a: jax.Array, ridge: float | Float[Array, ""], x: jax.Array) -> jax.Array:
    """P x = A (A^T A + ridge I)^-1 A^T x, on the smaller side."""
    n, d = a.shape
    if d <= n:
        sigma = product(a.T, a) + ridge * jnp.eye(d, dtype=a.dtype)
        return product(a, cho_solve(cho_factor(sigma), product(a.T, x)))
    kernel = product(a, a.T)
    return product(kernel, cho_solve(cho_factor(kernel + ridge * jnp.eye(n, dtype=a.dtype)), x))
