"""Files that appear whole or not at all."""

import contextlib
import errno
import os
import stat
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from .._errors import InputError

STALE = 10.0
"""Seconds after its last change from which a temporary file is taken to be left over by a killed process."""
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, None)
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Gives a temporary file beside `path`, which in the end takes its place, or disappears on an error.

    What was written is flushed to disk before it is renamed, so that neither an interruption nor a crash
    leaves half a file under the name that others read. The new file has the permissions of the one that it
    replaces, otherwise those that the umask gives.

    Args:
        path: the file to write. A symbolic link is followed, not replaced.

    Raises:
        FileNotFoundError: the folder does not exist.
        OSError: it cannot be written; the message names `path` and says what to do.
    """
    check_folder(path)
    target = Path(os.path.realpath(path))
    temporary = _temporary(target)
    try:
        mode = _create(temporary)
        with contextlib.suppress(OSError):
            mode = stat.S_IMODE(target.stat().st_mode)
        yield temporary
        if stat.S_IMODE(temporary.stat().st_mode) != mode:
            temporary.chmod(mode)
        _flush(temporary)
        os.replace(temporary, target)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        names = [name and os.fspath(name) for name in (error.filename, error.filename2)]
        if names[0] is None or str(temporary) in names:
            raise _failed(path, error) from error
        raise
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    _flush(target.parent)


def save_safetensors(
    path: str | os.PathLike[str], arrays: Mapping[str, np.ndarray], metadata: dict[str, str] | None = None
) -> None:
    """Writes a safetensors file whole or not at all.

    Args:
        path: the file to write; an existing one is replaced.
        arrays: name -> array, contiguous in C order.
        metadata: text to keep with them.

    Raises:
        OSError: it cannot be written.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import save_file

    with replacing(path) as temporary:
        try:
            save_file(dict(arrays), temporary, metadata=metadata)
        except SafetensorError as error:
            raise OSError(str(error)) from error


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Writes a text file (UTF-8) whole or not at all.

    Args:
        path: the file to write; an existing one is replaced.
        text: its content.

    Raises:
        FileNotFoundError: the folder does not exist.
        OSError: it cannot be written.
    """
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def check_folder(path: str | os.PathLike[str]) -> None:
    """Refuses a file whose folder does not exist (FileNotFoundError)."""
    folder = Path(os.path.realpath(path)).parent
    if not folder.is_dir():
        raise FileNotFoundError(f"{path}: the folder {folder} does not exist; create it first")


def check_writable(path: str | os.PathLike[str]) -> None:
    """Refuses a file that cannot be made (OSError), by making an empty one beside it for a moment."""
    check_folder(path)
    temporary = _temporary(Path(os.path.realpath(path)))
    try:
        _create(temporary)
        temporary.unlink()
    except OSError as error:
        raise _failed(path, error) from error


def make_results_folder(folder: Path) -> None:
    """Make the folder that results are to be written to, and refuse one that they cannot be (InputError, OSError)."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"out: {folder} cannot be made ({error.strerror}); name another folder") from error
    check_writable(folder / "results.json")


def remove_stale(folder: Path) -> None:
    """Removes the temporary files that a killed process left in a folder; one that is being written stays."""
    for left in folder.glob(".*tmp*"):  # also the safetensors library's own, .tmpXXXXXX
        with contextlib.suppress(OSError):
            if time.time() - left.stat().st_mtime > STALE:
                left.unlink()


def _temporary(target: Path) -> Path:
    return target.with_name(f".{target.stem[:32]}-{uuid.uuid4().hex[:12]}.tmp{target.suffix}")


def _create(path: Path) -> int:
    """Makes an empty file and returns the permissions that the umask gave it."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        return stat.S_IMODE(os.fstat(descriptor).st_mode)
    finally:
        os.close(descriptor)


def _failed(path: str | os.PathLike[str], error: OSError) -> OSError:
    """The same failure in words that name the file that was wanted, not the temporary one."""
    reason = error.strerror or str(error)
    todo = "check the disk, or write to another folder"
    if error.errno in _FULL:
        todo = "free some space if the disk is full, or write to another one"
    elif error.errno in _FORBIDDEN:
        todo = "write to a folder where you may make files"
    failed = type(error)(f"{os.fspath(path)}: cannot be written ({reason}); {todo}")
    failed.errno = error.errno
    return failed


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
