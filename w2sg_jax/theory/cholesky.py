"""The gap without eigenvectors: where every direction is kept, Cholesky factors and triangular solves do."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from scipy.linalg import eigvalsh

from ..numerics.backend import float64, on_host
from ..numerics.lanczos import largest_eigenvalue
from ..numerics.linalg import Device, Host
from ..second_moments.moments import Moments
from .gap_operator import Measures, unit_trace_second
from .kernel import Factor, regular_cholesky
from .smoother import Parameters

LARGEST_RIDGE = 1e100
"""In units of unit trace; beyond it Sigma + ridge I may overflow."""
LARGEST_ERROR = 1e-9
"""Relative, by rounding of kernels: where the dual solves promise less, they are not used."""
ROUNDING = 8.0
"""Of dual smoothers, in units of eps (1 + 1 / ridge_w + 1 / ridge_s)."""
MARGIN = 10.0
"""A kernel whose reciprocal condition number is this often the rounding floor has full rank."""


class Side(NamedTuple):
    """One model's second moment, on the side where it is regular or smaller.

    Attributes:
        second: Sigma (d, d), or K/n (r, r) over the r rows of the factor; of unit trace.
        dual: whether it is K/n.
        rank: counts the directions above rounding.
    """

    second: np.ndarray
    dual: bool
    rank: Callable[[], int]


def measure_by_solves(m: Moments, factor: Factor, p: Parameters) -> Measures | None:
    """What ``measure`` returns, or None where the solves do not apply.

    They do where every direction is kept, ridges are above 0, and each representation is regular by itself; or, where
    the samples themselves are at hand, its kernel K/n serves.

    Cost: about 5 d^3 flops at d = d_weak = d_strong, a third of the eigendecompositions and products otherwise; of n
    samples at hand, fewer than a model has columns, about 8 n^3.
    """
    sides = sides_for(m, factor, p)
    if sides is None:
        return None
    weak, strong = sides
    arguments = (
        (weak.second, strong.second),
        (factor.weak, factor.strong, factor.labels),
        (p.ridge_weak, p.ridge_strong),
    )
    weak_rows = m.d_weak if factor.triangular else len(factor.weak)
    dual = (weak.dual, strong.dual)
    if on_host():
        solved = _solve(Host(), *arguments, weak_rows, dual)
    else:
        with float64():
            solved = jax.device_get(_solve_on_device(*arguments, weak_rows, dual))
    gram, label_gap, dof_weak, dof_strong = solved
    if any(dual) and not _accurate(p, np.trace(gram) / len(gram), None if factor.labels is None else float(label_gap)):
        return None
    largest = largest_eigenvalue(strong.second)
    top_gain = largest / (largest + p.ridge_strong)
    return Measures(gram, label_gap, dof_weak, dof_strong, weak.rank(), strong.rank(), top_gain)


def sides_for(m: Moments, factor: Factor, p: Parameters) -> tuple[Side, Side] | None:
    """Both models' second moments for solves at these parameters, or None where solves do not apply."""
    ridges = (p.ridge_weak, p.ridge_strong)
    if max(p.threshold_weak, p.threshold_strong) > 0 or not 0 < min(ridges) <= max(ridges) < LARGEST_RIDGE:
        return None
    if factor.triangular:
        weak, strong = (unit_trace_second(m, factor.traces, name) for name in ("weak", "strong"))
        return Side(weak, False, lambda: m.d_weak), Side(strong, False, lambda: m.d_strong)
    weak = _side(m, factor, factor.weak)
    strong = None if weak is None else _side(m, factor, factor.strong)
    return None if weak is None or strong is None else (weak, strong)


def _side(m: Moments, factor: Factor, rows: np.ndarray) -> Side | None:
    """Sigma where it is regular, K/n of samples at hand otherwise."""
    r, d = rows.shape
    sigma = Host().gram(rows) if r > d else None
    if sigma is not None and regular_cholesky(sigma, m.dtype) is not None:
        return Side(sigma, False, lambda: d)
    if not factor.exact or m.dtype != "float64":
        return None
    kernel = Host().gram(rows.T)
    rank = partial(_kernel_rank, kernel, m.center) if sigma is None else partial(_counted_rank, sigma)
    return Side(kernel, True, rank)


