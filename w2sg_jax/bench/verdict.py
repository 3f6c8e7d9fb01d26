"""What a measured time says: the share of the machine's limit, what bounds it, and what to do about it."""

from collections.abc import Sequence
from dataclasses import dataclass

from .machine import Machine


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
