"""gap_norm and predicted_gap: equal to the accurate functions, and gradients that are right and finite."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import cases, labels_for
from oracles import dense_gap

import w2sg_jax as w2sg

CASES = cases()
BOTH = {"ridge_weak": 1e-2, "ridge_strong": 1e-3}


@pytest.fixture(autouse=True)
def float64():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize(
    "name", ["gaussian", "power_law", "n_below_d_both", "n_below_d_strong", "n_below_d_weak", "scales"]
)
@pytest.mark.parametrize("center", [True, False])
def test_values(name, center):
    weak, strong = CASES[name]
    labels = labels_for(strong)
    truth = dense_gap(weak, strong, labels, ridge=(1e-2, 1e-3), center=center)
    assert w2sg.gap_norm(weak, strong, center=center, **BOTH) == pytest.approx(truth.norm, rel=1e-9)
    assert w2sg.predicted_gap(weak, strong, labels, center=center, **BOTH) == pytest.approx(truth.predicted, rel=1e-9)


@pytest.mark.parametrize("name", ["gaussian", "n_below_d_both"])
@pytest.mark.parametrize("scale", ["trace", "none"])
def test_gradients_against_finite_differences(name, scale):
    weak, strong = CASES[name]
    labels = labels_for(strong)
    rng = np.random.default_rng(0)
    direction = rng.normal(size=weak.shape), rng.normal(size=strong.shape)
    step = 1e-5

    def along(function):
        path = lambda t: function(weak + t * direction[0], strong + t * direction[1])  # noqa: E731
        return float(jax.grad(path)(0.0)), float(path(step) - path(-step)) / (2 * step)

    for function in (
        lambda a, b: w2sg.gap_norm(a, b, scale=scale, **BOTH),
        lambda a, b: w2sg.predicted_gap(a, b, labels, scale=scale, **BOTH),
    ):
        exact, difference = along(function)
        assert exact == pytest.approx(difference, rel=1e-5, abs=1e-9)


@pytest.mark.parametrize(
    "name", ["repeated_eigenvalues", "duplicate_rows", "rank_one", "identical", "n_below_d_both", "strong_inside_weak"]
)
def test_gradients_are_finite_where_eigenvectors_are_not(name):
    weak, strong = (jnp.asarray(h) for h in CASES[name])
    labels = labels_for(strong)
    chex.assert_tree_all_finite(jax.grad(w2sg.gap_norm, argnums=(0, 1))(weak, strong))
    chex.assert_tree_all_finite(jax.grad(w2sg.predicted_gap, argnums=(0, 1, 2))(weak, strong, labels))


def test_jit_is_eager_and_vmap_is_a_loop():
    rng = np.random.default_rng(0)
    weak, strong, labels = rng.normal(size=(4, 50, 6)), rng.normal(size=(4, 50, 9)), rng.normal(size=(4, 50))
    loop = jnp.stack([w2sg.gap_norm(a, b) for a, b in zip(weak, strong, strict=True)])
    chex.assert_trees_all_close(jax.vmap(w2sg.gap_norm)(weak, strong), loop, rtol=1e-11)
    chex.assert_trees_all_close(jax.jit(w2sg.gap_norm)(weak[0], strong[0]), loop[0], rtol=1e-11)
    loop = jnp.stack([w2sg.predicted_gap(*three) for three in zip(weak, strong, labels, strict=True)])
    chex.assert_trees_all_close(jax.vmap(w2sg.predicted_gap)(weak, strong, labels), loop, rtol=1e-11)
    ridges = jnp.array([1e-3, 1e-2, 1.0])
    path = jax.vmap(lambda ridge: w2sg.gap_norm(weak[0], strong[0], ridge_weak=ridge))(ridges)
    single = jnp.stack([w2sg.gap_norm(weak[0], strong[0], ridge_weak=float(ridge)) for ridge in ridges])
    chex.assert_trees_all_close(path, single, rtol=1e-11)


def test_works_in_the_callers_precision():
    weak, strong = (h.astype(np.float32) for h in CASES["gaussian"])
    value = w2sg.gap_norm(weak, strong)
    assert value.dtype == jnp.float32
    assert float(value) == pytest.approx(dense_gap(weak, strong).norm, rel=1e-4)
