"""What every model makes of the labelled molecules, on disk, beside the molecules and their targets."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float
from rich.console import Console

from w2sg_jax import save
from w2sg_jax.datasets import MoleculeSet
from w2sg_jax.encoders import Encoder, SmilesTokenizer
from w2sg_jax.extraction.extract import extract, folder_of, keep
from w2sg_jax.store.atomic import write_text


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
    """Represent every set by every encoder; what is there already is used again."""
    sets = [_set(data, folder) for data in datasets]
    files = extract(encoders, tokenizer, {data.name: data.smiles for data in datasets}, folder, console).files
    return [replace(one, models=files[one.data.name]) for one in sets]


def add(one: Represented, extra: Mapping[str, Float[np.ndarray, "n d"]], console: Console) -> Represented:
    """The set with representations from elsewhere."""
    found = {name: keep(one.molecules.parent, name, h, console) for name, h in extra.items()}
    return replace(one, models={**one.models, **found})


def _set(data: MoleculeSet, folder: Path) -> Represented:
    """The molecules and their targets, written into the folder of the set."""
    own = folder_of(data.name, data.smiles, folder)
    write_text(own / "molecules.txt", "\n".join(data.smiles) + "\n")
    save(own / "target.npy", np.asarray(data.target, np.float64))
    return Represented(data, own / "molecules.txt", own / "target.npy", {})
