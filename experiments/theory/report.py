"""The README's tables of the theory laboratory, made from the committed results, so that no number in them is typed.

    python -m experiments.theory.report

Between `<!-- theory/FIGURE:begin -->` and `<!-- theory/FIGURE:end -->` comes what its module makes of its JSON.
"""

import json
import re
from importlib import import_module
from pathlib import Path

from w2sg_jax.atomic import write_text

from .__main__ import RESULTS

README = Path(__file__).parents[2] / "README.md"
BLOCK = re.compile(r"(<!-- theory/(\w+):begin -->\n).*?(<!-- theory/\2:end -->)", re.DOTALL)


def main(readme: Path = README, results: Path = RESULTS) -> bool:
    """Rewrite the README's blocks; return whether anything changed."""
    text = readme.read_text(encoding="utf-8")
    made = rewritten(text, results)
    if made != text:
        write_text(readme, made)
    return made != text


def rewritten(text: str, results: Path = RESULTS) -> str:
    """The text with each block as the results give it."""
    return BLOCK.sub(lambda found: f"{found[1]}{block(found[2], results)}\n{found[3]}", text)


def block(figure: str, results: Path = RESULTS) -> str:
    """The table of one figure.

    Raises:
        FileNotFoundError: it has no result.
    """
    entry = json.loads((results / f"{figure}.json").read_text(encoding="utf-8"))
    return import_module(f"experiments.theory.{figure}").markdown(entry["result"])


if __name__ == "__main__":
    print("README.md is rewritten" if main() else "README.md is as the results say")
