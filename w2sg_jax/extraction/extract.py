"""What every encoder makes of every set of samples, one file each; what is there already is used again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from rich.console import Console

from .. import store
from .._errors import InputError
from ..encoders import Encoder, SmilesTokenizer, encode
from ..store.atomic import remove_stale
from ..terminal.progress import progress_bar
from .key import DIGITS, array_hash, samples_hash, weights_hash

BATCH = 256
"""Samples represented at a time."""


@dataclass(frozen=True)
class Extracted:
    """Representations on disk."""

    files: dict[str, dict[str, Path]]
    """set -> encoder -> its representation of the set, safetensors (n, width) float32, rows in the order of the set"""
    made: int
    """how many of the files were not there"""


def extract(
    encoders: Mapping[str, Encoder],
    tokenizer: SmilesTokenizer,
    samples: Mapping[str, Sequence[str]],
    folder: Path,
    console: Console,
) -> Extracted:
    """Represent every set of samples by every encoder.

    The representation of a set by an encoder is the file SET-HASH/ENCODER-HASH.safetensors of the folder, with the
    hashes of the samples and of the weights: it is never read for others. It appears whole or not at all, so that an
    interrupted extraction goes on where it was. A damaged file is named on the console and made again.

    Args:
        encoders: name -> encoder.
        tokenizer: the one that they were trained with.
        samples: name of a set -> its n samples, SMILES.
        folder: where files are kept.
        console: for progress, and for what is damaged.

    Raises:
        InputError: as ``encode``.

    Cost: one forward pass over all samples for each encoder; one compilation for each shape and padded length.
    """
    hashes = {name: weights_hash(encoder) for name, encoder in encoders.items()}
    own = {name: folder_of(name, texts, folder) for name, texts in samples.items()}
    files = {
        data: {name: own[data] / _file_name(name, content) for name, content in hashes.items()} for data in samples
    }
    todo = [
        (name, data)
        for name, encoder in encoders.items()
        for data in samples
        if not _whole(files[data][name], (len(samples[data]), encoder.config.width), console)
    ]
    done, total = 0, sum(len(samples[data]) for _, data in todo)
    with progress_bar(console, "representations") as report:

        def count(batch: int) -> None:
            nonlocal done
            done += batch
            if report is not None:
                report(done, total)

        for name, data in todo:
            h = encode(encoders[name], tokenizer, samples[data], batch_size=BATCH, on_batch=count)
            store.save(files[data][name], h)
    return Extracted(files, len(todo))


def folder_of(name: str, samples: Sequence[str], folder: Path) -> Path:
    """The folder of all representations of a set; made where it is not there, and rid of what killed runs left."""
    own = folder / f"{name}-{samples_hash(samples)[:DIGITS]}"
    own.mkdir(parents=True, exist_ok=True)
    remove_stale(own)
    return own


def keep(folder: Path, name: str, h: Float[np.ndarray, "n d"], console: Console) -> Path:
    """Write a representation that no encoder made beside those of the set, unless it is there; returns its file."""
    path = folder / _file_name(name, array_hash(h))
    if not _whole(path, h.shape, console):
        store.save(path, h)
    return path


def _file_name(name: str, content: str) -> str:
    return f"{name}-{content[:DIGITS]}.safetensors"


def _whole(path: Path, shape: tuple[int, ...], console: Console) -> bool:
    """Whether a file is there and holds a representation of this shape; a damaged one is named."""
    if not path.exists():
        return False
    try:
        if np.shape(store.load(path)) == shape:
            return True
    except InputError:
        pass
    console.print(f"{path} is damaged: made again", markup=False, highlight=False, soft_wrap=True)
    return False
