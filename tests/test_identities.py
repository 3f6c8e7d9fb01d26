"""The identities of the theory, as properties of random pairs."""

import itertools

import numpy as np
import pytest
from helpers import rotation
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import dense_gap, prepared, smoother

import w2sg_jax as w2sg

settings.register_profile("suite", max_examples=25, deadline=None, derandomize=True)
settings.load_profile("suite")


@st.composite
def pairs(draw):
    """A weak and a strong representation that share some latent directions, with spectra of any decay."""
    n = draw(st.sampled_from([12, 40, 90]))
    d_weak, d_strong = draw(st.sampled_from([(5, 9), (9, 5), (30, 20), (7, 7)]))
    decay = draw(st.floats(0, 3))
    rng = np.random.default_rng(draw(st.integers(0, 2**20)))
    latent = rng.normal(size=(n, 40))
    weak = latent[:, :d_weak] * np.arange(1, d_weak + 1.0) ** -decay @ rotation(rng, d_weak)
    strong = latent[:, 3 : 3 + d_strong] * np.arange(1, d_strong + 1.0) ** -decay @ rotation(rng, d_strong)
    return weak, strong, rng


ridges = st.floats(-5, 1).map(lambda e: 10.0**e)


@given(pairs(), ridges, ridges)
def test_bounds(pair, ridge_weak, ridge_strong):
    weak, strong, _ = pair
    g = w2sg.gap(w2sg.moments(weak, strong), (ridge_weak, ridge_strong))
    values = np.linalg.svd(prepared(strong) / np.sqrt(len(strong)), compute_uv=False) ** 2
    top_gain = values[0] / (values[0] + ridge_strong)
    assert 0 <= g.norm <= top_gain * (1 + 1e-9) < 1
    assert g.frobenius**2 * g.n <= g.dof_strong * (1 + 1e-9)
    assert np.all(np.diff(g.singular_values) <= 0) and g.singular_values[0] == g.norm


@given(pairs(), ridges)
def test_identical_representations(pair, ridge):
    weak, _, _ = pair
    g = w2sg.gap(w2sg.moments(weak, weak), ridge)
    values = np.linalg.svd(prepared(weak) / np.sqrt(len(weak)), compute_uv=False) ** 2
    gains = values / (values + ridge)
    assert g.norm == pytest.approx((gains * (1 - gains)).max(), rel=1e-7)
    assert g.norm <= 0.25 * (1 + 1e-9)


@given(pairs(), ridges, st.floats(-9, 9))
def test_rotation_and_scale_invariance(pair, ridge, exponent):
    weak, strong, rng = pair
    g = w2sg.gap(w2sg.moments(weak, strong), ridge)
    moved = w2sg.moments(
        weak @ rotation(rng, weak.shape[1]) * 10.0**exponent, strong @ rotation(rng, strong.shape[1]) - 3
    )
    assert w2sg.gap(moved, ridge).norm == pytest.approx(g.norm, rel=1e-8)


@pytest.mark.driver
@given(pairs(), ridges)
def test_merging_order_and_streaming_change_nothing(pair, ridge):
    weak, strong, _ = pair
    labels = strong[:, :2] + weak[:, 3:5]
    whole = w2sg.gap(w2sg.moments(weak, strong, labels), ridge)
    cuts = np.array_split(np.arange(len(weak)), 3)
    parts = [w2sg.moments(weak[rows], strong[rows], labels[rows]) for rows in cuts]
    for order in itertools.permutations(range(3)):
        first, second, third = (parts[i] for i in order)
        for m in (w2sg.merge(w2sg.merge(first, second), third), w2sg.merge(first, w2sg.merge(second, third))):
            g = w2sg.gap(m, ridge)
            assert g.n == whole.n
            assert g.norm == pytest.approx(whole.norm, rel=1e-9)
            assert g.predicted == pytest.approx(whole.predicted, rel=1e-8, abs=1e-14)


@given(pairs(), ridges)
def test_gulp_distance(pair, ridge):
    """|P_w - P_s|_F^2 = tr P_w^2 + tr P_s^2 - 2 tr P_w P_s: GULP from the same moments."""
    weak, strong, _ = pair
    m = w2sg.moments(weak, strong)
    p_w, p_s = smoother(prepared(weak), ridge), smoother(prepared(strong), ridge)
    sigma_weak, sigma_strong = m.sigma_weak / np.trace(m.sigma_weak), m.sigma_strong / np.trace(m.sigma_strong)
    cross = m.sigma_cross / np.sqrt(np.trace(m.sigma_weak) * np.trace(m.sigma_strong))
    resolvent_weak = np.linalg.inv(sigma_weak + ridge * np.eye(len(sigma_weak)))
    resolvent_strong = np.linalg.inv(sigma_strong + ridge * np.eye(len(sigma_strong)))
    squares = [
        np.trace(np.linalg.matrix_power(r @ s, 2))
        for r, s in ((resolvent_weak, sigma_weak), (resolvent_strong, sigma_strong))
    ]
    gulp = squares[0] + squares[1] - 2 * np.trace(resolvent_strong @ cross @ resolvent_weak @ cross.T)
    assert gulp == pytest.approx(((p_w - p_s) ** 2).sum(), abs=1e-8 * (squares[0] + squares[1]))


@given(pairs(), ridges)
def test_more_weak_columns_lower_the_average_gap(pair, ridge):
    """tr(I - P_w) falls when columns are added at the same absolute ridge."""
    weak, strong, _ = pair
    few = w2sg.gap(w2sg.moments(weak[:, :3], strong, center=False), (ridge, 1.0), scale="none")
    more = w2sg.gap(w2sg.moments(weak, strong, center=False), (ridge, 1.0), scale="none")
    assert more.dof_weak >= few.dof_weak * (1 - 1e-9)


def test_saturates_at_one_when_the_strong_rank_is_larger():
    rng = np.random.default_rng(0)
    g = w2sg.gap(w2sg.moments(rng.normal(size=(100, 5)), rng.normal(size=(100, 9))), 1e-8)
    assert g.norm == pytest.approx(1.0, abs=1e-6)


def test_vanishes_when_strong_is_inside_weak():
    rng = np.random.default_rng(0)
    weak = rng.normal(size=(300, 20))
    norms = [
        w2sg.gap(w2sg.moments(weak, weak @ rng.normal(size=(20, 6))), (ridge, 1e-2)).norm
        for ridge in (1e-2, 1e-4, 1e-8)
    ]
    assert norms[0] > norms[1] > norms[2] and norms[2] < 1e-6


def test_frobenius_is_the_expected_predicted_gap():
    rng = np.random.default_rng(0)
    weak, strong = rng.normal(size=(60, 5)), rng.normal(size=(60, 9))
    labels = rng.normal(size=(60, 20_000))
    truth = dense_gap(weak, strong, labels, ridge=0.1)
    assert truth.predicted / 20_000 == pytest.approx(truth.frobenius**2, rel=0.02)
    assert w2sg.gap(w2sg.moments(weak, strong), 0.1).frobenius == pytest.approx(truth.frobenius, rel=1e-10)
