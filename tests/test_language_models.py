"""Language models: every layer against transformers, padding, batches, files that do not fit, pipelines."""

import dataclasses
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from helpers import several
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from w2sg_jax import InputError
from w2sg_jax.encoders import bert, gpt, layers, llama
from w2sg_jax.encoders.checkpoints import FolderCheckpoint, Place, fitted, load
from w2sg_jax.numerics import backend

PARITY = Path(__file__).parent / "parity"
MODELS = sorted(path.stem for path in PARITY.glob("*.safetensors"))
FAMILIES = ((bert, bert.Bert), (llama, llama.Llama), (gpt, gpt.Gpt))


def folder_of(name: str, folder: Path) -> Path:
    """A model's folder as its owner would have it."""
    arrays = load_file(PARITY / f"{name}.safetensors")
    weights = {key.removeprefix("weights."): one for key, one in arrays.items() if key.startswith("weights.")}
    folder.mkdir(exist_ok=True)
    save_file(weights, folder / "model.safetensors")
    with safe_open(PARITY / f"{name}.safetensors", "np") as file:
        (folder / "config.json").write_text(file.metadata()["config"])
    return folder


def loaded(folder: Path, dtype=jnp.float32, place: Place | None = None):
    """A model and its configuration, without tokenizer and pipeline."""
    checkpoint = FolderCheckpoint(folder)
    kind = checkpoint.config["model_type"]
    family, make = next(pair for pair in FAMILIES if kind in pair[0].MODEL_TYPES)
    config = family.config_of(checkpoint.config)
    names = family.names(config, kind)
    options = {"prefixes": family.PREFIXES, "unused": family.UNUSED}
    found = fitted(lambda: make(config, rngs=nnx.Rngs(0)), names, config.depth, checkpoint, **options)
    return load(found, checkpoint, dtype=dtype, place=place or Place()), config


def states_of(model, ids, mask):
    """Of all layers, and the final ones."""
    with jax.default_matmul_precision("highest"):
        kept, last = model(jnp.asarray(ids, jnp.int32), jnp.asarray(mask, bool), lambda x: x)
    return np.concatenate([kept, last[None]])


BOTH = ("bert", "gemma3", "gpt2")
"""With 64-bit types on too: all is explicit float32."""
ONCE = [name if name in BOTH else pytest.param(name, marks=pytest.mark.driver) for name in MODELS]


@pytest.mark.parametrize("name", ONCE)
def test_every_layer_is_that_of_transformers(name, tmp_path):
    arrays = load_file(PARITY / f"{name}.safetensors")
    model, config = loaded(folder_of(name, tmp_path / name))
    found = states_of(model, arrays["ids"], arrays["mask"])
    assert found.shape == arrays["states"].shape and len(found) == config.depth + 2
    real = arrays["mask"].astype(bool)
    for layer, (ours, theirs) in enumerate(zip(found, arrays["states"], strict=True)):
        error = np.linalg.norm((ours - theirs)[real], axis=1) / np.linalg.norm(theirs[real], axis=1)
        assert error.max() <= 1e-5, (layer, error)


@pytest.mark.driver
@pytest.mark.parametrize("name", ["bert", "mpnet", "gemma3", "gpt2"])
def test_a_row_does_not_depend_on_padding_or_batch(name, tmp_path):
    model, _ = loaded(folder_of(name, tmp_path / name))
    row = np.array([3, 7, 5, 11, 2])

    def alone(left: int, right: int, others: int):
        ids = np.full((1 + others, left + len(row) + right), 9)
        mask = np.ones_like(ids, bool)
        ids[0, left : left + len(row)] = row
        mask[0, :left] = mask[0, left + len(row) :] = False
        return states_of(model, ids, mask)[:, 0, left : left + len(row)]

    expected = alone(0, 0, 0)
    for found in (alone(0, 6, 0), alone(6, 0, 0), alone(3, 2, 2)):
        assert np.linalg.norm(found - expected, axis=-1).max() <= 1e-5 * np.linalg.norm(expected, axis=-1).min()


