"""Representations on disk: safetensors, npy and npz, told apart by suffix and checked against the content.

Nothing is unpickled, nothing is written in place, and what a file does not say about itself is an error.
"""

import difflib
import hashlib
import json
import math
import os
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, NamedTuple

import ml_dtypes
import numpy as np
from jaxtyping import Shaped
from numpy.typing import ArrayLike

from ._errors import InputError
from .atomic import check_folder, replacing

SUFFIXES = (".safetensors", ".npy", ".npz")

_SAFETENSORS_DTYPES = {
    "BOOL": np.dtype(np.bool_),
    "I8": np.dtype(np.int8),
    "I16": np.dtype(np.int16),
    "I32": np.dtype(np.int32),
    "I64": np.dtype(np.int64),
    "U8": np.dtype(np.uint8),
    "U16": np.dtype(np.uint16),
    "U32": np.dtype(np.uint32),
    "U64": np.dtype(np.uint64),
    "BF16": np.dtype(ml_dtypes.bfloat16),
    "F16": np.dtype(np.float16),
    "F32": np.dtype(np.float32),
    "F64": np.dtype(np.float64),
}
_DTYPES = frozenset(_SAFETENSORS_DTYPES.values())
_DTYPE_NAMES = "bfloat16, float16, float32, float64, an integer type or bool"
_HASH_BLOCK = 1 << 26  # bytes copied at once when the array is not contiguous


class _Entry(NamedTuple):
    """Where one array lies in a file."""

    dtype: np.dtype
    shape: tuple[int, ...]
    offset: int
    order: Literal["C", "F"] = "C"

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def load(path: str | os.PathLike[str], *, key: str | None = None, mmap: bool = True) -> Shaped[np.ndarray, "..."]:
    """Reads one array of representations or labels from a .safetensors, .npy or .npz file.

    Args:
        path: the file; its suffix says the format, and the content is checked against it.
        key: the array's name in a .safetensors or .npz file; may be left out when the file holds one array.
        mmap: leave the data on disk and map it read-only, so that memory is used only for the rows that are
            looked at. A .npz file is a zip archive and is always read whole.

    Returns:
        The array as it was stored: bfloat16, float16, float32, float64, an integer type or bool.

    Raises:
        FileNotFoundError: there is no such file.
        InputError: the path is a folder or has another suffix; the file is empty, truncated, not what its
            suffix says, or holds pickled objects or another type; the key is missing, unknown or of no use.
            The message names the file and says what to do.

    Cost: with `mmap`, the header alone; otherwise one read of the array.
    """
    path = Path(path)
    _check_file(path)
    if path.suffix == ".npz":
        return _load_npz(path, key)
    if path.suffix == ".npy":
        if key is not None:
            raise _refusal(path, f"a .npy file holds one array without a name, but key={key!r} was given", "drop it")
        entry = _npy_entry(path)
    else:
        entry = _safetensors_entry(path, key)
    return _read(path, entry, mmap)


def save(path: str | os.PathLike[str], array: ArrayLike, *, key: str = "array") -> None:
    """Writes one array to a .safetensors, .npy or .npz file, whole or not at all.

    The data goes to a temporary name in the same folder, is flushed to disk and then renamed, so that an
    interrupted call leaves what was there before.

    Args:
        path: the file; its suffix chooses the format. An existing file is replaced, its folder must exist.
        array: bfloat16 (.safetensors only), float16, float32, float64, integers or bool, of any shape; NumPy,
            or anything that NumPy or DLPack can read.
        key: the array's name in a .safetensors or .npz file.

    Raises:
        FileNotFoundError: the folder does not exist.
        InputError: another suffix, a folder, or a type that the format cannot hold.
    """
    path = Path(path)
    check_target(path)
    data = _native(_as_numpy(array))
    _check_dtype(path, data.dtype)
    if path.suffix != ".safetensors" and data.dtype == ml_dtypes.bfloat16:
        raise _refusal(path, f"a {path.suffix} file cannot hold bfloat16", "save it as .safetensors, or as float32")
    with replacing(path) as temporary:
        if path.suffix == ".safetensors":
            from safetensors.numpy import save_file

            save_file({key: data if data.flags.c_contiguous else data.copy(order="C")}, temporary)
            return
        with open(temporary, "wb") as file:
            if path.suffix == ".npy":
                np.save(file, data, allow_pickle=False)
            else:
                with (
                    zipfile.ZipFile(file, "w") as archive,
                    archive.open(f"{key}.npy", "w", force_zip64=True) as member,
                ):
                    np.lib.format.write_array(member, data, allow_pickle=False)


