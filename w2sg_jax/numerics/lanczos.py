r"""Lanczos, the one: leading eigenpairs of symmetric operators that are only applied to vectors.

``lanczos`` keeps its Krylov basis orthogonal and returns vectors; ``leading_pair`` does so inside a program, with a
basis that restarts; ``largest_eigenvalues`` runs many operators of one form at once, on the device, and keeps no basis.
All start from fixed vectors: what ran before changes no bit.

Sources: Golub and Underwood (1977) for blocks; Musco and Musco (2015) for random starts; Paige (1980) for Lanczos
without reorthogonalisation; Kato and Temple for the bound.
"""

from collections.abc import Callable, Generator
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from .backend import bucket, float64
from .linalg import Host, eigenpairs, eigenvalues, largest_of_tridiagonal, orthonormal, product, symmetric

GROWTH = 1.25
"""The basis grows by this factor between two tests of convergence, whose cost is that of a small eigendecomposition."""
ENDED = 1e-13
"""What is left of a vector, relative to the operator, where the Krylov space has ended."""
LITTLE = 1e-2
"""Of a vector, relative to the operator: where less is left, it is made orthogonal to the basis once more."""
MOST_VECTORS = 512
"""Of a basis, by default: a caller that needs more is better served by a full decomposition."""
SHARPEST = 1e-10
"""Residual of a largest eigenvalue, relative: its error is at most that, and mostly the square of it."""

RESTARTED = 32
"""Vectors of a basis that restarts: the most whose small eigendecompositions accelerators do many of at once."""
KEPT = 10
"""Leading Ritz vectors that a restart keeps."""
MOST_CYCLES = 40
"""Restarts after which an operator counts as one that does not converge."""

STEPS = 8
"""Steps of many operators between two looks at what has converged."""
MOST_STEPS = 224
"""Steps after which a point counts as one that does not converge."""
TOLERANCE = 1e-9
"""Relative: a point has converged where its error is bounded by less."""
MOST_POINTS = 256
"""At once; more would not make the products faster."""


class Ritz(NamedTuple):
    """Leading eigenpairs, largest first.

    Attributes:
        values: (k,).
        vectors: (size, k), orthonormal columns.
        residuals: (k,), |A v - l v|: no eigenvalue is off by more.
        products: vectors that A was applied to.
    """

    values: Float[np.ndarray, " k"]
    vectors: Float[np.ndarray, "size k"]
    residuals: Float[np.ndarray, " k"]
    products: int


def lanczos(
    apply: Callable[[np.ndarray], np.ndarray],
    size: int,
    accept: Callable[[np.ndarray, np.ndarray], int],
    *,
    block: int = 1,
    most: int = MOST_VECTORS,
    start: np.ndarray | None = None,
) -> Ritz | None:
    """Leading eigenpairs of a symmetric operator, once they have converged; None where the basis grows too large.

    The Krylov space of a random block is kept orthogonal in full (twice is enough), and Rayleigh-Ritz pairs are taken
    from it until ``accept`` takes some of them.

    Args:
        apply: x -> A x, of a vector (size,) where the block is one, else of a block (size, block).
        size: of the operator.
        accept: (values, residuals) of all Ritz pairs, largest first -> how many leading pairs to return; 0 to go on.
            The last residuals are those of pairs that nothing is known of.
        block: vectors a step. More of them make a product faster and find repeated eigenvalues; the Krylov space that
            is needed is larger.
        most: vectors of the basis, at most.
        start: the first block, (size, block); random by default.

    Cost: 2 size m flops a vector to keep m of them orthogonal.
    """
    steps = _krylov(size, accept, block, most, start)
    vectors = next(steps)
    while True:
        image = apply(vectors[:, 0])[:, None] if vectors.shape[1] == 1 else apply(vectors)
        try:
            vectors = steps.send(image)
        except StopIteration as ended:
            return ended.value


def lanczos_together(
    apply: Callable[[np.ndarray, np.ndarray], np.ndarray],
    size: int,
    accept: Callable[[np.ndarray, np.ndarray], int],
    count: int,
    *,
    most: int = MOST_VECTORS,
) -> list[Ritz | None]:
    """``lanczos`` of many operators of one size, a step of each at a time: what they share is a product with a matrix.

    Args:
        apply: (x, which) -> column j is the operator of number ``which[j]`` times column j of x, (size, k).
        size, accept, most: as in ``lanczos``.
        count: of the operators.
    """
    steps = [_krylov(size, accept, 1, most, None) for _ in range(count)]
    found: list[Ritz | None] = [None] * count
    which, vectors = np.arange(count), [next(each) for each in steps]
    while len(which):
        images, vectors, left = apply(np.concatenate(vectors, axis=1), which), [], []
        for place, number in enumerate(which):
            try:
                vectors.append(steps[number].send(images[:, place : place + 1]))
                left.append(number)
            except StopIteration as ended:
                found[number] = ended.value
        which = np.array(left, int)
    return found


