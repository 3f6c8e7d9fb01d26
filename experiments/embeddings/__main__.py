"""Embedding models as probes. `python -m experiments.embeddings --help`."""

import sys

from w2sg_jax.terminal.guard import guarded
from w2sg_jax.terminal.usage import parse

from .options import Options
from .run import run

if __name__ == "__main__":
    prog = "python -m experiments.embeddings"
    sys.exit(guarded("experiments.embeddings", lambda: run(parse(Options, sys.argv[1:], prog))))
