"""The decomposability check: dense definitions of its conditions, populations that are and are not, misuse."""

import json

import jax
import numpy as np
import pytest
from helpers import rotation

import w2sg_jax as w2sg
from w2sg_jax import synthetic as syn
from w2sg_jax.theory.decomposability import _operator_norm

N, D = 120, 12_000
VARIANCES = [2.0, 1.0, 0.5]


def raw(first, second, **options):
    return w2sg.decomposability(first, second, center=False, scale="none", **options)


def splits(tail, n=N, variances=VARIANCES, seed=0):
    p = syn.spiked(variances, variances, np.ones(len(variances)), tail_weak=tail, tail_strong=syn.NoTail())
    h = syn.samples(jax.random.key(seed), p, 2 * n).weak
    return h[:n], h[n:]


def power_law(rng, exponent, n=N, d=100):
    h = rng.normal(size=(2 * n, d)) * np.arange(1, d + 1) ** (-exponent / 2)
    return h[:n], h[n:]


@pytest.fixture(scope="module")
def spiked():
    return splits(syn.GaussianTail(0.3 * N, float(D)))


@pytest.mark.parametrize("entries", [syn.gaussian, syn.rademacher, syn.student_t(5.0)], ids=["normal", "signs", "t"])
def test_isotropic_tails_of_high_dimension_are_decomposable(entries):
    gamma = 0.3
    found = raw(*splits(syn.IndependentTail(gamma * N, 0.0, D, entries)))
    assert found.decomposable and found.warnings == ()
    assert found.rank == len(VARIANCES)
    # the tail's trace has the relative standard deviation sqrt((kurtosis - 1) / (n D)), and V takes rank / n of it
    spread = 5 * np.sqrt(8 / (N * D)) + found.rank / N
    assert found.gamma_train == pytest.approx(gamma, rel=spread)
    assert found.gamma_w2s == pytest.approx(gamma, rel=spread)
    assert found.effective_w2s == found.gamma_w2s
    edge = 2 * np.sqrt(N / D) + N / D  # Marchenko and Pastur
    assert found.identity == pytest.approx(edge, rel=0.15)
    assert found.orthogonality == pytest.approx(2 * np.sqrt(N / D), rel=0.15)
    assert found.tail_variance == pytest.approx(N / D, rel=5 * np.sqrt(2 / N))


def test_the_suggestion_is_what_gap_takes(spiked, rng):
    found = raw(*spiked)
    strong = rng.normal(size=(N, 4))
    m = w2sg.moments(spiked[1], strong, center=False)
    gap = w2sg.gap(m, ridge=(found.effective_w2s, 0.1), threshold=(found.threshold, 0.0), scale="none")
    assert gap.rank_weak == found.rank
    assert f"{found.effective_w2s:.3g}" in found.reasoning and f"{found.rank} components" in found.reasoning


@pytest.mark.parametrize("ridge", [0.0, 1e-2])
def test_low_rank_is_decomposable_with_nothing_outside(rng, ridge):
    h = rng.normal(size=(400, 5)) @ rng.normal(size=(5, 40))
    found = raw(h[:200], h[200:], ridge=ridge)
    assert found.decomposable and found.rank == 5
    assert found.gamma_train == found.gamma_w2s == found.identity == 0
    assert max(found.orthogonality, found.tail_variance) < 1e-10  # rounding
    assert found.effective_train == ridge
    values = np.linalg.eigvalsh(h[200:].T @ h[200:])[::-1]
    assert (values >= found.threshold * values[0]).sum() == 5


@pytest.mark.parametrize("exponent", [0.5, 1.0])
def test_slow_power_laws_are_not_and_say_so(rng, exponent):
    found = raw(*power_law(rng, exponent))
    assert not found.decomposable
    (warning,) = found.warnings
    assert "no V makes delta small" in warning and f"{found.delta:.2g}" in warning