@pytest.fixture
def flash(monkeypatch):
    """Flash attention: the device's own where it has one, else what it is asked for is computed by XLA; how often."""
    asked, real = [], jax.nn.dot_product_attention

    def attend(*arrays, implementation=None, **options):
        if implementation is not None:
            assert implementation == "cudnn"
            asked.append(options)
        return real(
            *arrays, implementation=implementation if backend.flash_attention(jnp.bfloat16, 64) else None, **options
        )

    if not backend.flash_attention(jnp.bfloat16, 64):
        monkeypatch.setattr(layers, "flash_attention", lambda *_: True)
    monkeypatch.setattr(jax.nn, "dot_product_attention", attend)
    return asked


@pytest.mark.driver
@pytest.mark.parametrize(
    ("family", "make", "changes"),
    [
        (bert, bert.Bert, {}),
        (gpt, gpt.Gpt, {}),
        (llama, llama.Llama, {}),
        (llama, llama.Llama, {"window": 7, "local": (True, False)}),
        (llama, llama.Llama, {"window": 7, "local": (True, True)}),
        (llama, llama.Llama, {"window": 7, "local": (True, False), "causal": False}),
    ],
    ids=["bert", "gpt", "llama", "llama, some layers local", "llama, all local", "llama, local and both sides"],
)
def test_flash_attention_gives_the_same_states(family, make, changes, flash):
    """Heads of 64, bfloat16, rows of many lengths: by lengths and a kernel, or by masks and scores."""
    sizes = {"vocab_size": 50, "hidden_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2}
    sizes |= {"intermediate_size": 256, "max_position_embeddings": 64, "num_key_value_heads": 1}
    kind = {bert: "bert", llama: "llama", gpt: "gpt_neox"}[family]
    config = dataclasses.replace(family.config_of({**sizes, "model_type": kind}), **changes)
    model = make(config, rngs=nnx.Rngs(0))
    graph, state = nnx.split(model)
    model = nnx.merge(graph, jax.tree.map(lambda x: x.astype(jnp.bfloat16), state))
    lengths = jnp.array([40, 17, 8, 7, 1], jnp.int32)
    mask = jnp.arange(40)[None, :] < lengths[:, None]
    ids = jax.random.randint(jax.random.key(0), mask.shape, 0, 50, jnp.int32)

    @jax.jit
    def run(lengths):
        return model(ids, mask, lambda x: x.astype(jnp.float32), lengths)[1]

    expected = run(None)
    assert not flash
    found = run(lengths)
    assert bool(flash) == changes.get("causal", True)
    real = np.asarray(mask)
    error = np.linalg.norm(found - expected, axis=-1) / np.linalg.norm(expected, axis=-1)
    assert error[real].max() <= 0.02, "two roundings of bfloat16 after one another"
    assert error[real].mean() <= 5e-3
    shifted = run(lengths - 1) if flash else expected
    assert not flash or np.abs(shifted - expected)[real].max() > 0.05, "the test would notice one token less"


def test_shards_and_a_head_are_read_and_old_names_too(tmp_path):
    folder = folder_of("bert", tmp_path / "one")
    weights = load_file(folder / "model.safetensors")
    old = {
        f"bert.{key}".replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): one
        for key, one in weights.items()
    } | {"cls.predictions.bias": np.zeros(24, np.float32)}
    other = tmp_path / "two"
    other.mkdir()
    (other / "config.json").write_text((folder / "config.json").read_text())
    parts = {"a.safetensors": sorted(old)[:9], "b.safetensors": sorted(old)[9:]}
    for file, names in parts.items():
        save_file({name: old[name] for name in names}, other / file)
    index = {"weight_map": {name: file for file, names in parts.items() for name in names}}
    (other / "model.safetensors.index.json").write_text(json.dumps(index))
    ids = np.arange(2, 10)[None]
    first, second = (states_of(loaded(path)[0], ids, np.ones((1, 8), bool)) for path in (folder, other))
    np.testing.assert_array_equal(first, second)
    (other / "b.safetensors").unlink()
    with pytest.raises(InputError, match=r"1 of 2 shards are missing: b\.safetensors"):
        loaded(other)


