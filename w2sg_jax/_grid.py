"""The gap over a grid of ridges and thresholds: one decomposition, then a vmapped kernel."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from ._eigenpairs import Pair, Parameters, make_pair, measure, refuse_ambiguous_rank
from ._factor import joint_factor, unit_trace_ridges
from ._inputs import as_ridge, as_sequence, as_threshold
from ._moments import Moments, check_moments

VMAP_BYTES = 1 << 28


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

    Cost: one ``gap``, then for each point four products of about (d_weak + d_strong)^3 and one eigenvalue problem of
    d_strong.
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
    operator_bytes = 8 * pair.strong_scores.size
    with jax.enable_x64(True):
        columns = _measure_points(pair, jnp.asarray(points), batch=max(1, VMAP_BYTES // operator_bytes))
        norm, total, label_gap, *sizes = (
            np.asarray(column).reshape(len(unit), len(cuts)) for column in jax.device_get(columns)
        )
    predicted = label_gap * factor.traces.labels if m.d_labels else None
    return GapGrid(pairs, cuts, norm, np.sqrt(total / m.n), predicted, *sizes)


@partial(jax.jit, static_argnames=("batch",))
def _measure_points(pair: Pair, points: jax.Array, *, batch: int) -> tuple[jax.Array, ...]:
    def one(point: jax.Array) -> tuple[jax.Array, ...]:
        measures = measure(pair, Parameters(*point))
        values = jnp.linalg.eigvalsh(measures.operator_gram)
        norm = jnp.sqrt(jnp.maximum(values[-1], 0.0))
        sizes = (measures.dof_weak, measures.dof_strong, measures.rank_weak, measures.rank_strong)
        return norm, jnp.trace(measures.operator_gram), measures.label_gap, *sizes

    return jax.lax.map(one, points, batch_size=batch)
