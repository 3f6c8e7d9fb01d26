r"""Cross-validated errors: the whole pipeline judged on folds of D~ that its weak head is fitted without.

For each fold the weak head is fitted on the rest of D~ and labels all of D^; the strong head is fitted on those labels
and judged on the fold. No refit is needed for that: see ``pipeline``. It needs no theory, and is the plain baseline of
every predictor that uses the labels of D~.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from .._errors import InputError
from ..numerics.checks import ArrayInput, as_confidence, as_count, check_option
from ..numerics.settings import own_settings
from .leave_one_out import members_of
from .pipeline import (
    AUTO,
    Ridge,
    Rows,
    StrongHead,
    Train,
    chosen_ridges,
    labelled_split,
    left_out,
    path_notes,
    pipeline,
    sample_rows,
    strong_head,
    trained_head,
    unlabelled_rows,
)
from .predicted_errors import as_ridges_of_heads, in_unit_trace, plain
from .uncertainty import Joint, effective_draws, intervals

FOLDED = ("err_w2s", "err_weak", "err_ceiling")
"""Quantities that have a value and an interval."""


@dataclass(frozen=True, eq=False)
class CrossValidatedErrors:
    r"""Errors of heads on folds of D~ that the weak head is fitted without.

    They are those of a weak head on fewer labels, by one in ``folds``, and of a strong head on all of D^.

    Attributes:
        err_w2s, err_weak: mean squared errors over D~ of $f_{w2s}$ and $f_w$, summed over label columns.
        err_ceiling: the same of a strong head that is fitted on the true labels of D~'s other folds.
        intervals: (low, high) of each over D~'s samples, or groups of them, at these ridges, as if folds were fresh.
        label_variance: mean square of D~'s labels less their means.
        residuals: (n~, c) labels minus what $f_{w2s}$ says of them.
        ridge_weak, ridge_strong: of the heads, in units of ``scale``.
        folds: parts of D~; its number of groups where each is left out by itself.
        confidence: of the intervals.
        warnings: what the reader should know of these numbers.
    """

    err_w2s: float
    err_weak: float
    err_ceiling: float
    intervals: dict[str, tuple[float, float]]
    label_variance: float
    residuals: Float[np.ndarray, "n c"] = field(repr=False)
    ridge_weak: float
    ridge_strong: float
    folds: int
    confidence: float
    center: bool
    scale: str
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain Python values, ready for JSON."""
        return plain(self)


@own_settings()
def cross_validated_errors(
    train: tuple[ArrayInput | Mapping[str, ArrayInput], ArrayInput, ArrayInput],
    w2s: tuple[ArrayInput | Mapping[str, ArrayInput], ArrayInput],
    *,
    folds: int | None = 10,
    ridge: Ridge = AUTO,
    train_groups: ArrayLike | None = None,
    seed: int = 0,
    classes: bool | None = None,
    center: bool = True,
    scale: str = "trace",
    confidence: float = 0.95,
) -> CrossValidatedErrors | dict[str, CrossValidatedErrors]:
    r"""Cross-validate the whole pipeline on D~ and D^, with no label beyond D~'s.

    Args:
        train: D~, (weak, strong, y). ``weak`` is one representation, or names with many of them, for one result each
            from one factorisation of the strong model.
        w2s: D^, (weak, strong), of the same models.
        folds: parts of D~; None leaves out each sample, or group, by itself.
        ridge: as in ``predict_errors``; "auto" is chosen on all of D~, once.
        train_groups: (n~,) which samples belong together: whole groups come to a fold.
        seed: of the folds, whose sizes differ by a group at most.
        classes, center, scale, confidence: as in ``predict_errors``.

    Raises:
        InputError: as ``predict_errors``; more folds than samples, or groups.

    Cost: as ``predict_errors``; folds add solves of their sizes cubed.
    Source: ours; exact by ``pipeline``.
    """
    check_option(scale, "scale", ("trace", "none"))
    check_option(center, "center", (True, False))
    confidence = as_confidence(confidence)
    wanted = as_ridges_of_heads(ridge)
    for given, name, parts in ((train, "train", "weak, strong, y"), (w2s, "w2s", "weak, strong")):
        if not isinstance(given, tuple | list) or len(given) != len(parts.split(", ")):
            raise InputError(f"{name}: expected a tuple ({parts})")
    many = isinstance(train[0], Mapping)
    if many != isinstance(w2s[0], Mapping):
        raise InputError("w2s: weak models by names are given in both train and w2s, or in neither")
    first: Any = train[0] if many else {"": train[0]}
    second: Any = w2s[0] if many else {"": w2s[0]}
    if set(first) != set(second) or not first:
        raise InputError("w2s: its weak models are not those of train; give the same names, one at least")
    strong_rows = sample_rows(train[1], "train strong", center=center)
    split: Train | None = None
    strong: StrongHead | None = None
    found: dict[str, CrossValidatedErrors] = {}
    for name, representation in first.items():
        rows = sample_rows(representation, f"train weak{f' {name!r}' * many}", center=center)
        if split is None:
            split = labelled_split(rows, strong_rows, train[2], train_groups, classes, center=center)
        pool = unlabelled_rows((second[name], w2s[1]), rows, split, "w2s")
        ridges = in_unit_trace(wanted, scale, rows.trace, pool[1].trace, strong_rows.trace)
        if strong is None:
            strong = strong_head(pool[1], split, ridges[2])
        parts = folds_of(split, folds, seed)
        found[name] = _folded(rows, pool[0], strong, split, parts, ridges, scale, confidence)
    return found if many else found[""]


