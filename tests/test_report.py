"""Tables and figures: one writer, one style, and figures that come whatever settings of matplotlib the user has."""

import dataclasses
import io
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

import w2sg_jax as w2sg
from w2sg_jax import store
from w2sg_jax.cli import main
from w2sg_jax.cli.rank import warnings_of_models
from w2sg_jax.report import style
from w2sg_jax.report.ranking_figure import ranking_figure
from w2sg_jax.report.tables import correlation, interval, markdown_table, number, ranking_table, table

ROOT = Path(__file__).parents[1]
WAIT = 600
"""Seconds for a command in a process of its own, on a machine that has other things to do."""
SETTINGS = {
    "a backend that is not installed": ({"MPLBACKEND": "module://matplotlib_inline.backend_inline"}, None),
    "a backend of that name does not exist": ({"MPLBACKEND": "inline"}, None),
    "LaTeX that is not installed": ({"PATH": ""}, b"text.usetex: True\n"),
    "bytes that are no text": ({}, b"font.family: caf\xe9\n"),
    "values that are none": ({}, b"lines.linewidth: thick\nbackend: nothing\nnonsense: 1\n"),
    "another format, size and font": ({}, b"savefig.format: pgf\nsavefig.dpi: 7\nfont.family: Nowhere\n"),
}
FILES = ["s.npy", "w2.npy", "w5.npy", "w9.npy"]


@pytest.fixture
def representations(tmp_path, monkeypatch):
    """A strong model and three weak ones, in the working directory."""
    monkeypatch.chdir(tmp_path)
    features = np.random.default_rng(0).normal(size=(60, 12)).astype(np.float32)
    store.save("s.npy", features)
    for width in (2, 5, 9):
        store.save(f"w{width}.npy", features[:, :width])
    return tmp_path


@pytest.fixture
def ranking(rng):
    strong = rng.normal(size=(60, 8))
    return w2sg.rank({"[red]a[/red]": strong[:, :3], "b\x1b[2J": strong[:, :6]}, strong)


def in_process(*arguments, **environment):
    """The finished process of a Python command with these variables set, and matplotlib's cache of fonts kept."""
    variables = os.environ | {"W2SG_DEBUG": ""} | environment
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=variables, capture_output=True, text=True, timeout=WAIT, check=False)


@pytest.mark.driver
@pytest.mark.parametrize("case", SETTINGS)
def test_rank_draws_its_figure_whatever_the_users_matplotlib_says(representations, case):
    variables, matplotlibrc = SETTINGS[case]
    if matplotlibrc is not None:
        (representations / "settings").write_bytes(matplotlibrc)
        variables = variables | {"MATPLOTLIBRC": str(representations / "settings")}
    done = in_process("-m", "w2sg_jax.cli", "rank", *FILES, "--out", "out", **variables)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr and "no figure was drawn" not in done.stderr
    assert "wrote out/ranking.json, ranking.txt and ranking.png" in done.stderr
    assert (representations / "out/ranking.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.driver
def test_a_matplotlibrc_that_nothing_helps_against_costs_the_figure_alone(representations):
    """matplotlib reads the working directory's first."""
    Path("matplotlibrc").write_bytes(b"font.family: caf\xe9\n")
    done = in_process("-m", "w2sg_jax.cli", "rank", *FILES, "--out", "out")
    assert done.returncode == 0, done.stderr
    (warning,) = [line for line in done.stderr.splitlines() if "no figure was drawn" in line]
    assert warning.startswith("warning: out/ranking.png: no figure was drawn (UnicodeDecodeError: ")
    assert "Traceback" not in done.stderr
    assert "wrote out/ranking.json and ranking.txt" in done.stderr
    assert len(json.loads(Path("out/ranking.json").read_text())["result"]["rows"]) == 3
    assert not Path("out/ranking.png").exists()


@pytest.mark.driver
def test_nothing_that_computes_first_imports_matplotlib():
    """Else a matplotlibrc that cannot be read would end a run before its results, not its figure alone."""
    drawing = ["anisotropy", "benign", "convergence", "copying", "predicted_errors", "predicted_gap", "regimes"]
    modules = ["w2sg_jax.quickstart", "experiments.molecules.run", *(f"experiments.theory.{name}" for name in drawing)]
    modules += ["benchmarks.peers", "benchmarks.ridge_fits", "benchmarks.scaling"]
    done = in_process(
        "-c", f"import sys, {', '.join(modules)}; print('matplotlib' in sys.modules)", PYTHONPATH=str(ROOT)
    )
    assert done.stdout == "False\n", done.stderr


@pytest.mark.driver
def test_no_backend_for_windows_is_loaded_and_the_users_settings_stay(tmp_path):
    code = """
import os, sys, matplotlib
matplotlib.rcParams.update({"lines.linewidth": 7.0, "text.usetex": True, "svg.hashsalt": "mine"})
before = dict(matplotlib.rcParams.copy())
from w2sg_jax.report.style import draw, panels
def make():
    figure, ((axis,),) = panels(1, 1, 3, 2)
    (line,) = axis.plot([1, 2], [3, 4], label="a")
    assert line.get_linewidth() == 1.5
    axis.legend()
    return figure
assert draw(sys.argv[1], make)
assert dict(matplotlib.rcParams.copy()) == before
assert "matplotlib.pyplot" not in sys.modules
"""
    done = in_process("-c", code, str(tmp_path / "drawing.svg"))
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "drawing.svg").read_text().lstrip().startswith("<?xml")


