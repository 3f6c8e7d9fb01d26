r"""Which samples carry the gap: $|[P_s (I - P_w) y]_i|$, in a second pass over the samples."""

from typing import Any

import numpy as np
from jaxtyping import Float

from .._errors import InputError
from ..numerics.backend import compiled
from ..numerics.checks import Array, ArrayInput, as_ridge, as_samples, as_threshold
from ..numerics.linalg import Device, product
from ..numerics.settings import own_settings
from ..second_moments.from_arrays import moments
from ..second_moments.moments import Moments
from .gap_operator import Pair, make_pair, refuse_ambiguous_rank
from .kernel import joint_factor
from .smoother import Parameters, by_components, inverse_gains, unit_trace_ridges
from .solved import solve_pair

BLOCK_ROWS = 8192


@own_settings()
def gap_scores(
    weak: ArrayInput,
    strong: ArrayInput,
    labels: ArrayInput | None,
    ridge: float | tuple[float, float] = 1e-2,
    threshold: float | tuple[float, float] = 0.0,
    *,
    center: bool = True,
    scale: str = "trace",
    dtype: str | None = None,
) -> Float[np.ndarray, " n"]:
    r"""Score each sample by $|[P_s (I - P_w)\, y]_i|$: the error that weak supervision leaves on it in the strong
    model.

    $$
    [P_s (I - P_w)\, y]_i = h_s(x_i)^\top V_s (\Lambda_s + \beta_s)^{-1} V_s^\top H_s^\top (I - P_w)\, y / n
    $$

    With several label columns, the Euclidean norm over them. The mean of the squared scores is ``gap(...).predicted``.

    Args:
        weak, strong: (n, d_weak), (n, d_strong) representations of the same samples.
        labels: (n,) or (n, c); true labels or pseudo-labels.
        ridge, threshold, scale: as in ``gap``.
        center, dtype: as in ``moments``.

    Returns:
        (n,) float64, in the units of the labels.

    Raises:
        InputError: as ``moments`` and ``gap``.

    Cost: ``moments`` and ``gap``, then $2 n d_s c$ flops.
    Source: arXiv 2502.00620, main theorem, by sample; with ridge 0.1 / n and labels from the weak model it is the
    score of RADS-Lin.
    """
    if labels is None:
        raise InputError("labels: None; a score is |[P_s (I - P_w) y]_i| and needs labels or pseudo-labels")
    m = moments(weak, strong, labels, center=center, dtype=dtype)
    return scores_of(m, as_samples(strong, "strong"), ridge, threshold, scale=scale)


def scores_of(
    m: Moments,
    strong: Array,
    ridge: float | tuple[float, float],
    threshold: float | tuple[float, float],
    *,
    scale: str,
) -> Float[np.ndarray, " n"]:
    """The scores of the samples behind moments with labels that are at hand; see ``gap_scores``."""
    ridges, thresholds = as_ridge(ridge), as_threshold(threshold)
    found = solve_pair(m, ridges, thresholds, scale, with_norm=False)
    if found is not None:
        functions = found.solved.functions
        f = functions.strong[:, : m.d_labels]
        if functions.sampled:
            return np.linalg.norm(f, axis=1)
        direction = f / np.sqrt(found.traces.strong)
    else:
        factor = joint_factor(m)
        parameters = Parameters(*unit_trace_ridges(ridges, factor.traces, scale), *thresholds)
        pair = make_pair(m, factor)
        refuse_ambiguous_rank(pair, parameters)
        direction = _compiled(pair, parameters) * np.sqrt(factor.traces.labels / factor.traces.strong)
    mean = m.mean[m.strong_columns] if m.center else 0.0
    scores = np.empty(int(m.n))
    for start in range(0, len(scores), BLOCK_ROWS):
        block = np.asarray(strong[start : start + BLOCK_ROWS]).astype(np.float64) - mean
        scores[start : start + BLOCK_ROWS] = np.linalg.norm(block @ direction, axis=1)
    return scores


def _strong_head(pair: Pair, p: Parameters) -> Float[Any, "d_strong c"]:
    r"""$V_s (\Lambda_s + \beta_s)^{-1} V_s^\top H_s^\top (I - P_w)\, y / n$: the strong head fitted on what the weak
    model misses."""
    weak = by_components(pair.weak_components, pair.weak, p.ridge_weak, p.threshold_weak)
    missed = weak.residual(Device(), pair.label_rows)
    inverse = inverse_gains(pair.strong, p.ridge_strong, p.threshold_strong)
    return product(pair.strong.eigenvectors, inverse[:, None] * product(pair.strong_components.T, missed))


_compiled = compiled(_strong_head)
