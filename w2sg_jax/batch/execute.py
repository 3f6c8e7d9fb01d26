"""Running one trial, wherever that is: its result or its traceback, and what computed it."""

import json
import sys
import time
import traceback
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from ..report.record import commit_of, record, to_json
from .trial import Trial, find, from_plain

DONE, FAILED = "done", "failed"
"""How a trial may end."""
STARTED, ENDED = "started", "ended"
"""What an engine tells of it."""


def execute(trial: Trial) -> dict[str, Any]:
    """Run a trial and return its record; a failure is a record too.

    Returns:
        id, function, version, config, inputs; status, result, error (a traceback), seconds; seed, dtype, versions,
        machine, time, commit.
    """
    start = time.perf_counter()
    result, error = None, None
    try:
        function = find(trial.function)
        result = _checked(function.run(from_plain(trial.config, function.config_type)))
    except (Exception, SystemExit):
        error = traceback.format_exc()
    return record_of(trial, result, error) | {"seconds": time.perf_counter() - start} | _computed_by(trial)


def record_of(trial: Trial, result: dict[str, Any] | None, error: str | None) -> dict[str, Any]:
    """The record of a trial that has ended; nothing is said of what computed it."""
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
        **dict.fromkeys(("dtype", "versions", "machine", "time", "commit")),
    }


def _computed_by(trial: Trial) -> dict[str, Any]:
    import jax

    here = record("trial", {}, {}, {})
    return {
        "dtype": "float64" if jax.config.jax_enable_x64 else "float32",  # pyright: ignore[reportAttributeAccessIssue]
        "commit": _commit(trial.function.partition(":")[0]),
        **{key: here[key] for key in ("versions", "machine", "time")},
    }


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
