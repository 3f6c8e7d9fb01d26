r"""GPT-2 and GPT-NeoX: causal, layer norms before each half of a block, biases everywhere.

GPT-2 has learned positions; GPT-NeoX (Pythia) turns a share of each head by rotary angles, and may add both halves of a
block to the same state.

Sources: Radford et al. (2019); Black et al. (2022); Biderman et al. (2023).
"""

from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from .._errors import InputError
from .layers import (
    ACTIVATIONS,
    Allowed,
    Embedding,
    Keep,
    LayerNorm,
    Linear,
    Rotary,
    Stack,
    activation,
    allowed,
    attention,
    number,
    positions_of,
    refuse_unless,
    turned,
    whole,
)

MODEL_TYPES = ("gpt2", "gpt_neox")
"""As the models' configurations name them."""


@dataclass(frozen=True)
class GptConfig:
    """What fixes the function of a model, except its weights."""

    vocabulary: int
    width: int
    depth: int
    heads: int
    inner: int
    """hidden width of a block's perceptron"""
    max_length: int
    """positions that the model was made for"""
    rotary: Rotary | None = None
    """None for a table of positions"""
    parallel: bool = False
    """whether both halves of a block read the same state"""
    by_heads: bool = False
    """whether queries, keys and values lie head by head, or all heads of each one after the other"""
    bias_qkv: bool = True
    bias_out: bool = True
    activation: str = "gelu_new"
    epsilon: float = 1e-5
    """in the layer norms"""
    causal: bool = True


