"""Labels as targets: regression columns as they are, classes as one column or one-hot."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from .._errors import InputError
from ..numerics.checks import Array, ArrayInput, as_labels, as_samples, refuse_non_finite, same_rows

MOST_CLASSES = 1000


@dataclass(frozen=True, eq=False)
class Targets:
    """Targets of a head.

    Attributes:
        values: (n, c) float64.
        classes: whether they stand for classes, so that 0-1 errors make sense.
        boundary: with classes in one column, the value that separates the two.
        names: of the classes, in the order of ``decided``; empty without classes.
    """

    values: Float[np.ndarray, "n c"]
    classes: bool
    boundary: float
    names: tuple[str, ...] = ()

    def decided(self) -> Int[np.ndarray, " n"]:
        """The number of each sample's class: the side of the boundary in one column, the arg-max of several."""
        if self.values.shape[1] == 1:
            return (self.values[:, 0] > self.boundary).astype(int)
        return self.values.argmax(axis=1)


def as_targets(labels: Array, classes: bool | None) -> Targets:
    """Turn labels (n, c) into targets.

    Two classes stay one column with the values given; more become one-hot columns, in sorted order. Several columns
    are taken as they are (their arg-max is the class when ``classes`` is true).

    Args:
        labels: (n, c) of any real dtype.
        classes: True or False, or None to infer it: integers and booleans are classes, floats are not.

    Raises:
        InputError: classes with one value only, or more than 1000 distinct ones.
    """
    raw = np.asarray(labels)
    is_class = raw.dtype.kind in "biu" if classes is None else classes
    values = raw.astype(np.float64)
    if not is_class:
        return Targets(values, False, 0.5)
    if values.shape[1] > 1:
        return Targets(values, True, 0.5, tuple(f"of column {column}" for column in range(values.shape[1])))
    distinct = np.unique(values)
    if len(distinct) < 2:
        raise InputError(f"labels: every sample has the class {distinct[0]:g}; two classes at least are needed")
    names = tuple(f"{value:g}" for value in distinct)
    if len(distinct) == 2:
        return Targets(values, True, float(distinct.mean()), names)
    if len(distinct) > MOST_CLASSES:
        raise InputError(f"labels: {len(distinct)} distinct integers; for a regression on integers pass classes=False")
    return Targets((values == distinct[None, :]).astype(np.float64), True, 0.5, names)


class Split(NamedTuple):
    """The arrays of one experiment: labelled set, weakly labelled set, test set."""

    train_weak: Any
    train_y: Any
    w2s_weak: Any
    w2s_strong: Any
    w2s_y: Any
    test_weak: Any
    test_strong: Any
    test_y: Any


def checked_split(train: Any, w2s: Any, test: Any, classes: bool | None) -> tuple[Split, Targets]:
    """The arrays of the three splits, float64, and the targets of all their samples, train first."""
    for value, name, parts in (
        (train, "train", "weak, y"),
        (w2s, "w2s", "weak, strong, y"),
        (test, "test", "weak, strong, y"),
    ):
        if not isinstance(value, tuple | list) or len(value) != len(parts.split(", ")):
            raise InputError(f"{name}: expected a tuple ({parts})")
    weak = [as_samples(x[0], f"{name} weak") for x, name in ((train, "train"), (w2s, "w2s"), (test, "test"))]
    strong = [as_samples(x[1], f"{name} strong") for x, name in ((w2s, "w2s"), (test, "test"))]
    same_rows((weak[1], strong[0]), ("w2s weak", "w2s strong"))
    same_rows((weak[2], strong[1]), ("test weak", "test strong"))
    labels = [
        as_labels(x[-1], len(h), f"{name} y")
        for x, h, name in ((train, weak[0], "train"), (w2s, weak[1], "w2s"), (test, weak[2], "test"))
    ]
    _same_width([*weak, *strong, *labels])
    everything = [weak[0], labels[0], weak[1], strong[0], labels[1], weak[2], strong[1], labels[2]]
    for array, name in zip(everything, Split._fields, strict=True):
        refuse_non_finite(array, name)
    targets = as_targets(np.concatenate([np.asarray(y) for y in labels]), classes)
    ends = np.cumsum([len(y) for y in labels])[:-1]
    train_y, w2s_y, test_y = np.split(targets.values, ends)
    floats = [np.asarray(x).astype(np.float64) for x in (weak[0], weak[1], strong[0], weak[2], strong[1])]
    split = Split(floats[0], train_y, floats[1], floats[2], w2s_y, floats[3], floats[4], test_y)
    return split, targets


