"""Models by their own libraries, in a process of their own: what the process may do, and what it gives."""

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import wait_for
from safetensors.numpy import load_file, save_file
from test_extraction import TEXTS, bert, letters, model_of  # noqa: F401  fixtures

from w2sg_jax import InputError
from w2sg_jax.cli import main
from w2sg_jax.encoders import foreign_model, foreign_process
from w2sg_jax.encoders.foreign_model import ForeignModel, open_model
from w2sg_jax.encoders.foreign_process import Worker
from w2sg_jax.encoders.language_model import Pretrained, open_pretrained
from w2sg_jax.extraction.texts import Settings, extraction, told
from w2sg_jax.store import entries, load

FAKE = """
import json, os, sys, time
import numpy as np
mode = sys.argv[1]
MARK = "w2sg "
def answer(**what):
    print(MARK + json.dumps(what), flush=True)
for line in sys.stdin:
    request = json.loads(line)
    print("a library has something to say", flush=True)
    os.write(1, b"Loading weights:  50%\\r\\n")
    if request["do"] == "describe":
        answer(answer={"depth": 2, "widths": [3, 3, 3], "width": 3, "pipeline": None, "parameters": 10, "embedding": 4,
                       "heads": 1, "limits": [6], "causal": False, "device": "cpu", "memory": None})
    elif request["do"] == "count":
        answer(answer=[len(text.split()) for text in request["texts"]])
    elif mode == "dies":
        print("before\\nRuntimeError: the library fell over\\n", file=sys.stderr, flush=True)
        os._exit(3)
    elif mode == "killed":
        os.kill(os.getpid(), 9)
    elif mode == "garbage":
        print(MARK + "{[", flush=True)
    elif mode == "refuses":
        answer(error="ValueError: The repository contains custom code; pass trust_remote_code=True")
    elif mode == "no memory":
        answer(error="OutOfMemoryError: CUDA out of memory")
    elif mode == "waits":
        answer(rows=1)
        time.sleep(100)
    else:
        paths = []
        for number, (layer, pooling) in enumerate(request["keys"]):
            rows = [[len(text), layer, len(request["prompt"])] for text in request["texts"]]
            paths.append(os.path.join(request["folder"], f"{number}.npy"))
            np.save(paths[-1], np.array(rows, np.float32)[:, : 2 if mode == "narrow" else 3])
        for _ in request["texts"]:
            answer(rows=1)
        answer(answer=paths)
while mode == "hangs":
    time.sleep(1)
"""


@pytest.fixture
def fake(tmp_path, monkeypatch):
    """A model of an unknown architecture, and the process of its library, which behaves in some way."""
    folder = tmp_path / "odd"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "odd"}))
    save_file({"weight": np.zeros(3, np.float32)}, folder / "model.safetensors")
    (tmp_path / "fake.py").write_text(FAKE)
    monkeypatch.setattr(foreign_model, "check", lambda *_, **__: None)
    monkeypatch.setattr(foreign_model, "version", lambda name: "1.0")
    workers = []

    def start(mode: str = "answers") -> Path:
        monkeypatch.setattr(foreign_process, "COMMAND", (sys.executable, str(tmp_path / "fake.py"), mode))
        workers.append(Worker())
        monkeypatch.setattr(foreign_model, "worker", lambda trusted: workers[-1])
        return folder

    yield start
    for one in workers:
        one.close()


