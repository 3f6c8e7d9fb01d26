"""Sums over blocks of samples, on the host: the products that every pair (weak model, strong model) needs, in place.

Products are the BLAS library's, with threads of its own. What is between them (centring, conversions, sums of products)
is bound by memory traffic and is done by ``each``, in slabs that stay in cache, on a pool of threads.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cache, partial
from itertools import pairwise
from typing import Any, NamedTuple

import jax
import numpy as np
from scipy.linalg import get_blas_funcs

from ..numerics.linalg import mirror, transpose
from .moments import joint_mean

GUESS_ROWS = 64
"""Rows from which the means of a block are guessed."""

PENDING = 32
"""Blocks whose corrections are added together."""

SLAB = 1 << 18
"""Numbers that a thread takes at once: few enough to stay in cache from one operation to the next, and enough that
threads seldom wait for the interpreter."""

SLABS = 2
"""That a thread is handed together, so that handing over costs little."""

MOST = 16
"""Threads, at most: what they do is bound by memory traffic."""


class RunningMean:
    """Mean of the blocks so far, kept in two parts, so that it stands beside a large offset to full precision.

    ``rest`` is what rounding left out of ``mean``.
    """

    def __init__(self, width: int) -> None:
        self.mean = np.zeros(width)
        self.rest = np.zeros(width)

    @property
    def whole(self) -> np.ndarray:
        """The mean as one number a column."""
        return self.mean + self.rest

    def set(self, mean: np.ndarray, rest: np.ndarray) -> None:
        """Take over a mean of the same width."""
        self.mean[...], self.rest[...] = mean, rest

    def add(self, mean: np.ndarray, rest: np.ndarray, share: float) -> np.ndarray:
        """Take in a block that makes up ``share`` of the samples now; return how far its mean was from the old one."""
        delta, *moved = joint_mean(self.mean, self.rest, mean, rest, share)
        self.mean, self.rest = (mean, rest) if share == 1.0 else moved  # the first block has no old mean
        return delta


class _Panel(NamedTuple):
    """Columns that are centred together, and the sums that they enter.

    Attributes:
        room: where its blocks are written.
        models, columns: which of the models, and which of their columns side by side; t comes last.
        sums: name -> X^T X, and X^T T where the panel is not the first one, which holds t.
    """

    room: str
    models: slice
    columns: slice
    sums: dict[str, np.ndarray]


class HostAccumulator:
    r"""Sums over samples of the products that the pairs (weak model, strong model) need.

    With $w$ a weak representation and $t = (h_s, y)$, strong representation and labels, centred: $T = \sum t t^T$ once
    for all, and $W = \sum w w^T$ and $X = \sum w t^T$ for each weak model; of a single one all three are parts of one
    product, which is the fastest way. Blocks are centred by their own means and added in place; the mean-difference
    corrections of Chan, Golub and LeVeque are added for many blocks together, as products of a few rows. The same
    blocks in the same order give the same bits.

    Args:
        weak_widths: d_w of each weak model.
        target_width: d_s plus the number of label columns.
        center: whether means are subtracted.
        dtype: precision of the products of one block, "float64" or "float32"; sums are float64 either way.

    Cost: $n d_t^2$ flops, and $n d_w (d_w + 2 d_t)$ for each weak model. Memory $d_t^2$, $d_w (d_w + d_t)$ for each
    weak model, and one block of the two widest arrays; in float32, the widest product besides.
    """

    def __init__(self, weak_widths: Sequence[int], target_width: int, *, center: bool, dtype: str) -> None:
        self.n = 0
        self.center = center
        self.dtype = dtype
        self.weak_means = [RunningMean(width) for width in weak_widths]
        self.target_mean = RunningMean(target_width)
        ends = np.cumsum([0, *weak_widths, target_width]).tolist()
        if len(weak_widths) == 1:
            w, t = slice(*ends[:2]), slice(*ends[1:])
            joint = _zeros(ends[-1], ends[-1])
            self.weak_products, self.cross_products, self.target_product = [joint[w, w]], [joint[w, t]], joint[t, t]
            self._panels = [_Panel("target", slice(0, 2), slice(0, ends[-1]), {"joint": joint})]
        else:
            self.weak_products = [_zeros(width, width) for width in weak_widths]
            self.cross_products = [_zeros(width, target_width) for width in weak_widths]
            self.target_product = _zeros(target_width, target_width)
            models = len(weak_widths)
            target = {"target": self.target_product}
            self._panels = [_Panel("target", slice(models, models + 1), slice(*ends[models:]), target)]
            for index, (gram, cross) in enumerate(zip(self.weak_products, self.cross_products, strict=True)):
                sums = {f"weak{index}": gram, f"cross{index}": cross}
                self._panels.append(_Panel("weak", slice(index, index + 1), slice(*ends[index : index + 2]), sums))
        self._corrections = np.zeros((PENDING, ends[-1]))
        self._pending = 0
        self._room: dict[str, np.ndarray] = {}

    def add(self, weak: Sequence[Any], target: Sequence[Any]) -> None:
        """Add a block of samples: one array for each weak model, and the arrays that make up t, side by side."""
        models = [[w] for w in weak] + [list(target)]
        t = None
        for panel in self._panels:
            x = self._centred(panel, [jax.device_get(array) for arrays in models[panel.models] for array in arrays])
            t = x if t is None else t
            for s, y in zip(panel.sums.values(), (x, t), strict=False):
                self._add(s, x, y)
        self.n += target[0].shape[0]
        if self.center:
            self._pending += 1
        if self._pending == PENDING:
            self._add_corrections()

    def on_host(self) -> "HostAccumulator":
        """These sums, complete."""
        self._add_corrections()
        return self

    def state(self) -> dict[str, np.ndarray]:
        """All that later blocks are added to, in C order; for ``restore``."""
        state = {"n": np.asarray(self.n), "pending": np.asarray(self._pending), "corrections": self._corrections}
        for name, mean in self._named_means().items():
            state |= {name: mean.mean, f"{name}_rest": mean.rest}
        return state | {name: s.T for panel in self._panels for name, s in panel.sums.items()}

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Continue from a state of the same widths (KeyError or ValueError if it is none)."""
        self.n, self._pending = int(state["n"]), int(state["pending"])
        self._corrections[...] = state["corrections"]
        for name, mean in self._named_means().items():
            mean.set(state[name], state[f"{name}_rest"])
        for panel in self._panels:
            for name, s in panel.sums.items():
                s[...] = state[name].T

    def _named_means(self) -> dict[str, RunningMean]:
        return {f"weak{index}_mean": mean for index, mean in enumerate(self.weak_means)} | {"mean": self.target_mean}

    def _centred(self, panel: _Panel, arrays: Sequence[np.ndarray]) -> np.ndarray:
        """The block, centred by its own means; its correction is left for later."""
        rows, columns = arrays[0].shape[0], panel.columns
        room = self._room_for(panel.room, (rows, columns.stop - columns.start), self.dtype)
        mean, rest = centred(arrays, room, center=self.center)
        running = [*self.weak_means, self.target_mean][panel.models]
        total = self.n + rows
        places = [slice(*pair) for pair in pairwise(np.cumsum([0, *(len(one.mean) for one in running)]))]
        delta = [one.add(mean[at], rest[at], rows / total) for one, at in zip(running, places, strict=True)]
        if self.center:
            correction = self._corrections[self._pending, columns]
            np.multiply(np.sqrt(self.n * rows / total), np.concatenate(delta), out=correction)
        return room

    def _add_corrections(self) -> None:
        """Add what is pending to the sums."""
        if not self._pending:
            return
        t = None
        for panel in self._panels:
            x = self._corrections[: self._pending, panel.columns]
            t = x if t is None else t
            for s, y in zip(panel.sums.values(), (x, t), strict=False):
                add_product(s, x, y)
        self._pending = 0

    def _add(self, s: np.ndarray, x: np.ndarray, y: np.ndarray) -> None:
        """$S + X^T Y$ in place of S (Fortran order); of $X^T X$ the upper half alone."""
        if x.dtype == s.dtype:
            add_product(s, x, y)
            return
        product = self._room_for("product", s.shape[::-1], self.dtype).T
        add_product(product, x, y, keep=0.0)
        add = _add_upper if x is y else _add_columns
        each(partial(add, s, product), *s.shape[::-1])

    def _room_for(self, name: str, shape: tuple[int, int], dtype: Any) -> np.ndarray:
        """Room in C order, kept from one block to the next: fresh memory costs as much as filling it."""
        size = shape[0] * shape[1]
        room = self._room.get(name)
        if room is None or room.size < size:
            room = self._room[name] = np.zeros(size, dtype)
        return room[:size].reshape(shape)


