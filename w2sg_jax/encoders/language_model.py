r"""Language models: texts -> representations of any layer, by the model's own files.

``open_pretrained`` reads a folder's, a GGUF file's or a hub model's headers: what the model is and what it will take.
``Pretrained.load`` reads the weights; ``LanguageModel.represent`` runs them. Layer 0 is the embedding, layer L the last
block before the final norm, and -1 what the model's own pipeline gives.
"""

import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Float32, Int

from .._errors import InputError
from ..numerics.backend import device_memory, jitted, on_cpu
from ..numerics.settings import own_settings
from ..store.content import bytes_hash
from . import bert, gpt, llama
from .checkpoints import Checkpoint, Fitted, FolderCheckpoint, Place, fitted, load, parameter_bytes
from .hub import OTHERWISE, fetched
from .layers import keeps_no_scores
from .pipeline import POOLINGS, Pipeline, pipeline_of
from .text_tokenizer import Side, TextTokenizer, Tokens
from .transformer import pool

FAMILIES: tuple[tuple[ModuleType, type], ...] = ((bert, bert.Bert), (llama, llama.Llama), (gpt, gpt.Gpt))
"""The modules of the families, and their models."""
SHORTEST = 16
"""Tokens of the shortest program."""
TOKENS_ON_CPU, TOKENS_ON_DEVICE = 2048, 32_768
"""In a batch: what the cache of a CPU holds; an accelerator wants more of them."""
SHARDS_ON_DEVICE = 4
"""Of the store, that an accelerator computes in one go: it wants more rows at once."""
ROOM = 0.8
"""Share of a device's memory that parameters and a batch may take by default."""
OWN = -1
"""The layer that stands for what the model's own pipeline gives."""

Key = tuple[int, str]
"""A layer and a pooling."""


class NotFinite(InputError):
    """States of a model are NaN or infinite, which shows when it runs."""