def test_a_foreign_model_fills_a_store(fake, tmp_path, monkeypatch):
    monkeypatch.setattr(entries, "ROWS", 16)
    model = open_model(fake(), hf=True)
    assert isinstance(model, ForeignModel) and model.keys() == [(-1, "mean")] and model.max_length == 6
    plan = extraction(model, TEXTS, model.keys([0, -1]), tmp_path / "store", "letters")
    counts = []
    plan.run(lambda done, total: counts.append((done, total)))
    assert model.process._process is None  # the library gave its memory back
    assert counts == [(row, 40) for row in range(1, 41)]
    found = load(tmp_path / "store", key="odd@letters")[:]
    np.testing.assert_array_equal(found, [[len(text), -1, 0] for text in TEXTS])
    assert load(tmp_path / "store", key="odd#0:mean@letters").shape == (40, 3)
    assert plan.tokens.cut == sum(len(text.split()) > 6 for text in TEXTS) and plan.programs == 0
    assert told(plan).endswith("GiB; by transformers 1.0, torch 1.0")
    assert plan.entries[-1, "mean"].made_from["by"] == "transformers 1.0, torch 1.0"
    assert not extraction(model, TEXTS, model.keys([0, -1]), tmp_path / "store", "letters").missing


def test_what_changes_values_changes_the_entry_of_a_foreign_model(fake, tmp_path, monkeypatch):
    folder = fake()

    def entry(**settings) -> Path:
        model = open_model(folder, hf=True)
        plan = extraction(model, TEXTS, model.keys(), tmp_path / "store", "letters", Settings(**settings))
        return plan.entries[-1, "mean"].folder

    found = [entry(), entry(prompt="a "), entry(max_length=3)]
    assert entry(max_length=6) == entry(max_length=100) == found[0]
    (folder / "README.md").write_text("Nothing depends on it.")
    assert entry() == found[0]
    (folder / "tokenizer.model").write_text("x")
    found.append(entry())
    save_file({"weight": np.ones(3, np.float32)}, folder / "model.safetensors")
    found.append(entry())
    monkeypatch.setattr(foreign_model, "version", lambda name: "2.0")
    found.append(entry())
    assert len(set(found)) == len(found)


@pytest.mark.parametrize(
    ("mode", "message"),
    [
        ("dies", r"odd: the process of its own library ended: RuntimeError: the library fell over"),
        (
            "killed",
            r"odd: the process of its own library ended by signal 9 \(the kernel does so when memory runs out\)",
        ),
        ("garbage", r"odd: the process of its library answers 'w2sg \{\['; run it again"),
        ("refuses", r"it comes with Python code of its own, which is not run; read it, and take --trust-remote-code"),
        ("no memory", r"OutOfMemoryError: CUDA out of memory; take --dtype bfloat16, a smaller --max-length"),
        ("narrow", r"layer -1 came as \(40, 2\), expected \(40, 3\)"),
    ],
)
def test_what_a_process_may_do_is_one_error(mode, message, fake):
    model = open_model(fake(mode), hf=True)
    with pytest.raises(InputError, match=message) as refused:
        model.load().represent(TEXTS)
    assert "\n" not in str(refused.value)
    if mode == "dies":
        assert any("before" in note for note in refused.value.__notes__)
    # The next request starts another process, where this one ended.
    assert model.tokens(TEXTS).cut > 0


def test_a_process_that_does_not_end_is_killed(fake, monkeypatch):
    monkeypatch.setattr(foreign_process, "PATIENCE", 0.2)
    model = open_model(fake("hangs"), hf=True)
    process = model.process._process
    assert process.poll() is None
    model.load().close()
    assert process.returncode == -signal.SIGKILL


