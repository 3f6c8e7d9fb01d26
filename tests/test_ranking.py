"""rank: the columns are those of gap, the order is right, and the intervals cover."""

import json
from pathlib import Path

import chex
import jax
import numpy as np
import pytest
from helpers import rotation
from oracles import dense_gap

import w2sg_jax as w2sg
from w2sg_jax.numerics.backend import compiled
from w2sg_jax.predictors import PREDICTORS, Inputs
from w2sg_jax.predictors.mutual_knn import influences, nearest, share_of
from w2sg_jax.ranking import neighbours, rank
from w2sg_jax.ranking.candidates import checked_candidates
from w2sg_jax.ranking.result import ORDERS
from w2sg_jax.ranking.track_record import MOLECULES, TEXTS, track_record
from w2sg_jax.theory import gap_operator, solved, spectrum
from w2sg_jax.theory.uncertainty import Joint, best

ROOT = Path(__file__).parents[1]
RNG = np.random.default_rng(0)
LATENT = RNG.normal(size=(400, 30))
ZOO = {f"w{k}": LATENT[:, :k] @ RNG.normal(size=(k, 12)) + 0.05 * RNG.normal(size=(400, 12)) for k in (2, 5, 10)}
STRONG = LATENT @ RNG.normal(size=(30, 40))
Y = LATENT[:, :20].sum(axis=1) + RNG.normal(size=400)


def halves(stop):
    return {name: h[:stop] for name, h in ZOO.items()}, {name: h[stop:] for name, h in ZOO.items()}


def test_columns_are_those_of_gap_and_of_the_dense_definition():
    labelled, unlabelled = halves(150)
    ranking = w2sg.rank(unlabelled, STRONG[150:], Y[150:], train=(labelled, STRONG[:150], Y[:150]), ridge=(1e-3, 1e-2))
    assert ranking.names == ("w10", "w5", "w2") and ranking.by == "err_w2s"
    assert (ranking.n, ranking.n_train) == (250, 150)
    for row in ranking.rows:
        g = w2sg.gap(w2sg.moments(unlabelled[row.name], STRONG[150:], Y[150:]), (1e-3, 1e-2))
        truth = dense_gap(labelled[row.name], STRONG[:150], Y[:150], ridge=(1e-3, 1e-2))
        for field in ("norm", "frobenius", "predicted", "dof_weak", "dof_strong"):
            assert getattr(row, field) == pytest.approx(getattr(g, field), rel=1e-9)
        assert (row.rank_weak, row.rank_strong) == (12, 30)
        assert row.supervised == pytest.approx(truth.predicted, rel=1e-9)
        assert set(row.intervals) == {"norm", "predicted", "supervised", "err_w2s", "err_weak", "pred_gap"}
        alone = w2sg.predict_errors(
            (labelled[row.name], STRONG[:150], Y[:150]), (unlabelled[row.name], STRONG[150:]), ridge=(1e-3, 1e-2)
        )
        for field in ("err_w2s", "err_weak", "pred_gap", "gain", "pgr"):
            assert getattr(row, field) == pytest.approx(getattr(alone, field), rel=1e-9)
        for field in ("err_w2s", "err_weak", "pred_gap"):
            assert row.intervals[field] == pytest.approx(alone.intervals[field], rel=1e-9)
        assert ranking.err_ceiling == pytest.approx(alone.err_ceiling, rel=1e-9)
        assert row.ridge_weak == 1e-3
    assert ranking.ridge_strong == 1e-2


def test_every_model_is_ranked_at_the_ridge_that_its_head_would_have():
    labelled, unlabelled = halves(150)
    groups = np.arange(150) // 2
    found = w2sg.rank(
        unlabelled, STRONG[150:], train=(labelled, STRONG[:150], Y[:150]), train_groups=groups, confidence=0.9
    )
    top = w2sg.leave_one_out(STRONG[:150], Y[:150], groups=groups)
    assert found.ridge_strong == pytest.approx(top.ridge, rel=1e-5)
    assert found.curve_strong.leave_one_out == pytest.approx(top.errors, rel=1e-6)
    for row in found.rows:
        chosen = w2sg.leave_one_out(labelled[row.name], Y[:150], groups=groups)
        assert row.ridge_weak == pytest.approx(chosen.ridge, rel=1e-5)
        curve = row.curve_weak
        for path, truth in (
            (curve.ridges, chosen.ridges),
            (curve.leave_one_out, chosen.errors),
            (curve.gcv, chosen.gcv),
        ):
            assert path == pytest.approx(truth, rel=1e-6)
        assert curve.gcv_ridge == pytest.approx(chosen.gcv_ridge, rel=1e-4)
        g = w2sg.gap(w2sg.moments(unlabelled[row.name], STRONG[150:]), (row.ridge_weak, found.ridge_strong))
        assert row.norm == pytest.approx(g.norm, rel=1e-9)
        truth = dense_gap(labelled[row.name], STRONG[:150], Y[:150], ridge=(row.ridge_weak, found.ridge_strong))
        assert row.supervised == pytest.approx(truth.predicted, rel=1e-8)
        alone = w2sg.predict_errors(
            (labelled[row.name], STRONG[:150], Y[:150]),
            (unlabelled[row.name], STRONG[150:]),
            train_groups=groups,
            confidence=0.9,
        )
        assert row.err_w2s == pytest.approx(alone.err_w2s, rel=1e-9)
        assert row.intervals["err_w2s"] == pytest.approx(alone.intervals["err_w2s"], rel=1e-9)
    without = w2sg.rank(unlabelled, STRONG[150:])
    assert (without.ridge_strong, without.rows[0].ridge_weak, without.rows[0].err_w2s) == (1e-2, 1e-2, None)
    assert without.curve_strong is None and without.rows[0].curve_weak is None
    assert without == w2sg.rank(unlabelled, STRONG[150:], ridge=1e-2)


