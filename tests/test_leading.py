"""leading_gap: the singular values of the full computation, with a residual, or the full computation itself."""

import json

import jax
import numpy as np
import pytest
from helpers import cases, relative, rotation
from oracles import dense_gap

import w2sg_jax as w2sg
from benchmarks.problems import known_pair
from w2sg_jax.theory import leading

CASES = cases()
RNG = np.random.default_rng(0)
LATENT = RNG.normal(size=(900, 80))
WEAK, STRONG = LATENT[:, :50] + 0.1 * RNG.normal(size=(900, 50)), LATENT * np.geomspace(1, 1e-2, 80)
M = w2sg.moments(WEAK, STRONG)


@pytest.mark.parametrize("ridge", [1e-3, 1e-2, 1.0, (1e-3, 1e-1)], ids=str)
@pytest.mark.parametrize("count", [1, 5])
def test_equals_the_full_computation_and_the_definition(ridge, count):
    found, full = w2sg.leading_gap(M, ridge, count=count), w2sg.gap(M, ridge)
    truth = dense_gap(WEAK, STRONG, ridge=ridge)
    if (ridge, count) == (1e-3, 5):  # the fifth value is too small for the squared form
        assert found.method == "full"
    else:
        assert found.method == "lanczos" and 0 <= found.residual <= 1e-7 and found.products > 2
    np.testing.assert_allclose(found.singular_values, full.singular_values[:count], rtol=1e-8)
    assert relative(found.norm, truth.norm) <= 1e-8
    assert (found.dof_weak, found.dof_strong) == pytest.approx((truth.dof_weak, truth.dof_strong), rel=1e-9)
    assert json.loads(json.dumps(found.to_dict()))["norm"] == found.norm


@pytest.mark.parametrize("ridge", [1e-8, 1e-6, 1e-2, 10.0])
@pytest.mark.parametrize("name", CASES)
def test_every_hard_pair_has_the_norm_of_the_definition(name, ridge):
    weak, strong = CASES[name]
    found = w2sg.leading_gap(w2sg.moments(weak, strong), ridge)
    assert relative(found.norm, dense_gap(weak, strong, ridge=ridge).norm) <= max(1e-8, 4.5 * 2.2e-16 / ridge)


def test_where_the_squared_form_is_too_coarse_the_full_computation_is_done():
    weak, strong = CASES["strong_inside_weak"]
    assert w2sg.leading_gap(w2sg.moments(weak, strong), 1e-4).method == "full"
    assert w2sg.leading_gap(w2sg.moments(*CASES["rank_one"]), 1e-2).method == "full"
    assert w2sg.leading_gap(w2sg.moments(WEAK, STRONG, dtype="float32"), 1e-2).method == "full"
    assert w2sg.leading_gap(w2sg.moments(WEAK[:100], STRONG[:100]), 1e-2).method == "full"


def test_lanczos_that_does_not_converge_falls_back(monkeypatch):
    monkeypatch.setattr(leading, "TOLERANCE", 0.0)
    found = w2sg.leading_gap(M, 1e-2)
    assert found.method == "full" and found.norm == w2sg.gap(M, 1e-2).norm and found.residual == 0.0


def test_the_device_operator_is_that_of_the_host(monkeypatch):
    host = w2sg.leading_gap(M, (1e-3, 1e-2), count=3)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    device = w2sg.leading_gap(M, (1e-3, 1e-2), count=3)
    assert device.method == "lanczos"
    np.testing.assert_allclose(device.singular_values, host.singular_values, rtol=1e-9)
    assert jax.default_backend() == "gpu"


SCALES = np.arange(1, 401.0) ** -0.9
WIDE = RNG.normal(size=(900, 400)) * SCALES
WIDE_WEAK = (0.7 * WIDE[:, :300] + RNG.normal(size=(900, 300)) * SCALES[:300]) @ rotation(RNG, 300)
WIDE_MOMENTS = w2sg.moments(WIDE_WEAK, WIDE)


@pytest.mark.parametrize("threshold", [0.05, (0.05, 0.01), (0.0, 0.05), (0.05, 0.0)], ids=str)
@pytest.mark.parametrize("ridge", [1e-2, (1e-3, 0.1)], ids=str)
def test_thresholds_need_the_kept_components_alone(threshold, ridge):
    found = w2sg.leading_gap(WIDE_MOMENTS, ridge, threshold, count=3)
    full, truth = w2sg.gap(WIDE_MOMENTS, ridge, threshold), dense_gap(WIDE_WEAK, WIDE, ridge=ridge, threshold=threshold)
    assert found.method == ("lanczos" if threshold == (0.05, 0.0) else "principal") and found.residual <= 2e-8
    np.testing.assert_allclose(found.singular_values, full.singular_values[:3], rtol=1e-8)
    assert relative(found.norm, truth.norm) <= 1e-8
    assert (found.rank_weak, found.rank_strong) == (full.rank_weak, full.rank_strong)
    assert (found.dof_weak, found.dof_strong) == pytest.approx((full.dof_weak, full.dof_strong), rel=1e-9)


def test_projectors_at_ridge_zero():
    found, full = (f(WIDE_MOMENTS, 0.0, 0.05) for f in (w2sg.leading_gap, w2sg.gap))
    assert found.method == "principal" and relative(found.norm, full.norm) <= 1e-8


@pytest.mark.parametrize("threshold", [1e-6, (1e-6, 0.05)], ids=str)
def test_thresholds_that_keep_most_components_fall_back(threshold):
    found, full = (f(WIDE_MOMENTS, 1e-2, threshold) for f in (w2sg.leading_gap, w2sg.gap))
    assert found.method == "full" and found.norm == full.norm and found.rank_strong == full.rank_strong


def test_raw_units():
    raw = w2sg.moments(WEAK, STRONG, center=False)
    found, full = (f(raw, (0.3, 0.1), scale="none") for f in (w2sg.leading_gap, w2sg.gap))
    assert found.method == "lanczos" and relative(found.norm, full.norm) <= 1e-8


def test_a_population_whose_norm_is_known():
    m, norm = known_pair(96, 1e-3, seed=3)
    assert relative(w2sg.leading_gap(m, 1e-3).norm, norm) <= 1e-10
    assert relative(w2sg.gap(m, 1e-3).norm, norm) <= 1e-10
    assert np.linalg.eigvalsh(m.product)[0] > 0 and np.allclose(m.product, m.product.T, atol=1e-15)


def test_refusals():
    with pytest.raises(w2sg.InputError, match=r"count: got 79 of 80 singular values; w2sg_jax.gap computes all"):
        w2sg.leading_gap(M, count=79)
    with pytest.raises(w2sg.InputError, match=r"count: got 0; expected a whole number, 1 or more"):
        w2sg.leading_gap(M, count=0)
    with pytest.raises(w2sg.InputError, match=r"ridge: got -1"):
        w2sg.leading_gap(M, -1.0)
    with pytest.raises(w2sg.InputError, match=r"weak: the representation is constant"):
        w2sg.leading_gap(w2sg.moments(np.ones((200, 5)), STRONG[:200]))
