"""What a representation depends on: the weights that made it and the samples that it is of."""

import hashlib
from collections.abc import Sequence

import jax
import numpy as np
from flax import nnx
from jaxtyping import Shaped

from ..encoders import Encoder

DIGITS = 12
"""Of a hash that stand in the name of a file or folder."""


def weights_hash(encoder: Encoder) -> str:
    """sha256 of an encoder's configuration and weights, as 64 hexadecimal digits.

    The weights stand for the vocabulary that they were trained over.
    """
    digest = hashlib.sha256(repr(encoder.config).encode())
    for leaf in jax.tree.leaves(nnx.to_pure_dict(nnx.state(encoder, nnx.Param))):
        digest.update(np.asarray(leaf).tobytes())
    return digest.hexdigest()


def samples_hash(samples: Sequence[str]) -> str:
    """sha256 of texts in their order, as 64 hexadecimal digits."""
    return hashlib.sha256("\n".join(samples).encode()).hexdigest()


def array_hash(h: Shaped[np.ndarray, "n d"]) -> str:
    """sha256 of the values of an array, for a representation that no encoder made."""
    return hashlib.sha256(np.ascontiguousarray(h).tobytes()).hexdigest()
