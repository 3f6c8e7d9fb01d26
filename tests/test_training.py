"""Pretraining: masks, batches, learning, exact resumption, few compilations."""

import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from w2sg_jax.datasets import load_freesolv
from w2sg_jax.encoders import EncoderConfig, SmilesTokenizer
from w2sg_jax.encoders.tokenizer import CLS, MASK
from w2sg_jax.encoders.tokens import TokenSet
from w2sg_jax.training import PretrainConfig, TrainingProgress, pretrain
from w2sg_jax.training import pretrain as pretrain_function
from w2sg_jax.training.batches import BatchPlan
from w2sg_jax.training.checkpoint import ARITHMETIC
from w2sg_jax.training.pretrain import make_optimizer, mask_tokens

RECORDED = {
    1: "3.557547 4.293149 3.610272 3.755709 3.356919 3.776869 3.541628 2.615599 3.035297 2.511322 3.523881 3.365324",
}
"""Version of the arithmetic -> losses of ``CONFIG`` under it: what cached encoders were trained with."""
CONFIG = PretrainConfig(steps=12, batch_size=8, learning_rate=1e-2, bucket_edges=(16, 48), seed=3)


@pytest.fixture(scope="module")
def tokenizer() -> SmilesTokenizer:
    return SmilesTokenizer.from_corpus(load_freesolv().smiles)


@pytest.fixture(scope="module")
def tokens(tokenizer) -> TokenSet:
    return tokenizer.encode(load_freesolv().smiles[:200])


@pytest.fixture(scope="module")
def encoder(tokenizer) -> EncoderConfig:
    return EncoderConfig(vocabulary=tokenizer.size, width=8, depth=1, heads=2)


@pytest.fixture(scope="module")
def uninterrupted(encoder, tokens):
    return pretrain(encoder, tokens, CONFIG)


class Interrupted(Exception):
    pass


def interrupt_at(step: int):
    def on_progress(progress: TrainingProgress) -> None:
        if progress.step >= step:
            raise Interrupted

    return on_progress


def assert_same_bits(first, second):
    np.testing.assert_array_equal(first.losses, second.losses)
    jax.tree.map(np.testing.assert_array_equal, nnx.state(first.encoder), nnx.state(second.encoder))


def test_the_version_of_the_arithmetic_is_that_of_the_recorded_losses(uninterrupted):
    """Losses that differ from these need a new ARITHMETIC and a new entry; caches and trial ids hang on that number."""
    np.testing.assert_allclose(uninterrupted.losses, np.fromstring(RECORDED[ARITHMETIC], sep=" "), rtol=2e-5)


def test_masking_proportions():
    ids = jnp.full((400, 200), 10, jnp.int32).at[:, 0].set(CLS).at[:, 150:].set(0)
    corrupted, targets = mask_tokens(jax.random.key(0), ids, vocabulary=104, rate=0.15)
    corrupted, targets = np.asarray(corrupted), np.asarray(targets)
    assert not targets[:, 0].any() and not targets[:, 150:].any()
    assert np.array_equal(corrupted[~targets], np.asarray(ids)[~targets])
    n = 400 * 149
    assert abs(targets.sum() / n - 0.15) < 5 * np.sqrt(0.15 * 0.85 / n)
    hit = corrupted[targets]
    sd = 5 * np.sqrt(0.25 / len(hit))
    assert abs(np.mean(hit == MASK) - 0.8) < sd
    assert abs(np.mean(hit == 10) - 0.101) < sd  # 10% kept, 1 in 100 random draws is the same token
    others = hit[(hit != MASK) & (hit != 10)]
    assert others.min() >= 4 and others.max() == 103 and len(np.unique(others)) == 99


def test_masks_are_the_same_with_x64():
    ids = jnp.full((4, 30), 10, jnp.int32)
    plain = mask_tokens(jax.random.key(1), ids, vocabulary=20, rate=0.3)
    with jax.enable_x64(True):
        wide = mask_tokens(jax.random.key(1), ids, vocabulary=20, rate=0.3)
    assert wide[0].dtype == jnp.int32
    np.testing.assert_array_equal(plain[0], wide[0])
    np.testing.assert_array_equal(plain[1], wide[1])


def test_every_row_is_seen_once_an_epoch_in_another_order_each_time(tokens):
    plan = BatchPlan(tokens, (16, 48), 16, seed=0)
    epochs = []
    for epoch in range(2):
        steps = range(epoch * plan.steps_per_epoch, (epoch + 1) * plan.steps_per_epoch)
        batches = [plan.batch(step) for step in steps]
        assert {batch.shape for batch in batches} <= {(16, 16), (16, 48)}
        epochs.append([tuple(row[row > 0]) for batch in batches for row in batch if row.any()])
    everything = sorted(tuple(tokens.ids[a:b]) for a, b in zip(tokens.offsets, tokens.offsets[1:], strict=False))
    assert sorted(epochs[0]) == sorted(epochs[1]) == everything
    assert epochs[0] != epochs[1]


def test_a_batch_depends_on_seed_and_step_alone(tokens):
    plan, again, other = (BatchPlan(tokens, (48,), 16, seed=seed) for seed in (0, 0, 1))
    plan.batch(40)
    np.testing.assert_array_equal(plan.batch(3), again.batch(3))
    assert not np.array_equal(plan.batch(3), other.batch(3))


def test_the_schedule_rises_and_falls():
    """The step taken on a constant gradient follows the schedule: Adam's update of it is the rate itself."""
    config = PretrainConfig(steps=100, learning_rate=0.5, warmup=0.2, weight_decay=0.0)
    optimizer = make_optimizer(config)
    state, rates = optimizer.init(jnp.ones(1)), []
    for _ in range(100):
        update, state = optimizer.update(jnp.ones(1), state, jnp.ones(1))
        rates.append(-np.asarray(update).item())
    np.testing.assert_allclose(rates[:21], np.arange(21) / 20 * 0.5, atol=1e-3)
    assert all(a > b for a, b in itertools.pairwise(rates[20:])) and rates[-1] < 1e-3


