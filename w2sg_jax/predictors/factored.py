r"""A representation factored once for all predictors: $H / \sqrt n = U \Lambda^{1/2} V^\top$, of which U and $\Lambda$
are kept."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from ..numerics import rounding
from ..numerics.checks import at_least_two, refuse_non_finite
from ..numerics.linalg import Host, eigenpairs
from ..theory.kernel import refuse_constant

HOST = Host()


@dataclass(frozen=True, eq=False)
class Factored:
    r"""Left singular vectors and eigenvalues of a representation, centred and of unit trace.

    Attributes:
        left: (n, k), U: orthonormal columns, one for each direction above rounding.
        eigenvalues: (k,), $\Lambda$: of $K/n$ and of $\Sigma$, descending, positive; their sum is 1.
        width: d, columns of the representation.
    """

    left: Float[np.ndarray, "n k"]
    eigenvalues: Float[np.ndarray, " k"]
    width: int

    @property
    def n(self) -> int:
        """Samples."""
        return len(self.left)

    @property
    def rank(self) -> int:
        """Directions above rounding."""
        return len(self.eigenvalues)

    def gains(self, ridge: float) -> Float[np.ndarray, " k"]:
        r"""$g = \lambda / (\lambda + \beta)$, the eigenvalues of the smoother P; at ridge 0 they are 1."""
        return self.eigenvalues / (self.eigenvalues + ridge)

    def smoothed(self, x: Float[np.ndarray, "n c"], ridge: float) -> Float[np.ndarray, "n c"]:
        """P x."""
        return HOST.product(self.left, self.gains(ridge)[:, None] * HOST.cross(self.left, x))

    def square_lengths(self) -> Float[np.ndarray, " n"]:
        """The diagonal of K, the squared length of each sample; its mean is 1."""
        return self.n * HOST.product(self.left**2, self.eigenvalues[:, None])[:, 0]


def factor(h: Float[np.ndarray, "n d"], name: str = "representation") -> Factored:
    r"""Factor a representation, centred and scaled to unit trace, on the smaller side.

    By eigenpairs of $\Sigma$ or of $K/n$ where no direction is as small as their rounding. Else by the thin singular
    value decomposition, which does not square the condition number, so that the rank is that of the samples themselves.

    Args:
        h: (n, d), one sample a row.
        name: for messages.

    Raises:
        InputError: one sample, NaN or Inf, or the same representation for every sample.

    Cost: $2 n d m + 9 m^3$ flops with m = min(n, d); $4 n d m + 22 m^3$ where the rank is deficient.
    """
    at_least_two(len(h), name)
    refuse_non_finite(h, name)
    rows = _unit_trace(h, name) / np.sqrt(len(h))
    n, d = rows.shape
    most = min(n - 1, d)  # centring takes one direction of the samples
    if most == 0:  # no column
        refuse_constant(name, 0.0, np.zeros(0), center=True, dtype="float64")
    found = _by_squares(rows, most)
    return Factored(*(_by_singular_values(rows, most) if found is None else found), d)


def centred(y: Float[np.ndarray, "n c"]) -> Float[np.ndarray, "n c"]:
    """Labels less their means, as every head with an intercept sees them."""
    return y - y.mean(axis=0)


def _unit_trace(h: np.ndarray, name: str) -> np.ndarray:
    """H less its mean, of unit trace."""
    # Divided by the largest entry first: squares of what is left neither overflow nor vanish.
    largest = np.abs(h).max(initial=0.0)
    rows = h / (largest if largest > 0 else 1.0)
    mean = rows.mean(axis=0)
    rows -= mean
    rest = np.abs(rows).max(initial=0.0)
    trace = ((rows / (rest if rest > 0 else 1.0)) ** 2).sum() / len(rows)
    refuse_constant(name, trace * rest**2, mean, center=True, dtype="float64")
    rows /= rest * np.sqrt(trace)
    return rows


def _by_squares(rows: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray] | None:
    """U and eigenvalues of the Gram matrix on the smaller side, or None where rounding may hide a direction."""
    n, d = rows.shape
    primal = d < n
    values, vectors = eigenpairs(HOST.gram(rows if primal else rows.T))
    values, vectors = values[:most], vectors[:, :most]
    # The rank alone has to be certain: U is made orthonormal below, and gains are continuous in the eigenvalues. Not so
    # of NaN, which a failed decomposition returns.
    if not values[-1] > rounding.KERNEL_MARGIN * rounding.floor(values[0], min(n, d), "float64"):
        return None
    if not primal:
        return vectors, values
    left = HOST.product(rows, vectors / np.sqrt(values))
    # The columns of small eigenvalues are orthogonal to eps lambda_1 / lambda only: once more, by Cholesky (QR2).
    return HOST.right_solve(HOST.root(HOST.gram(left)), left), values


def _by_singular_values(rows: np.ndarray, most: int) -> tuple[np.ndarray, np.ndarray]:
    left, singular, _ = np.linalg.svd(rows, full_matrices=False)
    values = singular**2
    kept = values > rounding.floor_of_singular_values(values[0], max(rows.shape), "float64")
    rank = min(int(kept.sum()), most)
    return left[:, :rank], values[:rank]
