"""Several processes, as on several hosts: real ones, over the loopback interface of this machine."""

import json
import os
import signal
import socket
import subprocess
import sys
from itertools import chain

import numpy as np
import pytest
from helpers import output_of, wait_for

import w2sg_jax as w2sg
from w2sg_jax.cli import hosts
from w2sg_jax.cli.gap import GapOptions
from w2sg_jax.parallel.processes import Process

pytestmark = pytest.mark.driver

LIBRARY = """
import sys, jax, numpy as np
index, count, address, folder = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], sys.argv[4]
jax.distributed.initialize(address, count, index)
import w2sg_jax as w2sg
from tests.test_hosts import computed, samples
np.savez(f"{folder}/{index}.npz", **computed())
weak, strong, _ = samples()
for shift, devices in ((0, jax.devices()[index - 1 :][:1]), (index, None)):
    try:
        w2sg.moments(weak + shift, strong, devices=devices)
    except w2sg.InputError as error:
        print(error, file=open(f"{folder}/{index}.txt", "a"))
"""


def samples():
    rng = np.random.default_rng(0)
    return rng.normal(size=(900, 7)) + 1e6, rng.normal(size=(900, 9)) - 5, rng.normal(size=(900, 2))


def computed():
    """Moments and rankings of all kinds, as arrays; the processes of a group compute the same."""
    weak, strong, y = samples()
    many = w2sg.moments(weak, strong, y, block_rows=37)
    few = w2sg.moments(weak[:16], strong[:16], y[:16], block_rows=3)
    raw = w2sg.moments(weak - 1e6, strong, block_rows=50, center=False, devices="all")
    train = ({"a": weak[::-1], "b": strong}, strong[::-1], y)
    ranking = w2sg.rank({"a": weak, "b": -strong}, strong, y, train=train)
    rows = [[r.norm, r.predicted, r.supervised, *chain(*r.intervals.values())] for r in ranking.rows]
    return {"many": many.second, "mean": many.mean, "few": few.rows, "raw": raw.second, "ranking": np.array(rows)}


def address():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


