"""What a ranking of weak models is: its rows, its settings, and what orders them."""

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from .._errors import InputError
from ..numerics.checks import check_option
from ..theory.uncertainty import difference

ORDERS = ("err_w2s", "supervised", "predicted", "mutual_knn", "norm", "frobenius", "dof_weak", "err_weak")
"""What a ranking can be ordered by; the first that can be computed is the default."""
LARGER_IS_BETTER = ("mutual_knn", "dof_weak")
"""Of these; of all others smaller is better."""
ERRORS = ("err_w2s", "err_weak")
"""Those that are predicted errors."""
LABELLED_SPLIT = (
    "the labelled split, train=(weak, strong, labels); on the command line --train-weak, --train-strong, --train-labels"
)
"""What a refusal asks for, in the user's words."""


@dataclass(frozen=True)
class RidgeCurve:
    """Errors on the labelled split along the path of ridges that one is chosen on, ascending, in units of ``scale``.

    Attributes:
        ridges: the path.
        leave_one_out: mean squared leave-one-out errors of heads, the smallest of which chooses where "auto" is asked.
        gcv: generalised cross-validation beside it.
        gcv_ridge: where that is smallest.
    """

    ridges: tuple[float, ...]
    leave_one_out: tuple[float, ...]
    gcv: tuple[float, ...]
    gcv_ridge: float


@dataclass(frozen=True)
class RankingRow:
    """One weak model.

    Attributes:
        norm, frobenius, predicted, rank_weak, rank_strong, dof_weak, dof_strong: as in ``Gap``.
        err_w2s, err_weak, pred_gap, gain, pgr: predicted errors, as in ``PredictedErrors``; None unless ``train`` was
            given with labels that can be learned from, at ridges that heads can have, and for a PredGap or PGR that is
            undefined.
        mutual_knn: the share of each sample's nearest neighbours that the weak model shares with the strong one, by
            the cosine of representations that are not centred (``predictors.mutual_knn``); samples of one group are no
            neighbours, and of more than 4096 samples some stand for all. None unless the ranking is by it.
        ridge_weak: of this model, in units of ``scale``: given, or chosen on ``train``.
        curve_weak: what it is or would be chosen by; None without predicted errors.
        supervised: the supervised-split predicted gap: |P_s (I - P_w) y~|^2 / n~ on the weak model's own training
            samples and labels; None unless ``train`` was given.
        also: further predictors that were asked for, by their names; NaN where one is undefined.
        intervals: (low, high) over samples of ``norm``, ``predicted``, ``supervised``, ``err_w2s``, ``err_weak`` and
            ``pred_gap``, inside their ranges; and of ``frobenius`` or ``mutual_knn`` where the ranking is by it.
        probability_best: that this model has the best value of what the ranking is by, given how the values of all
            models vary together over samples; None where that quantity has no intervals.
        may_be_best: whether it is in the set that holds the best model with the confidence of the intervals.
        warnings: of either gap.
        error: why there is nothing of this model, which then comes last with NaN for its numbers; None for all others.
    """

    name: str
    norm: float
    frobenius: float
    predicted: float | None
    supervised: float | None
    rank_weak: int
    rank_strong: int
    dof_weak: float
    dof_strong: float
    mutual_knn: float | None = None
    ridge_weak: float = float("nan")
    curve_weak: RidgeCurve | None = field(default=None, repr=False)
    err_w2s: float | None = None
    err_weak: float | None = None
    pred_gap: float | None = None
    gain: float | None = None
    pgr: float | None = None
    also: dict[str, float] = field(default_factory=dict)
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    probability_best: float | None = None
    may_be_best: bool | None = None
    warnings: tuple[str, ...] = ()
    error: str | None = None


@dataclass(frozen=True)
class Difference:
    """How much larger the value of one model is than that of another on the same samples, and its interval."""

    first: str
    second: str
    quantity: str
    value: float
    low: float
    high: float

    @property
    def interval(self) -> tuple[float, float]:
        """(low, high)."""
        return self.low, self.high


