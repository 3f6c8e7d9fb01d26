"""Columns of Parquet and Arrow files: the same numbers as in memory, in bounded memory, and every fault by its file."""

import json
import multiprocessing
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest

import w2sg_jax as w2sg
from w2sg_jax.cli import main
from w2sg_jax.second_moments.checkpoints import Layout, identity_of
from w2sg_jax.store import parquet
from w2sg_jax.store.content import content_hash
from w2sg_jax.store.shards import Shards

pa = pytest.importorskip("pyarrow")
pq = pytest.importorskip("pyarrow.parquet")

RNG = np.random.default_rng(0)
WEAK, STRONG, Y = RNG.normal(size=(300, 5)), RNG.normal(size=(300, 8)), RNG.integers(0, 2, 300)
KINDS = ["parquet", "stream", "file", "dataset", "shards"]
LISTS = ["fixed", "list", "large"]


def column(array, kind="fixed"):
    """An array as an Arrow column."""
    flat = pa.array(array.reshape(-1))
    if array.ndim == 1:
        return flat
    if kind == "fixed":
        return pa.FixedSizeListArray.from_arrays(flat, array.shape[1])
    bounds = np.arange(0, array.size + 1, array.shape[1], dtype=np.int32 if kind == "list" else np.int64)
    return (pa.ListArray if kind == "list" else pa.LargeListArray).from_arrays(bounds, flat)


def table(**columns):
    return pa.table({name: column(x) if isinstance(x, np.ndarray) else x for name, x in columns.items()})


def write_stream(path, content, rows=70, options=None):
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_stream(sink, content.schema, options=options) as writer:
        writer.write_table(content, max_chunksize=rows)
    return path


def write_dataset(folder, parts):
    """The layout that datasets.Dataset.save_to_disk writes."""
    folder.mkdir()
    names = [f"data-{index:05}-of-{len(parts):05}.arrow" for index in range(len(parts))]
    for name, part in zip(names, parts, strict=True):
        write_stream(folder / name, part)
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": name} for name in names]}))
    (folder / "dataset_info.json").write_text("{}")
    return folder


def write(folder, content, kind):
    """A table in one file or several, in some format."""
    cuts = [content[:120], content[120:120], content[120:]]
    if kind == "parquet":
        pq.write_table(content, folder / "a.parquet", row_group_size=64)
        return folder / "a.parquet"
    if kind == "stream":
        return write_stream(folder / "a.arrow", content)
    if kind == "file":
        with pa.OSFile(str(folder / "f.arrow"), "wb") as sink, pa.ipc.new_file(sink, content.schema) as writer:
            writer.write_table(content, max_chunksize=70)
        return folder / "f.arrow"
    if kind == "dataset":
        return write_dataset(folder / "dataset", cuts)
    (folder / "data").mkdir()
    for index, part in enumerate(cuts):
        pq.write_table(part, folder / "data" / f"train-{index:05}-of-00003.parquet", row_group_size=50)
    return folder / "data"


def refused(path, **options):
    with pytest.raises(w2sg.InputError) as caught:
        np.asarray(w2sg.load(path, **options))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int8, np.uint16, np.int64, bool])
def test_columns_are_arrays(tmp_path, kind, dtype):
    array = STRONG > 0 if dtype is bool else (10 * STRONG).astype(dtype)
    content = pa.table({name: column(array, name) for name in LISTS} | {"plain": array[:, 0], "text": ["x"] * 300})
    path = write(tmp_path, content, kind)
    for name, truth in (*((name, array) for name in LISTS), ("plain", array[:, 0])):
        found = w2sg.load(path, key=name)
        assert isinstance(found, Shards) and found.shape == truth.shape and found.dtype == dtype
        for rows in (slice(None), slice(0, 1), slice(40, 260), slice(90, 280, 7), slice(200, 200), slice(-3, None)):
            np.testing.assert_array_equal(found[rows], truth[rows])
        assert content_hash(found) == content_hash(truth)
    assert found.locate(0).startswith("row 0 of ")


