"""Predictors against their dense definitions, written out here, against libraries (tests/parity), and degenerate."""

import json
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers import cases, rotation, tolerance
from oracles import prepared, residual_maker, smoother
from scipy.linalg import orthogonal_procrustes

import w2sg_jax as w2sg
from w2sg_jax.predictors import NEEDS, PREDICTORS, Inputs, Predictor, choose, factor, mutual_knn
from w2sg_jax.predictors.cka import linear_cka
from w2sg_jax.predictors.predicted_error import own_ridges

PARITY = json.loads((Path(__file__).parent / "parity" / "predictors.json").read_text())
RIDGE = (3e-2, 1e-3)
SIZES = {
    "wide samples": (60, 50, 8, 14),
    "strong wider than n": (40, 70, 10, 90),
    "weak wider than n": (40, 36, 70, 12),
    "both wider than n": (30, 24, 50, 45),
    "rank deficient": (60, 50, 12, 20),
}
LABELS = (
    *("predicted", "supervised", "misfit", "supervised_misfit"),
    *("leave_one_out_weak", "leave_one_out_strong", "probe_difference"),
    *("predicted_err_w2s", "predicted_pred_gap", "predicted_gain", "cross_validated_err_w2s"),
)
"""Predictors that labels enter."""


def pair(name):
    """Arrays of ``Inputs``: related representations with offsets and other scales, in two sets."""
    n, n_train, d_weak, d_strong = SIZES[name]
    rng = np.random.default_rng(len(name))
    z = rng.normal(size=(n + n_train, 12)) / np.arange(1, 13) ** 0.5
    weak = z[:, :7] @ rng.normal(size=(7, d_weak)) + 0.4 * rng.normal(size=(len(z), d_weak)) + 2.0
    strong = 30 * (z @ rng.normal(size=(12, d_strong)) + 0.4 * rng.normal(size=(len(z), d_strong))) - 5.0
    if name == "rank deficient":
        weak[:, 8:], strong[:, 15:] = weak[:, :4] * 2 + 1, strong[:, :5] - strong[:, 5:10]
    y = z @ rng.normal(size=(12, 2)) + 0.3 * rng.normal(size=(len(z), 2)) + 1.0
    pseudo_labels = y + 0.5 * rng.normal(size=y.shape)
    return {
        **{"weak": weak[:n], "strong": strong[:n], "labels": y[:n], "pseudo_labels": pseudo_labels[:n]},
        **{"train_weak": weak[n:], "train_strong": strong[n:], "train_labels": y[n:]},
    }


@pytest.fixture(params=SIZES)
def inputs(request):
    return Inputs(**pair(request.param), ridge=RIDGE)


def values(inputs):
    return {predictor.name: predictor.value(inputs) for predictor in choose("all", inputs.available)}


