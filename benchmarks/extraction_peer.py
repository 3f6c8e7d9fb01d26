"""What sentence-transformers or transformers takes for the representations of some texts: run by benchmarks.extraction.

    python benchmarks/extraction_peer.py MODEL TEXTS.json OUT.npy THREADS

A folder with modules.json goes to sentence-transformers' own ``encode``; anything else to ``transformers``, rows of
like length in a batch, the last token's final state. Prints seconds of a second pass, and versions, as JSON.
"""

import json
import sys
import time
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

torch: Any = import_module("torch")

BATCH = 32
"""Both libraries' default."""


def main(model: Path, texts: list[str], out: Path, threads: int) -> None:
    torch.set_num_threads(threads)
    if (model / "modules.json").is_file():
        name, encode = "sentence-transformers", by_sentence_transformers(model)
    else:
        name, encode = "transformers", by_transformers(model)
    encode(texts[:BATCH])
    start = time.perf_counter()
    found = encode(texts)
    seconds = time.perf_counter() - start
    np.save(out, found)
    versions = {one: version(one) for one in (name, "torch")}
    print(json.dumps({"peer": name, "seconds": seconds, "versions": versions}))


def by_sentence_transformers(folder: Path) -> Callable[[list[str]], np.ndarray]:
    model = import_module("sentence_transformers").SentenceTransformer(str(folder), device="cpu")
    return lambda texts: model.encode(texts, batch_size=BATCH, show_progress_bar=False)


def by_transformers(path: Path) -> Callable[[list[str]], np.ndarray]:
    transformers = import_module("transformers")
    where = {"pretrained_model_name_or_path": path}
    if path.is_file():
        where = {"pretrained_model_name_or_path": path.parent, "gguf_file": path.name}
    model = transformers.AutoModel.from_pretrained(**where, dtype=torch.float32).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(**where)
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    tokenizer.padding_side = "right"

    def encode(texts: list[str]) -> np.ndarray:
        order = np.argsort([-len(text) for text in texts], kind="stable")
        rows = []
        with torch.inference_mode():
            for start in range(0, len(texts), BATCH):
                some = [texts[row] for row in order[start : start + BATCH]]
                inputs = tokenizer(some, padding=True, return_tensors="pt")
                states = model(**inputs).last_hidden_state
                last = inputs["attention_mask"].sum(dim=1) - 1
                rows.append(states[torch.arange(len(some)), last].numpy())
        found = np.concatenate(rows)
        return found[np.argsort(order)]

    return encode


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text()), Path(sys.argv[3]), int(sys.argv[4]))
