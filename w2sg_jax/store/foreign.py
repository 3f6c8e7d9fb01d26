from typing import Any, Protocol, runtime_checkable

import jax.numpy as jnp
import numpy as np

from .._errors import InputError
from . import array_files


@runtime_checkable
class SupportsDLPack(Protocol):
    """An array of another framework, such as a torch tensor."""

    def __dlpack__(self, **kwargs: Any) -> Any: ...


def _from_python(x: Any, name: str) -> np.ndarray:
    try:
        return np.asarray(x)
    except ValueError as error:
        raise InputError(f"{name}: not an array: its rows differ in length ({error})") from error


def _as_numpy(array: object) -> np.ndarray:
    data = _converted(array)
    if isinstance(data, np.ma.MaskedArray):
        if np.ma.is_masked(data):
            raise InputError(
                f"array: {np.ma.count_masked(data)} values are masked, which no file keeps;"
                " fill them, for instance array.filled(0), or leave their rows out"
            )
        data = data.data
    if data.dtype.hasobject:
        first = next((value for value in data.flat), None)
        raise InputError(
            f"array: an array of Python objects, the first is {type(first).__name__} {str(first)[:40]};"
            f" pass numbers, {array_files.DTYPE_NAMES}"
        )
    return data


def _converted(array: object) -> np.ndarray:
    if isinstance(array, np.ndarray):
        return array
    if not isinstance(array, SupportsDLPack):
        try:
            return np.asarray(array)
        except (ValueError, TypeError) as error:
            raise InputError(f"array: not an array ({error}); pass rows of equal length") from error
    try:
        if hasattr(array, "__array__"):
            return np.asarray(array)
        return np.from_dlpack(array)
    except (ValueError, TypeError, RuntimeError, BufferError):
        return _from_dlpack(array)


def _from_dlpack(array: SupportsDLPack) -> np.ndarray:
    """What NumPy does not know, as bfloat16; JAX does."""

    try:
        return np.asarray(jnp.from_dlpack(array))
    except (ValueError, TypeError, RuntimeError, BufferError) as error:
        raise InputError(f"array: DLPack cannot read it ({error}); pass a NumPy array") from error


def _native(array: np.ndarray) -> np.ndarray:
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))
