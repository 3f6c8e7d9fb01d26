"""w2sg_jax: how much of a strong model's potential is lost under a weak supervisor, told from representations."""

from importlib.metadata import PackageNotFoundError as _PackageNotFoundError
from importlib.metadata import version as _version

from ._batches import moments_from_batches as moments_from_batches
from ._decomposable import Decomposability as Decomposability
from ._decomposable import decomposability as decomposability
from ._differentiable import gap_norm as gap_norm
from ._differentiable import predicted_gap as predicted_gap
from ._errors import InputError as InputError
from ._gap import Gap as Gap
from ._gap import gap as gap
from ._grid import GapGrid as GapGrid
from ._grid import gap_grid as gap_grid
from ._leading import LeadingGap as LeadingGap
from ._leading import leading_gap as leading_gap
from ._moments import Moments as Moments
from ._moments import merge as merge
from ._pipeline import WeakToStrong as WeakToStrong
from ._pipeline import weak_to_strong as weak_to_strong
from ._pipeline import weak_to_strong_splits as weak_to_strong_splits
from ._ranking import rank as rank
from ._ranking_rows import Ranking as Ranking
from ._ranking_rows import RankingRow as RankingRow
from ._ridge import RidgeHead as RidgeHead
from ._ridge import ridge_path as ridge_path
from ._scores import gap_scores as gap_scores
from ._streaming import moments as moments
from .store import load as load
from .store import save as save

try:
    __version__ = _version("w2sg_jax")
except _PackageNotFoundError:  # run from a checkout that is not installed
    __version__ = "0+unknown"

__all__ = [
    "Decomposability",
    "Gap",
    "GapGrid",
    "InputError",
    "LeadingGap",
    "Moments",
    "Ranking",
    "RankingRow",
    "RidgeHead",
    "WeakToStrong",
    "decomposability",
    "gap",
    "gap_grid",
    "gap_norm",
    "gap_scores",
    "leading_gap",
    "load",
    "merge",
    "moments",
    "moments_from_batches",
    "predicted_gap",
    "rank",
    "ridge_path",
    "save",
    "weak_to_strong",
    "weak_to_strong_splits",
]