def test_a_large_ridge_makes_any_tail_harmless(rng):
    h = power_law(rng, 1.0)
    found = raw(*h, ridge=3.0)
    assert found.decomposable and found.effective_train == 3.0 + found.gamma_train


@pytest.mark.parametrize(
    "tail",
    [
        syn.GaussianTail(0.3 * N, 5.0 * N),
        syn.EllipticalTail(0.3 * N, float(D), 4.0),
        syn.IndependentTail(0.3 * N, 1.0, D),
    ],
    ids=["low dimension", "elliptical", "power law"],
)
def test_other_tails_are_not(tail):
    found = raw(*splits(tail))
    assert not found.decomposable and len(found.warnings) == 1


def test_conditions_are_their_dense_definitions(rng):
    """n x n and d x d, nothing clever; V of two components, both sides of n = d."""
    for d in (30, 90):
        first, second = (rng.normal(size=(n, d)) * np.linspace(2, 0.5, d) for n in (50, 40))
        threshold = 0.5 * sum(np.linalg.eigvalsh(second @ second.T)[::-1][1:3]) / np.linalg.norm(second, 2) ** 2
        found = raw(first, second, ridge=0.3, threshold=threshold)
        assert found.rank == 2
        tails, gammas, distance = [], [], []
        for h in (first, second):
            values, u = np.linalg.eigh(h @ h.T / len(h))
            tail = u[:, :-2]
            gammas.append(values[:-2].mean())
            distance.append(np.linalg.norm(tail.T @ (h @ h.T / len(h)) @ tail - gammas[-1] * np.eye(len(h) - 2), 2))
            tails.append(tail.T @ h / np.sqrt(len(h)))
        r = np.array(gammas) + 0.3
        assert [found.gamma_train, found.gamma_w2s] == pytest.approx(gammas)
        assert found.identity == pytest.approx(max(np.array(distance) / r))
        middle = np.sqrt(r[0] * r[1])
        assert found.orthogonality == pytest.approx(np.linalg.norm(tails[0] @ tails[1].T, 2) / middle, rel=1e-9)
        variances = []
        for own, other in ((first, second), (second, first)):
            directions = np.linalg.svd(own, full_matrices=False)[2][2:]
            variances.append(((other @ directions.T) ** 2).mean(axis=0).max())
        assert found.tail_variance == pytest.approx(max(variances) / middle)
        moments = [h.T @ h / len(h) for h in (first, second)]
        values, vectors = np.linalg.eigh((moments[0] + moments[1]) / 2)
        white = vectors[:, -2:] / np.sqrt(values[-2:] + middle)
        difference = white.T @ (moments[1] - moments[0]) @ white
        assert found.moments == pytest.approx(np.linalg.norm(difference, 2) / np.sqrt(2))
        assert found.delta == max(found.moments, found.identity, found.orthogonality, found.tail_variance)


@pytest.mark.driver
def test_estimates_agree_with_the_known_subspace():
    """``synthetic.conditions`` knows V, gamma and the population; the estimate has the samples alone."""
    n = 150
    tail = syn.GaussianTail(0.3 * n, 100.0 * n)
    p = syn.stack([syn.spiked(VARIANCES, VARIANCES, np.ones(3), tail_weak=tail, tail_strong=syn.NoTail())])
    ridge = np.full(1, 0.1)
    known = syn.simulate(p, ridge, ridge, n_train=n, n_w2s=n, check=True).conditions
    found = raw(*splits(tail, n), ridge=0.1)
    assert found.identity == pytest.approx(known.identity.item(), rel=0.2)
    assert found.orthogonality == pytest.approx(known.orthogonality.item(), rel=0.2)
    assert found.moments < 3 * known.moments.item() and known.moments.item() < 3 * found.moments


