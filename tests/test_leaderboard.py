"""Leaderboards against cases worked by hand, and the experiment at toy size."""

import dataclasses
import json
import math

import numpy as np
import pytest
from rich.console import Console
from scipy.stats import spearmanr

import w2sg_jax as w2sg
from experiments.leaderboard.analyse import ERR_WEAK, column
from experiments.leaderboard.measure import EVERY_SPLIT, RIDGES, supervise
from experiments.leaderboard.obtain import task_of
from experiments.leaderboard.options import Options
from experiments.leaderboard.results import markdown
from experiments.leaderboard.run import run
from experiments.molecules.represent import Represented
from experiments.molecules.zoo import EDGES, NAMING
from w2sg_jax.datasets import load_freesolv
from w2sg_jax.datasets.splits import make_splits
from w2sg_jax.evaluation.leaderboard import BASELINES, RESAMPLED, Entrant, Table, leaderboard, skill, tables_of
from w2sg_jax.evaluation.predictions import RIDGE_FREE
from w2sg_jax.predictors import PREDICTORS, Inputs
from w2sg_jax.training import PretrainConfig
from w2sg_jax.training.zoo import ModelPlan, Zoo

ERRORS = np.array([1.0, 2.0, 3.0, 4.0])


def table(values, errors=ERRORS, families=None, weak=None, ceiling=0.5, splits=2):
    """A task whose splits are all alike, with the two baselines exact unless they are given."""
    models = tuple(f"m{place}" for place in range(len(errors)))

    def on_splits(x):
        return np.repeat(np.asarray(x, float)[:, None], splits, axis=1)

    measured = {
        "err_w2s": on_splits(errors),
        "err_weak": on_splits(errors + 1 if weak is None else weak),
        "err_ceiling": on_splits(np.full(len(errors), ceiling)),
    }
    found = {name: on_splits(x) for name, x in (dict.fromkeys(BASELINES, errors) | values).items()}
    return Table("task", "strong", models, families or models, measured, found)


def entrants(*others):
    return [*(Entrant(name, name, foretells_error=True) for name in BASELINES), *others]


def board(values, *others, draws=50, **options):
    return leaderboard(table(values, **options), entrants(*others), seed=0, draws=draws)


def test_skill_by_hand():
    assert skill(ERRORS, ERRORS) == 1
    assert skill(np.full(4, 2.5), ERRORS) == 0
    # Squares 0.25 each, 1 in all; the measured ones spread by 2.25 + 0.25 + 0.25 + 2.25 = 5.
    assert skill(ERRORS + 0.5, ERRORS) == pytest.approx(1 - 1 / 5)
    assert skill(ERRORS[::-1], ERRORS) == pytest.approx(1 - 20 / 5)
    assert math.isnan(skill(ERRORS, np.ones(4)))


def test_correlations_signs_ties_and_skill():
    values = {"falls": -ERRORS, "tied": [1, 1, 2, 2], "same": [7, 7, 7, 7], "off": ERRORS + 0.5, "half": ERRORS / 2}
    found = board(
        values,
        Entrant("falls", "falls", -1),
        Entrant("tied", "tied"),
        Entrant("same", "same"),
        Entrant("off", "off", foretells_error=True),
        Entrant("half", "half", foretells_error=True),
    )
    value = {one.entrant.name: one.everywhere for one in found.scores}
    assert value["falls"].spearman.value == pytest.approx(1)
    # Ranks 1.5, 1.5, 3.5, 3.5 with 1, 2, 3, 4: 4 / sqrt(4 * 5).
    assert value["tied"].spearman.value == pytest.approx(4 / 20**0.5)
    assert math.isnan(value["same"].spearman.value) and value["same"].undefined == 0
    assert math.isnan(value["same"].best)
    assert value["off"].skill.value == pytest.approx(0.8)
    assert value["half"].ratio == pytest.approx(2)
    assert value["tied"].skill is None and value["tied"].ratio is None
    assert value["tied"].to_best.value == pytest.approx(4 / 20**0.5 - 1)
    assert [one.entrant.name for one in found.scores][-1] == "same"
    low, high = value["tied"].spearman.low, value["tied"].spearman.high
    assert low <= value["tied"].spearman.value <= high


