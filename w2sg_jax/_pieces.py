"""Rows of one array in one file: read from disk as they are asked for, and refused once the file has changed."""

from abc import ABC, abstractmethod
from io import BufferedReader
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Shaped

from ._array_files import Entry, Stamp, refusal, stamp_of
from ._errors import InputError


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
