r"""The gap norm $\lVert P_s (I - P_w) \rVert_{op}$ and the predicted gap, from moments."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
from jaxtyping import Float

from ..numerics.backend import on_host
from ..numerics.checks import as_ridge, as_threshold
from ..numerics.rounding import TOLERATED, epsilon
from ..numerics.settings import own_settings
from ..second_moments.moments import Moments, Target, check_moments
from .cholesky import gap_operator_by_solves
from .gap_operator import GapOperator, Pair, gap_operator, make_pair, refuse_ambiguous_rank, singular_values_of
from .kernel import Factor, joint_factor
from .smoother import Parameters, unit_trace_ridges
from .solved import SolvedPair, solve_pair

SMALLEST_NORM = 1e-12
"""Norms of this size are rounding whatever way they were computed."""
CLOSE = 0.03
"""A second singular value within this share of the first: the influence of a sample on the norm is rough."""


@dataclass(frozen=True, eq=False)
class Gap:
    r"""What the weak supervision costs the strong model, predicted from representations.

    Attributes:
        norm: $\lVert P_s (I - P_w) \rVert_{op}$, in [0, 1): the paper's label-free metric; larger means worse
            weak-to-strong generalization. It saturates at 1 when the ridges are tiny: read it beside the ranks and
            dimensions.
        predicted: $\lVert P_s (I - P_w)\, y \rVert^2 / n$ summed over label columns, in squared label units; None
            without labels.
        dof_weak, dof_strong: effective dimensions $\operatorname{tr} P$.
        ridge_weak, ridge_strong: $\beta$, what was added to $K/n$, in the units of ``scale``.
        threshold_weak, threshold_strong: share of the largest eigenvalue below which directions were left out.
        n: number of samples.
        center, scale, dtype: the conventions used; ``dtype`` is the precision of the accumulated products.
        warnings: what the reader should know of this number's accuracy; empty when there is nothing.

    Frobenius norm, ranks and singular values are computed when they are first read; moments and factors are kept until
    then.
    """

    norm: float
    predicted: float | None
    dof_weak: float
    dof_strong: float
    ridge_weak: float
    ridge_strong: float
    threshold_weak: float
    threshold_strong: float
    n: int
    center: bool
    scale: str
    dtype: str
    warnings: tuple[str, ...]
    _sizes: "Later[_Sizes]" = field(repr=False)
    _singular_values: "Later[np.ndarray]" = field(repr=False)

    @property
    def frobenius(self) -> float:
        r"""$\lVert P_s (I - P_w) \rVert_F / \sqrt n$; its square is the expected predicted gap over labels
        $y \sim N(0, I)$."""
        return self._sizes.value().frobenius

    @property
    def rank_weak(self) -> int:
        """Kept directions of the weak model."""
        return self._sizes.value().rank_weak

    @property
    def rank_strong(self) -> int:
        """Kept directions of the strong model."""
        return self._sizes.value().rank_strong

    @property
    def dropped_weak(self) -> int:
        """Directions of the weak model that are left out, below the threshold or the rounding floor."""
        return self._sizes.value().d_weak - self.rank_weak

    @property
    def dropped_strong(self) -> int:
        """Directions of the strong model that are left out."""
        return self._sizes.value().d_strong - self.rank_strong

    @property
    def singular_values(self) -> Float[np.ndarray, " k"]:
        r"""Of $P_s (I - P_w)$, descending, one for each kept strong direction; those below 1e-8 of the largest are not
        resolved."""
        return self._singular_values.value()

    def to_dict(self) -> dict[str, Any]:
        """Plain Python values, ready for JSON; what is computed later is computed."""
        named = {name: getattr(self, name) for name in (*FIRST, *(item.name for item in fields(self)))}
        record = {name: value for name, value in named.items() if not name.startswith("_")}
        return record | {"singular_values": self.singular_values.tolist(), "warnings": list(self.warnings)}


T = TypeVar("T")
FIRST = ("norm", "frobenius", "predicted", "singular_values", "rank_weak", "rank_strong", "dof_weak", "dof_strong")
FIRST += ("dropped_weak", "dropped_strong")
"""The order of a record."""


class _Sizes(NamedTuple):
    frobenius: float
    rank_weak: int
    rank_strong: int
    d_weak: int
    d_strong: int


class Later(Generic[T]):
    """What is computed when it is asked for; pickled as what it is then."""

    def __init__(self, compute: Callable[[], T]):
        self._compute: Callable[[], T] | None = compute

    @own_settings()
    def value(self) -> T:
        """The value."""
        if self._compute is not None:
            self._known, self._compute = self._compute(), None
        return self._known

    def __getstate__(self) -> dict[str, Any]:
        return {"_known": self.value(), "_compute": None}


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

    Cost: about $4 d_s^3 + 2 d_s^2 d_w + 2 d_s d_w^2 + 2 d_w^3$, by Cholesky factors and Lanczos; independent of n, but
    that of a model with more columns than samples the kernel $K/n$ takes the place: $n^2 d + n^3$. Where there is a
    threshold, a ridge is 0 or a gap is close to rounding, one eigh of each model and products of $d_w + d_s$ rows;
    ``singular_values``, where they are asked for, a joint factor of $(d_w + d_s)^3 / 3$ and their decomposition. In
    float64 the error of the squared norm is about $\varepsilon / \sqrt\beta$, and $\varepsilon / \beta$ of moments.
    Source: arXiv 2502.00620, main theorem and its label-free bound.
    """
    check_moments(m, "m")
    ridges, thresholds = as_ridge(ridge), as_threshold(threshold)
    found = solve_pair(m.target, *m.weak, ridges, thresholds, scale)
    if found is None:
        return _decomposed(m, ridges, thresholds, scale)
    return gap_of_solved(found, m.target, lambda: m, ridges, thresholds, scale)


