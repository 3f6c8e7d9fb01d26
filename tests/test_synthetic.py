"""Populations with known answers: exact draws, fitted heads against dense definitions, closed forms by Monte Carlo."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chi2, ks_2samp, kstest

import w2sg_jax as w2sg
from w2sg_jax import synthetic as syn
from w2sg_jax.numerics.backend import float64
from w2sg_jax.synthetic._tails import _chi_square

ERRORS = 5.0
"""Standard errors that a Monte Carlo mean may be off: once in a million for each."""


def close_by_monte_carlo(values, truth, *, also=0.0):
    """Means over the first axis; ``also`` is what may be off besides sampling."""
    values = np.asarray(values)
    error = values.std(axis=0, ddof=1) / np.sqrt(len(values))
    np.testing.assert_array_less(np.abs(values.mean(axis=0) - truth), ERRORS * error + also + 1e-12)


def grams(tail, n, seed=0):
    with float64():
        return jax.device_get(tail.grams(jax.random.key(seed), n))


@pytest.mark.parametrize("entries", [syn.gaussian, syn.rademacher, syn.student_t(9.0)], ids=["normal", "signs", "t"])
def test_entries_are_standardised(entries):
    with float64():
        x = np.asarray(entries(jax.random.key(0), (200_000,)))
    assert x.dtype == np.float64
    close_by_monte_carlo(x, 0.0)
    close_by_monte_carlo(x**2, 1.0)


def test_student_t_needs_a_variance_and_is_the_same_sampler():
    with pytest.raises(ValueError, match="dof: got 2"):
        syn.student_t(2.0)
    assert syn.student_t(5.0) is syn.student_t(5.0)


def test_wishart_has_the_moments_and_the_spectrum_of_a_product():
    n, dof, count = 3, 7, 4000
    with float64():
        drawn = np.asarray(
            jax.lax.map(lambda k: syn.wishart(k, n, float(dof)), jax.random.split(jax.random.key(0), count))
        )
        x = np.asarray(syn.gaussian(jax.random.key(1), (count, n, dof)))
    close_by_monte_carlo(drawn, dof * np.eye(n))
    close_by_monte_carlo((drawn - dof * np.eye(n)) ** 2, dof * (1 + np.eye(n)))
    spectra = [np.linalg.eigvalsh(w) for w in (drawn, x @ x.transpose(0, 2, 1))]
    for column in range(n):
        assert ks_2samp(spectra[0][:, column], spectra[1][:, column]).pvalue > 1e-4
    assert np.isnan(syn.wishart(jax.random.key(0), 5, 4.0)).any()


def test_independent_tail_adds_up_every_coordinate_once():
    """Signs make the diagonals exact: the trace, and the sum of squared variances; blocks do not divide D."""
    tail = syn.IndependentTail(3.0, 0.7, 1234, syn.rademacher)
    found = grams(tail, 6)
    with float64():
        variances = np.asarray(tail.variances)
    assert variances.sum() == pytest.approx(3.0)
    assert variances[9] / variances[0] == pytest.approx(10**-0.7)
    np.testing.assert_allclose(found.gram.diagonal(), 3.0, rtol=1e-12)
    np.testing.assert_allclose(found.weighted.diagonal(), (variances**2).sum(), rtol=1e-12)


@pytest.mark.parametrize(
    "tail",
    [syn.GaussianTail(2.0, 40.0), syn.EllipticalTail(2.0, 40.0, 30.0), syn.IndependentTail(2.0, 1.0, 40)],
    ids=type,
)
def test_gram_and_rows_have_the_same_law(tail):
    n, count = 4, 2000
    with float64():
        keys = jax.random.split(jax.random.key(0), (2, count))
        drawn = jax.device_get(jax.lax.map(lambda k: tail.grams(k, n), keys[0]))
        rows = np.asarray(jax.lax.map(lambda k: tail.rows(k, n), keys[1]))
    variances = np.asarray(tail.variances) if isinstance(tail, syn.IndependentTail) else np.full(40, 2.0 / 40)
    dense = rows @ rows.transpose(0, 2, 1), (rows * variances) @ rows.transpose(0, 2, 1)
    for one, other, diagonal in zip(drawn, dense, (variances.sum(), (variances**2).sum()), strict=True):
        close_by_monte_carlo(one, diagonal * np.eye(n))
        for f in (lambda m: m[:, 0, 1], lambda m: m[:, 2, 2], lambda m: np.linalg.eigvalsh(m)[:, -1]):
            assert ks_2samp(f(one), f(other)).pvalue > 1e-4
    assert float(tail.largest) == pytest.approx(variances.max())


def explicit_draw(rng, p, n_train, n_w2s, variances):
    """A draw with its tails at hand."""
    z = rng.normal(size=(n_train + n_w2s, p.target.shape[0]))
    tails = [rng.normal(size=(n_train + n_w2s, len(v))) * np.sqrt(v) for v in variances]
    pair = [syn.Grams(t @ t.T, (t * v) @ t.T) for t, v in zip(tails, variances, strict=True)]
    own = syn.Grams(*(g[n_train:, n_train:] for g in pair[1]))
    y = z @ p.target + p.noise * rng.normal(size=len(z))
    train, w2s = slice(n_train), slice(n_train, None)
    drawn = syn.Draw(p, z[train] @ p.weak.T, z[w2s] @ p.weak.T, z[w2s] @ p.strong.T, y[train], y[w2s], pair[0], own)
    return drawn, np.hstack([z @ p.weak.T, tails[0]]), np.hstack([z @ p.strong.T, tails[1]]), y


def dense_head(h, y, ridge):
    return h.T @ np.linalg.solve(h @ h.T / len(h) + ridge * np.eye(len(h)), y) / len(h)


@pytest.mark.parametrize("ridges", [(0.0, 0.0), (0.2, 0.05)])
def test_measured_errors_are_those_of_dense_heads(rng, ridges):
    variances = rng.uniform(0.1, 1.0, 60), rng.uniform(0.1, 1.0, 70)
    p = syn.correlated_pair([0.8, 0.3], [1.0, -0.5, 0.3], strong_only=1, weak_only=1, noise=0.2)
    drawn, weak, strong, y = explicit_draw(rng, p, 25, 20, variances)
    with float64():
        found = jax.device_get(syn.measure(drawn, *ridges))
    theta_w = dense_head(weak[:25], y[:25], ridges[0])
    pseudo = weak[25:] @ theta_w
    theta_2, theta_c = (dense_head(strong[25:], labels, ridges[1]) for labels in (pseudo, y[25:]))

    def parts(theta, a, variance):
        """Coefficients on the latents, and the mean square of the tail's part."""
        k = len(a)
        return a.T @ theta[:k], (theta[k:] ** 2 * variance).sum()

    w, w_tail = parts(theta_w, p.weak, variances[0])
    two, two_tail = parts(theta_2, p.strong, variances[1])
    ceiling, ceiling_tail = parts(theta_c, p.strong, variances[1])
    gap, gap_tail = parts(theta_2 - theta_c, p.strong, variances[1])
    expected = syn.Measured(
        ((w - p.target) ** 2).sum() + w_tail,
        ((two - p.target) ** 2).sum() + two_tail,
        ((ceiling - p.target) ** 2).sum() + ceiling_tail,
        (gap**2).sum() + gap_tail,
        ((w - p.target - gap) ** 2).sum() + w_tail + gap_tail,
        ((strong[25:] @ theta_2 - pseudo) ** 2).mean(),
    )
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-20)


