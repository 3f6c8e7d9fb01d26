"""How a command ends: every failure becomes a line on standard error and an exit code, here and nowhere else."""

import errno
import os
import sys
import traceback
from collections.abc import Callable

from .._errors import InputError
from .streams import Terminated, abandon, terminating, usable_streams
from .text import printable

TRIALS_FAILED = 1
"""Trials of a batch failed; their records say why."""
READER_GONE = 1
"""Whoever read standard output has left."""
USAGE_ERROR = 2
"""Input that cannot be used, or output that cannot be written."""
CRASHED = 70
"""An error that is not the user's to mend; EX_SOFTWARE of sysexits.h, so that no failed trial looks like it."""
INTERRUPTED, TERMINATED = 130, 143
"""128 and the number of the signal, as a shell has it."""


def guarded(name: str, run: Callable[[], int]) -> int:
    """Run a command to its exit code: what it raises becomes one, with a line on stderr.

    Args:
        name: of the command, before that line.
        run: the command; returns its exit code. It may raise SystemExit where it has nothing to do, as after help.
    """
    with usable_streams(), terminating():
        try:
            code = run()
            sys.stdout.flush()
            return code
        except SystemExit as stop:
            if stop.code:
                raise
            return 0
        except (KeyboardInterrupt, Terminated, Exception) as error:
            code, text = ending(error)
            if text:
                print(f"{name}: {text}", file=sys.stderr)
            return code


def ending(error: BaseException) -> tuple[int, str]:
    """What an error makes of a command: its exit code, and what to say on stderr; nothing where nobody listens.

    A mistake of the user's is one line, with its traceback where W2SG_DEBUG is set; anything else is a traceback.
    """
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED, "interrupted"
    if isinstance(error, Terminated):
        return TERMINATED, "terminated"
    if isinstance(error, BrokenPipeError):
        abandon(sys.stdout)
        return READER_GONE, ""
    trace = "".join(traceback.format_exception(error)).rstrip()
    if isinstance(error, RuntimeError | AssertionError):  # JAX raises both where it finds no device
        error = missing_device() or _unknown_platform(error) or error
    if isinstance(error, InputError | OSError):
        line = printable(" ".join(_reason(error).split()))
        return USAGE_ERROR, f"{line}\n{trace}" if os.environ.get("W2SG_DEBUG") else line
    return CRASHED, f"an error in the program\n{trace}"


def missing_device() -> InputError | None:
    """What is wrong with JAX_PLATFORMS, where JAX is loaded already and has none of the devices that it names."""
    wanted, jax = os.environ.get("JAX_PLATFORMS"), sys.modules.get("jax")
    if not wanted or jax is None:
        return None
    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition(" (set JAX_PLATFORMS")[0]
        reason = reason and f" ({reason})"
        return InputError(
            f"JAX_PLATFORMS={wanted}: JAX finds no such device on this machine{reason}; name one that is here, such as"
            " cpu, or leave the variable unset"
        )
    return None


def _unknown_platform(error: BaseException) -> InputError | None:
    """A platform that JAX complained of while it has others by now: those before it in JAX_PLATFORMS."""
    wanted = os.environ.get("JAX_PLATFORMS")
    reason = str(error).partition(" (set JAX_PLATFORMS")[0]
    if not wanted or not reason.startswith(("Unable to initialize backend", "Unknown backend")):
        return None
    return InputError(f"JAX_PLATFORMS={wanted}: {reason}; name devices of this machine alone, such as cpu")


def _reason(error: InputError | OSError) -> str:
    """The error's text; a full disk that no file is named for is that of the output stream."""
    if isinstance(error, OSError) and error.errno == errno.ENOSPC and error.strerror and error.filename is None:
        abandon(sys.stdout)
        return f"standard output: cannot be written ({error.strerror}); free some space, or lead it elsewhere"
    return str(error)
