"""Many representations in one folder, each under the hash of what made it, in shards that appear one by one.

    STORE/store.json                              says that the folder is one of these
    STORE/<hash>/entry.json                       name, rows, width, and what made it
    STORE/<hash>/part-00000-of-00003.safetensors  rows, in order

Nothing stale can be read: other weights, texts or settings have another hash. What is missing of an entry is written by
whoever comes next, in the same shards.
"""

import difflib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Shaped

from .._errors import InputError
from .array_files import refusal, safetensors_entries
from .atomic import remove_stale, save_safetensors, write_text
from .content import bytes_hash

MARK = "store.json"
FORMAT = "w2sg_jax store 1"
ABOUT = "entry.json"
DIGITS = 16
"""Of a hash that stand in the name of an entry's folder."""
ROWS = 2048
"""Of a shard: what a run that is killed loses."""


@dataclass(frozen=True)
class StoreEntry:
    """One representation of a store, whole or not."""

    folder: Path
    """where its shards are"""
    name: str
    """what people call it, such as "minilm#6:mean@sciq\""""
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
        """Whether a shard is there, and whole; a damaged one is removed."""
        path, rows = self.part(number), self.rows_of(number)
        if not path.exists():
            return False
        try:
            shapes = [entry.shape for entry in safetensors_entries(path).values()]
        except InputError:
            shapes = []
        if shapes == [(rows.stop - rows.start, self.width)]:
            return True
        path.unlink(missing_ok=True)
        return False

    def write(self, number: int, rows: Shaped[np.ndarray, "rows width"]) -> None:
        """Write a shard, whole or not at all.

        Raises:
            OSError: it cannot be written, for instance because the disk is full.
        """
        save_safetensors(self.part(number), {"array": np.ascontiguousarray(rows)})

    def missing(self) -> list[int]:
        """Shards that are not there."""
        return [number for number in range(self.parts) if not self.has(number)]


def entry_of(store: Path, name: str, rows: int, width: int, made_from: Mapping[str, Any]) -> StoreEntry:
    """The entry of what is made from these, which is made where it is not there.

    Args:
        store: the folder; it is made, and marked, where it is not there.
        name: for people. An entry that is there already keeps its folder and takes the new name.
        rows, width: of the representation.
        made_from: everything that its values depend on; what JSON can hold.

    Raises:
        InputError: the folder is there and is no store.
        OSError: it cannot be written.
    """
    if store.is_file() or (store.is_dir() and any(store.iterdir()) and not is_store(store)):
        raise refusal(store, "this is no store of representations", "give an empty folder, or one that is not there")
    if not is_store(store):
        store.mkdir(parents=True, exist_ok=True)
        write_text(store / MARK, json.dumps({"format": FORMAT}) + "\n")
    folder = store / _hash(made_from)[:DIGITS]
    folder.mkdir(exist_ok=True)
    remove_stale(folder)
    entry = StoreEntry(folder, name, rows, width, dict(made_from))
    about = {"name": name, "rows": rows, "width": width, "made_from": entry.made_from}
    text = json.dumps(about, indent=1, ensure_ascii=False) + "\n"
    path = folder / ABOUT
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        write_text(path, text)
    return entry


def is_store(folder: Path) -> bool:
    """Whether a folder says that it is one."""
    try:
        return json.loads((folder / MARK).read_text(encoding="utf-8")).get("format") == FORMAT
    except (OSError, ValueError, AttributeError):
        return False


def entries(store: Path) -> Iterator[StoreEntry]:
    """All entries of a store, by name.

    Raises:
        InputError: an entry says of itself what its folder's name denies.
    """
    found = []
    for path in sorted(store.glob(f"*/{ABOUT}")):
        entry = _read(path)
        if entry is None or _hash(entry.made_from)[:DIGITS] != path.parent.name:
            raise refusal(path, "it is damaged, or was changed by hand", f"remove {path.parent} and extract again")
        found.append(entry)
    yield from sorted(found, key=lambda entry: entry.name)


def _read(path: Path) -> StoreEntry | None:
    """What a file says of its entry; None where it says nothing that can be."""
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        entry = StoreEntry(path.parent, about["name"], about["rows"], about["width"], about["made_from"])
        sizes = [isinstance(size, int) and size >= 1 for size in (entry.rows, entry.width)]
        return entry if all(sizes) and isinstance(entry.name, str) and isinstance(entry.made_from, dict) else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def find(store: Path, name: str | None) -> StoreEntry:
    """The entry of a name, which may leave out the data set where it is the only one; or of its folder's name.

    Raises:
        InputError: there is no such entry, or several; or it is not whole.
    """
    every = list(entries(store))
    if not every:
        raise refusal(store, "the store is empty", "fill it with w2sg extract")
    named = [entry for entry in every if name in (entry.name, entry.folder.name)]
    named = named or [entry for entry in every if name is None or entry.name.rpartition("@")[0] == name]
    names = sorted({entry.name for entry in every})
    if len({entry.name for entry in named}) == 1 and len(named) > 1:
        told = "; ".join(f"{entry.folder.name} ({_differs(entry, named)})" for entry in named)
        raise refusal(store, f"{len(named)} entries are called {named[0].name!r}", f"choose a folder: {told}")
    if len(named) != 1:
        close = difflib.get_close_matches(name or "", names, n=3) or names[:5]
        what = f"{len(named)} entries are called {name!r}" if named else f"no entry is called {name!r}"
        raise refusal(store, what if name else f"{len(every)} entries are in it", f"choose one: {', '.join(close)}")
    missing = named[0].missing()
    if missing:
        done = named[0].parts - len(missing)
        raise refusal(store, f"{named[0].name} is not whole: {done} of {named[0].parts} shards",
                      "run the same w2sg extract again: it goes on")  # fmt: skip
    return named[0]


def _differs(entry: StoreEntry, others: list[StoreEntry]) -> str:
    """What an entry is made from that others of its name are not."""
    values = {key: {json.dumps(one.made_from.get(key)) for one in others} for key in entry.made_from}
    told = [f"{key} {str(entry.made_from[key])[:DIGITS]}" for key, found in values.items() if len(found) > 1]
    return ", ".join(told)


def _hash(made_from: Mapping[str, Any]) -> str:
    """sha256 of the canonical JSON."""
    return bytes_hash(json.dumps(made_from, sort_keys=True, separators=(",", ":")).encode())
