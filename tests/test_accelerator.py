"""What is computed on an accelerator, rehearsed on a CPU: the numbers of the host, and nothing large beside them."""

import contextlib
import copy
import pickle

import chex
import jax
import numpy as np
import pytest
from helpers import cases, labels_for, relative
from oracles import dense_gap

import w2sg_jax as w2sg
from w2sg_jax.numerics import linalg
from w2sg_jax.numerics.backend import compiled
from w2sg_jax.theory import solved

pytestmark = pytest.mark.driver  # its numbers are float64 in scopes of their own, whatever JAX is told

CASES = cases()
FIELDS = ("norm", "frobenius", "predicted", "dof_weak", "dof_strong", "rank_weak", "rank_strong")


@pytest.fixture
def accelerator(monkeypatch):
    """The host until it is called, then where dense work goes beside an accelerator with fast float64."""
    monkeypatch.setattr(jax, "default_backend", lambda: "cpu")
    return lambda: monkeypatch.setattr(jax, "default_backend", lambda: "gpu")


def representations(n, widths=(12, 60), d=48, seed=0):
    """Weak models of some widths and a strong one, of n samples, and labels."""
    rng = np.random.default_rng(seed)
    strong = rng.normal(size=(n, d)) * np.arange(1, d + 1.0) ** -0.4 + 3.0
    weak = {
        f"w{width}": np.tanh(strong @ rng.normal(size=(d, width)) / 5) + 0.3 * rng.normal(size=(n, width))
        for width in widths
    }
    return weak, strong, strong[:, :3].sum(axis=1) + rng.normal(size=n)


@pytest.mark.parametrize(
    ("name", "ridge"),
    [
        ("strong_inside_weak", (10.0, 1e-5)),
        ("n_below_d_strong", 1e-2),
        ("n_below_d_both", (1e-5, 10.0)),
        ("rank_one", 1e-2),
        ("offset", (1e-5, 1e-2)),
    ],
    ids=str,
)
def test_the_gap_on_an_accelerator_is_the_dense_definition(name, ridge, accelerator):
    weak, strong = CASES[name]
    labels = labels_for(strong)
    truth = dense_gap(weak, strong, labels, ridge=ridge)
    host = w2sg.gap(w2sg.moments(weak, strong, labels), ridge)
    ranks = host.rank_weak, host.rank_strong
    accelerator()
    found = w2sg.gap(w2sg.moments(weak, strong, labels), ridge)
    for field in FIELDS[:5]:
        assert relative(getattr(found, field), getattr(truth, field)) <= 1e-8, field
    assert (found.rank_weak, found.rank_strong) == ranks


OPTIONS = (
    {"train": True},
    {"ridge": 0.5, "center": False, "scale": "none"},
    {"threshold": 0.02},
    {"by": "frobenius"},
    {"dtype": "float32"},
)


