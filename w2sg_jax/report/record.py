"""The record of a run: its settings, its input, its result and what computed it, as strict JSON."""

import dataclasses
import json
import math
import platform
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path, PurePath
from typing import Any

import numpy as np

PACKAGES = ("jax", "jaxlib", "numpy", "scipy")


def record(
    command: str, settings: Mapping[str, Any], inputs: Mapping[str, Any], result: Mapping[str, Any]
) -> dict[str, Any]:
    """Everything that is needed to understand a number later, and to compute it again.

    Args:
        command: what was run.
        settings: every option, also those left at their defaults.
        inputs: what came in, with content hashes.
        result: what came out.

    Returns:
        A dictionary for `to_json`, with the versions, the device and the time added.
    """
    import jax

    device = jax.devices()[0]
    return {
        "command": command,
        "settings": dict(settings),
        "inputs": dict(inputs),
        "result": dict(result),
        "versions": versions(),
        "machine": {
            "system": platform.system(),
            "architecture": platform.machine(),
            "backend": device.platform,
            "device": device.device_kind,
            "devices": jax.device_count(),
        },
        "time": now(),
    }


def versions() -> dict[str, str]:
    """Of this package, of Python, and of the packages that compute."""
    from .. import __version__

    return {
        "w2sg_jax": __version__,
        "python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
    }


def now() -> str:
    """The time, in UTC."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def checkout_of(path: Path) -> dict[str, Any]:
    """Which version of its code a run had: what git knows of the checkout where a file or folder lies.

    Args:
        path: of the module that was run, or of its folder.

    Returns:
        commit: what is checked out; None outside a checkout. dirty: whether a file that git keeps differs from that
        commit, or the module is none that git keeps; None outside a checkout.
    """
    folder = path if path.is_dir() else path.parent
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit:
        return {"commit": None, "dirty": None}
    changed = _git(folder, "--no-optional-locks", "status", "--porcelain", "--untracked-files=no")
    kept = _git(folder, "ls-files", "--", path.name if folder != path else ".")
    return {"commit": commit, "dirty": bool(changed) or not kept}


def _git(folder: Path, *arguments: str) -> str:
    """What git prints in a folder; nothing where there is no git, or it fails."""
    try:
        found = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False, cwd=folder)
    except OSError:
        return ""
    return found.stdout.strip() if found.returncode == 0 else ""


NAN, INFINITY = "NaN", "Infinity"


def to_json(value: Any, *, indent: int | None = 2) -> str:
    """JSON that every parser accepts, in ASCII.

    JSON has no NaN and no infinities: they become the strings "NaN", "Infinity" and "-Infinity", which ``float`` of
    Python and ``Number`` of JavaScript read; None alone becomes null. So a text of these letters looks like the number:
    who reads has to know which of the two a field holds, and the records of a batch say it (`batch.Records`).

    Args:
        value: dictionaries, sequences, dataclasses, arrays and scalars of NumPy and JAX, paths, and what JSON has.
        indent: spaces a level; None for one line.

    Raises:
        TypeError: a value of another type.
    """
    return json.dumps(_spelled(plain(value)), indent=indent, allow_nan=False)


def rounded(value: Any, digits: int) -> Any:
    """Numbers in mappings and sequences to so many significant digits; None for what is not finite."""
    if isinstance(value, dict):
        return {key: rounded(one, digits) for key, one in value.items()}
    if isinstance(value, tuple | list):
        return [rounded(one, digits) for one in value]
    if isinstance(value, float):
        return float(f"{value:.{digits}g}") if math.isfinite(value) else None
    return value


def plain(value: Any) -> Any:
    """A value of `to_json` in the types of JSON: dictionaries, lists, texts, numbers (NaN too), truth values and None.

    Raises:
        TypeError: a value of another type.
    """
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(item) for item in (sorted(value) if isinstance(value, set | frozenset) else value)]
    if isinstance(value, PurePath):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if hasattr(value, "__array__") and not isinstance(value, type):
        return plain(np.asarray(value))
    raise TypeError(f"a {type(value).__name__} cannot be written as JSON: {value!r}")


def _spelled(value: Any) -> Any:
    """What `plain` gives, with the numbers that JSON does not know as texts."""
    if isinstance(value, dict):
        return {key: _spelled(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_spelled(item) for item in value]
    if not isinstance(value, float) or math.isfinite(value):
        return value
    return NAN if math.isnan(value) else INFINITY if value > 0 else f"-{INFINITY}"