def _krylov(
    size: int, accept: Callable[[np.ndarray, np.ndarray], int], block: int, most: int, start: np.ndarray | None
) -> Generator[np.ndarray, np.ndarray, Ritz | None]:
    """The steps of ``lanczos``: yields a block (size, block), is sent its image, and returns what was found.

    A step takes from the image what lies in the last two blocks, which is all there is but for rounding, and then what
    rounding left in the whole basis: twice is enough, and the first time is cheap.
    """
    block = min(block, size)
    most = max(block, min(most, size) // block * block)
    basis, projected = np.empty((size, most), order="F"), np.zeros((most, most))
    rng = np.random.default_rng(0)
    vectors = orthonormal(rng.standard_normal((size, block)) if start is None else start)[0]
    tested, largest = 0, 0.0
    for first in range(0, most, block):
        before, stop = max(first - block, 0), first + block
        basis[:, first:stop] = vectors
        known, recent = basis[:, :stop], basis[:, before:stop]
        image = yield vectors
        overlap = _cross(recent, image)
        projected[before:stop, first:stop] = overlap
        projected[first:stop, before:stop] = overlap.T
        largest = max(largest, float(np.linalg.norm(overlap, axis=0).max()))
        rest = image - _product(recent, overlap)
        rest = rest - _product(known, _cross(known, rest))
        vectors, triangle = _next_block(known, rest, largest, rng)
        if stop >= GROWTH * tested or stop == most:
            tested = stop
            values, coordinates = eigenpairs(projected[:stop, :stop])
            residuals = np.linalg.norm(triangle @ coordinates[-block:], axis=0)
            count = accept(values, residuals)
            if count:
                found = Host().product(known, np.asfortranarray(coordinates[:, :count]))
                return Ritz(values[:count], found, residuals[:count], stop)
    return None


def largest_eigenvalue(s: Float[np.ndarray, "d d"]) -> float:
    """Of a symmetric positive semidefinite matrix, on the host, to ``SHARPEST``."""
    found = lanczos(partial(Host().times, symmetric(s)), len(s), relative(SHARPEST))
    return float(eigenvalues(s)[0] if found is None else found.values[0])


def relative(tolerance: float, count: int = 1) -> Callable[[np.ndarray, np.ndarray], int]:
    """Accepts so many leading pairs once each residual is at most this share of its eigenvalue."""

    def accept(values: np.ndarray, residuals: np.ndarray) -> int:
        done = len(values) >= count and bool((residuals[:count] <= tolerance * values[:count]).all())
        return count if done else 0

    return accept


def orthogonal(basis: np.ndarray, x: np.ndarray) -> np.ndarray:
    """What of a vector or a block is orthogonal to a basis, in two steps: the second takes away what rounding left."""
    for _ in range(2):
        x = x - _product(basis, _cross(basis, x))
    return x


def _next_block(
    basis: np.ndarray, rest: np.ndarray, largest: float, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """An orthonormal basis Q of the rest, and R with Q R = rest; random directions where the Krylov space has ended.

    Columns of which little was left have lost their orthogonality to the basis: it is restored on Q.
    """
    if basis.shape[0] - basis.shape[1] < rest.shape[1]:  # no room is left: the space is whole
        return rest, np.zeros((rest.shape[1], rest.shape[1]))
    block, triangle = orthonormal(rest)
    sizes, scale = np.abs(np.diagonal(triangle)), max(largest, np.finfo(np.float64).tiny)
    if (sizes > LITTLE * scale).all():
        return block, triangle
    ended = sizes <= ENDED * scale
    block[:, ended] = rng.standard_normal((len(basis), int(ended.sum())))
    triangle[ended] = 0.0
    block, again = orthonormal(orthogonal(basis, block))
    return block, again @ triangle


def _cross(basis: np.ndarray, x: np.ndarray) -> np.ndarray:
    """B^T x; a block of one is a vector to BLAS."""
    if x.ndim == 2 and x.shape[1] == 1:
        return Host().matvec(basis, x[:, 0], transposed=True)[:, None]
    return Host().matvec(basis, x, transposed=True)


def _product(basis: np.ndarray, x: np.ndarray) -> np.ndarray:
    """B x; a block of one is a vector to BLAS."""
    if x.ndim == 2 and x.shape[1] == 1:
        return Host().matvec(basis, x[:, 0])[:, None]
    return Host().matvec(basis, x)


class Leading(NamedTuple):
    """The leading eigenpair of an operator.

    Attributes:
        value, vector: of it; (size, 1), of length 1.
        second: the next eigenvalue, roughly.
        residual: |A v - l v|: the value is off by no more.
    """

    value: Float[Any, ""]
    vector: Float[Any, "size 1"]
    second: Float[Any, ""]
    residual: Float[Any, ""]


class _Restarted(NamedTuple):
    """Where restarted Lanczos stands: a basis and the vector after it, the operator in that basis, what is found."""

    basis: Float[jax.Array, "size m"]
    after: Float[jax.Array, " size"]
    projected: Float[jax.Array, "m m"]
    values: Float[jax.Array, " m"]
    coordinates: Float[jax.Array, "m m"]
    residual: Float[jax.Array, ""]
    cycles: jax.Array


def leading_pair(apply: Callable[[jax.Array], jax.Array], size: int, *, tolerance: float = SHARPEST) -> Leading:
    """The leading eigenpair of a positive semidefinite operator, inside a program: pure, for ``jit`` and ``vmap``.

    Lanczos with a basis of fixed size, orthogonal in full, that restarts from its leading Ritz vectors. Where it has
    not converged in ``MOST_CYCLES`` restarts, the residual says so.

    Args:
        apply: x -> A x, (size,).
        size: of the operator.
        tolerance: of the residual, relative to the eigenvalue.

    Source: Wu and Simon (2000) for the thick restart.
    """
    m = min(RESTARTED, size)
    kept = min(KEPT, m // 2)
    noise = jax.random.normal(jax.random.key(0), (size,), jnp.float64)

    def orthogonal_to(basis: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        overlap = product(basis.T, x)
        rest = x - product(basis, overlap)
        return overlap, rest - product(basis, product(basis.T, rest))

    def unit(x: jax.Array) -> jax.Array:
        return x / _positive(jnp.linalg.norm(x))

    def step(j: Any, state: tuple[jax.Array, jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array, jax.Array]:
        basis, after, projected = state
        basis = basis.at[:, j].set(after)
        overlap, rest = orthogonal_to(basis, apply(after))
        projected = projected.at[:, j].set(overlap).at[j, :].set(overlap)
        left, scale = jnp.linalg.norm(rest), jnp.abs(projected).max()
        # Where the Krylov space has ended, it goes on from another direction; a little left has lost orthogonality.
        fresh = jnp.where(left > ENDED * scale, rest / _positive(left), unit(jnp.roll(noise, j + 1)))
        return basis, unit(orthogonal_to(basis, fresh)[1]), projected

    def cycle(state: _Restarted) -> _Restarted:
        """From the leading Ritz vectors, of which there are none at first, to a full basis."""
        first = jnp.where(state.cycles == 0, 0, kept)
        leading = jnp.arange(m) < first
        basis = jnp.where(leading, product(state.basis, state.coordinates), 0.0)
        projected = jnp.diag(jnp.where(leading, state.values, 0.0))
        basis, after, projected = jax.lax.fori_loop(first, m, step, (basis, state.after, projected))
        values, coordinates = jnp.linalg.eigh(projected)
        values, coordinates = values[::-1], coordinates[:, ::-1]
        top = product(basis, coordinates[:, 0])
        residual = jnp.linalg.norm(apply(top) - values[0] * top)
        return _Restarted(basis, after, projected, values, coordinates, residual, state.cycles + 1)

    def goes_on(state: _Restarted) -> jax.Array:
        most = MOST_CYCLES if size > m else 1
        return (state.residual > tolerance * state.values[0]) & (state.cycles < most)

    nothing = jnp.zeros((m, m), jnp.float64)
    start = _Restarted(
        jnp.zeros((size, m), jnp.float64), unit(noise), nothing, nothing[0], nothing, jnp.float64(1.0), jnp.int32(0)
    )
    found = jax.lax.while_loop(goes_on, cycle, start)
    second = found.values[1] if m > 1 else jnp.zeros_like(found.residual)
    vector = product(found.basis, found.coordinates[:, :1])
    return Leading(found.values[0], vector, second, found.residual)


Operator = Callable[[Any, Any, jax.Array], jax.Array]
"""(shared, own, v) -> each point's operator times its own vector: own and v have the points first."""


def largest_eigenvalues(
    operator: Operator, shared: Any, own: Any, size: int
) -> tuple[Float[np.ndarray, " P"], Float[np.ndarray, " P"]]:
    """The largest eigenvalue of each of P positive semidefinite operators of one form, and a bound of its error.

    Vectors of all points are multiplied together, in batches that shrink as points converge. They lose their
    orthogonality, which brings copies of eigenvalues that have converged, and no other: the largest one stays what it
    is. A point has converged when the bound of Kato and Temple and the growth since the last look are both below
    ``TOLERANCE``: in a cluster the bound alone can be an illusion.

    Args:
        operator: pure; a function of a module, so that its program is compiled once.
        shared: what all points have in common.
        own: what each has of its own, arrays (P, ...).
        size: of the vectors.

    Returns:
        Values, and bounds of their errors; infinite or above ``TOLERANCE`` where a point has not converged.
    """
    count = len(jax.tree.leaves(own)[0])
    largest, error = np.zeros(count), np.full(count, np.inf)
    with float64():
        for first in range(0, count, MOST_POINTS):
            points = np.arange(first, min(first + MOST_POINTS, count))
            mine = _rows(own, points)
            krylov, tridiagonal = _started(operator, size, shared, mine), np.empty((2, len(points), 0))
            for _ in range(0, MOST_STEPS, STEPS):
                krylov, new = _recurrence(operator, STEPS, shared, mine, krylov)
                tridiagonal = np.concatenate([tridiagonal, jax.device_get(new)[:, : len(points)]], axis=2)
                before = largest[points]
                largest[points], bound = _bounded(*tridiagonal)
                error[points] = np.maximum(bound, largest[points] - before)
                left = np.flatnonzero(error[points] > TOLERANCE * largest[points])
                if not len(left):
                    break
                points, tridiagonal = points[left], tridiagonal[:, left]
                mine, krylov = _rows((mine, krylov), left)
    return largest, error


class _Krylov(NamedTuple):
    """Where Lanczos stands at each of P points: the last vector, the one before times beta, the largest alpha."""

    v: jax.Array
    before: jax.Array
    largest: jax.Array


def _rows(arrays: Any, rows: np.ndarray) -> Any:
    """Some rows of every array, and the first of them again up to the next number that programs are made for."""
    return _taken(arrays, np.resize(rows, bucket(len(rows))))


@jax.jit
def _taken(arrays: Any, rows: jax.Array) -> Any:
    return jax.tree.map(lambda x: x[rows], arrays)


@partial(jax.jit, static_argnums=(0, 1))
def _started(operator: Operator, size: int, shared: Any, own: Any) -> _Krylov:
    """A random vector in the range of each operator."""
    points = jax.tree.leaves(own)[0].shape[0]
    v = operator(shared, own, jax.random.normal(jax.random.key(0), (points, size), jnp.float64))
    v = v / _positive(jnp.linalg.norm(v, axis=1))[:, None]
    return _Krylov(v, jnp.zeros_like(v), jnp.zeros_like(v[:, 0]))


@partial(jax.jit, static_argnums=(0, 1))
def _recurrence(
    operator: Operator, steps: int, shared: Any, own: Any, krylov: _Krylov
) -> tuple[_Krylov, Float[jax.Array, "2 P steps"]]:
    r"""Some steps of $\beta_{j+1} v_{j+1} = A v_j - \alpha_j v_j - \beta_j v_{j-1}$; the new $\alpha$ and $\beta$."""

    def step(state: _Krylov, _: None) -> tuple[_Krylov, tuple[jax.Array, jax.Array]]:
        y = operator(shared, own, state.v)
        alpha = (state.v * y).sum(axis=1)
        largest = jnp.maximum(state.largest, alpha)
        y = y - alpha[:, None] * state.v - state.before
        beta = jnp.linalg.norm(y, axis=1)
        beta = jnp.where(beta > ENDED * largest, beta, 0.0)
        after = jnp.where(beta > 0, 1 / _positive(beta), 0.0)[:, None] * y
        return _Krylov(after, beta[:, None] * state.v, largest), (alpha, beta)

    krylov, diagonals = jax.lax.scan(step, krylov, length=steps)
    return krylov, jnp.stack(diagonals).swapaxes(1, 2)


def _positive(x: jax.Array) -> jax.Array:
    return jnp.where(x > 0, x, 1.0)


def _bounded(diagonal: np.ndarray, beside: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The largest eigenvalue of each Lanczos matrix, and a bound of its error.

    The bound is the residual r of its Ritz pair, or r^2 over the distance to the other eigenvalues where that is less
    (Kato and Temple): to the next Ritz value, plus the residual of that. In a cluster that distance can be an illusion,
    which shows in a value that still grows.
    """
    pairs = [largest_of_tridiagonal(*matrix) for matrix in zip(diagonal, beside[:, :-1], strict=True)]
    values, last = np.array([pair[0] for pair in pairs]), np.array([pair[1] for pair in pairs])
    residual, next_residual = np.abs(beside[:, -1:] * last).T[::-1]
    distance = values[:, -1] - values[:, -2] - next_residual
    error = np.where(distance > residual, residual**2 / np.where(distance > 0, distance, 1.0), residual)
    return np.maximum(values[:, -1], 0.0), error
