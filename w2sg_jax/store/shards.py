"""A representation on disk, in one file or many: read as rows are asked for, never all at once."""

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Sequence
from io import BufferedReader
from itertools import accumulate
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Shaped

from .._errors import InputError
from .array_files import Entry, Mapped, Stamp, refusal, stamp_of


class Piece(ABC):
    """Some rows of an array, in one file.

    Attributes:
        path: the file, as it was named.
        file: the same from the root, for reading.
        stamp: of the file when it was opened.
        part: which array of the file it is.
        rows: how many.
        row_shape: (d,), or () for labels.
        dtype: in the byte order of this machine.
    """

    part: str
    rows: int
    row_shape: tuple[int, ...]
    dtype: np.dtype

    def __init__(self, path: Path, stamp: Stamp | None = None) -> None:
        self.path = path
        self.file = path.absolute()
        self.stamp = stamp or stamp_of(path)

    def read(self, start: int, stop: int) -> Shaped[np.ndarray, "..."]:
        """The rows from start to stop, of the file as it was when it was opened.

        Raises:
            InputError: the file has changed since, or is damaged.
        """
        try:
            found = self._read(start, stop)
        except (InputError, OSError):
            self.check_unchanged()
            raise
        self.check_unchanged()
        return found if found.dtype.isnative else found.astype(self.dtype)

    def forget(self) -> None:  # noqa: B027 (most hold nothing)
        """Give back what is held to go on reading from the last row."""

    @abstractmethod
    def _read(self, start: int, stop: int) -> np.ndarray:
        """The rows, whether or not the file has changed."""

    def check_unchanged(self) -> None:
        """Refuse a file that has changed since it was opened (InputError)."""
        try:
            now = stamp_of(self.file)
        except FileNotFoundError:
            raise refusal(self.path, "the file has gone since it was opened", "put it back, then start again") from None
        if now != self.stamp:
            came = "the file has changed since it was opened"
            raise refusal(self.path, came, "let its writer end, then start again")


