"""The command line of an experiment: its configurations from a file, its records in a folder."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from rich.console import Console
from tyro.conf import FlagCreatePairsOff

from ..terminal.console import standard_error
from ..terminal.guard import TRIALS_FAILED, guarded
from ..terminal.usage import parse
from .plan import load_configs
from .run import Results, run
from .tables import overview
from .trial import TrialFunction


@dataclass(frozen=True)
class Options:
    """Run every trial of a file that has no record yet; interrupted or killed, call it again and it goes on.

    The file is TOML: each key is a field of the trial, and lists are crossed. `w2sg results DIR` shows a run at any
    time. Exit codes: 0 done, 1 trials failed, 2 input that cannot be used, 70 an error in the program,
    130 interrupted, 143 terminated.
    """

    config: Path
    """TOML file of configurations."""
    out: Path
    """Folder for the records; made where it is not there."""
    workers: int | None = None
    """Processes; by default one a GPU, or one for every two cores."""
    ray: str | None = None
    """Run on the Ray cluster at this address, HOST:PORT, instead; auto for the one that this machine belongs to, local
    for one that is started here."""
    cpus: float = 1.0
    """CPUs of the cluster for each trial."""
    gpus: float = 0.0
    """GPUs of the cluster for each trial."""
    retry_failed: Annotated[bool, FlagCreatePairsOff] = False
    """Run failed trials again."""


def main(function: TrialFunction[Any], argv: Sequence[str] | None = None) -> int:
    """The command line of one trial function; returns the exit code.

        if __name__ == "__main__":
            sys.exit(main(fit))

    Args:
        function: of ``trial``.
        argv: arguments; by default those of the process.
    """
    arguments = sys.argv[1:] if argv is None else argv
    module, _, name = function.name.partition(":")
    prog = f"python {sys.argv[0]}" if module == "__main__" else f"python -m {module}"
    return guarded(name, lambda: _run(function, parse(Options, arguments, prog)))


def _run(function: TrialFunction[Any], options: Options) -> int:
    """Run what the options ask for, and return the exit code."""
    console = standard_error()
    results = run(
        function,
        load_configs(options.config, function.config_type),
        options.out,
        workers=options.workers,
        ray=options.ray,
        cpus=options.cpus,
        gpus=options.gpus,
        retry_failed=options.retry_failed,
        console=console,
    )
    return _reported(results, console)


def _reported(results: Results, console: Console) -> int:
    """Print how a run ended, and return its exit code."""
    console.print(overview(results.records, planned=len(results.records)))
    for record in results.failed[:1]:
        console.print(f"the first that failed, {record['id']}:\n{record['error']}", markup=False, soft_wrap=True)
    if results.failed:
        console.print("--retry-failed runs them again", markup=False)
    return TRIALS_FAILED if results.failed else 0
