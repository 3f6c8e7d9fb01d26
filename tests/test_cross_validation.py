"""The pipeline left out of D~ in closed form, against heads that are fitted again without each fold."""

import numpy as np
import pytest
from helpers import both_splits
from sklearn.linear_model import Ridge

import w2sg_jax as w2sg


def unit(h, center=True, scale="trace"):
    centred = h - h.mean(axis=0) if center else h
    return np.sqrt((centred**2).sum() / len(h)) if scale == "trace" else 1.0


def by_refits(train, w2s, ridges, folds, center=True, scale="trace"):
    """Residuals on D~ of the pipeline, and of the weak head, without each fold; penalties are those of all samples."""
    (weak, strong, y), (pool_weak, pool_strong) = train, w2s
    own, top = unit(weak, center, scale), unit(pool_strong, center, scale)
    n, size = len(y), len(pool_weak)
    left, left_weak = np.empty_like(y), np.empty_like(y)
    for fold in np.unique(folds):
        out = folds == fold
        head = Ridge(alpha=n * ridges[0], fit_intercept=center, solver="svd").fit(weak[~out] / own, y[~out])
        pseudo = head.predict(pool_weak / own).reshape(size, -1)
        student = Ridge(alpha=size * ridges[1], fit_intercept=center, solver="svd").fit(pool_strong / top, pseudo)
        left[out] = y[out] - student.predict(strong[out] / top).reshape(y[out].shape)
        left_weak[out] = y[out] - head.predict(weak[out] / own).reshape(y[out].shape)
    return left, left_weak


