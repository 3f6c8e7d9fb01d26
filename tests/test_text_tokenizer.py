"""Tokenizers of language models, trained or written on the spot: special tokens, truncation, files, hostile texts."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("gguf")
pytest.importorskip("tokenizers")

from test_gguf import write
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from w2sg_jax import InputError
from w2sg_jax.encoders import GgufCheckpoint, TextTokenizer, Tokens

pytestmark = pytest.mark.driver  # without JAX

CORPUS = [
    "The judge was fair because the rule was the same for everyone.",
    "I don't think that the refund of 1234 dollars is reasonable.",
    "They're walking to the café; it's raining cats & dogs!",
    "the the the reason reasons reasoning unreasonable",
]
HOSTILE = [
    "😀 family 👨‍👩‍👧‍👦 🇩🇪",
    "שלום \u200f\u202e עולם",
    "nul\0inside",
    "\ttabs\t\tand  double  blanks ",
    " leading",
    "日本語のテキスト",
    "e\u0301 é ﬁ ½ ² Ⅷ ٣٤",
    "\ufeff\u200b\u00a0\u3000",
    "[CLS] <s> <mask> [MASK] <unk>",
    "x" * 100_000,
    "word " * 20_000,
]


def rows(tokens: Tokens) -> list[list[int]]:
    return [tokens.ids[a:b].tolist() for a, b in pairwise(tokens.offsets)]


def bert() -> Tokenizer:
    """A WordPiece tokenizer with padding and truncation left in its file, as published ones have them."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer.train_from_iterator(CORPUS, trainers.WordPieceTrainer(vocab_size=200, special_tokens=special))
    tokenizer.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", None, [("[CLS]", 2), ("[SEP]", 3)])
    tokenizer.enable_padding(length=128)
    tokenizer.enable_truncation(128)
    return tokenizer


