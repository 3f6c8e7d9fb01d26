r"""Predicted errors: Err_w2s, Err_w, Err_sc and PredGap from the labels of D~, before the strong model is trained.

On D~ itself $f_{w2s}$ can be judged exactly by samples that the weak head is fitted without (see ``pipeline``): that is
Err_w2s at the sizes at hand. What it is made of, and what it is at other sizes, follows from deterministic equivalents
of both heads, each taken from the spectrum of the very samples that it is fitted on, so that they hold whatever n is
beside d. With $S$ the population's smoother of the strong model at its implicit ridge, $W$ that of the weak model,
$\Omega_s = \operatorname{tr} S^2 / \hat n$ and $R_w = Err_w$,

$$
Err_{w2s} = \underbrace{\lVert y - S W y \rVert^2}_{\text{bias}}
  + \underbrace{\tfrac{R_w}{\tilde n} \operatorname{tr} S^2 W^2}_{\text{inherited}}
  + \underbrace{\Omega_s R_f}_{\text{fitting}}, \qquad R_f = \frac{\lVert (I - S) f_w \rVert^2}{1 - \Omega_s}
$$

$$
PredGap = a + \Omega_s \frac{Err_w - 2 b + a}{1 - \Omega_s}, \qquad
a = \lVert S (y - f_w) \rVert^2, \quad b = \langle y - f_w, S (y - f_w) \rangle
$$

where a and b are U-statistics over pairs of samples of D~, each with the residual of a weak head that saw neither.
$S$ and $I - S$ on functions that are known come from in-sample fits:

$$
\langle f, (I - S) f \rangle = \frac{\kappa}{\beta} \frac1n f^\top (I - P) f, \qquad
(\Sigma + \kappa I)^{-1} = \frac\beta\kappa (\hat\Sigma + \beta I)^{-1}, \qquad \frac{d\beta}{d\kappa} = 1 - \Omega
$$

Ours; the deterministic equivalents of one head are those of ridge regression (Hastie et al., 2022; Simon et al., 2023).
"""

from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from .._errors import InputError
from ..numerics.backend import cross as cross_of
from ..numerics.backend import times
from ..numerics.checks import ArrayInput, as_confidence, as_count, check_option
from ..numerics.rounding import may_solve
from ..numerics.settings import own_settings
from ..second_moments.moments import Moments
from .leave_one_out import LeaveOneOut, minimum
from .pipeline import (
    AUTO,
    Pipeline,
    Ridge,
    Rows,
    StrongHead,
    Train,
    TrainedHead,
    chosen_ridges,
    labelled,
    left_out,
    path_notes,
    pipeline,
    strong_head,
    trained_head,
    unlabelled_rows,
)
from .smoother import Implied, implied, left_over, matching_ridge, remaining
from .uncertainty import Joint, effective_draws, intervals, rough, student
from .weak_to_strong import NOISE_ERRORS

ERRORS = ("err_w2s", "err_weak", "err_ceiling", "pred_gap", "gain", "pgr")
"""Quantities that have a value and an interval."""
LEAST = 1e-8
"""The smallest ridge, at unit trace, at which a head on the samples at hand stands for one on more samples; with less
its implicit ridge would be the same."""
TINY = 1e-30
"""Below every ridge that matches one."""
DISAGREE = 0.1
"""Relative difference between leaving each sample out and the average leverage of all that is told."""


class Sizes(NamedTuple):
    """Samples that heads are to be fitted on."""

    n_train: int
    n_w2s: int


class Estimated(NamedTuple):
    r"""Values, and how they vary with the samples.

    Attributes:
        values: of ``ERRORS``.
        parts: bias, inherited and fitting part of err_w2s, and of pred_gap what is not fitting, and fitting.
        train: (n~, 6) influence of each sample of D~ on each value; None where there are sums.
        pool: (n^, 6) of each sample of D^.
        kappa: implicit ridges, (weak, strong).
        reached: whether D~ resolves the weak head, D^ the strong one, and D~ the ceiling's.
        apart: relative difference between Err_w2s by each sample's leverage and by their average.
    """

    values: Float[np.ndarray, "6"]
    parts: dict[str, float]
    train: Float[np.ndarray, "n 6"] | None
    pool: Float[np.ndarray, "m 6"] | None
    kappa: tuple[float, float]
    reached: tuple[bool, bool, bool]
    apart: float


class Ceiling(NamedTuple):
    """Err_sc, and how each sample of D~ moves it (None where there are sums).

    ``reached``: whether D~ resolves a strong head on so many samples; else the error is an upper bound.
    """

    error: float
    influence: Float[np.ndarray, " n"] | None
    reached: bool