def _same_width(arrays: list[Array]) -> None:
    for start, stop, what in (
        (0, 3, "weak representations"),
        (3, 5, "strong representations"),
        (5, 8, "labels"),
    ):
        widths = [array.shape[1] for array in arrays[start:stop]]
        if len(set(widths)) > 1:
            raise InputError(f"the {what} of the splits differ in width: {widths}; they must come from one model")


def checked_rows(rows: ArrayInput, n: int, name: str) -> np.ndarray:
    try:
        indices = np.atleast_2d(np.asarray(rows))
    except ValueError as error:
        raise InputError(f"{name}: the splits differ in size; pass the same number of samples in each") from error
    if indices.dtype.kind not in "iu" or indices.ndim != 2 or indices.size == 0:
        raise InputError(
            f"{name}: expected row numbers of shape (splits, samples), got {indices.dtype} {indices.shape}"
        )
    if indices.min() < 0 or indices.max() >= n:
        raise InputError(f"{name}: row {int(indices.min() if indices.min() < 0 else indices.max())} of {n} samples")
    for split in indices:
        if len(np.unique(split)) < len(split):
            raise InputError(f"{name}: a row occurs twice in one split; every sample counts once")
    return indices


def checked_ids(ids: Any, sizes: list[int]) -> list[np.ndarray]:
    """One identifier a sample, for each of the three splits."""
    if not isinstance(ids, tuple | list) or len(ids) != 3:
        raise InputError("ids: expected a tuple (train, w2s, test) of identifiers, one a sample")
    checked = [np.asarray(part) if np.ndim(part) == 1 else np.zeros(0) for part in ids]
    for part, size, name in zip(checked, sizes, ("train", "w2s", "test"), strict=True):
        if len(part) != size:
            raise InputError(f"ids: {len(part)} identifiers for the {size} samples of {name}; pass one a sample, (n,)")
    return checked


def refuse_overlap(ids: Sequence[Any]) -> None:
    names = ("train", "w2s", "test")
    sets = [set(np.asarray(part).tolist()) for part in ids]
    for i, j in ((0, 1), (0, 2), (1, 2)):
        shared = sets[i] & sets[j]
        if shared:
            raise InputError(
                f"{names[i]} and {names[j]} share {len(shared)} samples, for example {sorted(shared, key=str)[0]!r};"
                " the three splits must be disjoint"
            )


def missing_classes(targets: Targets, train: Int[np.ndarray, "S n"], w2s: Int[np.ndarray, "S m"]) -> tuple[str, ...]:
    """A warning for each class that a head never sees: one that does not occur in a train or a w2s split.

    Args:
        targets: of all samples.
        train, w2s: row numbers of S splits.
    """
    if not targets.classes:
        return ()
    decided, notes = targets.decided(), []
    for rows, split, lost in (
        (train, "train", "the weak model cannot learn it"),
        (w2s, "w2s", "the ceiling cannot learn it"),
    ):
        for number, name in enumerate(targets.names):
            without = np.flatnonzero(~(decided[rows] == number).any(axis=1))
            if len(without):
                of = f" of {len(without)} in {len(rows)} splits, first of split {without[0]}" if len(rows) > 1 else ""
                notes.append(f"class {name} does not occur in the {split} split{of}: {lost}; stratify the splits")
    return tuple(notes)
