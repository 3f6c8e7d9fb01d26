"""Laws of one number, standardised to mean 0 and variance 1: light, bounded and heavy tails."""

from collections.abc import Callable
from functools import lru_cache

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Entries = Callable[[Array, tuple[int, ...]], Array]
"""key, shape -> independent numbers of mean 0 and variance 1, in the widest precision that is switched on."""


def gaussian(key: Array, shape: tuple[int, ...]) -> Float[Array, "..."]:
    """Standard normal numbers."""
    return jax.random.normal(key, shape, _precision())


def rademacher(key: Array, shape: tuple[int, ...]) -> Float[Array, "..."]:
    """-1 or 1 with equal chances: bounded, hence sub-Gaussian."""
    return jax.random.rademacher(key, shape, _precision())


@lru_cache
def student_t(dof: float = 5.0) -> Entries:
    """Student's t with so many degrees of freedom, over its standard deviation: a heavy tail.

    Args:
        dof: above 2, so that there is a variance; moments of order ``dof`` and more are infinite.

    Returns:
        A sampler; the same one for the same ``dof``, so that programs are compiled once.

    Raises:
        ValueError: no variance.
    """
    if dof <= 2:
        raise ValueError(f"dof: got {dof}; Student's t has a variance above 2 degrees of freedom only")

    def sampler(key: Array, shape: tuple[int, ...]) -> Float[Array, "..."]:
        return jax.random.t(key, dof, shape, _precision()) * ((dof - 2) / dof) ** 0.5

    return sampler


def _precision() -> jnp.dtype:
    return jax.dtypes.canonicalize_dtype(jnp.float64)