@dataclass(frozen=True, eq=False)
class PredictedErrors:
    r"""What weak-to-strong fine-tuning will do, told from the labels of D~ alone.

    Errors are expected squared errors on fresh samples, in squared label units, summed over label columns; what noise
    the labels have is part of them.

    Attributes:
        err_w2s, err_weak, err_ceiling: Err_w2s, Err_w and Err_sc.
        pred_gap: PredGap, $\mathbb{E}\,(f_{w2s}(x) - f_{sc}(x))^2$; NaN where its estimate is not positive.
        gain: Err_w - Err_w2s.
        pgr: gain / (Err_w - Err_sc); NaN, undefined, unless the denominator is two standard errors above 0.
        bias, inherited, fitting: parts of ``err_w2s``: what neither head can express of the labels, noise of the weak
            labels that the strong model takes over, and what fitting the strong head on few samples adds. Estimates of
            differences: sampling can make a part negative, which is told and not hidden.
        gap_passed, gap_fitting: parts of ``pred_gap``: what the strong model takes over of the weak one's residual, and
            what fitting adds.
        label_variance: mean square of D~'s labels, less their means where heads have intercepts: the error of a head
            that knows nothing.
        intervals: (low, high) over samples of D~ and D^ at these ridges, by the jackknife in closed form, for each of
            the six quantities that is defined; empty where only sums are at hand.
        standard_errors: of the same; of what is undefined, of its estimate.
        ridge_weak, ridge_strong: of the heads, in units of ``scale``.
        implicit_ridge_weak, implicit_ridge_strong: what these are to the population, at the sizes asked for, in units
            of unit trace.
        choice_weak, choice_strong: leave-one-out errors on D~ along the path of ridges (generalised cross-validation
            where only sums are at hand), of each model.
        n_train, n_w2s: samples that the heads are to be fitted on.
        confidence: of the intervals.
        warnings: what the reader should know of these numbers.
    """

    err_w2s: float
    err_weak: float
    err_ceiling: float
    pred_gap: float
    gain: float
    pgr: float
    bias: float
    inherited: float
    fitting: float
    gap_passed: float
    gap_fitting: float
    label_variance: float
    intervals: dict[str, tuple[float, float]]
    standard_errors: dict[str, float]
    ridge_weak: float
    ridge_strong: float
    implicit_ridge_weak: float
    implicit_ridge_strong: float
    choice_weak: LeaveOneOut = field(repr=False)
    choice_strong: LeaveOneOut = field(repr=False)
    n_train: int
    n_w2s: int
    confidence: float
    center: bool
    scale: str
    warnings: tuple[str, ...] = ()

    @property
    def learned(self) -> float:
        """What is learned: the labels' variance less Err_w2s."""
        return self.label_variance - self.err_w2s

    def to_dict(self) -> dict[str, Any]:
        """Plain Python values, ready for JSON (NaN where undefined)."""
        return plain(self) | {"learned": self.learned}


def plain(record: Any) -> dict[str, Any]:
    """A record as plain Python values; arrays become lists."""

    def value(x: Any) -> Any:
        if isinstance(x, dict):
            return {key: value(each) for key, each in x.items()}
        return x.tolist() if isinstance(x, np.ndarray) else list(x) if isinstance(x, tuple) else x

    return {key: value(x) for key, x in asdict(record).items()}


@own_settings()
def predict_errors(
    train: tuple[ArrayInput, ArrayInput, ArrayInput] | Moments,
    unlabelled: tuple[ArrayInput, ArrayInput] | Moments,
    *,
    n_train: int | None = None,
    n_w2s: int | None = None,
    ridge: Ridge = AUTO,
    train_groups: ArrayLike | None = None,
    classes: bool | None = None,
    center: bool = True,
    scale: str = "trace",
    confidence: float = 0.95,
) -> PredictedErrors:
    r"""Predict Err_w2s, Err_w, Err_sc, PredGap and PGR from D~, its labels, and unlabelled samples.

    Args:
        train: D~, that the weak head is fitted on: (weak, strong, y), or moments of them, which stream, shard and
            merge. Where moments are sums, averages stand for each sample's own leverage, and there are no intervals.
        unlabelled: D^, (weak, strong), or moments; as many samples as there are. None of them may be in ``train``.
        n_train, n_w2s: samples that the heads are to be fitted on; by default those of ``train`` and ``unlabelled``.
            Others are extrapolated to, also those that nobody has yet; they count samples, also where these come in
            groups.
        ridge: "auto", a number, or a (weak, strong) pair of these. "auto" has the smallest leave-one-out error on D~,
            of either model with its labels; for the weak head at another ``n_train``, the smallest predicted there.
        train_groups: (n~,) which samples belong together, such as several answers to one question: they are left out
            together.
        classes: whether labels are classes, one-hot columns where there are more than two; by default integers and
            booleans are, as in ``weak_to_strong``. Moments hold numbers.
        center, scale: as in ``gap``; of moments, ``center`` is their own.
        confidence: of the intervals.

    Raises:
        InputError: shapes that do not fit, NaN or Inf, a constant representation or constant labels, fewer than 8
            samples, a ridge that is not from 1e-10 to 1e100, sizes below 2.

    Cost: an eigendecomposition of either model on D~ and of the strong one on D^, on the smaller side each,
    $9 \min(n, d)^3$; products of $2 n d k$; paths of ridges.
    Source: ours; see the module's page.
    """
    check_option(scale, "scale", ("trace", "none"))
    check_option(center, "center", (True, False))
    confidence = as_confidence(confidence)
    wanted = as_ridges_of_heads(ridge)
    rows, split = labelled(train, train_groups, classes, center=center)
    pool = unlabelled_rows(unlabelled, rows, split)
    sizes = Sizes(
        split.n if n_train is None else as_count(n_train, "n_train", 2),
        pool[1].n if n_w2s is None else as_count(n_w2s, "n_w2s", 2),
    )
    own = in_unit_trace(wanted, scale, rows.trace, pool[1].trace, split.strong.trace)
    strong = strong_head(pool[1], split, own[2])
    weak = trained_head(rows, split, own[0])
    return errors_of_pair(weak, pool[0], strong, split, own, sizes, scale=scale, confidence=confidence)[0]