@dataclass(frozen=True)
class Ranking:
    """Weak models, best supervisor first, and the settings behind the numbers.

    Attributes:
        rows: one a weak model, in the order of ``by``; those without a value last.
        by: the quantity that orders them.
        ridge_strong: of the strong model, in units of ``scale``; those of weak models are in their rows.
        curve_strong: what it is or would be chosen by; None without predicted errors.
        err_ceiling: predicted error of the strong model with true labels.  label_variance: error of a head that knows
            nothing. None without predicted errors.
        threshold: a (weak, strong) pair.  n: samples.  n_train: samples of the supervised split, or None.
        n_groups: groups of samples that count as one draw each; None where each sample does.
        confidence: of the intervals.
        covariances: of what has intervals, (k, k) over the rows with a value, in their order.
        warnings: of the ranking as a whole; those of one model are in its row.
    """

    rows: tuple[RankingRow, ...]
    by: str
    ridge_strong: float
    err_ceiling: float | None
    label_variance: float | None
    threshold: tuple[float, float]
    n: int
    n_train: int | None
    n_groups: int | None
    confidence: float
    center: bool
    scale: str
    dtype: str
    covariances: dict[str, tuple[tuple[float, ...], ...]] = field(default_factory=dict)
    curve_strong: RidgeCurve | None = field(default=None, repr=False)
    warnings: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the weak models, best first."""
        return tuple(row.name for row in self.rows)

    @property
    def may_be_best(self) -> tuple[str, ...]:
        """A set of models that holds the best one with the confidence of the intervals."""
        return tuple(row.name for row in self.rows if row.may_be_best)

    def difference(self, first: str, second: str, quantity: str | None = None) -> Difference:
        """The value of one model minus that of another, both on the same samples; its interval by the normal
        distribution, as the set of models that may be best.

        Args:
            first, second: names.
            quantity: one that rows have intervals of; by default what the ranking is by.

        Raises:
            InputError: no such model or no such quantity.
        """
        quantity = self.by if quantity is None else quantity
        check_option(quantity, "quantity", tuple(self.covariances))
        known = [row for row in self.rows if row.error is None]
        names = [row.name for row in known]
        for name in (first, second):
            check_option(name, "name", names)
        values = np.array([getattr(row, quantity) for row in known])
        covariance = np.array(self.covariances[quantity])
        found = difference(values, covariance, names.index(first), names.index(second), self.confidence)
        return Difference(first, second, quantity, *found)

    def to_dict(self) -> dict[str, Any]:
        """Plain Python values, ready for JSON; NaN for the numbers of a model that has an error."""
        return asdict(self)


def failed_row(name: str, error: str) -> RankingRow:
    """The row of a model without values."""
    nan = float("nan")
    return RankingRow(name, nan, nan, None, None, 0, 0, nan, nan, error=error)


def ordered(rows: list[RankingRow], by: str) -> list[RankingRow]:
    """Best first."""
    return sorted(rows, key=lambda row: getattr(row, by), reverse=by in LARGER_IS_BETTER)


def order(by: str | None, has_labels: bool, has_train: bool, has_errors: bool, has_neighbours: bool = True) -> str:
    """The quantity that was asked for, or the first that can be computed (InputError for one that cannot)."""
    lacking = {"supervised": not has_train, "predicted": not has_labels, "mutual_knn": not has_neighbours}
    lacking |= dict.fromkeys(ERRORS, not has_errors)
    possible = [name for name in ORDERS if not lacking.get(name)]
    if by is None:
        return possible[0]
    check_option(by, "by", ORDERS)
    if by not in possible:
        needed = {"predicted": "labels", "mutual_knn": "30 samples or more"}.get(by, LABELLED_SPLIT)
        if by in ERRORS and has_train:
            needed = "ridges from 1e-10 on"
        raise InputError(f"by: {by!r} needs {needed}")
    return by
