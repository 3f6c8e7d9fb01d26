r"""The gap norm $\lVert P_s (I - P_w) \rVert_{op}$ and the predicted gap, from moments."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from ..numerics.checks import as_ridge, as_threshold
from ..numerics.rounding import epsilon
from ..numerics.settings import own_settings
from ..second_moments.moments import Moments, check_moments
from .cholesky import gap_operator_by_solves
from .gap_operator import GapOperator, Pair, gap_operator, make_pair, refuse_ambiguous_rank, singular_values_of
from .kernel import Factor, joint_factor
from .smoother import Parameters, unit_trace_ridges


@dataclass(frozen=True, eq=False)
class Gap:
    r"""What the weak supervision costs the strong model, predicted from representations.

    Attributes:
        norm: $\lVert P_s (I - P_w) \rVert_{op}$, in [0, 1): the paper's label-free metric; larger means worse
            weak-to-strong generalization. It saturates at 1 when the ridges are tiny: read it beside the ranks and
            dimensions.
        frobenius: $\lVert P_s (I - P_w) \rVert_F / \sqrt n$; its square is the expected predicted gap over labels
            $y \sim N(0, I)$.
        predicted: $\lVert P_s (I - P_w)\, y \rVert^2 / n$ summed over label columns, in squared label units; None
            without labels.
        singular_values: of $P_s (I - P_w)$, descending, one for each kept strong direction; those below 1e-8 of the
            largest are not resolved.
        rank_weak, rank_strong: kept directions.
        dof_weak, dof_strong: effective dimensions $\operatorname{tr} P$.
        dropped_weak, dropped_strong: directions left out, below the threshold or the rounding floor.
        ridge_weak, ridge_strong: $\beta$, what was added to $K/n$, in the units of ``scale``.
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


@own_settings()
def gap(
    m: Moments,
    ridge: float | tuple[float, float] = 1e-2,
    threshold: float | tuple[float, float] = 0.0,
    *,
    scale: str = "trace",
) -> Gap:
    r"""Compute $P_s (I - P_w)$ on the samples behind ``m``: the paper's predictor of weak-to-strong generalization.

    $$
    \mathrm{PredGap} \approx \tfrac1n \lVert P_s (I - P_w)\, y \rVert^2
    \le \lVert P_s (I - P_w) \rVert_{op}^2 \, \tfrac1n \lVert y \rVert^2,
    \qquad P = A (A + \beta I)^{-1}
    $$

    with $A = K/n$ of the principal components that are kept: $P_w$ from the weak model, $P_s$ from the strong one, both
    on the samples that the weak model labels.

    Args:
        m: moments of the pair, from ``moments`` or ``merge``.
        ridge: $\beta$, what is added to $K/n$; one number, or a (weak, strong) pair. To model heads trained with ridge
            $\beta$ on representations with an isotropic tail $\gamma$, pass the effective ridge $\beta + \gamma$.
        threshold: keep principal components whose eigenvalue is at least this share of the largest; one number or a
            (weak, strong) pair. 0 keeps all that are above rounding.
        scale: "trace" (default): representations are scaled to unit trace of their second moment, so that a ridge
            means the same for every model. "none": the ridge is in the raw units of K/n, as in the paper.

    Returns:
        Gap; float64 whatever the precision of the products.

    Raises:
        InputError: a constant representation, a negative or NaN ridge or threshold, or ridge 0 where the rank of a
            kernel cannot be told from rounding.

    Cost: $(d_w + d_s)^3 / 3$ for the joint factor, products of that size and the singular values; one eigh each
    of d_weak and d_strong besides where there is a threshold or a rank is deficient. Independent of n, but that of a
    model with more columns than samples the kernel $K/n$ takes the place: $n^3$ for $d^3$. In float64 the error of the
    squared norm is about $\varepsilon / \beta$.
    Source: arXiv 2502.00620, main theorem and its label-free bound.
    """
    check_moments(m, "m")
    ridges, thresholds = as_ridge(ridge), as_threshold(threshold)
    factor = joint_factor(m)
    parameters = Parameters(*unit_trace_ridges(ridges, factor.traces, scale), *thresholds)
    solved = gap_operator_by_solves(m, factor, parameters)
    if solved is None:
        return gap_of_pair(m, factor, make_pair(m, factor), ridge, threshold, scale=scale)
    return _gap(m, factor, solved, ridges, parameters, scale)


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
    parameters = Parameters(*unit_trace_ridges(ridges, factor.traces, scale), *thresholds)
    refuse_ambiguous_rank(pair, parameters)
    return _gap(m, factor, gap_operator(pair, parameters), ridges, parameters, scale)


def _gap(
    m: Moments, factor: Factor, operator: GapOperator, ridges: tuple[float, float], parameters: Parameters, scale: str
) -> Gap:
    rank_weak, rank_strong = int(operator.rank_weak), int(operator.rank_strong)
    singular_values = singular_values_of(operator.gram)[:rank_strong]
    norm = float(singular_values[0])
    return Gap(
        norm=norm,
        frobenius=float(np.sqrt(np.trace(operator.gram) / m.n)),
        predicted=float(operator.label_gap) * factor.traces.labels if m.d_labels else None,
        singular_values=singular_values,
        rank_weak=rank_weak,
        rank_strong=rank_strong,
        dof_weak=float(operator.dof_weak),
        dof_strong=float(operator.dof_strong),
        dropped_weak=m.d_weak - rank_weak,
        dropped_strong=m.d_strong - rank_strong,
        ridge_weak=ridges[0],
        ridge_strong=ridges[1],
        threshold_weak=float(parameters.threshold_weak),
        threshold_strong=float(parameters.threshold_strong),
        n=int(m.n),
        center=m.center,
        scale=scale,
        dtype=m.dtype,
        warnings=_warnings(m, factor, parameters, norm, float(operator.top_gain)),
    )


def _warnings(m: Moments, factor: Factor, p: Parameters, norm: float, top_gain: float) -> tuple[str, ...]:
    notes = []
    eps = epsilon(m.dtype)
    smallest = min(p.ridge_weak, p.ridge_strong)
    aim = 1e-4 if m.dtype == "float32" else 1e-6
    error = eps / smallest / max(norm, 1e-150) ** 2 if smallest > 0 else 0.0
    rounded = eps / np.sqrt(smallest) / max(norm, 1e-150) if smallest > 0 else 0.0
    if factor.exact and m.dtype == "float32" and rounded > aim:
        notes.append(
            f"float32 samples at ridge {smallest:.1e} (unit trace) leave an error of up to {min(rounded, 1.0):.0e} of"
            " the norm; use dtype='float64'"
        )
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