def as_ridges_of_heads(ridge: Any) -> tuple[float | str, float | str]:
    """The (weak, strong) pair of ridges, each "auto" or above 0."""
    pair: Any = ridge if isinstance(ridge, tuple | list) and len(ridge) == 2 else (ridge, ridge)
    for one in pair:
        number = isinstance(one, int | float | np.integer | np.floating) and not isinstance(one, bool)
        if not ((isinstance(one, str) and one == AUTO) or (number and may_solve(float(one)))):
            raise InputError(
                f"ridge: got {one!r}; expected 'auto', a number from 1e-10 to 1e100, or a (weak, strong) pair of these"
            )
    first, second = (one if isinstance(one, str) else float(one) for one in pair)
    return first, second


def in_unit_trace(
    ridges: tuple[float | str, float | str], scale: str, weak: float, pool: float, strong: float
) -> tuple[float | str, float | str, float | str]:
    """Ridges of the weak head, of the strong head on D^, and of the strong head on D~, from traces in raw units."""
    first, second = ridges
    if scale == "trace":
        return first, second, second

    def divided(ridge: float | str, trace: float) -> float | str:
        if isinstance(ridge, str):
            return ridge
        if not may_solve(ridge / trace):
            raise InputError(f"ridge: got {ridge:g}, {ridge / trace:.3g} of the trace; expected 1e-10 to 1e100 of it")
        return ridge / trace

    return divided(first, weak), divided(second, pool), divided(second, strong)


def errors_of_pair(
    weak: TrainedHead,
    pool: Rows,
    strong: StrongHead,
    train: Train,
    ridges: tuple[float | str, float | str, float | str],
    sizes: Sizes,
    *,
    scale: str = "trace",
    confidence: float = 0.95,
    ceiling: Ceiling | None = None,
) -> tuple[PredictedErrors, Estimated]:
    """``predict_errors`` of heads that are factored, and influences; ridges as ``in_unit_trace`` returns them."""
    chosen = chosen_ridges(weak, strong, ridges)
    if isinstance(ridges[0], str):
        chosen = _for_size(weak, train, sizes.n_train), *chosen[1:]
    found = estimated(weak, pool, strong, train, chosen, sizes, ceiling)
    values: dict[str, float] = dict(zip(ERRORS, map(float, found.values), strict=True))
    ends: dict[str, tuple[float, float]] = {}
    errors: dict[str, float] = {}
    few: list[str] = []
    if found.train is not None and found.pool is not None:
        ends, errors, draws = _intervals(found, train, confidence)
        few.extend(rough(draws))
    notes = [*train.notes, *path_notes(weak, strong)]
    notes += _notes(found, strong, train, sizes, values, errors)
    room = values["err_weak"] - values["err_ceiling"]
    undefined = ["pgr"] if room <= (NOISE_ERRORS * errors["room"] if errors else 0.0) else []
    if values["pred_gap"] <= 0:
        undefined.append("pred_gap")
        notes.append("pred_gap: undefined; pairs of samples leave its sign open where so few carry so many directions")
    elif errors and errors["pred_gap"] > values["pred_gap"]:
        notes.append("pred_gap: its standard error is larger than itself; nothing but its order of magnitude is told")
    for name in undefined:
        values[name] = float("nan")
        ends.pop(name, None)
    errors.pop("room", None)
    units = (weak.rows.trace, strong.rows.trace) if scale == "none" else (1.0, 1.0)
    made = PredictedErrors(
        **values,
        **found.parts,
        label_variance=train.label_square,
        intervals=ends,
        standard_errors=errors,
        ridge_weak=chosen[0] * units[0],
        ridge_strong=chosen[1] * units[1],
        implicit_ridge_weak=found.kappa[0],
        implicit_ridge_strong=found.kappa[1],
        choice_weak=weak.choice,
        choice_strong=strong.ceiling.choice,
        n_train=sizes.n_train,
        n_w2s=sizes.n_w2s,
        confidence=confidence,
        center=train.center,
        scale=scale,
        warnings=tuple(dict.fromkeys(notes + few[:1])),
    )
    return made, found


