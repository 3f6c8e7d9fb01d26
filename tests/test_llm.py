"""The experiment with fine-tuned language models, at toy size: run, resumed, published, read back, refused."""

import io
import json
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console
from test_embeddings import texts
from test_extraction import llama as llama

from experiments.llm import hub, models, obtain
from experiments.llm import run as experiment
from experiments.llm.measure import Training, _logistic_heads, _ridge_heads, _Task
from experiments.llm.models import Network, Task
from experiments.llm.options import Options
from experiments.llm.results import markdown
from w2sg_jax import InputError
from w2sg_jax.evaluation.two_classes import two_class_errors

pytestmark = pytest.mark.driver
QUIET = Console(quiet=True)


@contextmanager
def toy():
    """One network of two blocks, and one task, in the place of all."""
    with pytest.MonkeyPatch.context() as patch:
        for module in (models, obtain, experiment):
            patch.setattr(module, "NETWORKS", (Network("llama", "owner/llama", (1, 2), 2),), raising=False)
            patch.setattr(module, "TASKS", (Task("one", 32),), raising=False)
        patch.setattr(obtain, "load_text", texts)
        patch.setattr("w2sg_jax.evaluation.leaderboard.FEWEST", 2)
        patch.setattr("experiments.llm.analyse.FEWEST", 2)
        patch.setattr(experiment, "DRAWS", 50)
        yield


@pytest.fixture
def small():
    with toy():
        yield


@pytest.fixture(scope="module")
def finished(llama, tmp_path_factory):
    options = Options(
        tmp_path_factory.mktemp("llm"), models=(f"llama={llama}",), strong=("llama",), tasks=("one",), rows=60,
        splits=1, epochs=2, rank=2, labels=("soft", "hard"), workers=1,
    )  # fmt: skip
    with toy():
        assert experiment.run(options, console=QUIET) == 0
    return options


def _result(options):
    return json.loads((options.results / "results.json").read_text())["result"]


def test_everything_is_written(finished):
    trials = json.loads((finished.results / experiment.TRIALS).read_text())
    assert len(trials["rows"]) == 2, "two weak models, one strong one"
    assert len(trials["losses"]) == 2 + 1 + 2 * 2
    for row in trials["rows"]:
        assert 0 < row["err_w2s"] < 1 and 0 <= row["hard:err_w2s_01"] <= 1 and len(row["err_w2s_resampled"]) == 25
        assert {"pretrained:norm@own", "tuned:predicted_err_w2s@own", "ridge:err_w2s", "logistic:err_ceiling"} <= set(
            row
        )
        assert row["pretrained:width"] == 8 and row["err_ceiling"] > 0
    assert len({row["err_ceiling"] for row in trials["rows"]}) == 1, "one ceiling a split"
    (pair,) = _result(finished)["pairs"]
    assert set(pair["models"]) == {"llama[:1]", "llama[:2]"} and pair["depth"] == {"llama[:1]": 1, "llama[:2]": 2}
    assert "| llama[:1] |" in markdown(_result(finished))
    assert {"depths.png", "trends.png", "losses.png"} <= {path.name for path in finished.results.iterdir()}


def test_a_second_run_and_published_trials_give_the_same_and_train_nothing(finished, small, tmp_path, monkeypatch):
    before = _result(finished)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("w2sg_jax.batch.local.run_locally", lambda *_, **__: pytest.fail("trained again"))
        assert experiment.run(finished, console=QUIET) == 0
    assert _result(finished) == before
    monkeypatch.setattr(experiment, "RESULTS", finished.results)
    again = Options(tmp_path, from_trials=True)
    assert experiment.run(again, console=QUIET) == 0
    assert _result(again) == before


