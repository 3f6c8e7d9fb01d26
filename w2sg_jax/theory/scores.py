"""Which samples carry the gap: |[P_s (I - P_w) y]_i|, in a second pass over the samples."""

from typing import Any

import jax
import numpy as np
from jaxtyping import Float
from scipy.linalg import cho_factor, cho_solve

from .._errors import InputError
from ..numerics.checks import Array, ArrayInput, as_ridge, as_samples, as_threshold
from ..second_moments.from_arrays import moments
from ..second_moments.moments import Moments
from .cholesky import Side, _accurate, sides_for
from .gap_operator import Pair, make_pair, refuse_ambiguous_rank
from .kernel import Factor, joint_factor, unit_trace_ridges
from .smoother import Parameters
from .spectrum import kept


def strong_head_by_solves(m: Moments, factor: Factor, p: Parameters) -> np.ndarray | None:
    """(Sigma_s + ridge I)^-1 F_s^T (I - P_w) F_y, (d_strong, c): the strong head fitted on what the weak model misses.

    None where the solves do not apply.

    Cost: d^3 / 3 for each model, on the host; d or, where they are fewer, as many samples as are at hand.
    """
    sides = sides_for(m, factor, p)
    if sides is None:
        return None
    weak, strong = sides
    y = factor.label_rows
    solved = _regularised(weak, p.ridge_weak, y if weak.dual else factor.weak.T @ y)
    missed = p.ridge_weak * solved if weak.dual else y - factor.weak @ solved
    solved = _regularised(strong, p.ridge_strong, missed if strong.dual else factor.strong.T @ missed)
    head = factor.strong.T @ solved if strong.dual else solved
    if (weak.dual or strong.dual) and not _accurate(p, float("inf"), float(((factor.strong @ head) ** 2).sum())):
        return None
    return head


def _regularised(side: Side, ridge: Any, b: np.ndarray) -> np.ndarray:
    """(S + ridge I)^-1 b."""
    regular = side.second.copy()
    regular.flat[:: len(regular) + 1] += ridge
    return cho_solve(cho_factor(regular, lower=True, overwrite_a=True, check_finite=False), b, check_finite=False)


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