def _for_size(head: TrainedHead, train: Train, size: int) -> float:
    """The ridge with the smallest error that is predicted for heads on ``size`` samples."""
    if size == train.n:
        return head.choice.ridge
    n, center = train.n, train.center
    degrees, wanted = n - center, size - center
    unbiased = head.eigenvalues * (n / degrees)

    def grown(ridge: float) -> float:
        """Error there over error here."""
        square = implied(unbiased, ridge * n / degrees, degrees).dof_of_square
        return (1 - square / degrees) / (1 - square / wanted) if square < wanted else np.inf

    def error(ridge: float) -> float:
        found = left_out(head, train, ridge)
        return float((found.errors if train.strong.exact else found.gcv)[0]) * grown(ridge)

    here = head.choice.errors if train.strong.exact else head.choice.gcv
    errors = np.array([one * grown(float(ridge)) for ridge, one in zip(head.choice.ridges, here, strict=True)])
    best = minimum(head.choice.ridges, errors, error, "predicted error", [])[0]
    dof = float((head.eigenvalues / (head.eigenvalues + best)).sum())
    matched = best * (1 - dof / wanted) / left_over(head.eigenvalues, best, degrees)
    return max(matched * (n / degrees) * (wanted / size), LEAST)


def _intervals(
    found: Estimated, train: Train, confidence: float
) -> tuple[dict[str, tuple[float, float]], dict[str, float], dict[str, float]]:
    """Intervals, standard errors, that of Err_w - Err_sc as "room", and effective draws of the errors."""
    assert found.train is not None and found.pool is not None
    room = found.train[:, 1] - found.train[:, 2]
    influences = np.column_stack([found.train, room])
    grouped = train.sums(influences)
    pooled = (found.pool**2).sum(axis=0) / len(found.pool) ** 2
    variances = (grouped**2).sum(axis=0) / train.n**2
    variances[: len(ERRORS)] += pooled
    errors = np.sqrt(variances)
    draws = effective_draws(grouped[:, : len(ERRORS)])
    ends: dict[str, tuple[float, float]] = {}
    for index, name in enumerate(ERRORS):
        value, error = float(found.values[index]), float(errors[index])
        if name in ("gain", "pgr") or value <= 0:
            half = student(float(draws[index]), confidence) * error
            ends[name] = value - half, value + half
        else:
            joint = Joint(np.array([value]), np.array([[(error / value) ** 2]]), None, draws[[index]])
            low, high = intervals(joint, confidence)[0]
            ends[name] = float(low), float(high)
    named: dict[str, float] = dict(zip((*ERRORS, "room"), map(float, errors), strict=True))
    return ends, named, dict(zip(ERRORS[:4], map(float, draws), strict=False))


def _notes(
    found: Estimated,
    strong: StrongHead,
    train: Train,
    sizes: Sizes,
    values: dict[str, float],
    errors: dict[str, float],
) -> list[str]:
    """What the reader should know."""
    notes = []
    ceiling, weak, variance = values["err_ceiling"], values["err_weak"], train.label_square
    if variance - ceiling <= _noise_of_skill(strong, train):
        notes.append(
            f"the strong ceiling, Err_sc = {ceiling:.4g}, is not told apart from the labels' variance {variance:.4g}: "
            "the strong model does not learn these labels, and nothing predicts who teaches them best"
        )
    elif weak - ceiling < (NOISE_ERRORS * errors["room"] if errors else 0.0):
        notes.append(
            f"the strong ceiling, Err_sc = {ceiling:.4g}, is not told to be below the weak model's error, "
            f"Err_w = {weak:.4g}: there is no performance gap to recover"
        )
    reached_weak, reached_strong, reached_ceiling = found.reached
    if not reached_ceiling:
        notes.append(
            f"err_ceiling: {train.n} labels do not resolve what a strong head would learn from {sizes.n_w2s} at this "
            "ridge: roughly an upper bound"
        )
    if sizes.n_w2s > strong.rows.n:
        notes.append(f"n_w2s: {sizes.n_w2s} are more than the {strong.rows.n} unlabelled samples; extrapolated")
    if sizes.n_train > train.n:
        notes.append(f"n_train: {sizes.n_train} are more than the {train.n} labelled samples; extrapolated")
    if not reached_weak:
        notes.append(
            f"n_train: {train.n} labels do not resolve what the weak head would learn from {sizes.n_train} at this "
            "ridge: what is predicted of it is rough, and can be off by a factor"
        )
    if not reached_strong:
        notes.append(
            f"n_w2s: {strong.rows.n} unlabelled samples do not resolve what the strong head would learn from "
            f"{sizes.n_w2s} at this ridge: what is predicted of it is rough, and can be off by a factor"
        )
    if not train.strong.exact:
        notes.append(
            "moments of more samples than columns: no sample is left out by itself, and there are no intervals"
        )
    negative = [name for name in ("bias", "inherited", "fitting") if found.parts[name] < 0]
    if negative:
        notes.append(f"negative by chance: {', '.join(negative)}; read err_w2s as a whole")
    if errors and found.apart > DISAGREE and found.apart * values["err_w2s"] > NOISE_ERRORS * errors["err_w2s"]:
        notes.append(
            f"leaving samples out and the average leverage of all differ by {found.apart:.0%} in Err_w2s: few "
            "samples carry much of the fit"
        )
    return notes


