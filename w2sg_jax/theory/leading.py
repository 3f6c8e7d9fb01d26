"""The leading singular values of P_s (I - P_w) alone: Lanczos with Cholesky factors, or principal components alone."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float
from scipy.linalg import eigvalsh

from .._errors import InputError
from ..numerics.backend import float64, on_host
from ..numerics.checks import as_count, as_ridge, as_threshold
from ..numerics.lanczos import lanczos
from ..numerics.linalg import Device, Host
from ..second_moments.moments import Moments, check_moments
from .gap import gap
from .gap_operator import unit_trace_second
from .kernel import Traces, traces_of, unit_trace_ridges
from .smoother import Full, Leading, Side, covered, full_side, principal_side

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
        residual: how far the iterations were from the end. Of Lanczos, |G v - s^2 v| / s^2 of the worst pair (s, v),
            G = T^T T: no s is off by more than half of it, relative. Of principal components, the angle by which the
            subspace may be off. 0 where the full computation was done.
        method: "lanczos"; "principal" where the strong model has a threshold; or "full" where the full computation was
            done, because the iterations did not converge, a representation is close to rank deficient, or the norm is
            too small for the squared form.
        products: times that G was applied.
        rank_weak, rank_strong: kept directions; all of them without a threshold.
        dof_weak, dof_strong: effective dimensions tr P.
        ridge_weak, ridge_strong: what was added to K/n, in the units of ``scale``.
        threshold_weak, threshold_strong: share of the largest eigenvalue below which directions were left out.
    """

    norm: float
    singular_values: Float[np.ndarray, " count"]
    residual: float
    method: str
    products: int
    rank_weak: int
    rank_strong: int
    dof_weak: float
    dof_strong: float
    ridge_weak: float
    ridge_strong: float
    threshold_weak: float
    threshold_strong: float
    n: int
    scale: str

    def to_dict(self) -> dict[str, Any]:
        """Plain Python values, ready for JSON."""
        return asdict(self) | {"singular_values": self.singular_values.tolist()}


def leading_gap(
    m: Moments,
    ridge: float | tuple[float, float] = 1e-2,
    threshold: float | tuple[float, float] = 0.0,
    *,
    count: int = 1,
    scale: str = "trace",
) -> LeadingGap:
    """Compute the gap norm alone, for representations so wide that ``gap`` takes long.

    With M = Sigma + ridge I and R R^T = Sigma_s, the squares of the singular values are the eigenvalues of
    G = R^T M_s^-1 S M_s^-1 R,  S = Sigma_s - Sigma_sw (M_w^-1 + ridge_w M_w^-2) Sigma_ws = H_s^T (I - P_w)^2 H_s / n,
    which is applied to vectors and never formed. A model with a threshold enters by its principal components alone; if
    the strong one has few, G is as small and is formed.

    Args:
        m: moments of the pair.
        ridge, threshold, scale: as in ``gap``.
        count: how many singular values.

    Returns:
        LeadingGap.

    Raises:
        InputError: as ``gap``.

    Cost: d^3 for a model without a threshold (Cholesky factors and an inverse), 2 d^2 m with one, m being a few times
    the directions kept; and about 5 d^2 numbers read for each product with G. Memory beyond the moments: a half of
    them (d = d_weak = d_strong). The squared form leaves an absolute error of about eps / (ridge_s ridge_w) in norm^2:
    where that is too much, the full computation is done instead.
    Source: arXiv 2502.00620, the label-free bound of the main theorem.
    """
    check_moments(m, "m")
    ridges, thresholds, count, traces = (
        as_ridge(ridge),
        as_threshold(threshold),
        as_count(count, "count", 1),
        traces_of(m),
    )
    if count >= m.d_strong - 1:
        raise InputError(f"count: got {count} of {m.d_strong} singular values; w2sg_jax.gap computes all of them")
    unit = unit_trace_ridges(ridges, traces, scale)
    found = None if m.rows is not None else _iterated(m, traces, unit, thresholds, count)
    if found is None:
        found = _full(m, ridge, threshold, count, scale)
    return LeadingGap(
        norm=float(found.singular_values[0]),
        **found._asdict(),
        ridge_weak=ridges[0],
        ridge_strong=ridges[1],
        threshold_weak=thresholds[0],
        threshold_strong=thresholds[1],
        n=int(m.n),
        scale=scale,
    )


