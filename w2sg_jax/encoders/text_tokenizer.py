"""Texts to the token identifiers that a language model was trained on, by the `tokenizers` library.

A model's folder (`tokenizer.json`, or the vocabulary files that older models have instead of it) or its GGUF file says
how texts are normalised, split and merged, and which special tokens stand around them. Chat templates are never
applied.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Int, Int32

from .._errors import InputError, check
from ..store.content import bytes_hash
from .checkpoints import read_json
from .gguf import GgufCheckpoint
from .hub import OTHERWISE
from .tokens import TokenSet

Side = Literal["left", "right"]
"""An end of a text."""

CHUNK_TEXTS, CHUNK_CHARACTERS = 1024, 1 << 20
"""Texts tokenised at a time, and their characters: the library holds far more about a text than its identifiers."""

LONGEST_MERGED = 256
"""Characters of the longest token that is cut into others: the cost is quadratic in them; Gemma's longest has 31."""

UNLIMITED = 10**9
"""A `model_max_length` of that much or more says that there is no limit; `transformers` writes 10^30."""


@dataclass(frozen=True)
class Tokens(TokenSet):
    """Identifiers of n texts, end to end, special tokens included; padding is `pad_id`, and told by `lengths` alone."""

    cut: int = 0
    """how many of the texts were shortened"""
    pad_id: int = 0
    """the identifier that fills rows up; it may be that of another token too"""

    def pad(
        self, rows: Int[np.ndarray, " batch"], length: int, *, side: Side = "right"
    ) -> Int32[np.ndarray, "batch length"]:
        """A rectangle with the given rows, filled up with `pad_id` on one side.

        Raises:
            InputError: a row is longer than `length`; nothing is cut off here.
        """
        padded = super().pad(rows, length, side=side)
        columns, lengths = np.arange(length), self.lengths[rows][:, None]
        padded[columns >= lengths if side == "right" else columns < length - lengths] = self.pad_id
        return padded


