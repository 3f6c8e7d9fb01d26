"""Sums over blocks of samples, on the host: what every pair (weak model, strong model) needs, added in place."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.linalg import get_blas_funcs

from ._linalg import mirror
from ._moments import joint_mean


class RunningMean:
    """Mean of the blocks so far, kept in two parts, so that it stands beside a large offset to full precision.

    ``rest`` is what rounding left out of ``mean``.
    """

    def __init__(self, width: int) -> None:
        self.mean = np.zeros(width)
        self.rest = np.zeros(width)

    def set(self, mean: np.ndarray, rest: np.ndarray) -> None:
        """Take over a mean of the same width."""
        self.mean[...], self.rest[...] = mean, rest

    def add(self, mean: np.ndarray, rest: np.ndarray, share: float) -> np.ndarray:
        """Take in a block that makes up ``share`` of the samples now; return how far its mean was from the old one."""
        delta, *moved = joint_mean(self.mean, self.rest, mean, rest, share)
        self.mean, self.rest = (mean, rest) if share == 1.0 else moved  # the first block has no old mean
        return delta


class HostAccumulator:
    """Sums over samples of the products that the pairs (weak model, strong model) need.

    With w a weak representation and t = (strong, labels), centred: T = sum t t^T once for all, and W = sum w w^T and
    X = sum w t^T for each weak model. Blocks are centred by their own means and added in place with the
    mean-difference correction of Chan, Golub and LeVeque. The same blocks in the same order give the same bits.

    Args:
        weak_widths: d_w of each weak model.
        target_width: d_s plus the number of label columns.
        center: whether means are subtracted.
        dtype: precision of the products of one block, "float64" or "float32"; sums are float64 either way.

    Memory: d_t^2, d_w (d_w + d_t) for each weak model, and one block of the two widest arrays.
    """

    def __init__(self, weak_widths: Sequence[int], target_width: int, *, center: bool, dtype: str) -> None:
        self.n = 0
        self.center = center
        self.dtype = dtype
        self.weak_means = [RunningMean(width) for width in weak_widths]
        self.target_mean = RunningMean(target_width)
        self.weak_products = [np.zeros((width, width), order="F") for width in weak_widths]
        self.cross_products = [np.zeros((width, target_width), order="F") for width in weak_widths]
        self.target_product = np.zeros((target_width, target_width), order="F")
        self._room: dict[str, np.ndarray] = {}

    def add(self, weak: Sequence[Any], target: Sequence[Any]) -> None:
        """Add a block of samples: one array for each weak model, and the arrays that make up t, side by side."""
        rows = target[0].shape[0]
        total = self.n + rows
        t, t_delta = self._centred("target", target, self.target_mean, rows / total)
        correction = self.n * rows / total if self.center else 0.0
        add_gram(self.target_product, t, t_delta, correction)
        for w, mean, gram, cross in zip(weak, self.weak_means, self.weak_products, self.cross_products, strict=True):
            w, w_delta = self._centred("weak", [w], mean, rows / total)
            add_gram(gram, w, w_delta, correction)
            add_cross(cross, w, t, w_delta, t_delta, correction)
        self.n = total

    def on_host(self) -> "HostAccumulator":
        """These sums."""
        return self

    def state(self) -> dict[str, np.ndarray]:
        """All that later blocks are added to, in C order; for ``restore``."""
        named = {f"weak{index}_mean": mean for index, mean in enumerate(self.weak_means)} | {"mean": self.target_mean}
        state = {"n": np.asarray(self.n), "target": self.target_product.T}
        for name, mean in named.items():
            state |= {name: mean.mean, f"{name}_rest": mean.rest}
        for index, (gram, cross) in enumerate(zip(self.weak_products, self.cross_products, strict=True)):
            state |= {f"weak{index}": gram.T, f"cross{index}": cross.T}
        return state

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Continue from a state of the same widths (KeyError or ValueError if it is none)."""
        self.n = int(state["n"])
        self.target_mean.set(state["mean"], state["mean_rest"])
        self.target_product[...] = state["target"].T
        for index, mean in enumerate(self.weak_means):
            mean.set(state[f"weak{index}_mean"], state[f"weak{index}_mean_rest"])
            self.weak_products[index][...] = state[f"weak{index}"].T
            self.cross_products[index][...] = state[f"cross{index}"].T

    def _centred(
        self, name: str, parts: Sequence[Any], running: RunningMean, share: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """The block in float64, then in the precision of the products; and the difference of the means."""
        rows, width = parts[0].shape[0], len(running.mean)
        block = self._block(name, rows, width)
        start = 0
        for part in parts:
            block[:, start : start + part.shape[1]] = np.asarray(part)
            start += part.shape[1]
        mean, rest = centre(block) if self.center else (block.mean(axis=0), np.zeros(width))
        return block.astype(self.dtype, copy=False), running.add(mean, rest, share)

    def _block(self, name: str, rows: int, width: int) -> np.ndarray:
        """Room for a block, kept from one block to the next: fresh memory costs as much as filling it."""
        room = self._room.get(name)
        if room is None or room.size < rows * width:
            room = self._room[name] = np.empty(rows * width)
        return room[: rows * width].reshape(rows, width)


def centre(block: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Subtract the column means in place, twice: the second time what rounding left. Return both."""
    mean = block.mean(axis=0)
    block -= mean
    rest = block.mean(axis=0)
    block -= rest
    return mean, rest


def add_gram(upper: np.ndarray, x: np.ndarray, delta: np.ndarray, correction: float) -> None:
    """S += X^T X + correction * delta delta^T, in the upper half of S (Fortran order)."""
    (syrk,) = get_blas_funcs(("syrk",), (x,))
    if x.dtype == upper.dtype:
        syrk(1.0, x.T, beta=1.0, c=upper, overwrite_c=1)
    else:
        upper += syrk(1.0, x.T)
    if correction:
        get_blas_funcs(("syr",), (upper,))[0](correction, delta, a=upper, overwrite_a=1)


def add_cross(
    s: np.ndarray, x: np.ndarray, y: np.ndarray, x_delta: np.ndarray, y_delta: np.ndarray, correction: float
) -> None:
    """S += X^T Y + correction * x_delta y_delta^T (Fortran order)."""
    (gemm,) = get_blas_funcs(("gemm",), (x, y))
    if x.dtype == s.dtype:
        gemm(1.0, x.T, y.T, trans_b=1, beta=1.0, c=s, overwrite_c=1)
    else:
        s += gemm(1.0, x.T, y.T, trans_b=1)
    if correction:
        get_blas_funcs(("ger",), (s,))[0](correction, x_delta, y_delta, a=s, overwrite_a=1)


def joined(weak_product: np.ndarray, cross: np.ndarray, target_product: np.ndarray, n: int) -> np.ndarray:
    """J = [[W, X], [X^T, T]] / n in C order, from upper halves."""
    d_weak, width = len(weak_product), len(weak_product) + len(target_product)
    joint = np.empty((width, width))
    np.divide(weak_product.T, n, out=joint[:d_weak, :d_weak])
    np.divide(target_product.T, n, out=joint[d_weak:, d_weak:])
    mirror(joint[:d_weak, :d_weak].T)
    mirror(joint[d_weak:, d_weak:].T)
    np.divide(cross, n, out=joint[:d_weak, d_weak:])
    joint[d_weak:, :d_weak] = joint[:d_weak, d_weak:].T
    return joint