class Definitions:
    """The dense definition of every predictor, n x n, by its name."""

    def __init__(self, inputs):
        self.inputs = i = inputs
        self.n, self.weak, self.strong = len(i.weak), prepared(i.weak), prepared(i.strong)
        self.p_w, self.p_s = smoother(self.weak, RIDGE[0]), smoother(self.strong, RIDGE[1])
        self.gap = self.p_s @ residual_maker(self.weak, RIDGE[0])
        self.u_w, self.u_s = basis(self.weak), basis(self.strong)
        self.overlap = ((self.u_s.T @ self.u_w) ** 2).sum()
        if i.train_weak is not None:
            weak, strong = prepared(i.train_weak), prepared(i.train_strong)
            self.train_p_w, self.train_p_s = smoother(weak, RIDGE[0]), smoother(strong, RIDGE[1])
            self.train_gap = self.train_p_s @ residual_maker(weak, RIDGE[0])
            self.n_train, self.y_train = len(weak), i.train_labels - i.train_labels.mean(axis=0)

    def norm(self):
        return np.linalg.norm(self.gap, 2)

    def frobenius(self):
        return np.linalg.norm(self.gap) / self.n**0.5

    def predicted(self):
        return ((self.gap @ (self.inputs.labels - self.inputs.labels.mean(axis=0))) ** 2).sum() / self.n

    def supervised(self):
        return ((self.train_gap @ self.y_train) ** 2).sum() / self.n_train

    def expected_gap(self):
        return np.trace(self.gap @ self.gap.T) / self.n

    def expected_gap_kernel(self):
        return np.trace(self.gap @ self.strong @ self.strong.T @ self.gap.T) / self.n

    def misfit(self):
        y = self.inputs.pseudo_labels - self.inputs.pseudo_labels.mean(axis=0)
        return ((y - self.p_s @ y) ** 2).sum() / self.n

    def supervised_misfit(self):
        fitted = self.train_p_w @ self.y_train
        return ((fitted - self.train_p_s @ fitted) ** 2).sum() / self.n_train

    def label_free_misfit(self):
        return (((np.eye(self.n) - self.p_s) @ self.p_w) ** 2).sum() / self.n

    def correlation_dimension(self):
        return self.overlap

    def exact_variance(self):
        weak, strong = self.u_w.shape[1], self.u_s.shape[1]
        m, m_train = self.n - 1, self.n_train - 1
        if m_train <= weak + 1 or m <= strong + 1:
            return math.nan
        d = (m * self.overlap - weak * strong) / (self.overlap + m - weak - strong)
        assert self.overlap == pytest.approx(d + (weak - d) * (strong - d) / (m - d))
        return (d + (weak - d) * strong / (m - strong - 1)) / (m_train - weak - 1)

    def inherited_variance(self):
        return np.trace(self.p_s @ self.p_s @ self.p_w @ self.p_w) / self.n_train

    def gulp(self):
        return np.linalg.norm(self.p_w - self.p_s)

    def cka(self):
        k, ell = self.weak @ self.weak.T, self.strong @ self.strong.T
        return (k * ell).sum() / (np.linalg.norm(k) * np.linalg.norm(ell))

    def debiased_cka(self):
        k, ell = self.inputs.weak @ self.inputs.weak.T, self.inputs.strong @ self.inputs.strong.T
        return hsic(k, ell) / (hsic(k, k) * hsic(ell, ell)) ** 0.5

    def procrustes(self):
        x, y = (h / np.linalg.norm(h) for h in (self.weak, self.strong))
        width = max(x.shape[1], y.shape[1])
        x, y = (np.pad(h, ((0, 0), (0, width - h.shape[1]))) for h in (x, y))
        return np.linalg.norm(x - y @ orthogonal_procrustes(y, x)[0])

    def svcca(self):
        leading = []
        for h in (self.weak, self.strong):
            u, s, _ = np.linalg.svd(h, full_matrices=False)
            count = next(k for k in range(1, len(s) + 1) if (s[:k] ** 2).sum() >= 0.99 * (s**2).sum())
            leading.append(u[:, :count])
        return np.linalg.svd(leading[0].T @ leading[1], compute_uv=False).mean()

    def pwcca(self):
        u, rho, _ = np.linalg.svd(self.u_w.T @ self.u_s, full_matrices=False)
        alpha = [sum(abs(h @ z) for z in self.weak.T) for h in (self.u_w @ u).T]
        return (alpha * rho).sum() / np.sum(alpha)

    def mutual_knn(self):
        sets = []
        for h in (self.inputs.weak, self.inputs.strong):
            cosines = (h @ h.T) / np.outer(*2 * [np.linalg.norm(h, axis=1)])
            np.fill_diagonal(cosines, -2)
            sets.append([set(row[-10:]) for row in np.argsort(cosines, axis=1)])
        return np.mean([len(a & b) / 10 for a, b in zip(*sets, strict=True)])

    def eigenspace_overlap(self):
        return self.overlap / max(self.u_w.shape[1], self.u_s.shape[1])

    def leave_one_out_weak(self):
        return w2sg.leave_one_out(self.inputs.train_weak, self.inputs.train_labels).error

    def leave_one_out_strong(self):
        return w2sg.leave_one_out(self.inputs.train_strong, self.inputs.train_labels).error

    def probe_difference(self):
        return self.leave_one_out_strong() - self.leave_one_out_weak()

    def dof_weak(self):
        return np.trace(self.p_w)

    def dof_strong(self):
        return np.trace(self.p_s)

    def stable_rank_weak(self):
        return (np.linalg.norm(self.weak) / np.linalg.norm(self.weak, 2)) ** 2

    def stable_rank_strong(self):
        return (np.linalg.norm(self.strong) / np.linalg.norm(self.strong, 2)) ** 2

    def width(self):
        return self.inputs.weak.shape[1]

    def told(self):
        """The public function, which tests/test_predicted_errors.py holds against its own definitions."""
        i = self.inputs
        return w2sg.predict_errors((i.train_weak, i.train_strong, i.train_labels), (i.weak, i.strong), ridge=RIDGE)

    def predicted_err_w2s(self):
        return self.told().err_w2s

    def predicted_pred_gap(self):
        return self.told().pred_gap

    def predicted_gain(self):
        return self.told().gain

    def cross_validated_err_w2s(self):
        """Both heads fitted again for every fold, through kernels."""
        i, n = self.inputs, self.n_train
        fold = np.empty(n, int)
        fold[np.random.default_rng(0).permutation(n)] = np.arange(n) % 10
        weak, train_weak = in_units(i.train_weak, i.weak), in_units(i.train_weak, i.train_weak)
        strong, train_strong = in_units(i.strong, i.strong), in_units(i.strong, i.train_strong)
        squares = 0.0
        for part in range(10):
            rest, judged = fold != part, fold == part
            penalty = n * RIDGE[0]  # that of all of D~
            labels = dual(train_weak[rest], i.train_labels[rest], penalty, weak)
            said = dual(strong, labels, len(strong) * RIDGE[1], train_strong[judged])
            squares += ((i.train_labels[judged] - said) ** 2).sum()
        return squares / n


