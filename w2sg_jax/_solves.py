"""The gap without eigenvectors: where every direction is kept, Cholesky factors and triangular solves do."""

from functools import partial
from typing import Any

import jax
import numpy as np

from ._eigenpairs import Measures, Parameters, unit_trace_second
from ._factor import Factor
from ._linalg import Device, Host, largest_eigenvalue
from ._moments import Moments


def solvable(factor: Factor, p: Parameters) -> bool:
    """Whether the solves apply: all directions kept, none of them close to rounding, and ridges above 0."""
    return factor.regular and p.threshold_weak == p.threshold_strong == 0 and p.ridge_weak > 0 and p.ridge_strong > 0


def measure_by_solves(m: Moments, factor: Factor, p: Parameters) -> Measures:
    """What ``measure`` returns, for a ``solvable`` factor.

    Cost: about 5 d^3 flops at d = d_weak = d_strong, a third of the eigendecompositions and products otherwise.
    """
    sigma_weak, sigma_strong = (unit_trace_second(m, factor, side) for side in ("weak", "strong"))
    arguments = (sigma_weak, sigma_strong, factor.weak, factor.strong, factor.labels, p.ridge_weak, p.ridge_strong)
    if jax.default_backend() == "cpu":
        solved = _solve(Host(), *arguments)
    else:
        with jax.enable_x64(True):
            solved = jax.device_get(_solve_on_device(*arguments))
    gram, label_gap, dof_weak, dof_strong = solved
    largest = largest_eigenvalue(sigma_strong)
    top_gain = largest / (largest + p.ridge_strong)
    return Measures(gram, label_gap, dof_weak, dof_strong, m.d_weak, m.d_strong, top_gain)


def _solve(
    la: Any,
    sigma_weak: Any,
    sigma_strong: Any,
    weak: Any,
    strong: Any,
    labels: Any | None,
    ridge_weak: Any,
    ridge_strong: Any,
) -> tuple[Any, ...]:
    """Gram matrix of the operator, label gap, and both effective dimensions, by the operations of ``la``.

    With Sigma + ridge I = L L^T and Q = F L^-T a smoother is P = Q Q^T, and with K = L_s^-1 root(Sigma_s) the strong
    side has K K^T = Q_s^T Q_s, so (I - P_w) Q_s K has the singular values of (I - P_w) P_s. The residual form of
    I - P_w cancels no squares. F is upper triangular: P_w acts on its first d_weak rows alone.
    """
    d_weak, d_strong = len(sigma_weak), len(sigma_strong)
    root_weak = la.root(sigma_weak + ridge_weak * np.eye(d_weak))
    root_strong = la.root(sigma_strong + ridge_strong * np.eye(d_strong))
    q_weak, q_strong = la.right_solve(root_weak, weak[:d_weak]), la.right_solve(root_strong, strong)
    k = la.solve(root_strong, la.root(sigma_strong))

    def missed(x: Any) -> tuple[Any, Any]:
        """(I - P_w) x: the first d_weak rows, and the rest."""
        return x[:d_weak] - la.product(q_weak, la.cross(q_weak, x[:d_weak])), x[d_weak:]

    top, rest = missed(q_strong)
    gram = la.congruence(k, la.gram(top) + la.gram(rest))
    label_gap = 0.0
    if labels is not None:
        top, rest = missed(labels)
        label_gap = (la.cross(k, la.cross(q_strong[:d_weak], top) + la.cross(q_strong[d_weak:], rest)) ** 2).sum()
    return gram, label_gap, (q_weak**2).sum(), (k**2).sum()


_solve_on_device = jax.jit(partial(_solve, Device()))
