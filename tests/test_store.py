"""Representations on disk: what goes in comes out, and what cannot is refused in words."""

import contextlib
import hashlib
import json
import lzma
import os
import re
import subprocess
import sys
import time
import zipfile
from itertools import product
from pathlib import Path

import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from w2sg_jax import store
from w2sg_jax.store import atomic, content, representations
from w2sg_jax.store.array_files import as_path

BFLOAT16 = ml_dtypes.bfloat16
FLOATS = [np.float16, np.float32, np.float64]
DTYPES = [*FLOATS, np.bool_, np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64]


def _refused(path, kind: type[Exception] = ValueError, **options):
    """The message with which `load` refuses a file; it must name the file."""
    with pytest.raises(kind) as caught:
        store.load(path, **options)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


def _leftovers(folder):
    return [name for name in os.listdir(folder) if ".tmp" in name]


@pytest.mark.parametrize("mmap", [True, False])
@pytest.mark.parametrize(("suffix", "dtype"), [*product(store.SUFFIXES, DTYPES), (".safetensors", BFLOAT16)])
def test_round_trip(tmp_path, rng, suffix, mmap, dtype):
    array = (10 * rng.standard_normal((7, 3))).astype(dtype)
    path = tmp_path / f"a{suffix}"
    store.save(path, array)
    back = store.load(path, mmap=mmap)
    assert type(back) is np.ndarray
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, array)
    assert _leftovers(tmp_path) == []


@pytest.mark.parametrize("suffix", store.SUFFIXES)
@pytest.mark.parametrize("shape", [(), (0, 3), (4,), (2, 0), (2, 3, 4)])
def test_shapes(tmp_path, suffix, shape):
    array = np.arange(np.prod(shape, dtype=int), dtype=np.float32).reshape(shape)
    store.save(tmp_path / f"a{suffix}", array)
    back = store.load(tmp_path / f"a{suffix}")
    assert back.shape == shape
    np.testing.assert_array_equal(back, array)


@pytest.mark.parametrize("suffix", store.SUFFIXES)
@pytest.mark.parametrize("layout", ["fortran", "strided", "big-endian"])
def test_layouts(tmp_path, rng, suffix, layout):
    array = rng.standard_normal((6, 4))
    given = {
        "fortran": np.asfortranarray(array),
        "strided": np.repeat(array, 2, axis=1)[:, ::2],
        "big-endian": array.astype(">f8"),
    }[layout]
    store.save(tmp_path / f"a{suffix}", given)
    for mmap in (True, False):
        back = store.load(tmp_path / f"a{suffix}", mmap=mmap)
        assert back.dtype == np.float64
        assert back.dtype.isnative
        np.testing.assert_array_equal(back, array)


def test_big_endian_file_of_others_comes_in_native_order(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(5, dtype=">f4"))
    back = store.load(tmp_path / "a.npy")
    assert back.dtype.isnative
    np.testing.assert_array_equal(back, np.arange(5))


def test_jax_arrays_are_saved(tmp_path):
    array = jnp.arange(6, dtype=jnp.bfloat16).reshape(2, 3)
    store.save(tmp_path / "a.safetensors", array)
    np.testing.assert_array_equal(store.load(tmp_path / "a.safetensors"), np.asarray(array))


def test_bfloat16_of_another_framework_comes_through_dlpack(tmp_path):
    array = jnp.arange(6, dtype=jnp.bfloat16).reshape(2, 3)

    class Tensor:
        def __dlpack__(self, **options):
            return array.__dlpack__(**options)

        def __dlpack_device__(self):
            return 1, 0  # the CPU

        def __array__(self, dtype=None, copy=None):
            raise TypeError("Got unsupported ScalarType BFloat16")

    store.save(tmp_path / "a.safetensors", Tensor())
    np.testing.assert_array_equal(store.load(tmp_path / "a.safetensors"), np.asarray(array))


@pytest.mark.parametrize("suffix", [".safetensors", ".npy"])
def test_memory_mapping(tmp_path, rng, suffix):
    path = tmp_path / f"a{suffix}"
    store.save(path, rng.standard_normal((50, 4)))
    mapped, read = store.load(path), store.load(path, mmap=False)
    assert isinstance(mapped.base, np.memmap)
    assert not mapped.flags.writeable
    assert read.flags.owndata or not isinstance(read.base, np.memmap)