def test_many_samples_are_predicted_from_an_evenly_spaced_share(monkeypatch):
    labelled, unlabelled = halves(200)
    train = labelled, STRONG[:200], Y[:200]
    monkeypatch.setattr("w2sg_jax.ranking.errors.ROWS_BYTES", 200 * 52 * 8 - 1)
    found = w2sg.rank(unlabelled, STRONG[200:], train=train, ridge=1e-2)
    half = {name: h[::2] for name, h in labelled.items()}
    for row in found.rows:
        alone = w2sg.predict_errors(
            (half[row.name], STRONG[:200:2], Y[:200:2]),
            (unlabelled[row.name][::2], STRONG[200::2]),
            n_train=200,
            n_w2s=200,
            ridge=1e-2,
        )
        assert row.err_w2s == pytest.approx(alone.err_w2s, rel=1e-9)


def test_intervals_hold_the_estimate_and_the_same_samples_give_the_same_ranking():
    first = w2sg.rank(ZOO, STRONG, Y)
    assert first == w2sg.rank(ZOO, STRONG, Y) and first.by == "predicted"
    for row in first.rows:
        for column, (low, high) in row.intervals.items():
            assert low < getattr(row, column) < high
    assert sum(row.probability_best for row in first.rows) == pytest.approx(1.0)
    assert first.may_be_best == ("w10",)
    record = json.loads(json.dumps(first.to_dict()))
    assert record["rows"][0]["name"] == first.names[0] and len(record["covariances"]["norm"]) == 3


def draws(n, repeats, seed=1):
    """Pairs of n fresh samples, of widths 6 and 8."""
    rng = np.random.default_rng(seed)
    mix_weak, mix_strong = rng.normal(size=(6, 6)), rng.normal(size=(10, 8))
    for _ in range(repeats):
        latent = rng.normal(size=(n, 10))
        y = latent @ np.arange(10.0) ** 0.5 + rng.normal(size=n)
        yield latent[:, :6] @ mix_weak + rng.normal(size=(n, 6)), latent @ mix_strong, y


@pytest.mark.driver
def test_intervals_cover_the_expected_value():
    """Of 200 draws, a 90% interval covers in 84 to 96% but for one time in 500."""
    found = []
    for weak, strong, y in draws(300, 200):
        row = w2sg.rank({"w": weak}, strong, y, ridge=0.05, confidence=0.9).rows[0]
        found.append([(getattr(row, name), *row.intervals[name]) for name in ("norm", "predicted")])
    values, low, high = np.moveaxis(np.array(found), 2, 0)
    covered = ((low <= values.mean(axis=0)) & (values.mean(axis=0) <= high)).mean(axis=0)
    assert (covered >= 0.84).all() and (covered <= 0.96).all()


@pytest.mark.driver
def test_standard_errors_are_those_of_the_bootstrap_of_rows():
    weak, strong, y = next(draws(600, 1, seed=2))
    ranking = w2sg.rank({"w": weak}, strong, y, ridge=0.05)
    drawn = w2sg.bootstrap_gap(weak, strong, y, 0.05, draws=300)
    for name in ("norm", "predicted"):
        assert np.sqrt(ranking.covariances[name][0][0]) == pytest.approx(drawn.standard_error(name), rel=0.15)


