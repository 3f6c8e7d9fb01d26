"""The `w2sg` command: what it prints where, what it writes, and how it fails."""

import dataclasses
import inspect
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from importlib.metadata import version

import numpy as np
import pytest
from matplotlib import image

import w2sg_jax as w2sg
from w2sg_jax import store
from w2sg_jax.cli import files, gap, main, quickstart, rank
from w2sg_jax.quickstart import QuickstartConfig
from w2sg_jax.ranking.cost import Work, flops, flops_of_errors, memory
from w2sg_jax.report.ranking_figure import ranking_figure
from w2sg_jax.report.record import to_json
from w2sg_jax.terminal import streams


@pytest.fixture
def samples(tmp_path, monkeypatch, rng):
    """A folder with a strong model, weak models that cover more and more of it, and labels."""
    monkeypatch.chdir(tmp_path)
    features = rng.standard_normal((300, 12)) / np.arange(1, 13)
    store.save("strong.safetensors", features @ rng.standard_normal((12, 16)))
    for width in (2, 5, 9):
        store.save(f"weak{width}.npy", (features[:, :width]).astype(np.float32))
    labels = features @ np.ones(12)
    np.savez("all.npz", weak=features[:, :5], labels=labels)
    store.save("labels.npy", labels)
    return tmp_path


def _run(capsys, *arguments) -> tuple[int, str, str]:
    code = main(list(arguments))
    out, err = capsys.readouterr()
    return code, out, err


def _fails(capsys, *arguments):
    """The one line with which a command refuses its input."""
    code, out, err = _run(capsys, *arguments)
    assert code == 2
    assert out == ""
    assert err.startswith("w2sg: ")
    assert err.endswith("\n")
    assert err.count("\n") == 1
    return err


def _strict_json(text):
    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


def test_gap_prints_what_the_library_computes(samples, capsys):
    code, out, _ = _run(capsys, "gap", "weak5.npy", "strong.safetensors", "--labels", "labels.npy")
    weak, strong, labels = (store.load(name) for name in ("weak5.npy", "strong.safetensors", "labels.npy"))
    expected = w2sg.gap(w2sg.moments(weak, strong, labels))
    assert code == 0
    assert "weak5.npy → strong.safetensors, 300 samples" in out
    for value in (
        expected.norm,
        expected.frobenius,
        expected.predicted,
        expected.dof_weak,
        expected.dof_strong,
    ):
        assert f"{value:#.4g}" in out


def test_gap_json(samples, capsys):
    code, out, err = _run(capsys, "gap", "all.npz::weak", "strong.safetensors", "--labels", "all.npz::labels", "--json")
    assert code == 0
    assert "gap norm" in err
    record = _strict_json(out)
    assert record["command"] == "gap"
    assert record["settings"]["ridge"] == 1e-2
    assert record["settings"]["weak"] == "all.npz::weak"
    weak, labels = (store.load("all.npz", key=key) for key in ("weak", "labels"))
    strong = store.load("strong.safetensors")
    expected = w2sg.gap(w2sg.moments(weak, strong, labels))
    assert record["result"]["norm"] == expected.norm
    assert record["result"]["predicted"] == expected.predicted
    assert record["inputs"]["weak"] == {
        "location": "all.npz::weak",
        "shape": [300, 5],
        "dtype": "float64",
        "sha256": store.content_hash(weak),
    }
    assert record["inputs"]["strong"]["sha256"] == store.content_hash(strong)
    assert record["versions"]["jax"] == version("jax")


@pytest.mark.parametrize(
    ("options", "moments_options", "gap_options"),
    [
        (["--ridge", "1e-3"], {}, {"ridge": 1e-3}),
        (["--ridge-weak", "1e-3"], {}, {"ridge": (1e-3, 1e-2)}),
        (["--ridge", "0.1", "--ridge-strong", "1e-3"], {}, {"ridge": (0.1, 1e-3)}),
        (["--threshold", "0.05"], {}, {"threshold": 0.05}),
        (["--no-center"], {"center": False}, {}),
        (["--scale", "none"], {}, {"scale": "none"}),
        (["--precision", "float32"], {"dtype": "float32"}, {}),
    ],
)
def test_gap_options_reach_the_library(samples, capsys, options, moments_options, gap_options):
    code, out, _ = _run(capsys, "gap", "weak5.npy", "strong.safetensors", "--json", *options)
    assert code == 0
    result = _strict_json(out)["result"]
    m = w2sg.moments(store.load("weak5.npy"), store.load("strong.safetensors"), **moments_options)
    expected = w2sg.gap(m, **gap_options)
    default = w2sg.gap(w2sg.moments(store.load("weak5.npy"), store.load("strong.safetensors")))
    assert result["norm"] == expected.norm
    assert result["norm"] != default.norm
    assert result["predicted"] is None


