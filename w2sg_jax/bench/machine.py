"""The limits of a machine, measured on it: matrix products and memory traffic on the device that does the work."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.linalg import get_blas_funcs

from ..numerics.linalg import product


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


PRODUCT_SIZE = 4096

TRAFFIC_BYTES = 1 << 28


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
    first = jax.devices()[0]
    flops = {dtype: product_rate(dtype, size=size, at_least=at_least) for dtype in ("float64", "float32")}
    traffic = timed(_traffic(first.platform == "cpu"), repeats=3, at_least=at_least)
    return Machine(first.device_kind, jax.device_count(), flops, 3 * TRAFFIC_BYTES / traffic.low)


def product_rate(
    dtype: str,
    *,
    size: int = PRODUCT_SIZE,
    rows: int | None = None,
    at_least: float = 1.0,
    symmetric: bool = False,
) -> float:
    """Floating-point operations a second of a matrix product X^T Y, as long work sees them: the median of many runs.

    Args:
        dtype, at_least: as in ``measure_machine``.
        size: columns of X and Y.
        rows: of X and Y; as many as columns by default.
        symmetric: X^T X by the host's BLAS instead, of which half is computed and counted.
    """
    rows = rows or size
    x, y = np.random.default_rng(0).standard_normal((2, rows, size)).astype(dtype)
    on_host = jax.default_backend() == "cpu"
    run = _on_host(x, x if symmetric else y) if on_host else _on_device(x, y)
    flops = (1 if on_host and symmetric else 2) * rows * size**2
    return flops / timed(run, repeats=3, at_least=at_least).median


def _on_host(x: np.ndarray, y: np.ndarray) -> Callable[[], Any]:
    out = np.zeros((x.shape[1], y.shape[1]), x.dtype, order="F")
    if x is y:
        (syrk,) = get_blas_funcs(("syrk",), (x,))
        return partial(syrk, 1.0, x.T, c=out, overwrite_c=1)
    (gemm,) = get_blas_funcs(("gemm",), (x, y))
    return partial(gemm, 1.0, x.T, y.T, trans_b=1, c=out, overwrite_c=1)


def _on_device(x: np.ndarray, y: np.ndarray) -> Callable[[], Any]:
    with jax.enable_x64(True):
        placed = jnp.asarray(x.T), jnp.asarray(y)
    return _in_x64(partial(jax.jit(product), *placed))


def _traffic(host: bool) -> Callable[[], Any]:
    count = TRAFFIC_BYTES // 8
    if host:
        a, out = np.ones(count), np.empty(count)
        return lambda: np.add(a, out, out=out)
    with jax.enable_x64(True):
        a, b = jnp.ones(count), jnp.ones(count)
    return _in_x64(partial(jax.jit(jnp.add), a, b))


def _in_x64(run: Callable[[], Any]) -> Callable[[], Any]:
    def scoped() -> Any:
        with jax.enable_x64(True):
            return run()

    return scoped