def test_without_tail_the_primal_is_the_dual(rng):
    p = syn.low_rank([2.0, 1.0, 0.0], [1.0, 0.5, 0.2], [1.0, 1.0, 1.0], noise=0.1)
    drawn, *_ = explicit_draw(rng, p, 30, 40, (np.zeros(1), np.zeros(1)))
    with float64():
        dual = jax.device_get(syn.measure(drawn, 0.1, 0.2))
        primal = jax.device_get(syn.measure(drawn._replace(tail_weak=None, tail_strong=None), 0.1, 0.2))
    np.testing.assert_allclose(primal, dual, rtol=1e-10)


def test_prediction_is_the_dense_definition(rng):
    p = syn.correlated_pair([0.8, 0.3], [1.0, -0.5, 0.3], strong_only=1)
    drawn, *_ = explicit_draw(rng, p, 25, 20, (np.ones(3), np.ones(3)))
    with float64():
        found = jax.device_get(syn.predict(drawn, syn.EffectiveRidges(0.3, 0.1)))
    kernels = [h @ h.T / 20 for h in (drawn.weak_w2s, drawn.strong_w2s)]
    p_w, p_s = (k @ np.linalg.inv(k + r * np.eye(20)) for k, r in zip(kernels, (0.3, 0.1), strict=True))
    operator = p_s @ (np.eye(20) - p_w)
    assert found.pred_gap == pytest.approx(((operator @ drawn.y_w2s) ** 2).mean(), rel=1e-9)
    assert found.norm == pytest.approx(np.linalg.norm(operator, 2), rel=1e-9)


