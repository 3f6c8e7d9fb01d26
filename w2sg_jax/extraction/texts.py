"""Texts -> representations by a language model, in a store: several layers and poolings by one pass, resumable."""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float32, Int

from .._errors import InputError
from ..encoders.language_model import OWN, Key
from ..store.content import texts_hash
from ..store.entries import StoreEntry, entry_of, refuse_unwritable

SHARE = 0.6
"""Of the product rate, about what passes reach."""
COMPILATION = 0.6
"""Seconds, about."""
ARITHMETIC = 1
"""Of the encoders: a number that changes when they compute other values than before."""


@dataclass(frozen=True)
class Settings:
    """What a representation depends on beside model and texts."""

    max_length: int | None = None
    """tokens that longer texts are cut to; by default as the model's pipeline does"""
    prompt: str | None = None
    """before each text: the name of a prompt of the model's own, or the text itself"""
    dtype: str = "float32"
    """of the arithmetic: float32 or bfloat16"""
    stored: str = "float32"
    """of what is kept: float32 or float16"""

    def __post_init__(self) -> None:
        if self.dtype not in ("float32", "bfloat16"):
            raise InputError(f"dtype: expected float32 or bfloat16, got {self.dtype!r}")
        if self.stored not in ("float32", "float16"):
            raise InputError(f"stored: expected float32 or float16, got {self.stored!r}")
        if self.max_length is not None and (type(self.max_length) is not int or self.max_length < 1):
            raise InputError(f"max_length: expected at least 1, a whole number, got {self.max_length!r}")
        if not isinstance(self.prompt, str | None):
            raise InputError(f"prompt: expected a text, or the name of a prompt, got {self.prompt!r}")


@runtime_checkable
class Counted(Protocol):
    """Texts as a model reads them."""

    @property
    def lengths(self) -> Int[np.ndarray, " n"]:
        """Tokens of each."""
        ...

    @property
    def cut(self) -> int:
        """How many were shortened."""
        ...

    def __len__(self) -> int: ...


@runtime_checkable
class Loaded(Protocol):
    """A model with its weights: ``LanguageModel``, or ``ForeignLanguageModel``."""

    def of_tokens(
        self,
        tokens: Any,
        rows: Int[np.ndarray, " n"],
        keys: Sequence[Key],
        *,
        on_rows: Callable[[int], None] | None = None,
    ) -> dict[Key, Float32[np.ndarray, "n width"]]:
        """Representations of some rows of counted texts."""
        ...

    def close(self) -> None:
        """Give back what the model holds outside of this process."""
        ...


@runtime_checkable
class Model(Protocol):
    """A model without its weights, by our encoders (``Pretrained``) or by its own library (``ForeignModel``)."""

    @property
    def name(self) -> str:
        """As it was asked for."""
        ...

    @property
    def by(self) -> str:
        """The libraries that run it; "" for our encoders."""
        ...

    @property
    def spreads(self) -> bool:
        """Whether several devices can share its work."""
        ...

    @property
    def shards_together(self) -> int:
        """Shards of the store that are computed in one go."""
        ...

    @property
    def depth(self) -> int:
        """Layers after the embedding."""
        ...

    def keys(self, layers: Sequence[int] = ..., pools: Sequence[str] | None = ...) -> list[Key]:
        """Representations by layer and pooling."""
        ...

    def width_of(self, key: Key) -> int:
        """Columns of a representation."""
        ...

    def finished(self, key: Key) -> bool:
        """Whether a representation is what the model's own pipeline gives."""
        ...

    def tokens(self, texts: Sequence[str], max_length: int | None = ..., prompt: str | None = ...) -> Counted:
        """Texts as the model reads them."""
        ...

    def prompt_of(self, asked: str | None) -> str:
        """The text before every text."""
        ...

    def made_with(self, max_length: int | None, prompt: str | None) -> dict[str, Any]:
        """What values depend on beside texts, layer, pooling and types; what JSON can hold."""
        ...

    def programs(self, shards: Iterable[Int[np.ndarray, " rows"]]) -> int:
        """Compilations for texts of so many tokens, by shard."""
        ...

    def memory_of(self, dtype: Any, longest: int) -> float:
        """Bytes of a pass over texts of up to so many tokens."""
        ...

    def available_memory(self) -> float | None:
        """Bytes of a device; None where nothing says."""
        ...

    def flops_of(self, tokens: Any, keys: Iterable[Key] = ...) -> float:
        """Operations of a pass over all texts, for some representations."""
        ...

    def load(self, *, dtype: Any = ..., devices: Sequence[Any] | None = ..., shared: bool = ...) -> Loaded:
        """The model with its weights."""
        ...


