"""Language models fine-tuned end to end. `python -m experiments.llm --help`."""

import sys

from w2sg_jax.terminal.guard import guarded
from w2sg_jax.terminal.usage import parse

from .options import Options


def main() -> int:
    """Run what the command line asks for; returns the exit code."""
    options = parse(Options, sys.argv[1:], "python -m experiments.llm")
    from .run import run  # here: where an extra is missing, that is told in one line

    return run(options)


if __name__ == "__main__":
    sys.exit(guarded("experiments.llm", main))
