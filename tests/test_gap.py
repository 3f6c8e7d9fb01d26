"""gap, gap_grid and gap_scores against the dense float64 definition, on everything that breaks linear algebra."""

import chex
import jax
import numpy as np
import pytest
from helpers import RIDGES, cases, labels_for, relative, tolerance
from oracles import dense_gap, prepared, smoother, smoother_by_solve

import w2sg_jax as w2sg
from w2sg_jax.numerics import lanczos
from w2sg_jax.theory.gap import gap_of_pair
from w2sg_jax.theory.gap_operator import make_pair
from w2sg_jax.theory.kernel import joint_factor

CASES = cases()
FIELDS = ("norm", "frobenius", "predicted", "dof_weak", "dof_strong")


def test_the_oracle_is_the_literal_definition():
    h = prepared(CASES["gaussian"][0])
    np.testing.assert_allclose(smoother(h, 1e-2), smoother_by_solve(h, 1e-2), atol=1e-13)


@pytest.mark.parametrize("ridge", RIDGES, ids=str)
@pytest.mark.parametrize("name", CASES)
def test_matches_the_dense_definition(name, ridge):
    weak, strong = CASES[name]
    labels = labels_for(strong)
    g = w2sg.gap(w2sg.moments(weak, strong, labels), ridge)
    truth = dense_gap(weak, strong, labels, ridge=ridge)
    for field in FIELDS:
        assert relative(getattr(g, field), getattr(truth, field)) <= tolerance(ridge), field
    values = np.zeros_like(truth.singular_values)
    values[: len(g.singular_values)] = g.singular_values[: len(values)]
    np.testing.assert_allclose(values, truth.singular_values, atol=max(1e-7, 1e2 * tolerance(ridge)) * truth.norm)


@pytest.mark.parametrize("ridge", [1e-3, 1e-6, 1e-8])
def test_strong_inside_weak_is_resolved_far_below_the_floor_of_the_squared_formula(ridge):
    weak, strong = CASES["strong_inside_weak"]
    truth = dense_gap(weak, strong, ridge=ridge).norm
    assert abs(w2sg.gap(w2sg.moments(weak, strong), ridge).norm - truth) <= 1e-8


@pytest.mark.parametrize("ridge", [1e-6, 1e-2, (1e-4, 1e-1)], ids=str)
@pytest.mark.parametrize("name", ["gaussian", "n_below_d_both", "offset", "scales"])
def test_raw_units_are_the_papers_definition(name, ridge):
    weak, strong = CASES[name]
    unit = [1e-24, 1e24] if name == "scales" else [1.0, 1.0]
    pair = tuple(r * u for r, u in zip(ridge if isinstance(ridge, tuple) else (ridge, ridge), unit, strict=True))
    labels = labels_for(strong)
    if name == "offset":  # without centring an offset is signal of 1e8 times the trace; keep it moderate
        weak, strong = weak % 10.0, strong % 10.0
    g = w2sg.gap(w2sg.moments(weak, strong, labels, center=False), pair, scale="none")
    truth = dense_gap(weak, strong, labels, ridge=pair, center=False, scale="none")
    for field in FIELDS:
        assert relative(getattr(g, field), getattr(truth, field)) <= 1e2 * tolerance(ridge), field
    assert (g.scale, g.center) == ("none", False)


@pytest.mark.parametrize("threshold", [1e-3, 1e-1, (0.0, 0.05), (0.3, 0.0)], ids=str)
@pytest.mark.parametrize("name", ["power_law", "power_law_shared", "identical_power_law"])
def test_threshold_keeps_the_principal_subspace(name, threshold):
    weak, strong = CASES[name]
    labels = labels_for(strong)
    g = w2sg.gap(w2sg.moments(weak, strong, labels), 1e-3, threshold)
    truth = dense_gap(weak, strong, labels, ridge=1e-3, threshold=threshold)
    for field in FIELDS:
        assert relative(getattr(g, field), getattr(truth, field)) <= 1e-9, field
    assert g.rank_weak + g.dropped_weak == weak.shape[1]
    assert g.rank_strong + g.dropped_strong == strong.shape[1]
    assert g.dropped_weak + g.dropped_strong > 0


