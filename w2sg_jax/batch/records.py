"""The folder of a run: one file for each finished trial, and a table of those that were compacted."""

import contextlib
import fcntl
import json
import os
from collections.abc import Container, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from .._errors import InputError
from ..report.record import INFINITY, NAN, to_json
from ..store.atomic import remove_stale, replacing, write_text

TABLE = "records.parquet"
LOOSE = "records"
PLAN = "plan.json"
LOCK = "lock"
RECORDED, PLANNED = frozenset(("id", "status", "config")), frozenset(("trials",))
"""What a record and a plan have at least."""
COMPACTED_FROM = 500
"""Loose records from which they are compacted while trials run."""
SEPARATOR = "."
NUMBERS = frozenset((NAN, INFINITY, f"-{INFINITY}"))
"""Numbers that JSON has no other words for than texts."""
TEXTS = "texts"
"""Key of a record on disk: where its result has one of these words as a text."""


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold a folder, which is there, until the end of the block; the lock goes with the process.

    Raises:
        InputError: another process holds it.
    """
    with open(folder / LOCK, "w", encoding="ascii") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InputError(
                f"{folder}: another process is running there; wait for it, or use another folder"
            ) from error
        yield


class Records:
    """What is known of the trials of a run, on disk.

    A record is in a file of its own until it is compacted into the table; where it is in both, because a process was
    killed between the two steps, or because a failed trial was tried again, the file counts.

    On disk, in the files and in the table's last column, a record is strict JSON: NaN and infinities of a result are
    the strings "NaN", "Infinity" and "-Infinity". Where the result has these words as texts, ``texts`` lists their
    places, each a list of keys and indices. What is read back has floats and texts as the trial returned them.
    Records without ``texts`` are of earlier versions, which wrote null for such numbers: they stay as they are.

    Args:
        folder: of the run; made where it is not there and ``create``.
        create: whether trials will be added.
    """

    def __init__(self, folder: str | os.PathLike[str], *, create: bool = False) -> None:
        self.folder = Path(folder)
        self.loose = self.folder / LOOSE
        if create:
            try:
                self.loose.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise InputError(f"{self.folder}: cannot be made ({error.strerror}); choose another folder") from error
            remove_stale(self.loose)
            remove_stale(self.folder)
        elif not self.loose.is_dir():
            raise InputError(f"{self.folder}: is no folder of a batch run; it has no {LOOSE}")

    def locked(self) -> contextlib.AbstractContextManager[None]:
        """Hold the folder: one process at a time adds to it (InputError where another one does)."""
        return locked(self.folder)

    def plan(self, planned: Mapping[str, Any]) -> None:
        """Note what is to be run, for those who look while it runs."""
        write_text(self.folder / PLAN, to_json(planned) + "\n")

    def planned(self) -> dict[str, Any]:
        """What was noted last; empty where nothing was."""
        with contextlib.suppress(FileNotFoundError):
            return _read(self.folder / PLAN, PLANNED)
        return {}

    def add(self, record: Mapping[str, Any]) -> None:
        """Keep a record, whole or not at all.

        Raises:
            OSError: it cannot be written.
        """
        write_text(self.loose / f"{record['id']}.json", to_json(_to_disk(record)) + "\n")

    def all(self) -> dict[str, dict[str, Any]]:
        """Every record, by the id of its trial."""
        while True:
            try:
                loose = {path.stem: _from_disk(_read(path, RECORDED)) for path in self._files()}
            except FileNotFoundError:
                continue  # compacted meanwhile
            return self._compacted() | loose  # read after the files, which go once the table has them

    def compact(self, *, least: int = 1) -> None:
        """Move records from their own files into the table, when there are at least so many."""
        files = self._files()
        if len(files) < least:
            return
        records = self._compacted() | {path.stem: _from_disk(_read(path, RECORDED)) for path in files}
        with replacing(self.folder / TABLE) as temporary:
            _write_table(records.values(), temporary)
        for path in files:
            path.unlink()

    def _files(self) -> list[Path]:
        return sorted(self.loose.glob("[0-9a-f]*.json"))

    def _compacted(self) -> dict[str, dict[str, Any]]:
        import pyarrow
        import pyarrow.parquet

        path = self.folder / TABLE
        if not path.exists():
            return {}
        try:
            column = pyarrow.parquet.read_table(path, columns=["record"])["record"]
        except (pyarrow.ArrowException, OSError, KeyError) as error:
            raise InputError(f"{path}: cannot be read ({error}); move it away, and its trials run again") from error
        records = (_from_disk(json.loads(text)) for text in column.to_pylist())
        return {record["id"]: record for record in records}


def _to_disk(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record with the places of texts that look like numbers, for `_from_disk`."""
    return {**record, TEXTS: list(_texts(record.get("result"), []))}


