r"""Tails: what a representation holds outside its principal subspace V, known by the Gram matrix of its samples.

A head sees the tail through products of samples only, and its tail part $T^T a$ has the mean square
$a^T T \Sigma T^T a$ on fresh samples: so a tail of any dimension D is two n x n matrices, and the dimension costs
little or nothing.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Real

from ..numerics.linalg import product
from ..numerics.settings import own_settings
from ._checks import refuse_below
from ._entries import Entries, gaussian, precision

BLOCK = 500
"""Tail coordinates that are drawn at once: memory is n x BLOCK."""


Number = Real[Any, "*b"] | float | int
"""One number, traced perhaps, or one for each of stacked populations."""


class Grams(NamedTuple):
    r"""Of n samples of a tail t with $E[t t^T] = \Sigma$, the rows of T."""

    gram: Float[Array, "n n"]
    """$T T^T$"""
    weighted: Float[Array, "n n"]
    r"""$W = T \Sigma T^T$: $a^T W a$ is the exact mean square of the function $t \mapsto (T^T a) \cdot t$"""


class Tail:
    r"""A law of tails, uncorrelated with the principal part: a frozen pytree dataclass with these members.

    Attributes:
        trace: $\mathrm{tr} \Sigma$, the mean squared length; $\gamma = \mathrm{tr} \Sigma / n$.
    """

    trace: Any

    @property
    def largest(self) -> Any:
        r"""$\|\Sigma\|_{op}$, the largest variance of a direction (condition 4 of decomposability)."""
        raise NotImplementedError

    def grams(self, key: Array, n: int) -> Grams | None:
        """Draw n samples, known by their Gram matrices; None where there is no tail."""
        raise NotImplementedError

    def rows(self, key: Array, n: int) -> Float[Array, "n D"]:
        """Draw n samples themselves."""
        raise NotImplementedError


@partial(jax.tree_util.register_dataclass, data_fields=[], meta_fields=[])
@dataclass(frozen=True)
class NoTail(Tail):
    """Nothing outside the principal subspace: an exactly low-rank representation."""

    @property
    def trace(self) -> float:  # pyright: ignore[reportIncompatibleVariableOverride]
        """0."""
        return 0.0

    @property
    def largest(self) -> float:
        """0."""
        return 0.0

    def grams(self, key: Array, n: int) -> None:
        """None: heads are solved in the principal subspace."""
        return None

    def rows(self, key: Array, n: int) -> Float[Array, "n D"]:
        """No columns."""
        return gaussian(key, (n, 0))


@partial(jax.tree_util.register_dataclass, data_fields=["trace", "dimension"], meta_fields=[])
@dataclass(frozen=True, eq=False)
class GaussianTail(Tail):
    r"""Isotropic Gaussian tail: $\Sigma = \tau I / D$ with trace $\tau$.

    $T T^T$ is Wishart with D degrees of freedom; it is drawn exactly as $\frac{\tau}{D} L L^T$ with L lower triangular,
    standard normal numbers below the diagonal and $\chi_{D - i}$ on it (Bartlett), for any $D \ge n$ at the cost of
    $n^3 / 3$.

    Attributes:
        trace: the mean squared length.
        dimension: D, at least the number of samples; one program serves all.
    """

    trace: Number
    dimension: Number

    def __post_init__(self) -> None:
        refuse_below(self.trace, 0, "trace")
        refuse_below(self.dimension, 1, "dimension")

    @property
    def largest(self) -> Any:
        """trace / D."""
        return self.trace / self.dimension

    def grams(self, key: Array, n: int) -> Grams:
        """Bartlett's decomposition."""
        return _isotropic(wishart(key, n, self.dimension), self.largest)

    def rows(self, key: Array, n: int) -> Float[Array, "n D"]:
        """n x D normal numbers; D has to be a plain number here."""
        return jnp.sqrt(self.largest) * gaussian(key, (n, int(self.dimension)))


@partial(jax.tree_util.register_dataclass, data_fields=["trace", "dimension", "dof"], meta_fields=[])
@dataclass(frozen=True, eq=False)
class EllipticalTail(Tail):
    r"""Isotropic but elliptical tail, the multivariate t: every sample has a length of its own.

    $t = \sqrt{w} g$ with $g$ as in ``GaussianTail`` and $w = (\nu - 2) / \chi^2_\nu$ of mean 1, $\nu$ degrees of
    freedom. $K(h_{V'})/n$ is close to $\gamma \, \mathrm{diag}(w)$, not to $\gamma I$, however large D is: *not*
    decomposable.

    Attributes:
        trace: the mean squared length.
        dimension: D, at least the number of samples.
        dof: degrees of freedom, above 2; at infinity this is ``GaussianTail``.
    """

    trace: Number
    dimension: Number
    dof: Number = 5.0

    def __post_init__(self) -> None:
        refuse_below(self.trace, 0, "trace")
        refuse_below(self.dimension, 1, "dimension")
        refuse_below(self.dof, 2, "dof", strictly=True)

    @property
    def largest(self) -> Any:
        """trace / D."""
        return self.trace / self.dimension

    def grams(self, key: Array, n: int) -> Grams:
        """A Wishart matrix between the samples' radii."""
        first, second = jax.random.split(key)
        radii = self._radii(first, n)
        return _isotropic(wishart(second, n, self.dimension) * radii * radii[:, None], self.largest)

    def rows(self, key: Array, n: int) -> Float[Array, "n D"]:
        """Normal numbers, each row times its radius."""
        first, second = jax.random.split(key)
        radii = self._radii(first, n)[:, None]
        return jnp.sqrt(self.largest) * radii * gaussian(second, (n, int(self.dimension)))

    def _radii(self, key: Array, n: int) -> Float[Array, " n"]:
        return jnp.sqrt((self.dof - 2) / _chi_square(key, jnp.full(n, self.dof, precision())))