@pytest.mark.driver
@pytest.mark.parametrize(("n", "ridge"), [(60, 0.05), (200, 1e-3)])
def test_standard_errors_are_those_of_the_jackknife(n, ridge):
    """Where the effective dimensions are a quarter of the samples, too."""
    weak, strong, y = next(draws(n, 1, seed=3))
    ranking = w2sg.rank({"w": weak}, strong, y, ridge=ridge)
    left = [w2sg.gap(w2sg.moments(*(np.delete(x, i, axis=0) for x in (weak, strong, y))), ridge) for i in range(n)]
    drawn = np.array([found.predicted for found in left])
    jackknife = np.sqrt((n - 1) / n * ((drawn - drawn.mean()) ** 2).sum())
    assert np.sqrt(ranking.covariances["predicted"][0][0]) == pytest.approx(jackknife, rel=0.06)


@pytest.mark.parametrize("n", [400, 20], ids=["columns", "samples"])
def test_samples_of_one_group_count_once(n):
    """Every sample twice, in groups of two: the covariance of the samples themselves."""
    zoo = {name: h[:n] for name, h in ZOO.items()}
    once = w2sg.rank(zoo, STRONG[:n], Y[:n])
    names = [f"question {i}" for i in range(n)] * 2
    twice = w2sg.rank({name: np.tile(h, (2, 1)) for name, h in zoo.items()}, np.tile(STRONG[:n], (2, 1)),
                      np.tile(Y[:n], 2), groups=names)  # fmt: skip
    assert twice.n_groups == n and (once.n_groups is None)
    for name in once.covariances:
        np.testing.assert_allclose(twice.covariances[name], once.covariances[name], rtol=1e-6)
    assert any("groups" in note for note in twice.warnings) == (n < 30)


def test_differences_are_sharper_than_the_intervals_of_what_is_alike():
    near = ZOO["w5"] + 0.01 * RNG.normal(size=(400, 12))
    ranking = w2sg.rank({"w2": ZOO["w2"], "w5": ZOO["w5"], "near": near}, STRONG, Y)
    alike = ranking.difference("near", "w5")
    values = {row.name: row for row in ranking.rows}
    assert alike.value == values["near"].predicted - values["w5"].predicted
    low, high = values["w5"].intervals["predicted"]
    assert alike.high - alike.low < 0.2 * (high - low)
    assert ranking.difference("w5", "near").low == pytest.approx(-alike.high)
    assert ranking.difference("w2", "w5", "norm").quantity == "norm"
    with pytest.raises(w2sg.InputError, match="quantity: got 'frobenius', expected one of"):
        ranking.difference("w2", "w5", "frobenius")
    with pytest.raises(w2sg.InputError, match="name: got 'w3', expected one of"):
        ranking.difference("w2", "w3")


def test_the_set_holds_the_best_model_and_probabilities_are_those_of_the_draws():
    """Three of five models are equally good: the best of them is left out in 5% of cases at most."""
    rng = np.random.default_rng(0)
    truth, root = np.array([1.0, 1.0, 1.0, 1.1, 2.0]), np.diag([0.1, 0.1, 0.2, 0.1, 0.1]) + 0.05
    covariance = root @ root.T
    kept, shares = [], []
    for _ in range(200):
        found = best(Joint(truth + root @ rng.normal(size=5), covariance, None), 0.95)
        kept.append(found.possible)
        shares.append(found.probability)
    kept = np.mean(kept, axis=0)
    assert kept[:3].min() > 0.9 and kept[4] < 0.05
    np.testing.assert_allclose(np.sum(shares, axis=1), 1.0)
    assert np.mean(shares, axis=0)[4] < 0.01


def test_rows_in_any_order_give_the_same_estimates_and_intervals():
    order = np.argsort(Y)
    a = w2sg.rank(ZOO, STRONG, Y)
    b = w2sg.rank({name: h[order] for name, h in ZOO.items()}, STRONG[order], Y[order])
    for one, other in zip(a.rows, b.rows, strict=True):
        assert one.norm == pytest.approx(other.norm, rel=1e-9)
        assert one.intervals["norm"] == pytest.approx(other.intervals["norm"], rel=1e-6)


def test_the_strong_model_is_decomposed_once(monkeypatch):
    calls = []
    real = gap_operator.spectrum
    monkeypatch.setattr(
        gap_operator, "spectrum", lambda sigma, dtype: (calls.append(len(sigma)), real(sigma, dtype))[1]
    )
    w2sg.rank(ZOO, STRONG, threshold=1e-6)
    assert calls.count(40) == 1 and calls.count(12) == 3


def test_the_strong_model_is_factored_once(monkeypatch):
    calls = []
    real = solved.Strong.__init__
    monkeypatch.setattr(solved.Strong, "__init__", lambda self, *args: (calls.append(1), real(self, *args))[1])
    monkeypatch.setattr(rank, "SUMS_BYTES", 1)
    w2sg.rank(ZOO, STRONG)
    assert len(calls) == 1


