"""What every model makes of the labelled molecules, on disk: one file a model and set, named by what made it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import jax
import numpy as np
from flax import nnx
from jaxtyping import Float
from rich.console import Console
from rich.progress import track

from w2sg_jax import InputError, load, save
from w2sg_jax.datasets import MoleculeSet
from w2sg_jax.encoders import Encoder, SmilesTokenizer, encode
from w2sg_jax.store.atomic import write_text
from w2sg_jax.store.content import bytes_hash

BATCH = 256
"""Molecules represented at a time."""


@dataclass(frozen=True)
class Represented:
    """One labelled set on disk."""

    data: MoleculeSet
    molecules: Path
    """SMILES, one a line"""
    target: Path
    """(n,), npy"""
    models: Mapping[str, Path]
    """name -> (n, width), safetensors"""


def represent_all(
    encoders: Mapping[str, Encoder],
    tokenizer: SmilesTokenizer,
    datasets: Sequence[MoleculeSet],
    folder: Path,
    console: Console,
) -> list[Represented]:
    """Represent every set by every encoder; what is there already is used again.

    Cost: one forward pass over all molecules for each encoder; one compilation for each shape and padded length.
    """
    sets = [_set(data, folder) for data in datasets]
    hashes = {name: weights_hash(encoder) for name, encoder in encoders.items()}
    todo = []
    for name, one in product(encoders, sets):
        path = _path(name, hashes[name], one)
        there = path.exists()
        if there and _whole(path, (len(one.data), encoders[name].config.width)):
            continue
        if there:
            console.print(f"{path} is damaged: made again", markup=False, highlight=False, soft_wrap=True)
        todo.append((name, one))
    for name, one in track(todo, "representations", console=console, disable=not todo):
        h = encode(encoders[name], tokenizer, one.data.smiles, batch_size=BATCH)
        save(_path(name, hashes[name], one), h)
    return [
        Represented(one.data, one.molecules, one.target, {name: _path(name, hashes[name], one) for name in encoders})
        for one in sets
    ]


def add(one: Represented, extra: Mapping[str, Float[np.ndarray, "n d"]]) -> Represented:
    """The set with representations from elsewhere."""
    paths = dict(one.models)
    for name, h in extra.items():
        paths[name] = _path(name, bytes_hash(np.ascontiguousarray(h).tobytes()), one)
        if not (paths[name].exists() and _whole(paths[name], (len(h), h.shape[1]))):
            save(paths[name], h)
    return Represented(one.data, one.molecules, one.target, paths)


def weights_hash(encoder: Encoder) -> str:
    """sha256 of an encoder's configuration and weights."""
    leaves = jax.tree.leaves(nnx.to_pure_dict(nnx.state(encoder, nnx.Param)))
    return bytes_hash(repr(encoder.config).encode(), *(np.asarray(leaf).tobytes() for leaf in leaves))


def smiles_hash(data: MoleculeSet) -> str:
    """sha256 of a set's molecules in their order."""
    return bytes_hash("\n".join(data.smiles).encode())


def _set(data: MoleculeSet, folder: Path) -> Represented:
    own = folder / f"{data.name}-{smiles_hash(data)[:12]}"
    own.mkdir(parents=True, exist_ok=True)
    write_text(own / "molecules.txt", "\n".join(data.smiles) + "\n")
    save(own / "target.npy", np.asarray(data.target, np.float64))
    return Represented(data, own / "molecules.txt", own / "target.npy", {})


def _whole(path: Path, shape: tuple[int, int]) -> bool:
    """Whether a file holds a representation of this shape."""
    try:
        return np.shape(load(path)) == shape
    except InputError:
        return False


def _path(name: str, content: str, one: Represented) -> Path:
    return one.molecules.parent / f"{name}-{content[:12]}.safetensors"
