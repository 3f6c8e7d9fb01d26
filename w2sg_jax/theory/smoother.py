r"""The smoothers $P = A (A + \beta I)^{-1}$ of both models, $A = K/n$ on the principal subspace, and what they leave.

What the strong model can express is $P_s$; what the weak one cannot, $I - P_w$. A smoother is known by a root Q with
$P = Q Q^\top$, from principal components or from a Cholesky factor of $\Sigma + \beta I$ (``Rooted``); or, on the dual
side, by $I - P = \beta (K/n + \beta I)^{-1}$ (``Complementary``). Both act on the r rows that stand for the samples
(see ``kernel``). What needs no rows uses the resolvent $(\Sigma + \beta I)^{-1}$, which is also the ridge head of
$H^\top y/n$.
"""

from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ..numerics import rounding
from ..numerics.checks import as_count, as_ridge, check_option
from .kernel import Traces
from .spectrum import Spectrum, kept


class Parameters(NamedTuple):
    """Ridges in units of unit trace, thresholds as shares of the largest eigenvalue."""

    ridge_weak: Float[Any, ""] | float
    ridge_strong: Float[Any, ""] | float
    threshold_weak: Float[Any, ""] | float
    threshold_strong: Float[Any, ""] | float


def unit_trace_ridges(ridges: tuple[float, float], traces: Traces, scale: str) -> tuple[float, float]:
    """Convert ridges to units of unit trace; the one place where units change."""
    check_option(scale, "scale", ("trace", "none"))
    if scale == "trace":
        return ridges
    return ridges[0] / traces.weak, ridges[1] / traces.strong


def gains(s: Spectrum, ridge: Float[Any, ""] | float, threshold: Float[Any, ""] | float = 0.0) -> Float[Any, " k"]:
    r"""Gains $g = \lambda / (\lambda + \beta)$ of the kept directions, 0 elsewhere: the eigenvalues of the smoother P.

    At ridge 0 these are the projector's 1 and 0 (the min-norm interpolator).
    """
    mask = kept(s, threshold)
    return jnp.where(mask, s.eigenvalues / jnp.where(mask, s.eigenvalues + ridge, 1.0), 0.0)


def inverse_gains(s: Spectrum, ridge: Float[Any, ""] | float, threshold: Float[Any, ""] | float) -> Float[Any, " k"]:
    r"""$1 / (\lambda + \beta)$ of the kept directions, 0 elsewhere: the eigenvalues of the resolvent."""
    mask = kept(s, threshold)
    return jnp.where(mask, 1.0 / jnp.where(mask, s.eigenvalues + ridge, 1.0), 0.0)


def effective_dimension(
    s: Spectrum, ridge: Float[Any, ""] | float, threshold: Float[Any, ""] | float = 0.0
) -> Float[Any, ""]:
    r"""$\operatorname{tr} P$, the sum of the gains."""
    return gains(s, ridge, threshold).sum()


def implicit_ridge(eigenvalues: Float[np.ndarray, " k"], ridge: float, n: int) -> float:
    r"""The ridge $\kappa$ at which the population's smoother does what a head does that is fitted on n samples.

    $$
    \kappa = \beta + \frac{\kappa}{n} \sum_j \frac{\lambda_j}{\lambda_j + \kappa}
    $$

    Directions that n samples cannot tell apart act like more of the ridge. The solution is unique where $\beta > 0$ or
    there are more than n eigenvalues; with neither it is 0.

    Args:
        eigenvalues: of $\Sigma$, positive, of a population or of as many samples as there are.
        ridge: $\beta$, in the same units, at least 0.
        n: samples that the head is fitted on; as many as one likes to ask about.

    Returns:
        $\kappa$, to rounding.

    Cost: some twenty sums of k numbers.
    Source: the self-consistent equation of ridge regression (Marchenko and Pastur, 1967; Simon et al., 2023); what
    arXiv 2502.00620, section 3, calls $\beta + \gamma$.
    """
    from scipy.optimize import root_scalar  # changes settings of the process when it is imported

    values = np.asarray(eigenvalues, np.float64)
    values = values[values > 0]
    n, ridge = as_count(n, "n", 1), as_ridge(ridge)[0]
    if len(values) == 0 or (ridge == 0 and len(values) <= n):
        return ridge
    # df(kappa) >= k lambda_min / (lambda_min + kappa), which is n at twice this low end.
    low = ridge if ridge > 0 else values.min() * (len(values) / n - 1) / 2
    high = (ridge + values.sum() / n) * (1 + rounding.epsilon("float32"))  # an upper bound, rounding included

    def excess(kappa: float) -> tuple[float, float]:
        """n - df(kappa) - n beta/kappa, with no more cancellation than it has; its slope in log kappa, positive."""
        left = kappa / (values + kappa)
        beside = n * (ridge / kappa)
        return (n - len(values)) + left.sum() - beside, (left * (1 - left)).sum() + beside

    found = root_scalar(
        lambda exponent: excess(float(np.exp(exponent)))[0],
        bracket=(np.log(low), np.log(high)),
        method="brentq",
        rtol=4 * rounding.epsilon("float64"),
    )
    kappa = float(np.exp(found.root))
    for _ in range(2):  # the exponent has fewer digits than kappa
        error, slope = excess(kappa)
        kappa *= 1 - error / slope
    return kappa