@dataclass(frozen=True, eq=False)
class Pretrained:
    """A pretrained model on this machine, of which the headers are read: all that is known without its weights."""

    name: str
    """as it was asked for"""
    checkpoint: Checkpoint
    family: ModuleType
    config: Any
    """of the family: width, depth and what else fixes the function"""
    fitted: Fitted
    """where its parameters are in the files"""
    tokenizer: TextTokenizer
    pipeline: Pipeline
    unused: tuple[str, ...]
    """parts of the names of tensors that are not needed"""

    spreads = True
    """several devices can share its work"""
    by = ""
    """our encoders run it"""

    @property
    def shards_together(self) -> int:
        """Shards of the store that are computed in one go."""
        return 1 if on_cpu() else SHARDS_ON_DEVICE

    @property
    def depth(self) -> int:
        """Layers after the embedding."""
        return self.config.depth

    @cached_property
    def content(self) -> str:
        """sha256 of weights, configuration, tokenizer and pipeline together. Cost: reads all files once."""
        dense = "".join(f"{one.activation}{bytes_hash(one.weight.tobytes())}" for one in self.pipeline.dense)
        rest = f"{self.pipeline.pooling}{self.pipeline.normalised}{self.pipeline.stripped}{dense}"
        rest += "" if self.unused == self.family.UNUSED else f"first {self.depth} blocks"
        return bytes_hash(f"{self.checkpoint.content_hash()}{self.tokenizer.content_hash}{rest}".encode())

    def cut(self, depth: int) -> "Pretrained":
        """The model of the first blocks, with its final norm; the others are not even read.

        Raises:
            InputError: there are no such first blocks.
        """
        if not 1 <= depth <= self.depth:
            raise InputError(f"depth: {self.name} has {self.depth} blocks; expected 1 to {self.depth}, got {depth}")
        changes: dict[str, Any] = {"depth": depth}
        if getattr(self.config, "local", ()):
            changes["local"] = self.config.local[:depth]
        config = replace(self.config, **changes)
        names = self.family.names(self.config, self.checkpoint.config["model_type"])
        stack = next(one for one in names.values() if "{}" in one).removeprefix("T:").partition("{}")[0]
        unused = (*self.unused, *(f"{stack}{layer}." for layer in range(depth, self.depth)))
        found = _fitted(self.family, config, self.checkpoint, unused)
        return replace(self, name=f"{self.name}[:{depth}]", config=config, fitted=found, unused=unused)

    @property
    def max_length(self) -> int:
        """Tokens that texts are cut to by default: as the pipeline says, else what the model was made for."""
        known = (self.pipeline.max_length, self.tokenizer.max_length, self.config.max_length)
        return min(length for length in known if length is not None)

    def limit(self, max_length: int | None) -> int:
        """Tokens that texts are cut to where so many are asked for: at most what the model was made for."""
        return self.max_length if max_length is None else min(max_length, self.config.max_length)

    def keys(self, layers: Sequence[int] = (OWN,), pools: Sequence[str] | None = None) -> list[Key]:
        """Representations by layer and pooling.

        Args:
            layers: 0 to L, or -1.
            pools: of ``POOLINGS``; by default the pipeline's own.

        Raises:
            InputError: there is no such layer or pooling, or one stands there twice; or the only one is a first token
                that is the same for every text.
        """
        found = keys_of(self.name, self.depth, self.pipeline.pooling, layers, pools)
        if len(found) == 1:  # of several some may be constant, as of all layers
            layer, one = found[0]
            if one == "cls" and self.tokenizer.before and (self.config.causal or layer == 0):
                raise InputError(
                    f"pool: {one} of {self.name} at layer {layer} is a special token that has seen no text: the same "
                    "for all; take another pooling, or another layer"
                )
        return found

    def width_of(self, key: Key) -> int:
        """Columns of a representation: those of the token states, or of the pipeline's dense layer."""
        dense = self.pipeline.dense if self.finished(key) else ()
        return len(dense[-1].weight) if dense else self.config.width

    def finished(self, key: Key) -> bool:
        """Whether a representation is the pipeline's own, with its dense layer and its unit length."""
        return key == (OWN, self.pipeline.pooling)

    def tokens(self, texts: Sequence[str], max_length: int | None = None, prompt: str | None = None) -> Tokens:
        """Texts as the model reads them; arguments and errors as in ``LanguageModel.represent``."""
        before = self.prompt_of(prompt)
        if self.pipeline.stripped:
            before = before.lstrip()
            texts = [text.rstrip() if before else text.strip() for text in texts]
        return self.tokenizer.encode(texts, max_length=self.limit(max_length), prefix=before)

    def prompt_of(self, asked: str | None) -> str:
        """The text before every text; argument and errors as ``named_prompt``, None for the model's own."""
        return self.pipeline.prompt_of(asked)

    def made_with(self, max_length: int | None, prompt: str | None) -> dict[str, Any]:
        """What values depend on beside texts, layer, pooling and types."""
        return {
            "model": self.content,
            "max_length": self.limit(max_length),
            "prompt": self.prompt_of(prompt),
        }

    def programs(self, shards: Iterable[Int[np.ndarray, " rows"]]) -> int:
        """Compilations for texts of so many tokens, by shard."""
        of_shards = (batches(lengths, default_tokens()) for lengths in shards)
        return len({(length, room) for shard in of_shards for _, length, room in shard})

    def available_memory(self) -> float | None:
        """Bytes of the default device, or free ones of the host where that is a CPU; None where nothing says."""
        if on_cpu():
            return host_memory()
        found = device_memory()
        return None if found is None else float(found)

    def bytes_of(self, dtype: Any) -> int:
        """What the parameters take in memory."""
        return parameter_bytes(self.checkpoint, self.unused, jnp.dtype(dtype))

    def memory_of(self, dtype: Any, longest: int) -> float:
        """Bytes of a pass over texts of up to so many tokens: the parameters, and the more of what the largest tensor
        takes while it is read and what a batch takes."""
        largest = 4 * max(math.prod(shape) for shape in self.checkpoint.shapes.values())
        batch = self.tokens_at_once(dtype, longest) * bytes_of_token(self.config, dtype, longest)
        return float(self.bytes_of(dtype) + max(largest, batch))

    def tokens_at_once(self, dtype: Any, longest: int) -> int:
        """Tokens of a batch, with its padding, on one device: as many as keep it busy and have room beside the
        parameters; at least those of the longest text."""
        found, have, each = default_tokens(), device_memory(), bytes_of_token(self.config, dtype, longest)
        if have is not None:
            free = ROOM * have - self.bytes_of(dtype)
            while found > longest and found * each > free:
                found //= 2
        return max(found, longest)

    def flops_of(self, tokens: Tokens, keys: Iterable[Key] = ((OWN, ""),)) -> float:
        """Operations of a pass for some representations: two a token and parameter of the blocks that they need, and
        what attention adds."""
        config, lengths = self.config, tokens.lengths.astype(float)
        parameters = self.bytes_of(jnp.float32) / 4 - config.vocabulary * config.width
        whole = float(2 * parameters * lengths.sum() + 4 * config.depth * config.width * (lengths**2).sum())
        return whole * max(config.depth if layer == OWN else layer for layer, _ in keys) / config.depth

    @own_settings()
    def load(
        self, *, dtype: Any = jnp.float32, devices: Sequence[Any] | None = None, shared: bool = False
    ) -> "LanguageModel":
        """The model with its weights.

        Args:
            dtype: of the parameters and of the arithmetic, float32 or bfloat16.
            devices: that share the rows of a batch; by default the first one does all.
            shared: whether they share the parameters too, for a model that is larger than one device.

        Raises:
            InputError: tensors do not fit the configuration, or another dtype.

        Cost: reads the weights once, tensor by tensor; host memory holds one tensor beside the parameters.
        """
        if jnp.dtype(dtype) not in (jnp.float32, jnp.bfloat16):
            raise InputError(f"dtype: expected float32 or bfloat16, got {jnp.dtype(dtype)}")
        place = Place(devices, shared=shared)
        model = load(self.fitted, self.checkpoint, dtype=dtype, place=place)
        return LanguageModel(self, model, place)


