"""Which precision and which device: float64 where it is fast, else pinned float32 products and the host's float64."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import jax
from jax.sharding import Mesh

from .checks import check_option

FAST_FLOAT64 = re.compile(r"\b(P100|V100|A100|A800|A30|H100|H800|H200|GH200|B100|B200|GB200|MI\d{2,3}\w?)\b")
"""Accelerators whose float64 products run at a half of their float32 rate or more, by their names."""


def product_dtype(dtype: str | None, mesh: Mesh | None) -> str:
    """The precision of products over samples: the one asked for, or that of the devices which compute them.

    Args:
        dtype: "float64", "float32", or None: float64 on CPUs and on accelerators that have it at speed, else float32
            (products pinned to full float32, a block at a time, their sums in float64).
        mesh: the devices; None for the first one.

    Raises:
        InputError: another word.
    """
    if dtype is None:
        devices = jax.devices()[:1] if mesh is None else mesh.devices.flat
        return "float64" if all(fast_float64(device) for device in devices) else "float32"
    check_option(dtype, "dtype", ("float64", "float32"))
    return dtype


def fast_float64(device: Any) -> bool:
    """Whether a device has float64 at speed."""
    return device.platform == "cpu" or FAST_FLOAT64.search(device.device_kind) is not None


def on_cpu() -> bool:
    """Whether JAX's default device is a CPU."""
    return jax.default_backend() == "cpu"


def on_host() -> bool:
    """Whether the host's BLAS and LAPACK do the dense float64 work: on a CPU, or beside a slow accelerator."""
    return on_cpu() or not fast_float64(jax.devices()[0])


@contextmanager
def wide_types() -> Iterator[None]:
    """64-bit types, whatever the user's setting; devices stay as they are."""
    with jax.enable_x64(True):
        yield


@contextmanager
def float64() -> Iterator[None]:
    """64-bit types, and computations on the default device, or on the CPU where that one has no fast float64."""
    device = None if fast_float64(jax.devices()[0]) else jax.local_devices(backend="cpu")[0]
    with jax.enable_x64(True), jax.default_device(device):
        yield


MOST_PROGRAMS = 8
"""Widths up to this number keep their own programs; padding costs time in every run, a program only once."""


def padded_widths(widths: Iterable[int]) -> dict[int, int]:
    """Which width each one is padded to: itself while they are few, else the next of 1, 2, 3, 4, 6, 8, 12, 16, 24, ...

    A column of zeros is a direction without variance: it is never kept, and changes nothing else.
    """
    distinct = set(widths)
    if len(distinct) <= MOST_PROGRAMS:
        return {width: width for width in distinct}
    return {width: bucket(width) for width in distinct}


def bucket(width: int) -> int:
    """The next of 1, 2, 3, 4, 6, 8, 12, 16, 24, ..."""
    power = 1 << (width - 1).bit_length()
    between = 3 * power // 4
    return between if width <= between and power >= 4 else power
