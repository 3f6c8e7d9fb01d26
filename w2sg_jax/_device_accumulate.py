"""Sums over blocks of samples, on accelerators: rows over devices, wide second moments over devices too."""

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from ._accumulate import HostAccumulator, RunningMean
from ._devices import COLUMNS, ROWS, mesh_of
from ._linalg import Device
from ._moments import joint_mean

SUMS = P(ROWS, None, COLUMNS)
"""A sum is (row devices, d, d'): each row device has its own part of the sum, each column device its columns."""


class _Mean(NamedTuple):
    mean: jax.Array
    rest: jax.Array


class _Block(NamedTuple):
    """What the blocks so far and the new one have to do with each other: samples before, samples in it."""

    before: jax.Array
    rows: jax.Array


class DeviceAccumulator:
    """What ``HostAccumulator`` does, by JAX on a mesh of devices.

    A block is cut by rows; each device adds the products of its rows to its own sums, which are added up once, at the
    end. Between blocks the devices agree on means alone. Blocks have one size, the last one padded, so that there is
    one program for each width; the sums are donated to it, so that no second copy of them exists.

    Args:
        weak_widths, target_width, center, dtype: as in ``HostAccumulator``.
        mesh: axes "rows" and "columns"; by default the first device alone. d^2 / (column devices) numbers a device.
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
        with jax.enable_x64(True):
            self.weak_means = [self._zero_mean(width) for width in weak_widths]
            self.target_mean = self._zero_mean(target_width)
            self.weak_sums = [(self._zeros(w, w), self._zeros(w, target_width)) for w in weak_widths]
            self.target_sum = self._zeros(target_width, target_width)

    def add(self, weak: Sequence[Any], target: Sequence[Any]) -> None:
        """Add a block: one array for each weak model, and the arrays that make up t, side by side."""
        rows = target[0].shape[0]
        devices = self.mesh.shape[ROWS]
        self.rows = max(self.rows, -(-rows // devices) * devices)
        with jax.enable_x64(True):
            block = _Block(jnp.asarray(float(self.n)), jnp.asarray(float(rows)))
            t, t_delta, self.target_mean = _centred(
                tuple(self._placed(part) for part in target), self.target_mean, block, **self.options, dtype=self.dtype
            )
            self.target_sum = _add_gram(self.target_sum, t, t_delta, block, **self.options)
            for index, part in enumerate(weak):
                w, delta, self.weak_means[index] = _centred(
                    (self._placed(part),), self.weak_means[index], block, **self.options, dtype=self.dtype
                )
                self.weak_sums[index] = _add_weak(self.weak_sums[index], w, t, (delta, t_delta), block, **self.options)
        self.n += rows

    def on_host(self) -> HostAccumulator:
        """The same sums, added up over devices and fetched."""
        weak_widths, target_width = self.widths
        host = HostAccumulator(weak_widths, target_width, center=self.options["center"], dtype=self.dtype)
        host.n = self.n
        host.target_mean = _fetched_mean(self.target_mean)
        host.weak_means = [_fetched_mean(mean) for mean in self.weak_means]
        host.target_product = self._fetched(self.target_sum, target_width)
        for index, (gram, cross) in enumerate(self.weak_sums):
            host.weak_products[index] = self._fetched(gram, weak_widths[index])
            host.cross_products[index] = self._fetched(cross, target_width)
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
        with jax.enable_x64(True):
            placed = [jax.device_put(state[f"sum{index}"], leaf.sharding) for index, leaf in enumerate(leaves)]
        if [leaf.shape for leaf in leaves] != [leaf.shape for leaf in placed]:
            raise ValueError("sums of other widths")
        self.weak_means, self.target_mean, self.weak_sums, self.target_sum = jax.tree.unflatten(tree, placed)

    def _sums(self) -> tuple[Any, ...]:
        return self.weak_means, self.target_mean, self.weak_sums, self.target_sum

    def _zeros(self, height: int, width: int) -> jax.Array:
        columns = self.mesh.shape[COLUMNS]
        shape = (self.mesh.shape[ROWS], height, -(-width // columns) * columns)
        return jnp.zeros(shape, device=NamedSharding(self.mesh, SUMS))

    def _zero_mean(self, width: int) -> _Mean:
        everywhere = NamedSharding(self.mesh, P())
        return _Mean(jnp.zeros(width, device=everywhere), jnp.zeros(width, device=everywhere))

    def _placed(self, block: Any) -> jax.Array:
        """The block with zero rows up to the size of all blocks, its rows spread over the devices."""
        missing = self.rows - block.shape[0]
        if missing and isinstance(block, np.ndarray):
            block = np.concatenate([block, np.zeros((missing, block.shape[1]), block.dtype)])
        elif missing:
            block = jnp.pad(block, ((0, missing), (0, 0)))
        return jax.device_put(block, NamedSharding(self.mesh, P(ROWS)))

    def _fetched(self, total: jax.Array, width: int) -> np.ndarray:
        with jax.enable_x64(True):
            summed = jax.device_get(_over_rows(total))
        return np.asarray(summed[:, :width], order="F")


@partial(jax.jit, static_argnames=("mesh", "center", "dtype"))
def _centred(
    parts: tuple[jax.Array, ...], running: _Mean, block: _Block, *, mesh: Mesh, center: bool, dtype: str
) -> tuple[jax.Array, jax.Array, _Mean]:
    """The block, centred by its own mean in two steps; how far that mean was; and the new running mean."""

    def local(*parts: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
        x = jnp.concatenate([part.astype(jnp.float64) for part in parts], axis=1)
        number = jax.lax.axis_index(ROWS) * x.shape[0] + jnp.arange(x.shape[0])
        real = (number < block.rows)[:, None]
        mean = jax.lax.psum(jnp.where(real, x, 0.0).sum(axis=0), ROWS) / block.rows
        rest = jnp.zeros_like(mean)
        if center:
            rest = jax.lax.psum(jnp.where(real, x - mean, 0.0).sum(axis=0), ROWS) / block.rows
            x = x - mean - rest
        return jnp.where(real, x, 0.0).astype(dtype), mean, rest

    x, mean, rest = jax.shard_map(local, mesh=mesh, in_specs=(P(ROWS),) * len(parts), out_specs=(P(ROWS), P(), P()))(
        *parts
    )
    share = block.rows / (block.before + block.rows)
    delta, moved, moved_rest = joint_mean(running.mean, running.rest, mean, rest, share)
    first = block.before == 0
    return x, delta, _Mean(jnp.where(first, mean, moved), jnp.where(first, rest, moved_rest))


@partial(jax.jit, static_argnames=("mesh", "center"), donate_argnums=(0,))
def _add_gram(
    total: jax.Array, x: jax.Array, delta: jax.Array, block: _Block, *, mesh: Mesh, center: bool
) -> jax.Array:
    return _add(total, x, x, delta, delta, block, mesh=mesh, center=center)


@partial(jax.jit, static_argnames=("mesh", "center"), donate_argnums=(0,))
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
    """total + X^T Y + (n_1 n_2 / n) x_delta y_delta^T (Chan, Golub and LeVeque), by rows and by columns."""

    def local(total: jax.Array, x: jax.Array, y: jax.Array) -> jax.Array:
        width = total.shape[2]
        missing = width * mesh.shape[COLUMNS] - y.shape[1]
        start = jax.lax.axis_index(COLUMNS) * width
        own = jax.lax.dynamic_slice_in_dim(jnp.pad(y, ((0, 0), (0, missing))), start, width, axis=1)
        added = Device().cross(x, own).astype(total.dtype)
        if center:
            own_delta = jax.lax.dynamic_slice_in_dim(jnp.pad(y_delta, (0, missing)), start, width)
            weight = block.before * block.rows / (block.before + block.rows)
            added = added + jnp.where(jax.lax.axis_index(ROWS) == 0, weight, 0.0) * jnp.outer(x_delta, own_delta)
        return total + added[None]

    return jax.shard_map(local, mesh=mesh, in_specs=(SUMS, P(ROWS), P(ROWS)), out_specs=SUMS)(total, x, y)


@jax.jit
def _over_rows(total: jax.Array) -> jax.Array:
    return total.sum(axis=0)


def _fetched_mean(mean: _Mean) -> RunningMean:
    found = RunningMean(len(mean.mean))
    found.mean, found.rest = jax.device_get(tuple(mean))
    return found
