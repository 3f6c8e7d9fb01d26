"""The theory laboratory: every figure at toy size, kept results, and the numbers of the results page."""

import json
import re
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from benchmarks import report
from experiments.theory import __main__ as theory
from experiments.theory import predicted_gap, regimes
from w2sg_jax import InputError

pytestmark = pytest.mark.driver
DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    out = tmp_path_factory.mktemp("theory") / "results"
    return out, theory.main(theory.Options(out=out), toy=True)


@pytest.mark.parametrize("figure", theory.FIGURES)
def test_figure_leaves_its_numbers_and_its_drawing(made, figure):
    out, entries = made
    entry = json.loads((out / f"{figure}.json").read_text())
    assert entry == entries[figure]
    assert entry["command"] == f"experiments.theory --figure {figure}" and entry["versions"]["jax"]
    assert (out / f"{figure}.svg").read_text().lstrip().startswith("<?xml")
    table = import_module(f"experiments.theory.{figure}").markdown(entry["result"]).splitlines()
    assert len(table) > 2 and len({line.count("|") for line in table}) == 1


def test_kept_results_are_drawn_again_and_not_measured_again(made, monkeypatch):
    out, _ = made
    before = (out / "benign.svg").read_bytes()
    (out / "benign.svg").unlink()
    monkeypatch.setattr("experiments.theory.benign.compute", lambda *_: pytest.fail("measured again"))
    theory.main(theory.Options(figure=("benign",), out=out), toy=True)
    assert (out / "benign.svg").read_bytes() == before
    with pytest.raises(pytest.fail.Exception):
        theory.main(theory.Options(figure=("benign",), out=out, fresh=True), toy=True)
    with pytest.raises(pytest.fail.Exception):  # other settings
        theory.main(theory.Options(figure=("benign",), out=out))


def test_a_drawing_that_fails_costs_no_numbers(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("experiments.theory.benign.figure", lambda _: 1 // 0)
    entry = theory.main(theory.Options(figure=("benign",), out=tmp_path), toy=True)["benign"]
    assert json.loads((tmp_path / "benign.json").read_text()) == entry
    assert not (tmp_path / "benign.svg").exists()
    assert f"warning: {tmp_path}/benign.svg: no figure was drawn (ZeroDivisionError: " in capsys.readouterr().err


def test_unknown_figure(tmp_path):
    with pytest.raises(InputError, match="gap: there is no such figure; the figures are predicted_gap"):
        theory.main(theory.Options(figure=("gap",), out=tmp_path))


def test_toy_numbers_are_of_what_they_say(made):
    """Interpolation is exact, parts add up, and a prediction without the ridge gamma is another one."""
    _, entries = made
    assert max(max(row["residual"]) for row in entries["benign"]["result"]["rows"]) < 1e-20
    for row in entries["predicted_gap"]["result"]["rows"]:
        assert row["measured"] > 0 and row["predicted"] != row["without"] and 0 <= row["norm"] < 1
    deltas = {row["family"]: row["delta"] for row in entries["predicted_gap"]["result"]["rows"]}
    assert deltas["elliptical"] > deltas["Gaussian"]


def test_fit_is_least_squares_of_logarithms():
    rng = np.random.default_rng(0)
    x = 10 ** rng.uniform(-3, 0, 50)
    y = 3 * x**1.5 * 10 ** (0.1 * rng.normal(size=50))
    rows = [{"predicted": a, "measured": b, "delta": 0.1} for a, b in zip(x, y, strict=True)]
    fit = predicted_gap._fit([*rows, {"predicted": 1.0, "measured": 1e9, "delta": 9.0}], True, "predicted")
    assert fit["count"] == 50
    assert fit["r2"] == pytest.approx(np.corrcoef(np.log10(x), np.log10(y))[0, 1] ** 2)
    assert fit["slope"] == pytest.approx(np.polyfit(np.log(x), np.log(y), 1)[0])
    assert fit["median_error"] == pytest.approx(np.median(np.abs(y / x - 1)))
    assert predicted_gap._fit(rows, False, "predicted") == {
        "count": 0,
        "r2": None,
        "slope": None,
        "r2_identity": None,
        "median_error": None,
    }


def test_both_theories_together_are_the_expected_errors():
    """Closed-form Err_w, Err_w2s and Err_sc against fitted heads, in a cell where both terms count."""
    config = regimes.Config(n=60, d=4, pairs=3, seeds=600)
    pairs = regimes._pairs(0.5, 0.5, config)
    ridge = np.full(3, regimes.LEAST_SQUARES)
    from w2sg_jax import synthetic as syn

    found = syn.simulate(syn.stack(pairs), ridge, ridge, n_train=60, n_w2s=60, seeds=range(600)).measured
    expected = np.array([regimes._both(p, config) for p in pairs])
    for column, name in enumerate(("err_weak", "err_w2s", "err_ceiling")):
        values = getattr(found, name)
        error = values.std(axis=1) / np.sqrt(values.shape[1])
        # misfit of the strong least squares to what the weak model lacks of the target is left out: of order d / n
        also = 0.5 * 4 / 60 * (name == "err_w2s")
        assert (np.abs(values.mean(axis=1) - expected[:, column]) < 5 * error + also).all(), name


def test_maps_are_of_cells_that_differ():
    """No two cells share their draws: along a diagonal of the map the same draws would give the same correlations."""
    config = regimes.TOY
    cells = regimes.compute(config, lambda *_: None)["cells"]
    assert len({(*cell["spearman"]["err_w2s"]["norm"], cell["gain"]) for cell in cells}) == len(cells)


def test_the_pages_tables_are_what_the_results_say(tmp_path):
    text = (DOCS / "results/theory.md").read_text(encoding="utf-8")
    assert report.rewritten(text) == text, "run python -m benchmarks.report"
    figures = re.findall(r"<!-- theory/(\w+):begin -->", text)
    assert sorted(figures) == sorted(theory.FIGURES)
    copy = tmp_path / "theory.md"
    copy.write_text(text.replace("R² log-log", "changed"))
    assert report.main([copy]) == [copy] and copy.read_text() == text
    assert not report.main([copy])
    with pytest.raises(FileNotFoundError):
        report.of_experiment("theory/benign", tmp_path)


def test_the_guides_example_finds_what_was_put_in(capsys):
    text = (DOCS / "guides/decomposability.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```py(?:thon)?\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    (example,) = [code for code in blocks if "syn.spiked" in code]
    exec(compile(example, "decomposability.md", "exec"), {})
    rank, gamma, _delta, *_ = capsys.readouterr().out.split()
    assert rank == "3" and float(gamma) == pytest.approx(0.2, rel=0.02)


@pytest.mark.parametrize("figure", theory.FIGURES)
def test_committed_results_are_of_the_present_settings(figure):
    module = import_module(f"experiments.theory.{figure}")
    assert theory.kept(theory.RESULTS / f"{figure}.json", module.Config()) is not None
    assert (theory.RESULTS / f"{figure}.svg").is_file()
    assert sum(path.stat().st_size for path in Path(theory.RESULTS).iterdir()) < 2e6
