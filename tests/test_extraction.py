"""Texts to representations on disk: by tiny models made on the spot, resumed, keyed by content, refused."""

import contextlib
import errno
import io
import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from rich.console import Console
from safetensors.numpy import load_file, save_file
from test_language_models import folder_of

import w2sg_jax as w2sg
from w2sg_jax import InputError
from w2sg_jax.cli import extract, main
from w2sg_jax.encoders.hub import fetched
from w2sg_jax.encoders.language_model import LanguageModel, Pretrained, open_pretrained, padded_length
from w2sg_jax.encoders.layers import Stack
from w2sg_jax.extraction.texts import Settings, extraction, told
from w2sg_jax.from_models import prediction
from w2sg_jax.store import entries

pytest.importorskip("tokenizers")
pytestmark = pytest.mark.driver  # explicit float32, as test_language_models has it with 64-bit types on
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"abcdefghijklmnopqrst"]
TEXTS = [" ".join("abcdefghijklmnopqrst"[(7 * i + j * (i % 3 + 1)) % 20] for j in range(1 + i % 12)) for i in range(40)]


def model_of(name: str, folder: Path) -> Path:
    """A tiny model's folder with a tokenizer of letters."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    folder_of(name, folder)
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


@pytest.fixture(scope="module")
def bert(tmp_path_factory) -> Path:
    folder = model_of("bert", tmp_path_factory.mktemp("models") / "tiny-bert")
    modules = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Dense", "Dense"), ("3_Normalize", "Normalize")]
    described = [{"path": path, "type": f"sentence_transformers.models.{kind}"} for path, kind in modules]
    (folder / "modules.json").write_text(json.dumps(described))
    for path, _ in modules[1:]:
        (folder / path).mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_mean_tokens": True}))
    dense = {"in_features": 8, "out_features": 5, "activation_function": "torch.nn.modules.activation.Tanh"}
    (folder / "2_Dense" / "config.json").write_text(json.dumps(dense))
    rng = np.random.default_rng(0)
    weights = {"linear.weight": rng.standard_normal((5, 8)), "linear.bias": rng.standard_normal(5)}
    save_file({key: one.astype(np.float32) for key, one in weights.items()}, folder / "2_Dense" / "model.safetensors")
    prompts = {"prompts": {"query": "a b ", "passage": ""}, "default_prompt_name": "query"}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": 12}))
    return folder


@pytest.fixture(scope="module")
def llama(tmp_path_factory) -> Path:
    return model_of("llama3", tmp_path_factory.mktemp("models") / "tiny-llama")


@pytest.fixture
def small_shards(monkeypatch):
    monkeypatch.setattr(entries, "ROWS", 16)


def test_the_pipeline_of_a_model_is_followed(bert):
    """By hand: prompt, cut, mean of the last layer, dense layer, length 1."""
    model = open_pretrained(bert)
    assert model.max_length == 12 and model.pipeline.prompt == "a b "
    loaded = model.load()
    found = loaded.represent(TEXTS)[-1, "mean"]
    last = loaded.represent(TEXTS, layers=[2], pools=["mean"])[2, "mean"]
    weights = load_file(bert / "2_Dense" / "model.safetensors")
    expected = np.tanh(last @ weights["linear.weight"].T + weights["linear.bias"])
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    assert found.shape == (40, 5) and model.tokens(TEXTS).cut == sum(len(text.split()) + 4 > 12 for text in TEXTS)
    unprompted = loaded.represent([f"a b {text}" for text in TEXTS], prompt="passage")[-1, "mean"]
    np.testing.assert_array_equal(unprompted, found)
    np.testing.assert_array_equal(loaded.represent([f"{text} \n" for text in TEXTS])[-1, "mean"], found)
    literal = loaded.represent(TEXTS, prompt="c d ")[-1, "mean"]
    assert np.abs(literal - found).max() > 1e-3


@pytest.mark.parametrize("name", ["bert", "llama"])
def test_rows_depend_on_their_text_alone(name, request):
    model = open_pretrained(request.getfixturevalue(name)).load()
    keys = {"layers": [0, 1, 2, -1], "pools": ["mean", "cls", "last"]}
    expected = model.represent(TEXTS, **keys)
    order = np.random.default_rng(0).permutation(len(TEXTS))
    shuffled = model.represent([TEXTS[row] for row in order], **keys, tokens_at_once=40)
    left = model.represent(TEXTS, **keys, padding="left", tokens_at_once=400)
    alone = model.represent(TEXTS[5:6], **keys)
    for key, rows in expected.items():
        size = np.linalg.norm(rows, axis=1)
        assert (np.linalg.norm(shuffled[key] - rows[order], axis=1) <= 1e-5 * size[order]).all()
        assert (np.linalg.norm(left[key] - rows, axis=1) <= 1e-5 * size).all()
        assert np.linalg.norm(alone[key][0] - rows[5]) <= 1e-5 * size[5]
    assert list(map(padded_length, (1, 16, 17, 24, 25, 33, 48, 49, 100, 129, 4096))) == [
        16, 16, 20, 24, 28, 40, 48, 56, 112, 160, 4096,
    ]  # fmt: skip


def test_a_store_is_read_by_name_and_goes_on(bert, llama, tmp_path, small_shards, monkeypatch):
    model, store = open_pretrained(bert), tmp_path / "store"
    keys = model.keys([0, 2, -1])
    plan = extraction(model, TEXTS, keys, store, "letters")
    assert plan.missing == (0, 1, 2) and plan.rows == 40 and not store.exists()

    class Stopped(Exception):
        pass

    def stop(done: int, total: int) -> None:
        if done > 16:
            raise Stopped

    with pytest.raises(Stopped):
        plan.run(stop)
    with pytest.raises(InputError, match=r"tiny-bert@letters is not whole: 1 of 3 shards .* run the same w2sg extract"):
        w2sg.load(store, key="tiny-bert")
    again = extraction(model, TEXTS, keys, store, "letters")
    assert again.missing == (1, 2)
    counts = []
    again.run(lambda done, total: counts.append((done, total)))
    assert counts[-1] == (24, 24)
    whole = extraction(model, TEXTS, keys, tmp_path / "other", "letters")
    whole.run()
    for key, entry in again.entries.items():
        assert [path.name for path in sorted(entry.folder.iterdir())] == [
            "entry.json", *(f"part-0000{part}-of-00003.safetensors" for part in range(3)),
        ]  # fmt: skip
        for part in range(3):
            assert entry.part(part).read_bytes() == whole.entries[key].part(part).read_bytes()
    np.testing.assert_array_equal(w2sg.load(store, key="tiny-bert")[:], model.load().represent(TEXTS)[-1, "mean"])
    assert w2sg.load(store, key="tiny-bert#2:mean@letters").shape == (40, 8)
    with pytest.raises(InputError, match="no entry is called 'tiny-bert#1'; choose one: tiny-bert"):
        w2sg.load(store, key="tiny-bert#1")
    with pytest.raises(InputError, match="3 entries are in it; choose one"):
        w2sg.load(store)
    # What is there is neither computed nor is the model loaded again; a damaged shard is.
    monkeypatch.setattr(type(model), "load", lambda *_, **__: pytest.fail("loaded again"))
    extraction(model, TEXTS, keys, store, "letters").run()
    part, other = (again.entries[key].part(1) for key in keys[:2])
    whole_part = part.read_bytes()
    for damaged in (b"\0" * 10, whole_part[:-1] + b"\0", other.read_bytes(), whole_part[:90]):
        part.write_bytes(damaged)
        assert extraction(model, TEXTS, keys, store, "letters").missing == (1,)
        with pytest.raises(InputError, match=r"2 of 3 shards are there and as they were written"):
            w2sg.load(store, key="tiny-bert#0:mean")
    part.write_bytes(whole_part)
    # A model that is renamed keeps its old name too; an entry that is damaged is in nobody's way.
    extraction(model, TEXTS, keys, store, "letters", name="new").run()
    (again.entries[keys[0]].folder / "entry.json").write_text("{")
    assert {w2sg.load(store, key=name).shape for name in ("new", "tiny-bert", "new@letters")} == {(40, 5)}
    assert extraction(model, TEXTS, keys, store, "letters").missing == ()


def test_everything_that_changes_values_changes_the_entry(bert, llama, tmp_path):
    model, store = open_pretrained(bert), tmp_path / "store"

    def folder(model=model, texts=TEXTS, layers=(-1,), pools=None, **settings) -> Path:
        plan = extraction(model, texts, model.keys(layers, pools), store, "letters", Settings(**settings))
        return next(iter(plan.entries.values())).folder

    changed = tmp_path / "changed"
    shutil.copytree(bert, changed)
    weights = load_file(bert / "model.safetensors")
    weights["embeddings.LayerNorm.bias"][0] += 1e-3
    save_file(weights, changed / "model.safetensors")
    pooled = tmp_path / "pooled"
    shutil.copytree(bert, pooled)
    (pooled / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_cls_token": True}))
    folders = [
        folder(), folder(open_pretrained(llama)), folder(open_pretrained(changed)), folder(texts=TEXTS[::-1]),
        folder(texts=TEXTS[:30]), folder(layers=(1,)), folder(pools=["cls"]), folder(max_length=5),
        folder(prompt="passage"), folder(dtype="bfloat16"), folder(stored="float16"), folder(open_pretrained(pooled)),
    ]  # fmt: skip
    assert len(set(folders)) == len(folders)
    # Line ends in texts are none between texts.
    assert folder(texts=["a\nb", "c"]) != folder(texts=["a", "b\nc"])
    assert folder(prompt="a b ") == folder(prompt="query") == folders[0] == folder(max_length=12)


def test_entries_of_one_name_are_told_apart(bert, tmp_path):
    model, store = open_pretrained(bert), tmp_path / "store"
    for dtype in ("float32", "bfloat16"):
        extraction(model, TEXTS, model.keys(), store, "letters", Settings(dtype=dtype)).run()
    with pytest.raises(InputError, match=r"2 entries are called 'tiny-bert'; choose one by its folder") as told:
        w2sg.load(store, key="tiny-bert")
    folders = [entry.folder.name for entry in entries.entries(store)]
    assert all(f"{folder} (tiny-bert@letters, dtype" in str(told.value) for folder in folders)
    first, second = (w2sg.load(store, key=folder)[:] for folder in folders)
    assert 1e-4 < np.abs(first - second).max() < 0.1


def test_pipelines_that_are_refused(bert, tmp_path):
    folder = tmp_path / "other"
    for module, config, message in (
        ("mine.Pooling", {}, r"a module mine\.Pooling is not supported"),
        ("sentence_transformers.models.WordWeights", {}, "a module WordWeights is not supported"),
        ("sentence_transformers.models.Pooling", {"pooling_mode_max_tokens": True}, "pooling by max is not supported"),
        ("sentence_transformers.models.Pooling", {}, "pooling by nothing"),
        (
            "sentence_transformers.models.Pooling",
            {"pooling_mode_mean_tokens": True, "include_prompt": False},
            "pooling without the tokens of the prompt",
        ),
    ):
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(bert, folder)
        (folder / "modules.json").write_text(json.dumps([{"path": "1_Pooling", "type": module}]))
        (folder / "1_Pooling" / "config.json").write_text(json.dumps(config))
        with pytest.raises(InputError, match=message):
            open_pretrained(folder)
    (folder / "modules.json").write_text(
        json.dumps([{"path": "../..", "type": "sentence_transformers.models.Pooling"}])
    )
    with pytest.raises(InputError, match="leads out of the folder"):
        open_pretrained(folder)


def test_what_cannot_be_extracted(bert, tmp_path, monkeypatch):
    model, store = open_pretrained(bert), tmp_path / "store"
    for layers, pools, message in (
        ([3], None, r"layers: .*tiny-bert has 0 \(the embedding\) to 2, and -1; got 3"),
        ([-2], None, "got -2"),
        ([1, 1], None, "one stands there twice"),
        ([], None, "expected at least one"),
        ([1], ["max"], "pool: expected mean, cls, last, got 'max'"),
    ):
        with pytest.raises(InputError, match=message):
            model.keys(layers, pools)
    with pytest.raises(InputError, match="dtype: expected float32 or bfloat16, got 'float64'"):
        Settings(dtype="float64")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").write_text("")
    with pytest.raises(InputError, match="this is no store of representations; give an empty folder"):
        extraction(model, TEXTS, model.keys(), tmp_path / "full", "letters")
    plan = extraction(model, TEXTS, model.keys(), store, "letters")
    with monkeypatch.context() as patch:
        patch.setattr(type(model), "available_memory", lambda _: 1000.0)
        with pytest.raises(InputError, match=r"it takes 0\.0 GiB and 0\.0 are there; take --dtype bfloat16"):
            plan.run()

    def full(*_, **__):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("safetensors.numpy.save_file", full)
        with pytest.raises(OSError, match="free some space if the disk is full"):
            plan.run()
    assert extraction(model, TEXTS, model.keys(), store, "letters").missing == (0,) and [
        path.name for path in plan.entries[model.keys()[0]].folder.iterdir()
    ] == ["entry.json"]
    broken = tmp_path / "broken"
    shutil.copytree(bert, broken)
    weights = load_file(bert / "model.safetensors")
    weights["encoder.layer.0.output.dense.bias"][:] = np.nan
    save_file(weights, broken / "model.safetensors")
    loaded = open_pretrained(broken).load()
    assert np.isfinite(loaded.represent(TEXTS, layers=[0])[0, "mean"]).all()
    with pytest.raises(
        InputError, match=r"broken: the states of layer 1 are not finite at row \d+; look at its weights"
    ):
        loaded.represent(TEXTS, layers=[0, 1, 2])


def test_a_model_that_is_not_there(tmp_path, monkeypatch, bert):
    pytest.importorskip("huggingface_hub")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.chdir(bert.parents[1])
    with pytest.raises(InputError, match=r"owner/name: the hub does not answer .* fetch https://huggingface\.co/owner"):
        fetched("owner/name")
    with pytest.raises(InputError, match=r"no/such/folder: there is no such folder or file"):
        fetched("no/such/folder")
    with pytest.raises(InputError, match="is on this machine and has none; leave it out"):
        fetched(bert, "main")
    with pytest.raises(InputError, match=r"tiny-brt: there is no such folder or file; did you mean .*tiny-bert\?"):
        fetched(f"{bert.parent.name}/tiny-brt")
    with pytest.raises(InputError, match=r"expected the folder of a model, or a \.gguf file"):
        fetched(bert / "config.json")
    other = tmp_path / "t5"
    shutil.copytree(bert, other)
    (other / "config.json").write_text(json.dumps({"model_type": "t5"}))
    with pytest.raises(InputError, match="the architecture 't5' is not supported; these are: bert, roberta"):
        open_pretrained(other)


KILLED = """
import os, signal, sys
from pathlib import Path
from w2sg_jax.encoders.layers import Stack
from w2sg_jax.encoders.language_model import open_pretrained
from w2sg_jax.extraction.texts import extraction
from w2sg_jax.store import entries
entries.ROWS = 16
model = open_pretrained(sys.argv[1])
def kill(done, total):
    if done > 20:
        os.kill(os.getpid(), signal.SIGKILL)
