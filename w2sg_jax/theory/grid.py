r"""The gap over a grid of ridges and thresholds: one decomposition, then all points together.

At many points $P_s (I - P_w)$ is taken in its squared form, whose parts that change with the point are diagonal:
$O(k^2)$ for each, and Lanczos on all of them at once for the norm.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int

from ..numerics import rounding
from ..numerics.backend import by_backend, compiled
from ..numerics.checks import as_ridge, as_sequence, as_threshold
from ..numerics.lanczos import TOLERANCE, largest_eigenvalues
from ..numerics.linalg import product
from ..numerics.settings import own_settings
from ..second_moments.moments import Moments, check_moments
from .gap_operator import Pair, gap_operator, make_pair, refuse_ambiguous_rank, singular_values_of
from .kernel import joint_factor
from .smoother import Parameters, effective_dimension, gains, inverse_gains, unit_trace_ridges
from .spectrum import Spectrum, rank


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


@own_settings()
def gap_grid(
    m: Moments,
    ridges: Sequence[float | tuple[float, float]],
    thresholds: Sequence[float | tuple[float, float]] = (0.0,),
    *,
    scale: str = "trace",
) -> GapGrid:
    r"""Compute the gap for every ridge and every threshold; equal to calling ``gap`` for each.

    Args:
        m: moments of the pair.
        ridges: R ridges, each a number or a (weak, strong) pair.
        thresholds: T thresholds, each a number or a (weak, strong) pair.
        scale: the units of the ridges, as in ``gap``.

    Raises:
        InputError: as ``gap``; or an empty grid.

    Cost: one decomposition of the pair, as for a ``gap`` with a threshold; then about $200\, d_w d_s$ flops a
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
        np.asarray(quantity).reshape(len(unit), len(cuts)) for quantity in _at_points(pair, points, m)
    )
    return GapGrid(pairs, cuts, norm, frobenius, label_gap * factor.traces.labels if m.d_labels else None, *sizes)


def _at_points(pair: Pair, points: np.ndarray, m: Moments) -> tuple[np.ndarray, ...]:
    """Norm, Frobenius norm, label gap and sizes at each point; points that a sweep does not resolve one by one."""
    found = sweep(overlap_of(pair), points, m.dtype)
    norm, trace, label_gap = np.sqrt(found.norm_squared), found.trace.copy(), found.label_gap.copy()
    for index in np.flatnonzero(~found.resolved):
        alone = gap_operator(pair, Parameters(*points[index]))
        norm[index] = singular_values_of(alone.gram)[0]
        trace[index], label_gap[index] = alone.trace, alone.label_gap
    return norm, np.sqrt(trace / m.n), label_gap, *found[4:]


class Overlap(NamedTuple):
    r"""A pair in products of its principal components alone, whose size does not depend on the rows.

    Attributes:
        weak, strong: both spectra.
        cross: $M = S^\top W$ of the principal components S and W.
        weak_labels, strong_labels: $W^\top F_y$ and $S^\top F_y$.
    """

    weak: Spectrum
    strong: Spectrum
    cross: Float[Any, "k_strong k_weak"]
    weak_labels: Float[Any, "k_weak c"]
    strong_labels: Float[Any, "k_strong c"]


class Sweep(NamedTuple):
    """What is known of the gap at each of P points; ``norm_squared`` holds where ``resolved``.

    The last five are those of ``GapOperator``, and the trace of its Gram matrix.
    """

    norm_squared: Float[np.ndarray, " P"]
    resolved: Bool[np.ndarray, " P"]
    trace: Float[np.ndarray, " P"]
    label_gap: Float[np.ndarray, " P"]
    dof_weak: Float[np.ndarray, " P"]
    dof_strong: Float[np.ndarray, " P"]
    rank_weak: Any
    rank_strong: Any


def overlap_of(pair: Pair) -> Overlap:
    """The products of a pair's principal components. Cost: 2 r k_strong k_weak."""
    return Overlap(pair.weak, pair.strong, *_products(pair.weak_components, pair.strong_components, pair.label_rows))


def _overlaps(la: Any, weak: Any, strong: Any, labels: Any) -> tuple[Any, Any, Any]:
    return la.cross(strong, weak), la.cross(weak, labels), la.cross(strong, labels)


_products = by_backend(_overlaps, fetch=False)


def sweep(overlap: Overlap, points: Float[np.ndarray, "P 4"], dtype: str) -> Sweep:
    r"""Measure the gap at every point, in the squared form.

    With W and S the principal components, $w = g_s / \sqrt{\lambda_s}$ and $a = (2 - g_w) / (\lambda_w + \beta_w)$, the
    squared singular values of $P_s (I - P_w)$ are the eigenvalues of
    $\operatorname{diag}(w)\, (\Lambda_s - M \operatorname{diag}(a) M^\top) \operatorname{diag}(w)$, $M = S^\top W$:
    what changes with the point is diagonal.

    Args:
        overlap: of the pair.
        points: ridges and thresholds, as in ``Parameters``.
        dtype: precision of the moments.

    Cost: about 200 k_strong k_weak flops a point, as products with matrices of P columns.
    """
    weights, (condition, *sizes) = _sizes(overlap, points)
    largest, error = largest_eigenvalues(_squared, overlap, weights, len(overlap.strong_labels))
    error_of_form = rounding.SQUARED * rounding.epsilon(dtype) * condition
    resolved = (error_of_form <= rounding.TOLERATED * largest) & (error <= TOLERANCE * largest)
    return Sweep(largest, resolved, *sizes)


class _Weights(NamedTuple):
    strong: jax.Array
    weak: jax.Array


def _squared(overlap: Overlap, weights: _Weights, v: jax.Array) -> jax.Array:
    """Each point's squared operator times its own vector."""
    m, x = overlap.cross, weights.strong * v
    return weights.strong * (overlap.strong.eigenvalues[None, :] * x - product(product(x, m) * weights.weak, m.T))


def _at_point(overlap: Overlap, point: jax.Array) -> tuple[_Weights, tuple[jax.Array, ...]]:
    """What is diagonal at a point, and all that follows without iterations."""
    p = Parameters(*point)
    weak, strong = overlap.weak, overlap.strong
    inverse = inverse_gains(weak, p.ridge_weak, p.threshold_weak)
    strong_inverse = inverse_gains(strong, p.ridge_strong, p.threshold_strong)
    w = strong_inverse * jnp.sqrt(strong.eigenvalues)
    a = (2 - gains(weak, p.ridge_weak, p.threshold_weak)) * inverse
    trace = (w**2 * (strong.eigenvalues - product(overlap.cross**2, a))).sum()
    missed = overlap.strong_labels - product(overlap.cross, inverse[:, None] * overlap.weak_labels)
    return _Weights(w, a), (
        inverse.max() + strong_inverse.max(),
        trace,
        ((w[:, None] * missed) ** 2).sum(),
        effective_dimension(weak, p.ridge_weak, p.threshold_weak),
        effective_dimension(strong, p.ridge_strong, p.threshold_strong),
        rank(weak, p.threshold_weak),
        rank(strong, p.threshold_strong),
    )


_sizes = compiled(jax.vmap(_at_point, in_axes=(None, 0)))
