"""What comes in: arrays of any framework are checked once, here, and every refusal says what to do."""

import reprlib
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from numpy.typing import ArrayLike

from .._errors import InputError
from ..store.foreign import SupportsDLPack, in_memory
from ..store.shards import Shards, unmapped

MOST_CONFIDENCE = 1 - 1e-12
"""More is not told from 1 by what is left of it on either side."""
MAX_EXACT_INTEGER = 2**53
BLOCK_ROWS = 4096
"""Rows that are looked at together."""

ArrayInput = ArrayLike | SupportsDLPack | Shards
"""What public functions take: not checked yet."""
Array = np.ndarray | jax.Array | Shards
"""What checks return: real numbers, in memory, on an accelerator or on disk."""
InMemory = np.ndarray | jax.Array


def as_samples(x: ArrayInput, name: str) -> Array:
    """Check a representation matrix ``(n, d)``, one sample a row, without copying or converting it.

    Args:
        x: a NumPy, JAX or torch array, a pandas DataFrame, whatever else has DLPack, or nested lists; real numbers of
            any width.
        name: the argument's name, for the messages.

    Raises:
        InputError: not two-dimensional, empty, or not real numbers.
    """
    array = _as_array(x, name)
    if array.ndim != 2:
        hint = " (one feature? pass x.reshape(-1, 1))" if array.ndim == 1 else ""
        raise InputError(
            f"{name}: expected a matrix (n samples, d features), got an array of shape {array.shape}{hint}"
        )
    _refuse_empty(array, name)
    return array


def as_labels(y: ArrayInput, n: int, name: str = "labels") -> InMemory:
    """Check labels ``(n,)`` or ``(n, c)`` against the number of samples and return them as ``(n, c)``."""
    array = _labels_in_memory(unmapped(y), name)
    if array.ndim not in (1, 2):
        raise InputError(f"{name}: expected labels of shape (n,) or (n, columns), got {array.shape}")
    _refuse_empty(array, name)
    if array.shape[0] != n:
        raise InputError(
            f"{name}{_origin(unmapped(y))}: {array.shape[0]} labels for {n} samples; pass one label a row of the"
            " representations"
        )
    return array.reshape(n, -1)


def same_rows(arrays: Sequence[Array], names: Sequence[str]) -> int:
    """Return the common number of rows, or say which argument differs."""
    n = arrays[0].shape[0]
    for array, name in zip(arrays[1:], names[1:], strict=True):
        if array.shape[0] != n:
            raise InputError(
                f"{names[0]}{_origin(arrays[0])} has {n} rows and {name}{_origin(array)} has {array.shape[0]}; both"
                " must hold the same samples in the same order"
            )
    return n


def at_least_two(n: int, name: str) -> None:
    """Refuse a single sample: centring would leave nothing."""
    if n < 2:
        raise InputError(f"{name}: got {n} sample; centring needs at least 2 (pass more rows, or do not centre)")


def as_ridge(ridge: Any, name: str = "ridge") -> tuple[float, float]:
    """Return the (weak, strong) pair of a number or a pair, finite and not negative."""
    return _as_pair(ridge, name, "a ridge is what is added to K/n: pass a finite number >= 0")


def as_ridges(ridges: Any, name: str = "ridges") -> list[float]:
    """Return a path of ridges, each one number."""
    found = []
    for ridge in as_sequence(ridges, name):
        weak, _ = as_ridge(ridge, name)
        if np.ndim(ridge) > 0:
            raise InputError(f"{name}: got {ridge!r} among them; one head takes one number, not a pair")
        found.append(weak)
    return found


def as_sequence(values: Any, name: str) -> list[Any]:
    """Return a non-empty list of what was passed as a list, tuple or array."""
    if isinstance(values, str | bytes) or not hasattr(values, "__len__") or not hasattr(values, "__iter__"):
        raise InputError(f"{name}: got {reprlib.repr(values)}; pass a list, also for a single one")
    if len(values) == 0:
        raise InputError(f"{name}: empty; pass at least one")
    return list(values)


