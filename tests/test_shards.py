"""Shards: a folder is one array, read as rows are asked for, and every fault names its file."""

import multiprocessing
import os
import pickle
import subprocess
import sys
import threading

import numpy as np
import pytest

import w2sg_jax as w2sg
from w2sg_jax.store.content import content_hash
from w2sg_jax.store.shards import Shards, unmapped

RNG = np.random.default_rng(0)
WEAK, STRONG, Y = RNG.normal(size=(300, 5)), RNG.normal(size=(300, 8)), RNG.normal(size=300)


def write(folder, array, cuts, suffix=".npy"):
    folder.mkdir()
    for index, part in enumerate(np.split(array, cuts)):
        w2sg.save(folder / f"part-{index:03}{suffix}", part)
    return folder


def touch(path):
    """Another time of modification: two changes within one tick of the system's clock would have one."""
    found = path.stat()
    os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns + 10**9))


@pytest.mark.parametrize("suffix", [".npy", ".safetensors"])
@pytest.mark.parametrize("dtype", [np.float64, np.float16, ">f4"])
def test_slices_are_those_of_the_whole_array(tmp_path, suffix, dtype):
    array = WEAK.astype(dtype)
    shards = w2sg.load(write(tmp_path / "a", array, [1, 100, 100, 250], suffix))
    assert isinstance(shards, Shards) and shards.shape == (300, 5) and len(shards) == 300
    for rows in (slice(None), slice(0, 1), slice(99, 251), slice(90, 280, 7), slice(250, 250), slice(-3, None)):
        np.testing.assert_array_equal(shards[rows], array[rows])
        assert shards[rows].dtype.isnative
    np.testing.assert_array_equal(np.asarray(shards), array)
    assert content_hash(shards) == content_hash(array)
    assert "5 files from" in repr(shards)


def test_every_function_takes_shards(tmp_path):
    weak = w2sg.load(write(tmp_path / "weak", WEAK, [10, 200]))
    strong = w2sg.load(write(tmp_path / "strong", STRONG, [150], ".safetensors"))
    labels = w2sg.load(write(tmp_path / "labels", Y, [299]))
    whole = w2sg.moments(WEAK, STRONG, Y, block_rows=64)
    np.testing.assert_array_equal(w2sg.moments(weak, strong, labels, block_rows=64).second, whole.second)
    np.testing.assert_array_equal(w2sg.gap_scores(weak, strong, labels), w2sg.gap_scores(WEAK, STRONG, Y))
    assert w2sg.rank({"a": weak}, strong, labels) == w2sg.rank({"a": WEAK}, STRONG, Y)
    heads, truth = w2sg.ridge_path(weak, labels, [1e-2]), w2sg.ridge_path(WEAK, Y, [1e-2])
    np.testing.assert_array_equal(heads.predict(weak), truth.predict(WEAK))


def test_a_bad_value_is_named_by_shard_and_row(tmp_path):
    bad = STRONG.copy()
    bad[170, 3] = np.nan
    strong = w2sg.load(write(tmp_path / "strong", bad, [150]))
    for call in (lambda: w2sg.moments(WEAK, strong), lambda: w2sg.rank({"a": WEAK}, strong)):
        with pytest.raises(w2sg.InputError, match=r"strong: nan at row 170 \(row 20 of part-001.npy\), column 3"):
            call()


def test_shards_that_do_not_fit_are_named(tmp_path):
    folder = write(tmp_path / "a", WEAK, [100, 200])
    w2sg.save(folder / "part-002.npy", WEAK[200:, :4])
    with pytest.raises(w2sg.InputError, match=r"part-002.npy: the width of this shard is \(4,\), that of part-000.npy"):
        w2sg.load(folder)
    w2sg.save(folder / "part-002.npy", WEAK[200:].astype(np.float32))
    with pytest.raises(w2sg.InputError, match=r"part-002.npy: the type of this shard is float32, that of part-000.npy"):
        w2sg.load(folder)
    w2sg.save(folder / "part-002.npy", WEAK[200:, :, None])
    with pytest.raises(w2sg.InputError, match=r"part-002.npy: this file has an array of the shape \(100, 5, 1\)"):
        w2sg.load(folder)
    w2sg.save(folder / "part-002.npy", WEAK[200:])
    with pytest.raises(w2sg.InputError, match=r"part-000.npy: a .npy file holds one array without a name, but key='x'"):
        w2sg.load(folder, key="x")
    w2sg.save(folder / "part-002.safetensors", WEAK)
    with pytest.raises(w2sg.InputError, match=r"holds .npy and .safetensors files"):
        w2sg.load(folder)
    with pytest.raises(w2sg.InputError, match=r"weak \(.*/b\) has 300 rows and strong \(.*/c\) has 299"):
        w2sg.moments(w2sg.load(write(tmp_path / "b", WEAK, [7])), w2sg.load(write(tmp_path / "c", STRONG[:299], [7])))
    large = WEAK.astype(np.int64)
    large[290] = 2**53 + 2
    with pytest.raises(w2sg.InputError, match=r"weak: integers up to 9007199254740994 overflow float64"):
        w2sg.moments(w2sg.load(write(tmp_path / "d", large, [7])), STRONG)