def test_models_that_do_not_fit_into_memory_together_are_measured_one_by_one(monkeypatch):
    whole = w2sg.rank(ZOO, STRONG, Y)
    monkeypatch.setattr(rank, "SUMS_BYTES", 1)
    apart = w2sg.rank(ZOO, STRONG, Y)
    for one, other in zip(whole.rows, apart.rows, strict=True):
        assert one.predicted == pytest.approx(other.predicted, rel=1e-9)
        assert one.intervals["norm"] == pytest.approx(other.intervals["norm"], rel=1e-6)


@pytest.mark.parametrize("narrow_first", [True, False])
def test_sums_of_narrow_models_and_samples_of_wide_ones_stand_beside_each_other(monkeypatch, narrow_first):
    """Of 60 samples, a model of 5 columns leaves sums and one of 70 the samples themselves."""
    n = 60
    zoo = {"narrow": ZOO["w5"][:n, :5], "wide": LATENT[:n] @ RNG.normal(size=(30, 70))}
    zoo = dict(sorted(zoo.items(), reverse=not narrow_first))
    whole = w2sg.rank(zoo, STRONG[:n], Y[:n])
    monkeypatch.setattr(rank, "SUMS_BYTES", 1)
    apart = w2sg.rank(zoo, STRONG[:n], Y[:n])
    for one, other in zip(whole.rows, apart.rows, strict=True):
        for field in ("norm", "frobenius", "predicted", "dof_weak", "dof_strong", "rank_weak", "rank_strong"):
            assert getattr(one, field) == pytest.approx(getattr(other, field), rel=1e-9)
        assert one.intervals["predicted"] == pytest.approx(other.intervals["predicted"], rel=1e-6)


def test_order_and_progress():
    seen = []
    ranking = w2sg.rank(ZOO, STRONG, by="dof_weak", progress=lambda *done: seen.append(done))
    assert [row.dof_weak for row in ranking.rows] == sorted((row.dof_weak for row in ranking.rows), reverse=True)
    assert seen == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert w2sg.rank(ZOO, STRONG).by == "mutual_knn"
    assert all(row.probability_best is None and row.may_be_best is None for row in ranking.rows)


def test_without_labels_models_are_ranked_by_shared_neighbours():
    ranking = w2sg.rank(ZOO, STRONG)
    values = [row.mutual_knn for row in ranking.rows]
    assert values == sorted(values, reverse=True) and ranking.names[0] == "w10"
    for row in ranking.rows:
        inputs = Inputs(np.float64(ZOO[row.name]), np.float64(STRONG))
        assert row.mutual_knn == PREDICTORS["mutual_knn"].value(inputs)
        low, high = row.intervals["mutual_knn"]
        assert 0 < low < row.mutual_knn < high < 1
    assert sum(row.probability_best for row in ranking.rows) == pytest.approx(1)
    assert ranking.rows[0].probability_best > 0.99 and ranking.may_be_best == ("w10",)
    moved = [influences(nearest(ZOO[name]), nearest(STRONG))[1] for name in ranking.names[:2]]
    found = ranking.difference(*ranking.names[:2])
    assert found.value == pytest.approx(values[0] - values[1])
    half = 1.959964 * np.sqrt(((moved[0] - moved[1]) ** 2).sum()) / len(STRONG)
    assert (found.low, found.high) == pytest.approx((found.value - half, found.value + half), rel=1e-5)
    assert w2sg.rank(ZOO, STRONG, by="norm").rows[0].mutual_knn is None


def test_samples_of_a_group_are_no_neighbours_and_count_as_one_draw():
    """Twins that any model finds alike would say that any model is like the strong one."""
    rng = np.random.default_rng(0)
    groups = np.arange(400) // 2
    noise = np.repeat(rng.normal(size=(200, 12)), 2, axis=0) + 1e-3 * rng.normal(size=(400, 12))
    twins = {"unlike": noise, "like": np.repeat(ZOO["w5"][:200], 2, axis=0) + 5 * rng.normal(size=(400, 12))}
    strong = np.repeat(STRONG[:200], 2, axis=0) + 1e-3 * rng.normal(size=(400, STRONG.shape[1]))
    alone, together = (w2sg.rank(twins, strong, groups=given) for given in (None, groups))
    assert (alone.names[0], together.names[0]) == ("unlike", "like")
    for row in together.rows:
        lists = nearest(twins[row.name], groups), nearest(strong, groups)
        assert row.mutual_knn == share_of(*lists)
        sums = influences(*lists)[1].reshape(200, 2).sum(axis=1)
        place = together.names.index(row.name)
        assert together.covariances["mutual_knn"][place][place] == pytest.approx((sums**2).sum() / 400**2)