@pytest.mark.parametrize("kind", KINDS)
def test_every_function_takes_columns(tmp_path, kind):
    path = write(tmp_path, table(weak=WEAK, strong=STRONG, y=Y), kind)
    weak, strong, labels = (w2sg.load(path, key=key) for key in ("weak", "strong", "y"))
    for rows in (7, 64, 300):
        whole = w2sg.moments(WEAK, STRONG, Y, block_rows=rows)
        found = w2sg.moments(weak, strong, labels, block_rows=rows)
        np.testing.assert_array_equal(found.second, whole.second)
        np.testing.assert_array_equal(found.mean, whole.mean)
    np.testing.assert_array_equal(w2sg.moments(weak, weak).second, w2sg.moments(WEAK, WEAK).second)
    np.testing.assert_array_equal(w2sg.gap_scores(weak, strong, labels), w2sg.gap_scores(WEAK, STRONG, Y))
    assert w2sg.rank({"a": weak}, strong, labels) == w2sg.rank({"a": WEAK}, STRONG, Y)


def test_a_dataset_is_read_in_its_own_order(tmp_path):
    folder = write_dataset(tmp_path / "a", [table(x=WEAK[:100]), table(x=WEAK[100:])])
    names = ["data-00001-of-00002.arrow", "data-00000-of-00002.arrow"]
    (folder / "state.json").write_text(json.dumps({"_data_files": [{"filename": name} for name in names]}))
    np.testing.assert_array_equal(w2sg.load(folder), np.concatenate([WEAK[100:], WEAK[:100]]))
    (folder / names[0]).unlink()
    assert (
        refused(folder)
        == f"{folder / names[0]}: this file is in state.json and not in the folder; copy the folder again"
    )
    for state in ("{", "[]", '{"_data_files": []}', '{"_data_files": [{"filename": "../a.arrow"}]}'):
        (folder / "state.json").write_text(state)
        assert f"{folder / 'state.json'}: no list of the data files of a dataset" in refused(folder)
    listed = {"_data_files": [{"filename": names[1]}], "_indices_data_files": [{"filename": "indices.arrow"}]}
    (folder / "state.json").write_text(json.dumps(listed))
    assert "is a selection of the rows of its files; write it again with dataset.flatten_indices()" in refused(folder)


def test_folders_that_are_not_one_array(tmp_path):
    pq.write_table(table(x=WEAK), tmp_path / "train-00000-of-00002.parquet")
    assert "1 of the files that are called train-...-of-2 are in the folder; all 2 are needed" in refused(tmp_path)
    pq.write_table(table(x=WEAK), tmp_path / "test-00000-of-00001.parquet")
    assert "the folder holds the splits test, train; keep the files of one split in it" in refused(tmp_path)
    write_stream(tmp_path / "a.arrow", table(x=WEAK))
    assert "the folder holds .arrow and .parquet files; keep the shards of one array in it" in refused(tmp_path)
    (tmp_path / "hub" / "data").mkdir(parents=True)
    pq.write_table(table(x=WEAK), tmp_path / "hub" / "data" / "0.parquet")
    assert "file; give the folder data in it" in refused(tmp_path / "hub")
    for split in ("test", "train"):
        (tmp_path / "dict" / split).mkdir(parents=True)
    (tmp_path / "dict" / "dataset_dict.json").write_text("{}")
    assert "several splits (test, train); give the folder of one of them" in refused(tmp_path / "dict")
    pq.write_table(table(x=WEAK[:, :4]), tmp_path / "hub" / "data" / "1.parquet")
    assert "1.parquet: the width of this shard is (4,), that of 0.parquet is (5,)" in refused(tmp_path / "hub" / "data")


@pytest.mark.parametrize("kind", ["parquet", "stream", "file"])
def test_columns_that_are_no_arrays(tmp_path, kind):
    nested = pa.array([[["x"]]] * 300)
    columns = {"weak": WEAK, "text": pa.array(["x"] * 300), "nested": nested, "flag": pa.array([{"a": 1}] * 300)}
    path = write(tmp_path, table(**columns), kind)
    assert f"{path}: the file holds 4 columns (flag, nested, text, weak); pass one of them, key='flag'" in refused(path)
    message = refused(path, key="week")
    assert "holds no column 'week'; did you mean 'weak'? It holds flag, nested, text, weak" in message
    assert "the column 'text' is of the type string; expected numbers, or one list of numbers a row" in refused(
        path, key="text"
    )
    assert "the column 'nested' is of the type list<" in refused(path, key="nested")
    assert "the column 'flag' is of the type struct<a: int64>; expected" in refused(path, key="flag")
    assert refused(path, key="flag").endswith("(a struct: write its fields as columns of their own)")
    twice = pa.Table.from_arrays([column(WEAK), column(WEAK)], ["x", "x"])
    assert "the file holds 2 columns 'x'; rename them" in refused(write(tmp_path, twice, kind), key="x")
    assert "there are no rows; write it again, with at least one" in refused(write(tmp_path, table(x=WEAK[:0]), kind))


