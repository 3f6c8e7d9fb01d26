"""Experiment I of the paper: molecules. `python -m experiments.molecules --help`."""

import sys

from w2sg_jax.terminal.guard import guarded
from w2sg_jax.terminal.usage import parse

from .options import Options
from .run import run

if __name__ == "__main__":
    prog = "python -m experiments.molecules"
    sys.exit(guarded("experiments.molecules", lambda: run(parse(Options, sys.argv[1:], prog))))
