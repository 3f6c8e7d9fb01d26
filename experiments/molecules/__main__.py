"""Experiment I of the paper: molecules. `python -m experiments.molecules --help`."""

import sys

import tyro

from w2sg_jax.terminal.guard import guarded

from .options import Options
from .run import run

if __name__ == "__main__":
    options = tyro.cli(Options, prog="python -m experiments.molecules")
    sys.exit(guarded("experiments.molecules", lambda: run(options)))