def gap_of_solved(
    found: SolvedPair,
    target: Target,
    moments: Callable[[], Moments],
    ridges: tuple[float, float],
    thresholds: tuple[float, float],
    scale: str,
) -> Gap:
    """The gap of a pair that is solved; ``moments`` are those of the pair, asked for if all singular values are."""
    strong, weak, one, _, unit = found
    widths = weak.width, strong.side.width

    def sizes() -> _Sizes:
        rank, square = one.sizes()
        if square is None:
            return _decomposed(moments(), ridges, thresholds, scale)._sizes.value()
        return _Sizes(float(np.sqrt(square / target.n)), rank, strong.rank, *widths)

    def values() -> np.ndarray:
        found = np.minimum(_decomposed(moments(), ridges, thresholds, scale).singular_values, one.norm)
        found[0] = one.norm  # which both ways agree on but for rounding: one number in one record
        return found

    singular_values = Later(values)
    dofs = (one.dof, strong.dof)
    notes = accuracy(target.dtype, weak.rows is not None, unit, one.norm, strong.top_gain)
    predicted = one.predicted
    return _made(target, one.norm, predicted, dofs, Later(sizes), singular_values, ridges, thresholds, scale, notes)


def _decomposed(m: Moments, ridges: tuple[float, float], thresholds: tuple[float, float], scale: str) -> Gap:
    """With all singular values: by solves that leave residuals, or by principal components, as always on a device."""
    factor = joint_factor(m)
    parameters = Parameters(*unit_trace_ridges(ridges, factor.traces, scale), *thresholds)
    solved = gap_operator_by_solves(m, factor, parameters) if on_host() else None
    if solved is None:
        return gap_of_pair(m, factor, make_pair(m, factor), ridges, thresholds, scale=scale)
    return _of_operator(m, factor, solved, ridges, parameters, scale)


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
    return _of_operator(m, factor, gap_operator(pair, parameters), ridges, parameters, scale)


def _of_operator(
    m: Moments, factor: Factor, operator: GapOperator, ridges: tuple[float, float], p: Parameters, scale: str
) -> Gap:
    rank_strong = int(operator.rank_strong)
    values = singular_values_of(operator.gram)[:rank_strong]
    norm, frobenius = float(values[0]), float(np.sqrt(operator.trace / m.n))
    sizes = _Sizes(frobenius, int(operator.rank_weak), rank_strong, m.d_weak, m.d_strong)
    dofs = (float(operator.dof_weak), float(operator.dof_strong))
    predicted = float(operator.label_gap) * factor.traces.labels if m.d_labels else None
    unit, thresholds = (
        (float(p.ridge_weak), float(p.ridge_strong)),
        (float(p.threshold_weak), float(p.threshold_strong)),
    )
    notes = accuracy(m.dtype, m.rows is not None, unit, norm, float(operator.top_gain))
    known = Later(lambda: sizes), Later(lambda: values)
    return _made(m, norm, predicted, dofs, *known, ridges, thresholds, scale, notes)


