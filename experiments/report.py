"""The README's tables of the experiments, made from the committed results, so that no number in them is typed.

    python -m experiments.report

Between `<!-- EXPERIMENT/NAME:begin -->` and `<!-- EXPERIMENT/NAME:end -->` comes what the module
`experiments.EXPERIMENT.NAME` makes of experiments/results/EXPERIMENT/NAME.json.
"""

import json
import re
from importlib import import_module
from pathlib import Path

from w2sg_jax.atomic import write_text

README = Path(__file__).parents[1] / "README.md"
RESULTS = Path(__file__).parent / "results"
BLOCK = re.compile(r"(<!-- (\w+)/(\w+):begin -->\n).*?(<!-- \2/\3:end -->)", re.DOTALL)


def main(readme: Path = README, results: Path = RESULTS) -> bool:
    """Rewrite the README's blocks; return whether anything changed."""
    text = readme.read_text(encoding="utf-8")
    made = rewritten(text, results)
    if made != text:
        write_text(readme, made)
    return made != text


def rewritten(text: str, results: Path = RESULTS) -> str:
    """The text with each block as the results give it."""
    return BLOCK.sub(lambda found: f"{found[1]}{block(found[2], found[3], results)}\n{found[4]}", text)


def block(experiment: str, name: str, results: Path = RESULTS) -> str:
    """The tables of one result.

    Raises:
        FileNotFoundError: there is none.
    """
    entry = json.loads((results / experiment / f"{name}.json").read_text(encoding="utf-8"))
    return import_module(f"experiments.{experiment}.{name}").markdown(entry["result"])


if __name__ == "__main__":
    print("README.md is rewritten" if main() else "README.md is as the results say")
