"""rank: the columns are those of gap, the order is right, and the intervals cover."""

import json

import chex
import numpy as np
import pytest
from oracles import dense_gap

import w2sg_jax as w2sg
from w2sg_jax.numerics.backend import compiled
from w2sg_jax.ranking import rank
from w2sg_jax.ranking.bootstrap import recentred_interval
from w2sg_jax.theory import gap_operator, spectrum

RNG = np.random.default_rng(0)
LATENT = RNG.normal(size=(400, 30))
ZOO = {f"w{k}": LATENT[:, :k] @ RNG.normal(size=(k, 12)) + 0.05 * RNG.normal(size=(400, 12)) for k in (2, 5, 10)}
STRONG = LATENT @ RNG.normal(size=(30, 40))
Y = LATENT[:, :20].sum(axis=1) + RNG.normal(size=400)


def halves(stop):
    return {name: h[:stop] for name, h in ZOO.items()}, {name: h[stop:] for name, h in ZOO.items()}


def test_columns_are_those_of_gap_and_of_the_dense_definition():
    labelled, unlabelled = halves(150)
    ranking = w2sg.rank(
        unlabelled, STRONG[150:], Y[150:], train=(labelled, STRONG[:150], Y[:150]), ridge=(1e-3, 1e-2), bootstrap=0
    )
    assert ranking.names == ("w10", "w5", "w2") and ranking.by == "supervised"
    assert (ranking.n, ranking.n_train) == (250, 150)
    for row in ranking.rows:
        g = w2sg.gap(w2sg.moments(unlabelled[row.name], STRONG[150:], Y[150:]), (1e-3, 1e-2))
        truth = dense_gap(labelled[row.name], STRONG[:150], Y[:150], ridge=(1e-3, 1e-2))
        for field in ("norm", "frobenius", "predicted", "dof_weak", "dof_strong"):
            assert getattr(row, field) == pytest.approx(getattr(g, field), rel=1e-9)
        assert (row.rank_weak, row.rank_strong) == (12, 30)
        assert row.supervised == pytest.approx(truth.predicted, rel=1e-9)
        assert row.intervals == {} and row.share_best is None


def test_intervals_hold_the_estimate_and_repeat_with_the_seed():
    first = w2sg.rank(ZOO, STRONG, Y, bootstrap=30, seed=3)
    again = w2sg.rank(ZOO, STRONG, Y, bootstrap=30, seed=3)
    assert first == again and first.by == "predicted"
    assert w2sg.rank(ZOO, STRONG, Y, bootstrap=30, seed=4) != first
    for row in first.rows:
        for column, (low, high) in row.intervals.items():
            assert low <= getattr(row, column) <= high and low < high
    assert sum(row.share_best for row in first.rows) == pytest.approx(1.0)
    assert json.loads(json.dumps(first.to_dict()))["rows"][0]["name"] == first.names[0]


def test_intervals_cover_the_value_of_fresh_samples():
    """The 90% interval of the Frobenius gap covers the value on a large fresh sample most of the time."""
    rng = np.random.default_rng(1)
    mix_weak, mix_strong = rng.normal(size=(6, 5)), rng.normal(size=(10, 8))

    def draw(n):
        latent = rng.normal(size=(n, 10))
        return latent[:, :6] @ mix_weak, latent @ mix_strong

    weak, strong = draw(200_000)
    truth = w2sg.gap(w2sg.moments(weak, strong), 0.05).norm
    hits = 0
    for _ in range(20):
        weak, strong = draw(800)
        low, high = w2sg.rank({"w": weak}, strong, ridge=0.05, bootstrap=60, confidence=0.9).rows[0].intervals["norm"]
        hits += low <= truth <= high
    assert hits >= 14


def test_rows_in_any_order_give_the_same_estimates_and_honest_intervals():
    order = np.argsort(Y)
    a = w2sg.rank(ZOO, STRONG, Y, bootstrap=40)
    b = w2sg.rank({name: h[order] for name, h in ZOO.items()}, STRONG[order], Y[order], bootstrap=40)
    for one, other in zip(a.rows, b.rows, strict=True):
        assert one.norm == pytest.approx(other.norm, rel=1e-9)
        widths = [row.intervals["norm"][1] - row.intervals["norm"][0] for row in (one, other)]
        assert 1 / 3 < widths[0] / widths[1] < 3


