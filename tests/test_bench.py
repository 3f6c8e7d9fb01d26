"""Benchmarks at toy sizes, the cost model against hand counts, verdicts, and the tables of the results pages."""

import json
from dataclasses import replace

import numpy as np
import pytest
from helpers import wait_for

from benchmarks import cost, cost_model, limits, problems, report, scaling
from benchmarks.children import memory
from w2sg_jax.bench import Machine, Point, Sizes, advice, pair, pass_work, sentence
from w2sg_jax.cli import bench, main
from w2sg_jax.second_moments.host_sums import SLAB, each

MACHINE = Machine("cpu", 1, {"float64": 100e9, "float32": 200e9}, 20e9)
TINY = {"product": 64, "at_least": 0.01}


def test_operations_and_bytes_of_a_pass_are_those_counted_by_hand():
    work = pass_work(100, [3, 4], 5, dtype="float64", itemsize=2, symmetric=True, block_rows=50)
    assert work.flops == 100 * (9 + 16 + 25 + 2 * 5 * 7)
    assert work.flops_full == 2 * 100 * (9 + 16 + 25 + 5 * 7)
    assert work.preparing == 100 * 12 * (2 + 5 * 8)
    assert work.adding == 2 * ((9 + 16 + 25) / 2 + 35) * 16
    assert work.traffic == work.preparing + work.adding
    single = pass_work(100, [3], 5, dtype="float64", itemsize=2, symmetric=True, block_rows=50)
    assert single.flops == single.grams == 100 * 8**2
    assert single.flops_full == 2 * 100 * (9 + 25 + 15)
    assert single.adding == 2 * 8**2 / 2 * 16
    full = pass_work(100, [3, 4], 5, dtype="float32", itemsize=4, symmetric=False, block_rows=50)
    assert full.flops == full.flops_full == work.flops_full
    assert full.adding == 2 * (50 + 35) * 24


def test_the_cost_model_by_hand():
    device = cost.Device("toy", "made up", flops=1e9, bandwidth=1e8, link=1e7, reading=1e6)
    job = cost.Job(n=1e6, d_weak=100, d_strong=200, devices=8, columns=2, dtype="float64", itemsize=2)
    found = cost.cost(job, device)
    samples, entries = 1e6 / 4, 100**2 + 200**2 + 100 * 200
    assert found.flops == 2 * samples * entries / 2
    assert found.products_s == pytest.approx(found.flops / 1e9)
    assert found.read == samples * 300 * 2
    assert found.reading_s == pytest.approx(found.read / 1e6)
    block_rows = 2**28 // (8 * 300)
    assert found.memory == 8 * entries / 2 + block_rows * 300 * (2 + 8)
    assert found.collective == pytest.approx(2 * 3 / 4 * (2 * 8 * 300 * samples / block_rows + 8 * entries / 2))
    assert found.pass_s == max(found.reading_s, found.products_s + found.traffic_s + found.collective_s)


def test_more_devices_share_products_and_memory_of_sums_and_one_device_sends_nothing():
    job = cost.Job(1e9, 16_384, 16_384)
    one, rows, both = (
        cost.cost(replace(job, devices=devices, columns=columns), cost.H100)
        for devices, columns in ((1, 1), (64, 1), (64, 8))
    )
    assert one.collective == 0
    assert one.flops == pytest.approx(64 * rows.flops) == pytest.approx(64 * both.flops)
    assert both.memory < rows.memory / 4
    assert rows.memory == one.memory
    assert both.read == 8 * rows.read


@pytest.mark.parametrize(
    ("point", "bound", "spent"),
    [
        (Point("moments", "float64", 1.0, 81e9), "products", "81% products, 19% overheads"),
        (
            Point("moments", "float32", 1.0, 40e9, preparing=0.6),
            "casting and centring",
            "60% casting and centring, 20% products, 20% overheads",
        ),
        (
            Point("moments", "float64", 1.0, 10e9, preparing=0.1, reading=0.7),
            "reading",
            "70% reading, 10% overheads, 10% products, 10% casting and centring",
        ),
        (
            Point("moments", "float64", 1.0, 10e9, preparing=0.1),
            "overheads",
            "80% overheads, 10% products, 10% casting and centring",
        ),
    ],
)
def test_verdicts(point, bound, spent):
    share = {"products": "81%", "casting and centring": "20%"}.get(bound, "10%")
    expected = f"moments run at {share} of this machine's matrix-product rate, bound by {bound} (of the time: {spent})"
    assert sentence(point, MACHINE) == expected
    told = " ".join(advice([point], MACHINE, cores=2, platform="cpu"))
    word = {"products": "float32", "casting and centring": "cores", "reading": "disk", "overheads": "OPENBLAS"}[bound]
    assert word in told


