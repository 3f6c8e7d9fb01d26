"""Many representations in one folder, each under the hash of what made it, in shards that appear one by one.

    STORE/store.json                              says that the folder is one of these
    STORE/<hash>/entry.json                       name, rows, width, and what made it
    STORE/<hash>/part-00000-of-00003.safetensors  rows, in order

Nothing stale can be read: other weights, texts or settings have another hash. What is missing of an entry is written by
whoever comes next, in the same shards.
"""

import difflib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from .._errors import InputError
from .array_files import read, refusal, safetensors_entries, stamp_of
from .atomic import remove_stale, save_safetensors, write_text
from .content import bytes_hash
from .trees import read_metadata

MARK = "store.json"
FORMAT = "w2sg_jax store 2"
ABOUT = "entry.json"
DIGITS = 16
"""Of a hash that stand in the name of an entry's folder."""
ROWS = 512
"""Of a shard: what a run that is killed loses."""


@dataclass(frozen=True)
class StoreEntry:
    """One representation of a store, whole or not."""

    folder: Path
    """where its shards are"""
    name: str
    """what people call it, such as "minilm#6:mean@sciq\""""
    names: tuple[str, ...]
    """all that it has been called"""
    rows: int
    width: int
    made_from: Mapping[str, Any]
    """everything that its values depend on"""

    @property
    def parts(self) -> int:
        """Shards."""
        return -(-self.rows // ROWS)

    def part(self, number: int) -> Path:
        """The file of a shard."""
        return self.folder / f"part-{number:05d}-of-{self.parts:05d}.safetensors"

    def rows_of(self, number: int) -> slice:
        """The rows of a shard."""
        return slice(number * ROWS, min((number + 1) * ROWS, self.rows))

    def has(self, number: int) -> bool:
        """Whether a shard is there, whole, of this entry, and as it was written. Cost: reads it."""
        path, rows = self.part(number), self.rows_of(number)
        try:
            (found,) = safetensors_entries(path).values()
            if found.shape != (rows.stop - rows.start, self.width):
                return False
            array = read(path, found, stamp_of(path), mmap=True)
            return read_metadata(path) == self._told(number, array)
        except (InputError, OSError, ValueError):
            return False

    def write(self, number: int, rows: Shaped[np.ndarray, "rows width"]) -> None:
        """Write a shard, whole or not at all.

        Raises:
            OSError: it cannot be written, for instance because the disk is full.
        """
        array = np.ascontiguousarray(rows)
        save_safetensors(self.part(number), {"array": array}, self._told(number, array))

    def _told(self, number: int, array: np.ndarray) -> dict[str, str]:
        """What a shard says of itself: whose it is, and the hash of its values."""
        # One text: the library writes several in any order, and the bytes of a shard are to be the same every time.
        told = {"entry": self.folder.name, "part": number, "sha256": bytes_hash(array.tobytes())}
        return {"shard": json.dumps(told, sort_keys=True)}

    def missing(self) -> list[int]:
        """Shards that are not there, or not as they were written. Cost: reads those that are."""
        return [number for number in range(self.parts) if not self.has(number)]

    def prepare(self) -> None:
        """Make the store, the folder and what is said of them, where they are not there.

        Raises:
            OSError: they cannot be written.
        """
        store = self.folder.parent
        if not is_store(store):
            try:
                store.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise refusal(store, f"the folder cannot be made ({error.strerror})", "name another one") from error
            write_text(store / MARK, json.dumps({"format": FORMAT}) + "\n")
        self.folder.mkdir(exist_ok=True)
        remove_stale(self.folder)
        about = {"names": self.names, "rows": self.rows, "width": self.width, "made_from": self.made_from}
        text, path = json.dumps(about, indent=1, ensure_ascii=False) + "\n", self.folder / ABOUT
        if not path.exists() or path.read_text(encoding="utf-8", errors="replace") != text:
            write_text(path, text)


def entry_of(store: Path, name: str, rows: int, width: int, made_from: Mapping[str, Any]) -> StoreEntry:
    """The entry of what is made from these; nothing is written.

    Args:
        store: the folder.
        name: for people. An entry that is there already keeps its other names too.
        rows, width: of the representation.
        made_from: everything that its values depend on; what JSON can hold.

    Raises:
        InputError: the folder is there and is no store.
    """
    if (store / MARK).is_file() and not is_store(store):
        todo = "name another folder, or the version that wrote it"
        raise refusal(store, f"this store has another format than {FORMAT!r}", todo)
    if store.is_file() or (store.is_dir() and any(store.iterdir()) and not is_store(store)):
        raise refusal(store, "this is no store of representations", "give an empty folder, or one that is not there")
    folder = store / _hash(made_from)[:DIGITS]
    before = _read(folder / ABOUT)
    names = {name} if before is None else {name, *before.names}
    return StoreEntry(folder, name, tuple(sorted(names)), rows, width, dict(made_from))


def refuse_unwritable(store: Path) -> None:
    """Refuse a store that nothing can be added to, or that cannot be made, as far as that can be told (InputError)."""
    there = next((folder for folder in (store, *store.absolute().parents) if folder.exists()), Path("/"))
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        raise refusal(store, f"nothing can be written to {there}", "name another folder")


def is_store(folder: Path) -> bool:
    """Whether a folder says that it is one."""
    try:
        return json.loads((folder / MARK).read_text(encoding="utf-8")).get("format") == FORMAT
    except (OSError, ValueError, AttributeError):
        return False


def entries(store: Path) -> Iterator[StoreEntry]:
    """All entries of a store, by name. What is damaged, or was changed by hand, is none: extracting again mends it."""
    found = [entry for path in store.glob(f"*/{ABOUT}") if (entry := _read(path)) is not None]
    yield from sorted(found, key=lambda entry: (entry.name, entry.folder))


def _read(path: Path) -> StoreEntry | None:
    """What a file says of its entry; None where it says nothing that can be, or what the folder's name denies."""
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        rows, width, made_from, names = (about[key] for key in ("rows", "width", "made_from", "names"))
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    sizes = all(isinstance(size, int) and size >= 1 for size in (rows, width))
    named = isinstance(names, list) and names and all(isinstance(name, str) for name in names)
    if not sizes or not named or not isinstance(made_from, dict) or _hash(made_from)[:DIGITS] != path.parent.name:
        return None
    return StoreEntry(path.parent, names[0], tuple(names), rows, width, made_from)


def find(store: Path, name: str | None) -> StoreEntry:
    """The entry of a name, which may leave out the data set where it is the only one; or of its folder's name.

    Raises:
        InputError: there is no such entry, or several; or it is not whole, or not as it was written.
    """
    every = list(entries(store))
    if not every:
        raise refusal(store, "the store is empty", "fill it with w2sg extract")
    named = [entry for entry in every if name in (*entry.names, entry.folder.name)]
    named = named or [
        entry for entry in every if name is None or name in {called.rpartition("@")[0] for called in entry.names}
    ]
    names = sorted({called for entry in every for called in entry.names})
    if name is not None and len(named) > 1:
        told = "; ".join(f"{entry.folder.name} ({entry.name}, {_differs(entry, named)})" for entry in named)
        raise refusal(store, f"{len(named)} entries are called {name!r}", f"choose one by its folder: {told}")
    if len(named) != 1:
        close = difflib.get_close_matches(name or "", names, n=3) or names[:5]
        what = f"no entry is called {name!r}" if name else f"{len(every)} entries are in it"
        raise refusal(store, what, f"choose one: {', '.join(close)}")
    missing = named[0].missing()
    if missing:
        done = named[0].parts - len(missing)
        came = f"{named[0].name} is not whole: {done} of {named[0].parts} shards are there and as they were written"
        raise refusal(store, came, "run the same w2sg extract again: it goes on")
    return named[0]


def _differs(entry: StoreEntry, others: list[StoreEntry]) -> str:
    """What an entry is made from that others of its name are not."""
    values = {key: {json.dumps(one.made_from.get(key)) for one in others} for key in entry.made_from}
    told = [f"{key} {str(entry.made_from[key])[:DIGITS]}" for key, found in values.items() if len(found) > 1]
    return ", ".join(told)


def _hash(made_from: Mapping[str, Any]) -> str:
    """sha256 of the canonical JSON."""
    return bytes_hash(json.dumps(made_from, sort_keys=True, separators=(",", ":")).encode())