def _folded(
    rows: Rows,
    pool: Rows,
    strong: StrongHead,
    train: Train,
    parts: tuple[np.ndarray, ...],
    ridges: tuple[float | str, float | str, float | str],
    scale: str,
    confidence: float,
) -> CrossValidatedErrors:
    """One weak model."""
    weak = trained_head(rows, train, ridges[0])
    chosen = chosen_ridges(weak, strong, ridges)
    folded = train._replace(members=parts)
    made = pipeline(weak, pool, strong, folded, (chosen[0], chosen[1]))
    assert made.left_w2s is not None and made.left_weak is not None
    ceiling = left_out(strong.ceiling, folded, chosen[2]).residuals
    squares = np.stack([(left**2).sum(axis=1) for left in (made.left_w2s, made.left_weak, ceiling)], axis=1)
    values = squares.mean(axis=0)
    grouped = train.sums(squares - values)
    relative = (grouped**2).sum(axis=0) / train.n**2 / np.where(values > 0, values, 1.0) ** 2
    ends = intervals(Joint(values, np.diag(relative), None, effective_draws(grouped)), confidence)
    notes = [*train.notes, *path_notes(weak, strong)]
    units = (rows.trace, strong.rows.trace) if scale == "none" else (1.0, 1.0)
    return CrossValidatedErrors(
        *map(float, values),
        intervals={name: (float(low), float(high)) for name, (low, high) in zip(FOLDED, ends, strict=True)},
        label_variance=train.label_square,
        residuals=made.left_w2s,
        ridge_weak=chosen[0] * units[0],
        ridge_strong=chosen[1] * units[1],
        folds=sum(len(places) for places in parts),
        confidence=confidence,
        center=train.center,
        scale=scale,
        warnings=tuple(notes),
    )


def folds_of(train: Train, folds: int | None, seed: int) -> tuple[np.ndarray, ...]:
    """The rows of each fold: whole groups, in an order drawn by the seed."""
    if folds is None:
        return train.members
    groups = [row for rows in train.members for row in rows]
    if as_count(folds, "folds", 2) > len(groups):
        what = "samples" if train.alone else "groups"
        raise InputError(f"folds: {folds} of {len(groups)} {what}; give as many at most, or None for one each")
    order = np.random.default_rng(as_count(seed, "seed", 0)).permutation(len(groups))
    fold = np.empty(train.n, int)
    for place, group in enumerate(order):
        fold[groups[group]] = place % folds
    return members_of(fold)
