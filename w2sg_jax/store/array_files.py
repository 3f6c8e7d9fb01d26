"""Where an array lies in a safetensors, npy or npz file: reads headers, and lets no damage in them through."""

import difflib
import errno
import json
import lzma
import math
import os
import stat
import tokenize
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple

import ml_dtypes
import numpy as np
from jaxtyping import Shaped

from .._errors import InputError

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
DTYPE_NAMES = "bfloat16, float16, float32, float64, an integer type or bool"
_LARGEST = np.iinfo(np.intp).max
_DAMAGE = (
    ValueError,
    TypeError,
    SyntaxError,
    tokenize.TokenError,
    EOFError,
    OverflowError,
    RuntimeError,  # an encrypted member; NotImplementedError, an unknown compression, is one too
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)
"""What NumPy and zipfile raise for files that are damaged or are not what they say."""
_KINDS = {
    stat.S_IFIFO: "a FIFO (named pipe)",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
}


LFS = b"version https://git-lfs"
"""What the small files begin with that stand for large ones in a checkout without Git LFS."""


class Entry(NamedTuple):
    """Where one array lies in a file."""

    dtype: np.dtype
    shape: tuple[int, ...]
    offset: int
    order: Literal["C", "F"] = "C"

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


class Stamp(NamedTuple):
    """What tells one state of a file from another."""

    size: int
    modified: int


class Mapped(np.memmap):
    """An array in a file, mapped read-only, that knows what was mapped."""

    path: Path
    entry: Entry
    stamp: Stamp


def stamp_of(path: Path) -> Stamp:
    """The present state of a file."""
    found = path.stat()
    return Stamp(found.st_size, found.st_mtime_ns)


def refusal(path: Path, came: str, todo: str) -> InputError:
    """The error that names a file, what is wrong with it and what to do."""
    return InputError(f"{path}: {came}; {todo}")


def as_path(path: object) -> Path:
    """The name of a file as a Path.

    Raises:
        InputError: it is no name at all, is empty, or has a NUL character.
    """
    if not isinstance(path, str | bytes | os.PathLike):
        raise InputError(f"path: expected the name of a file, got {type(path).__name__}; pass a str or a Path")
    text = os.fsdecode(path)
    if not text:
        raise InputError("path: the name is empty; pass the name of a file")
    if "\0" in text:
        raise InputError(f"path: {text!r} has a NUL character, which no file name can have; check the name")
    return Path(text)


def kind(path: Path) -> str | None:
    """What a file is that is not a regular one, or None."""
    mode = path.stat().st_mode
    return None if stat.S_ISREG(mode) else _KINDS.get(stat.S_IFMT(mode), "not a regular file")


def check_dtype(path: Path, dtype: np.dtype, name: str = "") -> None:
    """Refuses a type that is none of a representation (InputError)."""
    if dtype in _DTYPES:
        return
    what = f"the array {name!r}" if name else "the array"
    if dtype.hasobject:
        raise refusal(
            path,
            f"{what} holds pickled Python objects, which are never loaded",
            f"store it as {DTYPE_NAMES}",
        )
    hint = " (an .npy file cannot hold bfloat16: use .safetensors)" if dtype == np.dtype("V2") else ""
    raise refusal(path, f"{what} has the type {dtype}{hint}", f"expected {DTYPE_NAMES}")


def npy_entry(path: Path) -> Entry:
    """Reads the header of a .npy file; np.load would also accept a zip archive under this name."""
    with open(path, "rb") as file:
        if file.read(6) != b"\x93NUMPY":
            raise refusal(path, "the content is not a .npy file", "write it with numpy.save or w2sg_jax.save")
        file.seek(0)
        try:
            entry = _npy_header(file)
        except _DAMAGE as error:
            raise refusal(path, "the header of this .npy file is damaged", "write it again") from error
    check_dtype(path, _native_type(entry.dtype))
    size = path.stat().st_size
    if size < entry.offset + entry.nbytes:
        raise _truncated(path, f"{entry.nbytes} bytes of data announced, {size - entry.offset} found")
    if size > entry.offset + entry.nbytes:
        raise refusal(
            path,
            f"{size - entry.offset - entry.nbytes} bytes follow the array",
            "write one array to a .npy file, or several to a .npz file",
        )
    return entry


def safetensors_entry(path: Path, key: str | None) -> Entry:
    """Checks the file with the safetensors library, then finds the array so that it can be mapped."""
    with _opened_safetensors(path) as file:
        name = choose(path, file.keys(), key)
        return _safetensors_entries(path, file, [name])[name]


def safetensors_entries(path: Path) -> dict[str, Entry]:
    """Where each array of a safetensors file lies."""
    with _opened_safetensors(path) as file:
        return _safetensors_entries(path, file, file.keys())


@contextmanager
def _opened_safetensors(path: Path) -> Iterator[Any]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="np") as file:
            yield file
    except SafetensorError as error:
        with open(path, "rb") as file:
            if file.read(len(LFS)) == LFS:
                came = "this file is a pointer of Git LFS, not what it points to"
                raise refusal(path, came, "fetch it with git lfs pull") from error
        raise _truncated(path, f"the safetensors library says: {error}") from error


