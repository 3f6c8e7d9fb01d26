"""The one-minute benchmark: limits of the machine, passes in memory and from disk, the gap, and the verdict."""

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from ..numerics.backend import on_cpu
from ..second_moments.from_arrays import moments
from ..theory.gap import gap
from .machine import Machine, measure_machine, product_rate, timed
from .work import pair, pass_work, preparing_seconds


@dataclass(frozen=True)
class Point:
    """A pass over samples that was timed.

    Attributes:
        name: what it is called in a sentence.
        dtype: precision of the products.
        seconds: of the pass.
        flops: of the products that it computed.
        preparing: seconds that casting and centring its samples take by themselves.
        reading: seconds that reading its samples takes by itself; 0 for samples in memory.
    """

    name: str
    dtype: str
    seconds: float
    flops: float
    preparing: float = 0.0
    reading: float = 0.0

    @property
    def rate(self) -> float:
        """Floating-point operations a second."""
        return self.flops / self.seconds

    def share(self, machine: Machine) -> float:
        """Of the machine's matrix-product rate in this precision."""
        return self.rate / machine.flops[self.dtype]

    def parts(self, machine: Machine) -> dict[str, float]:
        """Shares of the time: what products and the other steps would take by themselves, and overheads, the rest."""
        alone = {
            "products": self.flops / machine.flops[self.dtype],
            "casting and centring": self.preparing,
            "reading": self.reading,
        }
        parts = {part: seconds / self.seconds for part, seconds in alone.items() if seconds}
        return parts | {"overheads": max(0.0, 1.0 - sum(parts.values()))}

    def bound(self, machine: Machine) -> str:
        """What the time is spent on: "products", "casting and centring", "reading", or "overheads"."""
        parts = self.parts(machine)
        return max(parts, key=lambda part: parts[part])


@dataclass(frozen=True)
class Sizes:
    """How much is measured.

    Attributes:
        product: rows and columns of the matrices whose product is the limit.
        widths: of both representations, one pass each in every precision.
        flops, memory_bytes: of each pass and of its samples, at most, about.
        disk_bytes: of the samples that are read from disk, about; 0 for no such pass.
        at_least: seconds for each limit.
    """

    product: int = 2048
    widths: tuple[int, ...] = (128, 1024)
    flops: float = 1e11
    memory_bytes: int = 1 << 28
    disk_bytes: int = 1 << 27
    at_least: float = 1.0


def short_bench(sizes: Sizes, progress: Callable[[int, int], None] | None = None) -> dict[str, Any]:
    """Measure this machine, and say what the times mean.

    Args:
        sizes: how much is measured.
        progress: called with (steps done, steps).

    Returns:
        machine: its limits; points: each pass with its share and its bound; gap: seconds from moments, and beside the
        moments' own; sentences and advice: in words.
    """
    widest = max(sizes.widths)
    plan = [(d, dtype) for d in sorted(sizes.widths) for dtype in ("float32", "float64")]
    steps = len(plan) + 2 + bool(sizes.disk_bytes)
    done = _counter(steps, progress)
    machine = measure_machine(size=sizes.product, at_least=sizes.at_least)
    done()
    points = []
    for d, dtype in plan:
        points.append(_in_memory(d, dtype, sizes))
        again = product_rate(dtype, size=sizes.product, at_least=sizes.at_least / 4)
        machine.flops[dtype] = max(machine.flops[dtype], again)  # others may have had the cores the first time
        done()
    if sizes.disk_bytes:
        points.append(_from_disk(sizes))
        done()
    seconds = _gap_seconds(widest, sizes)
    rate = points[-1 - bool(sizes.disk_bytes)].rate
    done()
    return {
        "machine": asdict(machine),
        "cores": os.cpu_count(),
        "points": [_described(point, machine) for point in points],
        "gap": {"d": widest, "seconds": seconds, "samples_in_that_time": round(seconds * rate / _flops(1, widest))},
        "sentences": [sentence(point, machine) for point in points],
        "advice": advice(points, machine, cores=os.cpu_count() or 1, platform=jax.devices()[0].platform),
    }