def test_predictors_that_tie_share_how_often_they_are_best():
    values = {"falls": -ERRORS, "worse": [2, 1, 4, 3], "oracle": ERRORS}
    found = board(
        values,
        Entrant("falls", "falls", -1),
        Entrant("worse", "worse"),
        Entrant("oracle", "oracle", hindsight=True),
        draws=400,
    )
    share = {one.entrant.name: one.everywhere.best for one in found.scores}
    assert math.isnan(share["oracle"])  # never the best, though it is exact
    assert share["falls"] == share[BASELINES[0]] == share[BASELINES[1]]
    assert share["falls"] + share[BASELINES[0]] + share[BASELINES[1]] + share["worse"] == pytest.approx(1)
    # The worse one ties only where a draw holds none of the pairs that it swaps, or one model of each.
    assert 0 < share["worse"] < 0.1 + share["falls"]


def test_a_better_predictor_is_the_best_in_every_draw_that_tells():
    rng = np.random.default_rng(1)
    errors = np.arange(12.0)
    noise = {name: rng.normal(size=12) for name in BASELINES}
    found = board(noise | {"exact": errors}, Entrant("exact", "exact"), errors=errors, draws=200)
    assert found.scores[0].entrant.name == "exact"
    first = found.score("exact").everywhere
    assert first.best == 1 and first.to_best.value == 0 and first.to_best.low == first.to_best.high == 0
    for name in BASELINES:
        difference = first.to_baselines[name]
        assert difference.value == pytest.approx(1 - spearmanr(noise[name], errors)[0])
        assert 0 < difference.low <= difference.high
        assert found.score(name).everywhere.to_best.value == pytest.approx(-difference.value)


def test_undefined_models_are_counted_and_the_rest_is_paired():
    errors = np.array([1.0, 2, 3, 4, 5, 6])
    late = np.array([1.0, 2, 3, 4, 6, 5])
    values = {BASELINES[0]: late, "partly": np.array([1.0, 2, 3, 4, np.nan, np.nan]), "never": np.full(6, np.nan)}
    partly = Entrant("partly", "partly", foretells_error=True)
    found = board(values, partly, Entrant("never", "never"), errors=errors, draws=300)
    one = found.score("partly").everywhere
    assert one.undefined == 2 and one.spearman.value == 1 and math.isnan(one.best)
    # On the four models that it is defined for the baseline makes no mistake either.
    assert one.to_baselines[BASELINES[0]].value == 0
    assert found.score(BASELINES[0]).everywhere.spearman.value < 1
    assert one.skill.value == 1 and one.ratio == 1
    never = found.score("never").everywhere
    assert math.isnan(found.score("never").on_one_split)
    assert never.undefined == 6 and math.isnan(never.spearman.value) and math.isnan(never.to_best.value)
    assert found.scores[-1].entrant.name == "never"
    plain = found.to_dict()
    assert plain["scores"][-1]["everywhere"]["spearman"]["value"] is None
    assert plain["scores"][-1]["everywhere"]["undefined"] == 6
    json.dumps(plain, allow_nan=False)


def test_a_split_where_a_value_is_undefined_makes_the_model_undefined():
    made = table({"p": ERRORS})
    broken = made.values["p"].copy()
    broken[1, 0] = np.nan
    made = dataclasses.replace(made, values={**made.values, "p": broken})
    one = leaderboard(made, entrants(Entrant("p", "p")), seed=0, draws=20).score("p").everywhere
    assert one.undefined == 1 and one.spearman.value == 1


def test_models_above_the_ceiling():
    errors = np.array([1.0, 2, 3, 4, 5, 6])
    weak = np.array([0.5, 0.5, 2, 3, 4, 5])
    values = {"p": np.array([6.0, 5, 1, 2, 3, 4])}
    found = board(values, Entrant("p", "p"), errors=errors, weak=weak, ceiling=1.0)
    assert found.above_ceiling == 4 and found.models == 6
    assert found.score("p").above_ceiling.spearman.value == 1
    assert found.score("p").everywhere.spearman.value == pytest.approx(spearmanr(values["p"], errors)[0])
    few = board(values, Entrant("p", "p"), errors=errors, weak=weak, ceiling=3.5)
    assert few.above_ceiling == 2 and few.score("p").above_ceiling is None
    assert few.to_dict()["scores"][0]["above_ceiling"] is None