def test_gap_scores(samples, capsys):
    code, _, err = _run(
        capsys, "gap", "weak5.npy", "strong.safetensors", "--labels", "labels.npy", "--ridge", "1e-3",
        "--scores", "scores.npy",
    )  # fmt: skip
    assert code == 0
    assert "wrote scores.npy" in err
    weak, strong, labels = (store.load(name) for name in ("weak5.npy", "strong.safetensors", "labels.npy"))
    np.testing.assert_array_equal(store.load("scores.npy"), w2sg.gap_influence(weak, strong, labels, 1e-3).scores)


def test_gap_shows_the_warnings_of_the_result(samples, capsys):
    code, _, err = _run(capsys, "gap", "weak2.npy", "strong.safetensors", "--ridge", "1e-7")
    m = w2sg.moments(store.load("weak2.npy"), store.load("strong.safetensors"))
    expected = w2sg.gap(m, 1e-7).warnings
    assert code == 0
    assert expected
    printed = [line.removeprefix("warning: ") for line in err.splitlines()]
    assert printed[: len(expected)] == list(expected)
    of_intervals = printed[len(expected) :]
    assert "second singular value" in of_intervals[0] and "rests on few samples" in of_intervals[1]


def test_bad_input_is_one_line_and_exit_code_2(samples, capsys):
    assert "did you mean weak5.npy?" in _fails(capsys, "gap", "weak55.npy", "strong.safetensors")
    assert "holds 2 arrays (labels, weak)" in _fails(capsys, "gap", "all.npz", "strong.safetensors")
    assert "a ridge is what is added to K/n" in _fails(
        capsys, "gap", "weak5.npy", "strong.safetensors", "--ridge", "-1"
    )
    assert "--scores needs --labels" in _fails(capsys, "gap", "weak5.npy", "strong.safetensors", "--scores", "s.npy")
    store.save("short.npy", np.ones((7, 2)))
    assert "7 rows" in _fails(capsys, "gap", "short.npy", "strong.safetensors")
    bad = np.array(store.load("weak5.npy"))
    bad[3, 1] = np.nan
    store.save("bad.npy", bad)
    assert "row 3 (row 3 of bad.npy), column 1" in _fails(capsys, "gap", "bad.npy", "strong.safetensors")
    assert "the folder" in _fails(
        capsys, "gap", "weak5.npy", "strong.safetensors", "--labels", "labels.npy", "--scores", "none/s.npy"
    )


def test_json_says_nothing_on_stdout_when_it_fails(samples, capsys):
    _fails(capsys, "gap", "weak5.npy", "strong.safetensors", "--ridge", "nan", "--json")


WEAK: tuple[str, ...] = ("weak2", "weak5", "wide")
RANK = ("rank", "strong.safetensors", "weak2.npy", "weak5.npy", "wide=weak9.npy")


def _arrays(*locations):
    return [store.load(location) for location in locations]


def test_rank_prints_the_library_s_ranking(samples, capsys):
    code, out, _ = _run(capsys, *RANK)
    strong, *weak = _arrays("strong.safetensors", "weak2.npy", "weak5.npy", "weak9.npy")
    expected = w2sg.rank(dict(zip(WEAK, weak, strict=True)), strong)
    assert code == 0
    assert "Weak supervisors for strong.safetensors, best first, 300 samples" in out
    lines = [line.replace("●", " ").split() for line in out.splitlines()]
    lines = [line for line in lines if line and line[0] in ("1", "2", "3")]
    assert [line[1] for line in lines] == list(expected.names)
    for line, row in zip(lines, expected.rows, strict=True):
        low, high = row.intervals["mutual_knn"]
        assert line[2:6] == [f"{row.mutual_knn:#.4g}", f"{low:#.3g}", "to", f"{high:#.3g}"]
        low, high = row.intervals["norm"]
        norm = [f"{row.norm:#.4g}", f"{low:#.3g}", "to", f"{high:#.3g}"]
        assert any(line[place : place + 4] == norm for place in range(6, len(line)))