@pytest.mark.driver
def test_settings_that_fail_are_back_after_matplotlib_was_imported_without_them(tmp_path):
    code = """
import os
from w2sg_jax.report.style import own_settings
with own_settings():
    import matplotlib
    from matplotlib.figure import Figure
assert os.environ["MPLBACKEND"] == "inline" and "MATPLOTLIBRC" not in os.environ
"""
    environment = {name: value for name, value in os.environ.items() if name != "MATPLOTLIBRC"}
    command = [sys.executable, "-c", code]
    done = subprocess.run(
        command, env=environment | {"MPLBACKEND": "inline"}, capture_output=True, text=True, timeout=WAIT, check=False
    )
    assert done.returncode == 0, done.stderr


def test_a_figure_that_fails_is_one_warning(tmp_path, capsys):
    def fails():
        raise RuntimeError("a\nlong\nstory " + 1000 * "x")

    assert not style.draw(tmp_path / "drawing.png", fails)
    out, err = capsys.readouterr()
    assert not out and len(err.splitlines()) == 1 and len(err) < 600
    assert err.startswith(f"warning: {tmp_path}/drawing.png: no figure was drawn (RuntimeError: a long story xxx")
    assert not list(tmp_path.iterdir())


def test_an_interruption_while_drawing_is_none_of_a_figures_failures(tmp_path):
    def interrupted():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        style.draw(tmp_path / "drawing.png", interrupted)


