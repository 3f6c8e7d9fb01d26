"""Runs models by transformers and sentence-transformers, in the process that ``foreign_model.Worker`` starts.

It is run as a file, not imported by the package: neither JAX nor the package is loaded here. Requests are lines of JSON
on standard input; answers are lines of JSON after ``MARK`` on standard output; arrays go through .npy files. Whatever
the libraries print goes to standard error.
"""

# pyright: reportMissingImports=false
# The extra [hf] brings the libraries.

import inspect
import json
import os
import queue
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

MARK = "w2sg "
"""Before every answer."""
POOLINGS = ("mean", "cls", "last")
UNCHANGED = ("Transformer", "Normalize", "Dropout", "LayerNorm")
"""Modules of a pipeline that leave the width as it is."""
PROBE = "a b c"
"""A text for what a model says of itself only when it runs."""
CHUNK_TEXTS = 1024
"""Texts tokenised at a time."""
UNLIMITED = 10**9
"""A `model_max_length` of that much or more says that there is no limit."""


def main() -> None:
    """Answers one request after the other, until standard input ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints must not be taken for an answer
    requests: queue.Queue[str] = queue.Queue()

    def read() -> None:
        for line in sys.stdin:
            requests.put(line)
        os._exit(0)  # the parent has gone: nobody waits for what is being computed

    def answer(what: dict[str, Any]) -> None:
        answers.write(f"{MARK}{json.dumps(what)}\n")
        answers.flush()

    threading.Thread(target=read, daemon=True).start()
    library = Library(lambda rows: answer({"rows": rows}))
    while True:
        request = json.loads(requests.get())
        try:
            answer({"answer": getattr(library, request.pop("do"))(**request)})
        except Exception as error:  # whatever a library raises, of whatever type, is the answer
            traceback.print_exc()
            answer({"error": " ".join(f"{type(error).__name__}: {error}".split())})


class Library:
    """What the libraries are asked for. A model is described by a dict: its folder, the name of a GGUF file in it (or
    None), whether it is a pipeline of sentence-transformers, whether its own code may be run, and a stamp that changes
    with its files.

    Args:
        on_rows: called with the number of rows just done.
    """

    def __init__(self, on_rows: Callable[[int], None]):
        import torch

        self.on_rows = on_rows
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        # TF32 would blur small directions, in products and, by default, in convolutions.
        torch.set_float32_matmul_precision("highest")
        torch.backends.cudnn.allow_tf32 = False
        self._loaded: tuple[Any, Any] = None, None

    def describe(self, model: dict[str, Any]) -> dict[str, Any]:
        """Widths, limits and sizes of a model, without its weights where its library can tell them so."""
        import torch

        modules = _modules(model)
        found = {
            "depth": -1, "widths": [], "width": 0, "pipeline": None, "parameters": 0, "embedding": 0, "heads": 1,
            "limits": [], "causal": False, "device": self.device.type, "memory": None,
        }  # fmt: skip
        if self.device.type == "cuda":
            found["memory"] = torch.cuda.mem_get_info()[0]
        if not modules or modules[0][0] == "Transformer":
            found |= self._transformer(model)
        if modules:
            found["pipeline"] = _width(modules, found["width"]) or self._encoded(model, [PROBE], "", None).shape[1]
        return found

    def count(self, model: dict[str, Any], texts: Sequence[str]) -> list[int]:
        """Tokens of texts before they are cut, special ones included; words where there is no tokenizer of tokens."""
        tokenizer, found = _tokenizer(model), []
        for start in range(0, len(texts), CHUNK_TEXTS):
            chunk = _prepared(model, texts[start : start + CHUNK_TEXTS])
            if tokenizer is None:
                found += [max(1, len(text.split())) for text in chunk]
            else:
                found += map(len, tokenizer(chunk, return_attention_mask=False, verbose=False)["input_ids"])
        return found

    def represent(
        self,
        model: dict[str, Any],
        texts: Sequence[str],
        keys: Sequence[tuple[int, str]],
        own: str | None,
        prompt: str,
        limit: int,
        dtype: str,
        tokens_at_once: int,
        folder: str,
    ) -> list[str]:
        """Representations of texts, one .npy file (n, width) in float32 for each layer and pooling.

        Rows of one length make a batch: there is no padding, whatever an architecture makes of it.

        Args:
            own: the pooling that stands, with layer -1, for what the pipeline gives; None without a pipeline.
            prompt: before each text.
            limit: tokens that longer texts are cut to.
            folder: of the files.
        """
        import numpy as np

        tokenizer, found = _tokenizer(model), {}
        whole = [key for key in map(tuple, keys) if own is not None and key == (-1, own)]
        inner = [key for key in map(tuple, keys) if key not in whole]
        if tokenizer is None:
            encoded, lengths = {}, self.count(model, texts)
        else:
            prompted = _prepared(model, [prompt + text for text in texts])
            encoded = tokenizer(prompted, truncation=True, max_length=limit, verbose=False)
            lengths = list(map(len, encoded["input_ids"]))
        for rows in _batches(lengths, tokens_at_once):
            values = {}
            if whole:
                values[whole[0]] = self._encoded(model, [texts[row] for row in rows], prompt, limit, dtype)
            if inner:
                inputs = {name: [encoded[name][row] for row in rows] for name in encoded}
                values |= self._pooled(self._model(model, dtype), inputs, inner)
            for key, value in values.items():
                found.setdefault(key, np.empty((len(texts), value.shape[1]), np.float32))[rows] = value
            self.on_rows(len(rows))
        paths = []
        for number, key in enumerate(map(tuple, keys)):
            paths.append(str(Path(folder) / f"{number}.npy"))
            np.save(paths[-1], found[key])
        return paths

    def _transformer(self, model: dict[str, Any]) -> dict[str, Any]:
        """What is to be said of a model of transformers."""
        import torch
        from transformers import AutoConfig, AutoModel

        config = AutoConfig.from_pretrained(**_where(model))
        tokenizer = _tokenizer(model)
        try:
            with torch.device("meta"):
                core = _core(AutoModel.from_config(config, trust_remote_code=model["trusted"])).eval()
            layers, last = _states(core, {"input_ids": torch.zeros(1, 3, dtype=torch.long, device="meta")})
        except Exception:  # it cannot be made, or run, without values: by its weights, then
            traceback.print_exc()
            core = self._model(model, "float32")
            layers, last = _states(core, self._inputs(tokenizer([PROBE], verbose=False)))
        text = config.get_text_config() if hasattr(config, "get_text_config") else config
        limits = [tokenizer.model_max_length, getattr(text, "max_position_embeddings", None)]
        sentences = Path(_where(model)["pretrained_model_name_or_path"]) / "sentence_bert_config.json"
        if sentences.is_file():
            limits.append(json.loads(sentences.read_text(encoding="utf-8")).get("max_seq_length"))
        for name, module in core.named_modules():
            # RoBERTa's positions begin after that of the padding.
            if "position" in name and getattr(module, "padding_idx", None) is not None:
                limits.append(module.num_embeddings - module.padding_idx - 1)
        embedding = _embedding(core)
        return {
            "depth": len(layers) - 1,
            "widths": [one.shape[-1] for one in layers],
            "width": last.shape[-1],
            "parameters": sum(one.numel() for one in core.parameters()),
            "embedding": 0 if embedding is None else sum(one.numel() for one in embedding.parameters()),
            "heads": getattr(text, "num_attention_heads", None) or 1,
            "limits": [one for one in limits if isinstance(one, int) and 0 < one < UNLIMITED],
            "causal": _causal(config),
        }

    def _inputs(self, encoded: Any) -> dict[str, Any]:
        import torch

        return {name: torch.tensor(values, device=self.device) for name, values in encoded.items()}

    def _load(self, model: dict[str, Any], dtype: str) -> Any:
        """A model, or a pipeline, with its weights; the last one that was asked for is kept."""
        import torch
        import transformers
        from transformers import AutoModel

        if self._loaded[0] == (model, dtype):
            return self._loaded[1]
        self._loaded = None, None  # before the next one is read: there may be no room for both
        kind = getattr(torch, dtype)
        version = tuple(int(part) for part in transformers.__version__.split(".")[:2])
        options = {"dtype" if version >= (4, 56) else "torch_dtype": kind}
        if model["pipeline"]:
            from sentence_transformers import SentenceTransformer

            loaded: Any = SentenceTransformer(
                model["folder"],
                device=self.device.type,
                trust_remote_code=model["trusted"],
                local_files_only=not model["trusted"],
                model_kwargs=options,
            )
            for module in list(loaded) if not hasattr(loaded[0], "auto_model") else list(loaded)[1:]:
                module.to(kind)
        else:
            loaded, about = AutoModel.from_pretrained(**_where(model), **options, output_loading_info=True)
            loaded.to(self.device)
            _check_weights(_core(loaded.eval()), about["missing_keys"], self._inputs(_tokenizer(model)([PROBE])))
        loaded.eval().requires_grad_(False)
        self._loaded = (model, dtype), loaded
        return loaded

    def _model(self, model: dict[str, Any], dtype: str) -> Any:
        """The module from identifiers to states."""
        loaded = self._load(model, dtype)
        return _core(loaded[0].auto_model if model["pipeline"] else loaded)

    def _encoded(
        self, model: dict[str, Any], texts: list[str], prompt: str, limit: int | None, dtype: str = "float32"
    ) -> Any:
        """What a pipeline gives, (rows, width)."""
        pipeline = self._load(model, dtype)
        if limit is not None and hasattr(pipeline[0], "auto_model"):
            pipeline.max_seq_length = limit
        found = pipeline.encode(
            texts, prompt=prompt, batch_size=len(texts), show_progress_bar=False, convert_to_tensor=True
        )
        return found.float().cpu().numpy()

    def _pooled(self, core: Any, inputs: dict[str, Any], keys: Sequence[Any]) -> dict[Any, Any]:
        """Pooled states of a batch whose rows have one length."""
        layers, last = _states(core, self._inputs(inputs))
        found = {}
        for layer, pooling in keys:
            states = last if layer == -1 else layers[layer]
            if states.shape[1] != len(inputs["input_ids"][0]):
                raise ValueError(f"layer {layer} has {states.shape[1]} states of {len(inputs['input_ids'][0])} tokens")
            states = states.float()
            pooled = {"mean": lambda x: x.mean(1), "cls": lambda x: x[:, 0], "last": lambda x: x[:, -1]}[pooling]
            found[layer, pooling] = pooled(states).cpu().numpy()
        return found


def _modules(model: dict[str, Any]) -> list[tuple[str, Path]]:
    """Kinds and folders of the modules of a pipeline."""
    if not model["pipeline"]:
        return []
    folder = Path(model["folder"])
    told = json.loads((folder / "modules.json").read_text(encoding="utf-8"))
    return [(one["type"].rpartition(".")[2], folder / one.get("path", "")) for one in told]


def _width(modules: list[tuple[str, Path]], width: int) -> int | None:
    """Columns that a pipeline makes of states of some width; None where its files do not tell."""
    for kind, path in modules:
        about = {}
        if (path / "config.json").is_file():
            about = json.loads((path / "config.json").read_text(encoding="utf-8"))
        if kind == "Pooling":
            modes = sum(value is True for name, value in about.items() if name.startswith("pooling_mode_"))
            named = about.get("pooling_mode")
            width *= modes or (len(named) if isinstance(named, list) else 1)
        elif kind == "Dense" and isinstance(about.get("out_features"), int):
            width = about["out_features"]
        elif kind not in UNCHANGED:
            return None
    return width


def _where(model: dict[str, Any]) -> dict[str, Any]:
    """What from_pretrained is told of a model: where its files are."""
    modules = _modules(model)
    return {
        "pretrained_model_name_or_path": str(modules[0][1]) if modules else model["folder"],
        "trust_remote_code": model["trusted"],
        "local_files_only": not model["trusted"],
        **({"gguf_file": model["gguf"]} if model["gguf"] else {}),
    }


def _tokenizer(model: dict[str, Any]) -> Any:
    """The tokenizer of a model; None where a pipeline begins with another module than a transformer."""
    return _tokenizer_of(json.dumps(model))


@lru_cache(maxsize=4)
def _tokenizer_of(described: str) -> Any:
    from transformers import AutoTokenizer

    model = json.loads(described)
    modules = _modules(model)
    if modules and modules[0][0] != "Transformer":
        return None
    return AutoTokenizer.from_pretrained(**_where(model))


def _prepared(model: dict[str, Any], texts: Sequence[str]) -> list[str]:
    """Texts as sentence-transformers hands them to a tokenizer."""
    if not model["pipeline"]:
        return list(texts)
    path = _modules(model)[0][1] / "sentence_bert_config.json"
    about = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return [text.strip().lower() if about.get("do_lower_case") is True else text.strip() for text in texts]


def _batches(lengths: Sequence[int], tokens_at_once: int) -> Iterator[list[int]]:
    """Rows of one length, longest first."""
    by_length: dict[int, list[int]] = {}
    for row, length in enumerate(lengths):
        by_length.setdefault(length, []).append(row)
    for length, rows in sorted(by_length.items(), reverse=True):
        room = max(1, tokens_at_once // max(1, length))
        yield from (rows[start : start + room] for start in range(0, len(rows), room))


def _core(model: Any) -> Any:
    """What makes states of the identifiers: of an encoder and a decoder the encoder."""
    if getattr(model.config, "is_encoder_decoder", False):
        model = model.get_encoder()
    if getattr(model.config, "use_cache", False):
        model.config.use_cache = False  # keys and values are kept for texts that go on; these do not
    return model


def _causal(config: Any) -> bool:
    """Whether tokens see earlier ones alone: a model that writes texts, and was not made to fill gaps."""
    from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, MODEL_FOR_MASKED_LM_MAPPING

    if getattr(config, "is_encoder_decoder", False) or getattr(config, "use_bidirectional_attention", None) is True:
        return False
    own = getattr(config, "auto_map", None) or {}
    writes = type(config) in MODEL_FOR_CAUSAL_LM_MAPPING or "AutoModelForCausalLM" in own
    return writes and type(config) not in MODEL_FOR_MASKED_LM_MAPPING and "AutoModelForMaskedLM" not in own


def _embedding(core: Any) -> Any:
    try:
        return core.get_input_embeddings()
    except (AttributeError, NotImplementedError):
        return None


def _states(core: Any, inputs: dict[str, Any], gradients: bool = False) -> tuple[list[Any], Any]:
    """States of layers 0 (the embedding) to L (the last block, before the final norm), and the final ones.

    The final norm is the module outside of the blocks whose output is the final states: its input is layer L.
    """
    import torch

    norms: list[tuple[Any, Any]] = []
    embedded: list[Any] = []

    def norm(_: Any, given: tuple[Any, ...], named: dict[str, Any], made: Any) -> None:
        norms.append((given[0] if given else next(iter(named.values())), made))

    # Types of 0 are what a model takes where none are given; GPT-2 would take them for tokens.
    types = inputs.get("token_type_ids")
    if types is not None and not ("token_type_ids" in inspect.signature(core.forward).parameters and types.any()):
        inputs = {name: one for name, one in inputs.items() if name != "token_type_ids"}
    hooks = [
        module.register_forward_hook(norm, with_kwargs=True)
        for name, module in core.named_modules()
        if "norm" in type(module).__name__.lower() and not any(part.isdigit() for part in name.split("."))
    ]
    embedding = _embedding(core)
    if embedding is not None:
        hooks.append(embedding.register_forward_hook(lambda _, given, made: embedded.append(made)))
    try:
        with torch.set_grad_enabled(gradients):
            made = core(**inputs, output_hidden_states=True, return_dict=True)
    finally:
        for hook in hooks:
            hook.remove()
    last, hidden = made.last_hidden_state, list(made.hidden_states or ())
    if not hidden:
        raise ValueError("the model does not give its hidden states")

    def same(one: Any, other: Any) -> bool:
        if one is other or one.is_meta or other.is_meta:
            return one is other
        return one.shape == other.shape and torch.equal(one, other)

    before = next((given for given, made in norms if same(made, last)), None)
    if before is not None and same(hidden[-1], last):
        hidden[-1] = before
        # Mamba tells the states after each block, and then the final ones: none before the first block.
        if embedded and len(hidden) > 1 and same(hidden[-2], before):
            hidden = [embedded[0], *hidden[:-1]]
    return hidden, last


def _check_weights(core: Any, missing: Sequence[str], inputs: dict[str, Any]) -> None:
    """Refuse weights that are not in the files, and were drawn at random, where the final states depend on them."""
    import torch

    names = [name for name, one in core.named_parameters() if any(name.endswith(key) or key.endswith(name)
             for key in missing) and one.is_floating_point()]  # fmt: skip
    if not names:
        return
    parameters = dict(core.named_parameters())
    core.requires_grad_(False)
    for name in names:
        parameters[name].requires_grad_(True)
    with torch.enable_grad():
        _, last = _states(core, inputs, gradients=True)
        if not last.requires_grad:
            return
        found = torch.autograd.grad(last.sum(), [parameters[name] for name in names], allow_unused=True)
    used = [name for name, one in zip(names, found, strict=True) if one is not None]
    if used:
        more = f" and {len(used) - 3} more" if len(used) > 3 else ""
        raise ValueError(f"weights are missing in the files: {', '.join(used[:3])}{more}; fetch the model again")


if __name__ == "__main__":
    main()
