"""The benchmarks that hold other ways beside ours: each way is the definition, and the drivers leave their record."""

import json

import numpy as np
import pytest
from oracles import dense_gap

from benchmarks import peer_routes, peers, problems, ridge_fits

pytestmark = pytest.mark.driver


@pytest.fixture(params=[(60, 8, 12), (20, 24, 40)], ids=str)
def problem(request):
    n, d_weak, d_strong = request.param
    return problems.samples(n, d_weak, d_strong, seed=0, ridge=1e-2)


@pytest.fixture
def truth(problem):
    """The dense definition; scores at the ridge of RADS-Lin, which is in raw units."""
    found = dense_gap(*problem[:3], ridge=problem.ridge)
    n = len(problem.labels)
    raw = tuple(0.1 * h.astype(float).var(axis=0).sum() / n + 1e-12 for h in problem[:2])
    scores = dense_gap(*problem[:3], ridge=raw, scale="none").scores
    return {"norm": found.norm, "predicted": found.predicted, "scores": scores}


@pytest.mark.parametrize("route", peer_routes.PEERS, ids=lambda route: route.name)
def test_every_peer_computes_the_definition(route, problem, truth):
    if not route.installed:
        pytest.skip(f"{route.needs} is not installed")
    assert peers.difference(route.run(problem), truth[route.quantity]) < 1e-9


def test_ours_computes_the_definition(problem, truth):
    assert peers.difference(peer_routes.ours(problem), [truth["norm"], truth["predicted"]]) < 1e-9
    assert peers.difference(peer_routes.ours_scores(problem), truth["scores"]) < 1e-9


def test_samples_do_not_depend_on_how_many_follow():
    few, many = (problems.samples(n, 3, 5, seed=1, ridge=1.0) for n in (4096, 4100))
    np.testing.assert_array_equal(few.weak, many.weak[:4096])
    assert few.weak.dtype == few.strong.dtype == np.float32


def test_peers_leave_a_record_and_a_figure(tmp_path):
    config = peers.Config(
        widths=((4, 6),),
        ns=(30, 60, 50_000),
        time_limit=np.inf,  # a busy machine may take any time
        once_above=np.inf,
        memory_limit=0.02,
        memory_n=(60,),
        machine_size=64,
        out=tmp_path,
    )
    entry = peers.main(config)
    (result,) = entry["result"]["widths"]
    assert json.loads((tmp_path / "peers.json").read_text())["result"]["widths"][0]["ended"] == result["ended"]
    assert (tmp_path / "peers.png").read_bytes().startswith(b"\x89PNG")
    installed = [route for route in (peer_routes.OURS, peer_routes.OURS_SCORES, *peer_routes.PEERS) if route.installed]
    for route in installed:
        rows = [row for row in result["rows"] if row["route"] == route.name]
        assert [row["n"] for row in rows][:2] == [30, 60]
        assert all(0 < row["low_s"] <= row["median_s"] <= row["high_s"] for row in rows)
        if route.power == 3:
            assert result["ended"][route.name].startswith("memory: about")
    assert result["rows"][len(installed)]["memory_mib"] >= 0


def test_a_peer_ends_before_it_passes_the_time_limit():
    route = peer_routes.PEERS[0]
    runner = peers.Runner(route, [(1000, 1.0), (2000, 8.0)])
    assert runner.expected(4000) == pytest.approx(64)
    config = peers.Config(time_limit=63)
    assert not runner.alive(4000, (4, 6), config) and runner.ended == "time: about 64 s at n = 4000"
    assert peers.Runner(route, [(1000, 1.0), (2000, 8.0)]).alive(4000, (4, 6), peers.Config(time_limit=65))


def test_a_peer_that_disagrees_is_not_timed():
    problem = problems.samples(30, 4, 6, seed=0, ridge=1e-2)
    runner = peers.Runner(peer_routes.PEERS[0])
    with pytest.raises(ArithmeticError, match=r"definition, NumPy, n = 30: differs from ours by"):
        peers.time_route(runner, problem, {"norm": 2.0}, peers.Config())
    assert runner.times == []


def test_ridge_fits_agree_and_leave_a_record_and_a_figure(tmp_path):
    size = ridge_fits.Size("FreeSolv", 60, 6, 9)
    config = ridge_fits.Config(sizes=(size,), splits=2, ridges=3, repeats=1, machine_size=64, out=tmp_path)
    (row,) = ridge_fits.main(config)["result"]["rows"]
    assert row["largest_difference"] <= ridge_fits.AGREEMENT and row["pipelines"] == 6
    assert row["times_faster_than_loop"] == pytest.approx(row["loop_median_s"] / row["ours_median_s"])
    assert json.loads((tmp_path / "ridge_fits.json").read_text())["result"]["rows"] == [row]
    assert (tmp_path / "ridge_fits.png").read_bytes().startswith(b"\x89PNG")


def test_ridge_fits_that_disagree_are_not_timed(monkeypatch):
    shifted = ridge_fits.loop
    monkeypatch.setattr(ridge_fits, "loop", lambda p: {name: 1.01 * e for name, e in shifted(p).items()})
    config = ridge_fits.Config(splits=1, ridges=2)
    with pytest.raises(ArithmeticError, match=r"the results differ by 1\.0e-02; nothing is timed"):
        ridge_fits.time_size(ridge_fits.Size("FreeSolv", 60, 6, 9), config)