extraction(model, sys.argv[3].split("\\n"), model.keys([1, -1]), Path(sys.argv[2]), "letters").run(kill)
"""


def test_killed_it_goes_on_with_the_same_bytes(bert, tmp_path, small_shards):
    """kill -9 in the second shard."""
    store, model = tmp_path / "store", open_pretrained(bert)
    done = subprocess.run([sys.executable, "-c", KILLED, bert, store, "\n".join(TEXTS)], check=False)
    assert done.returncode == -signal.SIGKILL
    plan = extraction(model, TEXTS, model.keys([1, -1]), store, "letters")
    assert plan.missing == (1, 2)
    plan.run()
    whole = extraction(model, TEXTS, model.keys([1, -1]), tmp_path / "other", "letters")
    whole.run()
    for key, entry in plan.entries.items():
        for part in range(3):
            assert entry.part(part).read_bytes() == whole.entries[key].part(part).read_bytes()


@pytest.fixture
def letters(tmp_path) -> Path:
    """A person's own file: sixty texts, twenty writers."""
    rng = np.random.default_rng(1)
    rows = [[chr(97 + letter) for letter in rng.integers(20, size=rng.integers(2, 9))] for _ in range(60)]
    lines = [
        f"{' '.join(row)},{'yes' if row.count('a') + row.count('b') else 'no'},w{i % 20}" for i, row in enumerate(rows)
    ]
    path = tmp_path / "letters.csv"
    path.write_text("\n".join(["text,answer,writer", *lines]) + "\n")
    return path


