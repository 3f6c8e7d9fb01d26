"""Labels as targets: regression columns as they are, classes as one column or one-hot."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ._errors import InputError
from ._inputs import Array

MOST_CLASSES = 1000


@dataclass(frozen=True, eq=False)
class Targets:
    """Targets of a head.

    Attributes:
        values: (n, c) float64.
        classes: whether they stand for classes, so that 0-1 errors make sense.
        boundary: with classes in one column, the value that separates the two.
    """

    values: Float[np.ndarray, "n c"]
    classes: bool
    boundary: float


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
    if not is_class or values.shape[1] > 1:
        return Targets(values, is_class, 0.5)
    distinct = np.unique(values)
    if len(distinct) < 2:
        raise InputError(f"labels: every sample has the class {distinct[0]:g}; two classes at least are needed")
    if len(distinct) == 2:
        return Targets(values, True, float(distinct.mean()))
    if len(distinct) > MOST_CLASSES:
        raise InputError(f"labels: {len(distinct)} distinct integers; for a regression on integers pass classes=False")
    return Targets((values == distinct).astype(np.float64), True, 0.5)
