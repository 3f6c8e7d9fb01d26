"""The bootstrap of rows: the gap on samples that are drawn again, for small work and to check intervals with."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from .._errors import InputError
from ..numerics.checks import ArrayInput, as_count, as_groups, as_labels, as_samples, same_rows
from ..numerics.settings import own_settings, rows_of
from ..second_moments.from_arrays import moments
from ..theory.gap import gap


@dataclass(frozen=True, eq=False)
class GapBootstrap:
    """The gap on samples drawn with replacement.

    Attributes:
        norm, frobenius: (draws,), as in ``Gap``; NaN where a representation is constant on what was drawn.
        predicted: (draws,), or None without labels.
    """

    norm: Float[np.ndarray, " draws"]
    frobenius: Float[np.ndarray, " draws"]
    predicted: Float[np.ndarray, " draws"] | None

    def standard_error(self, quantity: str) -> float:
        """Standard deviation of a quantity over the draws, those without a value left out."""
        return float(np.nanstd(getattr(self, quantity), ddof=1))


@own_settings()
def bootstrap_gap(
    weak: ArrayInput,
    strong: ArrayInput,
    labels: ArrayInput | None = None,
    ridge: float | tuple[float, float] = 1e-2,
    threshold: float | tuple[float, float] = 0.0,
    *,
    draws: int = 200,
    seed: int = 0,
    groups: ArrayLike | None = None,
    center: bool = True,
    scale: str = "trace",
    dtype: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> GapBootstrap:
    """Compute the gap on n samples drawn from the n with replacement, again and again.

    ``rank`` has intervals that cost no draw; this is what they can be checked with. Samples that are drawn twice lower
    the number of distinct ones, which moves norms and gaps of wide representations: the spread is what tells, not the
    place.

    Args:
        weak, strong, labels, ridge, threshold, center, scale, dtype: as in ``moments`` and ``gap``.
        draws: how many.
        seed: of the draws.
        groups: (n,) which samples belong together: whole groups are drawn.
        progress: called with (done, draws).

    Raises:
        InputError: as ``moments`` and ``gap``.

    Cost: ``moments`` and ``gap``, ``draws`` times.
    Source: Efron (1979).
    """
    parts: list[Any] = [as_samples(weak, "weak"), as_samples(strong, "strong")]
    n = same_rows(parts, ("weak", "strong"))
    parts += [] if labels is None else [as_labels(labels, n)]
    draws, seed = as_count(draws, "draws", 1), as_count(seed, "seed", 0)
    group = as_groups(groups, n, "groups")
    members = [np.flatnonzero(group == number) for number in range(group.max() + 1)] if group is not None else None
    rng, found = np.random.default_rng(seed), np.full((3, draws), np.nan)
    for draw in range(draws):
        if members is None:
            rows = rng.integers(n, size=n)
        else:
            rows = np.concatenate([members[number] for number in rng.integers(len(members), size=len(members))])
        drawn = [np.asarray(rows_of(part, slice(None)))[rows] for part in parts]
        try:
            g = gap(moments(*drawn, center=center, dtype=dtype), ridge, threshold, scale=scale)
        except InputError:
            if draw == 0:  # what is wrong with the samples themselves is said, not counted
                gap(moments(*parts, center=center, dtype=dtype), ridge, threshold, scale=scale)
            continue
        found[:, draw] = g.norm, g.frobenius, np.nan if g.predicted is None else g.predicted
        if progress is not None:
            progress(draw + 1, draws)
    return GapBootstrap(found[0], found[1], found[2] if labels is not None else None)