def test_from_model_names_to_a_ranking(bert, llama, letters, tmp_path, capsys, monkeypatch):
    data = ["--data", str(letters), "--text", "text", "--label", "answer", "--group", "writer"]
    models = ["--strong", str(llama), "--weak", str(bert), f"{bert}#1", f"{llama}#1:mean"]
    arguments = ["predict", *data, *models, "--store", str(tmp_path / "store"), "--out", str(tmp_path / "out")]
    assert main([*arguments, "--dry-run"]) == 0
    out, err = capsys.readouterr()
    assert "texts" in err + out and not (tmp_path / "out" / "ranking.json").exists()
    assert main(arguments) == 0
    out, _ = capsys.readouterr()
    found = json.loads((tmp_path / "out" / "ranking.json").read_text())
    assert {row["name"] for row in found["result"]["rows"]} == {"tiny-bert", "tiny-bert#1:mean", "tiny-llama#1:mean"}
    assert (tmp_path / "out" / "ranking.png").exists() and "tiny-llama#1:mean" in out
    assert "Weak supervisors for tiny-llama on letters, best first" in out
    # The same by hand, from the store.
    texts = w2sg.datasets.read_text(letters, text=["text"], label="answer", group="writer")
    splits = w2sg.datasets.text_splits(texts, n=3000)
    rows = np.concatenate([splits.train, splits.w2s])
    first = len(splits.train)

    def both(folder, **key):
        found = open_pretrained(folder).load().represent([texts.texts[row] for row in rows], **key)
        (one,) = found.values()
        return one[:first], one[first:]

    strong, weak = both(llama), both(bert, layers=[1])
    by_hand = w2sg.rank(
        {"w": weak[1]},
        strong[1],
        train=({"w": weak[0]}, strong[0], texts.label[splits.train]),
        groups=texts.group[splits.w2s],
        train_groups=texts.group[splits.train],
    ).rows[0]
    row = next(row for row in found["result"]["rows"] if row["name"] == "tiny-bert#1:mean")
    assert row["supervised"] == pytest.approx(by_hand.supervised, rel=1e-6)
    assert row["intervals"]["supervised"] == pytest.approx(by_hand.intervals["supervised"], rel=1e-6)
    # Nothing is computed again, and rank reads the store.
    monkeypatch.setattr(LanguageModel, "of_tokens", lambda *_, **__: pytest.fail("computed again"))
    assert main(arguments) == 0
    capsys.readouterr()
    names = sorted(entry.name for entry in entries.entries(tmp_path / "store"))
    assert main(["rank", *(f"{tmp_path / 'store'}::{name}" for name in names)]) == 0


