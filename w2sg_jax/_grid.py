"""The gap over a grid of ridges and thresholds: one decomposition, then a sweep over all points together."""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import numpy as np
from jaxtyping import Float, Int

from ._eigenpairs import Pair, Parameters, make_pair, measure, refuse_ambiguous_rank
from ._factor import joint_factor, unit_trace_ridges
from ._gap import singular_values_of
from ._inputs import as_ridge, as_sequence, as_threshold
from ._moments import Moments, check_moments
from ._precision import float64
from ._sweep import overlap_of, sweep


@dataclass(frozen=True, eq=False)
class GapGrid:
    """The fields of ``Gap`` over ridges (rows) and thresholds (columns).

    Attributes:
        ridges: (R, 2) weak and strong ridges.  thresholds: (T, 2) weak and strong thresholds.
        norm, frobenius, dof_weak, dof_strong, rank_weak, rank_strong: (R, T).
        predicted: (R, T), or None without labels.
    """

    ridges: Float[np.ndarray, "R 2"]
    thresholds: Float[np.ndarray, "T 2"]
    norm: Float[np.ndarray, "R T"]
    frobenius: Float[np.ndarray, "R T"]
    predicted: Float[np.ndarray, "R T"] | None
    dof_weak: Float[np.ndarray, "R T"]
    dof_strong: Float[np.ndarray, "R T"]
    rank_weak: Int[np.ndarray, "R T"]
    rank_strong: Int[np.ndarray, "R T"]


def gap_grid(
    m: Moments,
    ridges: Sequence[float | tuple[float, float]],
    thresholds: Sequence[float | tuple[float, float]] = (0.0,),
    *,
    scale: str = "trace",
) -> GapGrid:
    """Compute the gap for every ridge and every threshold; equal to calling ``gap`` for each.

    Args:
        m: moments of the pair.
        ridges: R ridges, each a number or a (weak, strong) pair.
        thresholds: T thresholds, each a number or a (weak, strong) pair.
        scale: the units of the ridges, as in ``gap``.

    Raises:
        InputError: as ``gap``; or an empty grid.

    Cost: one decomposition of the pair, as for a ``gap`` with a threshold; then about 200 d_weak d_strong flops a
    point. A point where the norm is too small for the squared form costs as much as a ``gap`` of its own.
    """
    check_moments(m, "m")
    ridges, thresholds = as_sequence(ridges, "ridges"), as_sequence(thresholds, "thresholds")
    factor = joint_factor(m)
    pair = make_pair(m, factor)
    pairs = np.array([as_ridge(ridge) for ridge in ridges])
    cuts = np.array([as_threshold(threshold) for threshold in thresholds])
    unit = np.array([unit_trace_ridges((float(a), float(b)), factor.traces, scale) for a, b in pairs])
    points = np.concatenate([np.repeat(unit, len(cuts), axis=0), np.tile(cuts, (len(unit), 1))], axis=1)
    for point in points:
        refuse_ambiguous_rank(pair, Parameters(*point))
    norm, frobenius, label_gap, *sizes = (
        np.asarray(column).reshape(len(unit), len(cuts)) for column in _columns(pair, points, m)
    )
    return GapGrid(pairs, cuts, norm, frobenius, label_gap * factor.traces.labels if m.d_labels else None, *sizes)


def _columns(pair: Pair, points: np.ndarray, m: Moments) -> tuple[np.ndarray, ...]:
    """Norm, Frobenius norm, label gap and sizes at each point; points that a sweep does not resolve one by one."""
    found = sweep(overlap_of(pair), points, m.dtype)
    norm, trace, label_gap = np.sqrt(found.norm_squared), found.trace.copy(), found.label_gap.copy()
    for index in np.flatnonzero(~found.resolved):
        with float64():
            measures = jax.device_get(measure(pair, Parameters(*points[index])))
        norm[index] = singular_values_of(measures.operator_gram)[0]
        trace[index], label_gap[index] = np.trace(measures.operator_gram), measures.label_gap
    return norm, np.sqrt(trace / m.n), label_gap, *found[4:]
