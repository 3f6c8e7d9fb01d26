"""The gap over a grid of ridges and thresholds: one decomposition, then a sweep over all points together."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.linalg import eigh_tridiagonal

from ..numerics.backend import bucket, float64
from ..numerics.checks import as_ridge, as_sequence, as_threshold
from ..numerics.linalg import Host, product
from ..second_moments.moments import Moments, check_moments
from .gap_operator import Pair, make_pair, measure, refuse_ambiguous_rank, singular_values_of
from .kernel import joint_factor, unit_trace_ridges
from .smoother import Parameters, effective_dimension, gains
from .spectrum import Spectrum, kept, rank


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


STEPS = 8
"""Lanczos steps between two looks at what has converged."""
MOST_STEPS = 224
"""Lanczos steps after which a point counts as one that does not converge."""
TOLERANCE = 1e-9
"""Of the squared norm, relative: a point has converged where its error is bounded by less."""
MOST_POINTS = 256
"""At once; more would not make the products faster."""
ENDED = 1e-13
"""What is left of a vector, relative, where the Krylov space has ended."""
LARGEST_ERROR = 1e-9
"""Of the squared norm, relative, by rounding: where the squared form promises less, it is not used."""
ROUNDING = 4.0
"""Rounding in units of eps (1 / (l_w + ridge_w) + 1 / (l_s + ridge_s)) at the smallest kept l; 0.7 was measured."""


class Overlap(NamedTuple):
    """A pair in products of its principal components alone; M = S^T W, whose size does not depend on the rows."""

    weak: Spectrum
    strong: Spectrum
    components: Float[Any, "k_strong k_weak"]
    weak_labels: Float[Any, "k_weak c"]
    strong_labels: Float[Any, "k_strong c"]


class Sweep(NamedTuple):
    """Measures at each of P points; ``norm_squared`` holds where ``resolved``.

    The last five are those of ``Measures`` and the trace of its Gram matrix.
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
    weak, strong, labels = (np.asfortranarray(x) for x in (pair.weak_scores, pair.strong_scores, pair.label_rows))
    cross = Host().cross
    return Overlap(pair.weak, pair.strong, cross(strong, weak), cross(weak, labels), cross(strong, labels))


def sweep(overlap: Overlap, points: Float[np.ndarray, "P 4"], dtype: str) -> Sweep:
    """Measure the gap at every point.

    With W and S the principal components, w = g_s / sqrt(l_s) and a = (2 - g_w) / (l_w + ridge_w), the squared
    singular values of P_s (I - P_w) are the eigenvalues of diag(w) (L_s - M diag(a) M^T) diag(w), M = S^T W: what
    changes with the point is diagonal.

    Args:
        overlap: of the pair.
        points: ridges and thresholds, as in ``Parameters``.
        dtype: precision of the moments.

    Cost: about 200 k_strong k_weak flops a point, as products with matrices of P columns.
    """
    with float64():
        weights, sizes = _sizes(overlap, jnp.asarray(points))
        condition, *sizes = (np.asarray(x) for x in jax.device_get(sizes))
        largest, error = _largest(overlap, weights, len(points))
    rounding = ROUNDING * np.finfo(dtype).eps * condition
    resolved = (rounding <= LARGEST_ERROR * largest) & (error <= TOLERANCE * largest)
    return Sweep(largest, resolved, *sizes)


def _largest(overlap: Overlap, weights: "_Weights", count: int) -> tuple[np.ndarray, np.ndarray]:
    """The largest eigenvalue at every point and a bound of its error, in batches that shrink as points converge."""
    largest, error = np.zeros(count), np.full(count, np.inf)
    for first in range(0, count, MOST_POINTS):
        points = np.arange(first, min(first + MOST_POINTS, count))
        own = _rows(weights, points)
        krylov, tridiagonal = _started(overlap, own), np.empty((2, len(points), 0))
        for _ in range(0, MOST_STEPS, STEPS):
            krylov, new = _lanczos(overlap, own, krylov, steps=STEPS)
            tridiagonal = np.concatenate([tridiagonal, np.asarray(new)[:, : len(points)]], axis=2)
            before = largest[points]
            largest[points], bound = _ritz(*tridiagonal)
            error[points] = np.maximum(bound, largest[points] - before)
            left = np.flatnonzero(error[points] > TOLERANCE * largest[points])
            if not len(left):
                break
            points, tridiagonal = points[left], tridiagonal[:, left]
            own, krylov = _rows((own, krylov), left)
    return largest, error


def _rows(arrays: Any, rows: np.ndarray) -> Any:
    """Some rows of every array, and the first of them again up to the next number that programs are made for."""
    return _taken(arrays, np.resize(rows, bucket(len(rows))))


@jax.jit
def _taken(arrays: Any, rows: jax.Array) -> Any:
    return jax.tree.map(lambda x: x[rows], arrays)


class _Weights(NamedTuple):
    strong: jax.Array
    weak: jax.Array


