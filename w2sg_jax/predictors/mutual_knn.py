r"""Mutual nearest neighbours: do both models find the same samples alike?"""

import math

import numpy as np
from jaxtyping import Bool, Float64, Int, Shaped

from .factored import HOST
from .predictor import Inputs, Model, Predictor

NEIGHBOURS = 10
BLOCK_ROWS = 512
"""Samples whose similarities to all others are held at a time."""
ALIKE = 1e-12
"""Cosines that differ by less are told apart by rounding alone: a common offset hides all directions."""


def mutual_knn(inputs: Inputs) -> float:
    r"""The share of each sample's 10 nearest neighbours that both models agree on, $\lvert N_w(i) \cap N_s(i) \rvert /
    10$, averaged over samples.

    Nearest by the cosine of the representations as they are, *not centred*: invariant under rotation and under scale,
    not under an offset. Ties are broken as they come. The authors' `measure_alignment.py` also clamps entries beyond a
    95th percentile of absolute values before it normalises, which is left to the caller here, and takes the best pair
    of layers.

    Samples of one group (``groups``) are no neighbours of each other.

    NaN, undefined, with 10 samples or fewer, where a sample's representation is zero and has no direction, where an
    offset hides all directions, and where groups leave a sample too few others.

    Cost: $2 n^2 (d_s + d_w)$, by blocks of samples. Source: Huh et al., arXiv 2405.07987.
    """
    if inputs.n <= NEIGHBOURS:
        return math.nan
    weak, strong = (model.once(_nearest_of) for model in (inputs.weak_model, inputs.strong_model))
    return math.nan if weak is None or strong is None else share_of(weak, strong)


def nearest(
    samples: Float64[np.ndarray, "n d"], groups: Shaped[np.ndarray, " n"] | None = None
) -> Int[np.ndarray, "n k"] | None:
    """The rows of each sample's 10 nearest neighbours, the nearest first, and of the next one, if there is one.

    None where ``why_undefined`` says why.

    Args:
        samples: not centred.
        groups: which samples belong together: those of one group are no neighbours of each other.
    """
    largest = np.abs(samples).max()
    if largest == 0:
        return None
    h = samples / largest  # so that no square overflows or vanishes
    lengths = np.sqrt(HOST.square_lengths(h))
    if not lengths.min() > 0:
        return None
    h /= lengths[:, None]
    kept, found, lowest = min(NEIGHBOURS + 1, len(h) - 1), [], 1.0
    for start in range(0, len(h), BLOCK_ROWS):
        alike = HOST.product(h[start : start + BLOCK_ROWS], h.T)
        lowest = min(lowest, float(alike.min()))
        rows = np.arange(len(alike))
        alike[rows, start + rows] = -np.inf  # a sample is no neighbour of itself
        if groups is not None:
            alike[groups[start : start + BLOCK_ROWS, None] == groups] = -np.inf
        first = np.argpartition(alike, -kept, axis=1)[:, -kept:]
        values = np.take_along_axis(alike, first, axis=1)
        if np.isneginf(values).any():
            return None
        found.append(np.take_along_axis(first, np.argsort(values, axis=1)[:, ::-1], axis=1))
    return None if 1 - lowest < ALIKE else np.concatenate(found)


def why_undefined(samples: Float64[np.ndarray, "n d"]) -> str:
    """Why ``nearest`` gives nothing."""
    zero = np.flatnonzero(~(np.abs(samples) > 0).any(axis=1))
    if len(zero):
        return f"{len(zero)} of {len(samples)} samples are zero and have no direction, the first is {zero[0]}"
    h = samples / np.abs(samples).max(axis=1, keepdims=True)
    h /= np.sqrt((h**2).sum(axis=1, keepdims=True))
    if 1 - (h @ h[0]).min() < ALIKE:
        return "all samples have one direction, as far as rounding tells: take off the offset that they share"
    return f"groups leave some sample fewer than {NEIGHBOURS + 1} others"


def share_of(weak: Int[np.ndarray, "n k"], strong: Int[np.ndarray, "n k"]) -> float:
    """The share of neighbours that two models agree on, of what ``nearest`` gives of either."""
    return int(_agreement(weak, strong)[0].sum()) / (len(weak) * NEIGHBOURS)


def influences(weak: Int[np.ndarray, "n k"], strong: Int[np.ndarray, "n k"]) -> tuple[float, Float64[np.ndarray, " n"]]:
    r"""``share_of``, and how much each sample moves it: $\psi_i = (n - 1) (v - v_{(i)})$, exactly; $v_{(i)}$ without i.

    Where a neighbour leaves, the next nearest takes its place, in the lists of either model. The sum of squares over
    $n^2$ is the jackknife's variance, which on average is not too small (Efron & Stein 1981); lists that change as a
    whole make it too large (standard errors of representations of language models, n of 200 and 300: 1.3 to 1.8 times
    the spread over other samples). Of few samples, most of whom are neighbours, it tells nothing.

    Args:
        weak, strong: 11 columns, the next neighbour is among them.
    """
    n, (own, moved) = len(weak), _agreement(weak, strong)
    total = int(own.sum())
    value, without = total / (n * NEIGHBOURS), (total - own + moved) / ((n - 1) * NEIGHBOURS)
    return value, (n - 1) * (value - without)


def _nearest_of(model: Model) -> Int[np.ndarray, "n k"] | None:
    return nearest(model.samples, model.groups)


def _agreement(
    weak: Int[np.ndarray, "n k"], strong: Int[np.ndarray, "n k"]
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """Of each sample: neighbours that both models agree on; and what others would gain of these if it left."""
    n = len(weak)
    own, moved = np.empty(n, np.int64), np.zeros(n, np.int64)
    for start in range(0, n, BLOCK_ROWS):
        rows = slice(start, min(start + BLOCK_ROWS, n))
        here = np.arange(rows.stop - start)
        in_weak, in_strong = (_mask(model[rows, :NEIGHBOURS], n) for model in (weak, strong))
        both = in_weak & in_strong
        own[rows] = both.sum(axis=1)
        if weak.shape[1] > NEIGHBOURS:
            next_weak, next_strong = weak[rows, NEIGHBOURS], strong[rows, NEIGHBOURS]
            # Numbers, not truth values: a product of these would only say whether there is any.
            gained_weak = in_strong[here, next_weak].astype(np.int64)
            gained_strong = in_weak[here, next_strong].astype(np.int64)
            moved += (gained_weak + gained_strong + (next_weak == next_strong) - 1) @ both
            moved += gained_weak @ (in_weak & ~in_strong) + gained_strong @ (in_strong & ~in_weak)
    return own, moved


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
