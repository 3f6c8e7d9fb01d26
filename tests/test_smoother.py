"""The implicit ridge: its equation to rounding, the cases that can be written out, and smoothers of drawn samples."""

from fractions import Fraction

import numpy as np
import pytest

import w2sg_jax as w2sg
from w2sg_jax.theory.smoother import implicit_ridge

pytestmark = pytest.mark.driver  # without JAX

SPECTRA = {
    "power law": np.arange(1, 401.0) ** -1.2,
    "few": np.array([3.0, 1.0, 1e-3]),
    "one": np.array([2.0]),
    "flat": np.full(200, 0.7),
    "twelve decades": np.geomspace(1, 1e-12, 60),
    "large numbers": 1e200 * np.arange(1, 41.0) ** -0.5,
    "small numbers": 1e-200 * np.arange(1, 41.0) ** -0.5,
    "spikes on a bulk": np.concatenate([[50.0, 20.0], np.full(2000, 1e-3)]),
}


@pytest.mark.parametrize("n", [1, 2, 7, 40, 199, 201, 10_000])
@pytest.mark.parametrize("share", [0.0, 1e-12, 1e-3, 1.0, 1e6])
@pytest.mark.parametrize("name", SPECTRA)
def test_the_equation_holds_to_rounding(name, share, n):
    """In exact arithmetic the equation changes sign within a few roundings of what is returned."""
    values = SPECTRA[name]
    ridge = share * values.sum()
    found = implicit_ridge(values, ridge, n)
    if ridge == 0 and len(values) <= n:
        assert found == 0.0
        return
    assert ridge <= found <= (ridge + values.sum() / n) * (1 + 1e-12) and np.isfinite(found)
    exact = [Fraction(float(value)) for value in values]

    def excess(kappa: float) -> Fraction:
        k = Fraction(kappa)
        return k * (1 - sum((one / (one + k) for one in exact), Fraction(0)) / n) - Fraction(float(ridge))

    if len(values) <= 60:  # fractions of more of them have a million digits
        slack = 1e-12 if ridge == 0 or n <= len(values) else 1e-14
        assert excess(found * (1 - slack)) <= 0 <= excess(found * (1 + slack))
    assert found == pytest.approx(ridge + found * (values / (values + found)).sum() / n, rel=1e-9)


@pytest.mark.parametrize(("n", "ridge"), [(50, 0.1), (500, 0.1), (200, 1e-9), (100, 0.0)])
def test_equal_eigenvalues_have_a_quadratic_equation(n, ridge):
    k, value = 200, 0.7
    b = value * (1 - k / n) - ridge
    expected = (-b + np.sqrt(b**2 + 4 * value * ridge)) / 2
    if b > 0 and ridge > 0:
        expected = 2 * value * ridge / (b + np.sqrt(b**2 + 4 * value * ridge))
    assert implicit_ridge(np.full(k, value), ridge, n) == pytest.approx(expected, rel=1e-12)


def test_a_bulk_that_nobody_can_learn_is_a_ridge():
    """k spikes on a bulk of small variance: kappa = (beta + gamma) / (1 - k/n), gamma the bulk's variance over n."""
    spikes, bulk, n, ridge = np.array([1e6, 5e5, 2e5]), np.full(10**6, 2e-5), 100, 0.05
    gamma = bulk.sum() / n
    found = implicit_ridge(np.concatenate([spikes, bulk]), ridge, n)
    assert found == pytest.approx((ridge + gamma) / (1 - 3 / n), rel=1e-3)


@pytest.mark.parametrize(("n", "ridge"), [(100, 1e-2), (400, 1e-3), (1500, 1e-4)])
def test_heads_of_drawn_samples_keep_what_the_implicit_ridge_says(n, ridge):
    values = np.arange(1, 501.0) ** -1.1
    values /= values.sum()
    kappa = implicit_ridge(values, ridge, n)
    rng, kept = np.random.default_rng(0), []
    for _ in range(8):
        h = rng.normal(size=(n, 500)) * np.sqrt(values)
        found = np.linalg.eigvalsh(h @ h.T / n if n < 500 else h.T @ h / n)
        kept.append((found / (found + ridge)).sum())
    assert np.mean(kept) == pytest.approx((values / (values + kappa)).sum(), rel=0.01)


def test_ridges_and_sizes_that_cannot_be():
    for ridge, n, message in ((-1.0, 5, "ridge"), (float("nan"), 5, "ridge"), (1.0, 0, "n: ")):
        with pytest.raises(w2sg.InputError, match=message):
            implicit_ridge(np.ones(3), ridge, n)