@dataclass(frozen=True, eq=False)
class TextTokenizer:
    """A model's own way from texts to identifiers; made by `from_folder` or `from_gguf`.

    A row of its output does not depend on the other rows, and encoding changes nothing: it can be shared by threads.
    """

    backend: Any = field(repr=False)
    """the `tokenizers.Tokenizer`, without truncation, padding and special tokens around a text"""
    before: tuple[int, ...]
    """identifiers that the model's pipeline puts before each text"""
    after: tuple[int, ...]
    """identifiers that it puts after each text"""
    pad_id: int
    """that of the padding token; where a model has none, that of the end of a text, else 0"""
    max_length: int | None = None
    """tokens that the model takes, special ones included; None if its files give no limit"""
    padding_side: Side = "right"
    """where the model's own pipeline fills rows up"""
    truncation_side: Side = "right"
    """where it cuts texts that are too long"""
    lowercase: bool = False
    """whether texts are put into lower case first, as sentence encoders do for some models"""

    def __post_init__(self) -> None:
        if self.max_length is not None and self.max_length < 1:
            raise InputError(f"max_length: expected a positive number of tokens, got {self.max_length}")

    @classmethod
    def from_folder(cls, folder: Path | str) -> "TextTokenizer":
        """The tokenizer of a model's folder, as saved for `transformers` or `sentence-transformers`.

        Args:
            folder: has `tokenizer.json`; or `vocab.txt` of a BERT-like model; or `vocab.json` and `merges.txt` of a
                GPT-2- or RoBERTa-like one. `tokenizer_config.json`, `special_tokens_map.json`, `added_tokens.json`,
                `config.json` and `sentence_bert_config.json` are taken into account where they are there.

        Raises:
            InputError: `tokenizers` is not installed, the folder has another kind of tokenizer, or a file of it cannot
                be read.
        """
        check("tokenizers", extra="models")
        folder = Path(folder)
        if not folder.is_dir():
            raise InputError(f"folder: {folder} is not a folder; give the one with the model's files")
        return cls(**_of_folder(folder))

    @classmethod
    def from_gguf(cls, checkpoint: GgufCheckpoint) -> "TextTokenizer":
        """The tokenizer that a GGUF file describes.

        Byte-level BPE (`gpt2`) is split as `tokenizer.ggml.pre` says; SentencePiece BPE (`llama`) gets its merges from
        the scores, user-defined tokens first, then by falling score. Control and user-defined tokens are found in texts
        as a whole, as `transformers` does.

        Args:
            checkpoint: an open file; its context length is the limit of a text.

        Raises:
            InputError: `tokenizers` is not installed, the file has another kind of tokenizer, or its metadata are
                incomplete or contradict each other.

        Cost: 0.2 seconds for 50 thousand tokens with merges, some seconds for 262144 tokens with scores.
        """
        check("tokenizers", extra="models")
        return cls(**_of_gguf(checkpoint))

    @cached_property
    def size(self) -> int:
        """Rows that a model's embedding needs: one more than the largest identifier, added tokens included."""
        return max(self.backend.get_vocab(with_added_tokens=True).values()) + 1

    @cached_property
    def content_hash(self) -> str:
        """SHA-256 of all that decides the output: vocabulary, rules, special tokens, limit and sides."""
        rest = [
            self.before,
            self.after,
            self.pad_id,
            self.max_length,
            self.padding_side,
            self.truncation_side,
            self.lowercase,
        ]
        return bytes_hash(self.backend.to_str().encode(), json.dumps(rest).encode())

    def check(self, vocabulary: int) -> None:
        """Refuse to serve a model whose embedding has fewer rows than there are identifiers.

        Args:
            vocabulary: `vocab_size` of the model's config.

        Raises:
            InputError: there are more identifiers.
        """
        if self.size > vocabulary:
            raise InputError(
                f"tokenizer: it has {self.size} identifiers, the model's embedding {vocabulary} rows; "
                "give the tokenizer of this model"
            )

    def encode(
        self, texts: Sequence[str], *, max_length: int | None = None, side: Side | None = None, prefix: str = ""
    ) -> Tokens:
        """Many texts at once, in their order, without padding.

        Args:
            texts: at least one; empty ones where the model puts special tokens around them.
            max_length: tokens of the longest row, special ones included; the model's own limit by default, none if it
                has none. What is cut are tokens of the text, never the special ones around it.
            side: where texts are cut, the model's own by default.
            prefix: stands before each text, as retrieval models want it ("query: ").

        Raises:
            InputError: there is no text; one is not a string, is not valid Unicode or gives no token (its row is
                named); `max_length` leaves no room beside the special tokens.

        Cost: all processors of the machine share the work; memory for the identifiers and for one chunk of texts.
        """
        limit = self.max_length if max_length is None else max_length
        side = self.truncation_side if side is None else side
        check_texts(texts, prefix)
        if side not in ("left", "right"):
            raise InputError(f"side: expected left or right, got {side!r}")
        room = None if limit is None else limit - len(self.before) - len(self.after)
        if room is not None and room < 1:
            raise InputError(
                f"max_length: {limit} leaves no room beside {len(self.before) + len(self.after)} special tokens; "
                "give a larger one"
            )
        lengths, chunks, cut = np.empty(len(texts), np.int64), [], 0
        for first, chunk in _chunks(texts, prefix, lowercase=self.lowercase):
            flat: list[int] = []
            try:
                encodings = _caught(self.backend.encode_batch_fast, chunk, add_special_tokens=False)
            except ValueError as error:
                raise InputError(
                    f"texts: the tokenizers library refuses one of rows {first} to {first + len(chunk) - 1} ({error}); "
                    "if they are ordinary texts, fetch the tokenizer again"
                ) from None
            for row, encoding in enumerate(encodings, first):
                ids = encoding.ids
                if room is not None and len(ids) > room:
                    ids = ids[:room] if side == "right" else ids[-room:]
                    cut += 1
                start = len(flat)
                flat += [*self.before, *ids, *self.after]
                lengths[row] = len(flat) - start
                if not lengths[row]:
                    raise InputError(f"texts: {texts[row]!r} gives no token (row {row}); remove that row")
            chunks.append(np.array(flat, np.int32))
        ids = np.concatenate(chunks)
        unknown = 0 if self._unknown is None else int(np.count_nonzero(ids == self._unknown))
        return Tokens(ids, np.concatenate([[0], np.cumsum(lengths)]), unknown, cut, self.pad_id)

    @cached_property
    def _unknown(self) -> int | None:
        """The identifier of what the vocabulary has no token for."""
        token = getattr(self.backend.model, "unk_token", None)
        return None if token is None else self.backend.token_to_id(token)


