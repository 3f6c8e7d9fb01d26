"""What the result of a training run depends on, as hashes: keys of checkpoints and caches."""

import hashlib
import json
from dataclasses import asdict
from importlib.metadata import version
from importlib.resources import files
from typing import Any

import numpy as np

from ..encoders.tokens import TokenSet
from ..encoders.transformer import EncoderConfig


def run_fingerprint(encoder: EncoderConfig, tokens: TokenSet, *configs: Any) -> str:
    """sha256 of everything that a run's result depends on: all configurations and the corpus."""
    described = [asdict(config) for config in (encoder, *configs)]
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
    digest.update(tokens.ids.tobytes())
    digest.update(np.asarray(tokens.offsets, np.int64).tobytes())
    return digest.hexdigest()


def code_fingerprint() -> str:
    """sha256 of the code of the encoders and of their training, and of the versions of JAX, Flax and Optax."""
    digest = hashlib.sha256()
    for package in ("encoders", "training"):
        for source in sorted(files(f"w2sg_jax.{package}").iterdir(), key=lambda item: item.name):
            if source.name.endswith(".py"):
                digest.update(source.name.encode() + source.read_bytes())
    digest.update(" ".join(version(package) for package in ("jax", "flax", "optax")).encode())
    return digest.hexdigest()
