"""The experiment with frozen representations of texts, at toy size: run, resumed, published, read back, refused."""

import io
import json
import re
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from scipy.stats import spearmanr
from test_extraction import llama as llama

import w2sg_jax as w2sg
from benchmarks import report
from experiments.embeddings import analyse, features, hub, models, obtain, represent
from experiments.embeddings import run as experiment
from experiments.embeddings.measure import AT_OWN, EVERY_SPLIT, FIXED, OWN
from experiments.embeddings.models import Network, Task, family
from experiments.embeddings.options import RESULTS, Options
from experiments.embeddings.results import markdown
from experiments.embeddings.trials import TRIALS, Pairs, above_chance, read_trials, write_trials
from w2sg_jax import InputError
from w2sg_jax.datasets import text_set
from w2sg_jax.datasets.text_splits import parts_of
from w2sg_jax.encoders.hub import located
from w2sg_jax.evaluation.leaderboard import RESAMPLED, Entrant, Table
from w2sg_jax.evaluation.predictions import column
from w2sg_jax.predictors import PREDICTORS

pytestmark = pytest.mark.driver
DOCS = Path(__file__).parents[1] / "docs"
QUIET = Console(quiet=True)


def texts(name: str, _: object):
    """Letters, of which a's and b's are counted; with two rows of one group here and there."""
    rng = np.random.default_rng(len(name))
    drawn = [rng.choice(list("abcdefgh"), 8) for _ in range(150)]
    label = [int((one == "a").sum() + (one == "b").sum() > 1) for one in drawn]
    together = [str(row // 2) if row < 40 else str(row) for row in range(150)]
    return text_set(name, [" ".join(one) for one in drawn], label, together=together, classes=("few", "many"))


@contextmanager
def toy():
    """One network, one task and few features in the place of all."""
    networks = (Network("llama", "owner/llama", ("mean", "last")),)
    with pytest.MonkeyPatch.context() as patch:
        for module in (models, obtain, experiment):
            patch.setattr(module, "STRONG", ("llama#2:mean", "llama#1:last"), raising=False)
            patch.setattr(module, "NETWORKS", networks, raising=False)
            patch.setattr(module, "TASKS", (Task("one", 120, 32),), raising=False)
        patch.setattr(represent, "load_text", texts)
        patch.setattr(features, "WORDS", (2, 4))
        patch.setattr(features, "NGRAMS", (8, 16))
        yield


@pytest.fixture
def small():
    with toy():
        yield


@pytest.fixture(scope="module")
def finished(llama, tmp_path_factory):
    folder = tmp_path_factory.mktemp("embeddings")
    options = Options(folder, models=(f"llama={llama}",), tasks=("one",), splits=2, draws=20, workers=1)
    with toy():
        assert experiment.run(options, console=QUIET) == 0
    return options


def test_everything_is_written(finished):
    names = {path.name for path in finished.results.iterdir()}
    assert {TRIALS, "results.json"} <= names
    found = json.loads((finished.results / "results.json").read_text())["result"]
    assert {one["task"] for one in found["pairs"]} == {"one"}
    pairs, made_from = read_trials(finished.results / TRIALS)
    assert made_from["splits"] == 2 and set(made_from["networks"]) == {"llama"}
    able = {(one["task"], one["strong"]) for one in found["pairs"] if one["able"]}
    assert able, "letters can be counted"
    for row in pairs.rows:
        assert row["model"] != row["strong"] and row["err_w2s"] > 0 and 0 <= row["err_w2s_01"] <= 1
        assert row["family"] == family(row["model"])
        if (row["task"], row["strong"]) not in able:
            assert "norm@own" not in row, "nothing can be ranked there"
            continue
        every = row["split"] == 0
        names = {column(name, OWN) for name in PREDICTORS}
        names |= {column(name, FIXED) for name in PREDICTORS if name not in AT_OWN}
        assert ({column(name, OWN) for name in EVERY_SPLIT} | (names if every else set())) <= set(row)
    seconds = found["tasks"]["one"]["seconds"]
    assert set(seconds) == set(PREDICTORS) and min(seconds.values()) > 0
    tables = markdown(found)
    assert "predicted Err_w2s" in tables and "| one | llama#2:mean |" in tables
    assert {"leaderboard.png", "calibration.png", "trends.png", "ridges.png"} <= {
        path.name for path in finished.results.iterdir()
    }


def test_a_second_run_and_published_trials_give_the_same_and_measure_nothing(finished, small, tmp_path, monkeypatch):
    before = (finished.results / "results.json").read_text()
    monkeypatch.setattr(
        sys.modules["w2sg_jax.batch.run"], "run_locally", lambda *_, **__: pytest.fail("measured again")
    )
    monkeypatch.setattr("w2sg_jax.extraction.texts.Extraction._fill", lambda *_: pytest.fail("extracted again"))
    assert experiment.run(finished, console=QUIET) == 0
    assert _result(finished.results) == json.loads(before)["result"]
    monkeypatch.setattr(experiment, "RESULTS", finished.results)
    again = replace(finished, out=tmp_path, from_trials=True, models=())
    assert experiment.run(again, console=QUIET) == 0
    assert _result(again.results) == json.loads(before)["result"]


def test_measured_numbers_are_those_of_heads_that_are_fitted_here(finished, small):
    """One pair from its representations on disk: Err_w, Err_w2s and the ceiling by dense formulas."""
    plan = next(one for one in obtain.plans(finished) if one.task.name == "one")
    task = represent.represent(plan, 2, finished.out / "tasks", finished.out / "store")
    label, parts = np.load(task.label), [np.load(path) for path in task.parts]
    pairs, _ = read_trials(finished.results / TRIALS)
    for split in range(2):
        row = next(
            one
            for one in pairs.rows
            if (one["task"], one["strong"], one["model"], one["split"])
            == ("one", "llama#2:mean", "llama#1:last", split)
        )
        weak, strong = (np.asarray(w2sg.load(task.models[name]), np.float64) for name in (row["model"], row["strong"]))
        train, pool, test = (parts[split] == one for one in range(3))

        def fitted(h, y, ridge):
            mean = h.mean(axis=0)
            x, offset = h - mean, y.mean()
            penalty = ridge * (x**2).sum() * np.eye(h.shape[1])  # n times ridge, at unit trace
            head = np.linalg.solve(x.T @ x + penalty, x.T @ (y - offset))
            return lambda new: (new - mean) @ head + offset

        f_weak = fitted(weak[train], label[train], row["ridge_weak"])
        f_w2s = fitted(strong[pool], f_weak(weak[pool]), row["ridge_strong"])
        f_ceiling = fitted(strong[pool], label[pool], row["ridge_strong"])
        said = f_weak(weak[test]), f_w2s(strong[test]), f_ceiling(strong[test])
        for name, f in zip(("weak", "w2s", "ceiling"), said, strict=True):
            assert row[f"err_{name}"] == pytest.approx(((f - label[test]) ** 2).mean(), rel=1e-3)
            assert row[f"err_{name}_01"] == pytest.approx(((f > 0.5) != label[test]).mean(), abs=1e-6)
        assert row["pred_gap"] == pytest.approx(((said[1] - said[2]) ** 2).mean(), rel=1e-3)
        # The spread over bootstrap samples is the standard error, which 25 of them tell to a seventh or so.
        group = np.load(task.group)[test]
        loss = (said[1] - label[test]) ** 2 - row["err_w2s"]
        own = np.array([loss[group == one].sum() for one in np.unique(group)])
        assert np.std(row[RESAMPLED]) == pytest.approx(np.sqrt((own**2).sum()) / len(group), rel=0.5)
        assert np.mean(row[RESAMPLED]) == pytest.approx(row["err_w2s"], rel=0.1)


def _result(folder):
    return json.loads((folder / "results.json").read_text())["result"]


def test_a_dry_run_writes_no_representation(llama, small, tmp_path):
    told = Console(record=True, width=200, file=io.StringIO())
    assert (
        experiment.run(Options(tmp_path, models=(f"llama={llama}",), tasks=("one",), dry_run=True), console=told) == 0
    )
    text = told.export_text()
    assert "one: tiny-llama: 120 texts" in text and "to extract: about" in text
    assert not (tmp_path / "store").exists()


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"models": ("bart",)}, "models: 'bart' is none of paraphrase, minilm, e5, mpnet, smollm2, gemma"),
        ({"models": ("minilm", "minilm=x")}, "models: minilm twice"),
        ({"tasks": ("justise",)}, "tasks: justise; choose of justice"),
        ({"tasks": ()}, "tasks: none; choose of"),
        ({"splits": 0}, "splits: "),
        ({"zoo": "hub", "dry_run": True, "tasks": ("nope",)}, "tasks: nope; choose of justice"),
        ({"zoo": "hub", "dry_run": True, "models": ("gemma",)}, "models: 'gemma' is none of minilm-l3"),
        ({"zoo": "hub", "models": ("bge-m3",)}, r"none of them has a strong model \(e5-mistral\)"),
        ({"from_trials": True, "models": ("minilm",)}, "--from-trials: the trials in the repository are as they are"),
    ],
)
def test_bad_options_are_refused_before_work(options, expected, tmp_path):
    with pytest.raises(InputError, match=expected):
        experiment.run(Options(tmp_path / "out", **options), console=QUIET)