def check_texts(texts: Sequence[str], prefix: str) -> None:
    """Refuse what no tokenizer can read (InputError): no text, what is no string, or no Unicode; its row is named."""
    if isinstance(texts, str) or len(texts) == 0:
        raise InputError(f"texts: expected a sequence of at least one text, got {texts!r:.50}")
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise InputError(f"texts: expected strings, got {type(text).__name__} (row {row})")
        try:
            (prefix + text).encode()
        except UnicodeEncodeError:
            raise InputError(
                f"texts: half of a surrogate pair, which is no character (row {row}); mend that text"
            ) from None


def _chunks(texts: Sequence[str], prefix: str, *, lowercase: bool) -> Iterator[tuple[int, list[str]]]:
    """Texts, some at a time, with the row of the first."""
    first, chunk, characters = 0, [], 0
    for row, text in enumerate(texts):
        whole = prefix + text
        chunk.append(whole.lower() if lowercase else whole)
        characters += len(whole)
        if len(chunk) == CHUNK_TEXTS or characters >= CHUNK_CHARACTERS:
            yield first, chunk
            first, chunk, characters = row + 1, [], 0
    if chunk:
        yield first, chunk


# Folders

_NAMED = ("bos_token", "eos_token", "unk_token", "sep_token", "cls_token", "pad_token", "mask_token")
_WORDPIECE = {
    "bert": ("[CLS]", "[SEP]", "[PAD]"),
    "distilbert": ("[CLS]", "[SEP]", "[PAD]"),
    "electra": ("[CLS]", "[SEP]", "[PAD]"),
    "mobilebert": ("[CLS]", "[SEP]", "[PAD]"),
    "mpnet": ("<s>", "</s>", "<pad>"),
}
"""model_type -> what stands before and after a text, and the padding, of models with a `vocab.txt` of WordPiece."""
_BYTE_LEVEL = ("gpt2", "roberta")
"""model_type of models whose `vocab.json` and `merges.txt` are split by GPT-2's rule."""
# These classes put special tokens around a text by their config, whatever tokenizer.json says.
_BY_CONFIG = ("Llama", "CodeLlama", "Gemma")


@dataclass(frozen=True)
class _Folder:
    """What the JSON files of a model's folder say about its tokenizer."""

    path: Path
    config: Mapping[str, Any]
    """tokenizer_config.json"""
    special: Mapping[str, Mapping[str, Any]]
    """name such as cls_token -> content and flags of the special token"""
    model: Mapping[str, Any]
    """config.json"""

    @property
    def kind(self) -> str:
        """The class that `transformers` has for it, without Tokenizer(Fast); "" if none is named."""
        name = self.config.get("tokenizer_class") or ""
        return str(name).removesuffix("Fast").removesuffix("Tokenizer")

    @property
    def family(self) -> str:
        """The model type that the class or else config.json names, in lower case."""
        return self.kind.lower() or str(self.model.get("model_type", ""))

    def content(self, name: str, default: str) -> str:
        """The text of a special token."""
        return self.special[name]["content"] if name in self.special else default