def in_units(fitted, h):
    """A representation in units of the one that its head is fitted on, at unit trace."""
    centre = fitted - fitted.mean(axis=0)
    return h / ((centre**2).sum() / len(fitted)) ** 0.5


def dual(h, y, penalty, other):
    """A ridge head with an intercept and its penalty beside the sum of squares; what it says of other samples."""
    mean, centre = h.mean(axis=0), y.mean(axis=0)
    kernel = (h - mean) @ (h - mean).T
    return (other - mean) @ (h - mean).T @ np.linalg.solve(kernel + penalty * np.eye(len(h)), y - centre) + centre


def basis(h):
    u, s, _ = np.linalg.svd(h, full_matrices=False)
    return u[:, s > 1e-10 * s[0]]


def hsic(k, ell):
    """Song et al. 2012, equation (5), literally."""
    n, one = len(k), np.ones(len(k))
    k, ell = k - np.diag(np.diag(k)), ell - np.diag(np.diag(ell))
    middle = (one @ k @ one) * (one @ ell @ one) / ((n - 1) * (n - 2))
    return (np.trace(k @ ell) + middle - 2 / (n - 2) * (one @ k @ ell @ one)) / (n * (n - 3))


def test_every_predictor_is_its_definition(inputs):
    found, truth = values(inputs), Definitions(inputs)
    assert list(found) == list(PREDICTORS)
    for name, value in found.items():
        assert value == pytest.approx(getattr(truth, name)(), rel=1e-9, abs=1e-11, nan_ok=True), name


@pytest.mark.parametrize("name", cases())
def test_hard_pairs(name):
    """Power laws, offsets, duplicates, few samples: what needs no train split."""
    weak, strong = (np.asarray(h).astype(np.float64) for h in cases()[name])
    inputs = Inputs(weak, strong, ridge=RIDGE)
    truth = Definitions(inputs)
    for one in ("label_free_misfit", "expected_gap_kernel", "cka", "dof_weak", "dof_strong", "stable_rank_weak"):
        value = PREDICTORS[one].value(inputs)
        assert value == pytest.approx(getattr(truth, one)(), rel=100 * tolerance(RIDGE), abs=1e-9), one
    # Differences of squares: what they cannot resolve is in their docstrings.
    for one, unit in (("gulp", max(truth.dof_weak(), truth.dof_strong()) ** 0.5), ("procrustes", 1.0)):
        assert PREDICTORS[one].value(inputs) == pytest.approx(getattr(truth, one)(), rel=1e-7, abs=1e-7 * unit), one


@pytest.mark.parametrize("name", ["gaussian", "strong_inside_weak", "n_below_d_both", "duplicate_rows", "rank_one"])
def test_ranks_are_those_of_the_samples(name):
    weak, strong = cases()[name]
    inputs = Inputs(weak, strong)
    for h, model in ((weak, inputs.weak_model), (strong, inputs.strong_model)):
        assert model.factored.rank == np.linalg.matrix_rank(h - h.mean(axis=0))
        left = model.factored.left
        np.testing.assert_allclose(left.T @ left, np.eye(left.shape[1]), atol=1e-12)
    assert PREDICTORS["correlation_dimension"].value(inputs) == pytest.approx(Definitions(inputs).overlap, rel=1e-9)


@pytest.mark.parametrize("smallest", [1e-2, 1e-5, 1e-9])
def test_small_directions_are_kept_where_rounding_of_squares_would_hide_them(smallest):
    """By Gram matrices for the first two, by singular values for the last: the span is as exact as the samples are."""
    rng = np.random.default_rng(0)
    h = rng.normal(size=(80, 12)) * np.geomspace(1, smallest, 12) @ rotation(rng, 12)
    found = factor(h)
    assert found.rank == 12
    q, _ = np.linalg.qr(h - h.mean(axis=0))
    np.testing.assert_allclose(found.left @ found.left.T, q @ q.T, atol=100 * np.finfo(float).eps / smallest)
    np.testing.assert_allclose(found.left.T @ found.left, np.eye(12), atol=1e-13)


