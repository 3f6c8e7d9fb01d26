"""Several devices: the suite runs on eight virtual ones, and results are those of one."""

import chex
import jax
import numpy as np
import pytest
from helpers import several

import w2sg_jax as w2sg
from w2sg_jax.parallel.mesh import mesh_of
from w2sg_jax.second_moments import device_sums
from w2sg_jax.second_moments.device_sums import DeviceAccumulator
from w2sg_jax.second_moments.host_sums import HostAccumulator

RNG = np.random.default_rng(0)
WEAK, STRONG, Y = RNG.normal(size=(500, 7)) + 5, RNG.normal(size=(500, 9)), RNG.normal(size=(500, 2))
MESHES = [(1, 1), (8, 1), (4, 2), (1, 8), (2, 4)]


def summed(sums, step=150):
    for start in range(0, 500, step):
        part = slice(start, start + step)
        sums.add([WEAK[part], -STRONG[part]], [STRONG[part], Y[part]])
    return sums.on_host()


def assert_close(found, truth, tolerance):
    for name in ("weak_products", "cross_products"):
        for one, other in zip(getattr(found, name), getattr(truth, name), strict=True):
            one, other = (np.triu(x) if name == "weak_products" else x for x in (one, other))
            np.testing.assert_allclose(one, other, rtol=tolerance, atol=500 * tolerance)
    np.testing.assert_allclose(
        np.triu(found.target_product), np.triu(truth.target_product), rtol=tolerance, atol=500 * tolerance
    )
    np.testing.assert_allclose(found.target_mean.mean, truth.target_mean.mean, rtol=1e-12, atol=1e-14)


def test_eight_devices_are_there():
    assert len(several(8)) == 8


@pytest.mark.parametrize("shape", MESHES, ids=str)
@pytest.mark.parametrize(("center", "dtype"), [(True, "float64"), (False, "float64"), (True, "float32")])
def test_sums_on_a_mesh_are_those_of_the_host(shape, center, dtype):
    mesh = mesh_of(several(shape[0] * shape[1]), columns=shape[1])
    options = {"center": center, "dtype": dtype}
    truth = summed(HostAccumulator([7, 9], 11, center=center, dtype="float64"))
    found = summed(DeviceAccumulator([7, 9], 11, **options, mesh=mesh))
    assert found.n == 500
    assert_close(found, truth, 1e-13 if dtype == "float64" else 1e-4)


@pytest.mark.parametrize("devices", ["all", 3, None], ids=str)
def test_moments_and_rankings_do_not_depend_on_the_devices(devices):
    chosen = jax.devices()[:devices] if isinstance(devices, int) else devices
    truth = w2sg.moments(WEAK, STRONG, Y, block_rows=64)
    found = w2sg.moments(WEAK, STRONG, Y, block_rows=64, devices=chosen)
    np.testing.assert_allclose(found.second, truth.second, rtol=1e-12, atol=1e-13)
    one = w2sg.rank({"a": WEAK, "b": -STRONG}, STRONG, Y)
    many = w2sg.rank({"a": WEAK, "b": -STRONG}, STRONG, Y, devices=chosen)
    assert one.names == many.names
    for a, b in zip(one.rows, many.rows, strict=True):
        assert (a.norm, a.predicted) == pytest.approx((b.norm, b.predicted), rel=1e-9)
        assert a.intervals["norm"] == pytest.approx(b.intervals["norm"], rel=1e-9)


def test_batches_are_not_written_over_while_devices_compute_on_them(monkeypatch):
    """A device of the host may use a block where it lies, after the next one has been asked for."""
    blocks, add = [], DeviceAccumulator.add
    monkeypatch.setattr(
        DeviceAccumulator, "add", lambda self, weak, target: (blocks.append(weak[0]), add(self, weak, target))
    )
    w2sg.moments_from_batches([(WEAK[:220], STRONG[:220]), (WEAK[220:], STRONG[220:])], block_rows=100, devices="all")
    np.testing.assert_array_equal(np.concatenate(blocks), WEAK)


