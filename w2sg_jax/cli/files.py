"""Arrays named on the command line: FILE, FILE::array and NAME=FILE."""

import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._errors import InputError

if TYPE_CHECKING:
    import numpy as np

    from ..store.shards import Shards

_UNSEEN = ("Cc", "Zl", "Zp")  # control characters, line and paragraph separators


def read(location: str) -> "np.ndarray | Shards":
    """The array at `FILE` or `FILE::array`, left on disk where the format allows it."""
    from ..store.representations import load, split_location
    from ..store.shards import unmapped

    path, key = split_location(location)
    return unmapped(load(path, key=key))


def refuse_input(target: str, locations: Sequence[str], option: str) -> None:
    """Refuse to write over a file that is read (InputError)."""
    from ..store.representations import split_location

    for location in locations:
        source = Path(split_location(location)[0])
        if source.exists() and Path(target).exists() and source.samefile(target):
            raise InputError(f"{option}: {target} is an input of this command; write to another file")


def named(locations: Sequence[str], what: str) -> dict[str, str]:
    """Names every location: NAME of `NAME=FILE`, else the array of `FILE::array`, else the file's stem.

    Args:
        locations: as on the command line.
        what: what they are, for the message.

    Raises:
        InputError: two of them get the same name, or one has a name that cannot be shown.
    """
    result: dict[str, str] = {}
    for text in locations:
        name, location = _name(text)
        if not location:
            raise InputError(f"{what}: {text!r} names no file; write {name}=FILE (a shell variable that is not set?)")
        if any(unicodedata.category(letter) in _UNSEEN for letter in name):
            raise InputError(f"{what}: the name {name!r} has control characters; call it otherwise, with NAME=FILE")
        if name in result:
            raise InputError(
                f"{what}: {result[name]} and {location} would both be called {name!r};"
                f" name them, for example {name}-1={result[name]} {name}-2={location}"
            )
        result[name] = location
    return result


def named_models(models: Sequence[str]) -> dict[str, str] | list[str]:
    """Models as NAME=MODEL, or without names, which they are given by what they are.

    Raises:
        InputError: some have names and some have not.
    """
    if nameless := next((text for text in models if text.startswith("=") and not Path(text).exists()), None):
        raise InputError(f"--weak: {nameless!r} has no name before the equals sign; write NAME=MODEL, or MODEL alone")
    given = [_explicit_name(text) for text in models]
    if not any(given):
        return list(models)
    if not all(given):
        plain = next(text for text, name in zip(models, given, strict=True) if not name)
        raise InputError(f"--weak: {plain} has no name and others have; write NAME=MODEL for all of them, or for none")
    return named(models, "--weak")


def paired(locations: Sequence[str], names: Sequence[str], what: str) -> dict[str, str]:
    """Gives every name its location: by `NAME=FILE` when each has a name, else in the order of `names`.

    Raises:
        InputError: the number or the names differ.
    """
    if len(locations) != len(names):
        raise InputError(f"{what}: {len(locations)} files for {len(names)} weak models; pass one for each, in order")
    given = [_explicit_name(text) for text in locations]
    if not any(given):
        return dict(zip(names, locations, strict=True))
    by_name = named(locations, what)
    unknown = [name for name in by_name if name not in names]
    if unknown or not all(given):
        raise InputError(
            f"{what}: {', '.join(map(repr, unknown)) or 'a file without a name'} fits none of the weak models"
            f" {', '.join(names)}; pass NAME=FILE for all of them, or plain files in the same order"
        )
    return {name: by_name[name] for name in names}


def described(arrays: "Mapping[str, tuple[str, np.ndarray | Shards]]") -> dict[str, Any]:
    """What the record of a run says of its input: where it was, what it is, and the hash of its content."""
    from ..store.content import content_hash

    return {
        role: {
            "location": location,
            "shape": list(array.shape),
            "dtype": array.dtype.name,
            "sha256": content_hash(array),
        }
        for role, (location, array) in arrays.items()
    }


def _name(text: str) -> tuple[str, str]:
    """The name of `NAME=FILE`, `FILE::array` or `FILE`, and where the file is."""
    explicit = _explicit_name(text)
    if explicit:
        return explicit, text[len(explicit) + 1 :]
    from ..store.representations import split_location

    path, key = split_location(text)
    return key or Path(path).stem, text


def _explicit_name(text: str) -> str | None:
    """NAME of `NAME=FILE`, or None; a file whose own path has an equals sign is found as it is."""
    from ..store.representations import split_location

    name, equals, _ = text.partition("=")
    if not equals or not name or "/" in name or Path(split_location(text)[0]).exists():
        return None
    return name