@pytest.mark.parametrize(
    ("options", "library"),
    [
        (["--labels", "labels.npy"], {"labels": "labels.npy"}),
        (["--ridge", "0.1", "--ridge-weak", "1e-3"], {"ridge": (1e-3, 0.1)}),
        (["--threshold", "0.05"], {"threshold": 0.05}),
        (["--no-center", "--scale", "none"], {"center": False, "scale": "none"}),
        (["--precision", "float32"], {"dtype": "float32"}),
        (["--by", "frobenius"], {"by": "frobenius"}),
        (["--confidence", "0.5"], {"confidence": 0.5}),
        (["--groups", "labels.npy"], {"groups": "labels.npy"}),
    ],
)
def test_rank_options_reach_the_library(samples, capsys, options, library):
    code, out, err = _run(capsys, *RANK, "--json", *options)
    strong, *weak = _arrays("strong.safetensors", "weak2.npy", "weak5.npy", "weak9.npy")
    weak = dict(zip(WEAK, weak, strict=True))
    files = {name: store.load(location) for name, location in library.items() if str(location).endswith(".npy")}
    expected = w2sg.rank(weak, strong, **(library | files))
    default = w2sg.rank(weak, strong)
    assert code == 0
    assert "weak model" in err
    assert _strict_json(out)["result"] == _strict_json(to_json(expected.to_dict()))
    assert to_json(expected.to_dict()) != to_json(default.to_dict())


@pytest.mark.parametrize(
    "train_weak",
    [["weak2.npy", "weak9.npy"], ["b=weak9.npy", "a=weak2.npy"]],
)
def test_rank_on_the_supervised_split(samples, capsys, train_weak):
    """Without labels of the samples, the training set's own labels give the ranking."""
    code, out, err = _run(
        capsys, "rank", "strong.safetensors", "a=weak2.npy", "b=weak9.npy", "--json",
        "--train-strong", "strong.safetensors", "--train-labels", "labels.npy", "--train-weak", *train_weak,
    )  # fmt: skip
    strong, two, nine, labels = _arrays("strong.safetensors", "weak2.npy", "weak9.npy", "labels.npy")
    expected = w2sg.rank({"a": two, "b": nine}, strong, train=({"a": two, "b": nine}, strong, labels))
    assert code == 0
    record = _strict_json(out)
    assert record["result"] == _strict_json(to_json(expected.to_dict()))
    assert record["result"]["by"] == "err_w2s"
    assert set(record["inputs"]) == {
        "strong", "weak/a", "weak/b", "train_strong", "train_labels", "train_weak/a", "train_weak/b",
    }  # fmt: skip
    assert record["inputs"]["train_weak/b"]["sha256"] == store.content_hash(nine)
    assert "lowest predicted error: b" in err


def test_rank_writes_a_folder(samples, capsys):
    code, out, err = _run(capsys, *RANK, "--out", "new/folder")
    assert code == 0
    assert "wrote new/folder/ranking.json, ranking.txt and ranking.png" in err
    assert sorted(os.listdir("new/folder")) == ["ranking.json", "ranking.png", "ranking.txt"]
    record = _strict_json((samples / "new/folder/ranking.json").read_text())
    assert record["settings"]["weak"] == ["weak2.npy", "weak5.npy", "wide=weak9.npy"]
    assert record["inputs"]["weak/wide"]["sha256"] == store.content_hash(store.load("weak9.npy"))
    written = (samples / "new/folder/ranking.txt").read_text()
    assert written.split() == out.split()
    pixels = image.imread(samples / "new/folder/ranking.png")
    assert pixels.std() > 0.01


def test_rank_refuses_bad_input(samples, capsys):
    assert "no weak model was given" in _fails(capsys, "rank", "strong.safetensors")
    assert "would both be called 'weak2'" in _fails(capsys, "rank", "strong.safetensors", "weak2.npy", "./weak2.npy")
    assert "--train-labels and --train-weak missing; the training set needs all three" in _fails(
        capsys, *RANK, "--train-strong", "strong.safetensors"
    )
    assert "1 files for 3 weak models" in _fails(
        capsys, *RANK, "--train-strong", "strong.safetensors", "--train-weak", "weak2.npy",
        "--train-labels", "labels.npy",
    )  # fmt: skip
    assert "--out: labels.npy is a file; give a folder" in _fails(capsys, *RANK, "--out", "labels.npy")
    store.save("short.npy", np.ones((9, 2)))
    message = _fails(capsys, "rank", "strong.safetensors", "weak2.npy", "short.npy")
    assert "strong (strong.safetensors) has 300 rows and weak['short'] (short.npy) has 9" in message