@pytest.mark.parametrize(("n", "options"), [(30, {}), (50, {}), *((400, options) for options in OPTIONS)], ids=str)
def test_a_ranking_on_an_accelerator_is_that_of_the_host(n, options, accelerator):
    """Below 48 samples the strong model goes by its samples, below 60 the widest weak one."""
    weak, strong, labels = representations(n)
    options = options | {"groups": np.arange(n) // 2}
    if "train" in options:
        options["train"] = representations(n, seed=1)
    host = w2sg.rank(weak, strong, labels, **options)
    accelerator()
    found = w2sg.rank(weak, strong, labels, **options)
    tolerance = 1e-4 if "dtype" in options else 1e-8
    assert found.names == host.names
    for one, other in zip(found.rows, host.rows, strict=True):
        for field in ("norm", "frobenius", "predicted", "supervised", "dof_weak", "dof_strong"):
            truth = getattr(other, field)
            assert (truth is None) == (field == "supervised" and "train" not in options)
            assert truth is None or getattr(one, field) == pytest.approx(truth, rel=tolerance), field
        assert (one.rank_weak, one.rank_strong) == (other.rank_weak, other.rank_strong)
        assert one.intervals.keys() == other.intervals.keys()
        for quantity, ends in other.intervals.items():
            assert one.intervals[quantity] == pytest.approx(ends, rel=1e2 * tolerance), quantity
    for quantity, covariance in host.covariances.items():
        scale = np.abs(covariance).max()
        np.testing.assert_allclose(found.covariances[quantity], covariance, rtol=0, atol=1e2 * tolerance * scale)


@pytest.mark.parametrize(("n", "threshold"), [(30, 0.0), (400, 0.0), (400, 0.02)])
def test_scores_and_influences_on_an_accelerator_are_those_of_the_host(n, threshold, accelerator):
    weak, strong, labels = representations(n)
    arguments = weak["w12"], strong, labels, 1e-2, threshold
    host, scores = w2sg.gap_influence(*arguments), w2sg.gap_scores(*arguments)
    values = host.gap.singular_values
    accelerator()
    found = w2sg.gap_influence(*arguments)
    for field in ("norm", "predicted", "scores"):
        truth = getattr(host, field)
        np.testing.assert_allclose(getattr(found, field), truth, rtol=0, atol=1e-8 * np.abs(truth).max())
    np.testing.assert_allclose(w2sg.gap_scores(*arguments), scores, rtol=0, atol=1e-8 * scores.max())
    np.testing.assert_allclose(found.gap.singular_values, values, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("n", [30, 400])
def test_moments_stay_on_the_device_that_made_them(n, accelerator):
    weak, strong, labels = representations(n)
    parts = [(weak["w12"][rows], strong[rows], labels[rows]) for rows in (slice(15), slice(15, n))]
    host = w2sg.moments(weak["w12"], strong, labels)
    accelerator()
    merged = w2sg.merge(*(w2sg.moments(*part) for part in parts))
    for made in (w2sg.moments(weak["w12"], strong, labels), merged, w2sg.moments_from_batches(parts)):
        kept = made.rows if made.rows is not None else made.product
        assert isinstance(kept, jax.Array) and kept.dtype == np.float64
        assert isinstance(made.second, np.ndarray) and isinstance(made.sigma_cross, np.ndarray)
        np.testing.assert_allclose(made.second, host.second, rtol=0, atol=1e-13 * np.abs(host.second).max())
        np.testing.assert_allclose(made.mean + made.mean_rest, host.mean + host.mean_rest, rtol=1e-13, atol=1e-14)


def test_float32_moments_of_a_small_ridge_lose_no_direction_on_an_accelerator(accelerator):
    """The squared form is too coarse there: the factor of the joint second moment keeps what is above its rounding."""
    weak, strong, labels = representations(400, widths=(60,), d=70)
    host = w2sg.gap(w2sg.moments(weak["w60"], strong, labels), 1e-4)
    frobenius = host.frobenius
    accelerator()
    found = w2sg.gap(w2sg.moments(weak["w60"], strong, labels, dtype="float32"), 1e-4)
    assert found.frobenius == pytest.approx(frobenius, rel=1e-4)
    assert found.norm == pytest.approx(host.norm, rel=1e-4)


def test_foreign_bytes_and_pickles_of_an_accelerator(accelerator):
    weak, strong, labels = representations(400)
    truth = w2sg.moments(weak["w12"], strong, labels).second
    accelerator()
    made = w2sg.moments(weak["w12"].astype(">f8"), strong, labels)
    assert isinstance(made.product, jax.Array)
    for each in (made, pickle.loads(pickle.dumps(made)), copy.copy(made)):
        assert each.product.dtype == np.float64
        np.testing.assert_allclose(each.second, truth, rtol=0, atol=1e-13 * np.abs(truth).max())
    assert isinstance(pickle.loads(pickle.dumps(made)).product, np.ndarray)


class Refused(AssertionError):
    """Dense work on the host."""


@contextlib.contextmanager
def nothing_dense_on_the_host(monkeypatch, least):
    """Every operation of the host's BLAS and LAPACK on a matrix with both sides of ``least`` or more is an error."""

    def refusing(name, real):
        def refuse(*args, **kwargs):
            large = [x for x in (*args, *kwargs.values()) if isinstance(x, np.ndarray) and min(x.shape) >= least]
            if large and any(x.ndim == 2 for x in large):
                raise Refused(f"{name} of {[x.shape for x in large]}")
            return real(*args, **kwargs)

        return refuse

    with monkeypatch.context() as patch:
        for name in [name for name in vars(linalg.Host) if not name.startswith("_")]:
            patch.setattr(linalg.Host, name, refusing(f"Host.{name}", getattr(linalg.Host, name)))
        for name in ("eigh", "eigvalsh", "qr", "solve_triangular"):
            patch.setattr(linalg, name, refusing(name, getattr(linalg, name)))
        for name in ("eigh", "eigvalsh", "svd", "cholesky", "inv", "qr"):
            patch.setattr(np.linalg, name, refusing(f"np.linalg.{name}", getattr(np.linalg, name)))
        yield


@contextlib.contextmanager
def counted_transfers(monkeypatch):
    """Sizes of what goes to the device and comes back, in numbers; of a real device what comes unasked too."""
    to, back, device_array = [], [], type(jax.numpy.zeros(1))
    with monkeypatch.context() as patch:
        put, get, convert = jax.device_put, jax.device_get, device_array.__array__

        def sizes(tree, kind):
            return [x.size for x in jax.tree.leaves(tree) if isinstance(x, kind)]

        patch.setattr(jax, "device_put", lambda x, *a, **k: (to.extend(sizes(x, np.ndarray)), put(x, *a, **k))[1])
        patch.setattr(device_array, "__array__", lambda x, *a, **k: (back.append(x.size), convert(x, *a, **k))[1])
        patch.setattr(jax, "device_get", lambda x: (back.extend(sizes(x, jax.Array)), get(x))[1])
        yield to, back


@pytest.mark.parametrize(
    ("n", "options"), [(150, {}), (700, {}), (700, {"threshold": 0.02}), (700, {"by": "frobenius"})], ids=str
)
def test_nothing_dense_is_done_by_the_host_and_nothing_of_that_size_travels(n, options, accelerator, monkeypatch):
    """Arrays that are on the device stay there: functions and numbers of each model alone come back."""
    d, widths = 300, (200, 260)
    weak, strong, labels = representations(n, widths, d)
    with jax.enable_x64(True):
        weak, strong = {name: jax.numpy.asarray(x) for name, x in weak.items()}, jax.numpy.asarray(strong)
    accelerator()
    with nothing_dense_on_the_host(monkeypatch, 50), counted_transfers(monkeypatch) as (to, back):
        w2sg.rank(weak, strong, labels, **options)
        if not options:
            m = w2sg.moments(weak["w200"], strong, labels)
            assert w2sg.gap(m).frobenius > 0 and w2sg.gap(m).rank_weak == min(n - 1, 200)
            w2sg.gap_scores(weak["w200"], strong, labels)
            w2sg.leading_gap(m)
            w2sg.gap_grid(m, ridges=[1e-2], thresholds=[0.0])
    functions, rows = 2 * 4, n + d + max(widths)  # two of the labels and two of the norm, on either side
    assert functions * rows < d * min(widths) / 2, "the test tells them from matrices"
    for sizes in (to, back):
        assert sum(sizes) <= len(weak) * 3 * functions * rows
        assert max(sizes) <= len(weak) * functions / 2 * rows


def test_work_of_the_host_and_transfers_would_be_noticed(accelerator, monkeypatch):
    weak, strong, labels = representations(400)
    with nothing_dense_on_the_host(monkeypatch, 10), pytest.raises(Refused):
        w2sg.gap(w2sg.moments(weak["w12"], strong, labels))
    accelerator()
    with counted_transfers(monkeypatch) as (to, back):
        assert w2sg.moments(weak["w12"], strong, labels).second.shape == (61, 61)
    assert max(to) >= strong.size and max(back) >= 61**2


def primitives(jaxpr):
    """Names of all primitives of a program, wherever in it."""
    for equation in jaxpr.eqns:
        yield equation.primitive.name
        for value in equation.params.values():
            for inner in value if isinstance(value, tuple | list) else (value,):
                if hasattr(inner, "eqns"):
                    yield from primitives(inner)
                elif hasattr(inner, "jaxpr"):
                    yield from primitives(inner.jaxpr)


@pytest.mark.parametrize("n", [40, 400])
def test_a_batch_of_models_is_one_program_without_calls_to_the_host(n, accelerator, monkeypatch):
    weak, strong, labels = representations(n)
    seen, real = [], solved._mapped

    def look(own, models, **static):
        with jax.enable_x64(True):
            traced = jax.make_jaxpr(lambda *arrays: solved._each(*arrays, **static))(own, models)
        seen.append((len(models.unit), list(primitives(traced.jaxpr))))
        return real(own, models, **static)

    monkeypatch.setattr(solved, "_mapped", look)
    accelerator()
    w2sg.rank({name: weak["w60"] + shift for shift, name in enumerate("abc")}, strong, labels)
    ((models, names),) = seen
    assert models == 3
    assert not {name for name in names if "callback" in name or "infeed" in name or "outfeed" in name}
    assert {"cholesky", "triangular_solve", "while", "scan"} <= set(names)


def test_models_of_many_widths_need_few_programs(accelerator, monkeypatch):
    widths = range(6, 16)
    weak, strong, labels = representations(100, widths)
    host = w2sg.rank(weak, strong, labels)
    chex.clear_trace_counter()
    buckets = {6, 8, 12, 16}
    counted = chex.assert_max_traces(solved._each, n=len(buckets))
    monkeypatch.setattr(
        solved, "_mapped", compiled(counted, static=("route", "center", "with_norm", "large", "together"))
    )
    accelerator()
    found = w2sg.rank(weak, strong, labels)
    assert found.names == host.names
    for one, other in zip(found.rows, host.rows, strict=True):
        assert (one.norm, one.dof_weak) == pytest.approx((other.norm, other.dof_weak), rel=1e-9)
        assert one.rank_weak == other.rank_weak
