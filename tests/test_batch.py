"""The batch driver: trials, plans, records, workers; and what is left of a run that is killed again and again."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
from helpers import output_of, small_disk, wait_for
from oracles import dense_gap

import w2sg_jax as w2sg
from w2sg_jax import batch
from w2sg_jax.batch import local, on_ray
from w2sg_jax.batch.execute import execute
from w2sg_jax.batch.state import same_for_every_trial
from w2sg_jax.batch.trial import content_of, make_trial
from w2sg_jax.cli import main
from w2sg_jax.report.record import checkout_of

pytestmark = pytest.mark.driver

MODULE = """
import os, random, sys, time
from dataclasses import dataclass
from pathlib import Path
import numpy as np
from w2sg_jax import batch


@dataclass(frozen=True)
class Config:
    seed: int = 0
    power: float = 1.0
    pause: float = 0.0
    does: str = "value"
    data: Path | None = None


@batch.trial(version=1)
def toy(config: Config) -> dict[str, object]:
    time.sleep(config.pause)
    print("printed by a trial")
    while config.does == "wait" and os.path.exists(os.environ["HELD"]):
        time.sleep(0.02)
    if config.does == "raise":
        raise ValueError(f"seed {config.seed} is not wanted")
    if config.does == "exit":
        sys.exit(3)
    if config.does == "die":
        os.kill(os.getpid(), 9)
    if config.does == "signal":
        os.kill(os.getpid(), 40)
    if config.does == "interrupt":
        raise KeyboardInterrupt
    if config.does == "input":
        return {"value": input()}
    if config.does == "leaves a child":
        if os.fork() == 0:
            time.sleep(600)
        os.kill(os.getpid(), 9)
    if config.does == "changes":
        config.data.write_text("another")
    if config.does == "odd":
        return {"value": 2**70, "text": "\\ud800", "[bold]markup": "[/nope]"}
    if config.does == "array":
        import jax.numpy
        return {"value": jax.numpy.arange(2)}
    if config.does == "numbers":
        nan, inf = float("nan"), float("inf")
        parts = {"many": [1.5, nan, "-Infinity"]}
        return {"nan": nan, "inf": inf, "minus": -inf, "none": None, "text": "NaN", "parts": parts}
    if config.does == "state":
        found = {"folder": os.getcwd(), "left": os.environ.get("LEFT"), "home": os.environ["HOME"]}
        found |= {"numbers": [random.random(), np.random.random()], "text": config.data.read_text()}
        found["over"] = np.seterr(all="raise")["over"]
        os.chdir("/")
        os.environ["LEFT"] = str(config.seed)
        del os.environ["HOME"]
        random.seed(config.seed)
        np.random.seed(config.seed)
        return found | {"again": config.data.read_text()}
    if config.does == "set":
        return {"value": object()}
    if "RAN" in os.environ:
        with open(os.environ["RAN"], "a") as file:
            file.write(f"{config.seed}\\n")
    return {"value": (config.seed + 0.5) ** config.power, "parts": {"square": config.seed**2}, "nan": float("nan")}


if __name__ == "__main__":
    sys.exit(batch.main(toy))