def _noise_of_skill(strong: StrongHead, train: Train) -> float:
    """Two standard errors of var(y) - Err_sc on D~; 0 where no sample is at hand."""
    left = strong.ceiling.choice.residuals
    if not len(left):
        return 0.0
    learned = ((train.labels**2).sum(axis=1) * train.n - (left**2).sum(axis=1))[:, None]
    return float(NOISE_ERRORS * np.sqrt((train.sums(learned - learned.mean()) ** 2).sum()) / train.n)


class _Resized(NamedTuple):
    """A head at its implicit ridge: on the sample at hand, with a ridge that has it there, and on another size.

    Attributes:
        ridge: on the sample at hand.
        found: what the sample says of the population's smoother.
        own, other: $\\Omega$ at hand and at the other size.
        factor: error at the other size over error at hand.
        reached: whether there is such a ridge.
    """

    ridge: float
    found: Implied
    own: float
    other: float
    factor: float
    reached: bool


def _resized(eigenvalues: Float[np.ndarray, " k"], ridge: float, n: int, size: int, *, center: bool) -> _Resized:
    """A head with a ridge on ``size`` samples, from the eigenvalues of n of them."""
    degrees, wanted = n - center, size - center
    unbiased = eigenvalues * (n / degrees)
    if size == n:
        matched, reached = ridge, True
    else:
        # With fewer directions than samples any implicit ridge is within reach.
        least = TINY if len(eigenvalues) < degrees else LEAST * n / degrees
        matched, reached = matching_ridge(unbiased, ridge * size / wanted, degrees, wanted, least)
        matched *= degrees / n
    found = implied(unbiased, matched * n / degrees, degrees)
    own, other = found.dof_of_square / degrees, found.dof_of_square / wanted
    factor = (1 - own) / (1 - other) * (1 + center / size) / (1 + center / n)
    return _Resized(matched, found, own, other, factor, reached)


def estimated(
    weak: TrainedHead,
    pool: Rows,
    strong: StrongHead,
    train: Train,
    ridges: tuple[float, float, float],
    sizes: Sizes,
    ceiling: Ceiling | None = None,
) -> Estimated:
    r"""Every error of one pair of models.

    Args:
        weak: fitted on D~.  pool: the weak model's representation of D^.
        strong: the strong model.  train: D~.
        ridges: of the weak head, of the strong head, and of the strong head in units of D~'s trace.
        sizes: samples that the heads are to be fitted on.
        ceiling: ``ceiling_of`` the same, if it is known.

    Cost: that of ``pipeline``, and $2 \tilde n k_s k_w$.
    """
    center, n, size = train.center, train.n, strong.rows.n
    w = _resized(weak.eigenvalues, ridges[0], n, sizes.n_train, center=center)
    s = _resized(strong.eigenvalues, ridges[1], size, sizes.n_w2s, center=center)
    found = pipeline(weak, pool, strong, train, (w.ridge, s.ridge))
    h = remaining(weak.eigenvalues, w.ridge, n, center=center)
    missing = train.label_square - float((train.labels**2).sum())
    square_weak = float((found.residual_weak**2).sum()) + missing
    risk, own = square_weak / h**2, _generalised(found, train, h, missing)
    apart = 0.0
    if found.left_weak is not None and found.left_w2s is not None:
        risk, exact = (float((left**2).sum() / n) for left in (found.left_weak, found.left_w2s))
        own, apart = exact, abs(own - exact) / exact if exact > 0 else 0.0
    err_weak = risk * w.factor
    more = (err_weak / sizes.n_train) / (risk / n)

    noise, inside, passed, mean = _noise(found, weak, strong, train, risk, w.own, s.own)
    left = remaining(strong.eigenvalues, s.ridge, size, center=center)
    unfitted = float(((found.pool @ found.weak - strong.components @ found.strong) ** 2).sum()) / left**2
    unfitted *= (1 - s.own) / (1 + center / size)

    def fitting(remains: float, omega: float, samples: int) -> float:
        return remains * (1 + center / samples) / (1 - omega) * (omega + center / samples)

    bias = own - (passed + mean) - fitting(unfitted, s.own, size)
    parts = {
        "bias": bias,
        "inherited": more * (passed + mean),
        "fitting": fitting(unfitted + (more - 1) * (noise - 2 * inside + passed), s.other, sizes.n_w2s),
    }
    err_w2s = sum(parts.values())

    forms = _forms(found, weak, strong, train, s, square_weak, h)
    a, b = forms.a + (more - 1) * passed, forms.b + (more - 1) * inside
    shared = a + more * mean
    beside = fitting(err_weak - 2 * b + a, s.other, sizes.n_w2s)
    parts |= {"gap_passed": shared, "gap_fitting": beside}
    pred_gap = shared + beside

    top = ceiling_of(strong, train, *ridges[1:], sizes.n_w2s) if ceiling is None else ceiling
    err_ceiling = top.error
    gain = err_weak - err_w2s
    room = err_weak - err_ceiling
    values = np.array([err_w2s, err_weak, err_ceiling, pred_gap, gain, gain / room if room != 0 else np.nan])
    influences = (None, None)
    if top.influence is not None:
        influences = _influences(found, weak, strong, train, values, forms, top.influence, s)
    return Estimated(
        values, parts, *influences, (w.found.ridge, s.found.ridge), (w.reached, s.reached, top.reached), apart
    )


