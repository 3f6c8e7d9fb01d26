"""gap_norm and predicted_gap: equal to the accurate functions, and gradients that are right and finite."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import dense_gap

import w2sg_jax as w2sg

BOTH = {"ridge_weak": 1e-2, "ridge_strong": 1e-3}
RNG = np.random.default_rng(0)
N, D_WEAK, D_STRONG = 40, 10, 14
LABELS = RNG.normal(size=(N, 2))
GRADIENTS = jax.jit(jax.grad(w2sg.gap_norm, argnums=(0, 1))), jax.jit(jax.grad(w2sg.predicted_gap, argnums=(0, 1, 2)))


def generic():
    latent = RNG.normal(size=(N, D_STRONG))
    return latent[:, :D_WEAK] + RNG.normal(size=(N, D_WEAK)), latent * np.geomspace(1, 1e-3, D_STRONG)


def orthonormal(d):
    x = RNG.normal(size=(N, d))
    return np.linalg.qr(x - x.mean(axis=0))[0]


def degenerate():
    """Pairs of one shape where eigenvectors are not unique or not defined."""
    weak, strong = generic()
    repeated = orthonormal(D_WEAK + D_STRONG - 4)
    return {
        "repeated_eigenvalues": (repeated[:, :D_WEAK], repeated[:, -D_STRONG:]),
        "orthogonal": (repeated[:, :D_WEAK], np.tile(repeated[:, D_WEAK:], 2)[:, :D_STRONG]),
        "duplicate_rows": (np.repeat(weak[:8], 5, axis=0), np.repeat(strong[:8], 5, axis=0)),
        "rank_one": (weak[:, :1] * np.ones(D_WEAK), strong[:, :1] * np.arange(1.0, D_STRONG + 1)),
        "strong_inside_weak": (weak, weak @ RNG.normal(size=(D_WEAK, D_STRONG))),
        "identical": (weak, np.concatenate([weak, np.zeros((N, D_STRONG - D_WEAK))], axis=1)),
    }


PAIRS = {"primal": generic(), "dual": tuple(h[:8] for h in generic()), "mixed": tuple(h[:12] for h in generic())}


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize("name", PAIRS)
@pytest.mark.parametrize("center", [True, False])
def test_values(name, center):
    weak, strong = PAIRS[name]
    labels = LABELS[: len(weak)]
    truth = dense_gap(weak, strong, labels, ridge=(1e-2, 1e-3), center=center)
    for unit in (1.0, 1e-9, 1e9):
        norm = w2sg.gap_norm(weak * unit, strong / unit, center=center, **BOTH)
        predicted = w2sg.predicted_gap(weak * unit, strong / unit, labels, center=center, **BOTH)
        assert (float(norm), float(predicted)) == pytest.approx((truth.norm, truth.predicted), rel=1e-9)


@pytest.mark.parametrize("name", ["primal", "dual"])
@pytest.mark.parametrize("scale", ["trace", "none"])
def test_gradients_against_finite_differences(name, scale):
    weak, strong = PAIRS[name]
    labels = LABELS[: len(weak)]
    directions = RNG.normal(size=weak.shape), RNG.normal(size=strong.shape)
    step = 1e-6

    def norm(t):
        return w2sg.gap_norm(weak + t * directions[0], strong + t * directions[1], scale=scale, **BOTH)

    def predicted(t):
        return w2sg.predicted_gap(weak + t * directions[0], strong + t * directions[1], labels, scale=scale, **BOTH)

    for function in (norm, predicted):
        difference = float(function(step) - function(-step)) / (2 * step)
        assert float(jax.grad(function)(0.0)) == pytest.approx(difference, rel=1e-5, abs=1e-8)


@pytest.mark.parametrize("name", degenerate())
def test_gradients_are_finite_where_eigenvectors_are_not(name):
    weak, strong = (jnp.asarray(h) for h in degenerate()[name])
    for gradient in (GRADIENTS[0](weak, strong), GRADIENTS[1](weak, strong, jnp.asarray(LABELS))):
        chex.assert_tree_all_finite(gradient)
    assert any(float(jnp.abs(g).max()) > 0 for g in GRADIENTS[0](weak, strong))


def test_jit_is_eager_and_vmap_is_a_loop():
    weak, strong = (np.stack([h, h[::-1] ** 2, h + 0.1]) for h in generic())
    loop = jnp.stack([w2sg.gap_norm(a, b) for a, b in zip(weak, strong, strict=True)])
    chex.assert_trees_all_close(jax.vmap(w2sg.gap_norm)(weak, strong), loop, rtol=1e-11)
    predicted = w2sg.predicted_gap(weak[0], strong[0], LABELS)
    with jax.disable_jit():
        chex.assert_trees_all_close(w2sg.gap_norm(weak[0], strong[0]), loop[0], rtol=1e-11)
        chex.assert_trees_all_close(w2sg.predicted_gap(weak[0], strong[0], LABELS), predicted, rtol=1e-11)
    ridges = jnp.array([1e-3, 1e-2, 1.0])
    path = jax.vmap(lambda ridge: w2sg.gap_norm(weak[0], strong[0], ridge_weak=ridge))(ridges)
    single = jnp.stack([w2sg.gap_norm(weak[0], strong[0], ridge_weak=float(ridge)) for ridge in ridges])
    chex.assert_trees_all_close(path, single, rtol=1e-11)


def test_works_in_the_callers_precision():
    weak, strong = (h.astype(np.float32) for h in generic())
    value = w2sg.gap_norm(weak, strong)
    assert value.dtype == jnp.float32
    assert float(value) == pytest.approx(dense_gap(weak, strong).norm, rel=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scale": "Trace"}, r"scale: got 'Trace', expected one of 'trace', 'none'"),
        ({"weak": np.zeros((N, 3, 2))}, r"weak: expected a matrix .* got an array of shape \(40, 3, 2\)"),
        ({"weak": np.zeros((N + 1, 3))}, r"weak has 41 rows and strong has 40"),
        ({"strong": np.zeros((N, 3), complex)}, r"strong: complex numbers \(complex64\)|strong: complex numbers"),
        ({"strong": "text"}, r"strong: expected numbers, got an array of dtype <U4"),
        ({"ridge_weak": -1.0}, r"ridge_weak: got -1.0; a ridge is what is added to K/n"),
        ({"ridge_strong": 0.0}, r"ridge_strong: got 0; these solves need a positive ridge"),
        ({"labels": np.zeros((N, 2, 2))}, r"labels: expected shape \(40,\) or \(40, columns\), got \(40, 2, 2\)"),
    ],
)
def test_what_can_be_told_from_shapes_is_refused(change, message):
    weak, strong = generic()
    arguments = {"weak": weak, "strong": strong, "labels": LABELS} | BOTH | change
    with pytest.raises(w2sg.InputError, match=message):
        w2sg.predicted_gap(**arguments)
    if "labels" not in change:
        del arguments["labels"]
        with pytest.raises(w2sg.InputError, match=message):
            w2sg.gap_norm(**arguments)


@pytest.mark.parametrize("dtype", [np.float16, jnp.bfloat16, np.int32, "list"])
def test_every_kind_of_real_numbers_is_taken(dtype):
    weak, strong = (np.round(4 * h) for h in generic())
    strong[:, 5:] = np.arange(N)[:, None] % (2 + np.arange(D_STRONG - 5))
    convert = (lambda h: h.tolist()) if dtype == "list" else lambda h: h.astype(dtype)
    truth = w2sg.gap(w2sg.moments(weak, strong), 1e-2).norm
    assert float(w2sg.gap_norm(convert(weak), convert(strong))) == pytest.approx(truth, rel=1e-3)


def test_lists_are_read_as_everywhere():
    rng = np.random.default_rng(0)
    weak, strong = rng.normal(size=(30, 4)), rng.normal(size=(30, 6))
    assert float(w2sg.gap_norm(weak.tolist(), strong)) == pytest.approx(float(w2sg.gap_norm(weak, strong)), rel=1e-6)