class ArrayPiece(Piece):
    """Rows of an array whose values lie one after the other in a file.

    Args:
        path, stamp: of the file.
        entry: where the array lies in it.
        column_step: of an array that is stored by columns, the values from one column to the next; by default its rows.
    """

    def __init__(self, path: Path, stamp: Stamp, entry: Entry, column_step: int | None = None) -> None:
        if len(entry.shape) not in (1, 2):
            raise refusal(path, f"this file has an array of the shape {entry.shape}", "expected rows, (n, d) or (n,)")
        super().__init__(path, stamp)
        self.part = f"{entry.offset}"
        self.rows, *row_shape = entry.shape
        self.row_shape = tuple(row_shape)
        self.dtype = entry.dtype.newbyteorder("=")
        self._stored = entry.dtype
        self._offset = entry.offset
        self._order: Literal["C", "F"] = entry.order if len(entry.shape) == 2 else "C"
        self._column_step = column_step or entry.shape[0]

    def _read(self, start: int, stop: int) -> np.ndarray:
        found = np.empty((stop - start, *self.row_shape), self._stored, self._order)
        with open(self.file, "rb") as file:
            if self._order == "F":
                for column in range(self.row_shape[0]):
                    self._fill(file, column * self._column_step + start, found[:, column])
            elif found.size:
                self._fill(file, start * (found.size // (stop - start)), found)
        return found

    def _fill(self, file: BufferedReader, first: int, values: np.ndarray) -> None:
        fill(self.path, file, self._offset + first * self._stored.itemsize, values)


def fill(path: Path, file: BufferedReader, offset: int, values: np.ndarray) -> None:
    """Read contiguous values from a place in a file."""
    file.seek(offset)
    raw = values.reshape(-1).view(np.uint8)
    if file.readinto(raw.data) != raw.size:
        raise refusal(path, "the file is shorter than it says", "write or copy it again")


class Shards:
    """Rows of one array in one or several files, one after the other.

    Slicing by rows reads them from disk, so that memory holds what is asked for and no more. A file that has changed
    since it was opened is refused, because rows of two versions would be mixed.

    Attributes:
        path: the file or the folder.
        shape: (n, d), or (n,) for labels.
        dtype: of all files.
    """

    is_on_disk = True

    def __init__(self, path: Path, pieces: Sequence[Piece]) -> None:
        """Put pieces together.

        Args:
            path: what the user gave.
            pieces: at least one.

        Raises:
            InputError: pieces of different widths or types (both are named).
        """
        first = pieces[0]
        for piece in pieces[1:]:
            for what, one, other in (
                ("width", first.row_shape, piece.row_shape),
                ("type", first.dtype, piece.dtype),
            ):
                if one != other:
                    raise InputError(
                        f"{piece.path}: the {what} of this shard is {other}, that of {first.path.name} is {one}; all"
                        " shards must come from one model"
                    )
        self.path = path
        self._pieces = list(pieces)
        self._starts = list(accumulate((piece.rows for piece in pieces), initial=0))
        self._last = first
        self.shape: tuple[int, ...] = (self._starts[-1], *first.row_shape)
        self.dtype = first.dtype
        self.ndim = len(self.shape)

    @property
    def stamp(self) -> str:
        """Names, sizes and times of modification of the files."""
        return repr([(piece.path.name, piece.part, *piece.stamp) for piece in self._pieces])

    def check_unchanged(self) -> None:
        """Refuse files that have changed since they were opened, whether their rows were read before or not.

        Raises:
            InputError: one has; the message names it.
        """
        for piece in self._pieces:
            piece.check_unchanged()

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        return f"Shards({self.shape}, {self.dtype}, {len(self._pieces)} files from {self.path})"

    def __getitem__(self, rows: Any) -> Shaped[np.ndarray, "..."]:
        """The rows of a slice with a positive step.

        Raises:
            InputError: a file has changed since it was opened, or is damaged.
        """
        if not isinstance(rows, slice):
            raise InputError(f"rows: got {type(rows).__name__}; shards are read by slices of rows")
        start, stop, step = rows.indices(len(self))
        if step < 1:
            raise InputError(f"rows: step {step}; shards are read forwards")
        parts = [np.empty((0, *self.shape[1:]), self.dtype)] if start >= stop else []
        while start < stop:
            index = self._index(start)
            piece, first = self._pieces[index], self._starts[index]
            if piece is not self._last:
                self._last.forget()
                self._last = piece
            end = min(stop, first + piece.rows)
            parts.append(piece.read(start - first, end - first))
            start = end
        found = parts[0] if len(parts) == 1 else np.concatenate(parts)
        return found if step == 1 else found[::step]

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        """All rows, in memory."""
        return self[:].astype(dtype or self.dtype, copy=False)

    def locate(self, row: int) -> str:
        """Name the file of a row, and its number there."""
        index = self._index(row)
        return f"row {row - self._starts[index]} of {self._pieces[index].path.name}"

    def _index(self, row: int) -> int:
        """The number of the piece that has a row."""
        return bisect_right(self._starts, row) - 1


def unmapped(array: Any) -> Any:
    """Rows of a file that ``load`` has mapped as Shards, which read them; anything else as it is.

    A process dies without a word when it looks at mapped rows that another one has cut off.
    """
    owner = array
    while isinstance(owner, np.ndarray) and not isinstance(owner, Mapped):
        owner = owner.base
    if not isinstance(owner, Mapped) or array.ndim not in (1, 2) or not array.size:
        return array
    size = array.dtype.itemsize
    by_rows = array.flags.c_contiguous
    if array.dtype != owner.dtype or not (by_rows or (array.strides[0] == size and array.strides[1] > 0)):
        return array
    entry = owner.entry._replace(
        shape=array.shape,
        offset=owner.entry.offset + array.ctypes.data - owner.ctypes.data,
        order="C" if by_rows else "F",
    )
    column_step = None if by_rows else array.strides[1] // size
    return Shards(owner.path, [ArrayPiece(owner.path, owner.stamp, entry, column_step)])
