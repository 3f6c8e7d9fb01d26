"""weak_to_strong against scikit-learn heads, its identities, and its refusals."""

import os
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
from sklearn.linear_model import Ridge

import w2sg_jax as w2sg
from w2sg_jax.theory import targets

RNG = np.random.default_rng(0)
LATENT = RNG.normal(size=(600, 20))
WEAK = LATENT[:, :6] @ RNG.normal(size=(6, 8)) + 0.1 * RNG.normal(size=(600, 8)) + 2
STRONG = LATENT @ RNG.normal(size=(20, 30))
Y = LATENT @ RNG.normal(size=20) + 0.3 * RNG.normal(size=600) + 5
TRAIN, W2S, TEST = np.arange(200), np.arange(200, 400), np.arange(400, 600)


def run(weak=WEAK, strong=STRONG, y=Y, **options):
    return w2sg.weak_to_strong(
        (weak[TRAIN], y[TRAIN]), (weak[W2S], strong[W2S], y[W2S]), (weak[TEST], strong[TEST], y[TEST]), **options
    )


def head(h, y, ridge):
    unit = np.sqrt(((h - h.mean(axis=0)) ** 2).sum() / len(h))
    fitted = Ridge(alpha=len(h) * ridge, solver="svd").fit(h / unit, y)
    return lambda x: fitted.predict(x / unit)


@pytest.mark.parametrize("ridge", [1e-4, (1e-2, 1e-3), 1.0], ids=str)
def test_errors_are_those_of_scikit_learn_heads(ridge):
    beta_w, beta_s = ridge if isinstance(ridge, tuple) else (ridge, ridge)
    weak = head(WEAK[TRAIN], Y[TRAIN], beta_w)
    w2s = head(STRONG[W2S], weak(WEAK[W2S]), beta_s)
    ceiling = head(STRONG[W2S], Y[W2S], beta_s)
    outputs = weak(WEAK[TEST]), w2s(STRONG[TEST]), ceiling(STRONG[TEST])
    errors = [((f - Y[TEST]) ** 2).mean() for f in outputs]
    r = run(ridge=ridge)
    assert [r.err_weak, r.err_w2s, r.err_ceiling] == pytest.approx(errors, rel=1e-9)
    assert r.pred_gap == pytest.approx(((outputs[1] - outputs[2]) ** 2).mean(), rel=1e-8)
    assert r.residual_w2s == pytest.approx(((w2s(STRONG[W2S]) - weak(WEAK[W2S])) ** 2).mean(), rel=1e-8)
    differences = (outputs[0] - Y[TEST]) ** 2 - (outputs[2] - Y[TEST]) ** 2
    if differences.mean() > 2 * differences.std() / np.sqrt(200):
        assert r.pgr == pytest.approx((errors[0] - errors[1]) / (errors[0] - errors[2]), rel=1e-8)
    else:
        assert np.isnan(r.pgr)
    assert np.sqrt(r.err_w2s) <= np.sqrt(r.pred_gap) + np.sqrt(r.err_ceiling)
    assert r.err_weak_01 is None and type(r.err_weak) is float


@pytest.mark.parametrize("kind", ["zero_one", "plus_minus", "boolean", "three"])
def test_class_twins(kind):
    classes = {
        "zero_one": (Y > 5).astype(int),
        "plus_minus": np.where(Y > 5, 1, -1),
        "boolean": Y > 5,
        "three": np.digitize(Y, [3, 7]),
    }[kind]
    r = run(y=classes)
    columns = np.eye(3)[classes] if kind == "three" else classes.astype(float)
    outputs = head(WEAK[TRAIN], columns[TRAIN], 1e-4)(WEAK[TEST])
    middle = {"zero_one": 0.5, "plus_minus": 0.0, "boolean": 0.5, "three": None}[kind]
    decided = outputs.argmax(axis=1) if middle is None else outputs > middle
    truth = classes[TEST] if middle is None else classes[TEST] > middle
    assert r.err_weak_01 == pytest.approx((decided != truth).mean())
    assert 0 <= r.err_ceiling_01 <= r.err_w2s_01 <= 1 and 0 <= r.pred_gap_01 <= 1
    assert r.err_weak == pytest.approx(((outputs - columns[TEST]) ** 2).reshape(200, -1).sum(axis=1).mean(), rel=1e-9)
    if not np.isnan(r.pgr_01):
        assert r.pgr_01 == pytest.approx((r.err_weak_01 - r.err_w2s_01) / (r.err_weak_01 - r.err_ceiling_01))


def test_classes_can_be_declared():
    integers = np.digitize(Y, [3, 7])
    assert run(y=integers, classes=False).err_weak_01 is None
    assert run(y=np.eye(3)[integers], classes=True).err_w2s_01 == run(y=integers).err_w2s_01


def test_pgr_is_undefined_when_its_denominator_is_noise():
    same = run(weak=STRONG, strong=STRONG)
    assert np.isnan(same.pgr) and abs(same.pgr_denominator) <= 2 * same.pgr_noise + 1e-9
    worse_ceiling = run(weak=STRONG, strong=WEAK)
    assert worse_ceiling.pgr_denominator < 0 and np.isnan(worse_ceiling.pgr)
    assert np.isnan(run(y=RNG.normal(size=600)).pgr)


