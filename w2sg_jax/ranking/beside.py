"""Other predictors beside those of a ranking, for every weak model with one strong model."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from .._errors import InputError
from ..numerics.checks import Array
from ..numerics.settings import rows_of
from ..predictors import PREDICTORS, Inputs, Predictor, choose
from .candidates import Candidates
from .errors import share
from .result import LABELLED_SPLIT

OWN = (
    *("norm", "frobenius", "predicted", "supervised", "dof_weak", "dof_strong"),
    *("predicted_err_w2s", "predicted_pred_gap", "predicted_gain"),
)
"""Predictors that rows of a ranking have fields for."""


class Beside:
    """Predictors of one weak model after the other; what belongs to the strong model is computed once.

    Args:
        names: of predictors, or "all": those that the samples allow and a ranking has not.
        pool: the samples that weak models would label.
        train: the labelled split, or None.
        center, scale: of the ranking; predictors are of centred representations of unit trace.
        without: predictors that the ranking has a field for.

    Raises:
        InputError: an unknown predictor, one that needs more than is given, or other settings than theirs.
    """

    def __init__(
        self,
        names: str | Sequence[str],
        pool: Candidates,
        train: Candidates | None,
        *,
        center: bool,
        scale: str,
        without: Sequence[str] = (),
    ):
        given = {"representations"} | ({"train_labels"} if train else set())
        given |= {"labels"} if pool.labels is not None else set()
        asked = [names] if isinstance(names, str) and names != "all" else names
        if asked != "all":
            _refuse(asked, given)
        chosen = choose(asked, given)
        kept = (one for one in chosen if asked != "all" or one.name not in OWN)
        self.chosen: tuple[Predictor, ...] = tuple(one for one in kept if one.name not in without)
        if not center or scale != "trace":
            raise InputError(
                'also: predictors are of centred representations of unit trace; center=True, scale="trace"'
            )
        self.pool, self.train = pool, train
        widest = max(array.shape[1] for array in pool.weak.values())
        self.shares = [
            share(split.strong.shape[0], widest + split.strong.shape[1]) for split in (pool, train) if split is not None
        ]
        self.inputs: Inputs | None = None

    def measure(self, name: str, ridge: tuple[float, float]) -> dict[str, float]:
        """Name of a predictor -> its value for this weak model; InputError where its representation is constant."""
        weak = self._rows(0, self.pool.weak[name])
        train_weak = None if self.train is None else self._rows(1, self.train.weak[name])
        if self.inputs is None:
            split: dict[str, Any] = {}
            if self.train is not None:
                assert self.train.labels is not None
                split = {
                    "train_strong": self._rows(1, self.train.strong),
                    "train_labels": self._rows(1, self.train.labels),
                    "train_groups": self._groups(1, self.train),
                }
            labels = None if self.pool.labels is None else self._rows(0, self.pool.labels)
            strong, groups = self._rows(0, self.pool.strong), self._groups(0, self.pool)
            self.inputs = Inputs(weak, strong, train_weak=train_weak, labels=labels, groups=groups, **split)
        else:
            self.inputs = self.inputs.with_weak(weak, train_weak=train_weak)
        inputs = self.inputs.with_ridge(ridge)
        return {predictor.name: predictor.value(inputs) for predictor in self.chosen}

    def _rows(self, split: int, array: Array) -> np.ndarray:
        return np.array(rows_of(array, self.shares[split]), np.float64)

    def _groups(self, split: int, candidates: Candidates) -> np.ndarray | None:
        return None if candidates.groups is None else candidates.groups[self.shares[split]]


def _refuse(names: Sequence[str], given: set[str]) -> None:
    """Say what a ranking would have to be given for a predictor, in its own words (InputError)."""
    ways = {"train_labels": LABELLED_SPLIT, "labels": "labels of the samples"}
    for name in names:
        if name in PREDICTORS:
            for need in PREDICTORS[name].missing(given):
                what = ways.get(need, f"{need}, which a ranking is not given")
                raise InputError(f"also: the predictor {name!r} needs {what}")
