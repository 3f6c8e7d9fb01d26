"""w2sg_jax: how much of a strong model's potential is lost under a weak supervisor, told from representations."""

from importlib import import_module as _import_module
from importlib.metadata import PackageNotFoundError as _PackageNotFoundError
from importlib.metadata import version as _version
from typing import TYPE_CHECKING as _TYPE_CHECKING
from typing import Any as _Any

from ._errors import InputError as InputError

if _TYPE_CHECKING:  # at run time a name is imported when it is asked for: `w2sg --help` need not wait for JAX
    from .from_models import predict as predict
    from .ranking.bootstrap import GapBootstrap as GapBootstrap
    from .ranking.bootstrap import bootstrap_gap as bootstrap_gap
    from .ranking.rank import rank as rank
    from .ranking.result import Difference as Difference
    from .ranking.result import Ranking as Ranking
    from .ranking.result import RankingRow as RankingRow
    from .second_moments.from_arrays import moments as moments
    from .second_moments.from_batches import moments_from_batches as moments_from_batches
    from .second_moments.moments import Moments as Moments
    from .second_moments.moments import merge as merge
    from .store.representations import load as load
    from .store.representations import save as save
    from .theory.cross_validation import CrossValidatedErrors as CrossValidatedErrors
    from .theory.cross_validation import cross_validated_errors as cross_validated_errors
    from .theory.decomposability import Decomposability as Decomposability
    from .theory.decomposability import decomposability as decomposability
    from .theory.differentiable import gap_norm as gap_norm
    from .theory.differentiable import predicted_gap as predicted_gap
    from .theory.gap import Gap as Gap
    from .theory.gap import gap as gap
    from .theory.grid import GapGrid as GapGrid
    from .theory.grid import gap_grid as gap_grid
    from .theory.leading import LeadingGap as LeadingGap
    from .theory.leading import leading_gap as leading_gap
    from .theory.leave_one_out import LeaveOneOut as LeaveOneOut
    from .theory.leave_one_out import leave_one_out as leave_one_out
    from .theory.predicted_errors import PredictedErrors as PredictedErrors
    from .theory.predicted_errors import predict_errors as predict_errors
    from .theory.ridge import RidgeHead as RidgeHead
    from .theory.ridge import ridge_path as ridge_path
    from .theory.scores import GapInfluence as GapInfluence
    from .theory.scores import gap_influence as gap_influence
    from .theory.scores import gap_scores as gap_scores
    from .theory.weak_to_strong import WeakToStrong as WeakToStrong
    from .theory.weak_to_strong import weak_to_strong as weak_to_strong
    from .theory.weak_to_strong import weak_to_strong_splits as weak_to_strong_splits

_HOMES = {
    "ranking.bootstrap": ("GapBootstrap", "bootstrap_gap"),
    "from_models": ("predict",),
    "ranking.rank": ("rank",),
    "ranking.result": ("Difference", "Ranking", "RankingRow"),
    "second_moments.from_arrays": ("moments",),
    "second_moments.from_batches": ("moments_from_batches",),
    "second_moments.moments": ("Moments", "merge"),
    "store.representations": ("load", "save"),
    "theory.cross_validation": ("CrossValidatedErrors", "cross_validated_errors"),
    "theory.decomposability": ("Decomposability", "decomposability"),
    "theory.differentiable": ("gap_norm", "predicted_gap"),
    "theory.gap": ("Gap", "gap"),
    "theory.grid": ("GapGrid", "gap_grid"),
    "theory.leading": ("LeadingGap", "leading_gap"),
    "theory.leave_one_out": ("LeaveOneOut", "leave_one_out"),
    "theory.predicted_errors": ("PredictedErrors", "predict_errors"),
    "theory.ridge": ("RidgeHead", "ridge_path"),
    "theory.scores": ("GapInfluence", "gap_influence", "gap_scores"),
    "theory.weak_to_strong": ("WeakToStrong", "weak_to_strong", "weak_to_strong_splits"),
}
"""Module -> the public names that are defined there."""
_ROOMS = ("batch", "bench", "datasets", "encoders", "store", "synthetic", "training")
"""Public folders."""

try:
    __version__ = _version("w2sg_jax")
except _PackageNotFoundError:  # run from a checkout that is not installed
    __version__ = "0+unknown"

__all__ = [
    "CrossValidatedErrors",
    "Decomposability",
    "Difference",
    "Gap",
    "GapBootstrap",
    "GapGrid",
    "GapInfluence",
    "InputError",
    "LeadingGap",
    "LeaveOneOut",
    "Moments",
    "PredictedErrors",
    "Ranking",
    "RankingRow",
    "RidgeHead",
    "WeakToStrong",
    "bootstrap_gap",
    "cross_validated_errors",
    "decomposability",
    "gap",
    "gap_grid",
    "gap_influence",
    "gap_norm",
    "gap_scores",
    "leading_gap",
    "leave_one_out",
    "load",
    "merge",
    "moments",
    "moments_from_batches",
    "predict",
    "predict_errors",
    "predicted_gap",
    "rank",
    "ridge_path",
    "save",
    "weak_to_strong",
    "weak_to_strong_splits",
]


def __getattr__(name: str) -> _Any:
    if name in _ROOMS:
        return _import_module(f".{name}", __name__)
    for module, names in _HOMES.items():
        if name in names:
            globals()[name] = found = getattr(_import_module(f".{module}", __name__), name)
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_ROOMS})