def started(commands, **options):
    """One process for each command, each in a process group of its own."""
    one_thread = {"OPENBLAS_NUM_THREADS": "1"}  # several processes on a few cores would wait for each other
    environment = os.environ | one_thread | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return [
        subprocess.Popen(
            [sys.executable, *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            start_new_session=True,
            **options,
        )
        for command in commands
    ]


def ended(processes):
    """(exit code, stdout, stderr) of each."""
    found = [output_of(process, "a process of a group") for process in processes]
    return [(process.returncode, *texts) for process, texts in zip(processes, found, strict=True)]


def group(folder, arguments, *, silence=100):
    """Two processes of the command line, of which one counts as gone after so many seconds of silence."""
    where = address()
    commands = [
        ["-m", "w2sg_jax.cli", *arguments, "--hosts", f"{where},{index},2", "--hosts-timeout", str(silence)]
        for index in range(2)
    ]
    return started(commands, cwd=folder)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A pass of eight blocks over bytes on disk, and what two processes make of it."""
    folder = tmp_path_factory.mktemp("hosts")
    rng = np.random.default_rng(0)
    weak = rng.integers(-100, 100, size=(1_000_000, 8), dtype=np.int8)
    noise = rng.integers(-9, 9, size=(1_000_000, 24), dtype=np.int8)
    noise[:, :6] += weak[:, :6] // 2
    w2sg.save(folder / "weak.npy", weak)
    w2sg.save(folder / "strong.npy", noise)
    return folder, ended(group(folder, ["gap", "weak.npy", "strong.npy", "--json"]))


@pytest.mark.parametrize("count", [2, 4])
def test_processes_together_compute_what_one_computes(tmp_path, count):
    where, truth = address(), computed()
    commands = [["-c", LIBRARY, str(index), str(count), where, str(tmp_path)] for index in range(count)]
    for index, (code, _, err) in enumerate(ended(started(commands))):
        assert code == 0, err
        foreign, different = (tmp_path / f"{index}.txt").read_text().splitlines()
        assert foreign.startswith("devices: some belong to other processes")
        assert different.startswith(f"process 1 of {count} has other arrays, settings or devices than process 0")
    parts = [np.load(tmp_path / f"{index}.npz") for index in range(count)]
    for name, expected in truth.items():
        assert np.abs(parts[0][name] - expected).max() <= 1e-12 * np.abs(expected).max()
        for part in parts[1:]:
            np.testing.assert_array_equal(part[name], parts[0][name])


def test_blocks_are_shared_without_gap_or_overlap():
    for total in (0, 1, 3, 10, 1000):
        for count in (1, 2, 3, 7, 64):
            shares = [Process(index, count).blocks(total) for index in range(count)]
            assert [block for share in shares for block in share] == list(range(total))
            assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_the_first_process_reports_and_the_others_are_silent(files):
    folder, ((code, out, err), *others) = files
    assert code == 0 and "gap norm" in err and [*others] == [(0, "", "")]
    alone = w2sg.gap(w2sg.moments(w2sg.load(folder / "weak.npy"), w2sg.load(folder / "strong.npy")))
    np.testing.assert_allclose(json.loads(out)["result"]["singular_values"], alone.singular_values, rtol=1e-12)


def test_one_killed_the_others_end_and_all_go_on_with_the_same_bits(files):
    folder, ((_, undisturbed, _), _) = files
    arguments = ["gap", "weak.npy", "strong.npy", "--json", "--checkpoint", "state", "--checkpoint-every", "1e-9"]
    first, second = processes = group(folder, arguments, silence=20)
    wait_for("checkpoints of both", lambda: len(list((folder / "state").glob("pass-*"))) == 2, first, second)
    os.killpg(second.pid, signal.SIGKILL)
    (code, out, err), _ = ended(processes)
    assert (code, out) == (3, "")
    assert err == (
        "w2sg: process 1 has gone, and may have said why; start the same command again for all, and it goes on from"
        " state\n"
    )
    (code, out, err), _ = ended(group(folder, arguments))
    assert code == 0, err
    assert json.loads(out)["result"] == json.loads(undisturbed)["result"]
    assert list((folder / "state").iterdir()) == []


def test_what_all_refuse_is_said_once(tmp_path):
    weak, strong, _ = samples()
    strong[700, 3] = np.nan
    w2sg.save(tmp_path / "weak.npy", weak)
    w2sg.save(tmp_path / "strong.npy", strong)
    (code, _, err), other = ended(group(tmp_path, ["rank", "strong.npy", "weak.npy", "--out", "results"]))
    assert code == 2 and err.startswith("w2sg: strong: nan at row 700") and err.count("\n") == 1
    assert other == (2, "", "")


def test_a_process_that_never_comes_is_not_waited_for_forever(tmp_path):
    for index, name in enumerate(("weak", "strong")):
        w2sg.save(tmp_path / f"{name}.npy", samples()[index])
    command = ["-m", "w2sg_jax.cli", "gap", "weak.npy", "strong.npy", "--hosts-timeout", "1"]
    where = [f"{address()},{index},2" for index in (0, 1)]  # two groups, each without its other process
    for place, (code, out, err) in zip(
        where, ended(started([[*command, "--hosts", place] for place in where], cwd=tmp_path)), strict=True
    ):
        assert (code, out) == (3, "")
        assert err.startswith("w2sg: not all processes came within 1 seconds") and f"({place})" in err


@pytest.mark.parametrize("text", ["", "node1", "node1:7777", "node1:7777,2,2", "node1:7777,-1,2", "7777,0,1"])
def test_hosts_that_say_no_place_are_refused(text):
    with pytest.raises(w2sg.InputError, match=r"--hosts: got .*expected auto, or ADDRESS:PORT,INDEX,COUNT"):
        hosts.parse_hosts(text)


def test_a_process_of_its_own_that_dies_is_explained(capsys):
    options = GapOptions("weak.npy", "strong.npy", hosts="node1:7777,0,2")
    assert hosts._explained(-signal.SIGKILL, "", options) == 137
    assert capsys.readouterr().err == "w2sg: this process was ended by SIGKILL (out of memory?)\n"
    with pytest.raises(hosts.Terminated):
        hosts._explained(-signal.SIGTERM, "", options)
