"""Models trained together: the same as one by one, resumed exactly, one program whatever their number."""

from dataclasses import replace

import chex
import jax
import numpy as np
import optax
import pytest
from flax import nnx

import w2sg_jax as w2sg
from w2sg_jax.datasets import load_freesolv
from w2sg_jax.encoders import EncoderConfig, SmilesTokenizer
from w2sg_jax.training import PretrainConfig, TrainingProgress, pretrain, pretrain_together, together
from w2sg_jax.training.together import _Members, warmup_cosine

CONFIG = PretrainConfig(steps=8, batch_size=8, learning_rate=1e-2, bucket_edges=(16, 48), seed=3)
GROUP = (CONFIG, replace(CONFIG, steps=5, learning_rate=3e-3, seed=4), replace(CONFIG, steps=2, seed=5))
driver = pytest.mark.driver  # all is explicit float32: one model with 64-bit types on says what the others would


@pytest.fixture(scope="module")
def corpus():
    smiles = load_freesolv().smiles[:200]
    tokenizer = SmilesTokenizer.from_corpus(smiles)
    return tokenizer.encode(smiles), EncoderConfig(vocabulary=tokenizer.size, width=8, depth=1, heads=2)


@pytest.fixture(scope="module")
def trained(corpus):
    tokens, encoder = corpus
    return pretrain_together(encoder, tokens, GROUP, order_seed=3)


@pytest.fixture(scope="module")
def alone(corpus):
    tokens, encoder = corpus
    return pretrain(encoder, tokens, CONFIG)


class Interrupted(Exception):
    pass


def interrupt(progress: TrainingProgress) -> None:
    if progress.step >= 4:
        raise Interrupted


def assert_same_bits(first, second):
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.losses, other.losses)
        jax.tree.map(np.testing.assert_array_equal, nnx.state(one.encoder), nnx.state(other.encoder))


@pytest.mark.parametrize("at_once", [1, pytest.param(2, marks=driver), pytest.param(3, marks=driver)])
def test_a_model_is_the_one_that_is_trained_alone(corpus, alone, at_once):
    """With the order of the corpus that belongs to its own seed; up to the rounding of another program."""
    tokens, encoder = corpus
    among = pretrain_together(encoder, tokens, GROUP, order_seed=CONFIG.seed, at_once=at_once)[0]
    np.testing.assert_allclose(among.losses, alone.losses, rtol=1e-4)
    for x, y in zip(jax.tree.leaves(nnx.state(among.encoder)), jax.tree.leaves(nnx.state(alone.encoder)), strict=True):
        np.testing.assert_allclose(x, y, atol=1e-3)


@driver
def test_models_stop_at_their_own_lengths(corpus, trained):
    tokens, encoder = corpus
    assert [len(one.losses) for one in trained] == [8, 5, 2]
    short = pretrain_together(encoder, tokens, GROUP[1:], order_seed=3)
    for one, other in zip(trained[1:], short, strict=True):
        np.testing.assert_allclose(one.losses, other.losses, rtol=1e-5)


@driver
def test_an_interrupted_group_ends_with_the_same_bits(corpus, trained, tmp_path):
    tokens, encoder = corpus
    options = {"order_seed": 3, "checkpoint": tmp_path / "group.safetensors", "checkpoint_every": 3, "report_every": 2}
    with pytest.raises(Interrupted):
        pretrain_together(encoder, tokens, GROUP, on_progress=interrupt, **options)
    assert_same_bits(pretrain_together(encoder, tokens, GROUP, **options), trained)
    with pytest.raises(w2sg.InputError, match="belongs to another run"):
        pretrain_together(encoder, tokens, GROUP[:2], **options)


@driver
def test_one_compilation_for_each_bucket_whatever_the_number_of_models(corpus, monkeypatch):
    chex.clear_trace_counter()
    monkeypatch.setattr(together, "train_step", chex.assert_max_traces(together.train_step, n=2))
    tokens, encoder = corpus
    configs = [replace(CONFIG, steps=30 + seed, seed=seed) for seed in range(4)]
    pretrain_together(encoder, tokens, configs)


def test_the_schedule_is_that_of_optax():
    for steps, warmup in ((100, 10), (7, 1), (1, 1)):
        optax_rate = optax.warmup_cosine_decay_schedule(0.0, 0.02, warmup, max(steps, warmup + 1))
        member = _Members(0, steps, warmup, 0.02)
        for step in range(steps):
            assert float(warmup_cosine(step, member)) == pytest.approx(float(optax_rate(step)), abs=1e-7)


@driver
def test_divergence_names_the_model(corpus):
    tokens, encoder = corpus
    wild = replace(CONFIG, learning_rate=1e30, seed=9)
    with pytest.raises(FloatingPointError, match=r"model 1 \(seed 9\): loss of step \d+ is not finite"):
        pretrain_together(encoder, tokens, [CONFIG, wild])


def test_misuse_is_named(corpus):
    tokens, encoder = corpus
    with pytest.raises(w2sg.InputError, match="configs: empty"):
        pretrain_together(encoder, tokens, [])
    with pytest.raises(w2sg.InputError, match="model 1 differs from model 0 in more than seed"):
        pretrain_together(encoder, tokens, [CONFIG, replace(CONFIG, batch_size=4)])
    for name in ("at_once", "checkpoint_every", "report_every"):
        with pytest.raises(w2sg.InputError, match=f"{name}: got 0; expected a whole number"):
            pretrain_together(encoder, tokens, GROUP, **{name: 0})
    with pytest.raises(w2sg.InputError, match="order_seed: got -1"):
        pretrain_together(encoder, tokens, GROUP, order_seed=-1)
    for seed in (-1, 2**32):
        with pytest.raises(w2sg.InputError, match=f"seed: got {seed}"):
            replace(CONFIG, seed=seed)
    with pytest.raises(w2sg.InputError, match="outside the encoder's vocabulary"):
        pretrain_together(replace(encoder, vocabulary=5), tokens, GROUP)