def test_families_are_drawn_together_and_judged_inside():
    errors = np.array([1.0, 2, 3, 11, 12, 13])
    values = {"between": np.array([1.0, 1, 1, 2, 2, 2]), "inside": np.array([11.0, 12, 13, 1, 2, 3])}
    families = ("a", "a", "a", "b", "b", "b")
    others = Entrant("between", "between"), Entrant("inside", "inside")
    found = board(values, *others, errors=errors, families=families, draws=200)
    assert found.families == 2
    assert math.isnan(found.score("between").within_families.value)
    assert found.score("inside").within_families.value == 1
    # A draw with one family twice has the correlation 1 for what orders inside of families.
    assert found.score("inside").everywhere.spearman.high == 1
    assert math.isnan(board(values, *others, errors=errors).score("inside").within_families.value)  # families of one


def test_few_splits_of_a_predictor_and_many_of_the_errors():
    rng = np.random.default_rng(0)
    errors = rng.normal(size=(8, 6)) + np.arange(8)[:, None]
    made = table({"p": np.arange(8.0)}, errors=np.arange(8.0), splits=6)
    few = rng.normal(size=(8, 2)) + np.arange(8)[:, None]
    made = dataclasses.replace(made, measured={**made.measured, "err_w2s": errors}, values={**made.values, "p": few})
    found = leaderboard(made, entrants(Entrant("p", "p")), seed=0, draws=30)
    assert found.score("p").splits == 2 and found.splits == 6
    truth = spearmanr(few.mean(axis=1), errors.mean(axis=1))[0]
    assert found.score("p").everywhere.spearman.value == pytest.approx(truth)
    each = [spearmanr(few[:, split], errors[:, split])[0] for split in range(2)]
    assert found.score("p").on_one_split == pytest.approx(np.mean(each))
    halves = errors[:, ::2].mean(axis=1), errors[:, 1::2].mean(axis=1)
    assert found.reliability == pytest.approx(spearmanr(*halves)[0])


def rows():
    return [
        {
            "task": "t", "strong": "s", "model": model, "family": model[0], "split": split,
            "err_w2s": 1.0 + place, "err_weak": 2.0 + place, "err_ceiling": 0.5, "p": place + split,
            **({"q": math.nan if model == "b1" else 1.0} if split == 0 else {}),
        }
        for place, model in enumerate(("a1", "a2", "b1"))
        for split in range(2)
    ]  # fmt: skip


def test_tables_come_from_plain_rows_in_any_order():
    (made,) = tables_of(rows())
    assert (made.task, made.strong, made.models, made.families) == ("t", "s", ("a1", "a2", "b1"), ("a", "a", "b"))
    np.testing.assert_array_equal(made.values["p"], [[0, 1], [1, 2], [2, 3]])
    np.testing.assert_array_equal(made.values["q"], [[1], [1], [np.nan]])  # computed on the first split alone
    np.testing.assert_array_equal(made.measured["err_w2s"], [[1, 1], [2, 2], [3, 3]])
    assert len(tables_of([*rows(), *({**row, "strong": "other"} for row in rows())])) == 2


def test_test_rows_are_drawn_where_rows_have_samples_of_them():
    rng = np.random.default_rng(0)
    spread = {(row["model"], row["split"]): rng.normal(row["err_w2s"], 1.0, 9).tolist() for row in rows()}
    (made,) = tables_of([row | {RESAMPLED: spread[row["model"], row["split"]]} for row in rows()])
    assert made.resampled is not None and made.resampled[1, 0].tolist() == spread["a2", 0]
    (without,) = tables_of(rows())
    assert without.resampled is None
    widths = []
    for one in (without, made):
        one = dataclasses.replace(one, families=one.models, values=dict.fromkeys((*BASELINES, "p"), one.values["p"]))
        found = leaderboard(one, entrants(Entrant("p", "p")), seed=0, draws=200).score("p").everywhere.spearman
        assert found.value == 1
        widths.append(found.high - found.low)
    assert widths[0] == 0 < widths[1], "the order is certain, but for the test rows"


