"""Fine-tuning: what is learned, batches and their parts, adapters, the schedule, restarts, and what stops a run."""

import dataclasses
import math
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import several
from test_extraction import model_of

from w2sg_jax import InputError
from w2sg_jax.encoders.language_model import open_pretrained
from w2sg_jax.training import FinetuneConfig, Lora, finetune
from w2sg_jax.training.lora import adapted, linear_maps, merged

finetuning = sys.modules["w2sg_jax.training.finetune"]  # the name in the package is the function's
pytestmark = pytest.mark.driver  # all is float32
RNG = np.random.default_rng(0)
DRAWN = [RNG.choice(list("abcdefgh"), RNG.integers(3, 14)) for _ in range(48)]
TEXTS = [" ".join(one) for one in DRAWN]
LABELS = np.array([int((one == "a").any()) for one in DRAWN])
ADAPTERS = Lora(2, maps=("query", "value"))
CONFIG = FinetuneConfig(epochs=2, batch_size=16, learning_rate=3e-3, lora=ADAPTERS)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return model_of("llama3", tmp_path_factory.mktemp("models") / "tiny-llama")


@pytest.fixture(scope="module")
def model(folder):
    return open_pretrained(folder).load()


@pytest.fixture(scope="module")
def tuned(model):
    return finetune(model, TEXTS, LABELS, CONFIG)


def close(first, second, rtol=1e-4):
    assert first.keys() == second.keys()
    for name, x in first.items():
        np.testing.assert_allclose(x, second[name], rtol=rtol, atol=rtol * float(np.abs(x).max()), err_msg=name)


def test_a_model_of_two_layers_learns_what_can_be_told(model):
    found = finetune(model, TEXTS, LABELS, dataclasses.replace(CONFIG, epochs=40, learning_rate=1e-2, lora=None))
    said = found.say(TEXTS).probabilities
    assert ((said[:, 1] > 0.5) == LABELS).mean() == 1 and found.losses[-1] < 0.1 < found.losses[0]
    assert found.losses[0] == pytest.approx(math.log(2), rel=1e-5), "the head starts at zero"
    np.testing.assert_allclose(said.sum(axis=1), 1, rtol=1e-6)


def test_parts_of_a_batch_add_up_to_it(model, tuned):
    parts = finetune(model, TEXTS, LABELS, dataclasses.replace(CONFIG, tokens_at_once=48))
    np.testing.assert_allclose(parts.losses, tuned.losses, rtol=1e-5)
    close(parts.parameters, tuned.parameters)
    remat = finetune(model, TEXTS, LABELS, dataclasses.replace(CONFIG, remat=True))
    close(remat.parameters, tuned.parameters)