"""


@dataclass(frozen=True)
class Inner:
    scale: float = 1.0


@dataclass(frozen=True)
class Config:
    seed: int = 0
    ridge: float = 1e-2
    widths: tuple[int, ...] = (8,)
    inner: Inner = field(default_factory=Inner)
    data: Path | None = None


@batch.trial(version=1)
def here(config: Config) -> dict[str, float]:
    return {"value": config.seed * config.ridge}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with an importable module of trials."""
    (tmp_path / "toy_trials.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "toy_trials", raising=False)
    return tmp_path


def toy():
    import toy_trials

    return toy_trials


def start(folder, *arguments, **environment):
    paths = [str(folder), str(Path(w2sg.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    return subprocess.Popen(
        [sys.executable, "-m", "toy_trials", *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def test_an_id_is_that_of_configuration_inputs_and_version(tmp_path):
    data = tmp_path / "data"
    data.write_text("one")
    config = Config(data=data)
    first = make_trial(here, config)
    assert first == make_trial(here, Config(data=data))
    others = {make_trial(here, replace(config, seed=1)).id, make_trial(replace(here, version="2"), config).id}
    data.write_text("two!")
    others.add(make_trial(here, config).id)
    assert len(others | {first.id}) == 4
    assert make_trial(here, config).inputs == {str(data): content_of(data)}


def test_the_content_of_a_folder_counts_its_names(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_text("1")
    first = content_of(tmp_path)
    (tmp_path / "a" / "x").rename(tmp_path / "a" / "y")
    assert content_of(tmp_path) != first


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (Config(ridge=float("inf")), "NaN and infinities"),
        (Config(data=Path("missing")), r"missing: cannot be read \(No such file"),
        (Config(inner=object()), "a object cannot be kept"),
        (Inner(), "got a Inner, not a Config"),
    ],
    ids=["inf", "missing", "object", "type"],
)
def test_configurations_that_cannot_be_kept_are_refused(config, message):
    with pytest.raises(w2sg.InputError, match=message):
        make_trial(here, config)


def test_functions_that_others_cannot_import_are_refused():
    def inside(config: Config) -> dict[str, float]:
        return {}

    with pytest.raises(TypeError, match="top level of a module"):
        batch.trial(version=1)(inside)
    for hint in (int, dict):
        module = {}
        exec("def f(config): return {}", module)
        module["f"].__annotations__ = {"config": hint}
        with pytest.raises(TypeError, match="annotated with a frozen dataclass"):
            batch.trial(version=1)(module["f"])


def test_lists_are_crossed_and_blocks_stand_for_themselves(tmp_path):
    path = tmp_path / "plan.toml"
    path.write_text(
        """
        ridge = [1e-3, 1]
        widths = [[8, 16], [4]]
        [[trials]]
        seed = [0, 1]
        [[trials]]
        ridge = 2.0
        widths = [3, 4]
        inner = {scale = 2.0}
        data = "x"
        """
    )
    configs = batch.load_configs(path, Config)
    assert len(configs) == 9
    assert configs[:2] == [Config(0, 1e-3, (8, 16)), Config(1, 1e-3, (8, 16))]
    assert configs[-1] == Config(0, 2.0, (3, 4), Inner(2.0), Path("x"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sed = 1", "sed: Config has no such field; did you mean seed?"),
        ("other_things = 1", "it has seed, ridge, widths, inner, data"),
        ("seed = 'a'", "Expected `int`, got `str`"),
        ("seed = 1.5", "Expected `int`, got `float`"),
        ("seed = []", "seed: the list is empty"),
        ("seed = ", "is no TOML"),
        ("[inner]\nscal = 1.0", "scal: Config.inner has no such field; did you mean scale?"),
        (f"seed = {list(range(2000))}\nridge = {[0.1] * 2000}", "cross to 4000000 trials"),
        ("trials = 3", r"written \[\[trials\]\]"),
    ],
)
def test_plans_that_cannot_be_read_are_named(tmp_path, text, message):
    path = tmp_path / "plan.toml"
    path.write_text(text)
    with pytest.raises(w2sg.InputError, match=message) as caught:
        batch.load_configs(path, Config)
    assert str(path) in str(caught.value)
    with pytest.raises(w2sg.InputError, match="cannot be read"):
        batch.load_configs(tmp_path / "no.toml", Config)


def test_a_run_keeps_results_failures_and_what_computed_them(folder):
    toys = toy()
    configs = [toys.Config(0), toys.Config(1, does="raise"), toys.Config(2, power=2), toys.Config(3, does="set")]
    configs += [toys.Config(4, does="exit"), toys.Config(5, does="die"), toys.Config(0)]
    results = batch.run(toys.toy, configs, "out", workers=2, attempts=2)
    assert [record["status"] for record in results.records] == ["done", "failed", "done", "failed", "failed", "failed"]
    value = results.records[2]
    assert str(value["result"]) == "{'value': 6.25, 'parts': {'square': 4}, 'nan': nan}"
    assert value["config"] == {"seed": 2, "power": 2.0, "pause": 0.0, "does": "value", "data": None}
    assert value["seed"] == 2 and value["versions"]["w2sg_jax"] and value["machine"]["backend"] == "cpu"
    assert value["dtype"] in ("float32", "float64") and value["time"] and value["seconds"] >= 0
    errors = [record["error"] for record in results.failed]
    assert "ValueError: seed 1 is not wanted" in errors[0] and "object cannot be written as JSON" in errors[1]
    assert "SystemExit: 3" in errors[2] and "ended 2 times: SIGKILL, out of memory perhaps, SIGKILL" in errors[3]
    assert "printed by a trial" in "".join(path.read_text() for path in Path("out/logs").iterdir())
    rows = pyarrow.parquet.read_table("out/records.parquet").to_pylist()
    assert {row["id"] for row in rows} == {record["id"] for record in results.records}
    assert {row["result.parts.square"] for row in rows} == {0, 4, None}
    assert json.loads(rows[0]["record"])["id"] == rows[0]["id"]


def test_trials_that_misbehave_end_in_records_and_hold_nobody_up(folder):
    toys = toy()
    (folder / "data").write_text("one")
    kinds = ("signal", "interrupt", "input", "leaves a child", "odd", "array", "changes")
    configs = [toys.Config(seed, does=kind, data=Path("data")) for seed, kind in enumerate(kinds)]
    found = dict(zip(kinds, batch.run(toys.toy, configs, "out", workers=1, attempts=2).records, strict=True))
    errors = {kind: record["error"] for kind, record in found.items()}
    assert "ended 2 times: signal 40" in errors["signal"]
    assert "KeyboardInterrupt" in errors["interrupt"] and "EOFError" in errors["input"]
    assert "SIGKILL" in errors["leaves a child"] and found["leaves a child"]["versions"]["w2sg_jax"]
    for record in found.values():
        assert record["machine"]["device"] and record["dtype"] and record["time"]
    assert "data: it changed while the trial ran" in errors["changes"]
    assert errors["array"] is None and found["array"]["result"] == {"value": [0, 1]}
    assert found["odd"]["result"]["value"] == 2**70
    rows = {row["id"]: row for row in pyarrow.parquet.read_table("out/records.parquet").to_pylist()}
    assert json.loads(rows[found["odd"]["id"]]["result.value"]) == 2**70
    assert json.loads(rows[found["odd"]["id"]]["result.text"]) == "\ud800"
    assert main(["results", "out"]) == 0


def test_defaults_are_part_of_a_trial_and_files_and_python_mean_the_same(tmp_path):
    path = tmp_path / "data"
    path.write_text("one")

    @dataclass(frozen=True)
    class Defaulted:
        name: str
        seed: int = 3
        inner: Inner = field(default_factory=Inner)
        data: Path = path

    def with_defaults(config: Defaulted) -> dict[str, int]:
        return {}

    function = batch.TrialFunction(with_defaults, Defaulted, "1", "m:f")
    (tmp_path / "plan.toml").write_text('name = "a"')
    (read,) = batch.load_configs(tmp_path / "plan.toml", Defaulted)
    first, second = make_trial(function, read), make_trial(function, Defaulted("a"))
    assert first.id == second.id
    assert first.config == {"name": "a", "seed": 3, "inner": {"scale": 1.0}, "data": str(path)}
    assert list(first.inputs) == [str(path)]


def test_a_field_that_cannot_be_compared_is_named(tmp_path):
    @dataclass(frozen=True)
    class Listed:
        sizes: list[int]

    (tmp_path / "plan.toml").write_text("sizes = [[1, 2]]")
    with pytest.raises(w2sg.InputError, match="make its fields tuples, not lists"):
        batch.load_configs(tmp_path / "plan.toml", Listed)


def test_a_run_shows_what_it_was_asked_for_last(folder, capsys):
    toys = toy()
    batch.run(toys.toy, [toys.Config(0), toys.Config(1)], "out", workers=1)
    batch.run(toys.toy, [toys.Config(1), toys.Config(2)], "out", workers=1)
    assert main(["results", "out", "--json"]) == 0
    printed = capsys.readouterr()
    assert len(json.loads(printed.out)["records"]) == 2 and "1 more records" in printed.err
    assert main(["results", "out", "--json", "--all"]) == 0
    assert len(json.loads(capsys.readouterr().out)["records"]) == 3
    assert main(["results", "out", "--rows", "0"]) == 2


def test_a_trial_that_kills_its_worker_on_ray_is_a_failure_with_its_machine(folder):
    (folder / "plan.toml").write_text('does = ["die", "value"]')
    driver = start(folder, "--config", "plan.toml", "--out", "out", "--ray", "local")
    text = output_of(driver, "a run on Ray")[0]
    assert driver.returncode == 1 and "1 done, 1 failed" in text, text
    (failed,) = [one for one in batch.Records(folder / "out").all().values() if one["status"] == "failed"]
    assert "Ray could not run it in 3 attempts" in failed["error"]
    assert failed["machine"]["device"] and failed["dtype"] and failed["versions"]["jax"] and failed["time"]


@pytest.mark.parametrize("content", ["[]", "1", "{}"])
def test_a_file_that_is_no_record_is_named(folder, content):
    toys = toy()
    batch.run(toys.toy, [toys.Config(0)], "out", workers=1)
    (folder / "out" / "records" / "abc.json").write_text(content)
    with pytest.raises(w2sg.InputError, match=r"abc\.json: does not hold config, id, status"):
        batch.run(toys.toy, [toys.Config(1)], "out", workers=1)


@pytest.mark.parametrize(
    ("address", "message"), [("127.0.0.1:9", "nothing listens at 127.0.0.1:9"), ("ray://127.0.0.1:9", "Ray's client")]
)
def test_a_cluster_that_is_not_there_is_named(folder, address, message):
    toys = toy()
    with pytest.raises(w2sg.InputError, match=message):
        batch.run(toys.toy, [toys.Config(0)], "out", ray=address)


def states(records):
    """What trials that change the state of their process found of it."""
    found = [record["result"] for record in records if record["config"]["does"] == "state"]
    assert len(found) > 3 and None not in found, [record["error"] for record in records]
    return found


def test_every_trial_finds_its_worker_as_it_was(folder):
    """Directory, environment and random state; a relative path is found although earlier trials went elsewhere."""
    toys = toy()
    (folder / "data").write_text("input")
    configs = [toys.Config(seed, does="state", data=Path("data")) for seed in range(4)]
    results = batch.run(toys.toy, configs, "out", workers=1)
    (first, *others) = states(results.records)
    assert first["folder"] == str(folder) and first["left"] is None and first["home"] == os.environ["HOME"]
    assert first["text"] == first["again"] == "input"
    assert all(other == first for other in others)
    for record in results.records:
        assert record["config"]["data"] == "data" and list(record["inputs"]) == ["data"]


def test_a_trial_in_this_process_leaves_its_state_as_it_was(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder))
    (folder / "data").write_text("input")
    for seed in range(2):
        record = execute(make_trial(toy().toy, toy().Config(seed, does="state", data=Path("~/data"))))
        assert record["status"] == "done" and record["config"]["data"] == "~/data", record["error"]
    assert os.getcwd() == str(folder) and os.environ["HOME"] == str(folder) and "LEFT" not in os.environ


def test_random_numbers_go_on_where_they_were(folder):
    random.seed(1)
    np.random.seed(1)  # noqa: NPY002
    drawn = []
    for elsewhere in (folder, folder / "gone"):
        with same_for_every_trial(elsewhere):
            assert os.getcwd() == str(folder)
            drawn.append((random.random(), np.random.random()))  # noqa: NPY002
            np.random.set_bit_generator(np.random.PCG64(3))
    assert drawn[0] == drawn[1]
    expected = random.Random(1).random(), np.random.RandomState(1).random()
    assert (random.random(), np.random.random()) == expected  # noqa: NPY002


def test_a_worker_of_ray_is_the_same_for_every_trial(folder):
    (folder / "data").write_text("input")
    (folder / "plan.toml").write_text(f"does = 'state'\ndata = '~/data'\nseed = {list(range(6))}")
    driver = start(folder, "--config", "plan.toml", "--out", "ray", "--ray", "local", HOME=str(folder))
    text = output_of(driver, "a run on Ray")[0]
    assert driver.returncode == 0, text
    (first, *others) = states(finished(folder).values())
    assert first["folder"] == str(folder) and first["text"] == first["again"] == "input"
    assert all(other == first for other in others)


def test_numbers_that_json_lacks_come_back_as_they_were(folder, capsys):
    toys = toy()
    configs = [toys.Config(0, does="numbers"), toys.Config(1, does="numbers")]
    expected = (
        "{'nan': nan, 'inf': inf, 'minus': -inf, 'none': None, 'text': 'NaN',"
        " 'parts': {'many': [1.5, nan, '-Infinity']}}"
    )
    records = batch.run(toys.toy, configs, "out", workers=1).records
    again = batch.run(toys.toy, configs, "out", workers=1).records  # from the table
    loose = batch.Records("loose", create=True)
    loose.add(records[0])
    for record in (*records, *again, *loose.all().values()):
        assert str(record["result"]) == expected
    assert again[0].keys() == records[0].keys()
    rows = pyarrow.parquet.read_table("out/records.parquet").to_pylist()
    columns = {name: rows[0][f"result.{name}"] for name in ("nan", "inf", "minus", "none", "text")}
    assert str(columns) == "{'nan': nan, 'inf': inf, 'minus': -inf, 'none': None, 'text': 'NaN'}"
    written = [path.read_text() for path in loose.loose.iterdir()] + [row["record"] for row in rows]
    for text in written:
        result = strict(text)["result"]
        assert (result["nan"], result["inf"], result["minus"]) == ("NaN", "Infinity", "-Infinity")
        assert result["none"] is None and result["text"] == "NaN"
    assert main(["results", "out", "--json"]) == 0
    shown = capsys.readouterr()
    assert strict(shown.out)["records"][0]["result"]["minus"] == "-Infinity"
    for word in ("nan", "inf", "-inf", "NaN"):
        assert f" {word} " in shown.err


def strict(text):
    return json.loads(text, parse_constant=lambda constant: pytest.fail(f"{constant} is no JSON"))


def test_records_of_earlier_versions_stay_as_they_are(folder):
    """They had null for NaN and infinities, and texts were texts."""
    records = batch.Records("out", create=True)
    old = {"id": "0" * 32, "status": "done", "config": {}, "result": {"text": "NaN", "lost": None}}
    (records.loose / f"{'0' * 32}.json").write_text(json.dumps(old))
    assert records.all() == {"0" * 32: old}
    records.compact()
    assert records.all() == {"0" * 32: old}


def git(*arguments):
    names = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    return subprocess.run(["git", *names, *arguments], check=True, capture_output=True, text=True).stdout.strip()


@pytest.mark.skipif(not shutil.which("git"), reason="needs git")
def test_a_record_says_whether_the_checkout_was_changed(folder):
    assert checkout_of(folder / "toy_trials.py") == {"commit": None, "dirty": None}
    (folder / "other").touch()
    git("init", "--quiet")
    git("add", "other")
    git("commit", "--quiet", "--message", "other")
    commit = git("rev-parse", "HEAD")
    assert checkout_of(folder / "toy_trials.py") == {"commit": commit, "dirty": True}, "git does not keep it"
    git("add", "toy_trials.py")
    git("commit", "--quiet", "--message", "trials")
    commit = git("rev-parse", "HEAD")
    (folder / "results").touch()
    assert checkout_of(folder / "toy_trials.py") == checkout_of(folder) == {"commit": commit, "dirty": False}
    (folder / "other").write_text("changed")
    assert checkout_of(folder) == {"commit": commit, "dirty": True}
    (record,) = batch.run(toy().toy, [toy().Config()], "out", workers=1).records
    assert (record["commit"], record["dirty"]) == (commit, True)
    (row,) = pyarrow.parquet.read_table("out/records.parquet").to_pylist()
    assert (row["commit"], row["dirty"]) == (commit, True)


@pytest.mark.parametrize("engine", [("--workers", "2"), ("--ray", "local")], ids=["workers", "ray"])
def test_a_device_that_is_not_there_is_one_line_and_no_record(folder, engine):
    (folder / "plan.toml").write_text("seed = [0, 1, 2]")
    driver = start(folder, "--config", "plan.toml", "--out", "ray", *engine, JAX_PLATFORMS="nonsense")
    text = output_of(driver, "a run without a device")[0]
    assert driver.returncode == 2, text
    assert text.splitlines()[-1].startswith("toy: JAX_PLATFORMS=nonsense: JAX finds no such device")
    assert "Traceback" not in text
    assert finished(folder) == {}


def test_what_a_cluster_has_is_compared_node_by_node():
    nodes = [
        {"Alive": True, "Resources": {"CPU": 8.0, "memory": 1e9}},
        {"Alive": True, "Resources": {"CPU": 2.0, "GPU": 1.0}},
        {"Alive": False, "Resources": {"CPU": 64.0, "GPU": 8.0}},
    ]
    for cpus, gpus in ((8.0, 0.0), (2.0, 1.0), (0.5, 0.25), (0.0, 0.0)):
        on_ray._refuse_too_much(nodes, cpus, gpus)
    for cpus, gpus in ((9.0, 0.0), (8.0, 1.0), (1.0, 2.0)):
        with pytest.raises(w2sg.InputError, match="its nodes: 1 with 2 CPUs and 1 GPUs, 1 with 8 CPUs and 0 GPUs"):
            on_ray._refuse_too_much(nodes, cpus, gpus)


def test_wrong_options_are_one_line_and_errors_of_the_program_are_no_failed_trials(folder, capsys, monkeypatch):
    toys = toy()
    assert batch.main(toys.toy, ["--confg", "plan.toml"]) == 2
    message = capsys.readouterr().err
    assert message.startswith("toy: ") and message.count("\n") == 1 and "python -m toy_trials --help" in message
    assert batch.main(toys.toy, ["--help"]) == 0
    assert "70 an error in the program" in " ".join(capsys.readouterr().out.split())
    (folder / "plan.toml").write_text("seed = 1")
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setattr(batch.command, "run", lambda *_, **__: 1 / 0)
    assert batch.main(toys.toy, ["--config=~/plan.toml", "--out", "out"]) == 70
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_what_has_a_record_is_not_run_again_unless_it_failed_and_that_is_asked(folder, monkeypatch):
    toys = toy()
    monkeypatch.setenv("RAN", str(folder / "ran"))
    configs = [toys.Config(0), toys.Config(1, does="raise")]
    batch.run(toys.toy, configs, "out", workers=1)
    batch.run(toys.toy, [*configs, toys.Config(2)], "out", workers=1)
    assert (folder / "ran").read_text() == "0\n2\n"
    before = batch.Records("out").all()
    again = batch.run(toys.toy, configs, "out", workers=1, retry_failed=True)
    assert len(again.records) == 2 and len(batch.Records("out").all()) == 3
    (failed,) = again.failed
    assert failed["time"] >= before[failed["id"]]["time"] and failed["seconds"] != before[failed["id"]]["seconds"]
    assert (folder / "ran").read_text() == "0\n2\n"


def test_a_record_in_both_places_counts_once(folder):
    records = batch.Records("out", create=True)
    for number in range(3):
        records.add({"id": f"{number:032x}", "status": "failed", "config": {"a": number}, "result": None})
    records.compact()
    assert list(records.loose.iterdir()) == []
    records.add({"id": f"{1:032x}", "status": "done", "config": {"a": 1}, "result": {"b": 2}})
    known = records.all()
    assert len(known) == 3 and known[f"{1:032x}"]["status"] == "done"
    records.compact(least=2)
    assert len(list(records.loose.iterdir())) == 1
    records.compact()
    assert records.all() == known
    (records.folder / "records.parquet").write_bytes(b"broken")
    with pytest.raises(w2sg.InputError, match=r"records.parquet: cannot be read .* move it away"):
        records.all()


def test_one_process_at_a_time_runs_trials_in_a_folder(folder):
    toys = toy()
    running = pytest.raises(w2sg.InputError, match="another process is running there")
    with batch.Records("out", create=True).locked(), running:
        batch.run(toys.toy, [toys.Config()], "out")
    (folder / "file").touch()
    with pytest.raises(w2sg.InputError, match=r"file: cannot be made \(Not a directory"):
        batch.run(toys.toy, [toys.Config()], "file")
    with pytest.raises(w2sg.InputError, match="configs: empty"):
        batch.run(toys.toy, [], "out")
    with pytest.raises(w2sg.InputError, match="workers and attempts: got 0 and 3"):
        batch.run(toys.toy, [toys.Config()], "out", workers=0)


def test_workers_share_cores_and_cards(monkeypatch):
    monkeypatch.setattr(local, "cores", lambda: [0, 1, 2, 3, 4])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,5")
    found = [local.environment(index, 2) for index in range(2)]
    assert [one["W2SG_WORKER_CORES"] for one in found] == ["0,2,4", "1,3"]
    assert [one["OPENBLAS_NUM_THREADS"] for one in found] == ["3", "2"]
    assert [one["CUDA_VISIBLE_DEVICES"] for one in found] == ["2", "5"]
    assert local.default_workers() == 2
    assert local.environment(7, 9)["W2SG_WORKER_CORES"] == "2"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert local.gpus() == []


def test_the_command_line_and_its_exit_codes(folder, capsys):
    (folder / "plan.toml").write_text('seed = [0, 1, 2]\ndoes = ["value", "raise"]')
    failing = start(folder, "--config", "plan.toml", "--out", "out", "--workers", "2")
    text = output_of(failing, "a run")[0]
    assert (
        failing.returncode == 1 and "3 done, 3 failed" in text and "is not wanted" in text and "--retry-failed" in text
    )
    assert main(["results", "out"]) == 0
    shown = capsys.readouterr().out
    assert "3 done, 3 failed" in shown and "square" in shown and "pause" not in shown
    assert main(["results", "out", "--failed", "--json"]) == 0
    out = json.loads(capsys.readouterr().out)
    assert len(out["records"]) == 3 and out["planned"] == 6
    assert main(["results", "elsewhere"]) == 2
    assert "is no folder of a batch run" in capsys.readouterr().err
    unknown = start(folder, "--config", "no.toml", "--out", "out")
    assert "no.toml: cannot be read" in output_of(unknown, "a run")[0] and unknown.returncode == 2


def test_the_guides_sweep(folder, capsys):
    guide = (Path(__file__).parents[1] / "docs/guides/trials.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"^```py(?:thon)?\n(# sweep.py\n.*?)^```$", guide, re.DOTALL | re.MULTILINE)
    (plan,) = re.findall(r"^printf '(.*?)' > sweep.toml", guide, re.MULTILINE)
    (folder / "toy_trials.py").write_text(code)
    (folder / "sweep.toml").write_text(plan.replace("\\n", "\n"))
    rng = np.random.default_rng(0)
    arrays = {name: rng.normal(size=(200, width)) for name, width in (("strong", 20), ("a", 5), ("b", 9))}
    for name, array in arrays.items():
        w2sg.save(folder / f"{name}.npy", array)
    sweep = start(folder, "--config", "sweep.toml", "--out", "runs/sweep")
    assert output_of(sweep, "a run") and sweep.returncode == 0
    assert main(["results", "runs/sweep", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["records"]
    norms = {(row["config"]["weak"], row["config"]["ridge"]): row["result"]["norm"] for row in rows}
    assert len(norms) == 4
    for (weak, ridge), norm in norms.items():
        assert norm == pytest.approx(dense_gap(arrays[weak[0]], arrays["strong"], ridge=ridge).norm, rel=1e-9)


@pytest.mark.skipif(not Path("/proc").exists(), reason="finds worker processes in /proc")
def test_killed_again_and_again_it_ends_with_the_table_of_an_undisturbed_run(folder, monkeypatch):
    """kill -9 of the driver or of a worker at random points, fifty times and more; then a run to the end.

    Every fourth run is killed once it has trials, however long it took to start; the others at any time, often before.
    """
    seeds, runs = 0, 0
    arguments = ("--config", "plan.toml", "--workers", "2", "--out")
    chance, kills, ran = random.Random(0), 0, folder / "ran"
    ran.touch()
    while kills < 50:
        recorded = {record["config"]["seed"] for record in known(folder)}
        if len(recorded) == seeds:  # a fast machine was done before there were enough kills
            seeds += 100
            (folder / "plan.toml").write_text(f"seed = {list(range(seeds))}\npause = 0.04")
        lines = len(ran.read_text().split())
        driver = start(folder, *arguments, "killed", RAN=str(ran))
        runs += 1
        if runs % 4 == 0:
            wait_for("a trial", lambda lines=lines: len(ran.read_text().split()) > lines, driver)
        for _ in range(chance.randrange(1, 4)):
            time.sleep(chance.uniform(0.05, 0.7))
            workers = children_of(driver.pid)
            victim = chance.choice([driver.pid, *workers])
            if victim != driver.pid and driver.poll() is None:
                os.kill(victim, signal.SIGKILL)
                kills += 1
        kills += driver.poll() is None
        driver.kill()
        output_of(driver, "a run")
        again = set(map(int, ran.read_text().split()[lines:]))
        assert not again & recorded, "what had a record ran again"
    last = start(folder, *arguments, "killed", RAN=str(ran))
    text = output_of(last, "a run")[0]
    assert last.returncode == 0 and f"{seeds} done, 0 failed" in text
    undisturbed = start(folder, *arguments, "whole")
    output_of(undisturbed, "a run")
    tables = [table(folder / name) for name in ("killed", "whole")]
    assert tables[0] == tables[1] and len(tables[0]) == seeds


@pytest.mark.skipif(not Path("/proc").exists(), reason="finds worker processes in /proc")
def test_a_ray_cluster_gives_the_same_table_though_a_worker_is_killed(folder):
    (folder / "plan.toml").write_text(f"does = ['value', 'wait']\nseed = {list(range(30))}")
    (folder / "held").touch()  # half of the trials wait for it to go: none of these is done before the kills
    arguments = ("--config", "plan.toml", "--out")
    environment = {"RAN": str(folder / "ran"), "HELD": str(folder / "held")}
    driver = start(folder, *arguments, "ray", "--ray", "local", **environment)
    killed = set()

    def another():
        """A worker of Ray with a trial that waits."""
        running = (pid for pid in descendants_of(driver.pid) if b"ray::_execute" in command_of(pid))
        return len(finished(folder)) == 30 and next((pid for pid in running if pid not in killed), None)

    for _ in range(2):
        pid = wait_for("a worker with a trial", another, driver)
        os.kill(pid, signal.SIGKILL)
        killed.add(pid)
    (folder / "held").unlink()
    text = output_of(driver, "a run on Ray")[0]
    assert driver.returncode == 0 and "60 done, 0 failed" in text, text
    undisturbed = start(folder, *arguments, "whole", "--workers", "2", **environment)
    output_of(undisturbed, "a run")
    assert table(folder / "ray") == table(folder / "whole")


def test_a_table_shows_what_differs_in_paths():
    weak = ["/data/zoo/ESOL/a.safetensors", "/data/zoo/ESOL/b.safetensors", "/data/zoo/Lipo/a.safetensors"]
    words = ["/x/one", "two", "/x/three"]
    records = [
        {"id": "0" * 32, "status": "done", "config": {"weak": path, "word": word}, "result": {"value": 1.0}}
        for path, word in zip(weak, words, strict=True)
    ]
    made = batch.tables.table(records)
    assert [list(column.cells) for column in made.columns[2:4]] == [["ESOL/a", "ESOL/b", "Lipo/a"], words]


CLUSTER = """
import sys
from ray.cluster_utils import Cluster

cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
cluster.wait_for_nodes()
print(cluster.address, flush=True)
sys.stdin.readline()
cluster.remove_node(nodes[0], allow_graceful=False)
print("lost", flush=True)
sys.stdin.readline()
cluster.shutdown()
"""


def test_a_ray_cluster_gives_the_same_table_though_a_node_is_lost(folder):
    (folder / "plan.toml").write_text(f"does = ['value', 'wait']\nseed = {list(range(12))}")
    (folder / "held").touch()
    arguments = ("--config", "plan.toml", "--out")
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    environment = os.environ | {"HELD": str(folder / "held")}
    cluster = subprocess.Popen([sys.executable, "-c", CLUSTER], env=environment, **pipes)
    try:
        address = cluster.stdout.readline().strip()
        greedy = start(folder, *arguments, "greedy", "--ray", address, "--gpus", "2")
        text = output_of(greedy, "a run that asks for too much")[0]
        assert greedy.returncode == 2 and "asks for 1 CPUs and 2 GPUs of one node" in text, text
        assert "its nodes: 1 with 0 CPUs and 0 GPUs, 2 with 1 CPUs and 0 GPUs" in text and "Traceback" not in text
        driver = start(folder, *arguments, "ray", "--ray", address)
        wait_for("the trials that wait for nothing", lambda: len(finished(folder)) == 12, driver)
        cluster.stdin.write("remove\n")
        cluster.stdin.flush()
        assert cluster.stdout.readline() == "lost\n" and driver.poll() is None
        (folder / "held").unlink()
        text = output_of(driver, "a run on Ray")[0]
    finally:
        cluster.communicate("end\n")
    assert driver.returncode == 0 and "24 done, 0 failed" in text, text
    undisturbed = start(folder, *arguments, "whole", "--workers", "2", HELD=str(folder / "held"))
    output_of(undisturbed, "a run")
    assert table(folder / "ray") == table(folder / "whole")


def finished(folder):
    return batch.Records(folder / "ray").all() if (folder / "ray" / "records").exists() else {}


def descendants_of(pid):
    found, new = [], [pid]
    while new:
        new = [child for one in new for child in children_of(one)]
        found += new
    return found


def command_of(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def known(folder):
    return batch.Records(folder / "killed").all().values() if (folder / "killed" / "records").exists() else ()


def table(out):
    """Its rows as texts, in which NaN is NaN, without what differs between two runs."""
    rows = pyarrow.parquet.read_table(out / "records.parquet").to_pylist()
    return sorted(str({key: row[key] for key in row if key not in ("seconds", "time", "record")}) for row in rows)


def children_of(pid):
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        if int(fields[1]) == pid and fields[0] != "Z":
            found.append(int(path.parent.name))
    return found


def test_a_full_disk_keeps_what_was_recorded(folder):
    out = folder / "out"
    out.mkdir()
    with small_disk(out, "64k"):
        (folder / "plan.toml").write_text(f"seed = {list(range(40))}")
        arguments = ("--config", "plan.toml", "--workers", "2", "--out", "out")
        full = start(folder, *arguments)
        text = output_of(full, "a run")[0]
        assert full.returncode == 2 and "No space left on device" in text
        kept = batch.Records(out).all()
        assert 0 < len(kept) < 40
        subprocess.run(["mount", "-o", "remount,size=10m", str(out)], check=True)
        again = start(folder, *arguments)
        assert output_of(again, "a run") and again.returncode == 0
        whole = batch.Records(out).all()
        assert len(whole) == 40 and all(whole[one]["time"] == kept[one]["time"] for one in kept)
