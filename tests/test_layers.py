"""The layers of the package: who may import whom, read off the syntax trees (docs/contributing.md has the picture)."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = "w2sg_jax"

MATHEMATICS = {"numerics", "second_moments", "theory"}
MAY_IMPORT = {
    "_errors": set(),
    "store": set(),
    "terminal": set(),
    "numerics": {"store"},
    "parallel": {"numerics"},
    "datasets": {"store"},
    "second_moments": {"numerics", "parallel", "store"},
    "theory": {"numerics", "second_moments"},
    "synthetic": {"numerics"},
    "encoders": {"numerics", "store"},
    "training": {"encoders", "numerics", "store", "terminal"},
    "extraction": {"encoders", "store", "terminal"},
    "predictors": MATHEMATICS,
    "ranking": MATHEMATICS | {"parallel", "predictors"},
    "selection": MATHEMATICS | {"parallel", "predictors"},
    "evaluation": MATHEMATICS | {"datasets", "predictors"},
    "report": {"evaluation", "ranking", "selection", "second_moments", "theory", "store", "terminal"},
    "batch": {"report", "store", "terminal"},
    "bench": MATHEMATICS,
}
"""Room -> rooms that it may use, beside `_errors`. Rooms that are not named stand on top: nobody imports them."""
TOP = {"__init__", "quickstart", "from_models", "cli"}
NUMERICAL = {"default_backend", "enable_x64", "get_lapack_funcs", "get_blas_funcs"}
"""What chooses between host and device, or their precision: names that stand in numerics, and in the host's sums."""


def modules(folder: str) -> Iterator[tuple[str, ast.Module]]:
    """Path from the root, and syntax tree, of every module in a folder."""
    for path in sorted((ROOT / folder).rglob("*.py")):
        yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text())


def imported(path: str, tree: ast.Module) -> Iterator[str]:
    """Absolute names of all that a module imports, wherever in it."""
    package = path.removesuffix(".py").split("/")[:-1]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


def room_of(path: str) -> str:
    return path.removesuffix(".py").split("/")[1]


def test_every_module_stands_in_a_room():
    rooms = {room_of(path) for path, _ in modules(PACKAGE)}
    assert rooms <= MAY_IMPORT.keys() | TOP


def test_imports_go_down():
    wrong = []
    for path, tree in modules(PACKAGE):
        room = room_of(path)
        allowed = MAY_IMPORT.get(room)
        for name in imported(path, tree):
            head, _, rest = name.partition(".")
            other = rest.split(".")[0]
            if head != PACKAGE or other in {room, "_errors"}:
                continue
            if allowed is not None and other not in allowed and other != "__version__":
                wrong.append(f"{path} imports {name}")
            if other == "cli" and room != "cli":
                wrong.append(f"{path} imports {name}: nobody imports the command line")
    assert not wrong


def test_only_numerics_chooses_the_backend():
    wrong = []
    for path, tree in modules(PACKAGE):
        if room_of(path) == "numerics" or path.endswith("second_moments/host_sums.py"):
            continue
        names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        names |= {name.rpartition(".")[2] for name in imported(path, tree)}
        wrong += [f"{path}: {name}" for name in sorted(names & NUMERICAL)]
        wrong += [f"{path}: {name}" for name in imported(path, tree) if name.startswith("scipy.linalg")]
    assert not wrong


def test_only_numerics_says_what_rounding_is():
    """A machine epsilon elsewhere would be a second numerical policy."""
    wrong = [
        path
        for path, tree in modules(PACKAGE)
        if room_of(path) not in {"numerics", "synthetic"} and not path.endswith("second_moments/host_sums.py")
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr == "eps"
    ]
    assert not wrong


def test_only_the_store_hashes():
    """Digests stand in ids and file names: what they cover is written once."""
    paths = [(path, set(imported(path, tree))) for folder in (PACKAGE, "experiments") for path, tree in modules(folder)]
    assert [path for path, names in paths if "hashlib" in names] == [f"{PACKAGE}/store/content.py"]


def test_experiments_and_benchmarks_use_public_names_and_not_each_other():
    wrong = []
    for folder, other in (("experiments", "benchmarks"), ("benchmarks", "experiments")):
        for path, tree in modules(folder):
            for name in imported(path, tree):
                parts = name.split(".")
                private = parts[0] == PACKAGE and any(p.startswith("_") and not p.endswith("__") for p in parts)
                if private or parts[0] == other:
                    wrong.append(f"{path} imports {name}")
    assert not wrong


@pytest.mark.driver
@pytest.mark.parametrize("room", ["terminal", "datasets", "cli"])
def test_rooms_that_answer_at_once_do_not_import_jax(room):
    names = [path.removesuffix(".py").replace("/", ".").removesuffix(".__init__") for path, _ in modules(PACKAGE)]
    mine = [name for name in names if name.split(".")[1:2] == [room] and not name.endswith(("__main__", "cli.member"))]
    code = f"import {', '.join(mine)}, sys; print('jax' in sys.modules, 'matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.split() == ["False", "False"]
