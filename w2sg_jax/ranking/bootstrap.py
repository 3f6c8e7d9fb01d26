"""Bootstrap over samples from the moments of blocks: resampling costs no second pass over the data."""

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int

from ..numerics.linalg import Host
from ..second_moments.moments import Moments, merge

MOST_BLOCKS = 32
"""Of rows, whose moments are kept."""
MOST_BYTES = 1 << 31
"""Of the moments of all blocks."""
FEW_BLOCKS = 20
"""Fewer give bootstrap samples that are much alike."""
SMALLEST = 1e-300
"""A quantity of 0 counts as this on the scale of the logarithm."""


def block_count(n: int, width: int) -> int:
    """How many blocks the moments are kept for: at most 32, fewer where width^2 matrices would pass 2 GiB."""
    return int(max(2, min(MOST_BLOCKS, n // 4, MOST_BYTES // (8 * width**2))))


def merge_all(blocks: list[Moments]) -> Moments:
    """Moments of the union, merged as a balanced tree."""
    while len(blocks) > 1:
        pairs = [merge(a, b) for a, b in zip(blocks[::2], blocks[1::2], strict=False)]
        blocks = pairs + blocks[2 * len(pairs) :]
    return blocks[0]


def resampling_counts(count: int, replicates: int, seed: int) -> Int[np.ndarray, "replicates count"]:
    """How often each block is drawn in each replicate: multinomial, ``count`` draws."""
    return np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=replicates)


def resampled(blocks: list[Moments], counts: Int[np.ndarray, "replicates count"]) -> Iterator[Moments]:
    """Moments of each bootstrap sample: a weighted sum of block moments."""
    template = blocks[0]
    n = np.array([block.n for block in blocks])
    shift = template.mean
    means = np.stack([(block.mean - shift) + block.mean_rest for block in blocks])
    seconds = np.stack([block.second for block in blocks])
    for row in counts:
        weights = row * n / (row @ n)
        mean = weights @ means
        product = Host().matvec(seconds.reshape(len(seconds), -1).T, weights).reshape(seconds.shape[1:])
        if template.center:
            centred = means - mean
            product += Host().gram(centred * np.sqrt(weights)[:, None])
        yield Moments(
            float(row @ n),
            shift + mean,
            np.zeros_like(mean),
            None,
            product,
            template.d_weak,
            template.d_strong,
            template.d_labels,
            template.center,
            template.dtype,
        )


def recentred_interval(
    estimate: float,
    replicates: Float[np.ndarray, " replicates"],
    confidence: float,
    *,
    above: float | None = None,
) -> tuple[float, float]:
    """Quantiles of the replicates, moved so that their median is the estimate, where the quantity can lie.

    Drawing samples twice lowers the number of distinct ones, which biases every replicate of a spectral quantity alike;
    the spread is what the bootstrap tells. It is moved on the scale of the logarithm, or of the logit below an upper
    bound, so that no interval leaves the range of its quantity. Replicates without a value are left out.

    Args:
        estimate: of a quantity that is not negative.
        replicates: NaN where one has no value.
        confidence: of the interval.
        above: the bound of the quantity, if it has one.
    """
    replicates = replicates[~np.isnan(replicates)]
    if len(replicates) == 0:
        return float("nan"), float("nan")
    tail = (1 - confidence) / 2
    drawn = _unbounded(replicates, above)
    moved = np.quantile(drawn, [tail, 1 - tail]) - np.median(drawn) + _unbounded(np.array([estimate]), above)
    low, high = _bounded(moved, above)
    return float(min(low, estimate)), float(max(high, estimate))


def _unbounded(x: np.ndarray, above: float | None) -> np.ndarray:
    """log x, or log(x / (above - x)); at an end of the range, that of the next number inside."""
    inside = np.clip(x, SMALLEST, None if above is None else np.nextafter(above, 0.0))
    return np.log(inside) - (0.0 if above is None else np.log(above - inside))


def _bounded(y: np.ndarray, above: float | None) -> np.ndarray:
    return np.exp(y) if above is None else above * np.exp(-np.logaddexp(0.0, -y))


def few_blocks(blocks: int) -> tuple[str, ...]:
    """A warning where bootstrap samples are drawn from so few blocks that many of them are alike."""
    if blocks >= FEW_BLOCKS:
        return ()
    return (
        f"bootstrap samples are drawn from {blocks} blocks of samples only (more would not fit into memory, or there"
        f" are few samples): intervals from fewer than {FEW_BLOCKS} blocks are rough, and mostly too narrow",
    )


def left_out(replicates: dict[str, np.ndarray]) -> tuple[str, ...]:
    """A warning where some replicates have no value."""
    missing = max((int(np.isnan(drawn).sum()) for drawn in replicates.values()), default=0)
    if not missing:
        return ()
    return (f"constant in {missing} bootstrap samples, which are left out of the intervals and count as lost",)


def share_best(replicates: list[np.ndarray | None], by: str) -> list[float | None]:
    """Share of bootstrap samples that each model wins; a tie is shared."""
    drawn = [one for one in replicates if one is not None]
    if not drawn:
        return [None] * len(replicates)
    table = np.stack(drawn) * (-1.0 if by == "dof_weak" else 1.0)
    table[np.isnan(table)] = np.inf
    first = table == table.min(axis=0)
    return [float(share) for share in (first / first.sum(axis=0)).mean(axis=1)]