NESTED = {
    "lists": pa.list_(pa.list_(pa.float64())),
    "large": pa.large_list(pa.large_list(pa.float64())),
    "fixed": pa.list_(pa.list_(pa.float64(), 8), 1),
    "fixed_in_lists": pa.list_(pa.list_(pa.float64(), 8)),
    "lists_in_fixed": pa.list_(pa.list_(pa.float64()), 1),
    "deep": pa.list_(pa.list_(pa.list_(pa.float64(), 8)), 1),
}


def nested(array, name):
    """Rows of the shape (1, d), or (1, 1, d)."""
    rows = array[:, None, None] if name == "deep" else array[:, None]
    return pa.array(rows.tolist(), NESTED[name])


@pytest.mark.parametrize("kind", KINDS)
def test_labels_of_truth_values(tmp_path, kind):
    labels = w2sg.load(write(tmp_path, table(x=STRONG, y=Y > 0), kind), key="y")
    found = w2sg.moments(WEAK, STRONG, labels)
    np.testing.assert_array_equal(found.second, w2sg.moments(WEAK, STRONG, Y).second)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NESTED)
def test_arrays_of_one_row_are_vectors(tmp_path, kind, name):
    path = write(tmp_path, pa.table({"x": nested(STRONG, name), "y": Y}), kind)
    found = w2sg.load(path, key="x")
    assert found.shape == STRONG.shape
    for rows in (slice(None), slice(0, 1), slice(40, 260), slice(130, 131), slice(-3, None)):
        np.testing.assert_array_equal(found[rows], STRONG[rows])


def test_arrays_of_one_row_that_begin_within_a_batch(tmp_path):
    """A slice of a table, whose lists begin at a bound other than 0, and rows of truth values, which are bits."""
    for name in ("lists", "fixed_in_lists", "fixed"):
        part = pa.table({"x": nested(STRONG, name)})[3:]
        np.testing.assert_array_equal(w2sg.load(write_stream(tmp_path / "a.arrow", part)), STRONG[3:])
    flags = pa.array((STRONG > 0)[:, None].tolist(), pa.list_(pa.list_(pa.bool_())))
    found = w2sg.load(write_stream(tmp_path / "b.arrow", pa.table({"x": flags})[3:]))
    np.testing.assert_array_equal(found[5:77], (STRONG > 0)[8:80])


@pytest.mark.parametrize("kind", ["parquet", "stream", "file"])
def test_arrays_of_several_rows_are_named_by_their_shape(tmp_path, kind):
    def message(rows, declared=None):
        return refused(write(tmp_path, pa.table({"x": pa.array(rows, declared)}), kind))

    todo = "; expected one vector a row: pool it (for instance the mean of its rows), or write each of its rows as a"
    two = [[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]] * 9
    assert f"row 0 of the column 'x' is an array of the shape (2, 3){todo}" in message(two)
    assert f"the rows of the column 'x' are arrays of the shape (2, any){todo}" in message(
        two, pa.list_(pa.list_(pa.float64()), 2)
    )
    assert f"are arrays of the shape (2, 3){todo}" in message(two, pa.list_(pa.list_(pa.float64(), 3), 2))
    one = [[[1.0, 2.0, 3.0]]] * 200
    assert f"row 170 of the column 'x' is an array of the shape (2, 3){todo}" in message([*one[:170], *two])
    assert f"row 1 of the column 'x' is 2 lists of different lengths{todo}" in message([*one[:1], [[1.0], [1.0, 2.0]]])
    assert f"row 1 of the column 'x' is an empty list{todo}" in message([*one[:1], []])
    assert "row 170 of the column 'x' has 2 numbers, row 0 has 3" in message([*one[:170], [[1.0, 2.0]]])
    assert "row 170 of the column 'x' is null" in message([*one[:170], None])
    assert "row 170 of the column 'x' is null" in message([*one[:170], [None]])
    assert "row 170 of the column 'x' has a null among its numbers" in message([*one[:170], [[1.0, None, 2.0]]])
    tensors = pa.ExtensionArray.from_storage(
        pa.fixed_shape_tensor(pa.float64(), (2, 4)), pa.array(STRONG.tolist(), pa.list_(pa.float64(), 8))
    )
    assert f"are arrays of the shape (2, 4){todo}" in refused(write(tmp_path, pa.table({"x": tensors}), kind))
    vectors = pa.ExtensionArray.from_storage(pa.fixed_shape_tensor(pa.float64(), (1, 8)), tensors.storage)
    np.testing.assert_array_equal(w2sg.load(write(tmp_path, pa.table({"x": vectors}), kind)), STRONG)