def test_the_strong_model_is_decomposed_once(monkeypatch):
    calls = []
    real = gap_operator.spectrum
    monkeypatch.setattr(
        gap_operator, "spectrum", lambda sigma, dtype: (calls.append(len(sigma)), real(sigma, dtype))[1]
    )
    w2sg.rank(ZOO, STRONG, bootstrap=0)
    assert calls.count(40) == 1 and calls.count(12) == 3
    calls.clear()
    w2sg.rank(ZOO, STRONG, bootstrap=4)
    assert calls.count(40) == 1 + 4


def test_order_and_progress():
    seen = []
    ranking = w2sg.rank(ZOO, STRONG, bootstrap=0, by="dof_weak", progress=lambda *done: seen.append(done))
    assert [row.dof_weak for row in ranking.rows] == sorted((row.dof_weak for row in ranking.rows), reverse=True)
    assert seen == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert w2sg.rank(ZOO, STRONG, bootstrap=0).by == "norm"


def test_refusals():
    with pytest.raises(w2sg.InputError, match=r"weak: expected a mapping of at least one name"):
        w2sg.rank({}, STRONG)
    with pytest.raises(w2sg.InputError, match=r"strong has 400 rows and weak\['w2'\] has 399"):
        w2sg.rank({"w2": ZOO["w2"][:399]}, STRONG)
    with pytest.raises(w2sg.InputError, match=r"by: 'supervised' needs train="):
        w2sg.rank(ZOO, STRONG, by="supervised")
    with pytest.raises(w2sg.InputError, match=r"by: 'predicted' needs labels"):
        w2sg.rank(ZOO, STRONG, by="predicted")
    with pytest.raises(w2sg.InputError, match=r"by: got 'size', expected one of"):
        w2sg.rank(ZOO, STRONG, by="size")
    with pytest.raises(w2sg.InputError, match=r"train: the weak models differ from those to rank: w2, w5"):
        w2sg.rank(ZOO, STRONG, train=({"w10": ZOO["w10"]}, STRONG, Y))
    with pytest.raises(w2sg.InputError, match=r"weak model 'flat': weak: the representation is constant"):
        w2sg.rank({"flat": np.ones((400, 3))}, STRONG)
    with pytest.raises(w2sg.InputError, match=r"confidence: got 1.0"):
        w2sg.rank(ZOO, STRONG, confidence=1.0)
    with pytest.raises(w2sg.InputError, match=r"strong: 7 samples; a ranking needs at least 8"):
        w2sg.rank({"w2": ZOO["w2"][:7]}, STRONG[:7])
    with pytest.raises(w2sg.InputError, match=r"seed: got -1; expected a whole number, 0 or more"):
        w2sg.rank(ZOO, STRONG, seed=-1)
    with pytest.raises(w2sg.InputError, match=r"bootstrap: got -1; expected a whole number"):
        w2sg.rank(ZOO, STRONG, bootstrap=-1)
    with pytest.raises(w2sg.InputError, match=r"the name 1 is a int; names are strings"):
        rank.checked_candidates({1: STRONG, "1": STRONG}, STRONG, None, "")
    with pytest.raises(w2sg.InputError, match=r"train: expected a tuple"):
        rank.train_parts((ZOO, STRONG, None))
    with pytest.raises(w2sg.InputError, match=r"train: expected a tuple"):
        rank.train_parts((ZOO, STRONG))


@pytest.mark.parametrize("where", ["weak", "strong", "labels"])
def test_a_bad_value_is_named_by_the_callers_row(where):
    weak, strong, y = ZOO["w5"].copy(), STRONG.copy(), Y.copy().reshape(-1, 1)
    bad = {"weak": weak, "strong": strong, "labels": y}[where]
    bad[333, -1] = np.nan
    with pytest.raises(w2sg.InputError, match=rf"{where}.*nan at row 333, column {bad.shape[1] - 1}"):
        w2sg.rank({"w2": ZOO["w2"], "w5": weak} if where == "weak" else {"w5": weak}, strong, y)


def test_a_bootstrap_sample_without_a_gap_does_not_end_the_ranking():
    rare = np.zeros((400, 1))
    rare[3] = 1.0
    ranking = w2sg.rank({"rare": rare, "w5": ZOO["w5"]}, STRONG, bootstrap=40)
    row = next(row for row in ranking.rows if row.name == "rare")
    assert row.norm == pytest.approx(w2sg.gap(w2sg.moments(rare, STRONG)).norm, rel=1e-9)
    assert np.isfinite(row.intervals["norm"]).all()
    assert any("constant in" in note and "bootstrap samples" in note for note in row.warnings)
    assert sum(row.share_best for row in ranking.rows) == pytest.approx(1.0)


