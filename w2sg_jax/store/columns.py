"""Columns of tables as arrays: which column is meant, and whether it is one array of numbers."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .._errors import InputError
from .array_files import choose, refusal

EXPECTED = "expected numbers, or one list of numbers a row, of float16, float32, float64 or an integer type"


@dataclass(frozen=True)
class Column:
    """A column of numbers, or of lists of numbers.

    Attributes:
        name, index: which one.
        dtype: of the numbers.
        width: numbers a row; 0 for plain numbers, None where the rows alone say it.
        bound_type: of the integers that say where lists begin and end.
    """

    name: str
    index: int
    dtype: np.dtype
    width: int | None
    bound_type: str = "int32"

    def row_shape(self, path: Path, width: int | None) -> tuple[int, ...]:
        """The shape of a row, where lists have this width; InputError for empty ones."""
        if self.width == 0:
            return ()
        if width == 0:
            raise refusal(path, f"row 0 of the column {self.name!r} is an empty list", EXPECTED)
        return (width or 0,)


def pyarrow(path: Path | None) -> Any:
    """The pyarrow module with its Parquet and IPC parts.

    Raises:
        InputError: it is not installed.
    """
    try:
        import pyarrow as pa
        import pyarrow.ipc
        import pyarrow.parquet
    except ImportError as error:
        todo = 'pip install "w2sg_jax[arrow]"'
        raise InputError(f"{path}: Parquet and Arrow files are read with pyarrow ({error}); {todo}") from error
    return pa


@contextmanager
def damage_named(path: Path) -> Iterator[None]:
    """Turns what pyarrow raises for a damaged file into the error that names it."""
    pa = pyarrow(path)
    try:
        yield
    except (InputError, MemoryError):
        raise
    except (pa.ArrowException, OSError, ValueError, TypeError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        detail = " ".join(str(error).split())[:200]
        raise refusal(path, f"the file is truncated or damaged ({detail})", "write or copy it again") from error


def column_of(path: Path, schema: Any, key: str | None) -> Column:
    """The column with this name, or the only one.

    Raises:
        InputError: there is no such column, or several; or it holds neither numbers nor lists of numbers.
    """
    types = pyarrow(path).types
    name = choose(path, schema.names, key, what="column")
    indices = schema.get_all_field_indices(name)
    if len(indices) > 1:
        raise refusal(path, f"the file holds {len(indices)} columns {name!r}", "rename them")
    found = schema.field(indices[0]).type
    is_fixed = types.is_fixed_size_list(found)
    is_list = is_fixed or types.is_list(found) or types.is_large_list(found)
    value = found.value_type if is_list else found
    if not (types.is_floating(value) or types.is_integer(value)):
        nested = is_list or types.is_nested(found) or hasattr(found, "storage_type")
        hint = " (store matrices as one flat list a row)" if nested else ""
        raise refusal(path, f"the column {name!r} is of the type {found}", EXPECTED + hint)
    if is_fixed and found.list_size == 0:
        raise refusal(path, f"the lists of the column {name!r} are empty", EXPECTED)
    width = found.list_size if is_fixed else None if is_list else 0
    bounds = "int64" if types.is_large_list(found) else "int32"
    letter = "f" if types.is_floating(value) else "i" if types.is_signed_integer(value) else "u"
    return Column(name, indices[0], np.dtype(f"{letter}{value.bit_width // 8}"), width, bounds)


def check_no_nulls(path: Path, column: Column, values: Any, row: int) -> None:
    """Refuses nulls among rows, or among the numbers of a row.

    Args:
        path, column: for the message.
        values: an Arrow array of the column.
        row: the number of its first row in the file.
    """
    if values.null_count:
        first = row + int(np.flatnonzero(values.is_null())[0])
        raise refusal(path, f"row {first} of the column {column.name!r} is null", "drop or repair those rows")
    if column.width == 0 or not values.values.null_count:
        return
    for index, numbers in enumerate(values):
        if numbers.values.null_count:
            came = f"row {row + index} of the column {column.name!r} has a null among its numbers"
            raise refusal(path, came, "drop or repair those rows")


def check_widths(path: Path, name: str, widths: np.ndarray, width: int, row: int) -> None:
    """Refuses lists of other lengths than the first row of the file has; ``row`` is the number of the first here."""
    ragged = np.flatnonzero(widths != width)
    if len(ragged):
        came = f"row {row + int(ragged[0])} of the column {name!r} has {widths[ragged[0]]} numbers, row 0 has {width}"
        raise refusal(path, came, "one model gives vectors of one width")
