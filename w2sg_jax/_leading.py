"""The leading singular values of P_s (I - P_w) alone, by Cholesky factors and Lanczos on d-vectors."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ._errors import InputError
from ._gap import gap
from ._inputs import as_count, as_ridge, check_option
from ._linalg import HIGHEST, Host, symmetric
from ._moments import Moments, check_moments

LARGEST_ERROR = 1e-9
"""Of the norm, relative: where the squared form promises less, the full computation is done."""
BASIS = 48
"""Lanczos vectors that are kept between restarts, at least; measured to need the fewest products at d = 4096."""


@dataclass(frozen=True, eq=False)
class LeadingGap:
    """The gap norm of wide representations, and how it was found.

    Attributes:
        norm: |P_s (I - P_w)|_op, as in ``Gap``.
        singular_values: the leading ones of P_s (I - P_w), descending.
        residual: |G v - s^2 v| / s^2 of the worst pair (s, v) that Lanczos returned, G = T^T T; no s is off by more
            than half of it, relative. 0 where the full computation was done.
        method: "lanczos"; or "full" where the full computation was done, because Lanczos did not converge, a
            representation is close to rank deficient, or the norm is too small for the squared form.
        products: times that G was applied.
        dof_weak, dof_strong: effective dimensions tr P.
        ridge_weak, ridge_strong: what was added to K/n, in the units of ``scale``.
    """

    norm: float
    singular_values: Float[np.ndarray, " count"]
    residual: float
    method: str
    products: int
    dof_weak: float
    dof_strong: float
    ridge_weak: float
    ridge_strong: float
    n: int
    scale: str

    def to_dict(self) -> dict[str, Any]:
        """Plain Python values, ready for JSON."""
        return asdict(self) | {"singular_values": self.singular_values.tolist()}


def leading_gap(
    m: Moments,
    ridge: float | tuple[float, float] = 1e-2,
    *,
    count: int = 1,
    scale: str = "trace",
    tolerance: float = 1e-8,
) -> LeadingGap:
    """Compute the gap norm alone, for representations so wide that ``gap`` takes long.

    With M = Sigma + ridge I and R R^T = Sigma_s, the squares of the singular values are the eigenvalues of
    G = R^T M_s^-1 S M_s^-1 R,  S = Sigma_s - Sigma_sw (M_w^-1 + ridge_w M_w^-2) Sigma_ws = H_s^T (I - P_w)^2 H_s / n,
    which is applied to vectors and never formed.

    Args:
        m: moments of the pair.
        ridge, scale: as in ``gap``; there is no threshold.
        count: how many singular values.
        tolerance: of the residual; the norm is right to half of it.

    Returns:
        LeadingGap.

    Raises:
        InputError: as ``gap``.

    Cost: (d_weak^3 + 2 d_strong^3) / 3 for Cholesky factors, twice (d_weak^3 + d_strong^3) / 3 for inverses, and about
    6 d^2 numbers read for each product with G. The squared form leaves an absolute error of about
    eps / (ridge_s ridge_w) in norm^2: where that is too much, the full computation is done instead.
    Source: arXiv 2502.00620, the label-free bound of the main theorem.
    """
    check_moments(m, "m")
    check_option(scale, "scale", ("trace", "none"))
    weak, strong = ridges = as_ridge(ridge)
    count = as_count(count, "count", 1)
    if count >= m.d_strong - 1:
        raise InputError(f"count: got {count} of {m.d_strong} singular values; w2sg_jax.gap computes all of them")
    if scale == "none":
        weak, strong = weak / np.trace(m.sigma_weak), strong / np.trace(m.sigma_strong)
    found = None if m.rows is not None or min(weak, strong) <= 0 else _lanczos(m, weak, strong, count, tolerance)
    if found is None:
        full = gap(m, ridge, scale=scale)
        values, method, residual, products = full.singular_values[:count], "full", 0.0, 0
        dof = full.dof_weak, full.dof_strong
    else:
        (values, residual, products, dof), method = found, "lanczos"
    return LeadingGap(float(values[0]), values, residual, method, products, *dof, *ridges, int(m.n), scale)


def _lanczos(
    m: Moments, ridge_weak: float, ridge_strong: float, count: int, tolerance: float
) -> tuple[np.ndarray, float, int, tuple[float, float]] | None:
    from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh  # importing it changes the warning filters

    traces = np.trace(m.sigma_weak), np.trace(m.sigma_strong)
    if min(traces) <= 0:
        return None
    sigma_weak, sigma_strong = m.sigma_weak / traces[0], m.sigma_strong / traces[1]
    cross = np.asfortranarray(m.sigma_cross.T) / np.sqrt(traces[0] * traces[1])
    try:
        root = Host().root(sigma_strong, clean=False)
        inverses = [_inverse(sigma_weak, ridge_weak), _inverse(sigma_strong, ridge_strong)]
    except ArithmeticError:
        return None
    apply = _operator(root, inverses, sigma_strong, cross, ridge_weak)
    products = 0

    def counted(v: np.ndarray) -> np.ndarray:
        nonlocal products
        products += 1
        return apply(v.ravel())

    size = m.d_strong
    operator = LinearOperator((size, size), matvec=counted, dtype=np.float64)  # pyright: ignore[reportCallIssue]
    start = apply(np.random.default_rng(0).standard_normal(size))
    basis = min(size - 1, max(BASIS, 4 * count))
    try:
        values, vectors = eigsh(operator, k=count, v0=start, tol=tolerance, ncv=basis)  # pyright: ignore[reportArgumentType]
    except ArpackError:
        return None
    order = np.argsort(values)[::-1]
    values, vectors = values[order], vectors[:, order]
    eps = float(np.finfo(m.dtype).eps)
    rounding = eps / (4 * ridge_strong) * (2 + 1 / ridge_weak)
    if not values[-1] > 0 or rounding / values[-1] > 2 * LARGEST_ERROR:
        return None
    residual = max(
        float(np.linalg.norm(counted(v) - value * v) / value) for value, v in zip(values, vectors.T, strict=True)
    )
    if residual > 10 * max(tolerance, 1e-12):
        return None
    dof = [len(x) - r * float(np.trace(x)) for x, r in zip(inverses, (ridge_weak, ridge_strong), strict=True)]
    return np.sqrt(values), residual, products, (dof[0], dof[1])


def _inverse(sigma: np.ndarray, ridge: float) -> np.ndarray:
    """(Sigma + ridge I)^-1, its lower half."""
    shifted = sigma.copy(order="K")
    shifted.flat[:: len(sigma) + 1] += ridge
    return Host().inverse(Host().root(shifted, clean=False))


def _operator(
    root: np.ndarray, inverses: list[np.ndarray], sigma_strong: np.ndarray, cross: np.ndarray, ridge_weak: float
) -> Callable[[np.ndarray], np.ndarray]:
    """v -> G v, on the host, or on the accelerator where there is one."""
    weak_inverse, strong_inverse = inverses
    if jax.default_backend() == "cpu":
        la = Host()
        sigma = symmetric(sigma_strong)

        def apply(v: np.ndarray) -> np.ndarray:
            z = la.times(strong_inverse, la.lower_times(root, v))
            a = la.times(weak_inverse, la.matvec(cross, z))
            missed = la.times(sigma, z) - la.matvec(cross, a + ridge_weak * la.times(weak_inverse, a), transposed=True)
            return la.lower_times(root, la.times(strong_inverse, missed), transposed=True)

        return apply
    with jax.enable_x64(True):
        full = [x + np.tril(x, -1).T for x in (np.tril(weak_inverse), np.tril(strong_inverse))]
        matrices = jax.device_put((np.tril(root), *full, sigma_strong, cross))

    def apply_on_device(v: np.ndarray) -> np.ndarray:
        with jax.enable_x64(True):
            return jax.device_get(_apply(*matrices, ridge_weak, v))

    return apply_on_device


@jax.jit
def _apply(
    root: jax.Array,
    weak_inverse: jax.Array,
    strong_inverse: jax.Array,
    sigma_strong: jax.Array,
    cross: jax.Array,
    ridge_weak: Any,
    v: jax.Array,
) -> jax.Array:
    times = partial(jnp.matmul, precision=HIGHEST)
    z = times(strong_inverse, times(root, v))
    a = times(weak_inverse, times(cross, z))
    missed = times(sigma_strong, z) - times(cross.T, a + ridge_weak * times(weak_inverse, a))
    return times(root.T, times(strong_inverse, missed))
