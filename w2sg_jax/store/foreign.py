"""Arrays of other frameworks, as NumPy arrays: the one place that reads torch, pandas, lists and whatever has DLPack.

What is in the host's memory is shared with its owner where NumPy can, and never changed. A tensor on an accelerator
becomes a JAX array where it is; only this needs JAX, which is not imported before.
"""

from contextlib import suppress
from typing import Any, Protocol, runtime_checkable

import numpy as np

from .._errors import InputError
from .array_files import DTYPE_NAMES

_HOST = (1, 3, 11)
"""DLPack's numbers of the devices whose memory the host reads: the CPU, and memory pinned for CUDA or ROCm."""
_UNREADABLE = (ValueError, TypeError, RuntimeError, BufferError)
"""What frameworks raise for an array that they cannot hand over, each its own."""
_DENSE = ("toarray", "to_dense", "todense")
"""What sparse matrices of SciPy, torch and JAX call their dense copy."""


@runtime_checkable
class SupportsDLPack(Protocol):
    """An array of another framework, such as a torch tensor."""

    def __dlpack__(self, **kwargs: Any) -> Any: ...


def in_memory(x: Any, name: str) -> Any:
    """An array of any framework as a NumPy array; a JAX array, or one on an accelerator, as a JAX array.

    64-bit numbers on an accelerator keep their digits within a scope of 64-bit types alone, which the caller opens.

    Args:
        x: a NumPy, JAX or torch array, whatever else has DLPack or ``__array__``, a pandas Series or DataFrame, or
            nested lists.
        name: the argument's name, for the messages.

    Raises:
        InputError: a sparse matrix, rows of different lengths, missing values of pandas (the first is named), or a
            tensor that cannot be read.
    """
    if isinstance(x, np.ndarray):
        return x
    _refuse_sparse(x, name)
    if isinstance(x, SupportsDLPack):
        return _from_dlpack(x, name)
    array = _from_python(x, name)
    return _from_pandas(x, array, name) if array.dtype.hasobject and hasattr(x, "isna") else array


def as_numpy(x: Any, name: str = "array") -> np.ndarray:
    """An array of any framework as a NumPy array, copied from its accelerator if it is on one.

    Raises:
        InputError: as ``in_memory``; or masked values, or Python objects.
    """
    on_host = x.cpu() if hasattr(x, "__dlpack__") and hasattr(x, "cpu") else x
    data = np.asanyarray(in_memory(on_host, name))
    if isinstance(data, np.ma.MaskedArray):
        if np.ma.is_masked(data):
            raise InputError(
                f"{name}: {np.ma.count_masked(data)} values are masked, which no file keeps;"
                " fill them, for instance array.filled(0), or leave their rows out"
            )
        data = data.data
    if data.dtype.hasobject:
        first = next((value for value in data.flat), None)
        raise InputError(
            f"{name}: an array of Python objects, the first is {type(first).__name__} {str(first)[:40]};"
            f" pass numbers, {DTYPE_NAMES}"
        )
    return data


def native(array: np.ndarray) -> np.ndarray:
    """An array in the byte order of this machine."""
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _from_dlpack(x: Any, name: str) -> Any:
    import jax

    if isinstance(x, jax.Array):
        return x
    try:
        tensor = x.detach() if hasattr(x, "detach") else x
        return _read_on_host(tensor) if tensor.__dlpack_device__()[0] in _HOST else _read_by_jax(tensor)
    except Exception as error:
        raise InputError(
            f"{name}: {type(x).__module__}.{type(x).__name__} could not be read through DLPack ({error});"
            " pass a dense tensor, moved to the CPU if JAX has no device of its kind (x.cpu())"
        ) from error


def _read_on_host(tensor: Any) -> np.ndarray:
    """A tensor as a NumPy array; JAX reads the types that NumPy has not, as bfloat16."""
    with suppress(*_UNREADABLE):
        return np.from_dlpack(tensor)
    if hasattr(tensor, "__array__"):
        with suppress(*_UNREADABLE):
            return np.asarray(tensor)
    return np.asarray(_read_by_jax(tensor))


def _read_by_jax(tensor: Any) -> Any:
    """A tensor as a JAX array on its device; TypeError where 64-bit types are off and digits would be lost."""
    import jax.numpy as jnp

    array = jnp.from_dlpack(tensor.contiguous() if hasattr(tensor, "contiguous") else tensor)
    if str(getattr(tensor, "dtype", "")).endswith("64") and array.dtype.itemsize < 8:
        raise TypeError(f"{tensor.dtype} would become {array.dtype}")
    return array


def _from_python(x: Any, name: str) -> np.ndarray:
    try:
        return np.asarray(x)
    except ValueError as error:
        raise InputError(f"{name}: not an array: its rows differ in length ({error})") from error
    except (TypeError, RuntimeError) as error:
        raise InputError(f"{name}: not an array ({error}); pass one NumPy array") from error


def _from_pandas(x: Any, objects: np.ndarray, name: str) -> np.ndarray:
    """Numbers of pandas' nullable types, which NumPy sees as objects; `objects` themselves for any other type.

    Raises:
        InputError: a value is missing.
    """
    kinds = [getattr(kind, "numpy_dtype", kind) for kind in (x.dtypes if objects.ndim == 2 else [x.dtype])]
    if not all(isinstance(kind, np.dtype) and kind.kind in "biuf" for kind in kinds):
        return objects
    missing = np.asarray(x.isna())
    if missing.any():
        row, *column = (int(index) for index in np.argwhere(missing)[0])
        where = f"row {row}, column {x.columns[column[0]]!r}" if column else f"row {row}"
        raise InputError(
            f"{name}: a value is missing at {where} (the first of {int(missing.sum())}); remove or repair those samples"
            " in every array alike"
        )
    return x.to_numpy(dtype=np.result_type(*kinds))


def _refuse_sparse(x: Any, name: str) -> None:
    """Refuse a sparse matrix (InputError): torch's are told by their layout, others by the module of their type."""
    kind = type(x)
    by_module = "sparse" in kind.__module__ and not hasattr(x, "isna")  # pandas' sparse columns NumPy can read
    if by_module or "sparse" in str(getattr(x, "layout", "")):
        dense = next((f"x.{method}()" for method in _DENSE if hasattr(x, method)), "a dense array")
        raise InputError(f"{name}: a sparse matrix ({kind.__module__}.{kind.__name__}); pass {dense}")