def byte_level() -> Tokenizer:
    """GPT-2's way."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = ["<s>", "<pad>", "</s>", "<mask>"]
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


BERT, BYTES = bert(), byte_level()
BERT_CONFIG = {"tokenizer_class": "BertTokenizer", "model_max_length": 512, "do_lower_case": True, "pad_token": "[PAD]"}


def folder(path: Path, **files) -> Path:
    """Files by name, with _ for the dot; objects as JSON."""
    path.mkdir(exist_ok=True)
    for name, content in files.items():
        stem, _, ending = name.rpartition("_")
        content = content.to_str() if isinstance(content, Tokenizer) else content
        content = content if isinstance(content, str) else json.dumps(content)
        (path / f"{stem}.{ending}").write_text(content, encoding="utf-8")
    return path


@pytest.fixture
def of_bert(tmp_path) -> TextTokenizer:
    return TextTokenizer.from_folder(folder(tmp_path, tokenizer_json=BERT, tokenizer_config_json=BERT_CONFIG))


def test_identifiers_are_the_library_s_without_its_padding(of_bert):
    plain = Tokenizer.from_str(BERT.to_str())
    plain.no_padding()
    plain.no_truncation()
    tokens = of_bert.encode(CORPUS + HOSTILE, max_length=10**9)
    assert rows(tokens) == [encoding.ids for encoding in plain.encode_batch(CORPUS + HOSTILE)]
    assert tokens.ids.dtype == np.int32 and tokens.cut == 0
    assert tokens.unknown == np.count_nonzero(tokens.ids == 1) > 0
    assert (of_bert.before, of_bert.after, of_bert.pad_id, of_bert.max_length) == ((2,), (3,), 0, 512)
    assert of_bert.size == BERT.get_vocab_size()


def test_truncation_keeps_special_tokens_on_both_sides(of_bert):
    (whole,) = rows(of_bert.encode(CORPUS[:1]))
    (right,) = rows(of_bert.encode(CORPUS[:1], max_length=7))
    (left,) = rows(of_bert.encode(CORPUS[:1], max_length=7, side="left"))
    assert right == [2, *whole[1:6], 3] and left == [2, *whole[-6:-1], 3]
    tokens = of_bert.encode([CORPUS[0], "the", CORPUS[1]], max_length=7)
    assert tokens.cut == 2 and tokens.lengths.max() == 7
    assert of_bert.encode(CORPUS[:1], max_length=len(whole)).cut == 0
    with pytest.raises(InputError, match="2 leaves no room beside 2 special tokens"):
        of_bert.encode(["a"], max_length=2)


def test_the_side_and_the_limit_of_the_files(tmp_path):
    config = BERT_CONFIG | {"truncation_side": "left", "padding_side": "left"}
    path = folder(tmp_path, tokenizer_json=BERT, tokenizer_config_json=config)
    tokenizer = TextTokenizer.from_folder(path)
    assert tokenizer.padding_side == "left" and tokenizer.max_length == 512
    assert rows(tokenizer.encode(CORPUS[:1], max_length=6)) == rows(
        tokenizer.encode(CORPUS[:1], max_length=6, side="left")
    )
    other = TextTokenizer.from_folder(
        folder(path, sentence_bert_config_json={"max_seq_length": 9, "do_lower_case": False})
    )
    assert other.max_length == 9 and other.encode(HOSTILE).lengths.max() == 9
    assert other.content_hash != tokenizer.content_hash
    config = BERT_CONFIG | {"model_max_length": 10**30}
    endless = TextTokenizer.from_folder(folder(tmp_path / "b", tokenizer_json=BERT, tokenizer_config_json=config))
    assert endless.max_length is None and endless.encode(HOSTILE).cut == 0


def test_rows_do_not_depend_on_the_others(of_bert, monkeypatch):
    texts = CORPUS + HOSTILE
    whole = rows(of_bert.encode(texts, max_length=20))
    assert whole == [row for text in texts for row in rows(of_bert.encode([text], max_length=20))]
    assert whole[::-1] == rows(of_bert.encode(texts[::-1], max_length=20))
    monkeypatch.setattr("w2sg_jax.encoders.text_tokenizer.CHUNK_TEXTS", 2)
    assert whole == rows(of_bert.encode(texts, max_length=20))
    with ThreadPoolExecutor(4) as pool:
        found = pool.map(lambda length: rows(of_bert.encode(texts, max_length=length)), [5, 20, 40] * 4)
    for length, one in zip([5, 20, 40] * 4, found, strict=True):
        assert max(map(len, one)) == length and (length != 20 or one == whole)


def test_padding_has_the_model_s_identifier(tmp_path):
    config = {"pad_token": "<pad>", "eos_token": "</s>"}
    tokenizer = TextTokenizer.from_folder(folder(tmp_path, tokenizer_json=BYTES, tokenizer_config_json=config))
    tokens = tokenizer.encode(["the", "the reason is fair"])
    assert tokenizer.pad_id == tokens.pad_id == 1
    width = int(tokens.lengths.max())
    right, left = tokens.pad(np.array([0, 1]), width), tokens.pad(np.array([0, 1]), width, side="left")
    short, long = rows(tokens)
    gap = [1] * (len(long) - len(short))
    assert right.tolist() == [short + gap, long] and left.tolist() == [gap + short, long]
    with pytest.raises(InputError, match="row 1 has"):
        tokens.pad(np.array([0, 1]), width - 1)


@pytest.mark.parametrize(("config", "pad"), [({"pad_token": "<pad>"}, 1), ({"eos_token": "</s>"}, 2), ({}, 0)])
def test_padding_of_models_without_a_token_for_it(tmp_path, config, pad):
    assert TextTokenizer.from_folder(folder(tmp_path, tokenizer_json=BYTES, tokenizer_config_json=config)).pad_id == pad


def test_a_prefix_stands_before_each_text(of_bert):
    assert rows(of_bert.encode(["fair", "rule"], prefix="the ")) == rows(of_bert.encode(["the fair", "the rule"]))


def test_lower_case_of_sentence_encoders(tmp_path):
    files = {"tokenizer_json": BYTES, "sentence_bert_config_json": {"max_seq_length": None, "do_lower_case": True}}
    tokenizer = TextTokenizer.from_folder(folder(tmp_path, **files))
    assert rows(tokenizer.encode(["The JUDGE"])) == rows(tokenizer.encode(["the judge"]))


def test_texts_that_cannot_be_encoded(of_bert, tmp_path):
    plain = TextTokenizer.from_folder(folder(tmp_path / "b", tokenizer_json=BYTES))
    assert rows(of_bert.encode([""])) == [[2, 3]]
    with pytest.raises(InputError, match=r"gives no token \(row 1\)"):
        plain.encode(["the", "", "a"])
    for texts in ([], "a text"):
        with pytest.raises(InputError, match="at least one text"):
            of_bert.encode(texts)
    with pytest.raises(InputError, match=r"half of a surrogate pair.*\(row 1\)"):
        of_bert.encode(["a", "b\ud800c"])


def test_more_identifiers_than_the_model_has_rows(of_bert):
    of_bert.check(of_bert.size)
    with pytest.raises(InputError, match=f"{of_bert.size} identifiers, the model's embedding {of_bert.size - 1} rows"):
        of_bert.check(of_bert.size - 1)


def test_the_hash_is_of_what_decides_the_output(tmp_path):
    a = TextTokenizer.from_folder(folder(tmp_path / "a", tokenizer_json=BERT, tokenizer_config_json=BERT_CONFIG))
    spaced = json.dumps(json.loads(BERT.to_str()), indent=1)
    b = TextTokenizer.from_folder(folder(tmp_path / "b", tokenizer_json=spaced, tokenizer_config_json=BERT_CONFIG))
    cased = BERT_CONFIG | {"do_lower_case": False}
    c = TextTokenizer.from_folder(folder(tmp_path / "c", tokenizer_json=BERT, tokenizer_config_json=cased))
    assert a.content_hash == b.content_hash != c.content_hash and len(a.content_hash) == 64
    assert rows(c.encode(["THE"])) != rows(a.encode(["THE"])) == rows(a.encode(["the"]))


def test_merges_are_not_dropped(tmp_path):
    """A file may say that merges are dropped at random, as is done in training."""
    content = json.loads(BYTES.to_str())
    content["model"]["dropout"] = 0.5
    tokenizer = TextTokenizer.from_folder(folder(tmp_path, tokenizer_json=content))
    assert rows(tokenizer.encode(CORPUS)) == [encoding.ids for encoding in BYTES.encode_batch(CORPUS)]


# Folders without tokenizer.json


def vocabulary(tokenizer: Tokenizer) -> list[str]:
    return sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().__getitem__)


@pytest.mark.parametrize("named", [{"tokenizer_config_json": BERT_CONFIG}, {"config_json": {"model_type": "bert"}}])
def test_wordpiece_from_vocab_txt(tmp_path, of_bert, named):
    path = folder(tmp_path / "v", vocab_txt="\n".join(vocabulary(BERT)) + "\n", **named)
    tokenizer = TextTokenizer.from_folder(path)
    texts = CORPUS + HOSTILE[:8] + HOSTILE[9:]  # without names of special tokens, which only the other folder knows all
    assert rows(tokenizer.encode(texts, max_length=99)) == rows(of_bert.encode(texts, max_length=99))
    assert (tokenizer.before, tokenizer.after, tokenizer.pad_id) == ((2,), (3,), 0)


@pytest.mark.parametrize("kind", ["GPT2Tokenizer", "RobertaTokenizer"])
def test_byte_level_from_vocab_json_and_merges(tmp_path, kind):
    merges = [" ".join(pair) for pair in json.loads(BYTES.to_str())["model"]["merges"]]
    files = {"vocab_json": BYTES.get_vocab(), "merges_txt": "#version: 0.2\n" + "\n".join(merges) + "\n"}
    tokenizer = TextTokenizer.from_folder(folder(tmp_path, tokenizer_config_json={"tokenizer_class": kind}, **files))
    around = ([], []) if kind == "GPT2Tokenizer" else ([0], [2])
    texts = CORPUS + HOSTILE[:8]
    expected = [[*around[0], *BYTES.encode(text).ids, *around[1]] for text in texts]
    assert rows(tokenizer.encode(texts)) == expected
    assert tokenizer.pad_id == (0 if kind == "GPT2Tokenizer" else 1)


def test_tokens_that_were_added_later(tmp_path):
    size = BYTES.get_vocab_size()
    listed = {str(size): {"content": "<think>", "special": False}, str(size + 1): {"content": "<end>", "special": True}}
    config = {"added_tokens_decoder": listed}
    tokenizer = TextTokenizer.from_folder(folder(tmp_path, tokenizer_json=BYTES, tokenizer_config_json=config))
    assert rows(tokenizer.encode(["<think><end>"])) == [[size, size + 1]] and tokenizer.size == size + 2
    config = {"added_tokens_decoder": {str(size + 5): {"content": "<think>"}}}
    with pytest.raises(InputError, match=rf"'<think>' of .* has identifier {size + 5} in its files, {size} by"):
        TextTokenizer.from_folder(folder(tmp_path, tokenizer_json=BYTES, tokenizer_config_json=config))


def test_llama_takes_its_special_tokens_from_the_config(tmp_path):
    config = {
        "tokenizer_class": "LlamaTokenizer",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "add_bos_token": True,
        "add_eos_token": True,
    }
    tokenizer = TextTokenizer.from_folder(folder(tmp_path, tokenizer_json=BYTES, tokenizer_config_json=config))
    assert (tokenizer.before, tokenizer.after, tokenizer.padding_side) == ((0,), (2,), "left")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({}, r"no tokenizer\.json.*w2sg_jax\[hf\]"),
        ({"spiece_model": "x"}, r"w2sg_jax\[hf\]"),
        ({"vocab_txt": "a", "tokenizer_config_json": {"tokenizer_class": "EsmTokenizer"}}, r"'esm'.*w2sg_jax\[hf\]"),
        ({"vocab_json": {}, "merges_txt": "", "config_json": {"model_type": "qwen2"}}, r"'qwen2'.*w2sg_jax\[hf\]"),
        ({"tokenizer_json": "{"}, "cannot be read by the tokenizers library"),
        ({"tokenizer_json": "{}"}, "cannot be read by the tokenizers library"),
        ({"tokenizer_json": {"version": "1.0", "model": {"type": "New"}}}, "cannot be read by the tokenizers library"),
        ({"tokenizer_json": BERT, "tokenizer_config_json": "[1]"}, "holds no JSON object"),
        ({"tokenizer_json": BERT, "tokenizer_config_json": "{'a'"}, "cannot be read as JSON"),
        ({"tokenizer_json": BERT, "tokenizer_config_json": "[" * 100_000}, "cannot be read as JSON"),
        ({"tokenizer_json": BERT, "tokenizer_config_json": {"pad_token": 3}}, "pad_token of .* is 3"),
        ({"tokenizer_json": BERT, "tokenizer_config_json": {"model_max_length": "x"}}, "the longest text of .* is 'x'"),
        ({"tokenizer_json": BERT, "tokenizer_config_json": {"truncation_side": "up"}}, "is .up., expected left"),
        ({"tokenizer_json": BERT, "tokenizer_config_json": {"added_tokens_decoder": {"x": 1}}}, "are not objects"),
        ({"vocab_txt": "a\nb", "config_json": {"model_type": "bert"}}, r"'\[CLS\]' of .* is not in its vocabulary"),
        ({"vocab_json": {"a": "b"}, "merges_txt": "", "config_json": {"model_type": "gpt2"}}, "no table of tokens"),
        ({"vocab_json": {"a": 0}, "merges_txt": "ab", "config_json": {"model_type": "gpt2"}}, "merge 'ab'"),
        ({"vocab_json": {"a": 0}, "merges_txt": "a b", "config_json": {"model_type": "gpt2"}}, "library refuses"),
    ],
    ids=[str(i) for i in range(18)],
)  # fmt: skip
def test_folders_that_are_refused(tmp_path, files, message):
    with pytest.raises(InputError, match=message):
        TextTokenizer.from_folder(folder(tmp_path, **files))


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match="is not a folder"):
        TextTokenizer.from_folder(tmp_path / "none")


# GGUF files


def gguf_of(path: Path, tokens: list[str], **metadata) -> GgufCheckpoint:
    """A model of one tiny layer with the given tokenizer."""
    shape = {"context_length": 64, "block_count": 1, "embedding_length": 4, "feed_forward_length": 4}
    shape |= {"attention.head_count": 1, "attention.layer_norm_rms_epsilon": 1e-5}
    matrices = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
    tensors = {"token_embd.weight": np.zeros((len(tokens), 4)), "output_norm.weight": np.zeros(4)}
    tensors |= {f"blk.0.{name}.weight": np.zeros((4, 4)) for name in matrices}
    tensors |= {f"blk.0.{name}.weight": np.zeros(4) for name in ("attn_norm", "ffn_norm")}
    told = {f"tokenizer.ggml.{name}": value for name, value in {"tokens": tokens, **metadata}.items()}
    write(path, "llama", shape, tensors, **told)
    return GgufCheckpoint(path)


MERGES = [" ".join(pair) for pair in json.loads(BYTES.to_str())["model"]["merges"]]
TYPES = [3] * 4 + [1] * (BYTES.get_vocab_size() - 4)
GPT2 = {"model": "gpt2", "merges": MERGES, "token_type": TYPES, "bos_token_id": 0, "eos_token_id": 2}
# What each name stands for, written out from the tokenizer.json of a model of that kind.
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SPLIT = {
    "gpt-2": ([], True),
    "default": ([], True),
    "smollm": ([pre_tokenizers.Digits(individual_digits=True)], True),
    "llama-bpe": ([LLAMA3], False),
    "qwen2": ([LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")], False),
}


@pytest.mark.parametrize("pre", list(SPLIT))
def test_byte_level_of_a_gguf_file(tmp_path, pre):
    from tokenizers import Regex

    checkpoint = gguf_of(tmp_path / "x.gguf", vocabulary(BYTES), pre=pre, add_bos_token=False, **GPT2)
    tokenizer = TextTokenizer.from_gguf(checkpoint)
    steps, by_regex = SPLIT[pre]
    steps = [pre_tokenizers.Split(Regex(one), "isolated") if isinstance(one, str) else one for one in steps]
    oracle = Tokenizer.from_str(BYTES.to_str())
    oracle.pre_tokenizer = pre_tokenizers.Sequence(
        [*steps, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=by_regex)]
    )
    if pre == "qwen2":
        oracle.normalizer = normalizers.NFC()
    texts = CORPUS + HOSTILE + ["1234567 12 3", "DON'T we'LL\n\n x"]
    assert rows(tokenizer.encode(texts, max_length=10**6)) == [one.ids for one in oracle.encode_batch(texts)]
    assert (tokenizer.max_length, tokenizer.pad_id, tokenizer.padding_side) == (64, 2, "right")
    assert rows(tokenizer.encode(["<s>the</s>"])) == [[0, *BYTES.encode("the").ids, 2]]


@pytest.mark.parametrize(("bos", "eos"), [(True, False), (True, True), (False, True), (None, None)])
def test_beginning_and_end_of_a_gguf_file(tmp_path, bos, eos):
    said = {} if bos is None else {"add_bos_token": bos, "add_eos_token": eos}
    tokenizer = TextTokenizer.from_gguf(
        gguf_of(tmp_path / "x.gguf", vocabulary(BYTES), pre="llama-bpe", **GPT2, **said)
    )
    # Files of Llama 3 need not say it.
    assert tokenizer.before == ((0,) if bos in (True, None) else ()) and tokenizer.after == ((2,) if eos else ())
    if bos:
        assert rows(tokenizer.encode([""])) == [[0, *tokenizer.after]]


def sentencepiece(words: dict[str, float]) -> tuple[list[str], list[float], list[int]]:
    """Tokens, scores and types in the layout of Llama 2: control tokens, 256 bytes, then pieces."""
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{i:02X}>" for i in range(256)), *words]
    return tokens, [0.0] * 259 + list(words.values()), [2, 3, 3, *[6] * 256, *[1] * len(words)]


LETTERS = {letter: -100.0 - i for i, letter in enumerate("▁abcdehnorstuw")}


def by_scores(text: str, tokens: list[str], scores: list[float]) -> list[int]:
    """SentencePiece's rule at its plainest: join the neighbours whose token scores highest, the leftmost first."""
    place = {token: i for i, token in enumerate(tokens)}
    pieces = list("▁" + text.replace(" ", "▁"))
    while True:
        joined = [(scores[place[a + b]], -i) for i, (a, b) in enumerate(pairwise(pieces)) if a + b in place]
        if not joined:
            break
        at = -max(joined)[1]
        pieces[at : at + 2] = [pieces[at] + pieces[at + 1]]
    ids = []
    for piece in pieces:
        ids += [place[piece]] if piece in place else [3 + byte for byte in piece.encode()]
    return ids


