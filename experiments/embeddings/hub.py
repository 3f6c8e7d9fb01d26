"""Published embedding models beside a strong one of seven billion parameters, to be run where a hub answers.

Chosen by us: the paper does not name its 22 models, and takes NV-Embed-v2, which needs code of its own, as the strong
one. These are read by our encoders; they are of seven makers, from 3 layers of 384 columns to 28 of 1024, most in two
sizes or three, so that what a size does and what a maker does can be told apart.
"""

from w2sg_jax.encoders.shapes import Shape

from .models import Network


def _bert(
    width: int, depth: int, kind: str = "bert", vocabulary: int = 30_522, positions: int = 512, kinds: int = 2
) -> Shape:
    heads = 16 if width == 1024 else 12
    told = {
        "model_type": kind, "vocab_size": vocabulary, "hidden_size": width, "num_hidden_layers": depth,
        "num_attention_heads": heads, "intermediate_size": 4 * width, "max_position_embeddings": positions,
        "type_vocab_size": kinds, "hidden_act": "gelu", "layer_norm_eps": 1e-12, "pad_token_id": 1,
        "relative_attention_num_buckets": 32,
    }  # fmt: skip
    return Shape(told)


def _mpnet() -> Shape:
    return _bert(768, 12, "mpnet", 30_527, 514)


def _roberta(width: int, depth: int) -> Shape:
    return _bert(width, depth, "roberta", 50_265, 514, 1)


def _xlm(width: int, depth: int, positions: int = 514) -> Shape:
    return _bert(width, depth, "xlm-roberta", 250_002, positions, 1)


def _llama(kind: str, *, vocabulary: int, width: int, depth: int, heads: int, head_width: int, inner: int) -> Shape:
    told = {
        "model_type": kind, "vocab_size": vocabulary, "hidden_size": width, "num_hidden_layers": depth,
        "num_attention_heads": heads, "num_key_value_heads": 8, "head_dim": head_width, "intermediate_size": inner,
        "max_position_embeddings": 32_768, "hidden_act": "silu", "rms_norm_eps": 1e-6, "rope_theta": 1e6,
        "sliding_window": None,
    }  # fmt: skip
    return Shape(told)


def _own(name: str, hub: str, prompt: str | None = None) -> Network:
    return Network(name, hub, (), own=True, prompt=prompt)


WEAK = {
    _own("minilm-l3", "sentence-transformers/paraphrase-MiniLM-L3-v2"): _bert(384, 3),
    _own("minilm-l6", "sentence-transformers/all-MiniLM-L6-v2"): _bert(384, 6),
    _own("minilm-l12", "sentence-transformers/all-MiniLM-L12-v2"): _bert(384, 12),
    _own("minilm-qa", "sentence-transformers/multi-qa-MiniLM-L6-cos-v1"): _bert(384, 6),
    _own("mpnet", "sentence-transformers/all-mpnet-base-v2"): _mpnet(),
    _own("mpnet-qa", "sentence-transformers/multi-qa-mpnet-base-dot-v1"): _mpnet(),
    _own("distilroberta", "sentence-transformers/all-distilroberta-v1"): _roberta(768, 6),
    _own("roberta-large", "sentence-transformers/all-roberta-large-v1"): _roberta(1024, 24),
    _own("e5-small", "intfloat/e5-small-v2", "query: "): _bert(384, 12),
    _own("e5-base", "intfloat/e5-base-v2", "query: "): _bert(768, 12),
    _own("e5-large", "intfloat/e5-large-v2", "query: "): _bert(1024, 24),
    _own("m-e5-small", "intfloat/multilingual-e5-small", "query: "): _bert(384, 12, vocabulary=250_037),
    _own("m-e5-base", "intfloat/multilingual-e5-base", "query: "): _xlm(768, 12),
    _own("m-e5-large", "intfloat/multilingual-e5-large", "query: "): _xlm(1024, 24),
    _own("bge-small", "BAAI/bge-small-en-v1.5"): _bert(384, 12),
    _own("bge-base", "BAAI/bge-base-en-v1.5"): _bert(768, 12),
    _own("bge-large", "BAAI/bge-large-en-v1.5"): _bert(1024, 24),
    _own("gte-small", "thenlper/gte-small"): _bert(384, 12),
    _own("gte-base", "thenlper/gte-base"): _bert(768, 12),
    _own("gte-large", "thenlper/gte-large"): _bert(1024, 24),
    _own("bge-m3", "BAAI/bge-m3"): _xlm(1024, 24, 8194),
    _own("qwen3-0.6b", "Qwen/Qwen3-Embedding-0.6B"): _llama(
        "qwen3", vocabulary=151_669, width=1024, depth=28, heads=16, head_width=128, inner=3072
    ),
}
"""Weak models and their shapes, as published."""
STRONG = {
    _own("e5-mistral", "intfloat/e5-mistral-7b-instruct"): _llama(
        "mistral", vocabulary=32_000, width=4096, depth=32, heads=32, head_width=128, inner=14_336
    ),
}
"""The strong model and its shape."""
SHAPES = WEAK | STRONG