def _zeros(height: int, width: int) -> np.ndarray:
    return np.zeros((height, width), order="F")


def add_product(s: np.ndarray, x: np.ndarray, y: np.ndarray, *, keep: float = 1.0) -> None:
    """``keep`` $S + X^T Y$ in place of S (Fortran order); of $X^T X$ the upper half alone."""
    if x is y:
        (syrk,) = get_blas_funcs(("syrk",), (x,))
        syrk(1.0, x.T, beta=keep, c=s, overwrite_c=1)
    else:
        (gemm,) = get_blas_funcs(("gemm",), (x, y))
        gemm(1.0, x.T, y.T, trans_b=1, beta=keep, c=s, overwrite_c=1)


def _add_upper(upper: np.ndarray, product: np.ndarray, columns: slice) -> None:
    upper[: columns.stop, columns] += product[: columns.stop, columns]


def _add_columns(total: np.ndarray, product: np.ndarray, columns: slice) -> None:
    total[:, columns] += product[:, columns]


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


def joined(weak_product: np.ndarray, cross: np.ndarray, target_product: np.ndarray, n: int) -> np.ndarray:
    r"""$J = \frac{1}{n} \begin{pmatrix} W & X \\ X^T & T \end{pmatrix}$ in C order, from upper halves of W and T."""
    d_weak, width = len(weak_product), len(weak_product) + len(target_product)
    joint = np.empty((width, width))
    np.divide(weak_product.T, n, out=joint[:d_weak, :d_weak])
    np.divide(target_product.T, n, out=joint[d_weak:, d_weak:])
    mirror(joint[:d_weak, :d_weak].T)
    mirror(joint[d_weak:, d_weak:].T)
    np.divide(cross.T, n, out=joint[d_weak:, :d_weak])
    transpose(joint[d_weak:, :d_weak], joint[:d_weak, d_weak:])
    return joint


def each(task: Callable[[slice], Any], rows: int, width: int) -> list[Any]:
    """Return ``task(slab)`` for slabs of 0, 1, ..., rows - 1 in their order; computed at the same time, given cores.

    The cuts depend on the shape alone, and so does the rounding of sums over them. Floating-point warnings are off:
    what is not finite shows in the result.

    Args:
        task: of a slice of rows.
        rows: how many there are.
        width: numbers in each.
    """
    slabs = _cut(0, rows, max(1, SLAB // width))
    several = partial(_several, task)
    parts = [slabs[part] for part in _cut(0, len(slabs), SLABS)]
    done = map(several, parts) if len(parts) == 1 else _pool().map(several, parts)
    return [result for results in done for result in results]


def _several(task: Callable[[slice], Any], slabs: list[slice]) -> list[Any]:
    with np.errstate(all="ignore"):
        return [task(slab) for slab in slabs]


def _cut(start: int, stop: int, size: int) -> list[slice]:
    return [slice(first, min(first + size, stop)) for first in range(start, stop, size)]


@cache
def _pool() -> ThreadPoolExecutor:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return ThreadPoolExecutor(min(cores, MOST), thread_name_prefix="w2sg-rows")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)