@partial(jax.tree_util.register_dataclass, data_fields=["trace", "exponent"], meta_fields=["dimension", "entries"])
@dataclass(frozen=True, eq=False)
class IndependentTail(Tail):
    """Independent coordinates of any law, variance of coordinate j proportional to $j^{-a}$, a the exponent.

    Exponent 0 is isotropic. Coordinates are drawn a block at a time, so memory does not grow with D; cost $4 n^2 D$.

    Attributes:
        trace: the mean squared length.
        exponent: of the power law.
        dimension: D; another one is another program.
        entries: law of a coordinate over its standard deviation.
    """

    trace: Number
    exponent: Number = 0.0
    dimension: int = 20_000
    entries: Entries = gaussian

    def __post_init__(self) -> None:
        refuse_below(self.trace, 0, "trace")
        refuse_below(self.dimension, 1, "dimension")
        refuse_below(self.exponent, 0, "exponent")

    @property
    def variances(self) -> Float[Array, " D"]:
        """Of the coordinates, descending."""
        shape = jnp.arange(1, self.dimension + 1, dtype=precision()) ** -self.exponent
        return self.trace * shape / shape.sum()

    @property
    def largest(self) -> Any:
        """Variance of the first coordinate."""
        return self.variances[0]

    def grams(self, key: Array, n: int) -> Grams:
        """The sum over blocks of coordinates."""
        blocks = -(-self.dimension // BLOCK)
        padded = jnp.pad(self.variances, (0, blocks * BLOCK - self.dimension)).reshape(blocks, BLOCK)

        def add(sums: Grams, block: tuple[Array, Array]) -> tuple[Grams, None]:
            block_key, variances = block
            rows = self.entries(block_key, (n, BLOCK)) * jnp.sqrt(variances)
            return Grams(sums.gram + product(rows, rows.T), sums.weighted + product(rows * variances, rows.T)), None

        zero = jnp.zeros((n, n), padded.dtype)
        return jax.lax.scan(add, Grams(zero, zero), (jax.random.split(key, blocks), padded))[0]

    def rows(self, key: Array, n: int) -> Float[Array, "n D"]:
        """All coordinates at once."""
        return self.entries(key, (n, self.dimension)) * jnp.sqrt(self.variances)


@own_settings()
def wishart(key: Array, n: int, dof: Number) -> Float[Array, "n n"]:
    """$X X^T$ for X (n, dof) of standard normal numbers, drawn without X by Bartlett's decomposition.

    Args:
        key: of the random numbers.
        n: samples.
        dof: columns of X, at least n (below it the matrix would be singular: NaN); may be traced.

    Returns:
        (n, n), in the widest precision that is switched on.

    Cost: $n^2 / 2$ normal numbers and a product of n x n.
    Source: Bartlett (1933).
    """
    normal, chi = jax.random.split(key)
    diagonal = jnp.sqrt(_chi_square(chi, jnp.where(dof >= n, dof - jnp.arange(n, dtype=precision()), jnp.nan)))
    lower = jnp.tril(gaussian(normal, (n, n)), -1) + jnp.diag(diagonal)
    return product(lower, lower.T)


def _chi_square(key: Array, dof: Float[Array, " n"]) -> Float[Array, " n"]:
    r"""$2 \Gamma_{k/2}$, $k$ degrees of freedom, by the rejection method of Marsaglia and Tsang (2000), in one loop.

    ``jax.random.gamma`` is the same method, but takes longer to compile than all the rest of a draw. Below 2 degrees of
    freedom, $\Gamma_a = \Gamma_{a + 1} U^{1/a}$ with $U$ uniform.
    """
    loop, last = jax.random.split(key)
    half = dof / 2
    shape = jnp.where(half < 1, half + 1, half) - 1 / 3

    def propose(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        key, found, done = state
        key, first, second = jax.random.split(key, 3)
        x = gaussian(first, dof.shape)
        cube = (1 + x / jnp.sqrt(9 * shape)) ** 3
        log_u = jnp.log(1 - jax.random.uniform(second, dof.shape, x.dtype))
        accepted = (cube > 0) & (
            log_u < x**2 / 2 + shape * (1 - cube + jnp.log(jnp.maximum(cube, jnp.finfo(cube.dtype).tiny)))
        )
        return key, jnp.where(done, found, shape * cube), done | accepted

    start = loop, jnp.zeros_like(shape), ~(dof > 0)
    _, found, _ = jax.lax.while_loop(lambda state: ~state[2].all(), propose, start)
    boost = jnp.log(1 - jax.random.uniform(last, dof.shape, found.dtype)) / half
    return jnp.where(dof > 0, 2 * found * jnp.where(half < 1, jnp.exp(boost), 1.0), jnp.nan)


def _isotropic(gram: Float[Array, "n n"], variance: Any) -> Grams:
    """Of a Gram matrix in units of the coordinates' standard deviation."""
    return Grams(variance * gram, variance**2 * gram)