def test_a_truncated_shard_is_named(tmp_path):
    folder = write(tmp_path / "a", WEAK, [100])
    os.truncate(folder / "part-001.npy", 1000)
    with pytest.raises(w2sg.InputError, match=r"part-001.npy: the file is truncated or damaged"):
        w2sg.load(folder)


@pytest.mark.parametrize("change", ["rewritten", "shortened", "deleted"])
def test_a_shard_that_changes_while_it_is_read_is_refused(tmp_path, change):
    folder = write(tmp_path / "a", WEAK, [100, 200])
    shards = w2sg.load(folder)
    np.testing.assert_array_equal(shards[:150], WEAK[:150])
    if change == "rewritten":
        w2sg.save(folder / "part-002.npy", WEAK[200:] + 1)
        touch(folder / "part-002.npy")
    elif change == "shortened":
        os.truncate(folder / "part-002.npy", 200)
    else:
        (folder / "part-002.npy").unlink()
    with pytest.raises(w2sg.InputError, match=r"part-002.npy: the file has (changed|gone) since it was opened"):
        w2sg.moments(shards, STRONG)
    assert not any(thread.name == "w2sg-prefetch" for thread in threading.enumerate())


@pytest.mark.parametrize("change", ["rewritten", "shortened", "replaced"])
def test_a_change_between_two_blocks_is_refused(tmp_path, change):
    """Behind the first block, in a shard of which some rows were read already."""
    shards = w2sg.load(write(tmp_path / "a", WEAK, [100]))
    last = tmp_path / "a" / "part-001.npy"

    def disturb(done, n):
        if done != 120:
            return
        if change == "rewritten":
            with open(last, "r+b") as file:
                file.seek(-8, os.SEEK_END)
                file.write(bytes(8))
            touch(last)
        elif change == "shortened":
            os.truncate(last, 200)
        else:
            os.replace(tmp_path / "a" / "part-000.npy", last)

    with pytest.raises(w2sg.InputError, match=r"part-001.npy: the file has changed since it was opened"):
        w2sg.moments(shards, STRONG, block_rows=4, progress=disturb)


def test_a_change_behind_the_pass_is_refused_at_its_end(tmp_path):
    """A shard that was read already: the result would belong to samples that are no longer there."""
    shards = w2sg.load(write(tmp_path / "a", WEAK, [100]))
    first = tmp_path / "a" / "part-000.npy"

    def disturb(done, n):
        if done == n:
            first.write_bytes(first.read_bytes())
            touch(first)

    with pytest.raises(w2sg.InputError, match=r"part-000.npy: the file has changed since it was opened"):
        w2sg.moments(shards, STRONG, block_rows=4, progress=disturb)


CUT_OFF = """
import os, sys, threading, numpy as np, w2sg_jax as w2sg
from w2sg_jax.second_moments import from_arrays
looking, copied = threading.Lock(), from_arrays.copied
def copied_under_lock(rows):
    with looking:
        return copied(rows)
from_arrays.copied = copied_under_lock
x = np.random.default_rng(0).normal(size=(20000, 40))
def cut_off(done, n):
    with looking:  # nobody can help a process that is looking at the rows just then
        os.truncate(path, 4096)
path = sys.argv[1] + "/x.npy"
def opened(kind):
    np.save(path, np.asfortranarray(x) if kind == "columns" else x)
    array = np.load(path, mmap_mode="r") if kind == "foreign" else w2sg.load(path)
    return {"rows": array[:], "part": array[7:], "some": array[:, 3:20]}.get(kind, array)
for kind in ("rows", "part", "columns", "some", "foreign"):
    array = opened(kind)
    try:
        w2sg.moments(x[-len(array) :], array, block_rows=500, progress=cut_off)
    except w2sg.InputError as error:
        print(kind, str(error).removeprefix(path))
"""


