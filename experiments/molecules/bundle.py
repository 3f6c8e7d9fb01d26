"""The trained zoo as two small files: the weak models' weights and the strong model's representations.

Both are float16 in safetensors, compressed with xz: together less than half of what float32 takes.
"""

import json
import lzma
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import numpy as np
from flax import nnx
from jaxtyping import Float32
from safetensors.numpy import load_file

from w2sg_jax import InputError
from w2sg_jax.datasets import MoleculeSet
from w2sg_jax.encoders import Encoder, SmilesTokenizer
from w2sg_jax.extraction.key import samples_hash
from w2sg_jax.store.atomic import replacing, save_safetensors
from w2sg_jax.store.content import named_hash
from w2sg_jax.store.trees import read_metadata, read_tree, write_tree
from w2sg_jax.training.zoo import Zoo, grouped

WEAK, STRONG = "weak.safetensors.xz", "strong.safetensors.xz"
LARGEST = 1 << 28
"""Bytes that a file may unpack to; more is no zoo."""
_FORMAT = "w2sg_jax molecular zoo 1"


def save_weak(path: Path, zoo: Zoo, encoders: Mapping[str, Encoder], tokenizer: SmilesTokenizer) -> None:
    """Write the weights of every weak model, and the vocabulary."""
    tree = {plan.name: jax.tree.map(_half, _params(encoders[plan.name])) for plan in zoo.weak}
    with _packed(path) as file:
        write_tree(file, tree, {"format": _FORMAT, "tokens": json.dumps(tokenizer.tokens)})


def load_weak(path: Path, zoo: Zoo) -> tuple[dict[str, Encoder], SmilesTokenizer]:
    """Read what ``save_weak`` wrote, comparing every name, shape and dtype with the zoo.

    Raises:
        InputError: the file is missing, damaged, or of another zoo.
    """
    with _unpacked(path) as file:
        return _load_weak(file, zoo)


def _load_weak(path: Path, zoo: Zoo) -> tuple[dict[str, Encoder], SmilesTokenizer]:
    tokenizer = SmilesTokenizer(tuple(_metadata(path, "tokens")))
    graphs, like = {}, {}
    for group in grouped(zoo.weak):
        empty = nnx.eval_shape(lambda group=group: Encoder(group.shape.encoder(tokenizer.size), rngs=nnx.Rngs(0)))
        for name in group.names:
            graphs[name], state = nnx.split(empty)
            like[name] = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape, np.float16), nnx.to_pure_dict(state))
    found = read_tree(path, like)
    params = {name: jax.tree.map(lambda x: x.astype(np.float32), tree) for name, tree in found.items()}
    return {name: nnx.merge(graphs[name], tree) for name, tree in params.items()}, tokenizer


def save_strong(
    path: Path, sets: Mapping[str, Float32[np.ndarray, "n width"]], datasets: Sequence[MoleculeSet]
) -> None:
    """Write the strong model's representations of every set, and the hash of its molecules."""
    hashes = {data.name: samples_hash(data.smiles) for data in datasets}
    arrays = {name: _half(h) for name, h in sets.items()}
    with _packed(path) as file:
        save_safetensors(file, arrays, {"format": _FORMAT, "molecules": json.dumps(hashes)})


def load_strong(path: Path, datasets: Sequence[MoleculeSet]) -> dict[str, Float32[np.ndarray, "n width"]]:
    """Read what ``save_strong`` wrote for these sets.

    Raises:
        InputError: the file is missing or damaged, or was made from other molecules.
    """
    with _unpacked(path) as file:
        hashes, found = _metadata(file, "molecules"), load_file(file)
    for data in datasets:
        if hashes.get(data.name) != samples_hash(data.smiles):
            raise InputError(f"{path}: its {data.name} has other molecules, or another order, than what was read")
    return {data.name: found[data.name].astype(np.float32) for data in datasets}


def zoo_hash(path: Path) -> str:
    """sha256 of every tensor of a file of the zoo, by name: the same however it was packed.

    Raises:
        InputError: the file is missing or damaged.
    """
    with _unpacked(path) as file:
        read_metadata(file)
        return named_hash(load_file(file))


def _metadata(path: Path, key: str) -> Any:
    """What is noted under this key, which tells the two files apart."""
    metadata = read_metadata(path)
    if metadata.get("format") != _FORMAT or key not in metadata:
        raise InputError(f"{path.name} holds no {key} of a {_FORMAT}")
    return json.loads(metadata[key])


@contextmanager
def _packed(path: Path) -> Iterator[Path]:
    """A file to write, which is then compressed into its place."""
    with tempfile.TemporaryDirectory() as folder:
        yield (file := Path(folder) / path.stem)
        with replacing(path) as temporary:
            temporary.write_bytes(lzma.compress(file.read_bytes(), preset=9))


@contextmanager
def _unpacked(path: Path) -> Iterator[Path]:
    """The file that was compressed (InputError where it is missing, damaged or too large)."""
    if not path.is_file():
        raise InputError(f"{path}: no such file; run without --from-zoo to train a zoo, or name its folder with --zoo")
    unpack = lzma.LZMADecompressor()
    try:
        content = unpack.decompress(path.read_bytes(), max_length=LARGEST)
    except lzma.LZMAError as error:
        raise InputError(f"{path}: damaged, or not compressed with xz ({error}); fetch it again") from None
    if not unpack.eof:
        raise InputError(f"{path}: not whole, or of more than {LARGEST} bytes; fetch it again")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / path.stem
        file.write_bytes(content)
        try:
            yield file
        except InputError as error:
            raise InputError(f"{path}, unpacked: {str(error).replace(str(file), file.name)}") from error


def _params(encoder: Encoder) -> dict:
    return nnx.to_pure_dict(nnx.state(encoder, nnx.Param))


def _half(x: np.ndarray) -> np.ndarray:
    half = np.asarray(x).astype(np.float16)
    if not np.isfinite(half).all():
        raise InputError("weights or representations are too large for float16; keep them in float32 instead")
    return half
