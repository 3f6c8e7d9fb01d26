"""What a ranking is computed on: the representations of one split, checked."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int
from numpy.typing import ArrayLike

from .._errors import InputError
from ..numerics.checks import Array, ArrayInput, as_groups, as_labels, as_samples, same_rows

FEWEST = 8
"""Samples of a ranking."""


class Candidates(NamedTuple):
    """The samples that one predictor is computed on; ``groups`` are counted from 0."""

    weak: Mapping[str, Array]
    strong: Array
    labels: Array | None
    groups: Int[np.ndarray, " n"] | None

    @property
    def target(self) -> list[Array]:
        """Strong representation, and labels if there are any."""
        return [self.strong] if self.labels is None else [self.strong, self.labels]

    @property
    def n_groups(self) -> int | None:
        """How many groups there are; None where samples are drawn one by one."""
        return None if self.groups is None else int(self.groups.max()) + 1


def checked_candidates(
    weak: Any, strong: ArrayInput, labels: ArrayInput | None, prefix: str, groups: ArrayLike | None = None
) -> Candidates:
    """The representations of one split, each of the same samples; ``prefix`` stands before their names in messages."""
    if not isinstance(weak, Mapping) or not weak:
        raise InputError(f"{prefix}weak: expected a mapping of at least one name to a representation")
    for name in weak:
        if not isinstance(name, str):
            raise InputError(f"{prefix}weak: the name {name!r} is a {type(name).__name__}; names are strings")
    checked_strong = as_samples(strong, f"{prefix}strong")
    checked = {name: as_samples(array, f"{prefix}weak[{name!r}]") for name, array in weak.items()}
    for name, array in checked.items():
        same_rows((checked_strong, array), (f"{prefix}strong", f"{prefix}weak[{name!r}]"))
    n = checked_strong.shape[0]
    if n < FEWEST:
        raise InputError(f"{prefix}strong: {n} samples; a ranking needs at least {FEWEST}")
    checked_labels = None if labels is None else as_labels(labels, n, f"{prefix}labels")
    return Candidates(checked, checked_strong, checked_labels, as_groups(groups, n, f"{prefix}groups"))


def train_parts(train: Any) -> tuple[Any, Any, Any]:
    """The three parts of the supervised split, or what is expected."""
    if not isinstance(train, tuple | list) or len(train) != 3 or train[2] is None:
        raise InputError("train: expected a tuple (mapping of names to representations, strong, labels)")
    return tuple(train)


def same_models(samples: Candidates, train: Candidates) -> None:
    """Refuse weak models that are in one of the splits alone, and models whose widths differ between them."""
    different = set(samples.weak) ^ set(train.weak)
    if different:
        raise InputError(f"train: the weak models differ from those to rank: {', '.join(sorted(different))}")
    pairs = {f"weak model {name!r}": (array, train.weak[name]) for name, array in samples.weak.items()}
    for called, (one, other) in ({"strong": (samples.strong, train.strong)} | pairs).items():
        if one.shape[1] != other.shape[1]:
            raise InputError(
                f"train {called}: {other.shape[1]} columns, and {one.shape[1]} of the samples to rank on; give one "
                "model's representations"
            )
