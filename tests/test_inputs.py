"""Bad input: one ValueError that names the argument, what came, what was expected and what to do."""

import jax
import numpy as np
import pytest

import w2sg_jax as w2sg
from w2sg_jax.numerics.checks import as_count, as_ridge, as_ridges, as_sequence, check_option
from w2sg_jax.second_moments.moments import check_moments

RNG = np.random.default_rng(0)
WEAK, STRONG, LABELS = RNG.normal(size=(50, 4)), RNG.normal(size=(50, 6)), RNG.normal(size=50)


def spoiled(array, row, column, value):
    array = array.copy()
    array[row, column] = value
    return array


BAD_MOMENTS = {
    "different_n": ((WEAK[:49], STRONG), r"weak has 49 rows and strong has 50; both must hold the same samples"),
    "labels_of_other_n": ((WEAK, STRONG, LABELS[:20]), r"labels: 20 labels for 50 samples"),
    "empty": ((WEAK[:0], STRONG[:0]), r"weak: empty, shape \(0, 4\)"),
    "no_features": ((WEAK, STRONG[:, :0]), r"strong: empty, shape \(50, 0\)"),
    "one_sample": ((WEAK[:1], STRONG[:1]), r"weak: got 1 sample; centring needs at least 2"),
    "nan": ((spoiled(WEAK, 7, 2, np.nan), STRONG), r"weak: nan at row 7, column 2"),
    "inf": ((WEAK, spoiled(STRONG, 0, 5, -np.inf)), r"strong: -inf at row 0, column 5"),
    "nan_label": ((WEAK, STRONG, np.where(np.arange(50) == 3, np.nan, LABELS)), r"labels: nan at row 3, column 0"),
    "one_dimension": ((WEAK[:, 0], STRONG), r"weak: expected a matrix.*shape \(50,\).*reshape\(-1, 1\)"),
    "three_dimensions": ((WEAK, STRONG.reshape(50, 2, 3)), r"strong: expected a matrix \(n samples, d features\)"),
    "labels_three_dimensions": ((WEAK, STRONG, np.zeros((50, 1, 1))), r"labels: expected labels of shape"),
    "complex": ((WEAK + 1j, STRONG), r"weak: complex numbers"),
    "object": ((WEAK.astype(object), STRONG), r"weak: expected numbers, got an array of dtype object"),
    "strings": ((WEAK, STRONG, ["yes", "no"] * 25), r"labels: expected numbers.*encode them as numbers"),
    "ragged": (([[1.0, 2.0], [3.0]], STRONG), r"weak: not an array: its rows differ in length"),
    "dates": (
        (WEAK, np.zeros((50, 2), "datetime64[s]")),
        r"strong: expected numbers, got an array of dtype datetime64",
    ),
    "huge_integers": ((WEAK, STRONG, np.arange(50) + 2**60), r"labels: integers up to .* overflow float64"),
    "long_double": ((WEAK.astype(np.longdouble), STRONG), r"weak: .* would lose digits; pass x.astype\('float64'\)"),
    "masked": ((np.ma.masked_invalid(WEAK), STRONG), r"weak: masked arrays are not supported"),
    "squares_overflow": (
        (WEAK * 1e200, STRONG),
        r"weak: the values are finite but their squares overflow; divide it by a constant",
    ),
}


@pytest.mark.parametrize("name", BAD_MOMENTS)
def test_moments_refuse(name):
    arguments, message = BAD_MOMENTS[name]
    if name == "long_double" and np.longdouble().itemsize == 8:
        pytest.skip("long double is float64 on this machine")
    with pytest.raises(w2sg.InputError, match=message):
        w2sg.moments(*arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"dtype": "float16"}, r"dtype: got 'float16', expected one of 'float64', 'float32'"),
        ({"block_rows": 0}, r"block_rows: got 0; expected a whole number, 1 or more"),
    ],
)
def test_moments_refuse_options(arguments, message):
    with pytest.raises(w2sg.InputError, match=message):
        w2sg.moments(WEAK, STRONG, **arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"ridge": -1e-3}, r"ridge: got -0.001; a ridge is what is added to K/n: pass a finite number >= 0"),
        ({"ridge": float("nan")}, r"ridge: got nan; a ridge is what is added to K/n"),
        ({"ridge": (1.0, float("inf"))}, r"ridge: got \(1.0, inf\)"),
        ({"threshold": 1.5}, r"threshold: got 1.5; it is a share of the largest eigenvalue"),
        ({"threshold": -0.1}, r"threshold: got -0.1"),
        ({"scale": "unit"}, r"scale: got 'unit', expected one of 'trace', 'none'"),
    ],
)
def test_gap_refuses(arguments, message):
    with pytest.raises(w2sg.InputError, match=message):
        w2sg.gap(w2sg.moments(WEAK, STRONG), **arguments)


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("n", [5, 50])
def test_constant_representations_are_refused(center, n):
    constant = np.full((n, 4), 0.1 if center else 0.0)
    with pytest.raises(w2sg.InputError, match="weak: the representation is constant"):
        w2sg.gap(w2sg.moments(constant, STRONG[:n], center=center))
    with pytest.raises(w2sg.InputError, match="strong: the representation is constant"):
        w2sg.gap(w2sg.moments(STRONG[:n], constant, center=center))


