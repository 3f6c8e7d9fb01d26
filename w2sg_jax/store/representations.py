"""Representations on disk: safetensors, npy, npz, and columns of Parquet and Arrow, told apart by suffix.

The content is checked against the suffix. Nothing is unpickled, nothing is written in place, and what a file does not
say about itself is an error.
"""

import difflib
import os
import zipfile
from pathlib import Path

import ml_dtypes
import numpy as np
from jaxtyping import Shaped
from numpy.typing import ArrayLike

from .._errors import InputError
from . import array_files
from .array_files import as_path, check_dtype, refusal
from .atomic import check_folder, check_writable, replacing, save_safetensors
from .entries import find, is_store
from .folders import TABLES, open_shards
from .foreign import SupportsDLPack, as_numpy, native
from .shards import Shards

SUFFIXES = array_files.SUFFIXES


def load(
    path: str | os.PathLike[str], *, key: str | None = None, mmap: bool = True
) -> Shaped[np.ndarray, "..."] | Shards:
    """Reads one array of representations or labels from a file, or from a folder of shards.

    Args:
        path: a .safetensors, .npy, .npz, .parquet or .arrow file; its suffix says the format, and the content is
            checked against it. A folder of files of one of these kinds (not .npz) is one array, its rows in the order
            of the files' names; so is a folder that ``datasets.Dataset.save_to_disk`` wrote, in its own order.
        key: the array's name in a .safetensors or .npz file, the column's in a .parquet or .arrow file; may be left out
            when there is one. A column holds numbers, or one list of numbers a row, all of one length, or one array of
            the shape (1, d) a row, as ``datasets.Array2D`` writes it; its name is a whole one, also with dots in it.
        mmap: leave the data on disk and map it read-only, so that memory is used only for the rows that are
            looked at. A .npz file is a zip archive and is always read whole.

    Returns:
        The array as it was stored: bfloat16, float16, float32, float64, an integer type or bool. Of a folder and of
        columns, Shards, which all functions take in place of an array and read as they go.

    Raises:
        FileNotFoundError: there is no such file.
        InputError: the path has another suffix; the folder holds no shards of one array; the file is empty,
            truncated, not what its suffix says, or holds pickled objects or another type; the key is missing,
            unknown or of no use; pyarrow, which reads columns, is not installed.
            The message names the file and says what to do.

    Cost: with `mmap`, and for Shards, the headers alone; otherwise one read of the array.
    """
    path = as_path(path)
    if not path.is_dir():
        _check_file(path)
    if path.is_dir() and is_store(path):
        return open_shards(find(path, key).folder)
    if path.is_dir() or path.suffix in TABLES:
        return open_shards(path, key)
    if path.suffix == ".npz":
        return native(array_files.read_npz(path, key))
    stamp = array_files.stamp_of(path)
    return native(array_files.read(path, array_files.array_entry(path, key), stamp, mmap))


def save(path: str | os.PathLike[str], array: ArrayLike | SupportsDLPack, *, key: str = "array") -> None:
    """Writes one array to a .safetensors, .npy or .npz file, whole or not at all.

    The data goes to a temporary name in the same folder, is flushed to disk and then renamed, so that an
    interrupted call leaves what was there before.

    Args:
        path: the file; its suffix chooses the format. An existing file is replaced, its folder must exist.
        array: bfloat16 (.safetensors only), float16, float32, float64, integers or bool, of any shape; NumPy,
            or anything that NumPy or DLPack can read.
        key: the array's name in a .safetensors or .npz file.

    Raises:
        FileNotFoundError: the folder does not exist.
        InputError: another suffix, a folder, a name that no array can have, masked values, or a type that
            the format cannot hold.
        OSError: the file cannot be written, for instance because the disk is full.
    """
    path = as_path(path)
    _check_name(path)
    _check_key(key)
    data = native(as_numpy(array))
    check_dtype(path, data.dtype)
    if path.suffix == ".safetensors":
        save_safetensors(path, {key: data if data.flags.c_contiguous else data.copy(order="C")})
        return
    if data.dtype == ml_dtypes.bfloat16:
        raise refusal(path, f"a {path.suffix} file cannot hold bfloat16", "save it as .safetensors, or as float32")
    with replacing(path) as temporary, open(temporary, "wb") as file:
        if path.suffix == ".npy":
            np.save(file, data, allow_pickle=False)
        else:
            with (
                zipfile.ZipFile(file, "w") as archive,
                archive.open(f"{key}.npy", "w", force_zip64=True) as member,
            ):
                np.lib.format.write_array(member, data, allow_pickle=False)


def check_target(path: str | os.PathLike[str]) -> None:
    """Refuses a name that `save` could not write to, before any work is done for it.

    Raises:
        FileNotFoundError: the folder does not exist.
        InputError: another suffix, or a folder.
        OSError: no file can be made in the folder.
    """
    path = as_path(path)
    _check_name(path)
    check_writable(path)


def split_location(text: str) -> tuple[str, str | None]:
    """Splits `FILE::name` into the file and the name of an array in it; `FILE`, or a file of that whole name: None.

    Raises:
        InputError: one side of `::` is empty.
    """
    path, colons, key = text.rpartition("::")
    if not colons or os.path.exists(text):
        return text, None
    if not path or not key:
        raise InputError(f"{text!r}: expected FILE or FILE::name, with something on both sides of '::'")
    return path, key


def _check_name(path: Path) -> None:
    _check_suffix(path, SUFFIXES)
    if path.is_dir():
        raise refusal(path, "this is a folder", "give the name of a file in it")
    if path.exists() and (kind := array_files.kind(path)):
        raise refusal(path, f"this is {kind}", "give the name of a file")
    check_folder(path)


def _check_suffix(path: Path, suffixes: tuple[str, ...]) -> None:
    if path.suffix not in suffixes:
        raise refusal(
            path,
            f"the suffix {path.suffix!r} is none of these" if path.suffix else "the name has no suffix",
            f"use one of {', '.join(suffixes)}",
        )


def _check_key(key: object) -> None:
    if not isinstance(key, str):
        raise InputError(f"key: expected the array's name as a str, got {key!r}; leave it out for 'array'")
    if not key or "\0" in key or key == "__metadata__" or not _is_text(key):
        raise InputError(f"key: {key!r} cannot be an array's name in a file; pass a word such as 'array'")


def _is_text(key: str) -> bool:
    """Whether UTF-8 has it: halves of surrogate pairs are none."""
    return not any("\ud800" <= letter <= "\udfff" for letter in key)


def _check_file(path: Path) -> None:
    if not path.exists():
        if path.is_symlink():
            raise FileNotFoundError(f"{path}: a link to {os.readlink(path)}, which does not exist; mend the link")
        raise FileNotFoundError(f"{path}: there is no such file{_nearest(path)}")
    _check_suffix(path, SUFFIXES + TABLES)
    if kind := array_files.kind(path):
        raise refusal(path, f"this is {kind}", "give a regular file, since arrays are mapped")
    if path.stat().st_size == 0:
        raise refusal(path, "the file is empty (0 bytes)", "write it again")


def _nearest(path: Path) -> str:
    if not path.parent.is_dir():
        return f"; the folder {path.parent} does not exist either"
    names = [p.name for p in path.parent.iterdir() if p.suffix in SUFFIXES + TABLES]
    close = difflib.get_close_matches(path.name, names, n=1)
    return f"; did you mean {path.with_name(close[0])}?" if close else "; check the path"
