"""What the pass over the samples has to do: operations and memory traffic, counted; and samples to do it on."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .._pass import Layout

TILE_ROWS = 8192
"""Samples that are drawn; longer arrays repeat them, which products do not notice."""


@dataclass(frozen=True)
class Work:
    """Of one pass.

    Attributes:
        flops: of the products that are computed.
        flops_full: of three full products W, T and X for each weak model, whether or not symmetry saves half.
        traffic: bytes between memory and cores: samples as they come, their centred copies, and the sums.
    """

    flops: float
    flops_full: float
    traffic: float


def pass_work(n: float, weak: Sequence[int], target: int, *, dtype: str, itemsize: int, symmetric: bool) -> Work:
    """Count a pass over n samples.

    Args:
        n: samples.
        weak: width of each weak model.
        target: columns of the strong model and the labels.
        dtype: precision of the products.
        itemsize: bytes of a number as it comes.
        symmetric: whether half of W and T is computed (the host) or all of it (accelerators).
    """
    grams = target**2 + sum(w**2 for w in weak)
    crosses = target * sum(weak)
    width = np.dtype(dtype).itemsize
    # Read; written and read in float64; written in the dtype of the products; read for W or T and for X.
    samples = n * (target + sum(weak)) * (itemsize + 8 + 8 + 3 * width)
    blocks = max(1.0, n / Layout(tuple(weak), target, 0, True, dtype).block_rows)
    entries = grams * (0.5 if symmetric else 1.0) + crosses
    sums = blocks * entries * (16 if width == 8 else 24)
    return Work(n * (grams * (1 if symmetric else 2) + 2 * crosses), 2 * n * (grams + crosses), samples + sums)


def pair(n: int, d_weak: int, d_strong: int, dtype: str = "float32", seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A pair with power-law spectra that shares half of the weak directions, up to a tenth of noise."""
    rng = np.random.default_rng(seed)
    rows = min(n, max(TILE_ROWS, 2 * (d_weak + d_strong)))
    strong, weak = (rng.standard_normal((rows, d), dtype=np.float32) for d in (d_strong, d_weak))
    shared = min(d_weak, d_strong) // 2
    weak[:, :shared] = strong[:, :shared] + 0.1 * weak[:, :shared]
    scaled = (x * np.arange(1, x.shape[1] + 1, dtype=np.float32) ** -0.5 for x in (weak, strong))
    return tuple(np.resize(x.astype(dtype), (n, x.shape[1])) for x in scaled)  # pyright: ignore[reportReturnType]
