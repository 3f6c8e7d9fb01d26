"""The gap from both models' eigenpairs: any ridge and any threshold, from one decomposition each."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from scipy.linalg import eigvalsh

from .._errors import InputError
from ..numerics.backend import float64
from ..numerics.linalg import product
from ..second_moments.moments import Moments
from .kernel import Factor, Traces
from .smoother import Parameters, effective_dimension, gains, weak_residual
from .spectrum import Spectrum, kept, rank, spectrum, spectrum_of_rows


class Pair(NamedTuple):
    """A weak and a strong model in principal coordinates; every ridge and threshold is cheap from here.

    ``weak_scores`` = F_w V_w and ``strong_scores`` = F_s V_s are the principal components of the r rows that stand
    for the samples; ``label_rows`` = F_y (no columns without labels).
    """

    weak: Spectrum
    strong: Spectrum
    weak_scores: Float[Any, "r k_weak"]
    strong_scores: Float[Any, "r k_strong"]
    label_rows: Float[Any, "r c"]


class Measures(NamedTuple):
    """What the kernel returns: T^T T has the squared singular values of P_s (I - P_w)."""

    operator_gram: Float[Any, "k k"]
    label_gap: Float[Any, ""]
    dof_weak: Float[Any, ""]
    dof_strong: Float[Any, ""]
    rank_weak: Any
    rank_strong: Any
    top_gain: Float[Any, ""]


def make_pair(m: Moments, factor: Factor, strong: Spectrum | None = None, *, width: int | None = None) -> Pair:
    """Decompose both models once.

    Args:
        m, factor: of the pair.
        strong: eigenpairs of the strong model that are at hand.
        width: the weak model is padded to this width with columns of zeros, and F with rows of zeros, so that pairs of
            other widths share programs; what is kept stays the same.
    """
    more = 0 if width is None else width - m.d_weak
    weak_rows, strong_rows, label_rows = (
        _padded(x, 0 if factor.exact else more, columns)
        for x, columns in ((factor.weak, more), (factor.strong, 0), (factor.label_rows, 0))
    )
    weak = _spectrum(m, factor, "weak", more)
    strong = _spectrum(m, factor, "strong", 0) if strong is None else strong
    with float64():
        weak_scores, strong_scores = jax.device_get(
            _scores(weak_rows, weak.eigenvectors, strong_rows, strong.eigenvectors)
        )
    return Pair(weak, strong, weak_scores, strong_scores, label_rows)


def _padded(x: np.ndarray, rows: int, columns: int) -> np.ndarray:
    return np.pad(x, ((0, rows), (0, columns))) if rows or columns else x


def _spectrum(m: Moments, factor: Factor, side: str, more: int) -> Spectrum:
    if factor.exact:
        return spectrum_of_rows(_padded(getattr(factor, side), 0, more), m.dtype)
    return spectrum(_padded(unit_trace_second(m, factor.traces, side), more, more), m.dtype)


def unit_trace_second(m: Moments, traces: Traces, side: str) -> Float[np.ndarray, "d d"]:
    """Sigma of the "weak" or the "strong" model, divided by its trace."""
    return getattr(m, f"sigma_{side}") / getattr(traces, side)


@jax.jit
def measure(pair: Pair, p: Parameters) -> Measures:
    """The gap's Gram matrix, its value on the labels, and the sizes of both smoothers; pure, vmapped over ``p``.

    With Q Q^T = P_w, the residual E = F_s V_s - Q Q^T F_s V_s is (I - P_w) applied to the strong components, and
    T = E diag(sqrt(l) / (l + ridge)) has the singular values of P_s (I - P_w): no cancellation of squares, no
    division by a small eigenvalue.
    """
    keep_weak = kept(pair.weak, p.threshold_weak)
    inverse_root = jnp.where(
        keep_weak, 1.0 / jnp.sqrt(jnp.where(keep_weak, pair.weak.eigenvalues + p.ridge_weak, 1.0)), 0.0
    )
    q = pair.weak_scores * inverse_root
    strong_gains = gains(pair.strong, p.ridge_strong, p.threshold_strong)
    keep_strong = kept(pair.strong, p.threshold_strong)
    weights = jnp.where(keep_strong, strong_gains / jnp.sqrt(jnp.where(keep_strong, pair.strong.eigenvalues, 1.0)), 0.0)
    t = weak_residual(q, pair.strong_scores) * weights
    label_gap = weights[:, None] * product(pair.strong_scores.T, weak_residual(q, pair.label_rows))
    return Measures(
        operator_gram=product(t.T, t) if t.shape[0] >= t.shape[1] else product(t, t.T),
        label_gap=(label_gap**2).sum(),
        dof_weak=effective_dimension(pair.weak, p.ridge_weak, p.threshold_weak),
        dof_strong=strong_gains.sum(),
        rank_weak=rank(pair.weak, p.threshold_weak),
        rank_strong=rank(pair.strong, p.threshold_strong),
        top_gain=strong_gains[0],
    )


def refuse_ambiguous_rank(pair: Pair, p: Parameters) -> None:
    """At ridge 0 a smoother is a projector: refuse when rounding decides its rank."""
    for name, s, ridge, threshold in (
        ("weak", pair.weak, p.ridge_weak, p.threshold_weak),
        ("strong", pair.strong, p.ridge_strong, p.threshold_strong),
    ):
        if ridge > 0:
            continue
        smallest = s.eigenvalues[np.asarray(kept(s, threshold))][-1]
        if smallest < 1e3 * s.floor:
            raise InputError(
                f"ridge: 0 for the {name} model, whose kernel is rank deficient: its smallest kept eigenvalue is"
                f" {smallest:.1e} of unit trace and rounding reaches {float(s.floor):.1e}, so rounding would decide the"
                " answer; pass a ridge > 0 (1e-8 is safe) or a threshold (1e-9)"
            )


@jax.jit
def _scores(weak: Any, weak_vectors: Any, strong: Any, strong_vectors: Any) -> tuple[jax.Array, jax.Array]:
    return product(weak, weak_vectors), product(strong, strong_vectors)


def singular_values_of(gram: np.ndarray) -> np.ndarray:
    """Square roots of the eigenvalues, descending; on the host, because JAX's CPU eigvalsh computes the vectors too."""
    return np.sqrt(np.maximum(eigvalsh(gram, check_finite=False)[::-1], 0.0))