def test_an_interrupt_ends_the_work_of_the_process(fake, monkeypatch):
    """The answer to the request that was given up must not be taken for that to the next one."""
    monkeypatch.setattr(foreign_process, "PATIENCE", 0.2)
    model = open_model(fake("waits"), hf=True)
    process = model.process._process

    def interrupt(rows: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        model.load().represent(TEXTS, on_rows=interrupt)
    assert process.returncode is not None
    assert len(model.tokens(TEXTS)) == 40


def test_which_models_go_to_their_own_library(fake, bert, tmp_path):  # noqa: F811
    odd = fake()
    with pytest.raises(InputError, match=r"'odd' is not supported.* With --hf \(hf=True\) .* \"w2sg_jax\[hf\]\""):
        open_model(odd)
    with pytest.raises(InputError, match="trust_remote_code: our encoders never run a model's code"):
        open_model(odd, trust_remote_code=True)
    assert isinstance(open_model(bert), Pretrained) and isinstance(open_model(bert, hf=True), Pretrained)
    assert isinstance(open_model(bert, hf="all"), ForeignModel) and isinstance(open_model(odd, hf=True), ForeignModel)
    with pytest.raises(InputError, match="nowhere: there is no such folder or file"):
        open_model("nowhere", hf=True)
    (odd / "config.json").write_text(json.dumps({"model_type": "odd", "transformers_version": "5.3.0.dev0"}))
    with pytest.raises(
        InputError, match=r"was written by transformers 5\.3\.0\.dev0, and 1\.0 is installed: pip install"
    ):
        open_model(odd, hf=True)
    (odd / "model.safetensors").rename(odd / "model.pt")
    with pytest.raises(InputError, match=r"there are no weights as safetensors or pytorch_model\.bin"):
        open_model(odd, hf=True)
    mine = tmp_path / "mine"
    shutil.copytree(bert, mine)
    modules = json.loads((bert / "modules.json").read_text())
    for kind in ("mine.Pooling", "sentence_transformers.util.torch", "custom_st.Transformer"):
        (mine / "modules.json").write_text(json.dumps([*modules, {"path": "", "type": kind}]))
        with pytest.raises(InputError, match=r"is Python code of the model's own, which is not run; read it, and take"):
            open_model(mine, hf="all")


def test_texts_that_a_foreign_model_refuses(fake):
    model = open_model(fake(), hf=True)
    for texts, message in (
        ([], "expected a sequence of at least one text"),
        (["a", ""], r"'' gives no token \(row 1\)"),
        (["\ud800"], "half of a surrogate pair"),
    ):
        with pytest.raises(InputError, match=message):
            model.tokens(texts)


def test_a_foreign_model_by_command(fake, bert, letters, tmp_path, capsys, monkeypatch):  # noqa: F811
    monkeypatch.delenv("XLA_PYTHON_CLIENT_PREALLOCATE", raising=False)
    odd = fake()
    data = ["--data", str(letters), "--text", "text", "--label", "answer", "--store", str(tmp_path / "store")]
    assert main(["extract", str(odd), *data]) == 2
    assert "--hf" in capsys.readouterr().err
    assert main(["extract", str(odd), *data, "--trust-remote-code"]) == 2
    assert "with --hf" in capsys.readouterr().err
    assert main(["extract", str(odd), *data, "--hf", "--layers", "all", "--json"]) == 0
    out, err = capsys.readouterr()
    assert "by transformers 1.0" in err and len(json.loads(out)["result"]["representations"]) == 4
    assert main(["extract", str(odd), *data, "--hf", "--trust-remote-code"]) == 0
    assert "may read, change and send what you can" in "".join(capsys.readouterr())
    assert main(["predict", *data, "--strong", str(bert), "--weak", str(odd), f"{odd}#0", "--hf"]) == 0
    assert "odd#0:mean" in capsys.readouterr().out
    assert os.environ.pop("XLA_PYTHON_CLIENT_PREALLOCATE") == "false"


# What follows needs the libraries themselves.


@pytest.fixture(scope="module")
def libraries():
    """transformers and torch; their processes end with the tests."""
    pytest.importorskip("transformers")
    pytest.importorskip("torch")
    yield
    for trusted in (False, True):
        foreign_process.worker(trusted).close()


def with_tokenizer(folder: Path) -> Path:
    """A folder with a tokenizer of letters, as ``transformers`` finds it."""
    if not (folder / "tokenizer.json").exists():
        other = model_of("bert", folder.parent / f"tokenizer-{folder.name}")
        shutil.copy(other / "tokenizer.json", folder)
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "[PAD]", "model_max_length": 16}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


def largest(found, expected) -> float:
    """Relative error of the worst row."""
    return float((np.linalg.norm(found - expected, axis=1) / np.linalg.norm(expected, axis=1)).max())