def bytes_of_token(config: Any, dtype: Any, longest: int) -> int:
    """What a token of a batch takes in a block: its states, and its scores where the attention keeps them.

    Args:
        config: of a family.
        dtype: of the arithmetic.
        longest: tokens of the longest text.
    """
    states = (6 * config.width + 3 * config.inner) * jnp.dtype(dtype).itemsize
    head_width = getattr(config, "head_width", config.width // config.heads)
    windowed = getattr(config, "window", None) is not None
    biased = getattr(config, "buckets", 0) > 0
    if keeps_no_scores(dtype, head_width, causal=config.causal, windowed=windowed, biased=biased):
        return states
    return states + 3 * longest * config.heads * 4


def open_pretrained(model: str | Path, *, revision: str | None = None) -> Pretrained:
    """A pretrained model by its own files: its headers, tokenizer and pipeline.

    Args:
        model: a folder with config.json, safetensors and tokenizer; a GGUF file; or the name of a model on the hub.
        revision: of the hub's model; by default its newest one.

    Raises:
        InputError: an architecture that is not supported, files that are missing or damaged, a hub that does not
            answer.
    """
    path = fetched(model, revision)
    if path.is_dir():
        checkpoint: Checkpoint = FolderCheckpoint(path)
        if checkpoint.config.get("quantization_config") is not None:
            raise InputError(f"{path}: its weights are quantised, which is read from GGUF files alone. {OTHERWISE}")
        family = _family(checkpoint.config.get("model_type"), path)
        tokenizer = TextTokenizer.from_folder(path)
    else:
        from .gguf import GgufCheckpoint

        checkpoint = gguf = GgufCheckpoint(path)
        family = _family(gguf.config.get("model_type"), path)
        tokenizer = TextTokenizer.from_gguf(gguf)
    try:
        config = family.config_of(checkpoint.config)
        found = _fitted(family, config, checkpoint, family.UNUSED)
        tokenizer.check(config.vocabulary)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    pipeline = pipeline_of(path, causal=config.causal)
    return Pretrained(str(model), checkpoint, family, config, found, tokenizer, pipeline, family.UNUSED)


@own_settings()
def _fitted(family: ModuleType, config: Any, checkpoint: Checkpoint, unused: tuple[str, ...]) -> Fitted:
    """Where the parameters of a model are in its files."""
    make = next(make for known, make in FAMILIES if known is family)
    return fitted(
        lambda: make(config, rngs=nnx.Rngs(0)),
        family.names(config, checkpoint.config["model_type"]),
        config.depth,
        checkpoint,
        prefixes=family.PREFIXES,
        unused=unused,
    )


def from_pretrained(
    model: str | Path,
    *,
    revision: str | None = None,
    dtype: Any = jnp.float32,
    devices: Sequence[Any] | None = None,
    shared: bool = False,
) -> "LanguageModel":
    """A pretrained model with its weights: ``open_pretrained``, and ``Pretrained.load``."""
    return open_pretrained(model, revision=revision).load(dtype=dtype, devices=devices, shared=shared)


def _family(kind: object, path: Path) -> ModuleType:
    for family, _ in FAMILIES:
        if kind in family.MODEL_TYPES:
            return family
    known = ", ".join(one for family, _ in FAMILIES for one in family.MODEL_TYPES)
    raise InputError(f"{path}: the architecture {kind!r} is not supported; these are: {known}. {OTHERWISE}")


def keys_of(name: str, depth: int, own: str, layers: Sequence[int], pools: Sequence[str] | None) -> list[Key]:
    """Representations by layer and pooling, as ``Pretrained.keys`` of a model of some name, depth and pooling."""
    found = [(layer, one) for layer in layers for one in ([own] if pools is None else pools)]
    if not found:
        raise InputError("layers: expected at least one, and a pooling; -1 is what the model's own pipeline gives")
    for layer, one in found:
        if not OWN <= layer <= depth:
            has = f"0 (the embedding) to {depth}, and -1" if depth >= 0 else "-1 alone"
            raise InputError(f"layers: {name} has {has}; got {layer}")
        if one not in POOLINGS:
            raise InputError(f"pool: expected {', '.join(POOLINGS)}, got {one!r} of {name}")
    if len(set(found)) < len(found):
        raise InputError("layers: one stands there twice; ask for each layer and pooling once")
    return found


@dataclass(frozen=True, eq=False)
class LanguageModel:
    """A pretrained model with its weights."""

    pretrained: Pretrained
    model: nnx.Module
    """token identifiers and mask -> token states"""
    place: Place
    """where the parameters lie"""

    @property
    def dtype(self) -> Any:
        """Of parameters and states."""
        return jax.tree.leaves(nnx.state(self.model))[0].dtype

    def represent(
        self,
        texts: Sequence[str],
        *,
        layers: Sequence[int] = (OWN,),
        pools: Sequence[str] | None = None,
        max_length: int | None = None,
        prompt: str | None = None,
        tokens_at_once: int | None = None,
        padding: Side = "right",
        on_rows: Callable[[int], None] | None = None,
    ) -> dict[Key, Float32[np.ndarray, "n width"]]:
        """Representations of texts, row i for ``texts[i]``, by one pass for all layers and poolings.

        A row depends on its text alone up to rounding: not on the batch, its order, the padding or its side.

        Args:
            texts: n of them.
            layers, pools: as ``Pretrained.keys``.
            max_length: tokens that longer texts are cut to, on the side that the model's convention says; by default
                ``Pretrained.max_length``.
            prompt: that stands before each text: the name of one of the model's own, or the text itself; by default
                what the model's pipeline says.
            tokens_at_once: of a batch with its padding; memory grows with it.
            padding: the side of it.
            on_rows: called with the number of rows just done.

        Returns:
            (layer, pooling) -> float32 (n, width), not centred; of layer -1 and the pipeline's own pooling also with
            its dense layer and its unit length.

        Raises:
            InputError: texts that the tokenizer refuses, layers that are not there, states that are not finite.

        Cost: about $2 P$ flops a token with P parameters outside of the embedding, and $4 l w$ a layer and token for
        attention; one compilation for each padded length, of which there are four an octave.
        """
        keys, tokens = self.pretrained.keys(layers, pools), self.pretrained.tokens(texts, max_length, prompt)
        return self.of_tokens(
            tokens, np.arange(len(texts)), keys, tokens_at_once=tokens_at_once, padding=padding, on_rows=on_rows
        )

    @own_settings()
    def of_tokens(
        self,
        tokens: Tokens,
        rows: Int[np.ndarray, " n"],
        keys: Sequence[Key],
        *,
        tokens_at_once: int | None = None,
        padding: Side = "right",
        on_rows: Callable[[int], None] | None = None,
    ) -> dict[Key, Float32[np.ndarray, "n width"]]:
        """Representations of some rows of tokens: ``represent`` for texts that are tokens already.

        Args:
            tokens: of all texts.
            rows: the numbers of those that are wanted.
            keys: as from ``Pretrained.keys``.
            tokens_at_once, padding, on_rows: as in ``represent``.
        """
        own = self.pretrained
        if tokens_at_once is None:
            share = 1 if on_cpu() else self.place.devices
            tokens_at_once = own.tokens_at_once(self.dtype, int(tokens.lengths.max())) * share
        found = {key: np.empty((len(rows), own.width_of(key)), np.float32) for key in keys}
        computed = self._batches(tokens, rows, keys, tokens_at_once, padding)
        # One batch ahead: the host pads the next rows while the device computes.
        for places, kept in ahead(computed):
            for key, values in self._of_keys(keys, *jax.device_get(kept)).items():
                values = values[: len(places)]
                bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
                if len(bad):
                    raise self._not_finite(tokens, int(rows[places[bad[0]]]), padding)
                found[key][places] = own.pipeline.finish(values) if own.finished(key) else values
            if on_rows is not None:
                on_rows(len(places))
        return found

    def _batches(
        self, tokens: Tokens, rows: np.ndarray, keys: Sequence[Key], tokens_at_once: int, padding: Side
    ) -> Iterator[tuple[np.ndarray, Any]]:
        """Places of the rows of each batch, and its pooled states, which may still be computed; no others leave the
        device."""
        graph, state = nnx.split(self.model)
        layers, pools = _asked(keys)
        own = any(layer == OWN for layer, _ in keys)
        for places, length, room in batches(tokens.lengths[rows], tokens_at_once, self.place.devices):
            chosen, count = rows[places], len(places)
            ids, lengths = np.zeros((room, length), np.int32), np.zeros(room, np.int32)
            ids[:count] = tokens.pad(chosen, length, side=padding)
            lengths[:count] = tokens.lengths[chosen]
            # TF32 products would blur small directions; bf16 ones stay bf16.
            with jax.default_matmul_precision("highest"):
                placed = jax.device_put((ids, lengths), self.place.of_rows())
                computed = _pooled(graph, state, *placed, layers, pools, padding, own)
            yield places, computed

    def _not_finite(self, tokens: Tokens, row: int, padding: Side) -> NotFinite:
        """The error that names the first layer whose states of a row are not finite."""
        keys = [(layer, "mean") for layer in range(self.pretrained.depth + 1)]
        ((_, (kept, _)),) = self._batches(tokens, np.array([row]), keys, int(tokens.lengths[row]), padding)
        bad = np.flatnonzero(~np.isfinite(jax.device_get(kept)).all(axis=(1, 2, 3)))
        where = f"states of layer {bad[0]}" if len(bad) else "final states"
        advice = "look at its weights" if self.dtype == jnp.float32 else "run it in float32"
        return NotFinite(f"{self.pretrained.name}: the {where} are not finite at row {row}; {advice}")

    def _of_keys(self, keys: Sequence[Key], kept: np.ndarray, last: np.ndarray | None) -> dict[Key, np.ndarray]:
        """Of the pooled states of a batch, those that were asked for."""
        layers, pools = _asked(keys)
        by_layer = {**dict(zip(layers, kept, strict=True)), OWN: last}
        return {(layer, one): by_layer[layer][:, pools.index(one)] for layer, one in keys}

    def close(self) -> None:
        """Nothing: the model holds nothing outside of this process."""


def _asked(keys: Sequence[Key]) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Layers and poolings that a program keeps."""
    return tuple(sorted({layer for layer, _ in keys if layer != OWN})), tuple(sorted({one for _, one in keys}))


def ahead(items: Iterator[Any]) -> Iterator[Any]:
    """The same items, each after the next one was asked for."""
    before: list[Any] = []
    for item in items:
        yield from before
        before = [item]
    yield from before


@partial(jitted, static_argnums=(0, 4, 5, 6, 7))
def _pooled(
    graph: Any,
    state: Any,
    ids: Int[Array, "rows length"],
    lengths: Int[Array, " rows"],
    layers: tuple[int, ...],
    pools: tuple[str, ...],
    padding: str,
    own: bool,
) -> tuple[Float[Array, "layers rows pools width"], Float[Array, "rows pools width"] | None]:
    """Pooled states of some layers, and the final ones if they are asked for; no layer is run that neither needs."""
    places = jnp.arange(ids.shape[1])[None, :]
    mask = places < lengths[:, None] if padding == "right" else places >= ids.shape[1] - lengths[:, None]

    def keep(x: Array) -> Array:
        return jnp.stack([pool(x.astype(jnp.float32), mask, one) for one in pools], axis=1)

    known = lengths if padding == "right" else None
    kept, last = nnx.merge(graph, state)(ids, mask, keep, known, None if own else max(layers))
    return kept[jnp.array(layers, int)], last if own else None


def host_memory() -> float | None:
    """Bytes of the host that are free; None where nothing says."""
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return float(line.split()[1]) * 1024
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (OSError, ValueError, AttributeError, IndexError):
        return None


def default_tokens() -> int:
    """Of a batch, with its padding, on the default device."""
    return TOKENS_ON_CPU if on_cpu() else TOKENS_ON_DEVICE


def batches(
    lengths: Int[np.ndarray, " n"], tokens_at_once: int, multiple: int = 1
) -> Iterator[tuple[Int[np.ndarray, " rows"], int, int]]:
    """Rows of like lengths, longest first: their numbers, the length that they are padded to, and the room for rows.

    Rooms depend on lengths alone, so that programs are few; the last batch, which alone may have empty rows, has half
    or a quarter of the room where that is enough.
    """
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        length = padded_length(int(lengths[order[start]]))
        share = max(1, tokens_at_once // length // multiple)
        left = len(order) - start
        room = next(
            (one * multiple for one in (-(-share // 4), -(-share // 2)) if one * multiple >= left), share * multiple
        )
        yield order[start : start + room], length, room
        start += room


def padded_length(length: int) -> int:
    """The next of 16, 20, 24, 28, 32, 40, 48, 56, 64, 80, ...: four an octave, so that little is padding."""
    step = max(SHORTEST, 1 << (length - 1).bit_length()) // 8
    return max(SHORTEST, -(-length // step) * step)