def test_pupils_learn_from_what_teachers_said_of_other_rows(finished, small):
    """Labels on disk: those of the weakly labelled rows alone, and as the teacher's record has them."""
    from w2sg_jax.batch import Records

    records = [one for one in Records(finished.out / "trials").all().values() if one["function"].endswith(":tune")]
    teachers = [one for one in records if one["config"]["part"] == 0]
    assert len(teachers) == 2 and len(records) == 2 + 1 + 4
    for teacher in teachers:
        config = teacher["config"]
        part = np.load(config["labelled"]["parts"])
        split, depth = config["training"]["seed"], config["model"]["depth"]
        folder = finished.out / "tasks"
        (soft,) = folder.glob(f"*/labels/{split}-soft-llama[[]:{depth}].npy")
        (hard,) = folder.glob(f"*/labels/{split}-hard-llama[[]:{depth}].npy")
        said = np.array(teacher["result"]["probabilities"])[part == 1]
        np.testing.assert_allclose(np.load(soft), said, rtol=1e-6)
        np.testing.assert_array_equal(np.load(hard), said > 0.5)
        assert len(teacher["result"]["losses"]) == 2 * -(-(part == 0).sum() // 16)


def test_heads_on_frozen_representations():
    rng = np.random.default_rng(0)
    strong = rng.normal(size=(300, 6))
    weak = strong[:, :3] + 0.5 * rng.normal(size=(300, 3))
    label = (strong[:, 0] + 0.3 * rng.normal(size=300) > 0).astype(float)
    task = _Task([], label, np.arange(300) // 2, np.arange(300) % 3)
    test = task.part == 2
    for heads in (_ridge_heads(task, weak, strong), _logistic_heads(task, weak, strong)):
        said = [np.array(heads[name]) for name in ("weak", "w2s", "ceiling")]
        found = two_class_errors(label[test], *said, task.group[test])
        assert found["err_ceiling_01"] < 0.15 and found["err_ceiling"] < found["err_weak"] < 0.25
        assert found["err_ceiling"] < found["err_w2s"] < 0.25 and found["pred_gap"] > 0


def test_a_dry_run_says_what_would_be_trained(finished, small):
    console = Console(file=io.StringIO(), width=150)
    assert experiment.run(replace(finished, dry_run=True), console=console) == 0
    told = console.file.getvalue()
    assert "To be trained" in told and "llama" in told and " 5 " in told, (
        "two teachers, of two kinds of labels each, and a ceiling"
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"models": ("bart",)}, "models: 'bart' is none of smollm2, gemma"),
        ({"tasks": ("cola",)}, "tasks: cola; choose of amazon, sciq"),
        ({"models": ("smollm2=x", "smollm2=y")}, "models: smollm2 twice"),
        ({"models": ("gemma=x",)}, "strong: smollm2 is not among the models, gemma"),
        ({"labels": ()}, "labels: give soft, hard, or both"),
        ({"learning_rate": 0.0}, "learning_rate: expected a positive number"),
        ({"splits": 0}, "splits: got 0"),
        ({"from_trials": True, "dry_run": True}, "--from-trials: the trials in the repository are as they are"),
    ],
)
def test_bad_options_are_refused_before_work(options, message, tmp_path):
    with pytest.raises(InputError, match=message):
        experiment.run(Options(tmp_path / "out", **options), console=QUIET)


def test_another_network_under_a_name_is_told(llama, tmp_path):
    with pytest.raises(InputError, match=r"has 2 blocks, smollm2 has 30; is it another model\?"):
        experiment.run(Options(tmp_path / "out", models=(f"smollm2={llama}",), strong=("smollm2",)), console=QUIET)


def test_models_of_the_hub_are_sized_by_their_shapes(monkeypatch, tmp_path):
    shapes = hub.networks()
    assert len(hub.WEAK) == 28 and len(shapes) == 29
    sizes = {network.hub: shape.parameters for network, shape in shapes.items()}
    # As published, without the last matrix where that is not the embedding.
    assert sizes["openai-community/gpt2"] == 124_439_808 and sizes["HuggingFaceTB/SmolLM2-135M"] == 134_515_008
    assert min(sizes.values()) > 1e8 and sizes.pop("mistralai/Mistral-7B-v0.3") > 7e9 and max(sizes.values()) < 3.3e9
    monkeypatch.setattr(experiment, "load_text", texts)
    console = Console(file=io.StringIO(), width=150)
    assert experiment.run(Options(tmp_path, zoo="hub", dry_run=True, tasks=("amazon",)), console=console) == 0
    (told,) = [line for line in console.file.getvalue().splitlines() if "mistral" in line]
    assert " 87 " in told, "28 pupils and a ceiling, three times"


def test_rank_zero_trains_whole_models():
    training = Training(1, 2, 1e-3, 0, 8, "bfloat16", 3)
    assert training.config.lora is None and training.config.dtype == "bfloat16" and training.config.seed == 3
    assert replace(training, rank=4).config.lora.alpha == 8
