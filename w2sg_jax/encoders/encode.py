"""Molecules -> representations, in few rectangles, in the caller's order."""

import functools
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Float32, Int

from .._errors import InputError
from ..numerics.backend import jitted
from .tokenizer import SmilesTokenizer
from .tokens import bucket_of
from .transformer import Encoder

BUCKET_EDGES = (32, 64, 96, 256, 512)
"""Lengths that sequences are padded to: at most this many compilations for one encoder and batch size."""


def encode(
    encoder: Encoder,
    tokenizer: SmilesTokenizer,
    smiles: Sequence[str],
    *,
    batch_size: int = 64,
    on_batch: Callable[[int], None] | None = None,
) -> Float32[np.ndarray, "n width"]:
    """The representation of every molecule, row i for `smiles[i]`.

    A row depends on its molecule alone (up to rounding): not on the batch, its order or the padding. Tokens
    that the vocabulary lacks are read as [UNK], with one `UserWarning` that gives their number.

    Args:
        encoder: A trained encoder over this tokenizer's vocabulary.
        tokenizer: The tokenizer that it was trained with.
        smiles: n SMILES strings.
        batch_size: Molecules at a time; memory grows with it.
        on_batch: Called with the number of molecules just done.

    Returns:
        float32 (n, width), not centred, not scaled.

    Raises:
        InputError: no molecules, an empty one, one longer than the encoder's max_length, or a tokenizer of
            another size.

    Cost: one forward pass over padded lengths; one compilation for each length bucket in use.
    """
    if tokenizer.size != encoder.config.vocabulary:
        raise InputError(
            f"tokenizer: it has {tokenizer.size} identifiers and the encoder {encoder.config.vocabulary}; "
            "use the tokenizer that the encoder was trained with"
        )
    if batch_size < 1:
        raise InputError(f"batch_size: expected at least 1, got {batch_size}")
    tokens = tokenizer.encode(smiles)
    if tokens.unknown:
        warnings.warn(f"{tokens.unknown} of {len(tokens.ids)} tokens are unknown and read as [UNK]", stacklevel=2)
    longest = encoder.config.max_length
    edges = (*(edge for edge in BUCKET_EDGES if edge < longest), longest)
    buckets = bucket_of(tokens.lengths, edges)
    graph, state = nnx.split(encoder)
    result = np.zeros((len(tokens), encoder.config.width), np.float32)
    for bucket in np.unique(buckets):
        rows = np.flatnonzero(buckets == bucket)
        for part in np.split(rows, range(batch_size, len(rows), batch_size)):
            padded = np.zeros((batch_size, edges[bucket]), np.int32)
            padded[: len(part)] = tokens.pad(part, edges[bucket])
            with jax.default_matmul_precision("highest"):  # TF32 and bf16 products would blur small directions
                result[part] = jax.device_get(_represent(graph, state, jax.device_put(padded)))[: len(part)]
            if on_batch is not None:
                on_batch(len(part))
    return result


@functools.partial(jitted, static_argnums=0)
def _represent(
    graph: nnx.GraphDef[Encoder], state: Any, ids: Int[Array, "batch length"]
) -> Float[Array, "batch width"]:
    return nnx.merge(graph, state).represent(ids)
