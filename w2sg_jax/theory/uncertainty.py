r"""From influences to what is said of the uncertainty of values: intervals, differences, and which model is best.

Estimates of all models are jointly normal on the scale where each quantity has no bound, with the covariance of their
influences: the logarithm of a squared gap, the logit of a norm. What is covered is the value expected at this number of
samples. The variances are estimates too, as good as those from some number of equal influences: intervals are those of
Student's t.

Sources: Satterthwaite (1946) for the degrees of freedom; Hsu (1981) for the best one.
"""

from collections.abc import Mapping
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

DRAWS = 20_000
"""Of the joint distribution of all estimates: shares are right to about half a percent."""
LARGEST_SHARE = 0.9
"""Of an effective dimension in the samples; beyond it nothing is left to tell errors from."""
LARGEST_DEGREES = 1e9
"""Of freedom; with more the distribution is normal."""
FEW_DRAWS = 30
"""Equal influences that would tell a variance as well; where there are fewer, a few samples make most of it."""
SMALLEST = 5e-324
"""A quantity of 0 counts as this on the scale of the logarithm."""


class Joint(NamedTuple):
    """Estimates of one quantity by several models, and how they vary together.

    Attributes:
        values: (k,).
        covariance: (k, k), over samples, of their relative changes: in units of the values, or of 1 where one is 0.
        bound: what the quantity is below; None where there is no bound.
        draws: (k,), equal influences that would tell each variance as well (see ``effective_draws``); None: very many.
        rounding: (k,), relative errors that rounding may have left in the values.
    """

    values: Float[np.ndarray, " k"]
    covariance: Float[np.ndarray, "k k"]
    bound: float | None
    draws: Float[np.ndarray, " k"] | None = None
    rounding: Float[np.ndarray, " k"] | float = 0.0

    def in_units(self) -> Float[np.ndarray, "k k"]:
        """The covariance in the units of the quantity."""
        units = np.where(self.values > 0, self.values, 1.0)
        with np.errstate(over="ignore"):
            return self.covariance * units[:, None] * units[None, :]

    def free(self) -> "Joint":
        """The same on the scale without a bound; constant labels bound gaps by 0, which all of them are then."""
        if self.bound is not None and self.bound <= 0:
            return self._replace(bound=None)
        inside = np.clip(self.values, SMALLEST, None if self.bound is None else np.nextafter(self.bound, 0.0))
        moved, slopes = np.log(inside), np.ones(len(inside))
        if self.bound is not None:
            moved, slopes = moved - np.log(self.bound - inside), slopes + inside / (self.bound - inside)
        covariance = self.covariance * slopes[:, None] * slopes[None, :]
        return self._replace(values=moved, covariance=covariance, bound=None, rounding=self.rounding * slopes)


def effective_draws(influence: Float[np.ndarray, "n k"]) -> Float[np.ndarray, " k"]:
    r"""$(\sum_i \psi_i^2)^2 / \sum_i \psi_i^4$ over samples or groups: so many equal influences would tell the variance
    as well."""
    return effective_draws_of_sums((influence**2).sum(axis=0), (influence**4).sum(axis=0))


def effective_draws_of_sums(
    second: Float[np.ndarray, " k"], fourth: Float[np.ndarray, " k"]
) -> Float[np.ndarray, " k"]:
    """The same from sums of squares and of fourth powers; infinite without any influence: nothing rests on few."""
    draws = np.full(len(fourth), np.inf)
    np.divide(second**2, fourth, out=draws, where=fourth > 0)
    return draws


def rough(draws: Mapping[str, float]) -> tuple[str, ...]:
    """Warnings of intervals that a few samples make."""
    return tuple(
        f"{quantity}: its interval rests on few samples, as if there were about {count:.0f}, and may be too narrow"
        for quantity, count in draws.items()
        if count < FEW_DRAWS
    )


def quantile(confidence: float) -> float:
    """Of the normal distribution, for two sides."""
    return NormalDist().inv_cdf((1 + confidence) / 2)


def student(draws: float, confidence: float) -> float:
    """Quantile of Student's t, for two sides, with twice the effective draws as degrees of freedom."""
    from scipy.special import stdtrit  # here: it adds a filter to the caller's warnings

    wider = float(stdtrit(min(2 * draws, LARGEST_DEGREES), (1 + confidence) / 2))
    return max(wider, quantile(confidence))