def test_ranking_figure_shows_every_predictor_with_its_interval(rng):
    strong = rng.standard_normal((60, 6))
    weak = {f"model $a_{i}$": strong[:, : i + 1] for i in range(3)}
    ranking = w2sg.rank(weak, strong, strong[:, 0])
    figure = ranking_figure(ranking, "s")
    predicted, norm, differences = figure.axes
    assert differences.get_xlabel() == "predicted gap,\nminus that of the first"
    found = ranking.difference(ranking.names[1], ranking.names[0])
    np.testing.assert_array_equal(differences.lines[0].get_xdata(), found.interval)
    assert predicted.get_xlabel() == "predicted gap\n(squared label units)"
    assert norm.get_xlabel() == "gap norm"
    assert [text.get_text() for text in predicted.get_yticklabels()] == [
        name.replace("$", r"\$") for name in ranking.names
    ]
    low, high = predicted.get_ylim()
    assert low > high, "the best model stands on top"
    for place, row in enumerate(ranking.rows):
        bar, point = norm.lines[2 * place : 2 * place + 2]
        np.testing.assert_array_equal(bar.get_xdata(), row.intervals["norm"])
        np.testing.assert_array_equal(point.get_xydata(), [(row.norm, place)])


def test_ranking_figure_says_when_models_are_left_out(rng):
    strong = rng.standard_normal((20, 3))
    ranking = w2sg.rank({str(i): strong[:, :1] for i in range(70)}, strong)
    figure = ranking_figure(ranking, "s")
    assert "(the best 60 of 70)" in figure.get_suptitle()
    assert len(figure.axes[0].lines) == 2 * 60


def test_quickstart_options_are_those_of_the_library():
    """They are written twice, so that help needs no JAX."""
    theirs, ours = dataclasses.fields(QuickstartConfig), dataclasses.fields(quickstart.QuickstartOptions)
    assert [(field.name, field.type, field.default) for field in ours if field.name != "json"] == [
        (field.name, field.type, field.default) for field in theirs
    ]
    assert quickstart.QuickstartOptions.__doc__ == QuickstartConfig.__doc__
    for field in theirs:
        assert f"{field.name}: " in inspect.getsource(quickstart.QuickstartOptions)


def test_quickstart_json(tmp_path, capsys, monkeypatch):
    """The options arrive, tables go to stderr, and the result is in the record."""
    seen = {}

    class Result:
        def to_dict(self):
            return {"ridge": 1e-4, "undefined": float("nan")}

    def run_quickstart(config, *, console):
        seen["config"] = config
        console.print("a table")
        return Result()

    monkeypatch.setattr("w2sg_jax.quickstart.run_quickstart", run_quickstart)
    code, out, err = _run(capsys, "quickstart", "--out", str(tmp_path), "--splits", "3", "--seed", "7", "--json")
    assert code == 0
    assert err.strip() == "a table"
    assert seen["config"] == QuickstartConfig(out=tmp_path, splits=3, seed=7)
    record = _strict_json(out)
    assert record["settings"] == {"out": str(tmp_path), "splits": 3, "seed": 7}
    assert record["result"] == {"ridge": 1e-4, "undefined": "NaN"}
    assert _run(capsys, "quickstart", "--out", str(tmp_path))[1].strip() == "a table"


def test_quickstart_refuses_bad_options(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert "is a file; give the name of a folder" in _fails(capsys, "quickstart", "--out", str(tmp_path / "file"))
    assert "splits: got 0; expected a whole number, 1 or more" in _fails(
        capsys, "quickstart", "--out", str(tmp_path), "--splits", "0"
    )


def test_unknown_command(capsys):
    assert "'rnak' is not a command; did you mean rank?" in _fails(capsys, "rnak")
    assert "the commands are gap, rank, predict" in _fails(capsys, "xyz")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("gap a.npy", "missing: STRONG"),
        ("gap", "missing: WEAK and STRONG"),
        ("gap a b --ridge abc", "Error parsing --ridge: could not convert string to float: 'abc'"),
        ("gap a b --bogus 2", "Unrecognized options: --bogus, 2"),
        ("gap a b --labls y", "Unrecognized options: --labls, y; did you mean --labels?"),
        ("gap a b c", "unexpected arguments: c"),
        ("gap a b --labels", "Missing value for argument '--labels'. Expected 1 values"),
        ("gap a b --scale foo", "invalid choice 'foo' for argument '--scale'. Expected one of ('trace', 'none')"),
        ("quickstart --splits x", "Error parsing --splits: invalid literal for int() with base 10: 'x'"),
        ("gap a b --ridge " + 40 * "long " + "x", None),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "ascii"])
