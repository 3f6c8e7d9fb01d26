"""Files that are too large to bundle: from a folder of the user's, or fetched once, always compared with their hash."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from .._errors import InputError

DATA_VARIABLE = "W2SG_DATA"
"""Environment variable that names a folder with files that are not to be fetched."""


@dataclass(frozen=True)
class RemoteFile:
    """A published file."""

    path: str
    """where it is in a local folder of data; its bare name is looked for as well"""
    url: str
    """where it is published"""
    hash: str
    """"sha256:..." or "md5:...", as its publisher or we computed it"""

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
        InputError: the local file is another one; or it cannot be fetched: the message says how to do it by hand.
    """
    folder = data_dir or (Path(os.environ[DATA_VARIABLE]) if os.environ.get(DATA_VARIABLE) else None)
    if folder is not None and not folder.is_dir():
        raise InputError(f"data_dir: {folder} is not a folder")
    for path in () if folder is None else (folder / file.path, folder / file.name):
        if path.is_file():
            check_hash(path, file)
            return path
    return _fetched(file)


def check_hash(path: Path, file: RemoteFile) -> None:
    """InputError unless the content is that of the published file."""
    algorithm, _, expected = file.hash.partition(":")
    with path.open("rb") as content:
        found = hashlib.file_digest(content, algorithm).hexdigest()
    if found != expected:
        raise InputError(
            f"{path}: its {algorithm} is {found}, expected {expected}; it is not the published {file.name}, or not"
            f" whole: fetch it again from {file.url}"
        )


def _fetched(file: RemoteFile) -> Path:
    try:
        import pooch
    except ImportError:
        raise InputError(f'{file.name}: fetching it needs pip install "w2sg_jax[data]"; or {_by_hand(file)}') from None
    folder = Path(pooch.os_cache("w2sg_jax"))
    try:
        return Path(pooch.retrieve(file.url, file.hash, fname=file.name, path=folder, progressbar=True))
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"{file.name}: cannot be fetched ({reason}); {_by_hand(file)}") from error


def _by_hand(file: RemoteFile) -> str:
    return f"fetch {file.url} as {file.name} into a folder, and name that with --data-dir or {DATA_VARIABLE}"
