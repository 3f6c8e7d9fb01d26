"""The leaderboard of predictors. `python -m experiments.leaderboard --help`."""

import sys

from w2sg_jax.terminal.guard import guarded
from w2sg_jax.terminal.usage import parse

from .options import Options
from .run import run

if __name__ == "__main__":
    prog = "python -m experiments.leaderboard"
    sys.exit(guarded("experiments.leaderboard", lambda: run(parse(Options, sys.argv[1:], prog))))