def test_another_model_under_a_networks_name_is_refused(llama, tmp_path, monkeypatch):
    monkeypatch.setattr(represent, "load_text", texts)
    with pytest.raises(
        InputError, match=r"has 2 layers, and gemma would have gemma#11:last, gemma#17:last; is it another"
    ):
        experiment.run(Options(tmp_path / "out", models=(f"gemma={llama}",)), console=QUIET)


@pytest.mark.parametrize("name", ["molecules", "leaderboard", "embeddings"])
def test_an_extra_that_is_missing_is_told_in_one_line(name):
    code = f"""
import importlib.util, runpy, sys
real = importlib.util.find_spec
importlib.util.find_spec = lambda package, *where: None if package == "msgspec" else real(package, *where)
sys.argv[1:] = ["--out", "never"]
runpy.run_module("experiments.{name}", run_name="__main__")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=DOCS.parent)
    told = f'experiments.{name}: msgspec is not installed: pip install "w2sg_jax[batch]"\n'
    assert (done.returncode, done.stderr) == (2, told)


def test_where_all_strong_models_are_able_no_trial_is_of_errors_alone(tmp_path):
    assert obtain._run(obtain.errors, [], Options(tmp_path), QUIET) == []


def test_damaged_trials_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(experiment, "RESULTS", tmp_path)
    options = Options(tmp_path / "out", from_trials=True)
    with pytest.raises(InputError, match=r"trials.parquet: there are no trials; measure them"):
        experiment.run(options, console=QUIET)
    (tmp_path / TRIALS).write_bytes(b"PAR1" * 9)
    with pytest.raises(InputError, match=r"trials.parquet: not a whole file of trials"):
        experiment.run(options, console=QUIET)


def test_what_was_not_computed_is_missing_and_what_is_undefined_is_nan(tmp_path):
    keys = {"task": "t", "strong": "s", "family": "f", "err_w2s": 1.0}
    rows = [keys | {"model": "a", "split": 0, "x": float("nan")}, keys | {"model": "a", "split": 1}]
    rows = [row | {RESAMPLED: [1.0, 0.5 + row["split"]]} for row in rows]
    write_trials(tmp_path / TRIALS, Pairs(rows, {"t": {}}), {"seed": 1})
    pairs, made_from = read_trials(tmp_path / TRIALS)
    assert np.isnan(pairs.rows[0]["x"]) and "x" not in pairs.rows[1] and made_from == {"seed": 1}
    assert pairs.rows[1]["split"] == 1 and pairs.about == {"t": {}}
    assert [row[RESAMPLED] for row in pairs.rows] == [[1.0, 0.5], [1.0, 1.5]]


def test_splits_keep_groups_and_are_other_ones_for_other_seeds():
    data = texts("one", None)
    rows = np.arange(100)
    parts = [parts_of(data, rows, represent.SHARES, seed) for seed in range(3)]
    for part in parts:
        assert set(part) == {0, 1, 2}
        for group in np.unique(data.group[rows]):
            assert len(set(part[data.group[rows] == group])) == 1
    assert (parts[0] != parts[1]).any() and (parts[1] != parts[2]).any()
    assert (parts_of(data, rows[:50], represent.SHARES, 0) == parts[0][:50]).all()


def test_features_are_what_they_say():
    letters = np.random.default_rng(0).choice(list("abcdefghij"), (60, 9))
    found = features.text_features([" ".join(one * 2 for one in word) for word in letters] + ["wording words"] * 3)
    assert {"n-grams#64", "n-grams#2048"} <= set(found)
    grams = found["n-grams#256"]
    np.testing.assert_allclose((grams[-3:] ** 2).sum(axis=1), 1, rtol=1e-6)
    assert (grams[-1] == grams[-2]).all()
    wide = [name for name in found if name.startswith("words#")]
    assert not [name for name in wide if found[name].shape[1] >= 63]


def test_above_chance_is_95_percent():
    assert above_chance({"lead": [0.02, 0.02], "standard_error": [0.01, 0.01]})
    assert not above_chance({"lead": [0.02, 0.018], "standard_error": [0.01, 0.01]})


def test_located():
    known = {one.name: one.hub for one in models.NETWORKS}
    assert located(("minilm=a=b", "mpnet"), known) == {"minilm": "a=b", "mpnet": known["mpnet"]}
    assert located((), known) == known


def made(task: str, strong: str, rng: np.random.Generator, models: int = 12) -> analyse.Pair:
    """A pair whose predictors are noisy versions of the error."""
    names = tuple(f"{'abcd'[model % 4]}#{model}:mean" for model in range(models))
    error = rng.normal(size=(models, 2))
    values = {
        one.name: error + rng.normal(size=(models, 2))
        for one in analyse.taking_part()
        if one.name not in ("cka", "width")
    }
    values["width"] = np.full((models, 2), 8.0)
    measured = {"err_w2s": error, "err_weak": error + 1, "err_ceiling": error - 1}
    table = Table(task, strong, names, tuple(family(name) for name in names), measured, values)
    ceiling = {"lead": 0.1, "standard_error": 0.01, "err_ceiling": -1.0, "err_ceiling_01": 0.2}
    extra = {f"err_w2s@{ridge}": error for ridge in ("1e-4", "1e-3", "1e-2", "1e-1")}
    pgr = {"pgr": rng.normal(size=(models, 2)), "pgr_standard_error": np.ones((models, 2))}
    return analyse.Pair(task, strong, True, ceiling, table, measured | extra | pgr, {"norm": 0.1})


def test_overview_is_the_mean_over_pairs_with_paired_leads():
    rng = np.random.default_rng(0)
    pairs = [made(task, "b#3:mean", rng) for task in "xyz"]
    found = {one["name"]: one for one in analyse.overview(pairs, seed=0, draws=100)}
    assert "cka" not in found, "no values"
    each = [float(spearmanr(pair.value("norm@own"), pair.error).statistic) for pair in pairs]
    assert found["norm@own"]["spearman"] == pytest.approx(np.mean(each)) and found["norm@own"]["seconds"] == 0.1
    assert (found["norm@own"]["least"], found["norm@own"]["most"]) == pytest.approx((min(each), max(each)))
    for one in found.values():
        if not np.isnan(one["spearman"]):
            assert one["low"] < one["spearman"] < one["high"]
    foreign = [
        float(spearmanr(pair.value("norm@own")[keep], pair.error[keep]).statistic)
        for pair in pairs
        if (keep := np.array([not name.startswith("b#") for name in pair.table.models])).any()
    ]
    assert found["norm@own"]["foreign"] == pytest.approx(np.mean(foreign))
    other = [float(spearmanr(pair.value("leave_one_out_weak"), pair.error).statistic) for pair in pairs]
    lead = found["norm@own"]["lead"]["leave_one_out_weak"]
    assert lead["value"] == pytest.approx(np.mean(each) - np.mean(other)) and lead["low"] < lead["high"]
    assert found["leave_one_out_weak"]["lead"]["leave_one_out_weak"] == {"value": 0, "low": 0, "high": 0}
    assert np.isnan(found["width"]["spearman"]), "one width orders nothing"


def test_halves_choose_the_best_on_tasks_and_judge_it_on_others():
    rng = np.random.default_rng(1)
    pairs = [made(task, strong, rng) for task in "wxyz" for strong in ("a#0:mean", "b#1:mean")]
    for pair in pairs:
        pair.table.values["mutual_knn"][:] = -pair.table.measured["err_w2s"] + 1e-3
    found = analyse.chosen_on_halves(pairs, analyse.label_free, seed=0, halves=50)
    assert found[0]["name"] == "mutual_knn" and found[0]["chosen"] == 1 and found[0]["held_out"] == pytest.approx(1)
    assert all(one["held_out"] is None for one in found[1:])
    assert "leave_one_out_weak" not in {one["name"] for one in found}
    alone = analyse.chosen_on_halves(pairs[:2], analyse.label_free, seed=0, halves=50)
    assert all(one["chosen"] == 0 for one in alone), "one task has no other half"


def test_label_free_is_what_needs_representations_alone():
    free = {one.name for one in analyse.taking_part() if analyse.label_free(one)}
    assert {"norm@1e-2", "cka", "mutual_knn", "width"} <= free
    assert (
        not {"leave_one_out_weak", "supervised@own", "predicted_err_w2s@own", "measured_err_weak", "predicted@own"}
        & free
    )


def test_a_predictor_that_knows_the_strong_model_knows_the_difference():
    rng = np.random.default_rng(2)
    one, other = (made("x", strong, rng) for strong in ("a#0:mean", "b#1:mean"))
    for pair in (one, other):
        pair.table.values["predicted_err_w2s@own"][:] = pair.table.measured["err_w2s"]
    (found,) = analyse.orders([one, other])
    assert found["knows"]["predicted_err_w2s@own"] == pytest.approx(1)
    assert found["agreement"] == pytest.approx(spearmanr(one.error, other.error)[0])
    assert analyse.orders([one, made("y", "a#0:mean", rng)]) == []


def test_pgr_counts_what_is_defined():
    pair = made("x", "a#0:mean", np.random.default_rng(3))
    pair.measured["pgr"][:5, 0] = np.nan
    (found,) = analyse.recovered([pair])
    assert (found["defined"], found["models"]) == (7, 12)
    mean = pair.measured["pgr"][5:].mean(axis=1)
    assert found["goes_with"]["err_w2s"] == pytest.approx(spearmanr(pair.error[5:], -mean)[0])
    assert found["quartiles"][1] == pytest.approx(np.median(mean))


def test_models_of_the_hub_have_their_published_sizes():
    shapes = {network.hub: shape for network, shape in hub.SHAPES.items()}
    assert len(hub.WEAK) == 22 and len(hub.STRONG) == 1 and len(shapes) == 23
    # Without the pooling layer of BERT, and without the head of Mistral, which our encoders do not read.
    assert shapes["sentence-transformers/all-MiniLM-L6-v2"].parameters == 22_713_216 - 384 * 385
    assert shapes["intfloat/e5-mistral-7b-instruct"].parameters == 7_241_732_096 - 32_000 * 4096
    blocks = shapes["sentence-transformers/all-MiniLM-L6-v2"].parameters - 30_522 * 384
    assert shapes["sentence-transformers/all-MiniLM-L6-v2"].flops([10]) == 20 * blocks + 4 * 6 * 384 * 100


def test_a_dry_run_of_the_hub_fetches_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr(experiment, "load_text", texts)
    monkeypatch.setattr(obtain, "plan", lambda *_: pytest.fail("a model was opened"))
    told = Console(record=True, width=200, file=io.StringIO())
    assert experiment.run(Options(tmp_path, zoo="hub", tasks=("justice",), dry_run=True), console=told) == 0
    text = told.export_text()
    assert "intfloat/e5-mistral-7b-instruct" in text and "7111 M" in text and "13.2" in text


def test_entrants_are_named_once():
    names = [one.name for one in analyse.taking_part()]
    assert len(names) == len(set(names)) and all(isinstance(one, Entrant) for one in analyse.taking_part())


def test_the_pages_tables_and_figures_are_those_of_the_results():
    text = (DOCS / "results/embeddings.md").read_text(encoding="utf-8")
    assert "<!-- embeddings/results:begin -->" in text
    assert report.rewritten(text) == text, "run python -m benchmarks.report"
    assert set(re.findall(r"results/embeddings/([\w-]+\.png)", text)) <= {path.name for path in RESULTS.iterdir()}


def test_committed_results_are_those_of_the_committed_trials():
    pairs, made_from = read_trials(RESULTS / TRIALS)
    entry = json.loads((RESULTS / "results.json").read_text(encoding="utf-8"))
    assert entry["settings"]["made_from"] == made_from
    found = {(one["task"], one["strong"]): one for one in entry["result"]["pairs"]}
    for pair in analyse.pairs_of(pairs):
        one = found[pair.task, pair.strong]
        assert one["able"] == pair.able and one["means"]["err_w2s"] == pytest.approx(pair.error.mean(), rel=1e-3)
    assert (RESULTS / TRIALS).stat().st_size < 10e6