def test_of_many_samples_some_are_drawn_whole_groups_at_a_time(monkeypatch):
    monkeypatch.setattr("w2sg_jax.ranking.neighbours.MOST", 150)
    found = w2sg.rank(ZOO, STRONG)
    assert "mutual_knn: of 150 of 400 samples, drawn at random" in found.warnings
    assert found == w2sg.rank(ZOO, STRONG), "the same ones every time"
    sample = neighbours.chosen_rows(checked_candidates(ZOO, STRONG, None, ""))
    assert len(set(np.diff(sample))) > 3, "no stride, that could be in step with the data"
    for row in found.rows:
        lists = nearest(ZOO[row.name][sample]), nearest(STRONG[sample])
        assert row.mutual_knn == share_of(*lists)
    groups = np.arange(400) // 3
    sample = neighbours.chosen_rows(checked_candidates(ZOO, STRONG, None, "", groups))
    assert len(sample) <= 150 and set(np.bincount(groups[sample])) <= {0, 3, 1}
    found = w2sg.rank(ZOO, STRONG, groups=groups)
    assert f"mutual_knn: of {len(sample)} of 400 samples, drawn at random" in found.warnings
    on_device = {name: jax.device_put(h) for name, h in ZOO.items()}
    assert [row.mutual_knn for row in w2sg.rank(on_device, jax.device_put(STRONG)).rows] == pytest.approx(
        [row.mutual_knn for row in w2sg.rank(ZOO, STRONG).rows], abs=0.01
    )


def test_where_shared_neighbours_are_undefined_the_norm_ranks_and_that_is_told():
    zero = {name: np.concatenate([np.zeros((1, h.shape[1])), h[1:]]) for name, h in ZOO.items()}
    found = w2sg.rank(zero, STRONG)
    assert found.by == "norm" and found.rows[0].mutual_knn is None
    told = "ranked by the norm: shared neighbours are undefined for 'w2': 1 of 400 samples are zero"
    assert any(note.startswith(told) for note in found.warnings)
    far = w2sg.rank(ZOO, STRONG + 1e9)
    assert far.by == "norm" and any(
        "for the strong model: all samples have one direction" in note for note in far.warnings
    )
    with pytest.raises(w2sg.InputError, match=r"by: mutual_knn is undefined for 'w2': 1 of 400 .*; or rank by norm"):
        w2sg.rank(zero, STRONG, by="mutual_knn")
    with pytest.raises(w2sg.InputError, match="by: 'mutual_knn' needs 30 samples or more"):
        w2sg.rank(halves(29)[0], STRONG[:29], by="mutual_knn")
    few = w2sg.rank(halves(29)[0], STRONG[:29])
    assert few.by == "norm" and "ranked by the norm: shared neighbours need 30 samples" in few.warnings


def test_a_share_on_its_bound_has_an_interval_that_holds_it():
    same = w2sg.rank({"same": STRONG, "other": RNG.normal(size=(400, 3))}, STRONG)
    assert same.rows[0].mutual_knn == 1 and same.rows[0].intervals["mutual_knn"] == (1, 1)
    assert same.names == ("same", "other") and same.may_be_best == ("same",)


def test_a_predictor_that_a_ranking_is_by_is_no_column_beside_it():
    ranking = w2sg.rank(ZOO, STRONG, also=["mutual_knn", "cka"])
    assert set(ranking.rows[0].also) == {"cka"}
    assert set(w2sg.rank(ZOO, STRONG, also=["mutual_knn"], by="norm").rows[0].also) == {"mutual_knn"}


def test_a_constant_model_is_a_row_with_its_reason():
    ranking = w2sg.rank({"flat": np.ones((400, 3)), "w5": ZOO["w5"], "w2": ZOO["w2"]}, STRONG, Y)
    assert ranking.names == ("w5", "w2", "flat")
    flat = ranking.rows[-1]
    assert "the representation is constant" in flat.error and np.isnan(flat.norm) and flat.predicted is None
    assert sum(row.probability_best for row in ranking.rows[:2]) == pytest.approx(1.0)
    assert len(ranking.covariances["norm"]) == 2
    with pytest.raises(w2sg.InputError, match=r"weak model 'flat': weak: the representation is constant"):
        w2sg.rank({"flat": np.ones((400, 3)), "w5": ZOO["w5"]}, STRONG, errors="raise")
    with pytest.raises(w2sg.InputError, match="every weak model is constant"):
        w2sg.rank({"flat": np.ones((400, 3)), "zero": np.zeros((400, 3))}, STRONG)