def ceiling_of(strong: StrongHead, train: Train, ridge: float, ridge_train: float, n_w2s: int) -> Ceiling:
    """Err_sc, the same for all weak models, at the ridge of the strong head in units of D^'s and of D~'s trace."""
    n, center = train.n, train.center
    own = _resized(strong.ceiling.eigenvalues, ridge_train, n, n_w2s, center=center)
    factor = own.factor
    if not own.reached:
        # D~ does not resolve a head on so many samples: it says what is left at its own smallest implicit ridge, an
        # upper bound, and D^ what fitting adds. Pairs of samples of D~ would be unbiased, and nothing but noise.
        s = _resized(strong.eigenvalues, ridge, strong.rows.n, n_w2s, center=center)
        factor *= (1 - own.other) / (1 - s.other)
    left = left_out(strong.ceiling, train, own.ridge)
    if not train.strong.exact:
        return Ceiling(float(left.gcv[0]) * factor, None, own.reached)
    components = strong.ceiling.components
    turned = components / (strong.ceiling.eigenvalues + own.ridge)[None, :]
    rows, turned = (_with_intercept(one, train) for one in (components, turned))
    remains = 1 - (turned * rows).sum(axis=1)
    moved = _risk(left.residuals, left.residuals, rows / remains[:, None], turned)
    return Ceiling(float(left.errors[0]) * factor, moved * factor, own.reached)


def _generalised(found: Pipeline, train: Train, h: float, missing: float) -> float:
    """Err_w2s with the average of $T_{ii} / (1 - S_{ii})$ in the place of each: needs second moments alone."""
    through = found.inverse_strong[:, None] * found.cross * found.inverse_weak[None, :]
    taken = (train.center + float((through * found.cross_train).sum())) / (train.n * h)
    e, r = found.residual_weak, found.residual_w2s
    offset = float((found.offset**2).sum())
    squares = (r**2).sum() + missing + offset, (r * e).sum() + missing, (e**2).sum() + missing
    return float(squares[0] + 2 * taken * squares[1] + taken**2 * squares[2])


def _noise(
    found: Pipeline, weak: TrainedHead, strong: StrongHead, train: Train, risk: float, own: float, own_strong: float
) -> tuple[float, float, float, float]:
    r"""$R_w / \tilde n$ times $\operatorname{tr} W^2$, $\operatorname{tr} S W^2$, $\operatorname{tr} S^2 W^2$ and 1.

    The last is what the mean of the labels adds. With groups the residuals of each vary together.
    """
    n, size, center = train.n, strong.rows.n, train.center
    if train.alone or found.left_weak is None:
        spread = risk / n * weak.eigenvalues * found.inverse_weak**2
        pool, crossed, mean = found.pool * spread[None, :], found.cross * spread[None, :], risk / n * center
    else:
        moves, means = _by_group(weak.components * found.inverse_weak[None, :], found.left_weak, train)
        spread = cross_of(moves, moves) / n
        pool, crossed = times(found.pool, spread), times(found.cross, spread)
        mean = float((means**2).sum()) / n**2 * center
    degrees = size - center
    # From here on divided by degrees of freedom; what the strong model's directions hold, and what lies beside them.
    whole = (1 - own) * float((pool * found.pool).sum()) * size / degrees
    held = (1 - own) * (crossed * found.cross).sum(axis=1) / strong.eigenvalues * (size / degrees)
    beside = max(whole - float(held.sum()), 0.0) if len(held) < degrees else 0.0
    share = found.ridge_strong * found.inverse_strong
    left = left_over(strong.eigenvalues, found.ridge_strong, degrees)
    outside = (beside + float((share * held).sum())) / left
    square = (beside + float((share**2 * held).sum())) / left**2 * (1 - own_strong)
    return whole, whole - outside, whole - 2 * outside + square, mean


class _Forms(NamedTuple):
    r"""$a = \lVert S r \rVert^2$ and $b = \langle r, S r \rangle$ of residuals r that are known on D~.

    ``on_samples`` are $S^2 r$ and $S r$ on D~, half of their slopes in each residual, over $\sqrt n$; ``on_pool`` what
    each sample of D^ does to both.
    """

    a: float
    b: float
    on_samples: tuple[Float[np.ndarray, "r c"], Float[np.ndarray, "r c"]]
    on_pool: tuple[Float[np.ndarray, " p"], Float[np.ndarray, " p"]]


