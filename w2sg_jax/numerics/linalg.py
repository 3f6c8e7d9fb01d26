"""Dense products and triangular solves: by the host's BLAS and LAPACK, or by JAX on an accelerator.

On a CPU both would do, but not in turns: the threads of one library wait in a busy loop for some milliseconds after
each call and take the cores from the other. SciPy's library is the one that JAX's own CPU decompositions call.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy.linalg import eigh, eigh_tridiagonal, eigvalsh, get_blas_funcs, get_lapack_funcs, qr, solve_triangular

from . import rounding

TILE = 128
"""Rows and columns of what is transposed at once."""
FEW = 4
"""Columns that a symmetric matrix is faster multiplied with one by one: it is read by half."""
HIGHEST = jax.lax.Precision.HIGHEST
"""float32 products default to TF32 on Ampere and Hopper and to bfloat16 on TPU: pinned."""


def product(a: jax.Array, b: jax.Array) -> jax.Array:
    """A B by JAX, at full precision."""
    return jnp.matmul(a, b, precision=HIGHEST)


class Host:
    """SciPy's BLAS and LAPACK; NumPy arrays, without a copy where they are in Fortran order (products: in either).

    L is lower triangular, S symmetric.
    """

    def stack(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """The rows of A above those of B."""
        return np.concatenate([a, b])

    def columns(self, *parts: np.ndarray) -> np.ndarray:
        """Arrays side by side."""
        return np.concatenate(parts, axis=1)

    def inner(self, a: np.ndarray, b: np.ndarray) -> float:
        """The sum of the products of two matrices' entries, without a third one where both have one order."""
        if a.flags.f_contiguous != b.flags.f_contiguous:
            return float((a * b).sum())
        return float(np.dot(a.ravel(order="K"), b.ravel(order="K")))

    def product(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """A B."""
        return _gemm(a, b)

    def cross(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """A^T B."""
        return _gemm(a.T, b)

    def cross_transposed(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """A^T B^T."""
        return _gemm(a.T, b.T)

    def gram(self, a: np.ndarray) -> np.ndarray:
        """A^T A."""
        # syrk takes the Fortran order of either A or A^T and computes the upper half.
        upper = _blas("syrk", a)(1.0, a.T) if a.flags.c_contiguous else _blas("syrk", a)(1.0, a, trans=1)
        mirror(upper)
        return upper

    def shifted(self, s: np.ndarray, ridge: float) -> np.ndarray:
        """S + ridge I."""
        found = s.copy(order="K")
        found.flat[:: len(found) + 1] += ridge
        return found

    def diagonal(self, x: np.ndarray) -> np.ndarray:
        """The matrix with this diagonal."""
        return np.diag(x)

    def square_lengths(self, a: np.ndarray) -> np.ndarray:
        """The squared length of each row, without a copy of A."""
        return np.einsum("ij,ij->i", a, a)

    def congruence(self, lower: np.ndarray, s: np.ndarray) -> np.ndarray:
        """L^T S L."""
        trmm = _blas("trmm", lower, s)
        return trmm(1.0, lower, trmm(1.0, lower, symmetric(s), lower=1, trans_a=1), lower=1, side=1, overwrite_b=1)

    def root(self, s: np.ndarray, *, clean: bool = True, overwrite: bool = False) -> np.ndarray:
        """L with L L^T = S, S positive definite; without ``clean`` the upper half is left as it comes."""
        (potrf,) = get_lapack_funcs(("potrf",), (s,))
        lower, info = potrf(symmetric(s), lower=1, clean=int(clean), overwrite_a=int(overwrite))
        if info != 0:
            raise ArithmeticError(f"Cholesky factorisation: the leading block of order {info} is not positive definite")
        return lower

    def solve(self, lower: np.ndarray, b: np.ndarray, *, transposed: bool = False) -> np.ndarray:
        """L^-1 B, or L^-T B."""
        return _blas("trsm", lower, b)(1.0, lower, b, lower=1, trans_a=int(transposed))

    def right_solve(self, lower: np.ndarray, f: np.ndarray) -> np.ndarray:
        """F L^-T."""
        return _blas("trsm", lower, f)(1.0, lower, f, lower=1, side=1, trans_a=1)

    def resolve(self, lower: np.ndarray, b: np.ndarray) -> np.ndarray:
        """(L L^T)^-1 B."""
        (potrs,) = get_lapack_funcs(("potrs",), (lower, b))
        found, info = potrs(lower, b, lower=1)
        if info != 0:
            raise ArithmeticError(f"Cholesky solve: argument {-info} is refused")
        return found

    def inverse(self, lower: np.ndarray) -> np.ndarray:
        """(L L^T)^-1, of which only the lower half is filled; L is overwritten."""
        (potri,) = get_lapack_funcs(("potri",), (lower,))
        found, info = potri(lower, lower=1, overwrite_c=1)
        if info != 0:
            raise ArithmeticError(f"inverse: element {info} of the diagonal is zero")
        return found

    def whole_inverse(self, lower: np.ndarray) -> np.ndarray:
        """(L L^T)^-1; L is overwritten."""
        found = self.inverse(lower)
        mirror(found.T)
        return found

    def triangular_inverse(self, lower: np.ndarray) -> np.ndarray:
        """L^-1."""
        (trtri,) = get_lapack_funcs(("trtri",), (lower,))
        found, info = trtri(lower, lower=1)
        if info != 0:
            raise ArithmeticError(f"triangular inverse: element {info} of the diagonal is zero")
        return found

    def times(self, s: np.ndarray, x: np.ndarray) -> np.ndarray:
        """S x for a vector or a matrix, from the lower half of S."""
        if x.ndim == 1:
            return _blas("symv", s, x)(1.0, symmetric(s), x, lower=int(s.flags.f_contiguous))
        if x.shape[1] > FEW:
            return _blas("symm", s, x)(1.0, symmetric(s), x, lower=int(s.flags.f_contiguous))
        found = np.empty(x.shape, order="F")
        for column in range(x.shape[1]):
            found[:, column] = self.times(s, x[:, column])
        return found

    def smoothed(self, s: np.ndarray, x: np.ndarray) -> np.ndarray:
        """S x, S filled in both halves: the fastest way for few columns and for many."""
        return self.times(s, x) if x.ndim == 1 or x.shape[1] <= FEW else self.product(s, x)

    def lower_times(self, lower: np.ndarray, x: np.ndarray, *, transposed: bool = False) -> np.ndarray:
        """L x, or L^T x."""
        return _blas("trmv", lower, x)(lower, x, lower=1, trans=int(transposed))

    def leading_vector(self, s: np.ndarray) -> np.ndarray:
        """The eigenvector of the largest eigenvalue of S, (d, 1)."""
        return eigenpairs(s)[1][:, :1]

    def matvec(self, a: np.ndarray, x: np.ndarray, *, transposed: bool = False) -> np.ndarray:
        """A x, or A^T x, for a vector or a matrix."""
        if x.ndim == 1:
            turned = not a.flags.f_contiguous
            return _blas("gemv", a, x)(1.0, a.T if turned else a, x, trans=int(transposed != turned))
        return self.cross(a, x) if transposed else self.product(a, x)


class Device:
    """JAX, for traced or concrete arrays; the operations of ``Host``."""

    def stack(self, a: jax.Array, b: jax.Array) -> jax.Array:
        """The rows of A above those of B."""
        return jnp.concatenate([a, b])

    def columns(self, *parts: jax.Array) -> jax.Array:
        """Arrays side by side."""
        return jnp.concatenate(parts, axis=1)

    def inner(self, a: jax.Array, b: jax.Array) -> jax.Array:
        """The sum of the products of two matrices' entries."""
        return jnp.vdot(a, b, precision=HIGHEST)

    def product(self, a: jax.Array, b: jax.Array) -> jax.Array:
        """A B."""
        return product(a, b)

    def cross(self, a: jax.Array, b: jax.Array) -> jax.Array:
        """A^T B."""
        return self.product(a.T, b)

    def cross_transposed(self, a: jax.Array, b: jax.Array) -> jax.Array:
        """A^T B^T."""
        return self.product(a.T, b.T)

    def gram(self, a: jax.Array) -> jax.Array:
        """A^T A."""
        return self.product(a.T, a)

    def shifted(self, s: jax.Array, ridge: Any) -> jax.Array:
        """S + ridge I."""
        return s + ridge * jnp.eye(s.shape[0], dtype=s.dtype)

    def diagonal(self, x: jax.Array) -> jax.Array:
        """The matrix with this diagonal."""
        return jnp.diag(x)

    def square_lengths(self, a: jax.Array) -> jax.Array:
        """The squared length of each row."""
        return (a**2).sum(axis=1)

    def congruence(self, lower: jax.Array, s: jax.Array) -> jax.Array:
        """L^T S L."""
        return self.product(self.product(lower.T, s), lower)

    def root(self, s: jax.Array) -> jax.Array:
        """L with L L^T = S, S positive definite."""
        return jax.lax.linalg.cholesky(s, symmetrize_input=False)

    def solve(self, lower: jax.Array, b: jax.Array, *, transposed: bool = False) -> jax.Array:
        """L^-1 B, or L^-T B."""
        return jax.lax.linalg.triangular_solve(lower, b, left_side=True, lower=True, transpose_a=transposed)

    def right_solve(self, lower: jax.Array, f: jax.Array) -> jax.Array:
        """F L^-T."""
        return jax.lax.linalg.triangular_solve(lower, f, left_side=False, lower=True, transpose_a=True)

    def resolve(self, lower: jax.Array, b: jax.Array) -> jax.Array:
        """(L L^T)^-1 B."""
        return self.solve(lower, self.solve(lower, b), transposed=True)

    def inverse(self, lower: jax.Array) -> jax.Array:
        """(L L^T)^-1."""
        return self.whole_inverse(lower)

    def whole_inverse(self, lower: jax.Array) -> jax.Array:
        """(L L^T)^-1."""
        return self.gram(self.solve(lower, jnp.eye(lower.shape[0], dtype=lower.dtype)))

    def triangular_inverse(self, lower: jax.Array) -> jax.Array:
        """L^-1."""
        return self.solve(lower, jnp.eye(lower.shape[0], dtype=lower.dtype))

    def times(self, s: jax.Array, x: jax.Array) -> jax.Array:
        """S x; both halves of S are filled, as all that comes from a device."""
        return product(s, x)

    def smoothed(self, s: jax.Array, x: jax.Array) -> jax.Array:
        """S x, S filled in both halves."""
        return product(s, x)

    def lower_times(self, lower: jax.Array, x: jax.Array, *, transposed: bool = False) -> jax.Array:
        """L x, or L^T x; the upper half of L is zero."""
        return self.matvec(lower, x, transposed=transposed)

    def leading_vector(self, s: jax.Array) -> jax.Array:
        """The eigenvector of the largest eigenvalue of S, (d, 1)."""
        return jnp.linalg.eigh(s)[1][:, -1:]

    def matvec(self, a: jax.Array, x: jax.Array, *, transposed: bool = False) -> jax.Array:
        """A x, or A^T x."""
        return product(a.T if transposed else a, x)


def eigenvalues(s: np.ndarray) -> np.ndarray:
    """Of a symmetric matrix, descending; on the host, because JAX's CPU eigvalsh computes the vectors too."""
    return eigvalsh(s, check_finite=False)[::-1]


def eigenpairs(s: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of a symmetric matrix, on the host, eigenvalues descending."""
    values, vectors = eigh(s, check_finite=False)
    return values[::-1], vectors[:, ::-1]


def largest_of_tridiagonal(diagonal: np.ndarray, beside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The two largest eigenvalues of a symmetric tridiagonal matrix, ascending, and the last entries of their
    vectors."""
    last = len(diagonal) - 1
    values, vectors = eigh_tridiagonal(diagonal, beside, select="i", select_range=(last - 1, last))
    return values, vectors[-1]


def orthonormal(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Q with orthonormal columns and R upper triangular, Q R = X."""
    return qr(x, mode="economic", check_finite=False)  # pyright: ignore[reportReturnType]


def regular_cholesky(second: np.ndarray, dtype: str, margin: float = rounding.REGULAR) -> np.ndarray | None:
    r"""R upper triangular with R^T R = S, or None unless S is regular in the precision that it was accumulated in.

    Args:
        second: S, positive semidefinite.
        dtype: that precision.
        margin: in units of its epsilon, what the reciprocal condition number has to be above.
    """
    potrf, pocon = get_lapack_funcs(("potrf", "pocon"), (second,))
    upper, info = potrf(symmetric(second), lower=0, clean=1)
    if info != 0:
        return None
    rcond, _ = pocon(upper, np.abs(second).sum(axis=0).max())
    return upper if rcond > margin * rounding.epsilon(dtype) else None


def pivoted_cholesky(second: np.ndarray, dtype: str) -> np.ndarray:
    """R with R^T R = S by complete pivoting (LAPACK pstrf): backward stable for semidefinite S, and reveals its rank.

    Rows past the rank are zero, so that shapes do not depend on the data. S is overwritten.
    """
    tolerance = rounding.PIVOT * rounding.epsilon(dtype) * second.diagonal().max()
    (pstrf,) = get_lapack_funcs(("pstrf",), (second,))
    upper, pivots, rank, info = pstrf(symmetric(second), tol=tolerance, lower=0, overwrite_a=1)
    if info < 0:
        raise ArithmeticError(f"pstrf refused argument {-info}")
    factor = np.zeros_like(second)
    factor[:rank, pivots - 1] = np.triu(upper[:rank])
    return factor


def transposed_solve(upper: np.ndarray, b: np.ndarray) -> np.ndarray:
    """R^-T B for R upper triangular."""
    return solve_triangular(upper, b, trans=1, check_finite=False)


def symmetric(s: np.ndarray) -> np.ndarray:
    """A symmetric matrix in Fortran order, for LAPACK: a C-ordered one transposed, without a copy."""
    return s if s.flags.f_contiguous else s.T


def _gemm(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """A B, in Fortran order; arrays in C order are read as the transposed ones that they are to BLAS."""
    turned = [not x.flags.f_contiguous for x in (a, b)]
    left, right = (x.T if turn else x for x, turn in zip((a, b), turned, strict=True))
    return _blas("gemm", a, b)(1.0, left, right, trans_a=int(turned[0]), trans_b=int(turned[1]))


def _blas(name: str, *arrays: np.ndarray) -> Any:
    return get_blas_funcs((name,), arrays)[0]


def mirror(upper: np.ndarray) -> None:
    """Copy the upper half of a square matrix onto the lower one, in place."""
    for start in range(0, len(upper), TILE):
        stop = start + TILE
        transpose(upper[start:stop, stop:], upper[stop:, start:stop])
        diagonal = upper[start:stop, start:stop]
        diagonal[...] = np.triu(diagonal) + np.triu(diagonal, 1).T


def transpose(a: np.ndarray, out: np.ndarray) -> None:
    """Write A^T, by tiles that are copied first: rows of a wide matrix, a power of two apart, share few cache lines."""
    for row in range(0, a.shape[0], TILE):
        for column in range(0, a.shape[1], TILE):
            rows, columns = slice(row, row + TILE), slice(column, column + TILE)
            out[columns, rows] = a[rows, columns].copy(order="K").T