def _made(
    m: Moments | Target,
    norm: float,
    predicted: float | None,
    dofs: tuple[float, float],
    sizes: Later[_Sizes],
    singular_values: Later[np.ndarray],
    ridges: tuple[float, float],
    thresholds: tuple[float, float],
    scale: str,
    notes: tuple[str, ...],
) -> Gap:
    return Gap(
        norm=norm,
        predicted=predicted,
        dof_weak=dofs[0],
        dof_strong=dofs[1],
        ridge_weak=ridges[0],
        ridge_strong=ridges[1],
        threshold_weak=thresholds[0],
        threshold_strong=thresholds[1],
        n=int(m.n),
        center=m.center,
        scale=scale,
        dtype=m.dtype,
        warnings=notes,
        _sizes=sizes,
        _singular_values=singular_values,
    )


def rounding_of_norm(dtype: str, exact: bool, ridges: tuple[float, float], norm: float, top_gain: float) -> float:
    """How far rounding may have moved a norm, relative to it; args as ``accuracy``."""
    error, rounded = _errors(dtype, exact, ridges, norm, top_gain)
    return min(1.0, max(TOLERATED, rounded if exact else error, SMALLEST_NORM / max(norm, SMALLEST_NORM)))


def _errors(dtype: str, exact: bool, ridges: tuple[float, float], norm: float, top_gain: float) -> tuple[float, float]:
    """Relative errors of a norm from moments, and of one from rounded samples."""
    eps, smallest = epsilon(dtype), min(ridges)
    if smallest <= 0:
        return 0.0, 0.0
    gain = top_gain if smallest > 1 else 1.0  # of ridges so large that all gains are small, errors are too
    share = gain / max(norm, 1e-150)
    return eps / smallest * share**2, eps / np.sqrt(smallest) * share


def accuracy(dtype: str, exact: bool, ridges: tuple[float, float], norm: float, top_gain: float) -> tuple[str, ...]:
    """What the reader should know of the accuracy of a norm.

    Args:
        dtype: the precision of the products.
        exact: whether the samples themselves were at hand.
        ridges: of both models, at unit trace.
        norm, top_gain: the gap norm, and the largest strong gain, which bounds it.
    """
    notes = []
    smallest = min(ridges)
    aim = 1e-4 if dtype == "float32" else 1e-6
    error, rounded = _errors(dtype, exact, ridges, norm, top_gain)
    if exact and dtype == "float32" and rounded > aim:
        notes.append(
            f"float32 samples at ridge {smallest:.1e} (unit trace) leave an error of up to {min(rounded, 1.0):.0e} of"
            " the norm; use dtype='float64'"
        )
    if not exact and error > aim:
        notes.append(
            f"{dtype} moments at ridge {smallest:.1e} (unit trace) leave an error of up to {min(error, 1.0):.0e} of"
            f" the norm unless the strong representation lies inside the weak one"
            + ("; use dtype='float64'" if dtype == "float32" else "; use a larger ridge")
        )
    if norm > top_gain * (1 + 1e-6):
        notes.append(f"the norm exceeds its bound, the largest strong gain {top_gain:.6g}: rounding dominates")
    if top_gain > 0 and norm > 0.999 * top_gain and smallest < 1e-4:
        notes.append(
            "the norm is saturated: some strong direction is missed entirely by the weak model; raise the ridge or"
            " compare frobenius and predicted instead"
        )
    return tuple(notes)


def close(norm: float, second: float) -> tuple[str, ...]:
    """A warning where the second singular value is so close to the norm that the norm's interval is rough."""
    if norm <= 0 or second < (1 - CLOSE) * norm:
        return ()
    return (
        f"the second singular value is {second / norm:.3f} of the norm: its interval holds for a simple largest one,"
        " and can be too wide by half here",
    )