def test_rows_that_make_no_table_are_refused():
    for wrong, message in (
        ([*rows()[:5], {**rows()[5], RESAMPLED: [1.0]}], "err_w2s_resampled is a list of as many numbers in every row"),
        ([{**row, RESAMPLED: [math.inf]} for row in rows()], "err_w2s_resampled is not 3 models x 2 splits of finite"),
        (rows()[1:], "a1 has no row of split 0"),
        ([*rows(), rows()[0]], "a1 has two rows of split 0"),
        ([{**row, "err_weak": None} for row in rows()], "one has no err_weak"),
        ([*rows()[:5], {**rows()[5], "p": None}], "b1 has no p on split 1, and others have"),
        ([{**row, "r": 1.0} if row["split"] else row for row in rows()], "r is computed on some splits, but not on"),
        ([{**row, "err_w2s": math.nan} for row in rows()], "err_w2s is not 3 models x 2 splits of finite numbers"),
    ):
        with pytest.raises(w2sg.InputError, match=message):
            tables_of(wrong)


def test_a_leaderboard_without_its_baselines_is_refused():
    made = table({"p": ERRORS})
    with pytest.raises(w2sg.InputError, match="baselines: cross_validated_err_w2s is not among the entrants"):
        leaderboard(made, [Entrant(BASELINES[0], ""), Entrant("p", "")], seed=0)
    with pytest.raises(w2sg.InputError, match="entrants: q without values"):
        leaderboard(made, entrants(Entrant("q", "")), seed=0)
    with pytest.raises(w2sg.InputError, match="entrants: one name twice"):
        leaderboard(made, entrants(Entrant("p", ""), Entrant("p", "")), seed=0)


def plans(width, *lengths):
    trainings = [PretrainConfig(steps, 16, 5e-3, bucket_edges=EDGES, seed=seed) for seed, steps in enumerate(lengths)]
    return tuple(ModelPlan(width, 1, 2, training, NAMING) for training in trainings)


ZOO = Zoo(*plans(16, 6), plans(8, 2, 3, 4) + plans(12, 3, 4))


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """The experiment with six random models of 100 molecules, three splits, of which two have every predictor."""
    folder = tmp_path_factory.mktemp("leaderboard")
    data = load_freesolv()
    data = dataclasses.replace(data, smiles=data.smiles[:100], target=data.target[:100])
    rng = np.random.default_rng(0)
    latent = data.target[:, None] * rng.normal(size=(1, 8)) + rng.normal(size=(100, 8)) * 4
    models = {}
    for place, plan in enumerate((ZOO.strong, *ZOO.weak)):
        h = latent @ rng.normal(size=(8, plan.width)) + place * rng.normal(size=(100, plan.width))
        models[plan.name] = folder / f"{plan.name}.safetensors"
        w2sg.save(models[plan.name], h.astype(np.float32))
    (folder / "molecules.txt").write_text("\n".join(data.smiles) + "\n")
    np.save(folder / "target.npy", data.target)
    one = Represented(data, folder / "molecules.txt", folder / "target.npy", models)
    options = Options(out=folder / "out", splits=3, splits_of_all=2, draws=30, workers=1)
    assert run(options, zoo=ZOO, sets=[one], console=Console(quiet=True)) == 0
    return options, one


@pytest.mark.driver
def test_everything_is_written(finished):
    options, _ = finished
    assert {path.name for path in options.results.iterdir()} == {
        "results.json",
        *(f"{figure}-{heads}.png" for figure in ("heads", "errors") for heads in RIDGES),
    }
    found = json.loads((options.results / "results.json").read_text())["result"]["sets"]["FreeSolv"]
    for heads in RIDGES:
        board = found[heads]["leaderboard"]
        names = {score["entrant"]["name"]: score for score in board["scores"]}
        assert set(names) == {
            ERR_WEAK,
            *(column(n, r) for n in PREDICTORS for r in (RIDGES if n not in RIDGE_FREE else RIDGES[:1])),
        }
        assert board["models"] == 5 and board["families"] == 2 and set(board["baselines"]) <= set(names)
        for name in EVERY_SPLIT:
            assert names[column(name, heads)]["splits"] == 3
        assert names["cka"]["splits"] == 2
        # The strong model is one: what is known of it alone orders nothing.
        assert names[column("dof_strong", heads)]["everywhere"]["spearman"]["value"] is None
    assert set(found["own_ridges"]) == {"weak", "strong"}
    tables = markdown({"sets": {"FreeSolv": found}})
    assert "predicted Err_w2s" in tables and "gap norm" in tables and "| FreeSolv |" in tables


