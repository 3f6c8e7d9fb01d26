"""What the pass over the samples has to do: operations and memory traffic, counted; and samples to do it on."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..numerics.backend import on_cpu
from ..second_moments.accumulator import Layout
from ..second_moments.host_sums import add_product, centred
from .machine import timed

TILE_ROWS = 8192
"""Samples that are drawn; longer arrays repeat them, which products do not notice."""
FEW = 256
"""Rows of a product that is large enough for all threads of BLAS."""


@dataclass(frozen=True)
class Work:
    """Of one pass.

    Attributes:
        grams, crosses: operations that are computed for W and T, and for X; of a single pair on the host, W, X and T
            are one symmetric product.
        flops_full: of three full products W, T and X for each weak model, whether or not symmetry saves half.
        preparing: bytes between memory and cores for samples as they come, and for their centred copies.
        adding: the same for the sums, which every block is added to.
    """

    grams: float
    crosses: float
    flops_full: float
    preparing: float
    adding: float

    @property
    def flops(self) -> float:
        """Operations that are computed."""
        return self.grams + self.crosses

    @property
    def traffic(self) -> float:
        """Bytes between memory and cores."""
        return self.preparing + self.adding


def pass_work(
    n: float | int,
    weak: Sequence[int],
    target: int,
    *,
    dtype: str,
    itemsize: int,
    symmetric: bool,
    block_rows: float | int | None = None,
) -> Work:
    """Count a pass over n samples.

    Args:
        n: samples.
        weak: width of each weak model.
        target: columns of the strong model and the labels.
        dtype: precision of the products.
        itemsize: bytes of a number as it comes.
        symmetric: whether half of W and T is computed (the host) or all of it (accelerators).
        block_rows: samples a block; by default those of this machine.
    """
    n = float(n)
    grams = target**2 + sum(w**2 for w in weak)
    crosses = target * sum(weak)
    flops_full = 2 * n * (grams + crosses)
    if symmetric and len(weak) == 1:
        grams, crosses = grams + 2 * crosses, 0
    width = np.dtype(dtype).itemsize
    # Read as they come; written, read and written in the dtype of the products; read for W or T and for X.
    preparing = n * (target + sum(weak)) * (itemsize + 5 * width)
    rows = block_rows or Layout(tuple(weak), target, 0, True, dtype).block_rows
    entries = grams * (0.5 if symmetric else 1.0) + crosses
    adding = max(1.0, n / rows) * entries * (16 if width == 8 else 24)
    flops = n * grams * (1 if symmetric else 2), 2 * n * crosses
    return Work(*flops, flops_full, preparing, adding)


def preparing_seconds(samples: np.ndarray, dtype: str, *, at_least: float = 0.2) -> float:
    """Seconds that casting and centring this array takes on the host, block by block; 0 where a device does it.

    Measured after a product, as in a pass: the threads of BLAS wait for the next one in busy loops meanwhile.

    Args:
        samples: (n, d).
        dtype: precision of the products.
        at_least: seconds for the measurement.
    """
    if not on_cpu():
        return 0.0
    n, d = samples.shape
    rows = min(n, Layout((d,), d, 0, True, dtype).block_rows)
    out = np.empty((rows, d), dtype)
    few, product = np.ones((FEW, FEW), out.dtype), np.zeros((FEW, FEW), out.dtype, order="F")
    timing = timed(
        lambda: centred([samples[:rows]], out, center=True),
        at_least=at_least,
        before=lambda: add_product(product, few, few, keep=0.0),
    )
    return n / rows * timing.median


def pair(n: int, d_weak: int, d_strong: int, dtype: str = "float32", seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A pair with power-law spectra that shares half of the weak directions, up to a tenth of noise."""
    rng = np.random.default_rng(seed)
    rows = min(n, max(TILE_ROWS, 2 * (d_weak + d_strong)))
    strong, weak = (rng.standard_normal((rows, d), dtype=np.float32) for d in (d_strong, d_weak))
    shared = min(d_weak, d_strong) // 2
    weak[:, :shared] = strong[:, :shared] + 0.1 * weak[:, :shared]
    scaled = (x * np.arange(1, x.shape[1] + 1, dtype=np.float32) ** -0.5 for x in (weak, strong))
    return tuple(np.resize(x.astype(dtype), (n, x.shape[1])) for x in scaled)  # pyright: ignore[reportReturnType]
