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


def commit_of(folder: Path) -> str | None:
    """The commit that is checked out where this folder lies, or None outside a checkout."""
    try:
        found = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False, cwd=folder)
    except OSError:
        return None
    return found.stdout.strip() or None


def to_json(value: Any, *, indent: int | None = 2) -> str:
    """JSON that every parser accepts, in ASCII; NaN and infinities, which JSON does not know, become null.

    Args:
        value: dictionaries, sequences, dataclasses, arrays and scalars of NumPy and JAX, paths, and what JSON has.
        indent: spaces a level; None for one line.

    Raises:
        TypeError: a value of another type.
    """
    return json.dumps(_plain(value), indent=indent, allow_nan=False)


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, np.ndarray | np.generic):
        return _plain(value.tolist())
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(item) for item in (sorted(value) if isinstance(value, set | frozenset) else value)]
    if isinstance(value, PurePath):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if hasattr(value, "__array__") and not isinstance(value, type):
        return _plain(np.asarray(value))
    raise TypeError(f"a {type(value).__name__} cannot be written as JSON: {value!r}")
