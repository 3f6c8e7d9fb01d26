"""GGUF files as checkpoints: values, names, configs, and files that are damaged; every file is written on the spot."""

import struct
from pathlib import Path

import numpy as np
import pytest

gguf = pytest.importorskip("gguf")

from gguf.quants import dequantize, quantize  # noqa: E402

from w2sg_jax import InputError  # noqa: E402
from w2sg_jax.encoders import GgufCheckpoint  # noqa: E402
from w2sg_jax.encoders.llama import config_of  # noqa: E402

pytestmark = pytest.mark.driver  # without JAX

Kind = gguf.GGMLQuantizationType
WIDTH, INNER, HEADS, KV_HEADS, LAYERS, VOCABULARY = 64, 96, 4, 2, 2, 40
HEAD_DIM = WIDTH // HEADS
SIZES = {
    "context_length": 128,
    "block_count": LAYERS,
    "embedding_length": WIDTH,
    "feed_forward_length": INNER,
    "attention.head_count": HEADS,
}


def write(path: Path, architecture: str, metadata: dict, tensors: dict, **more) -> Path:
    """A file with metadata (under the architecture's name) and tensors: arrays, or (raw blocks, kind) pairs."""
    writer = gguf.GGUFWriter(path, architecture)
    for key, value in {**{f"{architecture}.{key}": value for key, value in metadata.items()}, **more}.items():
        if isinstance(value, bool):
            writer.add_bool(key, value)
        elif isinstance(value, int):
            writer.add_uint32(key, value)
        elif isinstance(value, float):
            writer.add_float32(key, value)
        elif isinstance(value, str):
            writer.add_string(key, value)
        else:
            writer.add_array(key, value)
    for name, tensor in tensors.items():
        if isinstance(tensor, tuple):
            writer.add_tensor(name, tensor[0], raw_dtype=tensor[1])
        else:
            writer.add_tensor(name, np.ascontiguousarray(tensor, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def pairs_of_halves(rows: np.ndarray, heads: int) -> np.ndarray:
    """What llama.cpp's converter does to queries and keys, row by row: of each head rows 0, h, 1, h + 1, ..."""
    size = len(rows) // heads
    order = [head * size + half * size // 2 + i for head in range(heads) for i in range(size // 2) for half in range(2)]
    return rows[order]


def decoder(rng, *, layers: int = LAYERS, queries: int = WIDTH, inner: int = INNER) -> dict[str, np.ndarray]:
    """Random tensors of a Llama, by their names in transformers."""
    shapes = {"model.embed_tokens.weight": (VOCABULARY, WIDTH), "model.norm.weight": (WIDTH,)}
    for layer in range(layers):
        shapes |= {
            f"model.layers.{layer}.{name}.weight": shape
            for name, shape in {
                "input_layernorm": (WIDTH,),
                "self_attn.q_proj": (queries, WIDTH),
                "self_attn.k_proj": (queries * KV_HEADS // HEADS, WIDTH),
                "self_attn.v_proj": (queries * KV_HEADS // HEADS, WIDTH),
                "self_attn.o_proj": (WIDTH, queries),
                "post_attention_layernorm": (WIDTH,),
                "mlp.gate_proj": (inner, WIDTH),
                "mlp.up_proj": (inner, WIDTH),
                "mlp.down_proj": (WIDTH, inner),
            }.items()
        }
    return {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}


NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "model.layers": "blk",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def in_file(name: str) -> str:
    for ours, theirs in NAMES.items():
        name = name.replace(ours, theirs)
    return name


def converted(tensors: dict, *, permuted: bool = True) -> dict[str, np.ndarray]:
    """Tensors of a Llama as llama.cpp's converter writes them."""
    heads = {"q_proj": HEADS, "k_proj": KV_HEADS} if permuted else {}
    return {
        in_file(name): next((pairs_of_halves(rows, heads[kind]) for kind in heads if kind in name), rows)
        for name, rows in tensors.items()
    }


LLAMA = {**SIZES, "attention.head_count_kv": KV_HEADS, "attention.layer_norm_rms_epsilon": 1e-5, "rope.freq_base": 5e5}


@pytest.fixture
def llama(tmp_path, rng):
    """Path of a small float32 file, and its tensors."""
    tensors = decoder(rng)
    ids = {"tokenizer.ggml.bos_token_id": 1, "tokenizer.ggml.eos_token_id": 2, "tokenizer.ggml.padding_token_id": 0}
    return write(tmp_path / "llama.gguf", "llama", LLAMA, converted(tensors), **ids), tensors


def test_values_and_names_of_a_llama(llama):
    path, tensors = llama
    checkpoint = GgufCheckpoint(path)
    assert checkpoint.shapes == {name: value.shape for name, value in tensors.items()}
    for name, value in tensors.items():
        found = checkpoint.read(name)
        assert found.dtype == np.float32 and found.flags.writeable and found.flags.c_contiguous
        np.testing.assert_array_equal(found, value)


def test_the_config_of_a_llama(llama):
    assert GgufCheckpoint(llama[0]).config == {
        "model_type": "llama",
        "vocab_size": VOCABULARY,
        "hidden_size": WIDTH,
        "intermediate_size": INNER,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": KV_HEADS,
        "head_dim": HEAD_DIM,
        "max_position_embeddings": 128,
        "rms_norm_eps": 1e-5,
        "rope_theta": 5e5,
        "hidden_act": "silu",
        "tie_word_embeddings": True,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
    }


@pytest.mark.parametrize("kind", [Kind.F16, Kind.BF16, Kind.Q8_0, Kind.Q4_0, Kind.Q4_1, Kind.Q5_0, Kind.Q5_1], ids=str)
def test_quantised_values_are_within_a_step(tmp_path, rng, kind):
    tensors = decoder(rng)
    stored = {
        name: (quantize(value, kind), kind) if value.ndim == 2 else value for name, value in converted(tensors).items()
    }
    checkpoint = GgufCheckpoint(write(tmp_path / "q.gguf", "llama", LLAMA, stored))
    for name, value in tensors.items():
        found = checkpoint.read(name)
        # A block of 32 values has 2^bits steps across its range; Q4_0's and Q5_0's are of twice the largest value.
        largest = np.repeat(np.abs(value).reshape(-1, 32).max(1), 32).reshape(value.shape)
        step = {
            "F16": 2**-11,
            "BF16": 2**-8,
            "Q8_0": 1 / 127,
            "Q4_0": 1 / 8,
            "Q4_1": 2 / 15,
            "Q5_0": 1 / 16,
            "Q5_1": 2 / 31,
        }
        assert (np.abs(found - value) <= 1.02 * step[kind.name] * largest).all() or value.ndim == 1
        assert value.ndim == 2 or (found == value).all()


def test_blocks_of_q4_k_by_hand(tmp_path, rng):
    """256 values a block: d * scale * q - dmin * minimum, with eight 6-bit scales and minima packed in twelve bytes."""
    blocks = WIDTH
    tensors = decoder(rng, inner=256)
    scales, minima = rng.integers(0, 64, (2, blocks, 8))
    values = rng.integers(0, 16, (blocks, 8, 32))
    d, dmin = rng.uniform(0.01, 0.02, (2, blocks)).astype(np.float16)
    raw, expected = np.zeros((blocks, 144), np.uint8), np.zeros((blocks, 256))
    for b in range(blocks):
        packed = [0] * 12
        for j in range(4):
            packed[j] = scales[b, j] | (scales[b, j + 4] >> 4) << 6
            packed[j + 4] = minima[b, j] | (minima[b, j + 4] >> 4) << 6
            packed[j + 8] = scales[b, j + 4] & 15 | (minima[b, j + 4] & 15) << 4
        nibbles = [values[b, 2 * g, i] | values[b, 2 * g + 1, i] << 4 for g in range(4) for i in range(32)]
        raw[b] = [*np.array([d[b], dmin[b]]).view(np.uint8), *packed, *nibbles]
        factors = float(d[b]) * scales[b][:, None], float(dmin[b]) * minima[b][:, None]
        expected[b] = (factors[0] * values[b] - factors[1]).reshape(-1)
    stored = converted(tensors) | {"blk.1.ffn_down.weight": (raw, Kind.Q4_K)}
    path = write(tmp_path / "k.gguf", "llama", LLAMA | {"feed_forward_length": 256}, stored)
    np.testing.assert_allclose(GgufCheckpoint(path).read("model.layers.1.mlp.down_proj.weight"), expected, atol=1e-5)


@pytest.mark.parametrize("kind", [Kind.Q2_K, Kind.Q3_K, Kind.Q5_K, Kind.Q6_K, Kind.IQ4_NL], ids=str)
def test_chunks_make_no_difference(tmp_path, rng, kind, monkeypatch):
    monkeypatch.setattr("w2sg_jax.encoders.gguf.CHUNK", 1000)
    block, size = gguf.GGML_QUANT_SIZES[kind]
    raw = rng.integers(0, 60, (WIDTH, 256 // block * size)).astype(np.uint8)
    stored = converted(decoder(rng, inner=256)) | {"blk.0.ffn_down.weight": (raw, kind)}
    path = write(tmp_path / "k.gguf", "llama", LLAMA | {"feed_forward_length": 256}, stored)
    found = GgufCheckpoint(path).read("model.layers.0.mlp.down_proj.weight")
    np.testing.assert_array_equal(found, dequantize(raw, kind))


def test_biases_of_a_llama_are_permuted_too(tmp_path, rng):
    tensors = decoder(rng) | {"model.layers.0.self_attn.q_proj.bias": rng.normal(size=WIDTH).astype(np.float32)}
    checkpoint = GgufCheckpoint(write(tmp_path / "b.gguf", "llama", LLAMA, converted(tensors)))
    for name, value in tensors.items():
        np.testing.assert_array_equal(checkpoint.read(name), value)


def test_an_output_matrix_of_its_own(tmp_path, rng):
    tensors = decoder(rng) | {"lm_head.weight": rng.normal(size=(VOCABULARY, WIDTH)).astype(np.float32)}
    checkpoint = GgufCheckpoint(write(tmp_path / "o.gguf", "llama", LLAMA, converted(tensors)))
    assert checkpoint.config["tie_word_embeddings"] is False
    np.testing.assert_array_equal(checkpoint.read("lm_head.weight"), tensors["lm_head.weight"])


@pytest.mark.parametrize("architecture", ["qwen2", "qwen3"])
def test_qwen_is_not_permuted(tmp_path, rng, architecture):
    tensors = decoder(rng)
    for layer in range(LAYERS):
        for name, rows in (("q_proj", WIDTH), ("k_proj", WIDTH // 2), ("v_proj", WIDTH // 2)):
            if architecture == "qwen2":
                value = rng.normal(size=rows).astype(np.float32)
                tensors[f"model.layers.{layer}.self_attn.{name}.bias"] = value
        for name in ("q_norm", "k_norm") if architecture == "qwen3" else ():
            tensors[f"model.layers.{layer}.self_attn.{name}.weight"] = rng.normal(size=HEAD_DIM).astype(np.float32)
    stored = {
        name.replace("self_attn.q_norm", "attn_q_norm").replace("self_attn.k_norm", "attn_k_norm"): value
        for name, value in converted(tensors, permuted=False).items()
    }
    path = write(tmp_path / "q.gguf", architecture, LLAMA | {"attention.key_length": HEAD_DIM}, stored)
    checkpoint = GgufCheckpoint(path)
    assert checkpoint.config["model_type"] == architecture and checkpoint.shapes.keys() == tensors.keys()
    for name, value in tensors.items():
        np.testing.assert_array_equal(checkpoint.read(name), value)


GEMMA_NORMS = {
    "attn_norm": ("input_layernorm", WIDTH),
    "post_attention_norm": ("post_attention_layernorm", WIDTH),
    "ffn_norm": ("pre_feedforward_layernorm", WIDTH),
    "post_ffw_norm": ("post_feedforward_layernorm", WIDTH),
    "attn_q_norm": ("self_attn.q_norm", 32),
    "attn_k_norm": ("self_attn.k_norm", 32),
}


def gemma(path: Path, rng, *, layers: int = 7, **metadata) -> tuple[Path, dict[str, np.ndarray]]:
    """A Gemma 3 with heads wider than the width divided by their number, and its norms as transformers has them."""
    tensors = decoder(rng, layers=layers, queries=4 * 32)
    stored = {name: value for name, value in converted(tensors, permuted=False).items() if "norm" not in name}
    norms = {"model.norm.weight": rng.normal(size=WIDTH).astype(np.float32)}
    stored["output_norm.weight"] = norms["model.norm.weight"] + 1
    for layer in range(layers):
        for theirs, (ours, length) in GEMMA_NORMS.items():
            value = rng.normal(size=length).astype(np.float32)
            norms[f"model.layers.{layer}.{ours}.weight"] = value
            stored[f"blk.{layer}.{theirs}.weight"] = value + 1
    sizes = LLAMA | {"block_count": layers, "attention.key_length": 32, "attention.value_length": 32}
    return write(path, "gemma3", sizes | {"attention.sliding_window": 8} | metadata, stored), norms


def test_gemma_norms_and_config(tmp_path, rng):
    path, norms = gemma(tmp_path / "g.gguf", rng)
    checkpoint = GgufCheckpoint(path)
    for name, value in norms.items():
        np.testing.assert_allclose(checkpoint.read(name), value, atol=2.0**-22)
    config = checkpoint.config
    assert config["model_type"] == "gemma3_text" and config["head_dim"] == 32 == config["query_pre_attn_scalar"]
    assert config["layer_types"] == ["sliding_attention"] * 5 + ["full_attention", "sliding_attention"]
    assert (config["sliding_window"], config["rope_local_base_freq"]) == (8, 10000.0)


def test_gemma_patterns_that_a_file_names(tmp_path, rng):
    path, _ = gemma(
        tmp_path / "a.gguf", rng, layers=2, **{"attention.sliding_window_pattern": 2, "rope.freq_base_swa": 5e3}
    )
    config = GgufCheckpoint(path).config
    assert config["layer_types"] == ["sliding_attention", "full_attention"] and config["rope_local_base_freq"] == 5e3
    path, _ = gemma(tmp_path / "b.gguf", rng, layers=2, **{"attention.sliding_window_pattern": [False, True]})
    assert GgufCheckpoint(path).config["layer_types"] == ["full_attention", "sliding_attention"]


def test_gpt2(tmp_path, rng):
    shapes = {
        "ln_1": (WIDTH,),
        "attn.c_attn": (WIDTH, 3 * WIDTH),
        "attn.c_proj": (WIDTH, WIDTH),
        "ln_2": (WIDTH,),
        "mlp.c_fc": (WIDTH, INNER),
        "mlp.c_proj": (INNER, WIDTH),
    }
    stored_names = ["attn_norm", "attn_qkv", "attn_output", "ffn_norm", "ffn_up", "ffn_down"]
    tensors = {
        "transformer.wte.weight": rng.normal(size=(VOCABULARY, WIDTH)),
        "transformer.wpe.weight": rng.normal(size=(128, WIDTH)),
        "transformer.ln_f.weight": rng.normal(size=WIDTH),
        "transformer.ln_f.bias": rng.normal(size=WIDTH),
    }
    stored = dict(
        zip(
            ["token_embd.weight", "position_embd.weight", "output_norm.weight", "output_norm.bias"],
            tensors.values(),
            strict=True,
        )
    )
    for layer in range(LAYERS):
        for (name, shape), theirs in zip(shapes.items(), stored_names, strict=True):
            weight, bias = rng.normal(size=shape), rng.normal(size=shape[-1:])
            tensors |= {f"transformer.h.{layer}.{name}.weight": weight, f"transformer.h.{layer}.{name}.bias": bias}
            stored |= {f"blk.{layer}.{theirs}.weight": weight.T, f"blk.{layer}.{theirs}.bias": bias}
    path = write(tmp_path / "2.gguf", "gpt2", SIZES | {"attention.layer_norm_epsilon": 1e-5}, stored)
    checkpoint = GgufCheckpoint(path)
    assert checkpoint.shapes == {name: value.shape for name, value in tensors.items()}
    for name, value in tensors.items():
        np.testing.assert_array_equal(checkpoint.read(name), value.astype(np.float32))
    assert checkpoint.config["n_inner"] == INNER and checkpoint.config["n_positions"] == 128


def test_gpt_neox_is_by_head_again(tmp_path, rng):
    modules = {
        "attn_norm": ("input_layernorm", (WIDTH,)),
        "attn_qkv": ("attention.query_key_value", (3 * WIDTH, WIDTH)),
        "attn_output": ("attention.dense", (WIDTH, WIDTH)),
        "ffn_norm": ("post_attention_layernorm", (WIDTH,)),
        "ffn_up": ("mlp.dense_h_to_4h", (INNER, WIDTH)),
        "ffn_down": ("mlp.dense_4h_to_h", (WIDTH, INNER)),
    }
    stored = {
        "token_embd.weight": rng.normal(size=(VOCABULARY, WIDTH)),
        "output.weight": rng.normal(size=(VOCABULARY, WIDTH)),
        "output_norm.weight": rng.normal(size=WIDTH),
        "output_norm.bias": rng.normal(size=WIDTH),
    }
    tensors = {}
    # The order that the converter makes: for each of query, key, value all heads, where transformers has it by head.
    order = [
        head * 3 * HEAD_DIM + kind * HEAD_DIM + i for kind in range(3) for head in range(HEADS) for i in range(HEAD_DIM)
    ]
    for layer in range(LAYERS):
        for theirs, (ours, shape) in modules.items():
            for part, value in (("weight", rng.normal(size=shape)), ("bias", rng.normal(size=shape[:1]))):
                tensors[f"gpt_neox.layers.{layer}.{ours}.{part}"] = value
                stored[f"blk.{layer}.{theirs}.{part}"] = value[order] if theirs == "attn_qkv" else value
    metadata = SIZES | {"attention.layer_norm_epsilon": 1e-5, "rope.dimension_count": 4, "use_parallel_residual": False}
    checkpoint = GgufCheckpoint(write(tmp_path / "n.gguf", "gptneox", metadata, stored))
    for name, value in tensors.items():
        np.testing.assert_array_equal(checkpoint.read(name), value.astype(np.float32))
    assert checkpoint.config["rotary_pct"] == 0.25 and checkpoint.config["use_parallel_residual"] is False
    assert "embed_out.weight" in checkpoint.shapes


# Scaled positions


def llama3_factors(theta: float, size: int, factor: float) -> np.ndarray:
    """The rule of Llama 3.1 one frequency after the other, as the quotient of frequencies before and after."""
    factors = []
    for i in range(size // 2):
        frequency = theta ** (-2 * i / size)
        wavelength = 2 * np.pi / frequency
        if wavelength < 8192 / 4:
            scaled = frequency
        elif wavelength > 8192:
            scaled = frequency / factor
        else:
            smooth = (8192 / wavelength - 1) / (4 - 1)
            scaled = (1 - smooth) * frequency / factor + smooth * frequency
        factors.append(frequency / scaled)
    return np.array(factors, np.float32)


@pytest.mark.parametrize("factor", [8.0, 32.0])
def test_factors_of_llama_3(tmp_path, rng, factor):
    stored = converted(decoder(rng)) | {"rope_freqs.weight": llama3_factors(5e5, HEAD_DIM, factor)}
    checkpoint = GgufCheckpoint(write(tmp_path / "l.gguf", "llama", LLAMA, stored))
    assert checkpoint.config["rope_scaling"] == {
        "rope_type": "llama3",
        "factor": factor,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }
    assert not any("rope" in name for name in checkpoint.shapes)


def test_other_factors_are_kept(tmp_path, rng):
    factors = np.linspace(1, 5, HEAD_DIM // 2, dtype=np.float32)
    stored = converted(decoder(rng)) | {"rope_freqs.weight": factors}
    config = GgufCheckpoint(write(tmp_path / "l.gguf", "llama", LLAMA, stored)).config
    np.testing.assert_array_equal(np.float32(config["rope_factors"]), factors)
    assert "rope_scaling" not in config
    with pytest.raises(InputError, match=r"rope_factors is \[.* which is not supported"):  # they would be passed over
        config_of(config)
    for wrong in (factors[1:], factors - 1):
        path = write(tmp_path / "w.gguf", "llama", LLAMA, stored | {"rope_freqs.weight": wrong})
        with pytest.raises(InputError, match="expected 8 positive factors"):
            GgufCheckpoint(path)


def test_scaling_that_metadata_say(tmp_path, rng):
    stored = converted(decoder(rng))

    def scaling(**metadata):
        more = {f"rope.scaling.{name}": value for name, value in metadata.items()}
        return GgufCheckpoint(write(tmp_path / "l.gguf", "llama", LLAMA | more, stored)).config.get("rope_scaling")

    assert scaling(type="none", factor=4.0) is None
    assert scaling(type="linear", factor=4.0) == {"rope_type": "linear", "factor": 4.0}
    expected = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}
    assert scaling(type="yarn", factor=4.0, original_context_length=32) == expected
    with pytest.raises(InputError, match="'longrope' are not supported"):
        scaling(type="longrope")


# Refusals


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"block_count": 10**9}, "block_count is 1000000000, expected an integer of 1 to 20"),
        ({"block_count": 3}, "9 tensors of the architecture are missing, blk.2.attn_q.weight among them"),
        ({"block_count": 1}, "9 tensors do not belong to the architecture, blk.1.attn_k.weight among them"),
        ({"embedding_length": 0}, "embedding_length is 0, expected an integer"),
        ({"embedding_length": 32}, "tensor token_embd.weight has shape"),
        ({"attention.head_count": 5}, "cannot be divided among 5 heads"),
        ({"attention.head_count_kv": 3}, "are not the llama architecture"),
        ({"rope.dimension_count": 8}, "tensor blk.0.attn_q.weight has shape"),
        ({"attention.key_length": 16, "rope.dimension_count": 8}, "are not the llama architecture"),
        ({"attention.value_length": 8}, "are not the llama architecture"),
        ({"attention.head_count": [4, 2]}, "head_count is .*expected an integer"),
        ({"attention.layer_norm_rms_epsilon": float("nan")}, "expected a number between"),
        ({"rope.freq_base": -1.0}, "rope.freq_base is -1.0"),
        ({"context_length": "long"}, "context_length is long"),
        ({"expert_count": 8}, "mixtures of experts"),
        ({"attention.causal": False}, "attention to both sides"),
    ],
    ids=str,
)
def test_metadata_that_no_model_has(tmp_path, rng, change, message):
    path = write(tmp_path / "x.gguf", "llama", LLAMA | change, converted(decoder(rng)))
    with pytest.raises(InputError, match=message):
        GgufCheckpoint(path)


@pytest.mark.parametrize("key", [key for key in LLAMA if key not in ("attention.head_count_kv", "rope.freq_base")])
def test_missing_metadata_are_named(tmp_path, rng, key):
    metadata = {name: value for name, value in LLAMA.items() if name != key}
    with pytest.raises(InputError, match=rf"metadata llama\.{key} is missing"):
        GgufCheckpoint(write(tmp_path / "m.gguf", "llama", metadata, converted(decoder(rng))))


def test_numbers_by_layer_that_agree_are_one(tmp_path, rng):
    change = {"attention.head_count": [HEADS] * LAYERS}
    path = write(tmp_path / "x.gguf", "llama", LLAMA | change, converted(decoder(rng)))
    assert GgufCheckpoint(path).config["num_attention_heads"] == HEADS


def test_other_architectures_are_refused_with_those_that_are_read(tmp_path):
    path = write(tmp_path / "x.gguf", "mamba", {}, {"token_embd.weight": np.zeros((4, 4))})
    with pytest.raises(
        InputError, match="'mamba' is not supported; these are: llama, qwen2, qwen3, gemma3, gpt2, gptneox"
    ):
        GgufCheckpoint(path)


def test_quantisations_that_cannot_be_undone_are_named(tmp_path, rng):
    stored = converted(decoder(rng)) | {"blk.0.ffn_up.weight": (np.zeros((INNER, WIDTH)), Kind.F64)}
    with pytest.raises(InputError, match=r"'blk.0.ffn_up.weight' in quantisation F64"):
        GgufCheckpoint(write(tmp_path / "x.gguf", "llama", LLAMA, stored))


def test_special_tokens_outside_the_vocabulary_are_refused(tmp_path, rng):
    more = {"tokenizer.ggml.eos_token_id": VOCABULARY}
    with pytest.raises(InputError, match="eos_token_id is 40, expected an integer of 0 to 39"):
        GgufCheckpoint(write(tmp_path / "x.gguf", "llama", LLAMA, converted(decoder(rng)), **more))


def test_values_that_are_not_finite_are_refused_when_read(tmp_path, rng):
    stored = converted(decoder(rng)) | {"output_norm.weight": np.full(WIDTH, np.inf)}
    checkpoint = GgufCheckpoint(write(tmp_path / "x.gguf", "llama", LLAMA, stored))
    with pytest.raises(InputError, match=r"'output_norm.weight' of .* not finite"):
        checkpoint.read("model.norm.weight")
    with pytest.raises(InputError, match=r"has no tensor 'output_norm.weight'"):
        checkpoint.read("output_norm.weight")


def header(*, version: int = 3, tensors: int = 0, pairs: int = 0, rest: bytes = b"", order: str = "<") -> bytes:
    return b"GGUF" + struct.pack(f"{order}IQQ", version, tensors, pairs) + rest


def text(value: str | bytes) -> bytes:
    value = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(value)) + value


PAIR = text("general.architecture") + struct.pack("<I", 8) + text("llama")
ENTRY = text("a") + struct.pack("<IQIQ", 1, 8, 0, 0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not a GGUF file"),
        (b"GGU", "is not a GGUF file"),
        (b"PK\3\4" + bytes(100), "is not a GGUF file"),
        (b"GGUF", "version at byte 4 needs 4 bytes, 0 left"),
        (header(order=">"), "is big-endian"),
        (header(version=1), "has version 1 of GGUF"),
        (header(version=4), "has version 4 of GGUF"),
        (header(pairs=2**62), "4611686018427387904 metadata"),
        (header(tensors=2**62), "4611686018427387904 tensors"),
        (header(pairs=1, rest=text("k") + struct.pack("<IQ", 8, 2**63) + bytes(9)), "k at byte"),
        (header(pairs=1, rest=text("k") + struct.pack("<IIQ", 9, 4, 2**61) + bytes(9)), "k at byte"),
        (header(pairs=1, rest=text("k") + struct.pack("<IIQ", 9, 8, 2**61) + bytes(9)), "k at byte"),
        (header(pairs=1, rest=text("k") + struct.pack("<IIQ", 9, 9, 1) + bytes(9)), "array of type 9"),
        (header(pairs=1, rest=text("k") + struct.pack("<I", 77) + bytes(9)), "k has type 77"),
        (header(pairs=1, rest=text(b"\xff\xfe") + struct.pack("<I", 4) + bytes(9)), "is not UTF-8"),
        (header(pairs=2, rest=PAIR + PAIR), "has metadata general.architecture twice"),
        (header(tensors=2, rest=ENTRY + ENTRY + bytes(64)), "has tensor 'a' twice"),
        (header(tensors=1, rest=ENTRY + bytes(8)), "is cut off: tensor 'a'"),
        (header(tensors=1, rest=text("a") + struct.pack("<IQIQ", 1, 0, 0, 0) + bytes(64)), r"shape \(0,\)"),
        (header(tensors=1, rest=text("a") + struct.pack("<IQIQ", 1, 8, 2, 0) + bytes(64)), "'a' of Q4_0 has shape"),
        (header(tensors=1, rest=text("a") + struct.pack("<IQIQ", 1, 8, 0, 7) + bytes(64)), "at offset 7"),
        (
            header(tensors=1, rest=text("a") + struct.pack("<IQIQ", 1, 2**63, 0, 0) + bytes(64)),
            "is cut off: tensor 'a'",
        ),
        (header(tensors=1, rest=text("a") + struct.pack("<IQIQ", 1, 8, 99, 0) + bytes(64)), "quantisation number 99"),
        (header(tensors=1, rest=text("a") + struct.pack("<IQIQ", 9, 8, 0, 0) + bytes(64)), "has 9 axes"),
        (header(pairs=1, rest=text("general.alignment") + struct.pack("<II", 4, 24)), "alignment is 24"),
        (header(), "general.architecture is missing"),
        (header(pairs=1, rest=PAIR), "token_embd.weight is missing"),
    ],
)
def test_headers_that_are_damaged(tmp_path, content, message):
    path = tmp_path / "x.gguf"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        GgufCheckpoint(path)


def test_files_that_are_not_there(tmp_path):
    for path in (tmp_path, tmp_path / "none.gguf"):
        with pytest.raises(InputError, match=r"cannot read|is not a GGUF"):
            GgufCheckpoint(path)


def read_all(path: Path) -> None:
    checkpoint = GgufCheckpoint(path)
    for name in checkpoint.shapes:
        checkpoint.read(name)


def test_files_cut_off_anywhere(llama, tmp_path, rng):
    content = llama[0].read_bytes()
    cut = tmp_path / "cut.gguf"
    # The last tensor ends less than an alignment before the file does.
    for size in [*range(0, 3000, 7), *rng.integers(3000, len(content) - 32, 60)]:
        cut.write_bytes(content[:size])
        with pytest.raises(InputError, match=r"cut\.gguf"):
            GgufCheckpoint(cut)


def test_damaged_bytes_are_refused_or_read(llama, tmp_path, rng):
    """Never another exception: of 400 files with a few wrong bytes in the header some are models still."""
    content, refused = llama[0].read_bytes(), 0
    damaged = tmp_path / "damaged.gguf"
    for _ in range(400):
        changed = bytearray(content)
        for at in rng.integers(4, 2500, rng.integers(1, 4)):
            changed[at] = rng.integers(256)
        damaged.write_bytes(changed)
        try:
            read_all(damaged)
        except InputError:
            refused += 1
    assert refused > 300


def test_without_the_package_its_extra_is_named(llama, monkeypatch):
    monkeypatch.setattr("w2sg_jax._errors.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r'gguf is not installed: pip install "w2sg_jax\[models\]"'):
        GgufCheckpoint(llama[0])
