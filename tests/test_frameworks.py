"""Arrays of torch, pandas, datasets and SciPy: their numbers, or one line that says what to do."""

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import w2sg_jax as w2sg
from w2sg_jax import store
from w2sg_jax.store import foreign

RNG = np.random.default_rng(0)
WEAK, STRONG, Y = RNG.normal(size=(60, 4)), RNG.normal(size=(60, 6)), RNG.integers(0, 2, 60)


def same(found, truth):
    """Whether two Moments have the same bits."""
    np.testing.assert_array_equal(found.second, truth.second)
    np.testing.assert_array_equal(found.mean, truth.mean)


class Tensor:
    """A foreign array that has DLPack alone."""

    def __init__(self, array):
        self.array = array

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


def test_what_is_in_memory_is_shared_and_left_alone():
    array = WEAK.copy()
    found = foreign.in_memory(Tensor(array), "x")
    assert isinstance(found, np.ndarray) and np.shares_memory(found, array)
    assert foreign.in_memory(array, "x") is array
    on_device = jnp.zeros(3)
    assert foreign.in_memory(on_device, "x") is on_device


def test_tensors_of_an_accelerator_keep_their_digits(monkeypatch):
    """Every device taken for one: 64-bit tensors are read by JAX, within a scope of 64-bit types, without a warning."""
    monkeypatch.setattr(foreign, "_HOST", ())
    same(w2sg.moments(Tensor(WEAK), Tensor(STRONG), Tensor(Y)), w2sg.moments(WEAK, STRONG, Y))
    if not jax.config.jax_enable_x64:
        tensor = Tensor(WEAK)
        tensor.dtype = "torch.float64"
        with pytest.raises(w2sg.InputError, match=r"torch\.float64 would become float32"):
            foreign.in_memory(tensor, "x")


@pytest.mark.parametrize("dtype", ["bfloat16", "float32", "float64", "int64"])
def test_tensors_on_the_device_of_jax(dtype):
    """Where that is an accelerator, they stay on it."""
    with jax.enable_x64(True):
        strong = jnp.asarray(9 * STRONG).astype(dtype)
    found = foreign.in_memory(Tensor(strong), "x")
    assert isinstance(found, np.ndarray) == (strong.device.platform == "cpu")
    same(w2sg.moments(WEAK, Tensor(strong)), w2sg.moments(WEAK, strong))


@pytest.mark.parametrize("dtype", ["int64", "float64"])
def test_64_bit_arrays_of_jax_are_taken_outside_of_their_scope(dtype):
    with jax.enable_x64(True):
        weak, strong, y = jnp.asarray(WEAK), jnp.asarray(STRONG), jnp.asarray(Y, dtype)
        spoiled = strong.at[7, 2].set(jnp.nan)
        identifiers = jnp.arange(60) + 2**60
    truth = w2sg.moments(WEAK, STRONG, Y)
    same(w2sg.moments(weak, strong, y), truth)
    np.testing.assert_array_equal(w2sg.gap_scores(weak, strong, y), w2sg.gap_scores(WEAK, STRONG, Y))
    with pytest.raises(w2sg.InputError, match="strong: nan at row 7, column 2"):
        w2sg.moments(weak, spoiled)
    with pytest.raises(w2sg.InputError, match=f"labels: integers up to {2**60 + 59} overflow float64"):
        w2sg.moments(weak, strong, identifiers)


@pytest.mark.parametrize("name", ["float64", "float32", "float16", "bfloat16", "int64", "int32", "uint8", "bool"])
def test_tensors_of_torch(tmp_path, name):
    torch = pytest.importorskip("torch")
    tensor = torch.tensor(10 * WEAK).to(getattr(torch, name))
    truth = tensor.to(torch.float64).numpy()
    same(w2sg.moments(tensor, STRONG), w2sg.moments(truth, STRONG))
    same(w2sg.moments(tensor.T.contiguous().T, STRONG), w2sg.moments(truth, STRONG))
    same(w2sg.moments(tensor[::2, 1:], STRONG[::2]), w2sg.moments(truth[::2, 1:], STRONG[::2]))
    w2sg.save(tmp_path / "a.safetensors", tensor)
    stored = w2sg.load(tmp_path / "a.safetensors")
    assert stored.dtype.name == name
    np.testing.assert_array_equal(stored.astype(np.float64), truth)
    assert store.content_hash(tensor) == store.content_hash(stored)


