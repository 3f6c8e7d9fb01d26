"""How long a call takes, and the limits of a machine: matrix products and memory traffic where the work is done."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from ..numerics.backend import on_cpu
from ..numerics.linalg import product
from ..numerics.settings import wide_types
from ..second_moments.host_sums import add_product

PRODUCT_SIZE = 4096
"""Rows and columns of the matrices that are multiplied: large enough for the full rate."""
TRAFFIC_BYTES = 1 << 28
"""Of each array that is read or written: far more than caches hold."""


class Timing(NamedTuple):
    """Seconds.

    Attributes:
        first: of the first call, which compiles.
        median, low, high: of the calls after it.
    """

    first: float
    median: float
    low: float
    high: float


def timed(
    run: Callable[[], Any], *, repeats: int = 5, at_least: float = 0.0, before: Callable[[], Any] | None = None
) -> Timing:
    """Time a call, after one that warms up.

    Args:
        run: what is timed; JAX arrays that it returns are waited for.
        repeats: calls after the first one, at least.
        at_least: seconds over which calls are repeated, for short ones.
        before: called before each of them, and not timed.
    """
    first = _seconds(run, before)
    times: list[float] = []
    while len(times) < repeats or sum(times) < at_least:
        times.append(_seconds(run, before))
    return Timing(first, float(np.median(times)), min(times), max(times))


def _seconds(run: Callable[[], Any], before: Callable[[], Any] | None) -> float:
    if before is not None:
        before()
    start = time.perf_counter()
    jax.block_until_ready(run())
    return time.perf_counter() - start


@dataclass(frozen=True)
class Machine:
    """What the first device of this machine reaches.

    Attributes:
        device, devices: kind and number of the devices that JAX sees.
        flops: dtype -> floating-point operations a second of a square matrix product, at full precision of that dtype.
        bandwidth: bytes a second that a sum of two large arrays reads and writes.
    """

    device: str
    devices: int
    flops: dict[str, float]
    bandwidth: float


def measure_machine(*, size: int = PRODUCT_SIZE, at_least: float = 1.0) -> Machine:
    """Measure the limits of the first device; on a CPU, of the host's BLAS, which does the work there.

    Args:
        size: rows and columns of the matrices.
        at_least: seconds for each of the three measurements.
    """
    flops = {dtype: product_rate(dtype, size=size, at_least=at_least) for dtype in ("float64", "float32")}
    traffic = timed(_traffic(), repeats=3, at_least=at_least)
    return Machine(jax.devices()[0].device_kind, jax.device_count(), flops, 3 * TRAFFIC_BYTES / traffic.low)


def product_rate(
    dtype: str,
    *,
    size: int = PRODUCT_SIZE,
    rows: int | None = None,
    at_least: float = 1.0,
    symmetric: bool = False,
) -> float:
    """Floating-point operations a second of a matrix product X^T Y, as long work sees them: the median of many runs.

    It is the product that a pass over samples adds to its sums: the host's on a CPU, JAX's on an accelerator.

    Args:
        dtype, at_least: as in ``measure_machine``.
        size: columns of X and Y.
        rows: of X and Y; as many as columns by default.
        symmetric: X^T X by the host's BLAS instead, of which half is computed and counted.
    """
    rows = rows or size
    x, y = np.random.default_rng(0).standard_normal((2, rows, size)).astype(dtype)
    host = on_cpu()
    if host:
        out = np.zeros((size, size), dtype, order="F")
        run = partial(add_product, out, x, x if symmetric else y, keep=0.0)
    else:
        run = _on_device(product, x.T, y)
    flops = (1 if host and symmetric else 2) * rows * size**2
    return flops / timed(run, repeats=3, at_least=at_least).median


def _traffic() -> Callable[[], Any]:
    """The sum of two float64 arrays, on the host or on the accelerator."""
    count = TRAFFIC_BYTES // 8
    if on_cpu():
        a, out = np.ones(count), np.empty(count)
        return lambda: np.add(a, out, out=out)
    return _on_device(jnp.add, np.ones(count), np.ones(count))


def _on_device(function: Callable[..., Any], *arrays: np.ndarray) -> Callable[[], Any]:
    """The call of a jitted function of arrays that are on the device already, in their own precision."""
    with wide_types():
        placed = [jnp.asarray(array) for array in arrays]
    run = jax.jit(function)

    def scoped() -> Any:
        with wide_types():
            return run(*placed)

    return scoped
