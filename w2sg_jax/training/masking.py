"""Masked-token corruption of BERT (Devlin et al., 2019): 15% of the tokens are targets."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, PRNGKeyArray

from ..encoders.tokenizer import CLS, MASK, SPECIAL_TOKENS


def mask_tokens(
    key: PRNGKeyArray, ids: Int[Array, "batch length"], *, vocabulary: int, rate: float
) -> tuple[Int[Array, "batch length"], Bool[Array, "batch length"]]:
    """Choose targets and corrupt them: 80% become [MASK], 10% a random token, 10% stay as they are.

    Padding and [CLS] are never chosen. Draws are float32 and int32 whatever the default precision, so that a
    seed gives the same choices with x64 on and off.

    Args:
        key: Random key.
        ids: Identifiers, 0 where padded.
        vocabulary: Number of identifiers, special ones included.
        rate: Share of the tokens that become targets, 0 to 1.

    Returns:
        The corrupted identifiers, and where the targets are.
    """
    key_target, key_how, key_token = jax.random.split(key, 3)
    targets = (jax.random.uniform(key_target, ids.shape, jnp.float32) < rate) & (ids != 0) & (ids != CLS)
    how = jax.random.uniform(key_how, ids.shape, jnp.float32)
    random_ids = jax.random.randint(key_token, ids.shape, len(SPECIAL_TOKENS), vocabulary, jnp.int32).astype(ids.dtype)
    corrupted = jnp.where(how < 0.8, MASK, jnp.where(how < 0.9, random_ids, ids))
    return jnp.where(targets, corrupted, ids), targets
