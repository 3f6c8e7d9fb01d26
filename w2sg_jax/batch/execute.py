"""Running one trial, wherever that is: its result or its traceback, and what computed it."""

import json
import sys
import time
import traceback
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from .._errors import InputError
from ..report.record import commit_of, now, record, to_json, versions
from .trial import Trial, content_of, find, from_plain

DONE, FAILED = "done", "failed"
"""How a trial may end."""
STARTED, ENDED = "started", "ended"
"""What an engine tells of it."""


def execute(trial: Trial) -> dict[str, Any]:
    """Run a trial and return its record; a failure is a record too.

    Returns:
        id, function, version, config, inputs; status, result, error (a traceback), seconds; seed, dtype, versions,
        machine, time, commit. The dtype is JAX's default; functions of w2sg_jax compute in float64 whatever that is.
    """
    start = time.perf_counter()
    result, error = None, None
    try:
        function = find(trial.function)
        found = _checked(function.run(from_plain(trial.config, function.config_type)))
        _refuse_changed_inputs(trial)
        result = found
    except BaseException:
        error = traceback.format_exc()
    return record_of(trial, result, error) | {"seconds": time.perf_counter() - start} | computed_by()


def record_of(trial: Trial, result: dict[str, Any] | None, error: str | None) -> dict[str, Any]:
    """The record of a trial that has ended; of what computed it, only what the driver knows as well."""
    return {
        "id": trial.id,
        "function": trial.function,
        "version": trial.version,
        "config": trial.config,
        "inputs": trial.inputs,
        "status": FAILED if result is None else DONE,
        "result": result,
        "error": error,
        "seconds": None,
        "seed": trial.config.get("seed"),
        "dtype": None,
        "machine": None,
        "versions": versions(),
        "time": now(),
        "commit": _commit(trial.function.partition(":")[0]),
    }


def computed_by() -> dict[str, Any]:
    """dtype and machine of this process."""
    import jax

    here = record("trial", {}, {}, {})
    return {
        "dtype": "float64" if jax.config.jax_enable_x64 else "float32",  # pyright: ignore[reportAttributeAccessIssue]
        "machine": here["machine"],
    }


def _refuse_changed_inputs(trial: Trial) -> None:
    for path, content in trial.inputs.items():
        if content_of(Path(path)) != content:
            raise InputError(f"{path}: it changed while the trial ran; run again, with the new content")


def _checked(result: Any) -> dict[str, Any]:
    """The result as JSON has it."""
    if not isinstance(result, Mapping):
        raise TypeError(f"a trial returns a mapping of names to values, not a {type(result).__name__}")
    return json.loads(to_json(result))


@cache
def _commit(module: str) -> str | None:
    """The commit of the checkout where the trial's module lies."""
    file = getattr(sys.modules.get(module), "__file__", None)
    return None if file is None else commit_of(Path(file).parent)