@pytest.mark.parametrize("shape", [(200, 300), (300, 200), (30, 90), (0, 4)])
def test_operator_norm_of_large_matrices_is_within_a_percent(rng, shape):
    """Normal entries are the hard case: the singular values are dense at the edge."""
    x = rng.normal(size=shape)
    truth = np.linalg.svd(x, compute_uv=False).max(initial=0.0)
    assert 0.99 * truth <= _operator_norm(x) <= truth * (1 + 1e-12)


def test_scale_rotation_and_offset_do_not_matter(spiked, rng):
    first, second = (h[:, :300] for h in spiked)
    base = raw(first, second, ridge=0.1)
    assert raw(1e3 * first, 1e3 * second, ridge=1e5).delta == pytest.approx(base.delta, rel=1e-2)
    turn = rotation(rng, 300)
    assert raw(first @ turn, second @ turn, ridge=0.1).delta == pytest.approx(base.delta, rel=1e-2)
    trace = [w2sg.decomposability(c * first + o, c * second + o, ridge=0.1) for c, o in ((1.0, 0.0), (7.0, 3.0))]
    assert trace[1].delta == pytest.approx(trace[0].delta, rel=1e-2)
    assert trace[1].gamma_w2s == pytest.approx(trace[0].gamma_w2s, rel=1e-3)


def test_centring_takes_one_dimension_and_no_more(spiked):
    """The kernel of centred samples has the eigenvalue 0 once; it must not count as a hole in the tail."""
    centred = w2sg.decomposability(*spiked, scale="none")
    assert centred.decomposable
    assert centred.identity == pytest.approx(raw(*spiked).identity, rel=0.1)


def test_record_is_json(spiked):
    record = json.loads(json.dumps(raw(*spiked).to_dict()))
    assert record["decomposable"] is True and record["n_train"] == N and record["warnings"] == []


@pytest.mark.parametrize("shape", [(20, 60), (60, 20)])
@pytest.mark.parametrize("center", [True, False])
def test_a_subspace_of_everything_leaves_no_tail(rng, shape, center):
    h = rng.normal(size=(2, *shape))
    found = w2sg.decomposability(*h, threshold=0.0, center=center)
    assert found.rank == min(shape[0] - center, shape[1])
    assert found.gamma_train == found.identity == found.orthogonality == found.tail_variance == 0
    assert found.delta == found.moments > 0.5 and not found.decomposable


def test_fixed_threshold_says_that_it_was_fixed(spiked):
    found = raw(*spiked, threshold=1.0)
    assert found.rank == 1 and "as the threshold says" in found.reasoning
    assert not found.decomposable and "not decomposable on this V" in found.warnings[0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"h_w2s": np.eye(5, 3)}, "h_train has 4 features and h_w2s has 3"),
        ({"h_train": np.ones((2, 4))}, "h_train: got 2 samples; comparing two splits needs at least 3"),
        ({"h_train": np.full((5, 4), np.nan)}, "h_train: nan at row 0"),
        ({"h_train": np.ones((5, 4))}, "h_train: the representation is constant"),
        ({"h_w2s": np.ones((5, 4))}, "h_w2s: the representation is constant"),
        ({"h_w2s": np.zeros((5, 4)), "center": False}, "h_w2s: the representation is constant"),
        ({"h_w2s": np.eye(5, 4) * 1e-160}, "its squares vanish or overflow"),
        ({"h_w2s": np.eye(5, 4) * 1e160}, "its squares vanish or overflow"),
        ({"h_train": np.eye(5, 4), "h_w2s": np.eye(5, 4)}, "both are the same samples"),
        ({"ridge": -1.0}, "ridge: got -1.0"),
        ({"threshold": 2.0}, "threshold: got 2.0"),
        ({"scale": "unit"}, "scale: got 'unit'"),
    ],
)
def test_misuse(rng, change, message):
    arguments = {"h_train": rng.normal(size=(6, 4)), "h_w2s": rng.normal(size=(5, 4))} | change
    with pytest.raises(w2sg.InputError, match=message):
        w2sg.decomposability(**arguments)
