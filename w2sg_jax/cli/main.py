"""The `w2sg` command: finds the command, reads its options and runs it."""

import difflib
import sys
from collections.abc import Callable, Sequence
from typing import Any

from .._errors import InputError
from ..terminal.console import standard_error, standard_output
from ..terminal.guard import USAGE_ERROR, guarded
from ..terminal.usage import parse

HELP = """\
usage: w2sg [-h] [--version] COMMAND ...

Predicts weak-to-strong generalization from representations, before any training run: how much of a strong
model's potential is lost when it learns from the labels of a weak one.

commands:
  gap         one weak and one strong model, from two files of representations
  rank        several weak models against a strong one, best first, with intervals
  predict     the same from model names and labelled texts: splits, representations, ranking
  extract     representations of texts by a language model, of any layers, kept and resumed
  quickstart  the whole method on bundled molecules: train encoders, rank them, compare with what happens
  datasets    labelled texts, known by name or of your own: rows, balance, splits and prompts
  results     what a batch of trials has come to, finished or not
  bench       what this machine reaches, beside its limit, in a minute

w2sg COMMAND --help explains the numbers and shows an example.

exit codes: 0 done, 1 the reader of the output went away, 2 input that cannot be used or output that
cannot be written (one line on stderr says why), 3 another process of --hosts has gone, 70 an error in the
program (a traceback on stderr shows where), 130 interrupted, 143 terminated.
W2SG_DEBUG=1 shows where in the program an input was refused.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs `w2sg` with the given arguments (default: those of the process) and returns its exit code."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    return guarded("w2sg", lambda: _main(arguments))


def _main(arguments: list[str]) -> int:
    name, *rest = arguments or [""]
    if name in ("", "-h", "--help"):
        print(HELP, end="", file=sys.stdout if name else sys.stderr)
        return 0 if name else USAGE_ERROR
    if name == "--version":
        from .. import __version__

        print(f"w2sg {__version__}")
        return 0
    if name not in COMMANDS:
        close = difflib.get_close_matches(name, COMMANDS, n=1)
        hint = f"did you mean {close[0]}?" if close else f"the commands are {', '.join(COMMANDS)}"
        raise InputError(f"{name!r} is not a command; {hint}")
    options_type, run = COMMANDS[name]()
    options = parse(options_type, rest, f"w2sg {name}")
    if getattr(options, "hosts", None):
        from .hosts import supervised

        return supervised(arguments, options)
    return run(options)


def _reporting(run: Callable[..., dict[str, Any]]) -> Callable[[Any], int]:
    """Gives a command its streams: with --json nothing but one JSON object goes to stdout."""

    def command(options: Any) -> int:
        progress = standard_error()
        record = run(options, progress if options.json else standard_output(), progress)
        if options.json:
            from ..report.record import to_json

            print(to_json(record))
        return 0

    return command


def _gap() -> tuple[type, Callable[[Any], int]]:
    from .gap import GapOptions, run

    return GapOptions, _reporting(run)


def _rank() -> tuple[type, Callable[[Any], int]]:
    from .rank import RankOptions, run

    return RankOptions, _reporting(run)


def _quickstart() -> tuple[type, Callable[[Any], int]]:
    from .quickstart import QuickstartOptions, run

    return QuickstartOptions, _reporting(run)


def _datasets() -> tuple[type, Callable[[Any], int]]:
    from .datasets import DatasetsOptions, run

    return DatasetsOptions, _reporting(run)


def _bench() -> tuple[type, Callable[[Any], int]]:
    from .bench import BenchOptions, run

    return BenchOptions, _reporting(run)


def _results() -> tuple[type, Callable[[Any], int]]:
    from .results import ResultsOptions, run

    return ResultsOptions, _reporting(run)


def _predict() -> tuple[type, Callable[[Any], int]]:
    from .predict import PredictOptions, run

    return PredictOptions, _reporting(run)


def _extract() -> tuple[type, Callable[[Any], int]]:
    from .extract import ExtractOptions, run

    return ExtractOptions, _reporting(run)


COMMANDS = {
    "gap": _gap,
    "rank": _rank,
    "predict": _predict,
    "extract": _extract,
    "quickstart": _quickstart,
    "datasets": _datasets,
    "results": _results,
    "bench": _bench,
}
