"""One column of a Parquet file, decoded as rows are asked for."""

import math
import threading
from bisect import bisect_right
from collections import deque
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from .columns import check_widths, column_of, damage_named, pyarrow, unnested
from .shards import Piece

DECODED_BYTES = 1 << 22
"""Of values that are decoded at a time."""
READ_BYTES = 1 << 20
"""Of a column that are read at a time: a row group may be larger than memory."""


class ParquetPiece(Piece):
    """The rows of one column of a .parquet file.

    Reading goes on where the last one ended, so that a pass decodes every row once, whatever the sizes of blocks and
    row groups; going back starts again at the row group.
    """

    def __init__(self, path: Path, key: str | None) -> None:
        """Open the file: its footer alone, and one list where the type does not say how long they are.

        Raises:
            InputError: damaged; no such column, or one that is no array of numbers.
        """
        super().__init__(path)
        with damage_named(path), _opened(self.file) as file:
            counts = [file.metadata.row_group(index).num_rows for index in range(file.metadata.num_row_groups)]
            self.column = column_of(path, file.schema_arrow, key)
            width = self.column.width
            if width is None and sum(counts):
                batch = next(file.iter_batches(1, columns=[self.column.name]), None)
                if batch is None:
                    raise ValueError(f"{sum(counts)} rows announced, none found")
                width = len(unnested(path, self.column, batch.column(self.column.name), 0)[0])
        self.starts = list(accumulate(counts, initial=0))
        self.part, self.dtype, self.rows = self.column.name, self.column.dtype, self.starts[-1]
        self.row_shape = self.column.row_shape(path, width)
        self._cursor: _Cursor | None = None
        self._lock = threading.Lock()

    def __getstate__(self) -> dict[str, Any]:
        """All but the open file and its lock, which another process makes for itself."""
        return vars(self) | {"_cursor": None, "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state | {"_lock": threading.Lock()})

    def forget(self) -> None:
        with self._lock:
            self._close()

    def _read(self, start: int, stop: int) -> np.ndarray:
        with self._lock, damage_named(self.path):
            if self._cursor is None or not self._cursor.reaches(start):
                self._close()
                self._cursor = _Cursor(self, self.group(start))
            try:
                return self._cursor.read(start, stop)
            except BaseException:
                self._close()
                raise

    def group(self, row: int) -> int:
        """The number of the row group that has a row."""
        return bisect_right(self.starts, row) - 1

    def _close(self) -> None:
        if self._cursor is not None:
            self._cursor.file.close()
            self._cursor = None


class _Cursor:
    """A place in a file, and the decoded rows around it."""

    def __init__(self, piece: ParquetPiece, group: int) -> None:
        self.piece = piece
        self.file = _opened(piece.file)
        step = max(1, DECODED_BYTES // (piece.dtype.itemsize * math.prod(piece.row_shape)))
        groups = range(group, len(piece.starts) - 1)
        self.batches = self.file.iter_batches(step, row_groups=groups, columns=[piece.column.name])
        self.held: deque[np.ndarray] = deque()
        self.start = self.end = piece.starts[group]
        """rows that are held"""

    def reaches(self, row: int) -> bool:
        """Whether a row is held, or is found by going on without passing over a row group."""
        return self.start <= row and self.piece.group(row) <= self.piece.group(self.end)

    def read(self, start: int, stop: int) -> np.ndarray:
        while self.end < stop:
            batch = next(self.batches, None)
            if batch is None:
                raise ValueError(f"{self.piece.rows} rows announced, {self.end} found")
            # By name: fields of a struct are also read where name and field, with a dot between, spell the column's.
            self.held.append(_values(self.piece, batch.column(self.piece.column.name), self.end))
            self.end += batch.num_rows
            self._drop(start)
        self._drop(start)
        found = self.held[0] if len(self.held) == 1 else np.concatenate(self.held)
        return found[start - self.start : stop - self.start]

    def _drop(self, start: int) -> None:
        while self.held and self.start + len(self.held[0]) <= start:
            self.start += len(self.held.popleft())


def _opened(path: Path) -> Any:
    parquet = pyarrow(path).parquet
    return parquet.ParquetFile(path, buffer_size=READ_BYTES, pre_buffer=False, page_checksum_verification=True)


def _values(piece: ParquetPiece, values: Any, row: int) -> np.ndarray:
    """An Arrow array as rows; ``row`` is the number of the first."""
    column = piece.column
    values = unnested(piece.path, column, values, row)
    if column.width == 0:
        return values.to_numpy(zero_copy_only=False)
    if column.width is None:
        widths = np.diff(values.offsets.to_numpy())
        check_widths(piece.path, column.name, widths, piece.row_shape[0], row)
    return values.flatten().to_numpy(zero_copy_only=False).reshape(len(values), *piece.row_shape)