def _kernel_rank(kernel: np.ndarray, centred: bool) -> int:
    """The rank of K/n, (n, n): n - 1 where centring took away just one direction, which a constant fills again."""
    n = len(kernel)
    filled = kernel + n**-2.0 if centred else kernel
    full = regular_cholesky(filled, "float64", margin=MARGIN * n) is not None
    return n - int(centred) if full else _counted_rank(kernel)


def _counted_rank(second: np.ndarray) -> int:
    """Eigenvalues above the floor of ``Spectrum``."""
    values = eigvalsh(second, check_finite=False)
    return int((values > np.finfo(np.float64).eps * len(values) * values[-1]).sum())


def _accurate(p: Parameters, mean_square: float, label_gap: float | None) -> bool:
    """Whether rounding is far below the norm, which is at least the root mean square, and the label gap."""
    rounding = ROUNDING * np.finfo(np.float64).eps * (1 + 1 / p.ridge_weak + 1 / p.ridge_strong)
    smallest = mean_square if label_gap is None else min(mean_square, label_gap)
    return bool(rounding <= LARGEST_ERROR * np.sqrt(max(smallest, 0.0)))


def _solve(
    la: Any,
    seconds: tuple[Any, Any],
    factor: tuple[Any, Any, Any | None],
    ridges: tuple[Any, Any],
    weak_rows: int,
    dual: tuple[bool, bool],
) -> tuple[Any, ...]:
    """Gram matrix of the operator, label gap, and both effective dimensions, by the operations of ``la``.

    With Sigma + ridge I = L L^T and Q = F L^-T a smoother is P = Q Q^T, and with K = L_s^-1 root(Sigma_s) the strong
    side has K K^T = Q_s^T Q_s, so (I - P_w) Q_s K has the singular values of (I - P_w) P_s. The residual form of
    I - P_w cancels no squares. On the dual side I - P = ridge (K/n + ridge I)^-1, and (I - P_w) P_s is formed itself.
    """
    weak, strong, labels = factor
    root_weak, root_strong = (la.root(s + r * np.eye(len(s))) for s, r in zip(seconds, ridges, strict=True))
    if dual[0]:
        residual = la.whole_inverse(root_weak)
        missed, dof_weak = partial(la.product, ridges[0] * residual), (residual * seconds[0]).sum()
    else:
        q_weak = la.right_solve(root_weak, weak[:weak_rows])
        missed, dof_weak = partial(_missed, la, q_weak), (q_weak**2).sum()
    if dual[1]:
        residual = la.whole_inverse(root_strong)
        p_strong = np.eye(len(residual)) - ridges[1] * residual
        gram, dof_strong = la.gram(missed(p_strong)), (residual * seconds[1]).sum()
        fitted = partial(la.product, p_strong)
    else:
        q_strong = la.right_solve(root_strong, strong)
        k = la.solve(root_strong, la.root(seconds[1]))
        gram, dof_strong = la.congruence(k, la.gram(missed(q_strong))), (k**2).sum()
        fitted = lambda x: la.cross(k, la.cross(q_strong, x))  # noqa: E731
    label_gap = 0.0 if labels is None else (fitted(missed(labels)) ** 2).sum()
    return gram, label_gap, dof_weak, dof_strong


def _missed(la: Any, q_weak: Any, x: Any) -> Any:
    """(I - P_w) x; P_w acts on as many rows of F as Q_w has, the others are zero in F_w."""
    top = x[: len(q_weak)]
    return la.stack(top - la.product(q_weak, la.cross(q_weak, top)), x[len(q_weak) :])


_solve_on_device = jax.jit(partial(_solve, Device()), static_argnames=("weak_rows", "dual"))
