"""The molecules bundled with the package: two labelled sets and an unlabelled sample for pretraining.

Sources, licences and citations: `datasets/data/NOTICE.md`, installed with the package.
"""

import csv
import io
import lzma
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from types import MappingProxyType

import numpy as np
from jaxtyping import Float64

from .._errors import InputError
from ..store.content import bytes_hash
from .remote import RemoteFile, locate

SHA256 = MappingProxyType(
    {
        "freesolv.csv": "4b3f09313f5a4bcbeac60eebc2c726c03e2442eac947f869c4627c1877737fc4",
        "lipophilicity.csv": "6b74c5fb687e1361ee7fa0688f836f3ee709e14439e330aaef8d780b181665a5",
        "moses_sample.txt.xz": "9dc7e53e0176f0bfa5d98f8ea16be905d24318557cf592f2817595ad622e54d0",
    }
)
"""The sha256 of every bundled file, as made by `experiments/bundle_molecules.py`."""


@dataclass(frozen=True)
class MoleculeSet:
    """Molecules with one measured property each; row i of `target` belongs to `smiles[i]`."""

    name: str
    """what tables and files call the set"""
    smiles: tuple[str, ...]
    """n SMILES, in the order of the source"""
    target: Float64[np.ndarray, " n"]
    """the measured property, read-only, in `unit`"""
    property_name: str
    """the property in words, for axes"""
    unit: str
    """unit of `target`"""
    repeats: tuple[int, ...] = ()
    """rows that hold the molecule of an earlier row in another spelling"""

    def __len__(self) -> int:
        return len(self.smiles)


def load_freesolv() -> MoleculeSet:
    """FreeSolv: 642 small molecules, measured hydration free energy in kcal/mol.

    Raises:
        InputError: the bundled file is not the one that was released (named, with both sha256 sums).

    Source: Mobley and Guthrie, J. Comput. Aided Mol. Des. 28, 711 (2014).
    """
    return _load_labelled("freesolv.csv", "FreeSolv", "hydration free energy", "kcal/mol")


def load_lipophilicity() -> MoleculeSet:
    """Lipophilicity: 4200 drug-like molecules, measured log D (octanol/water, pH 7.4).

    Raises:
        InputError: the bundled file is not the one that was released (named, with both sha256 sums).

    Source: AstraZeneca's deposit in ChEMBL, by way of MoleculeNet (Wu et al., Chem. Sci. 9, 513, 2018).
    """
    return _load_labelled("lipophilicity.csv", "Lipophilicity", "lipophilicity at pH 7.4", "log D")


ESOL = RemoteFile(
    "moleculenet/delaney-processed.csv",
    "https://deepchemdata.s3-us-west-1.amazonaws.com/datasets/delaney-processed.csv",
    "sha256:a51dcc10593a9f5b11fbf94bfc7504f7ef13eb133066fa5baf02e509efaae0b4",
)
"""The file of MoleculeNet; not bundled."""
ESOL_REPEATS = (465, 500, 554, 655, 779, 825)
"""Rows whose molecule has an earlier row in another spelling (by the canonical SMILES of RDKit 2026.03)."""
ESOL_TARGET = "measured log solubility in mols per litre"


def load_esol(data_dir: Path | None = None) -> MoleculeSet:
    """ESOL: 1128 rows, measured solubility in water; fetched once, or read from a local folder.

    11 rows repeat the molecule of an earlier one: five as the same text, six in another spelling (``repeats``).

    Args:
        data_dir: as in ``remote.locate``.

    Raises:
        InputError: the file cannot be fetched, or is another one.

    Source: Delaney, J. Chem. Inf. Comput. Sci. 44, 1000 (2004), by way of MoleculeNet.
    """
    rows = list(csv.DictReader(io.StringIO(locate(ESOL, data_dir).read_text())))
    smiles = [row["smiles"].strip() for row in rows]
    target = [float(row[ESOL_TARGET]) for row in rows]
    return replace(_labelled("ESOL", smiles, target, "solubility in water", "log mol/L"), repeats=ESOL_REPEATS)


def load_moses_sample() -> tuple[str, ...]:
    """50 000 SMILES without labels, a fixed random sample of the training part of MOSES, sorted.

    MOSES holds neutral lead-like molecules of C, N, S, O, F, Cl, Br and H without stereochemistry: charges,
    `@`, `/`, P, I, Si, Se and B never occur in it, though they do in the labelled sets.

    Raises:
        InputError: the bundled file is not the one that was released (named, with both sha256 sums).

    Source: Polykovskiy et al., Front. Pharmacol. 11, 565644 (2020).
    """
    return tuple(lzma.decompress(_read_bundled("moses_sample.txt.xz")).decode().split())


def _load_labelled(file_name: str, name: str, property_name: str, unit: str) -> MoleculeSet:
    rows = list(csv.DictReader(io.StringIO(_read_bundled(file_name).decode())))
    smiles, target = [row["smiles"] for row in rows], [float(row["target"]) for row in rows]
    return _labelled(name, smiles, target, property_name, unit)


def _labelled(name: str, smiles: Sequence[str], values: Sequence[float], property_name: str, unit: str) -> MoleculeSet:
    target = np.array(values)
    target.setflags(write=False)
    return MoleculeSet(name, tuple(smiles), target, property_name, unit)


def _read_bundled(file_name: str) -> bytes:
    content = files("w2sg_jax.datasets").joinpath("data", file_name).read_bytes()
    found = bytes_hash(content)
    if found != SHA256[file_name]:
        raise InputError(
            f"bundled file w2sg_jax/datasets/data/{file_name}: its sha256 is {found}, "
            f"expected {SHA256[file_name]}; the file was changed or damaged: reinstall the package"
        )
    return content