@pytest.mark.parametrize("case", PARITY["cases"])
def test_libraries_agree(case):
    """The values of scikit-learn, SciPy, rsatoolbox and repsim that tests/parity/predictors.py has written."""
    stored = PARITY["cases"][case]
    weak, strong, labels = (np.array(stored[name]) for name in ("weak", "strong", "labels"))
    inputs = Inputs(weak, strong, labels=labels, pseudo_labels=labels, ridge=tuple(PARITY["ridge"]))
    swapped = Inputs(strong, weak)
    for name, theirs in stored["values"].items():
        quantity = name.partition(" (")[0]
        if quantity == "scipy.spatial.procrustes":  # it fits the scale too
            ours = 1 - (1 - PREDICTORS["procrustes"].value(inputs) ** 2 / 2) ** 2
        elif quantity == "pwcca, both ways":  # the mean of the weights of either model
            ours = np.mean([PREDICTORS["pwcca"].value(each) for each in (inputs, swapped)])
        else:
            ours = PREDICTORS[quantity].value(inputs)
        assert ours == pytest.approx(theirs, rel=1e-9), name


def test_invariant_under_rotation_scale_and_offset(inputs):
    rng = np.random.default_rng(1)
    moved = {}
    for model in ("weak", "strong"):
        turn, offset = rotation(rng, getattr(inputs, model).shape[1]), rng.normal()
        for name in (model, f"train_{model}"):
            moved[name] = getattr(inputs, name) @ turn * 7.0 + offset
    other = replace(inputs, **moved, labels=inputs.labels + 3, pseudo_labels=inputs.pseudo_labels - 2)
    found, truth = values(other), values(inputs)
    # PWCCA weighs columns; neighbours by cosine see the offset.
    for name in found.keys() - {"pwcca", "mutual_knn"}:
        assert found[name] == pytest.approx(truth[name], rel=1e-8, abs=1e-10, nan_ok=True), name
    turned = replace(inputs, weak=inputs.weak @ rotation(rng, inputs.weak.shape[1]) * 3)
    assert PREDICTORS["mutual_knn"].value(turned) == truth["mutual_knn"]
    assert abs(PREDICTORS["pwcca"].value(other) - truth["pwcca"]) < 0.2
    shifted = replace(inputs, weak=4 * inputs.weak + 1)
    assert PREDICTORS["pwcca"].value(shifted) == pytest.approx(truth["pwcca"])


def test_identical_models():
    arrays = pair("wide samples")
    inputs = Inputs(arrays["weak"], arrays["weak"], ridge=(1e-2, 1e-2))
    found = values(inputs)
    for name in ("cka", "debiased_cka", "svcca", "pwcca", "mutual_knn", "eigenspace_overlap"):
        assert found[name] == pytest.approx(1.0), name
    assert found["correlation_dimension"] == pytest.approx(8)
    for name in ("gulp", "procrustes"):
        assert 0 <= found[name] < 1e-6
    assert found["norm"] <= 0.25


def test_exact_variance_is_that_of_least_squares():
    """Heads fitted on noise, many times: two Gaussian models that share 4 of 6 and 9 directions."""
    rng = np.random.default_rng(0)
    d_weak, d_strong, common, n_train, n, draws = 6, 9, 4, 30, 40, 1500
    mixing = rng.normal(size=(d_weak, d_weak)), rng.normal(size=(d_strong, d_strong))
    squares, estimates = [], []
    for _ in range(draws):
        parts = rng.normal(size=(n_train + n + 100, d_weak + d_strong - common))
        weak, strong = parts[:, :d_weak] @ mixing[0], parts[:, d_weak - common :] @ mixing[1]
        noise = rng.normal(size=(n_train, 1))
        train, w2s, test = np.split(np.arange(len(parts)), [n_train, n_train + n])
        labels = fitted(weak[train], noise, weak[w2s])
        squares.append((fitted(strong[w2s], labels, strong[test], intercept=False) ** 2).mean())
        if len(estimates) < 60:
            arrays = {"train_weak": weak[train], "train_strong": strong[train], "train_labels": noise}
            estimates.append(PREDICTORS["exact_variance"].value(Inputs(weak[w2s], strong[w2s], **arrays)))
    error = 4 * np.std(squares) / draws**0.5 + 4 * np.std(estimates) / 60**0.5
    assert np.mean(estimates) == pytest.approx(np.mean(squares), abs=error)
    assert error < 0.2 * np.mean(squares)


