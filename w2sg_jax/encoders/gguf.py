"""A GGUF file seen as a checkpoint in the layout of `transformers`: its config, and its tensors by their names there.

GGUF is the format of llama.cpp: a header with typed metadata and a table of tensors, then the tensors themselves, most
of them quantised in blocks along their last axis. llama.cpp's converter renames tensors and changes some of them; this
module takes that back. The header is read here rather than by `gguf.GGUFReader`, which checks no bound before it reads
and takes a quarter of a minute for a vocabulary of 262144 tokens; the blocks are dequantised by `gguf.quants`.

Source: the format's specification, docs/gguf.md of ggml, versions 2 and 3.
"""

import math
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, UInt8

from .._errors import InputError, check
from ..store.content import path_hash

ARCHITECTURES = {
    "llama": "llama",
    "qwen2": "qwen2",
    "qwen3": "qwen3",
    "gemma3": "gemma3_text",
    "gpt2": "gpt2",
    "gptneox": "gpt_neox",
}
"""`general.architecture` of a file -> `model_type` of a config. Mistral's files say llama."""

VERSIONS = (2, 3)
"""Versions of the format that are read; version 1 counted in 32 bits and has not been written since 2023."""

CHUNK = 1 << 22
"""Values dequantised at a time: `gguf.quants` holds each chunk twice."""

_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_MOST_AXES = 4
_SMALLEST, _LARGEST = 1e-30, 2**31 - 1