def _of_folder(folder: Path) -> dict[str, Any]:
    """Fields of the tokenizer of a folder."""
    config, sentence = _json(folder, "tokenizer_config.json"), _json(folder, "sentence_bert_config.json")
    special = _special_tokens(folder, _json(folder, "special_tokens_map.json") | config)
    told = _Folder(folder, config, special, _json(folder, "config.json"))
    if (folder / "tokenizer.json").is_file():
        backend = _of_json(told)
        _add_tokens(backend, told)
        before, after = _around(backend, folder)
    elif (folder / "vocab.txt").is_file() and told.family in _WORDPIECE:
        backend = _wordpiece(told)
        _add_tokens(backend, told)
        first, last, _ = _WORDPIECE[told.family]
        before = (_identifier(backend, told, told.content("cls_token", first)),)
        after = (_identifier(backend, told, told.content("sep_token", last)),)
    elif (folder / "vocab.json").is_file() and (folder / "merges.txt").is_file() and told.family in _BYTE_LEVEL:
        backend = _byte_level(told)
        _add_tokens(backend, told)
        before, after = (), ()
        if told.family == "roberta":
            before = (_identifier(backend, told, told.content("cls_token", "<s>")),)
            after = (_identifier(backend, told, told.content("sep_token", "</s>")),)
        elif config.get("add_bos_token"):
            before = (_identifier(backend, told, told.content("bos_token", "<|endoftext|>")),)
    else:
        raise InputError(
            f"folder: {folder} has no tokenizer.json, and no vocabulary files of a BERT-, GPT-2- or RoBERTa-like model "
            f"(kind {told.family or 'not named'!r}). {OTHERWISE}"
        )
    if told.kind in _BY_CONFIG:
        if "add_bos_token" in config:
            before = (_identifier(backend, told, told.content("bos_token", "<s>")),) if config["add_bos_token"] else ()
        if "add_eos_token" in config:
            after = (_identifier(backend, told, told.content("eos_token", "</s>")),) if config["add_eos_token"] else ()
    default_pad = _WORDPIECE.get(told.family, ("", "", "<pad>"))[2]
    ids = [backend.token_to_id(told.content(name, "")) for name in ("pad_token", "eos_token")]
    if "pad_token" not in special and told.family in (*_WORDPIECE, "roberta"):
        ids[0] = backend.token_to_id(default_pad)
    return {
        "backend": backend,
        "before": before,
        "after": after,
        "pad_id": next((one for one in ids if one is not None), 0),
        "max_length": _limit(folder, sentence.get("max_seq_length"), config.get("model_max_length")),
        "padding_side": _side(told, "padding_side", "left" if told.kind in _BY_CONFIG else "right"),
        "truncation_side": _side(told, "truncation_side", "right"),
        "lowercase": sentence.get("do_lower_case") is True,
    }


def _json(folder: Path, name: str) -> dict[str, Any]:
    """The object in a JSON file; an empty one if there is no file."""
    return read_json(folder / name) if (folder / name).is_file() else {}


