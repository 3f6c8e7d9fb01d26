"""Settings that users switch on: each public function computes under each of them what it computes without."""

import contextlib
import functools
import inspect
from dataclasses import replace

import jax
import numpy as np
import pytest
from flax import nnx
from helpers import several
from jax.experimental.compilation_cache import compilation_cache
from test_extraction import TEXTS, model_of

import w2sg_jax as w2sg
from w2sg_jax import encoders, synthetic, training
from w2sg_jax.numerics.backend import float64

pytestmark = pytest.mark.driver  # 64-bit types are opened in scopes of their own, whatever the default
STRICT = {
    "jax_numpy_rank_promotion": "raise",
    "jax_numpy_dtype_promotion": "strict",
    "jax_transfer_guard": "disallow",
}
"""Each raises where it is not heeded and changes nothing else: together they show what each of them would."""


@contextlib.contextmanager
def switched_on():
    """As a user does it: for the whole process, threads of ours included; with errors of NumPy raised too."""
    before = {name: getattr(jax.config, name) for name in STRICT}
    try:
        for name, value in STRICT.items():
            jax.config.update(name, value)
        with np.errstate(all="raise"):
            yield
    finally:
        for name, value in before.items():
            jax.config.update(name, value)


RNG = np.random.default_rng(0)
N = 60
LATENT = RNG.normal(size=(N, 9))
WEAK = LATENT[:, :5] + 0.1 * RNG.normal(size=(N, 5))
STRONG = np.concatenate([LATENT[:, 2:], 1e-170 * RNG.normal(size=(N, 1))], axis=1)
"""The squares of the last column underflow."""
OTHER = np.concatenate([-LATENT[:, :3], 1e-170 * RNG.normal(size=(N, 1))], axis=1)
Y = LATENT[:, :2] + 0.3 * RNG.normal(size=(N, 2))
CLASSES = (Y[:, 0] > 0).astype(np.int64)
FEW = slice(8)
"""Fewer samples than columns: the dual side."""
ON_DEVICE = [jax.device_put(x.astype(np.float32)) for x in (WEAK, STRONG, Y)]
MANY_ON_DEVICE = [jax.device_put(np.tile(x, (80, 1)).astype(np.float32)) for x in (WEAK, STRONG)]
KEY = jax.random.key(0)

SMILES = ("C", "CCO", "c1ccccc1", "CC(=O)Oc1ccccc1C(=O)O", "N#Cc1ccncc1", "O")
TOKENIZER = encoders.SmilesTokenizer.from_corpus(SMILES)
SHAPE = encoders.EncoderConfig(vocabulary=TOKENIZER.size, width=8, depth=1, heads=2, max_length=24)
ENCODER = encoders.Encoder(SHAPE, rngs=nnx.Rngs(0))
TRAINING = training.PretrainConfig(steps=3, batch_size=2, learning_rate=1e-2, bucket_edges=(24,))
TAILS = {"tail_weak": synthetic.GaussianTail(2.0, 90.0), "tail_strong": synthetic.EllipticalTail(3.0, 80.0)}


@functools.cache
def population():
    return synthetic.spiked([1.0, 0.5], [0.7, 0.0], [1.0, -1.0], noise=0.1, **TAILS)


def drawn():
    """In the precision that is switched on, which callers of pure functions choose."""
    return jax.jit(synthetic.draw, static_argnums=(2, 3))(KEY, jax.device_put(population()), 12, 10)


@functools.cache
def summed():
    return w2sg.moments(WEAK, STRONG, Y)


def of_draw(function, *arguments):
    """A pure function of a draw, in float64."""
    with float64():
        return jax.device_get(jax.jit(function)(drawn(), *jax.device_put(arguments)))


def split(rows):
    return WEAK[rows], STRONG[rows], Y[rows]


def weights(encoder):
    return nnx.to_pure_dict(nnx.state(encoder))


def trained(found):
    return [(one.losses, weights(one.encoder)) for one in (found if isinstance(found, list) else [found])]


def in_batches():
    for start in range(0, N, 25):
        yield tuple(x[start : start + 25] for x in (WEAK, STRONG, Y))