def config_of(config: dict[str, Any]) -> GptConfig:
    """From a model's own config.json.

    Raises:
        InputError: a setting is missing, no number, or not supported.
    """
    given = {name: value for name, value in config.items() if value is not None}
    if config["model_type"] == "gpt2":
        refuse_unless(config, scale_attn_weights=True, scale_attn_by_inverse_layer_idx=False, add_cross_attention=False)
        width = whole(given, "n_embd", "hidden_size")
        found = GptConfig(
            whole(given, "vocab_size"),
            width,
            whole(given, "n_layer", "num_hidden_layers"),
            whole(given, "n_head", "num_attention_heads"),
            whole({"n_inner": 4 * width, **given}, "n_inner"),
            whole(given, "n_positions", "n_ctx", "max_position_embeddings"),
            activation=activation(given.get("activation_function", "gelu_new")),
            epsilon=number(given, "layer_norm_epsilon", 1e-5),
        )
    else:
        width, heads = whole(given, "hidden_size"), whole(given, "num_attention_heads")
        rope = {**(config.get("rope_scaling") or {}), **(config.get("rope_parameters") or {})}
        if rope.get("rope_type", rope.get("type", "default")) != "default":
            raise InputError(f"config: rotary positions are scaled by {rope}; supported is the default alone")
        base = number(rope, "rope_theta", number(given, "rope_theta", number(given, "rotary_emb_base", 10_000.0)))
        share = number(rope, "partial_rotary_factor", number(given, "rotary_pct", 0.25))
        bias = bool(config.get("attention_bias", True))
        found = GptConfig(
            whole(given, "vocab_size"),
            width,
            whole(given, "num_hidden_layers"),
            heads,
            whole(given, "intermediate_size"),
            whole(given, "max_position_embeddings"),
            rotary=Rotary(int(width // heads * share), base),
            parallel=bool(config.get("use_parallel_residual", True)),
            by_heads=True,
            bias_qkv=bias,
            bias_out=bias,
            activation=activation(given.get("hidden_act", "gelu")),
            epsilon=number(given, "layer_norm_eps", 1e-5),
        )
    if found.width % found.heads or (found.rotary is not None and found.rotary.width % 2):
        raise InputError(f"config: {found.heads} heads do not share {found.width} columns, or turn in pairs")
    return found


class Block(nnx.Module):
    """x + attention(norm(x)) and x + perceptron(norm(x)), one after the other or of the same x."""

    def __init__(self, config: GptConfig, *, rngs: nnx.Rngs):
        self.config, width = config, config.width
        self.qkv = Linear(width, 3 * width, bias=config.bias_qkv, rngs=rngs)
        self.out = Linear(width, width, bias=config.bias_out, rngs=rngs)
        self.up = Linear(width, config.inner, bias=True, rngs=rngs)
        self.down = Linear(config.inner, width, bias=True, rngs=rngs)
        self.norm_attention, self.norm_perceptron = LayerNorm(width, config.epsilon), LayerNorm(width, config.epsilon)

    def __call__(
        self,
        x: Float[Array, "batch length width"],
        _: None,
        seen: Allowed,
        angles: Float[Array, "batch length half"] | None,
    ) -> Float[Array, "batch length width"]:
        config, lengths = self.config, x.shape[:2]
        head_width = config.width // config.heads
        qkv = self.qkv(self.norm_attention(x))
        if config.by_heads:
            qkv = jnp.moveaxis(qkv.reshape(*lengths, config.heads, 3, head_width), 3, 0)
        else:
            qkv = jnp.moveaxis(qkv.reshape(*lengths, 3, config.heads, head_width), 2, 0)
        query, key, value = qkv
        if angles is not None:
            query, key = turned(query, angles), turned(key, angles)
        mixed = self.out(attention(query, key, value, seen, head_width**-0.5))
        base = x if config.parallel else x + mixed
        h = self.down(ACTIVATIONS[config.activation](self.up(self.norm_perceptron(base))))
        return x + mixed + h if config.parallel else base + h


class Gpt(nnx.Module):
    """Token identifiers -> token states of every layer."""

    def __init__(self, config: GptConfig, *, rngs: nnx.Rngs):
        self.config = config
        self.words = Embedding(config.vocabulary, config.width, rngs=rngs)
        self.places = None if config.rotary else Embedding(config.max_length, config.width, rngs=rngs)
        self.layers = Stack(lambda rngs: Block(config, rngs=rngs), config.depth, rngs=rngs)
        self.norm = LayerNorm(config.width, config.epsilon)

    def __call__(
        self,
        ids: Int[Array, "batch length"],
        mask: Bool[Array, "batch length"],
        keep: Keep,
        lengths: Int[Array, " batch"] | None = None,
        depth: int | None = None,
    ) -> tuple[Any, Any]:
        """What is kept of the states of layers 0 (the embedding) to L, layers first, and of the last one normalised.

        Args:
            ids: token identifiers; any at padding.
            mask: true where there is a token.
            keep: of the states (batch, length, width) of each layer.
            lengths: tokens of each row, where the padding is known to be on the right.
            depth: how many layers are run, the last one being the deepest of these; None for all.
        """
        positions = positions_of(mask)
        x = self.words(ids)
        if self.places is not None:
            x = x + self.places(positions)
        angles = None if self.config.rotary is None else self.config.rotary.angles(positions)
        x, kept = self.layers(x, keep, allowed(mask, lengths, causal=True, window=None), angles, depth=depth)
        return kept, keep(self.norm(x))


def names(config: GptConfig, model_type: str) -> dict[str, str]:
    """The tensors of a model's files by our parameters; ``{}`` is the number of a layer, and ``T:`` says that the file
    has the transposed matrix."""
    if model_type == "gpt2":
        found = {"words": "wte", "places": "wpe", "norm": "ln_f"}
        block = {"qkv": "T:h.{}.attn.c_attn", "out": "T:h.{}.attn.c_proj", "norm_attention": "h.{}.ln_1",
                 "up": "T:h.{}.mlp.c_fc", "down": "T:h.{}.mlp.c_proj", "norm_perceptron": "h.{}.ln_2"}  # fmt: skip
    else:
        found = {"words": "embed_in", "norm": "final_layer_norm"}
        theirs = {"qkv": "attention.query_key_value", "out": "attention.dense", "up": "mlp.dense_h_to_4h",
                  "down": "mlp.dense_4h_to_h", "norm_attention": "input_layernorm",
                  "norm_perceptron": "post_attention_layernorm"}  # fmt: skip
        block = {name: f"layers.{{}}.{tensor}" for name, tensor in theirs.items()}
    return found | {f"layers.block.{name}": tensor for name, tensor in block.items()}


UNUSED = ("lm_head.", "embed_out.", "score.", "attn.bias", "attn.masked_bias", "attention.bias",
          "attention.masked_bias", "rotary_emb.inv_freq")  # fmt: skip
"""Parts of the names of tensors that representations do not need."""
PREFIXES = ("transformer.", "gpt_neox.")
"""That files of models with a head put before all names."""
