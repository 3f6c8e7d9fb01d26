from collections.abc import Callable
from functools import partial

import numpy as np
from scipy.linalg import eigvalsh

from .linalg import Host, symmetric


def lanczos(
    apply: Callable[[np.ndarray], np.ndarray], size: int, *, count: int = 1, tolerance: float = 0.0, basis: int = 20
) -> tuple[np.ndarray, np.ndarray] | None:
    """Leading eigenpairs of a symmetric operator, largest first, or None without convergence.

    Reproducible, whatever ran before: the start is fixed.

    Args:
        apply: v -> G v on vectors of this size, above 2.
        count: how many pairs.
        tolerance: of the residual, relative to the eigenvalue; 0 for rounding.
        basis: vectors that are kept between restarts.
    """
    from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh  # importing it changes the warning filters

    operator = LinearOperator((size, size), matvec=lambda x: apply(x.ravel()), dtype=np.float64)  # pyright: ignore[reportCallIssue]
    start = apply(np.random.default_rng(0).standard_normal(size))
    try:
        values, vectors = eigsh(
            operator,
            k=count,
            v0=start,
            tol=tolerance,  # pyright: ignore[reportArgumentType]
            ncv=min(size, basis),
        )
    except ArpackError:
        return None
    order = np.argsort(values)[::-1]
    return values[order], vectors[:, order]


def largest_eigenvalue(s: np.ndarray) -> float:
    """Of a symmetric positive semidefinite matrix, on the host."""
    found = lanczos(partial(Host().times, symmetric(s)), len(s)) if len(s) > 2 else None
    return float(eigvalsh(s, check_finite=False)[-1] if found is None else found[0][0])
