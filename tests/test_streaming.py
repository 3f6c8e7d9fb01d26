"""Streams: batches of any size, memory-mapped files read ahead, many models and groups in one pass."""

import threading

import jax.numpy as jnp
import numpy as np
import pytest
from helpers import wait_for

import w2sg_jax as w2sg
from w2sg_jax.second_moments import from_arrays, from_batches
from w2sg_jax.store.prefetch import DEPTH, on_disk, prefetched


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    return rng.normal(size=(500, 7)) + 5, rng.normal(size=(500, 9)), rng.normal(size=(500, 2))


def batches(arrays, sizes):
    start = 0
    for size in sizes:
        yield tuple(array[start : start + size] for array in arrays)
        start += size


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("sizes", [[500], [1] * 500, [3, 247, 250], [64] * 7 + [52]], ids=lambda sizes: str(len(sizes)))
def test_batches_of_any_size_give_the_same_bits(arrays, sizes, center):
    whole = w2sg.moments(*arrays, block_rows=64, center=center)
    m = w2sg.moments_from_batches(batches(arrays, sizes), block_rows=64, center=center)
    np.testing.assert_array_equal(m.second, whole.second)
    np.testing.assert_array_equal(m.mean, whole.mean)
    assert m.n == 500


def test_batches_of_other_frameworks_and_without_labels(arrays):
    weak, strong, labels = (array.astype(np.float32) for array in arrays)
    m = w2sg.moments_from_batches([[jnp.asarray(weak[:300]), strong[:300]], (weak[300:].tolist(), strong[300:])])
    np.testing.assert_allclose(m.second, w2sg.moments(weak, strong).second, rtol=1e-12)
    one_column = w2sg.moments_from_batches([(weak, strong, labels[:, 0])])
    assert one_column.d_labels == 1


def test_batches_that_do_not_fit_are_named(arrays):
    weak, strong, labels = arrays
    for bad, message in (
        ([], r"batches: there was none"),
        ([(weak, strong), (weak[:, :6], strong)], r"batch 1 has arrays of widths \[6, 9\], the first one \[7, 9\]"),
        ([(weak, strong), (weak, strong, labels)], r"batch 1 has arrays of widths \[7, 9, 2\]"),
        ([(weak, strong), (weak[:3], strong)], r"batch 1, weak has 3 rows and batch 1, strong has 500"),
        (iter([weak]), r"batch 0 is no tuple \(weak, strong\)"),
        ([(weak, strong), (np.where(weak > 7, np.inf, weak), strong)], r"batch 1, weak: inf at row \d+, column \d"),
        ([(weak[:1], strong[:1])], r"batches: got 1 sample; centring needs at least 2"),
        ([(weak * 1e200, strong)], r"batches: the values are finite but their squares overflow"),
    ):
        with pytest.raises(w2sg.InputError, match=message):
            w2sg.moments_from_batches(bad)


def test_batches_with_names_are_those_of_a_dataset_or_a_loader(arrays):
    names = ("weak", "strong", "labels")
    named = (
        {name: part.tolist() for name, part in zip(names, batch, strict=True)}
        for batch in batches(arrays, [100, 150, 250])
    )
    found = w2sg.moments_from_batches(named, block_rows=64)
    np.testing.assert_array_equal(found.second, w2sg.moments(*arrays, block_rows=64).second)
    weak, strong, labels = arrays
    without = w2sg.moments_from_batches([{"strong": strong, "weak": weak}])
    np.testing.assert_array_equal(without.second, w2sg.moments(weak, strong).second)
    for bad, message in (
        ({"weak": weak}, r"batch 0 has the keys weak; expected weak, strong and, if there are any, labels"),
        ({"weak": weak, "strong": strong, "label": labels}, r"batch 0 has the keys weak, strong, label; expected"),
        ({"a": weak, "b": strong}, r"batch 0 has the keys a, b; .*rename and select the columns first"),
    ):
        with pytest.raises(w2sg.InputError, match=message):
            w2sg.moments_from_batches([bad])