@pytest.mark.parametrize("ridge", [1e-6, 1e-2, 1.0])
@pytest.mark.parametrize("n", [8, 60])
def test_no_interval_leaves_the_range_of_its_quantity(n, ridge):
    """Norms near 1 and near 0, gaps near 0, and effective dimensions near the rank, on few samples."""
    weak = {"other": RNG.normal(size=(n, 8)), "near": STRONG[:n] + 1e-3 * RNG.normal(size=STRONG[:n].shape)}
    ranking = w2sg.rank(weak, STRONG[:n], Y[:n], ridge=ridge, confidence=0.999)
    for row in ranking.rows:
        above = {"norm": 1.0, "dof_weak": row.rank_weak, "dof_strong": row.rank_strong}
        above |= {"frobenius": np.sqrt(row.rank_strong / n), "predicted": Y[:n].var()}
        for quantity, (low, high) in row.intervals.items():
            assert 0 <= low <= getattr(row, quantity) <= high <= above.get(quantity, np.inf), quantity
    assert n == 8 or ridge > 1e-2 or any(row.intervals["norm"][1] > 0.9 for row in ranking.rows)


def test_intervals_that_are_moved_on_their_scale_stay_where_they_can_be():
    replicates = np.linspace(0.99, 0.9999, 100)
    low, high = recentred_interval(0.9995, replicates, 0.95, above=1.0)
    assert 0.99 < low < 0.9995 < high < 1
    low, high = recentred_interval(1e-3, np.linspace(0.05, 0.5, 100), 0.95)
    assert 0 < low < 1e-3 < high < 0.01
    assert recentred_interval(0.0, np.zeros(5), 0.95) == (0.0, pytest.approx(0.0, abs=1e-200))
    low, high = recentred_interval(1.0, np.ones(5), 0.95, above=1.0)
    assert low == pytest.approx(1.0, abs=1e-12) and high == 1.0


def test_few_blocks_to_draw_from_are_a_warning():
    few = w2sg.rank({name: h[:40] for name, h in ZOO.items()}, STRONG[:40], bootstrap=5)
    assert few.blocks == 10 and "10 blocks of samples only" in few.warnings[0]
    assert w2sg.rank(ZOO, STRONG, bootstrap=5).warnings == ()
    assert w2sg.rank({name: h[:40] for name, h in ZOO.items()}, STRONG[:40], bootstrap=0).warnings == ()


def test_equal_models_share_the_first_place():
    ranking = w2sg.rank({"a": ZOO["w5"], "b": ZOO["w5"].copy()}, STRONG, bootstrap=10)
    assert [row.share_best for row in ranking.rows] == [0.5, 0.5]


@pytest.mark.parametrize("n", [400, 40], ids=["primal", "dual"])
def test_fifty_models_of_many_widths_need_a_program_for_each_bucket(monkeypatch, n):
    widths = [int(width) for width in RNG.integers(4, 49, size=50)]
    buckets = {4, 6, 8, 12, 16, 24, 32, 48}
    assert len(set(widths)) > 20
    chex.clear_trace_counter()
    kernels = {spectrum: ("_primal", "_dual"), gap_operator: ("_components", "_compiled")}
    for module, names in kernels.items():
        for name in names:
            kernel = getattr(module, name).__wrapped__
            most = len(buckets) + (name in ("_primal", "_dual"))  # the strong model's own
            monkeypatch.setattr(module, name, compiled(chex.assert_max_traces(kernel, n=most)))
    strong, y = STRONG[:n], Y[:n]
    weak = {str(index): strong @ RNG.normal(size=(40, width)) for index, width in enumerate(widths)}
    ranking = w2sg.rank(weak, strong, y, bootstrap=0, threshold=1e-6)
    monkeypatch.undo()
    for row in ranking.rows[::7]:
        g = w2sg.gap(w2sg.moments(weak[row.name], strong, y), threshold=1e-6)
        for field in ("norm", "frobenius", "predicted", "dof_weak", "dof_strong"):
            assert getattr(row, field) == pytest.approx(getattr(g, field), rel=1e-9)
        assert (row.rank_weak, row.rank_strong) == (g.rank_weak, g.rank_strong)