# llama.cpp takes every layer but each sixth of Gemma 3 as local, with this base, where a file says nothing else.
_GEMMA3_PATTERN, _GEMMA3_LOCAL_BASE = 6, 10_000.0
# Layers of Gemma 3 27B, the one size whose attention is scaled by hidden_size / heads and not by head_dim.
_GEMMA3_27B_LAYERS = 62
# Llama 3.1 and later were published with these; a file holds only the factors that follow from them.
_LLAMA3_ROPE = {"low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
# Factors are stored in float32.
_FACTOR_TOLERANCE = 1e-5


class GgufCheckpoint:
    """The config and the tensors of a GGUF file, by the names that `transformers` has for them.

    Tensors are memory-mapped and dequantised one at a time. Only what llama.cpp's converter did is undone: rows of the
    query and key projections of the llama architecture stand in the order of `transformers` again (two halves, where
    files interleave them), fused projections of GPT-NeoX are by head again, GPT-2's matrices are (in, out) again, and
    Gemma's norms are w again (files hold 1 + w).

    A file is checked as a whole when it is opened: every tensor of the architecture is there with the shape that the
    metadata imply, and no other.
    """

    path: Path
    """the file"""
    metadata: dict[str, Any]
    """all key-value pairs of the header; arrays of numbers are NumPy arrays, arrays of strings lists"""
    config: dict[str, Any]
    """what the model's config.json would say, for one of the `ARCHITECTURES`; numbers are the shortest decimals of the
    float32 in the file. `rope_scaling` is there where positions are scaled, `rope_factors` (head_dim / 2 divisors of
    the rotary frequencies) where the file has factors that no published rule gives."""
    shapes: dict[str, tuple[int, ...]]
    """name -> shape of every tensor, as a safetensors file of the model has them"""

    def __init__(self, path: Path | str) -> None:
        """Read the header of a file.

        Args:
            path: a file in the GGUF format, of one part.

        Raises:
            InputError: `gguf` is not installed; the file is not there, is not GGUF, is cut off or contradicts itself;
                its architecture or one of its quantisations is not supported; metadata or tensors are missing.

        Cost: one pass over the header, half a second for a vocabulary of 262144 tokens.
        """
        check("gguf", extra="models")
        self.path = Path(path)
        self._data = _mapped(self.path)
        self.metadata, self._stored = _read_header(self.path, self._data)
        _check_quantisations(self.path, self._stored)
        facts = _Facts(self.path, self.metadata)
        architecture = facts.text("general.architecture")
        if architecture not in ARCHITECTURES:
            raise facts.refused(
                f"architecture {architecture!r} is not supported; these are: {', '.join(ARCHITECTURES)}"
            )
        self.config = _config_of(architecture, facts, self._stored)
        if "rope_freqs.weight" in self._stored:
            self.config |= _rope_of_factors(facts, self.config, self._dequantised("rope_freqs.weight"))
        self._places = _placed(facts, self._stored, _TENSORS_OF[architecture](self.config))
        self.shapes = {name: place.shape for name, place in self._places.items()}

    def content_hash(self) -> str:
        """sha256 of the file."""
        return path_hash(self.path)

    def read(self, name: str) -> Float32[np.ndarray, "..."]:
        """One tensor, dequantised.

        Args:
            name: one of `shapes`.

        Returns:
            The values in float32, of shape `shapes[name]`, in memory of their own.

        Raises:
            InputError: there is no such tensor, or it has values that are not finite.

        Cost: the tensor in float32, once more while its rows or axes are put back in order.
        """
        if name not in self._places:
            raise InputError(f"name: {self.path} has no tensor {name!r}; its names are those of shapes")
        place = self._places[name]
        values = self._dequantised(place.stored)
        return values if place.undo is None else np.ascontiguousarray(place.undo(values))

    def _dequantised(self, stored: str) -> Float32[np.ndarray, "..."]:
        """A tensor under its name in the file, as it is there."""
        from gguf.quants import dequantize

        tensor = self._stored[stored]
        rows = math.prod(tensor.shape[:-1])
        blocks = self._data[tensor.start : tensor.start + tensor.size].reshape(rows, -1)
        values = np.empty((rows, tensor.shape[-1]), np.float32)
        step = max(1, CHUNK // tensor.shape[-1])
        # A damaged scale overflows; that is told once, below, and not by NumPy's warnings.
        with np.errstate(all="ignore"):
            for first in range(0, rows, step):
                values[first : first + step] = dequantize(np.array(blocks[first : first + step]), tensor.kind)
        if not np.isfinite(values).all():
            raise InputError(
                f"path: tensor {stored!r} of {self.path} has values that are not finite; fetch the file again"
            )
        return values.reshape(tensor.shape)


@dataclass(frozen=True)
class _Stored:
    """Where a tensor stands in the file."""

    shape: tuple[int, ...]
    """slowest axis first, as in NumPy; files have it the other way round"""
    kind: Any
    """its `gguf.GGMLQuantizationType`"""
    start: int
    """first byte, from the start of the file"""
    size: int
    """number of bytes"""


@dataclass(frozen=True)
class _Place:
    """A tensor of `transformers`: which one of the file it is, and what takes the converter's change back."""

    stored: str
    shape: tuple[int, ...]
    undo: Callable[[np.ndarray], np.ndarray] | None = None
    optional: bool = False


# The header


def _mapped(path: Path) -> UInt8[np.ndarray, " size"]:
    """The bytes of a file, none of them read yet."""
    try:
        # An empty file cannot be mapped.
        return np.memmap(path, np.uint8, mode="r") if path.stat().st_size else np.empty(0, np.uint8)
    except OSError as error:
        raise InputError(f"path: cannot read {path} ({error.strerror}); expected a GGUF file") from None


class _Cursor:
    """Reads one value after another, never past the end of the file."""

    def __init__(self, path: Path, data: np.ndarray) -> None:
        self.path, self.data, self.end, self.at = path, data, len(data), 0
        self.bytes = data.data

    def refused(self, problem: str) -> InputError:
        return InputError(f"path: {self.path} {problem}; fetch or convert the file again")

    def need(self, size: int, what: str) -> None:
        """Refuse if fewer than `size` bytes are left."""
        if size > self.end - self.at:
            raise self.refused(
                f"is cut off or damaged: {what} at byte {self.at} needs {size} bytes, {self.end - self.at} left"
            )

    def number(self, code: str, what: str) -> Any:
        size = struct.calcsize(f"<{code}")
        self.need(size, what)
        (value,) = struct.unpack_from(f"<{code}", self.bytes, self.at)
        self.at += size
        return value

    def text(self, what: str) -> str:
        length = self.number("Q", what)
        self.need(length, what)
        start, self.at = self.at, self.at + length
        try:
            return str(self.bytes[start : self.at], "utf-8")
        except UnicodeDecodeError:
            raise self.refused(f"is damaged: {what} at byte {start} is not UTF-8") from None

    def value(self, kind: int, key: str) -> Any:
        """A metadata value of one of the format's types."""
        if kind in _SCALARS:
            return self.number(_SCALARS[kind], key)
        if kind == _STRING:
            return self.text(key)
        if kind != _ARRAY:
            raise self.refused(f"is damaged: {key} has type {kind}, which the format does not have")
        kind, count = self.number("I", key), self.number("Q", key)
        if kind == _STRING:
            self.need(8 * count, key)  # each string has a length of 8 bytes
            return [self.text(key) for _ in range(count)]
        if kind not in _SCALARS:
            raise self.refused(f"has an array of type {kind} for {key}; arrays of numbers and of strings are read")
        dtype = np.dtype(_SCALARS[kind]).newbyteorder("<")
        self.need(count * dtype.itemsize, key)
        start, self.at = self.at, self.at + count * dtype.itemsize
        return self.data[start : self.at].view(dtype).copy()


def _read_header(path: Path, data: np.ndarray) -> tuple[dict[str, Any], dict[str, _Stored]]:
    """All metadata, and the table of tensors."""
    cursor = _Cursor(path, data)
    if bytes(data[:4]) != b"GGUF":
        raise InputError(
            f"path: {path} is not a GGUF file (it does not begin with GGUF); give the .gguf file of a model"
        )
    cursor.at = 4
    version = cursor.number("I", "version")
    if version & 0xFFFF == 0:
        raise InputError(f"path: {path} is big-endian; convert it to little-endian, as most files are")
    if version not in VERSIONS:
        raise InputError(f"path: {path} has version {version} of GGUF; versions {VERSIONS} are read: convert it again")
    tensors, pairs = cursor.number("Q", "number of tensors"), cursor.number("Q", "number of metadata")
    # The smallest pair and the smallest entry of the table: no count can ask for more than the file has.
    cursor.need(13 * pairs, f"{pairs} metadata")
    cursor.need(32 * tensors, f"{tensors} tensors")
    metadata: dict[str, Any] = {}
    for _ in range(pairs):
        key = cursor.text("a metadata key")
        if key in metadata:
            raise cursor.refused(f"has metadata {key} twice")
        metadata[key] = cursor.value(cursor.number("I", key), key)
    return metadata, _read_table(cursor, tensors, metadata.get("general.alignment", 32))


def _read_table(cursor: _Cursor, count: int, alignment: Any) -> dict[str, _Stored]:
    """Name -> place of each of the file's tensors, all of them within the file."""
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

    if not isinstance(alignment, int) or alignment < 1 or alignment & (alignment - 1):
        raise cursor.refused(f"is damaged: general.alignment is {alignment}, expected a power of two")
    entries = []
    for _ in range(count):
        name = cursor.text("a tensor's name")
        axes = cursor.number("I", name)
        if not 1 <= axes <= _MOST_AXES:
            raise cursor.refused(f"is damaged: tensor {name!r} has {axes} axes")
        shape = tuple(cursor.number("Q", name) for _ in range(axes))[::-1]
        number, offset = cursor.number("I", name), cursor.number("Q", name)
        try:
            kind = GGMLQuantizationType(number)
        except ValueError:
            raise cursor.refused(
                f"has quantisation number {number} in tensor {name!r}, which gguf does not know"
            ) from None
        entries.append((name, shape, kind, offset))
    first = -(-cursor.at // alignment) * alignment
    table: dict[str, _Stored] = {}
    for name, shape, kind, offset in entries:
        values, size = GGML_QUANT_SIZES[kind]
        if name in table:
            raise cursor.refused(f"has tensor {name!r} twice")
        if min(shape) < 1 or shape[-1] % values or offset % alignment:
            raise cursor.refused(f"is damaged: tensor {name!r} of {kind.name} has shape {shape} at offset {offset}")
        table[name] = _Stored(shape, kind, first + offset, math.prod(shape) // values * size)
        if table[name].start + table[name].size > cursor.end:
            raise cursor.refused(
                f"is cut off: tensor {name!r} ends at byte {first + offset + table[name].size} of {cursor.end}"
            )
    return table


def _check_quantisations(path: Path, stored: Mapping[str, _Stored]) -> None:
    """Refuse quantisations that `gguf` cannot undo: it says so when asked for a block of each."""
    from gguf import GGML_QUANT_SIZES
    from gguf.quants import dequantize

    for kind, name in {tensor.kind: name for name, tensor in stored.items()}.items():
        try:
            with np.errstate(all="ignore"):
                dequantize(np.zeros((1, GGML_QUANT_SIZES[kind][1]), np.uint8), kind)
        except NotImplementedError:
            raise InputError(
                f"path: {path} has tensor {name!r} in quantisation {kind.name}, which gguf cannot dequantise; "
                "give a file in another one, Q4_K_M, Q8_0 or F16 say"
            ) from None


# The config


class _Facts:
    """Metadata as numbers and texts that a model can have."""

    def __init__(self, path: Path, metadata: Mapping[str, Any]) -> None:
        self.path, self.metadata = path, metadata

    def refused(self, problem: str) -> InputError:
        return InputError(f"path: {self.path}: {problem}")

    def _value(self, key: str, default: Any) -> Any:
        value = self.metadata.get(key, default)
        if value is None:
            raise self.refused(f"metadata {key} is missing; convert the model again")
        # Some converters write one number a layer; layers that differ are another architecture.
        if isinstance(value, np.ndarray) and value.size and (value == value[0]).all():
            return value[0].item()
        return value

    def text(self, key: str, default: str | None = None) -> str:
        """A string; without a default it has to be there."""
        value = self._value(key, default)
        if not isinstance(value, str):
            raise self.refused(f"metadata {key} is {value!r}, expected a string")
        return value

    def integer(self, key: str, default: int | None = None, least: int = 1, most: int = _LARGEST) -> int:
        """An integer of `least` to `most`; without a default it has to be there."""
        value = self._value(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise self.refused(f"metadata {key} is {value}, expected an integer of {least} to {most}")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        """A number above 0, as the shortest decimal that rounds to the file's float32."""
        value = self._value(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not _SMALLEST < value < _LARGEST:
            raise self.refused(f"metadata {key} is {value}, expected a number between {_SMALLEST} and {_LARGEST}")
        return float(str(np.float32(value)))


def _config_of(architecture: str, facts: _Facts, stored: Mapping[str, _Stored]) -> dict[str, Any]:
    """What config.json would say."""
    if "token_embd.weight" not in stored:
        raise facts.refused("tensor token_embd.weight is missing: not a language model's file")
    if facts.metadata.get(f"{architecture}.expert_count"):
        raise facts.refused("mixtures of experts are not supported; give a dense model")
    if facts.metadata.get(f"{architecture}.attention.causal") is False:
        raise facts.refused("attention to both sides is not supported in GGUF files; give a causal model")
    vocabulary = stored["token_embd.weight"].shape[0]
    config: dict[str, Any] = {
        "model_type": ARCHITECTURES[architecture],
        "vocab_size": vocabulary,
        "tie_word_embeddings": "output.weight" not in stored,
    }
    for name in ("bos", "eos", "padding"):
        key = f"tokenizer.ggml.{name}_token_id"
        if key in facts.metadata:
            config[f"{name.removesuffix('ding')}_token_id"] = facts.integer(key, least=0, most=vocabulary - 1)
    shape = {
        "layers": facts.integer(f"{architecture}.block_count", most=len(stored)),  # a layer has a tensor at least
        "width": facts.integer(f"{architecture}.embedding_length"),
        "heads": facts.integer(f"{architecture}.attention.head_count"),
        "inner": facts.integer(f"{architecture}.feed_forward_length"),
        "positions": facts.integer(f"{architecture}.context_length"),
    }
    rest = {"gpt2": _gpt2_config, "gptneox": _neox_config}.get(architecture, _decoder_config)
    return config | rest(architecture, facts, **shape)


def _divided(facts: _Facts, width: int, heads: int) -> int:
    if width % heads:
        raise facts.refused(f"a width of {width} cannot be divided among {heads} heads")
    return width // heads


def _gpt2_config(
    architecture: str, facts: _Facts, *, layers: int, width: int, heads: int, inner: int, positions: int
) -> dict[str, Any]:
    """The keys of GPT-2, under the names of its own config.json."""
    _divided(facts, width, heads)
    return {
        "n_embd": width,
        "n_layer": layers,
        "n_head": heads,
        "n_inner": inner,
        "n_positions": positions,
        "layer_norm_epsilon": facts.number(f"{architecture}.attention.layer_norm_epsilon"),
        "activation_function": "gelu_new",
    }


def _neox_config(
    architecture: str, facts: _Facts, *, layers: int, width: int, heads: int, inner: int, positions: int
) -> dict[str, Any]:
    """The keys of GPT-NeoX; a file says nothing of the activation, which is GELU in all published models."""
    head_dim = _divided(facts, width, heads)
    base = facts.number(f"{architecture}.rope.freq_base", 10_000.0)
    return {
        "hidden_size": width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": inner,
        "max_position_embeddings": positions,
        "layer_norm_eps": facts.number(f"{architecture}.attention.layer_norm_epsilon"),
        "rotary_pct": facts.integer(f"{architecture}.rope.dimension_count", most=head_dim) / head_dim,
        "rotary_emb_base": base,
        "rope_theta": base,
        "use_parallel_residual": bool(facts.metadata.get(f"{architecture}.use_parallel_residual", True)),
        "hidden_act": "gelu",
    }


def _decoder_config(
    architecture: str, facts: _Facts, *, layers: int, width: int, heads: int, inner: int, positions: int
) -> dict[str, Any]:
    """The keys of Llama, Qwen 2, Qwen 3 and Gemma 3."""

    def key(name: str) -> str:
        return f"{architecture}.{name}"

    rotary = facts.metadata.get(key("rope.dimension_count"))
    if key("attention.key_length") in facts.metadata:
        head_dim = facts.integer(key("attention.key_length"))
    elif rotary is not None:
        head_dim = facts.integer(key("rope.dimension_count"))
    else:
        head_dim = _divided(facts, width, heads)
    kv_heads = facts.integer(key("attention.head_count_kv"), heads, most=heads)
    value_length = facts.integer(key("attention.value_length"), head_dim)
    if head_dim % 2 or heads % kv_heads or value_length != head_dim or rotary not in (None, head_dim):
        raise facts.refused(
            f"{heads} heads with {kv_heads} of keys and values, {head_dim} wide, values {value_length} wide and rotary "
            f"positions in {rotary} dimensions, are not the {architecture} architecture"
        )
    config: dict[str, Any] = {
        "hidden_size": width,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "head_dim": head_dim,
        "max_position_embeddings": positions,
        "rms_norm_eps": facts.number(key("attention.layer_norm_rms_epsilon")),
        "rope_theta": facts.number(key("rope.freq_base"), 10_000.0),
    }
    if (scaling := _rope_scaling(architecture, facts)) is not None:
        config["rope_scaling"] = scaling
    if architecture == "gemma3":
        local = _local_layers(facts, layers)
        return config | {
            "hidden_activation": "gelu_pytorch_tanh",
            "sliding_window": facts.integer(key("attention.sliding_window")),
            "layer_types": ["sliding_attention" if one else "full_attention" for one in local],
            "rope_local_base_freq": facts.number(key("rope.freq_base_swa"), _GEMMA3_LOCAL_BASE),
            "query_pre_attn_scalar": width // heads if layers == _GEMMA3_27B_LAYERS else head_dim,
        }
    if facts.metadata.get(key("attention.sliding_window")):
        config["sliding_window"] = facts.integer(key("attention.sliding_window"))
    return config | {"hidden_act": "silu"}


def _local_layers(facts: _Facts, layers: int) -> list[bool]:
    """For each layer of Gemma 3 whether it attends within the sliding window."""
    key = "gemma3.attention.sliding_window_pattern"
    pattern = facts.metadata.get(key, _GEMMA3_PATTERN)
    if isinstance(pattern, np.ndarray):
        if pattern.dtype != bool or len(pattern) != layers:
            raise facts.refused(f"metadata {key} is {pattern}, expected a truth value for each of {layers} layers")
        return pattern.tolist()
    period = facts.integer(key, _GEMMA3_PATTERN)
    return [(layer + 1) % period != 0 for layer in range(layers)]


def _rope_scaling(architecture: str, facts: _Facts) -> dict[str, Any] | None:
    """How positions beyond those of the training are scaled, as config.json says it."""

    def key(name: str) -> str:
        return f"{architecture}.rope.{name}"

    kind = facts.text(key("scaling.type"), "linear")
    # Files of 2023 have their linear factor under another name.
    factor = facts.number(key("scaling.factor"), facts.number(key("scale_linear"), 1.0))
    if kind == "none" or (kind == "linear" and factor == 1.0):
        return None
    if kind == "linear":
        return {"rope_type": "linear", "factor": factor}
    if kind != "yarn":
        raise facts.refused(f"positions scaled by {kind!r} are not supported; none, linear and yarn are")
    scaling: dict[str, Any] = {
        "rope_type": "yarn",
        "factor": factor,
        "original_max_position_embeddings": facts.integer(key("scaling.original_context_length")),
    }
    for name, stored in (("beta_fast", "scaling.yarn_beta_fast"), ("beta_slow", "scaling.yarn_beta_slow")):
        if key(stored) in facts.metadata:
            scaling[name] = facts.number(key(stored))
    return scaling


def _rope_of_factors(facts: _Facts, config: Mapping[str, Any], factors: Float[np.ndarray, "..."]) -> dict[str, Any]:
    r"""Llama 3's scaling of positions, from the factors \(f_i\) by which frequency \(\theta^{-2i/d}\) is divided.

    A file holds the factors alone. If the rule of Llama 3.1 (factor s, wavelengths above 8192 divided by s, those below
    8192 / 4 kept, the ones between blended) gives the same ones, then the config says so, as the model's own does.
    """
    half = config.get("head_dim", 0) // 2
    if factors.shape != (half,) or not (factors > 0).all():
        raise facts.refused(f"rope_freqs.weight has shape {factors.shape}, expected {half} positive factors")
    if "rope_scaling" in config:
        raise facts.refused("positions are scaled twice, by rope.scaling and by rope_freqs.weight")
    if (factors == 1).all():
        return {}
    low, high, length = _LLAMA3_ROPE.values()
    factor = float(str(factors.max()))
    wavelengths = 2 * np.pi * config["rope_theta"] ** (np.arange(half) / half)
    blend = np.clip((length / wavelengths - low) / (high - low), 0, 1)
    if np.allclose(1 / ((1 - blend) / factor + blend), factors, rtol=_FACTOR_TOLERANCE, atol=0):
        return {"rope_scaling": {"rope_type": "llama3", "factor": factor, **_LLAMA3_ROPE}}
    return {"rope_factors": factors.tolist()}


# The tensors


def _placed(facts: _Facts, stored: Mapping[str, _Stored], expected: Mapping[str, _Place]) -> dict[str, _Place]:
    """Those of the expected tensors that the file has; refused if others are missing, or there are more."""
    found = {name: place for name, place in expected.items() if place.stored in stored}
    missing = [place.stored for name, place in expected.items() if name not in found and not place.optional]
    if missing:
        raise facts.refused(f"{len(missing)} tensors of the architecture are missing, {missing[0]} among them")
    # Frequencies of rotary positions follow from the config.
    more = [
        name
        for name in stored.keys() - {p.stored for p in found.values()}
        if "rope_freqs" not in name and "rot_embd" not in name
    ]
    if more:
        raise facts.refused(f"{len(more)} tensors do not belong to the architecture, {min(more)} among them")
    for place in found.values():
        shape = place.shape[::-1] if place.undo is np.transpose else place.shape
        if stored[place.stored].shape != shape:
            raise facts.refused(f"tensor {place.stored} has shape {stored[place.stored].shape}, expected {shape}")
    return found


def _halves(rows: Float[np.ndarray, "..."], *, heads: int) -> Float[np.ndarray, "..."]:
    """Rows of each head in two halves again: llama.cpp rotates neighbours, `transformers` i and i + head_dim / 2."""
    pairs = rows.reshape(heads, -1, 2, *rows.shape[1:])
    return pairs.swapaxes(1, 2).reshape(rows.shape)


def _by_head(rows: Float[np.ndarray, "..."], *, heads: int) -> Float[np.ndarray, "..."]:
    """Rows of GPT-NeoX's fused projection head by head again: files have all queries, all keys, all values."""
    kinds = rows.reshape(3, heads, -1, *rows.shape[1:])
    return kinds.swapaxes(0, 1).reshape(rows.shape)


def _less_one(weight: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """Gemma multiplies by 1 + w; files hold the whole factor."""
    return weight - np.float32(1)


def _decoder_tensors(config: Mapping[str, Any]) -> dict[str, _Place]:
    """The tensors of Llama, Qwen 2, Qwen 3 and Gemma 3."""
    kind, width, inner, head_dim = (
        config[key] for key in ("model_type", "hidden_size", "intermediate_size", "head_dim")
    )
    queries, keys = config["num_attention_heads"] * head_dim, config["num_key_value_heads"] * head_dim
    # The converter reorders rows for this architecture alone; for others llama.cpp rotates halves.
    halves = kind == "llama"
    of_queries = partial(_halves, heads=config["num_attention_heads"]) if halves else None
    of_keys = partial(_halves, heads=config["num_key_value_heads"]) if halves else None
    norm = _less_one if kind == "gemma3_text" else None
    matrices = {
        "attn_q": ("self_attn.q_proj", (queries, width), of_queries),
        "attn_k": ("self_attn.k_proj", (keys, width), of_keys),
        "attn_v": ("self_attn.v_proj", (keys, width), None),
        "attn_output": ("self_attn.o_proj", (width, queries), None),
        "ffn_gate": ("mlp.gate_proj", (inner, width), None),
        "ffn_up": ("mlp.up_proj", (inner, width), None),
        "ffn_down": ("mlp.down_proj", (width, inner), None),
    }
    norms = {"attn_norm": ("input_layernorm", width), "ffn_norm": ("post_attention_layernorm", width)}
    if kind == "gemma3_text":
        norms |= {
            "post_attention_norm": ("post_attention_layernorm", width),
            "ffn_norm": ("pre_feedforward_layernorm", width),
            "post_ffw_norm": ("post_feedforward_layernorm", width),
        }
    if kind in ("qwen3", "gemma3_text"):
        norms |= {"attn_q_norm": ("self_attn.q_norm", head_dim), "attn_k_norm": ("self_attn.k_norm", head_dim)}
    places = {
        "model.embed_tokens.weight": _Place("token_embd.weight", (config["vocab_size"], width)),
        "model.norm.weight": _Place("output_norm.weight", (width,), norm),
        "lm_head.weight": _Place("output.weight", (config["vocab_size"], width), optional=True),
    }
    for layer in range(config["num_hidden_layers"]):
        for name, (ours, shape, undo) in matrices.items():
            # Only Llama has configs with biases everywhere, and only Qwen 2 has to have these three.
            needed = kind == "qwen2" and name in ("attn_q", "attn_k", "attn_v")
            places[f"model.layers.{layer}.{ours}.weight"] = _Place(f"blk.{layer}.{name}.weight", shape, undo)
            if needed or kind == "llama":
                bias = _Place(f"blk.{layer}.{name}.bias", shape[:1], undo, optional=not needed)
                places[f"model.layers.{layer}.{ours}.bias"] = bias
        for name, (ours, length) in norms.items():
            places[f"model.layers.{layer}.{ours}.weight"] = _Place(f"blk.{layer}.{name}.weight", (length,), norm)
    return places


def _layers_with_biases(
    prefix: str,
    layers: int,
    modules: Mapping[str, tuple[str, tuple[int, ...], Callable[[np.ndarray], np.ndarray] | None]],
) -> dict[str, _Place]:
    """Weights and biases of each layer; a bias is as long as the outputs in the file, and is never transposed."""
    places = {}
    for layer in range(layers):
        for name, (ours, shape, undo) in modules.items():
            places[f"{prefix}.{layer}.{ours}.weight"] = _Place(f"blk.{layer}.{name}.weight", shape, undo)
            transposed = undo is np.transpose
            bias = _Place(
                f"blk.{layer}.{name}.bias", (shape[-1] if transposed else shape[0],), None if transposed else undo
            )
            places[f"{prefix}.{layer}.{ours}.bias"] = bias
    return places


def _gpt2_tensors(config: Mapping[str, Any]) -> dict[str, _Place]:
    """The tensors of GPT-2, whose matrices `transformers` has as (in, out)."""
    width, inner, vocabulary = config["n_embd"], config["n_inner"], config["vocab_size"]
    modules = {
        "attn_norm": ("ln_1", (width,), None),
        "attn_qkv": ("attn.c_attn", (width, 3 * width), np.transpose),
        "attn_output": ("attn.c_proj", (width, width), np.transpose),
        "ffn_norm": ("ln_2", (width,), None),
        "ffn_up": ("mlp.c_fc", (width, inner), np.transpose),
        "ffn_down": ("mlp.c_proj", (inner, width), np.transpose),
    }
    return {
        "transformer.wte.weight": _Place("token_embd.weight", (vocabulary, width)),
        "transformer.wpe.weight": _Place("position_embd.weight", (config["n_positions"], width)),
        "transformer.ln_f.weight": _Place("output_norm.weight", (width,)),
        "transformer.ln_f.bias": _Place("output_norm.bias", (width,)),
        "lm_head.weight": _Place("output.weight", (vocabulary, width), optional=True),
    } | _layers_with_biases("transformer.h", config["n_layer"], modules)


def _neox_tensors(config: Mapping[str, Any]) -> dict[str, _Place]:
    """The tensors of GPT-NeoX."""
    width, inner, vocabulary = config["hidden_size"], config["intermediate_size"], config["vocab_size"]
    modules = {
        "attn_norm": ("input_layernorm", (width,), None),
        "attn_qkv": (
            "attention.query_key_value",
            (3 * width, width),
            partial(_by_head, heads=config["num_attention_heads"]),
        ),
        "attn_output": ("attention.dense", (width, width), None),
        "ffn_norm": ("post_attention_layernorm", (width,), None),
        "ffn_up": ("mlp.dense_h_to_4h", (inner, width), None),
        "ffn_down": ("mlp.dense_4h_to_h", (width, inner), None),
    }
    return {
        "gpt_neox.embed_in.weight": _Place("token_embd.weight", (vocabulary, width)),
        "gpt_neox.final_layer_norm.weight": _Place("output_norm.weight", (width,)),
        "gpt_neox.final_layer_norm.bias": _Place("output_norm.bias", (width,)),
        "embed_out.weight": _Place("output.weight", (vocabulary, width), optional=True),
    } | _layers_with_biases("gpt_neox.layers", config["num_hidden_layers"], modules)


_TENSORS_OF: dict[str, Callable[[Mapping[str, Any]], dict[str, _Place]]] = {
    "llama": _decoder_tensors,
    "qwen2": _decoder_tensors,
    "qwen3": _decoder_tensors,
    "gemma3": _decoder_tensors,
    "gpt2": _gpt2_tensors,
    "gptneox": _neox_tensors,
}