def intervals(joint: Joint, confidence: float) -> Float[np.ndarray, "k 2"]:
    """Of each estimate, inside its range.

    Quantiles are those of Student's t with twice the effective draws as degrees of freedom: a variance from that many
    has a relative variance of one over them.
    """
    if joint.bound is not None and joint.bound <= 0:
        return np.zeros((len(joint.values), 2))
    from scipy.special import stdtrit  # here: it adds a filter to the caller's warnings

    free = joint.free()
    quantiles = quantile(confidence)
    if joint.draws is not None:
        wider = np.asarray(stdtrit(np.minimum(2 * joint.draws, LARGEST_DEGREES), (1 + confidence) / 2))
        quantiles = np.maximum(wider, quantiles)
    half = quantiles * np.sqrt(np.diagonal(free.covariance))
    half = np.where(np.isfinite(half), half, np.inf)  # nothing is known where influences have vanished or overflown
    ends = free.values[:, None] + half[:, None] * np.array([-1.0, 1.0])
    if joint.bound is None:
        with np.errstate(over="ignore"):  # an interval without an end
            return np.exp(ends)
    return joint.bound * np.exp(-np.logaddexp(0.0, -ends))


def difference(
    values: Float[np.ndarray, " k"], c: Float[np.ndarray, "k k"], first: int, second: int, confidence: float
) -> tuple[float, float, float]:
    """An estimate minus another one, and its interval by the normal distribution, in the units of the quantity, from
    all values and their covariance in those units."""
    half = quantile(confidence) * np.sqrt(max(c[first, first] + c[second, second] - 2 * c[first, second], 0.0))
    value = float(values[first] - values[second])
    return value, float(value - half), float(value + half)


def corrected(
    covariance: Float[np.ndarray, "k k"], dof_weak: Float[np.ndarray, " k"], dof_strong: float, draws: int
) -> Float[np.ndarray, "k k"]:
    r"""Covariance of predicted gaps for what both fits took from their own samples.

    $$\bigl[ (1 - \operatorname{tr} P_w / n) (1 - \operatorname{tr} P_s / n) \bigr]^{-1/2}$$

    times each standard error. Residuals of a fit are smaller than errors on other samples, as in n / (n - p) of a
    regression: with it standard errors are within a few percent of those of the jackknife, which leaves each sample
    out, where influences alone are a tenth to a quarter too small.

    Args:
        covariance: of the influences.
        dof_weak, dof_strong: effective dimensions.
        draws: n, or the number of groups.
    """
    shares = np.minimum(np.stack([dof_weak, np.full_like(dof_weak, dof_strong)]) / draws, LARGEST_SHARE)
    factors = 1 / np.sqrt(np.prod(1 - shares, axis=0))
    return covariance * factors[:, None] * factors[None, :]


class Best(NamedTuple):
    """Which model has the smallest value.

    Attributes:
        probability: (k,), that it is this one.
        possible: (k,), a set that holds it with the confidence that was asked for.
    """

    probability: Float[np.ndarray, " k"]
    possible: Bool[np.ndarray, " k"]


def best(joint: Joint, confidence: float) -> Best:
    r"""Which model has the smallest value.

    A model is in the set unless it is worse than another one by more than the quantile of the largest standardised
    difference that would be seen if it were not: the one that is best is left out in a share 1 - confidence of cases at
    most. Models that are the same share their probability.

    Cost: 20 000 k^2.
    Source: Hsu (1981), multiple comparisons with the best, with the covariance of the estimates.
    """
    values, covariance, _, _, rounding = joint.free()
    k = len(values)
    if not np.isfinite(covariance).all():
        return Best(np.full(k, 1 / k), np.ones(k, bool))
    variances = np.diagonal(covariance)
    spread = np.sqrt(np.maximum(variances[:, None] + variances[None, :] - 2 * covariance, 0.0))
    worse = values[:, None] - values[None, :]
    either = np.add.outer(*2 * (np.broadcast_to(rounding, k),)) + 1e-12 * np.abs(values).max(initial=1.0)
    tied = (np.abs(worse) <= either) & (spread <= either)
    eigenvalues, vectors = np.linalg.eigh(covariance)
    real = eigenvalues > 1e-13 * eigenvalues.max(initial=0.0)
    root = vectors[:, real] * np.sqrt(eigenvalues[real])
    noise = np.random.default_rng(0).standard_normal((DRAWS, root.shape[1])) @ root.T
    drawn = noise + values
    first = drawn == drawn.min(axis=1, keepdims=True)
    first = first.astype(np.float64) @ tied.astype(np.float64)  # what is tied to the first one shares its place
    probability = (first / first.sum(axis=1, keepdims=True)).mean(axis=0)
    known = spread > 1e-9 * np.sqrt(variances.max(initial=0.0))
    possible = np.ones(k, bool)
    for model in range(k):
        others = known[model] & ~tied[model]
        if (worse[model] > 1e-9 * np.abs(values).max())[~known[model] & ~tied[model]].any():
            possible[model] = False
        elif others.any():
            largest = ((noise[:, [model]] - noise[:, others]) / spread[model, others]).max(axis=1)
            possible[model] = (worse[model, others] / spread[model, others]).max() <= np.quantile(largest, confidence)
    return Best(probability, possible)
