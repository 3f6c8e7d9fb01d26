r"""The gap operator without eigenvectors, on the host: where every direction is kept, Cholesky factors and triangular
solves do."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from ..numerics.lanczos import largest_eigenvalue
from ..numerics.linalg import Host, eigenvalues, regular_cholesky
from ..numerics.rounding import KERNEL_MARGIN, TOLERATED, dual_error, floor, may_solve
from ..second_moments.moments import Moments
from .gap_operator import GapOperator
from .kernel import Factor, unit_trace_second
from .smoother import Complementary, Parameters, by_cholesky, by_kernel


class Gram(NamedTuple):
    r"""One model's Gram matrix on the side where it is regular or smaller.

    Attributes:
        matrix: $\Sigma$ (d, d), or $K/n$ (r, r) over the r rows of the factor; of unit trace.
        dual: whether it is $K/n$.
        rank: counts the directions above rounding.
    """

    matrix: Float[np.ndarray, "k k"]
    dual: bool
    rank: Callable[[], int]


def gap_operator_by_solves(m: Moments, factor: Factor, p: Parameters) -> GapOperator | None:
    """What ``gap_operator`` returns, or None where the solves do not apply.

    They do where every direction is kept, ridges are above 0, and each representation is regular by itself; or, where
    the samples themselves are at hand, its kernel K/n serves.

    Cost: about 5 d^3 flops at d = d_weak = d_strong, a third of the eigendecompositions and products otherwise; of n
    samples at hand, fewer than a model has columns, about 8 n^3.
    """
    grams = grams_for(m, factor, p)
    if grams is None:
        return None
    weak, strong = grams
    gram, label_gap, dof_weak, dof_strong = _operator(
        (weak.matrix, strong.matrix),
        (factor.weak, factor.strong, factor.labels),
        (p.ridge_weak, p.ridge_strong),
        weak_rows=m.d_weak if factor.triangular else len(factor.weak),
        dual=(weak.dual, strong.dual),
    )
    trace = float(np.trace(gram))
    mean_square = trace / len(gram)
    smallest = mean_square if factor.labels is None else min(mean_square, float(label_gap))
    if (weak.dual or strong.dual) and not is_accurate(p, smallest):
        return None
    largest = largest_eigenvalue(strong.matrix)
    top_gain = largest / (largest + p.ridge_strong)
    return GapOperator(gram, trace, label_gap, dof_weak, dof_strong, weak.rank(), strong.rank(), top_gain)


def grams_for(m: Moments, factor: Factor, p: Parameters) -> tuple[Gram, Gram] | None:
    """Both models' Gram matrices for solves at these parameters, or None where solves do not apply."""
    ridges = (p.ridge_weak, p.ridge_strong)
    if max(p.threshold_weak, p.threshold_strong) > 0 or not may_solve(*ridges):
        return None
    if factor.triangular:
        weak, strong = (unit_trace_second(m, factor.traces, model) for model in ("weak", "strong"))
        return Gram(weak, False, lambda: m.d_weak), Gram(strong, False, lambda: m.d_strong)
    weak = _gram(m, factor, factor.weak)
    strong = None if weak is None else _gram(m, factor, factor.strong)
    return None if weak is None or strong is None else (weak, strong)


def is_accurate(p: Parameters, smallest: float) -> bool:
    """Whether rounding of the dual solves is far below a squared norm or gap.

    Args:
        smallest: of the mean square of the operator, which the squared norm is at least, and of the label gap.
    """
    return bool(dual_error(float(p.ridge_weak), float(p.ridge_strong)) <= TOLERATED * np.sqrt(max(smallest, 0.0)))


def _gram(m: Moments, factor: Factor, rows: np.ndarray) -> Gram | None:
    """Sigma where it is regular, K/n of samples at hand otherwise."""
    r, d = rows.shape
    sigma = Host().gram(rows) if r > d else None
    if sigma is not None and regular_cholesky(sigma, m.dtype) is not None:
        return Gram(sigma, False, lambda: d)
    if not factor.exact or m.dtype != "float64":
        return None
    kernel = Host().gram(rows.T)
    rank = partial(_kernel_rank, kernel, m.center) if sigma is None else partial(_counted_rank, sigma)
    return Gram(kernel, True, rank)


def _kernel_rank(kernel: np.ndarray, centred: bool) -> int:
    """The rank of K/n, (n, n): n - 1 where centring took away just one direction, which a constant fills again."""
    n = len(kernel)
    filled = kernel + n**-2.0 if centred else kernel
    full = regular_cholesky(filled, "float64", margin=KERNEL_MARGIN * n) is not None
    return n - int(centred) if full else _counted_rank(kernel)


def _counted_rank(second: np.ndarray) -> int:
    """Eigenvalues above the floor."""
    values = eigenvalues(second)
    return int((values > floor(values[0], len(values), "float64")).sum())


def _operator(
    matrices: tuple[Any, Any],
    factor: tuple[Any, Any, Any | None],
    ridges: tuple[Any, Any],
    *,
    weak_rows: int,
    dual: tuple[bool, bool],
) -> tuple[Any, ...]:
    r"""Gram matrix of the operator, label gap, and both effective dimensions.

    With $Q_s = F_s L_s^{-\top}$ and K with $K K^\top = Q_s^\top Q_s$, $(I - P_w) Q_s K$ has the singular values of
    $(I - P_w) P_s$; and $K = L_s^{-1} R$ where $R R^\top = \Sigma_s$. On the dual side P_s is formed itself.
    """
    la, (weak_factor, strong_factor, labels) = Host(), factor
    if dual[0]:
        weak = by_kernel(la, matrices[0], ridges[0])
    else:
        weak = by_cholesky(la, weak_factor[:weak_rows], matrices[0], ridges[0])
    if dual[1]:
        strong = by_kernel(la, matrices[1], ridges[1])
        gram, dof_strong, fitted = _of_kernel(la, weak, strong)
    else:
        lower = la.root(la.shifted(matrices[1], ridges[1]))
        root = la.right_solve(lower, strong_factor)
        k = la.solve(lower, la.root(matrices[1]))
        gram, dof_strong = la.congruence(k, la.gram(weak.residual(la, root))), (k**2).sum()
        fitted = lambda x: la.cross(k, la.cross(root, x))  # noqa: E731 (as long as P_s x)
    label_gap = 0.0 if labels is None else (fitted(weak.residual(la, labels)) ** 2).sum()
    return gram, label_gap, weak.dof(), dof_strong


def _of_kernel(la: Any, weak: Any, strong: Complementary) -> tuple[Any, Any, Callable[[Any], Any]]:
    p_strong = strong.matrix(la)
    return la.gram(weak.residual(la, p_strong)), strong.dof(), partial(la.product, p_strong)