@pytest.mark.parametrize("kind", ["parquet", "stream", "file"])
def test_a_column_is_the_one_of_that_whole_name(tmp_path, kind):
    """Name and field of a struct, with a dot between, may spell the name of another column."""
    struct = pa.array([{"large": row.tolist(), "y": 1.0} for row in STRONG])
    for order in (("emb", "emb.large"), ("emb.large", "emb")):
        columns = {"emb": struct, "emb.large": column(WEAK), "emb.large.list.element": column(Y), ".": column(Y)}
        content = pa.table({name: columns[name] for name in (*order, "emb.large.list.element", ".")})
        path = write(tmp_path, content, kind)
        np.testing.assert_array_equal(w2sg.load(path, key="emb.large")[70:200], WEAK[70:200])
        np.testing.assert_array_equal(w2sg.load(path, key="emb.large.list.element"), Y)
        np.testing.assert_array_equal(w2sg.load(path, key="."), Y)
        assert "the column 'emb' is of the type struct<" in refused(path, key="emb")
    lists = pa.table({"emb": struct, "emb.large": column(WEAK, "list")})
    np.testing.assert_array_equal(w2sg.load(write(tmp_path, lists, kind), key="emb.large"), WEAK)
    path = write(tmp_path, pa.table({"emb": struct}), kind)
    assert "the file holds no column 'emb.large'; it holds emb" in refused(path, key="emb.large")


@pytest.mark.parametrize("kind", KINDS)
def test_open_columns_go_to_other_processes(tmp_path, kind):
    """Pickled, also while a file is held open to go on reading."""
    found = w2sg.load(write(tmp_path, table(x=STRONG), kind))
    found[10:50]
    again = pickle.loads(pickle.dumps(found))
    assert again.stamp == found.stamp
    np.testing.assert_array_equal(again[40:], STRONG[40:])
    np.testing.assert_array_equal(found[50:90], STRONG[50:90])


def test_an_open_column_goes_to_an_interpreter_that_starts(tmp_path):
    found = {kind: w2sg.load(write(tmp_path, table(x=STRONG), kind)) for kind in ("parquet", "stream")}
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        for one in found.values():
            one[:7]
            there = pool.apply_async(np.asarray, (one,)).get(timeout=600)  # of the start of another interpreter
            np.testing.assert_array_equal(there, STRONG)


@pytest.mark.parametrize("kind", ["parquet", "stream", "file"])
def test_nulls_and_ragged_rows_are_named(tmp_path, kind):
    rows = WEAK.tolist()

    def message(bad, **options):
        return refused(write(tmp_path, pa.table({"x": pa.array(bad, **options)}), kind))

    assert "row 170 of the column 'x' is null; drop or repair those rows" in message([*rows[:170], None, *rows[171:]])
    assert "row 170 of the column 'x' is null" in message([*range(170), None, 3])
    for options in ({}, {"type": pa.list_(pa.float64(), 5)}):
        bad = [*rows[:170], [1.0, None, 1.0, 1.0, 1.0], *rows[171:]]
        assert "row 170 of the column 'x' has a null among its numbers" in message(bad, **options)
    assert "row 170 of the column 'x' has 4 numbers, row 0 has 5" in message([*rows[:170], rows[0][:4], *rows[171:]])
    assert "row 0 of the column 'x' is an empty list" in message([[], *rows], type=pa.list_(pa.float64()))
    assert "the lists of the column 'x' are empty" in message([[], []], type=pa.list_(pa.float64(), 0))