def test_predict_in_python(bert, tmp_path):
    """Paths are taken, also a single one; what cannot be ranked is refused before a model is run."""
    texts = w2sg.datasets.text_set("letters", TEXTS, [row % 2 for row in range(len(TEXTS))])
    ranking = w2sg.predict(texts, bert, f"{bert}#1", store=tmp_path / "store")
    assert [row.name for row in ranking.rows] == ["tiny-bert#1:mean"]
    assert prediction(texts, f"{bert}#1", [bert], store=tmp_path / "store").strong_name == "tiny-bert#1:mean"
    with pytest.raises(
        InputError, match=r"letters: \d rows in the part \w+; a ranking needs at least 8: give more texts"
    ):
        w2sg.predict(texts, bert, [bert], n=16, store=tmp_path / "other")
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (["--weak", "MODEL", "MODEL"], "two models would be called 'tiny-bert'; name them"),
        (["--weak", "a=MODEL", "MODEL#1"], "has no name and others have; write NAME=MODEL"),
        (["--weak", "MODEL#9"], "got 9"),
        (["--weak", "MODEL#x"], "expected MODEL#LAYER or MODEL#LAYER:POOLING, such as"),
        (["--weak", "MODEL#1:max"], "pool: expected mean, cls, last"),
        (["--weak", "nowhere"], "nowhere: there is no such folder or file"),
        (["--weak", "MODEL", "--max-length", "0"], "max_length: expected at least 1"),
    ],
)
def test_predict_refuses(change, message, bert, letters, tmp_path, capsys):
    data = ["--data", str(letters), "--text", "text", "--label", "answer"]
    own = [word.replace("MODEL", str(bert)) for word in change]
    assert main(["predict", *data, "--strong", str(bert), *own, "--store", str(tmp_path / "s")]) == 2
    out, err = capsys.readouterr()
    assert not out and message in err and len(err.splitlines()) == 1


