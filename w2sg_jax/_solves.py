"""The gap without eigenvectors: where every direction is kept, Cholesky factors and triangular solves do."""

from functools import partial
from typing import Any

import jax
import numpy as np

from ._eigenpairs import Measures, Parameters, unit_trace_second
from ._factor import Factor, regular_cholesky
from ._linalg import Device, Host, largest_eigenvalue
from ._moments import Moments
from ._precision import float64, on_host

LARGEST_RIDGE = 1e100
"""In units of unit trace; beyond it Sigma + ridge I may overflow."""


def measure_by_solves(m: Moments, factor: Factor, p: Parameters) -> Measures | None:
    """What ``measure`` returns, or None where the solves do not apply.

    They do where every direction is kept and regular, in each representation by itself, and ridges are above 0.

    Cost: about 5 d^3 flops at d = d_weak = d_strong, a third of the eigendecompositions and products otherwise.
    """
    ridges = (p.ridge_weak, p.ridge_strong)
    if max(p.threshold_weak, p.threshold_strong) > 0 or not 0 < min(ridges) <= max(ridges) < LARGEST_RIDGE:
        return None
    sigmas = _second_moments(m, factor)
    if sigmas is None:
        return None
    arguments = (sigmas, (factor.weak, factor.strong, factor.labels), ridges)
    weak_rows = m.d_weak if factor.triangular else len(factor.weak)
    if on_host():
        solved = _solve(Host(), *arguments, weak_rows)
    else:
        with float64():
            solved = jax.device_get(_solve_on_device(*arguments, weak_rows))
    gram, label_gap, dof_weak, dof_strong = solved
    largest = largest_eigenvalue(sigmas[1])
    top_gain = largest / (largest + p.ridge_strong)
    return Measures(gram, label_gap, dof_weak, dof_strong, m.d_weak, m.d_strong, top_gain)


def _second_moments(m: Moments, factor: Factor) -> tuple[np.ndarray, np.ndarray] | None:
    """Sigma_w and Sigma_s in units of unit trace, or None unless both are regular."""
    if factor.triangular:
        return unit_trace_second(m, factor.traces, "weak"), unit_trace_second(m, factor.traces, "strong")
    if len(factor.weak) <= max(m.d_weak, m.d_strong):
        return None
    sigmas = Host().gram(factor.weak), Host().gram(factor.strong)
    return sigmas if all(regular_cholesky(sigma, m.dtype) is not None for sigma in sigmas) else None


def _solve(
    la: Any,
    sigmas: tuple[Any, Any],
    factor: tuple[Any, Any, Any | None],
    ridges: tuple[Any, Any],
    weak_rows: int,
) -> tuple[Any, ...]:
    """Gram matrix of the operator, label gap, and both effective dimensions, by the operations of ``la``.

    With Sigma + ridge I = L L^T and Q = F L^-T a smoother is P = Q Q^T, and with K = L_s^-1 root(Sigma_s) the strong
    side has K K^T = Q_s^T Q_s, so (I - P_w) Q_s K has the singular values of (I - P_w) P_s. The residual form of
    I - P_w cancels no squares. P_w acts on the first ``weak_rows`` rows of F alone, the others are zero in F_w.
    """
    weak, strong, labels = factor
    root_weak, root_strong = (la.root(s + r * np.eye(len(s))) for s, r in zip(sigmas, ridges, strict=True))
    q_weak, q_strong = la.right_solve(root_weak, weak[:weak_rows]), la.right_solve(root_strong, strong)
    k = la.solve(root_strong, la.root(sigmas[1]))

    def missed(x: Any) -> Any:
        """(I - P_w) x."""
        top = x[:weak_rows]
        return la.stack(top - la.product(q_weak, la.cross(q_weak, top)), x[weak_rows:])

    gram = la.congruence(k, la.gram(missed(q_strong)))
    label_gap = 0.0 if labels is None else (la.cross(k, la.cross(q_strong, missed(labels))) ** 2).sum()
    return gram, label_gap, (q_weak**2).sum(), (k**2).sum()


_solve_on_device = jax.jit(partial(_solve, Device()), static_argnames=("weak_rows",))