@pytest.mark.driver
@pytest.mark.parametrize(
    "name", ["bert", "roberta", "mpnet", "distilbert", "llama3", "qwen3", "gemma3", "gpt2", "gpt-neox"]
)
def test_both_ways_give_the_same(name, libraries, tmp_path):
    folder = with_tokenizer(model_of(name, tmp_path / name))
    ours, theirs = open_model(folder), open_model(folder, hf="all")
    assert (theirs.depth, theirs.pooling, theirs.max_length) == (ours.depth, ours.pipeline.pooling, ours.max_length)
    options = {"layers": [*range(ours.depth + 1), -1], "pools": ["mean", "cls", "last"]}
    expected, found = ours.load().represent(TEXTS, **options), theirs.load().represent(TEXTS, **options)
    np.testing.assert_array_equal(theirs.tokens(TEXTS).lengths, ours.tokens(TEXTS).lengths)
    for key, rows in expected.items():
        assert largest(found[key], rows) <= 1e-5, key
    assert theirs.flops_of(theirs.tokens(TEXTS)) == pytest.approx(ours.flops_of(ours.tokens(TEXTS)), rel=0.1)


@pytest.mark.driver
def test_a_pipeline_is_that_of_sentence_transformers(libraries, bert, tmp_path):  # noqa: F811
    pytest.importorskip("sentence_transformers")
    folder = tmp_path / "tiny"
    shutil.copytree(bert, folder)
    with_tokenizer(folder)
    modules = json.loads((folder / "modules.json").read_text())
    named = [{"idx": number, "name": str(number), **one} for number, one in enumerate(modules)]
    (folder / "modules.json").write_text(json.dumps(named))

    def pool(mode: str) -> None:
        modes = {f"pooling_mode_{one}": one == mode for one in ("mean_tokens", "cls_token", "max_tokens")}
        (folder / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": 8, **modes}))

    pool("mean_tokens")
    ours, theirs = open_pretrained(folder), open_model(folder, hf="all")
    assert theirs.width_of((-1, "mean")) == 5 and theirs.keys() == ours.keys() and theirs.max_length == 12
    options = {"layers": [0, 2, -1], "pools": ["mean"]}
    for prompt, length in ((None, None), ("passage", 5), ("c d ", None)):
        expected = ours.load().represent(TEXTS, **options, prompt=prompt, max_length=length)
        found = theirs.load().represent(TEXTS, **options, prompt=prompt, max_length=length)
        for key, rows in expected.items():
            assert largest(found[key], rows) <= 1e-5, (prompt, key)
    half = theirs.load(dtype="bfloat16").represent(TEXTS)[-1, "mean"]
    assert 1e-5 < largest(half, theirs.load().represent(TEXTS)[-1, "mean"]) < 0.1
    # A pooling that is none of ours.
    pool("max_tokens")
    with pytest.raises(InputError, match="pooling by max is not supported"):
        open_model(folder)
    model = open_model(folder, hf=True)
    assert model.keys([1, -1]) == [(1, "mean"), (-1, "pipeline")]
    found = model.load().represent(TEXTS, layers=[1, -1])
    assert found[-1, "pipeline"].shape == (40, 5) and found[1, "mean"].shape == (40, 8)


@pytest.mark.driver
@pytest.mark.filterwarnings("ignore:Importing from 'sentence_transformers.models'")
def test_a_pipeline_without_a_transformer(libraries, tmp_path):
    pytest.importorskip("sentence_transformers")
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.models import StaticEmbedding
    from tokenizers import Tokenizer

    other = model_of("bert", tmp_path / "other")
    weights = np.random.default_rng(0).standard_normal((24, 6)).astype(np.float32)
    tokenizer = Tokenizer.from_file(str(other / "tokenizer.json"))
    SentenceTransformer(modules=[StaticEmbedding(tokenizer, embedding_weights=weights)]).save(str(tmp_path / "static"))
    model = open_model(tmp_path / "static", hf=True)
    assert model.keys() == [(-1, "pipeline")] and model.width_of((-1, "pipeline")) == 6
    with pytest.raises(InputError, match="has -1 alone; got 0"):
        model.keys([0])
    found = model.load().represent(TEXTS)[-1, "pipeline"]
    expected = [weights[tokenizer.encode(text, add_special_tokens=False).ids].mean(0) for text in TEXTS]
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


ODD = {
    "t5": (
        "T5Config",
        {"d_model": 8, "d_kv": 4, "d_ff": 12, "num_layers": 2, "num_heads": 2, "vocab_size": 24},
        "mean",
    ),
    "electra": (
        "ElectraConfig",
        {"embedding_size": 6, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2,
         "intermediate_size": 12, "vocab_size": 24, "max_position_embeddings": 16},
        "mean",
    ),
    "opt": (
        "OPTConfig",
        {"hidden_size": 8, "word_embed_proj_dim": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "ffn_dim": 12,
         "vocab_size": 24, "max_position_embeddings": 16},
        "last",
    ),
    "mamba": ("MambaConfig", {"hidden_size": 8, "num_hidden_layers": 2, "state_size": 4, "vocab_size": 24}, "last"),
}  # fmt: skip


@pytest.mark.driver
@pytest.mark.parametrize("name", ODD)
def test_an_architecture_of_no_encoder_of_ours(name, libraries, tmp_path):
    """By the blocks of the model itself, one text at a time."""
    import torch
    import transformers

    kind, settings, pooling = ODD[name]
    torch.manual_seed(0)
    model = transformers.AutoModel.from_config(getattr(transformers, kind)(**settings, pad_token_id=0)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.4 * torch.randn_like(parameter))
    folder = tmp_path / name
    model.save_pretrained(folder)
    with_tokenizer(folder)
    with pytest.raises(InputError, match="is not supported"):
        open_model(folder)
    opened = open_model(folder, hf=True)
    assert opened.depth == 2 and opened.pooling == pooling and opened.width_of((0, "mean")) == 8
    found = opened.load().represent(TEXTS, layers=[0, 1, 2, -1], pools=["mean", "last"])
    core = model.get_encoder() if name == "t5" else model.decoder if name == "opt" else model
    blocks = {"t5": lambda: core.block, "electra": lambda: core.encoder.layer, "opt": lambda: core.layers,
              "mamba": lambda: core.layers}[name]()  # fmt: skip
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    for row in (0, 7, 11):
        seen = []

        def before(_, given, named, seen=seen):
            seen.append(given[0] if given else named["hidden_states"])

        def after(_, given, made, seen=seen):
            seen.append(made[0] if isinstance(made, tuple) else made)

        hooks = [blocks[0].register_forward_pre_hook(before, with_kwargs=True)]
        hooks += [block.register_forward_hook(after) for block in blocks]
        ids = torch.tensor([tokenizer(TEXTS[row], truncation=True)["input_ids"]])
        with torch.no_grad():
            last = core(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
        for hook in hooks:
            hook.remove()
        for layer, states in zip((0, 1, 2, -1), (*seen, last), strict=True):
            expected = states[0].mean(0, keepdim=True).numpy()
            assert largest(found[layer, "mean"][row : row + 1], expected) <= 1e-5, (row, layer)
            expected = states[0][-1:].numpy()
            assert largest(found[layer, "last"][row : row + 1], expected) <= 1e-5, (row, layer)
    order = np.random.default_rng(0).permutation(len(TEXTS))
    again = opened.load().represent([TEXTS[one] for one in order], layers=[-1])[-1, pooling]
    assert pooling == "mean" or largest(again, found[-1, "last"][order]) <= 1e-5


@pytest.mark.driver
def test_nothing_that_a_model_ships_is_run(libraries, tmp_path):
    """Code beside the weights, and in a pickle, unless the user trusts the code; never that in a pickle."""
    folder, mark = with_tokenizer(model_of("bert", tmp_path / "mine")), tmp_path / "was-run"
    config = json.loads((folder / "config.json").read_text())
    code = f"""
from pathlib import Path
from transformers import BertConfig, BertModel
Path({str(mark)!r}).write_text("run")
class MineConfig(BertConfig):
    model_type = "mine"
class Mine(BertModel):
    config_class = MineConfig
"""
    (folder / "mine.py").write_text(code)
    classes = {"AutoConfig": "mine.MineConfig", "AutoModel": "mine.Mine"}
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "mine", "auto_map": classes}))
    with pytest.raises(
        InputError, match=r"Python code of its own, which is not run; read it, and take --trust-remote-c"
    ):
        open_model(folder, hf=True)
    assert not mark.exists()
    trusted = open_model(folder, hf=True, trust_remote_code=True)
    found = trusted.load().represent(TEXTS, pools=["mean"])[-1, "mean"]
    assert mark.exists()
    (folder / "config.json").write_text(json.dumps(config))
    assert largest(found, open_model(folder).load().represent(TEXTS)[-1, "mean"]) <= 1e-5

    import torch

    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save({key: torch.from_numpy(one) for key, one in weights.items()}, folder / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"no model\.safetensors"):
        open_model(folder)
    pickled = open_model(folder, hf=True)
    assert largest(pickled.load().represent(TEXTS)[-1, "mean"], found) <= 1e-5
    mark.unlink()

    class Evil:
        def __reduce__(self):
            return Path.write_text, (mark, "run")

    for protocol in (2, 4):
        (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"embeddings": Evil()}, protocol))
        with pytest.raises(InputError, match="its own library refuses it"):
            open_model(folder, hf=True).load().represent(TEXTS)
    torch.save({"embeddings": Evil()}, folder / "pytorch_model.bin")
    with pytest.raises(InputError, match="its own library refuses it"):
        open_model(folder, hf=True).load().represent(TEXTS)
    assert not mark.exists()