def test_refusals():
    with pytest.raises(w2sg.InputError, match=r"weak: expected a mapping of at least one name"):
        w2sg.rank({}, STRONG)
    with pytest.raises(w2sg.InputError, match=r"strong has 400 rows and weak\['w2'\] has 399"):
        w2sg.rank({"w2": ZOO["w2"][:399]}, STRONG)
    with pytest.raises(w2sg.InputError, match=r"by: 'supervised' needs the labelled split, train="):
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
    with pytest.raises(
        w2sg.InputError, match=r"groups: got shape \(399,\); expected one name or number for each of 400"
    ):
        w2sg.rank(ZOO, STRONG, groups=np.arange(399))
    with pytest.raises(w2sg.InputError, match=r"groups: NaN at row 7"):
        w2sg.rank(ZOO, STRONG, groups=np.where(np.arange(400) == 7, np.nan, 0.0))
    with pytest.raises(w2sg.InputError, match=r"groups: all samples are of one group; how values vary shows from two"):
        w2sg.rank(ZOO, STRONG, groups=np.zeros(400))
    with pytest.raises(w2sg.InputError, match=r"groups: expected strings or numbers alone, got NoneType"):
        w2sg.rank(ZOO, STRONG, groups=[None] * 400)
    with pytest.raises(w2sg.InputError, match=r"train_groups: given without train="):
        w2sg.rank(ZOO, STRONG, train_groups=np.arange(400))
    with pytest.raises(w2sg.InputError, match=r"errors: got 'ignore', expected one of"):
        w2sg.rank(ZOO, STRONG, errors="ignore")
    with pytest.raises(w2sg.InputError, match=r"draws: got 0; expected a whole number, 1 or more"):
        w2sg.bootstrap_gap(ZOO["w5"], STRONG, draws=0)
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


def test_a_draw_without_a_gap_is_left_out_of_the_bootstrap():
    rare = np.zeros((400, 1))
    rare[3] = 1.0
    drawn = w2sg.bootstrap_gap(rare, STRONG, draws=40)
    missing = np.isnan(drawn.norm)
    assert 0 < missing.sum() < 40 and np.isfinite(drawn.standard_error("norm")) and drawn.predicted is None
    with pytest.raises(w2sg.InputError, match="weak: the representation is constant"):
        w2sg.bootstrap_gap(np.ones((400, 1)), STRONG)


def test_whole_groups_are_drawn():
    groups = np.repeat(np.arange(40), 10)
    weak = LATENT[groups]
    alone = w2sg.bootstrap_gap(weak, STRONG[groups], Y[groups], draws=30)
    whole = w2sg.bootstrap_gap(weak, STRONG[groups], Y[groups], draws=30, groups=groups)
    assert whole.standard_error("predicted") > 2 * alone.standard_error("predicted")


@pytest.mark.parametrize("ridge", [1e-6, 1e-2, 1.0])
@pytest.mark.parametrize("n", [8, 60])
def test_no_interval_leaves_the_range_of_its_quantity(n, ridge):
    """Norms near 1 and near 0, gaps near 0, and effective dimensions near the rank, on few samples."""
    weak = {"other": RNG.normal(size=(n, 8)), "near": STRONG[:n] + 1e-3 * RNG.normal(size=STRONG[:n].shape)}
    ranking = w2sg.rank(weak, STRONG[:n], Y[:n], ridge=ridge, confidence=0.999)
    for row in ranking.rows:
        above = {"norm": 1.0, "predicted": Y[:n].var()}
        for quantity, (low, high) in row.intervals.items():
            assert 0 <= low <= getattr(row, quantity) <= high <= above.get(quantity, np.inf), quantity
    assert n == 8 or ridge > 1e-2 or any(row.norm > 0.9 for row in ranking.rows)


@pytest.mark.parametrize("ridge", [0.0, 1e-300, 1e-40, 1e-18, 1e-13])
def test_what_is_lost_in_rounding_is_said(ridge, rng):
    """Fewer samples than columns, and next to no ridge: both models interpolate, nothing is lost."""
    strong, labels = rng.normal(size=(40, 60)), rng.normal(size=40)
    weak = {name: rng.normal(size=(40, 50)) for name in "ab"}
    found = w2sg.rank(weak, strong, labels, ridge=ridge, train=(weak, strong, labels))
    for row in found.rows:
        assert row.supervised < 1e-18 and any(
            note.startswith("supervised: 0 but for rounding") for note in row.warnings
        )
    assert not any("but for rounding" in note for row in w2sg.rank(weak, strong, labels).rows for note in row.warnings)


def test_constant_labels_leave_no_gap_and_no_warning():
    ranking = w2sg.rank(ZOO, STRONG, np.full(400, 7.0))
    for row in ranking.rows:
        assert row.predicted == 0.0 and row.intervals["predicted"] == (0.0, 0.0)
        assert row.probability_best == pytest.approx(1 / 3) and row.may_be_best
        assert not any("predicted" in note for note in row.warnings)


def test_few_weak_models_are_a_warning():
    assert "3 weak models only" in w2sg.rank(ZOO, STRONG).warnings[0]
    assert w2sg.rank({str(i): STRONG[:, i : i + 9] for i in range(10)}, STRONG).warnings == ()


