"""What a representation depends on: the weights that made it and the samples that it is of."""

from collections.abc import Sequence

import jax
import numpy as np
from flax import nnx
from jaxtyping import Shaped

from ..encoders import Encoder
from ..store.content import bytes_hash

DIGITS = 12
"""Of a hash that stand in the name of a file or folder."""


def weights_hash(encoder: Encoder) -> str:
    """sha256 of an encoder's configuration and weights, as 64 hexadecimal digits."""
    leaves = jax.device_get(jax.tree.leaves(nnx.to_pure_dict(nnx.state(encoder, nnx.Param))))
    return bytes_hash(repr(encoder.config).encode(), *(np.asarray(leaf).tobytes() for leaf in leaves))


def samples_hash(samples: Sequence[str]) -> str:
    """sha256 of texts in their order, as 64 hexadecimal digits."""
    return bytes_hash("\n".join(samples).encode())


def array_hash(h: Shaped[np.ndarray, "n d"]) -> str:
    """sha256 of the values of an array, for a representation that no encoder made."""
    return bytes_hash(np.ascontiguousarray(h).tobytes())
