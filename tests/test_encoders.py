"""The transformer encoder: padding and batches change nothing, files are checked, misuse is named."""

import dataclasses
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from w2sg_jax.encoders import Encoder, EncoderConfig, SmilesTokenizer, encode, load_encoder, save_encoder
from w2sg_jax.encoders.transformer import pool, rotary_angles, rotate

SMILES = ("C", "CCO", "c1ccccc1", "CC(=O)Oc1ccccc1C(=O)O", "N#Cc1ccncc1", "O")
POOLINGS = ("mean", "cls", "last")
ONCE = [pytest.param(pooling, marks=pytest.mark.driver) for pooling in ("mean", "last")]
"""Encoders are explicit float32: one way to pool with 64-bit types on says what the others would."""


@pytest.fixture
def tokenizer() -> SmilesTokenizer:
    return SmilesTokenizer.from_corpus(SMILES)


def make_encoder(tokenizer: SmilesTokenizer, **changes) -> Encoder:
    config = EncoderConfig(vocabulary=tokenizer.size, width=12, depth=2, heads=3, max_length=40)
    return Encoder(dataclasses.replace(config, **changes), rngs=nnx.Rngs(7))


def close(a, b):
    """Equal up to the rounding of float32 products of depth 2."""
    np.testing.assert_allclose(a, b, rtol=0, atol=2e-6 * np.abs(b).max() * 10)


@pytest.mark.parametrize("pooling", ["cls", *ONCE])
def test_batch_of_one_equals_batch_of_many_in_any_order(tokenizer, pooling):
    encoder = make_encoder(tokenizer, pooling=pooling)
    whole = encode(encoder, tokenizer, SMILES, batch_size=4)
    close(encode(encoder, tokenizer, SMILES, batch_size=1), whole)
    close(encode(encoder, tokenizer, SMILES[::-1], batch_size=3)[::-1], whole)
    assert whole.shape == (6, 12) and whole.dtype == np.float32
    assert np.linalg.norm(whole[0] - whole[5]) > 0.01  # methane is not water


@pytest.mark.parametrize("pooling", ["cls", *ONCE])
def test_left_and_right_padding_of_any_amount_agree(tokenizer, pooling):
    encoder = make_encoder(tokenizer, pooling=pooling)
    tokens = tokenizer.encode(SMILES)
    rows, longest = np.arange(len(SMILES)), int(tokens.lengths.max())
    tight = encoder.represent(jnp.asarray(tokens.pad(rows, longest)))
    close(encoder.represent(jnp.asarray(tokens.pad(rows, longest + 9))), tight)
    close(encoder.represent(jnp.asarray(tokens.pad(rows, longest + 9, side="left"))), tight)


def test_the_order_of_tokens_matters(tokenizer):
    encoder = make_encoder(tokenizer)
    a, b = encode(encoder, tokenizer, ["CCO", "COC"])
    assert np.linalg.norm(a - b) > 1e-3


@pytest.mark.parametrize(("pooling", "expected"), [("mean", [2.0, 3.0]), ("cls", [1.0, 2.0]), ("last", [3.0, 4.0])])
def test_pooling_ignores_padding(pooling, expected):
    states = jnp.array([[[9.0, 9.0], [1.0, 2.0], [3.0, 4.0], [9.0, 9.0]]])
    mask = jnp.array([[False, True, True, False]])
    np.testing.assert_allclose(pool(states, mask, pooling)[0], expected)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_a_row_of_padding_alone_is_zero_not_nan(tokenizer, pooling):
    row = make_encoder(tokenizer, pooling=pooling).represent(jnp.zeros((1, 5), jnp.int32))
    np.testing.assert_array_equal(row, 0)


def test_rotary_products_depend_on_the_distance_alone():
    angles = rotary_angles(jnp.ones((1, 30), bool), 8)
    x = jax.random.normal(jax.random.key(0), (1, 1, 1, 8))
    y = jax.random.normal(jax.random.key(1), (1, 1, 1, 8))
    query, key = (rotate(jnp.broadcast_to(v, (1, 1, 30, 8)), angles)[0, 0] for v in (x, y))
    products = np.asarray(query @ key.T)
    for distance in (0, 1, 7):
        diagonal = np.diagonal(products, distance)
        np.testing.assert_allclose(diagonal, diagonal[0], atol=1e-4)
    assert abs(products[0, 0] - products[0, 3]) > 1e-2


@pytest.mark.driver
def test_jit_equals_eager(tokenizer):
    encoder = make_encoder(tokenizer)
    ids = jnp.asarray(tokenizer.encode(SMILES).pad(np.arange(6), 24))
    close(nnx.jit(lambda model, ids: model.represent(ids))(encoder, ids), encoder.represent(ids))


def test_weights_and_states_are_float32_with_x64_too(tokenizer):
    with jax.enable_x64(True):
        encoder = make_encoder(tokenizer)
        assert encoder(jnp.ones((1, 3), jnp.int32)).dtype == jnp.float32
        x64 = encode(encoder, tokenizer, SMILES)
    close(x64, encode(make_encoder(tokenizer), tokenizer, SMILES))


def test_unknown_tokens_are_read_and_counted(tokenizer):
    with pytest.warns(UserWarning, match="2 of 7 tokens are unknown and read as"):
        rows = encode(make_encoder(tokenizer), tokenizer, ["CPC", "[Se]C"])
    assert np.isfinite(rows).all()


