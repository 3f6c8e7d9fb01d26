"""The `w2sg` command: finds the command, reads its options, and turns failures into exit codes."""

import difflib
import errno
import inspect
import os
import shutil
import sys
import textwrap
from collections.abc import Callable, Sequence
from typing import Any

from rich.console import Console

from ._errors import InputError
from .commands.streams import Terminated, abandon, terminating, usable_streams
from .commands.usage import parse
from .report.text import printable

READER_GONE, USAGE_ERROR, INTERRUPTED, TERMINATED = 1, 2, 130, 143

HELP = """\
usage: w2sg [-h] [--version] COMMAND ...

Predicts weak-to-strong generalization from representations, before any training run: how much of a strong
model's potential is lost when it learns from the labels of a weak one.

commands:
  gap         one weak and one strong model, from two files of representations
  rank        several weak models against a strong one, best first, with intervals
  quickstart  the whole method on bundled molecules: train encoders, rank them, compare with what happens
  results     what a batch of trials has come to, finished or not
  bench       what this machine reaches, beside its limit, in a minute

w2sg COMMAND --help explains the numbers and shows an example.

exit codes: 0 done, 1 the reader of the output went away, 2 input that cannot be used or output that
cannot be written (one line on stderr says why), 3 another process of --hosts has gone, 130 interrupted,
143 terminated.
W2SG_DEBUG=1 shows where in the program an input was refused.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs `w2sg` with the given arguments (default: those of the process) and returns its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    return guarded("w2sg", lambda: _main(arguments))


def guarded(name: str, run: Callable[[], int]) -> int:
    """Run a command; interruptions, and failures that are the user's to mend, become a line on stderr and an exit code.

    Args:
        name: of the command, before each such line.
        run: the command; returns its exit code.
    """
    with usable_streams(), terminating():
        return _guarded(name, run)


def _guarded(name: str, run: Callable[[], int]) -> int:
    try:
        code = run()
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        print(f"{name}: interrupted", file=sys.stderr)
        return INTERRUPTED
    except Terminated:
        print(f"{name}: terminated", file=sys.stderr)
        return TERMINATED
    except BrokenPipeError:
        abandon(sys.stdout)
        return READER_GONE
    except (InputError, OSError) as error:
        if os.environ.get("W2SG_DEBUG"):
            raise
        print(f"{name}: {printable(' '.join(reason(error).split()))}", file=sys.stderr)
        return USAGE_ERROR


def reason(error: InputError | OSError) -> str:
    """The error's text; a full disk that no file is named for is that of the output stream."""
    if isinstance(error, OSError) and error.errno == errno.ENOSPC and error.strerror and error.filename is None:
        abandon(sys.stdout)
        return f"standard output: cannot be written ({error.strerror}); free some space, or lead it elsewhere"
    return str(error)


def _main(arguments: list[str]) -> int:
    name, *rest = arguments or [""]
    if name in ("", "-h", "--help"):
        print(HELP, end="", file=sys.stdout if name else sys.stderr)
        return 0 if name else USAGE_ERROR
    if name == "--version":
        from . import __version__

        print(f"w2sg {__version__}")
        return 0
    if name not in COMMANDS:
        close = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"did you mean {close[0]}?" if close else f"the commands are {', '.join(COMMANDS)}"
        raise InputError(f"{name!r} is not a command; {hint}")
    options_type, run = COMMANDS[name]()
    try:
        options = parse(options_type, rest, f"w2sg {name}", _description(options_type))
    except SystemExit:  # help was printed
        return 0
    if getattr(options, "hosts", None):
        from .commands.hosts import supervised

        return supervised(arguments, options)
    return run(options)


def _description(options_type: type) -> str:
    """The class docstring, filled to the terminal; the leading blank keeps tyro from joining the lines."""
    width = min(100, shutil.get_terminal_size().columns) - 1
    paragraphs = (inspect.getdoc(options_type) or "").split("\n\n")
    filled = [text if "\n  " in text else textwrap.fill(text, width, break_on_hyphens=False) for text in paragraphs]
    return textwrap.indent("\n\n".join(filled), " ")


def _reporting(run: Callable[..., dict[str, Any]]) -> Callable[[Any], int]:
    """Gives a command its streams: with --json nothing but one JSON object goes to stdout."""

    def command(options: Any) -> int:
        progress = _console(stderr=True)
        record = run(options, progress if options.json else _console(stderr=False), progress)
        if options.json:
            from .report.record import to_json

            print(to_json(record))
        return 0

    return command


def _console(stderr: bool) -> Console:
    """A terminal's own width; into a file or a pipe, lines long enough that no table is folded."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(file=stream, width=None if stream.isatty() else 200)


def _gap() -> tuple[type, Callable[[Any], int]]:
    from .commands.gap import GapOptions, run

    return GapOptions, _reporting(run)


def _rank() -> tuple[type, Callable[[Any], int]]:
    from .commands.rank import RankOptions, run

    return RankOptions, _reporting(run)


def _quickstart() -> tuple[type, Callable[[Any], int]]:
    from .commands.quickstart import QuickstartOptions, run

    return QuickstartOptions, _reporting(run)


def _bench() -> tuple[type, Callable[[Any], int]]:
    from .commands.bench import BenchOptions, run

    return BenchOptions, _reporting(run)


def _results() -> tuple[type, Callable[[Any], int]]:
    from .commands.results import ResultsOptions, run

    return ResultsOptions, _reporting(run)


COMMANDS = {"gap": _gap, "rank": _rank, "quickstart": _quickstart, "results": _results, "bench": _bench}

if __name__ == "__main__":
    sys.exit(main())
