"""One pass over the samples for any number of weak models: blocks in, Moments of every pair out."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from ..numerics.backend import compiled, cut, fetched, on_cpu, on_host, side_by_side
from ..numerics.checks import Array
from ..numerics.linalg import Host, mirror
from ..parallel.mesh import ROW_AXIS
from ..parallel.processes import Process, gathered, placed, summed
from .device_sums import DeviceAccumulator
from .host_sums import HostAccumulator, RunningMean, centred, joined
from .moments import Moments, Part, Target, joint_second

BLOCK_BYTES = 1 << 26
"""Of float64 a block: enough for matrix products at full rate, and small beside the second moments."""

FEWEST_ROWS = {"float64": 512, "float32": 8192}
"""A block, at least: the sums are read and written once a block, which that many rows have to outweigh; in float32
they are float64 beside float32 products."""

DEVICE_BLOCK_BYTES = 1 << 28
"""The same on each accelerator, where a product has to outlast the start of its program."""


def rows_of_block(width: int, dtype: str, *, host: bool, row_devices: int = 1) -> int:
    """Samples a block, for this many columns in all; accelerators that share the rows get a block each."""
    size = BLOCK_BYTES if host else DEVICE_BLOCK_BYTES * row_devices
    return max(FEWEST_ROWS[dtype], size // (8 * width))


@dataclass(frozen=True)
class Layout:
    """What one pass accumulates.

    Attributes:
        weak_widths, d_strong, d_labels: columns of each weak model, of the strong model, and of the labels.
        center, dtype: as in ``moments``.
        mesh: devices that share the work; None for the host, or for the first accelerator where there is one.
    """

    weak_widths: tuple[int, ...]
    d_strong: int
    d_labels: int
    center: bool
    dtype: str
    mesh: Mesh | None = None

    @property
    def target_width(self) -> int:
        """Columns of t = (strong, labels)."""
        return self.d_strong + self.d_labels

    def keeps(self, n: int) -> bool:
        """Whether so many samples are a smaller record than the sums of the widest pair."""
        return n <= max(self.weak_widths) + self.target_width

    @property
    def on_host(self) -> bool:
        """Whether the host's BLAS adds up the products, not JAX."""
        return self.mesh is None and on_cpu()

    @property
    def block_rows(self) -> int:
        """Samples a block."""
        row_devices = 1 if self.mesh is None else self.mesh.shape[ROW_AXIS]
        width = sum(self.weak_widths) + self.target_width
        return rows_of_block(width, self.dtype, host=on_cpu(), row_devices=row_devices)

    def sums(self) -> HostAccumulator | DeviceAccumulator:
        """Sums of products, none yet."""
        if self.on_host:
            return HostAccumulator(self.weak_widths, self.target_width, center=self.center, dtype=self.dtype)
        return DeviceAccumulator(
            self.weak_widths, self.target_width, center=self.center, dtype=self.dtype, mesh=self.mesh
        )

    def moments(
        self, weak: int, means: Sequence[RunningMean], rows: Any | None, product: Any | None, n: int
    ) -> Moments:
        """Moments of one pair, from the means of w and t and from either record."""
        mean = np.concatenate([one.mean for one in means])
        rest = np.concatenate([one.rest for one in means])
        width = self.weak_widths[weak]
        return Moments(
            float(n), mean, rest, rows, product, width, self.d_strong, self.d_labels, self.center, self.dtype
        )