def test_equal_models_share_the_first_place():
    ranking = w2sg.rank({"a": ZOO["w5"], "b": ZOO["w5"].copy()}, STRONG)
    assert [row.probability_best for row in ranking.rows] == [0.5, 0.5]
    assert ranking.may_be_best == ("a", "b")
    found = ranking.difference("a", "b")
    assert found.value == pytest.approx(0.0, abs=1e-12) and found.high - found.low < 1e-9


@pytest.mark.driver
@pytest.mark.parametrize("n", [400, 40], ids=["primal", "dual"])
def test_models_of_many_widths_need_a_program_for_each_bucket(monkeypatch, n):
    widths = [int(width) for width in RNG.integers(5, 25, size=30)]
    buckets = {6, 8, 12, 16, 24}
    assert len(set(widths)) > 2 * len(buckets)
    chex.clear_trace_counter()
    kernels = {spectrum: ("_primal", "_dual"), gap_operator: ("_components", "_compiled")}
    for module, names in kernels.items():
        for name in names:
            kernel = getattr(module, name).__wrapped__
            most = len(buckets) + (name in ("_primal", "_dual"))  # the strong model's own
            monkeypatch.setattr(module, name, compiled(chex.assert_max_traces(kernel, n=most)))
    strong, y = STRONG[:n], Y[:n]
    weak = {str(index): strong @ RNG.normal(size=(40, width)) for index, width in enumerate(widths)}
    ranking = w2sg.rank(weak, strong, y, threshold=1e-6)
    monkeypatch.undo()
    for row in ranking.rows[::7]:
        g = w2sg.gap(w2sg.moments(weak[row.name], strong, y), threshold=1e-6)
        for field in ("norm", "frobenius", "predicted", "dof_weak", "dof_strong"):
            assert getattr(row, field) == pytest.approx(getattr(g, field), rel=1e-9)
        assert (row.rank_weak, row.rank_strong) == (g.rank_weak, g.rank_strong)


def test_rounding_is_no_difference_between_models():
    """One model three times, turned and rescaled, and one inside the other at a ridge where rounding dominates."""
    model = ZOO["w5"]
    same = {"a": model, "b": model @ rotation(np.random.default_rng(0), model.shape[1]), "c": 3.3 * model}
    inside = {"a": STRONG, "b": np.concatenate([STRONG, STRONG], axis=1)}
    for weak, options in (
        (same, {}),
        (same, {"dtype": "float32"}),
        (same, {"ridge": 1e-8}),
        (inside, {"ridge": (1e-12, 1e-2)}),
    ):
        for by in ("predicted", "norm"):
            ranking = w2sg.rank(weak, STRONG, Y, by=by, **options)
            assert set(ranking.may_be_best) == set(weak)
            assert [row.probability_best for row in ranking.rows] == pytest.approx([1 / len(weak)] * len(weak))


@pytest.mark.parametrize("scale", [1e-120, 1e-82, 1e70, 1e120])
def test_intervals_have_the_scale_of_the_labels(scale):
    truth, found = (w2sg.rank(ZOO, STRONG, labels) for labels in (Y, scale * Y))
    assert found.names == truth.names
    for one, other in zip(found.rows, truth.rows, strict=True):
        np.testing.assert_allclose(
            np.array(one.intervals["predicted"]) / scale / scale, other.intervals["predicted"], rtol=1e-9
        )
        assert one.probability_best == pytest.approx(other.probability_best)


@pytest.mark.parametrize("ridge", [1e97, 1e120, 1e200])
def test_ridges_that_leave_nothing_end_in_no_error(ridge):
    for row in w2sg.rank(ZOO, STRONG, Y, ridge=ridge).rows:
        low, high = row.intervals["norm"]
        assert low <= row.norm <= high
        assert not any("larger ridge" in note for note in row.warnings)
    influence = w2sg.gap_influence(ZOO["w5"], STRONG, Y, ridge)
    assert influence.intervals["norm"][0] <= influence.gap.norm <= influence.intervals["norm"][1]


def test_other_predictors_stand_beside_at_the_ridges_of_the_row():
    labelled, unlabelled = halves(150)
    train = labelled, STRONG[:150], Y[:150]
    found = w2sg.rank(unlabelled, STRONG[150:], train=train, also="all")
    assert {"cka", "cross_validated_err_w2s", "width"} <= set(found.rows[0].also)
    assert not {"norm", "supervised", "predicted_err_w2s", "misfit"} & set(found.rows[0].also)
    for row in found.rows:
        pair = Inputs(
            *(unlabelled[row.name], STRONG[150:], labelled[row.name], STRONG[:150], Y[:150, None]),
            ridge=(row.ridge_weak, found.ridge_strong),
        )
        for name, value in row.also.items():
            assert value == pytest.approx(PREDICTORS[name].value(pair), rel=1e-9, nan_ok=True)
    few = w2sg.rank(unlabelled, STRONG[150:], also=["gulp"])
    assert set(few.rows[0].also) == {"gulp"} and few.to_dict()["rows"][0]["also"]["gulp"] > 0
    with pytest.raises(w2sg.InputError, match="'leave_one_out_weak' needs the labelled split, train="):
        w2sg.rank(unlabelled, STRONG[150:], also=["leave_one_out_weak"])
    with pytest.raises(w2sg.InputError, match="there is none of the name 'ckaa'; did you mean"):
        w2sg.rank(unlabelled, STRONG[150:], also="ckaa")
    with pytest.raises(w2sg.InputError, match="also: predictors are of centred representations"):
        w2sg.rank(unlabelled, STRONG[150:], also="cka", scale="none")


