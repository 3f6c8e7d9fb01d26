"""Random splits into a labelled, a weakly labelled and a test part, in which no molecule occurs twice."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Int

from .._errors import InputError

SHARES = (0.4, 0.4, 0.2)
"""Shares of the molecules in the train, w2s and test parts."""


@dataclass(frozen=True, eq=False)
class Splits:
    """S random splits of one data set; row s of each array holds the row numbers of split s."""

    train: Int[np.ndarray, "S n_train"]
    """the labelled part, that weak models are fitted on"""
    w2s: Int[np.ndarray, "S n_w2s"]
    """the part that weak models label and the strong model is fitted on"""
    test: Int[np.ndarray, "S n_test"]
    """the part that errors are measured on"""
    duplicates: int
    """rows left out because an earlier row holds the same SMILES"""

    def __len__(self) -> int:
        return len(self.train)


def make_splits(smiles: Sequence[str], *, splits: int, seed: int) -> Splits:
    """Split distinct molecules at random, `splits` times.

    Two rows are the same molecule when their SMILES are equal as text but for white space around it (the bundled sets
    write each molecule in one way); of those the first is used and the others are counted, so that no copy of a test
    molecule is trained on.

    Raises:
        InputError: no split, or too few distinct molecules for three parts.
    """
    if splits < 1:
        raise InputError(f"splits: expected at least 1, got {splits}")
    first = {one.strip(): row for row, one in reversed(list(enumerate(smiles)))}
    rows = np.sort(np.fromiter(first.values(), int))
    n_train, n_w2s = (int(share * len(rows)) for share in SHARES[:2])
    if min(n_train, n_w2s, len(rows) - n_train - n_w2s) < 2:
        raise InputError(f"smiles: {len(rows)} distinct molecules are too few for three parts; give 10 or more")
    orders = np.stack([np.random.default_rng((seed, split)).permutation(rows) for split in range(splits)])
    train, w2s, test = np.split(orders, [n_train, n_train + n_w2s], axis=1)
    return Splits(train, w2s, test, duplicates=len(smiles) - len(rows))
