"""Which files of a folder make up one array, and in which order."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

from .array_files import array_entry, kind, refusal, stamp_of
from .shards import ArrayPiece, Piece, Shards

ARRAYS = (".npy", ".safetensors")
TABLES = (".parquet", ".arrow")
_NUMBERED = re.compile(r"(?P<name>.+)-\d+-of-(?P<count>\d+)(-[0-9a-f]{8,})?\.\w+")
"""Files that say how many of them there are, as ``datasets`` and ``transformers`` name them."""


def open_shards(path: Path, key: str | None = None) -> Shards:
    """Open a file, or the files of a folder in the order of their names, as one array.

    Args:
        path: a .npy, .safetensors, .parquet or .arrow file, or a folder of one of these kinds. In a folder that
            ``datasets.Dataset.save_to_disk`` wrote, its own list says which files and in which order.
        key: the name of the array in each of the files, or of the column.

    Raises:
        InputError: the folder holds no such file, files of several kinds or splits, or fewer than their names say;
            or as ``open_piece`` and ``Shards``.
    """
    pieces = [open_piece(part, key) for part in (files_of(path) if path.is_dir() else [path])]
    found = [piece for piece in pieces if piece.rows or piece.path.suffix in ARRAYS]
    if not found:
        raise refusal(path, "there are no rows", "write it again, with at least one")
    return Shards(path, found)


def open_piece(path: Path, key: str | None) -> Piece:
    """Open one file by its suffix: its header alone.

    Raises:
        InputError: the file is damaged, or holds no such array or column of numbers.
    """
    if what := kind(path):
        raise refusal(path, f"this is {what}", "give a regular file")
    if path.suffix in ARRAYS:
        stamp = stamp_of(path)
        return ArrayPiece(path, stamp, array_entry(path, key))
    if path.suffix == ".parquet":
        from .parquet import ParquetPiece

        return ParquetPiece(path, key)
    from .arrow import ArrowPiece

    return ArrowPiece(path, key)


def files_of(folder: Path) -> Sequence[Path]:
    """The files of a folder that make up one array or table, in their order.

    Raises:
        InputError: none, those of several kinds or splits, or fewer than their names or the folder's own list say.
    """
    if (folder / "dataset_dict.json").exists():
        splits = ", ".join(sorted(path.name for path in folder.iterdir() if path.is_dir()))
        todo = "give the folder of one of them"
        raise refusal(folder, f"the folder is a dataset with several splits ({splits})", todo)
    if (folder / "state.json").exists():
        return _listed(folder)
    paths = sorted(path for path in folder.iterdir() if path.suffix in ARRAYS + TABLES and path.name[0] != ".")
    if not paths:
        inside = sorted({path.parent.name for path in folder.glob("*/*") if path.suffix in ARRAYS + TABLES})
        todo = f"give the folder {' or '.join(inside[:5])} in it" if inside else "give a file, or a folder of shards"
        raise refusal(folder, "the folder holds no .npy, .safetensors, .parquet or .arrow file", todo)
    kinds = sorted({path.suffix for path in paths})
    if len(kinds) > 1:
        raise refusal(folder, f"the folder holds {' and '.join(kinds)} files", "keep the shards of one array in it")
    _check_numbers(folder, paths)
    return paths


def _listed(folder: Path) -> Sequence[Path]:
    """The files that ``save_to_disk`` wrote, in its order."""
    state = folder / "state.json"
    try:
        found = json.loads(state.read_text(encoding="utf-8"))
        names = [entry["filename"] for entry in found["_data_files"]]
        indices = found.get("_indices_data_files")
        if not names or any(Path(name).name != name or Path(name).suffix != ".arrow" for name in names):
            raise ValueError(f"it lists {names[:5]}")
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        todo = "write it again with save_to_disk"
        raise refusal(state, f"no list of the data files of a dataset ({error!r})", todo) from error
    if indices:
        todo = "write it again with dataset.flatten_indices().save_to_disk"
        raise refusal(folder, "the dataset is a selection of the rows of its files", todo)
    for name in names:
        if not (folder / name).is_file():
            raise refusal(folder / name, "this file is in state.json and not in the folder", "copy the folder again")
    return [folder / name for name in names]


def _check_numbers(folder: Path, paths: Sequence[Path]) -> None:
    """Refuses files of several splits, and splits of which a file is missing."""
    matches = [match for path in paths if (match := _NUMBERED.fullmatch(path.name))]
    names = sorted({match["name"] for match in matches})
    if len(names) > 1:
        raise refusal(folder, f"the folder holds the splits {', '.join(names)}", "keep the files of one split in it")
    for count in sorted({int(match["count"]) for match in matches}):
        if len(matches) != count:
            came = f"{len(matches)} of the files that are called {names[0]}-...-of-{count} are in the folder"
            raise refusal(folder, came, f"all {count} are needed: copy the rest too")