@pytest.mark.driver
def test_a_second_run_measures_nothing_again(finished):
    options, one = finished
    before = {path: path.stat().st_mtime_ns for path in (options.out / "trials").rglob("*.parquet")}
    content = json.loads((options.results / "results.json").read_text())["result"]
    assert run(options, zoo=ZOO, sets=[one], console=Console(quiet=True)) == 0
    assert before and before == {path: path.stat().st_mtime_ns for path in before}
    assert json.loads((options.results / "results.json").read_text())["result"] == content


@pytest.mark.driver
def test_a_trial_is_what_the_public_functions_say(finished):
    options, one = finished
    config = task_of(one, ZOO, options).splits[1]
    found = supervise(config)
    place = 3
    h, strong = (np.asarray(w2sg.load(path), np.float64) for path in (config.weak[place], config.strong))
    y = np.load(config.target)
    splits = make_splits(one.data.smiles, splits=3, seed=0)
    train, w2s, test = (part[1] for part in (splits.train, splits.w2s, splits.test))
    told = w2sg.predict_errors((h[train], strong[train], y[train]), (h[w2s], strong[w2s]), ridge="auto")
    folded = w2sg.cross_validated_errors((h[train], strong[train], y[train]), (h[w2s], strong[w2s]), ridge=1e-4)
    ridges = told.ridge_weak, told.ridge_strong
    assert (found["own_ridges"]["weak"][place], found["own_ridges"]["strong"]) == pytest.approx(ridges)
    for heads, ridge in (("1e-4", 1e-4), ("own", ridges)):
        truth = w2sg.weak_to_strong(
            (h[train], y[train]), (h[w2s], strong[w2s], y[w2s]), (h[test], strong[test], y[test]), ridge
        )
        for name in ("err_weak", "err_w2s", "err_ceiling", "pred_gap"):
            assert found["measured"][heads][name][place] == pytest.approx(getattr(truth, name), rel=1e-7)
    said = found["predictors"]
    assert said["predicted_err_w2s"]["own"][place] == pytest.approx(told.err_w2s, rel=1e-8)
    assert said["cross_validated_err_w2s"]["1e-4"][place] == pytest.approx(folded.err_w2s, rel=1e-8)
    pseudo = w2sg.ridge_path(h[train], y[train], [ridges[0]]).predict(h[w2s])[0]
    inputs = Inputs(h[w2s], strong[w2s], pseudo_labels=np.asarray(pseudo, np.float64), ridge=ridges)
    assert said["misfit"]["own"][place] == pytest.approx(PREDICTORS["misfit"].value(inputs), rel=1e-7)


@pytest.mark.driver
def test_predictors_without_a_ridge_are_those_that_none_moves(finished):
    options, one = finished
    config = task_of(one, ZOO, options).splits[0]
    h, strong = (np.asarray(w2sg.load(path), np.float64) for path in (config.weak[1], config.strong))
    y = np.load(config.target)[:, None]
    arrays = {"train_weak": h[:40], "train_strong": strong[:40], "train_labels": y[:40]}
    inputs = Inputs(h[40:], strong[40:], **arrays, labels=y[40:], pseudo_labels=y[40:] + 1, ridge=(1e-4, 1e-3))
    values = [{name: p.value(one) for name, p in PREDICTORS.items()} for one in (inputs, inputs.with_ridge((0.1, 0.2)))]
    same = {name for name, value in values[0].items() if value == pytest.approx(values[1][name], nan_ok=True)}
    assert same == set(RIDGE_FREE)


@pytest.mark.driver
def test_options_that_cannot_be(tmp_path):
    for wrong, message in (
        (Options(out=tmp_path, splits=3, splits_of_all=4), "splits_of_all: 4 of 3 splits"),
        (Options(out=tmp_path, draws=0), "draws: got 0"),
    ):
        with pytest.raises(w2sg.InputError, match=message):
            run(wrong, zoo=ZOO, sets=[], console=Console(quiet=True))
