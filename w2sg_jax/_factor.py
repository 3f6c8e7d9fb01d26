"""A factor of the joint second moment: min(n, D) rows that stand for the n samples."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.linalg import get_lapack_funcs

from ._inputs import InputError
from ._moments import Moments

ROUNDING = 32.0
"""Pivots below ROUNDING * eps * (largest diagonal entry) are rounding errors of an accumulated second moment."""


@dataclass(frozen=True, eq=False)
class Factor:
    """F = [F_w, F_s, F_y] with F^T F = J, each representation in units of unit trace.

    Singular values, smoothers and residuals computed from F equal those computed from the n samples / sqrt(n).

    Attributes:
        weak: (r, d_weak), divided by sqrt(trace_weak).
        strong: (r, d_strong), divided by sqrt(trace_strong).
        labels: (r, c), divided by sqrt(trace_labels), or None.
        trace_weak, trace_strong, trace_labels: the traces of the second moments (mean squared length of a sample).
        exact: True when F holds the samples themselves, False when it was recovered from accumulated products.
    """

    weak: Float[np.ndarray, "r d_weak"]
    strong: Float[np.ndarray, "r d_strong"]
    labels: Float[np.ndarray, "r c"] | None
    trace_weak: float
    trace_strong: float
    trace_labels: float
    exact: bool


def joint_factor(m: Moments) -> Factor:
    """Factor the joint second moment without squaring its condition number again.

    Below D samples F is the samples / sqrt(n). Otherwise F comes from the Cholesky factorisation with complete
    pivoting (LAPACK dpstrf), which is backward stable for semidefinite matrices and reveals the joint rank: a strong
    representation inside the span of the weak one stays exactly inside it. The squared formula of the gap cannot tell
    such a gap from sqrt(eps / ridge).

    Cost: D^3 / 3 flops, D = d_weak + d_strong + c.
    """
    traces = [_trace(m, columns) for columns in (m.weak_columns, m.strong_columns, m.label_columns)]
    for name, trace, columns in zip(("weak", "strong"), traces, (m.weak_columns, m.strong_columns), strict=False):
        _refuse_constant(m, name, trace, columns)
    widths = (m.d_weak, m.d_strong, m.d_labels)
    scales = np.concatenate([np.full(w, t**-0.5 if t > 0 else 1.0) for w, t in zip(widths, traces, strict=True)])
    if m.rows is not None:
        rows = m.rows * (scales * m.n**-0.5)
    else:
        rows = _pivoted_cholesky(m.second, scales, m.dtype)
    labels = rows[:, m.label_columns] if m.d_labels else None
    return Factor(rows[:, m.weak_columns], rows[:, m.strong_columns], labels, *traces, exact=m.rows is not None)


def _pivoted_cholesky(second: np.ndarray, scales: np.ndarray, dtype: str) -> np.ndarray:
    scaled = second * scales
    scaled *= scales[:, None]
    tolerance = ROUNDING * np.finfo(dtype).eps * scaled.diagonal().max()
    # The transpose of a symmetric C-ordered matrix is the same matrix in Fortran order: no copy.
    (pstrf,) = get_lapack_funcs(("pstrf",), (scaled,))
    upper, pivots, rank, info = pstrf(scaled.T, tol=tolerance, lower=0, overwrite_a=1)
    if info < 0:
        raise ArithmeticError(f"dpstrf refused argument {-info}")
    factor = np.zeros_like(scaled)  # rows past the rank stay zero, so that shapes do not depend on the data
    factor[:rank, pivots - 1] = np.triu(upper[:rank])
    return factor


def _trace(m: Moments, columns: slice) -> float:
    if m.rows is not None:
        return float((m.rows[:, columns] ** 2).sum() / m.n)
    return float(np.diagonal(m.second)[columns].sum())


def _refuse_constant(m: Moments, name: str, trace: float, columns: slice) -> None:
    offset = float((m.mean[columns] ** 2).sum()) if m.center else 0.0
    if trace <= (4 * np.finfo(np.float64).eps) ** 2 * offset or trace <= 1e-280:
        what = "the same for every sample" if m.center else "zero for every sample"
        raise InputError(
            f"{name}: the representation is constant ({what}), so there is nothing to compare; check the layer or"
            " pooling that it came from"
        )