class _Found(NamedTuple):
    singular_values: np.ndarray
    residual: float
    method: str
    products: int
    rank_weak: int
    rank_strong: int
    dof_weak: float
    dof_strong: float


def _full(m: Moments, ridge: Any, threshold: Any, count: int, scale: str) -> _Found:
    g = gap(m, ridge, threshold, scale=scale)
    return _Found(g.singular_values[:count], 0.0, "full", 0, g.rank_weak, g.rank_strong, g.dof_weak, g.dof_strong)


def _iterated(
    m: Moments, traces: Traces, ridges: tuple[float, float], thresholds: tuple[float, float], count: int
) -> _Found | None:
    """The singular values by iterations, or None where they do not do."""
    sides: list[Side] = []
    for name, ridge, threshold in zip(("weak", "strong"), ridges, thresholds, strict=True):
        sigma = unit_trace_second(m, traces, name)
        side = _side(sigma, ridge, threshold, with_root=name == "strong")
        if side is None:
            return None
        sides.append(side)
    weak, strong = sides
    cross = np.array(m.sigma_cross.T, order="F")
    cross /= np.sqrt(traces.weak * traces.strong)
    if isinstance(strong.smoother, Full):
        found = _by_lanczos(weak.smoother, strong.smoother, cross, count)
    else:
        found = _by_principal_components(weak.smoother, strong.smoother, cross, count)
    if found is None:
        return None
    values, residual, products = found
    rounding = float(np.finfo(m.dtype).eps) * strong.strong_weight * (2 + weak.weak_weight)
    if not values[-1] > 0 or rounding / values[-1] > 2 * LARGEST_ERROR:
        return None
    residual = max(residual, weak.residual, strong.residual)
    method = "lanczos" if products else "principal"
    return _Found(np.sqrt(values), residual, method, products, weak.rank, strong.rank, weak.dof, strong.dof)


def _side(sigma: np.ndarray, ridge: float, threshold: float, *, with_root: bool) -> Side | None:
    return principal_side(sigma, ridge, threshold) if threshold > 0 else full_side(sigma, ridge, with_root=with_root)


def _by_principal_components(
    weak: Full | Leading, strong: Leading, cross: np.ndarray, count: int
) -> tuple[np.ndarray, float, int]:
    """The leading eigenvalues of the k x k matrix G of k strong components."""
    gains = strong.eigenvalues / (strong.eigenvalues + strong.ridge)
    e = Host().product(cross, np.asfortranarray(strong.vectors * (gains / np.sqrt(strong.eigenvalues))))
    gram = np.diag(gains**2) - Host().cross(e, covered(Host(), weak, e))
    values = eigvalsh((gram + gram.T) / 2, check_finite=False)[::-1]
    return values[:count], 0.0, 0


def _by_lanczos(
    weak: Full | Leading, strong: Full, cross: np.ndarray, count: int
) -> tuple[np.ndarray, float, int] | None:
    apply = _on_backend(weak, strong, cross)
    products = 0

    def counted(v: np.ndarray) -> np.ndarray:
        nonlocal products
        products += 1
        return apply(v)

    found = lanczos(counted, cross.shape[1], count=count, tolerance=TOLERANCE, basis=max(BASIS, 4 * count))
    if found is None:
        return None
    values, vectors = found
    residual = max(float(np.linalg.norm(counted(v) - s * v) / s) for s, v in zip(values, vectors.T, strict=True))
    return (values, residual, products) if residual <= 2 * TOLERANCE else None


def _on_backend(*operands: Any) -> Callable[[np.ndarray], np.ndarray]:
    """v -> G v, on the host, or on the accelerator where there is one."""
    if on_host():
        return partial(_apply, Host(), *operands)
    with float64():
        placed = jax.device_put(operands)

    def apply(v: np.ndarray) -> np.ndarray:
        with float64():
            return jax.device_get(_apply_on_device(*placed, v))

    return apply


def _apply(la: Any, weak: Any, strong: Full, cross: Any, v: Any) -> Any:
    """G v, by the operations of ``la``. Sigma_s z = M_s z - ridge z needs no product, since M_s z = R v."""
    rv = la.lower_times(strong.root, v)
    z = la.times(strong.inverse, rv)
    seen = la.matvec(cross, covered(la, weak, la.matvec(cross, z)), transposed=True)
    missed = rv - strong.ridge * z - seen
    return la.lower_times(strong.root, la.times(strong.inverse, missed), transposed=True)


_apply_on_device = jax.jit(partial(_apply, Device()))