@jax.jit
@partial(jax.vmap, in_axes=(None, 0))
def _sizes(overlap: Overlap, point: jax.Array) -> tuple[_Weights, tuple[jax.Array, ...]]:
    """What is diagonal at a point, and all that follows without iterations."""
    p = Parameters(*point)
    weak, strong = overlap.weak, overlap.strong
    inverse, strong_inverse = (
        jnp.where(kept(side, threshold), 1 / _positive(side.eigenvalues + ridge), 0.0)
        for side, ridge, threshold in (
            (weak, p.ridge_weak, p.threshold_weak),
            (strong, p.ridge_strong, p.threshold_strong),
        )
    )
    weak_gains, strong_gains = (
        gains(weak, p.ridge_weak, p.threshold_weak),
        gains(strong, p.ridge_strong, p.threshold_strong),
    )
    w, a = strong_gains / jnp.sqrt(_positive(strong.eigenvalues)), (2 - weak_gains) * inverse
    trace = (w**2 * (strong.eigenvalues - product(overlap.components**2, a))).sum()
    missed = overlap.strong_labels - product(overlap.components, inverse[:, None] * overlap.weak_labels)
    return _Weights(w, a), (
        inverse.max() + strong_inverse.max(),
        trace,
        ((w[:, None] * missed) ** 2).sum(),
        effective_dimension(weak, p.ridge_weak, p.threshold_weak),
        strong_gains.sum(),
        rank(weak, p.threshold_weak),
        rank(strong, p.threshold_strong),
    )


def _positive(x: jax.Array) -> jax.Array:
    return jnp.where(x > 0, x, 1.0)


class _Krylov(NamedTuple):
    """Where Lanczos stands at each of P points: the last vector, the one before times beta, the largest alpha."""

    v: jax.Array
    before: jax.Array
    largest: jax.Array


def _apply(overlap: Overlap, weights: _Weights, v: jax.Array) -> jax.Array:
    """Each point's matrix times its own vector."""
    m, x = overlap.components, weights.strong * v
    return weights.strong * (overlap.strong.eigenvalues * x - product(product(x, m) * weights.weak, m.T))


@jax.jit
def _started(overlap: Overlap, weights: _Weights) -> _Krylov:
    v = _apply(overlap, weights, jax.random.normal(jax.random.key(0), weights.strong.shape, weights.strong.dtype))
    v = v / _positive(jnp.linalg.norm(v, axis=1))[:, None]
    return _Krylov(v, jnp.zeros_like(v), jnp.zeros_like(v[:, 0]))


@partial(jax.jit, static_argnames=("steps",))
def _lanczos(overlap: Overlap, weights: _Weights, krylov: _Krylov, *, steps: int) -> tuple[_Krylov, jax.Array]:
    """Go on by some steps; the new diagonals (2, P, steps) of the Lanczos matrices.

    Vectors lose their orthogonality, which brings copies of eigenvalues that have converged, and no other (Paige 1980):
    the largest one stays what it is.
    """

    def step(state: _Krylov, _: None) -> tuple[_Krylov, tuple[jax.Array, jax.Array]]:
        y = _apply(overlap, weights, state.v)
        alpha = (state.v * y).sum(axis=1)
        largest = jnp.maximum(state.largest, alpha)
        y = y - alpha[:, None] * state.v - state.before
        beta = jnp.linalg.norm(y, axis=1)
        beta = jnp.where(beta > ENDED * largest, beta, 0.0)
        after = jnp.where(beta > 0, 1 / _positive(beta), 0.0)[:, None] * y
        return _Krylov(after, beta[:, None] * state.v, largest), (alpha, beta)

    krylov, diagonals = jax.lax.scan(step, krylov, length=steps)
    return krylov, jnp.stack(diagonals).swapaxes(1, 2)


def _ritz(diagonal: np.ndarray, beside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The largest eigenvalue of each Lanczos matrix, and a bound of its error.

    The bound is the residual r of its Ritz pair, or r^2 over the distance to the other eigenvalues where that is less
    (Kato and Temple): to the next Ritz value, plus the residual of that. In a cluster that distance can be an illusion,
    which shows in a value that still grows.
    """
    pairs = [_largest_two(*matrix) for matrix in zip(diagonal, beside[:, :-1], strict=True)]
    values, last = np.array([pair[0] for pair in pairs]), np.array([pair[1] for pair in pairs])
    residual, next_residual = np.abs(beside[:, -1:] * last).T[::-1]
    distance = values[:, -1] - values[:, -2] - next_residual
    error = np.where(distance > residual, residual**2 / np.where(distance > 0, distance, 1.0), residual)
    return np.maximum(values[:, -1], 0.0), error


def _largest_two(diagonal: np.ndarray, beside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The two largest eigenvalues, ascending, and the last entries of their eigenvectors."""
    last = len(diagonal) - 1
    values, vectors = eigh_tridiagonal(diagonal, beside, select="i", select_range=(last - 1, last))
    return values, vectors[-1]
