r"""The kernel $K/n$ of each model, by a factor of the joint second moment: min(n, D) rows that stand for the n samples.

Both kernels are in units of unit trace. Neither is ever formed from more than min(n, D) rows.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from .._errors import InputError
from ..numerics.linalg import pivoted_cholesky, regular_cholesky, transposed_solve
from ..numerics.rounding import CONSTANT, epsilon
from ..second_moments.moments import Moments

SMALLEST_TRACE = 1e-280
"""Of a second moment in raw units; below it squares have vanished."""


class Traces(NamedTuple):
    """Mean squared length of a sample: the trace of its second moment."""

    weak: float
    strong: float
    labels: float


@dataclass(frozen=True, eq=False)
class Factor:
    r"""$F = [F_w, F_s, F_y]$, each representation in units of unit trace, with $F^\top F = J$ but for the labels' own
    block.

    Singular values, smoothers and residuals computed from F equal those computed from the n samples / sqrt(n). Of the
    labels F may hold only the part in the span of both representations; a smoother leaves nothing of the rest.

    Attributes:
        weak: (r, d_weak), divided by sqrt(traces.weak).
        strong: (r, d_strong), divided by sqrt(traces.strong).
        labels: (r, c), divided by sqrt(traces.labels), or None.
        traces: those of the second moments, by which the units change.
        exact: True when F holds the samples themselves, False when it was recovered from accumulated products.
        triangular: True when [F_w, F_s] is upper triangular: both representations together are regular.
    """

    weak: Float[np.ndarray, "r d_weak"]
    strong: Float[np.ndarray, "r d_strong"]
    labels: Float[np.ndarray, "r c"] | None
    traces: Traces
    exact: bool
    triangular: bool

    @property
    def label_rows(self) -> Float[np.ndarray, "r c"]:
        """F_y, with no column where there are no labels."""
        return np.zeros((len(self.weak), 0)) if self.labels is None else self.labels


def joint_factor(m: Moments) -> Factor:
    """Factor the joint second moment without squaring its condition number again.

    Below D samples F is the samples / sqrt(n). Otherwise F is a Cholesky factor; where the representations are close
    to dependent, one with complete pivoting (LAPACK dpstrf), which is backward stable for semidefinite matrices and
    reveals the joint rank: a strong representation inside the span of the weak one stays exactly inside it. The squared
    formula of the gap cannot tell such a gap from sqrt(eps / ridge).

    Cost: $D^3 / 3$ flops, $D = d_w + d_s + c$; twice that where pivoting is needed.
    """
    traces = traces_of(m)
    widths = (m.d_weak, m.d_strong, m.d_labels)
    scales = np.concatenate([np.full(w, t**-0.5 if t > 0 else 1.0) for w, t in zip(widths, traces, strict=True)])
    rows, triangular = (m.rows * (scales * m.n**-0.5), False) if m.rows is not None else _cholesky(m, scales)
    labels = rows[:, m.label_columns] if m.d_labels else None
    weak, strong = rows[:, m.weak_columns], rows[:, m.strong_columns]
    return Factor(weak, strong, labels, traces, exact=m.rows is not None, triangular=triangular)


def traces_of(m: Moments) -> Traces:
    """The traces of the second moments, once neither representation is constant (InputError)."""
    traces = Traces(*(_trace(m, columns) for columns in (m.weak_columns, m.strong_columns, m.label_columns)))
    for name, columns in (("weak", m.weak_columns), ("strong", m.strong_columns)):
        refuse_constant(name, getattr(traces, name), m.mean[columns], center=m.center, dtype=m.dtype)
    return traces


def unit_trace_second(m: Moments, traces: Traces, model: str) -> Float[np.ndarray, "d d"]:
    """Sigma of the "weak" or the "strong" model, divided by its trace."""
    return getattr(m, f"sigma_{model}") / getattr(traces, model)


def _cholesky(m: Moments, scales: np.ndarray) -> tuple[np.ndarray, bool]:
    """A factor of the scaled second moment, and whether it is the triangular one of a regular matrix."""
    scaled = m.second * scales
    scaled *= scales[:, None]
    width = m.d_weak + m.d_strong
    upper = regular_cholesky(scaled[:width, :width], m.dtype)
    if upper is None:
        return pivoted_cholesky(scaled, m.dtype), False
    if m.d_labels == 0:
        return upper, True
    labels = transposed_solve(upper, scaled[:width, width:])
    return np.concatenate([upper, labels], axis=1), True


def _trace(m: Moments, columns: slice) -> float:
    if m.rows is not None:
        return float((m.rows[:, columns] ** 2).sum() / m.n)
    return float(np.diagonal(m.second)[columns].sum())


def refuse_constant(name: str, trace: float, mean: np.ndarray, *, center: bool, dtype: str) -> None:
    """Refuse a representation without variance (InputError), by its trace in raw units and its mean."""
    offset = float((mean**2).sum()) if center else 0.0
    if trace <= (CONSTANT * epsilon("float64")) ** 2 * offset or trace <= SMALLEST_TRACE:
        what = "the same for every sample" if center else "zero for every sample"
        raise InputError(
            f"{name}: the representation is constant ({what}), or so small that its squares vanish in {dtype};"
            " check the layer or pooling that it came from, or multiply it by a constant"
        )
