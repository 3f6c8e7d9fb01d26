"""Spectrum: the principal components of one representation, their gains and effective dimension."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int


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


def spectrum(factor: Float[np.ndarray, "r d"], dtype: str = "float64") -> Spectrum:
    """Principal components of the representation whose factor F has F^T F = Sigma.

    The smaller side is decomposed: eigh of the d x d second moment when r > d, else the singular value decomposition
    of F itself (the dual side), which does not square the condition number.

    Args:
        factor: (r, d) rows that stand for the samples / sqrt(n), unit trace.
        dtype: the precision in which products were accumulated; it sets the floor.

    Raises:
        ArithmeticError: the decomposition did not converge (it returns NaN on failure, and above 32766 on a CPU).

    Cost: about 9 min(r, d)^3 + 2 r d min(r, d) flops.
    """
    with jax.enable_x64(True):
        decompose = _primal if factor.shape[0] > factor.shape[1] else _dual
        values, vectors = jax.device_get(decompose(factor))
    if not np.isfinite(values).all():
        raise ArithmeticError(
            f"the eigendecomposition of a {min(factor.shape)} x {min(factor.shape)} second moment returned NaN;"
            " it may be too large for LAPACK on this device"
        )
    floor = np.finfo(dtype).eps * min(factor.shape) * values[0]
    return Spectrum(values, vectors, np.asarray(floor))


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
def _primal(factor: jax.Array) -> tuple[jax.Array, jax.Array]:
    sigma = jnp.matmul(factor.T, factor, precision=jax.lax.Precision.HIGHEST)
    values, vectors = jnp.linalg.eigh(sigma)
    return jnp.maximum(values[::-1], 0.0), vectors[:, ::-1]


@jax.jit
def _dual(factor: jax.Array) -> tuple[jax.Array, jax.Array]:
    _, singular, vectors = jnp.linalg.svd(factor, full_matrices=False)
    return singular**2, vectors.T
