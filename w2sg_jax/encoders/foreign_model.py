"""A model of any architecture, run by transformers or sentence-transformers in a process of its own.

``open_model`` chooses between our encoders and a model's own library. A ``ForeignModel`` offers what a ``Pretrained``
one does: layer 0 is the embedding, layer L the last block before the final norm, and -1 what the model's own pipeline
gives.
"""

import re
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float32, Int

from .._errors import InputError, check
from ..store.content import bytes_hash, path_hash
from .checkpoints import read_json
from .foreign_process import Worker, worker
from .hub import PATTERNS, fetched
from .language_model import (
    OWN,
    SHARDS_ON_DEVICE,
    TOKENS_ON_CPU,
    TOKENS_ON_DEVICE,
    Key,
    NotFinite,
    Pretrained,
    host_memory,
    keys_of,
    open_pretrained,
)
from .pipeline import modules_of, named_prompt, pipeline_of, prompts_of
from .text_tokenizer import check_texts

ARITHMETIC = 1
"""Of the worker: a number that changes when it computes other values than before."""
PICKLED = "pytorch_model*.bin"
"""Weights that are read by torch's weights_only loading, which makes tensors and nothing else."""
CODE = "*.py"
NEEDED = (*PATTERNS, "*.txt", "*.model", "*.tiktoken", "*.jinja")
"""Files that values may depend on, beside pickled weights and code."""
LIMIT = 512
"""Tokens that texts are cut to where neither tokenizer nor configuration nor pipeline says."""
PIPELINE = "pipeline"
"""The pooling of a pipeline that is none of ``POOLINGS``."""
ITS_MODULES = re.compile(r"sentence_transformers\.(\w+\.)*[A-Z]\w*")
"""Classes of the library: it would import any other that a folder names, whether the user trusts it or not."""

Hf = bool | Literal["all"]
"""Whether models are run by their own library: none, those that our encoders do not read, or all."""


@dataclass(frozen=True, eq=False)
class Counted:
    """Texts with the number of their tokens; the identifiers stay with the library."""

    texts: Sequence[str]
    lengths: Int[np.ndarray, " n"]
    """tokens after the cut, special ones included"""
    cut: int
    """how many of the texts were shortened"""
    prompt: str
    """before each text"""
    limit: int
    """tokens that they are cut to"""

    def __len__(self) -> int:
        return len(self.texts)