@pytest.mark.driver
def test_the_encoder_learns(encoder, tokens):
    config = dataclasses.replace(CONFIG, steps=300, batch_size=32)
    losses = pretrain(encoder, tokens, config).losses
    ids = tokens.ids[tokens.ids != CLS]
    share = np.bincount(ids) / len(ids)
    entropy = -np.sum(share[share > 0] * np.log(share[share > 0]))
    assert losses[-20:].mean() < 0.8 * entropy  # better than knowing how frequent every token is


@pytest.mark.driver
def test_one_seed_gives_one_result(encoder, tokens, uninterrupted):
    assert_same_bits(pretrain(encoder, tokens, CONFIG, report_every=5), uninterrupted)
    other = pretrain(encoder, tokens, dataclasses.replace(CONFIG, seed=4))
    assert not np.array_equal(other.losses, uninterrupted.losses)


@pytest.mark.driver
@pytest.mark.parametrize("at", [2, 4, 11])
def test_interrupted_training_ends_with_the_same_bits(encoder, tokens, uninterrupted, tmp_path, at):
    options = {"checkpoint": tmp_path / "run.safetensors", "checkpoint_every": 4, "report_every": 1}
    with pytest.raises(Interrupted):
        pretrain(encoder, tokens, CONFIG, on_progress=interrupt_at(at), **options)
    steps: list[int] = []
    resumed = pretrain(encoder, tokens, CONFIG, on_progress=lambda p: steps.append(p.step), **options)
    assert steps[0] == 4 * (at // 4) + 1  # it went on from the last checkpoint before the interruption
    assert_same_bits(resumed, uninterrupted)
    assert [item.name for item in tmp_path.iterdir()] == ["run.safetensors"]


@pytest.mark.driver
def test_a_finished_run_is_read_back_without_a_step(encoder, tokens, uninterrupted, tmp_path):
    pretrain(encoder, tokens, CONFIG, checkpoint=tmp_path / "run")
    again = pretrain(encoder, tokens, CONFIG, checkpoint=tmp_path / "run", on_progress=interrupt_at(0))
    assert_same_bits(again, uninterrupted)


def test_a_checkpoint_of_another_run_is_refused(encoder, tokens, tmp_path):
    pretrain(encoder, tokens, dataclasses.replace(CONFIG, steps=1), checkpoint=tmp_path / "run")
    with pytest.raises(ValueError, match=r"checkpoint: .*run belongs to another run"):
        pretrain(encoder, tokens, dataclasses.replace(CONFIG, steps=2), checkpoint=tmp_path / "run")
    (tmp_path / "run").write_bytes(b"torn")
    with pytest.raises(ValueError, match="is not a whole safetensors file"):
        pretrain(encoder, tokens, CONFIG, checkpoint=tmp_path / "run")


@pytest.mark.driver
def test_one_compilation_for_each_bucket(encoder, tokens, monkeypatch):
    traces = []

    def counted(key, ids, **options):
        traces.append(ids.shape)
        return mask_tokens(key, ids, **options)

    module = __import__("sys").modules[pretrain_function.__module__]
    monkeypatch.setattr(module, "mask_tokens", counted)
    pretrain(encoder, tokens, dataclasses.replace(CONFIG, steps=30))
    assert sorted(traces) == [(8, 16), (8, 48)]


def test_progress_is_reported(encoder, tokens, uninterrupted):
    reports: list[TrainingProgress] = []
    pretrain(encoder, tokens, CONFIG, report_every=5, on_progress=reports.append)
    assert [report.step for report in reports] == [5, 10, 12]
    assert all(report.steps == 12 and report.tokens_per_second > 0 for report in reports)
    np.testing.assert_allclose(reports[1].loss, uninterrupted.losses[5:10].mean(), rtol=1e-6)


@pytest.mark.driver
def test_divergence_is_an_error_and_leaves_the_last_good_checkpoint(encoder, tokens, tmp_path):
    config = dataclasses.replace(CONFIG, learning_rate=1e38)
    with pytest.raises(FloatingPointError, match=r"the loss of step \d+ is not finite; lower the learning rate"):
        pretrain(encoder, tokens, config, checkpoint=tmp_path / "run", checkpoint_every=1, report_every=1)
    with pytest.raises(FloatingPointError, match="is not finite"):
        pretrain(encoder, tokens, config, checkpoint=tmp_path / "run", checkpoint_every=1, report_every=1)


def test_misuse_is_named(encoder, tokens):
    with pytest.raises(ValueError, match=r"tokens: \d+ is outside the encoder's vocabulary \(5\)"):
        pretrain(dataclasses.replace(encoder, vocabulary=5), tokens, CONFIG)
    with pytest.raises(ValueError, match=r"lengths: row \d+ has \d+ tokens, more than the longest allowed, 16"):
        pretrain(encoder, tokens, dataclasses.replace(CONFIG, bucket_edges=(16,)))
    with pytest.raises(ValueError, match="steps: got 0; expected a whole number, 1 or more"):
        dataclasses.replace(CONFIG, steps=0)
    with pytest.raises(ValueError, match=r"learning_rate, weight_decay: expected > 0 and >= 0, got 0\.0"):
        dataclasses.replace(CONFIG, learning_rate=0.0)
    with pytest.raises(ValueError, match=r"mask_rate, warmup: expected shares of 1, got 1\.5"):
        dataclasses.replace(CONFIG, mask_rate=1.5)
