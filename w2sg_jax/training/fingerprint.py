"""What the result of a training run depends on, as hashes: keys of checkpoints and caches."""

import hashlib
import json
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

import numpy as np

from ..encoders.tokens import TokenSet
from ..encoders.transformer import EncoderConfig

ARITHMETIC = 1
"""Version of what an encoder and its training compute. Raise it where the same configuration and corpus give other
weights than before, beyond rounding: everything that was trained is then trained again. A test holds the losses of a
short run, and fails where they change and this number does not."""


def run_fingerprint(encoder: EncoderConfig, tokens: TokenSet, *configs: Any) -> str:
    """sha256 of everything that a run's result depends on: all configurations and the corpus."""
    described = [asdict(config) for config in (encoder, *configs)]
    digest = hashlib.sha256(json.dumps(described, sort_keys=True).encode())
    digest.update(tokens.ids.tobytes())
    digest.update(np.asarray(tokens.offsets, np.int64).tobytes())
    return digest.hexdigest()


def code_fingerprint() -> str:
    """sha256 of the version of the arithmetic, and of the versions of JAX, Flax and Optax."""
    names = " ".join(f"{package} {version(package)}" for package in ("jax", "flax", "optax"))
    return hashlib.sha256(f"arithmetic {ARITHMETIC} {names}".encode()).hexdigest()
