"""Language models at their published shapes on this device: tokens a second, beside its product rate and transformers.

    python -m benchmarks.encoders --peer python

Weights are random, since speed does not depend on them; so are tokens and the lengths of the rows (log-uniform). Both
sides get the same identifiers, rows of like length together, and give the final state of each last token; medians of
passes after one that compiles. The peer, transformers with its fused attention, runs in a process of its own at the
batch that suits it best. ``no flash`` is our own pass with the attention of XLA. On a GPU set
XLA_PYTHON_CLIENT_PREALLOCATE=false where there is a peer: it needs its share of the memory.
"""

import json
import subprocess
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import tyro
from flax import nnx
from safetensors.numpy import save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from benchmarks.results import folder_of, save
from w2sg_jax.bench import timed
from w2sg_jax.encoders import Pretrained, Tokens, bert, layers, llama, open_pretrained
from w2sg_jax.report.tables import markdown_table, table
from w2sg_jax.terminal.console import standard_output

PEER = Path(__file__).with_name("encoders_peer.py")
HEADINGS = ("shape", "type", "rows", "lengths", "tokens a second", "share of the product rate", "no flash",
            "compilation [s]", "transformers", "times faster")  # fmt: skip
TILE = 1 << 20
"""Random numbers that weights repeat."""


def _bert(width: int, depth: int, heads: int) -> dict[str, Any]:
    return {
        "model_type": "bert", "architectures": ["BertModel"], "vocab_size": 30_522, "hidden_size": width,
        "num_hidden_layers": depth, "num_attention_heads": heads, "intermediate_size": 4 * width,
        "max_position_embeddings": 512, "type_vocab_size": 2, "hidden_act": "gelu", "layer_norm_eps": 1e-12,
    }  # fmt: skip


def _llama(
    kind: str, *, vocabulary: int, width: int, depth: int, heads: int, shared: int, inner: int
) -> dict[str, Any]:
    return {
        "model_type": kind, "architectures": [f"{kind.capitalize()}Model"], "vocab_size": vocabulary,
        "hidden_size": width, "num_hidden_layers": depth, "num_attention_heads": heads, "num_key_value_heads": shared,
        "head_dim": width // heads, "intermediate_size": inner, "max_position_embeddings": 8192, "hidden_act": "silu",
        "rms_norm_eps": 1e-5, "rope_theta": 500_000.0, "sliding_window": None, "tie_word_embeddings": True,
    }  # fmt: skip


SHAPES = {
    "tiny": _bert(8, 1, 2),
    "all-MiniLM-L6-v2": _bert(384, 6, 12),
    "bge-large-en-v1.5": _bert(1024, 24, 16),
    "SmolLM2-135M": _llama("llama", vocabulary=49_152, width=576, depth=30, heads=9, shared=3, inner=1536),
    "Llama-3.2-1B": _llama("llama", vocabulary=128_256, width=2048, depth=16, heads=32, shared=8, inner=8192),
    "Mistral-7B-v0.3": _llama("mistral", vocabulary=32_768, width=4096, depth=32, heads=32, shared=8, inner=14_336),
}
"""Published shapes, as the models' own configurations have them; and one for rehearsals."""
FAMILIES = {"bert": (bert, bert.Bert), "llama": (llama, llama.Llama), "mistral": (llama, llama.Llama)}


class Work(NamedTuple):
    """Rows of a model.

    Attributes:
        shape: of ``SHAPES``.
        dtype: "float32" or "bfloat16".
        rows: how many.
        shortest, longest: lengths, log-uniform between them.
    """

    shape: str
    dtype: str = "bfloat16"
    rows: int = 2048
    shortest: int = 16
    longest: int = 512


@dataclass(frozen=True)
class Config:
    """What is measured, and where the result goes."""

    work: tuple[Work, ...] = (
        Work("all-MiniLM-L6-v2", rows=16_384),
        Work("all-MiniLM-L6-v2", "float32", rows=16_384),
        Work("bge-large-en-v1.5", rows=4096),
        Work("Llama-3.2-1B", rows=2048),
        Work("Llama-3.2-1B", rows=32, shortest=4096, longest=4096),
        Work("Mistral-7B-v0.3", rows=512),
    )
    """Models and rows."""
    peer: str | None = None
    """Python with torch and transformers; None to leave the peer out."""
    batches: tuple[int, ...] = (32, 256)
    """Rows of a batch of the peer; the fastest counts."""
    repeats: int = 2
    """Passes after the first."""
    product: int = 8192
    """Rows and columns of the matrices whose product is the limit."""
    out: Path | None = None
    """Folder for the JSON; by default benchmarks/results/<device>."""


def main(config: Config) -> dict[str, Any]:
    """Run the benchmark and return its record."""
    console = standard_output()
    rates = {dtype: rate_of(dtype, config.product) for dtype in sorted({work.dtype for work in config.work})}
    rows: list[dict[str, Any]] = []
    entry: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as parent:
        for shape in dict.fromkeys(work.shape for work in config.work):
            with console.status(f"{shape}: random weights"):
                folder = made(shape, Path(parent))
            for work in config.work:
                if work.shape == shape:
                    with console.status(f"{shape}, {work.dtype}, {work.rows} rows"):
                        rows.append(measured(folder, work, rates[work.dtype], config))
                    settings = replace(config, peer=config.peer and "python")
                    entry = save("encoders", settings, {"rates": rates, "rows": rows})
            (folder / "model.safetensors").unlink()  # the largest ones fill a disk
    title = "Final states; a product reaches " + ", ".join(f"{r / 1e12:.1f} Tflop/s in {d}" for d, r in rates.items())
    console.print(table(title, HEADINGS, map(_cells, rows), words=(0, 1)))
    console.print(f"written to {folder_of(config.out)}")
    return entry


