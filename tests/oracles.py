"""The dense float64 definitions: n x n smoothers, nothing clever. Everything else is tested against these."""

from typing import NamedTuple

import numpy as np


class Dense(NamedTuple):
    norm: float
    frobenius: float
    predicted: float | None
    singular_values: np.ndarray
    dof_weak: float
    dof_strong: float
    scores: np.ndarray | None


def prepared(h, *, center=True, scale="trace"):
    """The representation in float64 as the conventions say: centred, and unit trace of H^T H / n."""
    h = np.asarray(h).astype(np.float64)
    if center:
        h = h / max(np.abs(h).max(), 1e-300) if scale == "trace" else h
        h = h - h.mean(axis=0)
    if scale == "trace":
        h = h / np.abs(h).max()
        h = h / np.sqrt((h**2).sum() / h.shape[0])
    return h


def smoother(h, ridge, threshold=0.0):
    """P = A (A + ridge I)^-1 with A = K/n on the principal subspace, through the thin SVD of H / sqrt(n)."""
    u, s, _ = np.linalg.svd(h / np.sqrt(h.shape[0]), full_matrices=False)
    values = s**2
    keep = (values >= threshold * values[0]) & (values > np.finfo(float).eps * min(h.shape) * values[0])
    u, values = u[:, keep], values[keep]
    return (u * (values / (values + ridge))) @ u.T


def smoother_by_solve(h, ridge):
    """The literal formula K/n (K/n + ridge I)^-1; loses digits at small ridges, used to check ``smoother``."""
    k = h @ h.T / h.shape[0]
    return np.linalg.solve(k + ridge * np.eye(len(k)), k)


def residual_maker(h, ridge, threshold=0.0):
    """I - P without cancellation: the complement of the kept directions plus ridge / (l + ridge) on them."""
    u, s, _ = np.linalg.svd(h / np.sqrt(h.shape[0]), full_matrices=True)
    values = np.zeros(h.shape[0])
    values[: len(s)] = s**2
    keep = (values >= threshold * values[0]) & (values > np.finfo(float).eps * min(h.shape) * values[0])
    return (u * np.where(keep, ridge / (values + ridge + (ridge == 0)), 1.0)) @ u.T


def dense_gap(weak, strong, labels=None, *, ridge=1e-2, threshold=0.0, center=True, scale="trace"):
    """P_s (I - P_w), n x n, and what follows from it."""
    pair = ridge if isinstance(ridge, tuple) else (ridge, ridge)
    cuts = threshold if isinstance(threshold, tuple) else (threshold, threshold)
    weak, strong = (prepared(h, center=center, scale=scale) for h in (weak, strong))
    n = weak.shape[0]
    p_w, p_s = smoother(weak, pair[0], cuts[0]), smoother(strong, pair[1], cuts[1])
    product = p_s @ residual_maker(weak, pair[0], cuts[0])
    singular_values = np.linalg.svd(product, compute_uv=False)
    predicted = scores = None
    if labels is not None:
        y = np.asarray(labels, np.float64).reshape(n, -1)
        y = y - y.mean(axis=0) if center else y
        scores = np.linalg.norm(product @ y, axis=1)
        predicted = float((scores**2).sum() / n)
    return Dense(
        float(singular_values[0]),
        float(np.sqrt((product**2).sum() / n)),
        predicted,
        singular_values,
        float(np.trace(p_w)),
        float(np.trace(p_s)),
        scores,
    )
