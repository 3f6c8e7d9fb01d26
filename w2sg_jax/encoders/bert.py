r"""BERT and its kin: bidirectional, post-norm, learned positions.

BERT (also MiniLM, BGE, E5, GTE), RoBERTa, XLM-R and CamemBERT (positions counted from the padding), MPNet (relative
positions on top) and DistilBERT are one module; what differs is in the configuration and in the names of the files'
tensors.

Sources: Devlin et al. (2019); Liu et al. (2019); Song et al. (2020); Sanh et al. (2019).
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import jax.numpy as jnp
import numpy as np
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
    Stack,
    activation,
    allowed,
    attention,
    number,
    positions_of,
    refuse_unless,
    whole,
)

MODEL_TYPES = ("bert", "roberta", "xlm-roberta", "camembert", "mpnet", "distilbert")
"""As the models' configurations name them."""
PADDED = ("roberta", "xlm-roberta", "camembert", "mpnet")
"""Their positions start after that of the padding token."""
BUCKETS = 32
"""MPNet: of relative distances."""
FARTHEST = 128
"""MPNet: distances from which all share a bucket."""


@dataclass(frozen=True)
class BertConfig:
    """What fixes the function of a model, except its weights."""

    vocabulary: int
    width: int
    depth: int
    heads: int
    inner: int
    """hidden width of a block's perceptron"""
    places: int
    """rows of the table of positions"""
    first: int = 0
    """the row of the first token"""
    types: int = 2
    """rows of the table of token types, of which texts are the first; 0 for no such table"""
    buckets: int = 0
    """of relative distances (MPNet); 0 for none"""
    activation: str = "gelu"
    epsilon: float = 1e-12
    """in the layer norms"""

    causal: ClassVar[bool] = False

    @property
    def max_length(self) -> int:
        """Tokens that positions are known of."""
        return self.places - self.first


def config_of(config: dict[str, Any]) -> BertConfig:
    """From a model's own config.json.

    Raises:
        InputError: a setting is missing, no number, or not supported.
    """
    found = _config_of(config)
    if found.width % found.heads:
        raise InputError(f"config: {found.heads} heads do not share {found.width} columns")
    return found


def _config_of(config: dict[str, Any]) -> BertConfig:
    kind = config["model_type"]
    refuse_unless(config, position_embedding_type=("absolute", None), is_decoder=False)
    refuse_unless(config, relative_attention_num_buckets=BUCKETS)
    if kind == "distilbert":
        return BertConfig(
            whole(config, "vocab_size"),
            whole(config, "dim"),
            whole(config, "n_layers"),
            whole(config, "n_heads"),
            whole(config, "hidden_dim"),
            whole(config, "max_position_embeddings"),
            types=0,
            activation=activation(config.get("activation", "gelu")),
        )
    return BertConfig(
        whole(config, "vocab_size"),
        whole(config, "hidden_size"),
        whole(config, "num_hidden_layers"),
        whole(config, "num_attention_heads"),
        whole(config, "intermediate_size"),
        whole(config, "max_position_embeddings"),
        first=whole({"pad_token_id": 1, **config}, "pad_token_id", least=0) + 1 if kind in PADDED else 0,
        types=0 if kind == "mpnet" else whole({"type_vocab_size": 2, **config}, "type_vocab_size"),
        buckets=BUCKETS if kind == "mpnet" else 0,
        activation=activation(config.get("hidden_act", "gelu")),
        epsilon=number(config, "layer_norm_eps", 1e-12),
    )