def test_sentencepiece_of_a_gguf_file(tmp_path):
    words = {
        "th": -1.0,
        "▁th": -4.0,
        "the": -3.0,
        "▁the": -2.0,
        "re": -5.0,
        "er": -6.0,
        "ou": -7.0,
        "ar": -0.5,
        "so": -2.5,
        "ea": -0.75,
        "▁rea": -8.0,
        "reaso": -9.0,
        "rea": -8.5,
        "▁▁": -3.5,
    }
    tokens, scores, types = sentencepiece(LETTERS | words)
    more = {"scores": scores, "token_type": types, "bos_token_id": 1, "eos_token_id": 2, "unknown_token_id": 0}
    tokenizer = TextTokenizer.from_gguf(gguf_of(tmp_path / "x.gguf", tokens, model="llama", **more))
    texts = ["the reason there", "rou  ter other", " the", "bear 😀 é\n", "areaso", "whereas the ouster  so"]
    assert rows(tokenizer.encode(texts)) == [[1, *by_scores(text, tokens, scores)] for text in texts]
    assert rows(tokenizer.encode(["</s><unk>"])) == [[1, 2, 0]]
    assert (tokenizer.before, tokenizer.after, tokenizer.padding_side) == ((1,), (), "left")
    for text in HOSTILE:
        assert tokenizer.encode([text], max_length=50).lengths[0] <= 50