def _special_tokens(folder: Path, named: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Name -> content and flags of the special tokens that are named one by one; they are a string, or an object."""
    special = {}
    for name in _NAMED:
        token = named.get(name)
        token = {"content": token} if isinstance(token, str) else token
        if token is None:
            continue
        if not isinstance(token, dict) or not isinstance(token.get("content"), str):
            raise InputError(f"folder: {name} of {folder} is {token!r}, expected a string or an object with content")
        special[name] = token
    return special


def _side(told: _Folder, name: str, default: Side) -> Side:
    """An end of a text that tokenizer_config.json names."""
    side = told.config.get(name) or default
    if side not in ("left", "right"):
        raise InputError(f"folder: {name} of {told.path} is {side!r}, expected left or right")
    return side


def _limit(folder: Path, *limits: Any) -> int | None:
    """The first limit that is one."""
    for limit in limits:
        if limit is None or (isinstance(limit, int | float) and limit >= UNLIMITED):
            continue
        if isinstance(limit, bool) or not isinstance(limit, int | float) or limit < 1 or limit != int(limit):
            raise InputError(f"folder: the longest text of {folder} is {limit!r}, expected a number of tokens")
        return int(limit)
    return None


def _of_json(told: _Folder) -> Any:
    """The tokenizer in tokenizer.json, without what is not part of the way from one text to its identifiers."""
    from tokenizers import Tokenizer, models, normalizers

    path = told.path / "tokenizer.json"
    try:
        backend = _caught(Tokenizer.from_str, path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise InputError(
            f"folder: {path} cannot be read by the tokenizers library ({error}); fetch the model again, or install a "
            "newer tokenizers"
        ) from None
    # Files hold what their last user had set: all-MiniLM-L6-v2 pads everything to 128.
    backend.no_padding()
    backend.no_truncation()
    if isinstance(backend.model, models.BPE) and backend.model.dropout is not None:
        model = backend.model
        model.dropout = None  # a means of training: it makes merges random
        backend.model = model
    # transformers lets the config of a BERT-like tokenizer override its file.
    if told.family in _WORDPIECE and isinstance(backend.normalizer, normalizers.BertNormalizer):
        normalizer = backend.normalizer
        for theirs, ours in (
            ("do_lower_case", "lowercase"),
            ("strip_accents", "strip_accents"),
            ("tokenize_chinese_chars", "handle_chinese_chars"),
        ):
            if isinstance(told.config.get(theirs), bool):
                setattr(normalizer, ours, told.config[theirs])
        backend.normalizer = normalizer
    return backend


def _caught(function: Any, *arguments: Any, **options: Any) -> Any:
    """Call the library; what it raises is a ValueError. A panic of its Rust code is not an Exception."""
    try:
        return function(*arguments, **options)
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        raise ValueError(str(error)[:200]) from None


def _lines(path: Path) -> list[str]:
    """Lines of a vocabulary file; only a line feed ends one, as tokens may be any other space."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (ValueError, OSError) as error:
        raise InputError(f"folder: {path} cannot be read ({error}); fetch the model again") from None
    return lines[:-1] if lines[-1] == "" else lines


def _wordpiece(told: _Folder) -> Any:
    """BERT's tokenizer, from a vocabulary with a token a line."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

    vocabulary = {token.rstrip("\r"): i for i, token in enumerate(_lines(told.path / "vocab.txt"))}
    accents = told.config.get("strip_accents")  # none: they go with upper case
    backend = Tokenizer(models.WordPiece(vocabulary, unk_token=told.content("unk_token", "[UNK]")))
    backend.normalizer = normalizers.BertNormalizer(
        lowercase=told.config.get("do_lower_case", True) is not False,
        strip_accents=accents if isinstance(accents, bool) else None,
        handle_chinese_chars=told.config.get("tokenize_chinese_chars", True) is not False,
    )
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return backend


def _byte_level(told: _Folder) -> Any:
    """GPT-2's tokenizer, from a vocabulary in JSON and a merge a line."""
    from tokenizers import Tokenizer, pre_tokenizers

    vocabulary = _json(told.path, "vocab.json")
    if not vocabulary or not all(isinstance(i, int) and i >= 0 for i in vocabulary.values()):
        raise InputError(
            f"folder: {told.path / 'vocab.json'} is no table of tokens and identifiers; fetch the model again"
        )
    lines = _lines(told.path / "merges.txt")
    merges = [line for line in lines if line and not line.startswith("#version")]
    backend = Tokenizer(_bpe(f"folder: {told.path}", vocabulary, merges))
    spaced = told.config.get("add_prefix_space") is True
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=spaced, use_regex=True)
    return backend


def _bpe(where: str, vocabulary: Mapping[str, int], merges: Iterable[str], **options: Any) -> Any:
    """A model of byte pair encoding from merges such as "t h"."""
    from tokenizers import models

    pairs = []
    for merge in merges:
        middle = merge.find(" ", 1)
        if middle < 0 or middle == len(merge) - 1:
            raise InputError(f"{where} has the merge {merge!r}, expected two tokens; fetch the model again")
        pairs.append((merge[:middle], merge[middle + 1 :]))
    try:
        return _caught(models.BPE, dict(vocabulary), pairs, **options)
    except ValueError as error:
        raise InputError(
            f"{where} has merges that the tokenizers library refuses ({error}); fetch the model again"
        ) from None