def test_one_of_several_by_name(tmp_path):
    arrays = {name: np.full((2, 2), value, np.float32) for value, name in enumerate(["weak", "strong", "labels"])}
    save_file(arrays, tmp_path / "a.safetensors")
    np.savez(tmp_path / "a.npz", **arrays)  # pyright: ignore[reportArgumentType]
    for suffix in (".safetensors", ".npz"):
        for name, array in arrays.items():
            np.testing.assert_array_equal(store.load(tmp_path / f"a{suffix}", key=name), array)


@pytest.mark.parametrize("suffix", [".safetensors", ".npz"])
def test_several_arrays_need_a_name(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    arrays = {name: np.zeros((2, 2), np.float32) for name in ["weak", "strong"]}
    if suffix == ".npz":
        np.savez(path, **arrays)  # pyright: ignore[reportArgumentType]
    else:
        save_file(arrays, path)
    message = _refused(path)
    assert "holds 2 arrays (strong, weak)" in message
    assert "key='strong' in Python" in message
    assert f"{path}::strong on the command line" in message
    assert "holds no array 'y'; it holds strong, weak" in _refused(path, key="y")


def test_a_name_is_refused_for_npy(tmp_path):
    store.save(tmp_path / "a.npy", np.zeros(3))
    assert "holds one array without a name, but key='weak' was given; drop it" in _refused(
        tmp_path / "a.npy", key="weak"
    )


def test_no_array_in_the_file(tmp_path):
    save_file({}, tmp_path / "a.safetensors")
    assert "holds no array; write it again" in _refused(tmp_path / "a.safetensors")


@pytest.mark.parametrize("suffix", store.SUFFIXES)
def test_empty_file(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    path.touch()
    assert "the file is empty (0 bytes); write it again" in _refused(path)


def test_missing_file(tmp_path):
    store.save(tmp_path / "minilm.npy", np.zeros(3))
    assert f"did you mean {tmp_path / 'minilm.npy'}?" in _refused(tmp_path / "minillm.npy", FileNotFoundError)
    assert "no such file; check the path" in _refused(tmp_path / "xyz.npy", FileNotFoundError)
    message = _refused(tmp_path / "none" / "a.npy", FileNotFoundError)
    assert f"the folder {tmp_path / 'none'} does not exist either" in message


def test_folder(tmp_path):
    folder = tmp_path / "a.npy"
    folder.mkdir()
    assert (
        "the folder holds no .npy, .safetensors, .parquet or .arrow file; give a file, or a folder of shards"
        in _refused(folder)
    )
    with pytest.raises(ValueError, match="this is a folder; give the name of a file in it"):
        store.save(folder, np.zeros(3))


@pytest.mark.parametrize(("name", "came"), [("a.pkl", "the suffix '.pkl'"), ("a", "the name has no suffix")])
def test_unknown_suffix(tmp_path, name, came):
    (tmp_path / name).write_bytes(b"x")
    assert came in _refused(tmp_path / name)
    with pytest.raises(ValueError, match=re.escape("use one of .safetensors, .npy, .npz")):
        store.save(tmp_path / name, np.zeros(3))


@pytest.mark.parametrize("suffix", store.SUFFIXES)
@pytest.mark.parametrize("mmap", [True, False])
@pytest.mark.parametrize("keep", [1, 7, 9, 40, -1])
def test_truncated_file(tmp_path, rng, suffix, mmap, keep):
    path = tmp_path / f"a{suffix}"
    store.save(path, rng.standard_normal((20, 5)))
    path.write_bytes(path.read_bytes()[:keep])
    message = _refused(path, mmap=mmap)
    assert "again" in message or "not a .npy file" in message


def test_truncated_npy_says_how_much_is_there(tmp_path):
    path = tmp_path / "a.npy"
    store.save(path, np.zeros(10))
    path.write_bytes(path.read_bytes()[:-8])
    assert "truncated or damaged (80 bytes of data announced, 72 found); write or copy it again" in _refused(path)


def test_bytes_after_the_array(tmp_path):
    path = tmp_path / "a.npy"
    with open(path, "wb") as file:
        np.save(file, np.zeros(3))
        np.save(file, np.ones(3))
    assert "bytes follow the array; write one array to a .npy file" in _refused(path)


TEXT, PICKLE = b"smiles,target\nCCO,1\n" * 9, b"\x80\x04\x95" + bytes(99)


@pytest.mark.parametrize(
    ("suffix", "content"),
    [pair for pair in product(store.SUFFIXES, [*store.SUFFIXES, TEXT, PICKLE]) if pair[0] != pair[1]],
)
def test_content_that_is_not_what_the_suffix_says(tmp_path, suffix, content):
    if isinstance(content, str):
        store.save(tmp_path / f"b{content}", np.zeros((5, 5)))
        content = (tmp_path / f"b{content}").read_bytes()
    path = tmp_path / f"a{suffix}"
    path.write_bytes(content)
    expected = {
        ".npy": "the content is not a .npy file; write it with numpy.save",
        ".npz": "not a whole .npz archive",
        ".safetensors": "the safetensors library says",
    }
    assert expected[suffix] in _refused(path)


def test_pickled_objects_are_never_loaded(tmp_path):
    class Trap:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "sprung"),))

    array = np.array([Trap(), Trap()], dtype=object)
    np.save(tmp_path / "a.npy", array)
    np.savez(tmp_path / "a.npz", weak=array)
    for suffix in (".npy", ".npz"):
        assert "pickled Python objects, which are never loaded" in _refused(tmp_path / f"a{suffix}")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize("array", [np.array(["a", "b"]), np.zeros(3, complex), np.zeros(2, "M8[s]")])