def saved_and_loaded(tmp_path):
    w2sg.save(tmp_path / "a.npy", STRONG)
    w2sg.save(tmp_path / "b.npy", ON_DEVICE[0])
    return w2sg.moments(w2sg.load(tmp_path / "b.npy"), w2sg.load(tmp_path / "a.npy"), block_rows=16)


def language_model(tmp_path):
    """A tiny pretrained model, and what it makes of texts."""
    model = encoders.from_pretrained(model_of("llama3", tmp_path / "model"))
    assert encoders.open_pretrained(tmp_path / "model").content == model.pretrained.content
    return list(model.represent(TEXTS, layers=[0, 1, -1]).values())


def finetuned(tmp_path):
    """A tiny pretrained model with adapters, and what it says."""
    model, texts = encoders.from_pretrained(model_of("llama3", tmp_path / "model")), TEXTS[:8]
    config = training.FinetuneConfig(epochs=1, batch_size=4, lora=training.Lora(2, maps=("query",)))
    found = training.finetune(model, texts, np.arange(8) % 2, config, checkpoint=tmp_path / "run" / "kept")
    return found.losses, *found.say(texts)


def predicted(tmp_path):
    """By two layers of a tiny pretrained model."""
    model = str(model_of("llama3", tmp_path / "model"))
    texts = w2sg.datasets.text_set("letters", TEXTS, [len(text) for text in TEXTS])
    return w2sg.predict(texts, model, [f"{model}#0", f"{model}#1"], store=tmp_path / "store").to_dict()


def encoder_from_disk(tmp_path):
    encoders.save_encoder(tmp_path / "encoder.safetensors", ENCODER)
    return weights(encoders.load_encoder(tmp_path / "encoder.safetensors"))


def resumed(tmp_path):
    """A run that goes on from its checkpoint."""

    def stop(progress):
        if progress.step == 2:
            raise InterruptedError

    options = {"checkpoint": tmp_path / "state", "checkpoint_every": 1, "report_every": 1}
    with contextlib.suppress(InterruptedError):
        training.pretrain(SHAPE, TOKENIZER.encode(SMILES), TRAINING, **options, on_progress=stop)
    return trained(training.pretrain(SHAPE, TOKENIZER.encode(SMILES), TRAINING, **options))


def differentiated(function, *arrays):
    """Value, and gradients by every array, of a jitted function; also without jit."""
    value, gradients = jax.jit(jax.value_and_grad(function, argnums=tuple(range(len(arrays)))))(*arrays)
    return value, gradients, function(*arrays)


def simulated():
    populations = synthetic.stack([population(), population()])
    ridges = np.array([0.1, 0.0])
    return synthetic.simulate(populations, ridges, ridges, n_train=12, n_w2s=10, seeds=range(2), check=True)


GROUP = [TRAINING, replace(TRAINING, seed=1, steps=2)]
BOTH = {"a": WEAK, "b": OTHER}
WEAK_TO_STRONG = {"train": split(slice(25))[::2], "w2s": split(slice(25, 45)), "test": split(slice(45, N))}
ROWS = {"train": np.arange(25)[None], "w2s": np.arange(25, 45)[None], "test": np.arange(45, N)[None]}

