"""Which settings of JAX a computation runs under, whatever the caller has switched on."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jax


@contextmanager
def wide_types() -> Iterator[None]:
    """64-bit types, which JAX has switched off by default."""
    with jax.enable_x64(True):
        yield


@contextmanager
def lenient() -> Iterator[None]:
    """JAX's default rules of promotion and of transfers, where the caller has switched on stricter ones.

    For steps that cannot spell out what they promote and move: those of Flax and Optax, and eager operations on few
    numbers (a random key, the bounds of a slice), whose scalars JAX itself puts on the device. Also a decorator.
    """
    with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"), jax.transfer_guard("allow"):
        yield


def rows_of(array: Any, rows: slice) -> Any:
    """``array[rows]`` of a NumPy array, of one on a device (where the rows stay) or of one on disk."""
    with jax.transfer_guard("allow"):  # the bounds of the slice go to the device, no samples
        return array[rows]