def test_types_that_are_no_representations(tmp_path, array):
    np.save(tmp_path / "a.npy", array)
    np.savez(tmp_path / "a.npz", array)
    for suffix in (".npy", ".npz"):
        message = _refused(tmp_path / f"a{suffix}")
        assert f"has the type {array.dtype}; expected bfloat16, float16" in message
    with pytest.raises(ValueError, match=re.escape(f"has the type {array.dtype}; expected bfloat16")):
        store.save(tmp_path / "b.safetensors", array)
    assert not (tmp_path / "b.safetensors").exists()


def test_safetensors_type_that_is_not_supported(tmp_path):
    path = tmp_path / "a.safetensors"
    header = json.dumps({"a": {"dtype": "F8_E4M3", "shape": [2], "data_offsets": [0, 2]}}).encode()
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"\0\0")
    assert "the array 'a' has the type F8_E4M3; expected bfloat16" in _refused(path)


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_bfloat16_needs_safetensors(tmp_path, suffix):
    array = np.zeros(4, ml_dtypes.bfloat16)
    with pytest.raises(ValueError, match=f"a {suffix} file cannot hold bfloat16; save it as .safetensors"):
        store.save(tmp_path / f"a{suffix}", array)
    np.save(tmp_path / "b.npy", array)
    assert "an .npy file cannot hold bfloat16: use .safetensors" in _refused(tmp_path / "b.npy")


def test_damaged_npz_member(tmp_path, rng):
    path = tmp_path / "a.npz"
    store.save(path, rng.standard_normal(100))
    content = bytearray(path.read_bytes())
    content[300] ^= 0xFF
    path.write_bytes(content)
    assert "the array 'array' cannot be read: Bad CRC-32" in _refused(path)


def test_npz_member_that_is_no_array(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("notes.txt", "hello")
    assert "the file holds no array, only notes.txt; write it again" in _refused(tmp_path / "a.npz")
    with zipfile.ZipFile(tmp_path / "a.npz", "a") as archive, archive.open("weak.npy", "w") as member:
        np.lib.format.write_array(member, np.arange(3.0))
    np.testing.assert_array_equal(store.load(tmp_path / "a.npz"), np.arange(3.0))


def test_damaged_npy_header(tmp_path):
    path = tmp_path / "a.npy"
    store.save(path, np.zeros(10))
    path.write_bytes(path.read_bytes().replace(b"descr", b"des\x00r"))
    assert "the header of this .npy file is damaged; write it again" in _refused(path)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"}", b" "),
        (b"(10,),", b"(True,5)"),
        (b"(10,)", b"(-1,)"),
        (b"(10,)", b"(0, %d)" % 10**30),
        (b"\x01\x00", b"\x09\x00"),
    ],
)
def test_damaged_npy_header_of_every_kind(tmp_path, old, new):
    path = tmp_path / "a.npy"
    store.save(path, np.zeros(10))
    content = path.read_bytes().replace(old, new, 1)
    path.write_bytes(content)
    message = _refused(path)
    assert "the header of this .npy file is damaged; write it again" in message
    (tmp_path / "a.npz").write_bytes(b"")
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("weak.npy", content)
    assert "the array 'weak' cannot be read" in _refused(tmp_path / "a.npz")