def test_the_bar_says_how_many_texts_a_second(monkeypatch):
    seen = []

    @contextlib.contextmanager
    def bar(*_):
        yield lambda *what: seen.append(what)

    times = iter([10.0, 10.0, 12.0, 14.0])
    monkeypatch.setattr(extract, "progress_bar", bar)
    monkeypatch.setattr(extract.time, "perf_counter", lambda: next(times))
    with extract.texts_bar(Console()) as report:
        for done in (30, 90, 100):
            report(done, 100)
    assert seen == [(30, 100, None), (90, 100, "texts, 30 a second"), (100, 100, "texts, 18 a second")]


def test_what_predict_cannot_use_is_told_before_any_work(bert, tmp_path):
    data = w2sg.datasets.text_set("letters", TEXTS, [row % 2 for row in range(len(TEXTS))])
    for change, message in (
        ({"rigde": 1.0}, "rigde: neither predict nor rank has such an option; did you mean ridge?"),
        ({"stored": "float64"}, "stored: expected float32 or float16"),
        ({"labels": 1}, "labels: neither predict nor rank has such an option"),
        (
            {"strong": bert, "weak": ["no/one", bert, tmp_path / "two"]},
            "2 models cannot be used: no/one: .*; .*two: there",
        ),
    ):
        given = {"data": data, "strong": bert, "weak": [bert], "store": tmp_path / "store"} | change
        with pytest.raises(InputError, match=message):
            w2sg.predict(**given)
    assert not (tmp_path / "store").exists()


