"""Spectrum: the principal components of one representation, their gains and effective dimension."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.linalg import eigh, qr

from ..numerics.backend import float64, on_host
from ..numerics.lanczos import lanczos
from ..numerics.linalg import Host, product, symmetric


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


BLOCK = 8
"""Vectors a step: more of them make a product faster, and the Krylov space that is needed larger."""
LARGEST_SHARE = 0.25
"""Of d. A larger basis costs as much as the full decomposition."""
TOLERANCE = 1e-10
"""Angle by which the principal subspace may be off."""
GROWTH = 1.25
"""The basis grows by this factor between two tests of convergence."""


class Principal(NamedTuple):
    """Eigenpairs of Sigma with an eigenvalue of at least a share of the largest, descending.

    Attributes:
        eigenvalues: (k,).
        eigenvectors: (d, k), orthonormal columns.
        residual: |Sigma v - l v| of the worst pair over the distance to the first eigenvalue left out: no direction of
            the subspace is off by a larger angle.
    """

    eigenvalues: Float[np.ndarray, " k"]
    eigenvectors: Float[np.ndarray, "d k"]
    residual: float


def principal(sigma: Float[np.ndarray, "d d"], threshold: float) -> Principal | None:
    """Compute the eigenpairs with l >= threshold l_1, or None where the full decomposition is the better way.

    A Krylov space of a random block is kept orthogonal in full, and Rayleigh-Ritz pairs are taken from it until those
    above the threshold have converged. Lanczos on what is left then shows that none was missed, such as further copies
    of an eigenvalue that is repeated more often than the block has vectors.

    Args:
        sigma: symmetric positive semidefinite.
        threshold: above 0.

    Returns:
        Principal; None without convergence in d / 4 vectors, or when an eigenvalue was missed.

    Cost: 2 d^2 m flops for the products and 4 d m^2 to keep m vectors orthogonal; m is a few times k.
    Source: Golub and Underwood (1977); Musco and Musco (2015) for random starts.
    """
    apply = _on_backend(sigma)
    found = _block_lanczos(apply, len(sigma), threshold)
    if found is None:
        return None
    vectors = found.eigenvectors

    def remaining(x: np.ndarray) -> np.ndarray:
        return _orthogonal(vectors, apply(_orthogonal(vectors, x)))

    rest = lanczos(remaining, len(sigma), tolerance=1e-3)
    if rest is None or rest[0][0] >= threshold * found.eigenvalues[0]:
        return None
    return found


def _block_lanczos(apply: Callable[[np.ndarray], np.ndarray], d: int, threshold: float) -> Principal | None:
    most = int(LARGEST_SHARE * d) // BLOCK * BLOCK
    basis, projected = np.empty((d, most), order="F"), np.zeros((most, most))
    rng = np.random.default_rng(0)
    block = _qr(rng.standard_normal((d, BLOCK)))[0]
    tested = 0
    for start in range(0, most, BLOCK):
        stop = start + BLOCK
        basis[:, start:stop] = block
        image = apply(block)
        known = basis[:, :stop]
        overlap = Host().cross(known, image)
        projected[:stop, start:stop] = overlap
        projected[start:stop, :stop] = overlap.T
        rest = _orthogonal(known, image - Host().product(known, overlap))
        block, triangle = _next_block(known, rest, rng)
        if stop >= GROWTH * tested:
            tested = stop
            found = _converged(known, projected[:stop, :stop], triangle, threshold)
            if found is not None:
                return found
    return None


def _converged(basis: np.ndarray, projected: np.ndarray, triangle: np.ndarray, threshold: float) -> Principal | None:
    """The wanted Ritz pairs, once their residuals and that of the first unwanted one are small."""
    values, coordinates = eigh(projected)
    values, coordinates = values[::-1], coordinates[:, ::-1]
    count = int((values >= threshold * values[0]).sum())
    if count == len(values):
        return None
    residuals = np.linalg.norm(triangle @ coordinates[-BLOCK:, : count + 1], axis=0)
    distance = values[count - 1] - values[count]
    below = threshold * values[0] - values[count]
    if residuals[:count].max() > TOLERANCE * distance or residuals[count] > 0.1 * below:
        return None
    vectors = Host().product(basis, np.asfortranarray(coordinates[:, :count]))
    return Principal(values[:count], vectors, float(residuals[:count].max() / distance))


def _next_block(basis: np.ndarray, rest: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """An orthonormal basis Q of the rest, and R with Q R = rest; random directions where the Krylov space has ended.

    Columns of which little was left have lost their orthogonality to the basis: it is restored on Q.
    """
    block, triangle = _qr(rest)
    sizes = np.abs(np.diagonal(triangle))
    ended = sizes <= 1e-14 * sizes.max(initial=1e-300)
    block[:, ended] = rng.standard_normal((len(basis), int(ended.sum())))
    triangle[ended] = 0.0
    block, again = _qr(_orthogonal(basis, block))
    return block, again @ triangle


def _qr(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return qr(x, mode="economic", check_finite=False)  # pyright: ignore[reportReturnType]


def _orthogonal(basis: np.ndarray, x: np.ndarray) -> np.ndarray:
    """What is orthogonal to the basis, in two steps: the second takes away what rounding left."""
    for _ in range(2):
        x = x - Host().matvec(basis, Host().matvec(basis, x, transposed=True))
    return x


def _on_backend(sigma: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """X -> Sigma X, on the host, or on the accelerator where there is one."""
    if on_host():
        return lambda x: Host().times(symmetric(sigma), x)
    with float64():
        placed = jax.device_put(sigma)

    def apply(x: np.ndarray) -> Any:
        with float64():
            return jax.device_get(_product(placed, x))

    return apply


_product = jax.jit(product)
