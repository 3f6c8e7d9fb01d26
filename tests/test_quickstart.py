"""The quickstart at toy size: it runs whole, reuses what it trained, goes on when killed, and its parts are right."""

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from helpers import output_of, wait_for
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox
from rich.console import Console
from safetensors.numpy import load_file
from scipy.stats import spearmanr

import w2sg_jax as w2sg
from w2sg_jax.datasets import MoleculeSet, load_freesolv, load_moses_sample
from w2sg_jax.datasets.splits import make_splits
from w2sg_jax.evaluation.correlation import correlate, rank_correlation
from w2sg_jax.evaluation.measure import MEASURED, PREDICTED, Measurements, measure
from w2sg_jax.evaluation.result import QuickstartResult
from w2sg_jax.quickstart import DEFAULT_ZOO, ModelPlan, QuickstartConfig, Zoo, _check, run_quickstart
from w2sg_jax.report.figures import label_points
from w2sg_jax.training import PretrainConfig
from w2sg_jax.training.zoo import Group, grouped
from w2sg_jax.training.zoo_training import Corpus, group_key

pytestmark = pytest.mark.driver

TOY = """
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job inherits that it is ignored
from pathlib import Path
from w2sg_jax.datasets import MoleculeSet, load_freesolv, load_moses_sample
from w2sg_jax.quickstart import ModelPlan, QuickstartConfig, Zoo, run_quickstart
from w2sg_jax.training import PretrainConfig

def plan(width, steps, seed):
    return ModelPlan(width, 1, 2, PretrainConfig(steps, 4, bucket_edges=(52,), seed=seed))

run_quickstart(
    QuickstartConfig(Path(sys.argv[1]), splits=2),
    zoo=Zoo(plan(8, int(sys.argv[2]), 0), (plan(4, 2, 1), plan(4, 3, 2), plan(4, 4, 3))),
    pretraining=load_moses_sample()[::1000],
    datasets=[load_freesolv()],
)
"""


def toy_plan(width: int, steps: int, seed: int) -> ModelPlan:
    return ModelPlan(width, 1, 2, PretrainConfig(steps, 4, bucket_edges=(52,), seed=seed))


TOY_ZOO = Zoo(toy_plan(8, 6, 0), (toy_plan(4, 2, 1), toy_plan(4, 3, 2), toy_plan(8, 4, 3)))


def toy_set(repeat: int = 0) -> MoleculeSet:
    whole = load_freesolv()
    smiles = whole.smiles[:120] + whole.smiles[:repeat]
    return MoleculeSet("Toy", smiles, np.append(whole.target[:120], whole.target[:repeat]), "energy", "kcal/mol")


def run_toy(out: Path, *, data: MoleculeSet | None = None, seed: int = 0, console: Console | None = None):
    with open(os.devnull, "w") as nowhere:
        return run_quickstart(
            QuickstartConfig(out, splits=3, seed=seed),
            zoo=TOY_ZOO,
            pretraining=load_moses_sample()[::1000],
            datasets=[data or toy_set()],
            console=console or Console(file=nowhere, width=160),
        )


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    out = tmp_path_factory.mktemp("toy")
    return out, run_toy(out)


def files_of(folder: Path) -> list[str]:
    return [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]


def test_everything_is_written_and_nothing_half(toy):
    out, result = toy
    groups = grouped(TOY_ZOO.plans)
    assert [group.names for group in groups] == [("w8-d1-s6", "w8-d1-s4"), ("w4-d1-s2", "w4-d1-s3")]
    names = [plan.name for plan in TOY_ZOO.plans]
    written = {re.sub(r"-[0-9a-f]{12}", "-HASH", path) for path in files_of(out)}
    kept = {f"cache/{g.name}-HASH/{n}{s}.safetensors" for g in groups for n in g.names for s in ("", "-losses")}
    kept |= {f"cache/representations/Toy-HASH/{name}-HASH.safetensors" for name in names}
    shown = {f"representations/Toy/{name}.safetensors" for name in names}
    assert written == kept | shown | {
        "results.json",
        "Toy.png",
        "representations/Toy/target.npy",
        "representations/Toy/smiles.txt",
    }
    assert w2sg.load(out / "representations/Toy/w8-d1-s6.safetensors").shape == (120, 8)
    assert json.loads((out / "results.json").read_text()) == json.loads(json.dumps(result.to_dict()))