def test_conditions_are_their_dense_definitions(rng):
    variances = np.full(50, 0.2), np.full(50, 0.4)
    p = syn.correlated_pair(
        [0.8, 0.3], [1.0, -0.5], tail_weak=syn.GaussianTail(10.0, 50.0), tail_strong=syn.GaussianTail(20.0, 50.0)
    )
    drawn, weak, strong, _ = explicit_draw(rng, p, 25, 20, variances)
    r = syn.EffectiveRidges(0.7, 1.2)
    with float64():
        found = jax.device_get(syn.conditions(drawn, r))
    splits = (
        (weak[:25], p.weak, r.weak, 10.0),
        (weak[25:], p.weak, r.weak, 10.0),
        (strong[25:], p.strong, r.strong, 20.0),
    )
    moments, identity = [], []
    for h, a, ridge, trace in splits:
        sigma, n, k = a @ a.T, len(h), len(a)
        root = np.linalg.inv(np.linalg.cholesky(sigma + ridge * np.eye(k)))
        moments.append(np.linalg.norm(root @ (h[:, :k].T @ h[:, :k] / n - sigma) @ root.T, 2))
        identity.append(np.linalg.norm(h[:, k:] @ h[:, k:].T / n - trace / n * np.eye(n), 2) / ridge)
    cross = np.linalg.norm(weak[25:, 2:] @ weak[:25, 2:].T, 2) / np.sqrt(25 * 20) / r.weak
    np.testing.assert_allclose(found, [max(moments), max(identity), cross, 0.4 / 1.2], rtol=1e-9)
    assert float(found.delta) == pytest.approx(max(found))


def test_families_have_the_closed_forms_that_they_document():
    w, s, t = np.array([2.0, 0.5, 0.0]), np.array([1.0, 0.0, 0.3]), np.array([1.0, 2.0, -1.0])
    found = syn.limit(syn.low_rank(w, s, t), syn.EffectiveRidges(0.1, 0.2))
    product = s / (s + 0.2) * 0.1 / (w + 0.1)
    assert found.norm == pytest.approx(product.max())
    assert found.pred_gap == pytest.approx((product**2 * t**2).sum())
    o, t = np.array([0.9, 0.4]), np.array([1.0, -2.0])
    p = syn.correlated_pair(o, t, weak_only=2)
    found = syn.limit(p, syn.EffectiveRidges(0.0, 0.0))
    assert found.norm == pytest.approx(np.sqrt(1 - o.min()))
    assert found.err_weak == pytest.approx((t**2 * (1 - o)).sum())
    assert found.err_w2s == pytest.approx((t**2 * (1 - o) ** 2).sum()) == pytest.approx(found.pred_gap)
    assert found.err_ceiling == pytest.approx(0, abs=1e-25)
    assert syn.correlation_dimension(p) == pytest.approx(o.sum())
    assert p.weak @ p.weak.T == pytest.approx(np.eye(4))
    missed = syn.correlated_pair(o, [*t, 1.0], strong_only=1)
    assert syn.limit(missed, syn.EffectiveRidges(0.0, 0.0)).norm == pytest.approx(1)