def test_labels_of_torch_raise_no_warning():
    """Warnings are errors here; JAX would say that it has no int64."""
    torch = pytest.importorskip("torch")
    labels, truth = torch.tensor(Y), w2sg.moments(WEAK, STRONG, Y)
    assert labels.dtype == torch.int64
    same(w2sg.moments(torch.tensor(WEAK, requires_grad=True), torch.nn.Parameter(torch.tensor(STRONG)), labels), truth)
    ranked = w2sg.rank({"a": torch.tensor(WEAK)}, torch.tensor(STRONG), labels)
    assert ranked == w2sg.rank({"a": WEAK}, STRONG, Y)
    with pytest.raises(w2sg.InputError, match=r"labels: integers up to .* overflow float64"):
        w2sg.moments(WEAK, STRONG, labels + 2**60)


def test_a_list_of_tensors():
    torch = pytest.importorskip("torch")
    same(w2sg.moments(list(torch.tensor(WEAK)), STRONG), w2sg.moments(WEAK, STRONG))
    with pytest.raises(w2sg.InputError, match=r"weak: not an array \(.*; pass one NumPy array"):
        w2sg.moments(list(torch.tensor(WEAK, requires_grad=True)), STRONG)


SPARSE = """
import numpy as np, scipy.sparse, w2sg_jax as w2sg
from jax.experimental import sparse
x = np.eye(4)
given = [scipy.sparse.csr_matrix(x), scipy.sparse.coo_array(x), sparse.BCOO.fromdense(x)]
try:
    import torch
    given += [torch.tensor(x).to_sparse(), torch.tensor(x).to_sparse_csr()]
except ImportError:
    pass
for one in given:
    for act in (
        lambda: w2sg.moments(x, one),
        lambda: w2sg.save("a.npy", one),
        lambda: w2sg.moments(x, x, one),
        lambda: w2sg.gap_norm(x, one),
    ):
        try:
            act()
        except w2sg.InputError as error:
            print(error)
"""


def test_sparse_matrices_hear_how_to_become_dense(tmp_path):
    """In a process of its own: here arguments of other types are refused before they are read."""
    code = [sys.executable, "-W", "ignore", "-c", SPARSE]
    done = subprocess.run(code, capture_output=True, text=True, timeout=600, cwd=tmp_path)
    lines = done.stdout.splitlines()
    assert len(lines) in (12, 20), done.stderr
    for line, name in zip(lines, ("strong", "array", "labels", "strong") * 5, strict=False):
        assert line.startswith(f"{name}: a sparse matrix (")
    assert lines[0] == "strong: a sparse matrix (scipy.sparse._csr.csr_matrix); pass x.toarray()"
    assert all(line.endswith("pass x.toarray()") for line in lines[:8])
    assert all(line.endswith("pass x.todense()") for line in lines[8:12])
    assert all(line.endswith("pass x.to_dense()") for line in lines[12:])


@pytest.mark.parametrize("dtype", ["Float64", "Int64", "boolean", "float64", "double[pyarrow]", "int64[pyarrow]"])
def test_columns_of_pandas(dtype):
    pd = pytest.importorskip("pandas")
    if "pyarrow" in dtype:
        pytest.importorskip("pyarrow")
    truth = {"boolean": STRONG > 0, "Int64": (9 * STRONG).astype(int), "int64[pyarrow]": (9 * STRONG).astype(int)}
    array = truth.get(dtype, STRONG)
    frame = pd.DataFrame(array).astype(dtype)
    same(w2sg.moments(WEAK, frame, frame[0]), w2sg.moments(WEAK, array, array[:, 0]))
    mixed = frame.astype({0: "float64", 1: "Float64"})
    same(w2sg.moments(WEAK, mixed), w2sg.moments(WEAK, array))
    assert store.content_hash(mixed) == store.content_hash(array.astype(np.float64))


def test_missing_values_of_pandas_are_named():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(STRONG, columns=list("abcdef"), index=[f"id{row}" for row in range(60)]).astype("Float64")
    frame["label"] = Y
    frame.iloc[7, 2] = pd.NA
    with pytest.raises(w2sg.InputError, match=r"strong: a value is missing at row 7, column 'c' \(the first of 1\)"):
        w2sg.moments(WEAK, frame)
    with pytest.raises(w2sg.InputError, match=r"array: a value is missing at row 7, column 'c'"):
        store.content_hash(frame)
    with pytest.raises(w2sg.InputError, match=r"labels: (a value is missing|nan) at row 7"):
        w2sg.moments(WEAK, STRONG, frame["c"])
    with pytest.raises(w2sg.InputError, match=r"strong: expected numbers, got an array of dtype object"):
        w2sg.moments(WEAK, frame.assign(name="x"))