def test_a_failure_is_raised_where_it_is_looked_for(tmp_path, monkeypatch):
    monkeypatch.setenv("W2SG_DEBUG", "1")
    with pytest.raises(ZeroDivisionError):
        style.draw(tmp_path / "drawing.png", lambda: 1 // 0)


def test_rank_has_written_its_results_before_a_figure_fails(representations, monkeypatch, capsys):
    monkeypatch.setattr("w2sg_jax.report.ranking_figure.ranking_figure", lambda *_: 1 // 0)
    assert main(["rank", *FILES, "--out", "out"]) == 0
    err = capsys.readouterr().err
    assert "warning: out/ranking.png: no figure was drawn (ZeroDivisionError: " in err
    assert "wrote out/ranking.json and ranking.txt\n" in err
    assert {path.name for path in Path("out").iterdir()} == {"ranking.json", "ranking.txt"}


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_the_same_figure_is_the_same_file(tmp_path, ranking, suffix):
    for name in ("a", "b"):
        style.save_figure(ranking_figure(ranking, "s"), tmp_path / f"{name}{suffix}")
    content = (tmp_path / f"a{suffix}").read_bytes()
    assert content == (tmp_path / f"b{suffix}").read_bytes()
    assert {path.name for path in tmp_path.iterdir()} == {f"a{suffix}", f"b{suffix}"}


def rendered(made, width):
    console = Console(width=width, file=io.StringIO(), color_system=None)
    console.print(made)
    return console.file.getvalue()


def test_a_table_shows_its_text_and_no_markup():
    made = table("[b]title[/b]", ["time [s]", "a\nb"], [["[red]x", "1"], ["\x1b[2J", "22"]], caption="[i]note")
    text = rendered(made, 80)
    for part in ("[b]title[/b]", "time [s]", "[red]x", r"\x1b[2J", "[i]note"):
        assert part in text
    assert "\x1b" not in text
    lines = [line.rstrip() for line in text.splitlines()]
    assert lines[2].endswith("a") and lines[3].endswith("b"), "a heading of two lines"
    assert lines[5].endswith(" 1") and lines[6].endswith("22"), "numbers on the right"


def test_a_table_that_is_too_wide_is_folded_and_loses_nothing(ranking):
    numbers = ["1.234567", "8.765432"]
    text = rendered(table("", ["", "a long heading", "another one"], [["word", *numbers]]), 16)
    columns = "".join(text.split())
    assert "…" not in text and all(digit in columns for one in numbers for digit in one)
    narrow = rendered(ranking_table(ranking, "title"), 40)
    assert "…" not in narrow and max(map(len, narrow.splitlines())) <= 40


def test_a_ranking_names_what_it_ranks_by_and_keeps_names_as_they_are(ranking):
    text = rendered(ranking_table(ranking, "title"), 200)
    assert "[red]a[/red]" in text and r"b\x1b[2J" in text
    assert "neighbours ▲" in text and ranking.by == "mutual_knn"
    assert "▲ rank correlation with measured errors so far: 0.81 to 0.86 on molecules, 0.08 to" in text
    rows = "\n".join(line for line in text.split("\n") if "▲" not in line or "norm" in line)
    assert rows.count(" to ") == 5 and "minus" in text, "two intervals each, and one of the difference"


def test_a_narrow_terminal_shows_what_a_ranking_is_by_and_names_the_rest(rng):
    strong = rng.normal(size=(300, 8))
    labels = strong[:, 0] + rng.normal(size=300)
    weak = {f"model-{width}": strong[:, :width] + 0.1 * rng.normal(size=(300, width)) for width in (3, 5, 7)}
    found = w2sg.rank(weak, strong, labels)
    whole, wide = (rendered(ranking_table(found, "title", width), 200) for width in (None, 200))
    assert whole == wide and "a wider terminal" not in whole
    for width in (120, 100, 80, 60):
        text = rendered(ranking_table(found, "title", width), width)
        lines = [line.rstrip() for line in text.splitlines()]
        assert "predicted gap ▲" in " ".join(text.split()) or "gap ▲" in text
        for row in found.rows:
            (line,) = [line for line in lines if row.name in line]
            assert number(row.predicted) in line and interval(row.intervals["predicted"]) in line
        assert "a wider terminal shows more: effective dimension" in text
    assert "difference to the first" in " ".join(text.split()) and "gap norm" in " ".join(text.split())


def test_what_several_models_are_warned_of_is_said_once(ranking):
    texts = ("interval rests on 7 samples", "interval rests on 12 samples", "another thing", None, "rests on 1e-5")
    rows = tuple(
        dataclasses.replace(ranking.rows[0], name=f"m{place}", warnings=(text,) if text else (), error=None)
        for place, text in enumerate(texts)
    )
    rows += tuple(dataclasses.replace(rows[0], name=f"n{place}") for place in range(4))
    rows += (dataclasses.replace(rows[3], name="bad", error="it is constant"),)
    assert warnings_of_models(dataclasses.replace(ranking, rows=rows)) == (
        "m0: interval rests on 7 samples; the like of m1, n0, n1 and 2 more",
        "m2: another thing",
        "m4: rests on 1e-5",
        "bad: not ranked: it is constant",
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (7, "7"),
        (0.0, "0.000"),
        (1.0, "1.000"),
        (0.5, "0.5000"),
        (123.456, "123.5"),
        (0.00012345, "1.234e-04"),
        (2e6, "2.000e+06"),
        (math.nan, "undefined"),
    ],
)
def test_numbers_in_tables(value, text):
    assert number(value) == text


def test_correlations_in_tables():
    assert correlation(0.5, -0.25, 1.0) == "0.50 [-0.25, 1.00]"
    assert correlation(math.nan, math.nan, math.nan) == correlation(None, None, None) == "undefined"
    assert markdown_table(["a", "b"], [["1", "2"]]) == "| a | b |\n| --- | --- |\n| 1 | 2 |"