def test_tracers_are_sent_to_the_differentiable_functions():
    with pytest.raises(w2sg.InputError, match=r"being traced.*w2sg_jax.gap_norm"):
        jax.jit(lambda weak: w2sg.moments(weak, STRONG).n)(WEAK)


def test_one_sample_is_fine_without_centring():
    assert 0 < w2sg.gap(w2sg.moments(WEAK[:1], STRONG[:1], center=False), 1e-2).norm < 0.25


def test_an_unreadable_foreign_array_names_the_argument():
    class Broken:
        def __dlpack__(self, **kwargs):
            raise RuntimeError("no such device")

        def __dlpack_device__(self):
            return (1, 0)

    with pytest.raises(w2sg.InputError, match=r"strong: .*Broken could not be read through DLPack.*x.cpu\(\)"):
        w2sg.moments(WEAK, Broken())


def test_input_error_is_a_value_error():
    assert issubclass(w2sg.InputError, ValueError)


@pytest.mark.parametrize(
    ("ridge", "message"),
    [
        ((1.0, 2.0, 3.0), r"ridge: got 3 values; pass one number or a \(weak, strong\) pair"),
        ("small", r"ridge: got 'small'; a ridge is what is added to K/n"),
        (None, r"ridge: got None"),
        ("0.1", r"ridge: got '0.1'"),
        (True, r"ridge: got True"),
        (10**400, r"ridge: got 1000"),
        (np.zeros((9, 9)), r"ridge: got array\(.{,80}; a ridge is"),
    ],
)
def test_ridges_of_the_wrong_kind(ridge, message):
    with pytest.raises(w2sg.InputError, match=message):
        as_ridge(ridge)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: as_ridges([(0.1, 0.2)]), r"ridges: got \(0.1, 0.2\) among them; one head takes one number"),
        (lambda: as_ridges(0.1), r"ridges: got 0.1; pass a list, also for a single one"),
        (lambda: as_sequence("12", "ridges"), r"ridges: got '12'; pass a list"),
        (lambda: as_sequence([], "thresholds"), r"thresholds: empty; pass at least one"),
        (lambda: as_count(2.5, "bootstrap", 0), r"bootstrap: got 2.5; expected a whole number, 0 or more"),
        (lambda: as_count(True, "seed", 0), r"seed: got True; expected a whole number"),
        (lambda: check_option("no", "center", (True, False)), r"center: got 'no', expected one of True, False"),
        (lambda: check_option(1, "center", (True, False)), r"center: got 1, expected one of True, False"),
        (lambda: check_moments(WEAK, "m"), r"m: expected Moments, as w2sg_jax.moments returns, got ndarray"),
    ],
)
def test_values_of_the_wrong_kind(call, message):
    with pytest.raises(w2sg.InputError, match=message):
        call()


def test_overflow_names_the_array_and_underflow_is_not_called_constant_alone():
    with pytest.raises(w2sg.InputError, match=r"^labels: the values are finite but their squares overflow"):
        w2sg.moments(WEAK, STRONG, STRONG[:, 0] * 1e200)
    with pytest.raises(w2sg.InputError, match=r"weak: .*constant.*, or so small that its squares vanish in float64"):
        w2sg.gap(w2sg.moments(WEAK * 1e-170, STRONG))


@pytest.mark.parametrize("ridge", [1e300, 1e150, (1e-300, 1e-2), (1e-2, 1e-300)], ids=str)
def test_extreme_ridges_have_a_gap(ridge):
    g = w2sg.gap(w2sg.moments(WEAK, STRONG), ridge)
    assert 0 <= g.norm <= 1 + 1e-12
    assert w2sg.gap(w2sg.moments(WEAK * 1e-100, STRONG * 1e-100), ridge, scale="none").norm <= 1 + 1e-12


def test_scores_need_labels():
    with pytest.raises(w2sg.InputError, match=r"labels: None; a score is"):
        w2sg.gap_scores(WEAK, STRONG, None)
