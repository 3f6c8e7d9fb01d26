"""The command that measures an accelerator, rehearsed at toy size, so that no hour on one is spent on typing errors."""

import json

import pytest

from benchmarks import device

pytestmark = pytest.mark.driver


def test_the_parts_run_at_toy_size_and_leave_their_records(tmp_path):
    config = device.Config(
        budget=1e6, toy=True, out=tmp_path, parts=("limits", "million", "ranking", "grid", "wide", "encoders")
    )
    entry = device.main(config)
    parts = entry["result"]["parts"]
    assert set(parts) == set(config.parts) and not [part["error"] for part in parts.values() if "error" in part]
    assert json.loads((tmp_path / "device.json").read_text())["result"] == json.loads(json.dumps(entry["result"]))
    assert {"limits.json", "ranking.json", "grid.json", "wide.json", "encoders.json"} <= {
        path.name for path in tmp_path.iterdir()
    }


@pytest.mark.parametrize("toy", [False, True], ids=["full", "toy"])
def test_every_part_has_settings_that_its_benchmark_takes(toy):
    assert {name for name in device.Config().parts if name != "tests"} == device.PARTS.keys()
    for name in device.PARTS:
        benchmark, settings = device.settings_of(name, toy=toy, out=None)
        assert isinstance(settings, benchmark.Config)
    assert all((device.ROOT / path).is_file() for path in device.TESTS)


def test_what_has_no_room_in_the_budget_is_left_out_and_what_fails_is_no_end(tmp_path, monkeypatch):
    monkeypatch.setitem(device.PARTS, "grid", ("grid", 0.0, {"nonsense": 1}, {}))
    config = device.Config(budget=10.0, parts=("tests", "grid", "wide"), out=tmp_path)
    parts = device.main(config)["result"]["parts"]
    assert "10 s were left, about 100 s are needed" in parts["tests"]["left_out"]
    assert "grid: TypeError" in parts["grid"]["error"] and "left_out" in parts["wide"]
    with pytest.raises(KeyError):
        device.part_of("nonsense", config)
