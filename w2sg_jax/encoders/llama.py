r"""Llama and its kin: causal, RMS norms, rotary positions, gated perceptrons, groups of query heads.

Llama 2 and 3, SmolLM2, Mistral (its window), Qwen 2 and 2.5 (biases), Qwen 3 (norms of queries and keys), Gemma and
Gemma 3 (scaled embeddings, weights of norms less 1, norms behind each half of a block, local and global layers with
rotary bases of their own; EmbeddingGemma is the same without the causal mask) are one module; what differs is in the
configuration.

Sources: Touvron et al. (2023); Dubey et al. (2024); Jiang et al. (2023); Yang et al. (2024, 2025); Gemma Team (2025).
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
    Linear,
    RMSNorm,
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

MODEL_TYPES = ("llama", "mistral", "qwen2", "qwen3", "gemma", "gemma3_text", "gemma3")
"""As the models' configurations name them."""
LOCAL = "sliding_attention"
"""What configurations call a layer with a window."""
EVERY = 6
"""Gemma 3: of so many layers the last one is global, where the configuration does not list them."""


@dataclass(frozen=True)
class LlamaConfig:
    """What fixes the function of a model, except its weights."""

    vocabulary: int
    width: int
    depth: int
    heads: int
    kv_heads: int
    """heads of keys and values, each for heads / kv_heads of the queries"""
    head_width: int
    inner: int
    """hidden width of a block's perceptron"""
    max_length: int
    """positions that the model was made for"""
    rotary: Rotary
    rotary_local: Rotary | None = None
    """of local layers; None for the same"""
    local: tuple[bool, ...] = ()
    """of each layer, whether it sees a window alone; none of them by default"""
    window: int | None = None
    """tokens that a local layer sees"""
    causal: bool = True
    activation: str = "silu"
    """of the gate"""
    epsilon: float = 1e-6
    """in the norms"""
    offset: float = 0.0
    """that norms add to their weights"""
    scale: float | None = None
    """of queries; by default head_width ** -0.5"""
    embedding_scale: float = 1.0
    bias_qkv: bool = False
    bias_out: bool = False
    bias_perceptron: bool = False
    norm_heads: bool = False
    """whether queries and keys are normalised"""
    norm_behind: bool = False
    """whether what a half of a block adds is normalised too"""


