"""A representation spread over the files of a folder: read from disk as rows are asked for, never all at once."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Shaped

from . import _array_files
from ._array_files import Entry, refusal
from ._errors import InputError

SUFFIXES = (".safetensors", ".npy")


class _Shard(NamedTuple):
    path: Path
    entry: Entry
    start: int
    stamp: tuple[int, int]
    """size and time of modification when the shard was opened"""


class Shards:
    """Rows of one array in several files, one after the other in the order of their names.

    Slicing by rows reads them from disk, so that memory holds what is asked for and no more. A shard that has changed
    since it was opened is refused, because rows of two versions would be mixed.

    Attributes:
        shape: (n, d), or (n,) for labels.
        dtype: of all shards.
    """

    is_on_disk = True

    def __init__(self, paths: Sequence[Path], key: str | None = None) -> None:
        """Open the shards: headers only.

        Raises:
            InputError: no shard, a damaged one, or shards of different widths or types (both are named).
        """
        if not paths:
            raise InputError("paths: no shard was given")
        self._shards: list[_Shard] = []
        start = 0
        for path in paths:
            entry = _entry(path, key)
            self._shards.append(_Shard(path, entry, start, _stamp(path)))
            start += entry.shape[0]
        first = self._shards[0]
        for shard in self._shards[1:]:
            for what, one, other in (
                ("width", first.entry.shape[1:], shard.entry.shape[1:]),
                ("type", first.entry.dtype, shard.entry.dtype),
            ):
                if one != other:
                    raise InputError(
                        f"{shard.path}: the {what} of this shard is {other}, that of {first.path.name} is {one}; all"
                        " shards must come from one model"
                    )
        self.shape = (start, *first.entry.shape[1:])
        self.dtype = first.entry.dtype.newbyteorder("=")
        self.ndim = len(self.shape)

    @property
    def stamp(self) -> str:
        """Names, sizes and times of modification of the shards."""
        return repr([(shard.path.name, *shard.stamp) for shard in self._shards])

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        return f"Shards({self.shape}, {self.dtype}, {len(self._shards)} files from {self._shards[0].path})"

    def __getitem__(self, rows: Any) -> Shaped[np.ndarray, "..."]:
        """The rows of a slice with a positive step.

        Raises:
            InputError: a shard has changed or has become shorter since it was opened.
        """
        if not isinstance(rows, slice):
            raise InputError(f"rows: got {type(rows).__name__}; shards are read by slices of rows")
        start, stop, step = rows.indices(len(self))
        if step < 1:
            raise InputError(f"rows: step {step}; shards are read forwards")
        parts = []
        for shard in self._shards:
            low, high = max(start, shard.start), min(stop, shard.start + shard.entry.shape[0])
            if low < high:
                parts.append(_rows(shard, low - shard.start, high - shard.start))
        if not parts:
            return np.empty((0, *self.shape[1:]), self.dtype)
        found = parts[0] if len(parts) == 1 else np.concatenate(parts)
        return found if step == 1 else found[::step]

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        """All rows, in memory."""
        return self[:].astype(dtype or self.dtype, copy=False)

    def locate(self, row: int) -> str:
        """Name the file of a row, and its number there."""
        shard = next(shard for shard in reversed(self._shards) if shard.start <= row)
        return f"row {row - shard.start} of {shard.path.name}"


def open_shards(folder: str | os.PathLike[str], key: str | None = None) -> Shards:
    """Open a folder of .npy or .safetensors files as one array, in the order of their names.

    Raises:
        InputError: the folder holds no such file, or files of both kinds; or as ``Shards``.
    """
    folder = Path(folder)
    paths = sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES and not path.name.startswith("."))
    if not paths:
        raise refusal(folder, "the folder holds no .npy or .safetensors file", "give a file, or a folder of shards")
    if len({path.suffix for path in paths}) > 1:
        raise refusal(folder, "the folder holds .npy and .safetensors files", "keep the shards of one array in it")
    return Shards(paths, key)


def _entry(path: Path, key: str | None) -> Entry:
    entry = _array_files.npy_entry(path) if path.suffix == ".npy" else _array_files.safetensors_entry(path, key)
    if len(entry.shape) not in (1, 2):
        raise refusal(path, f"this shard has the shape {entry.shape}", "a shard holds rows, (n, d) or (n,)")
    if entry.order == "F" and len(entry.shape) == 2:
        raise refusal(path, "this shard is stored by columns", "save it in C order: np.ascontiguousarray(x)")
    return entry


def _rows(shard: _Shard, start: int, stop: int) -> np.ndarray:
    if _stamp(shard.path) != shard.stamp:
        raise refusal(shard.path, "this shard has changed since it was opened", "let its writer end, then start again")
    width = int(np.prod(shard.entry.shape[1:], dtype=np.int64))
    offset = shard.entry.offset + start * width * shard.entry.dtype.itemsize
    data = np.fromfile(shard.path, shard.entry.dtype, (stop - start) * width, offset=offset)
    if data.size != (stop - start) * width:
        raise refusal(shard.path, "this shard has become shorter while it was read", "write or copy it again")
    data = data.reshape(stop - start, *shard.entry.shape[1:])
    return data if data.dtype.isnative else data.astype(data.dtype.newbyteorder("="))


def _stamp(path: Path) -> tuple[int, int]:
    try:
        found = path.stat()
    except FileNotFoundError:
        raise refusal(path, "this shard has gone since it was opened", "put it back, then start again") from None
    return found.st_size, found.st_mtime_ns