def test_wrong_options_are_one_line(capsys, monkeypatch, arguments, message, encoding):
    monkeypatch.setenv("COLUMNS", "60")
    if encoding == "ascii":
        monkeypatch.setattr("tyro._fmtlib._should_use_utf8_drawing_chars", lambda: False)
    err = _fails(capsys, *arguments.split(maxsplit=4))
    command = arguments.split()[0]
    expected = message or f"Error parsing --ridge: could not convert string to float: {arguments[16:]!r}"
    assert err == f"w2sg: {expected}; see w2sg {command} --help\n"


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["gap", "", "strong.safetensors"], "WEAK"),
        (["gap", "weak5.npy", "strong.safetensors", "--labels", ""], "--labels"),
        (["gap", "weak5.npy", "strong.safetensors", "--labels="], "--labels"),
        (["gap", "weak5.npy", "strong.safetensors", "--scores", ""], "--scores"),
        (["rank", "strong.safetensors", "weak5.npy", ""], "WEAK"),
        (["rank", "strong.safetensors", "weak5.npy", "--out", ""], "--out"),
        (["rank", "strong.safetensors", "weak5.npy", "--train-weak", ""], "--train-weak"),
        (["quickstart", "--out", ""], "--out"),
    ],
)
def test_empty_values_are_refused(samples, capsys, arguments, name):
    message = _fails(capsys, *arguments)
    assert message.startswith(f"w2sg: {name}: the value is empty (a shell variable that is not set?)")
    assert message.endswith(f"; see w2sg {arguments[0]} --help\n")


def test_a_name_without_a_file_is_refused(samples, capsys):
    assert "'a=' names no file; write a=FILE" in _fails(capsys, "rank", "strong.safetensors", "a=")


@pytest.mark.parametrize("name", ["a\nb", "\x1b[31ma", "a\u2028b"])
def test_names_with_control_characters_are_refused(capsys, name):
    message = _fails(capsys, "rank", "strong.npy", f"{name}=weak.npy")
    assert f"the name {name!r} has control characters; call it otherwise".replace("\\", "") in message.replace("\\", "")
    assert message[:-1].isprintable()


def test_control_characters_of_a_path_are_shown_as_escapes(samples, capsys):
    os.link("weak5.npy", "\x1b[31m.npy")
    code, out, _ = _run(capsys, "gap", "\x1b[31m.npy", "strong.safetensors")
    assert code == 0
    assert "\\x1b[31m.npy → strong" in out
    assert "\x1b" not in out


def test_a_ridge_of_all_models_is_echoed_as_one_number(samples, capsys):
    assert "got -1.0;" in _fails(capsys, "gap", "weak5.npy", "strong.safetensors", "--ridge", "-1")


def test_scores_that_cannot_be_written_cost_no_work(samples, capsys, monkeypatch):
    monkeypatch.setattr(files, "read", None)
    assert "/proc/s.npy: cannot be written" in _fails(
        capsys, "gap", "weak5.npy", "strong.safetensors", "--labels", "labels.npy", "--scores", "/proc/s.npy"
    )


def test_help_and_version(capsys):
    code, out, err = _run(capsys, "--help")
    assert (code, err) == (0, "")
    assert "1 the reader of the output went away" in out
    assert all(f"  {name} " in out for name in ("gap", "rank", "quickstart"))
    assert _run(capsys) == (2, "", out)
    assert _run(capsys, "--version") == (0, f"w2sg {w2sg.__version__}\n", "")


@pytest.mark.parametrize("command", ["gap", "rank"])
def test_help_of_a_command_teaches(capsys, command):
    code, out, _ = _run(capsys, command, "--help")
    text = " ".join(out.split())
    assert code == 0
    assert "|P_s (I - P_w)|" in text
    assert "K/n" in text
    assert f"Example: w2sg {command} " in text
    assert "--train- weak" not in text