@pytest.mark.parametrize("name", CASES)
def test_float32_is_right_or_says_that_it_is_not(name):
    weak, strong = CASES[name]
    for ridge in (1e-6, 1e-4, 1e-2, 1.0):
        g = w2sg.gap(w2sg.moments(weak, strong, dtype="float32"), ridge)
        truth = dense_gap(weak, strong, ridge=ridge)
        assert g.dtype == "float32"
        assert relative(g.norm, truth.norm) <= 1e-4 or any("float32" in note for note in g.warnings)
    assert relative(g.norm, truth.norm) <= 1e-4 or "identical" in name or "inside" in name


def test_float32_at_a_tiny_ridge_warns():
    g = w2sg.gap(w2sg.moments(*CASES["gaussian"], dtype="float32"), 1e-6)
    assert any("float32 moments" in note and "float64" in note for note in g.warnings)
    latent = CASES["gaussian"][1]
    few = w2sg.moments(latent[:25, :12], latent[:25, :12] @ latent[:12, :13], dtype="float32")
    assert few.rows is not None
    assert any("float32 samples" in note and "float64" in note for note in w2sg.gap(few, 1e-10).warnings)
    assert not w2sg.gap(few, 1e-2).warnings


def test_saturation_is_said():
    g = w2sg.gap(w2sg.moments(*CASES["gaussian"]), 1e-8)
    assert any("saturated" in note for note in g.warnings)


def test_ridge_zero_is_the_projector_when_the_rank_is_clear():
    rng = np.random.default_rng(0)
    strong = rng.normal(size=(200, 12))
    weak = rng.normal(size=(200, 30))
    truth = dense_gap(weak, strong, ridge=0.0)
    g = w2sg.gap(w2sg.moments(weak, strong), 0.0)
    assert (g.norm, g.dof_weak, g.dof_strong) == pytest.approx((truth.norm, 30, 12), rel=1e-12)
    contains = np.concatenate([strong @ rng.normal(size=(12, 12)), weak[:, :5]], axis=1)
    assert w2sg.gap(w2sg.moments(contains, strong), 0.0).norm <= 1e-7
    assert w2sg.gap(w2sg.moments(strong[:, :11], strong), 0.0).norm == pytest.approx(1.0, abs=1e-9)


def test_ridge_zero_refuses_a_rank_that_rounding_decides():
    rng = np.random.default_rng(0)
    weak, strong = rng.normal(size=(200, 12)), rng.normal(size=(200, 9))
    weak[:, 1] = weak[:, 0] + 1e-6 * weak[:, 1]
    with pytest.raises(w2sg.InputError, match=r"ridge: 0 for the weak model.*rank deficient.*pass a ridge > 0"):
        w2sg.gap(w2sg.moments(weak, strong), 0.0)
    with pytest.raises(w2sg.InputError, match=r"ridge: 0 for the strong model"):
        w2sg.gap(w2sg.moments(strong, weak), (1e-2, 0.0))
    assert w2sg.gap(w2sg.moments(weak, strong), 0.0, threshold=1e-9).rank_weak == 11


def test_grid_equals_single_calls():
    weak, strong = CASES["gaussian"]
    m = w2sg.moments(weak, strong, labels_for(strong))
    ridges, thresholds = [1e-4, (1e-2, 1e-3), 1.0], [0.0, (0.1, 0.5)]
    grid = w2sg.gap_grid(m, ridges, thresholds)
    for i, ridge in enumerate(ridges):
        for j, threshold in enumerate(thresholds):
            g = w2sg.gap(m, ridge, threshold)
            for field in ("norm", "frobenius", "predicted", "dof_weak", "dof_strong", "rank_weak", "rank_strong"):
                assert getattr(grid, field)[i, j] == pytest.approx(getattr(g, field), rel=1e-11), field
    assert w2sg.gap_grid(w2sg.moments(weak, strong), [1.0]).predicted is None


