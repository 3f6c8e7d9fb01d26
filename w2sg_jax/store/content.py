"""Hashes of content: of an array, of named arrays, of a file or a folder; SHA-256 in hexadecimal digits.

They stand in the ids of trials, in the metadata of files and in published results, so that what each one covers never
changes; tests hold their digests.
"""

import hashlib
import math
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from .foreign import SupportsDLPack, as_numpy, native
from .shards import Shards, unmapped

BLOCK_BYTES = 1 << 26
"""Of an array that is not contiguous, or is on disk, hashed at a time."""


def content_hash(array: ArrayLike | SupportsDLPack | Shards) -> str:
    """The SHA-256 of an array's type, shape and values, as 64 hexadecimal digits.

    It does not depend on the memory layout, the byte order or the file that the array came from.

    Args:
        array: any numeric array, of any shape; a memory-mapped one, and shards, are read in blocks of 64 MiB.

    Cost: one pass over the array, no copy when it is contiguous.
    """
    array = unmapped(array)
    data = array if isinstance(array, Shards) else native(as_numpy(array))
    digest = hashlib.sha256(f"{data.dtype.name} {list(data.shape)}\n".encode())
    rows = data.reshape(1) if isinstance(data, np.ndarray) and data.ndim == 0 else data
    step = max(1, BLOCK_BYTES // max(1, rows.dtype.itemsize * math.prod(rows.shape[1:])))
    for start in range(0, len(rows), step):
        block = np.ascontiguousarray(rows[start : start + step]).reshape(-1)
        digest.update(block.view(np.uint8).data)
    return digest.hexdigest()


def named_hash(arrays: Mapping[str, np.ndarray]) -> str:
    """The SHA-256 of arrays with their names, types and shapes, in the order of the names, however they are stored."""
    digest = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        digest.update(f"{name} {array.dtype} {array.shape}".encode() + array.tobytes())
    return digest.hexdigest()


def bytes_hash(*parts: bytes) -> str:
    """The SHA-256 of some bytes, one part after the other."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return digest.hexdigest()


def texts_hash(*texts: str) -> str:
    """The SHA-256 of some texts, each after its length in bytes, so that ("ab", "c") and ("a", "bc") differ.

    What is drawn by hash, such as splits, is drawn by it: halves of surrogate pairs are texts here, too.
    """
    encoded = (text.encode("utf-8", "surrogatepass") for text in texts)
    return bytes_hash(*(b"%d:%b" % (len(one), one) for one in encoded))


def path_hash(path: Path) -> str:
    """The SHA-256 of a file's content, or of the names and contents of all files in a folder.

    Raises:
        OSError: there is no such file, or it cannot be read.

    Cost: one pass over the files; one whose size and time of modification are those of an earlier call is not read
    again.
    """
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file())
        return bytes_hash(*(f"{path_hash(file)} {file.relative_to(path).as_posix()}\n".encode() for file in files))
    status = path.stat()
    return _hash_of_version(path.absolute(), status.st_size, status.st_mtime_ns)


def file_hash(path: Path, algorithm: str = "sha256") -> str:
    """The digest of a file's bytes, by any algorithm of hashlib; the file is read each time.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest()


@cache
def _hash_of_version(path: Path, size: int, modified: int) -> str:
    """The digest of a file as it was at that size and time; a path from the root, as folders of work change."""
    return file_hash(path)
