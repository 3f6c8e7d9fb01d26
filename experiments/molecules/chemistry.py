"""Representations that come from elsewhere: fingerprints and descriptors of RDKit, where it is installed."""

from collections.abc import Sequence
from importlib.util import find_spec

import numpy as np
from jaxtyping import Float

from w2sg_jax import InputError

BITS, RADIUS = 1024, 2


def installed() -> bool:
    """Whether RDKit is there."""
    return find_spec("rdkit") is not None


def chemistry(smiles: Sequence[str]) -> dict[str, Float[np.ndarray, "n d"]]:
    """Candidates by name: Morgan fingerprints (counts) and two-dimensional descriptors, standardised.

    Descriptors that are undefined or too large for a float32 for some molecule are left out, constant ones too.

    Raises:
        InputError: RDKit refuses a molecule (all are counted, the first is named).
    """
    from rdkit import Chem, RDLogger  # pyright: ignore[reportMissingImports]
    from rdkit.Chem import Descriptors, rdFingerprintGenerator  # pyright: ignore[reportMissingImports]

    RDLogger.DisableLog("rdApp.*")  # pyright: ignore[reportAttributeAccessIssue]
    molecules = [Chem.MolFromSmiles(one) for one in smiles]  # pyright: ignore[reportAttributeAccessIssue]
    refused = [row for row, molecule in enumerate(molecules) if molecule is None]
    if refused:
        first = refused[0]
        raise InputError(f"smiles: RDKit refuses {len(refused)} molecules, the first in row {first}: {smiles[first]!r}")
    generator = rdFingerprintGenerator.GetMorganGenerator(radius=RADIUS, fpSize=BITS)
    counts = np.array([generator.GetCountFingerprintAsNumPy(molecule) for molecule in molecules], float)
    values = np.array([list(Descriptors.CalcMolDescriptors(molecule).values()) for molecule in molecules], float)
    usable = np.isfinite(values).all(axis=0) & (np.abs(values).max(axis=0) < np.finfo(np.float32).max)
    values = values[:, usable]
    values = values[:, values.std(axis=0) > 0]
    return {
        "rdkit-morgan": counts[:, counts.std(axis=0) > 0],
        "rdkit-descriptors": (values - values.mean(axis=0)) / values.std(axis=0),
    }