def test_tensors_that_do_not_fit_are_named(tmp_path):
    folder = folder_of("llama2", tmp_path / "llama")
    weights = load_file(folder / "model.safetensors")
    weights["layers.0.mlp.up_proj.weight"] = np.zeros((3, 8), np.float32)
    del weights["layers.1.self_attn.q_proj.weight"]
    weights["layers.2.mlp.up_proj.weight"] = np.zeros((12, 8), np.float32)
    save_file(weights, folder / "model.safetensors")
    with pytest.raises(InputError) as refused:
        loaded(folder)
    assert str(refused.value) == (
        "the tensors do not fit the configuration: 1 missing: layers.1.self_attn.q_proj.weight; 1 of another shape: "
        "layers.0.mlp.up_proj.weight is (3, 8), expected (12, 8); 1 unknown: layers.2.mlp.up_proj.weight"
    )


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("bert", {"hidden_act": "swishy"}, "the activation 'swishy' is not supported; these are: gelu"),
        ("bert", {"position_embedding_type": "relative_key"}, "position_embedding_type is 'relative_key'"),
        ("llama2", {"rope_scaling": {"type": "yarn"}, "rope_parameters": None}, "positions are scaled by 'yarn'"),
        ("llama2", {"num_hidden_layers": None}, "num_hidden_layers is missing"),
        ("llama2", {"num_hidden_layers": -3}, "num_hidden_layers is -3; expected a whole number of at least 1"),
        ("llama2", {"num_key_value_heads": 3}, "2 heads of 4 cannot share 3 keys"),
        ("gemma3", {"attn_logit_softcapping": 50.0}, "attn_logit_softcapping is 50.0, which is not supported"),
        ("gemma3", {"layer_types": ["full_attention"]}, "layer_types lists 1 layers, and num_hidden_layers is 3"),
        ("gpt2", {"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx is True"),
        ("bert", {"num_attention_heads": 3}, "3 heads do not share 8 columns"),
        ("bert", {"num_hidden_layers": 10**9}, "1000000000 layers, and the files have 39 tensors in all"),
        ("gpt-neox", {"num_attention_heads": 3}, "3 heads do not share 8 columns"),
    ],
)
def test_configurations_that_are_refused(name, change, message, tmp_path):
    folder = folder_of(name, tmp_path / name)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(InputError, match=message):
        loaded(folder)


def test_older_configurations_mean_the_same(tmp_path):
    """Before settings of rotary positions were gathered, they stood by themselves."""
    folder = folder_of("gemma3", tmp_path / "gemma")
    new = json.loads((folder / "config.json").read_text())
    old = {name: value for name, value in new.items() if name not in ("rope_parameters", "layer_types")}
    old |= {"rope_theta": 1000.0, "rope_local_base_freq": 10.0, "rope_scaling": {"rope_type": "linear", "factor": 2.0}}
    old |= {"sliding_window_pattern": 2}
    assert llama.config_of(new) == llama.config_of(old)
    wrapped = {"model_type": "gemma3", "text_config": old}
    assert llama.config_of(wrapped) == llama.config_of(new)
    qwen = {**json.loads((folder_of("qwen2", tmp_path / "q") / "config.json").read_text()), "layer_types": None}
    assert llama.config_of({**qwen, "sliding_window": 4, "use_sliding_window": False}).window is None


@pytest.mark.driver
def test_parameters_are_shared_by_devices_and_rows_too(tmp_path):
    folder = folder_of("llama3", tmp_path / "llama")
    model, _ = loaded(folder, place=Place(several(4), shared=True))
    whole, _ = loaded(folder)
    weight = model.layers.block.up.weight[...]
    assert {shard.data.shape for shard in weight.addressable_shards} == {(2, 3, 8)}
    ids, mask = np.arange(2, 18).reshape(4, 4), np.ones((4, 4), bool)
    np.testing.assert_allclose(states_of(model, ids, mask), states_of(whole, ids, mask), rtol=1e-5, atol=1e-6)


def test_bfloat16_is_close(tmp_path):
    model, _ = loaded(folder_of("qwen3", tmp_path / "q"), dtype=jnp.bfloat16)
    exact, _ = loaded(folder_of("qwen3", tmp_path / "q"))
    ids, mask = np.arange(2, 10).reshape(1, 8), np.ones((1, 8), bool)
    found, expected = states_of(model, ids, mask), states_of(exact, ids, mask)
    assert found.dtype == jnp.bfloat16
    error = np.linalg.norm(found.astype(np.float32) - expected, axis=-1) / np.linalg.norm(expected, axis=-1)
    assert 1e-4 < error.max() < 0.1