@pytest.mark.driver
def test_weights_that_are_not_there_are_not_drawn_at_random(libraries, tmp_path):
    folder = with_tokenizer(model_of("bert", tmp_path / "model"))
    weights = load_file(folder / "model.safetensors")
    without = {key: one for key, one in weights.items() if "pooler" not in key}
    save_file(without, folder / "model.safetensors")
    found = open_model(folder, hf="all").load().represent(TEXTS)[-1, "mean"]
    assert largest(found, open_model(folder).load().represent(TEXTS)[-1, "mean"]) <= 1e-5
    del without["encoder.layer.1.output.dense.weight"]
    save_file(without, folder / "model.safetensors")
    with pytest.raises(InputError, match=r"weights are missing in the files: encoder\.layer\.1\.output\.dense\.weight"):
        open_model(folder, hf="all").load().represent(TEXTS)


ALONE = """
import os, signal, sys
from w2sg_jax.encoders.foreign_model import open_model
model = open_model(sys.argv[1], hf="all")
print(model.process._process.pid, flush=True)
model.load().represent(["a b"] * 100_000, on_rows=lambda rows: os.kill(os.getpid(), signal.SIGKILL))
"""


@pytest.mark.driver
def test_the_process_ends_with_its_parent_and_knows_no_jax(libraries, tmp_path):
    folder = with_tokenizer(model_of("bert", tmp_path / "model"))
    done = subprocess.run([sys.executable, "-c", ALONE, folder], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    worker = Path(f"/proc/{int(done.stdout)}")

    def gone() -> bool:
        try:
            return "Z" in (worker / "stat").read_text().split()[2]
        except (FileNotFoundError, ProcessLookupError):
            return True

    wait_for("the end of the worker", gone)
    code = f"import runpy, sys; runpy.run_path({foreign_process.COMMAND[-1]!r})['Library'](print); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True)
    assert not {"jax", "jaxlib", "w2sg_jax"} & set(done.stdout.split())