def check_target(path: str | os.PathLike[str]) -> None:
    """Refuses a name that `save` could not write to, before any work is done for it.

    Raises:
        FileNotFoundError: the folder does not exist.
        InputError: another suffix, or a folder.
    """
    path = Path(path)
    _check_suffix(path)
    if path.is_dir():
        raise _refusal(path, "this is a folder", "give the name of a file in it")
    check_folder(path)


def content_hash(array: ArrayLike) -> str:
    """The SHA-256 of an array's type, shape and values, as 64 hexadecimal digits.

    It does not depend on the memory layout, the byte order or the file that the array came from.

    Args:
        array: any numeric array, of any shape; a memory-mapped one is read in blocks of 64 MiB.

    Cost: one pass over the array, no copy when it is contiguous.
    """
    data = _native(_as_numpy(array))
    digest = hashlib.sha256(f"{data.dtype.name} {list(data.shape)}\n".encode())
    rows = data.reshape(1) if data.ndim == 0 else data
    step = max(1, _HASH_BLOCK * len(rows) // max(1, rows.nbytes))
    for start in range(0, len(rows), step):
        block = np.ascontiguousarray(rows[start : start + step]).reshape(-1)
        digest.update(block.view(np.uint8).data)
    return digest.hexdigest()


def split_location(text: str) -> tuple[str, str | None]:
    """Splits `FILE::name` into the file and the name of an array in it; `FILE` alone gives None.

    Raises:
        InputError: one side of `::` is empty.
    """
    path, colons, key = text.rpartition("::")
    if not colons:
        return text, None
    if not path or not key:
        raise InputError(f"{text!r}: expected FILE or FILE::name, with something on both sides of '::'")
    return path, key


def _refusal(path: Path, came: str, todo: str) -> InputError:
    return InputError(f"{path}: {came}; {todo}")


def _check_suffix(path: Path) -> None:
    if path.suffix not in SUFFIXES:
        raise _refusal(
            path,
            f"the suffix {path.suffix!r} says no known format" if path.suffix else "the name has no suffix",
            f"use one of {', '.join(SUFFIXES)}",
        )


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise _refusal(path, "this is a folder", "give one file in it")
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no such file{_nearest(path)}")
    _check_suffix(path)
    if path.stat().st_size == 0:
        raise _refusal(path, "the file is empty (0 bytes)", "write it again")


def _nearest(path: Path) -> str:
    if not path.parent.is_dir():
        return f"; the folder {path.parent} does not exist either"
    names = [p.name for p in path.parent.iterdir() if p.suffix in SUFFIXES]
    close = difflib.get_close_matches(path.name, names, n=1)
    return f"; did you mean {path.with_name(close[0])}?" if close else "; check the path"


def _check_dtype(path: Path, dtype: np.dtype, name: str = "") -> None:
    if dtype in _DTYPES:
        return
    what = f"the array {name!r}" if name else "the array"
    if dtype.hasobject:
        raise _refusal(
            path,
            f"{what} holds pickled Python objects, which are never loaded",
            f"store it as {_DTYPE_NAMES}",
        )
    hint = " (an .npy file cannot hold bfloat16: use .safetensors)" if dtype == np.dtype("V2") else ""
    raise _refusal(path, f"{what} has the type {dtype}{hint}", f"expected {_DTYPE_NAMES}")


def _choose(path: Path, names: Iterable[str], key: str | None) -> str:
    names = sorted(names)
    listed = ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
    if not names:
        raise _refusal(path, "the file holds no array", "write it again")
    if key is None and len(names) > 1:
        raise _refusal(
            path,
            f"the file holds {len(names)} arrays ({listed})",
            f"pass one of them, key={names[0]!r} in Python or {path}::{names[0]} on the command line",
        )
    if key is not None and key not in names:
        raise _refusal(path, f"the file holds no array {key!r}", f"it holds {listed}")
    return names[0] if key is None else key


def _npy_entry(path: Path) -> _Entry:
    """Reads the header of a .npy file; np.load would also accept a zip archive under this name."""
    with open(path, "rb") as file:
        if file.read(6) != b"\x93NUMPY":
            raise _refusal(path, "the content is not a .npy file", "write it with numpy.save or w2sg_jax.save")
        file.seek(0)
        try:
            version = np.lib.format.read_magic(file)
            reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            shape, fortran, dtype = reader(file)
        except (ValueError, EOFError) as error:
            raise _refusal(path, "the header of this .npy file is damaged", "write it again") from error
        offset = file.tell()
    _check_dtype(path, dtype if dtype.hasobject else dtype.newbyteorder("="))
    entry = _Entry(dtype, shape, offset, "F" if fortran else "C")
    size = path.stat().st_size
    if size < offset + entry.nbytes:
        raise _truncated(path, f"{entry.nbytes} bytes of data announced, {size - offset} found")
    if size > offset + entry.nbytes:
        raise _refusal(
            path,
            f"{size - offset - entry.nbytes} bytes follow the array",
            "write one array to a .npy file, or several to a .npz file",
        )
    return entry


def _truncated(path: Path, detail: str) -> InputError:
    return _refusal(path, f"the file is truncated or damaged ({detail})", "write or copy it again")


def _safetensors_entry(path: Path, key: str | None) -> _Entry:
    """Checks the file with the safetensors library, then finds the array so that it can be mapped."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            name = _choose(path, file.keys(), key)
            code, shape = file.get_slice(name).get_dtype(), file.get_slice(name).get_shape()
    except SafetensorError as error:
        raise _truncated(path, f"the safetensors library says: {error}") from error
    if code not in _SAFETENSORS_DTYPES:
        raise _refusal(path, f"the array {name!r} has the type {code}", f"expected {_DTYPE_NAMES}")
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    return _Entry(_SAFETENSORS_DTYPES[code], tuple(shape), 8 + length + header[name]["data_offsets"][0])


def _load_npz(path: Path, key: str | None) -> Shaped[np.ndarray, "..."]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = [name.removesuffix(".npy") for name in archive.namelist()]
    except zipfile.BadZipFile as error:
        raise _truncated(path, f"not a whole .npz archive: {error}") from error
    name = _choose(path, members, key)
    try:
        with np.load(path, allow_pickle=False) as arrays:
            data = arrays[name]
    except (zipfile.BadZipFile, zlib.error, EOFError, ValueError) as error:
        if "allow_pickle" in str(error):
            _check_dtype(path, np.dtype(object), name)
        raise _truncated(path, f"the array {name!r} cannot be read: {error}") from error
    if not isinstance(data, np.ndarray):
        raise _refusal(path, f"the member {name!r} is not an array", "write the archive with numpy.savez")
    data = _native(data)
    _check_dtype(path, data.dtype, name)
    return data


def _read(path: Path, entry: _Entry, mmap: bool) -> Shaped[np.ndarray, "..."]:
    if mmap and entry.nbytes:
        mapped = np.memmap(path, entry.dtype, "r", entry.offset, entry.shape, order=entry.order)
        return _native(mapped.view(np.ndarray))
    data = np.fromfile(path, entry.dtype, math.prod(entry.shape), offset=entry.offset)
    return _native(data.reshape(entry.shape, order=entry.order))


def _as_numpy(array: ArrayLike) -> np.ndarray:
    if isinstance(array, np.ndarray):
        return array
    try:
        return np.asarray(array)
    except ValueError as error:
        raise InputError(f"array: not an array ({error}); pass rows of equal length") from error
    except TypeError:  # a framework whose bfloat16 NumPy does not know; DLPack carries it
        import jax.numpy as jnp

        return np.asarray(jnp.from_dlpack(array))


def _native(array: np.ndarray) -> np.ndarray:
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))
