"""What a ranking of weak models is: its rows, its settings, and what orders them."""

from dataclasses import asdict, dataclass, field
from typing import Any

from .._errors import InputError
from ..numerics.checks import check_option

ORDERS = ("supervised", "predicted", "norm", "frobenius", "dof_weak")
"""What a ranking can be ordered by; the first that was computed is the default. Smaller is better, but for dof_weak."""


@dataclass(frozen=True)
class RankingRow:
    """One weak model.

    Attributes:
        norm, frobenius, predicted, rank_weak, rank_strong, dof_weak, dof_strong: as in ``Gap``.
        supervised: the supervised-split predicted gap: |P_s (I - P_w) y~|^2 / n~ on the weak model's own training
            samples and labels; None unless ``train`` was given.
        intervals: bootstrap interval (low, high) of each real-valued quantity, inside its range; empty without
            bootstrap.
        share_best: share of bootstrap samples in which this model comes first; None without bootstrap.
        warnings: of either gap.
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
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    share_best: float | None = None
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ranking:
    """Weak models, best supervisor first, and the settings behind the numbers.

    Attributes:
        rows: one a weak model, in the order of ``by``.
        by: the quantity that orders them.
        ridge, threshold: (weak, strong) pairs.  n: samples.  n_train: samples of the supervised split, or None.
        bootstrap, blocks, confidence, seed: how intervals were made.
        warnings: of the intervals, such as too few blocks to draw from; those of one model are in its row.
    """

    rows: tuple[RankingRow, ...]
    by: str
    ridge: tuple[float, float]
    threshold: tuple[float, float]
    n: int
    n_train: int | None
    bootstrap: int
    blocks: int
    confidence: float
    seed: int
    center: bool
    scale: str
    dtype: str
    warnings: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the weak models, best first."""
        return tuple(row.name for row in self.rows)

    def to_dict(self) -> dict[str, Any]:
        """Plain Python values, ready for JSON."""
        return asdict(self)


def ordered(rows: list[RankingRow], by: str) -> list[RankingRow]:
    """Best first."""
    return sorted(rows, key=lambda row: getattr(row, by), reverse=by == "dof_weak")


def order(by: str | None, has_labels: bool, has_train: bool) -> str:
    """The quantity that was asked for, or the first that can be computed (InputError for one that cannot)."""
    possible = [name for name in ORDERS if (name != "supervised" or has_train) and (name != "predicted" or has_labels)]
    if by is None:
        return possible[0]
    check_option(by, "by", ORDERS)
    if by not in possible:
        needed = "train=(weak, strong, labels)" if by == "supervised" else "labels"
        raise InputError(f"by: {by!r} needs {needed}")
    return by