@pytest.mark.parametrize(("field", "value", "came"), [(6, 1, "encrypted"), (8, 99, "compression")])
def test_npz_that_is_encrypted_or_compressed_in_another_way(tmp_path, field, value, came):
    path = tmp_path / "a.npz"
    store.save(path, np.zeros(10))
    content = bytearray(path.read_bytes())
    for start, more in ((0, 0), (content.index(b"PK\x01\x02"), 2)):  # the member's header and the directory's
        content[start + more + field] = value
    path.write_bytes(content)
    assert f"the array 'array' cannot be read: {'That compression' if value == 99 else 'File'}" in _refused(path)
    assert came in _refused(path)


def test_npz_member_longer_than_announced(tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive, archive.open("weak.npy", "w") as member:
        np.lib.format.write_array(member, np.zeros(3))
        member.write(b"more")
    assert "the array 'weak' should have 152 bytes and has 156" in _refused(tmp_path / "a.npz")


def test_damaged_files_of_every_format_are_refused_or_read(tmp_path, rng):
    """No other exception, whatever byte is changed."""
    for suffix in store.SUFFIXES:
        path = tmp_path / f"a{suffix}"
        store.save(path, rng.standard_normal((4, 2)))
        whole = path.read_bytes()
        for _ in range(300):
            content = bytearray(whole)
            content[rng.integers(min(len(content), 300)) if rng.random() < 0.5 else -rng.integers(1, 120)] = (
                rng.integers(256)
            )
            path.write_bytes(content)
            with contextlib.suppress(ValueError):
                store.load(path)


def test_links_pipes_and_names_that_are_none(tmp_path):
    link = tmp_path / "dang.npy"
    link.symlink_to(tmp_path / "gone.npy")
    assert f"a link to {tmp_path / 'gone.npy'}, which does not exist" in _refused(link, FileNotFoundError)
    os.mkfifo(tmp_path / "pipe.npy")
    assert "this is a FIFO (named pipe); give a regular file" in _refused(tmp_path / "pipe.npy")
    with pytest.raises(ValueError, match="this is a FIFO"):
        store.save(tmp_path / "pipe.npy", np.zeros(3))
    for name, message in [
        ("", "path: the name is empty"),
        ("a\0.npy", r"'a\\x00.npy' has a NUL character"),
        (None, "path: expected the name of a file, got NoneType"),
    ]:
        with pytest.raises(ValueError, match=message):
            as_path(name)
    for act in (store.load, store.check_target, lambda path: store.save(path, np.zeros(2))):
        with pytest.raises(ValueError, match="has a NUL character"):
            act("a\0.npy")


def test_masked_values_are_refused(tmp_path):
    masked = np.ma.masked_array([1.0, 2.0, 3.0], [False, True, False])
    with pytest.raises(ValueError, match="array: 1 values are masked, which no file keeps; fill them"):
        store.save(tmp_path / "a.npy", masked)
    store.save(tmp_path / "a.npy", np.ma.masked_array([1.0, 2.0]))
    np.testing.assert_array_equal(store.load(tmp_path / "a.npy"), [1.0, 2.0])


def test_objects_are_refused_in_words(tmp_path):
    for array, first in [(np.array([None, 1]), "NoneType None"), (np.array([2**70]), f"int {2**70}")]:
        with pytest.raises(ValueError, match=f"an array of Python objects, the first is {first}; pass numbers"):
            store.save(tmp_path / "a.npy", array)
        with pytest.raises(ValueError, match="an array of Python objects"):
            store.content_hash(array)


@pytest.mark.parametrize("suffix", store.SUFFIXES)
def test_an_object_with_dlpack_alone_is_read(tmp_path, suffix):
    array = np.arange(6.0).reshape(2, 3)

    class Tensor:
        def __dlpack__(self, **options):
            return array.__dlpack__(**options)

        def __dlpack_device__(self):
            return array.__dlpack_device__()

    store.save(tmp_path / f"a{suffix}", Tensor())
    np.testing.assert_array_equal(store.load(tmp_path / f"a{suffix}"), array)


@pytest.mark.parametrize("key", [3, None, "", "a\0b", "__metadata__", "\ud800"])
def test_names_that_no_array_can_have(key):
    with pytest.raises(ValueError, match=r"^key: "):
        representations._check_key(key)


def test_a_wrong_name_is_refused_by_save(tmp_path):
    with pytest.raises(ValueError, match="key: '' cannot be an array's name"):
        store.save(tmp_path / "a.npz", np.zeros(3), key="")


@pytest.mark.parametrize("suffix", store.SUFFIXES)
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664])
def test_permissions_follow_the_umask_or_the_replaced_file(tmp_path, suffix, mode):
    path = tmp_path / f"a{suffix}"
    (tmp_path / "plain").touch()
    store.save(path, np.zeros(3))
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode
    path.chmod(mode)
    store.save(path, np.ones(3))
    assert path.stat().st_mode & 0o777 == mode


