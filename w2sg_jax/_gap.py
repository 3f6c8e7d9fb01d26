"""The gap P_s (I - P_w) from moments: its norm, its spectrum, and what it costs on given labels."""

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ._factor import Factor, joint_factor
from ._inputs import InputError, as_ridge, as_threshold, check_option
from ._moments import Moments
from ._spectrum import Spectrum, effective_dimension, gains, kept, rank, spectrum, spectrum_of_rows

HIGHEST = jax.lax.Precision.HIGHEST


@dataclass(frozen=True, eq=False)
class Gap:
    """What the weak supervision costs the strong model, predicted from representations.

    Attributes:
        norm: |P_s (I - P_w)|_op, in [0, 1): the paper's label-free metric; larger means worse weak-to-strong
            generalization. It saturates at 1 when the ridges are tiny: read it beside the ranks and dimensions.
        frobenius: |P_s (I - P_w)|_F / sqrt(n); its square is the expected predicted gap over labels y ~ N(0, I).
        predicted: |P_s (I - P_w) y|^2 / n summed over label columns, in squared label units; None without labels.
        singular_values: of P_s (I - P_w), descending, one for each kept strong direction; those below 1e-8 of the
            largest are not resolved.
        rank_weak, rank_strong: kept directions.
        dof_weak, dof_strong: effective dimensions tr P.
        dropped_weak, dropped_strong: directions left out, below the threshold or the rounding floor.
        ridge_weak, ridge_strong: what was added to K/n, in the units of ``scale``.
        threshold_weak, threshold_strong: share of the largest eigenvalue below which directions were left out.
        n: number of samples.
        center, scale, dtype: the conventions used; ``dtype`` is the precision of the accumulated products.
        warnings: what the reader should know of this number's accuracy; empty when there is nothing.
    """

    norm: float
    frobenius: float
    predicted: float | None
    singular_values: Float[np.ndarray, " k"]
    rank_weak: int
    rank_strong: int
    dof_weak: float
    dof_strong: float
    dropped_weak: int
    dropped_strong: int
    ridge_weak: float
    ridge_strong: float
    threshold_weak: float
    threshold_strong: float
    n: int
    center: bool
    scale: str
    dtype: str
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain Python values, ready for JSON."""
        record = asdict(self)
        return record | {
            "singular_values": self.singular_values.tolist(),
            "warnings": list(self.warnings),
        }


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


class Parameters(NamedTuple):
    """Ridges in units of unit trace, thresholds as shares of the largest eigenvalue."""

    ridge_weak: Float[Any, ""] | float
    ridge_strong: Float[Any, ""] | float
    threshold_weak: Float[Any, ""] | float
    threshold_strong: Float[Any, ""] | float


class Measures(NamedTuple):
    """What the kernel returns: T^T T has the squared singular values of P_s (I - P_w)."""

    operator_gram: Float[Any, "k k"]
    label_gap: Float[Any, ""]
    dof_weak: Float[Any, ""]
    dof_strong: Float[Any, ""]
    rank_weak: Any
    rank_strong: Any
    top_gain: Float[Any, ""]


def gap(
    m: Moments,
    ridge: float | tuple[float, float] = 1e-2,
    threshold: float | tuple[float, float] = 0.0,
    *,
    scale: str = "trace",
) -> Gap:
    """Compute P_s (I - P_w) on the samples behind ``m``: the paper's predictor of weak-to-strong generalization.

    P = A (A + ridge I)^-1 with A = K/n of the principal components that are kept (theory: P_w from the weak model,
    P_s from the strong one, both on the samples that the weak model labels).

    Args:
        m: moments of the pair, from ``moments`` or ``merge``.
        ridge: what is added to K/n; one number, or a (weak, strong) pair. To model heads trained with ridge beta on
            representations with an isotropic tail gamma, pass the effective ridge beta + gamma.
        threshold: keep principal components whose eigenvalue is at least this share of the largest; one number or a
            (weak, strong) pair. 0 keeps all that are above rounding.
        scale: "trace" (default): representations are scaled to unit trace of their second moment, so that a ridge
            means the same for every model. "none": the ridge is in the raw units of K/n, as in the paper.

    Returns:
        Gap; float64 whatever the precision of the products.

    Raises:
        InputError: a constant representation, a negative or NaN ridge or threshold, or ridge 0 where the rank of a
            kernel cannot be told from rounding.

    Cost: (d_weak + d_strong)^3 / 3 for the joint factor, one eigh each of d_weak and d_strong, and products of that
    size; independent of n. In float64 the error of norm^2 is about eps / ridge.
    Source: arXiv 2502.00620, main theorem and its label-free bound.
    """
    factor = joint_factor(m)
    return gap_of_pair(m, factor, make_pair(m, factor), ridge, threshold, scale=scale)


def make_pair(m: Moments, factor: Factor, strong: Spectrum | None = None) -> Pair:
    """Decompose both models once; ``strong`` reuses eigenpairs that are at hand."""
    weak = _spectrum(m, factor, "weak")
    strong = _spectrum(m, factor, "strong") if strong is None else strong
    labels = np.zeros((factor.weak.shape[0], 0)) if factor.labels is None else factor.labels
    with jax.enable_x64(True):
        weak_scores, strong_scores = jax.device_get(
            _scores(factor.weak, weak.eigenvectors, factor.strong, strong.eigenvectors)
        )
    return Pair(weak, strong, weak_scores, strong_scores, labels)


def _spectrum(m: Moments, factor: Factor, side: str) -> Spectrum:
    if factor.exact:
        return spectrum_of_rows(getattr(factor, side), m.dtype)
    return spectrum(getattr(m, f"sigma_{side}") / getattr(factor, f"trace_{side}"), m.dtype)


def gap_of_pair(
    m: Moments,
    factor: Factor,
    pair: Pair,
    ridge: float | tuple[float, float],
    threshold: float | tuple[float, float],
    *,
    scale: str = "trace",
) -> Gap:
    """The gap of a decomposed pair; see ``gap``."""
    ridges, thresholds = as_ridge(ridge), as_threshold(threshold)
    parameters = Parameters(*unit_trace_ridges(ridges, factor, scale), *thresholds)
    refuse_ambiguous_rank(pair, parameters)
    with jax.enable_x64(True):
        measures = jax.device_get(measure(pair, parameters))
    rank_weak, rank_strong = int(measures.rank_weak), int(measures.rank_strong)
    singular_values = _singular_values(measures.operator_gram)[:rank_strong]
    norm = float(singular_values[0])
    return Gap(
        norm=norm,
        frobenius=float(np.sqrt(np.trace(measures.operator_gram) / m.n)),
        predicted=float(measures.label_gap) * factor.trace_labels if m.d_labels else None,
        singular_values=singular_values,
        rank_weak=rank_weak,
        rank_strong=rank_strong,
        dof_weak=float(measures.dof_weak),
        dof_strong=float(measures.dof_strong),
        dropped_weak=m.d_weak - rank_weak,
        dropped_strong=m.d_strong - rank_strong,
        ridge_weak=ridges[0],
        ridge_strong=ridges[1],
        threshold_weak=thresholds[0],
        threshold_strong=thresholds[1],
        n=int(m.n),
        center=m.center,
        scale=scale,
        dtype=m.dtype,
        warnings=_warnings(m, factor, parameters, norm, float(measures.top_gain)),
    )


def unit_trace_ridges(ridges: tuple[float, float], factor: Factor, scale: str) -> tuple[float, float]:
    """Convert ridges to units of unit trace; the one place where units change."""
    check_option(scale, "scale", ("trace", "none"))
    if scale == "trace":
        return ridges
    return ridges[0] / factor.trace_weak, ridges[1] / factor.trace_strong


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
    label_gap = weights[:, None] * _product(pair.strong_scores.T, weak_residual(q, pair.label_rows))
    return Measures(
        operator_gram=_product(t.T, t) if t.shape[0] >= t.shape[1] else _product(t, t.T),
        label_gap=(label_gap**2).sum(),
        dof_weak=effective_dimension(pair.weak, p.ridge_weak, p.threshold_weak),
        dof_strong=strong_gains.sum(),
        rank_weak=rank(pair.weak, p.threshold_weak),
        rank_strong=rank(pair.strong, p.threshold_strong),
        top_gain=strong_gains[0],
    )


def weak_residual(q: Float[Any, "r k"], x: Float[Any, "r c"]) -> Float[Any, "r c"]:
    """(I - Q Q^T) x = (I - P_w) x: what the weak model cannot express of x."""
    return x - _product(q, _product(q.T, x))


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


def _product(a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.matmul(a, b, precision=HIGHEST)


@jax.jit
def _scores(weak: Any, weak_vectors: Any, strong: Any, strong_vectors: Any) -> tuple[jax.Array, jax.Array]:
    return _product(weak, weak_vectors), _product(strong, strong_vectors)


def _singular_values(gram: np.ndarray) -> np.ndarray:
    """Square roots of the eigenvalues, descending; on the host, because JAX's CPU eigvalsh computes the vectors too."""
    return np.sqrt(np.maximum(np.linalg.eigvalsh(gram)[::-1], 0.0))


def _warnings(m: Moments, factor: Factor, p: Parameters, norm: float, top_gain: float) -> tuple[str, ...]:
    notes = []
    eps = float(np.finfo(m.dtype).eps)
    smallest = min(p.ridge_weak, p.ridge_strong)
    aim = 1e-4 if m.dtype == "float32" else 1e-6
    error = eps / (smallest * max(norm, 1e-300) ** 2) if smallest > 0 else 0.0
    if not factor.exact and error > aim:
        notes.append(
            f"{m.dtype} moments at ridge {smallest:.1e} (unit trace) leave an error of up to {min(error, 1.0):.0e} of"
            f" the norm unless the strong representation lies inside the weak one"
            + ("; use dtype='float64'" if m.dtype == "float32" else "; use a larger ridge")
        )
    if norm > top_gain * (1 + 1e-6):
        notes.append(f"the norm exceeds its bound, the largest strong gain {top_gain:.6g}: rounding dominates")
    if top_gain > 0 and norm > 0.999 * top_gain and min(p.ridge_weak, p.ridge_strong) < 1e-4:
        notes.append(
            "the norm is saturated: some strong direction is missed entirely by the weak model; raise the ridge or"
            " compare frobenius and predicted instead"
        )
    return tuple(notes)
