"""The leading singular values of P_s (I - P_w) alone, by Cholesky factors and Lanczos on d-vectors."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from ._eigenpairs import unit_trace_second
from ._errors import InputError
from ._factor import Traces, traces_of, unit_trace_ridges
from ._gap import gap
from ._inputs import as_count, as_ridge
from ._linalg import Device, Host, lanczos, symmetric
from ._moments import Moments, check_moments

LARGEST_ERROR = 1e-9
"""Of the norm, relative: where the squared form promises less, the full computation is done."""
TOLERANCE = 1e-8
"""Of the residual, relative; a singular value is right to half of it."""
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
) -> LeadingGap:
    """Compute the gap norm alone, for representations so wide that ``gap`` takes long.

    With M = Sigma + ridge I and R R^T = Sigma_s, the squares of the singular values are the eigenvalues of
    G = R^T M_s^-1 S M_s^-1 R,  S = Sigma_s - Sigma_sw (M_w^-1 + ridge_w M_w^-2) Sigma_ws = H_s^T (I - P_w)^2 H_s / n,
    which is applied to vectors and never formed.

    Args:
        m: moments of the pair.
        ridge, scale: as in ``gap``; there is no threshold.
        count: how many singular values.

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
    ridges, count, traces = as_ridge(ridge), as_count(count, "count", 1), traces_of(m)
    if count >= m.d_strong - 1:
        raise InputError(f"count: got {count} of {m.d_strong} singular values; w2sg_jax.gap computes all of them")
    unit = unit_trace_ridges(ridges, traces, scale)
    found = None if m.rows is not None or min(unit) <= 0 else _lanczos(m, traces, unit, count)
    if found is None:
        full = gap(m, ridge, scale=scale)
        found = _Found(full.singular_values[:count], 0.0, 0, (full.dof_weak, full.dof_strong))
    return LeadingGap(
        norm=float(found.singular_values[0]),
        singular_values=found.singular_values,
        residual=found.residual,
        method="lanczos" if found.products else "full",
        products=found.products,
        dof_weak=found.dof[0],
        dof_strong=found.dof[1],
        ridge_weak=ridges[0],
        ridge_strong=ridges[1],
        n=int(m.n),
        scale=scale,
    )


class _Found(NamedTuple):
    singular_values: np.ndarray
    residual: float
    products: int
    dof: tuple[float, float]


def _lanczos(m: Moments, traces: Traces, ridges: tuple[float, float], count: int) -> _Found | None:
    sigmas = [unit_trace_second(m, traces, side) for side in ("weak", "strong")]
    cross = np.asfortranarray(m.sigma_cross.T) / np.sqrt(traces.weak * traces.strong)
    try:
        root = Host().root(sigmas[1], clean=False)
        inverses = [_inverse(sigma, ridge) for sigma, ridge in zip(sigmas, ridges, strict=True)]
    except ArithmeticError:
        return None
    apply = _on_backend(root, *inverses, symmetric(sigmas[1]), cross, ridges[0])
    products = 0

    def counted(v: np.ndarray) -> np.ndarray:
        nonlocal products
        products += 1
        return apply(v)

    found = lanczos(counted, m.d_strong, count=count, tolerance=TOLERANCE, basis=max(BASIS, 4 * count))
    if found is None:
        return None
    values, vectors = found
    rounding = float(np.finfo(m.dtype).eps) / (4 * ridges[1]) * (2 + 1 / ridges[0])
    if not values[-1] > 0 or rounding / values[-1] > 2 * LARGEST_ERROR:
        return None
    residual = max(float(np.linalg.norm(counted(v) - s * v) / s) for s, v in zip(values, vectors.T, strict=True))
    if residual > 2 * TOLERANCE:
        return None
    dof = [len(x) - ridge * float(np.trace(x)) for x, ridge in zip(inverses, ridges, strict=True)]
    return _Found(np.sqrt(values), residual, products, (dof[0], dof[1]))


def _inverse(sigma: np.ndarray, ridge: float) -> np.ndarray:
    """(Sigma + ridge I)^-1, its lower half."""
    shifted = sigma.copy(order="K")
    shifted.flat[:: len(sigma) + 1] += ridge
    return Host().inverse(Host().root(shifted, clean=False))


def _on_backend(*matrices: Any) -> Callable[[np.ndarray], np.ndarray]:
    """v -> G v, on the host, or on the accelerator where there is one."""
    if jax.default_backend() == "cpu":
        return partial(_apply, Host(), *matrices)
    with jax.enable_x64(True):
        placed = jax.device_put(matrices)

    def apply(v: np.ndarray) -> np.ndarray:
        with jax.enable_x64(True):
            return jax.device_get(_apply_on_device(*placed, v))

    return apply


def _apply(
    la: Any, root: Any, weak_inverse: Any, strong_inverse: Any, sigma_strong: Any, cross: Any, ridge_weak: Any, v: Any
) -> Any:
    """G v, by the operations of ``la``; of symmetric and triangular matrices the lower half is read."""
    z = la.times(strong_inverse, la.lower_times(root, v))
    a = la.times(weak_inverse, la.matvec(cross, z))
    missed = la.times(sigma_strong, z) - la.matvec(cross, a + ridge_weak * la.times(weak_inverse, a), transposed=True)
    return la.lower_times(root, la.times(strong_inverse, missed), transposed=True)


_apply_on_device = jax.jit(partial(_apply, Device()))