def fitted(h, y, other, intercept=True):
    """Least squares with an intercept; what it says of other samples, with the intercept or without."""
    weights = np.linalg.lstsq(h - h.mean(axis=0), y - y.mean(axis=0), rcond=None)[0]
    return (other - h.mean(axis=0)) @ weights + (y.mean(axis=0) if intercept else 0.0)


def test_expected_values_are_means_over_labels():
    arrays = pair("wide samples")
    inputs = Inputs(arrays["weak"], arrays["strong"], ridge=RIDGE)
    truth, draws = Definitions(inputs), np.random.default_rng(0).normal(size=(60, 20000))
    kernel = truth.strong @ np.random.default_rng(1).normal(size=(14, 20000))
    for name, operator, y in (
        ("expected_gap", truth.gap, draws),
        ("expected_gap_kernel", truth.gap, kernel),
        ("label_free_misfit", (np.eye(60) - truth.p_s) @ truth.p_w, draws),
    ):
        found = ((operator @ y) ** 2).sum(axis=0) / 60
        assert PREDICTORS[name].value(inputs) == pytest.approx(found.mean(), abs=5 * found.std() / 20000**0.5), name


def test_groups_are_left_out_together():
    arrays = pair("strong wider than n")
    groups = np.arange(len(arrays["train_labels"])) // 3
    inputs = Inputs(**arrays, train_groups=groups)
    for model in ("weak", "strong"):
        truth = w2sg.leave_one_out(arrays[f"train_{model}"], arrays["train_labels"], groups=groups).error
        assert PREDICTORS[f"leave_one_out_{model}"].value(inputs) == pytest.approx(truth, rel=1e-8)


def test_predicted_errors_leave_groups_out_and_cross_validation_keeps_them_whole():
    arrays = pair("wide samples")
    groups = np.arange(len(arrays["train_labels"])) // 2
    inputs = Inputs(**arrays, train_groups=groups, ridge=RIDGE)
    train = arrays["train_weak"], arrays["train_strong"], arrays["train_labels"]
    unlabelled = arrays["weak"], arrays["strong"]
    truth = w2sg.predict_errors(train, unlabelled, ridge=RIDGE, train_groups=groups)
    folded = w2sg.cross_validated_errors(train, unlabelled, ridge=RIDGE, train_groups=groups)
    assert PREDICTORS["predicted_err_w2s"].value(inputs) == pytest.approx(truth.err_w2s, rel=1e-9)
    assert PREDICTORS["predicted_pred_gap"].value(inputs) == pytest.approx(truth.pred_gap, rel=1e-9)
    assert PREDICTORS["cross_validated_err_w2s"].value(inputs) == pytest.approx(folded.err_w2s, rel=1e-9)


def test_own_ridges_are_those_of_leave_one_out_and_predict_as_auto_does(inputs):
    weak, strong = own_ridges(inputs)
    i = inputs
    assert weak == pytest.approx(w2sg.leave_one_out(i.train_weak, i.train_labels).ridge, rel=1e-2)
    assert strong == pytest.approx(w2sg.leave_one_out(i.train_strong, i.train_labels).ridge, rel=1e-2)
    truth = w2sg.predict_errors((i.train_weak, i.train_strong, i.train_labels), (i.weak, i.strong))
    own = inputs.with_ridge((weak, strong))
    assert PREDICTORS["predicted_err_w2s"].value(own) == pytest.approx(truth.err_w2s, rel=1e-9)
    folded = w2sg.cross_validated_errors((i.train_weak, i.train_strong, i.train_labels), (i.weak, i.strong))
    assert PREDICTORS["cross_validated_err_w2s"].value(own) == pytest.approx(folded.err_w2s, rel=1e-9)


def test_another_ridge_shares_both_models(monkeypatch):
    from w2sg_jax.predictors import predictor

    names = []
    monkeypatch.setattr(predictor, "factor", lambda h, name: names.append(name) or factor(h, name))
    arrays = pair("wide samples")
    first = Inputs(**arrays, ridge=RIDGE)
    second = first.with_ridge((1e-1, 1e-2))
    found = values(second)
    assert values(first) != found
    assert sorted(names) == ["strong", "train_strong", "train_weak", "weak"]
    assert found == pytest.approx(values(Inputs(**arrays, ridge=(1e-1, 1e-2))), nan_ok=True)
    other = second.with_weak(
        arrays["weak"][:, :5], train_weak=arrays["train_weak"][:, :5], pseudo_labels=arrays["pseudo_labels"]
    )
    assert other.ridge == (1e-1, 1e-2) and PREDICTORS["width"].value(other) == 5
    assert PREDICTORS["dof_weak"].value(other) < PREDICTORS["dof_weak"].value(second)