def test_standard_error_of_pgr_is_that_of_drawing_test_samples_anew():
    train, w2s, fresh = np.arange(150), np.arange(150, 400), np.arange(400, 600)

    def measured(test):
        heads = (WEAK[train], Y[train]), (WEAK[w2s], STRONG[w2s], Y[w2s])
        return w2sg.weak_to_strong(*heads, (WEAK[test], STRONG[test], Y[test]), 1e-2)

    said = measured(fresh)
    drawn = [measured(np.random.default_rng(seed).choice(fresh, 200)).pgr for seed in range(100)]
    assert said.pgr_standard_error == pytest.approx(np.nanstd(drawn), rel=0.25)
    assert np.isnan(run(weak=STRONG, strong=WEAK).pgr_standard_error)
    one = measured(fresh[:1])
    assert np.isnan(one.pgr) and np.isnan(one.pgr_standard_error), "nothing tells how sure it is"


@pytest.mark.driver
def test_vmapped_splits_and_ridges_equal_the_loop():
    permutations = np.stack([np.random.default_rng(seed).permutation(600) for seed in range(3)])
    train, w2s, test = permutations[:, :150], permutations[:, 150:400], permutations[:, 400:]
    ridges = [1e-4, (1e-1, 1e-3)]
    many = w2sg.weak_to_strong_splits(WEAK, STRONG, Y, train=train, w2s=w2s, test=test, ridges=ridges)
    for s in range(3):
        a, b, c = train[s], w2s[s], test[s]
        for r, ridge in enumerate(ridges):
            one = w2sg.weak_to_strong(
                (WEAK[a], Y[a]), (WEAK[b], STRONG[b], Y[b]), (WEAK[c], STRONG[c], Y[c]), ridge, ids=(a, b, c)
            )
            for field in ("err_weak", "err_w2s", "err_ceiling", "pred_gap", "pgr", "residual_w2s"):
                assert getattr(many, field)[s, r] == pytest.approx(getattr(one, field), rel=1e-9), field
    assert many.err_weak.shape == (3, 2) and many.to_dict()["pgr"][0][0] == many.pgr[0, 0]


@pytest.mark.driver
def test_many_splits_do_not_wait_for_each_other():
    """Batches of decompositions that block all threads of the pool of a small CPU would hang here."""
    code = """
import numpy as np, w2sg_jax as w2sg
strong = np.random.default_rng(0).normal(size=(450, 128))
rows = np.stack([np.random.default_rng(seed).permutation(450) for seed in range(20)]).reshape(20, 3, 150)
splits = dict(zip(("train", "w2s", "test"), rows.swapaxes(0, 1)))
for _ in range(3):
    print(w2sg.weak_to_strong_splits(strong[:, :64], strong, strong.sum(axis=1), **splits).err_w2s.shape)
"""
    run = partial(subprocess.run, capture_output=True, text=True, check=True, timeout=120)
    done = run([sys.executable, "-c", code], env=os.environ | {"OPENBLAS_NUM_THREADS": "1"})
    assert done.stdout.split("\n")[:3] == 3 * ["(20, 1)"]


def test_refusals():
    with pytest.raises(w2sg.InputError, match=r"train and test share 2 samples, for example 'a'"):
        targets.refuse_overlap((np.array(["a", "b"]), np.array(["c"]), np.array(["a", "b", "d"])))
    with pytest.raises(w2sg.InputError, match=r"train and w2s share 1 samples, for example 7"):
        run(ids=(np.arange(200), np.r_[7, np.arange(200, 399)], np.arange(399, 599)))
    with pytest.raises(w2sg.InputError, match=r"ids: 2 identifiers for the 200 samples of train; pass one a sample"):
        run(ids=(["a", "b"], ["c"], ["d"]))
    with pytest.raises(w2sg.InputError, match=r"ids: expected a tuple \(train, w2s, test\)"):
        targets.checked_ids((np.arange(3), np.arange(3)), [3, 3])
    with pytest.raises(w2sg.InputError, match=r"train: a row occurs twice in one split"):
        w2sg.weak_to_strong_splits(WEAK, STRONG, Y, train=[[0, 0]], w2s=[[5, 2]], test=[[3, 4]])
    with pytest.raises(w2sg.InputError, match=r"w2s: the splits differ in size"):
        targets.checked_rows([[0, 1], [2]], 600, "w2s")
    with pytest.raises(w2sg.InputError, match=r"ridges: empty"):
        w2sg.weak_to_strong_splits(WEAK, STRONG, Y, train=[[0, 1]], w2s=[[5, 2]], test=[[3, 4]], ridges=[])
    with pytest.raises(w2sg.InputError, match="train and w2s share 1 samples, for example 0"):
        w2sg.weak_to_strong_splits(WEAK, STRONG, Y, train=[[0, 1]], w2s=[[0, 2]], test=[[3, 4]])
    with pytest.raises(w2sg.InputError, match="test: row 600 of 600 samples"):
        w2sg.weak_to_strong_splits(WEAK, STRONG, Y, train=[[0, 1]], w2s=[[5, 2]], test=[[3, 600]])
    with pytest.raises(w2sg.InputError, match=r"w2s: expected a tuple \(weak, strong, y\)"):
        targets.checked_split((WEAK, Y), (WEAK, Y), (WEAK, STRONG, Y), None)
    with pytest.raises(w2sg.InputError, match=r"weak representations of the splits differ in width: \[7, 8, 8\]"):
        w2sg.weak_to_strong((WEAK[:, :7], Y), (WEAK, STRONG, Y), (WEAK, STRONG, Y))
    with pytest.raises(w2sg.InputError, match="w2s_strong: nan at row 1, column 0"):
        bad = STRONG.copy()
        bad[201, 0] = np.nan
        run(strong=bad)
    with pytest.raises(w2sg.InputError, match="representation is constant on the"):
        run(weak=np.ones_like(WEAK))
    with pytest.raises(w2sg.InputError, match="every sample has the class 1; two classes at least"):
        run(y=np.ones(600, int))
    with pytest.raises(w2sg.InputError, match="for a regression on integers pass classes=False"):
        w2sg.weak_to_strong(
            (np.tile(WEAK, (3, 1)), np.arange(1800)), (WEAK, STRONG, np.arange(600)), (WEAK, STRONG, np.arange(600))
        )


