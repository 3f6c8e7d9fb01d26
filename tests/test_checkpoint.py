"""Checkpoints of a pass: killed anywhere and started again, a run ends with the bits of an undisturbed one."""

import contextlib
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
from helpers import output_of, small_disk, wait_for
from safetensors import safe_open

import w2sg_jax as w2sg
from w2sg_jax.second_moments import checkpoints
from w2sg_jax.second_moments.checkpoints import PassCheckpoint

RNG = np.random.default_rng(0)
WEAK, STRONG, Y = RNG.normal(size=(500, 7)) + 1e6, RNG.normal(size=(500, 9)), RNG.normal(size=500)


class Killed(BaseException):
    """Nothing in the package catches it."""


@pytest.fixture
def kill_after(monkeypatch):
    """Makes a run end abruptly after some of its checkpoints."""
    real = PassCheckpoint.after_block

    def arm(saves):
        left = [saves]

        def after_block(self, blocks, accumulators):
            real(self, blocks, accumulators)
            left[0] -= 1
            if left[0] == 0:
                raise Killed

        monkeypatch.setattr(PassCheckpoint, "after_block", after_block)

    return arm, lambda: monkeypatch.setattr(PassCheckpoint, "after_block", real)


@pytest.mark.parametrize("devices", [None, "all"], ids=str)
@pytest.mark.parametrize("saves", [1, 2, 7, 20])
def test_moments_go_on_with_the_same_bits(tmp_path, kill_after, saves, devices):
    arm, disarm = kill_after
    options = {"block_rows": 25, "devices": devices}
    truth = w2sg.moments(WEAK, STRONG, Y, **options)
    arm(saves)
    with pytest.raises(Killed):
        w2sg.moments(WEAK, STRONG, Y, **options, checkpoint=tmp_path, checkpoint_every=1e-9)
    disarm()
    (saved,) = tmp_path.iterdir()
    m = w2sg.moments(WEAK, STRONG, Y, **options, checkpoint=tmp_path)
    np.testing.assert_array_equal(m.second, truth.second)
    np.testing.assert_array_equal(m.mean, truth.mean)
    assert m.n == 500 and not saved.exists()


def test_what_was_done_is_not_done_again(tmp_path, kill_after, monkeypatch):
    arm, disarm = kill_after
    arm(6)
    with pytest.raises(Killed):
        w2sg.moments(WEAK, STRONG, block_rows=50, checkpoint=tmp_path, checkpoint_every=1e-9)
    disarm()
    starts = []
    real = checkpoints.PassCheckpoint.restore
    monkeypatch.setattr(PassCheckpoint, "restore", lambda self, sums: (starts.append(real(self, sums)), starts[-1])[1])
    w2sg.moments(WEAK, STRONG, block_rows=50, checkpoint=tmp_path)
    w2sg.moments(WEAK + 1, STRONG, block_rows=50, checkpoint=tmp_path)
    assert starts == [6, 0]


@pytest.mark.parametrize("saves", [2, 5, 9])
def test_rankings_go_on_and_leave_nothing(tmp_path, kill_after, saves):
    arm, disarm = kill_after
    weak = {"a": WEAK, "b": -STRONG}
    train = ({"a": WEAK[::-1], "b": STRONG}, STRONG[::-1], Y)
    truth = w2sg.rank(weak, STRONG, Y, train=train)
    options = {"train": train, "checkpoint": tmp_path, "checkpoint_every": 1e-9}
    arm(1)
    for _ in range(saves):
        try:
            assert w2sg.rank(weak, STRONG, Y, **options) == truth
            break
        except Killed:
            arm(1)
    disarm()
    assert w2sg.rank(weak, STRONG, Y, **options) == truth
    assert list(tmp_path.iterdir()) == []


def test_another_input_another_setting_and_changed_shards_start_afresh(tmp_path):
    def name(weak=WEAK, rows=50, **settings):
        w2sg_settings = {"center": True, "dtype": "float64"} | settings
        layout = checkpoints.Layout((7,), 9, 0, w2sg_settings["center"], w2sg_settings["dtype"])
        return checkpoints.identity_of([weak, STRONG], layout, rows, 1)

    (tmp_path / "weak").mkdir()
    w2sg.save(tmp_path / "weak" / "0.npy", WEAK)
    shards = w2sg.load(tmp_path / "weak")
    before = name(shards)
    os.utime(tmp_path / "weak" / "0.npy", (1, 1))
    names = [name(), name(rows=51), name(center=False), name(dtype="float32"), name(WEAK + 1), before]
    assert len({*names, name(w2sg.load(tmp_path / "weak"))}) == 7 and name() == names[0]