def test_the_record_holds_every_number(toy):
    record = toy[1].to_dict()["datasets"][0]
    assert record["split_sizes"] == {"train": 48, "w2s": 48, "test": 24}
    assert set(record["weak"]) == {plan.name for plan in TOY_ZOO.weak}
    for numbers in record["weak"].values():
        assert set(numbers) == {*MEASURED, *PREDICTED, "width"}
        assert all(len(numbers[quantity]) == 3 for quantity in (*MEASURED, *PREDICTED))
        assert all(value > 0 for value in numbers["err_w2s"] + numbers["norm"])


def test_a_second_run_reuses_and_agrees(toy):
    out, result = toy
    again = run_toy(out)
    assert again.reused and not result.reused
    assert again.to_dict()["datasets"] == result.to_dict()["datasets"]


def test_another_seed_reuses_the_encoders_and_splits_otherwise(toy, tmp_path):
    out, result = toy
    other = run_toy(out, seed=1)
    assert other.reused and other.models == result.models
    assert other.to_dict()["datasets"] != result.to_dict()["datasets"]


def test_a_key_changes_with_all_that_matters():
    data, smiles, plan = toy_set(), load_moses_sample()[::1000], toy_plan(8, 6, 0)

    def key(*plans: ModelPlan, smiles=smiles, represented=data.smiles) -> str:
        return group_key(Group(plans), Corpus.build(smiles, {"Toy": represented}, longest=TOY_ZOO.longest))

    others = [
        key(replace(plan, depth=2)),
        key(toy_plan(8, 7, 0)),
        key(toy_plan(8, 6, 1)),
        key(plan, toy_plan(8, 7, 1)),
        key(plan, smiles=smiles[1:]),
        key(plan, represented=(*data.smiles, "[Xe]")),
    ]
    assert key(plan) == key(plan)
    assert len({key(plan), *others}) == 7


def test_models_are_trained_together_that_differ_in_seed_length_and_rate_alone():
    plan = toy_plan(8, 6, 0)
    rate, batch = (replace(plan.training, steps=9, **one) for one in ({"learning_rate": 1.0}, {"batch_size": 2}))
    together = [plan, replace(plan, training=rate)]
    assert [group.plans for group in grouped([plan, toy_plan(4, 2, 1), together[1]])] == [
        tuple(together),
        (toy_plan(4, 2, 1),),
    ]
    assert len(grouped([plan, replace(plan, training=batch), replace(plan, heads=1)])) == 3


def test_a_model_alone_reads_the_corpus_in_its_own_order():
    """So that a model that is alone is the one that `pretrain` gives."""
    assert Group((toy_plan(8, 6, 5),)).order_seed == 5
    assert Group((toy_plan(8, 6, 5), toy_plan(8, 7, 6))).order_seed == 0