WRONG = """
import sys
import w2sg_jax as w2sg
from w2sg_jax.datasets import text_set

data = text_set("d", [f"a {row}" for row in range(99)], [row % 2 for row in range(99)])
given = {"data": data, "strong": sys.argv[1], "weak": [sys.argv[1]], "store": sys.argv[2]}
for change in ({"n": 10.5}, {"seed": "a"}, {"hf": "yes"}, {"weak": 5}, {"data": ["a"]}, {"strong": None}):
    try:
        w2sg.predict(**given | change)
    except w2sg.InputError as error:
        print(error)
for change in ({"store": None}, {"max_length": True}, {"prompt": 3}, {"devices": 3}, {"devices": "cpu"}):
    try:
        w2sg.predict(**given | change)
    except w2sg.InputError as error:
        print(error)
for texts, labels in ((["a", None], [0, 1]), (["a", "b"], ["x", "y"])):
    try:
        text_set("d", texts, labels)
    except w2sg.InputError as error:
        print(error)
"""


def test_arguments_of_wrong_types_are_told(bert, tmp_path):
    """Outside of the suite nobody checks types before us."""
    command = [sys.executable, "-c", WRONG, str(bert), str(tmp_path / "store")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    told = [line.partition(": ")[0] for line in done.stdout.splitlines()]
    assert told[:6] == ["n", "seed", "hf", "weak", "data", "model"], done.stdout
    assert told[6:] == ["path", "max_length", "prompt", "devices", "devices", "d", "d"], done.stdout
    assert "expected a sequence of strings as texts" in done.stdout and "labels are no numbers" in done.stdout


def test_weights_that_are_no_numbers_of_their_own_are_refused(bert, tmp_path):
    """Quantised to integers, or said to be: without their scales they would be read as other numbers."""
    folder = shutil.copytree(bert, tmp_path / "quantised")
    weights = load_file(folder / "model.safetensors")
    name = next(name for name in weights if name.endswith("query.weight"))
    save_file(weights | {name: weights[name].astype(np.int8)}, folder / "model.safetensors")
    with pytest.raises(InputError, match=f"the tensor '{name}' holds int8; quantised weights are read from GGUF"):
        open_pretrained(folder).load()
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"quantization_config": {"bits": 4}}))
    with pytest.raises(InputError, match=r"its weights are quantised, which is read from GGUF files alone. With --hf"):
        open_pretrained(folder)
    (folder / "config.json").write_text(json.dumps(config))
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
    (folder / "model.safetensors").write_text(pointer)
    with pytest.raises(InputError, match=r"model.safetensors: this file is a pointer of Git LFS.*git lfs pull"):
        open_pretrained(folder)


def test_a_prompt_is_a_name_of_all_models_or_of_none(bert, llama, tmp_path, capsys):
    data = w2sg.datasets.text_set("letters", TEXTS, [row % 2 for row in range(len(TEXTS))])
    for prompt, message in (
        ("query", f"prompt: 'query' is a prompt of {bert} and none of {llama}, which would read the word itself"),
        ("quer", "prompt: 'quer' is none of the model's own; did you mean 'query'?"),
    ):
        with pytest.raises(InputError, match=re.escape(message)):
            prediction(data, bert, [llama], n=None, store=tmp_path / "store", settings=Settings(prompt=prompt))
    one = prediction(data, bert, [f"{bert}#1"], n=None, store=tmp_path / "store", settings=Settings(prompt="query"))
    assert told(one.models[str(bert)]).count("after the prompt 'a b '") == 1
    folder = shutil.copytree(bert, tmp_path / "other")
    path = folder / "config_sentence_transformers.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"default_prompt_name": "nope"}))
    with pytest.raises(InputError, match="default_prompt_name is 'nope', and the prompts are query, passage"):
        open_pretrained(folder)


def test_representations_that_are_alike_are_named(bert, llama, tmp_path):
    data = w2sg.datasets.text_set("letters", TEXTS, [row % 2 for row in range(len(TEXTS))])
    same = shutil.copytree(bert, tmp_path / "copy")
    found = prediction(data, bert, {"x": same, "y": llama, "z": bert}, n=None, store=tmp_path / "store")
    assert found.alike == ("the strong model, x and z are the same representation",)


def test_the_first_layer_that_is_not_finite_is_named(bert, tmp_path):
    folder = shutil.copytree(bert, tmp_path / "broken")
    weights = load_file(folder / "model.safetensors")
    name = next(name for name in weights if "layer.1.intermediate" in name and name.endswith("weight"))
    save_file(weights | {name: np.full_like(weights[name], np.nan)}, folder / "model.safetensors")
    model = open_pretrained(folder)
    for dtype, advice in (("float32", "look at its weights"), ("bfloat16", "run it in float32")):
        with pytest.raises(InputError, match=f"the states of layer 2 are not finite at row \\d+; {advice}"):
            model.load(dtype=dtype).represent(TEXTS[:30])
    assert np.isfinite(model.load().represent(TEXTS, layers=[1], pools=["mean"])[1, "mean"]).all()


