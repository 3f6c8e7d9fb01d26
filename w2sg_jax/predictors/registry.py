"""Every predictor by its name, and which of them can be computed."""

from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches
from types import MappingProxyType

from .._errors import InputError
from ..numerics.checks import as_sequence, check_option
from .cca import PWCCA, SVCCA
from .cka import CKA, DEBIASED_CKA
from .dimensions import DOF_STRONG, DOF_WEAK, STABLE_RANK_STRONG, STABLE_RANK_WEAK, WIDTH
from .discrepancy import CORRELATION_DIMENSION, EXACT_VARIANCE
from .eigenspace_overlap import EIGENSPACE_OVERLAP
from .expected_gap import EXPECTED_GAP, EXPECTED_GAP_KERNEL
from .gap_norm import FROBENIUS, NORM
from .gulp import GULP
from .inherited_variance import INHERITED_VARIANCE
from .misfit import LABEL_FREE_MISFIT, MISFIT, SUPERVISED_MISFIT
from .mutual_knn import MUTUAL_KNN
from .predicted_error import CROSS_VALIDATED_ERR_W2S, PREDICTED_ERR_W2S, PREDICTED_GAIN, PREDICTED_PRED_GAP
from .predicted_gap import PREDICTED, SUPERVISED
from .predictor import NEEDS, Predictor
from .probes import LEAVE_ONE_OUT_STRONG, LEAVE_ONE_OUT_WEAK, PROBE_DIFFERENCE
from .procrustes import PROCRUSTES

_ALL = (
    *(NORM, FROBENIUS, PREDICTED, SUPERVISED, EXPECTED_GAP, EXPECTED_GAP_KERNEL),
    *(MISFIT, SUPERVISED_MISFIT, LABEL_FREE_MISFIT),
    *(CORRELATION_DIMENSION, EXACT_VARIANCE, INHERITED_VARIANCE),
    *(GULP, CKA, DEBIASED_CKA, PROCRUSTES, SVCCA, PWCCA, MUTUAL_KNN, EIGENSPACE_OVERLAP),
    *(LEAVE_ONE_OUT_WEAK, LEAVE_ONE_OUT_STRONG, PROBE_DIFFERENCE),
    *(DOF_WEAK, DOF_STRONG, STABLE_RANK_WEAK, STABLE_RANK_STRONG, WIDTH),
    *(PREDICTED_ERR_W2S, PREDICTED_PRED_GAP, PREDICTED_GAIN, CROSS_VALIDATED_ERR_W2S),
)
PREDICTORS: Mapping[str, Predictor] = MappingProxyType({predictor.name: predictor for predictor in _ALL})
"""Name -> predictor, in the order of tables."""


def choose(names: str | Sequence[str], available: Collection[str]) -> tuple[Predictor, ...]:
    """The predictors of these names, once each, in the order of the names.

    Args:
        names: of predictors; or "all", those that can be computed from what is available.
        available: names out of ``NEEDS``, such as ``Inputs.available``.

    Raises:
        InputError: an unknown name (the names that are close are listed), or one of a predictor that needs more.
    """
    for need in available:
        check_option(need, "available", tuple(NEEDS))
    given = frozenset(available)
    if isinstance(names, str) and names == "all":
        return tuple(predictor for predictor in PREDICTORS.values() if not predictor.missing(given))
    chosen = []
    for name in dict.fromkeys(as_sequence(names, "predictors")):
        if name not in PREDICTORS:
            close = get_close_matches(str(name), PREDICTORS, n=3, cutoff=0.5)
            meant = f"did you mean {' or '.join(close)}?" if close else f"expected some of {', '.join(PREDICTORS)}"
            raise InputError(f"predictors: there is none of the name {name!r}; {meant}")
        PREDICTORS[name].refuse_missing(given)
        chosen.append(PREDICTORS[name])
    return tuple(chosen)
