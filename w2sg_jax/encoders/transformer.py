"""A small transformer encoder in Flax NNX, bidirectional, pre-norm, with rotary positions.

Positions are counted from the padding mask, so that a representation is the same wherever the padding is.
Rotary angles (Su et al., RoFormer, 2021) act on the distance of two tokens alone, so that a sequence longer
than any seen in training still meets the short distances that it was trained on.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from .._errors import InputError

ROTARY_BASE = 10_000.0


@dataclass(frozen=True)
class EncoderConfig:
    """Everything that fixes the shape and the function of an encoder, except its weights."""

    vocabulary: int
    """number of token identifiers; 0 is padding"""
    width: int = 64
    """dimension of the representation"""
    depth: int = 2
    """number of attention blocks"""
    heads: int = 4
    """attention heads; width / heads must be even, because rotary angles turn pairs of coordinates"""
    expansion: int = 4
    """hidden width of a block's perceptron, in units of width"""
    max_length: int = 512
    """longest sequence accepted, [CLS] included; it bounds memory, no parameter depends on it"""
    pooling: str = "mean"
    """how token states become one vector: "mean", the first ("cls") or the "last" one, never padding"""

    def __post_init__(self) -> None:
        for name in ("vocabulary", "width", "depth", "heads", "expansion", "max_length"):
            if getattr(self, name) < 1:
                raise InputError(f"{name}: expected at least 1, got {getattr(self, name)}")
        if self.width % (2 * self.heads):
            raise InputError(f"heads: width / heads must be even, got width {self.width} and {self.heads} heads")
        if self.pooling not in ("mean", "cls", "last"):
            raise InputError(f"pooling: expected 'mean', 'cls' or 'last', got {self.pooling!r}")


class Attention(nnx.Module):
    """Multi-head self-attention over real tokens, rotary positions."""

    def __init__(self, config: EncoderConfig, *, rngs: nnx.Rngs):
        self.heads = config.heads
        self.qkv = nnx.Linear(config.width, 3 * config.width, use_bias=False, rngs=rngs)
        self.out = nnx.Linear(config.width, config.width, use_bias=False, rngs=rngs)

    def __call__(
        self,
        x: Float[Array, "batch length width"],
        mask: Bool[Array, "batch length"],
        angles: Float[Array, "batch length half"],
    ) -> Float[Array, "batch length width"]:
        batch, length, width = x.shape
        shape = (batch, length, 3, self.heads, width // self.heads)
        query, key, value = jnp.moveaxis(self.qkv(x).reshape(shape), (2, 3), (0, 2))
        query, key = rotate(query, angles), rotate(key, angles)
        scores = jnp.einsum("bhqd,bhkd->bhqk", query, key) * (width // self.heads) ** -0.5
        scores = jnp.where(mask[:, None, None, :], scores, jnp.finfo(scores.dtype).min)
        mixed = jnp.einsum("bhqk,bhkd->bqhd", jax.nn.softmax(scores, axis=-1), value)
        return self.out(mixed.reshape(batch, length, width))


class Block(nnx.Module):
    """x + attention(norm(x)), then x + perceptron(norm(x))."""

    def __init__(self, config: EncoderConfig, *, rngs: nnx.Rngs):
        self.norm_attention = nnx.RMSNorm(config.width, rngs=rngs)
        self.attention = Attention(config, rngs=rngs)
        self.norm_perceptron = nnx.RMSNorm(config.width, rngs=rngs)
        self.up = nnx.Linear(config.width, config.expansion * config.width, rngs=rngs)
        self.down = nnx.Linear(config.expansion * config.width, config.width, rngs=rngs)

    def __call__(
        self,
        x: Float[Array, "batch length width"],
        mask: Bool[Array, "batch length"],
        angles: Float[Array, "batch length half"],
    ) -> Float[Array, "batch length width"]:
        x = x + self.attention(self.norm_attention(x), mask, angles)
        return x + self.down(jax.nn.gelu(self.up(self.norm_perceptron(x)), approximate=True))


class Encoder(nnx.Module):
    """Token identifiers -> token states -> one representation a sequence.

    `logits` closes it for masked-token training, with the transposed embedding as output projection (tied
    weights).
    """

    def __init__(self, config: EncoderConfig, *, rngs: nnx.Rngs):
        self.config = config
        self.embed = nnx.Embed(config.vocabulary, config.width, rngs=rngs)
        self.blocks = nnx.List([Block(config, rngs=rngs) for _ in range(config.depth)])
        self.norm = nnx.RMSNorm(config.width, rngs=rngs)

    def __call__(self, ids: Int[Array, "batch length"]) -> Float[Array, "batch length width"]:
        """The state of every token; states at padding (identifier 0) mean nothing.

        Raises:
            InputError: sequences longer than `config.max_length`.

        Cost: about $2 L (4 + 2 e) w^2 + 4 L l w$ flops a token, with depth $L$, expansion $e$, width $w$, length $l$.
        """
        if ids.shape[1] > self.config.max_length:
            raise InputError(
                f"ids: {ids.shape[1]} tokens, more than max_length {self.config.max_length}; "
                "shorten the molecules or give the config a larger max_length"
            )
        mask = ids != 0
        x = self.embed(ids)
        angles = rotary_angles(mask, self.config.width // self.config.heads).astype(x.dtype)
        for block in self.blocks:
            x = block(x, mask, angles)
        return self.norm(x)

    def represent(self, ids: Int[Array, "batch length"]) -> Float[Array, "batch width"]:
        """One representation a sequence, pooled over real tokens; 0 for a row of padding alone."""
        return pool(self(ids), ids != 0, self.config.pooling)

    def logits(self, states: Float[Array, "batch length width"]) -> Float[Array, "batch length vocabulary"]:
        """Unnormalised log-probabilities of the token at each place."""
        return self.embed.attend(states)


def rotary_angles(mask: Bool[Array, "batch length"], head_width: int) -> Float[Array, "batch length half"]:
    r"""$p b^{-2 i / w}$ for $i < w / 2$: $p$ the position among real tokens, $b$ = 10 000, $w$ the width of a head."""
    positions = jnp.cumsum(mask, axis=1) - 1
    frequencies = ROTARY_BASE ** (-jnp.arange(0, head_width, 2) / head_width)
    return positions[..., None].astype(frequencies.dtype) * frequencies[None, None]


def rotate(
    x: Float[Array, "batch heads length head_width"], angles: Float[Array, "batch length half"]
) -> Float[Array, "batch heads length head_width"]:
    """Turn the pair $(x_i, x_{i + w/2})$ of each head, of width $w$, by its token's angle $i$."""
    cos, sin = jnp.cos(angles)[:, None], jnp.sin(angles)[:, None]
    first, second = jnp.split(x, 2, axis=-1)
    return jnp.concatenate([first * cos - second * sin, first * sin + second * cos], axis=-1)


def pool(
    states: Float[Array, "batch length width"], mask: Bool[Array, "batch length"], pooling: str
) -> Float[Array, "batch width"]:
    """Mean, first or last state over the places where `mask` is true; 0 where there is none."""
    place = jnp.cumsum(mask, axis=1)
    chosen = {"mean": mask, "cls": mask & (place == 1), "last": mask & (place == place[:, -1:])}[pooling]
    weights = chosen.astype(states.dtype)
    total = jnp.einsum("bl,blw->bw", weights, states)
    return total / jnp.maximum(jnp.sum(weights, axis=1, keepdims=True), 1)