def _add_tokens(backend: Any, told: _Folder) -> None:
    """Tokens that only the JSON files beside the vocabulary know, and special tokens that it does not mark as such.

    Raises:
        InputError: a token would get another identifier than the file says.
    """
    from tokenizers import AddedToken

    added = {token.content for token in backend.get_added_tokens_decoder().values()}
    listed = _json(told.path, "added_tokens.json")
    try:
        further: list[tuple[Any, dict[str, Any]]] = [(int(i), {"content": content}) for content, i in listed.items()]
        further += [(int(i), dict(flags)) for i, flags in (told.config.get("added_tokens_decoder") or {}).items()]
        further.sort(key=lambda one: one[0])
    except (AttributeError, TypeError, ValueError):
        raise InputError(
            f"folder: added tokens of {told.path} are not objects by identifier; fetch the model again"
        ) from None
    further += [(backend.token_to_id(flags["content"]), {**flags, "special": True}) for flags in told.special.values()]
    for identifier, flags in further:
        content = flags.get("content")
        # A special token that the vocabulary does not have would get a row that the model does not have either.
        if identifier is None or content in added:
            continue
        if not isinstance(content, str) or not content:
            raise InputError(f"folder: an added token of {told.path} is {content!r}, expected a string")
        names = ("single_word", "lstrip", "rstrip", "normalized", "special")
        options: dict[str, bool] = {name: flags[name] for name in names if isinstance(flags.get(name), bool)}
        options.setdefault("normalized", not options.get("special", False))
        token = AddedToken(content, **options)
        (backend.add_special_tokens if options.get("special") else backend.add_tokens)([token])
        added.add(content)
        if backend.token_to_id(content) != identifier:
            raise InputError(
                f"folder: token {content!r} of {told.path} has identifier {identifier} in its files, "
                f"{backend.token_to_id(content)} by its vocabulary; fetch the model again"
            )


def _identifier(backend: Any, told: _Folder, token: str) -> int:
    """That of a special token; it has to be in the vocabulary."""
    identifier = backend.token_to_id(token)
    if identifier is None:
        raise InputError(
            f"folder: special token {token!r} of {told.path} is not in its vocabulary; fetch the model again"
        )
    return identifier


def _around(backend: Any, folder: Path) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """What the post-processor puts before and after a text, seen on a text of some tokens."""
    probes = ("a", "the", "A", "0", ".", *sorted(backend.get_vocab())[:64])
    for probe in probes:
        try:
            alone = _caught(backend.encode, probe, add_special_tokens=False)
            if not alone.ids or any(alone.special_tokens_mask):
                continue
            whole = _caught(backend.post_process, alone, None, True)
        except ValueError:
            break
        own = [i for i, special in enumerate(whole.special_tokens_mask) if not special]
        if own and [whole.ids[i] for i in own] == alone.ids and own == list(range(own[0], own[-1] + 1)):
            return tuple(whole.ids[: own[0]]), tuple(whole.ids[own[-1] + 1 :])
        break
    raise InputError(f"folder: what {folder / 'tokenizer.json'} puts around a text is not understood. {OTHERWISE}")


# GGUF files

_CONTROL, _USER_DEFINED = 3, 4
_SPACE = "▁"  # SentencePiece's
_LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_TEKKEN = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
    r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


@dataclass(frozen=True)
class _Splitting:
    """How texts are cut before byte pairs are merged, for a value of `tokenizer.ggml.pre`."""

    pattern: str | None = None
    """regular expression of the pieces; GPT-2's if none"""
    digits: bool = False
    """each digit is a piece of its own"""
    composed: bool = False
    """texts are put into Unicode's NFC first"""
    whole: bool = False
    """a piece that is a token is not merged from bytes"""
    bos: bool = False
    """the beginning token is added where the file does not say"""


_SPLITTINGS = {
    "default": _Splitting(),
    "gpt-2": _Splitting(),
    "smollm": _Splitting(digits=True),
    "starcoder": _Splitting(digits=True),
    "mpt": _Splitting(composed=True),
    "olmo": _Splitting(composed=True),
    "llama3": _Splitting(_LLAMA3, whole=True, bos=True),
    "llama-v3": _Splitting(_LLAMA3, whole=True, bos=True),
    "llama-bpe": _Splitting(_LLAMA3, whole=True, bos=True),
    "tekken": _Splitting(_TEKKEN, whole=True, bos=True),
    "qwen2": _Splitting(_LLAMA3.replace("{1,3}", ""), composed=True),
    "deepseek-r1-qwen": _Splitting(_LLAMA3.replace("{1,3}", "")),
}