CASES = {
    "w2sg_jax.decomposability": lambda: w2sg.decomposability(WEAK[:25], WEAK[25:], 1e-2),
    "w2sg_jax.decomposability, of device arrays": lambda: w2sg.decomposability(
        ON_DEVICE[0], jax.device_put(WEAK[::-1][:25].astype(np.float32)), 1e-2
    ),
    "w2sg_jax.gap": lambda: w2sg.gap(summed()),
    "w2sg_jax.gap, with a threshold": lambda: w2sg.gap(summed(), 1e-3, 1e-2),
    "w2sg_jax.gap, of few samples": lambda: w2sg.gap(w2sg.moments(WEAK[FEW], STRONG[FEW], Y[FEW]), 1e-6),
    "w2sg_jax.gap, raw": lambda: w2sg.gap(w2sg.moments(WEAK, OTHER, center=False), scale="none"),
    "w2sg_jax.gap_grid": lambda: w2sg.gap_grid(summed(), [1e-4, (1e-2, 1e-1)], [0.0, 1e-2]),
    "w2sg_jax.gap_norm": lambda: differentiated(w2sg.gap_norm, *ON_DEVICE[:2]),
    "w2sg_jax.gap_norm, of the host's arrays": lambda: w2sg.gap_norm(WEAK, STRONG, ridge_weak=1e-3),
    "w2sg_jax.predicted_gap": lambda: differentiated(w2sg.predicted_gap, *ON_DEVICE),
    "w2sg_jax.predicted_gap, of the host's arrays": lambda: w2sg.predicted_gap(
        WEAK, OTHER, CLASSES, center=False, scale="none"
    ),
    "w2sg_jax.gap_scores": lambda: w2sg.gap_scores(WEAK, STRONG, Y),
    "w2sg_jax.gap_scores, of device arrays": lambda: w2sg.gap_scores(*ON_DEVICE, threshold=1e-2),
    "w2sg_jax.leading_gap": lambda: w2sg.leading_gap(summed(), count=2),
    "w2sg_jax.leading_gap, with a threshold": lambda: w2sg.leading_gap(summed(), 1e-3, 1e-2),
    "w2sg_jax.load": saved_and_loaded,
    "w2sg_jax.save": saved_and_loaded,
    "w2sg_jax.merge": lambda: w2sg.merge(
        w2sg.moments(WEAK[:9], STRONG[:9], Y[:9]), w2sg.moments(WEAK[9:], STRONG[9:], Y[9:])
    ),
    "w2sg_jax.merge, of few samples": lambda: (
        w2sg.merge(w2sg.moments(WEAK[:4], STRONG[:4]), w2sg.moments(WEAK[4:9], STRONG[4:9])).second
    ),
    "w2sg_jax.moments": lambda: w2sg.moments(WEAK, STRONG, Y, block_rows=16),
    "w2sg_jax.moments, of few samples": lambda: w2sg.moments(WEAK[FEW], STRONG[FEW]).sigma_strong,
    "w2sg_jax.moments, of device arrays": lambda: w2sg.moments(*ON_DEVICE, block_rows=16),
    "w2sg_jax.moments, in float32": lambda: w2sg.moments(WEAK, STRONG, block_rows=16, dtype="float32"),
    "w2sg_jax.moments, on devices": lambda: w2sg.moments(WEAK, STRONG, Y, block_rows=25, devices="all"),
    "w2sg_jax.moments, of device arrays on another": lambda: w2sg.moments(
        *ON_DEVICE, block_rows=25, devices=several(3)[2:]
    ),
    "w2sg_jax.moments, on devices in float32": lambda: w2sg.moments(
        WEAK, STRONG, devices="all", dtype="float32", center=False
    ),
    "w2sg_jax.moments, with checkpoints": lambda tmp_path: w2sg.moments(
        *ON_DEVICE, block_rows=16, devices="all", checkpoint=tmp_path, checkpoint_every=1e-9
    ),
    "w2sg_jax.moments_from_batches": lambda: w2sg.moments_from_batches(in_batches(), block_rows=16),
    "w2sg_jax.moments_from_batches, on devices": lambda: w2sg.moments_from_batches(
        [ON_DEVICE, ON_DEVICE], block_rows=16, devices="all"
    ),
    "w2sg_jax.moments_from_batches, of many device samples": lambda: w2sg.moments_from_batches([MANY_ON_DEVICE]),
    "w2sg_jax.bootstrap_gap": lambda: w2sg.bootstrap_gap(WEAK, STRONG, Y, draws=2),
    "w2sg_jax.gap_influence": lambda: w2sg.gap_influence(WEAK, STRONG, Y),
    "w2sg_jax.rank": lambda: w2sg.rank(BOTH, STRONG, Y, train=(BOTH, STRONG, Y)),
    "w2sg_jax.rank, on devices": lambda: w2sg.rank(BOTH, STRONG, threshold=1e-2, devices="all"),
    "w2sg_jax.rank, of device arrays": lambda: w2sg.rank({"a": ON_DEVICE[0]}, ON_DEVICE[1], CLASSES),
    "w2sg_jax.ridge_path": lambda: heads(w2sg.ridge_path(WEAK, Y, [0.0, 1e-2]), WEAK),
    "w2sg_jax.ridge_path, of few device samples": lambda: heads(
        w2sg.ridge_path(ON_DEVICE[1], ON_DEVICE[2], [1e-2], center=False, scale="none"), ON_DEVICE[1]
    ),
    "w2sg_jax.predict_errors": lambda: w2sg.predict_errors(
        (WEAK, STRONG, Y), (WEAK, STRONG), train_groups=np.arange(len(WEAK)) // 2
    ).to_dict(),
    "w2sg_jax.predict_errors, of device arrays and other sizes": lambda: w2sg.predict_errors(
        tuple(ON_DEVICE), tuple(ON_DEVICE[:2]), n_train=500, ridge=1e-2
    ).to_dict(),
    "w2sg_jax.predict_errors, of moments": lambda: w2sg.predict_errors(
        w2sg.moments(WEAK, STRONG, Y), w2sg.moments(WEAK, STRONG)
    ).to_dict(),
    "w2sg_jax.cross_validated_errors": lambda: (
        w2sg.cross_validated_errors((BOTH, STRONG, Y), (BOTH, STRONG), folds=5)["a"].residuals
    ),
    "w2sg_jax.leave_one_out": lambda: w2sg.leave_one_out(WEAK, Y, groups=np.arange(len(WEAK)) // 2).residuals,
    "w2sg_jax.weak_to_strong": lambda: w2sg.weak_to_strong(**WEAK_TO_STRONG, ridge=1e-2),
    "w2sg_jax.weak_to_strong, of classes": lambda: w2sg.weak_to_strong(
        **{name: (*arrays[:-1], (arrays[-1][:, 0] > 0).astype(int)) for name, arrays in WEAK_TO_STRONG.items()}
    ),
    "w2sg_jax.weak_to_strong_splits": lambda: w2sg.weak_to_strong_splits(
        WEAK, STRONG, CLASSES, **ROWS, ridges=[1e-4, (1e-2, 1e-3)]
    ),
    "w2sg_jax.encoders.encode": lambda: encoders.encode(ENCODER, TOKENIZER, SMILES, batch_size=4),
    "w2sg_jax.encoders.from_pretrained": language_model,
    "w2sg_jax.encoders.load_encoder": encoder_from_disk,
    "w2sg_jax.encoders.open_pretrained": language_model,
    "w2sg_jax.predict": predicted,
    "w2sg_jax.encoders.save_encoder": encoder_from_disk,
    "w2sg_jax.encoders.split_smiles": lambda: len(encoders.split_smiles(SMILES[3])),
    "w2sg_jax.training.finetune": finetuned,
    "w2sg_jax.training.pretrain": lambda: trained(training.pretrain(SHAPE, TOKENIZER.encode(SMILES), TRAINING)),
    "w2sg_jax.training.pretrain, resumed": resumed,
    "w2sg_jax.training.pretrain_together": lambda: trained(
        training.pretrain_together(SHAPE, TOKENIZER.encode(SMILES), GROUP, at_once=2)
    ),
    "w2sg_jax.synthetic.conditions": lambda: of_draw(synthetic.conditions, synthetic.EffectiveRidges(0.3, 0.2)),
    "w2sg_jax.synthetic.correlated_pair": lambda: synthetic.correlated_pair([0.5], [1.0, 2.0], strong_only=1),
    "w2sg_jax.synthetic.correlation_dimension": lambda: synthetic.correlation_dimension(population()),
    "w2sg_jax.synthetic.draw": drawn,
    "w2sg_jax.synthetic.effective_ridges": lambda: synthetic.effective_ridges(population(), 0.1, 0.2, 12, 10),
    "w2sg_jax.synthetic.error_copying": lambda: synthetic.error_copying(0.5, **TAILS).weak,
    "w2sg_jax.synthetic.error_correction": lambda: synthetic.error_correction(0.5, **TAILS).weak,
    "w2sg_jax.synthetic.function_smoother": lambda: synthetic.function_smoother(np.diag([1.0, 1e-170]), 0.1),
    "w2sg_jax.synthetic.gaussian": lambda: synthetic.gaussian(KEY, (5,)),
    "w2sg_jax.synthetic.inherited_variance": lambda: synthetic.inherited_variance(population(), 12, 10),
    "w2sg_jax.synthetic.limit": lambda: synthetic.limit(
        synthetic.low_rank([1.0, 1e-170], [1.0, 1.0], [1.0, 1e-170]), synthetic.EffectiveRidges(0.3, 0.2)
    ),
    "w2sg_jax.synthetic.low_rank": lambda: synthetic.low_rank([1.0, 0.0], [0.5, 1.0], [1.0, 1e-170]),
    "w2sg_jax.synthetic.measure": lambda: of_draw(synthetic.measure, 0.1, 0.2),
    "w2sg_jax.synthetic.predict": lambda: of_draw(synthetic.predict, synthetic.EffectiveRidges(0.3, 0.2)),
    "w2sg_jax.synthetic.rademacher": lambda: synthetic.rademacher(KEY, (5,)),
    "w2sg_jax.synthetic.samples": lambda: synthetic.samples(KEY, population(), 7),
    "w2sg_jax.synthetic.samples, with independent tails": lambda: synthetic.samples(
        KEY,
        synthetic.spiked(
            [1.0], [1.0], [1.0], tail_weak=synthetic.IndependentTail(1.0, 0.5, 20), tail_strong=synthetic.NoTail()
        ),
        7,
        synthetic.student_t(5.0),
    ),
    "w2sg_jax.synthetic.simulate": simulated,
    "w2sg_jax.synthetic.spiked": lambda: population().weak,
    "w2sg_jax.synthetic.stack": lambda: synthetic.stack([population(), population()]),
    "w2sg_jax.synthetic.student_t": lambda: synthetic.student_t(5.0)(KEY, (5,)),
    "w2sg_jax.synthetic.wishart": lambda: synthetic.wishart(KEY, 3, 7.0),
}


def heads(path, h):
    return path, path.predict(h)


def run(name, tmp_path):
    """The numbers of a case, on the host."""
    call = CASES[name]
    return jax.device_get(plain(call(tmp_path) if inspect.signature(call).parameters else call()))


def plain(found):
    """Results as trees of arrays."""
    if hasattr(found, "__dataclass_fields__"):
        late = ("frobenius", "rank_weak", "rank_strong", "singular_values")  # of a gap, computed when they are read
        names = [name for name in found.__dataclass_fields__ if not name.startswith("_")]
        return {name: plain(getattr(found, name)) for name in (*names, *late) if hasattr(found, name)}
    if isinstance(found, dict):
        return {str(name): plain(value) for name, value in found.items()}
    if isinstance(found, list | tuple):
        return [plain(value) for value in found]
    return 0.0 if found is None or isinstance(found, str) else found


TRUTHS = {}


def truth_of(name, tmp_path):
    if name not in TRUTHS:
        (tmp_path / "truth").mkdir()
        TRUTHS[name] = run(name, tmp_path / "truth")
    return TRUTHS[name]


@pytest.fixture(scope="module", autouse=True)
def compiled_once(tmp_path_factory):
    """JAX traces anew under each setting; what it traces is the same program, which it then need not compile again."""
    options = {
        "jax_compilation_cache_dir": str(tmp_path_factory.mktemp("compiled")),
        "jax_persistent_cache_min_compile_time_secs": 0.0,
        "jax_persistent_cache_min_entry_size_bytes": -1,
    }
    before = {name: getattr(jax.config, name) for name in options}
    for name, value in options.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()
    yield
    for name, value in before.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()


@pytest.mark.parametrize("name", CASES)
def test_the_numbers_are_those_without_the_settings(name, tmp_path):
    truth = truth_of(name, tmp_path)
    with switched_on():
        (tmp_path / "run").mkdir()
        found = run(name, tmp_path / "run")
    assert jax.tree.structure(found) == jax.tree.structure(truth)
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(truth), strict=True):
        tolerance = 1e-10 if np.asarray(other).dtype == np.float64 else 1e-5
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance * np.abs(other).max(initial=0.0))


@pytest.mark.parametrize("room", [w2sg, encoders, synthetic, training], ids=lambda room: room.__name__)
def test_every_public_function_has_a_case(room):
    names = getattr(room, "__all__", dir(room))
    functions = {name for name in names if inspect.isfunction(getattr(room, name)) and not name.startswith("_")}
    cases = {name.split(",")[0].removeprefix(f"{room.__name__}.") for name in CASES}
    assert len(functions) > 1 and functions <= cases