def test_an_offset_costs_no_digits_on_devices():
    moved = w2sg.moments(WEAK + 2.0**24, STRONG, block_rows=50, devices="all")
    exact = w2sg.moments((WEAK + 2.0**24) - 2.0**24, STRONG)
    np.testing.assert_allclose(moved.sigma_weak, exact.sigma_weak, rtol=1e-12, atol=1e-13)


def test_a_ragged_last_block_and_equal_widths_compile_nothing_new(monkeypatch):
    chex.clear_trace_counter()
    counted = jax.jit(
        chex.assert_max_traces(device_sums._add_weak.__wrapped__, n=2),
        static_argnames=("mesh", "center"),
    )
    monkeypatch.setattr(device_sums, "_add_weak", counted)
    sums = DeviceAccumulator([7, 9, 7, 9, 7], 11, center=True, dtype="float64")
    for part in (slice(0, 200), slice(200, 400), slice(400, 500)):
        sums.add([WEAK[part], STRONG[part], WEAK[part], STRONG[part], WEAK[part]], [STRONG[part], Y[part]])
    assert sums.n == 500


@pytest.mark.driver
@pytest.mark.parametrize("columns", [1, 2])
def test_fifty_models_of_many_widths_need_a_program_for_each_bucket(monkeypatch, columns):
    widths = [int(width) for width in RNG.integers(4, 65, size=50)]
    buckets = {4, 6, 8, 12, 16, 24, 32, 48, 64}
    assert len(set(widths)) > 20
    chex.clear_trace_counter()
    counted = jax.jit(
        chex.assert_max_traces(device_sums._add_weak.__wrapped__, n=len(buckets)),
        static_argnames=("mesh", "center"),
    )
    monkeypatch.setattr(device_sums, "_add_weak", counted)
    models = [RNG.normal(size=(500, width)) + 3 for width in widths]
    mesh = mesh_of(several(4), columns=columns)
    sums = DeviceAccumulator(widths, 11, center=True, dtype="float64", mesh=mesh)
    truth = HostAccumulator(widths, 11, center=True, dtype="float64")
    for part in (slice(0, 300), slice(300, 500)):
        for each in (sums, truth):
            each.add([model[part] for model in models], [STRONG[part], Y[part]])
    assert {stack.width for stack in sums.stacks} <= buckets
    assert_close(sums.on_host(), truth.on_host(), 1e-13)


@pytest.mark.parametrize("columns", [1, 2])
def test_a_device_holds_no_n_by_n_matrix_and_only_its_columns_of_a_sum(columns):
    mesh = mesh_of(several(4), columns=columns)
    with jax.enable_x64(True):
        sums = DeviceAccumulator([7], 11, center=True, dtype="float32", mesh=mesh)
        sums.add([WEAK], [STRONG, Y])
    assert sums.target_sum.sharding.shard_shape(sums.target_sum.shape) == (1, 1, 11, 11 if columns == 1 else 6)
    with jax.enable_x64(True):
        block = device_sums._Block(jax.numpy.asarray(0.0), jax.numpy.asarray(500.0))
        x = jax.numpy.ones((1, 500, 11), jax.numpy.float32)
        jaxpr = str(
            jax.make_jaxpr(
                lambda total, x, delta: device_sums._add_gram.__wrapped__(
                    total, x, delta, block, mesh=mesh, center=True
                )
            )(sums.target_sum, x, jax.numpy.ones((1, 11)))
        )
    assert "500,500" not in jaxpr and "HIGHEST" in jaxpr.upper()


def test_devices_that_are_none_are_refused():
    with pytest.raises(w2sg.InputError, match=r"devices: got 'every'; expected None, 'all' or a sequence of"):
        w2sg.moments(WEAK, STRONG, devices="every")
    with pytest.raises(w2sg.InputError, match=r"devices: empty; pass at least one"):
        w2sg.moments(WEAK, STRONG, devices=[])