def test_models_of_other_widths_in_the_labelled_split_are_refused():
    labelled, unlabelled = halves(150)
    with pytest.raises(w2sg.InputError, match=r"train weak model 'w2': 11 columns, and 12 of the samples to rank on"):
        narrow = labelled | {"w2": labelled["w2"][:, :11]}
        w2sg.rank(unlabelled, STRONG[150:], train=(narrow, STRONG[:150], Y[:150]))


def test_labels_that_never_vary_predict_no_error():
    labelled, unlabelled = halves(150)
    found = w2sg.rank(unlabelled, STRONG[150:], train=(labelled, STRONG[:150], np.ones(150)))
    assert found.by == "supervised" and found.rows[0].err_w2s is None
    assert "no error is predicted: train y: the labels are constant; there is nothing to learn" in found.warnings


def test_the_track_record_is_what_was_measured():
    """Of heads with their own ridges; on texts, what needs no labels has the ridge that it has without them."""
    names = {"err_w2s": "predicted_err_w2s@own", "err_weak": "leave_one_out_weak", "mutual_knn": "mutual_knn"}
    found = json.loads((ROOT / "experiments/results/leaderboard/results.json").read_text())["result"]["sets"]
    boards = [
        {one["entrant"]["name"]: one["everywhere"]["spearman"]["value"] for one in of["own"]["leaderboard"]["scores"]}
        for of in found.values()
    ]
    assert set(MOLECULES) == set(TEXTS) == set(ORDERS)
    for quantity, ends in MOLECULES.items():
        values = [board[names.get(quantity, f"{quantity}@own")] for board in boards]
        assert (min(values), max(values)) == pytest.approx(ends, abs=0.001), quantity
        assert f"{ends[0]:.2f} to {ends[1]:.2f}" in track_record(quantity)
    names |= {name: f"{name}@1e-2" for name in ("norm", "frobenius", "dof_weak")}
    found = json.loads((ROOT / "experiments/results/embeddings/results.json").read_text())["result"]["overview"]
    texts = {one["name"]: (one["spearman"], one["least"], one["most"]) for one in found}
    for quantity, said in TEXTS.items():
        assert said == pytest.approx(texts[names.get(quantity, f"{quantity}@own")], abs=0.006), quantity
        assert f"{said[0]:.2f} on average" in track_record(quantity)


def test_integers_are_numbers_in_a_ranking_and_that_is_told():
    labelled, unlabelled = halves(150)
    three = np.digitize(Y[:150], [-1.0, 1.0])
    found = w2sg.rank(unlabelled, STRONG[150:], train=(labelled, STRONG[:150], three))
    assert any(note.startswith("train labels: integers of 3 values are taken as numbers") for note in found.warnings)
    two = w2sg.rank(unlabelled, STRONG[150:], train=(labelled, STRONG[:150], (Y[:150] > 0).astype(int)))
    assert not any("taken as numbers" in note for note in two.warnings)


def test_a_ranking_says_why_it_predicts_no_error():
    labelled, unlabelled = halves(150)
    found = w2sg.rank(unlabelled, STRONG[150:], train=(labelled, STRONG[:150], Y[:150]), ridge=0.0)
    assert found.by == "supervised"
    assert "no error is predicted: heads have ridges from 1e-10 on" in found.warnings


def test_a_predicted_gap_that_cannot_be_positive_is_undefined():
    labelled = {name: h[:8] for name, h in ZOO.items()}
    unlabelled = {name: h[8:16] for name, h in ZOO.items()}
    found = w2sg.rank(unlabelled, STRONG[8:16], train=(labelled, STRONG[:8], Y[:8]), ridge=1e-6)
    for row in found.rows:
        alone = w2sg.predict_errors(
            (labelled[row.name], STRONG[:8], Y[:8]), (unlabelled[row.name], STRONG[8:16]), ridge=1e-6
        )
        assert (row.pred_gap is None) == np.isnan(alone.pred_gap) == ("pred_gap" not in alone.intervals)
        assert np.isfinite(row.err_w2s)