def test_advice_on_an_accelerator_whose_float64_is_slow():
    slow = replace(MACHINE, flops={"float64": 1e12, "float32": 60e12})
    told = advice([Point("moments", "float64", 1.0, 0.9e12)], slow, cores=2, platform="gpu")
    assert told == ["float64 is slow on this device: --precision float32 is enough for ridges above about 1e-3"]


def test_w2sg_bench_prints_strict_json_and_the_verdict_elsewhere(capsys, monkeypatch):
    tiny = Sizes(product=64, widths=(8, 16), flops=1e6, disk_bytes=1 << 14, at_least=0.01)
    monkeypatch.setattr("w2sg_jax.bench.Sizes", lambda: tiny)
    assert main(["bench", "--json"]) == 0
    out, err = capsys.readouterr()
    result = json.loads(out, parse_constant=lambda constant: pytest.fail(constant))["result"]
    assert [point["name"] for point in result["points"]] == [
        "moments of (8, 8) in float32",
        "moments of (8, 8) in float64",
        "moments of (16, 16) in float32",
        "moments of (16, 16) in float64",
        "moments of (16, 16) from float16 on disk",
    ]
    for point in result["points"]:
        assert point["share"] > 0
        assert point["flops"] % (16**2 if "(8" in point["name"] else 32**2) == 0
    assert all(line in err for line in result["sentences"])
    assert "as long as the moments of" in err
    assert main(["bench"]) == 0
    assert "share of the limit" in capsys.readouterr().out