def start_toy(out: Path, steps: int) -> subprocess.Popen:
    script = [sys.executable, "-c", TOY, str(out), str(steps)]
    return subprocess.Popen(script, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_run_goes_on_from_its_checkpoint(tmp_path, how):
    """Killed while the strong model trains; the second run starts at the checkpoint, not at the first step."""
    with start_toy(tmp_path, 400) as process:
        pattern = "cache/w8-d1-s400-*/checkpoint.safetensors"
        (checkpoint,) = wait_for("a checkpoint", lambda: list(tmp_path.glob(pattern)), process)
        process.send_signal(how)
        output_of(process, f"the run that got {how.name}")
    assert process.returncode != 0
    assert checkpoint.exists() and not (checkpoint.parent / "w8-d1-s400.safetensors").exists()
    assert not (tmp_path / "results.json").exists()
    step = int(load_file(checkpoint)["step"])
    assert step % 50 == 0 and 50 <= step < 400
    with start_toy(tmp_path, 400) as process:
        text = output_of(process, "the second run")[0].decode()
    assert process.returncode == 0, text
    assert "w8-d1-s400     goes on from its last checkpoint" in text
    assert json.loads((tmp_path / "results.json").read_text())["datasets"][0]["dataset"] == "FreeSolv"
    assert not checkpoint.exists() and (checkpoint.parent / "w8-d1-s400.safetensors").exists()


def test_repeated_molecules_stay_out_of_the_splits():
    smiles = ("C", "CC", "C", "O", "CO", "CCO", "N", "CN", "CC", "OO", "NN", "CCC", "CCN")
    splits = make_splits(smiles, splits=20, seed=0)
    assert splits.duplicates == 2
    for parts in zip(splits.train, splits.w2s, splits.test, strict=True):
        rows = np.concatenate(parts)
        assert sorted(rows) == [0, 1, 3, 4, 5, 6, 7, 9, 10, 11, 12]
    assert len({tuple(row) for row in splits.test}) > 10


def test_repeated_molecules_are_reported(tmp_path):
    assert run_toy(tmp_path, data=toy_set(repeat=5)).to_dict()["datasets"][0]["duplicates_left_out"] == 5


def test_splits_depend_on_the_seed_alone():
    smiles = load_freesolv().smiles
    first, again, other = (make_splits(smiles, splits=2, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.test, again.test)
    assert not np.array_equal(first.test, other.test)
    np.testing.assert_array_equal(make_splits(smiles, splits=5, seed=0).test[:2], first.test)


def test_too_small_sets_are_refused():
    with pytest.raises(ValueError, match="smiles: 2 distinct molecules are too few for three parts"):
        make_splits(["C", "C", "O"], splits=1, seed=0)


def test_rank_correlation_is_scipys(rng):
    x, y = rng.integers(5, size=(30, 7)).astype(float), rng.normal(size=(30, 7))
    expected = [spearmanr(a, b)[0] for a, b in zip(x, y, strict=True)]
    np.testing.assert_allclose(rank_correlation(x, y), np.array(expected, float), atol=1e-12)
    assert np.isnan(rank_correlation(np.ones((1, 4)), np.arange(4.0)[None])[0])


def test_correlation_interval_covers_and_narrows(rng):
    error = np.arange(30.0)[:, None] + np.zeros((30, 5))
    perfect = correlate(2 * error, error, seed=0)
    assert perfect.value == pytest.approx(1) and perfect.low == pytest.approx(1) == perfect.high
    noisy = correlate(error + rng.normal(scale=8, size=error.shape), error, seed=0)
    few = correlate(error[::4] + rng.normal(scale=8, size=(8, 5)), error[::4], seed=0)
    assert noisy.low < noisy.value < noisy.high < 1
    assert few.high - few.low > noisy.high - noisy.low
    assert correlate(-error, error, seed=0).value == pytest.approx(-1)


def test_measurements_are_the_library_s_own(rng):
    """Every table holds what the public functions give on the rows of that split."""
    strong, y = rng.normal(size=(60, 6)), rng.normal(size=60)
    weak = {"a": strong[:, :2] + 0.1, "b": rng.normal(size=(60, 3))}
    splits = make_splits([f"C{i}" for i in range(60)], splits=2, seed=0)
    found = measure(weak, strong, y, splits, ridge=1e-2)
    for k, name in enumerate(weak):
        for s in range(2):
            train, w2s, test = (getattr(splits, part)[s] for part in ("train", "w2s", "test"))
            h = weak[name]
            gap = w2sg.gap(w2sg.moments(h[w2s], strong[w2s], y[w2s]), ridge=1e-2)
            seen = w2sg.gap(w2sg.moments(h[train], strong[train], y[train]), ridge=1e-2)
            run = w2sg.weak_to_strong(
                (h[train], y[train]), (h[w2s], strong[w2s], y[w2s]), (h[test], strong[test], y[test]), 1e-2
            )
            expected = {"norm": gap.norm, "predicted": gap.predicted, "supervised": seen.predicted}
            expected |= {
                "frobenius": gap.frobenius,
                "dof_weak": gap.dof_weak,
                "err_weak": run.err_weak,
                "err_w2s": run.err_w2s,
                "err_ceiling": run.err_ceiling,
            }
            for quantity, value in expected.items():
                assert found.tables[quantity][k, s] == pytest.approx(value, rel=1e-9)


def test_undefined_pgr_is_left_out_of_its_mean():
    table = np.array([[1.0, np.nan, 3.0], [np.nan, np.nan, np.nan]])
    mean = Measurements(("a", "b"), {"pgr": table}).mean("pgr")
    assert mean[0] == 2.0 and np.isnan(mean[1])


def test_the_default_zoo_is_what_the_quickstart_promises():
    assert DEFAULT_ZOO.strong.width >= 96
    assert len(DEFAULT_ZOO.weak) >= 8
    widths = {plan.width for plan in DEFAULT_ZOO.weak}
    assert min(widths) == 8 and max(widths) == 64 and len(widths) >= 6


def test_a_zoo_needs_distinct_names_and_three_weak_models():
    with pytest.raises(ValueError, match="weak: names must differ"):
        Zoo(toy_plan(8, 6, 0), (toy_plan(4, 2, 1), toy_plan(4, 2, 2), toy_plan(4, 4, 3)))
    with pytest.raises(ValueError, match="needs at least 3 weak models, got 1"):
        Zoo(toy_plan(8, 6, 0), (toy_plan(4, 2, 1),))


def test_misuse_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match=r"out: .*file is a file; give the name of a folder"):
        run_quickstart(QuickstartConfig(tmp_path / "file"))
    with pytest.raises(ValueError, match="splits: got 0; expected a whole number, 1 or more"):
        run_quickstart(QuickstartConfig(tmp_path, splits=0))
    with pytest.raises(ValueError, match="seed: got -1; expected a whole number, 0 or more"):
        run_quickstart(QuickstartConfig(tmp_path, seed=-1))
    for value in (2.5, True, "3"):
        config = QuickstartConfig(tmp_path)
        object.__setattr__(config, "splits", value)
        with pytest.raises(ValueError, match=rf"splits: got {value!r}; expected a whole number, 1 or more"):
            _check(config)
    with pytest.raises(ValueError, match="distinct molecules are too few"):
        run_toy(tmp_path, data=replace(toy_set(), smiles=("C", "O"), target=np.zeros(2)))
    assert os.listdir(tmp_path) == ["file"]


def said(out: Path) -> tuple[str, QuickstartResult]:
    """What a toy run prints, and its result."""
    console = Console(file=io.StringIO(), width=160)
    result = run_toy(out, console=console)
    return console.file.getvalue(), result  # pyright: ignore[reportAttributeAccessIssue]


STRONG = "w8-d1-h2-*/w8-d1-s6.safetensors"
REPRESENTATION = "representations/Toy-*/w8-d1-s6-*.safetensors"


@pytest.mark.parametrize("pattern", [STRONG, REPRESENTATION])
@pytest.mark.parametrize("content", [b"", b"damaged", None])
def test_a_damaged_file_is_made_again(toy, tmp_path, pattern, content):
    out, result = toy
    shutil.copytree(out / "cache", tmp_path / "cache")
    (path,) = tmp_path.glob(f"cache/{pattern}")
    arrays = load_file(path)
    path.write_bytes(path.read_bytes()[:-8] if content is None else content)
    text, again = said(tmp_path)
    if pattern == STRONG:
        assert "w8-d1-h2       a file is damaged and all is trained again" in text
    else:
        assert f"{path.name} is damaged: made again" in text
    assert text.count("is damaged") == 1 and path.name in text
    assert text.count("2 models reused from an earlier run") == (1 if pattern == STRONG else 2)
    for key, array in load_file(path).items():
        np.testing.assert_array_equal(array, arrays[key])
    assert again.to_dict()["datasets"] == result.to_dict()["datasets"]
    assert not again.reused
    assert sorted(files_of(tmp_path)) == sorted(files_of(out))


def test_representations_of_other_molecules_are_made_again(toy, tmp_path):
    shutil.copytree(toy[0] / "cache", tmp_path / "cache")
    (path,) = tmp_path.glob(f"cache/{REPRESENTATION}")
    w2sg.save(path, np.zeros((7, 8), np.float32))
    assert f"{path.name} is damaged" in said(tmp_path)[0]
    assert w2sg.load(path).shape == (120, 8)


def test_a_damaged_checkpoint_is_left_and_stale_files_go(toy, tmp_path):
    out, result = toy
    shutil.copytree(out / "cache", tmp_path / "cache")
    (path,) = tmp_path.glob(f"cache/{STRONG}")
    path.unlink()
    path.with_name("checkpoint.safetensors").write_bytes(b"damaged")
    for folder in (path.parent, *tmp_path.glob("cache/representations/Toy-*")):
        stale = folder / ".checkpoint-0123456789ab.tmp.safetensors"
        stale.touch()
        os.utime(stale, (0, 0))
    text, again = said(tmp_path)
    assert "a file is damaged and all is trained again" in text and "checkpoint.safetensors is not a whole" in text
    assert sorted(files_of(tmp_path)) == sorted(files_of(out))
    assert again.to_dict()["datasets"] == result.to_dict()["datasets"]


def test_molecules_too_long_for_the_batches_are_left_out_and_counted(tmp_path):
    console = Console(file=io.StringIO(), width=160)
    run_quickstart(
        QuickstartConfig(tmp_path, splits=1),
        zoo=TOY_ZOO,
        pretraining=[*load_moses_sample()[::1000], "C" * 52],
        datasets=[toy_set()],
        console=console,
    )
    assert "1 molecules have more than 52 tokens" in console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]


