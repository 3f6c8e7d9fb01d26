import sys

from rich.console import Console


def _console(stderr: bool) -> Console:
    """A terminal's own width; into a file or a pipe, lines long enough that no table is folded."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(file=stream, width=None if stream.isatty() else 200)