@pytest.mark.parametrize("side", ["weak", "strong"])
def test_huge_values_are_scaled_before_they_are_squared(side):
    factor = {"weak": (1e200, 1.0), "strong": (1.0, 1e200)}[side]
    plain, huge = (
        w2sg.weak_to_strong(
            (a * WEAK[:200], Y[:200]),
            (a * WEAK[200:400], b * STRONG[200:400], Y[200:400]),
            (a * WEAK[400:], b * STRONG[400:], Y[400:]),
            1e-3,
        )
        for a, b in ((1.0, 1.0), factor)
    )
    for field in ("err_weak", "err_w2s", "err_ceiling", "pred_gap"):
        assert getattr(huge, field) == pytest.approx(getattr(plain, field), rel=1e-9)


def test_a_constant_representation_is_named():
    noise = np.full((600, 3), 1e8 + 0.1)
    with pytest.raises(w2sg.InputError, match="weak: the representation is constant on the train split"):
        w2sg.weak_to_strong(
            (noise[:200], Y[:200]), (noise[200:400], STRONG[200:400], Y[200:400]), (noise[400:], STRONG[400:], Y[400:])
        )
    with pytest.raises(w2sg.InputError, match="strong: the representation is constant on the w2s split"):
        w2sg.weak_to_strong(
            (WEAK[:200], Y[:200]), (WEAK[200:400], noise[200:400], Y[200:400]), (WEAK[400:], noise[400:], Y[400:])
        )


def test_a_class_that_a_head_never_sees_is_a_warning():
    rng = np.random.default_rng(0)
    h, labels = rng.normal(size=(60, 4)), rng.integers(3, size=60)
    without = np.where(labels == 2, 0, labels)
    complete = w2sg.weak_to_strong((h, labels), (h, h, labels), (h, h, labels))
    assert complete.warnings == () and complete.to_dict()["warnings"] == []
    found = w2sg.weak_to_strong((h, without), (h, h, labels), (h, h, labels)).warnings
    assert len(found) == 1 and "class 2 does not occur in the train split: the weak model cannot learn it" in found[0]
    found = w2sg.weak_to_strong((h, labels), (h, h, without), (h, h, labels)).warnings
    assert len(found) == 1 and "class 2 does not occur in the w2s split" in found[0]
    columns = w2sg.weak_to_strong(
        (h, np.eye(3)[without]), (h, h, np.eye(3)[labels]), (h, h, np.eye(3)[labels]), classes=True
    )
    assert "class of column 2 does not occur in the train split" in columns.warnings[0]
    binary = w2sg.weak_to_strong((h, np.zeros(60, int)), (h, h, labels > 0), (h, h, labels > 0))
    assert "class 1 does not occur in the train split" in binary.warnings[0]
    assert w2sg.weak_to_strong((h, h[:, 0]), (h, h, h[:, 0]), (h, h, h[:, 0])).warnings == ()


def test_a_class_missing_from_some_splits_is_named_with_their_number():
    rng = np.random.default_rng(0)
    h, labels = rng.normal(size=(60, 4)), np.repeat([0, 1], [50, 10])
    rows = np.stack([np.arange(60), rng.permutation(60), rng.permutation(60)])
    parts = {"train": rows[:, :24], "w2s": rows[:, 24:48], "test": rows[:, 48:]}
    found = w2sg.weak_to_strong_splits(h, h, labels, **parts).warnings[0]
    assert "class 1 does not occur in the train split of 1 in 3 splits, first of split 0" in found