class Accumulator:
    """Moments of every pair over the blocks added so far.

    While the samples are fewer than the columns of the widest pair, they are kept themselves: the smaller record, and
    the dual side of the computation. Then sums of products take their place. Both stay on a device where dense work is
    done there.

    Args:
        layout: what is accumulated.
        expected: samples in all, if that is known: room for them is made at once.
        at_once: where more are expected than are kept, sums from the first block on. Their bits are others then than
            those of blocks without a known end.
    """

    def __init__(self, layout: Layout, expected: int = 0, *, at_once: bool = False) -> None:
        self.layout = layout
        self.n = 0
        self.kept: list[Any] = []
        self._expected = expected
        self._largest = 0
        straight = at_once and expected > 0 and not layout.keeps(expected)
        self.sums: HostAccumulator | DeviceAccumulator | None = layout.sums() if straight else None
        self._centred: tuple[list[Any], list[RunningMean]] | None = None

    def add(self, weak: Sequence[Array], target: Sequence[Array]) -> None:
        """Add a block: one array for each weak model; then strong, and labels if there are any."""
        rows = target[0].shape[0]
        before, self.n, self._largest = self.n, self.n + rows, max(self._largest, rows)
        if self.sums is None and self.layout.keeps(self.n):
            self._keep(before, [*weak, *target])
        else:
            self.as_sums(before).add(weak, target)

    def _keep(self, start: int, arrays: Sequence[Array]) -> None:
        """Write a block into the room for samples, which is made, or doubled, where it is too small.

        On a device blocks are few, and are put side by side.
        """
        if not on_host():
            self.kept = [_appended(*pair) for pair in zip_longest(self.kept, arrays)]
            return
        if not self.kept or len(self.kept[0]) < self.n:
            room = max(self.n, self._expected if self.layout.keeps(self._expected) else 2 * start)
            larger = [np.empty((room, array.shape[1])) for array in arrays]
            for old, new in zip(self.kept, larger, strict=False):
                new[:start] = old[:start]
            self.kept = larger
        for room, array in zip(self.kept, arrays, strict=True):
            room[start : self.n] = jax.device_get(array)

    def as_sums(self, kept: int | None = None) -> HostAccumulator | DeviceAccumulator:
        """The sums; samples that were kept so far, all or so many, become sums."""
        if self.sums is None:
            self.sums = self.layout.sums()
            if self.kept:
                weak, target = self.rows(kept)
                n = target[0].shape[0]
                # All blocks of a device are as large as the largest one.
                step = n if self.layout.on_host else self._largest or self.layout.block_rows
                for start in range(0, n, step):
                    part = slice(start, min(start + step, n))
                    self.sums.add(*([cut(x, part, slice(None)) for x in arrays] for arrays in (weak, target)))
                self.kept = []
        return self.sums

    def moments(self, index: int = 0) -> Moments:
        """Of the pair with the weak model of this number."""
        if self.sums is None:
            assert self._centred is None, "the samples are centred already"
            weak, target = self.rows()
            return self._from_rows(index, weak[index], target)
        if resident := self._resident_sums():
            means = (resident.means(index), resident.means(None))
            d = self.layout.d_strong
            product = joint_second(*resident.of_weak(index, d), *resident.of_target(d))
            return self.layout.moments(index, means, None, product, self.n)
        sums = self._sums_on_host()
        means = (sums.weak_means[index], sums.target_mean)
        product = joined(sums.weak_products[index], sums.cross_products[index], sums.target_product, self.n)
        return self.layout.moments(index, means, None, product, self.n)

    def target(self) -> Target:
        """The strong model and the labels, which all pairs share; no block may be added after it."""
        layout, d = self.layout, self.layout.d_strong
        if self.sums is None:
            rows, means = self._centred_rows()
            rows, means = rows[len(layout.weak_widths) :], means[len(layout.weak_widths) :]
            y = rows[1] if layout.d_labels else np.empty((self.n, 0))
            mean = np.concatenate([each.whole for each in means])
            own = fetched(y)
            strong, squares = Part(rows[0], None, None, mean[:d]), own.T @ own / self.n
        elif resident := self._resident_sums():
            mean, y = resident.means(None).whole, None
            second, labels, squares = resident.of_target(d)
            strong, squares = Part(None, second, labels, mean[:d]), fetched(squares)
        else:
            sums = self._sums_on_host()
            mean, product, y = sums.target_mean.whole, sums.target_product, None
            second, labels = _whole(product[:d, :d], self.n), product[:d, d:] / self.n
            strong, squares = Part(None, second, labels, mean[:d]), _whole(product[d:, d:], self.n)
        return Target(float(self.n), strong, y, mean[d:], squares, layout.center, layout.dtype)

    def weak(self, index: int) -> tuple[Part, Any]:
        r"""The weak model of this number, and $\Sigma_{ws}$ where there are sums."""
        if self.sums is None:
            rows, means = self._centred_rows()
            return Part(rows[index], None, None, means[index].whole), None
        d = self.layout.d_strong
        if resident := self._resident_sums():
            second, cross, labels = resident.of_weak(index, d)
            return Part(None, second, labels, resident.means(index).whole), cross
        sums = self._sums_on_host()
        cross = sums.cross_products[index]
        second = _whole(sums.weak_products[index], self.n)
        return Part(None, second, cross[:, d:] / self.n, sums.weak_means[index].whole), cross[:, :d] / self.n

    def _resident_sums(self) -> DeviceAccumulator | None:
        """The sums, where they are on a device and dense work is done there."""
        return self.sums if isinstance(self.sums, DeviceAccumulator) and not on_host() else None

    def _sums_on_host(self) -> HostAccumulator:
        assert self.sums is not None
        self.sums = sums = self.sums.on_host()
        return sums

    def _centred_rows(self) -> tuple[list[Any], list[RunningMean]]:
        """The samples that are kept, of each weak model and of the target, centred (on the host in place); and their
        means."""
        if self._centred is None:
            weak, target = self.rows()
            found = [self._centred_alone(x) for x in (*weak, *target)]
            self.kept, self._centred = [], ([x for x, _ in found], [mean for _, mean in found])
        return self._centred

    def _centred_alone(self, x: Any) -> tuple[Any, RunningMean]:
        """Samples minus their mean, rounded to the precision of the products; on the host in place."""
        mean, layout = RunningMean(x.shape[1]), self.layout
        if not on_host():
            x, *parts = _centred_on_device(x, center=layout.center, dtype=layout.dtype)
            mean.set(*map(fetched, parts))
            return x, mean
        mean.set(*centred([x], x, center=layout.center))
        x[...] = x.astype(layout.dtype, copy=False)
        return x, mean

    def state(self) -> dict[str, np.ndarray]:
        """What later blocks are added to; for ``restore``."""
        if self.sums is not None:
            return {"samples": np.asarray(self.n)} | {f"sums.{key}": x for key, x in self.sums.state().items()}
        state = {"samples": np.asarray(self.n)}
        if self.kept:
            weak, target = self.rows()
            state |= {f"kept{index}": fetched(x) for index, x in enumerate((*weak, *target))}
        return state

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Continue from a state (KeyError or ValueError if it is none of this layout)."""
        self.n = int(state["samples"])
        if "kept0" in state:
            arrays = len(self.layout.weak_widths) + (2 if self.layout.d_labels else 1)
            self.kept = [state[f"kept{index}"] for index in range(arrays)]
        elif self.n:
            self.sums = self.layout.sums()
            self.sums.restore({name.removeprefix("sums."): x for name, x in state.items()})

    def rows(self, count: int | None = None) -> tuple[list[Any], list[Any]]:
        """The samples that are kept, all or so many: of each weak model; and strong, and labels if there are any."""
        layout = self.layout
        widths = (*layout.weak_widths, layout.d_strong, *([layout.d_labels] if layout.d_labels else []))
        kept = self.kept or [np.empty((0, width)) for width in widths]
        found = [cut(x, slice(self.n if count is None else count), slice(None)) for x in kept]
        return found[: len(layout.weak_widths)], found[len(layout.weak_widths) :]

    def _from_rows(self, index: int, weak: Any, target: list[Any]) -> Moments:
        layout = self.layout
        if self.n > weak.shape[1] + layout.target_width:
            alone = Accumulator(Layout((weak.shape[1],), layout.d_strong, layout.d_labels, layout.center, layout.dtype))
            alone.add([weak], target)
            return alone.moments()
        rows, mean = self._centred_alone(side_by_side(weak, *target))
        return layout.moments(index, (mean,), rows, None, self.n)


def _append(kept: jax.Array | None, block: jax.Array) -> jax.Array:
    """The samples so far, and a block more."""
    block = block.astype(jnp.float64)
    return block if kept is None else jnp.concatenate([kept, block])


def _centre(x: jax.Array, *, center: bool, dtype: str) -> tuple[jax.Array, jax.Array, jax.Array]:
    """x minus its mean in two steps, rounded to a precision; the mean, and what rounding left out of it."""
    mean = rest = jnp.zeros_like(x[0])
    if center:
        first = x.mean(axis=0)
        left = (x - first).mean(axis=0)
        x = x - first - left
        mean = first + left
        rest = left - (mean - first)
    return x.astype(dtype).astype(x.dtype), mean, rest


_appended = compiled(_append, fetch=False)
_centred_on_device = compiled(_centre, static=("center", "dtype"), fetch=False)


def add_up(accumulator: Accumulator, process: Process) -> None:
    r"""Turn the sums of this process into those of all processes, with the same bits on each of them.

    With $m_p$ the mean of the $n_p$ samples of process $p$, $S_p$ its sums and $m$ the mean of all samples, the sums
    are $\sum_p S_p + n_p (m_p - m)(m_p - m)^T$ (Chan, Golub and LeVeque). While all samples together are few, they are
    kept themselves, in order.

    Args:
        accumulator: of this process; replaced in place.
        process: this one; all of its group call this together.

    Raises:
        HostsLost: a process has gone.

    Cost: $d_w (d_w + d_t)$ float64 numbers for each weak model and $d_t^2$ go over the network once.
    """
    counts = gathered(np.array([float(accumulator.n)]), process)[:, 0]
    before, total = int(counts[: process.index].sum()), int(counts.sum())
    if accumulator.layout.keeps(total):
        weak, target = accumulator.rows()
        accumulator.kept = [placed(fetched(x), before, total) for x in (*weak, *target)]
    else:
        accumulator.sums = _summed_up(accumulator.as_sums().on_host(), counts, process)
    accumulator.n = total


def _summed_up(local: HostAccumulator, counts: np.ndarray, process: Process) -> HostAccumulator:
    """The sums of all processes in place of those of this one."""
    (local.target_mean, t), *weak = _joint_means([local.target_mean, *local.weak_means], counts, process)
    local.target_product = _summed_columns(local.target_product)
    if local.center:
        local.target_product += Host().cross(t, t)
    for index, (mean, w) in enumerate(weak):
        local.weak_means[index] = mean
        local.weak_products[index] = _summed_columns(local.weak_products[index])
        local.cross_products[index] = _summed_columns(local.cross_products[index])
        if local.center:
            local.weak_products[index] += Host().cross(w, w)
            local.cross_products[index] += Host().cross(w, t)
    local.n = int(counts.sum())
    return local


def _joint_means(
    own: Sequence[RunningMean], counts: np.ndarray, process: Process
) -> Iterator[tuple[RunningMean, np.ndarray]]:
    r"""Each mean over all processes, taken in their order; and $\sqrt{n_p} (m_p - m)$, (processes, d)."""
    for mean in own:
        means, rests = np.moveaxis(gathered(np.stack([mean.mean, mean.rest]), process), 1, 0)
        joint, so_far = RunningMean(len(mean.mean)), 0.0
        for one, rest, n in zip(means, rests, counts, strict=True):
            if n:
                so_far += n
                joint.add(one, rest, n / so_far)
        yield joint, np.sqrt(counts)[:, None] * ((means - joint.mean) + (rests - joint.rest))


def _summed_columns(x: np.ndarray) -> np.ndarray:
    """``summed`` of an array in Fortran order, in Fortran order."""
    return summed(x.T).T


def _whole(upper: np.ndarray, n: int) -> np.ndarray:
    """S / n from the upper half of S, in Fortran order."""
    whole = np.asarray(upper / n, order="F")
    mirror(whole)
    return whole
