"""Which samples carry the gap: |[P_s (I - P_w) y]_i|, in a second pass over the samples."""

import jax
import numpy as np
from jaxtyping import Float

from ._eigenpairs import Pair, Parameters, make_pair, refuse_ambiguous_rank
from ._errors import InputError
from ._factor import joint_factor, unit_trace_ridges
from ._inputs import Array, ArrayInput, as_ridge, as_samples, as_threshold
from ._moments import Moments
from ._solves import strong_head_by_solves
from ._spectrum import kept
from ._streaming import moments

BLOCK_ROWS = 8192


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
    """Score each sample by |[P_s (I - P_w) y]_i|: the error that weak supervision leaves on it in the strong model.

    [P_s (I - P_w) y]_i = h_s(x_i)^T V_s (L_s + ridge)^-1 V_s^T H_s^T (I - P_w) y / n. With several label columns, the
    Euclidean norm over them. The mean of the squared scores is ``gap(...).predicted``.

    Args:
        weak, strong: (n, d_weak), (n, d_strong) representations of the same samples.
        labels: (n,) or (n, c); true labels or pseudo-labels.
        ridge, threshold, scale: as in ``gap``.
        center, dtype: as in ``moments``.

    Returns:
        (n,) float64, in the units of the labels.

    Raises:
        InputError: as ``moments`` and ``gap``.

    Cost: ``moments`` and ``gap``, then 2 n d_strong c flops.
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
    factor = joint_factor(m)
    parameters = Parameters(*unit_trace_ridges(as_ridge(ridge), factor.traces, scale), *as_threshold(threshold))
    head = strong_head_by_solves(m, factor, parameters)
    if head is None:
        head = _strong_head(make_pair(m, factor), parameters)
    direction = head * np.sqrt(factor.traces.labels / factor.traces.strong)
    mean = m.mean[m.strong_columns] if m.center else 0.0
    scores = np.empty(int(m.n))
    for start in range(0, len(scores), BLOCK_ROWS):
        block = np.asarray(strong[start : start + BLOCK_ROWS]).astype(np.float64) - mean
        scores[start : start + BLOCK_ROWS] = np.linalg.norm(block @ direction, axis=1)
    return scores


def _strong_head(pair: Pair, p: Parameters) -> Float[np.ndarray, "d_strong c"]:
    """V_s (L_s + ridge)^-1 V_s^T H_s^T (I - P_w) y / n: the strong head fitted on what the weak model misses."""
    refuse_ambiguous_rank(pair, p)
    keep_weak = np.asarray(kept(pair.weak, p.threshold_weak))
    keep_strong = np.asarray(kept(pair.strong, p.threshold_strong))
    q = pair.weak_scores[:, keep_weak] / np.sqrt(pair.weak.eigenvalues[keep_weak] + p.ridge_weak)
    missed = pair.label_rows - q @ (q.T @ pair.label_rows)
    projected = pair.strong_scores[:, keep_strong].T @ missed
    inverse = 1.0 / (pair.strong.eigenvalues[keep_strong] + p.ridge_strong)
    return jax.device_get(pair.strong.eigenvectors)[:, keep_strong] @ (inverse[:, None] * projected)
