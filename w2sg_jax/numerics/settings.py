"""Which settings of JAX and NumPy a computation runs under, whatever the caller has switched on."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jax
import numpy as np


@contextmanager
def own_settings() -> Iterator[None]:
    """The settings that the package is written for, NumPy's and JAX's defaults, where the caller has stricter ones.

    Also a decorator, ``@own_settings()``, of what users call. Steps that cannot spell out what they promote and move
    need it most: those of Flax and Optax, and eager operations on few numbers, whose scalars JAX itself puts on the
    device.
    """
    with (
        np.errstate(divide="warn", over="warn", under="ignore", invalid="warn"),
        jax.numpy_rank_promotion("allow"),
        jax.numpy_dtype_promotion("standard"),
        jax.transfer_guard("allow"),
    ):
        yield


@contextmanager
def wide_types() -> Iterator[None]:
    """64-bit types, which JAX has switched off by default, under our own settings; devices stay as they are."""
    with own_settings(), jax.enable_x64(True):
        yield


def rows_of(array: Any, rows: slice) -> Any:
    """``array[rows]`` of a NumPy array, of one on a device (where the rows stay) or of one on disk.

    In the machine's own order of bytes, which JAX needs.
    """
    with jax.transfer_guard("allow"):  # the bounds of the slice go to the device, no samples
        found = array[rows]
    if isinstance(found, np.ndarray) and not found.dtype.isnative:
        return found.astype(found.dtype.newbyteorder("="))
    return found
