"""Running one trial, wherever that is: its result or its traceback, and what computed it."""

import sys
import time
import traceback
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from .._errors import InputError
from ..report.record import checkout_of, now, plain, record, versions
from ..terminal.guard import missing_device
from .state import same_for_every_trial
from .trial import Trial, content_of, find, from_plain

DONE, FAILED = "done", "failed"
"""How a trial may end."""
STARTED, ENDED = "started", "ended"
"""What an engine tells of it."""


def execute(trial: Trial) -> dict[str, Any]:
    """Run a trial and return its record; a failure is a record too.

    Returns:
        id, function, version, config, inputs; status, result, error (a traceback), seconds; seed, dtype, versions,
        machine, time; commit and dirty, see ``checkout_of``. The dtype is JAX's default; functions of w2sg_jax compute
        in float64 whatever that is.

    Raises:
        InputError: JAX has no device here that JAX_PLATFORMS names, so that no trial could run.
    """
    start = time.perf_counter()
    result, error = None, None
    try:
        function = find(trial.function)  # before the state is noted: what its module sets holds for every trial
        computed_by()  # fails where no trial could run, before one has run for nothing; the return says why
        with same_for_every_trial(Path(trial.folder)):
            found = _checked(function.run(from_plain(trial.config, function.config_type, trial.paths)))
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
        **_checkout(trial.function.partition(":")[0]),
    }


def computed_by() -> dict[str, Any]:
    """dtype and machine of this process.

    Raises:
        InputError: JAX has no device here that JAX_PLATFORMS names.
    """
    import jax

    refused = missing_device()
    if refused is not None:
        raise refused
    here = record("trial", {}, {}, {})
    return {
        "dtype": "float64" if jax.config.jax_enable_x64 else "float32",  # pyright: ignore[reportAttributeAccessIssue]
        "machine": here["machine"],
    }


def _refuse_changed_inputs(trial: Trial) -> None:
    """InputError where the result may be of another content than the trial's id says."""
    for path, content in trial.inputs.items():
        if content_of(Path(trial.paths[path])) != content:
            raise InputError(f"{path}: it changed while the trial ran; run again, with the new content")


def _checked(result: Any) -> dict[str, Any]:
    """The result in the types of JSON; NaN and infinities stay numbers until they are written."""
    if not isinstance(result, Mapping):
        raise TypeError(f"a trial returns a mapping of names to values, not a {type(result).__name__}")
    return plain(result)


@cache
def _checkout(module: str) -> dict[str, Any]:
    """Commit of the checkout where the trial's module lies, and whether it was changed, when first asked for."""
    file = getattr(sys.modules.get(module), "__file__", None)
    return {"commit": None, "dirty": None} if file is None else checkout_of(Path(file))
