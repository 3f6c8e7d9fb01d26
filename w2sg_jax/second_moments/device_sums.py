"""Sums over blocks of samples, on accelerators: rows over devices, wide second moments over devices too."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from ..numerics.backend import jitted, padded_widths
from ..numerics.linalg import HIGHEST
from ..numerics.settings import own_settings, wide_types
from ..parallel.mesh import COLUMN_AXIS, ROW_AXIS, mesh_of
from .host_sums import HostAccumulator, RunningMean
from .moments import joint_mean

SAMPLES = P(None, ROW_AXIS)
"""A block is (models of one width, rows, d): each row device has its rows."""
SUMS = P(None, ROW_AXIS, None, COLUMN_AXIS)
"""A sum is (models, row devices, d, d'): each row device has its own part, each column device its columns."""


class _Mean(NamedTuple):
    mean: jax.Array
    rest: jax.Array


class _Block(NamedTuple):
    """What the blocks so far and the new one have to do with each other: samples before, samples in it."""

    before: jax.Array
    rows: jax.Array


class DeviceAccumulator:
    r"""The sums of ``HostAccumulator``, by JAX on a mesh of devices.

    A block is cut by rows; each device adds the products of its rows to its own sums, which are added up once, at the
    end. Between blocks the devices agree on means alone. Blocks have one size, the last one padded, and weak models of
    one width (or of a few, see ``padded_widths``) are stacked, so that there is one program for each width; the sums
    are donated to it, so that no second copy of them exists.

    Args:
        weak_widths, target_width, center, dtype: as in ``HostAccumulator``.
        mesh: axes "rows" and "columns"; by default the first device alone.

    Memory: as ``HostAccumulator`` on each device, $d^2$ divided by the number of column devices.
    """

    def __init__(
        self, weak_widths: Sequence[int], target_width: int, *, center: bool, dtype: str, mesh: Mesh | None = None
    ) -> None:
        self.n = 0
        self.rows = 0
        self.mesh = mesh or mesh_of(jax.local_devices()[:1])
        self.dtype = dtype
        self.options = {"mesh": self.mesh, "center": center}
        self.widths = (tuple(weak_widths), target_width)
        self.stacks = _stacks(weak_widths)
        self._everywhere = NamedSharding(self.mesh, P())
        with wide_types(), own_settings():  # the zero that fills each array
            self.weak_means = [self._zero_means(len(stack.models), stack.width) for stack in self.stacks]
            self.target_mean = self._zero_means(1, target_width)
            self.weak_sums = [
                tuple(self._zeros(len(stack.models), stack.width, width) for width in (stack.width, target_width))
                for stack in self.stacks
            ]
            self.target_sum = self._zeros(1, target_width, target_width)

    def add(self, weak: Sequence[Any], target: Sequence[Any]) -> None:
        """Add a block: one array for each weak model, and the arrays that make up t, side by side."""
        rows = target[0].shape[0]
        devices = self.mesh.shape[ROW_AXIS]
        self.rows = max(self.rows, -(-rows // devices) * devices)
        with wide_types():
            block = _Block(*jax.device_put((np.float64(self.n), np.float64(rows)), self._everywhere))
            parts = tuple((self._placed(part),) for part in target)
            t, t_delta, self.target_mean = _centred(parts, self.target_mean, block, **self.options, dtype=self.dtype)
            self.target_sum = _add_gram(self.target_sum, t, t_delta, block, **self.options)
            for index, stack in enumerate(self.stacks):
                parts = (tuple(self._placed(weak[model]) for model in stack.models),)
                w, delta, self.weak_means[index] = _centred(
                    parts, self.weak_means[index], block, **self.options, dtype=self.dtype
                )
                self.weak_sums[index] = _add_weak(self.weak_sums[index], w, t, (delta, t_delta), block, **self.options)
        self.n += rows

    def means(self, model: int | None) -> RunningMean:
        """Of a weak model, or of t."""
        if model is None:
            return _fetched_mean(self.target_mean, 0, self.widths[1])
        index, place = self._place(model)
        return _fetched_mean(self.weak_means[index], place, self.widths[0][model])

    def of_target(self, d: int) -> tuple[jax.Array, jax.Array, jax.Array]:
        r"""$\Sigma$ of the first d columns of t, $H^\top y/n$ and $y^\top y/n$ of the others, on one device."""
        with wide_types():
            return self._placed_alone(_of_target(self.target_sum, np.float64(self.n), d=d, width=self.widths[1]))

    def of_weak(self, model: int, d: int) -> tuple[jax.Array, jax.Array, jax.Array]:
        r"""$\Sigma_w$, $\Sigma_{ws}$ with the first d columns of t, and $H_w^\top y/n$, on one device."""
        index, place = self._place(model)
        widths = {"d_weak": self.widths[0][model], "d": d, "width": self.widths[1]}
        with wide_types():
            at = jax.device_put(np.int32(place), self._everywhere)
            return self._placed_alone(_of_weak(self.weak_sums[index], at, np.float64(self.n), **widths))

    def _place(self, model: int) -> tuple[int, int]:
        """Stack of a weak model, and its place there."""
        return next((i, stack.models.index(model)) for i, stack in enumerate(self.stacks) if model in stack.models)

    def _placed_alone(self, arrays: Any) -> Any:
        """Gathered on the device that is the default."""
        return jax.device_put(arrays, jax.local_devices()[0])

    def on_host(self) -> HostAccumulator:
        """The same sums, added up over devices and fetched."""
        weak_widths, target_width = self.widths
        host = HostAccumulator(weak_widths, target_width, center=self.options["center"], dtype=self.dtype)
        host.n = self.n
        host.target_mean = _fetched_mean(self.target_mean, 0, target_width)
        host.target_product = self._fetched(self.target_sum, 0, target_width, target_width)
        for stack, means, (gram, cross) in zip(self.stacks, self.weak_means, self.weak_sums, strict=True):
            for place, model in enumerate(stack.models):
                width = weak_widths[model]
                host.weak_means[model] = _fetched_mean(means, place, width)
                host.weak_products[model] = self._fetched(gram, place, width, width)
                host.cross_products[model] = self._fetched(cross, place, width, target_width)
        return host

    def state(self) -> dict[str, np.ndarray]:
        """All that later blocks are added to, each device's part by itself; for ``restore``."""
        leaves = jax.device_get(jax.tree.leaves(self._sums()))
        return {"n": np.asarray(self.n), "rows": np.asarray(self.rows)} | {
            f"sum{index}": np.ascontiguousarray(leaf) for index, leaf in enumerate(leaves)
        }

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Continue from a state of the same widths and mesh (KeyError or ValueError if it is none)."""
        self.n, self.rows = int(state["n"]), int(state["rows"])
        leaves, tree = jax.tree.flatten(self._sums())
        with wide_types():
            placed = [jax.device_put(state[f"sum{index}"], leaf.sharding) for index, leaf in enumerate(leaves)]
        if [leaf.shape for leaf in leaves] != [leaf.shape for leaf in placed]:
            raise ValueError("sums of other widths")
        self.weak_means, self.target_mean, self.weak_sums, self.target_sum = jax.tree.unflatten(tree, placed)

    def _sums(self) -> tuple[Any, ...]:
        return self.weak_means, self.target_mean, self.weak_sums, self.target_sum

    def _zeros(self, models: int, height: int, width: int) -> jax.Array:
        columns = self.mesh.shape[COLUMN_AXIS]
        shape = (models, self.mesh.shape[ROW_AXIS], height, -(-width // columns) * columns)
        return jnp.zeros(shape, device=NamedSharding(self.mesh, SUMS))

    def _zero_means(self, models: int, width: int) -> _Mean:
        return _Mean(*(jnp.zeros((models, width), device=self._everywhere) for _ in range(2)))

    def _placed(self, block: Any) -> jax.Array:
        """A block with zeros up to the rows of all blocks, spread over devices; the host copies none that is whole."""
        missing = self.rows - block.shape[0]
        if missing:
            with own_settings():  # the zeros that pad samples of a device
                pad = np.pad if isinstance(block, np.ndarray) else jnp.pad
                block = pad(block, ((0, missing), (0, 0)))
        return jax.device_put(block, NamedSharding(self.mesh, P(ROW_AXIS)))

    def _fetched(self, total: jax.Array, place: int, height: int, width: int) -> np.ndarray:
        """The sum of one model of a stack, added up over devices, without its padding."""
        with wide_types():
            summed = jax.device_get(_over_rows(total, jax.device_put(np.int32(place), self._everywhere)))
        return np.asarray(summed[:height, :width], order="F")


class _Stack(NamedTuple):
    """Weak models that are padded to one width and stacked, by their numbers."""

    width: int
    models: list[int]


def _stacks(widths: Sequence[int]) -> list[_Stack]:
    """Which models are stacked, in the order of their first ones."""
    padded = padded_widths(widths)
    stacks: dict[int, _Stack] = {}
    for model, width in enumerate(widths):
        stacks.setdefault(padded[width], _Stack(padded[width], [])).models.append(model)
    return list(stacks.values())


@partial(jitted, static_argnames=("mesh", "center", "dtype"))
def _centred(
    parts: tuple[tuple[jax.Array, ...], ...], running: _Mean, block: _Block, *, mesh: Mesh, center: bool, dtype: str
) -> tuple[jax.Array, jax.Array, _Mean]:
    """The blocks, centred by their own means in two steps; how far those means were; and the new running means.

    Each part is a stack of models, with zeros up to the widest; parts stand side by side.
    """
    width = running.mean.shape[1]

    def local(*parts: tuple[jax.Array, ...]) -> tuple[jax.Array, jax.Array, jax.Array]:
        x = jnp.concatenate([_stacked(part) for part in parts], axis=2)
        x = jnp.pad(x, ((0, 0), (0, 0), (0, width - x.shape[2])))
        number = jax.lax.axis_index(ROW_AXIS) * x.shape[1] + jnp.arange(x.shape[1], dtype=jnp.int32)
        real = (number.astype(block.rows.dtype) < block.rows)[None, :, None]

        def mean_of(x: jax.Array) -> jax.Array:
            return jax.lax.psum(jnp.where(real, x, 0.0).sum(axis=1), ROW_AXIS) / block.rows

        mean = mean_of(x)
        rest = jnp.zeros_like(mean)
        if center:
            rest = mean_of(x - mean[:, None])
            x = x - mean[:, None] - rest[:, None]
        return jnp.where(real, x, 0.0).astype(dtype), mean, rest

    specs = {"in_specs": (P(ROW_AXIS),) * len(parts), "out_specs": (SAMPLES, P(), P())}
    x, mean, rest = jax.shard_map(local, mesh=mesh, **specs)(*parts)
    share = block.rows / (block.before + block.rows)
    delta, moved, moved_rest = joint_mean(running.mean, running.rest, mean, rest, share)
    first = block.before == 0
    return x, delta, _Mean(jnp.where(first, mean, moved), jnp.where(first, rest, moved_rest))


def _stacked(models: tuple[jax.Array, ...]) -> jax.Array:
    """(rows, d) of each model as (models, rows, d) of the widest one, float64."""
    width = max(x.shape[1] for x in models)
    return jnp.stack([jnp.pad(x.astype(jnp.float64), ((0, 0), (0, width - x.shape[1]))) for x in models])


@partial(jitted, static_argnames=("mesh", "center"), donate_argnums=(0,))
def _add_gram(
    total: jax.Array, x: jax.Array, delta: jax.Array, block: _Block, *, mesh: Mesh, center: bool
) -> jax.Array:
    return _add(total, x, x, delta, delta, block, mesh=mesh, center=center)


@partial(jitted, static_argnames=("mesh", "center"), donate_argnums=(0,))
def _add_weak(
    totals: tuple[jax.Array, jax.Array],
    w: jax.Array,
    t: jax.Array,
    deltas: tuple[jax.Array, jax.Array],
    block: _Block,
    *,
    mesh: Mesh,
    center: bool,
) -> tuple[jax.Array, jax.Array]:
    (gram, cross), (delta, t_delta) = totals, deltas
    return (
        _add(gram, w, w, delta, delta, block, mesh=mesh, center=center),
        _add(cross, w, t, delta, t_delta, block, mesh=mesh, center=center),
    )


def _add(
    total: jax.Array,
    x: jax.Array,
    y: jax.Array,
    x_delta: jax.Array,
    y_delta: jax.Array,
    block: _Block,
    *,
    mesh: Mesh,
    center: bool,
) -> jax.Array:
    r"""$S + X^T Y + \frac{n_1 n_2}{n} \delta_x \delta_y^T$ (Chan, Golub and LeVeque), by rows and by columns.

    Of models that are stacked; one Y of several X is shared. $n_1$ samples came before the block of $n_2$, and $\delta$
    is the mean of the block minus theirs.
    """

    def local(total: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
        width = total.shape[3]
        missing = width * mesh.shape[COLUMN_AXIS] - y.shape[2]
        start = jax.lax.axis_index(COLUMN_AXIS) * width
        own = jax.lax.dynamic_slice_in_dim(jnp.pad(y, ((0, 0), (0, 0), (0, missing))), start, width, axis=2)
        added = _cross(x, own).astype(total.dtype)
        if center:
            own_delta = jax.lax.dynamic_slice_in_dim(jnp.pad(y_delta, ((0, 0), (0, missing))), start, width, axis=1)
            weight = block.before * block.rows / (block.before + block.rows)
            weight = jnp.where(jax.lax.axis_index(ROW_AXIS) == 0, weight, 0.0)
            added = added + weight * x_delta[:, :, None] * own_delta[:, None, :]
        return total + added[:, None]

    return jax.shard_map(local, mesh=mesh, in_specs=(SUMS, SAMPLES, SAMPLES), out_specs=SUMS)(total, x, y)


def _cross(x: jax.Array, y: jax.Array) -> jax.Array:
    """$X^T Y$ of each model, at full precision; a single Y enters one product with all X side by side."""
    if y.shape[0] == 1:
        return jnp.einsum("knd,ne->kde", x, y[0], precision=HIGHEST)
    return jnp.einsum("knd,kne->kde", x, y, precision=HIGHEST)


@jax.jit
def _over_rows(total: jax.Array, place: jax.Array) -> jax.Array:
    """The sum of one model of a stack, over row devices."""
    return jax.lax.dynamic_index_in_dim(total, place, keepdims=False).sum(axis=0)


@partial(jax.jit, static_argnames=("d", "width"))
def _of_target(total: jax.Array, n: jax.Array, *, d: int, width: int) -> tuple[jax.Array, ...]:
    whole = total[0].sum(axis=0)[:width, :width] / n
    return whole[:d, :d], whole[:d, d:], whole[d:, d:]


@partial(jax.jit, static_argnames=("d_weak", "d", "width"))
def _of_weak(
    totals: tuple[jax.Array, jax.Array], place: jax.Array, n: jax.Array, *, d_weak: int, d: int, width: int
) -> tuple[jax.Array, ...]:
    gram, cross = (
        jax.lax.dynamic_index_in_dim(total, place, keepdims=False).sum(axis=0)[:d_weak] / n for total in totals
    )
    return gram[:, :d_weak], cross[:, :d], cross[:, d:width]


def _fetched_mean(means: _Mean, place: int, width: int) -> RunningMean:
    found = RunningMean(width)
    found.set(*(part[place, :width] for part in jax.device_get(tuple(means))))
    return found