def test_too_long_molecules_are_refused(tokenizer):
    encoder = make_encoder(tokenizer)
    assert encode(encoder, tokenizer, ["C" * 39]).shape == (1, 12)
    with pytest.raises(ValueError, match=r"row 1 has 41 tokens, more than the longest allowed, 40"):
        encode(encoder, tokenizer, ["C", "C" * 40])
    with pytest.raises(ValueError, match="41 tokens, more than max_length 40"):
        encoder(jnp.ones((1, 41), jnp.int32))


def test_empty_molecules_are_refused(tokenizer):
    with pytest.raises(ValueError, match=r"non-empty SMILES string, got '' \(row 1\)"):
        encode(make_encoder(tokenizer), tokenizer, ["C", ""])


def test_a_foreign_tokenizer_is_refused(tokenizer):
    other = SmilesTokenizer(("C",))
    with pytest.raises(ValueError, match="tokenizer: it has 5 identifiers and the encoder"):
        encode(make_encoder(tokenizer), other, ["C"])


def test_batch_size_is_checked(tokenizer):
    with pytest.raises(ValueError, match="batch_size: expected at least 1, got 0"):
        encode(make_encoder(tokenizer), tokenizer, ["C"], batch_size=0)


def test_progress_counts_every_molecule(tokenizer):
    done: list[int] = []
    encode(make_encoder(tokenizer), tokenizer, SMILES, batch_size=2, on_batch=done.append)
    assert sum(done) == len(SMILES) and max(done) <= 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"width": 10, "heads": 4}, "heads: width / heads must be even, got width 10 and 4 heads"),
        ({"depth": 0}, "depth: expected at least 1, got 0"),
        ({"pooling": "max"}, "pooling: expected 'mean', 'cls' or 'last', got 'max'"),
    ],
)
def test_bad_configs_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        EncoderConfig(**{"vocabulary": 10, **changes})


def test_saved_encoder_is_the_same_bits(tokenizer, tmp_path):
    encoder = make_encoder(tokenizer, pooling="last")
    save_encoder(tmp_path / "e.safetensors", encoder)
    loaded = load_encoder(tmp_path / "e.safetensors")
    assert loaded.config == encoder.config
    jax.tree.map(np.testing.assert_array_equal, nnx.state(loaded), nnx.state(encoder))
    assert [item.name for item in tmp_path.iterdir()] == ["e.safetensors"]


def test_damaged_encoder_files_are_refused(tokenizer, tmp_path):
    path = tmp_path / "e.safetensors"
    save_encoder(path, make_encoder(tokenizer))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="is not a whole safetensors file"):
        load_encoder(path)
    save_encoder(path, make_encoder(tokenizer))
    content = bytearray(path.read_bytes())
    content[-3] ^= 1
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"e\.safetensors is damaged, its content is not what was written"):
        load_encoder(path)
    save_file({"x": np.zeros(2)}, path)
    with pytest.raises(ValueError, match="says format None"):
        load_encoder(path)


@pytest.mark.parametrize("config", [None, "{", "[1]", '{"wdth": 3}', '{"vocabulary": 10, "depth": 0}'])
def test_damaged_configs_are_refused(tmp_path, config):
    metadata = {"format": "w2sg_jax encoder 1"} | ({} if config is None else {"config": config})
    save_file({"x": np.zeros(2)}, tmp_path / "e.safetensors", metadata=metadata)
    with pytest.raises(ValueError, match=r"e\.safetensors holds no usable config of an encoder .*; delete it"):
        load_encoder(tmp_path / "e.safetensors")


def test_a_failed_write_of_an_encoder_names_the_file(tokenizer, tmp_path, monkeypatch):
    def full(*_, **__):
        raise SafetensorError("No space left on device")

    monkeypatch.setattr("safetensors.numpy.save_file", full)
    with pytest.raises(
        OSError, match=r"e\.safetensors: cannot be written \(No space left on device\); free some space"
    ):
        save_encoder(tmp_path / "e.safetensors", make_encoder(tokenizer))
    assert list(tmp_path.iterdir()) == []


def test_an_encoder_has_the_permissions_of_other_files(tokenizer, tmp_path):
    (tmp_path / "plain").touch()
    save_encoder(tmp_path / "e.safetensors", make_encoder(tokenizer))
    assert (tmp_path / "e.safetensors").stat().st_mode == (tmp_path / "plain").stat().st_mode


@pytest.mark.parametrize("damage", ["missing", "shape", "dtype"])
def test_weights_that_do_not_fit_the_config_are_named(tokenizer, tmp_path, damage):
    path = tmp_path / "e.safetensors"
    encoder = make_encoder(tokenizer)
    save_encoder(path, encoder)
    weights = load_file(path)
    match damage:
        case "missing":
            del weights["norm.scale"]
        case "shape":
            weights["norm.scale"] = np.ones(5, np.float32)
        case "dtype":
            weights["norm.scale"] = np.ones(12, np.float64)
    config = json.dumps(dataclasses.asdict(encoder.config))
    save_file(weights, path, metadata={"format": "w2sg_jax encoder 1", "config": config})
    with pytest.raises(ValueError, match=r"'norm\.scale'.* was it made by another config\?"):
        load_encoder(path)
