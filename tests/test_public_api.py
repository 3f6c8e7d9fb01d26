"""Public names: documented, in the table of the API page with arguments that exist, and nothing else exported."""

import ast
import inspect
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import w2sg_jax as w2sg

ROOT = Path(__file__).parent.parent
TABLE = (ROOT / "docs/api/index.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", w2sg.__all__)
def test_public_name_has_a_docstring_of_its_own(name):
    documented = inspect.getdoc(getattr(w2sg, name)) or ""
    assert len(documented.splitlines()[0]) > 10
    assert not documented.startswith(f"{name}("), "that is what dataclass writes by itself"


@pytest.mark.parametrize("name", [name for name in w2sg.__all__ if inspect.isfunction(getattr(w2sg, name))])
def test_public_function_documents_every_argument(name):
    """In its own docstring, or in that of a function that it refers to."""
    function = getattr(w2sg, name)
    documented = inspect.getdoc(function) or ""
    referred = [getattr(w2sg, other, None) for other in re.findall(r"\bas ``(\w+)``", documented)]
    documented += "".join(inspect.getdoc(other) or "" for other in referred)
    for argument in inspect.signature(function).parameters:
        assert re.search(rf"\b{argument}\b", documented), argument


@pytest.mark.parametrize("name", w2sg.__all__)
def test_public_name_stands_in_the_table(name):
    assert re.search(rf"`{name}[`(]", TABLE)


def test_the_table_names_nothing_that_does_not_exist():
    for name, arguments in re.findall(r"`(\w+)\(([^)]*)\)`", TABLE):
        known = inspect.signature(getattr(w2sg, name)).parameters
        assert {argument.partition("=")[0] for argument in arguments.split(", ") if argument != "*"} <= set(known), name
    for name in re.findall(r"`(\w+)`", TABLE):
        assert name in w2sg.__all__ or name == "ValueError"


def test_exports_are_complete_sorted_and_explicit():
    assert sorted(w2sg.__all__) == list(w2sg.__all__)
    public = {name for name in dir(w2sg) if name[0] != "_" and not isinstance(getattr(w2sg, name), ModuleType)}
    assert public == set(w2sg.__all__)
    source = ast.parse((ROOT / "w2sg_jax/__init__.py").read_text(encoding="utf-8"))
    imported = [node for node in ast.walk(source) if isinstance(node, ast.ImportFrom) and node.level]
    typed = {(node.module, alias.name) for node in imported for alias in node.names if alias.asname == alias.name}
    assert typed == {("_errors", "InputError")} | {(home, name) for home in w2sg._HOMES for name in w2sg._HOMES[home]}


def test_a_name_that_does_not_exist_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'gap_nrom'"):
        _ = w2sg.gap_nrom


def test_importing_changes_nothing_global():
    """Neither JAX's settings, nor warnings, nor the random state; and what is heavy and not needed stays out."""
    program = """
import sys, warnings
import jax, numpy, rich.console, scipy.linalg, tyro  # what these change is not ours
def state():
    return (dict(jax.config.values), list(warnings.filters), str(numpy.random.get_state()))
before = state()
import w2sg_jax, w2sg_jax.cli
for name in w2sg_jax.__all__:
    getattr(w2sg_jax, name)
assert state() == before
for heavy in ("matplotlib.pyplot", "sklearn", "torch", "pandas"):
    assert heavy not in sys.modules, heavy
"""
    subprocess.run([sys.executable, "-c", program], check=True, cwd=ROOT)


def test_package_is_typed():
    assert (ROOT / "w2sg_jax/py.typed").is_file()
