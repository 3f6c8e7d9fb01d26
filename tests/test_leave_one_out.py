"""Leave-one-out errors against heads that are fitted without the samples, and the minimum against a fine grid."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge

import w2sg_jax as w2sg
from w2sg_jax.theory.leave_one_out import PATH


def sample(n, d, c=1, seed=0, noise=0.5, offset=3.0):
    rng = np.random.default_rng(seed)
    h = rng.normal(size=(n, d)) * np.arange(1, d + 1.0) ** -0.6
    return h + offset, h @ rng.normal(size=(d, c)) + noise * rng.normal(size=(n, c)) + 2.0


def by_refits(h, y, ridge, groups, center=True, scale="trace"):
    """Residuals of heads that never saw the group; penalty and unit are those of all samples."""
    n = len(h)
    centred = h - h.mean(axis=0) if center else h
    unit = np.sqrt((centred**2).sum() / n) if scale == "trace" else 1.0
    found = np.empty_like(y)
    for one in np.unique(groups):
        out = groups == one
        head = Ridge(alpha=n * ridge, fit_intercept=center, solver="svd").fit(h[~out] / unit, y[~out])
        found[out] = y[out] - head.predict(h[out] / unit).reshape(y[out].shape)
    return found


GROUPS = {
    "samples": lambda n: None,
    "pairs": lambda n: np.arange(n) // 2,
    "writers of one to six": lambda n: np.searchsorted(np.cumsum([1, 2, 3, 4, 5, 6] * n), np.arange(n), side="right"),
    "names, mixed": lambda n: np.array(["a", "b", "c", "d", "e"])[np.arange(n) * 7 % 5],
}


@pytest.mark.parametrize("groups", GROUPS)
@pytest.mark.parametrize(("n", "d"), [(60, 8), (30, 70), (40, 40)], ids=str)
def test_equal_to_fitting_without_each_group(n, d, groups):
    h, y = sample(n, d, c=2)
    given = GROUPS[groups](n)
    path = [1e-4, 1e-2, 1.0]
    found = w2sg.leave_one_out(h, y, groups=given, ridges=path)
    apart = np.arange(n) if given is None else given
    for ridge, error in zip(path, found.errors, strict=True):
        truth = by_refits(h, y, ridge, apart)
        assert error == pytest.approx((truth**2).sum() / n, rel=1e-8)
    np.testing.assert_allclose(found.residuals, by_refits(h, y, found.ridge, apart), rtol=1e-6, atol=1e-8)
    assert found.error == pytest.approx((found.residuals**2).sum() / n, rel=1e-12)
    assert found.n_groups == len(np.unique(apart))


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("scale", ["trace", "none"])
def test_in_all_units(center, scale):
    h, y = sample(50, 12)
    ridge = 0.3
    found = w2sg.leave_one_out(h, y[:, 0], ridges=[ridge, 2 * ridge], center=center, scale=scale)
    truth = by_refits(h, y, ridge, np.arange(50), center, scale)
    assert found.errors[0] == pytest.approx((truth**2).mean(), rel=1e-9)


@pytest.mark.parametrize("n", [60, 25])
def test_generalised_cross_validation_is_its_formula(n):
    h, y = sample(n, 40)
    found = w2sg.leave_one_out(h, y, ridges=[1e-3, 1e-1])
    centred = h - h.mean(axis=0)
    a = centred / np.sqrt((centred**2).sum() / n)
    for ridge, gcv in zip(found.ridges, found.gcv, strict=True):
        smoother = a @ np.linalg.solve(a.T @ a / n + ridge * np.eye(40), a.T) / n + 1 / n
        rest = y - smoother @ y
        assert gcv == pytest.approx((rest**2).mean() / (1 - np.trace(smoother) / n) ** 2, rel=1e-9)


def test_generalised_cross_validation_of_groups_is_leave_one_out_where_all_are_alike():
    """Samples that a rotation of the groups into each other leaves alone: every block is the average one."""
    angles = 2 * np.pi * np.arange(12) / 12
    one = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    h = np.concatenate([one, 2 * one])
    y = np.random.default_rng(0).normal(size=24)
    alone = w2sg.leave_one_out(h, y, ridges=[0.1, 1.0], groups=np.arange(24) % 12)
    smoother = h @ np.linalg.solve(h.T @ h / 24 + 0.1 * (h**2).sum() / 24 * np.eye(2), h.T) / 24 + 1 / 24
    blocks = np.array([smoother[np.ix_([g, g + 12], [g, g + 12])] for g in range(12)])
    mean = blocks.mean(axis=0)
    average = np.full((2, 2), mean[0, 1]) + np.eye(2) * (np.trace(mean) / 2 - mean[0, 1])
    rest = y - smoother @ y
    expected = np.mean([(np.linalg.solve(np.eye(2) - average, rest[[g, g + 12]]) ** 2).sum() for g in range(12)]) / 2
    assert alone.gcv[0] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("n", "d", "noise"), [(200, 20, 2.0), (60, 150, 0.3), (100, 100, 1.0)])
def test_the_minimum_is_that_of_a_fine_grid(n, d, noise):
    h, y = sample(n, d, noise=noise, seed=3)
    found = w2sg.leave_one_out(h, y)
    fine = w2sg.leave_one_out(h, y, ridges=np.geomspace(found.ridges[0], found.ridges[-1], 2001))
    assert not found.warnings and found.ridges.tolist() == sorted(PATH)
    assert found.error <= fine.errors.min() * (1 + 1e-7)
    assert found.gcv_error <= fine.gcv.min() * (1 + 1e-7)
    assert abs(np.log10(found.ridge / fine.ridges[np.argmin(fine.errors)])) < 0.02
    fitted = w2sg.leave_one_out(h, y, ridges=[found.ridge])
    assert fitted.error == pytest.approx(found.error, rel=1e-12) and 0 < found.dof < min(n, d)


def test_a_minimum_at_an_end_of_the_path_is_a_warning():
    rng = np.random.default_rng(0)
    h, noise = rng.normal(size=(80, 30)), rng.normal(size=80)
    pure = w2sg.leave_one_out(h, noise)
    assert "leave-one-out error is smallest at the end of the path, 100" in pure.warnings[0]
    exact = w2sg.leave_one_out(h, h @ rng.normal(size=30))
    assert "smallest at the beginning of the path, 1e-06" in exact.warnings[0] and exact.ridge == 1e-6


def test_offsets_scales_order_and_repeats_change_nothing():
    h, y = sample(60, 20)
    found = w2sg.leave_one_out(h, y)
    order = np.random.default_rng(1).permutation(60)
    for other, labels in ((h + 1e6, y), (1e-8 * h, y + 5.0), (h[order], y[order])):
        assert w2sg.leave_one_out(other, labels).error == pytest.approx(found.error, rel=1e-6)
    twice = w2sg.leave_one_out(np.repeat(h, 2, axis=0), np.repeat(y, 2, axis=0), groups=np.arange(120) // 2)
    np.testing.assert_allclose(twice.errors, found.errors, rtol=1e-9)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ridges": [0.0, 1.0]}, "ridges: got 0; a path of leave-one-out errors needs positive ridges"),
        ({"groups": np.zeros(60, int)}, "groups: all samples are of one group"),
        ({"groups": np.zeros(59, int)}, "groups"),
        ({"h": np.ones((60, 3))}, "h: the representation is constant"),
        ({"y": np.full(60, np.nan)}, "y"),
        ({"y": np.ones(59)}, "y"),
        ({"scale": "unit"}, "scale"),
    ],
)
def test_bad_input(change, message):
    h, y = sample(60, 5)
    given = {"h": h, "y": y[:, 0]} | change
    with pytest.raises(w2sg.InputError, match=message):
        w2sg.leave_one_out(**given)
