"""Tables of words and numbers: some columns of Parquet and Arrow files, whole and as Python's values."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .array_files import choose, kind, refusal
from .arrow import FILE_MAGIC, check_end
from .columns import damage_named, pyarrow
from .folders import TABLES, files_of

READ = "expected texts, numbers or truth values, one a row"


@dataclass(frozen=True)
class TableColumns:
    """Some columns of a table."""

    values: Mapping[str, Sequence[Any]]
    """name -> its values: str, int, float, bool, or None where there is none"""
    class_names: Mapping[str, tuple[str, ...]]
    """name -> what its numbers 0, 1, ... stand for, where ``datasets`` wrote that into the file"""


def read_columns(path: Path, names: Sequence[str]) -> TableColumns:
    """Read columns of a .parquet or .arrow file, or of a folder of them, as ``datasets.Dataset.save_to_disk`` writes.

    Raises:
        InputError: the file is damaged; there is no such column (the nearest name is told); it holds lists, structs or
            bytes.
    """
    files = files_of(path) if path.is_dir() else [path]
    values: dict[str, list[Any]] = {name: [] for name in names}
    class_names: dict[str, tuple[str, ...]] = {}
    for file in files:
        if file.suffix not in TABLES:
            raise refusal(file, "this file is no table", f"use one of {', '.join(TABLES)}")
        if what := kind(file):
            raise refusal(file, f"this is {what}", "give a regular file")
        with damage_named(file):
            table = _read(file, names)
            for name in values:
                values[name] += table.column(_index(file, table.schema, name)).to_pylist()
                class_names |= _class_names(table.schema, name)
    return TableColumns(values, class_names)


def _read(path: Path, names: Sequence[str]) -> Any:
    """The table, with these columns at least; their types are looked at before any value is read."""
    pa = pyarrow(path)
    if path.suffix == ".parquet":
        with pa.parquet.ParquetFile(path, page_checksum_verification=True) as file:
            for name in names:
                _index(path, file.schema_arrow, name)
            return file.read(columns=list(names))
    with pa.memory_map(str(path)) as source:
        is_file = source.read(len(FILE_MAGIC)) == FILE_MAGIC
        source.seek(0)
        reader = pa.ipc.open_file(source) if is_file else pa.ipc.open_stream(source)
        indices = [_index(path, reader.schema, name) for name in names]
        table = reader.read_all()
        if not is_file:
            check_end(path, source)
        table = table.select(indices)
        table.validate(full=True)  # bounds of strings: a damaged one would be followed out of the file
        return table


def _index(path: Path, schema: Any, name: str) -> int:
    """Where the column is; InputError unless there is one, of a type that is read."""
    choose(path, schema.names, name, what="column")
    indices = schema.get_all_field_indices(name)
    if len(indices) > 1:
        raise refusal(path, f"the file holds {len(indices)} columns {name!r}", "rename them")
    types = pyarrow(path).types
    declared = schema.field(indices[0]).type
    kind_of = declared.value_type if types.is_dictionary(declared) else declared
    is_text = types.is_string(kind_of) or types.is_large_string(kind_of) or types.is_string_view(kind_of)
    is_number = types.is_integer(kind_of) or types.is_floating(kind_of) or types.is_boolean(kind_of)
    if not (is_text or is_number or types.is_null(kind_of)):
        raise refusal(path, f"the column {name!r} is of the type {declared}", READ)
    return indices[0]


def _class_names(schema: Any, name: str) -> dict[str, tuple[str, ...]]:
    """What ``datasets`` says of a column of numbers that are classes: its `ClassLabel`, in the metadata."""
    try:
        feature = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"][name]
        return {name: tuple(feature["names"])} if feature["_type"] == "ClassLabel" else {}
    except (KeyError, TypeError, ValueError):
        return {}