def _from_disk(record: dict[str, Any]) -> dict[str, Any]:
    """The record as the trial made it."""
    if TEXTS not in record:
        return record
    texts = {tuple(place) for place in record.pop(TEXTS)}
    return record | {"result": _with_numbers(record.get("result"), (), texts)}


def _texts(value: Any, place: list[Any]) -> Iterator[list[Any]]:
    """The places of texts that look like numbers."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _texts(item, [*place, key])
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _texts(item, [*place, index])
    elif isinstance(value, str) and value in NUMBERS:
        yield place


def _with_numbers(value: Any, place: tuple[Any, ...], texts: Container[tuple[Any, ...]]) -> Any:
    """What looks like a number, as one; texts excepted."""
    if isinstance(value, dict):
        return {key: _with_numbers(item, (*place, key), texts) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_numbers(item, (*place, index), texts) for index, item in enumerate(value)]
    if isinstance(value, str) and value in NUMBERS and place not in texts:
        return float(value)
    return value


def flat(record: Mapping[str, Any]) -> dict[str, Any]:
    """The columns of one record: what it is of, how it ended, and the numbers and texts of configuration and result."""
    keys = ("id", "function", "version", "status", "seconds", "time", "commit", "dirty")
    columns = {key: record.get(key) for key in keys}
    for table in ("config", "result"):
        columns |= _flattened(record.get(table) or {}, table)
    return columns


def _flattened(values: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """A tree of tables as columns, whose names join the keys."""
    found = {}
    for key, value in values.items():
        name = f"{prefix}{SEPARATOR}{key}".encode("utf-8", "backslashreplace").decode()
        if isinstance(value, Mapping):
            found |= _flattened(value, name)
        else:
            found[name] = value
    return found


def _write_table(records: Iterable[Mapping[str, Any]], path: Path) -> None:
    """Columns for reading by other tools, and each record whole as JSON in the last one."""
    import pyarrow
    import pyarrow.parquet

    rows = [flat(record) | {"record": to_json(_to_disk(record), indent=None)} for record in records]
    names = dict.fromkeys(name for row in rows for name in row if name != "record")
    columns = {name: _column([row.get(name) for row in rows]) for name in (*names, "record")}
    pyarrow.parquet.write_table(pyarrow.table(columns), path, compression="zstd")


def _column(values: list[Any]) -> list[Any]:
    """One type for all: numbers as floats where some are; what differs, or what Parquet does not hold, as JSON."""
    kinds = {type(value) for value in values if value is not None}
    if all(map(_fits, values)):
        if len(kinds) <= 1:
            return values
        if kinds <= {int, float}:
            return [None if value is None else float(value) for value in values]
    return [None if value is None else to_json(value, indent=None) for value in values]


def _fits(value: Any) -> bool:
    """Whether Parquet holds a value: no list, no table, no number beyond 64 bits, no text that is not Unicode."""
    if isinstance(value, str):
        return not any("\ud800" <= letter <= "\udfff" for letter in value)
    if isinstance(value, int):
        return -(2**63) <= value < 2**63
    return not isinstance(value, list | dict)


def _read(path: Path, keys: frozenset[str]) -> dict[str, Any]:
    """A table of a JSON file that has these keys (InputError)."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path}: is no JSON ({error}); remove it, and what is missing is made again") from error
    if not isinstance(found, dict) or not keys <= found.keys():
        raise InputError(
            f"{path}: does not hold {', '.join(sorted(keys))}; remove it, and what is missing is made again"
        )
    return found