def test_the_strong_models_heads_are_factored_once(monkeypatch):
    from w2sg_jax.predictors import predicted_error
    from w2sg_jax.theory.pipeline import strong_head

    made = []
    monkeypatch.setattr(predicted_error, "strong_head", lambda *args: made.append(args) or strong_head(*args))
    arrays = pair("wide samples")
    first = Inputs(**arrays, ridge=RIDGE)
    second = first.with_weak(
        arrays["weak"][:, :5], train_weak=arrays["train_weak"][:, :5], pseudo_labels=arrays["pseudo_labels"]
    )
    for inputs in (first, second, second.with_ridge((1e-1, 1e-2))):
        for name in ("predicted_err_w2s", "predicted_pred_gap", "predicted_gain", "cross_validated_err_w2s"):
            assert math.isfinite(PREDICTORS[name].value(inputs))
    assert len(made) == 1


def test_predicted_errors_are_nan_on_few_samples_and_without_a_ridge():
    arrays = pair("wide samples")
    told = ("predicted_err_w2s", "predicted_pred_gap", "predicted_gain", "cross_validated_err_w2s")
    few = {name: array[:7] if name.startswith("train") else array for name, array in arrays.items()}
    for inputs in (Inputs(**few), Inputs(**arrays, ridge=(0.0, 1e-2)), Inputs(**arrays, ridge=(1e-2, 1e-7))):
        assert all(math.isnan(PREDICTORS[name].value(inputs)) for name in told)
    nine = {name: array[:9] if name.startswith("train") else array for name, array in arrays.items()}
    assert math.isnan(PREDICTORS["cross_validated_err_w2s"].value(Inputs(**nine)))
    assert math.isfinite(PREDICTORS["predicted_err_w2s"].value(Inputs(**nine)))
    narrow = Inputs(**arrays | {"weak": arrays["weak"][:, 1:]})
    with pytest.raises(w2sg.InputError, match="train_weak: 8 columns, and 7 in weak; give one model's"):
        PREDICTORS["predicted_err_w2s"].value(narrow)


def test_linear_cka_function_is_the_predictor(inputs):
    assert PREDICTORS["cka"].value(inputs) == pytest.approx(linear_cka(inputs.weak, inputs.strong), rel=1e-10)


def test_the_strong_model_is_factored_once(monkeypatch):
    from w2sg_jax.predictors import predictor

    names = []
    monkeypatch.setattr(predictor, "factor", lambda h, name: names.append(name) or factor(h, name))
    arrays = pair("wide samples")
    first = Inputs(**arrays, ridge=RIDGE)
    second = first.with_weak(
        arrays["weak"][:, :5], train_weak=arrays["train_weak"][:, :5], pseudo_labels=arrays["pseudo_labels"]
    )
    found = values(second)
    values(first)
    assert sorted(names) == ["strong", "train_strong", "train_weak", "train_weak", "weak", "weak"]
    alone = arrays | {"weak": arrays["weak"][:, :5], "train_weak": arrays["train_weak"][:, :5]}
    assert found == pytest.approx(values(Inputs(**alone, ridge=RIDGE)), nan_ok=True)
    assert second.available == first.available
    with pytest.raises(w2sg.InputError, match="train_weak: not given beside train_strong, train_labels"):
        first.with_weak(arrays["weak"])


