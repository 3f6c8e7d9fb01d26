"""The weak models of a ranking beside their strong model, on the same samples, checked."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from ._errors import InputError
from ._inputs import Array, ArrayInput, as_labels, as_samples, same_rows


class Candidates(NamedTuple):
    """The samples that one predictor is computed on."""

    weak: Mapping[str, Array]
    strong: Array
    labels: Array | None

    @property
    def target(self) -> list[Array]:
        """Strong representation, and labels if there are any."""
        return [self.strong] if self.labels is None else [self.strong, self.labels]


def checked_candidates(weak: Any, strong: ArrayInput, labels: ArrayInput | None, prefix: str) -> Candidates:
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
    if n < 8:
        raise InputError(f"{prefix}strong: {n} samples; a ranking needs at least 8")
    return Candidates(checked, checked_strong, None if labels is None else as_labels(labels, n, f"{prefix}labels"))


def train_parts(train: Any) -> tuple[Any, Any, Any]:
    if not isinstance(train, tuple | list) or len(train) != 3 or train[2] is None:
        raise InputError("train: expected a tuple (mapping of names to representations, strong, labels)")
    return tuple(train)


def same_names(weak: Mapping[str, Array], trained: Mapping[str, Array]) -> None:
    different = set(weak) ^ set(trained)
    if different:
        raise InputError(f"train: the weak models differ from those to rank: {', '.join(sorted(different))}")