@dataclass(frozen=True, eq=False)
class Extraction:
    """What is to be done for some representations of some texts by one model, and what of it is there already."""

    model: Model
    tokens: Counted
    settings: Settings
    entries: Mapping[Key, StoreEntry]
    """where each representation is kept"""
    missing: tuple[int, ...]
    """shards that at least one of them lacks"""

    @property
    def rows(self) -> int:
        """Texts whose representations are missing, and what is computed with them."""
        return sum(len(self._rows_of(shards)) for shards in self._together())

    @property
    def programs(self) -> int:
        """Compilations that are needed."""
        return self.model.programs(self.tokens.lengths[self._rows_of(shards)] for shards in self._together())

    @property
    def memory(self) -> float:
        """Bytes, as ``Model.memory_of``."""
        return self.model.memory_of(self.settings.dtype, int(self.tokens.lengths.max()))

    def _together(self) -> list[range]:
        """Shards that are computed in one go: those of a group of which one is missing, so that what is computed again
        has the batches, and the bits, that it had."""
        entry, size = next(iter(self.entries.values())), self.model.shards_together
        starts = sorted({shard // size * size for shard in self.missing})
        return [range(start, min(start + size, entry.parts)) for start in starts]

    def _rows_of(self, shards: range) -> np.ndarray:
        entry = next(iter(self.entries.values()))
        return np.arange(entry.rows_of(shards[0]).start, entry.rows_of(shards[-1]).stop)

    def run(self, progress: Callable[[int, int], None] | None = None, *, devices: Sequence[Any] | None = None) -> None:
        """Compute and write what is missing, shard by shard: what is interrupted goes on where it was.

        Args:
            progress: called with rows done and rows in all.
            devices: that share the work of a model that spreads; they share the parameters too where those are larger
                than one of them.

        Raises:
            InputError: more memory is needed than there is; states that are not finite.
            OSError: a shard cannot be written, for instance because the disk is full.
        """
        if not self.missing:
            with suppress(OSError):  # a store that cannot be written keeps the names that it has
                self._prepare()
            return
        self._prepare()
        devices = devices if self.model.spreads else None
        count, have = len(devices) if devices else 1, self.model.available_memory()
        if have is not None and self.memory > have * count:
            raise InputError(
                f"{self.model.name}: it takes {self.memory / 2**30:.1f} GiB and {have * count / 2**30:.1f} are there; "
                "take --dtype bfloat16, a smaller --max-length, more devices, or a smaller model"
            )
        shared = have is not None and count > 1 and self.memory > 0.8 * have
        model = self.model.load(dtype=self.settings.dtype, devices=devices, shared=shared)
        try:
            self._fill(model, progress)
        finally:
            model.close()

    def _prepare(self) -> None:
        for entry in self.entries.values():
            entry.prepare()

    def _fill(self, model: Loaded, progress: Callable[[int, int], None] | None) -> None:
        total, before = self.rows, 0
        for shards in self._together():
            rows, done = self._rows_of(shards), before
            # Another process that shares the store may have written them meanwhile.
            lacking = {key: [one for one in shards if not entry.has(one)] for key, entry in self.entries.items()}
            keys = [key for key, some in lacking.items() if some]

            def on_rows(more: int) -> None:
                nonlocal done
                done += more
                if progress is not None:
                    progress(done, total)

            if keys:
                for key, values in model.of_tokens(self.tokens, rows, keys, on_rows=on_rows).items():
                    for shard in lacking[key]:
                        part = self.entries[key].rows_of(shard)
                        own = values[part.start - rows[0] : part.stop - rows[0]]
                        self.entries[key].write(shard, own.astype(self.settings.stored))
            before += len(rows)


def extraction(
    model: Model,
    texts: Sequence[str],
    keys: Sequence[Key],
    store: Path,
    data: str,
    settings: Settings | None = None,
    *,
    name: str | None = None,
) -> Extraction:
    """What is to be done for representations of texts by a model.

    Args:
        model: as from ``open_pretrained`` or ``open_model``.
        texts: n of them.
        keys: layers and poolings, as from ``Model.keys``.
        store: the folder that they are kept in.
        data: what people call the texts.
        settings: what else they depend on.
        name: what people call the model; by default the last part of its path.

    Raises:
        InputError: texts that the tokenizer refuses; a folder that is no store.

    Cost: reads the model's files once for their hash, and the texts for their tokens.
    """
    settings, name = settings or Settings(), name or short_name(model.name)
    tokens = model.tokens(texts, settings.max_length, settings.prompt)
    shared = {
        "arithmetic": ARITHMETIC,
        **model.made_with(settings.max_length, settings.prompt),
        "texts": texts_hash(*texts),
        "rows": len(texts),
        "dtype": settings.dtype,
        "stored": settings.stored,
    }
    entries = {}
    for layer, pooling in keys:
        made_from = shared | {"layer": layer, "pooling": pooling}
        called = f"{name}{suffix_of((layer, pooling), model)}@{data}"
        entries[layer, pooling] = entry_of(store, called, len(texts), model.width_of((layer, pooling)), made_from)
    missing = sorted({shard for entry in entries.values() for shard in entry.missing()})
    if missing:
        refuse_unwritable(store)
    return Extraction(model, tokens, settings, entries, tuple(missing))


def suffix_of(key: Key, model: Model) -> str:
    """A layer and a pooling as people write them: "#6:mean"; nothing for what the model's own pipeline gives."""
    layer, pooling = key
    if model.finished(key):
        return ""
    return f":{pooling}" if layer == OWN else f"#{layer}:{pooling}"


def short_name(model: str) -> str:
    """The last part of a path, or of a name on the hub."""
    # Two colons part a store from a name in it.
    return re.sub(":{2,}", ":", Path(model).name.removesuffix(".gguf") or model)


def short_data(name: str) -> str:
    """What entries call a data set: in small letters, without blanks."""
    return "-".join(name.lower().split())


def seconds(plan: Extraction, rate: float) -> float:
    """What a run will take, at so many operations a second of a product in float32."""
    share = plan.rows / len(plan.tokens)
    return share * plan.model.flops_of(plan.tokens, plan.entries) / (SHARE * rate) + COMPILATION * plan.programs


def told(plan: Extraction) -> str:
    """One line: what will be done."""
    lengths, done = plan.tokens.lengths, len(plan.tokens) - plan.rows
    cut = f", {plan.tokens.cut} cut" if plan.tokens.cut else ""
    prompt = plan.model.prompt_of(plan.settings.prompt)
    cut += f", after the prompt {prompt!r:.40}" if prompt else ""
    there = f"; {done} rows are there" if done else ""
    how = f"by {plan.model.by}" if plan.model.by else f"programs to compile: {plan.programs}"
    return (
        f"{short_name(plan.model.name)}: {len(lengths)} texts, {math.fsum(lengths):.0f} tokens, longest "
        f"{lengths.max()}{cut}; {plan.memory / 2**30:.1f} GiB; {how}{there}"
    )