def test_a_weak_model_that_is_not_finite_is_a_row_with_its_reason(bert, llama, tmp_path, letters):
    texts = w2sg.datasets.read_text(letters, text=["text"], label="answer")
    folder = shutil.copytree(llama, tmp_path / "broken")
    weights = load_file(folder / "model.safetensors")
    name = next(name for name in weights if "layers.1.mlp.up" in name)
    save_file(weights | {name: np.full_like(weights[name], np.inf)}, folder / "model.safetensors")
    weak = {"a": f"{bert}#1", "b": folder, "c": f"{folder}#1:mean", "d": f"{bert}#2"}
    found = w2sg.predict(texts, bert, weak, store=tmp_path / "store")
    failed = {row.name: row.error for row in found.rows if row.error}
    assert failed.keys() == {"b", "c"} and "the states of layer 2 are not finite" in failed["b"]
    assert {row.name for row in found.rows if row.error is None} == {"a", "d"}
    alone = w2sg.predict(texts, bert, {"c": f"{folder}#1:mean", "a": f"{bert}#1"}, store=tmp_path / "store")
    assert not any(row.error for row in alone.rows), "its first layer is finite, and no other is run"
    for change in ({"errors": "raise"}, {"weak": {"b": folder}}, {"strong": folder}):
        with pytest.raises(InputError, match="not finite"):
            w2sg.predict(**{"data": texts, "strong": bert, "weak": weak, "store": tmp_path / "other"} | change)


def test_states_that_have_seen_no_text_are_refused(bert, llama):
    for model, layer, pooling in ((bert, 0, "cls"), (llama, 1, "cls"), (llama, -1, "cls")):
        with pytest.raises(InputError, match=f"pool: {pooling} of .* at layer {layer} is a special token"):
            open_pretrained(model).keys([layer], [pooling])
    assert len(open_pretrained(bert).keys([0, 1], ["cls", "mean"])) == 4 and open_pretrained(bert).keys([1], ["cls"])


def test_shards_that_are_computed_together_have_the_same_bytes_again(bert, tmp_path, small_shards, monkeypatch):
    """On an accelerator: what is missing of a group is made with the batches that the whole group had."""
    monkeypatch.setattr(Pretrained, "shards_together", 2)
    model = open_pretrained(bert)
    plan = extraction(model, TEXTS, model.keys([1, -1]), tmp_path / "store", "letters")
    assert plan.rows == 40 and plan.missing == (0, 1, 2)
    seen = []
    plan.run(lambda done, total: seen.append((done, total)))
    assert seen[-1] == (40, 40)
    paths = [entry.part(number) for entry in plan.entries.values() for number in range(3)]
    before = [path.read_bytes() for path in paths]
    paths[1].unlink()
    again = extraction(model, TEXTS, model.keys([1, -1]), tmp_path / "store", "letters")
    assert again.missing == (1,) and again.rows == 32, "the two shards of its group"
    again.run()
    assert [path.read_bytes() for path in paths] == before


def test_links_stores_and_names_that_lead_nowhere(bert, tmp_path, capsys, monkeypatch):
    (tmp_path / "link").symlink_to(tmp_path / "gone")
    with pytest.raises(InputError, match=r"link: a link to .*gone, which is not there"):
        open_pretrained(tmp_path / "link")
    store, model = tmp_path / "store", open_pretrained(bert)
    extraction(model, TEXTS, model.keys(), store, "letters").run()
    (store / entries.MARK).write_text('{"format": "w2sg_jax store 99"}')
    with pytest.raises(InputError, match="this store has another format than 'w2sg_jax store 2'; name another folder"):
        extraction(model, TEXTS, model.keys(), store, "letters")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"nothing can be written to .*file; name another folder"):
        extraction(model, TEXTS, model.keys(), tmp_path / "file/store", "letters")
    monkeypatch.setattr(entries.os, "access", lambda *_: False)
    with pytest.raises(InputError, match=rf"new: nothing can be written to {tmp_path}; name another folder"):
        extraction(model, TEXTS, model.keys(), tmp_path / "new", "letters")
    monkeypatch.undo()
    twice = shutil.copytree(bert, tmp_path / "a::b")
    plan = extraction(open_pretrained(twice), TEXTS, model.keys(), tmp_path / "other", "letters")
    plan.run()
    assert w2sg.load(tmp_path / "other", key="a:b@letters").shape == (40, 5)
    (tmp_path / "letters.csv").write_text("t,y\na,1\nb,0\n")
    options = ["--data", str(tmp_path / "letters.csv"), "--strong", f"s={bert}", "--weak", str(bert)]
    assert main(["predict", *options, "--text", "t", "--label", "y"]) == 2
    assert "names are for weak models; give the strong one as MODEL" in capsys.readouterr().err
    options[3:] = [str(bert), "--weak", f"={bert}"]
    assert main(["predict", *options, "--text", "t", "--label", "y"]) == 2
    assert "has no name before the equals sign" in capsys.readouterr().err


