"""What every predictor says of a pair of models, at some ridges, what that takes, and how each takes part."""

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

import numpy as np

from ..predictors import PREDICTORS, Inputs
from .leaderboard import Entrant

RIDGE_FREE = (
    *("correlation_dimension", "exact_variance", "cka", "debiased_cka", "procrustes", "svcca", "pwcca", "mutual_knn"),
    *("eigenspace_overlap", "leave_one_out_weak", "leave_one_out_strong", "probe_difference"),
    *("stable_rank_weak", "stable_rank_strong", "width"),
)
"""Predictors without a ridge, or that find their own."""
FORETELL = ("predicted_err_w2s", "cross_validated_err_w2s", "leave_one_out_weak")
"""Predictors in the unit of Err_w2s. The last is Err_w: a bet that the strong model neither gains nor loses."""
ERR_WEAK = "measured_err_weak"
"""Name of the measured Err_w among predictors."""


def column(name: str, ridge: str) -> str:
    """Of a predictor at a ridge, in a table."""
    return name if name in RIDGE_FREE else f"{name}@{ridge}"


def predictions(inputs: Mapping[str, Inputs], names: Collection[str]) -> Iterator[tuple[str, str, float]]:
    """Name, ridge and value of predictors; one without a ridge is under the first.

    Args:
        inputs: name of a ridge -> inputs of the same samples and models with it (``Inputs.with_ridge``), and with the
            pseudo-labels of a weak head of that ridge, if any.
        names: of predictors.
    """
    first = next(iter(inputs))
    for name in names:
        for ridge in (first,) if name in RIDGE_FREE else inputs:
            yield name, ridge, PREDICTORS[name].value(inputs[ridge])


def costs(pairs: Iterable[Callable[[], Inputs]]) -> dict[str, float]:
    """Seconds of each predictor alone, the median over pairs, of the faster of two calls each: without compilation.

    Args:
        pairs: makes inputs anew; what they know already, such as the factored strong model, is not counted.
    """
    seconds: dict[str, list[float]] = {name: [] for name in PREDICTORS}
    for make in pairs:
        for name, predictor in PREDICTORS.items():
            taken = []
            for _ in range(2):
                inputs = make()
                start = time.perf_counter()
                predictor.value(inputs)
                taken.append(time.perf_counter() - start)
            seconds[name].append(min(taken))
    return {name: float(np.median(values)) for name, values in seconds.items()}


def entrants(ridges: Mapping[str, str], seconds: Mapping[str, float | None]) -> list[Entrant]:
    """The measured Err_w, and every predictor at every ridge, once where it has none.

    Args:
        ridges: name -> what titles call it.
        seconds: predictor -> what it takes for one more weak model; those that are left out do not take part.
    """
    found = [Entrant(ERR_WEAK, "Err_w, measured", hindsight=True, foretells_error=True)]
    for name in seconds:
        predictor = PREDICTORS[name]
        for ridge, called in list(ridges.items())[: 1 if name in RIDGE_FREE else None]:
            title = predictor.title if name in RIDGE_FREE else f"{predictor.title}, {called}"
            options = {"foretells_error": name in FORETELL, "hindsight": "labels" in predictor.needs}
            found.append(Entrant(column(name, ridge), title, predictor.sign, seconds=seconds[name], **options))
    return found


def baselines(heads: str) -> tuple[str, ...]:
    """What all are compared with, at the ridges of a kind of heads: both baselines, and the supervised-split gap."""
    return "leave_one_out_weak", f"cross_validated_err_w2s@{heads}", f"supervised@{heads}"
