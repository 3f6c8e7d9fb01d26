"""The whole state of a training run in one file, replaced atomically: a killed run goes on from it."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .._errors import InputError
from ..encoders.files import read_metadata, read_tree, write_tree

_FORMAT = "w2sg_jax training state 1"


class TrainingState(NamedTuple):
    """Everything that the next step depends on, beside the configuration and the corpus."""

    params: Any
    """the encoder's weights, a tree of arrays"""
    optimizer: Any
    """the optimizer's state, a tree of arrays"""
    step: np.ndarray
    """steps done, int32 ()"""
    losses: np.ndarray
    """loss of every step, float32 (steps,), NaN where not done yet"""


def save_checkpoint(path: Path | str, state: TrainingState, *, fingerprint: str) -> None:
    """Write `state`; a reader sees either the file that was there before or the whole new one."""
    write_tree(path, state, {"format": _FORMAT, "fingerprint": fingerprint})


def load_checkpoint(path: Path | str, like: TrainingState, *, fingerprint: str) -> TrainingState:
    """Read a state written by `save_checkpoint`.

    Args:
        path: The file.
        like: A state of the same shapes, for instance the initial one.
        fingerprint: Hash of what the run depends on; it must be the one that was saved.

    Raises:
        InputError: the file is damaged or belongs to another run.
    """
    metadata = read_metadata(path)
    if metadata.get("format") != _FORMAT or metadata.get("fingerprint") != fingerprint:
        raise InputError(
            f"checkpoint: {path} belongs to another run (another configuration or corpus); "
            "give another path, or delete it to start again"
        )
    state = read_tree(path, like)
    return state._replace(step=np.asarray(state.step), losses=np.array(state.losses))