@pytest.mark.driver
@pytest.mark.parametrize("name", CASES)
def test_every_point_of_a_grid_over_a_hard_pair_is_that_of_its_own_computation(name):
    """Whether the sweep resolves it or not; so also beside repeated eigenvalues, lost rank and vanishing norms."""
    weak, strong = CASES[name]
    m = w2sg.moments(weak, strong, labels_for(strong))
    ridges, thresholds = (1e-8, 1e-4, 1e-2, (10.0, 1e-2)), (0.0, (1e-3, 1e-2))
    grid = w2sg.gap_grid(m, ridges, thresholds)
    factor = joint_factor(m)
    pair = make_pair(m, factor)
    for i, ridge in enumerate(ridges):
        for j, threshold in enumerate(thresholds):
            g = gap_of_pair(m, factor, pair, ridge, threshold)
            for field in ("norm", "frobenius", "predicted", "dof_weak", "dof_strong"):
                assert relative(getattr(grid, field)[i, j], getattr(g, field)) <= 1e-9, field
            assert (grid.rank_weak[i, j], grid.rank_strong[i, j]) == (g.rank_weak, g.rank_strong)


def test_points_that_do_not_converge_or_are_too_coarse_are_computed_one_by_one(monkeypatch):
    weak, strong = CASES["gaussian"]
    m = w2sg.moments(weak, strong)
    truth = w2sg.gap_grid(m, [1e-4, 1e-2])
    monkeypatch.setattr(lanczos, "STEPS", 2)
    monkeypatch.setattr(lanczos, "MOST_STEPS", 2)
    np.testing.assert_allclose(w2sg.gap_grid(m, [1e-4, 1e-2]).norm, truth.norm, rtol=1e-10)
    monkeypatch.setattr(lanczos, "STEPS", 3)
    monkeypatch.setattr(lanczos, "MOST_STEPS", 48)
    monkeypatch.setattr(lanczos, "MOST_POINTS", 1)
    np.testing.assert_allclose(w2sg.gap_grid(m, [1e-4, 1e-2]).norm, truth.norm, rtol=1e-10)


def test_grids_share_programs_whatever_their_points(monkeypatch):
    chex.clear_trace_counter()
    counted = jax.jit(chex.assert_max_traces(lanczos._recurrence.__wrapped__, n=6), static_argnums=(0, 1))
    monkeypatch.setattr(lanczos, "_recurrence", counted)
    m = w2sg.moments(*CASES["gaussian"])
    for ridge in (1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0):
        w2sg.gap_grid(m, [ridge, 2 * ridge, 3 * ridge])


def test_an_empty_grid_is_refused():
    m = w2sg.moments(*CASES["gaussian"])
    with pytest.raises(w2sg.InputError, match="ridges: empty; pass at least one"):
        w2sg.gap_grid(m, [])


@pytest.mark.parametrize("name", ["gaussian", "n_below_d_both", "offset", "bfloat16"])
def test_scores_are_the_rows_of_the_dense_product(name):
    weak, strong = CASES[name]
    labels = labels_for(strong)
    scores = w2sg.gap_scores(weak, strong, labels, (1e-3, 1e-2), (0.0, 1e-2))
    truth = dense_gap(weak, strong, labels, ridge=(1e-3, 1e-2), threshold=(0.0, 1e-2))
    np.testing.assert_allclose(scores, truth.scores, atol=1e-9 * truth.scores.max())
    assert (scores**2).mean() == pytest.approx(truth.predicted, rel=1e-9)


def test_results_are_plain_float64_and_leave_the_configuration_alone():
    before = jax.config.jax_enable_x64
    g = w2sg.gap(w2sg.moments(*CASES["gaussian"]))
    assert type(g.norm) is float and g.singular_values.dtype == np.float64 and g.predicted is None
    assert jax.config.jax_enable_x64 == before
    record = g.to_dict()
    assert record["singular_values"][0] == g.norm and isinstance(record["warnings"], list)


@pytest.mark.parametrize("scale", [1e-120, 1e-80, 1e80, 1e140])
def test_both_representations_of_any_scale(scale):
    """The product of two traces overflows, or vanishes, long before either of them."""
    weak, strong = CASES["gaussian"]
    labels = labels_for(strong)
    truth = dense_gap(weak, strong, labels)
    m = w2sg.moments(scale * weak, scale * strong, labels)
    found = w2sg.gap(m)
    for field in ("norm", "frobenius", "predicted", "dof_weak"):
        assert getattr(found, field) == pytest.approx(getattr(truth, field), rel=1e-11), field
    assert w2sg.leading_gap(m).norm == pytest.approx(truth.norm, rel=1e-9)