def test_a_mapped_file_that_is_cut_off_during_a_pass_is_named(tmp_path):
    """Where the system would kill a process that looks at mapped rows that are gone."""
    run = subprocess.run([sys.executable, "-c", CUT_OFF, str(tmp_path)], capture_output=True, text=True, timeout=600)
    assert run.returncode == 0, f"exit code {run.returncode}: {run.stderr}"
    changed = ": the file has changed since it was opened; let its writer end, then start again"
    shorter = ": the mapped file has become shorter since it was opened; write or copy it again"
    expected = {"rows": changed, "part": changed, "columns": changed, "some": shorter, "foreign": shorter}
    assert run.stdout.splitlines() == [f"{kind} {text}" for kind, text in expected.items()]


@pytest.mark.parametrize("order", ["C", "F"])
def test_mapped_files_and_their_rows_give_the_same_bits(tmp_path, order):
    np.save(tmp_path / "a.npy", np.asarray(STRONG, order=order))
    w2sg.save(tmp_path / "y.safetensors", Y)
    strong, labels = w2sg.load(tmp_path / "a.npy"), w2sg.load(tmp_path / "y.safetensors")
    for rows in (slice(None), slice(3, 200), slice(None, None, 3)):
        assert isinstance(unmapped(strong[rows]), Shards) == (rows.step is None)
        truth = w2sg.moments(WEAK[rows], STRONG[rows], Y[rows], block_rows=64)
        found = w2sg.moments(WEAK[rows], strong[rows], labels[rows], block_rows=64)
        np.testing.assert_array_equal(found.second, truth.second)
    np.testing.assert_array_equal(unmapped(strong.T)[:], STRONG.T)
    assert content_hash(strong[3:]) == content_hash(STRONG[3:])


def test_numbers_of_rows_that_differ_are_named_by_file(tmp_path):
    w2sg.save(tmp_path / "weak.npy", WEAK[:299])
    weak, strong = w2sg.load(tmp_path / "weak.npy"), w2sg.load(write(tmp_path / "strong", STRONG, [150]))
    with pytest.raises(
        w2sg.InputError, match=r"weak \(.*weak.npy\) has 299 rows and strong \(.*strong\) has 300; both"
    ):
        w2sg.moments(weak, strong)
    with pytest.raises(
        w2sg.InputError, match=r"strong \(.*strong\) has 300 rows and weak\['a'\] \(.*weak.npy\) has 299"
    ):
        w2sg.rank({"a": weak}, strong)
    with pytest.raises(w2sg.InputError, match=r"labels \(.*weak.npy\): 299 labels for 300 samples"):
        w2sg.moments(WEAK, strong, weak)


def test_rows_are_read_forwards_by_slices(tmp_path):
    shards = w2sg.load(write(tmp_path / "a", WEAK, [100]))
    with pytest.raises(w2sg.InputError, match="rows: got int; shards are read by slices"):
        shards[3]
    with pytest.raises(w2sg.InputError, match="rows: step -1"):
        shards[::-1]


@pytest.mark.parametrize("suffix", [".npy", ".safetensors"])
def test_open_shards_go_to_other_processes(tmp_path, monkeypatch, suffix):
    """Pickled, also after rows were read; the other process may work in another folder."""
    write(tmp_path / "a", WEAK, [100, 200], suffix)
    monkeypatch.chdir(tmp_path)
    shards = w2sg.load("a")
    shards[90:110]
    monkeypatch.chdir(tmp_path.parent)
    again = pickle.loads(pickle.dumps(shards))
    assert again.stamp == shards.stamp and repr(again) == repr(shards)
    np.testing.assert_array_equal(again[:], WEAK)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found = pool.apply_async(np.asarray, (shards,)).get(timeout=600)  # of an interpreter that starts
    np.testing.assert_array_equal(found, WEAK)


@pytest.mark.parametrize("suffix", [".npy", ".safetensors", ".npz"])
def test_a_loaded_file_is_pickled_with_its_values(tmp_path, suffix):
    w2sg.save(tmp_path / f"a{suffix}", WEAK)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(w2sg.load(tmp_path / f"a{suffix}"))), WEAK)
