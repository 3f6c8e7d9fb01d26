"""What the benchmarks compute on: samples of a pair with labels, and moments that are made without samples."""

from typing import NamedTuple

import numpy as np

import w2sg_jax as w2sg

BLOCK_ROWS = 4096
"""Samples that are drawn, or multiplied by torch, at once."""
TILE_ROWS = 256
"""Rows of a matrix that are written at once."""


class Problem(NamedTuple):
    """A pair of representations of the same samples, (n, d_weak) and (n, d_strong), labels (n,), and a ridge."""

    weak: np.ndarray
    strong: np.ndarray
    labels: np.ndarray
    ridge: float


def samples(n: int, d_weak: int, d_strong: int, *, seed: int, ridge: float) -> Problem:
    """A float32 pair with power-law spectra that shares half of the weak directions, up to a tenth of noise.

    Made block by block, so that nothing but the result takes memory.
    """
    weak, strong = np.empty((n, d_weak), np.float32), np.empty((n, d_strong), np.float32)
    labels, shared = np.empty(n), min(d_weak, d_strong) // 2
    head = np.random.default_rng(seed).standard_normal(d_strong)
    for block, start in enumerate(range(0, n, BLOCK_ROWS)):
        rows = slice(start, min(n, start + BLOCK_ROWS))
        rng = np.random.default_rng((seed, block))
        a, b = (rng.standard_normal((rows.stop - start, d)) for d in (d_weak, d_strong))
        a[:, :shared] = b[:, :shared] + 0.1 * a[:, :shared]
        weak[rows] = a * np.arange(1, d_weak + 1.0) ** -0.5
        strong[rows] = b * np.arange(1, d_strong + 1.0) ** -0.5
        labels[rows] = strong[rows] @ head + rng.standard_normal(rows.stop - start)
    return Problem(weak, strong, labels, ridge)


def synthetic_moments(d: int, directions: int = 32) -> w2sg.Moments:
    """Moments of a (d, d) pair without its samples: shared directions on a power-law diagonal."""
    rng = np.random.default_rng(0)
    scales = np.tile(np.arange(1, d + 1.0) ** -0.5, 2)
    shared = rng.standard_normal((2 * d, directions)) * (scales / np.sqrt(directions))[:, None]
    product = shared @ shared.T
    product.flat[:: 2 * d + 1] += scales**2
    zeros = np.zeros(2 * d)
    return w2sg.Moments(float(10 * d), zeros, zeros, None, product, d, d, 0, True, "float64")


def known_pair(width: int, ridge: float, seed: int) -> tuple[w2sg.Moments, float]:
    """Moments of a population whose gap norm is known: max_i g_i sqrt(1 - (2 g_i - g_i^2) c_i^2).

    Both models have the eigenvalues 1 / i, up to unit trace, and direction i of one is correlated by c_i with direction
    i of the other alone; then each space is reflected, so that no entry of the moments is zero.
    """
    rng = np.random.default_rng(seed)
    eigenvalues = 1 / np.arange(1, width + 1.0)
    eigenvalues /= eigenvalues.sum()
    correlations = np.linspace(0.99, 0.5, width)
    weak, strong = (u / np.linalg.norm(u) for u in rng.standard_normal((2, width)))
    product = np.empty((2 * width, 2 * width))
    _reflected(product[:width, :width], eigenvalues, weak, weak)
    _reflected(product[width:, width:], eigenvalues, strong, strong)
    _reflected(product[:width, width:], eigenvalues * correlations, weak, strong)
    for start in range(0, width, TILE_ROWS):
        rows = slice(width + start, width + start + TILE_ROWS)
        product[rows, :width] = product[:width, rows].T
    gains = eigenvalues / (eigenvalues + ridge)
    norm = float((gains * np.sqrt(1 - (2 * gains - gains**2) * correlations**2)).max())
    none = np.zeros(2 * width)
    return w2sg.Moments(1e9, none, none, None, product, width, width, 0, True, "float64"), norm


def _reflected(out: np.ndarray, diagonal: np.ndarray, left: np.ndarray, right: np.ndarray) -> None:
    """(I - 2 u u^T) D (I - 2 v v^T), a few rows at a time."""
    middle = 4 * (left * diagonal) @ right
    for start in range(0, len(out), TILE_ROWS):
        rows = slice(start, start + TILE_ROWS)
        u = left[rows, None]
        out[rows] = u * (middle * right - 2 * left * diagonal) - 2 * (diagonal * right)[rows, None] * right
        out[rows, rows] += np.diag(diagonal[rows])
