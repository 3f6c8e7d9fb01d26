"""What a ranking predicts of errors: the strong model is factored once for all weak models, on both splits."""

import numpy as np
from jaxtyping import Float

from .._errors import InputError
from ..numerics.checks import Array
from ..numerics.settings import rows_of
from ..theory.pipeline import (
    Rows,
    StrongHead,
    Train,
    chosen_ridges,
    labelled_split,
    sample_rows,
    strong_head,
    trained_head,
)
from ..theory.predicted_errors import (
    ERRORS,
    Ceiling,
    Estimated,
    PredictedErrors,
    Sizes,
    ceiling_of,
    errors_of_pair,
    in_unit_trace,
)
from ..theory.uncertainty import Joint, effective_draws
from .candidates import Candidates

ROWS_BYTES = 1 << 30
"""Of the float64 samples of a pair on one split; of more samples an evenly spaced share stands for all of them."""
LABEL_FREE_RIDGE = 1e-2
"""Where no labels choose it."""
JOINT = ("err_w2s", "err_weak", "pred_gap")
"""Errors whose intervals and differences a ranking tells."""


class RankedErrors:
    """Predicted errors of one weak model after the other.

    Args:
        train: the labelled split D~.
        pool: the samples D^ that weak models would label.
        ridges: of the weak and the strong head, in units of ``scale``, or "auto".
        center, scale, confidence: as in ``rank``.

    Raises:
        InputError: labels without variance, or a strong representation that cannot be used.
    """

    def __init__(
        self,
        train: Candidates,
        pool: Candidates,
        ridges: tuple[float | str, float | str],
        *,
        center: bool,
        scale: str,
        confidence: float,
    ):
        assert train.labels is not None
        self.train, self.pool, self.ridges = train, pool, ridges
        self.center, self.scale, self.confidence = center, scale, confidence
        widest = max(array.shape[1] for array in train.weak.values())
        self.shares = [share(split.strong.shape[0], widest + split.strong.shape[1]) for split in (train, pool)]
        labels, groups = rows_of(train.labels, self.shares[0]), train.groups
        strong = self._rows(0, train.strong, "train strong")
        group = None if groups is None else groups[self.shares[0]]
        self.split: Train = labelled_split(strong, strong, labels, group, False, center=center)
        self.strong_pool = self._rows(1, pool.strong, "strong")
        self.strong: StrongHead | None = None
        self.ceiling: Ceiling | None = None
        self.found: dict[str, PredictedErrors] = {}
        self.influences: dict[str, Estimated] = {}

    def measure(self, name: str) -> PredictedErrors:
        """Of one weak model; InputError where its representation is constant or not finite."""
        rows = self._rows(0, self.train.weak[name], f"train weak model {name!r}")
        pool = self._rows(1, self.pool.weak[name], f"weak model {name!r}")
        ridges = in_unit_trace(self.ridges, self.scale, rows.trace, self.strong_pool.trace, self.split.strong.trace)
        sizes = Sizes(self.train.strong.shape[0], self.pool.strong.shape[0])
        if self.strong is None:
            self.strong = strong_head(self.strong_pool, self.split, ridges[2])
        weak = trained_head(rows, self.split, ridges[0])
        if self.ceiling is None:
            self.ceiling = ceiling_of(
                self.strong, self.split, *chosen_ridges(weak, self.strong, ridges)[1:], sizes.n_w2s
            )
        found, influence = errors_of_pair(
            weak,
            pool,
            self.strong,
            self.split,
            ridges,
            sizes,
            scale=self.scale,
            confidence=self.confidence,
            ceiling=self.ceiling,
        )
        self.found[name], self.influences[name] = found, influence
        return found

    def _rows(self, split: int, array: Array, name: str) -> Rows:
        return sample_rows(rows_of(array, self.shares[split]), name, center=self.center)

    def joints(self, names: list[str]) -> dict[str, Joint]:
        """How the errors of these models vary together, in units of each."""
        made = {}
        for quantity in JOINT:
            place = ERRORS.index(quantity)
            values = np.array([float(self.influences[name].values[place]) for name in names])
            if not (values > 0).all():
                continue
            units = np.where(values > 0, values, 1.0)
            on_train = self._grouped(0, [self.influences[name].train for name in names], place) / units
            on_pool = self._grouped(1, [self.influences[name].pool for name in names], place) / units
            covariance = on_train.T @ on_train + on_pool.T @ on_pool
            made[quantity] = Joint(values, covariance, None, effective_draws(on_train))
        return made

    def _grouped(self, split: int, moved: list[Float[np.ndarray, "n 6"] | None], place: int) -> np.ndarray:
        """Influences of groups on a quantity of each model, (groups, models), over the number of samples."""
        columns = np.stack([one[:, place] for one in moved if one is not None], axis=1)
        groups = (self.train, self.pool)[split].groups
        if groups is None:
            return columns / len(columns)
        chosen = groups[self.shares[split]]
        sums = np.zeros((int(chosen.max()) + 1, columns.shape[1]))
        np.add.at(sums, chosen, columns)
        return sums / len(columns)


def share(n: int, width: int) -> slice:
    """All rows, or every so many-th where there are too many to hold."""
    return slice(None, None, max(1, -(-n * width * 8 // ROWS_BYTES)))


def predicted_errors(
    train: Candidates,
    pool: Candidates,
    ridges: tuple[float | str, float | str],
    *,
    center: bool,
    scale: str,
    confidence: float,
) -> tuple[RankedErrors | None, str]:
    """What predicts errors, or None and why nothing does: labels that are constant. Else errors are told elsewhere."""
    try:
        return RankedErrors(train, pool, ridges, center=center, scale=scale, confidence=confidence), ""
    except InputError as error:
        return None, str(error)