def _safetensors_entries(path: Path, opened: Any, names: Iterable[str]) -> dict[str, Entry]:
    """The types that arrays of numbers have, and places, which the library has compared with the size of the file."""
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    entries = {}
    for name in names:
        code, shape = opened.get_slice(name).get_dtype(), opened.get_slice(name).get_shape()
        if code not in _SAFETENSORS_DTYPES:
            raise refusal(path, f"the array {name!r} has the type {code}", f"expected {DTYPE_NAMES}")
        entries[name] = Entry(_SAFETENSORS_DTYPES[code], tuple(shape), 8 + length + header[name]["data_offsets"][0])
    return entries


def read_npz(path: Path, key: str | None) -> Shaped[np.ndarray, "..."]:
    """Reads one array of a .npz archive; other members than .npy files are not counted."""
    try:
        archive = zipfile.ZipFile(path)
    except (*_DAMAGE, OSError) as error:
        _check_damage(error)
        raise _truncated(path, f"not a whole .npz archive: {error}") from error
    with archive:
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist() if _is_array(info)}
        others = ", ".join(sorted(archive.namelist())[:5]) if not members else ""
        name = choose(path, members, key, others)
        try:
            with archive.open(members[name]) as file:
                entry = _npy_header(file)
            check_dtype(path, _native_type(entry.dtype), name)
            announced, found = entry.offset + entry.nbytes, members[name].file_size
            if announced != found:
                raise _truncated(path, f"the array {name!r} should have {announced} bytes and has {found}")
            with archive.open(members[name]) as file:
                return np.lib.format.read_array(file, allow_pickle=False)
        except InputError:
            raise
        except (*_DAMAGE, OSError) as error:
            _check_damage(error)
            raise _truncated(path, f"the array {name!r} cannot be read: {error}") from error


def array_entry(path: Path, key: str | None) -> Entry:
    """Where the array of a .npy or .safetensors file lies; its name is chosen as ``choose`` does."""
    if path.suffix != ".npy":
        return safetensors_entry(path, key)
    if key is not None:
        raise refusal(path, f"a .npy file holds one array without a name, but key={key!r} was given", "drop it")
    return npy_entry(path)


def read(path: Path, entry: Entry, stamp: Stamp, mmap: bool) -> Shaped[np.ndarray, "..."]:
    """The array at `entry`, mapped read-only or read."""
    try:
        if mmap and entry.nbytes:
            mapped = np.memmap(path, entry.dtype, "r", entry.offset, entry.shape, entry.order).view(Mapped)
            mapped.path, mapped.entry, mapped.stamp = path, entry, stamp
            return mapped.view(np.ndarray)
        data = np.fromfile(path, entry.dtype, math.prod(entry.shape), offset=entry.offset)
        return data.reshape(entry.shape, order=entry.order)
    except ValueError as error:
        raise _truncated(path, f"the shape {entry.shape} is none of an array: {error}") from error


def _check_damage(error: Exception) -> None:
    """Raises what is no damage of the archive: an offset outside of the file is one, and bz2 has no other exception."""
    if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
        raise error


def _npy_header(file: Any) -> Entry:
    version = np.lib.format.read_magic(file)
    if version not in ((1, 0), (2, 0), (3, 0)):
        raise ValueError(f"unknown version {version}")
    reader = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = reader(file)
    if any(type(length) is not int or not 0 <= length <= _LARGEST for length in shape):
        raise ValueError(f"{shape} is not the shape of an array")
    return Entry(dtype, shape, file.tell(), "F" if fortran else "C")


def _native_type(dtype: np.dtype) -> np.dtype:
    return dtype if dtype.hasobject else dtype.newbyteorder("=")


def _is_array(info: zipfile.ZipInfo) -> bool:
    return info.filename.endswith(".npy")


def _truncated(path: Path, detail: str) -> InputError:
    return refusal(path, f"the file is truncated or damaged ({detail})", "write or copy it again")


def choose(path: Path, names: Iterable[str], key: str | None, others: str = "", *, what: str = "array") -> str:
    """The name that was asked for, or the only one there is.

    Args:
        path: the file, for the message.
        names: of the arrays in it.
        key: the name that was asked for, if any.
        others: what the file holds beside them.
        what: what they are, in one word.

    Raises:
        InputError: no such name, or several and none was asked for.
    """
    names = sorted(names)
    shown = [name if name.isprintable() and not set(name) & set(" ,;") and name else repr(name) for name in names[:20]]
    listed = ", ".join(shown) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
    if not names:
        raise refusal(path, f"the file holds no {what}" + (f", only {others}" if others else ""), "write it again")
    if key is None and len(names) > 1:
        raise refusal(
            path,
            f"the file holds {len(names)} {what}s ({listed})",
            f"pass one of them, key={names[0]!r} in Python or {path}::{names[0]} on the command line",
        )
    if key is not None and key not in names:
        close = difflib.get_close_matches(key, names, n=1)
        hint = f"did you mean {close[0]!r}? It holds {listed}" if close else f"it holds {listed}"
        if what == "column" and len(names) == 1 and set(names[0]) & set(";\t|,"):
            hint += ": columns of a .csv are parted by commas, of a .tsv by tabs"
        raise refusal(path, f"the file holds no {what} {key!r}", hint)
    return names[0] if key is None else key