class Implied(NamedTuple):
    r"""What a sample's eigenvalues say of the population's smoother that heads with a ridge amount to.

    Attributes:
        ridge: the implicit ridge $\kappa$.
        dof: $\operatorname{tr} S$, $S = \Sigma (\Sigma + \kappa I)^{-1}$ of the population.
        dof_of_square: $\operatorname{tr} S^2$.
    """

    ridge: float
    dof: float
    dof_of_square: float


def implied(eigenvalues: Float[np.ndarray, " k"], ridge: float, n: int) -> Implied:
    r"""The implicit ridge of heads that are fitted on a sample, from the eigenvalues of that sample itself.

    The sample's effective dimension at $\beta$ estimates the population's at $\kappa$, so that
    $\kappa = \beta / (1 - \operatorname{tr} P / n)$ whatever n is beside d; and
    $\operatorname{tr} S^2 = \operatorname{tr} S + \kappa \frac{d}{d\kappa} \operatorname{tr} S$ with
    $\frac{d\beta}{d\kappa} = 1 - \frac1n \operatorname{tr} S^2$.

    Args:
        eigenvalues: of $\Sigma$ of the sample, divided by its degrees of freedom; those of directions that are kept.
        ridge: $\beta$ above 0, in the same units.
        n: degrees of freedom of the sample, n - 1 where means were subtracted.

    Source: as ``implicit_ridge``.
    """
    gain = eigenvalues / (eigenvalues + ridge)
    dof = float(gain.sum())
    kappa = ridge / left_over(eigenvalues, ridge, n)
    slope = -kappa * float((gain / (eigenvalues + ridge)).sum())
    return Implied(kappa, dof, (dof + slope) / (1 + slope / n))


def left_over(eigenvalues: Float[np.ndarray, " k"], ridge: float, n: int) -> float:
    r"""$1 - \operatorname{tr} P / n$, the share of the degrees of freedom that heads leave, without cancellation."""
    return (max(n - len(eigenvalues), 0.0) + float((ridge / (eigenvalues + ridge)).sum())) / n


def remaining(eigenvalues: Float[np.ndarray, " k"], ridge: float, n: int, *, center: bool) -> float:
    r"""$1 - \operatorname{tr} S / n$ of n samples: what P and the intercept leave; eigenvalues divided by n."""
    return left_over(eigenvalues, ridge, n - center) * (n - center) / n


def matching_ridge(
    eigenvalues: Float[np.ndarray, " k"], ridge: float, n: int, other: int, least: float
) -> tuple[float, bool]:
    r"""The ridge that makes heads on this sample what heads with another ridge are on a sample of another size.

    Both have the same implicit ridge: $\mu$ with
    $\mu \frac{1 - \operatorname{tr} P_\mu / m}{1 - \operatorname{tr} P_\mu / n} = \beta$.

    Args:
        eigenvalues, n: of this sample, as in ``implied``.
        ridge: $\beta$ of the heads on the other sample, above 0.
        other: m, degrees of freedom of the other sample.
        least: the smallest ridge that is tried.

    Returns:
        $\mu$, and whether it is there: this sample does not resolve what many more do with a small ridge. Else the
        least ridge.
    """
    if other == n:
        return ridge, True
    from scipy.optimize import brentq  # changes settings of the process when it is imported

    def excess(exponent: float) -> float:
        tried = float(np.exp(exponent))
        left = 1 - float((eigenvalues / (eigenvalues + tried)).sum()) / other
        return tried * left / left_over(eigenvalues, tried, n) / ridge - 1

    low, most = float(np.log(least)), float(np.log(ridge + eigenvalues.sum() / min(other, n)))
    if excess(low) >= 0:
        return least, False
    exponent = brentq(excess, low, most, xtol=1e-12)
    return float(np.exp(exponent)), True  # pyright: ignore[reportCallIssue, reportArgumentType]


@runtime_checkable
class Smoother(Protocol):
    """P on the rows; ``la`` are the operations of ``numerics.linalg`` that do it."""

    def apply(self, la: Any, x: Any) -> Any:
        """P x."""
        ...

    def residual(self, la: Any, x: Any) -> Any:
        """(I - P) x: what the model cannot express of x."""
        ...

    def dof(self) -> Any:
        """The effective dimension tr P."""
        ...