def _forms(
    found: Pipeline, weak: TrainedHead, strong: StrongHead, train: Train, s: _Resized, square: float, h: float
) -> _Forms:
    r"""U-statistics over pairs of samples, or groups, of D~, with S from D^.

    With $l_g = (I - S_{gg})^{-1} e_g$ what is left of a group without it, what is left of it without a second group is
    $l_g + (I - S_{gg})^{-1} S_{gg'} l_{g'}$ to first order in $S_{gg'}$: sums over pairs are then second moments, less
    what groups do with themselves. Where there are sums, $1 - S_{ii}$ is h on average.

    Args:
        found, weak, strong, train, s: the pipeline and its heads.
        square: mean square of the weak head's residuals.
        h: $1 - \operatorname{tr} S / n$ of the weak head.
    """
    n, size, center = train.n, strong.rows.n, train.center
    degrees, kappa, inverse = size - center, s.found.ridge, found.inverse_strong
    left = left_over(strong.eigenvalues, s.ridge, degrees)
    # On directions without variance on D^ the smoother's resolvent is 1 / kappa.
    of_square = (1 - s.own) * (degrees / size) * strong.eigenvalues * inverse**2
    of_product = (degrees / size) * left * inverse - 1 / kappa
    coordinates = [(strong.train, strong.shift), *([] if strong.outside is None else [strong.outside])]
    residual = found.residual_weak / h if found.left_weak is None else found.left_weak / np.sqrt(n)
    terms, samples, moments = [], [], []
    for rows, shift in coordinates:
        moment = cross_of(rows, residual)
        if train.strong.exact:
            sample = rows + shift[None, :] * (center / np.sqrt(n))
            alone, moved = _with_themselves(sample, found, weak, train, residual)
        else:
            sample, cross = rows, cross_of(rows, weak.components)
            alone = square / h**2 * ((rows**2).sum(axis=0) + center * shift**2) / n
            moved = square / h**3 * ((cross**2 * found.inverse_weak).sum(axis=1) + center * shift**2) / n
            moved -= alone * (1 - h) / h
        terms.append(((moment**2).sum(axis=1) - alone + 2 * moved) * (n / (n - center)))
        samples.append(sample)
        moments.append(moment)
    a, b = float(of_square @ terms[0]), float(of_product @ terms[0] + terms[-1].sum() / kappa)
    squares, products = (_slope(samples[0], weight, moments[0], residual) for weight in (of_square, of_product))
    products += _slope(samples[-1], np.full(samples[-1].shape[1], 1 / kappa), moments[-1], residual)
    # Without a sample of D^ the resolvent gains a multiple of one matrix of rank one: forms follow exactly.
    once, twice = inverse[:, None] * moments[0], (strong.eigenvalues * inverse**2)[:, None] * moments[0]
    seen, seen_twice = (times(strong.components, x) * np.sqrt(size) for x in (once, twice))
    own = 1 - strong.components**2 @ inverse - center / size
    remains = 1 - strong.components**2 @ (strong.eigenvalues * inverse**2) - center / size
    squared = (seen**2).sum(axis=1)
    on_square = squared * remains / own**2 - 2 * (seen * seen_twice).sum(axis=1) / own
    pool = (1 - s.own) * on_square, -left * squared / own
    return _Forms(a, b, (squares, products), pool)


def _slope(
    sample: Float[np.ndarray, "r k"],
    weights: Float[np.ndarray, " k"],
    moment: Float[np.ndarray, "k c"],
    residual: Float[np.ndarray, "r c"],
) -> Float[np.ndarray, "r c"]:
    """A weighted product of each sample with the moment of all others and their residuals."""
    return times(sample, weights[:, None] * moment) - (sample**2 @ weights)[:, None] * residual


def _with_themselves(
    sample: Float[np.ndarray, "n k"],
    found: Pipeline,
    weak: TrainedHead,
    train: Train,
    residual: Float[np.ndarray, "n c"],
) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, " k"]]:
    r"""What groups of samples contribute to sums over pairs by themselves, and through the weak head, by coordinate.

    Args:
        sample: D~ as the strong model sees it.
        residual: what is left of each sample without its group, over $\sqrt n$.
    """
    weighted = weak.components * found.inverse_weak[None, :]
    every, weights = (_with_intercept(rows, train) for rows in (weak.components, weighted))
    turned = _regressed(sample, every, weights, train)
    seen = times(weights, cross_of(every, turned))
    fitted = residual - found.residual_weak
    if train.alone and residual.shape[1] == 1:
        square = residual[:, 0] ** 2
        return square @ sample**2, square @ (sample * seen) - (residual * fitted)[:, 0] @ (sample * turned)
    alone, moved = np.zeros(sample.shape[1]), np.zeros(sample.shape[1])
    for rows in train.members:
        for column in range(residual.shape[1]):
            own, said = residual[rows, column], fitted[rows, column]
            one, other, less = (
                np.einsum("gik,gi->gk", x[rows], by) for x, by in ((sample, own), (seen, own), (turned, said))
            )
            alone += (one**2).sum(axis=0)
            moved += (one * (other - less)).sum(axis=0)
    return alone, moved


def _with_intercept(rows: Float[np.ndarray, "n k"], train: Train) -> Float[np.ndarray, "n _"]:
    """Components of the weak head and, if it has an intercept, the constant: S is their product with the weights."""
    return np.hstack([rows, np.full((train.n, int(train.center)), train.n**-0.5)])