class Block(nnx.Module):
    """norm(x + attention(x)), then norm(x + perceptron(x))."""

    def __init__(self, config: BertConfig, *, rngs: nnx.Rngs):
        width = config.width
        self.heads, self.activation = config.heads, config.activation
        self.query, self.key, self.value, self.out = (Linear(width, width, bias=True, rngs=rngs) for _ in range(4))
        self.norm_attention = LayerNorm(width, config.epsilon)
        self.up = Linear(width, config.inner, bias=True, rngs=rngs)
        self.down = Linear(config.inner, width, bias=True, rngs=rngs)
        self.norm_perceptron = LayerNorm(width, config.epsilon)

    def __call__(
        self,
        x: Float[Array, "batch length width"],
        _: None,
        seen: Allowed,
        bias: Float[Array, "1 heads length length"] | None,
    ) -> Float[Array, "batch length width"]:
        heads = (*x.shape[:2], self.heads, x.shape[2] // self.heads)
        query, key, value = (one(x).reshape(heads) for one in (self.query, self.key, self.value))
        mixed = attention(query, key, value, seen, heads[-1] ** -0.5, bias=bias)
        x = self.norm_attention(x + self.out(mixed))
        return self.norm_perceptron(x + self.down(ACTIVATIONS[self.activation](self.up(x))))


class Bert(nnx.Module):
    """Token identifiers -> token states of every layer."""

    def __init__(self, config: BertConfig, *, rngs: nnx.Rngs):
        self.config = config
        self.words = Embedding(config.vocabulary, config.width, rngs=rngs)
        self.places = Embedding(config.places, config.width, rngs=rngs)
        self.types = Embedding(config.types, config.width, rngs=rngs) if config.types else None
        self.norm = LayerNorm(config.width, config.epsilon)
        self.distances = Embedding(config.buckets, config.heads, rngs=rngs) if config.buckets else None
        self.layers = Stack(lambda rngs: Block(config, rngs=rngs), config.depth, rngs=rngs)

    def __call__(
        self,
        ids: Int[Array, "batch length"],
        mask: Bool[Array, "batch length"],
        keep: Keep,
        lengths: Int[Array, " batch"] | None = None,
        depth: int | None = None,
    ) -> tuple[Any, Any]:
        """What is kept of the states of layers 0 (the embedding, normalised) to L, layers first, and of the last.

        Args:
            ids: token identifiers; any at padding.
            mask: true where there is a token.
            keep: of the states (batch, length, width) of each layer.
            lengths: tokens of each row, where the padding is known to be on the right.
            depth: how many layers are run, the last one being the deepest of these; None for all.
        """
        x = self.words(ids) + self.places(positions_of(mask) + self.config.first)
        if self.types is not None:
            x = x + self.types.weight[0]
        x = self.norm(x)
        bias = None
        if self.distances is not None:
            buckets = buckets_of(ids.shape[1], self.config.buckets)
            bias = jnp.moveaxis(self.distances(jnp.asarray(buckets)), 2, 0)[None]
        x, kept = self.layers(x, keep, allowed(mask, lengths, causal=False, window=None), bias, depth=depth)
        return kept, keep(x)


def buckets_of(length: int, buckets: int) -> Int[np.ndarray, "length length"]:
    """MPNet's bucket of each distance: near ones have their own, far ones share it on a logarithmic scale.

    Half of the buckets are for tokens that come later; half of each half is for distances of their own.
    """
    distance = np.arange(length)[:, None] - np.arange(length)[None, :]
    half = buckets // 2
    exact = half // 2
    size = np.abs(distance)
    with np.errstate(divide="ignore"):
        far = exact + (np.log(size / exact) / np.log(FARTHEST / exact) * (half - exact)).clip(0).astype(int)
    found = np.where(size < exact, size, np.minimum(far, half - 1))
    return np.where(distance < 0, half, 0) + found


def names(config: BertConfig, model_type: str) -> dict[str, str]:
    """The tensors of a model's files by our parameters; ``{}`` is the number of a layer."""
    embedding = {"words": "word_embeddings", "places": "position_embeddings", "norm": "LayerNorm"}
    if config.types:
        embedding["types"] = "token_type_embeddings"
    found = {ours: f"embeddings.{theirs}" for ours, theirs in embedding.items()}
    if model_type == "distilbert":
        block = {
            "query": "attention.q_lin", "key": "attention.k_lin", "value": "attention.v_lin",
            "out": "attention.out_lin", "norm_attention": "sa_layer_norm",
            "up": "ffn.lin1", "down": "ffn.lin2", "norm_perceptron": "output_layer_norm",
        }  # fmt: skip
        layer = "transformer.layer.{}"
    else:
        block = {"up": "intermediate.dense", "down": "output.dense", "norm_perceptron": "output.LayerNorm"}
        if model_type == "mpnet":
            found["distances"] = "encoder.relative_attention_bias"
            block |= {"query": "attention.attn.q", "key": "attention.attn.k", "value": "attention.attn.v"}
            block |= {"out": "attention.attn.o", "norm_attention": "attention.LayerNorm"}
        else:
            block |= {name: f"attention.self.{name}" for name in ("query", "key", "value")}
            block |= {"out": "attention.output.dense", "norm_attention": "attention.output.LayerNorm"}
        layer = "encoder.layer.{}"
    return found | {f"layers.block.{ours}": f"{layer}.{theirs}" for ours, theirs in block.items()}


UNUSED = ("pooler.", "cls.", "lm_head.", "qa_outputs.", "classifier.", "pre_classifier.", "vocab_transform.",
          "vocab_layer_norm.", "vocab_projector.", "embeddings.position_ids", "embeddings.token_type_ids")  # fmt: skip
"""Parts of the names of tensors that representations do not need."""
PREFIXES = ("bert.", "roberta.", "mpnet.", "distilbert.", "camembert.")
"""That files of models with a head put before all names."""
