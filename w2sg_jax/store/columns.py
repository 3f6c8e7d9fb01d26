"""Columns of tables as arrays: which column is meant, and whether it is one array of numbers."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .._errors import InputError
from .array_files import choose, refusal

EXPECTED = "expected numbers, or one list of numbers a row, of float16, float32, float64, an integer type or bool"
ONE_VECTOR = (
    "expected one vector a row: pool it (for instance the mean of its rows), or write each of its rows as a column of"
    " its own"
)


@dataclass(frozen=True)
class Column:
    """A column of numbers, or of lists of numbers.

    Attributes:
        name, index: which one.
        dtype: of the numbers.
        width: numbers a row; 0 for plain numbers, None where the rows alone say it.
        bound_type: of the integers that say where lists begin and end.
        depth: lists around the list of numbers, each of one element: 1 for arrays of the shape (1, d).
    """

    name: str
    index: int
    dtype: np.dtype
    width: int | None
    bound_type: str = "int32"
    depth: int = 0

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
    declared = schema.field(indices[0]).type
    sizes, kind, value = _nesting(types, declared)
    hint = " (a struct: write its fields as columns of their own)" if types.is_struct(value) else ""
    if not (types.is_floating(value) or types.is_integer(value) or types.is_boolean(value)):
        raise refusal(path, f"the column {name!r} is of the type {declared}", EXPECTED + hint)
    if 0 in sizes:
        raise refusal(path, f"the lists of the column {name!r} are empty", EXPECTED)
    shape = tuple(getattr(declared, "shape", sizes))  # of extension types: what their storage may not say
    if any(size not in (1, None) for size in (*shape[:-1], *sizes[:-1])):
        shown = ", ".join("any" if size is None else str(size) for size in shape)
        raise refusal(path, f"the rows of the column {name!r} are arrays of the shape ({shown})", ONE_VECTOR)
    width = sizes[-1] if sizes else 0
    bounds = "int64" if types.is_large_list(kind) else "int32"
    return Column(name, indices[0], np.dtype(value.to_pandas_dtype()), width, bounds, max(0, len(sizes) - 1))


def _nesting(types: Any, declared: Any) -> tuple[list[int | None], Any, Any]:
    """Lengths of the lists in a type, the outermost first, None where rows say them; the innermost list; its values."""
    sizes: list[int | None] = []
    kind = value = getattr(declared, "storage_type", declared)
    while (is_fixed := types.is_fixed_size_list(value)) or types.is_list(value) or types.is_large_list(value):
        sizes.append(value.list_size if is_fixed else None)
        kind, value = value, getattr(value.value_type, "storage_type", value.value_type)
    return sizes, kind, value


def unnested(path: Path, column: Column, values: Any, row: int) -> Any:
    """An Arrow array of a column as numbers, or as one list of numbers a row, without a null.

    Args:
        path, column: for the messages.
        values: an Arrow array of the column.
        row: the number of its first row in the file.

    Raises:
        InputError: a row is null, has a null among its numbers, or is an array of several rows.
    """
    for _ in range(column.depth):
        values = getattr(values, "storage", values)
        _refuse_null_rows(path, column, values, row)
        lengths = np.ones(len(values)) if hasattr(values.type, "list_size") else np.diff(values.offsets.to_numpy())
        several = np.flatnonzero(lengths != 1)
        if len(several):
            index = int(several[0])
            came = f"row {row + index} of the column {column.name!r} is {_in_words(values[index].as_py())}"
            raise refusal(path, came, ONE_VECTOR)
        values = values.flatten()
    values = getattr(values, "storage", values)
    _refuse_null_rows(path, column, values, row)
    if column.width != 0 and values.values.null_count:
        for index, numbers in enumerate(values):
            if numbers.values.null_count:
                came = f"row {row + index} of the column {column.name!r} has a null among its numbers"
                raise refusal(path, came, "drop or repair those rows")
    return values


def _refuse_null_rows(path: Path, column: Column, values: Any, row: int) -> None:
    if values.null_count:
        first = row + int(np.flatnonzero(values.is_null())[0])
        raise refusal(path, f"row {first} of the column {column.name!r} is null", "drop or repair those rows")


def _in_words(rows: list[Any]) -> str:
    """What an array of several rows, or of none, is."""
    widths = {len(numbers) if isinstance(numbers, list) else 0 for numbers in rows}
    if not rows:
        return "an empty list"
    return f"an array of the shape {np.shape(rows)}" if len(widths) == 1 else f"{len(rows)} lists of different lengths"


def check_widths(path: Path, name: str, widths: np.ndarray, width: int, row: int) -> None:
    """Refuses lists of other lengths than the first row of the file has; ``row`` is the number of the first here."""
    ragged = np.flatnonzero(widths != width)
    if len(ragged):
        came = f"row {row + int(ragged[0])} of the column {name!r} has {widths[ragged[0]]} numbers, row 0 has {width}"
        raise refusal(path, came, "one model gives vectors of one width")