def sentence(point: Point, machine: Machine) -> str:
    """The verdict on one point."""
    parts = sorted(point.parts(machine).items(), key=lambda part: -part[1])
    spent = ", ".join(f"{share:.0%} {part}" for part, share in parts)
    return (
        f"{point.name} run at {point.share(machine):.0%} of this machine's matrix-product rate,"
        f" bound by {point.bound(machine)} (of the time: {spent})"
    )


def advice(points: Sequence[Point], machine: Machine, *, cores: int, platform: str) -> list[str]:
    """What would make it faster; empty where nothing would.

    Args:
        points: what was timed.
        machine: its limits.
        cores: of the host.
        platform: "cpu", "gpu" or "tpu".
    """
    bounds = {point.bound(machine) for point in points}
    found = []
    if "reading" in bounds:
        found.append("samples come slower than they are used: keep them on a local disk, or store them as float16")
    if "overheads" in bounds and platform == "cpu":
        found.append(
            f"much of the time goes to neither products nor memory: other processes on these {cores} cores, or threads"
            " of BLAS that are too many or too few (OPENBLAS_NUM_THREADS should be the number of free cores), or that"
            " wait in busy loops after each product (OPENBLAS_THREAD_TIMEOUT=4 lets them sleep)"
        )
    elif "overheads" in bounds:
        found.append("much of the time goes to copies and program starts: larger block_rows give the device more to do")
    if "casting and centring" in bounds:
        found.append("casting and centring bound narrow representations: more cores help, a faster BLAS does not")
    if platform != "cpu" and machine.flops["float32"] > 4 * machine.flops["float64"]:
        found.append("float64 is slow on this device: --precision float32 is enough for ridges above about 1e-3")
    elif "products" in bounds and machine.flops["float32"] > 1.5 * machine.flops["float64"]:
        found.append("--precision float32 is faster where products bound, and enough for ridges above about 1e-3")
    return found


def _in_memory(d: int, dtype: str, sizes: Sizes) -> Point:
    """A pass over float32 samples in memory, at widths (d, d)."""
    n = max(4 * d, min(int(sizes.flops / (4 * d * d)), sizes.memory_bytes // (2 * 4 * d)))
    weak, strong = pair(n, d, d)
    seconds = timed(lambda: moments(weak, strong, dtype=dtype), repeats=2).median
    return Point(
        f"moments of ({d}, {d}) in {dtype}",
        dtype,
        seconds,
        _flops(n, d),
        2 * preparing_seconds(weak, dtype, at_least=sizes.at_least / 4),
    )


def _from_disk(sizes: Sizes) -> Point:
    """A pass over float16 samples in memory-mapped files, at the largest width."""
    d = max(sizes.widths)
    n = max(4 * d, sizes.disk_bytes // (2 * 2 * d))
    with tempfile.TemporaryDirectory(prefix="w2sg-bench-") as folder:
        paths = [Path(folder) / name for name in ("weak.npy", "strong.npy")]
        for path, array in zip(paths, pair(n, d, d, "float16"), strict=True):
            np.save(path, array)
        start = time.perf_counter()
        for path in paths:
            path.read_bytes()
        reading = time.perf_counter() - start
        arrays = [np.load(path, mmap_mode="r") for path in paths]
        seconds = timed(lambda: moments(arrays[0], arrays[1]), repeats=1).median
        preparing = 2 * preparing_seconds(arrays[0], "float64", at_least=sizes.at_least / 4)
    return Point(f"moments of ({d}, {d}) from float16 on disk", "float64", seconds, _flops(n, d), preparing, reading)


def _flops(n: int, d: int) -> float:
    return pass_work(n, [d], d, dtype="float64", itemsize=4, symmetric=on_cpu()).flops


def _gap_seconds(d: int, sizes: Sizes) -> float:
    found = moments(*pair(4 * d, d, d))
    return timed(lambda: gap(found), repeats=2).median


def _described(point: Point, machine: Machine) -> dict[str, Any]:
    return asdict(point) | {"share": point.share(machine), "bound": point.bound(machine)}


def _counter(steps: int, progress: Callable[[int, int], None] | None) -> Callable[[], None]:
    """A call for each step done, which tells the caller how many there were."""
    count = 0

    def done() -> None:
        nonlocal count
        count += 1
        if progress is not None:
            progress(count, steps)

    return done
