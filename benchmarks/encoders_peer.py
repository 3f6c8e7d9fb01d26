"""What transformers takes for the final states of some rows of tokens: run by benchmarks.encoders.

    python benchmarks/encoders_peer.py MODEL TOKENS.npz STATES.npy DTYPE BATCH REPEATS

Rows of like length in a batch, on the GPU where there is one. Prints the median of passes after a first one as JSON.
"""

import json
import sys
import time
from importlib import import_module
from importlib.metadata import version
from statistics import median
from typing import Any

import numpy as np

torch: Any = import_module("torch")


def main(folder: str, given: str, out: str, dtype: str, batch: int, repeats: int) -> None:
    device = "cuda" if torch.cuda.is_available() else "cpu"
    transformers = import_module("transformers")
    model = transformers.AutoModel.from_pretrained(folder, dtype=getattr(torch, dtype), attn_implementation="sdpa")
    model = model.to(device).eval()
    with np.load(given) as arrays:
        ids, offsets = arrays["ids"], arrays["offsets"]
    lengths = np.diff(offsets)
    order = np.argsort(-lengths, kind="stable")

    def states() -> np.ndarray:
        found = []
        with torch.inference_mode():
            for start in range(0, len(order), batch):
                rows = order[start : start + batch]
                padded = np.zeros((len(rows), lengths[rows].max()), np.int64)
                for place, row in enumerate(rows):
                    padded[place, : lengths[row]] = ids[offsets[row] : offsets[row + 1]]
                mask = np.arange(padded.shape[1]) < lengths[rows][:, None]
                given = {
                    "input_ids": torch.from_numpy(padded),
                    "attention_mask": torch.from_numpy(mask.astype(np.int64)),
                }
                last = model(**{name: x.to(device) for name, x in given.items()}).last_hidden_state
                found.append(last[torch.arange(len(rows)), torch.from_numpy(lengths[rows] - 1)].float().cpu().numpy())
        return np.concatenate(found)[np.argsort(order)]

    found, seconds = states(), []
    for _ in range(repeats):
        start = time.perf_counter()
        found = states()
        seconds.append(time.perf_counter() - start)
    np.save(out, found)
    versions = {name: version(name) for name in ("torch", "transformers")}
    print(json.dumps({"seconds": median(seconds), "batch": batch, "device": device, "versions": versions}))


if __name__ == "__main__":
    folder, given, out, dtype, batch, repeats = sys.argv[1:7]
    main(folder, given, out, dtype, int(batch), int(repeats))
