"""One column of an Arrow IPC file (stream or file format): where its values lie, and reading them from there."""

from bisect import bisect_right
from io import BufferedReader
from itertools import accumulate
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .array_files import refusal
from .columns import Column, check_widths, column_of, damage_named, pyarrow, unnested
from .shards import Piece, fill

FILE_MAGIC = b"ARROW1"
_END = b"\xff\xff\xff\xff\0\0\0\0"  # of a stream that was written to its end


class _Batch(NamedTuple):
    rows: int
    values: int
    """where they begin in the file"""
    bounds: int | None
    """where the beginnings and ends of the rows' lists begin, unless all lists have one length by their type"""
    skipped: int
    """values before those of the first row, unless the bounds say so"""


class ArrowPiece(Piece):
    """The rows of one column of an .arrow file.

    The file is mapped while it is opened, to learn where values lie, and never after that; values are read from there
    into arrays, without decoding.
    """

    def __init__(self, path: Path, key: str | None) -> None:
        """Open the file: no value is read, but the length of the first list where the type does not say it.

        Raises:
            InputError: damaged or compressed; no such column, or one that is no array of numbers.
        """
        super().__init__(path)
        pa = pyarrow(path)
        with damage_named(path), pa.memory_map(str(path)) as source:
            self.column, self._batches = _scan(path, source, key)
        self._starts = list(accumulate((batch.rows for batch in self._batches), initial=0))
        self._bound_type = np.dtype(self.column.bound_type)
        width = self.column.width
        if width is None and self._batches:
            width = int(np.diff(self._bounds(self._batches[0], 0, 1))[0])
        self.part, self.dtype, self.rows = self.column.name, self.column.dtype, self._starts[-1]
        self.row_shape = self.column.row_shape(path, width)

    def _read(self, start: int, stop: int) -> np.ndarray:
        found = np.empty((stop - start, *self.row_shape), self.dtype)
        width = found[:1].size
        index, low = bisect_right(self._starts, start) - 1, start
        with open(self.file, "rb") as file:
            while low < stop:
                batch, first = self._batches[index], self._starts[index]
                high = min(stop, first + batch.rows)
                begin = batch.skipped + (low - first) * width
                if batch.bounds is not None:
                    bounds = self._bounds(batch, low - first, high - first)
                    check_widths(self.path, self.column.name, np.diff(bounds), width, low)
                    begin = int(bounds[0])
                self._fill(file, batch, begin, found[low - start : high - start])
                index, low = index + 1, high
        return found

    def _fill(self, file: BufferedReader, batch: _Batch, begin: int, rows: np.ndarray) -> None:
        """Read rows from the batch's value with the number `begin` on; truth values are stored as bits."""
        if self.dtype != np.bool_:
            fill(self.path, file, batch.values + begin * self.dtype.itemsize, rows)
            return
        first, before = divmod(begin, 8)
        packed = np.empty((before + rows.size + 7) // 8, np.uint8)
        fill(self.path, file, batch.values + first, packed)
        bits = np.unpackbits(packed, count=before + rows.size, bitorder="little")
        rows[:] = bits[before:].view(np.bool_).reshape(rows.shape)

    def _bounds(self, batch: _Batch, low: int, high: int) -> np.ndarray:
        bounds = np.empty(high - low + 1, self._bound_type)
        with open(self.file, "rb") as file:
            fill(self.path, file, (batch.bounds or 0) + low * bounds.itemsize, bounds)
        return bounds


def _scan(path: Path, source: Any, key: str | None) -> tuple[Column, list[_Batch]]:
    """The column, and the place of its values in each batch that has rows."""
    start = source.read_buffer(len(FILE_MAGIC))
    source.seek(0)
    is_file = start.to_pybytes() == FILE_MAGIC
    ipc = pyarrow(path).ipc
    reader = ipc.open_file(source) if is_file else ipc.open_stream(source)
    column = column_of(path, reader.schema, key)
    found = []
    row = 0
    for batch in (reader.get_batch(i) for i in range(reader.num_record_batches)) if is_file else reader:
        values = batch.column(column.index)
        values.validate(full=column.depth > 0)  # all bounds of lists around lists are followed here, not only the first
        values = unnested(path, column, values, row)
        if batch.num_rows:
            places = [None if buffer is None else buffer.address - start.address for buffer in values.buffers()]
            if places[-1] is None or not 0 <= places[-1] <= source.size() - values.buffers()[-1].size:
                todo = "write it without compression, or as Parquet"
                raise refusal(path, "the batches of this file are compressed", todo)
            bounds = places[1] + values.offset * np.dtype(column.bound_type).itemsize if column.width is None else None
            skipped = values.offset * (1 if column.width == 0 else column.width or 0)
            found.append(_Batch(batch.num_rows, places[-1], bounds, skipped))
        row += batch.num_rows
    if not is_file:
        check_end(path, source)
    return column, found


def check_end(path: Path, source: Any) -> None:
    """Refuses a stream whose writer did not come to its end; to pyarrow it is one of fewer rows."""
    end = source.tell()
    source.seek(max(0, end - len(_END)))
    if source.read(len(_END)) != _END or end != source.size():
        raise refusal(path, "the file is truncated or damaged (the stream does not end)", "write or copy it again")
