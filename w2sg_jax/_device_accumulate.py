"""Sums over blocks of samples, on an accelerator: the accumulators stay there and are updated in place."""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ._accumulate import HostAccumulator, RunningMean
from ._linalg import Device


class _Mean(NamedTuple):
    mean: jax.Array
    rest: jax.Array


class DeviceAccumulator:
    """What ``HostAccumulator`` does, by JAX: blocks of one size, the last one padded, and one program a width.

    The sums are donated to each update, so that no second copy of them exists.
    """

    def __init__(self, weak_widths: Sequence[int], target_width: int, *, center: bool, dtype: str) -> None:
        self.n = 0
        self.rows = 0
        self.center = center
        self.dtype = dtype
        with jax.enable_x64(True):
            self.weak_means = [_zero_mean(width) for width in weak_widths]
            self.target_mean = _zero_mean(target_width)
            self.weak_sums = [(jnp.zeros((width, width)), jnp.zeros((width, target_width))) for width in weak_widths]
            self.target_sum = jnp.zeros((target_width, target_width))

    def add(self, weak: Sequence[Any], target: Sequence[Any]) -> None:
        """Add a block: one array for each weak model, and the arrays that make up t, side by side."""
        rows = target[0].shape[0]
        self.rows = max(self.rows, rows)
        options = {"center": self.center, "dtype": self.dtype}
        with jax.enable_x64(True):
            counts = jnp.asarray([self.n, rows], jnp.float64)
            t, t_delta, self.target_mean = _centred(
                tuple(_padded(part, self.rows) for part in target), self.target_mean, counts, **options
            )
            self.target_sum = _add_gram(self.target_sum, t, t_delta, counts, center=self.center)
            for index, block in enumerate(weak):
                self.weak_means[index], self.weak_sums[index] = _add_weak(
                    self.weak_sums[index],
                    self.weak_means[index],
                    _padded(block, self.rows),
                    t,
                    t_delta,
                    counts,
                    **options,
                )
        self.n += rows

    def on_host(self) -> HostAccumulator:
        """The same sums, fetched."""
        widths = [len(mean.mean) for mean in self.weak_means]
        host = HostAccumulator(widths, len(self.target_mean.mean), center=self.center, dtype=self.dtype)
        host.n = self.n
        host.target_mean = _fetched_mean(self.target_mean)
        host.weak_means = [_fetched_mean(mean) for mean in self.weak_means]
        host.target_product = np.asarray(jax.device_get(self.target_sum), order="F")
        fetched = jax.device_get(self.weak_sums)
        host.weak_products = [np.asarray(gram, order="F") for gram, _ in fetched]
        host.cross_products = [np.asarray(cross, order="F") for _, cross in fetched]
        return host


def _zero_mean(width: int) -> _Mean:
    return _Mean(jnp.zeros(width), jnp.zeros(width))


def _fetched_mean(mean: _Mean) -> RunningMean:
    found = RunningMean(len(mean.mean))
    found.mean, found.rest = jax.device_get(mean)
    return found


def _padded(block: Any, rows: int) -> jax.Array:
    """Zero rows up to the size of a block, so that the last one does not compile again."""
    missing = rows - block.shape[0]
    if missing and isinstance(block, np.ndarray):
        block = np.concatenate([block, np.zeros((missing, block.shape[1]), block.dtype)])
    elif missing:
        block = jnp.pad(block, ((0, missing), (0, 0)))
    return jnp.asarray(block)


@partial(jax.jit, static_argnames=("center", "dtype"))
def _centred(
    parts: tuple[jax.Array, ...], running: _Mean, counts: jax.Array, *, center: bool, dtype: str
) -> tuple[jax.Array, jax.Array, _Mean]:
    """The block, centred by its own mean in two steps, with zero rows past the last; the step of the running mean."""
    before, rows = counts
    x = jnp.concatenate([part.astype(jnp.float64) for part in parts], axis=1)
    real = (jnp.arange(x.shape[0]) < rows)[:, None]
    mean = jnp.where(real, x, 0.0).sum(axis=0) / rows
    rest = jnp.where(real, x - mean, 0.0).sum(axis=0) / rows if center else jnp.zeros_like(mean)
    if center:
        x = x - mean - rest
    delta = (mean - running.mean) + (rest - running.rest)
    step = running.rest + delta * (rows / (before + rows))
    moved = running.mean + step
    first = before == 0
    new = _Mean(jnp.where(first, mean, moved), jnp.where(first, rest, step - (moved - running.mean)))
    return jnp.where(real, x, 0.0).astype(dtype), delta, new


@partial(jax.jit, static_argnames=("center",), donate_argnums=(0,))
def _add_gram(total: jax.Array, x: jax.Array, delta: jax.Array, counts: jax.Array, *, center: bool) -> jax.Array:
    return total + Device().gram(x).astype(total.dtype) + _correction(delta, delta, counts, center)


@partial(jax.jit, static_argnames=("center", "dtype"), donate_argnums=(0,))
def _add_weak(
    totals: tuple[jax.Array, jax.Array],
    running: _Mean,
    block: jax.Array,
    t: jax.Array,
    t_delta: jax.Array,
    counts: jax.Array,
    *,
    center: bool,
    dtype: str,
) -> tuple[_Mean, tuple[jax.Array, jax.Array]]:
    gram, cross = totals
    w, delta, moved = _centred((block,), running, counts, center=center, dtype=dtype)
    gram = gram + Device().gram(w).astype(gram.dtype) + _correction(delta, delta, counts, center)
    cross = cross + Device().cross(w, t).astype(cross.dtype) + _correction(delta, t_delta, counts, center)
    return moved, (gram, cross)


def _correction(a: jax.Array, b: jax.Array, counts: jax.Array, center: bool) -> jax.Array:
    """(n_1 n_2 / n) a b^T of Chan, Golub and LeVeque."""
    before, rows = counts
    return (before * rows / (before + rows) if center else 0.0) * jnp.outer(a, b)