def test_gemma_has_no_blank_in_front_and_tokens_of_blanks(tmp_path):
    tokens, scores, types = sentencepiece(
        LETTERS | {"th": -1.0, "the": -2.0, "  ": -1000.0, "    ": -1000.0, "<b>": -1000.0}
    )
    types = [4 if token in ("  ", "    ", "<b>") else kind for token, kind in zip(tokens, types, strict=True)]
    more = {"scores": scores, "token_type": types, "bos_token_id": 1, "eos_token_id": 2, "unknown_token_id": 0}
    path = tmp_path / "x.gguf"
    tokenizer = TextTokenizer.from_gguf(gguf_of(path, tokens, model="llama", add_space_prefix=False, **more))
    place = tokens.index
    assert rows(tokenizer.encode(["the", "    the", "  <b>e"])) == [
        [1, place("the")],
        [1, place("    "), place("the")],
        [1, place("  "), place("<b>"), place("e")],
    ]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": "bert"}, r"tokenizer 'bert' is not supported.*w2sg_jax\[hf\]"),
        ({"pre": "poro"}, "pre is 'poro'; these are supported: default, gpt-2, smollm"),
        ({"pre": None}, "pre is None"),
        ({"merges": None}, "merges is missing"),
        ({"merges": ["a b c d", "zz"]}, "library refuses|merge 'zz'"),
        ({"merges": ["notthere xx"]}, "library refuses"),
        ({"merges": "x"}, "merges is a str, expected list"),
        ({"token_type": [1, 2]}, "token_type is not one for each"),
        ({"bos_token_id": None, "add_bos_token": True}, "bos_token_id is missing"),
        ({"model": "llama"}, "scores is not one for each"),
    ],
    ids=str,
)
def test_gguf_tokenizers_that_are_refused(tmp_path, change, message):
    metadata = {name: value for name, value in (GPT2 | {"pre": "gpt-2"} | change).items() if value is not None}
    with pytest.raises(InputError, match=message):
        TextTokenizer.from_gguf(gguf_of(tmp_path / "x.gguf", vocabulary(BYTES), **metadata))


