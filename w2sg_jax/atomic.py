"""Files that appear whole or not at all."""

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Gives a temporary name beside `path`, which in the end takes its place, or disappears on an error.

    What was written is flushed to disk before it is renamed, so that neither an interruption nor a crash
    leaves half a file under the name that others read.

    Args:
        path: the file to write. A symbolic link is followed, not replaced.

    Raises:
        FileNotFoundError: the folder does not exist.
    """
    check_folder(path)
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{target.stem}-{uuid.uuid4().hex[:12]}.tmp{target.suffix}")
    try:
        yield temporary
        _flush(temporary)
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _flush(target.parent)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Writes a text file (UTF-8) whole or not at all.

    Args:
        path: the file to write; an existing one is replaced.
        text: its content.

    Raises:
        FileNotFoundError: the folder does not exist.
    """
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def check_folder(path: str | os.PathLike[str]) -> None:
    """Refuses a file whose folder does not exist (FileNotFoundError)."""
    folder = Path(os.path.realpath(path)).parent
    if not folder.is_dir():
        raise FileNotFoundError(f"{path}: the folder {folder} does not exist; create it first")


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
