r"""The kernel $K/n$ of each model, by a factor of the joint second moment: min(n, D) rows that stand for the n samples.

Both kernels are in units of unit trace. Neither is ever formed from more than min(n, D) rows.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from .._errors import InputError
from ..numerics.backend import by_backend, compiled, cut, divided, fetched, on_host
from ..numerics.linalg import Device, pivoted_cholesky, regular_cholesky, transposed_solve
from ..numerics.rounding import CONSTANT, PIVOT, REGULAR, epsilon, floor
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

    weak: Float[Any, "r d_weak"]
    strong: Float[Any, "r d_strong"]
    labels: Float[Any, "r c"] | None
    traces: Traces
    exact: bool
    triangular: bool

    @property
    def label_rows(self) -> Float[Any, "r c"]:
        """F_y, with no column where there are no labels."""
        return np.zeros((len(self.weak), 0)) if self.labels is None else self.labels


def joint_factor(m: Moments) -> Factor:
    """Factor the joint second moment without squaring its condition number again.

    Below D samples F is the samples / sqrt(n). Otherwise F is a Cholesky factor; where the representations are close
    to dependent, one with complete pivoting (LAPACK dpstrf), which is backward stable for semidefinite matrices and
    reveals the joint rank: a strong representation inside the span of the weak one stays exactly inside it. The squared
    formula of the gap cannot tell such a gap from sqrt(eps / ridge). On a device, where no factorisation pivots, the
    eigenpairs above rounding do the same.

    Cost: $D^3 / 3$ flops, $D = d_w + d_s + c$; twice that where pivoting is needed, $9 D^3$ on a device.
    """
    traces = traces_of(m)
    widths = (m.d_weak, m.d_strong, m.d_labels)
    scales = np.concatenate([np.full(w, t**-0.5 if t > 0 else 1.0) for w, t in zip(widths, traces, strict=True)])
    if m.rows is not None:
        rows, triangular = _scaled_rows(m.rows, scales * m.n**-0.5), False
    else:
        rows, triangular = _cholesky(m, scales) if on_host() else _factor_on_device(m, scales)
    everything = slice(None)
    labels = cut(rows, everything, m.label_columns) if m.d_labels else None
    weak, strong = cut(rows, everything, m.weak_columns), cut(rows, everything, m.strong_columns)
    return Factor(weak, strong, labels, traces, exact=m.rows is not None, triangular=triangular)


def traces_of(m: Moments) -> Traces:
    """The traces of the second moments, once neither representation is constant (InputError)."""
    traces = Traces(*(_trace(m, columns) for columns in (m.weak_columns, m.strong_columns, m.label_columns)))
    for name, columns in (("weak", m.weak_columns), ("strong", m.strong_columns)):
        refuse_constant(name, getattr(traces, name), m.mean[columns], center=m.center, dtype=m.dtype)
    return traces


def unit_trace_second(m: Moments, traces: Traces, model: str) -> Float[Any, "d d"]:
    """Sigma of the "weak" or the "strong" model from products, divided by its trace, where dense work is done."""
    columns = getattr(m, f"{model}_columns")
    return divided(cut(m.product, columns, columns), getattr(traces, model))


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


def _factor_on_device(m: Moments, scales: np.ndarray) -> tuple[jax.Array, bool]:
    """The same on a device."""
    width = m.d_weak + m.d_strong
    rows, condition = _triangular(m.product, scales, width=width)
    if float(fetched(condition)) * REGULAR * epsilon(m.dtype) < 1:  # not so of NaN
        return rows, True
    return _spectral(m.product, scales, dtype=m.dtype), False


def _triangular_rows(product: jax.Array, scales: jax.Array, *, width: int) -> tuple[jax.Array, jax.Array]:
    """The triangular factor, and a bound of the condition number; NaN where there is none."""
    la, scaled = Device(), product * scales * scales[:, None]
    both = scaled[:width, :width]
    lower = la.root(both)
    inverse = la.gram(la.triangular_inverse(lower))
    condition = (la.inner(both, both) * la.inner(inverse, inverse)) ** 0.5
    return la.columns(lower.T, la.solve(lower, scaled[:width, width:])), condition


def _spectral_rows(product: jax.Array, scales: jax.Array, *, dtype: str) -> jax.Array:
    """A factor of any rank: rows past it are zero, so that shapes do not depend on the data.

    What is left out is what ``pivoted_cholesky`` takes for rounding of the products, and what rounding of the
    eigenpairs themselves, in float64, may have made.
    """
    scaled = product * scales * scales[:, None]
    values, vectors = jnp.linalg.eigh(scaled)
    rounding = jnp.maximum(PIVOT * epsilon(dtype) * scaled.diagonal().max(), floor(values[-1], len(values), "float64"))
    kept = jnp.where(values > rounding, values, 0.0)
    return (vectors * jnp.sqrt(kept)).T


_triangular = compiled(_triangular_rows, static=("width",), fetch=False)
_spectral = compiled(_spectral_rows, static=("dtype",), fetch=False)
_scaled_rows = by_backend(lambda la, rows, scales: rows * scales, fetch=False)
_diagonal = by_backend(lambda la, s: s.diagonal())
_mean_square = by_backend(lambda la, rows: (rows**2).sum() / len(rows))


def _trace(m: Moments, columns: slice) -> float:
    if m.rows is not None:
        return float(_mean_square(cut(m.rows, slice(None), columns)))
    return float(_diagonal(m.product)[columns].sum())


def refuse_constant(name: str, trace: float, mean: np.ndarray, *, center: bool, dtype: str) -> None:
    """Refuse a representation without variance (InputError), by its trace in raw units and its mean."""
    offset = float((mean**2).sum()) if center else 0.0
    if trace <= (CONSTANT * epsilon("float64")) ** 2 * offset or trace <= SMALLEST_TRACE:
        what = "the same for every sample" if center else "zero for every sample"
        raise InputError(
            f"{name}: the representation is constant ({what}), or so small that its squares vanish in {dtype};"
            " check the layer or pooling that it came from, or multiply it by a constant"
        )