def test_objects_with_numbers_of_nullable_types_are_converted():
    """As older releases of pandas hand over every nullable column."""
    pd = pytest.importorskip("pandas")

    class Series:
        dtype = pd.Float64Dtype()

        def __init__(self, values):
            self.values = values

        def __array__(self, dtype=None, copy=None):
            return np.array(self.values, object)

        def isna(self):
            return np.array([value is pd.NA for value in self.values])

        def to_numpy(self, dtype):
            return np.array(self.values, dtype)

    np.testing.assert_array_equal(foreign.in_memory(Series([1, 2.5]), "x"), [1, 2.5])
    with pytest.raises(w2sg.InputError, match=r"x: a value is missing at row 1 \(the first of 2\)"):
        foreign.in_memory(Series([1, pd.NA, pd.NA]), "x")


def features_of(datasets):
    value = datasets.Value("float64")
    return {
        "list": datasets.List(value),
        "fixed": datasets.List(value, length=6),
        "row": datasets.Array2D((1, 6), "float64"),
        "any": datasets.Array2D((None, 6), "float64"),
        "deep": datasets.Array3D((1, 1, 6), "float64"),
        "nested": datasets.List(datasets.List(value)),
    }


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A dataset of Hugging Face on disk, as it writes it itself and as Parquet."""
    datasets = pytest.importorskip("datasets")
    features = features_of(datasets)
    folder = tmp_path_factory.mktemp("saved")
    rows = dict.fromkeys(("list", "fixed"), STRONG)
    rows |= dict.fromkeys(("row", "any", "nested"), STRONG[:, None]) | {"deep": STRONG[:, None, None]}
    extra = {"pair": datasets.Array2D((2, 3), "float64"), "label": datasets.ClassLabel(names=["a", "b"])}
    columns = {name: array.tolist() for name, array in rows.items()}
    columns |= {"pair": STRONG.reshape(60, 2, 3).tolist(), "label": Y.tolist()}
    made = datasets.Dataset.from_dict(columns, datasets.Features(features | extra))
    made.save_to_disk(folder / "own", num_shards=3)
    made.to_parquet(folder / "a.parquet")
    return folder


READ = """
import sys, numpy as np, w2sg_jax as w2sg
for name in sys.argv[2:]:
    print(name, w2sg.load(sys.argv[1], key=name)[:].sum())
assert "datasets" not in sys.modules
"""


@pytest.mark.parametrize("name", ["own", "a.parquet"])
def test_datasets_of_hugging_face(saved, name):
    datasets = pytest.importorskip("datasets")
    names = list(features_of(datasets))
    for key in names:
        found = w2sg.load(saved / name, key=key)
        np.testing.assert_array_equal(found[:], STRONG)
        np.testing.assert_array_equal(found[20:41], STRONG[20:41])
    same(
        w2sg.moments(WEAK, w2sg.load(saved / name, key="row"), w2sg.load(saved / name, key="label")),
        w2sg.moments(WEAK, STRONG, Y),
    )
    with pytest.raises(
        w2sg.InputError, match=r"rows of the column 'pair' are arrays of the shape \(2, 3\); expected one"
    ):
        w2sg.load(saved / name, key="pair")
    code = [sys.executable, "-c", READ, str(saved / name), *names]
    done = subprocess.run(code, capture_output=True, text=True, timeout=600, check=True)
    assert done.stdout.splitlines() == [f"{key} {STRONG.sum()}" for key in names]
    code = [sys.executable, "-c", READ, str(saved / name), "pair"]
    done = subprocess.run(code, capture_output=True, text=True, timeout=600)
    assert "row 0 of the column 'pair' is an array of the shape (2, 3); expected one vector a row" in done.stderr


def test_columns_of_a_dataset_in_memory(saved):
    datasets = pytest.importorskip("datasets")
    made = datasets.load_from_disk(str(saved / "own"))
    same(w2sg.moments(made["fixed"][:], STRONG, made["label"][:]), w2sg.moments(STRONG, STRONG, Y))
    as_arrays = made.with_format("numpy")[:]
    assert as_arrays["list"].dtype == np.float32
    same(
        w2sg.moments(as_arrays["list"], STRONG, as_arrays["label"]), w2sg.moments(STRONG.astype(np.float32), STRONG, Y)
    )
    same(w2sg.moments(made["fixed"], STRONG), w2sg.moments(STRONG, STRONG))