def test_w2sg_bench_help_teaches(capsys):
    assert main(["bench", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "share of the matrix-product rate" in text and "w2sg bench --json > bench.json" in text
    assert bench.BenchOptions() == bench.BenchOptions(json=False)


@pytest.mark.driver
def test_scaling(tmp_path, capsys):
    config = scaling.Config(
        n=(100, 400, 10**12),
        n_widths=(4, 8),
        d_gap=(8, 16),
        d_leading=(8, 16, 32, 10**5),
        models=(1, 2, 4),
        models_n=200,
        models_widths=(4, 8),
        devices=(2,),
        devices_n=100,
        devices_width=4,
        out=tmp_path,
        **TINY,
    )
    entry = scaling.main(config)
    result = json.loads((tmp_path / "scaling.json").read_text())["result"]
    assert result == json.loads(json.dumps(entry["result"]))
    assert "GiB on disk" in result["n"]["rows"][-1]["skipped"]
    assert "GiB of memory" in result["d"]["rows"][-1]["skipped"]
    assert [row["n"] for row in result["n"]["rows"] if "seconds" in row] == [100, 400]
    assert set(result["d"]["exponents"]) == {"leading_s"} and "seconds" in result["models"]["exponents"]
    assert [row["devices"] for row in result["devices"]["rows"]] == [2]
    assert result["devices"]["rows"][0]["cores"] >= 1
    assert (tmp_path / "scaling.png").read_bytes().startswith(b"\x89PNG")
    text = scaling.markdown(entry)
    assert sum(line.startswith("| --- ") for line in text.splitlines()) == 4
    assert text.count("left out: ") == 2


def test_exponents_are_those_of_the_power_law_over_the_largest_points():
    rows = [{"n": n, "seconds": 3.0 * n**1.5 + (1 if n < 10 else 0)} for n in (1, 10, 100, 1000)]
    assert scaling.exponents(rows, "n") == {"seconds": pytest.approx(1.5)}
    assert scaling.exponents(rows[:2], "n") == {}


def test_synthetic_moments_are_those_of_a_pair():
    m = problems.synthetic_moments(20)
    assert m.sigma_weak.shape == m.sigma_cross.shape == (20, 20)
    assert np.linalg.eigvalsh(m.second)[0] > 0


def test_memory_counts_what_a_process_fills_and_not_what_it_frees():
    with memory() as grown:
        filled = np.ones(1 << 23)
        filled += 1
        wait_for("a sample of 64 MiB", lambda: grown["mib"] is None or grown["mib"] > 32)  # None: not Linux
        del filled
    assert grown["mib"] is None or 32 < grown["mib"] < 512


@pytest.mark.driver
def test_limits(tmp_path):
    config = limits.Config(widths=(16,), flops=1e6, whole_n=500, whole_widths=(4, 8), out=tmp_path, **TINY)
    entry = limits.main(config)
    rows = entry["result"]["rows"]
    assert [row["dtype"] for row in rows] == ["float64", "float32"]
    for row in rows:
        assert row["share_of_full_products"] == pytest.approx(1.5 * row["share"])
        assert row["share"] == pytest.approx(row["n"] * 32**2 / row["seconds"] / row["limit_flops"])
        assert row["holds"] == (row["share"] >= 0.75)
    whole = entry["result"]["whole"]
    assert whole["times_the_moments"] == pytest.approx(1 + whole["gap_s"] / whole["moments_s"])
    assert f"{whole['times_the_moments']:.2f} times" in limits.markdown(entry)


@pytest.mark.driver
def test_cost_model(tmp_path):
    config = cost_model.Config(widths=(16, 32), flops=1e6, models=2, out=tmp_path, **TINY)
    entry = cost_model.main(config)
    points = entry["result"]["points"]
    assert len(points) == 6
    assert all(point["ratio"] == pytest.approx(point["model_s"] / point["measured_s"]) for point in points)
    assert entry["result"]["worst"] == max(abs(point["ratio"] - 1) for point in points)
    assert [row["job"]["devices"] for row in entry["result"]["projection"]] == [64, 512] * 3
    text = cost_model.markdown(entry)
    assert "A model, not a measurement." in text and "NVIDIA H100 data sheet" in text and "| 512 × TPU v5p |" in text


@pytest.mark.parametrize("page", report.PAGES, ids=lambda page: page.stem)
def test_the_pages_tables_are_those_of_the_results(page):
    text = page.read_text(encoding="utf-8")
    assert report.rewritten(text) == text, "run python -m benchmarks.report"


def test_a_report_rewrites_what_stands_between_markers_alone(tmp_path):
    config = limits.Config(widths=(8,), flops=1e5, whole_n=0, out=tmp_path / "results" / "toy", **TINY)
    entry = limits.main(config)
    page = tmp_path / "speed.md"
    page.write_text("a\n<!-- limits:begin -->\nold\n<!-- limits:end -->\nb\n")
    assert report.main([page], tmp_path / "results") == [page]
    text = page.read_text()
    assert limits.markdown(entry) in text and "old" not in text
    assert text.startswith("a\n<!-- limits:begin -->\n") and text.endswith("<!-- limits:end -->\nb\n")
    assert report.where(entry) in text
    assert not report.main([page], tmp_path / "results")
    page.write_text("<!-- scaling:begin -->\n<!-- scaling:end -->\n")
    with pytest.raises(FileNotFoundError, match=r"run python -m benchmarks\.scaling"):
        report.main([page], tmp_path / "results")


def test_parts_of_rows_come_back_in_order_whatever_the_threads():
    slabs = each(lambda slab: slab, 1000, SLAB // 8)
    assert len(slabs) == 125
    assert [slab.start for slab in slabs[1:]] == [slab.stop for slab in slabs[:-1]]
    assert (slabs[0].start, slabs[-1].stop) == (0, 1000)
    with pytest.raises(ZeroDivisionError):
        each(lambda slab: 1 // 0, 1000, SLAB // 8)


def test_pairs_are_reproducible_and_repeat_their_tile():
    weak, strong = pair(20_000, 4, 8, "float16")
    assert weak.dtype == np.float16 and weak.shape == (20_000, 4) and strong.shape == (20_000, 8)
    np.testing.assert_array_equal(weak[8192:16_384], weak[:8192])
    np.testing.assert_array_equal(pair(20_000, 4, 8, "float16")[1], strong)
