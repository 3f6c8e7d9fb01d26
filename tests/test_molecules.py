"""The molecular experiment at toy size: trained, resumed, published, read back, refused."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console
from safetensors.numpy import load_file

import w2sg_jax as w2sg
from experiments.molecules import bundle
from experiments.molecules.analyse import (
    correlations,
    decomposability,
    log_fit,
    reliability,
    tables_of,
    within_shapes,
)
from experiments.molecules.measure import MAPPED, RIDGES, THRESHOLDS, Pairing, measure
from experiments.molecules.obtain import published
from experiments.molecules.options import PUBLISHED, Options
from experiments.molecules.run import run
from experiments.molecules.sets import SETS, checked, labelled_sets
from experiments.molecules.trials import BY_SPLIT, TRIALS, read_trials, write_trials
from experiments.molecules.zoo import EDGES, NAMING, paper_zoo
from w2sg_jax import batch
from w2sg_jax.batch.records import locked
from w2sg_jax.datasets import MoleculeSet, load_freesolv
from w2sg_jax.datasets.remote import Unreachable
from w2sg_jax.evaluation.correlation import kendall, spearman
from w2sg_jax.extraction.extract import extract
from w2sg_jax.predictors.cka import linear_cka
from w2sg_jax.training import PretrainConfig
from w2sg_jax.training.zoo import ModelPlan, Zoo, grouped
from w2sg_jax.training.zoo_training import Corpus, group_key

pytestmark = pytest.mark.driver

TRAINING = PretrainConfig(4, 16, 5e-3, bucket_edges=EDGES)


def plans(width: int, *lengths: int) -> tuple[ModelPlan, ...]:
    trainings = [dataclasses.replace(TRAINING, steps=steps, seed=seed) for seed, steps in enumerate(lengths)]
    return tuple(ModelPlan(width, 1, 2, training, NAMING) for training in trainings)


ZOO = Zoo(*plans(16, 6), plans(8, 2, 3, 4) + plans(12, 3, 4))


@pytest.fixture(scope="module")
def molecules() -> MoleculeSet:
    data = load_freesolv()
    return dataclasses.replace(data, smiles=data.smiles[:120], target=data.target[:120])


@pytest.fixture(scope="module")
def finished(molecules, tmp_path_factory):
    """A run with a corpus from a file, published."""
    folder = tmp_path_factory.mktemp("molecules")
    corpus = folder / "corpus.smiles"
    corpus.write_text("\n".join(load_freesolv().smiles[200:400]) + "\n")
    options = Options(out=folder / "out", corpus=str(corpus), sets=("FreeSolv",), splits=3, workers=1)
    assert run(options, zoo=ZOO, datasets=[molecules], console=Console(quiet=True)) == 0
    return options


def test_everything_is_written(finished):
    assert {path.name for path in finished.results.iterdir()} == {
        "results.json", "trials.parquet", "freesolv.png", "maps.png", "correlations.png",
        "weak.safetensors.xz", "strong.safetensors.xz",
    }  # fmt: skip
    found = json.loads((finished.results / "results.json").read_text())["result"]["sets"]["FreeSolv"]
    assert found["models"] == 5 and found["splits"] == 3
    assert np.shape(found["spearman_map"]["norm"]) == (len(RIDGES), len(THRESHOLDS))
    for result in (found["spearman"], found["kendall"]):
        assert all(-1 <= one["low"] <= one["high"] <= 1 for one in result.values())


def test_a_second_run_computes_nothing_again(finished, molecules, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("computed again")

    monkeypatch.setattr("w2sg_jax.training.zoo_training.pretrain_together", refuse)
    monkeypatch.setattr("w2sg_jax.extraction.extract.encode", refuse)
    before = (finished.results / "trials.parquet").read_bytes()
    assert run(finished, zoo=ZOO, datasets=[molecules], console=Console(quiet=True)) == 0
    assert (finished.results / "trials.parquet").read_bytes() == before


def test_the_published_zoo_gives_the_same_to_the_precision_of_float16(finished, molecules, tmp_path):
    options = dataclasses.replace(finished, out=tmp_path, from_zoo=True, measure=True, zoo=finished.results)
    assert run(options, zoo=ZOO, datasets=[molecules], console=Console(quiet=True)) == 0
    first, second = (
        json.loads((folder / "results.json").read_text())["result"]["sets"]["FreeSolv"]["errors"]
        for folder in (finished.results, options.results)
    )
    for name, value in first.items():
        assert second[name] == pytest.approx(value, rel=2e-2), name
    other = dataclasses.replace(molecules, smiles=molecules.smiles[::-1])
    with pytest.raises(w2sg.InputError, match="FreeSolv has other molecules, or another order"):
        bundle.load_strong(finished.results / "strong.safetensors.xz", [other])


def test_published_trials_give_the_same_tables_and_figures(finished, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("measured again")

    options = dataclasses.replace(finished, out=tmp_path, from_zoo=True, zoo=finished.results)
    monkeypatch.setattr("experiments.molecules.obtain.represent_all", refuse)
    assert run(options, zoo=ZOO, console=Console(quiet=True)) == 0
    first, second = (
        json.loads((folder / "results.json").read_text())["result"]["sets"]
        for folder in (finished.results, options.results)
    )
    assert first == second
    for name in ("freesolv.png", "maps.png", "correlations.png"):
        assert (options.results / name).read_bytes() == (finished.results / name).read_bytes(), name


@pytest.mark.parametrize("change", [{"splits": 4}, {"seed": 1}, {"sets": ("FreeSolv", "Lipophilicity")}])
def test_published_trials_of_other_settings_are_not_used(finished, capsys, change):
    options = dataclasses.replace(finished, from_zoo=True, zoo=finished.results, **change)
    assert published(options, ZOO, Console()) is None
    assert "measuring" in capsys.readouterr().out


def test_published_trials_of_another_zoo_are_not_used(finished, molecules, tmp_path):
    for path in finished.results.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    options = dataclasses.replace(finished, from_zoo=True, zoo=tmp_path)
    assert published(options, ZOO, Console(quiet=True)) is not None
    assert published(options, Zoo(ZOO.strong, plans(32, 2) + ZOO.weak), Console(quiet=True)) is None
    bundle.save_strong(tmp_path / bundle.STRONG, {"FreeSolv": np.ones((120, 16), np.float32)}, [molecules])
    assert published(options, ZOO, Console(quiet=True)) is None


def test_trials_come_back_as_they_were_written(tmp_path):
    generator = np.random.default_rng(0)
    result = {
        "width": 8, "molecules": 120, "delta_weak": 0.25, "delta_strong": 0.5,
        **{name: generator.standard_normal(3).tolist() for name in BY_SPLIT},
        "maps": {name: generator.standard_normal((len(RIDGES), len(THRESHOLDS))).tolist() for name in MAPPED},
    }  # fmt: skip
    write_trials(tmp_path / "trials.parquet", {"A": {"m": result}}, {"splits": 3})
    read, made_from = read_trials(tmp_path / "trials.parquet")
    assert made_from == {"splits": 3}
    for name in BY_SPLIT:
        np.testing.assert_allclose(read["A"]["m"][name], result[name], rtol=1e-7)
    for name in MAPPED:
        np.testing.assert_allclose(read["A"]["m"]["maps"][name], result["maps"][name], rtol=1e-7)
    assert read["A"]["m"]["width"] == 8 and read["A"]["m"]["delta_weak"] == 0.25


def test_damaged_trials_are_named(finished, tmp_path):
    path = tmp_path / "trials.parquet"
    content = (finished.results / "trials.parquet").read_bytes()
    pq.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    for damaged in (content[:-30], b"", b"text" * 10, (tmp_path / "other.parquet").read_bytes()):
        path.write_bytes(damaged)
        with pytest.raises(w2sg.InputError, match=r"trials.parquet: not a whole file of trials .*--measure"):
            read_trials(path)
    whole, refused = read_trials(finished.results / "trials.parquet")[0], 0
    for place in range(100, len(content) // 2, 97):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        try:
            assert read_trials(path)[0] == whole
        except w2sg.InputError as error:
            refused += "not a whole file of trials" in str(error)
    assert refused > 10
    table = pq.read_table(finished.results / "trials.parquet")
    pq.write_table(table.drop_columns("cka"), path)
    with pytest.raises(w2sg.InputError, match="other columns"):
        read_trials(path)
    holes = pa.array([[None, 1.0, 2.0]] * table.num_rows, pa.list_(pa.float32()))
    for wrong in (holes, pa.array([[1.0]] * table.num_rows, pa.list_(pa.float32()))):
        place = table.column_names.index("cka")
        pq.write_table(table.set_column(place, table.schema.field("cka"), wrong), path)
        with pytest.raises(w2sg.InputError, match="w8-d1-h2-s2 on FreeSolv is not complete"):
            read_trials(path)


def test_a_damaged_zoo_is_named(finished, tmp_path, monkeypatch):
    whole = (finished.results / bundle.WEAK).read_bytes()
    for content, message in ((whole[:-30], "not whole"), (whole[:40] + b"0" * 40, "damaged"), (b"text", "damaged")):
        (tmp_path / "zoo.xz").write_bytes(content)
        with pytest.raises(w2sg.InputError, match=message):
            bundle.load_weak(tmp_path / "zoo.xz", ZOO)
    with pytest.raises(w2sg.InputError, match="made by another config"):
        bundle.load_weak(finished.results / bundle.WEAK, Zoo(ZOO.strong, ZOO.weak[1:]))
    monkeypatch.setattr(bundle, "LARGEST", 100)
    with pytest.raises(w2sg.InputError, match="of more than 100 bytes"):
        bundle.load_weak(finished.results / bundle.WEAK, ZOO)


def test_a_damaged_encoder_is_named_and_trained_again_on_request(finished, molecules):
    (path,) = finished.out.glob("cache/w12-*/w12-d1-h2-s3.safetensors")
    weights = load_file(path)
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(w2sg.InputError, match=r"w12-d1-h2-s3.safetensors is not a whole .*--retrain-damaged"):
        run(finished, zoo=ZOO, datasets=[molecules], console=Console(quiet=True))
    again = dataclasses.replace(finished, retrain_damaged=True)
    assert run(again, zoo=ZOO, datasets=[molecules], console=Console(quiet=True)) == 0
    again = load_file(path)
    assert again.keys() == weights.keys()
    assert all(np.array_equal(again[name], weights[name]) for name in weights)


def test_a_damaged_checkpoint_is_named(finished, molecules):
    (path,) = finished.out.glob("cache/w12-*/w12-d1-h2-s4.safetensors")
    path.unlink()
    path.with_name("checkpoint.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{}")
    with pytest.raises(w2sg.InputError, match=r"checkpoint.safetensors is not a whole .*--retrain-damaged"):
        run(finished, zoo=ZOO, datasets=[molecules], console=Console(quiet=True))
    again = dataclasses.replace(finished, retrain_damaged=True)
    assert run(again, zoo=ZOO, datasets=[molecules], console=Console(quiet=True)) == 0
    assert path.exists() and not path.with_name("checkpoint.safetensors").exists()


def test_a_damaged_representation_is_named_and_made_again(finished, molecules, capsys):
    (path,) = finished.out.glob("representations/*/w8-d1-h2-s3-*.safetensors")
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    assert run(finished, zoo=ZOO, datasets=[molecules], console=Console()) == 0
    assert f"{path.name} is damaged: made again" in capsys.readouterr().out
    assert path.read_bytes() == whole


def test_a_trial_that_fails_is_shown(finished, molecules, monkeypatch, capsys):
    def failing(*_, **__):
        record = {"status": "failed", "error": "ValueError: no", "id": "0"}
        return batch.Results(finished.out, [record])

    monkeypatch.setattr("experiments.molecules.obtain.batch.run", failing)
    assert run(finished, zoo=ZOO, datasets=[molecules], console=Console()) == 1
    printed = capsys.readouterr().out
    assert "ValueError: no" in printed and "--retry-failed" in printed


def corpus_of(smiles, molecules) -> Corpus:
    return Corpus.build(smiles, {molecules.name: molecules.smiles}, longest=ZOO.longest)


def test_another_corpus_is_another_zoo(molecules):
    smiles, (strong, *_) = load_freesolv().smiles, grouped(ZOO.plans)
    first, second = (corpus_of(smiles[start:400], molecules) for start in (200, 201))
    assert group_key(strong, first) != group_key(strong, second)
    assert group_key(strong, first) == group_key(strong, corpus_of(smiles[200:400], molecules))


def test_molecules_too_long_to_train_on_are_counted(molecules):
    assert corpus_of([*molecules.smiles, "C" * EDGES[-1]], molecules).too_long == 1
    with pytest.raises(w2sg.InputError, match="all of its 1 molecules have more than 60 tokens"):
        corpus_of(["C" * EDGES[-1]], molecules)


def changed(molecules, **change):
    """The set with what a caller without type checks may have put there."""
    data = dataclasses.replace(molecules)
    for name, value in change.items():
        object.__setattr__(data, name, value)
    return data


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"target": np.full(120, 3.0)}, "the target is constant"),
        ({"target": np.full(120, np.nan)}, "not finite"),
        ({"target": np.array(["a"] * 120)}, "not numeric"),
        ({"target": np.zeros((120, 2))}, r"120 molecules and a target of shape \(120, 2\)"),
        ({"name": "a/b"}, "the name of one set, and of a file"),
    ],
)
def test_sets_that_cannot_be_measured_are_refused_before_training(molecules, tmp_path, monkeypatch, change, message):
    monkeypatch.setattr("experiments.molecules.obtain.train_zoo", None)
    with pytest.raises(w2sg.InputError, match=message):
        run(Options(out=tmp_path / "out"), zoo=ZOO, datasets=[changed(molecules, **change)])


def test_small_sets_and_wrong_smiles_are_refused_before_training(molecules, tmp_path, monkeypatch):
    monkeypatch.setattr("experiments.molecules.obtain.train_zoo", None)
    options = Options(out=tmp_path / "out", corpus="moses-sample")
    wrong = (*molecules.smiles[:5], "C1CC", "C)C", *molecules.smiles[7:])
    with pytest.raises(
        w2sg.InputError, match=r"2 of 120 rows are no SMILES \(row 5, 'C1CC': ring 1 is not closed; row 6"
    ):
        run(options, zoo=ZOO, datasets=[dataclasses.replace(molecules, smiles=wrong)])
    few = dataclasses.replace(molecules, smiles=molecules.smiles[:5], target=molecules.target[:5])
    with pytest.raises(w2sg.InputError, match="5 distinct molecules are too few"):
        run(options, zoo=ZOO, datasets=[few])
    with pytest.raises(w2sg.InputError, match="'FreeSolv' has to be the name of one set"):
        run(options, zoo=ZOO, datasets=[molecules, molecules])
    long = dataclasses.replace(molecules, smiles=("C" * 600, *molecules.smiles[1:]))
    with pytest.raises(w2sg.InputError, match="row 0 has 601 tokens; encoders take 512"):
        run(options, zoo=ZOO, datasets=[long])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sets": ("FreeSolv", "Sol")}, "sets: 'Sol' is not one of ESOL, FreeSolv, Lipophilicity"),
        ({"sets": ()}, "sets: none is named"),
        ({"splits": 1}, "splits: got 1"),
        ({"workers": 0}, "workers: got 0"),
        ({"measure": True}, "pass --from-zoo as well"),
        ({"from_zoo": True, "retrain_damaged": True}, "pass one of them"),
    ],
)
def test_options_that_contradict_are_refused(tmp_path, change, message):
    with pytest.raises(w2sg.InputError, match=message):
        run(dataclasses.replace(Options(out=tmp_path / "out"), **change), zoo=ZOO)


def test_a_zoo_that_is_not_there_or_swapped_is_named(finished, molecules, tmp_path, capsys):
    options = dataclasses.replace(finished, out=tmp_path / "out", from_zoo=True, zoo=tmp_path)
    with pytest.raises(w2sg.InputError, match="no such file; run without --from-zoo"):
        run(options, zoo=ZOO, datasets=[molecules], console=Console())
    assert "no trials are published there; measuring" in capsys.readouterr().out.replace("\n", " ")
    for name, other in ((bundle.WEAK, bundle.STRONG), (bundle.STRONG, bundle.WEAK)):
        (tmp_path / name).write_bytes((finished.results / other).read_bytes())
    with pytest.raises(w2sg.InputError, match=r"weak.safetensors.xz, unpacked: .* holds no tokens"):
        bundle.load_weak(tmp_path / bundle.WEAK, ZOO)
    with pytest.raises(w2sg.InputError, match=r"strong.safetensors.xz, unpacked: .* holds no molecules"):
        bundle.load_strong(tmp_path / bundle.STRONG, [molecules])


def test_two_runs_in_one_folder_are_refused(finished, molecules):
    with locked(finished.out), pytest.raises(w2sg.InputError, match="another process is running there"):
        run(finished, zoo=ZOO, datasets=[molecules])


def test_repeated_molecules_are_left_out_and_named(molecules, capsys):
    repeated = dataclasses.replace(
        molecules, smiles=(*molecules.smiles[:118], molecules.smiles[3], "C"), repeats=(119,)
    )
    (found,) = checked([repeated], Options(splits=2), Console(width=400))
    assert found.smiles == molecules.smiles[:118]
    np.testing.assert_array_equal(found.target, molecules.target[:118])
    assert f"2 of 120 rows repeat an earlier molecule and are left out (118 {molecules.smiles[3]}, 119 C)" in (
        capsys.readouterr().out
    )


def test_whole_numbers_are_no_classes(molecules):
    whole = changed(molecules, target=np.arange(120) % 7)
    assert checked([whole], Options(splits=2), Console(quiet=True))[0].target.dtype == np.float64


def test_only_a_set_that_its_host_refuses_may_be_left_out(monkeypatch, tmp_path, capsys):
    def refused(_):
        raise Unreachable("the host does not answer")

    monkeypatch.setitem(SETS, "ESOL", refused)
    assert [data.name for data in labelled_sets(Options(sets=("ESOL", "FreeSolv")), Console())] == ["FreeSolv"]
    assert "ESOL is left out: the host does not answer" in capsys.readouterr().out
    with pytest.raises(w2sg.InputError, match="does not answer"):
        labelled_sets(Options(sets=("ESOL", "ESOL")), Console(quiet=True))
    monkeypatch.undo()
    with pytest.raises(w2sg.InputError, match="is not a folder"):
        labelled_sets(Options(data_dir=tmp_path / "nowhere"), Console(quiet=True))


def test_a_trial_is_the_definition(tmp_path, molecules):
    """The gap norm, its predictors and CKA of one split, beside direct calls and the dense formula."""
    generator = np.random.default_rng(0)
    weak, strong = generator.standard_normal((120, 5)), generator.standard_normal((120, 9))
    w2sg.save(tmp_path / "weak.safetensors", weak)
    w2sg.save(tmp_path / "strong.safetensors", strong)
    w2sg.save(tmp_path / "target.npy", np.asarray(molecules.target))
    (tmp_path / "molecules.txt").write_text("\n".join(molecules.smiles) + "\n")
    names = ("weak.safetensors", "strong.safetensors", "molecules.txt", "target.npy")
    result = measure(Pairing(*(tmp_path / name for name in names), splits=2, seed=1))
    from w2sg_jax.datasets.splits import make_splits

    splits = make_splits(molecules.smiles, splits=2, seed=1)
    rows, train = splits.w2s[1], splits.train[1]
    y = molecules.target
    assert result["norm"][1] == pytest.approx(w2sg.gap(w2sg.moments(weak[rows], strong[rows]), 1e-4).norm, rel=1e-8)
    supervised = w2sg.gap(w2sg.moments(weak[train], strong[train], y[train]), 1e-4).predicted
    assert result["supervised"][1] == pytest.approx(supervised, rel=1e-8)
    first = w2sg.decomposability(weak[splits.train[0]], weak[splits.w2s[0]], 1e-4)
    assert result["delta_weak"] == first.delta
    x, z = (h[rows] - h[rows].mean(axis=0) for h in (weak, strong))
    k, q = x @ x.T, z @ z.T
    assert result["cka"][1] == pytest.approx((k * q).sum() / np.sqrt((k * k).sum() * (q * q).sum()), rel=1e-10)
    assert linear_cka(weak, weak @ np.linalg.qr(generator.standard_normal((5, 5)))[0]) == pytest.approx(1.0)
    assert np.shape(result["maps"]["norm"]) == (len(RIDGES), len(THRESHOLDS)) and set(result["maps"]) == set(MAPPED)


def test_fits_and_correlations_of_known_tables():
    predicted = np.geomspace(0.1, 10, 12)
    fit = log_fit(predicted, 3 * predicted**0.5)
    assert fit["r2"] == pytest.approx(1.0) and fit["slope"] == pytest.approx(0.5)
    error = predicted[:, None] * np.ones((12, 4))
    result = {
        f"m{i}": {
            **{
                name: list(error[i])
                for name in ("err_weak", "err_w2s", "err_ceiling", "pred_gap", "norm", "frobenius", "cka")
            },
            "molecules": 30,
            "delta_weak": i / 10,
            "delta_strong": 0.7,
            "predicted": list(-error[i]),
            "supervised": list(error[i]),
            "maps": {name: [[float(error[i, 0])]] for name in MAPPED},
        }
        for i in range(12)
    }
    t = tables_of("toy", result, {name: {"width": 8, "parameters": 10, "recipe": 8} for name in result})
    assert decomposability(t) == pytest.approx({"strong": 0.7, "weak_median": 0.55, "weak_share": 0.5})
    assert reliability(t) == pytest.approx(1.0)
    shapes = ["a"] * 6 + ["b"] * 6
    found = within_shapes(t, shapes, seed=0)
    assert found["shapes"] == 2 and found["spearman"]["norm"]["value"] == pytest.approx(1.0)
    assert found["spearman"]["predicted"]["value"] == pytest.approx(-1.0) and found["spearman"]["width"] is None
    for statistic in (spearman, kendall):
        found = correlations(t, shapes, statistic, seed=0, draws=50)
        assert [found["norm"][name] for name in ("value", "low", "high")] == pytest.approx([1.0] * 3)
        assert found["predicted"]["high"] == pytest.approx(-1.0)


def test_intervals_draw_whole_shapes():
    """Models of one shape that are copies of each other tell no more than one of them."""
    generator = np.random.default_rng(0)
    x, y = generator.standard_normal((2, 8))
    result = {
        f"m{i}-{copy}": {
            **{name: [float(x[i])] * 3 for name in BY_SPLIT},
            "err_w2s": [float(x[i] + y[i])] * 3,
            "molecules": 10, "delta_weak": 0.1, "delta_strong": 0.1,
            "maps": {name: [[0.0]] for name in MAPPED},
        }
        for i in range(8) for copy in range(4)
    }  # fmt: skip
    t = tables_of("toy", result, {name: {"width": 8, "parameters": 1, "recipe": 8} for name in result})
    copies, alone = (
        correlations(t, shapes, spearman, seed=0)["norm"]
        for shapes in ([name.split("-")[0] for name in t.models], list(t.models))
    )
    assert copies["value"] == alone["value"]
    assert copies["high"] - copies["low"] > 1.5 * (alone["high"] - alone["low"])


def test_the_zoo_of_the_experiment_is_150_models_of_the_ranges_that_the_paper_varies():
    zoo = paper_zoo()
    assert len(zoo.weak) == 150 and len(grouped(zoo.weak)) == 30
    assert {plan.width for plan in zoo.weak} >= {8, 128} and {plan.depth for plan in zoo.weak} >= {1, 8}
    assert len({plan.training.seed for plan in zoo.weak}) == 150


def test_the_published_trials_are_read_and_are_what_was_reported():
    """The files of the repository: what `--from-zoo` shows without measuring anything."""
    obtained = published(Options(from_zoo=True), paper_zoo(), Console(quiet=True))
    assert obtained is not None
    reported = json.loads((PUBLISHED / "results.json").read_text())["result"]["sets"]
    assert obtained[0].keys() == reported.keys() == {"ESOL", "FreeSolv", "Lipophilicity"}
    for data, measured in obtained[0].items():
        results = [measured[plan.name] for plan in paper_zoo().weak]
        for name, value in reported[data]["errors"].items():
            assert np.mean([result[name] for result in results]) == pytest.approx(value, rel=1e-6)
        norms, errors = (np.array([np.mean(result[name]) for result in results]) for name in ("norm", "err_w2s"))
        (found,) = spearman(np.column_stack([errors, norms]))
        assert found == pytest.approx(reported[data]["spearman"]["norm"]["value"], abs=1e-12)


def test_the_published_zoo_loads_and_gives_what_was_published(tmp_path):
    """One of its encoders, on two splits of FreeSolv: representations made anew, and measured as they were then."""
    zoo, data = paper_zoo(), load_freesolv()
    encoders, tokenizer = bundle.load_weak(PUBLISHED / bundle.WEAK, zoo)
    assert encoders.keys() == {plan.name for plan in zoo.weak}
    strong = bundle.load_strong(PUBLISHED / bundle.STRONG, [data])[data.name]
    assert strong.shape == (642, 192)
    some = {name: encoders[name] for name in ("w32-d2-h4-s1200",)}
    extracted = extract(some, tokenizer, {data.name: data.smiles}, tmp_path, Console(quiet=True))
    folder = tmp_path / "set"
    folder.mkdir()
    w2sg.save(folder / "strong.safetensors", strong)
    w2sg.save(folder / "target.npy", np.asarray(data.target))
    (folder / "molecules.txt").write_text("\n".join(data.smiles) + "\n")
    recorded, _ = read_trials(PUBLISHED / TRIALS)
    for name, path in extracted.files[data.name].items():
        others = (folder / one for one in ("strong.safetensors", "molecules.txt", "target.npy"))
        found = measure(Pairing(Path(path), *others, splits=2, seed=0))
        for quantity in ("norm", "frobenius", "predicted", "supervised", "cka", "err_weak", "err_w2s"):
            assert found[quantity] == pytest.approx(recorded[data.name][name][quantity][:2], rel=1e-3), quantity
    assert measure.name == "experiments.molecules.measure:measure" and measure.version == "3"