@pytest.mark.parametrize("suffix", store.SUFFIXES)
def test_a_failed_write_names_the_file(tmp_path, suffix):
    """A limit on the size of files stands for a full disk."""
    path = tmp_path / f"a{suffix}"
    program = (
        "import resource, signal, sys, numpy\n"
        "from w2sg_jax import store\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "try:\n    store.save(sys.argv[1], numpy.zeros(20000))\n"
        "except OSError as error:\n    print(error)\n"
    )
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": root},
    )
    assert done.stdout.startswith(f"{path}: cannot be written ("), done.stderr
    assert "free some space if the disk is full" in done.stdout
    assert done.stdout.count("\n") == 1
    assert os.listdir(tmp_path) == []


def test_a_folder_that_takes_no_files_is_refused_beforehand():
    with pytest.raises(OSError, match=r"^/proc/sc.npy: cannot be written \(.*\); "):
        store.check_target("/proc/sc.npy")


def test_errors_of_other_files_keep_their_words(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.npy"), atomic.replacing(tmp_path / "a.npy"):
        open(tmp_path / "none.npy").close()
    assert os.listdir(tmp_path) == []


def test_stale_temporary_files_are_removed(tmp_path):
    for name in (".a-1.tmp.npy", ".tmpQ1w2E3", "a.npy", ".b-2.tmp.npy"):
        (tmp_path / name).touch()
        changed = time.time() + 600 if name == ".b-2.tmp.npy" else 0  # however long this test is kept waiting
        os.utime(tmp_path / name, (changed, changed))
    atomic.remove_stale(tmp_path)
    assert sorted(os.listdir(tmp_path)) == [".b-2.tmp.npy", "a.npy"]


@pytest.mark.parametrize("suffix", store.SUFFIXES)
def test_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, suffix):
    path = tmp_path / f"a{suffix}"
    store.save(path, np.zeros(3))
    before = path.read_bytes()

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(atomic.os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        store.save(path, np.ones(3))
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == [path.name]


def test_save_into_a_folder_that_does_not_exist(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"the folder .* does not exist; create it first"):
        store.save(tmp_path / "none" / "a.npy", np.zeros(3))


def test_save_follows_links_and_respects_the_umask(tmp_path):
    (tmp_path / "real.npy").touch()
    (tmp_path / "link.npy").symlink_to(tmp_path / "real.npy")
    store.save(tmp_path / "link.npy", np.ones(3))
    assert (tmp_path / "link.npy").is_symlink()
    np.testing.assert_array_equal(np.load(tmp_path / "real.npy"), np.ones(3))
    (tmp_path / "plain").touch()
    assert (tmp_path / "real.npy").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_write_text_is_whole_or_not_at_all(tmp_path):
    path = tmp_path / "a.json"
    atomic.write_text(path, "σ\n")
    with pytest.raises(UnicodeEncodeError):
        atomic.write_text(path, "\udc80")
    assert path.read_text(encoding="utf-8") == "σ\n"
    assert os.listdir(tmp_path) == ["a.json"]


def test_content_hash_is_the_sha256_of_type_shape_and_bytes():
    array = np.arange(6, dtype=np.int32).reshape(2, 3)
    assert store.content_hash(array) == hashlib.sha256(b"int32 [2, 3]\n" + array.tobytes()).hexdigest()


def test_content_hash_does_not_depend_on_layout_or_file(tmp_path, rng):
    array = rng.standard_normal((40, 6)).astype(np.float32)
    expected = store.content_hash(array)
    assert store.content_hash(np.asfortranarray(array)) == expected
    assert store.content_hash(np.repeat(array, 2, axis=0)[::2]) == expected
    assert store.content_hash(array.astype(">f4")) == expected
    for suffix in store.SUFFIXES:
        store.save(tmp_path / f"a{suffix}", array)
        assert store.content_hash(store.load(tmp_path / f"a{suffix}")) == expected


def test_content_hash_tells_type_shape_and_values_apart(rng):
    array = rng.standard_normal((4, 6)).astype(np.float32)
    changed = array.copy()
    changed[-1, -1] += 1
    others = [
        changed,
        array.reshape(6, 4),
        array.view(np.int32),
        array.ravel(),
        array[:3],
        np.float32(0),
        array[:0],
    ]
    assert len({store.content_hash(a) for a in [array, *others]}) == 8


@pytest.mark.parametrize("block", [1, 100, 96 * 8 + 1])
def test_content_hash_in_blocks(monkeypatch, rng, block):
    array = rng.standard_normal((96, 5))[:, ::2]
    expected = store.content_hash(array)
    monkeypatch.setattr(content, "BLOCK_BYTES", block)
    assert store.content_hash(array) == expected


RECORDED = {
    "float32": "ca2356b5310fecb17ebc63d477a41e91849891e53af6b0fd42caaf8e7a886f54",
    "bfloat16": "748b742683a3a387b1203b8e8e5820a3a6a63f6abff0771fb36da2be96b8f86d",
    "int64": "7beef1ad4ea8a52b67ea3acd7c5d925a048f0bdf7eb681c73058d1bb855f77df",
    "bool": "1c77beeff73403970e8501aac4181995d685a58bd2aff8d67ce38e0b8771e75d",
    "named": "05836f115483d64fa8424eabcc9de575cc6bf72e682bafd81e5afce55278dc22",
    "file": "5c9aa2a3024d56c903d547798cbd04ff743433ba0950dbfd8e19238e40651172",
    "texts": "91f3d0460d90a78b1189f963825eefdf34e59be34a1422bc3ac27e5918957049",
    "folder": "296e732279e2fb290a7f46c5ae9c17e9d9c8a70363453540bccbe9abac907de4",
}
"""Digests as they were when ids of trials and metadata of files were first made of them: they never change."""


def test_recorded_digests_stay(tmp_path):
    array, numbers = np.arange(12, dtype=np.float32).reshape(3, 4), np.arange(5, dtype=np.int64)
    (tmp_path / "sub").mkdir()
    (tmp_path / "b.txt").write_bytes(b"CCO\n")
    (tmp_path / "sub" / "a.bin").write_bytes(bytes(range(256)))
    assert {
        "float32": store.content_hash(array),
        "bfloat16": store.content_hash(array.astype(BFLOAT16)),
        "int64": store.content_hash(numbers),
        "bool": store.content_hash(np.array([True, False])),
        "named": content.named_hash({"weak.kernel": array, "a": numbers}),
        "file": content.path_hash(tmp_path / "b.txt"),
        "texts": content.texts_hash("ab", "", "é\ud800"),
        "folder": content.path_hash(tmp_path),
    } == RECORDED
    assert content.file_hash(tmp_path / "b.txt") == content.bytes_hash(b"CC", b"O\n") == RECORDED["file"]
    assert content.file_hash(tmp_path / "b.txt", "md5") == hashlib.md5(b"CCO\n").hexdigest()


def test_the_published_zoo_has_its_published_digests(tmp_path):
    """Of the unpacked tensors, by name, as results.json has them."""
    results = Path(__file__).parents[1] / "experiments" / "results" / "molecules"
    inputs = json.loads((results / "results.json").read_text())["inputs"]
    for name, digest in inputs.items():
        (tmp_path / "a.safetensors").write_bytes(lzma.decompress((results / name).read_bytes()))
        assert content.named_hash(load_file(tmp_path / "a.safetensors")) == digest
    assert len(inputs) == 2


def test_a_path_is_hashed_in_the_folder_where_it_is_looked_for(tmp_path, monkeypatch):
    """Of one size and time too: hashes are kept, by files and not by names."""
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x").write_text(folder)
        os.utime(tmp_path / folder / "x", (1, 1))
    found = []
    for folder in ("a", "b"):
        monkeypatch.chdir(tmp_path / folder)
        found.append(content.path_hash(Path("x")))
    assert found == [content.bytes_hash(b"a"), content.bytes_hash(b"b")]


def test_split_location(tmp_path):
    literal = tmp_path / "a::b.npy"
    literal.touch()
    assert store.split_location(str(literal)) == (str(literal), None)
    assert store.split_location("a/b.npz") == ("a/b.npz", None)
    assert store.split_location("a.npz::weak") == ("a.npz", "weak")
    assert store.split_location("a::b.npz::weak") == ("a::b.npz", "weak")
    for text in ("::weak", "a.npz::"):
        with pytest.raises(ValueError, match="expected FILE or FILE::name"):
            store.split_location(text)
