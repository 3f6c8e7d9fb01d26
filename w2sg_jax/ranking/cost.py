"""What a ranking takes, told before it is started: operations and memory."""

from dataclasses import dataclass

from .neighbours import MOST
from .rank import SUMS_BYTES


@dataclass(frozen=True)
class Work:
    """Widths of the weak models and of the strong one, and samples."""

    weak: tuple[int, ...]
    strong: int
    n: int


def flops(work: Work) -> float:
    """Floating-point operations: products over samples (of symmetric ones a half), Cholesky factors, triangular solves
    and products with factors."""
    n, s = work.n, work.strong
    kept = n <= max(work.weak) + s + 1
    total = n**2 * s + n**3 if kept and n <= s else n * s**2 + 11 / 3 * s**3
    for w in work.weak:
        if kept and n <= w:
            total += n**2 * w + 2 * n**3
        elif kept and n <= s:
            total += n * w**2 + 2 * n**2 * w + 2 * n * w**2 + w**3
        else:
            total += n * w**2 + 2 * n * w * s + 2 * s**2 * w + 2 * s * w**2 + w**3
    return float(total)


def flops_of_errors(train: Work, pool: Work) -> float:
    """Floating-point operations of predicted errors: eigenpairs on the smaller side, and products in their coordinates.

    Args:
        train, pool: the labelled split, and the samples to be labelled.
    """
    n, m, s = train.n, pool.n, pool.strong
    k_strong = min(m, s)
    total = 9 * (min(n, s) ** 3 + k_strong**3) + 2 * s * (n * min(n, s) + m * k_strong + n * k_strong)
    for w in train.weak:
        k = min(n, w)
        outside = 4 * n * s * k if k_strong < s else 0
        total += 9 * k**3 + 4 * n * w * k + 2 * m * w * k + 2 * (m + 4 * n) * k_strong * k + outside + 4 * n * k**2
    return float(total)


def flops_of_neighbours(work: Work) -> float:
    """Floating-point operations of shared nearest neighbours: similarities of all pairs of some samples."""
    return 2.0 * min(work.n, MOST) ** 2 * (work.strong + sum(work.weak))


def memory(work: Work) -> float:
    """Bytes beyond the samples, of sums and factors in float64; weak models are held together up to 4 GiB."""
    n, s = work.n, work.strong
    kept = n <= max(work.weak) + s + 1
    own = (n * s + 4 * min(n, s) ** 2 if kept else 5 * s**2) * 8
    weak = sum(8 * (n * w + min(n, w) ** 2 if kept else 2 * w * (w + s)) for w in work.weak)
    return float(own + min(weak, SUMS_BYTES) + 8 * 2 * max(work.weak) * (max(work.weak) + s))