def as_count(value: Any, name: str, least: int) -> int:
    """Return a whole number that is at least ``least``."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise InputError(f"{name}: got {reprlib.repr(value)}; expected a whole number, {least} or more")
    return int(value)


def as_threshold(threshold: Any) -> tuple[float, float]:
    """Return the (weak, strong) pair of a number or a pair in [0, 1]."""
    pair = _as_pair(threshold, "threshold", "a threshold is a share of the largest eigenvalue, in [0, 1]")
    if max(pair) > 1:
        raise InputError(
            f"threshold: got {threshold!r}; it is a share of the largest eigenvalue, in [0, 1] (0 keeps all)"
        )
    return pair


def as_confidence(value: Any) -> float:
    """Return a share in (0, 1)."""
    if not isinstance(value, float | np.floating) or not 0 < float(value) <= MOST_CONFIDENCE:
        raise InputError(f"confidence: got {value!r}; expected a share in (0, 1), such as 0.95")
    return float(value)


def as_groups(groups: ArrayLike | None, n: int, name: str) -> np.ndarray | None:
    """Check which samples belong together, by names or numbers, and return groups counted from 0; None for none."""
    if groups is None:
        return None
    found = np.asarray(groups)
    if found.ndim == 2 and found.shape[1] == 1:
        found = found[:, 0]
    if found.ndim != 1 or len(found) != n:
        raise InputError(f"{name}: got shape {found.shape}; expected one name or number for each of {n} samples")
    if found.dtype.kind == "f" and np.isnan(found).any():
        raise InputError(f"{name}: NaN at row {int(np.flatnonzero(np.isnan(found))[0])}; give every sample a group")
    if found.dtype.kind not in "biufUS" and not all(isinstance(each, str) for each in found):
        kinds = ", ".join(sorted({type(each).__name__ for each in found.tolist()}))
        raise InputError(f"{name}: expected strings or numbers alone, got {kinds}")
    group = np.unique(found, return_inverse=True)[1]
    if group.max() == 0:
        raise InputError(f"{name}: all samples are of one group; how values vary shows from two or more")
    return group


def check_option(value: Any, name: str, allowed: Sequence[Any]) -> None:
    """Refuse a word, or a truth value, that is not one of the allowed ones."""
    if not any(value is option or (isinstance(value, str) and value == option) for option in allowed):
        raise InputError(f"{name}: got {reprlib.repr(value)}, expected one of {', '.join(map(repr, allowed))}")


def refuse_non_finite(array: Array, name: str) -> None:
    """Name the first NaN or Inf by row and column."""
    for start in range(0, array.shape[0], BLOCK_ROWS):
        block = _fetched(array, start, start + BLOCK_ROWS).astype(np.float64)
        block = block.reshape(len(block), -1)
        bad = ~np.isfinite(block)
        if bad.any():
            row, column = np.argwhere(bad)[0]
            value = block[row, column]
            where = f" ({array.locate(int(start + row))})" if isinstance(array, Shards) else ""
            raise InputError(
                f"{name}: {value} at row {start + row}{where}, column {column} (the first of {int(bad.sum())} in that"
                " block);"
                " remove or repair those samples in every array alike"
            )


def refuse_overflow(name: str) -> None:
    """Say that finite values have squares that are not."""
    raise InputError(
        f"{name}: the values are finite but their squares overflow; divide it by a constant (where scale='trace' that"
        " leaves the result as it is)"
    )


def _as_array(x: Any, name: str) -> Array:
    x = unmapped(x)
    if not isinstance(x, Shards):
        return as_array(x, name)
    _refuse_wrong_numbers(x, name)
    return x


def _labels_in_memory(y: Any, name: str) -> InMemory:
    array = as_array(np.asarray(y) if isinstance(y, Shards) else y, name)
    if isinstance(y, Shards) and not np.isfinite(array.astype(np.float64)).all():
        refuse_non_finite(y, name)
    return array


def _origin(array: Any) -> str:
    """The file or folder that an array is read from, in brackets."""
    return f" ({array.path})" if isinstance(array, Shards) else ""


def as_array(x: Any, name: str) -> InMemory:
    """An array of real numbers in memory, of any framework and any shape (InputError)."""
    if isinstance(x, Tracer):
        raise InputError(
            f"{name} is being traced by jit, vmap or grad; this function chooses precision and device itself."
            " Inside a transformation call w2sg_jax.gap_norm or w2sg_jax.predicted_gap"
        )
    if isinstance(x, np.ma.MaskedArray):
        raise InputError(f"{name}: masked arrays are not supported; drop the masked rows in every array alike")
    with jax.enable_x64(True):  # 64-bit tensors of an accelerator keep their digits
        array = in_memory(x, name)
    _refuse_wrong_numbers(array, name)
    return array


def _refuse_wrong_numbers(x: Array, name: str) -> None:
    dtype = x.dtype
    if jnp.issubdtype(dtype, jnp.complexfloating):
        raise InputError(f"{name}: complex numbers ({dtype}); pass real features, for example real and imaginary parts")
    if dtype.kind in "OSUMm" or jnp.issubdtype(dtype, jax.dtypes.prng_key):
        raise InputError(f"{name}: expected numbers, got an array of dtype {dtype}; encode them as numbers first")
    if dtype.kind == "f" and dtype.itemsize > 8:
        raise InputError(f"{name}: {dtype} would lose digits; pass x.astype('float64')")
    if dtype.kind in "iu" and dtype.itemsize == 8 and 0 not in x.shape:
        largest = max(abs(int(extreme)) for extreme in _extremes(x))
        if largest > MAX_EXACT_INTEGER:
            raise InputError(
                f"{name}: integers up to {largest} overflow float64 (2**53); identifiers do not belong in this array"
            )
    if dtype.kind not in "biuf" and not jnp.issubdtype(dtype, jnp.floating):
        raise InputError(f"{name}: expected real numbers, got dtype {dtype}")


def _extremes(x: Array) -> Iterator[Any]:
    """Largest and smallest values, of each block where they are on disk, and on its device where that is one of JAX."""
    if isinstance(x, jax.Array):
        with jax.enable_x64(True):  # else JAX warns that it would shorten 64-bit integers
            yield from jax.device_get(_extremes_on_device(x))
        return
    step = BLOCK_ROWS if isinstance(x, Shards) else x.size
    for start in range(0, x.shape[0] if x.ndim else 1, step):
        block: Any = x[start : start + step] if x.ndim else x
        yield from (block.max(), block.min())


@jax.jit
def _extremes_on_device(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    return x.max(), x.min()


def _fetched(array: Array, start: int, stop: int) -> np.ndarray:
    """Rows on the host; of a JAX array by a static slice, so that no index travels to its device."""
    if isinstance(array, jax.Array):
        return jax.device_get(jax.lax.slice_in_dim(array, start, min(stop, array.shape[0])))
    return np.asarray(array[start:stop])


def _refuse_empty(array: Array, name: str) -> None:
    if 0 in array.shape:
        raise InputError(f"{name}: empty, shape {array.shape}; at least one sample and one column are needed")


def _as_pair(value: Any, name: str, advice: str) -> tuple[float, float]:
    several = isinstance(value, tuple | list | np.ndarray) and np.ndim(value) == 1
    pair: tuple[Any, ...] = tuple(value) if several else (value, value)
    if len(pair) != 2:
        raise InputError(f"{name}: got {len(pair)} values; pass one number or a (weak, strong) pair")
    weak, strong = (_as_number(v, name, advice) for v in pair)
    if not (np.isfinite(weak) and np.isfinite(strong)) or min(weak, strong) < 0:
        raise InputError(f"{name}: got {value!r}; {advice}")
    return weak, strong


def _as_number(value: Any, name: str, advice: str) -> float:
    try:
        if isinstance(value, str | bytes | bool | np.bool_):
            raise TypeError
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{name}: got {reprlib.repr(value)}; {advice}") from None
