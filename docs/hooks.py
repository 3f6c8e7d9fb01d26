"""What the site needs beside its pages: API pages, figures, links to modules, formulas that render without a network.

- A folder of the package is a page of the API, with every module and public name in it; nothing lists them by hand.
- Pages link to figures and modules by their paths in the repository, so that they can be read there too. On the site
  figures of `experiments/results` and `benchmarks/results` are files of the site, and modules are their API entries.
- Formulas become MathML while the site is built (Temml, docs/vendor): no script, no font and no host is needed to read
  them, and one that is not TeX ends the build.
"""

import ast
import html
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from py_mini_racer import JSEvalException, MiniRacer

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "w2sg_jax"
RESULTS = ("experiments/results", "benchmarks/results")
PICTURES = {".png", ".svg"}
TOP = ("w2sg_jax.InputError", "w2sg_jax.quickstart", "w2sg_jax.from_models")
"""What stands in no folder of the package."""

ORDER = {"theory": ("kernel", "spectrum", "smoother", "gap_operator", "cholesky", "gap", "grid", "leading", "scores")}
"""Modules that come first on a page, in this order; the others follow by name."""

UP = r"(?:\.\./)+"
PICTURE = re.compile(rf"\]\({UP}((?:{'|'.join(RESULTS)})/[^)\s]+)")
MODULE = re.compile(rf"\]\({UP}(w2sg_jax(?:/\w+)*)(?:\.py|/)\)")
FORMULA = re.compile(r'<(span|div) class="arithmatex">\\[(\[](.*?)\\[)\]]</\1>', re.DOTALL)


def on_config(config: Any) -> Any:
    """Put the API's pages where the navigation names their folder."""
    for entry in config.nav:
        if entry.get("API") == "api/":
            entry["API"] = ["api/index.md", *({name: f"api/{name}.md"} for name in folders())]
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the API's pages and the figures."""
    for name in folders():
        files.append(File.generated(config, f"api/{name}.md", content=api_page(name)))
    for folder in RESULTS:
        for path in sorted((ROOT / folder).rglob("*")):
            if path.suffix in PICTURES:
                place = f"figures/{path.relative_to(ROOT).as_posix()}"
                files.append(File.generated(config, place, abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Lead links to figures and modules to what the site has of them."""
    if page.file.src_uri == "api/index.md":
        markdown += "\n\n" + "\n".join(_directive(name, heading_level=2) for name in TOP)
    up = "../" * page.file.src_uri.count("/")
    markdown = PICTURE.sub(lambda found: f"]({up}figures/{found[1]}", markdown)
    return MODULE.sub(lambda found: f"][{found[1].replace('/', '.')}]", markdown)


def on_page_content(content: str, page: Any, **_: Any) -> str:
    """Turn formulas into MathML; keep sources out of the search."""
    source = '<details class="mkdocstrings-source"'
    content = content.replace(source, f"{source} data-search-exclude")
    return FORMULA.sub(lambda found: mathml(found[2], found[1] == "div", page.file.src_uri), content)


def folders() -> list[str]:
    """The package's folders."""
    return sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))


def api_page(folder: str) -> str:
    """The page of a folder: what it is for, the public names of its private modules, and its other modules.

    Public constants, which may have no docstring in their module, are listed with the folder.
    """
    named = [name for module, name in exports(folder) if module.startswith("_") or name.isupper()]
    options = {"members": named, "show_if_no_docstring": "true"} if named else {"members": "false"}
    parts = [_directive(f"w2sg_jax.{folder}", heading_level=1, **options)]
    found = sorted(path.stem for path in (PACKAGE / folder).glob("[!_]*.py"))
    first = [module for module in ORDER.get(folder, ()) if module in found]
    modules = [*first, *(module for module in found if module not in first)]
    parts += [_directive(f"w2sg_jax.{folder}.{module}", heading_level=2) for module in modules]
    return "\n".join(parts)


def exports(folder: str) -> Iterator[tuple[str, str]]:
    """Module and name of what the folder's __init__ exports."""
    tree = ast.parse((PACKAGE / folder / "__init__.py").read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level == 1 and node.module:
            yield from ((node.module, alias.name) for alias in node.names if alias.name == alias.asname)


def _directive(identifier: str, **options: Any) -> str:
    lines = [f"        {name}: {value}" for name, value in options.items()]
    return "\n".join([f"::: {identifier}", "    options:", *lines, ""])


_temml: list[MiniRacer] = []


def mathml(tex: str, display: bool, where: str) -> str:
    """A formula as MathML.

    Args:
        tex: the formula, escaped as HTML.
        display: on a line of its own.
        where: the page, for the message.

    Raises:
        PluginError: it is not TeX.
    """
    if not _temml:
        context = MiniRacer()
        context.eval((ROOT / "docs/vendor/temml.min.js").read_text(encoding="utf-8") + ";0")
        _temml.append(context)
    source = html.unescape(tex).strip()
    try:
        made = _temml[0].call("temml.renderToString", source, {"displayMode": display, "throwOnError": True})
    except JSEvalException as error:
        raise PluginError(f"{where}: {source!r} is no formula: {str(error).splitlines()[0]}") from error
    return f'<div class="formula">{made}</div>' if display else made