def config_of(config: dict[str, Any]) -> LlamaConfig:
    """From a model's own config.json.

    Raises:
        InputError: a setting is missing, no number, or not supported.
    """
    kind = config["model_type"]
    if kind == "gemma3":  # images are beside the text
        return config_of({**config["text_config"], "model_type": "gemma3_text"})
    gemma = kind in ("gemma", "gemma3_text")
    refuse_unless(
        config,
        attn_logit_softcapping=None,
        final_logit_softcapping=None,
        pretraining_tp=1,
        rope_factors=None,  # of a GGUF file, by no published rule
    )
    depth, heads, width = (whole(config, name) for name in ("num_hidden_layers", "num_attention_heads", "hidden_size"))
    kv_heads = whole({"num_key_value_heads": heads, **_given(config)}, "num_key_value_heads")
    head_width = whole({"head_dim": max(1, width // heads), **_given(config)}, "head_dim")
    if heads % kv_heads or head_width % 2:
        raise InputError(f"config: {heads} heads of {head_width} cannot share {kv_heads} keys and turn in pairs")
    local, window = _local_layers(config, depth)
    causal = not config.get("use_bidirectional_attention", False)
    if window is not None and not causal:
        window = window // 2 + 1  # so many to each side
    base = 1_000_000.0 if kind == "gemma3_text" else 10_000.0
    bias = bool(config.get("attention_bias", False))
    return LlamaConfig(
        vocabulary=whole(config, "vocab_size"),
        width=width,
        depth=depth,
        heads=heads,
        kv_heads=kv_heads,
        head_width=head_width,
        inner=whole(config, "intermediate_size"),
        max_length=whole({"max_position_embeddings": 2048, **_given(config)}, "max_position_embeddings"),
        rotary=_rotary(config, head_width, "full_attention", base),
        rotary_local=_rotary(config, head_width, LOCAL, base) if any(local) else None,
        local=local,
        window=window,
        causal=causal,
        # The first Gemma's files name the exact function and mean the approximate one.
        activation="gelu_pytorch_tanh" if gemma else activation(config.get("hidden_act", "silu")),
        epsilon=number(config, "rms_norm_eps", 1e-6),
        offset=1.0 if gemma else 0.0,
        scale=number(config, "query_pre_attn_scalar", 256.0) ** -0.5 if kind == "gemma3_text" else None,
        embedding_scale=float(width) ** 0.5 if gemma else 1.0,
        bias_qkv=kind == "qwen2" or bias,
        bias_out=kind != "qwen2" and bias,
        bias_perceptron=bool(config.get("mlp_bias", False)),
        norm_heads=kind in ("qwen3", "gemma3_text"),
        norm_behind=kind == "gemma3_text",
    )


def _given(config: dict[str, Any]) -> dict[str, Any]:
    """Settings that are not null."""
    return {name: value for name, value in config.items() if value is not None}


def _local_layers(config: dict[str, Any], depth: int) -> tuple[tuple[bool, ...], int | None]:
    """Which layers see a window alone, and how many tokens that has."""
    kind, window = config["model_type"], config.get("sliding_window")
    if window is None or (kind.startswith("qwen") and not config.get("use_sliding_window", False)):
        return (False,) * depth, None
    if config.get("layer_types"):
        local = tuple(layer == LOCAL for layer in config["layer_types"])
        if len(local) != depth:
            raise InputError(f"config: layer_types lists {len(local)} layers, and num_hidden_layers is {depth}")
    elif kind == "gemma3_text":
        every = whole({"sliding_window_pattern": EVERY, **_given(config)}, "sliding_window_pattern")
        local = tuple((layer + 1) % every != 0 for layer in range(depth))
    elif kind.startswith("qwen"):
        local = tuple(layer >= config.get("max_window_layers", depth) for layer in range(depth))
    else:
        local = (True,) * depth
    return local, whole(config, "sliding_window") if any(local) else None


def _rotary(config: dict[str, Any], head_width: int, layer: str, base: float) -> Rotary:
    """Of one kind of layers; newer configurations gather the settings, and may do so by kind."""
    given = config.get("rope_parameters") or {}
    given = given.get(layer, given) if isinstance(given.get(layer, {}), dict) else given
    scaling = {**(config.get("rope_scaling") or {}), **given}
    theta = number(given, "rope_theta", number(config, "rope_theta", base))
    if layer == LOCAL and config["model_type"] == "gemma3_text" and "rope_theta" not in given:
        theta, scaling = number(config, "rope_local_base_freq", 10_000.0), {}
    kind = scaling.get("rope_type", scaling.get("type", "default"))
    if kind == "default":
        return Rotary(head_width, theta)
    if kind == "linear":
        return Rotary(head_width, theta, "linear", number(scaling, "factor", 1.0))
    if kind == "llama3":
        trained = whole(scaling, "original_max_position_embeddings")
        low, high = number(scaling, "low_freq_factor", 1.0), number(scaling, "high_freq_factor", 4.0)
        return Rotary(head_width, theta, "llama3", number(scaling, "factor", 8.0), low, high, trained)
    raise InputError(f"config: rotary positions are scaled by {kind!r}; supported are default, linear and llama3")


class Block(nnx.Module):
    """x + attention(norm(x)), then x + perceptron(norm(x))."""

    def __init__(self, config: LlamaConfig, *, rngs: nnx.Rngs):
        self.config = config
        width, queries, keys = config.width, config.heads * config.head_width, config.kv_heads * config.head_width
        self.query = Linear(width, queries, bias=config.bias_qkv, rngs=rngs)
        self.key, self.value = (Linear(width, keys, bias=config.bias_qkv, rngs=rngs) for _ in range(2))
        self.out = Linear(queries, width, bias=config.bias_out, rngs=rngs)
        self.gate, self.up = (Linear(width, config.inner, bias=config.bias_perceptron, rngs=rngs) for _ in range(2))
        self.down = Linear(config.inner, width, bias=config.bias_perceptron, rngs=rngs)
        self.norm_attention, self.norm_perceptron = self._norm(width), self._norm(width)
        self.norm_behind_attention = self._norm(width) if config.norm_behind else None
        self.norm_behind_perceptron = self._norm(width) if config.norm_behind else None
        self.norm_query = self._norm(config.head_width) if config.norm_heads else None
        self.norm_key = self._norm(config.head_width) if config.norm_heads else None

    def _norm(self, width: int) -> RMSNorm:
        return RMSNorm(width, self.config.epsilon, self.config.offset)

    def __call__(
        self,
        x: Float[Array, "batch length width"],
        local: Bool[Array, ""],
        seen: Allowed,
        angles: tuple[Float[Array, "batch length half"], Float[Array, "batch length half"]],
    ) -> Float[Array, "batch length width"]:
        config, lengths = self.config, x.shape[:2]
        turn = jnp.where(local, angles[1], angles[0])
        h = self.norm_attention(x)
        query = self.query(h).reshape(*lengths, config.heads, config.head_width)
        key, value = (one(h).reshape(*lengths, config.kv_heads, config.head_width) for one in (self.key, self.value))
        if self.norm_query is not None and self.norm_key is not None:
            query, key = self.norm_query(query), self.norm_key(key)
        scale = config.head_width**-0.5 if config.scale is None else config.scale
        h = self.out(attention(turned(query, turn), turned(key, turn), value, seen, scale, local=local))
        x = x + (h if self.norm_behind_attention is None else self.norm_behind_attention(h))
        h = self.norm_perceptron(x)
        h = self.down(ACTIVATIONS[config.activation](self.gate(h)) * self.up(h))
        return x + (h if self.norm_behind_perceptron is None else self.norm_behind_perceptron(h))


class Llama(nnx.Module):
    """Token identifiers -> token states of every layer."""

    def __init__(self, config: LlamaConfig, *, rngs: nnx.Rngs):
        self.config = config
        self.words = Embedding(config.vocabulary, config.width, rngs=rngs)
        self.layers = Stack(lambda rngs: Block(config, rngs=rngs), config.depth, rngs=rngs)
        self.norm = RMSNorm(config.width, config.epsilon, config.offset)

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
        config = self.config
        x = self.words(ids)
        if config.embedding_scale != 1.0:
            x = x * jnp.asarray(config.embedding_scale, x.dtype)  # rounded to the weights' type, as it was trained
        positions = positions_of(mask)
        angles = tuple(rotary.angles(positions) for rotary in (config.rotary, config.rotary_local or config.rotary))
        seen = allowed(mask, lengths, causal=config.causal, window=config.window)
        local = jnp.array(config.local or (False,) * config.depth)
        x, kept = self.layers(x, keep, seen, angles, each=local, depth=depth)
        return kept, keep(self.norm(x))


def names(config: LlamaConfig, model_type: str) -> dict[str, str]:
    """The tensors of a model's files by our parameters; ``{}`` is the number of a layer."""
    block = {
        "query": "self_attn.q_proj", "key": "self_attn.k_proj", "value": "self_attn.v_proj", "out": "self_attn.o_proj",
        "gate": "mlp.gate_proj", "up": "mlp.up_proj", "down": "mlp.down_proj",
        "norm_attention": "input_layernorm", "norm_perceptron": "post_attention_layernorm",
        "norm_query": "self_attn.q_norm", "norm_key": "self_attn.k_norm",
    }  # fmt: skip
    if config.norm_behind:
        block |= {
            "norm_behind_attention": "post_attention_layernorm",
            "norm_perceptron": "pre_feedforward_layernorm",
            "norm_behind_perceptron": "post_feedforward_layernorm",
        }
    found = {"words": "embed_tokens", "norm": "norm"}
    return found | {f"layers.block.{ours}": f"layers.{{}}.{theirs}" for ours, theirs in block.items()}


UNUSED = ("lm_head.", "score.", "vision_tower.", "multi_modal_projector.", "rotary_emb.inv_freq")
"""Parts of the names of tensors that representations do not need."""
PREFIXES = ("model.", "language_model.model.", "model.language_model.")
"""That files put before all names."""