@dataclass(frozen=True, eq=False)
class ForeignModel:
    """A model on this machine that its own library runs, of which all is known that can be told without its weights."""

    name: str
    """as it was asked for"""
    path: Path
    """folder, or GGUF file"""
    trusted: bool
    """whether the code that it ships is run"""
    process: Worker
    described: Mapping[str, Any]
    """what ``foreign_worker.Library.describe`` says"""

    spreads = False
    """one device does all"""

    @property
    def shards_together(self) -> int:
        """Shards of the store that are computed in one go."""
        return 1 if self.described["device"] == "cpu" else SHARDS_ON_DEVICE

    @property
    def depth(self) -> int:
        """Layers after the embedding; -1 where there is a pipeline without layers."""
        return self.described["depth"]

    @property
    def by(self) -> str:
        """The libraries that run it, with their versions: values may change with them."""
        return ", ".join(f"{name} {version(name)}" for name in _libraries(self.path))

    @cached_property
    def content(self) -> str:
        """sha256 of weights, configuration, tokenizer and pipeline, and of the libraries that run them. Cost: reads
        all files once."""
        if self.path.is_file():
            files = [self.path]
        else:
            files = sorted(_files(self.path, code=self.trusted))
        root = self.path if self.path.is_dir() else self.path.parent
        parts = [f"{path_hash(file)} {file.relative_to(root).as_posix()}" for file in files]
        return bytes_hash("\n".join([f"{ARITHMETIC} {self.trusted} {self.by}", *parts]).encode())

    @cached_property
    def pooling(self) -> str:
        """That of the model's own pipeline; ``PIPELINE`` where it has no name among ours."""
        if not _is_pipeline(self.path):
            return "last" if self.described["causal"] else "mean"
        try:
            return pipeline_of(self.path, causal=False).pooling
        except InputError:
            return PIPELINE

    @property
    def max_length(self) -> int:
        """Tokens that texts are cut to by default: the least that tokenizer, configuration and pipeline say."""
        return min(self.described["limits"], default=LIMIT)

    def limit(self, max_length: int | None) -> int:
        """Tokens that texts are cut to where so many are asked for."""
        return min(self.max_length if max_length is None else max_length, min(self.described["limits"], default=10**9))

    def prompt_of(self, asked: str | None) -> str:
        """The text before every text: a prompt of the model by its name, or the text itself; None for its own."""
        prompts, own = prompts_of(self.path / "config_sentence_transformers.json")
        return own if asked is None else named_prompt(asked, prompts)

    def keys(self, layers: Sequence[int] = (OWN,), pools: Sequence[str] | None = None) -> list[Key]:
        """Representations by layer and pooling; arguments and errors as ``Pretrained.keys``."""
        if pools is not None or self.pooling != PIPELINE:
            return keys_of(self.name, self.depth, self.pooling, layers, pools)
        inner = [layer for layer in layers if layer != OWN]
        found = keys_of(self.name, self.depth, "mean", inner, None) if inner else []
        return found + [(OWN, PIPELINE)] * (len(inner) < len(layers))

    def width_of(self, key: Key) -> int:
        """Columns of a representation."""
        if self.finished(key) and self.described["pipeline"] is not None:
            return self.described["pipeline"]
        return self.described["width"] if key[0] == OWN else self.described["widths"][key[0]]

    def finished(self, key: Key) -> bool:
        """Whether a representation is the pipeline's own."""
        return key == (OWN, self.pooling)

    def tokens(self, texts: Sequence[str], max_length: int | None = None, prompt: str | None = None) -> Counted:
        """Texts with the number of their tokens.

        Raises:
            InputError: there is no text; one is no string, no valid Unicode, or gives no token (its row is named).
        """
        before, limit = self.prompt_of(prompt), self.limit(max_length)
        check_texts(texts, before)
        found = self.ask(do="count", texts=[before + text for text in texts])
        lengths = np.array(found, np.int64)
        if not lengths.all():
            row = int(np.flatnonzero(lengths == 0)[0])
            raise InputError(f"texts: {texts[row]!r} gives no token (row {row}); remove that row")
        cut = int(np.count_nonzero(lengths > limit))
        return Counted(texts, np.minimum(lengths, limit), cut, before, limit)

    def made_with(self, max_length: int | None, prompt: str | None) -> dict[str, Any]:
        """What values depend on beside texts, layer, pooling and types."""
        return {
            "model": self.content,
            "by": self.by,
            "max_length": self.limit(max_length),
            "prompt": self.prompt_of(prompt),
        }

    def programs(self, shards: Iterable[Int[np.ndarray, " rows"]]) -> int:
        """Compilations: none."""
        return 0

    def available_memory(self) -> float | None:
        """Bytes of the device that the library runs on, when the model was opened."""
        return host_memory() if self.described["memory"] is None else float(self.described["memory"])

    def memory_of(self, dtype: Any, longest: int) -> float:
        """Bytes of a pass over texts of up to so many tokens: the parameters, and what a batch needs."""
        about, at_once = self.described, max(self.tokens_at_once, longest)
        size = 2 if str(dtype) == "bfloat16" else 4
        states = at_once * about["width"] * (self.depth + 10) * size  # those of all layers are kept
        return float(about["parameters"] * size + states + 3 * at_once * longest * about["heads"] * 4)

    def flops_of(self, tokens: Counted, keys: Iterable[Key] = ()) -> float:
        """Operations of a pass, which runs all layers whatever is asked for."""
        about, lengths = self.described, tokens.lengths.astype(float)
        blocks = about["parameters"] - about["embedding"]
        return float(2 * blocks * lengths.sum() + 4 * self.depth * about["width"] * (lengths**2).sum())

    @property
    def tokens_at_once(self) -> int:
        """Of a batch."""
        return TOKENS_ON_CPU if self.described["device"] == "cpu" else TOKENS_ON_DEVICE

    def load(
        self, *, dtype: Any = "float32", devices: Sequence[Any] | None = None, shared: bool = False
    ) -> "ForeignLanguageModel":
        """The model in that precision; its library reads the weights with the first rows, and chooses the device."""
        return ForeignLanguageModel(self, str(np.dtype(dtype) if not isinstance(dtype, str) else dtype))

    def ask(self, on_rows: Callable[[int], None] | None = None, **request: Any) -> Any:
        """What the library says of this model."""
        return self.process.ask(self.name, request | {"model": _model(self.path, self.trusted)}, on_rows)