def test_order_inside_of_a_batch_and_padding_change_nothing(model, tuned):
    few = np.random.default_rng(1).permutation(16)
    first = finetune(model, TEXTS[:16], LABELS[:16], CONFIG)
    second = finetune(model, [TEXTS[row] for row in few], LABELS[few], CONFIG)
    close(first.parameters, second.parameters)
    order = np.random.default_rng(1).permutation(len(TEXTS))
    said = tuned.say(TEXTS)
    shuffled = tuned.say([TEXTS[row] for row in order], tokens_at_once=30)
    alone = tuned.say(TEXTS[7:8])
    for all_rows, others, one in zip(said, shuffled, alone, strict=True):
        np.testing.assert_allclose(others, all_rows[order], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(one[0], all_rows[7], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("family", ["llama3", "bert"])
def test_adapters_merged_are_the_same_function(family, model, tuned, tmp_path):
    if family == "llama3":
        found = tuned
    else:
        model = open_pretrained(model_of(family, tmp_path / family)).load()
        found = finetune(model, TEXTS, LABELS, CONFIG)
    assert {name.split(".")[-3] for name in found.parameters if "adapter" in name} == {"query", "value"}
    assert all(np.abs(x).max() > 0 for name, x in found.parameters.items() if name.endswith("adapter.up"))
    whole = merged(found.network)
    assert all(one.adapter is None for one in linear_maps(whole).values())
    pools = [found.how.pool]
    own = dataclasses.replace(model, model=whole).represent(TEXTS, pools=pools)[-1, found.how.pool]
    np.testing.assert_allclose(own, found.say(TEXTS).states, rtol=1e-4, atol=1e-4)
    before = model.represent(TEXTS, pools=pools)[-1, found.how.pool]
    assert np.abs(own - before).max() > 1e-4, "the model that was given stays"


def test_a_model_starts_as_it_was_and_stays_as_it_is(model):
    before = model.represent(TEXTS, pools=["last"])[-1, "last"]
    fresh = adapted(model.model, Lora(3), seed=1)
    np.testing.assert_allclose(
        dataclasses.replace(model, model=fresh).represent(TEXTS, pools=["last"])[-1, "last"], before, rtol=1e-6
    )
    maps = linear_maps(fresh)
    assert all(one.adapter.down.shape[:2] == (2, 3) and not one.adapter.up[...].any() for one in maps.values())
    whole = finetune(model, TEXTS, LABELS, dataclasses.replace(CONFIG, lora=None))
    assert not whole.frozen and "words.weight" in whole.parameters
    np.testing.assert_array_equal(model.represent(TEXTS, pools=["last"])[-1, "last"], before)
    assert np.abs(whole.say(TEXTS).states - before).max() > 1e-4


@pytest.mark.parametrize(("steps", "warmup"), [(1, 0.0), (1, 1.0), (10, 0.0), (10, 0.3), (10, 1.0), (7, 0.01)])
def test_the_schedule_rises_and_falls(steps, warmup):
    schedule, rise = (
        finetuning._Schedule.of(FinetuneConfig(warmup=warmup, learning_rate=2.0), steps),
        math.ceil(warmup * steps),
    )
    rates = np.array([float(schedule.rate(step)) for step in range(steps)])
    assert (rates > 0).all() and rates.max() <= 2
    np.testing.assert_allclose(rates[:rise], 2 * np.arange(1, rise + 1) / max(rise, 1), rtol=1e-6)
    fall = steps - rise
    expected = 1 + np.cos(np.pi * np.arange(1, fall + 1) / (fall + 1))
    np.testing.assert_allclose(rates[rise:], expected, rtol=1e-5)
    assert float(schedule.rate(steps)) == pytest.approx(0, abs=1e-6), "after the end"


class Stopped(Exception):
    pass


def test_a_run_that_was_stopped_in_an_epoch_ends_with_the_same_bits(model, tuned, tmp_path):
    def stop(progress):
        if progress.step == 2:
            raise Stopped

    options = {"checkpoint": tmp_path / "run", "checkpoint_every": 1, "report_every": 1}
    with pytest.raises(Stopped):
        finetune(model, TEXTS, LABELS, CONFIG, **options, on_progress=stop)
    steps = []
    again = finetune(model, TEXTS, LABELS, CONFIG, **options, on_progress=lambda progress: steps.append(progress.step))
    assert steps[0] in (2, 3) and steps[-1] == 6, "three steps an epoch"
    np.testing.assert_array_equal(again.losses, tuned.losses)
    for name, x in tuned.parameters.items():
        np.testing.assert_array_equal(again.parameters[name], x)
    done = finetune(model, TEXTS, LABELS, CONFIG, **options, on_progress=lambda _: pytest.fail("trained again"))
    np.testing.assert_array_equal(done.losses, tuned.losses)
    with pytest.raises(InputError, match="belongs to another run"):
        finetune(model, TEXTS, 1 - LABELS, CONFIG, **options)
    for file in (tmp_path / "run" / "6" / "state").rglob("*"):
        if file.is_file():
            file.write_bytes(b"")
    with pytest.raises(InputError, match=r"step 6 in .* cannot be read .* delete that folder"):
        finetune(model, TEXTS, LABELS, CONFIG, **options)


def test_a_loss_that_is_not_finite_stops_the_run_and_the_last_checkpoint_is_from_before(model, tmp_path, monkeypatch):
    real = finetuning._stepped
    seen = []

    def spoiled(limits, schedule, parameters, optimizer, sums, count):
        seen.append(count)
        if len(seen) == 4:
            sums = jax.tree.map(lambda x: x * jnp.nan, sums)
        return real(limits, schedule, parameters, optimizer, sums, count)

    monkeypatch.setattr(finetuning, "_stepped", spoiled)
    options = {"checkpoint": tmp_path / "run", "checkpoint_every": 1}
    with pytest.raises(FloatingPointError, match=r"the loss of step 3 \(texts \d+, .*\) is not finite; lower the"):
        finetune(model, TEXTS, LABELS, CONFIG, **options)
    monkeypatch.setattr(finetuning, "_stepped", real)
    again = finetune(model, TEXTS, LABELS, CONFIG, **options)
    assert np.isfinite(again.losses).all()
    assert sorted(int(path.name) for path in (tmp_path / "run").iterdir() if path.name.isdigit()) == [5, 6]


def test_soft_labels_and_classes(model, tuned):
    shares = finetune(model, TEXTS, LABELS.astype(float), CONFIG)
    rows = finetune(model, TEXTS, np.stack([1 - LABELS, LABELS], axis=1), CONFIG)
    for one in (shares, rows):
        np.testing.assert_array_equal(one.losses, tuned.losses)
    even = finetune(model, TEXTS, np.full(len(TEXTS), 0.5), CONFIG)
    np.testing.assert_allclose(even.losses, math.log(2), rtol=1e-5)
    np.testing.assert_allclose(even.say(TEXTS).probabilities, 0.5, rtol=1e-5)


def test_a_head_of_words_starts_as_what_the_decoder_says_next(model):
    config = dataclasses.replace(CONFIG, words=("a", "b"), epochs=1, learning_rate=1e-12)
    found = finetune(model, TEXTS, LABELS, config)
    ids = [model.pretrained.tokenizer.backend.encode(word, add_special_tokens=False).ids[0] for word in "ab"]
    weight = np.asarray(model.model.words.weight[...])[ids]
    logits = model.represent(TEXTS, pools=["last"])[-1, "last"] @ weight.T
    expected = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found.say(TEXTS).probabilities, expected, rtol=1e-4)


def test_the_first_blocks_are_a_model_of_their_own(folder, model):
    cut = open_pretrained(folder).cut(1)
    assert (
        cut.depth == 1
        and cut.content != model.pretrained.content
        and cut.bytes_of("float32") < model.pretrained.bytes_of("float32")
    )
    loaded = cut.load()
    for layer in (0, 1):
        np.testing.assert_allclose(
            loaded.represent(TEXTS, layers=[layer], pools=["mean"])[layer, "mean"],
            model.represent(TEXTS, layers=[layer], pools=["mean"])[layer, "mean"],
            rtol=1e-5, atol=1e-6,
        )  # fmt: skip
    three = finetune(loaded, TEXTS, np.arange(len(TEXTS)) % 3, dataclasses.replace(CONFIG, epochs=1))
    assert three.say(TEXTS).probabilities.shape == (48, 3) and three.losses[0] == pytest.approx(math.log(3), rel=1e-5)
    with pytest.raises(InputError, match="has 2 blocks; expected 1 to 2, got 3"):
        open_pretrained(folder).cut(3)


def test_devices_share_rows_and_parameters(folder, tuned):
    model = open_pretrained(folder).load(devices=several(2), shared=True)
    found = finetune(model, TEXTS, LABELS, CONFIG)
    np.testing.assert_allclose(found.losses, tuned.losses, rtol=1e-5)
    close({name: np.asarray(x) for name, x in found.parameters.items()}, tuned.parameters, rtol=1e-3)
    np.testing.assert_allclose(found.say(TEXTS).probabilities, tuned.say(TEXTS).probabilities, rtol=1e-3)
    assert len(found.parameters["layers.block.query.adapter.down"].devices()) == 2


def test_bfloat16_learns_in_float32(model, tuned):
    found = finetune(model, TEXTS, LABELS, dataclasses.replace(CONFIG, dtype="bfloat16"))
    assert {str(x.dtype) for x in found.parameters.values()} == {"float32"}
    assert {str(x.dtype) for x in found.frozen.values()} == {"bfloat16"}
    np.testing.assert_allclose(found.losses, tuned.losses, rtol=0.05)


def test_bad_input_is_refused(model):
    bert_words = dataclasses.replace(CONFIG, words=("a", "a"))
    for labels, config, message in (
        (LABELS[:5], CONFIG, "labels: int64 of shape .*; expected a number or a row for each of 48 texts"),
        (np.zeros(48, int), CONFIG, "labels: all texts have one class"),
        (np.full(48, 1.5), CONFIG, "labels: 1.5 of text 0 is no share"),
        (np.where(np.arange(48) == 3, np.nan, 0.5), CONFIG, "labels: that of text 3 is nan"),
        (np.full((48, 2), 0.6), CONFIG, "labels: the shares of text 0 add up to 1.2"),
        (LABELS, bert_words, "words: two of 'a', 'a' are the same token"),
        (LABELS, dataclasses.replace(CONFIG, words=("a",)), "words: 1 for 2 classes"),
        (LABELS, dataclasses.replace(CONFIG, words=("a b c", "b")), "words: 'a b c' is 3 tokens"),
        (LABELS, dataclasses.replace(CONFIG, lora=Lora(2, maps=("nothing",))), "maps: 'nothing' is no linear map"),
        (LABELS, dataclasses.replace(CONFIG, lora=Lora(999)), "rank: 999 is no less than"),
    ):
        with pytest.raises(InputError, match=message):
            finetune(model, TEXTS, labels, config)
    for wrong, message in (
        ({"epochs": 0}, "epochs"), ({"warmup": 1.5}, "warmup"), ({"clip": 0.0}, "clip"),
        ({"learning_rate": -1.0}, "learning_rate"), ({"weight_decay": -1.0}, "weight_decay"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=message):
            FinetuneConfig(**wrong)
