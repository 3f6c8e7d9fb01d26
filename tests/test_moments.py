"""Moments: one pass, any block size, any array framework, no n x n matrix."""

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest

import w2sg_jax as w2sg


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    return rng.normal(size=(500, 7)) + 5, rng.normal(size=(500, 9)), rng.normal(size=(500, 2))


def joint(weak, strong, labels):
    return np.concatenate([weak, strong, labels], axis=1)


@pytest.mark.parametrize("block_rows", [None, 1, 7, 100, 499, 10_000])
@pytest.mark.parametrize("center", [True, False])
def test_equal_the_definition_for_every_block_size(arrays, block_rows, center):
    m = w2sg.moments(*arrays, block_rows=block_rows, center=center)
    z = joint(*arrays)
    centred = z - z.mean(axis=0) if center else z
    np.testing.assert_allclose(m.second, centred.T @ centred / 500, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(m.mean, z.mean(axis=0), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(m.sigma_cross, m.second[7:16, :7])
    np.testing.assert_allclose(m.sigma_weak, m.second[:7, :7])
    np.testing.assert_allclose(m.sigma_strong, m.second[7:16, 7:16])
    assert m.n == 500 and m.rows is None


def test_an_offset_costs_no_digits(arrays):
    weak, strong, labels = arrays
    moved = w2sg.moments(weak + 2.0**24, strong, labels, block_rows=50)
    exact = w2sg.moments((weak + 2.0**24) - 2.0**24, strong, labels)
    np.testing.assert_allclose(moved.sigma_weak, exact.sigma_weak, rtol=1e-12, atol=1e-13)


def test_a_mean_that_drifts_from_block_to_block_costs_no_digits(arrays):
    weak, strong, labels = arrays
    drifting = weak + 1e6 * np.arange(500)[:, None]
    m = w2sg.moments(drifting, strong, labels, block_rows=25)
    centred = drifting - drifting.mean(axis=0)
    np.testing.assert_allclose(m.sigma_weak, centred.T @ centred / 500, rtol=1e-13)


def test_few_samples_are_kept_as_rows_and_many_as_products(arrays):
    weak, strong, labels = arrays
    few = [w2sg.moments(weak[a:b], strong[a:b], labels[a:b]) for a, b in ((0, 6), (6, 15), (15, 40))]
    assert all(m.product is None for m in few[:2]) and few[2].rows is None
    small = w2sg.merge(few[0], few[1])
    assert small.product is None and small.n == 15
    both = w2sg.merge(small, few[2])
    assert both.rows is None
    np.testing.assert_allclose(
        both.second, w2sg.moments(weak[:40], strong[:40], labels[:40]).second, rtol=1e-12, atol=1e-14
    )
    np.testing.assert_allclose(
        small.sigma_weak, w2sg.moments(weak[:15], strong[:15], labels[:15]).sigma_weak, atol=1e-14
    )
    np.testing.assert_allclose(small.second, small.rows.T @ small.rows / 15)


@pytest.mark.parametrize("center", [True, False])
def test_merge_commutes(arrays, center):
    weak, strong, labels = arrays
    first = w2sg.moments(weak[:100], strong[:100], labels[:100], center=center)
    second = w2sg.moments(weak[100:], strong[100:], labels[100:], center=center)
    one, other = w2sg.merge(first, second), w2sg.merge(second, first)
    np.testing.assert_allclose(one.second, other.second, rtol=1e-13, atol=1e-15)
    np.testing.assert_allclose(one.second, w2sg.moments(*arrays, center=center).second, rtol=1e-12, atol=1e-13)


def test_merge_refuses_moments_of_different_kind(arrays):
    weak, strong, labels = arrays
    m = w2sg.moments(weak, strong, labels)
    with pytest.raises(w2sg.InputError, match="d_weak is 7 in the first moments and 6 in the second"):
        w2sg.merge(m, w2sg.moments(weak[:, :6], strong, labels))
    with pytest.raises(w2sg.InputError, match="center is True in the first moments and False"):
        w2sg.merge(m, w2sg.moments(weak, strong, labels, center=False))
    with pytest.raises(w2sg.InputError, match="d_labels is 2"):
        w2sg.merge(m, w2sg.moments(weak, strong))


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16, np.float32, np.int32, np.uint8, np.int64, bool])
def test_narrow_numbers_are_upcast_exactly(arrays, dtype):
    weak, strong, _ = arrays
    narrow = (10 * weak).astype(dtype) if dtype is not bool else weak > 5
    wide = w2sg.moments(narrow.astype(np.float64), strong)
    np.testing.assert_array_equal(w2sg.moments(narrow, strong).second, wide.second)


class Tensor:
    """A foreign array that speaks DLPack only."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **kwargs):
        return self.array.__dlpack__(**kwargs)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


def test_numpy_jax_dlpack_and_lists_agree(arrays):
    weak, strong, labels = arrays
    truth = w2sg.moments(weak, strong, labels).second
    with jax.enable_x64(True):
        from_jax = w2sg.moments(jnp.asarray(weak), jnp.asarray(strong), jnp.asarray(labels))
    np.testing.assert_array_equal(from_jax.second, truth)
    np.testing.assert_array_equal(w2sg.moments(Tensor(weak), Tensor(strong), Tensor(labels)).second, truth)
    np.testing.assert_array_equal(w2sg.moments(weak.tolist(), strong.tolist(), labels.tolist()).second, truth)
    np.testing.assert_array_equal(w2sg.moments(np.asfortranarray(weak), strong[:, ::-1][:, ::-1], labels).second, truth)


def test_torch_tensors(arrays):
    torch = pytest.importorskip("torch")
    weak, strong, _ = arrays
    narrow = torch.tensor(weak).to(torch.bfloat16)
    found = w2sg.moments(narrow, torch.tensor(strong, requires_grad=True))
    np.testing.assert_array_equal(found.second, w2sg.moments(narrow.to(torch.float64).numpy(), strong).second)


def test_the_accelerator_route_ends_in_the_same_moments(arrays, monkeypatch):
    host = w2sg.moments(*arrays, block_rows=60)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    device = w2sg.moments(*arrays, block_rows=60)
    np.testing.assert_allclose(device.second, host.second, rtol=1e-12, atol=1e-13)
    offset = w2sg.moments(arrays[0] + 2.0**24, *arrays[1:], block_rows=60)
    exact = w2sg.moments((arrays[0] + 2.0**24) - 2.0**24, *arrays[1:], block_rows=60)
    np.testing.assert_allclose(offset.sigma_weak, exact.sigma_weak, rtol=1e-12, atol=1e-13)


def test_moments_are_a_pytree(arrays):
    m = w2sg.moments(*arrays)
    leaves, structure = jax.tree.flatten(m)
    again = jax.tree.unflatten(structure, leaves)
    assert w2sg.gap(again).norm == w2sg.gap(m).norm


def test_float32_is_recorded_and_merged_in_float64(arrays):
    m = w2sg.moments(*arrays, dtype="float32")
    assert m.dtype == "float32" and m.second.dtype == np.float64
    np.testing.assert_allclose(m.second, w2sg.moments(*arrays).second, rtol=1e-4, atol=1e-5)


def test_the_callers_arrays_are_left_alone(arrays):
    copies = [array.copy() for array in arrays]
    w2sg.gap(w2sg.moments(*arrays))
    w2sg.gap_scores(*arrays)
    for array, copy in zip(arrays, copies, strict=True):
        np.testing.assert_array_equal(array, copy)
