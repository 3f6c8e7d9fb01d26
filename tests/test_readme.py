"""The README: its commands, its example and its figures are what the program does."""

import contextlib
import io
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def _blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def test_example_prints_what_the_readme_shows():
    (code,), (shown,) = _blocks("python"), _blocks("text")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "README.md", "exec"), {"__name__": "readme"})
    number = re.compile(r"\d+\.\d+")
    assert number.sub("#", printed.getvalue()) == number.sub("#", shown)
    values, expected = ([float(x) for x in number.findall(text)] for text in (printed.getvalue(), shown))
    assert values == pytest.approx(expected, abs=0.0101), "the last digit may be rounded the other way"
    assert "np." in code
    assert code.count("\n") <= 20


def test_commands_are_there_and_the_script_exists():
    assert "pip install . && w2sg quickstart\n" in _blocks("sh")
    assert any(re.fullmatch(r'pip install -e "\.\[test\]" && pytest.*\n', block) for block in _blocks("sh"))
    with open(ROOT / "pyproject.toml", "rb") as file:
        project = tomllib.load(file)["project"]
    assert project["scripts"] == {"w2sg": "w2sg_jax.cli:main"}
    for extra in re.findall(r'"\.\[(\w+)\]"', README):
        assert extra in project["optional-dependencies"]


def test_command_line_examples_name_real_commands():
    from w2sg_jax.cli.main import COMMANDS

    named = set(re.findall(r"\bw2sg (\w+)", README))
    assert named == set(COMMANDS)


def test_pictures_and_files_exist():
    for path in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README) + re.findall(r"`(w2sg_jax/[^`]+|CITATION.cff)`", README):
        assert (ROOT / path).is_file(), path


def test_readme_citation_and_citation_file_name_the_same_paper():
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    title = re.search(r"title\s+= \{(.+)\}", README)
    assert title is not None
    assert title[1] in citation
    for fact in ("Xue", "Li", "Mirzasoleiman", "arXiv:2502.00620", "2025"):
        assert fact in citation
        assert fact in README
