"""SMILES tokens: the published splitting rule, unknown tokens, padding, buckets, files."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from w2sg_jax.datasets import load_freesolv, load_lipophilicity, load_moses_sample
from w2sg_jax.encoders import SmilesTokenizer, split_smiles
from w2sg_jax.encoders.tokenizer import CLS, PAD, SPECIAL_TOKENS, UNK
from w2sg_jax.encoders.tokens import bucket_of

CORPUS = ("CCO", "c1ccccc1Br", "C[C@@H](N)C(=O)[O-]", "ClCCl")


@pytest.fixture
def tokenizer() -> SmilesTokenizer:
    return SmilesTokenizer.from_corpus(CORPUS)


@pytest.mark.parametrize(
    ("smiles", "tokens"),
    [
        ("CCl", ["C", "Cl"]),
        ("BrCB", ["Br", "C", "B"]),
        ("C[C@@H](N)C(=O)[O-]", ["C", "[C@@H]", "(", "N", ")", "C", "(", "=", "O", ")", "[O-]"]),
        ("C%12CC1C%121", ["C", "%12", "C", "C", "1", "C", "%12", "1"]),
        ("F/C=C\\F.[Na+]", ["F", "/", "C", "=", "C", "\\", "F", ".", "[Na+]"]),
        ("C?Z\nC", ["C", "?", "Z", "\n", "C"]),
        (" CCO\t\n", ["C", "C", "O"]),
        ("[C", ["[", "C"]),
    ],
)
def test_split(smiles, tokens):
    assert split_smiles(smiles) == tokens


@given(st.text(min_size=1).filter(str.strip))
def test_splitting_loses_no_character_but_white_space_around(text):
    assert "".join(split_smiles(text)) == text.strip()


def test_every_bundled_molecule_round_trips_without_unknown_tokens():
    smiles = (*load_freesolv().smiles, *load_lipophilicity().smiles, *load_moses_sample()[::50])
    tokenizer = SmilesTokenizer.from_corpus(smiles)
    tokens = tokenizer.encode(smiles)
    assert tokens.unknown == 0
    for row, one in enumerate(smiles):
        assert tokenizer.decode(tokens.ids[tokens.offsets[row] : tokens.offsets[row + 1]]) == one


def test_vocabulary_is_ordered_by_frequency_then_name(tokenizer):
    assert tokenizer.tokens[0] in ("C", "c")
    assert SmilesTokenizer.from_corpus(["NCCO"]).tokens == ("C", "N", "O")
    assert SmilesTokenizer.from_corpus(reversed(CORPUS)) == tokenizer
    assert SmilesTokenizer.from_corpus(["CCO"], min_count=2).tokens == ("C",)


def test_unknown_tokens_stay_in_place_and_are_counted(tokenizer):
    tokens = tokenizer.encode(["CPC", "[Se]", "CCO"])
    assert tokens.unknown == 2
    assert list(tokens.lengths) == [4, 2, 4]
    assert tokens.ids[2] == UNK and tokens.ids[5] == UNK
    assert tokenizer.decode(tokens.ids[:4]) == "C[UNK]C"


def test_names_of_special_tokens_in_the_input_are_not_special(tokenizer):
    assert list(tokenizer.encode_one("[PAD]C[MASK]")) == [CLS, UNK, tokenizer.encode_one("C")[1], UNK]
    assert "[MASK]" not in SmilesTokenizer.from_corpus(["C[MASK]"]).tokens


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (["CCO", ""], r"smiles: expected a non-empty SMILES string, got '' \(row 1\); remove that row"),
        ([], r"smiles: expected a sequence of at least one SMILES string, got \[\]"),
    ],
)
def test_bad_molecules_are_located(tokenizer, bad, message):
    with pytest.raises(ValueError, match=message):
        tokenizer.encode(bad)


def test_a_vocabulary_needs_tokens():
    with pytest.raises(ValueError, match="no token occurs 3 times or more"):
        SmilesTokenizer.from_corpus(["CO"], min_count=3)
    with pytest.raises(ValueError, match="tokens: expected distinct tokens other than"):
        SmilesTokenizer(("C", "C"))
    with pytest.raises(ValueError, match="tokens: expected distinct tokens other than"):
        SmilesTokenizer(SPECIAL_TOKENS)


def test_decode_refuses_foreign_identifiers(tokenizer):
    with pytest.raises(ValueError, match=rf"ids: {tokenizer.size} is outside the vocabulary"):
        tokenizer.decode([CLS, tokenizer.size])


def test_saved_vocabulary_is_the_same(tokenizer, tmp_path):
    tokenizer.save(tmp_path / "tokenizer.json")
    assert SmilesTokenizer.load(tmp_path / "tokenizer.json") == tokenizer
    assert [item.name for item in tmp_path.iterdir()] == ["tokenizer.json"]


@pytest.mark.parametrize(
    ("content", "message"), [("{", "is not JSON"), (json.dumps({"tokens": ["C"]}), "is not a tokenizer")]
)
def test_load_refuses_other_files(tmp_path, content, message):
    (tmp_path / "other.json").write_text(content)
    with pytest.raises(ValueError, match=message):
        SmilesTokenizer.load(tmp_path / "other.json")


def test_padding_goes_on_either_side(tokenizer):
    tokens = tokenizer.encode(["C", "CCO"])
    right = tokens.pad(np.array([1, 0]), 5)
    left = tokens.pad(np.array([1, 0]), 5, side="left")
    assert list(right[1]) == [CLS, tokenizer.encode_one("C")[1], PAD, PAD, PAD]
    assert np.array_equal(np.roll(right[0], 1), left[0]) and np.array_equal(np.roll(right[1], 3), left[1])


def test_nothing_is_cut_off(tokenizer):
    tokens = tokenizer.encode(["C", "CCO"])
    with pytest.raises(ValueError, match="length: row 1 has 4 tokens, more than 3"):
        tokens.pad(np.array([0, 1]), 3)
    with pytest.raises(ValueError, match="lengths: row 1 has 4 tokens, more than the longest allowed, 3"):
        bucket_of(tokens.lengths, (2, 3))


def test_a_row_goes_to_the_smallest_bucket_that_holds_it():
    assert list(bucket_of(np.array([1, 4, 5, 8]), (4, 8))) == [0, 0, 1, 1]
    with pytest.raises(ValueError, match="edges: expected ascending lengths"):
        bucket_of(np.array([1]), (8, 4))