@dataclass(frozen=True, eq=False)
class ForeignLanguageModel:
    """A model that its own library runs, in some precision."""

    pretrained: ForeignModel
    dtype: str

    def represent(
        self,
        texts: Sequence[str],
        *,
        layers: Sequence[int] = (OWN,),
        pools: Sequence[str] | None = None,
        max_length: int | None = None,
        prompt: str | None = None,
        on_rows: Callable[[int], None] | None = None,
    ) -> dict[Key, Float32[np.ndarray, "n width"]]:
        """Representations of texts; arguments, result and errors as ``LanguageModel.represent``."""
        keys, tokens = self.pretrained.keys(layers, pools), self.pretrained.tokens(texts, max_length, prompt)
        return self.of_tokens(tokens, np.arange(len(texts)), keys, on_rows=on_rows)

    def of_tokens(
        self,
        tokens: Counted,
        rows: Int[np.ndarray, " n"],
        keys: Sequence[Key],
        *,
        on_rows: Callable[[int], None] | None = None,
    ) -> dict[Key, Float32[np.ndarray, "n width"]]:
        """Representations of some rows of counted texts.

        Rows of one length make a batch, so that there is no padding. The pipeline's own representation takes a pass
        of its own beside one for all other layers and poolings.

        Args:
            tokens: all texts.
            rows: the numbers of those that are wanted.
            keys: as from ``ForeignModel.keys``.
            on_rows: called with the number of rows just done.

        Raises:
            InputError: the library refuses, states are not finite, or widths are not those that it said.
        """
        own = self.pretrained
        with tempfile.TemporaryDirectory(prefix="w2sg-") as folder:
            paths = own.ask(
                on_rows,
                do="represent",
                texts=[tokens.texts[row] for row in rows],
                keys=keys,
                own=own.pooling if _is_pipeline(own.path) else None,
                prompt=tokens.prompt,
                limit=tokens.limit,
                dtype=self.dtype,
                tokens_at_once=own.tokens_at_once,
                folder=folder,
            )
            found = {key: np.load(path, allow_pickle=False) for key, path in zip(keys, paths, strict=True)}
        for key, values in found.items():
            expected = (len(rows), own.width_of(key))
            if values.shape != expected:
                raise InputError(
                    f"{own.name}: layer {key[0]} came as {values.shape}, expected {expected}; its configuration says "
                    "another width than its weights have"
                )
            _check_finite(own.name, values, key, rows)
        return found

    def close(self) -> None:
        """End the process of the library, which frees its memory."""
        self.pretrained.process.close()


def _check_finite(
    name: str, values: Float32[np.ndarray, "rows width"], key: Key, rows: Int[np.ndarray, " rows"]
) -> None:
    """Refuse pooled states of some rows that are not finite (NotFinite)."""
    finite = np.isfinite(values).all(axis=1)
    if not finite.all():
        row, layer = (
            int(rows[np.flatnonzero(~finite)[0]]),
            "final states" if key[0] == OWN else f"states of layer {key[0]}",
        )
        raise NotFinite(f"{name}: the {layer} are not finite at row {row}; run it in float32, or look at the weights")


def open_model(
    model: str | Path, *, revision: str | None = None, hf: Hf = False, trust_remote_code: bool = False
) -> Pretrained | ForeignModel:
    """A model by our encoders, or by its own library.

    Args:
        model, revision: as ``open_pretrained``.
        hf: False: our encoders alone. True: its own library where our encoders do not read the model. "all": its own
            library in any case.
        trust_remote_code: whether Python code that the model ships may be run, with the user's rights.

    Raises:
        InputError: the model cannot be used; or libraries are not installed.
    """
    if hf not in (False, True, "all"):
        raise InputError(f"hf: expected False, True or 'all', got {hf!r}")
    if trust_remote_code and not hf:
        raise InputError(
            "trust_remote_code: our encoders never run a model's code; give --trust-remote-code "
            "(trust_remote_code=True) with --hf (hf=True), or leave it out"
        )
    if hf != "all":
        try:
            return open_pretrained(model, revision=revision)
        except InputError:
            if not hf:
                raise
    return open_foreign(model, revision=revision, trust_remote_code=trust_remote_code)