@dataclass(frozen=True)
class _Vocabulary:
    """The tokenizer's metadata of a GGUF file."""

    checkpoint: GgufCheckpoint
    tokens: list[str]
    types: list[int]

    def refused(self, problem: str) -> InputError:
        return InputError(f"checkpoint: {self.checkpoint.path}: {problem}")

    def get(self, name: str, kind: type, default: Any = None) -> Any:
        """A value of `tokenizer.ggml`, of one type."""
        value = self.checkpoint.metadata.get(f"tokenizer.ggml.{name}", default)
        if value is not None and not isinstance(value, kind):
            raise self.refused(f"metadata tokenizer.ggml.{name} is a {type(value).__name__}, expected {kind.__name__}")
        return value

    def identifier(self, name: str) -> int | None:
        """That of a token with a role."""
        value = self.get(f"{name}_token_id", int)
        if value is not None and not 0 <= value < len(self.tokens):
            raise self.refused(f"metadata tokenizer.ggml.{name}_token_id is {value}, of {len(self.tokens)} tokens")
        return value


def _of_gguf(checkpoint: GgufCheckpoint) -> dict[str, Any]:
    """Fields of the tokenizer of a GGUF file."""
    from tokenizers import AddedToken

    tokens = checkpoint.metadata.get("tokenizer.ggml.tokens")
    if not isinstance(tokens, list) or not tokens:
        raise InputError(
            f"checkpoint: {checkpoint.path}: metadata tokenizer.ggml.tokens is missing; convert the model again"
        )
    types = checkpoint.metadata.get("tokenizer.ggml.token_type")
    if types is not None and (not isinstance(types, np.ndarray) or len(types) != len(tokens)):
        raise InputError(
            f"checkpoint: {checkpoint.path}: tokenizer.ggml.token_type is not one for each of {len(tokens)} tokens"
        )
    said = _Vocabulary(checkpoint, tokens, [1] * len(tokens) if types is None else types.tolist())
    kind = said.get("model", str)
    if kind == "gpt2":
        backend, bos = _byte_pairs(said)
    elif kind == "llama":
        backend, bos = _sentencepiece(said), True
    else:
        raise said.refused(f"tokenizer {kind!r} is not supported, gpt2 and llama are. {OTHERWISE}")
    # transformers marks tokens with a role as special too, whatever their type.
    roles = {said.identifier(name) for name in ("bos", "eos", "unknown", "padding")}
    control = sorted(i for i in roles.union(_of_type(said, _CONTROL)) if i is not None and said.tokens[i])
    defined = [i for i in _of_type(said, _USER_DEFINED) if i not in roles]
    try:
        for identifiers, special in ((control, True), (defined, False)):
            added = [AddedToken(_respelled(said, i), normalized=False, special=special) for i in identifiers]
            _caught(backend.add_special_tokens if special else backend.add_tokens, added)
    except ValueError as error:
        raise said.refused(f"the tokenizers library refuses its special tokens ({error})") from None
    around: dict[str, tuple[int, ...]] = {}
    for name, default in (("bos", bos), ("eos", False)):
        identifier = said.identifier(name)
        wanted = said.get(f"add_{name}_token", bool, default)
        if wanted and identifier is None:
            raise said.refused(f"metadata tokenizer.ggml.{name}_token_id is missing; convert the model again")
        around[name] = (identifier,) if wanted and identifier is not None else ()
    pads = (said.identifier("padding"), said.identifier("eos"))
    config = checkpoint.config
    return {
        "backend": backend,
        "before": around["bos"],
        "after": around["eos"],
        "pad_id": next((one for one in pads if one is not None), 0),
        "max_length": config.get("max_position_embeddings", config.get("n_positions")),
        "padding_side": "left" if kind == "llama" else "right",
    }


