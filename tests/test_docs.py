"""The documentation: commands and examples run, links and names exist, and the site needs nothing from elsewhere.

Every block `sh`, `python` or `py` of a page is run, in the order of the page, in a folder with small files of the names
that pages use (`samples`). The blocks of a page share that folder, and `python` blocks their variables.

- `sh`: each command. `w2sg` runs in this process; what the shell
  does by itself and scripts of the page run in a shell.
- `python`: run; a block `text` right after it is what it prints, up to the last digit of decimals.
- `py`: a file, whose name its first line has as a comment.
- A block after a comment `needs: ...` is not run. `NEEDS` lists all that there may be.
"""

import os
import re
import shlex
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from html.parser import HTMLParser
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

import w2sg_jax as w2sg
from w2sg_jax.cli.main import COMMANDS, main

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md") if "vendor" not in path.parts)
NAMES = [page.relative_to(DOCS).as_posix() for page in PAGES]
NEEDS = {
    "a fresh environment, which .ci/run makes",
    "a repository to clone",
    "a minute of an idle machine",
    "half an hour of an idle machine, and representations in files",
    "minutes",
    "models in folders",
    "minutes, an hour for the last",
    "20 minutes",
    "two hours, and models of 700 MB",
    "published files",
    "mkdocs; .ci/run does it",
    "a Ray cluster",
    "several hosts",
    "Slurm",
    "Kubernetes",
    "Cloud TPU",
    "an accelerator",
}
BLOCK = re.compile(r"(?:<!-- needs: ([^>]*) -->\n\n?)?^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
NUMBER = re.compile(r"\d+\.\d+")


@dataclass(frozen=True)
class Block:
    language: str
    code: str
    needs: str


def blocks(page):
    return [Block(*found.group(2, 3), found[1] or "") for found in BLOCK.finditer(page.read_text(encoding="utf-8"))]


def commands(code):
    """The commands of a block, without comments; a line that ends in a backslash goes on, and && joins two."""
    lines = code.replace("\\\n", " ").splitlines()
    return [part.strip() for line in lines for part in _without_comment(line).split(" && ") if part.strip()]


def _without_comment(line):
    return re.sub(r"(^|\s+)#\s.*$", "", line)


@pytest.fixture
def samples(tmp_path, monkeypatch):
    """The files that pages name: two splits of features that models see more and more of, in every format."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    mixing, truth = rng.normal(size=(8, 12)), np.ones(8)
    for suffix in ("", "0"):  # 0: the split that the weak models are fitted on
        features = rng.normal(size=(120, 8)) / np.arange(1, 9)
        strong, y = features @ mixing, features @ truth
        weak = {"a": features[:, :2], "b": features[:, :4], "c": features[:, :6]}
        for name, array in (weak | {"strong": strong, "y": y}).items():
            w2sg.save(f"{name}{suffix}.npy", array)
    w2sg.save("weak.npy", weak["b"])
    np.savez("all.npz", weak=weak["b"], strong=strong)
    Path("shards").mkdir()
    for index, part in enumerate(np.split(strong, 2)):
        w2sg.save(f"shards/{index}.npy", part)
    if find_spec("pyarrow"):
        pa, pq = import_module("pyarrow"), import_module("pyarrow.parquet")
        columns = {"minilm": weak["b"], "llama": strong}
        pq.write_table(pa.table({name: pa.array(array.tolist()) for name, array in columns.items()}), "d.parquet")
    return tmp_path


def run_command(command, capsys):
    """Run one command of a page."""
    words = shlex.split(command)
    target = words.pop() if len(words) > 2 and words[-2] == ">" else None
    if target:
        words.pop()
    if words[0] == "w2sg":
        assert main(words[1:]) == 0, command
        out = capsys.readouterr().out
        if target:
            Path(target).write_text(out)
    elif words[:2] == ["python", "-m"]:
        assert (Path(f"{words[2]}.py")).is_file(), f"{command}: runs a file of the page"
        paths = os.pathsep.join([os.getcwd(), str(ROOT)])
        subprocess.run([sys.executable, *words[1:]], check=True, env=os.environ | {"PYTHONPATH": paths}, timeout=600)
    elif words[0] == "printf":
        subprocess.run(["bash", "-c", command], check=True)
    else:
        pytest.fail(f"{command}: neither run here nor marked with what it needs")


@pytest.mark.driver
@pytest.mark.parametrize("name", [name for name, page in zip(NAMES, PAGES, strict=True) if blocks(page)])
def test_a_page_does_what_it_says(name, samples, capsys):
    variables, printed = {"__name__": "page"}, None
    for block in blocks(DOCS / name):
        if block.needs:
            continue
        if block.language == "sh":
            for command in commands(block.code):
                run_command(command, capsys)
        elif block.language == "py":
            head, _, _ = block.code.partition("\n")
            Path(head.removeprefix("# ")).write_text(block.code)
        elif block.language == "python":
            exec(compile(block.code, name, "exec"), variables)
            printed = capsys.readouterr().out
        elif block.language == "text" and printed is not None:
            same(printed, block.code)
        if block.language != "python":
            printed = None


def same(printed, shown):
    """What was printed is what the page shows, but for the last digit of decimals."""
    assert NUMBER.sub("#", printed) == NUMBER.sub("#", shown), printed
    for one, other in zip(NUMBER.findall(printed), NUMBER.findall(shown), strict=True):
        assert float(one) == pytest.approx(float(other), abs=1.01 * 10.0 ** -len(other.partition(".")[2])), printed


def test_what_is_not_run_is_known():
    assert {block.needs for page in PAGES for block in blocks(page) if block.needs} == NEEDS


def test_commands_and_extras_exist_even_where_they_are_not_run():
    with open(ROOT / "pyproject.toml", "rb") as file:
        extras = tomllib.load(file)["project"]["optional-dependencies"]
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        named = re.findall(r"(?:\"\.|w2sg_jax)\[([\w,-]+)\]", text)
        assert {extra for group in named for extra in group.split(",")} <= set(extras), page
        for block in (block for block in blocks(page) if block.language == "sh"):
            assert set(re.findall(r"\bw2sg (\w+)", block.code)) <= set(COMMANDS), page
            for module in re.findall(r"python -m ((?:experiments|benchmarks)[\w.]*)", block.code):
                assert find_spec(module), module
    listed = re.findall(r"^\| `w2sg (\w+)` \|", (DOCS / "guides/command-line.md").read_text(encoding="utf-8"), re.M)
    assert set(listed) == set(COMMANDS)


@pytest.mark.parametrize("page", [ROOT / "README.md", *PAGES], ids=["README.md", *NAMES])
def test_links_and_files_exist(page):
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        if re.match(r"\w+://", target):
            continue
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", linked.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w]+", "-", heading.lower()).strip("-") for heading in headings}, target
    for path in re.findall(r"`((?:w2sg_jax|tests|experiments|benchmarks|docs|\.ci)/[\w./-]+)`", text):
        assert (ROOT / path).exists(), path


def test_the_method_names_what_stands_in_its_files():
    """In the table: every name is in one of the files of its row."""
    text = (DOCS / "method.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| ") and "](../w2sg_jax/" in line]
    for concept in (
        *("kernel", "spectrum", "smoother", "gap operator", "gap norm", "predicted gap", "scores", "effective ridge"),
        *("decomposability", "ridge heads", "weak-to-strong pipeline"),
    ):
        assert any(row.startswith(f"| [{concept}](") for row in rows), concept
    for row in rows:
        files = re.findall(r"\]\(\.\./(w2sg_jax/[\w/]+)\.py\)", row)
        modules = [import_module(file.replace("/", ".")) for file in files]
        for name in re.findall(r"`(\w+)`", row):
            found = [module for module in (*modules, w2sg) if hasattr(module, name)]
            assert found, row


def test_layers_are_those_of_the_test():
    from test_layers import MAY_IMPORT

    text = (DOCS / "contributing.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", text, re.MULTILINE)
    assert {name: set(re.findall(r"`(\w+)`", used)) for name, used in rows} == {
        name: set(used) for name, used in MAY_IMPORT.items() if name != "_errors"
    }


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site: where W2SG_SITE says, or made now if mkdocs is there."""
    if "W2SG_SITE" in os.environ:
        return Path(os.environ["W2SG_SITE"])
    for needed in ("mkdocs", "material", "mkdocstrings", "py_mini_racer"):
        pytest.importorskip(needed, reason="the site needs the extra docs")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    subprocess.run(command, check=True, cwd=ROOT, timeout=600, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"})
    return folder


class Sources(HTMLParser):
    """What a page loads, its anchors, and the TeX that is left in it."""

    def __init__(self, path):
        super().__init__()
        self.loaded, self.ids, self.formulas = [], set(), 0
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.ids.add(found.get("id"))
        self.formulas += tag == "math"
        if tag in ("script", "img", "iframe", "source", "link", "object", "embed"):
            self.loaded += [value for name in ("src", "href", "srcset", "data") if (value := found.get(name))]


def test_site_loads_nothing_from_elsewhere(site):
    pages = sorted(site.rglob("*.html"))
    assert len(pages) > 25
    for page in pages:
        for source in Sources(page).loaded:
            assert not re.match(r"(\w+:)?//", source), (page, source)
            assert (page.parent / source.partition("?")[0].partition("#")[0]).resolve().exists() or source.startswith(
                ("/", "data:")
            ), (page, source)
    for sheet in site.rglob("*.css"):
        assert not re.search(r"(url\(|@import)\s*[\"']?(\w+:)?//", sheet.read_text(encoding="utf-8")), sheet


def test_site_has_formulas_figures_and_search(site):
    for page in site.rglob("*.html"):
        assert 'class="arithmatex"' not in page.read_text(encoding="utf-8"), page
    assert Sources(site / "method/index.html").formulas > 100
    text = (site / "results/theory/index.html").read_text(encoding="utf-8")
    assert text.count("../../figures/experiments/results/theory/") == text.count("<table>") == 7
    index = (site / "search/search_index.json").read_text(encoding="utf-8")
    assert "w2sg_jax.theory.gap.gap" in index


def test_site_has_every_public_name(site):
    anchors = set()
    for page in (site / "api").rglob("*.html"):
        anchors |= Sources(page).ids
    public = [(w2sg, name) for name in w2sg.__all__]
    for room in w2sg._ROOMS:
        module = import_module(f"w2sg_jax.{room}")
        public += [(module, name) for name in vars(module) if name[0] != "_" and _is_exported(module, name)]
    for module, name in public:
        found = getattr(module, name)
        home = getattr(found, "__module__", module.__name__) if callable(found) else module.__name__
        assert {f"{home}.{name}", f"{module.__name__}.{name}"} & anchors, f"{module.__name__}.{name}"
    folders = {path.parent.name for path in (ROOT / "w2sg_jax").glob("*/__init__.py")}
    assert {path.name for path in (site / "api").iterdir() if path.is_dir()} == folders


def _is_exported(module, name):
    source = Path(module.__file__).read_text(encoding="utf-8")
    return re.search(rf"import (\w+ as )?{name}( as {name})?\b.*$", source, re.MULTILINE) is not None