@pytest.mark.driver
@pytest.mark.parametrize("family", [syn.error_correction, syn.error_copying])
def test_correction_and_copying_have_their_closed_forms(family):
    o, n, tail_w, tail_s = 0.6, 50, syn.GaussianTail(5.0, 1e4), syn.GaussianTail(10.0, 1e4)
    p = family(o, tail_weak=tail_w, tail_strong=tail_s)
    found = syn.limit(p, syn.effective_ridges(p, 0.0, 0.1, n, 2 * n))
    g, s = 1 / (1 + 5 / 50), 1 / (1 + 0.1 + 10 / 100)
    assert found.err_weak == pytest.approx(1 - 2 * o * g + o * g**2)
    assert found.err_ceiling == pytest.approx((1 - s) ** 2)
    if family is syn.error_correction:
        assert found.err_w2s == pytest.approx((1 - o * g * s) ** 2)
        assert found.pred_gap == pytest.approx(s**2 * (1 - o * g) ** 2)
    else:
        assert found.err_w2s == pytest.approx(1 - 2 * o * g * s + o * g**2 * s**2)
        assert found.pred_gap == pytest.approx(s**2 * (1 - 2 * o * g + o * g**2))


def run(p, ridge, n, seeds, **options):
    ridge = np.full(1, ridge)
    return syn.simulate(syn.stack([p]), ridge, ridge, n_train=n, n_w2s=n, seeds=range(seeds), **options)


@pytest.mark.driver
@pytest.mark.parametrize("latents", [syn.gaussian, syn.rademacher], ids=["normal", "signs"])
def test_fitted_heads_tend_to_the_limit(latents):
    n, p = 4000, syn.correlated_pair([0.8, 0.3], [1.0, -0.5, 0.3], strong_only=1)
    found = run(p, 0.1, n, 64, latents=latents).measured
    limit = syn.limit(p, syn.EffectiveRidges(0.1, 0.1))
    for name in ("err_weak", "err_w2s", "err_ceiling", "pred_gap", "corrected"):
        also = 30 * 5 / n  # the bias of order (directions) / n that a mean over seeds does not remove
        close_by_monte_carlo(getattr(found, name)[0], getattr(limit, name), also=also)


@pytest.mark.driver
def test_inherited_variance_is_exact_for_gaussian_latents():
    """Pure noise: the whole error is variance. The leading order of Dong et al. is too small at these sizes."""
    n, d, seeds = 30, 4, 2048
    p = syn.correlated_pair([0.9, 0.5, 0.1, 0.0], np.zeros(d), noise=1.3)
    found = run(p, 1e-10, n, seeds).measured.err_w2s[0]
    close_by_monte_carlo(found, syn.inherited_variance(p, n, n))
    leading = 1.3**2 / n * (1.5 + d / n * (d - 1.5))
    assert found.mean() - leading > ERRORS * found.std() / np.sqrt(seeds)


@pytest.mark.driver
def test_tails_act_as_ridge_and_errors_are_corrected_despite_overfitting():
    n, tail = 200, syn.GaussianTail(0.05 * 200, 200.0**2)
    both = [f(0.7, tail_weak=tail, tail_strong=tail) for f in (syn.error_correction, syn.error_copying)]
    found = syn.simulate(syn.stack(both[:1]), np.zeros(1), np.zeros(1), n_train=n, n_w2s=n, seeds=range(20))
    assert found.measured.residual.max() < 1e-20
    assert (found.measured.err_w2s < found.measured.err_weak).all()
    ratio = np.sqrt((found.measured.pred_gap / found.predicted.pred_gap).mean())
    assert ratio == pytest.approx(1, abs=3 / np.sqrt(n))
    copied = run(both[1], 0.0, n, 20).measured
    assert copied.residual.max() < 1e-20
    close_by_monte_carlo((copied.err_w2s / copied.err_weak)[0], 1.0, also=0.05)


@pytest.mark.driver
def test_a_draw_depends_on_its_place_and_seed_alone():
    tail = syn.GaussianTail(2.0, 1e3)
    some = [syn.error_correction(o, tail_weak=tail, tail_strong=tail) for o in np.linspace(0.1, 0.9, 9)]
    zero = np.zeros(9)
    alone = syn.simulate(syn.stack(some[:1]), zero[:1], zero[:1], n_train=10, n_w2s=12, seeds=range(64))
    many = syn.simulate(syn.stack(some), zero, zero, n_train=10, n_w2s=12, seeds=range(8))
    assert many.measured.err_w2s.shape == (9, 8) and many.conditions is None
    np.testing.assert_allclose(alone.measured.err_w2s[0, :8], many.measured.err_w2s[0], rtol=1e-12)
    assert len(np.unique(many.measured.err_w2s)) == 72
    assert all(x.dtype == np.float64 for x in many.measured)