def test_a_bad_value_is_named_by_file_and_row(tmp_path):
    bad = STRONG.copy()
    bad[170, 3] = np.nan
    for kind in ("shards", "dataset"):
        strong = w2sg.load(write(tmp_path, table(x=bad), kind))
        with pytest.raises(
            w2sg.InputError, match=r"strong: nan at row 170 \(row 50 of .*-00002-of-00003.*\), column 3"
        ):
            w2sg.moments(WEAK, strong)
    path = write(tmp_path, table(y=np.where(np.arange(300) == 290, np.inf, Y)), "parquet")
    with pytest.raises(w2sg.InputError, match=r"labels: inf at row 290 \(row 290 of a.parquet\), column 0"):
        w2sg.moments(WEAK, STRONG, w2sg.load(path))
    path = write(tmp_path, table(y=Y[:299]), "parquet")
    with pytest.raises(w2sg.InputError, match=r"labels \(.*a.parquet\): 299 labels for 300 samples"):
        w2sg.moments(WEAK, STRONG, w2sg.load(path))


@pytest.mark.parametrize("nesting", [None, "lists", "lists_in_fixed"])
@pytest.mark.parametrize("kind", ["parquet", "stream", "file"])
def test_damaged_files_are_refused_or_read(tmp_path, kind, nesting):
    path = write(tmp_path, pa.table({"x": column(WEAK) if nesting is None else nested(WEAK, nesting)}), kind)
    content = path.read_bytes()
    for keep in (1, 7, 100, len(content) // 2, len(content) - 8, len(content) - 1):
        path.write_bytes(content[:keep])
        assert refused(path).startswith(f"{path}: the file is truncated or damaged (")
    for _ in range(100):
        damaged = bytearray(content)
        for place in RNG.integers(0, len(content), 4):
            damaged[place] ^= 1 << int(RNG.integers(8))
        path.write_bytes(damaged)
        try:
            assert np.asarray(w2sg.load(path)).shape[1:] == (5,)
        except w2sg.InputError as error:
            assert str(error).startswith(f"{path}: ")


def test_a_stream_cut_between_two_batches_is_not_a_shorter_one(tmp_path):
    path = write(tmp_path, table(x=WEAK), "stream")
    path.write_bytes(path.read_bytes()[:-8])
    assert len(pa.ipc.open_stream(path.read_bytes()).read_all()) == 300
    assert "the file is truncated or damaged (the stream does not end)" in refused(path)


def test_compressed_batches_are_refused(tmp_path):
    write_stream(tmp_path / "a.arrow", table(x=WEAK), options=pa.ipc.IpcWriteOptions(compression="zstd"))
    assert "the batches of this file are compressed; write it without compression" in refused(tmp_path / "a.arrow")


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_that_changes_between_two_blocks_is_refused(tmp_path, kind):
    """Cut off behind what was read: looking at a mapped file there would kill the process."""
    path = write(tmp_path, table(x=np.repeat(STRONG, 40, axis=0)), kind)
    last = max(path.glob("*0*")) if path.is_dir() else path

    def change(done, n):
        os.truncate(last, 4096)

    with pytest.raises(w2sg.InputError, match=f"{last.name}: the file has changed since it was opened; let its writer"):
        w2sg.moments(np.repeat(WEAK, 40, axis=0), w2sg.load(path), block_rows=16, progress=change)


def test_a_pass_decodes_every_row_once(tmp_path, monkeypatch):
    path = write(tmp_path, table(x=STRONG), "parquet")
    decoded = []
    real = parquet._values
    monkeypatch.setattr(
        parquet, "_values", lambda piece, values, row: (decoded.append(len(values)), real(piece, values, row))[1]
    )
    for size in (1 << 22, 10 * STRONG[0].nbytes):
        monkeypatch.setattr(parquet, "DECODED_BYTES", size)
        decoded.clear()
        x = w2sg.load(path)
        np.testing.assert_array_equal(np.concatenate([x[start : start + 9] for start in range(0, 300, 9)]), STRONG)
        assert sum(decoded) == 300
        np.testing.assert_array_equal(x[100:120], STRONG[100:120])
        assert sum(decoded) <= 300 + 64 + 10


PEAK = """
import sys, tracemalloc, pyarrow.parquet
from w2sg_jax import load
pyarrow.array([True]).to_numpy(zero_copy_only=False)  # imports pandas where it is installed: before memory is counted
tracemalloc.start()
x = load(sys.argv[1])
rows = sum(len(x[start : start + 2000]) for start in range(0, len(x), 2000))
print(rows, pyarrow.default_memory_pool().max_memory() + tracemalloc.get_traced_memory()[1])
"""


@pytest.mark.parametrize("kind", ["parquet", "stream"])
def test_memory_does_not_grow_with_the_file(tmp_path, kind):
    """100 MiB in one row group, and in many batches, are read in blocks of 1 MiB."""
    content = table(x=np.tile(RNG.normal(size=(1000, 128)).astype(np.float32), (200, 1)))
    path = tmp_path / ("a.parquet" if kind == "parquet" else "a.arrow")
    if kind == "parquet":
        pq.write_table(content, path, row_group_size=10**6, use_dictionary=False, compression="none")
    else:
        write_stream(path, content, 1000)
    code = [sys.executable, "-c", PEAK, str(path)]
    rows, peak = map(int, subprocess.run(code, check=True, timeout=600, capture_output=True, text=True).stdout.split())
    assert rows == 200_000 and os.path.getsize(path) > 100e6 and peak < 10 * parquet.DECODED_BYTES


@pytest.mark.parametrize("kind", ["parquet", "stream"])
def test_identity_of_a_pass_follows_file_and_column(tmp_path, kind):
    path = write(tmp_path, table(a=WEAK, b=WEAK), kind)

    def name(key):
        return identity_of([w2sg.load(path, key=key), STRONG], Layout((5,), 8, 0, True, "float64"), 50, 1)

    before = name("a")
    assert before == name("a") != name("b")
    os.utime(path, (1, 1))
    assert before != name("a")


def test_without_pyarrow_the_extra_is_named(tmp_path, monkeypatch):
    write(tmp_path, table(x=WEAK), "parquet")
    write(tmp_path, table(x=WEAK), "stream")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for name in ("a.parquet", "a.arrow"):
        assert "are read with pyarrow" in refused(tmp_path / name)
        assert refused(tmp_path / name).endswith('pip install "w2sg_jax[arrow]"')


def test_pyarrow_is_imported_only_where_it_is_used():
    code = "import sys, w2sg_jax, w2sg_jax.cli, w2sg_jax.cli.gap; assert 'pyarrow' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=600)


def test_the_command_reads_columns(tmp_path, capsys):
    """Parquet, a dataset folder and .npy files give one and the same record."""
    write(tmp_path, table(weak=WEAK, strong=STRONG, y=Y), "parquet")
    write(tmp_path, table(weak=WEAK, strong=STRONG, y=Y), "dataset")
    for name, array in (("weak", WEAK), ("strong", STRONG), ("y", Y)):
        w2sg.save(tmp_path / f"{name}.npy", array)

    def run(command, *names):
        assert main([command, *(str(tmp_path / name) for name in names[:2]), *names[2:], "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    records = [
        run("gap", weak, strong, "--labels", str(tmp_path / labels))
        for weak, strong, labels in (
            ("weak.npy", "strong.npy", "y.npy"),
            ("a.parquet::weak", "a.parquet::strong", "a.parquet::y"),
            ("dataset::weak", "dataset::strong", "dataset::y"),
        )
    ]
    assert records[0]["result"] == records[1]["result"] == records[2]["result"]
    hashes = [[x["sha256"] for x in record["inputs"].values()] for record in records]
    assert hashes[0] == hashes[1] == hashes[2]
    ranked = run("rank", "a.parquet::strong", "dataset::weak", "--checkpoint", str(tmp_path / "state"))
    assert ranked["result"]["rows"][0]["name"] == "weak"
    assert main(["gap", str(tmp_path / "a.parquet"), str(tmp_path / "strong.npy")]) == 2
    assert f"{tmp_path}/a.parquet::strong on the command line" in capsys.readouterr().err
