"""Ridge heads against scikit-learn, in its units, and against the pseudoinverse at ridge 0."""

import numpy as np
import pytest
from helpers import cases
from oracles import prepared
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge

import w2sg_jax as w2sg

RIDGES = [1e-6, 1e-3, 1e-1, 10.0]


@pytest.fixture(params=[(200, 12), (40, 90), (30, 30)], ids=str)
def problem(request):
    rng = np.random.default_rng(0)
    n, d = request.param
    h = rng.normal(size=(n + 20, d)) * np.arange(1, d + 1.0) ** -0.5 + 3
    return h[:n], h[n:], h[:n] @ rng.normal(size=(d, 3)) + rng.normal(size=(n, 3))


def test_equal_scikit_learn_after_unit_conversion(problem):
    h, fresh, y = problem
    n = len(h)
    heads = w2sg.ridge_path(h, y, RIDGES)
    unit = np.sqrt(((h - h.mean(axis=0)) ** 2).sum() / n)
    for ridge, ours in zip(RIDGES, heads.predict(fresh), strict=True):
        primal = Ridge(alpha=n * ridge, solver="svd").fit(h / unit, y).predict(fresh / unit)
        a, b = (h - h.mean(axis=0)) / unit, (fresh - h.mean(axis=0)) / unit
        dual = KernelRidge(alpha=n * ridge, kernel="linear").fit(a, y - y.mean(axis=0)).predict(b) + y.mean(axis=0)
        np.testing.assert_allclose(ours, primal, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(ours, dual, rtol=1e-9, atol=1e-9)


def test_raw_units_without_centring(problem):
    h, fresh, y = problem
    heads = w2sg.ridge_path(h, y, RIDGES, center=False, scale="none")
    assert np.all(heads.intercept == 0)
    for ridge, ours in zip(RIDGES, heads.predict(fresh), strict=True):
        theirs = Ridge(alpha=len(h) * ridge, fit_intercept=False, solver="svd").fit(h, y).predict(fresh)
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-8)


def test_ridge_zero_is_the_min_norm_solution(problem):
    h, _, y = problem
    heads = w2sg.ridge_path(h, y, [0.0], center=False, scale="none")
    np.testing.assert_allclose(heads.weights[0], np.linalg.pinv(h) @ y, rtol=1e-8, atol=1e-9)
    if h.shape[0] <= h.shape[1]:
        np.testing.assert_allclose(heads.predict(h)[0], y, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("name", ["rank_one", "duplicate_rows"])
def test_dropped_directions_are_counted(name):
    weak, _ = cases()[name]
    heads = w2sg.ridge_path(weak, weak[:, 0], [0.0])
    assert heads.dropped == weak.shape[1] - np.linalg.matrix_rank(prepared(weak))


def test_one_label_column_and_bad_input(problem):
    h, fresh, y = problem
    heads = w2sg.ridge_path(h, y[:, 0], [1e-2])
    np.testing.assert_allclose(heads.predict(fresh)[0, :, 0], w2sg.ridge_path(h, y, [1e-2]).predict(fresh)[0, :, 0])
    with pytest.raises(w2sg.InputError, match="h: 1 features; the heads were fitted on"):
        heads.predict(fresh[:, :1])
    with pytest.raises(w2sg.InputError, match="ridges: empty"):
        w2sg.ridge_path(h, y, [])
    with pytest.raises(w2sg.InputError, match="ridges: got -1"):
        w2sg.ridge_path(h, y, [-1.0])
    with pytest.raises(w2sg.InputError, match="h: the representation is constant"):
        w2sg.ridge_path(np.ones_like(h), y, [1.0])
    with pytest.raises(w2sg.InputError, match="y: 3 labels for"):
        w2sg.ridge_path(h, y[:3], [1.0])
    with pytest.raises(w2sg.InputError, match="h: nan at row 1, column 0"):
        heads.predict(np.where(np.arange(len(fresh))[:, None] == 1, np.nan, fresh))
    with pytest.raises(w2sg.InputError, match="h, y: the values are finite but a fit on them overflows"):
        w2sg.ridge_path(h, np.sign(y) * 1e308, [1e-3])
    with pytest.raises(w2sg.InputError, match="h: the representation is constant"):
        w2sg.ridge_path(np.full_like(h, 1e8 + 0.1), y, [1.0])


@pytest.mark.parametrize("condition", [1e3, 1e7, 1e9])
def test_ridge_zero_above_d_samples_fits_as_least_squares_do(condition):
    """Fitted values of the interpolator do not feel the condition number; squaring it would show here."""
    rng = np.random.default_rng(0)
    u, v = np.linalg.qr(rng.normal(size=(200, 10)))[0], np.linalg.qr(rng.normal(size=(10, 10)))[0]
    h = u * np.geomspace(1, 1 / condition, 10) @ v.T
    y = rng.normal(size=(200, 2))
    heads = w2sg.ridge_path(h, y, [0.0], center=False)
    truth = h @ np.linalg.lstsq(h, y, rcond=None)[0]
    assert heads.dropped == 0
    np.testing.assert_allclose(heads.predict(h)[0], truth, atol=1e-9 * max(1.0, condition / 1e6))


def test_huge_values_do_not_overflow(problem):
    h, fresh, y = problem
    np.testing.assert_allclose(
        w2sg.ridge_path(h * 1e200, y, [1e-2]).predict(fresh * 1e200), w2sg.ridge_path(h, y, [1e-2]).predict(fresh)
    )