def rate_of(dtype: str, size: int) -> float:
    """Operations a second of a product of square matrices in full precision of its type, by JAX."""
    x, y = jax.random.normal(jax.random.key(0), (2, size, size), dtype)
    product = jax.jit(lambda x, y: jnp.matmul(x, y, precision="highest"))
    return 2 * size**3 / timed(lambda: product(x, y), repeats=5, at_least=1.0).median


def made(shape: str, parent: Path) -> Path:
    """A model's folder with random weights."""
    given = SHAPES[shape]
    family, make = FAMILIES[given["model_type"]]
    config, folder = family.config_of(given), parent / shape
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(given))
    words = {f"w{token}": token for token in range(given["vocab_size"])}
    Tokenizer(WordLevel(words, unk_token="w0")).save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"pad_token": "w0"}))
    tile = np.random.default_rng(0).standard_normal(TILE).astype(np.float16)
    names, state = (
        family.names(config, given["model_type"]),
        nnx.state(nnx.eval_shape(lambda: make(config, rngs=nnx.Rngs(0)))),
    )
    tensors = {}
    for path, leaf in nnx.to_flat_state(state):
        *parts, part = map(str, path)
        name, sizes = f"{names['.'.join(parts)]}.{part}", leaf.shape
        for layer in range(config.depth) if "{}" in name else (0,):
            of_layer = sizes[1:] if "{}" in name else sizes
            value = (
                np.resize(tile, of_layer) * np.float16(of_layer[-1] ** -0.5)
                if len(of_layer) == 2
                else np.full(of_layer, float(part == "weight"), np.float16)
            )
            tensors[name.format(layer)] = value
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    return folder


def measured(folder: Path, work: Work, rate: float, config: Config) -> dict[str, Any]:
    """One model and its rows, by both."""
    pretrained = open_pretrained(folder)
    rng = np.random.default_rng(1)
    lengths = np.exp(rng.uniform(np.log(work.shortest), np.log(work.longest), work.rows)).round().astype(int)
    ids = rng.integers(3, pretrained.config.vocabulary, lengths.sum(), np.int32)
    tokens = Tokens(ids, np.concatenate([[0], np.cumsum(lengths)]), 0)
    timing, states = ours(pretrained, tokens, work, config)
    entry = work._asdict() | {
        "tokens": int(lengths.sum()),
        "seconds": timing.median,
        "share": pretrained.flops_of(tokens) / timing.median / rate,
        "compilation_s": timing.first - timing.median,
    }
    if layers.flash_attention(work.dtype, pretrained.config.width // pretrained.config.heads):
        real = layers.flash_attention
        layers.flash_attention = lambda *_: False
        try:
            slow, others = ours(pretrained, tokens, work, config)
        finally:
            layers.flash_attention = real
        entry |= {"no_flash_seconds": slow.median, "flash_difference": _difference(states, others)}
    if config.peer:
        peers = [by_peer(folder, tokens, work, batch, config) for batch in config.batches]
        told, theirs = min(peers, key=lambda pair: pair[0]["seconds"])
        entry |= {"peer": told, "peer_difference": _difference(states, theirs)}
    return entry


def ours(pretrained: Pretrained, tokens: Tokens, work: Work, config: Config) -> tuple[Any, np.ndarray]:
    """Seconds, and final states of the last tokens."""
    jax.clear_caches()
    model, keys, found = pretrained.load(dtype=work.dtype), [(-1, "last")], {}
    rows = np.arange(work.rows)
    timing = timed(lambda: found.update(model.of_tokens(tokens, rows, keys)), repeats=config.repeats)
    return timing, found[keys[0]]


def by_peer(folder: Path, tokens: Tokens, work: Work, batch: int, config: Config) -> tuple[dict[str, Any], np.ndarray]:
    """Seconds and states of transformers."""
    with tempfile.TemporaryDirectory() as parent:
        given, out = Path(parent) / "tokens.npz", Path(parent) / "states.npy"
        np.savez(given, ids=tokens.ids, offsets=tokens.offsets)
        options = [str(folder), str(given), str(out), work.dtype, str(batch), str(config.repeats)]
        done = subprocess.run([config.peer or "", str(PEER), *options], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{work.shape}: {done.stderr.strip()[-2000:]}")
        return json.loads(done.stdout.splitlines()[-1]), np.load(out)


def _difference(one: np.ndarray, other: np.ndarray) -> float:
    """The largest relative difference of a row."""
    return float((np.linalg.norm(one - other, axis=1) / np.linalg.norm(one, axis=1)).max())


def markdown(entry: dict[str, Any]) -> str:
    """The result for its page of the documentation."""
    return markdown_table(HEADINGS, map(_cells, entry["result"]["rows"]))


def _cells(row: dict[str, Any]) -> list[str]:
    def rate(seconds: float | None) -> str:
        return f"{row['tokens'] / seconds:.0f}" if seconds else ""

    peer = row.get("peer", {}).get("seconds")
    return [
        row["shape"],
        row["dtype"],
        str(row["rows"]),
        f"{row['shortest']} to {row['longest']}",
        rate(row["seconds"]),
        f"{100 * row['share']:.0f}%",
        rate(row.get("no_flash_seconds")),
        f"{row['compilation_s']:.1f}",
        rate(peer),
        f"{peer / row['seconds']:.2f}" if peer else "",
    ]


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
