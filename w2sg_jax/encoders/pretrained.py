"""Trees of arrays and trained encoders on disk: safetensors, written under a temporary name and renamed."""

import json
from dataclasses import asdict
from pathlib import Path

from flax import nnx

from .._errors import InputError
from ..store.trees import read_metadata, read_tree, write_tree
from .transformer import Encoder, EncoderConfig

_FORMAT = "w2sg_jax encoder 1"


def save_encoder(path: Path | str, encoder: Encoder) -> None:
    """Write weights (`path`, safetensors) with the config as JSON in the file's metadata.

    One file, so that weights and config cannot part; it appears whole or not at all.
    """
    metadata = {"format": _FORMAT, "config": json.dumps(asdict(encoder.config))}
    write_tree(path, nnx.to_pure_dict(nnx.state(encoder, nnx.Param)), metadata)


def load_encoder(path: Path | str) -> Encoder:
    """Read an encoder written by `save_encoder`, comparing every name, shape and dtype with its config.

    Raises:
        InputError: the file is damaged, is not an encoder, or does not fit its config.
    """
    metadata = read_metadata(path)
    if metadata.get("format") != _FORMAT:
        raise InputError(
            f"path: {path} says format {metadata.get('format')!r}, expected {_FORMAT!r}; write it with save_encoder"
        )
    try:
        config = EncoderConfig(**json.loads(metadata["config"]))
    except (KeyError, ValueError, TypeError) as error:
        raise InputError(
            f"path: {path} holds no usable config of an encoder ({error}); delete it and make it again"
        ) from None
    graph, state = nnx.split(nnx.eval_shape(lambda: Encoder(config, rngs=nnx.Rngs(0))))
    return nnx.merge(graph, read_tree(path, nnx.to_pure_dict(state)))
