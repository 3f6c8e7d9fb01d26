"""The one console: where tables and progress go, and how wide they may be."""

import sys
from typing import Any

from rich.console import Console

PIPED_WIDTH = 200
"""Columns where the output is no terminal: no table is folded."""


def standard_output() -> Console:
    """A console on standard output."""
    return _on(sys.stdout)


def standard_error() -> Console:
    """A console on standard error."""
    return _on(sys.stderr)


def _on(stream: Any) -> Console:
    """A terminal has its own width, a file or a pipe ``PIPED_WIDTH``."""
    return Console(file=stream, width=None if stream.isatty() else PIPED_WIDTH)
