"""What a model's own pipeline makes of token states: pooling, a dense layer, unit length, and prompts before texts.

Read from the folder of a sentence-transformers model: modules.json and what it names. Other models have the mean of
their tokens (encoders) or the last one (decoders).
"""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from jaxtyping import Float32

from .._errors import InputError
from ..store import array_files
from .checkpoints import read_json
from .hub import OTHERWISE

POOLINGS = ("mean", "cls", "last")
"""Of the tokens of a text: the mean, the first one, the last one; never padding."""
LIBRARY = "sentence_transformers"
"""Whose modules these are."""
_MODES = {
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_cls_token": "cls",
    "pooling_mode_lasttoken": "last",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len",
    "pooling_mode_weightedmean_tokens": "weightedmean",
}
_ACTIVATIONS = {"Tanh": np.tanh, "Identity": lambda x: x, "ReLU": lambda x: np.maximum(x, 0)}


@dataclass(frozen=True)
class Dense:
    """activation(x W^T + b) of a pooled row."""

    weight: Float32[np.ndarray, "width_out width_in"]
    bias: Float32[np.ndarray, " width_out"] | None
    activation: str


@dataclass(frozen=True)
class Pipeline:
    """What follows the last layer, and comes before the text."""

    pooling: str
    """one of ``POOLINGS``"""
    dense: tuple[Dense, ...] = ()
    """of pooled rows, one after the other"""
    normalised: bool = False
    """whether rows have length 1"""
    prompts: MappingProxyType[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """name -> text that stands before every text, such as "query: \""""
    prompt: str = ""
    """the prompt that is taken where none is asked for"""
    stripped: bool = False
    """whether white space around texts is taken away"""
    max_length: int | None = None
    """tokens that texts are cut to, where the pipeline says so"""

    def finish(self, rows: Float32[np.ndarray, "n width"]) -> Float32[np.ndarray, "n width_out"]:
        """What the pipeline makes of pooled rows of the final states."""
        for dense in self.dense:
            rows = rows @ dense.weight.T
            rows = _ACTIVATIONS[dense.activation](rows if dense.bias is None else rows + dense.bias)
        if self.normalised:
            rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
        return rows.astype(np.float32)

    def prompt_of(self, asked: str | None) -> str:
        """The text before every text: a prompt of the model by its name, or the text itself; None for its own."""
        return self.prompt if asked is None else named_prompt(asked, self.prompts)


def named_prompt(asked: str, prompts: Mapping[str, str]) -> str:
    """A prompt by its name, or the text itself.

    Raises:
        InputError: it is one word, and nearly the name of one: rather a slip than a text.
    """
    near = difflib.get_close_matches(asked, prompts, n=1, cutoff=0.75) if asked.isidentifier() else []
    if asked not in prompts and near:
        raise InputError(f"prompt: {asked!r} is none of the model's own; did you mean {near[0]!r}?")
    return prompts.get(asked, asked)


def pipeline_of(folder: Path, *, causal: bool) -> Pipeline:
    """Of a model in a folder.

    Args:
        folder: with the model's files; a GGUF file has no pipeline.
        causal: whether tokens see earlier ones alone: the last one has seen all.

    Raises:
        InputError: modules.json names what is not supported, or files are missing.
    """
    if not (folder / "modules.json").is_file():
        return Pipeline("last" if causal else "mean")
    pooling, dense, normalised = None, [], False
    for module in modules_of(folder):
        owner, _, kind = str(module.get("type", "")).rpartition(".")
        path = folder / str(module.get("path", ""))
        if owner.partition(".")[0] != LIBRARY:  # a class of the same name may do something else
            kind = str(module.get("type", ""))
        if kind == "Pooling":
            pooling = _pooling(path / "config.json")
        elif kind == "Dense":
            dense.append(_dense(path))
        elif kind == "Normalize":
            normalised = True
        elif kind not in ("Transformer", "Dropout"):
            raise InputError(
                f"{folder / 'modules.json'}: a module {kind or module} is not supported (Transformer, Pooling, Dense, "
                f"Normalize are). {OTHERWISE}"
            )
    if pooling is None:
        raise InputError(f"{folder / 'modules.json'}: no Pooling among the modules; fetch the folder again")
    prompts, prompt = prompts_of(folder / "config_sentence_transformers.json")
    return Pipeline(pooling, tuple(dense), normalised, prompts, prompt, True, _max_length(folder))


def modules_of(folder: Path) -> list[dict[str, Any]]:
    """What modules.json says, module by module.

    Raises:
        InputError: it is no list of modules, or the files of one are outside of the folder.
    """
    path = folder / "modules.json"
    found = read_json(path, list)
    if not all(isinstance(module, dict) for module in found):
        raise InputError(f"{path}: expected a list of modules; fetch it again")
    for module in found:
        own = str(module.get("path", ""))
        if not (folder / own).resolve().is_relative_to(folder.resolve()):
            raise InputError(f"{path}: {own!r} leads out of the folder; fetch it again")
    return found


def _pooling(path: Path) -> str:
    config = read_json(path)
    if config.get("include_prompt", True) is not True:
        raise InputError(f"{path}: pooling without the tokens of the prompt is not supported. {OTHERWISE}")
    modes = [mode for name, mode in _MODES.items() if config.get(name)] or _as_list(config.get("pooling_mode"))
    if len(modes) != 1 or modes[0] not in POOLINGS:
        raise InputError(f"{path}: pooling by {' and '.join(map(str, modes)) or 'nothing'} is not supported; "
                         f"supported is one of {', '.join(POOLINGS)}. {OTHERWISE}")  # fmt: skip
    return modes[0]


def _as_list(value: object) -> Sequence[Any]:
    return value if isinstance(value, list) else [] if value is None else [{"lasttoken": "last"}.get(str(value), value)]


def _dense(folder: Path) -> Dense:
    config = read_json(folder / "config.json")
    activation = str(config.get("activation_function", "Identity")).rpartition(".")[2]
    if activation not in _ACTIVATIONS:
        raise InputError(f"{folder / 'config.json'}: the activation {activation!r} is not supported. {OTHERWISE}")
    path = folder / "model.safetensors"
    if not path.is_file():
        raise InputError(f"{folder}: there is no model.safetensors; fetch the folder again")
    entries = array_files.safetensors_entries(path)
    if "linear.weight" not in entries:
        raise InputError(f"{path}: there is no linear.weight; fetch the folder again")

    def read(name: str) -> np.ndarray:
        return array_files.read(path, entries[name], array_files.stamp_of(path), mmap=False).astype(np.float32)

    return Dense(read("linear.weight"), read("linear.bias") if "linear.bias" in entries else None, activation)


def prompts_of(path: Path) -> tuple[MappingProxyType[str, str], str]:
    """Prompts by their names, and the one that is taken by default, of config_sentence_transformers.json."""
    if not path.is_file():
        return MappingProxyType({}), ""
    config = read_json(path)
    found = config.get("prompts") or {}
    if not isinstance(found, dict) or not all(isinstance(text, str) for text in found.values()):
        raise InputError(f"{path}: prompts are no texts; fetch it again")
    default = config.get("default_prompt_name")
    if default is not None and default not in found:
        raise InputError(
            f"{path}: default_prompt_name is {default!r}, and the prompts are {', '.join(found) or 'none'}"
        )
    return MappingProxyType(found), found.get(default, "")


def _max_length(folder: Path) -> int | None:
    path = folder / "sentence_bert_config.json"
    found = read_json(path).get("max_seq_length") if path.is_file() else None
    return found if isinstance(found, int) and not isinstance(found, bool) and found > 0 else None