def open_foreign(model: str | Path, *, revision: str | None = None, trust_remote_code: bool = False) -> ForeignModel:
    """A model by its own library; arguments and errors as ``open_model``.

    Cost: the library is imported in its process, some seconds; weights are read only where it can say no width without
    them.
    """
    patterns = NEEDED + ((CODE,) if trust_remote_code else ())
    path = fetched(model, revision, patterns)
    if path.is_dir() and not any(path.rglob("*.safetensors")) and not Path(model).expanduser().exists():
        path = fetched(model, revision, (*patterns, PICKLED))
    check(*(name.replace("-", "_") for name in _libraries(path)), extra="hf")
    if path.is_dir():
        _check_files(path, trust_remote_code)
    process = worker(trust_remote_code)
    described = process.ask(str(model), {"do": "describe", "model": _model(path, trust_remote_code)})
    return ForeignModel(str(model), path, trust_remote_code, process, described)


def _check_files(folder: Path, trusted: bool) -> None:
    """Refuse a folder whose weights are in no format that holds numbers alone, which names code of its own, or which a
    newer library wrote."""
    if not any(True for pattern in ("*.safetensors", PICKLED) for _ in folder.rglob(pattern)):
        raise InputError(
            f"{folder}: there are no weights as safetensors or pytorch_model.bin; is it the folder of a model?"
        )
    config = folder / "config.json"
    made_by = str(read_json(config).get("transformers_version", "")) if config.is_file() else ""
    have = version("transformers")
    if made_by.split(".")[0].isdigit() and int(made_by.split(".")[0]) > int(have.split(".")[0]):
        # Names that it does not know would be passed over, such as those of rotary positions between 4 and 5.
        raise InputError(
            f"{config}: it was written by transformers {made_by}, and {have} is installed: pip install -U transformers"
        )
    if not _is_pipeline(folder):
        return
    for module in modules_of(folder):
        kind = str(module.get("type", ""))
        if not trusted and not ITS_MODULES.fullmatch(kind):
            raise InputError(
                f"{folder / 'modules.json'}: the module {kind!r} is Python code of the model's own, which is not run; "
                "read it, and take --trust-remote-code (trust_remote_code=True) if you trust it"
            )


def _files(folder: Path, *, code: bool) -> Iterable[Path]:
    """The files of a folder that values may depend on."""
    for file in folder.rglob("*"):
        name = file.relative_to(folder).as_posix()
        if not file.is_file() or any(part.startswith(".") for part in name.split("/")):
            continue
        pickled = Path(name).match(PICKLED)
        if pickled and any(file.parent.glob("*.safetensors")):
            continue
        if pickled or any(Path(name).match(pattern) for pattern in (*NEEDED, *((CODE,) if code else ()))):
            yield file


def _libraries(path: Path) -> tuple[str, ...]:
    return (*(("sentence-transformers",) if _is_pipeline(path) else ()), "transformers", "torch")


def _is_pipeline(path: Path) -> bool:
    return (path / "modules.json").is_file()


def _model(path: Path, trusted: bool) -> dict[str, Any]:
    """A model as the worker takes it, with sizes and times of its files: it reads those anew that have changed."""
    folder, gguf = (path, None) if path.is_dir() else (path.parent, path.name)
    found = [path] if gguf else sorted(_files(path, code=trusted))
    stamp = [f"{file.name} {file.stat().st_size} {file.stat().st_mtime_ns}" for file in found]
    return {
        "folder": str(folder.resolve()),
        "gguf": gguf,
        "pipeline": _is_pipeline(path),
        "trusted": trusted,
        "stamp": bytes_hash("\n".join(stamp).encode()),
    }