@pytest.mark.parametrize("n", [12, 40, 600])
def test_influences_of_nearest_neighbours_are_those_of_leaving_each_sample_out(n):
    rng = np.random.default_rng(n)
    strong = rng.normal(size=(n, 6))
    weak = strong[:, :3] + 0.3 * rng.normal(size=(n, 3))
    value = PREDICTORS["mutual_knn"].value(Inputs(weak, strong))
    lists = mutual_knn.nearest(weak), mutual_knn.nearest(strong)
    told, found = mutual_knn.influences(*lists)
    assert mutual_knn.share_of(*lists) == told == value
    for sample in range(0, n, max(1, n // 12)):
        kept = np.delete(np.arange(n), sample)
        without = PREDICTORS["mutual_knn"].value(Inputs(weak[kept], strong[kept]))
        assert found[sample] == pytest.approx((n - 1) * (value - without), abs=1e-9)


def test_nearest_neighbours_of_groups_and_where_there_are_none():
    rng = np.random.default_rng(0)
    h = rng.normal(size=(60, 5))
    twins, groups = np.repeat(h, 2, axis=0) + 1e-3 * rng.normal(size=(120, 5)), np.arange(120) // 2
    assert (mutual_knn.nearest(twins)[:, 0] // 2 == groups).all(), "twins are nearest"
    found = mutual_knn.nearest(twins, groups)
    assert not (found // 2 == groups[:, None]).any()
    cosines = (twins @ twins.T) / np.outer(*2 * [np.linalg.norm(twins, axis=1)])
    cosines[groups[:, None] == groups] = -2
    np.testing.assert_array_equal(found, np.argsort(-cosines, axis=1)[:, :11])
    other = twins + 2 * rng.normal(size=twins.shape)
    value = PREDICTORS["mutual_knn"].value(Inputs(other, twins, groups=groups))
    assert value == mutual_knn.share_of(mutual_knn.nearest(other, groups), found)
    assert value != PREDICTORS["mutual_knn"].value(Inputs(other, twins))
    with pytest.raises(w2sg.InputError, match="weak has 120 rows and groups has 60"):
        Inputs(other, twins, groups=groups[:60])
    for samples, kept, why in (
        (np.concatenate([h[:3], np.zeros((2, 5)), h[3:]]), None, "2 of 62 samples are zero .* the first is 3"),
        (h + 1e9, None, "all samples have one direction, as far as rounding tells: take off the offset"),
        (h[:24], np.arange(24) // 14, "groups leave some sample fewer than 11 others"),
    ):
        assert mutual_knn.nearest(samples, kept) is None
        assert re.search(why, mutual_knn.why_undefined(samples))
    assert math.isnan(PREDICTORS["mutual_knn"].value(Inputs(h + 1e9, h)))


def test_a_weak_model_beside_another_strong_one_shares_both(monkeypatch):
    from w2sg_jax.predictors import predictor

    names = []
    monkeypatch.setattr(predictor, "factor", lambda h, name: names.append(name) or factor(h, name))
    arrays = pair("wide samples")
    other = arrays | {name: arrays[name][:, 1:] for name in ("strong", "train_strong")}
    first, second = Inputs(**arrays, ridge=RIDGE), Inputs(**other, ridge=RIDGE)
    values(first), values(second)
    before = len(names)
    found = values(first.beside(second))
    assert len(names) == before, "nothing is factored again"
    assert found == pytest.approx(values(second), nan_ok=True)


def test_what_is_missing_is_named():
    arrays = pair("wide samples")
    bare = Inputs(arrays["weak"], arrays["strong"])
    assert bare.available == {"representations"}
    with pytest.raises(w2sg.InputError, match=r"'supervised' needs train_labels \(pass train_weak, train_strong, tr"):
        PREDICTORS["supervised"].value(bare)
    with pytest.raises(w2sg.InputError, match=r"'misfit' needs pseudo_labels \(pass pseudo_labels: the weak model's"):
        choose(["norm", "misfit"], bare.available)
    chosen = [predictor.name for predictor in choose("all", {"representations"})]
    assert {"norm", "cka", "width"} <= set(chosen)
    assert not set(chosen) & {*LABELS, "exact_variance", "inherited_variance"}
    assert set(choose("all", NEEDS)) == set(PREDICTORS.values())


def test_choose_by_name():
    assert [predictor.name for predictor in choose(["cka", "norm", "cka"], NEEDS)] == ["cka", "norm"]
    with pytest.raises(w2sg.InputError, match=r"none of the name 'debiased_ckaa'; did you mean debiased_cka"):
        choose(["debiased_ckaa"], NEEDS)
    with pytest.raises(w2sg.InputError, match=r"none of the name 'zzz'; expected some of norm, frobenius"):
        choose(["zzz"], NEEDS)
    with pytest.raises(w2sg.InputError, match="predictors: got 'norm'; pass a list"):
        choose("norm", NEEDS)
    with pytest.raises(w2sg.InputError, match="predictors: empty"):
        choose([], NEEDS)
    with pytest.raises(w2sg.InputError, match="available: got 'label'"):
        choose("all", ["label"])


def test_records_are_whole():
    for name, predictor in PREDICTORS.items():
        assert predictor.name == name and predictor.needs and predictor.title and predictor.source and predictor.cost
    with pytest.raises(w2sg.InputError, match="predictor 'two words'"):
        Predictor("two words", "", ("labels",), 1, "", "", lambda inputs: 0.0)
    with pytest.raises(w2sg.InputError, match="needs are of representations"):
        Predictor("name", "", ("moon",), 1, "", "", lambda inputs: 0.0)


def test_input_that_no_predictor_can_use():
    arrays = pair("wide samples")
    weak, strong = arrays["weak"], arrays["strong"]
    broken = strong.copy()
    broken[3, 2] = np.nan
    for wrong, message in (
        ({"strong": strong[1:]}, "weak has 60 rows and strong has 59"),
        ({"strong": broken}, "strong: nan at row 3, column 2"),
        ({"labels": arrays["labels"][:5]}, "weak has 60 rows and labels has 5"),
        ({"weak": weak[:, :0]}, "weak: no column"),
        ({"weak": weak[:1], "strong": strong[:1]}, "weak: got 1 sample"),
        ({"train_weak": arrays["train_weak"]}, "train_strong, train_labels: not given beside train_weak"),
        ({"train_groups": np.arange(3)}, "train_groups: given without the labelled split"),
        ({"ridge": (1e-2, -1.0)}, "ridge: got"),
    ):
        with pytest.raises(w2sg.InputError, match=message):
            Inputs(**({"weak": weak, "strong": strong} | wrong))
    with pytest.raises(w2sg.InputError, match="train_labels has 50 rows and train_groups has 3"):
        Inputs(**arrays, train_groups=np.arange(3))


@pytest.mark.parametrize("model", ["weak", "strong"])
def test_a_constant_representation_is_refused_by_name(model):
    arrays = pair("wide samples")
    arrays[model] = np.full_like(arrays[model], 3.7)
    inputs = Inputs(**arrays)
    for predictor in PREDICTORS.values():
        one_model = predictor.name.startswith(("dof", "stable_rank")) and not predictor.name.endswith(model)
        if predictor.needs == ("train_labels",) or one_model or predictor.name in ("width", "mutual_knn"):
            predictor.value(inputs)
            continue
        if predictor.name == "misfit" and model == "weak":
            continue  # it sees the labels of the weak model alone
        with pytest.raises(w2sg.InputError, match=f"^{model}: the representation is constant"):
            predictor.value(inputs)


def test_too_few_samples_give_nan_or_a_number_with_meaning():
    rng = np.random.default_rng(0)
    for n in (2, 3, 4, 10, 11):
        arrays = {"weak": rng.normal(size=(n, 3)), "strong": rng.normal(size=(n, 5))}
        inputs = Inputs(**arrays, **{f"train_{name}": h for name, h in arrays.items()}, train_labels=np.ones((n, 1)))
        found = {name: PREDICTORS[name].value(inputs) for name in choose_names(inputs)}
        assert math.isnan(found["mutual_knn"]) == (n <= 10)
        assert math.isnan(found["debiased_cka"]) == (n < 4)
        assert math.isnan(found["exact_variance"]) == (n <= 7)
        assert all(math.isfinite(value) for name, value in found.items() if name not in NAN), found


NAN = ("mutual_knn", "debiased_cka", "exact_variance")


def choose_names(inputs):
    return [predictor.name for predictor in choose("all", inputs.available) if predictor.name not in LABELS]


def test_undefined_alignments_are_nan():
    # All samples at the same distance: the kernel tells none from another.
    simplex, other = np.eye(12), np.random.default_rng(0).normal(size=(12, 4))
    assert math.isnan(PREDICTORS["debiased_cka"].value(Inputs(simplex, other)))
    other[5] = 0.0
    assert math.isnan(PREDICTORS["mutual_knn"].value(Inputs(simplex, other)))
    assert math.isnan(PREDICTORS["mutual_knn"].value(Inputs(np.zeros((12, 2)), other)))
    # Spans that overlap as little as they can say nothing of the population.
    q = np.linalg.qr(np.c_[np.ones(12), np.random.default_rng(1).normal(size=(12, 11))])[0][:, 1:]
    train = {"train_weak": np.tile(q[:, :8], (2, 1)), "train_strong": np.tile(q[:, 3:], (2, 1))}
    inputs = Inputs(q[:, :3], q[:, 3:], train_labels=np.ones((24, 1)), **train)
    assert math.isnan(PREDICTORS["exact_variance"].value(inputs))


def test_the_guide_lists_every_predictor_in_order_with_its_sign():
    text = (Path(__file__).parents[1] / "docs/guides/predictors.md").read_text(encoding="utf-8")
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| `") and line.count("|") == 8]
    assert [row[0].strip("| `") for row in rows] == list(PREDICTORS)
    for row, predictor in zip(rows, PREDICTORS.values(), strict=True):
        assert {"+": 1, "−": -1}[row[2]] == predictor.sign
        assert ("R" in row[1].split(", ")) == ("representations" in predictor.needs)
        assert ("labelled split" in row[1]) == ("train_labels" in predictor.needs)
