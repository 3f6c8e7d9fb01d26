r"""Mutual nearest neighbours: do both models find the same samples alike?"""

import math

import numpy as np
from jaxtyping import Bool, Int

from .factored import HOST
from .predictor import Inputs, Model, Predictor

NEIGHBOURS = 10
BLOCK_ROWS = 512
"""Samples whose similarities to all others are held at a time."""


def mutual_knn(inputs: Inputs) -> float:
    r"""The share of each sample's 10 nearest neighbours that both models agree on, $\lvert N_w(i) \cap N_s(i) \rvert /
    10$, averaged over samples.

    Nearest by the cosine of the representations as they are, *not centred*: invariant under rotation and under scale,
    not under an offset. Ties are broken as they come. The authors' `measure_alignment.py` also clamps entries beyond a
    95th percentile of absolute values before it normalises, which is left to the caller here, and takes the best pair
    of layers.

    NaN, undefined, with 10 samples or fewer, and where a sample's representation is zero and has no direction.

    Cost: $2 n^2 (d_s + d_w)$, by blocks of samples. Source: Huh et al., arXiv 2405.07987.
    """
    if inputs.n <= NEIGHBOURS:
        return math.nan
    weak, strong = (model.once(nearest) for model in (inputs.weak_model, inputs.strong_model))
    if weak is None or strong is None:
        return math.nan
    shared = 0
    for start in range(0, inputs.n, BLOCK_ROWS):
        rows = slice(start, start + BLOCK_ROWS)
        shared += int((_mask(weak[rows], inputs.n) & _mask(strong[rows], inputs.n)).sum())
    return shared / (inputs.n * NEIGHBOURS)


def nearest(model: Model) -> Int[np.ndarray, "n k"] | None:
    """The rows of each sample's nearest neighbours, in no order; None where a sample has no direction."""
    largest = np.abs(model.samples).max()
    if largest == 0:
        return None
    h = model.samples / largest  # so that no square overflows or vanishes
    lengths = np.sqrt(HOST.square_lengths(h))
    if not lengths.min() > 0:
        return None
    h /= lengths[:, None]
    found = []
    for start in range(0, len(h), BLOCK_ROWS):
        alike = HOST.product(h[start : start + BLOCK_ROWS], h.T)
        rows = np.arange(len(alike))
        alike[rows, start + rows] = -np.inf  # a sample is no neighbour of itself
        found.append(np.argpartition(alike, -NEIGHBOURS, axis=1)[:, -NEIGHBOURS:])
    return np.concatenate(found)


def _mask(neighbours: np.ndarray, n: int) -> Bool[np.ndarray, "rows n"]:
    found = np.zeros((len(neighbours), n), bool)
    np.put_along_axis(found, neighbours, True, axis=1)
    return found


MUTUAL_KNN = Predictor(
    "mutual_knn",
    "mutual nearest neighbours",
    ("representations",),
    -1,
    "2 n^2 (d_s + d_w)",
    "Huh et al. 2024, arXiv 2405.07987",
    mutual_knn,
)
