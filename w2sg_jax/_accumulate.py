"""Sums over blocks of samples, on the host: what every pair (weak model, strong model) needs, added in place."""

from collections.abc import Mapping, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from scipy.linalg import get_blas_funcs

from ._linalg import mirror, transpose
from ._moments import joint_mean
from ._threads import each

GUESS_ROWS = 64
"""Rows from which the means of a block are guessed."""


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


class _Block(NamedTuple):
    """Centred rows, and how far their mean was from that of the samples before."""

    rows: np.ndarray
    delta: np.ndarray


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
        correction = self.n * rows / total if self.center else 0.0
        t = self._centred("target", target, self.target_mean, correction, total)
        self._add_gram(self.target_product, t, correction)
        for w, mean, gram, cross in zip(weak, self.weak_means, self.weak_products, self.cross_products, strict=True):
            w = self._centred("weak", [w], mean, correction, total)
            self._add_gram(gram, w, correction)
            self._add_cross(cross, w, t, correction)
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

    def _centred(self, name: str, parts: Sequence[Any], running: RunningMean, correction: float, total: int) -> _Block:
        """The block, centred by its own means; its last row is the correction, where sums have the block's dtype."""
        rows, width = parts[0].shape[0], len(running.mean)
        room = self._room_for(name, (rows + 1, width), self.dtype)
        mean, rest = centred([np.asarray(part) for part in parts], room[:rows], center=self.center)
        delta = running.add(mean, rest, rows / total)
        np.multiply(np.sqrt(correction), delta, out=room[rows], casting="same_kind")
        return _Block(room if self.dtype == "float64" else room[:rows], delta)

    def _add_gram(self, upper: np.ndarray, x: _Block, correction: float) -> None:
        """S += X^T X + correction * delta delta^T, in the upper half of S (Fortran order)."""
        (syrk,) = get_blas_funcs(("syrk",), (x.rows,))
        if x.rows.dtype == upper.dtype:
            syrk(1.0, x.rows.T, beta=1.0, c=upper, overwrite_c=1)
            return
        product = self._room_for("product", upper.shape[::-1], self.dtype).T
        syrk(1.0, x.rows.T, c=product, overwrite_c=1)
        each(partial(_add_upper, upper, product), *upper.shape)
        if correction:
            get_blas_funcs(("syr",), (upper,))[0](correction, x.delta, a=upper, overwrite_a=1)

    def _add_cross(self, s: np.ndarray, x: _Block, y: _Block, correction: float) -> None:
        """S += X^T Y + correction * x_delta y_delta^T (Fortran order)."""
        (gemm,) = get_blas_funcs(("gemm",), (x.rows, y.rows))
        if x.rows.dtype == s.dtype:
            gemm(1.0, x.rows.T, y.rows.T, trans_b=1, beta=1.0, c=s, overwrite_c=1)
            return
        product = self._room_for("product", s.shape[::-1], self.dtype).T
        gemm(1.0, x.rows.T, y.rows.T, trans_b=1, c=product, overwrite_c=1)
        each(partial(_add_columns, s, product), *s.shape[::-1])
        if correction:
            get_blas_funcs(("ger",), (s,))[0](correction, x.delta, y.delta, a=s, overwrite_a=1)

    def _room_for(self, name: str, shape: tuple[int, int], dtype: Any) -> np.ndarray:
        """Room in C order, kept from one block to the next: fresh memory costs as much as filling it."""
        size = shape[0] * shape[1]
        room = self._room.get(name)
        if room is None or room.size < size:
            room = self._room[name] = np.zeros(size, dtype)
        return room[:size].reshape(shape)


def centred(parts: Sequence[np.ndarray], out: np.ndarray, *, center: bool) -> tuple[np.ndarray, np.ndarray]:
    """Write arrays side by side, minus their column means; return the means, in two parts.

    A first guess of the means is subtracted, then the mean of what is left, so that an offset costs no digits, in
    float32 either.

    Args:
        parts: (rows, width) each; an only part may be ``out`` itself.
        out: (rows, sum of widths), float64 or float32.
        center: False to subtract nothing.
    """
    rows, width = out.shape
    places = [slice(*pair) for pair in pairwise(np.cumsum([0, *(part.shape[1] for part in parts)]))]
    guess = np.zeros(width, out.dtype)
    if center:
        for place, part in zip(places, parts, strict=True):
            guess[place] = np.array(part[:GUESS_ROWS], np.float64, order="C").mean(axis=0)
    shifted = partial(_shifted, list(zip(places, parts, strict=True)), guess, out)
    left = np.sum(each(shifted, rows, width), axis=0, dtype=np.float64) / rows
    if center:
        each(partial(_subtract, out, left.astype(out.dtype)), rows, width)
    mean = guess + left
    moved = mean - guess
    return mean, (guess - (mean - moved)) + (left - moved)


def _shifted(parts: list[tuple[slice, np.ndarray]], shift: np.ndarray, out: np.ndarray, slab: slice) -> np.ndarray:
    """Write some rows of the arrays side by side, minus the shift; return their sum."""
    for place, part in parts:
        rows, moved = part[slab], out[slab, place]
        if rows.dtype == out.dtype:
            np.subtract(rows, shift[place], out=moved)
        elif np.can_cast(rows.dtype, out.dtype):
            moved[...] = rows
            moved -= shift[place]
        else:
            moved[...] = np.subtract(rows, shift[place], dtype=np.float64)
    return out[slab].sum(axis=0)


def _subtract(out: np.ndarray, mean: np.ndarray, slab: slice) -> None:
    out[slab] -= mean


def _add_upper(upper: np.ndarray, product: np.ndarray, columns: slice) -> None:
    upper[: columns.stop, columns] += product[: columns.stop, columns]


def _add_columns(total: np.ndarray, product: np.ndarray, columns: slice) -> None:
    total[:, columns] += product[:, columns]


def joined(weak_product: np.ndarray, cross: np.ndarray, target_product: np.ndarray, n: int) -> np.ndarray:
    """J = [[W, X], [X^T, T]] / n in C order, from upper halves."""
    d_weak, width = len(weak_product), len(weak_product) + len(target_product)
    joint = np.empty((width, width))
    np.divide(weak_product.T, n, out=joint[:d_weak, :d_weak])
    np.divide(target_product.T, n, out=joint[d_weak:, d_weak:])
    mirror(joint[:d_weak, :d_weak].T)
    mirror(joint[d_weak:, d_weak:].T)
    np.divide(cross.T, n, out=joint[d_weak:, :d_weak])
    transpose(joint[d_weak:, :d_weak], joint[:d_weak, d_weak:])
    return joint
