r"""Spectrum: the principal components of one representation, all of them or those of the principal subspace V."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from ..numerics import rounding
from ..numerics.backend import by_backend, compiled, fetched, resident
from ..numerics.lanczos import lanczos, orthogonal
from ..numerics.linalg import symmetric

BLOCK = 8
"""Lanczos vectors a step: more of them make a product faster, and the Krylov space that is needed larger."""
LARGEST_SHARE = 0.25
"""Of d. A larger basis costs as much as the full decomposition."""
TOLERANCE = 1e-10
"""Angle by which the principal subspace may be off."""
MISSED = 1e-3
"""Residual, relative to it or to the threshold, at which the largest eigenvalue left tells whether one was missed."""


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["eigenvalues", "eigenvectors", "floor", "residual"],
    meta_fields=[],
)
@dataclass(frozen=True, eq=False)
class Spectrum:
    r"""Eigenpairs of $\Sigma = H^\top H / n$ in units of unit trace, largest first; $K/n$ has the same eigenvalues.

    Attributes:
        eigenvalues: (k,) descending, not negative; k = min(n, d), or fewer where only the leading ones were computed.
        eigenvectors: (d, k), orthonormal columns V (right singular vectors of the centred representation), where dense
            work is done.
        floor: eigenvalues at or below it are rounding errors; see ``rounding.floor``.
        residual: angle by which the space of the leading eigenvectors may be off; 0 of a full decomposition.
    """

    eigenvalues: Float[Any, " k"]
    eigenvectors: Float[Any, "d k"]
    floor: Float[Any, ""]
    residual: Float[Any, ""] | float = 0.0


def spectrum(sigma: Float[Any, "d d"], dtype: str = "float64") -> Spectrum:
    r"""Principal components of the representation with second moment $\Sigma = H^\top H / n$.

    Args:
        sigma: (d, d), of unit trace.
        dtype: the precision in which products were accumulated; it sets the floor.

    Raises:
        ArithmeticError: the decomposition did not converge (it returns NaN on failure, and above 32766 on a CPU).

    Cost: about $9 d^3$ flops.
    """
    values, vectors = _primal(sigma)
    return _checked(values, vectors, dtype)


def spectrum_of_rows(rows: Float[Any, "n d"], dtype: str = "float64") -> Spectrum:
    r"""Principal components from the samples themselves, $H / \sqrt n$, on the smaller side.

    Below d samples this is the dual side: a thin singular value decomposition, which does not square the condition
    number. Args, Raises as ``spectrum``; cost $2 n d \min(n, d)$ flops more.
    """
    if rows.shape[0] > rows.shape[1]:
        return spectrum(_second(rows), dtype)
    values, vectors = _dual(rows)
    return _checked(values, vectors, dtype)


def principal(sigma: Float[Any, "d d"], threshold: float) -> Spectrum | None:
    r"""The principal components with $\lambda \ge \alpha \lambda_1$ alone, or None where the full decomposition is
    better.

    Block Lanczos goes on until those above the threshold have converged. Lanczos on what is left then shows that none
    was missed, such as further copies of an eigenvalue that is repeated more often than the block has vectors.

    Args:
        sigma: symmetric positive semidefinite.
        threshold: $\alpha$, above 0.

    Returns:
        Spectrum of the leading eigenpairs; None without convergence in d / 4 vectors, or when an eigenvalue was missed.

    Cost: $2 d^2 m$ flops for the products and $4 d m^2$ to keep m vectors orthogonal; m is a few times k.
    """
    apply, d = resident(_times, symmetric(sigma) if isinstance(sigma, np.ndarray) else sigma), len(sigma)
    distance = 0.0

    def accept(values: np.ndarray, residuals: np.ndarray) -> int:
        """All pairs above the threshold, once they and the first one below it are known well enough."""
        nonlocal distance
        count = int((values >= threshold * values[0]).sum())
        if count == len(values):
            return 0
        distance, below = values[count - 1] - values[count], threshold * values[0] - values[count]
        return 0 if residuals[:count].max() > TOLERANCE * distance or residuals[count] > 0.1 * below else count

    found = lanczos(apply, d, accept, block=BLOCK, most=int(LARGEST_SHARE * d)) if d >= BLOCK / LARGEST_SHARE else None
    if found is None:
        return None

    def remaining(x: np.ndarray) -> np.ndarray:
        return orthogonal(found.vectors, apply(orthogonal(found.vectors, x)))

    cut = threshold * found.values[0]
    rest = lanczos(remaining, d, lambda values, residuals: int(residuals[0] <= MISSED * max(values[0], cut)))
    if rest is None or rest.values[0] >= cut:
        return None
    floor = np.asarray(rounding.floor(found.values[0], d, "float64"))
    return Spectrum(found.values, found.vectors, floor, float(found.residuals.max() / distance))


def kept(s: Spectrum, threshold: Float[Any, ""] | float = 0.0) -> Bool[Any, " k"]:
    r"""Mask of the principal subspace V: eigenvalues at least ``threshold`` times the largest, and above the floor."""
    return (s.eigenvalues >= threshold * s.eigenvalues[0]) & (s.eigenvalues > s.floor)


def rank(s: Spectrum, threshold: Float[Any, ""] | float = 0.0) -> Int[Any, ""]:
    """Number of kept directions."""
    return kept(s, threshold).sum()


def of_second_moment(sigma: Float[jax.Array, "d d"]) -> tuple[Float[jax.Array, " d"], Float[jax.Array, "d d"]]:
    """Eigenvalues, descending and not negative, and eigenvectors: pure."""
    values, vectors = jnp.linalg.eigh(sigma)
    return jnp.maximum(values[::-1], 0.0), vectors[:, ::-1]


def _of_rows(rows: jax.Array) -> tuple[jax.Array, jax.Array]:
    _, singular, vectors = jnp.linalg.svd(rows, full_matrices=False)
    return singular**2, vectors.T


def _times(la: Any, sigma: Any, x: Any) -> Any:
    return la.times(sigma, x)


def _checked(values: Any, vectors: Any, dtype: str) -> Spectrum:
    values = fetched(values)
    order = len(values)
    if not np.isfinite(values).all():
        raise ArithmeticError(
            f"the eigendecomposition of a {order} x {order} second moment returned NaN; it may be too large for LAPACK"
            " on this device"
        )
    return Spectrum(values, vectors, np.asarray(rounding.floor(values[0], order, dtype)))


_primal, _dual = compiled(of_second_moment, fetch=None), compiled(_of_rows, fetch=None)
_second = by_backend(lambda la, rows: la.gram(rows), fetch=False)
