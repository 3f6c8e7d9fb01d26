"""The paper's size: 28 published language models of 0.1 to 3 billion parameters beside one of seven billion.

Chosen by us, since the paper does not name its own. Our encoders read all of them; they are of nine makers, most in two
sizes or more, so that what a size does and what a maker does can be told apart. To be run where a hub answers.
"""

from typing import Any

from w2sg_jax.encoders.shapes import Shape

from .models import Network


def _gpt2(vocabulary: int, width: int, depth: int, heads: int, positions: int = 1024) -> Shape:
    told = {
        "model_type": "gpt2", "vocab_size": vocabulary, "n_embd": width, "n_layer": depth, "n_head": heads,
        "n_positions": positions,
    }  # fmt: skip
    return Shape(told)


def _neox(width: int, depth: int, heads: int) -> Shape:
    told = {
        "model_type": "gpt_neox", "vocab_size": 50_304, "hidden_size": width, "num_hidden_layers": depth,
        "num_attention_heads": heads, "intermediate_size": 4 * width, "max_position_embeddings": 2048,
        "hidden_act": "gelu",
    }  # fmt: skip
    return Shape(told)


def _llama(
    kind: str, vocabulary: int, width: int, depth: int, heads: tuple[int, int, int], inner: int, **more: Any
) -> Shape:
    queries, keys, head_width = heads
    told = {
        "model_type": kind, "vocab_size": vocabulary, "hidden_size": width, "num_hidden_layers": depth,
        "num_attention_heads": queries, "num_key_value_heads": keys, "head_dim": head_width,
        "intermediate_size": inner, "max_position_embeddings": 8192, "hidden_act": "silu",
    }  # fmt: skip
    return Shape(told | more)


GEMMA = {"hidden_act": "gelu_pytorch_tanh", "query_pre_attn_scalar": 256, "sliding_window": 512}
WEAK = {
    "openai-community/gpt2": _gpt2(50_257, 768, 12, 12),
    "openai-community/gpt2-medium": _gpt2(50_257, 1024, 24, 16),
    "openai-community/gpt2-large": _gpt2(50_257, 1280, 36, 20),
    "openai-community/gpt2-xl": _gpt2(50_257, 1600, 48, 25),
    "cerebras/Cerebras-GPT-111M": _gpt2(50_257, 768, 10, 12, 2048),
    "cerebras/Cerebras-GPT-256M": _gpt2(50_257, 1088, 14, 17, 2048),
    "cerebras/Cerebras-GPT-590M": _gpt2(50_257, 1536, 18, 12, 2048),
    "cerebras/Cerebras-GPT-1.3B": _gpt2(50_257, 2048, 24, 16, 2048),
    "cerebras/Cerebras-GPT-2.7B": _gpt2(50_257, 2560, 32, 32, 2048),
    "EleutherAI/pythia-160m": _neox(768, 12, 12),
    "EleutherAI/pythia-410m": _neox(1024, 24, 16),
    "EleutherAI/pythia-1b": _neox(2048, 16, 8),
    "EleutherAI/pythia-1.4b": _neox(2048, 24, 16),
    "EleutherAI/pythia-2.8b": _neox(2560, 32, 32),
    "HuggingFaceTB/SmolLM2-135M": _llama("llama", 49_152, 576, 30, (9, 3, 64), 1536),
    "HuggingFaceTB/SmolLM2-360M": _llama("llama", 49_152, 960, 32, (15, 5, 64), 2560),
    "HuggingFaceTB/SmolLM2-1.7B": _llama("llama", 49_152, 2048, 24, (32, 32, 64), 8192),
    "Qwen/Qwen2.5-0.5B": _llama("qwen2", 151_936, 896, 24, (14, 2, 64), 4864),
    "Qwen/Qwen2.5-1.5B": _llama("qwen2", 151_936, 1536, 28, (12, 2, 128), 8960),
    "Qwen/Qwen2.5-3B": _llama("qwen2", 151_936, 2048, 36, (16, 2, 128), 11_008),
    "Qwen/Qwen3-0.6B-Base": _llama("qwen3", 151_936, 1024, 28, (16, 8, 128), 3072),
    "Qwen/Qwen3-1.7B-Base": _llama("qwen3", 151_936, 2048, 28, (16, 8, 128), 6144),
    "meta-llama/Llama-3.2-1B": _llama("llama", 128_256, 2048, 16, (32, 8, 64), 8192),
    "meta-llama/Llama-3.2-3B": _llama("llama", 128_256, 3072, 28, (24, 8, 128), 8192),
    "google/gemma-3-270m": _llama("gemma3_text", 262_144, 640, 18, (4, 1, 256), 2048, **GEMMA),
    "google/gemma-3-1b-pt": _llama("gemma3_text", 262_144, 1152, 26, (4, 1, 256), 6912, **GEMMA),
    "google/gemma-2b": _llama("gemma", 256_000, 2048, 18, (8, 1, 256), 16_384, hidden_act="gelu"),
    "TinyLlama/TinyLlama_v1.1": _llama("llama", 32_000, 2048, 22, (32, 4, 64), 5632),
}
"""Weak models and their shapes, as published."""
STRONG = {"mistralai/Mistral-7B-v0.3": _llama("mistral", 32_768, 4096, 32, (32, 8, 128), 14_336)}
"""The strong model and its shape."""


def _network(hub: str, shape: Shape, *, weak: bool) -> Network:
    depth = shape.network.config.depth
    return Network(hub.partition("/")[2].lower(), hub, (depth,) if weak else (), depth)


def networks() -> dict[Network, Shape]:
    """The models as networks of the experiment, none of them cut, and their shapes."""
    found = {_network(hub, shape, weak=True): shape for hub, shape in WEAK.items()}
    return found | {_network(hub, shape, weak=False): shape for hub, shape in STRONG.items()}
