"""Laws of one number, standardised to mean 0 and variance 1: light, bounded and heavy tails."""

from collections.abc import Callable
from functools import lru_cache

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..numerics.settings import own_settings

Entries = Callable[[Array, tuple[int, ...]], Array]
"""key, shape -> independent numbers of mean 0 and variance 1, in the widest precision that is switched on."""


@own_settings()
def gaussian(key: Array, shape: tuple[int, ...]) -> Float[Array, "..."]:
    """Standard normal numbers."""
    return jax.random.normal(key, shape, precision())


@own_settings()
def rademacher(key: Array, shape: tuple[int, ...]) -> Float[Array, "..."]:
    """-1 or 1 with equal chances: bounded, hence sub-Gaussian."""
    return jax.random.rademacher(key, shape, precision())


@lru_cache
def student_t(dof: float = 5.0) -> Entries:
    r"""Student's t with $\nu$ degrees of freedom, over its standard deviation: a heavy tail.

    $\sqrt{\nu (U^{-2 / \nu} - 1)} \cos(2 \pi V)$ with $U, V$ uniform has that law: exact, and many times faster than by
    gamma variates.

    Args:
        dof: above 2, so that there is a variance; moments of order ``dof`` and more are infinite.

    Returns:
        A sampler; the same one for the same ``dof``, so that programs are compiled once.

    Raises:
        ValueError: no variance.

    Source: Bailey (1994), polar generation of random variates with the t-distribution.
    """
    if dof <= 2:
        raise ValueError(f"dof: got {dof}; Student's t has a variance above 2 degrees of freedom only")

    @own_settings()
    def sampler(key: Array, shape: tuple[int, ...]) -> Float[Array, "..."]:
        u, v = jax.random.uniform(key, (2, *shape), precision())
        radius = jnp.sqrt((dof - 2) * ((1 - u) ** (-2 / dof) - 1))  # 1 - u is never 0
        return radius * jnp.cos(2 * jnp.pi * v)

    return sampler


def precision() -> jnp.dtype:
    """The widest that is switched on."""
    return jnp.result_type(float)