def test_interruption_is_exit_code_130(samples, capsys, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(gap, "progress_bar", interrupted)
    code, out, err = _run(capsys, "gap", "weak5.npy", "strong.safetensors")
    assert (code, out, err) == (130, "", "w2sg: interrupted\n")


def test_debug_shows_where_input_was_refused(capsys, monkeypatch):
    monkeypatch.setenv("W2SG_DEBUG", "1")
    code, out, err = _run(capsys, "gap", "a.npy", "b.npy")
    assert (code, out) == (2, "")
    assert err.startswith("w2sg: a.npy: there is no such file")
    assert "Traceback" in err
    assert err.endswith("FileNotFoundError: a.npy: there is no such file; check the path\n")


def test_an_error_of_the_program_is_exit_code_70_and_its_traceback(samples, capsys, monkeypatch):
    monkeypatch.setattr(files, "read", lambda location: 1 / 0)
    code, out, err = _run(capsys, "gap", "weak5.npy", "strong.safetensors")
    assert (code, out) == (70, "")
    assert err.startswith("w2sg: an error in the program\nTraceback")
    assert err.endswith("ZeroDivisionError: division by zero\n")
    assert "70 an error in the program" in " ".join(_run(capsys, "--help")[1].split())


@pytest.mark.driver
@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["gap", "--help"], ["datasets", "--help"], ["rnak"]])
def test_what_needs_no_jax_does_not_wait_for_it(arguments):
    program = (
        f"import sys; from w2sg_jax.cli import main; main({arguments})\n"
        "sys.exit(' '.join(sys.modules.keys() & {'jax', 'matplotlib', 'numpy', 'scipy'}) or None)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=_environment())
    assert done.returncode == 0, done.stderr


@pytest.mark.driver
@pytest.mark.parametrize(
    "platform",
    [
        "nonsense",
        pytest.param("cuda", marks=pytest.mark.skipif(shutil.which("nvidia-smi") is not None, reason="it may be here")),
    ],
)
@pytest.mark.parametrize("command", ["gap weak5.npy strong.safetensors", "rank strong.safetensors weak5.npy", "bench"])
def test_a_device_that_is_not_there_is_one_line(samples, platform, command):
    done = _shell(f"$W2SG {command}", JAX_PLATFORMS=platform)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"w2sg: JAX_PLATFORMS={platform}: JAX finds no such device on this machine")
    assert done.stderr.count("\n") == 1


def test_a_tilde_is_the_home_folder_wherever_a_file_is_named(samples, capsys, monkeypatch):
    """A shell expands it only at the beginning of a word."""
    monkeypatch.setenv("HOME", str(samples))
    monkeypatch.chdir("/")
    code, out, _ = _run(
        capsys, "rank", "~/strong.safetensors", "a=~/weak2.npy", "b=~/all.npz::weak", "--labels=~/all.npz::labels",
        "--train-strong=~/strong.safetensors", "--train-weak", "b=~/weak5.npy", "a=~/weak2.npy",
        "--train-labels=~/labels.npy", "--out=~/ranked", "--json", "--checkpoint=~/state",
    )  # fmt: skip
    assert code == 0
    assert _strict_json(out)["inputs"]["weak/b"]["location"] == f"{samples}/all.npz::weak"
    assert (samples / "ranked/ranking.json").exists()
    assert (samples / "state").is_dir()
    pair = ("gap", "~/weak5.npy", "~/strong.safetensors", "--labels=~/labels.npy", "--scores=~/scores.npy")
    assert _run(capsys, *pair)[0] == 0
    assert (samples / "scores.npy").exists()
    assert f"{samples}/none: is no folder of a batch run" in _fails(capsys, "results", "~/none")


def test_process_ends_with_the_exit_code_and_no_traceback(samples):
    done = subprocess.run(
        [sys.executable, "-m", "w2sg_jax.cli", "gap", "none.npy", "strong.safetensors"],
        capture_output=True,
        text=True,
        env=_environment(),
    )
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == "w2sg: none.npy: there is no such file; check the path\n"


@pytest.mark.driver
def test_process_that_is_interrupted_ends_with_130(samples):
    program = (
        "import os, signal, sys; from w2sg_jax import cli\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a background job inherits that it is ignored
        "from w2sg_jax.cli import files\n"
        "files.read = lambda location: os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.exit(cli.main(['gap', 'weak5.npy', 'strong.safetensors']))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=_environment())
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "w2sg: interrupted\n")
    assert done.returncode == 128 + signal.SIGINT


@pytest.mark.driver
def test_process_whose_reader_leaves_is_quiet(samples):
    """`w2sg gap ... --json | head -0`: no traceback from the closed pipe."""
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "w2sg_jax.cli", "gap", "weak5.npy", "strong.safetensors", "--json"],
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        env=_environment(),
    )
    os.close(write)
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr
    assert done.returncode == 1


def _shell(script, **environment):
    """What a shell makes of `$W2SG ...`."""
    w2sg_command = f"'{sys.executable}' -m w2sg_jax.cli"
    return subprocess.run(
        ["bash", "-c", script.replace("$W2SG", w2sg_command)],
        capture_output=True,
        text=True,
        env=_environment() | environment,
    )