def test_what_is_no_stream_of_batches_is_told_where_it_belongs(arrays, tmp_path):
    (tmp_path / "a").mkdir()
    w2sg.save(tmp_path / "a" / "0.npy", arrays[0])
    for call in (w2sg.moments_from_batches, from_batches._refuse_no_batches):
        with pytest.raises(
            w2sg.InputError, match=r"batches: got '.*a'; files and arrays go to moments\(load\(path, key"
        ):
            call(str(tmp_path / "a"))
    for bad in (tmp_path / "a", w2sg.load(tmp_path / "a"), arrays[0]):
        with pytest.raises(w2sg.InputError, match=r"batches: got .*; files and arrays go to moments\(load\(path, key"):
            from_batches._refuse_no_batches(bad)
    for bad in ({"weak": arrays[0], "strong": arrays[1]}, None, 3):
        with pytest.raises(w2sg.InputError, match=r"batches: got \w+; pass an iterable of batches, \[batch\]"):
            from_batches._refuse_no_batches(bad)


def test_an_error_of_the_callers_iterator_comes_through(arrays):
    def broken():
        yield arrays
        raise RuntimeError("the loader failed")

    with pytest.raises(RuntimeError, match="the loader failed"):
        w2sg.moments_from_batches(broken())


def test_files_on_disk_give_the_same_bits(arrays, tmp_path):
    mapped = []
    for index, array in enumerate(arrays):
        w2sg.save(tmp_path / f"{index}.npy", array)
        mapped.append(w2sg.load(tmp_path / f"{index}.npy"))
        assert on_disk(mapped[-1]) and on_disk(mapped[-1][3:]) and not on_disk(array)
    for rows in (None, 64):
        found = w2sg.moments(*mapped, block_rows=rows)
        np.testing.assert_array_equal(found.second, w2sg.moments(*arrays, block_rows=rows).second)


@pytest.mark.parametrize("groups", [1, 3, 8])
@pytest.mark.parametrize("block_rows", [None, 16])
def test_groups_and_models_in_one_pass_are_those_of_many_passes(arrays, groups, block_rows):
    weak, strong, labels = arrays
    models = [weak, weak[:, :3], strong[:, 2:]]
    sums = from_arrays.accumulate(
        models, [strong, labels], from_arrays.PassOptions(block_rows=block_rows), groups=groups
    )
    for index, model in enumerate(models):
        parts = from_arrays.pair_moments(sums, index, "model", model, [strong, labels])
        assert sum(part.n for part in parts) == 500 and len(parts) == groups
        total = parts[0]
        for part in parts[1:]:
            total = w2sg.merge(total, part)
        truth = w2sg.moments(model, strong, labels)
        np.testing.assert_allclose(total.second, truth.second, rtol=1e-12, atol=1e-13)
        if block_rows is None:
            first = w2sg.moments(model[::groups], strong[::groups], labels[::groups])
            np.testing.assert_allclose(parts[0].second, first.second, rtol=1e-12, atol=1e-13)


@pytest.mark.driver
def test_ten_thousand_blocks_are_as_accurate_as_one():
    rng = np.random.default_rng(0)
    weak, strong = rng.normal(size=(100_000, 4)) * [1, 1e-3, 1e3, 1] + [0, 1, 1e4, -5], rng.normal(size=(100_000, 5))
    many, one = w2sg.moments(weak, strong, block_rows=10), w2sg.moments(weak, strong, block_rows=100_000)
    scale = np.sqrt(np.outer(one.second.diagonal(), one.second.diagonal()))
    assert np.abs((many.second - one.second) / scale).max() < 1e-12
    blocks = [w2sg.moments(weak[start : start + 10], strong[start : start + 10]) for start in range(0, 10_000, 10)]
    total = blocks[0]
    for part in range(1, 10_000):
        total = w2sg.merge(total, blocks[part % 1000])
    tiled = w2sg.moments(*(np.tile(h[:10_000], (10, 1)) for h in (weak, strong)))
    assert total.n == tiled.n and np.abs((total.second - tiled.second) / scale).max() < 1e-10


def test_reading_ahead_is_bounded_and_stops_with_its_consumer():
    read = []
    stream = prefetched(range(100), lambda item: (read.append(item), item)[1])
    for item in range(20):
        assert next(stream) == item
        wait_for("what is read ahead", lambda ahead=item + 1 + DEPTH + 1: len(read) >= ahead)
        assert len(read) <= item + 1 + DEPTH + 2
    stream.close()
    assert not any(thread.name == "w2sg-prefetch" for thread in threading.enumerate())
    assert list(prefetched(range(50), lambda item: item * 2)) == list(range(0, 100, 2))