def test_draws_and_heads_compose_with_vmap_and_jit():
    p = syn.low_rank([1.0, 0.5], [1.0, 0.3], [1.0, 1.0], noise=0.1)

    def one(key):
        return syn.measure(syn.draw(key, p, 12, 10), 0.1, 0.1)

    keys = jax.random.split(jax.random.key(3), 4)
    with float64():
        together, apart = jax.device_get((jax.jit(jax.vmap(one))(keys), [one(key) for key in keys]))
    np.testing.assert_allclose(np.array(together).T, np.array(apart), rtol=1e-9, atol=1e-20)


def test_samples_are_arrays_of_the_population():
    p = syn.correlated_pair([0.5], [1.0], tail_weak=syn.GaussianTail(3.0, 7.0), noise=0.5)
    found = syn.samples(jax.random.key(0), p, 40_000)
    assert found.weak.shape == (40_000, 8) and found.strong.shape == (40_000, 1) and found.y.shape == (40_000,)
    close_by_monte_carlo(found.weak[:, 0] * found.strong[:, 0], np.sqrt(0.5))
    close_by_monte_carlo((found.weak[:, 1:] ** 2).sum(axis=1), 3.0)
    close_by_monte_carlo((found.y - found.strong[:, 0]) ** 2, 0.25)
    assert all(x.dtype == np.float64 for x in found)


@pytest.mark.parametrize("dof", [0.5, 1.0, 3.0, 700.0])
def test_chi_square_has_its_law(dof):
    with float64():
        found = np.asarray(_chi_square(jax.random.key(1), jnp.full(20_000, dof)))
    assert kstest(found, chi2(dof).cdf).pvalue > 1e-4


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: syn.low_rank([-1.0], [1.0], [1.0]), "weak: got"),
        (lambda: syn.low_rank([1.0], [1.0, 2.0], [1.0]), "1 of weak, 2 of strong, 1 of target"),
        (lambda: syn.low_rank([1.0], [1.0], [np.nan]), "target: got"),
        (lambda: syn.low_rank([1.0], [1.0], [1.0], noise=-1.0), "noise: got -1.0"),
        (lambda: syn.correlated_pair([1.5], [1.0]), r"overlaps: got \[1.5\]; expected .* in \[0, 1\]"),
        (lambda: syn.correlated_pair([0.5], [1.0, 1.0]), r"2 coefficients for 1 \+ 0 strong features"),
        (lambda: syn.correlated_pair([0.5], [1.0], weak_only=-1), "weak_only: got -1"),
        (lambda: syn.GaussianTail(-1.0, 100), "trace: got -1.0"),
        (lambda: syn.GaussianTail(1.0, 0), "dimension: got 0"),
        (lambda: syn.EllipticalTail(1.0, 100, dof=2.0), "dof: got 2.0; expected more than 2"),
        (lambda: syn.IndependentTail(float("nan")), "trace: got nan"),
        (lambda: syn.stack([]), "populations: empty"),
    ],
)
def test_populations_that_cannot_be_are_refused(make, message):
    with pytest.raises(w2sg.InputError, match=message):
        make()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"ridge_weak": np.zeros(1), "ridge_strong": np.zeros(1)},
            "ridge_weak: expected one ridge, 0 or more, for each of 2 populations",
        ),
        ({"ridge_strong": np.array([0.1, -1.0])}, "ridge_strong: expected one ridge"),
        ({"seeds": ()}, "seeds: empty"),
        ({"populations": syn.low_rank([1.0], [1.0], [1.0])}, "expected the outcome of stack"),
    ],
)
def test_simulations_of_other_shapes_are_refused(change, message):
    both = syn.stack([syn.low_rank([1.0], [1.0], [1.0])] * 2)
    arguments = {"populations": both, "ridge_weak": np.ones(2), "ridge_strong": np.ones(2)} | change
    with pytest.raises(w2sg.InputError, match=message):
        syn.simulate(**arguments, n_train=5, n_w2s=5)