@pytest.mark.driver
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_closed_streams_are_no_error(samples, closed):
    done = _shell(f"$W2SG gap weak5.npy strong.safetensors {closed}")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.driver
def test_a_full_disk_behind_standard_output(samples):
    done = _shell("$W2SG gap weak5.npy strong.safetensors > /dev/full")
    assert done.returncode == 2
    assert done.stderr == (
        "w2sg: standard output: cannot be written (No space left on device); free some space, or lead it elsewhere\n"
    )


@pytest.mark.driver
def test_ascii_terminals_get_escapes(samples):
    done = _shell("$W2SG gap weak5.npy strong.safetensors --json", PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert "weak5.npy \\u2192 strong.safetensors" in done.stderr
    assert _strict_json(done.stdout)["command"] == "gap"


def test_file_names_that_are_not_utf8(samples, capsys):
    name = os.fsdecode(b"w\xff.npy")
    os.link("weak5.npy", name)
    code, out, _ = _run(capsys, "rank", "strong.safetensors", name, "--out", "out", "--json")
    assert code == 0
    assert out.isascii()
    assert _strict_json(out)["settings"]["weak"] == [name]
    assert "w\\udcff" in (samples / "out/ranking.txt").read_text()


def test_letters_that_the_font_lacks_are_no_warning(samples, capsys):
    os.link("weak5.npy", "模型.npy")
    code, _, err = _run(capsys, "rank", "strong.safetensors", "模型.npy", "--out", "out")
    *warnings, wrote = err.splitlines()
    assert (code, wrote) == (0, "wrote out/ranking.json, ranking.txt and ranking.png")
    assert len(warnings) == 1 and "1 weak model only" in warnings[0]
    assert (samples / "out/ranking.png").exists()


@pytest.mark.driver
def test_process_that_is_terminated_ends_with_143_and_leaves_nothing(samples):
    program = (
        "import os, signal, sys, numpy; from w2sg_jax import cli\n"
        "numpy.save = lambda *_, **__: os.kill(os.getpid(), signal.SIGTERM)\n"
        "sys.exit(cli.main("
        "['gap', 'weak5.npy', 'strong.safetensors', '--labels', 'labels.npy', '--scores', 'scores.npy']))"
    )
    before = sorted(os.listdir(samples))
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=_environment())
    assert (done.returncode, done.stderr) == (143, "w2sg: terminated\n")
    assert done.returncode == 128 + signal.SIGTERM
    assert sorted(os.listdir(samples)) == before


