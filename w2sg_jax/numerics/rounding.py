r"""What rounding may do: the numerical policy of the package, each constant with its reason.

$\varepsilon$ is the machine epsilon of the precision in which products were accumulated, "float64" or "float32".
Every comparison is relative to a size of the data, so that no answer depends on its units.
"""

from typing import Any

import numpy as np
from jaxtyping import Float

PIVOT = 32.0
r"""A pivot of a Cholesky factorisation below PIVOT $\varepsilon$ times the largest diagonal entry is a rounding error
of an accumulated second moment: sums of n products err by about $\varepsilon\sqrt{n}$ of that entry, in blocks by
less."""
REGULAR = 1e6
r"""A second moment is regular, far from losing rank, when its reciprocal condition number is above REGULAR
$\varepsilon$: a factor without pivoting then has six digits more than rounding takes away."""
KERNEL_MARGIN = 10.0
r"""A kernel (n, n) has full rank when its reciprocal condition number is above KERNEL_MARGIN times the floor of its
eigenvalues, n $\varepsilon$: the estimate of the condition number may be off by a factor of three."""
AMBIGUOUS = 1e3
"""At ridge 0 a smoother is a projector: a smallest kept eigenvalue within this factor of the floor leaves its rank to
rounding."""
LARGEST_RIDGE = 1e100
"""In units of unit trace; beyond it Sigma + ridge I may overflow where it is multiplied out."""
SMALLEST_SOLVED_RIDGE = 1e-10
"""In units of unit trace; below it rounding may leave K/n + ridge I without a Cholesky factor."""
TOLERATED = 1e-9
"""Relative error that a fast route may leave in a norm or a gap: where it promises less, the slow route is taken."""
DUAL = 8.0
r"""Error of a gap by solves with kernels, in units of $\varepsilon (1 + 1/\beta_w + 1/\beta_s)$; 2 was measured."""
SQUARED = 4.0
r"""Error of the squared form of the gap, in units of $\varepsilon$ times the largest 1 / (l + ridge) of both models;
0.7 was measured."""
CONSTANT = 4.0
r"""A representation that varies by less than CONSTANT $\varepsilon$ of its mean is constant."""
SMALLEST_SQUARED_RIDGE = 1e-6
r"""Heads with a smaller ridge are fitted by a singular value decomposition: eigenvectors of H^T H / n err by
$\varepsilon$ / ridge, at unit trace."""
DENOMINATOR = 1e3
r"""A difference of errors below DENOMINATOR $\varepsilon$ of their sum is zero."""


def epsilon(dtype: Any) -> float:
    """The machine epsilon of a precision."""
    return float(np.finfo(dtype).eps)


def floor(largest: Any, order: int, dtype: Any) -> Any:
    r"""Eigenvalues at or below it are rounding errors: $\varepsilon\, k\, \lambda_1$ of a matrix of order k.

    That is the backward error of a symmetric eigendecomposition, and of the sums that made the matrix. NumPy or JAX.
    """
    return epsilon(dtype) * order * largest


def floor_of_singular_values(largest: Any, order: int, dtype: Any) -> Any:
    r"""The same for eigenvalues that are squares of singular values: $(\varepsilon\, k\, \sigma_1)^2$."""
    return (epsilon(dtype) * order) ** 2 * largest


def may_solve(*ridges: float) -> bool:
    """Whether solves with Cholesky factors do for these ridges, at unit trace: none as small as rounding, none huge."""
    return SMALLEST_SOLVED_RIDGE <= min(ridges) <= max(ridges) < LARGEST_RIDGE


def may_square(ridges: Float[np.ndarray, "..."], scale: str) -> bool:
    """Whether eigenvectors of H^T H / n are exact enough for these ridges; see ``SMALLEST_SQUARED_RIDGE``."""
    return scale == "trace" and bool(np.min(ridges) >= SMALLEST_SQUARED_RIDGE)


def dual_error(ridge_weak: float, ridge_strong: float) -> float:
    """Of norm and root of the label gap by solves with kernels in float64, absolute, at unit trace."""
    return DUAL * epsilon("float64") * (1 + 1 / ridge_weak + 1 / ridge_strong)
