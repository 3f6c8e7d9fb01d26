"""The tables of the documentation's results pages, made from the committed results, so that no number in it is typed.

    python -m benchmarks.report

Between `<!-- NAME:begin -->` and `<!-- NAME:end -->` comes what `benchmarks.NAME.markdown` makes of
benchmarks/results/<device>/NAME.json, for each device that has one; where NAME is EXPERIMENT/RESULT, what
`experiments.EXPERIMENT.RESULT.markdown` makes of experiments/results/EXPERIMENT/RESULT.json.
"""

import json
import re
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.results import RESULTS
from w2sg_jax.store.atomic import write_text

PAGES = tuple(sorted((Path(__file__).parents[1] / "docs" / "results").glob("*.md")))
EXPERIMENTS = Path(__file__).parents[1] / "experiments" / "results"
BLOCK = re.compile(r"(<!-- ([\w/]+):begin -->\n).*?(<!-- \2:end -->)", re.DOTALL)


def main(pages: Sequence[Path] = PAGES, results: Path = RESULTS, experiments: Path = EXPERIMENTS) -> list[Path]:
    """Rewrite the pages' blocks; return the pages that changed."""
    changed = []
    for page in pages:
        text = page.read_text(encoding="utf-8")
        made = rewritten(text, results, experiments)
        if made != text:
            write_text(page, made)
            changed.append(page)
    return changed


def rewritten(text: str, results: Path = RESULTS, experiments: Path = EXPERIMENTS) -> str:
    """The text with each block as the results give it."""

    def made(found: re.Match[str]) -> str:
        tables = of_experiment(found[2], experiments) if "/" in found[2] else block(found[2], results)
        return f"{found[1]}{tables}\n{found[3]}"

    return BLOCK.sub(made, text)


def of_experiment(name: str, results: Path = EXPERIMENTS) -> str:
    """The tables of one result of an experiment, EXPERIMENT/RESULT.

    Raises:
        FileNotFoundError: there is none.
    """
    entry = json.loads((results / f"{name}.json").read_text(encoding="utf-8"))
    return import_module(f"experiments.{name.replace('/', '.')}").markdown(entry["result"])


def block(name: str, results: Path = RESULTS) -> str:
    """The tables of one benchmark, one for each device.

    Raises:
        FileNotFoundError: there is no result.
    """
    paths = sorted(results.glob(f"*/{name}.json"))
    if not paths:
        raise FileNotFoundError(f"{results}/*/{name}.json: there is none; run python -m benchmarks.{name}")
    markdown = import_module(f"benchmarks.{name}").markdown
    entries = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    return "\n\n".join(f"{where(entry)}\n\n{markdown(entry)}" for entry in entries)


def where(entry: dict[str, Any]) -> str:
    """What the numbers were measured on."""
    machine, versions = entry["machine"], entry["versions"]
    on_cpu = machine["backend"] == "cpu"
    name, count = ("CPU", entry.get("cores")) if on_cpu else (machine["device"], machine["devices"])
    number = "" if count is None else f", {count} {'core' if on_cpu else 'device'}{'s' * (count != 1)}"
    threads = entry.get("blas_threads")
    number += f", OPENBLAS_NUM_THREADS={threads}" if threads else ""
    return f"{name}{number}, JAX {versions['jax']}, {entry['time'][:10]}:"


if __name__ == "__main__":
    print(f"rewritten: {', '.join(page.name for page in main()) or 'none, the pages are as the results say'}")