# The package


def test_importing_sets_nothing_and_loads_nothing():
    code = "import os, sys, w2sg_jax.encoders; print(*({'gguf', 'tokenizers'} & set(sys.modules) or ['none']))"
    code += "; print('TOKENIZERS_PARALLELISM' in os.environ)"
    environment = {name: value for name, value in os.environ.items() if name != "TOKENIZERS_PARALLELISM"}
    root = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment, cwd=root
    )
    assert done.stdout.split() == ["none", "False"]


def test_without_the_library_its_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("w2sg_jax._errors.find_spec", lambda name: None)
    with pytest.raises(InputError, match=r'tokenizers is not installed: pip install "w2sg_jax\[models\]"'):
        TextTokenizer.from_folder(tmp_path)


def test_what_the_library_refuses_is_told(tmp_path):
    path = folder(tmp_path, vocab_txt="[CLS]\n[SEP]\nthe", config_json={"model_type": "bert"})
    tokenizer = TextTokenizer.from_folder(path)
    assert rows(tokenizer.encode(["the"])) == [[0, 2, 1]]
    with pytest.raises(InputError, match=r"refuses one of rows 0 to 1 .*UNK"):
        tokenizer.encode(["the", "rule"])


def test_special_tokens_of_a_mask_with_flags(tmp_path):
    mask = {"content": "<mask>", "lstrip": True, "rstrip": False, "normalized": False, "single_word": False}
    content = json.loads(BYTES.to_str())
    content["added_tokens"] = [one for one in content["added_tokens"] if one["content"] != "<mask>"]
    files = {"tokenizer_json": content, "special_tokens_map_json": {"mask_token": mask}}
    tokenizer = TextTokenizer.from_folder(folder(tmp_path, **files))
    oracle = Tokenizer.from_str(json.dumps(content))
    oracle.add_special_tokens([AddedToken("<mask>", lstrip=True)])
    assert rows(tokenizer.encode(["the <mask> rule"])) == [oracle.encode("the <mask> rule").ids]