def drawn(points: np.ndarray, errors: np.ndarray | None = None) -> tuple[Axes, list[Bbox], np.ndarray]:
    """An axis with named points, the extents of the names and the points in pixels."""
    figure = Figure(figsize=(6, 5))
    FigureCanvasAgg(figure)
    axis = figure.subplots()
    axis.plot(*points.T, "o")
    figure.draw_without_rendering()
    names = tuple(f"w{8 * k}-d2-s{100 * k}" for k in range(len(points)))
    label_points(axis, points, names, errors=errors)
    assert [text.get_text() for text in axis.texts] == list(names)
    return axis, [text.get_window_extent() for text in axis.texts], axis.transData.transform(points)


def test_labels_of_crowded_points_keep_their_distance(rng):
    points = np.concatenate([rng.normal(scale=0.02, size=(6, 2)), rng.normal(size=(4, 2))])
    axis, boxes, centres = drawn(points)
    for i, box in enumerate(boxes):
        assert not any(box.padded(2).overlaps(other) for other in boxes[i + 1 :])
        assert not any(box.contains(x, y) for x, y in centres)
        assert axis.bbox.x0 <= box.x0 and box.x1 <= axis.bbox.x1
        assert axis.bbox.y0 <= box.y0 and box.y1 <= axis.bbox.y1
    assert all(line.get_linestyle() == ":" for line in axis.lines[1:])


def test_labels_stay_off_error_bars_and_beside_their_points(rng):
    points = np.column_stack([np.arange(8.0), rng.normal(size=8)])
    errors = np.full((8, 2), 0.3)
    axis, boxes, centres = drawn(points, errors)
    ends = axis.transData.transform(points + errors) - centres
    for index, box in enumerate(boxes):
        for (a, b), (across, up) in zip(centres, ends, strict=True):
            assert not box.overlaps(Bbox.from_extents(a - across, b - 0.1, a + across, b + 0.1))
            assert not box.overlaps(Bbox.from_extents(a - 0.1, b - up, a + 0.1, b + up))
        away = [np.linalg.norm(np.clip(at, box.min, box.max) - at) for at in centres]
        assert np.argmin(away) == index
