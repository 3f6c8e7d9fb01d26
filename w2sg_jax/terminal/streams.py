"""The command's surroundings: its output streams and the signal that ends it."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any, TextIO


class Terminated(BaseException):
    """SIGTERM came; raised so that temporary files are removed on the way out."""


@contextlib.contextmanager
def usable_streams() -> Iterator[None]:
    """Streams that can be written to: a closed one leads nowhere, what an encoding lacks is escaped.

    Both are as they were afterwards.
    """
    with contextlib.ExitStack() as stack:
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if stream is None:
                stack.callback(setattr, sys, name, None)
                setattr(sys, name, stack.enter_context(open(os.devnull, "w", encoding="utf-8")))
            elif hasattr(stream, "reconfigure"):
                stack.callback(_restore, stream, stream.errors)
                stream.reconfigure(errors="backslashreplace")
        yield


@contextlib.contextmanager
def terminating() -> Iterator[None]:
    """Turns SIGTERM into `Terminated`, in the main thread and where nobody else handles it."""
    if threading.current_thread() is not threading.main_thread() or signal.getsignal(signal.SIGTERM) != signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def abandon(stream: TextIO) -> None:
    """Leads a stream nowhere whose reader has gone or whose disk is full: its buffer must not fail again at exit."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, stream.fileno())
        finally:
            os.close(nowhere)


def _restore(stream: Any, errors: str) -> None:
    with contextlib.suppress(OSError, ValueError):  # flushes, which fails when the reader has gone
        stream.reconfigure(errors=errors)


def _terminate(*_: object) -> None:
    raise Terminated