class Rooted(NamedTuple):
    r"""$P = Q Q^\top$. Q may have fewer rows than there are: in the others it is zero."""

    root: Float[Any, "r k"]

    def apply(self, la: Any, x: Any) -> Any:
        """P x, the rows that Q has."""
        return la.product(self.root, la.cross(self.root, x[: len(self.root)]))

    def residual(self, la: Any, x: Any) -> Any:
        """(I - P) x; no square cancels."""
        rows = len(self.root)
        rest = x[:rows] - self.apply(la, x)
        return rest if rows == len(x) else la.stack(rest, x[rows:])

    def dof(self) -> Any:
        """The squared length of Q."""
        return (self.root**2).sum()


class Complementary(NamedTuple):
    r"""$I - P = \beta (K/n + \beta I)^{-1}$, from the inverse."""

    inverse: Float[Any, "r r"]
    kernel: Float[Any, "r r"]
    ridge: Float[Any, ""] | float

    def apply(self, la: Any, x: Any) -> Any:
        """P x."""
        return x - self.residual(la, x)

    def residual(self, la: Any, x: Any) -> Any:
        """(I - P) x."""
        return self.ridge * la.product(self.inverse, x)

    def dof(self) -> Any:
        """The trace of the product of inverse and kernel."""
        return (self.inverse * self.kernel).sum()

    def matrix(self, la: Any) -> Any:
        """P itself, (r, r)."""
        return la.shifted(-self.ridge * self.inverse, 1.0)


def by_components(scores: Float[Any, "r k"], s: Spectrum, ridge: Any, threshold: Any) -> Rooted:
    r"""The smoother of principal components: $Q = F V (\Lambda + \beta)^{-1/2}$ on V.

    Args:
        scores: F V, principal components of the rows.
        s, ridge, threshold: of the model.
    """
    return Rooted(scores * jnp.sqrt(inverse_gains(s, ridge, threshold))[None, :])


def by_cholesky(la: Any, rows: Float[Any, "r d"], second: Float[Any, "d d"], ridge: Any) -> Rooted:
    r"""The smoother of every direction: $Q = F L^{-\top}$ with $L L^\top = \Sigma + \beta I$.

    Cost: $d^3/3 + r d^2$.
    """
    return Rooted(la.right_solve(la.root(la.shifted(second, ridge)), rows))


def by_kernel(la: Any, kernel: Float[Any, "r r"], ridge: Any) -> Complementary:
    r"""The smoother of every direction on the dual side. Cost: $r^3$."""
    return Complementary(la.whole_inverse(la.root(la.shifted(kernel, ridge))), kernel, ridge)


def of_rows(la: Any, rows: Float[Any, "r d"], ridge: Any) -> Rooted | Complementary:
    """The smoother of every direction, on the smaller side."""
    if rows.shape[1] <= rows.shape[0]:
        return by_cholesky(la, rows, la.gram(rows), ridge)
    return by_kernel(la, la.gram(rows.T), ridge)


@runtime_checkable
class Resolvent(Protocol):
    r"""$M^{-1} = (\Sigma + \beta I)^{-1}$ on the kept directions."""

    @property
    def ridge(self) -> Any:
        r"""$\beta$."""
        ...

    def solve(self, la: Any, y: Any) -> Any:
        r"""$M^{-1} y$: of $H^\top y/n$ the ridge head."""
        ...


class CholeskyResolvent(NamedTuple):
    """Of every direction, for a few right-hand sides: L with L L^T = M."""

    lower: Float[Any, "d d"]
    ridge: Float[Any, ""] | float

    def solve(self, la: Any, y: Any) -> Any:
        """Two triangular solves."""
        return la.resolve(self.lower, y)


class InverseResolvent(NamedTuple):
    """Of every direction, for many right-hand sides, one after the other: the inverse, its lower half."""

    inverse: Float[Any, "d d"]
    ridge: Float[Any, ""] | float

    def solve(self, la: Any, y: Any) -> Any:
        """One product."""
        return la.times(self.inverse, y)


class SpectralResolvent(NamedTuple):
    """Of the principal components alone."""

    vectors: Float[Any, "d k"]
    eigenvalues: Float[Any, " k"]
    ridge: Float[Any, ""] | float

    def solve(self, la: Any, y: Any) -> Any:
        """V (l + ridge)^-1 V^T y."""
        seen = la.matvec(self.vectors, y, transposed=True)
        return la.matvec(self.vectors, (seen.T / (self.eigenvalues + self.ridge)).T)


def covered(la: Any, m: Resolvent, y: Any) -> Any:
    r"""$(2 M^{-1} - M^{-1} \Sigma M^{-1})\, y = M^{-1} y + \beta M^{-2} y$.

    With it $H_s^\top (2 P_w - P_w^2) H_s / n$ is a product of second moments: what the weak model covers of the strong
    one.
    """
    once = m.solve(la, y)
    return once + m.ridge * m.solve(la, once)
