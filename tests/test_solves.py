"""The gap by solves beside the gap by eigenpairs, and both libraries that the solves run on."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import cases, labels_for, relative, rotation, tolerance
from oracles import dense_gap

import w2sg_jax as w2sg
from w2sg_jax.numerics.lanczos import largest_eigenvalue
from w2sg_jax.numerics.linalg import Device, Host
from w2sg_jax.theory import cholesky, solved
from w2sg_jax.theory.gap import gap_of_pair
from w2sg_jax.theory.gap_operator import make_pair
from w2sg_jax.theory.kernel import joint_factor
from w2sg_jax.theory.smoother import Parameters

CASES = cases()
FIELDS = ("norm", "frobenius", "predicted", "dof_weak", "dof_strong", "rank_weak", "rank_strong")
TRIANGULAR = {"gaussian", "scales"}
DEFICIENT = {name for name in CASES if "power_law" in name}
DEFICIENT |= {"rank_one", "duplicate_rows"}


DEFAULT = Parameters(1e-2, 1e-2, 0.0, 0.0)


@pytest.fixture
def host(monkeypatch):
    """The solves of the host, also where an accelerator is the default device: it has its own (``theory/solved``)."""
    monkeypatch.setattr(jax, "default_backend", lambda: "cpu")


def pair_with_condition(condition):
    """Joint second moment with eigenvalues from 1 down to 1 / condition."""
    rng = np.random.default_rng(0)
    joint = rng.normal(size=(500, 50)) * np.geomspace(1, 1 / condition, 50) ** 0.5 @ rotation(rng, 50)
    return joint[:, :20], joint[:, 20:]


@pytest.mark.parametrize("name", CASES)
def test_solves_serve_every_pair_of_regular_representations(name, host):
    weak, strong = CASES[name]
    m = w2sg.moments(weak, strong, labels_for(strong))
    factor = joint_factor(m)
    assert factor.triangular == (name in TRIANGULAR)
    if factor.triangular:
        joint = np.concatenate([factor.weak, factor.strong], axis=1)
        np.testing.assert_array_equal(joint, np.triu(joint))
    assert (cholesky.gap_operator_by_solves(m, factor, DEFAULT) is None) == (name in DEFICIENT)


@pytest.mark.parametrize("ridge", [1e-8, 1e-6, 1e-2, (1e-6, 10.0)], ids=str)
@pytest.mark.parametrize("condition", [1e1, 1e4, 1e8, 1e11])
def test_solves_equal_eigenpairs_and_the_dense_definition(condition, ridge):
    weak, strong = pair_with_condition(condition)
    labels = labels_for(strong)
    m = w2sg.moments(weak, strong, labels)
    factor = joint_factor(m)
    assert factor.triangular == (condition < 1e9)
    by_solves = w2sg.gap(m, ridge)
    by_eigenpairs = gap_of_pair(m, factor, make_pair(m, factor), ridge, 0.0)
    truth = dense_gap(weak, strong, labels, ridge=ridge)
    for field in FIELDS:
        assert relative(getattr(by_solves, field), getattr(by_eigenpairs, field)) <= tolerance(ridge), field
        if not field.startswith("rank"):
            assert relative(getattr(by_solves, field), getattr(truth, field)) <= tolerance(ridge), field
    np.testing.assert_allclose(
        by_solves.singular_values, by_eigenpairs.singular_values, atol=1e2 * tolerance(ridge) * truth.norm
    )
    assert by_solves.warnings == by_eigenpairs.warnings


def few_samples():
    """name -> (weak, strong) of fewer samples than one or both have columns; kernels with and without full rank."""
    rng = np.random.default_rng(3)
    wide = rng.normal(size=(60, 150)) * np.arange(1, 151.0) ** -0.5
    narrow = wide[:, :20] + 0.3 * rng.normal(size=(60, 20))
    return {
        "both": (wide[:, :90], wide[:, 50:]),
        "strong": (narrow, wide),
        "weak": (wide, narrow),
        "repeated rows": (np.repeat(narrow[:30], 2, axis=0), np.repeat(wide[:30], 2, axis=0)),
        "deficient weak": (narrow @ np.repeat(np.eye(10), 2, axis=0) @ np.ones((10, 30)), wide),
    }


@pytest.mark.parametrize("center", [True, False], ids=["centred", "raw"])
@pytest.mark.parametrize("ridge", [1e-5, 1e-2, (1e-4, 10.0), (10.0, 1e-4)], ids=str)
@pytest.mark.parametrize("name", few_samples())
def test_kernels_of_few_samples_equal_eigenpairs_and_the_dense_definition(name, ridge, center, host):
    weak, strong = few_samples()[name]
    labels = labels_for(strong)
    m = w2sg.moments(weak, strong, labels, center=center)
    factor = joint_factor(m)
    parameters = Parameters(*(ridge if isinstance(ridge, tuple) else (ridge, ridge)), 0.0, 0.0)
    assert any(side.dual for side in cholesky.grams_for(m, factor, parameters))
    if ridge == 1e-2:
        assert cholesky.gap_operator_by_solves(m, factor, parameters) is not None
    by_kernels = w2sg.gap(m, ridge)
    by_eigenpairs = gap_of_pair(m, factor, make_pair(m, factor), ridge, 0.0)
    truth = dense_gap(weak, strong, labels, ridge=ridge, center=center)
    for field in FIELDS:
        assert relative(getattr(by_kernels, field), getattr(by_eigenpairs, field)) <= 1e-9, field
        if not field.startswith("rank"):
            assert relative(getattr(by_kernels, field), getattr(truth, field)) <= 1e-9, field
    kept = len(by_kernels.singular_values)
    np.testing.assert_allclose(
        by_kernels.singular_values, truth.singular_values[:kept], atol=1e-9 * truth.norm, rtol=1e-8
    )
    scores = w2sg.gap_scores(weak, strong, labels, ridge, center=center)
    np.testing.assert_allclose(scores, truth.scores, rtol=1e-8, atol=1e-9 * np.abs(truth.scores).max())


def test_kernels_leave_a_norm_below_their_rounding_to_the_eigenpairs(host):
    """The strong representation lies inside the weak one: the norm is of the order of the ridge."""
    wide, _ = few_samples()["weak"]
    strong = wide @ np.random.default_rng(4).normal(size=(150, 80))
    for ridge, covered in ((1e-2, True), (1e-7, False)):
        m = w2sg.moments(wide, strong, labels_for(strong))
        factor, parameters = joint_factor(m), Parameters(ridge, ridge, 0.0, 0.0)
        assert (cholesky.gap_operator_by_solves(m, factor, parameters) is not None) == covered
        assert relative(w2sg.gap(m, ridge).norm, dense_gap(wide, strong, ridge=ridge).norm) <= 1e-9


def test_what_the_solves_do_not_cover_goes_to_the_eigenpairs(host):
    m = w2sg.moments(*pair_with_condition(1e4))
    factor = joint_factor(m)
    assert cholesky.gap_operator_by_solves(m, factor, DEFAULT) is not None
    for parameters in ((0.0, 1e-2, 0.0, 0.0), (1e-2, 0.0, 0.0, 0.0), (1e-2, 1e-2, 1e-3, 0.0), (1e-2, 1e-2, 0.0, 1e-3)):
        assert cholesky.gap_operator_by_solves(m, factor, Parameters(*parameters)) is None
    for hard in (w2sg.moments(*CASES["power_law"]), w2sg.moments(*pair_with_condition(1e4), dtype="float32")):
        assert cholesky.gap_operator_by_solves(hard, joint_factor(hard), DEFAULT) is None


def test_one_hot_labels_keep_a_regular_pair_regular():
    """Centred one-hot labels sum to 0, and labels inside a representation add no rank: neither decides the route."""
    weak, strong = pair_with_condition(1e2)
    one_hot = np.eye(3)[np.random.default_rng(0).integers(0, 3, size=500)]
    for labels in (one_hot, weak[:, :2] + strong[:, :2]):
        m = w2sg.moments(weak, strong, labels)
        assert joint_factor(m).triangular
        assert relative(w2sg.gap(m).predicted, dense_gap(weak, strong, labels).predicted) <= 1e-9


@pytest.mark.driver
@pytest.mark.parametrize("name", ["regular", *few_samples()])
def test_the_device_arithmetic_is_that_of_the_host(name, monkeypatch):
    weak, strong = pair_with_condition(1e4) if name == "regular" else few_samples()[name]
    m = w2sg.moments(weak, strong, labels_for(strong))
    host = w2sg.gap(m)
    truth = {field: getattr(host, field) for field in (*FIELDS, "singular_values")}  # of the host: computed when read
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    device = w2sg.gap(m)
    for field in FIELDS:
        assert relative(getattr(device, field), truth[field]) <= 1e-12
    np.testing.assert_allclose(device.singular_values, host.singular_values, rtol=1e-9, atol=1e-12)
    assert dataclasses.replace(device, norm=0.0).warnings == host.warnings


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("la", [Host(), Device()], ids=["host", "device"])
def test_every_operation_in_either_memory_order(la, order):
    rng = np.random.default_rng(0)
    a, b, c = (np.asarray(rng.normal(size=shape), order=order) for shape in ((300, 150), (150, 7), (300, 7)))
    s = np.asarray(a.T @ a, order=order)
    lower = np.asarray(np.linalg.cholesky(s), order=order)
    inverse = np.linalg.inv(lower)
    truths = (
        np.concatenate([b, c]),
        a @ b,
        a.T @ c,
        s,
        lower.T @ s @ lower,
        lower,
        inverse @ b,
        a @ inverse.T,
        inverse.T @ inverse,
    )
    with jax.enable_x64(True):
        if isinstance(la, Device):
            a, b, c, s, lower = (jnp.asarray(x) for x in (a, b, c, s, lower))
        found = (
            la.stack(b, c),
            la.product(a, b),
            la.cross(a, c),
            la.gram(a),
            la.congruence(lower, s),
            la.root(s),
            la.solve(lower, b),
            la.right_solve(lower, a),
            la.whole_inverse(la.root(s)),
        )
        for value, truth in zip(found, truths, strict=True):
            np.testing.assert_allclose(np.asarray(value), truth, rtol=1e-10, atol=1e-10 * np.abs(truth).max())
        if isinstance(la, Host):
            np.testing.assert_array_equal(found[3], found[3].T)


def test_the_hosts_root_names_a_matrix_without_one():
    with pytest.raises(ArithmeticError, match="leading block of order 2 is not positive definite"):
        Host().root(np.diag([1.0, -1.0, 1.0]))


@pytest.mark.parametrize("sigma", [np.eye(1), np.diag([2.0, 1.0]), np.eye(9), np.diag(np.arange(1.0, 40.0))], ids=len)
def test_largest_eigenvalue(sigma):
    assert largest_eigenvalue(sigma) == pytest.approx(np.diagonal(sigma).max(), rel=1e-12)


@pytest.mark.parametrize("name", ["regular", *few_samples()])
def test_a_norm_that_lanczos_does_not_find_is_that_of_the_whole_operator(name, monkeypatch):
    weak, strong = pair_with_condition(1e2) if name == "regular" else few_samples()[name]
    m = w2sg.moments(weak, strong, labels_for(strong))
    truth = w2sg.gap(m)
    monkeypatch.setattr(solved, "SHARPEST", 0.0)
    assert relative(w2sg.gap(m).norm, truth.norm) <= 1e-9
