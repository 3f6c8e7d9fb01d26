"""Compares every layer of a real model with transformers: python tests/parity/real.py FOLDER_OR_GGUF [FILE_OF_TEXTS].

    pip install "w2sg_jax[parity]"

Prints the largest relative error of a token's state in each layer, rows padded on the right and on the left.
"""

import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import torch
import transformers
from flax import nnx

from w2sg_jax.encoders import bert, gpt, llama
from w2sg_jax.encoders.checkpoints import FolderCheckpoint, Place, fitted, load

FINAL = ("norm", "ln_f", "final_layer_norm")
"""What the models call their last norm."""
TEXTS = (
    "A small team measured how much of a strong model's potential is lost.",
    "Short.",
    "I used to give my sister a ride to school, but I stopped because she bought a car; that was in 2019, wasn't it?",
    "Die Straße ist naß. 東京は晴れです。 Ça va ?",
)


def main(path: Path, texts: tuple[str, ...]) -> None:
    if path.is_dir():
        checkpoint, where = FolderCheckpoint(path), {"pretrained_model_name_or_path": path}
    else:
        from w2sg_jax.encoders.gguf import GgufCheckpoint

        checkpoint = GgufCheckpoint(path)
        where = {"pretrained_model_name_or_path": path.parent, "gguf_file": path.name}
    theirs = transformers.AutoModel.from_pretrained(**where, dtype=torch.float32, attn_implementation="eager").eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(**where)
    tokenizer.pad_token = tokenizer.pad_token or tokenizer.eos_token
    kind = checkpoint.config["model_type"]
    families = ((bert, bert.Bert), (llama, llama.Llama), (gpt, gpt.Gpt))
    family, make = next(pair for pair in families if kind in pair[0].MODEL_TYPES)
    config = family.config_of(checkpoint.config)
    names = family.names(config, kind)
    options = {"prefixes": family.PREFIXES, "unused": family.UNUSED}
    found = fitted(lambda: make(config, rngs=nnx.Rngs(0)), names, config.depth, checkpoint, **options)
    ours = load(found, checkpoint, dtype=jnp.float32, place=Place())
    run = nnx.jit(lambda model, ids, mask: model(ids, mask, lambda x: x))
    for side in ("right", "left") if config.causal else ("right",):
        tokenizer.padding_side = side
        inputs = tokenizer(list(texts), padding=True, truncation=True, max_length=256, return_tensors="pt")
        mask = inputs["attention_mask"]
        more = {"position_ids": (mask.cumsum(1) - 1).clamp(min=0)} if config.causal else {}
        before = []
        last = next((one for name, one in theirs.named_children() if name in FINAL), None)
        if last is not None:
            last.register_forward_pre_hook(lambda _, given, before=before: before.append(given[0]))
        with torch.no_grad():
            states = list(theirs(**inputs, **more, output_hidden_states=True).hidden_states)
        states = [*states[:-1], before[0], states[-1]] if before else [*states, states[-1]]
        with jax.default_matmul_precision("highest"):
            ids = jnp.asarray(inputs["input_ids"].numpy(), jnp.int32)
            kept, final = run(ours, ids, jnp.asarray(mask.numpy(), bool))
        found, real = [*np.asarray(kept), np.asarray(final)], mask.numpy().astype(bool)
        errors = []
        for a, b in zip(found, states, strict=True):
            a, b = a[real], b.numpy()[real]
            errors.append((np.linalg.norm(a - b, axis=1) / np.linalg.norm(b, axis=1)).max())
        print(path.name, side, f"largest {max(errors):.1e};", " ".join(f"{error:.0e}" for error in errors))


if __name__ == "__main__":
    given = tuple(Path(sys.argv[2]).read_text().splitlines()[:64]) if len(sys.argv) > 2 else TEXTS
    main(Path(sys.argv[1]), given)