def _regressed(
    sample: Float[np.ndarray, "n k"], every: Float[np.ndarray, "n j"], weights: Float[np.ndarray, "n j"], train: Train
) -> Float[np.ndarray, "n k"]:
    """$(I - S_{gg})^{-1}$ times the rows of each group."""
    if train.alone:
        return sample / (1 - (every * weights).sum(axis=1))[:, None]
    found = np.empty_like(sample)
    for rows in train.members:
        block = np.matmul(every[rows], np.swapaxes(weights[rows], 1, 2))
        found[rows] = np.linalg.solve(np.eye(rows.shape[1])[None] - block, sample[rows])
    return found


def _by_group(
    rows: Float[np.ndarray, "n k"], left: Float[np.ndarray, "n c"], train: Train
) -> tuple[Float[np.ndarray, "_ k"], Float[np.ndarray, " _"]]:
    """Sums over the samples of each group of rows times residuals, a line a group and column; and of residuals."""
    sums, means = [], []
    for members in train.members:
        for column in range(left.shape[1]):
            own = left[members, column]
            sums.append(np.einsum("gik,gi->gk", rows[members], own))
            means.append(own.sum(axis=1))
    return np.concatenate(sums), np.concatenate(means)


def _influences(
    found: Pipeline,
    weak: TrainedHead,
    strong: StrongHead,
    train: Train,
    values: Float[np.ndarray, "6"],
    forms: _Forms,
    err_ceiling: Float[np.ndarray, " n"],
    s: _Resized,
) -> tuple[Float[np.ndarray, "n 6"], Float[np.ndarray, "m 6"]]:
    """How each sample of D~, and of D^, moves each value: to first order, through the heads that it trains too."""
    n, size = train.n, strong.rows.n
    root = np.sqrt(n)
    left_weak, left_w2s = found.left_weak, found.left_w2s
    assert left_weak is not None and left_w2s is not None
    weighted = weak.components * found.inverse_weak[None, :]
    every, weights, passed = (_with_intercept(rows, train) for rows in (weak.components, weighted, found.through))
    h = 1 - (every * weights).sum(axis=1)

    def turned_by(slope: Float[np.ndarray, "n c"]) -> Float[np.ndarray, " n"]:
        """What each sample of D~ does to a sum of slopes times residuals: by its own, and through the weak head."""
        own = ((every * weights).sum(axis=1) / h)[:, None] * slope
        others = times(weights, cross_of(every, slope / h[:, None])) - own
        return 2 * root * ((slope - others) * left_weak).sum(axis=1)

    through = passed + ((passed * weights).sum(axis=1) / h)[:, None] * every
    err_weak = _risk(left_weak, left_weak, every / h[:, None], weights)
    err_w2s = _risk(left_w2s, left_weak, through, weights)
    a, b = map(turned_by, forms.on_samples)
    omega = s.other / (1 - s.other)
    pred_gap = (1 + omega) * a - 2 * omega * b + omega * err_weak
    gain, room = err_weak - err_w2s, err_weak - err_ceiling
    pgr = (gain - values[5] * room) / (values[1] - values[2])
    moved = np.stack([err_w2s, err_weak, err_ceiling, pred_gap, gain, pgr], axis=1)
    # D^ moves the strong head alone, by its residuals on the pseudo-labels.
    left = remaining(strong.eigenvalues, s.ridge, size, center=train.center)
    apart = (found.pool @ found.weak - strong.components @ found.strong) * (np.sqrt(size) / left)
    sample = strong.train + strong.shift[None, :] / root
    slope = found.inverse_strong[:, None] * (sample.T @ left_w2s) / root
    on_pool = np.zeros((len(apart), len(ERRORS)))
    if strong.rows.exact:
        on_pool[:, 3] = (1 + omega) * forms.on_pool[0] - 2 * omega * forms.on_pool[1]
        on_pool[:, 0] = -2 * (strong.components * np.sqrt(size) @ slope * apart).sum(axis=1)
        on_pool[:, 4] = -on_pool[:, 0]
        on_pool[:, 5] = on_pool[:, 4] / (values[1] - values[2])
    return moved - moved.mean(axis=0), on_pool - on_pool.mean(axis=0)


def _risk(
    left: Float[np.ndarray, "n c"],
    moving: Float[np.ndarray, "n c"],
    through: Float[np.ndarray, "n k"],
    weighted: Float[np.ndarray, "n k"],
) -> Float[np.ndarray, " n"]:
    r"""Influences on a mean square of left-out residuals, as leaving each sample out of D~ altogether has them.

    Without sample i the residual of sample j grows by $\tau_{ji}$ times that of the weak head on i.

    Args:
        left: the residuals.
        moving: those of the head that is fitted on D~.
        through, weighted: $\tau$ is their product, over rows j and i.
    """
    alone = (through * weighted).sum(axis=1)
    first = times(weighted, cross_of(through, left)) - alone[:, None] * left
    second = (times(weighted, cross_of(through, through)) * weighted).sum(axis=1) - alone**2
    return (left**2).sum(axis=1) - 2 * (first * moving).sum(axis=1) - second * (moving**2).sum(axis=1)