@pytest.mark.parametrize("groups", [None, np.arange(50) // 3, np.arange(50) % 7], ids=["samples", "threes", "sevens"])
@pytest.mark.parametrize(("d_weak", "d_strong"), [(8, 12), (30, 70), (80, 20), (45, 44)], ids=str)
def test_equal_to_refitting_both_heads_without_each_group(d_weak, d_strong, groups):
    train, w2s = both_splits(50, 40, d_weak, d_strong, c=2)
    found = w2sg.cross_validated_errors(train, w2s, folds=None, ridge=(1e-2, 1e-3), train_groups=groups)
    left, left_weak = by_refits(train, w2s, (1e-2, 1e-3), np.arange(50) if groups is None else groups)
    np.testing.assert_allclose(found.residuals, left, rtol=1e-8, atol=1e-9)
    assert found.err_w2s == pytest.approx((left**2).sum() / 50, rel=1e-10)
    assert found.err_weak == pytest.approx((left_weak**2).sum() / 50, rel=1e-10)


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("scale", ["trace", "none"])
def test_in_all_units(center, scale):
    train, w2s = both_splits(40, 30, 10, 50)
    ridges = (1e-2, 1e-3) if scale == "trace" else (2.0, 5.0)
    found = w2sg.cross_validated_errors(train, w2s, folds=None, ridge=ridges, center=center, scale=scale)
    left, _ = by_refits(train, w2s, ridges, np.arange(40), center, scale)
    np.testing.assert_allclose(found.residuals, left, rtol=1e-8, atol=1e-9)
    assert (found.ridge_weak, found.ridge_strong) == pytest.approx(ridges)


def test_the_ceiling_is_the_strong_head_on_the_other_folds():
    train, w2s = both_splits(40, 30, 10, 20)
    found = w2sg.cross_validated_errors(train, w2s, folds=None, ridge=1e-2)
    alone = w2sg.leave_one_out(train[1], train[2], ridges=[1e-2])
    assert found.err_ceiling == pytest.approx(alone.error, rel=1e-10)


def test_folds_hold_whole_groups_and_differ_by_one_at_most():
    train, w2s = both_splits(60, 40, 8, 12)
    groups = np.arange(60) // 2
    found = w2sg.cross_validated_errors(train, w2s, folds=7, ridge=1e-2, train_groups=groups, seed=3)
    order = np.random.default_rng(3).permutation(30)
    fold = np.empty(30, int)
    fold[order] = np.arange(30) % 7
    left, left_weak = by_refits(train, w2s, (1e-2, 1e-2), fold[groups])
    np.testing.assert_allclose(found.residuals, left, rtol=1e-8, atol=1e-9)
    assert found.err_weak == pytest.approx((left_weak**2).sum() / 60, rel=1e-10)
    assert found.folds == 7


def test_ridges_choose_themselves_by_leave_one_out():
    train, w2s = both_splits(60, 40, 8, 12)
    found = w2sg.cross_validated_errors(train, w2s)
    alone = [w2sg.leave_one_out(train[place], train[2]).ridge for place in (0, 1)]
    assert [found.ridge_weak, found.ridge_strong] == pytest.approx(alone, rel=1e-6)
    half = w2sg.cross_validated_errors(train, w2s, ridge=("auto", 1e-3))
    assert (half.ridge_weak, half.ridge_strong) == (found.ridge_weak, 1e-3)


def test_many_weak_models_are_each_what_they_are_alone():
    (weak, strong, y), (pool_weak, pool_strong) = both_splits(60, 40, 8, 12)
    narrow = weak[:, :3], pool_weak[:, :3]
    both = w2sg.cross_validated_errors(
        ({"a": weak, "b": narrow[0]}, strong, y), ({"a": pool_weak, "b": narrow[1]}, pool_strong)
    )
    alone = w2sg.cross_validated_errors((narrow[0], strong, y), (narrow[1], pool_strong))
    assert list(both) == ["a", "b"]
    assert both["b"].to_dict() == alone.to_dict()


def test_classes_are_columns():
    train, w2s = both_splits(60, 40, 8, 12)
    three = np.digitize(train[2][:, 0], np.quantile(train[2], [0.3, 0.7]))
    one_hot = np.eye(3)[three]
    by_integers = w2sg.cross_validated_errors((*train[:2], three), w2s, ridge=1e-2)
    by_columns = w2sg.cross_validated_errors((*train[:2], one_hot), w2s, ridge=1e-2)
    as_numbers = w2sg.cross_validated_errors((*train[:2], three), w2s, ridge=1e-2, classes=False)
    assert by_integers.err_w2s == by_columns.err_w2s != as_numbers.err_w2s


def test_a_class_of_one_sample_is_told():
    train, w2s = both_splits(60, 40, 8, 12)
    labels = np.r_[np.arange(59) % 2, 2]
    for found in (
        w2sg.cross_validated_errors((*train[:2], labels), w2s, ridge=1e-2),
        w2sg.predict_errors((*train[:2], labels), w2s, ridge=1e-2),
    ):
        assert found.warnings[0].startswith("train y: its integers are taken as 3 classes")
        assert found.warnings[1].startswith("train y: classes with fewer than two samples (2): D~ is too small")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"folds": 1}, "folds: got 1"),
        ({"folds": 61}, "folds: 61 of 60 samples; give as many at most, or None for one each"),
        ({"ridge": 0.0}, "ridge: got 0.0; expected 'auto', a number from 1e-10 to 1e100, or a"),
        ({"ridge": "best"}, "ridge: got 'best'"),
        ({"train_groups": np.zeros(60)}, "train_groups: all samples are of one group"),
        ({"scale": "unit"}, "scale: got 'unit'"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused(change, message):
    train, w2s = both_splits(60, 40, 8, 12)
    with pytest.raises(w2sg.InputError, match=message):
        w2sg.cross_validated_errors(train, w2s, **change)


def test_splits_that_do_not_fit_are_refused():
    (weak, strong, y), w2s = both_splits(60, 40, 8, 12)
    for train, pool, message in (
        ((weak[:50], strong, y), w2s, "train weak: 50 samples, and 60 in train strong"),
        ((weak, strong, y[:50]), w2s, "train y"),
        ((weak, strong, np.ones(60)), w2s, "train y: the labels are constant"),
        ((weak, strong, y), (w2s[0][:, :5], w2s[1]), "w2s weak: 5 columns, and 8 in train"),
        ((weak, strong, y), (w2s[0][:30], w2s[1]), "w2s weak: 30 samples, and 40 in w2s strong"),
        (({"a": weak}, strong, y), w2s, "weak models by names are given in both"),
        (({"a": weak}, strong, y), ({"b": w2s[0]}, w2s[1]), "weak models are not those of train"),
        ((np.ones_like(weak), strong, y), w2s, "train weak: the representation is constant"),
        ((weak * np.nan, strong, y), w2s, "train weak: nan at row 0"),
        ((weak[:5], strong[:5], y[:5]), w2s, "train: 5 samples; errors are predicted from at least 8"),
    ):
        with pytest.raises(w2sg.InputError, match=message):
            w2sg.cross_validated_errors(train, pool)