def test_where_nobody_sees_a_bar_a_line_a_minute_says_how_far_it_is(monkeypatch):
    times = iter([10.0, 12.0, 71.0, 75.0, 140.0])
    monkeypatch.setattr(extract.time, "perf_counter", lambda: next(times))
    console = Console(file=io.StringIO(), width=200)
    with extract.texts_bar(console) as report:
        for done in (10, 600, 640, 1290):
            report(done, 2000)
    assert console.file.getvalue() == "600 of 2000 texts, 10 a second\n1290 of 2000 texts, 10 a second\n"


@pytest.mark.parametrize("name", ["bert", "llama"])
def test_no_layer_is_run_that_nothing_needs(name, request, monkeypatch):
    """The same bits by a pass through the first layers alone, and that many operations."""
    pretrained = open_pretrained(request.getfixturevalue(name))
    model, ran = pretrained.load(), []
    whole = model.represent(TEXTS, layers=[0, 1, -1], pools=["mean"])
    real = Stack.__call__

    def run(self, x, keep, *shared, depth=None, **options):
        ran.append(depth)
        return real(self, x, keep, *shared, depth=depth, **options)

    monkeypatch.setattr(Stack, "__call__", run)
    jax.clear_caches()
    for asked in ([0], [0, 1]):
        for key, rows in model.represent(TEXTS, layers=asked, pools=["mean"]).items():
            np.testing.assert_array_equal(rows, whole[key])
    assert set(ran) == {0, 1}
    tokens = pretrained.tokens(TEXTS)
    assert pretrained.flops_of(tokens, [(1, "mean"), (0, "mean")]) * pretrained.depth == pretrained.flops_of(tokens)


def test_extract_by_command(bert, letters, tmp_path, capsys):
    arguments = ["extract", str(bert), "--data", str(letters), "--text", "text", "--label", "answer", "--json"]
    arguments += ["--layers", "all", "--pool", "mean", "last", "--out", str(tmp_path / "store"), "--n", "50"]
    assert main(arguments) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)["result"]["representations"]
    assert len(found) == 8 and found["tiny-bert@letters-50"]["width"] == 5
    assert {one["rows"] for one in found.values()} == {50} and "programs to compile: " in err
    assert (
        main(["extract", str(bert), "--data", str(letters), "--text", "text", "--store", str(tmp_path / "store")]) == 0
    )
    assert "store::tiny-bert@letters\n" in capsys.readouterr().out  # without labels
    assert w2sg.load(tmp_path / "store", key="tiny-bert@letters").shape == (60, 5)
    for change, message in ((["--layers", "0,x"], "--layers: got '0,x'; expected all"), (["--n", "99"], "has 60 rows")):
        assert main([*arguments, *change]) == 2
        assert message in capsys.readouterr().err


def test_the_benchmark_leaves_its_record(bert, tmp_path, monkeypatch, capsys):
    """Beside a peer that gives the same rows, and one that does not."""
    from benchmarks import extraction as benchmark

    data = w2sg.datasets.text_set("letters", TEXTS, [row % 2 for row in range(len(TEXTS))])
    monkeypatch.setattr(benchmark, "load_text", lambda *_: data)
    monkeypatch.setattr(benchmark, "product_rate", lambda *_, **__: 1e9)
    rows = open_pretrained(bert).load().represent(list(data.texts[:30]))[-1, "mean"]
    told = {"peer": "a peer", "seconds": 2.0, "versions": {}}
    monkeypatch.setattr(benchmark, "by_peer", lambda *_: (told, rows * (1 + 1e-5)))
    config = benchmark.Config((bert,), n=30, peer="/a/python", repeats=1, out=tmp_path)
    benchmark.main(config)
    entry = json.loads((tmp_path / "extraction.json").read_text())
    (row,) = entry["result"]["rows"]
    assert row["model"] == "tiny-bert" and row["rows"] == 30 and row["peer"] == "a peer" and row["seconds"] > 0
    assert str(tmp_path) not in json.dumps(entry["result"]) and "/a/python" not in json.dumps(entry)
    assert benchmark.markdown(entry).count("\n") == 2
    monkeypatch.setattr(benchmark, "by_peer", lambda *_: (told, rows * 1.1))
    with pytest.raises(RuntimeError, match=r"tiny-bert: rows differ by 1\.0e-01 from those of a peer"):
        benchmark.main(config)
