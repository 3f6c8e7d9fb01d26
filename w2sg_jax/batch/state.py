"""The state of a process that one trial could leave changed for the next."""

import contextlib
import os
import random
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.random import (
    MT19937,
    get_bit_generator,  # pyright: ignore[reportAttributeAccessIssue]
    set_bit_generator,  # pyright: ignore[reportAttributeAccessIssue]
)

SEED = 0
"""Of ``random`` and ``numpy.random``, at the start of every trial."""


@contextlib.contextmanager
def same_for_every_trial(folder: Path) -> Iterator[None]:
    """Run one trial in a folder, with the environment of its process, and with random numbers from a fixed state.

    Working directory, environment, random state and what NumPy does about floating-point errors are as before
    afterwards, whatever the trial did to them: a worker runs many trials, and which ones depends on chance.

    Args:
        folder: where the run started. On a node of a cluster that has no such folder, the trial runs where it is.
    """
    environment, numbers, generator = dict(os.environ), random.getstate(), get_bit_generator()
    with contextlib.ExitStack() as stack:
        stack.callback(_restore_environment, environment)
        stack.callback(random.setstate, numbers)
        stack.callback(set_bit_generator, generator)
        stack.enter_context(np.errstate())  # puts back what np.seterr changes
        with contextlib.suppress(OSError):  # it may be gone already
            stack.callback(_enter, Path.cwd())
        _enter(folder)
        random.seed(SEED)
        set_bit_generator(MT19937(SEED))
        yield


def _enter(folder: Path) -> None:
    with contextlib.suppress(OSError):
        os.chdir(folder)


def _restore_environment(environment: dict[str, str]) -> None:
    """Change only what differs: other threads may read the rest meanwhile."""
    for name in os.environ.keys() - environment.keys():
        del os.environ[name]
    for name, value in environment.items():
        if os.environ.get(name) != value:
            os.environ[name] = value
