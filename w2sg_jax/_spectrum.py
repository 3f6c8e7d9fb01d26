"""Spectrum: the principal components of one representation, their gains and effective dimension."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from ._precision import float64


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["eigenvalues", "eigenvectors", "floor"],
    meta_fields=[],
)
@dataclass(frozen=True, eq=False)
class Spectrum:
    """Eigenpairs of Sigma = H^T H / n in units of unit trace, largest first; K/n has the same nonzero eigenvalues.

    Attributes:
        eigenvalues: (k,) descending, not negative; k = min(n, d).
        eigenvectors: (d, k), orthonormal columns (right singular vectors of the centred representation).
        floor: eigenvalues at or below it are rounding errors: eps * k * largest.
    """

    eigenvalues: Float[Any, " k"]
    eigenvectors: Float[Any, "d k"]
    floor: Float[Any, ""]


def spectrum(sigma: Float[np.ndarray, "d d"], dtype: str = "float64") -> Spectrum:
    """Principal components of the representation with second moment Sigma = H^T H / n.

    Args:
        sigma: (d, d), of unit trace.
        dtype: the precision in which products were accumulated; it sets the floor.

    Raises:
        ArithmeticError: the decomposition did not converge (it returns NaN on failure, and above 32766 on a CPU).

    Cost: about 9 d^3 flops.
    """
    with float64():
        values, vectors = jax.device_get(_primal(sigma))
    return _checked(values, vectors, dtype)


def spectrum_of_rows(rows: Float[np.ndarray, "n d"], dtype: str = "float64") -> Spectrum:
    """Principal components from the samples themselves, H / sqrt(n), on the smaller side.

    Below d samples this is the dual side: a thin singular value decomposition, which does not square the condition
    number. Args, Raises as ``spectrum``; cost 2 n d min(n, d) flops more.
    """
    if rows.shape[0] > rows.shape[1]:
        return spectrum(rows.T @ rows, dtype)
    with float64():
        values, vectors = jax.device_get(_dual(rows))
    return _checked(values, vectors, dtype)


def _checked(values: np.ndarray, vectors: np.ndarray, dtype: str) -> Spectrum:
    order = len(values)
    if not np.isfinite(values).all():
        raise ArithmeticError(
            f"the eigendecomposition of a {order} x {order} second moment returned NaN; it may be too large for LAPACK"
            " on this device"
        )
    return Spectrum(values, vectors, np.asarray(np.finfo(dtype).eps * order * values[0]))


def kept(s: Spectrum, threshold: Float[Any, ""] | float = 0.0) -> Bool[Any, " k"]:
    """Mask of the principal subspace V: eigenvalues at least ``threshold`` times the largest, and above the floor."""
    return (s.eigenvalues >= threshold * s.eigenvalues[0]) & (s.eigenvalues > s.floor)


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


def rank(s: Spectrum, threshold: Float[Any, ""] | float = 0.0) -> Int[Any, ""]:
    """Number of kept directions."""
    return kept(s, threshold).sum()


@jax.jit
def _primal(sigma: jax.Array) -> tuple[jax.Array, jax.Array]:
    values, vectors = jnp.linalg.eigh(sigma)
    return jnp.maximum(values[::-1], 0.0), vectors[:, ::-1]


@jax.jit
def _dual(rows: jax.Array) -> tuple[jax.Array, jax.Array]:
    _, singular, vectors = jnp.linalg.svd(rows, full_matrices=False)
    return singular**2, vectors.T