def test_the_handler_of_sigterm_is_put_back(capsys):
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    with streams.terminating(), pytest.raises(streams.Terminated):
        signal.raise_signal(signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    codes = []
    thread = threading.Thread(target=lambda: codes.append(main(["--version"])))
    thread.start()
    thread.join()
    assert codes == [0]


def _environment():
    """The package of this checkout, also from another folder."""
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    return os.environ | {"PYTHONPATH": root}


def test_names_of_files():
    assert files.named(["a/x.npy", "b=a/y.npy", "m.npz::z"], "weak models") == {
        "x": "a/x.npy",
        "b": "a/y.npy",
        "z": "m.npz::z",
    }
    with pytest.raises(ValueError, match=r"a/x.npy and b/x.npz would both be called 'x'; name them"):
        files.named(["a/x.npy", "b/x.npz"], "weak models")


def test_a_file_with_an_equals_sign_is_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store.save("lr=0.1.npy", np.zeros(2))
    assert files.named(["lr=0.1.npy", "best=lr=0.1.npy", "runs/lr=1/a.npy"], "weak models") == {
        "lr=0.1": "lr=0.1.npy",
        "best": "lr=0.1.npy",
        "a": "runs/lr=1/a.npy",
    }


def test_files_in_the_order_of_names_or_by_name():
    assert files.paired(["x0.npy", "y0.npy"], ["x", "y"], "--train-weak") == {"x": "x0.npy", "y": "y0.npy"}
    assert files.paired(["y=y0.npy", "x=x0.npy"], ["x", "y"], "--train-weak") == {
        "x": "x0.npy",
        "y": "y0.npy",
    }
    for given, came in [
        (["x0.npy"], "1 files for 2 weak models"),
        (["x=x0.npy", "z=z0.npy"], "'z' fits none of the weak models x, y"),
        (["x=x0.npy", "y.npy"], "a file without a name fits none"),
    ]:
        with pytest.raises(ValueError, match=f"--train-weak: {came}"):
            files.paired(given, ["x", "y"], "--train-weak")


def test_json_is_strict():
    value = {
        "nan": float("nan"),
        "inf": [np.inf, -np.float32(np.inf)],
        "array": np.array([1.5, np.nan]),
        "scalar": np.float64(0.1),
        1: (True, None, np.int64(3)),
    }
    assert _strict_json(to_json(value)) == {
        "nan": "NaN",
        "inf": ["Infinity", "-Infinity"],
        "array": [1.5, "NaN"],
        "scalar": 0.1,
        "1": [True, None, 3],
    }
    assert [float(word) for word in _strict_json(to_json(value))["inf"]] == [np.inf, -np.inf]
    with pytest.raises(TypeError, match="a complex cannot be written as JSON"):
        to_json({"a": 1j})


def test_shards_devices_and_checkpoints(tmp_path, capsys):
    """What is spread over files and devices gives the numbers of one file on one device."""
    rng = np.random.default_rng(0)
    weak, strong = rng.normal(size=(300, 4)), rng.normal(size=(300, 6))
    for name, array in (("weak", weak), ("strong", strong)):
        (tmp_path / name).mkdir()
        for index, part in enumerate(np.array_split(array, 3)):
            store.save(tmp_path / name / f"{index}.safetensors", part)
        store.save(tmp_path / f"{name}.npy", array)
    options = ["--devices", "all", "--checkpoint", str(tmp_path / "state"), "--json"]
    whole, spread = (
        json.loads(_run(capsys, "gap", str(tmp_path / f"weak{end}"), str(tmp_path / f"strong{end}"), *more)[1])
        for end, more in ((".npy", ["--json"]), ("", options))
    )
    assert spread["result"]["norm"] == pytest.approx(whole["result"]["norm"], rel=1e-12)
    assert {x["sha256"] for x in spread["inputs"].values()} == {x["sha256"] for x in whole["inputs"].values()}
    ranked = json.loads(_run(capsys, "rank", str(tmp_path / "strong"), str(tmp_path / "weak"), *options)[1])
    assert ranked["result"]["rows"][0]["norm"] == pytest.approx(whole["result"]["norm"], rel=1e-9)
    assert list((tmp_path / "state").iterdir()) == []


def test_scores_are_not_written_over_an_input(samples, capsys):
    before = (samples / "weak5.npy").read_bytes()
    given = ("gap", "weak5.npy", "strong.safetensors", "--labels", "labels.npy", "--scores", "./weak5.npy")
    assert "--scores: ./weak5.npy is an input of this command; write to another file" in _fails(capsys, *given)
    assert (samples / "weak5.npy").read_bytes() == before


@pytest.mark.driver
@pytest.mark.parametrize("platforms", ["cpu,nonsense", "nonsense,cpu"])
def test_a_platform_that_is_not_there_is_one_line_wherever_it_is_named(samples, platforms):
    command = [sys.executable, "-m", "w2sg_jax.cli", "gap", "weak5.npy", "strong.safetensors"]
    variables = os.environ | {"JAX_PLATFORMS": platforms}
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith(f"w2sg: JAX_PLATFORMS={platforms}: ") and done.stderr.count("\n") == 1


def test_rank_says_beforehand_what_takes_long(samples, capsys, monkeypatch):
    assert "min on this machine" not in _run(capsys, *RANK)[2]
    monkeypatch.setattr(rank, "SLOWEST", 1e-3)
    assert "min on this machine" not in _run(capsys, *RANK)[2], "the machine is faster than that"
    monkeypatch.setattr(rank, "LONG", 1e-9)
    assert re.search(r"about 0 min on this machine, and 0\.\d GiB beside the samples", _run(capsys, *RANK)[2])


def test_operations_of_a_ranking_are_those_of_its_products():
    """Ten equal models cost ten times what they add to the strong one, on either side."""
    for strong, width, n in ((4096, 768, 20_000), (4096, 2048, 1000), (4096, 768, 2000)):
        one, ten = (flops(Work((width,) * count, strong, n)) for count in (1, 10))
        assert n * width * min(n, strong) < (ten - one) / 9 < 20 * width * strong * max(n, strong)
        assert memory(Work((width,) * 10, strong, n)) > 8 * n * width
        one, ten = (flops_of_errors(*[Work((width,) * count, strong, n)] * 2) for count in (1, 10))
        assert n * width * min(n, strong) < (ten - one) / 9 < 40 * width * strong * max(n, strong)
