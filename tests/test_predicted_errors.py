"""Predicted errors: identities, limits, closed forms of populations, and what their intervals rest on."""

import json

import jax
import numpy as np
import pytest
from helpers import both_splits

import w2sg_jax as w2sg
from experiments.theory import predicted_errors as experiment
from w2sg_jax import synthetic as syn
from w2sg_jax.numerics.backend import float64

RIDGES = (1e-2, 1e-3)
ERRORS = ("err_w2s", "err_weak", "err_ceiling", "pred_gap")


def values(found, names=ERRORS):
    return np.array([getattr(found, name) for name in names])


@pytest.mark.parametrize("groups", [None, np.arange(60) // 3], ids=["samples", "threes"])
@pytest.mark.parametrize(("d_weak", "d_strong"), [(8, 12), (30, 70), (80, 20)], ids=str)
@pytest.mark.parametrize(("center", "scale"), [(True, "trace"), (False, "none")], ids=str)
def test_at_the_sizes_at_hand_it_is_the_left_out_error_of_the_pipeline(d_weak, d_strong, groups, center, scale):
    train, pool = both_splits(
        60, 60, d_weak, d_strong, c=2
    )  # as many of each: the ceiling is asked for on n_w2s samples
    options = {"ridge": RIDGES, "train_groups": groups, "center": center, "scale": scale}
    found = w2sg.predict_errors(train, pool, **options)
    left = w2sg.cross_validated_errors(train, pool, folds=None, **options)
    names = ("err_w2s", "err_weak", "err_ceiling")
    np.testing.assert_allclose(values(found, names), values(left, names), rtol=1e-10)


@pytest.mark.parametrize("ridge", ["auto", RIDGES], ids=["auto", "fixed"])
@pytest.mark.parametrize("sizes", [{}, {"n_train": 200, "n_w2s": 30}, {"n_train": 20, "n_w2s": 400}], ids=str)
@pytest.mark.parametrize(("d_weak", "d_strong"), [(8, 12), (80, 70)], ids=str)
def test_parts_are_of_the_whole(d_weak, d_strong, sizes, ridge):
    found = w2sg.predict_errors(*both_splits(d_weak=d_weak, d_strong=d_strong), ridge=ridge, **sizes)
    assert found.bias + found.inherited + found.fitting == pytest.approx(found.err_w2s, rel=1e-12)
    assert found.gap_passed + found.gap_fitting == pytest.approx(found.pred_gap, rel=1e-12)
    assert found.gain == pytest.approx(found.err_weak - found.err_w2s, rel=1e-12)
    assert found.learned == found.label_variance - found.err_w2s
    assert np.isnan(found.pgr) or found.pgr == pytest.approx(found.gain / (found.err_weak - found.err_ceiling))
    for name, (low, high) in found.intervals.items():
        assert low < getattr(found, name) < high
    assert json.loads(json.dumps(found.to_dict()))["err_w2s"] == found.err_w2s


def test_sizes_at_hand_are_the_default():
    train, pool = both_splits()
    told = w2sg.predict_errors(train, pool, ridge=RIDGES, n_train=60, n_w2s=50)
    assert told.to_dict() == w2sg.predict_errors(train, pool, ridge=RIDGES).to_dict()


def test_more_confidence_is_a_wider_interval_about_the_same_value():
    train, pool = both_splits()
    some, more = (w2sg.predict_errors(train, pool, ridge=RIDGES, confidence=one) for one in (0.8, 0.99))
    for name, (low, high) in some.intervals.items():
        assert more.intervals[name][0] < low < getattr(some, name) == getattr(more, name) < high
        assert high < more.intervals[name][1]
    assert some.standard_errors == more.standard_errors


@pytest.mark.parametrize("sizes", [{}, {"n_train": 200, "n_w2s": 30}], ids=str)
def test_moments_that_keep_their_samples_are_the_samples(sizes):
    train, pool = both_splits(d_weak=80, d_strong=70)
    by_samples = w2sg.predict_errors(train, pool, ridge=RIDGES, **sizes)
    by_moments = w2sg.predict_errors(w2sg.moments(*train), w2sg.moments(*pool), ridge=RIDGES, **sizes)
    np.testing.assert_allclose(values(by_moments), values(by_samples), rtol=1e-9)
    for name, ends in by_samples.intervals.items():
        assert by_moments.intervals[name] == pytest.approx(ends, rel=1e-8)


@pytest.mark.parametrize("sizes", [{}, {"n_train": 2000, "n_w2s": 300}], ids=str)
def test_moments_that_are_sums_are_close_and_say_so(sizes):
    train, pool = both_splits(n_train=600, n_w2s=500)
    by_samples = w2sg.predict_errors(train, pool, ridge=RIDGES, **sizes)
    by_moments = w2sg.predict_errors(w2sg.moments(*train), w2sg.moments(*pool), ridge=RIDGES, **sizes)
    for name in ERRORS:
        off = abs(getattr(by_moments, name) - getattr(by_samples, name))
        assert off < 0.25 * by_samples.standard_errors[name], name  # leverages, and not their average: of order d / n²
    assert by_moments.intervals == {} == by_moments.standard_errors
    assert any("no sample is left out by itself" in note for note in by_moments.warnings)
    assert by_moments.bias + by_moments.inherited + by_moments.fitting == pytest.approx(by_moments.err_w2s)


@pytest.mark.parametrize(("d_weak", "d_strong"), [(8, 12), (80, 70)], ids=["sums", "samples"])
def test_merged_moments_are_those_of_the_whole(d_weak, d_strong):
    train, pool = both_splits(n_train=120, n_w2s=100, d_weak=d_weak, d_strong=d_strong)

    def in_two(arrays):
        first, second = (w2sg.moments(*(one[rows] for one in arrays)) for rows in (slice(45), slice(45, None)))
        return w2sg.merge(first, second)

    whole = w2sg.predict_errors(w2sg.moments(*train), w2sg.moments(*pool), ridge=RIDGES)
    merged = w2sg.predict_errors(in_two(train), in_two(pool), ridge=RIDGES)
    np.testing.assert_allclose(values(merged), values(whole), rtol=1e-7)


@pytest.mark.parametrize("ridge", ["auto", RIDGES], ids=["auto", "fixed"])
def test_neither_scale_nor_rotation_of_representations_matters(rng, ridge):
    (weak, strong, y), (pool_weak, pool_strong) = both_splits()
    plain = w2sg.predict_errors((weak, strong, y), (pool_weak, pool_strong), ridge=ridge, n_train=100, n_w2s=80)
    turn, other = (np.linalg.qr(rng.normal(size=(d, d)))[0] for d in (8, 12))
    moved = w2sg.predict_errors(
        (1e3 * weak @ turn - 7, 1e-4 * strong @ other + 1, y),
        (1e3 * pool_weak @ turn - 7, 1e-4 * pool_strong @ other + 1),
        ridge=ridge,
        n_train=100,
        n_w2s=80,
    )
    rtol = 1e-6 if ridge == "auto" else 1e-8  # a chosen ridge is known to as many digits as its search has
    np.testing.assert_allclose(values(moved), values(plain), rtol=rtol)
    assert moved.standard_errors == pytest.approx(plain.standard_errors, rel=10 * rtol, nan_ok=True)


def test_errors_are_in_squared_label_units_and_blind_to_their_mean():
    (weak, strong, y), pool = both_splits()
    plain = w2sg.predict_errors((weak, strong, y), pool, ridge=RIDGES)
    moved = w2sg.predict_errors((weak, strong, 30 * y - 500), pool, ridge=RIDGES)
    np.testing.assert_allclose(values(moved), 900 * values(plain), rtol=1e-9)
    assert moved.label_variance == pytest.approx(900 * plain.label_variance)
    assert moved.standard_errors["err_w2s"] == pytest.approx(900 * plain.standard_errors["err_w2s"])
    assert moved.pgr == pytest.approx(plain.pgr, nan_ok=True)


def test_columns_of_labels_add_up_where_ridges_are_given():
    (weak, strong, y), pool = both_splits(c=3)
    whole = w2sg.predict_errors((weak, strong, y), pool, ridge=RIDGES, n_train=150, n_w2s=30)
    alone = [w2sg.predict_errors((weak, strong, one), pool, ridge=RIDGES, n_train=150, n_w2s=30) for one in y.T]
    for name in (*ERRORS, "bias", "inherited", "fitting", "gap_passed", "gap_fitting", "gain", "label_variance"):
        assert getattr(whole, name) == pytest.approx(sum(getattr(one, name) for one in alone), rel=1e-9), name


def test_with_very_many_samples_only_bias_is_left():
    train, pool = both_splits(n_train=400, n_w2s=300)
    found = w2sg.predict_errors(train, pool, ridge=1e-7, n_train=10**9, n_w2s=10**9)
    at_hand = w2sg.predict_errors(train, pool, ridge=1e-7)
    assert found.err_w2s == pytest.approx(found.bias, rel=1e-6)
    assert found.pred_gap == pytest.approx(found.gap_passed, rel=1e-6)
    assert found.bias == pytest.approx(at_hand.bias, rel=1e-4) and found.bias < at_hand.err_w2s
    assert found.err_weak < at_hand.err_weak and found.err_ceiling < at_hand.err_ceiling


def test_errors_fall_with_samples():
    train, pool = both_splits(n_train=200, n_w2s=200)
    by_labels = [w2sg.predict_errors(train, pool, ridge=1e-6, n_train=n) for n in (50, 100, 200, 1000)]
    by_pool = [w2sg.predict_errors(train, pool, ridge=1e-6, n_w2s=n) for n in (50, 100, 200, 1000)]
    for series, names in ((by_labels, ("err_weak", "err_w2s")), (by_pool, ("err_ceiling", "err_w2s"))):
        for name in names:
            assert (np.diff([getattr(one, name) for one in series]) < 0).all()
    assert len({one.err_weak for one in by_pool}) == 1  # D^ is no part of it


def test_nothing_is_lost_where_both_models_express_the_labels():
    (weak, strong, _), (pool_weak, pool_strong) = both_splits(60, 60, d_weak=3, d_strong=12)
    both, pool = np.hstack([strong, weak]), np.hstack([pool_strong, pool_weak])
    y = weak @ np.array([1.0, -2.0, 0.5])
    found = w2sg.predict_errors((weak, both, y), (pool_weak, pool), ridge=1e-9)
    assert (np.abs(values(found)) < 1e-6 * found.label_variance).all()


@pytest.mark.parametrize("family", [syn.error_correction, syn.error_copying], ids=lambda family: family.__name__)
@pytest.mark.parametrize("overlap", [0.3, 0.8])
def test_known_limits(family, overlap):
    """Within four standard errors of the mean over draws, and the 2 d / n by which n samples are off the limit."""
    noise, ridges, n = 0.3, (0.1, 0.05), 4000
    p = family(overlap, tail_weak=syn.NoTail(), tail_strong=syn.NoTail(), noise=noise)
    limit = syn.limit(p, syn.EffectiveRidges(*ridges))
    told = []
    for seed in range(8):
        drawn = syn.samples(jax.random.key(seed), p, 2 * n)
        train, pool = tuple(one[:n] for one in drawn), (drawn.weak[n:], drawn.strong[n:])
        told.append(values(w2sg.predict_errors(train, pool, ridge=ridges, center=False, scale="none")))
    told = np.array(told)
    expected = np.array([limit.err_w2s, limit.err_weak, limit.err_ceiling, limit.pred_gap])
    expected += noise**2 * np.array([1, 1, 1, 0])
    error = told.std(axis=0, ddof=1) / np.sqrt(len(told))
    assert (np.abs(told.mean(axis=0) - expected) < 4 * error + 2 * 2 / n * expected).all()


def test_samples_that_are_there_twice_count_once_in_groups():
    (weak, strong, y), pool = both_splits()
    once = w2sg.predict_errors((weak, strong, y), pool, ridge=RIDGES)
    twice = [np.repeat(one, 2, axis=0) for one in (weak, strong, y)]
    grouped = w2sg.predict_errors(tuple(twice), pool, ridge=RIDGES, train_groups=np.arange(120) // 2)
    for name in ("err_w2s", "err_weak"):
        assert getattr(grouped, name) == pytest.approx(getattr(once, name), rel=1e-9)
        assert grouped.standard_errors[name] == pytest.approx(once.standard_errors[name], rel=0.15)
    # What is not left out one by one counts degrees of freedom, of which samples that are there twice have too many.
    assert grouped.pred_gap == pytest.approx(once.pred_gap, rel=0.3)
    assert grouped.err_ceiling == pytest.approx(once.err_ceiling, rel=0.3)
    fooled = w2sg.predict_errors(tuple(twice), pool, ridge=RIDGES)
    assert fooled.err_weak < 0.95 * once.err_weak
    assert fooled.standard_errors["err_weak"] < 0.8 * once.standard_errors["err_weak"]


def jackknife(estimates):
    """The standard error that leaving each sample out gives."""
    estimates = np.array(estimates)
    n = len(estimates)
    return np.sqrt((n - 1) / n * ((estimates - estimates.mean(axis=0)) ** 2).sum(axis=0))


def by_refits(train, pool, names, **options):
    """Standard errors over D~, and over D^, of predictions that are made again without each sample."""

    def without(place, arrays):
        return tuple(np.delete(one, place, axis=0) for one in arrays)

    own = [w2sg.predict_errors(without(i, train), pool, **options) for i in range(len(train[0]))]
    other = [w2sg.predict_errors(train, without(i, pool), **options) for i in range(len(pool[0]))]
    return tuple(jackknife([values(one, names) for one in some]) for some in (own, other))


@pytest.mark.parametrize(
    ("d_weak", "d_strong", "ridges", "center"), [(8, 12, (0.3, 0.3), True), (30, 70, (3.0, 10.0), False)], ids=str
)
def test_standard_errors_are_those_of_leaving_each_sample_out(d_weak, d_strong, ridges, center):
    """Of D~ and of D^; what is left is of second order, a few percent of 70 samples."""
    train, pool = both_splits(70, 50, d_weak, d_strong)
    options = {"ridge": ridges, "center": center, "scale": "none"}
    names = ("err_w2s", "err_weak", "err_ceiling", "gain", "pred_gap")
    own, other = by_refits(train, pool, names, **options)
    found = w2sg.predict_errors(train, pool, **options)
    for place, name in enumerate(names):
        expected = np.hypot(own[place], other[place])
        within = 0.07 if name != "pred_gap" else 0.15  # influences leave out what fitting the strong head adds
        assert found.standard_errors[name] == pytest.approx(expected, rel=within), name


def test_the_ridge_at_another_number_of_labels_has_the_smallest_error_there():
    train, pool = both_splits(n_train=200, d_weak=80, d_strong=12)
    for size in (60, 1000):
        found = w2sg.predict_errors(train, pool, n_train=size)
        others = [w2sg.predict_errors(train, pool, n_train=size, ridge=(r, 1e-3)) for r in np.geomspace(1e-4, 1, 13)]
        assert found.err_weak < 1.01 * min(one.err_weak for one in others)


def test_labels_of_chance_are_told(rng):
    (weak, strong, _), pool = both_splits(n_train=200)
    found = w2sg.predict_errors((weak, strong, rng.normal(size=200)), pool)
    assert any("is not told apart from the labels' variance" in note for note in found.warnings)
    assert any("head: " in note and "leave-one-out error" in note for note in found.warnings)  # an end of the path


def test_a_request_beyond_the_pool_is_told():
    train, pool = both_splits()
    within = w2sg.predict_errors(train, pool, ridge=RIDGES, n_w2s=50)
    assert not any("n_w2s" in note for note in within.warnings)
    beyond = w2sg.predict_errors(train, pool, ridge=RIDGES, n_w2s=51)
    assert "n_w2s: 51 are more than the 50 unlabelled samples; extrapolated" in beyond.warnings


def test_what_samples_do_not_resolve_is_told():
    wide = both_splits(n_train=60, n_w2s=50, d_weak=100, d_strong=100)
    found = w2sg.predict_errors(*wide, ridge=1e-8, n_train=6000, n_w2s=5000)
    told = [note for note in found.warnings if "do not resolve" in note]
    assert [note.split(":")[0] for note in told] == ["err_ceiling", "n_train", "n_w2s"]
    narrow = w2sg.predict_errors(*both_splits(), ridge=1e-7, n_train=6000, n_w2s=5000)
    assert not any("do not resolve" in note for note in narrow.warnings)


def test_a_tiny_ridge_is_resolved_where_models_are_narrower_than_their_samples():
    train, pool = both_splits()
    tiny, small = (w2sg.predict_errors(train, pool, ridge=ridge, n_train=100, n_w2s=90) for ridge in (1e-9, 1e-7))
    assert not any("do not resolve" in note for note in tiny.warnings)
    np.testing.assert_allclose(values(tiny), values(small), rtol=1e-4)


def test_pred_gap_where_the_weak_head_interpolates_samples_of_different_lengths():
    rng = np.random.default_rng(0)
    p = syn.spiked(
        np.ones(4),
        np.ones(4),
        np.full(4, 0.5),
        tail_weak=syn.EllipticalTail(10.0, 400.0),
        tail_strong=syn.GaussianTail(1.0, 10.0),
        noise=0.5,
    )
    ridges = (1e-4, 1e-2)
    told = np.array(
        [
            experiment._estimate(
                w2sg.predict_errors(train, pool[:2], ridge=ridges, center=False, scale="none"), "pred_gap"
            )
            for train, pool in experiment._splits(rng, p, (60, 120), syn.gaussian, 20)
        ]
    )
    measured = np.array(
        [
            experiment._fitted(p, train, pool, ridges, center=False).errors[3]
            for train, pool in experiment._splits(rng, p, (60, 120), syn.gaussian, 20)
        ]
    )
    error = np.hypot(told.std(), measured.std()) / np.sqrt(20)
    assert abs(told.mean() - measured.mean()) < 3 * error


@pytest.mark.parametrize("family", experiment.FAMILIES)
def test_the_experiment_measures_heads_as_the_populations_do(family):
    """Errors from arrays against those in kernel form, which ``synthetic`` computes by itself."""
    rng = np.random.default_rng(1)
    cell = experiment.Cell(30, 40, (30, 40), 20, 60)
    p, latents = experiment._population(rng, family, cell, experiment.TOY)
    ((train, w2s),) = experiment._splits(rng, p, (30, 40), latents, 1)
    found = experiment._fitted(p, train, w2s, RIDGES, center=False)
    k_weak, k_strong = len(p.weak), len(p.strong)

    def grams(rows, tail):
        if rows.shape[1] == 0:
            return None
        variances = getattr(tail, "variances", tail.largest)
        return syn.Grams(rows @ rows.T, (rows * np.asarray(variances)) @ rows.T)

    with float64():
        drawn = syn.Draw(
            p,
            train[0][:, :k_weak],
            w2s[0][:, :k_weak],
            w2s[1][:, :k_strong],
            train[2],
            w2s[2],
            grams(np.vstack([train[0], w2s[0]])[:, k_weak:], p.tail_weak),
            grams(w2s[1][:, k_strong:], p.tail_strong),
        )
        measured = syn.measure(drawn, *RIDGES)
        expected = np.array([float(getattr(measured, name)) for name in ERRORS])
    np.testing.assert_allclose(found.errors[:4], expected + float(p.noise) ** 2 * np.array([1, 1, 1, 0]), rtol=1e-6)


def test_a_raw_ridge_is_held_against_the_trace():
    train, pool = both_splits()
    with pytest.raises(w2sg.InputError, match="of the trace; expected 1e-10 to 1e100 of it"):
        w2sg.predict_errors((train[0] * 1e4, *train[1:]), (pool[0] * 1e4, pool[1]), ridge=1e-4, scale="none")
