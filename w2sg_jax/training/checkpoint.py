"""The whole state of a training run in one file, replaced atomically: a killed run goes on from it."""

import json
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from .._errors import InputError
from ..encoders.tokens import TokenSet
from ..encoders.transformer import EncoderConfig
from ..store.content import bytes_hash
from ..store.trees import read_metadata, read_tree, write_tree

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
    return state._replace(step=jax.device_get(state.step), losses=np.array(jax.device_get(state.losses)))


ARITHMETIC = 1
"""Version of what an encoder and its training compute. Raise it where the same configuration and corpus give other
weights than before, beyond rounding: everything that was trained is then trained again. A test holds the losses of a
short run, and fails where they change and this number does not."""


def run_fingerprint(encoder: EncoderConfig, tokens: TokenSet, *configs: Any) -> str:
    """sha256 of everything that a run's result depends on: all configurations and the corpus."""
    described = [asdict(config) for config in (encoder, *configs)]
    offsets = np.asarray(tokens.offsets, np.int64)
    return bytes_hash(json.dumps(described, sort_keys=True).encode(), tokens.ids.tobytes(), offsets.tobytes())


def code_fingerprint() -> str:
    """sha256 of the version of the arithmetic, and of the versions of JAX, Flax and Optax."""
    names = " ".join(f"{package} {version(package)}" for package in ("jax", "flax", "optax"))
    return bytes_hash(f"arithmetic {ARITHMETIC} {names}".encode())
