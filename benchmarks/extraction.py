"""Representations of texts: rows a second, beside sentence-transformers and transformers on the same machine.

    python -m benchmarks.extraction --models models/minilm models/smollm2.gguf --peer python

The same texts, lengths and float32. The peer runs in a process of its own, by the interpreter that ``--peer`` names,
which has torch and the libraries; it and ours take turns, and medians are kept. Passes are timed after one that
compiles, whose excess is the compilation. Both have to give the same rows.
"""

import json
import os
import subprocess
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import tyro

from benchmarks.results import folder_of, save
from w2sg_jax.bench.machine import product_rate
from w2sg_jax.datasets import load_text
from w2sg_jax.encoders import open_pretrained
from w2sg_jax.report.tables import markdown_table, table
from w2sg_jax.terminal.console import standard_output

PEER = Path(__file__).with_name("extraction_peer.py")
HEADINGS = ("model", "rows", "tokens", "rows a second", "share of the product rate", "compilation [s]", "peer",
            "its rows a second", "times faster")  # fmt: skip


@dataclass(frozen=True)
class Config:
    """What is measured, and where the result goes."""

    models: tuple[Path, ...]
    """Folders or GGUF files."""
    data: str = "sciq"
    """Texts that are known by name."""
    data_dir: Path | None = None
    """Folder with published data."""
    n: int = 1000
    """The first so many texts."""
    peer: str | None = None
    """Python with torch, transformers and sentence-transformers; None to leave peers out."""
    repeats: int = 3
    """Turns of each."""
    tolerance: float = 1e-3
    """Largest relative difference of a row between the two."""
    out: Path | None = None
    """Folder for the JSON; by default benchmarks/results/<device>."""


def main(config: Config) -> dict[str, Any]:
    """Run the benchmark and return its record."""
    console = standard_output()
    texts = list(load_text(config.data, config.data_dir).texts[: config.n])
    with console.status("product rate"):
        rate = product_rate("float32", size=2048, at_least=2.0)
    rows = []
    for path in config.models:
        with console.status(path.name):
            rows.append(measured(path, texts, rate, config))
    # The paths of this machine are nobody else's concern.
    names = tuple(Path(path.name) for path in config.models)
    settings = replace(config, models=names, data_dir=None, peer=config.peer and "python")
    entry = save("extraction", settings, {"rate": rate, "rows": rows})
    title = f"Representations; a float32 product reaches {rate / 1e9:.0f} Gflop/s"
    console.print(table(title, HEADINGS, map(_cells, rows), words=(0, 6)))
    console.print(f"written to {folder_of(config.out)}")
    return entry


def measured(path: Path, texts: list[str], rate: float, config: Config) -> dict[str, Any]:
    """One model, by both."""
    pretrained = open_pretrained(path)
    tokens, model = pretrained.tokens(texts), pretrained.load()

    def ours() -> tuple[float, np.ndarray]:
        start = time.perf_counter()
        (found,) = model.represent(texts).values()
        return time.perf_counter() - start, found

    first, found = ours()
    seconds, theirs, other, error = [], [], {}, 0.0
    for _ in range(config.repeats):
        seconds.append(ours()[0])
        if config.peer:
            other, rows = by_peer(path, texts, config.peer)
            theirs.append(other["seconds"])
            error = float((np.linalg.norm(rows - found, axis=1) / np.linalg.norm(found, axis=1)).max())
            if error > config.tolerance:
                raise RuntimeError(f"{path.name}: rows differ by {error:.1e} from those of {other['peer']}")
    mine = median(seconds)
    entry = {
        "model": path.name,
        "rows": len(texts),
        "tokens": int(tokens.lengths.sum()),
        "seconds": mine,
        "share": pretrained.flops_of(tokens) / mine / rate,
        "compilation_s": first - mine,
    }
    if config.peer:
        entry |= {"peer": other["peer"], "peer_seconds": median(theirs), "peer_versions": other["versions"]}
        entry |= {"largest_difference": error}
    return entry


def by_peer(path: Path, texts: list[str], python: str) -> tuple[dict[str, Any], np.ndarray]:
    """Seconds and rows of the peer."""
    with tempfile.TemporaryDirectory() as folder:
        given, out = Path(folder) / "texts.json", Path(folder) / "rows.npy"
        given.write_text(json.dumps(texts))
        command = [python, str(PEER), str(path), str(given), str(out), str(os.cpu_count())]
        environment = os.environ | {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "true"}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
        if done.returncode != 0:
            raise RuntimeError(f"{path.name}: {done.stderr.strip()[-2000:]}")
        return json.loads(done.stdout.splitlines()[-1]), np.load(out)


def markdown(entry: dict[str, Any]) -> str:
    """The result for its page of the documentation."""
    return markdown_table(HEADINGS, map(_cells, entry["result"]["rows"]))


def _cells(row: dict[str, Any]) -> list[str]:
    rows = row["rows"]
    peer = ["", "", ""]
    if "peer" in row:
        ratio = row["peer_seconds"] / row["seconds"]
        peer = [row["peer"], f"{rows / row['peer_seconds']:.0f}", f"{ratio:.2f}"]
    own = [f"{rows / row['seconds']:.0f}", f"{100 * row['share']:.0f}%", f"{row['compilation_s']:.1f}"]
    return [row["model"], str(rows), str(row["tokens"]), *own, *peer]


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