def test_a_damaged_checkpoint_is_named(tmp_path, kill_after):
    arm, disarm = kill_after
    arm(3)
    with pytest.raises(Killed):
        w2sg.moments(WEAK, STRONG, block_rows=50, checkpoint=tmp_path, checkpoint_every=1e-9)
    disarm()
    (path,) = tmp_path.iterdir()
    content = path.read_bytes()
    for damaged in (content[:1000], content[:-8], b"", content.replace(b"pass 1", b"pass 9")):
        path.write_bytes(damaged)
        with pytest.raises(w2sg.InputError, match=r"checkpoint: .*pass-.* is damaged .*delete it, and the pass starts"):
            w2sg.moments(WEAK, STRONG, block_rows=50, checkpoint=tmp_path)
        assert path.read_bytes() == damaged


def test_bad_settings_are_refused_before_the_pass(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(w2sg.InputError, match=r"checkpoint: .*file is a file; give the name of a folder"):
        w2sg.moments(WEAK, STRONG, checkpoint=tmp_path / "file")
    with pytest.raises(w2sg.InputError, match=r"checkpoint: cannot make the folder .*file/below \(Not a directory\)"):
        w2sg.moments(WEAK, STRONG, checkpoint=tmp_path / "file" / "below")
    with pytest.raises(w2sg.InputError, match=r"checkpoint_every: got -1.0; expected a number of seconds above 0"):
        w2sg.moments(WEAK, STRONG, checkpoint=tmp_path, checkpoint_every=-1.0)


FULL = """
import resource, sys, numpy as np, w2sg_jax as w2sg
folder, limit = sys.argv[1], int(sys.argv[2])
rng = np.random.default_rng(0)
weak, strong = rng.normal(size=(2000, 30)), rng.normal(size=(2000, 50))
def fill(done, n):
    if limit and done == 600:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
try:
    m = w2sg.moments(weak, strong, block_rows=20, checkpoint=folder, checkpoint_every=1e-9, progress=fill)
    print(np.array_equal(m.second, w2sg.moments(weak, strong, block_rows=20).second))
except OSError as error:
    print(error)
"""


def full(folder, limit):
    run = subprocess.run([sys.executable, "-c", FULL, str(folder), str(limit)], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.mark.driver
def test_a_disk_that_fills_up_leaves_the_last_checkpoint(tmp_path):
    """No file may grow beyond 20 000 bytes from some block on; the state has 40 000."""
    message = full(tmp_path, 20_000)
    (left,) = tmp_path.iterdir()
    assert message.count("\n") == 1 and message.startswith(f"{left}: cannot be written (")
    assert "File too large" in message and message.endswith(
        "free some space if the disk is full, or write to another one\n"
    )
    with safe_open(left, "numpy") as file:
        assert file.metadata()["blocks"] == "30"
    assert full(tmp_path, 0) == "True\n" and list(tmp_path.iterdir()) == []


@pytest.mark.driver
def test_a_file_system_without_space_leaves_the_last_checkpoint(tmp_path):
    with small_disk(tmp_path, "200k"):
        full(tmp_path, 20_000)
        (left,) = tmp_path.iterdir()
        before = left.read_bytes()
        with contextlib.suppress(OSError), open(tmp_path / "fill", "wb", buffering=0) as file:
            while True:
                file.write(bytes(1024))
        assert f"{left}: cannot be written (" in (message := full(tmp_path, 0)) and "No space left on device" in message
        assert left.read_bytes() == before and len(list(tmp_path.iterdir())) == 2
        (tmp_path / "fill").unlink()
        assert full(tmp_path, 0) == "True\n" and list(tmp_path.iterdir()) == []


@pytest.mark.driver
def test_a_killed_process_goes_on_with_the_same_bits(tmp_path):
    """kill -9 in the middle of a pass over files, three times; the fourth run ends."""
    weak, strong = RNG.normal(size=(200_000, 40)), RNG.normal(size=(200_000, 60))
    w2sg.save(tmp_path / "weak.npy", weak)
    w2sg.save(tmp_path / "strong.npy", strong)
    code = """
import sys, numpy as np, w2sg_jax as w2sg
weak, strong = (w2sg.load(f"{sys.argv[1]}/{name}.npy") for name in ("weak", "strong"))
m = w2sg.moments(weak, strong, block_rows=400, checkpoint=f"{sys.argv[1]}/state", checkpoint_every=1e-9)
np.save(f"{sys.argv[1]}/second.npy", m.second)
"""
    state = tmp_path / "state"

    def saved():
        return {path: path.stat().st_mtime_ns for path in state.glob("pass-*")}

    for kills in range(4):
        before = saved()
        process = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)])
        if kills < 3:
            wait_for("a further checkpoint", lambda before=before: saved() != before, process)
            process.send_signal(signal.SIGKILL)
        output_of(process, "a pass over the files")
    np.testing.assert_array_equal(np.load(tmp_path / "second.npy"), w2sg.moments(weak, strong, block_rows=400).second)