def _of_type(said: _Vocabulary, kind: int) -> list[int]:
    return [i for i, one in enumerate(said.types) if one == kind and said.tokens[i]]


def _respelled(said: _Vocabulary, identifier: int) -> str:
    """A token as texts have it after normalisation: SentencePiece's tokens of blanks alone are written with blanks."""
    token = said.tokens[identifier]
    return _SPACE * len(token) if said.get("model", str) == "llama" and not token.strip(" ") else token


def _byte_pairs(said: _Vocabulary) -> tuple[Any, bool]:
    """Byte-level BPE, and whether the beginning token is added by default."""
    from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers

    # Files of GPT-2 itself may be older than the key; for others GPT-2's rule would silently be a wrong one.
    own = said.checkpoint.config["model_type"] == "gpt2"
    name = said.get("pre", str, "gpt-2" if own else None)
    if name not in _SPLITTINGS:
        raise said.refused(
            f"tokenizer.ggml.pre is {name!r}; these are supported: {', '.join(_SPLITTINGS)}. {OTHERWISE}"
        )
    splitting = _SPLITTINGS[name]
    merges = said.get("merges", list)
    if merges is None or not all(isinstance(one, str) for one in merges):
        raise said.refused("metadata tokenizer.ggml.merges is missing; convert the model again")
    vocabulary = {token: i for i, token in enumerate(said.tokens)}
    backend = Tokenizer(_bpe(f"checkpoint: {said.checkpoint.path}", vocabulary, merges, ignore_merges=splitting.whole))
    if splitting.composed:
        backend.normalizer = normalizers.NFC()
    steps: list[Any] = [pre_tokenizers.Digits(individual_digits=True)] if splitting.digits else []
    if splitting.pattern is not None:
        steps.append(pre_tokenizers.Split(Regex(splitting.pattern), behavior="isolated"))
    bytes_of = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=splitting.pattern is None)
    backend.pre_tokenizer = pre_tokenizers.Sequence([*steps, bytes_of])
    return backend, splitting.bos


def _sentencepiece(said: _Vocabulary) -> Any:
    """BPE of SentencePiece with byte fallback; its merges are the cuts of each token into two others."""
    from tokenizers import Tokenizer, models, normalizers

    scores = said.get("scores", np.ndarray)
    if scores is None or len(scores) != len(said.tokens):
        raise said.refused(f"metadata tokenizer.ggml.scores is not one for each of {len(said.tokens)} tokens")
    unknown = said.identifier("unknown")
    vocabulary = {_respelled(said, i): i for i in range(len(said.tokens))}
    merges = _merges_of(vocabulary, scores.tolist(), set(_of_type(said, _USER_DEFINED)))
    options = {"unk_token": None if unknown is None else said.tokens[unknown], "fuse_unk": True, "byte_fallback": True}
    try:
        model = _caught(models.BPE, vocabulary, merges, **options)
    except ValueError as error:
        raise said.refused(f"the tokenizers library refuses its vocabulary ({error})") from None
    backend = Tokenizer(model)
    blanks = normalizers.Replace(" ", _SPACE)
    prefixed = said.get("add_space_prefix", bool, True)
    backend.normalizer = normalizers.Sequence([normalizers.Prepend(_SPACE), blanks]) if prefixed else blanks
    return backend


def _merges_of(vocabulary: Mapping[str, int], scores: Sequence[float], defined: set[int]) -> list[tuple[str, str]]:
    """Merges in the order in which SentencePiece prefers them.

    SentencePiece takes user-defined tokens as a whole before it merges anything, whatever their scores; then the pair
    whose token scores highest. Of cuts of one score that with the longer left part comes first, as in `transformers`.
    """
    found = []
    for token, i in vocabulary.items():
        rank = (0, i) if i in defined else (1, -scores[i])
        if len(token) > LONGEST_MERGED:
            continue
        for middle in range(len(token) - 1, 0, -1):
            left, right = token[:middle], token[middle:]
            if left in vocabulary and right in vocabulary:
                found.append((rank, -middle, -len(right), i, (left, right)))
    found.sort(key=lambda one: one[:4])
    return [pair for *_, pair in found]
