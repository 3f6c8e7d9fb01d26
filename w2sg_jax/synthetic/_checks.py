"""What a population cannot be made of; numbers that JAX traces pass, they are seen when the population is made."""

from typing import Any

import numpy as np
from jaxtyping import Float

from .._errors import InputError


def as_vector(
    values: Any, name: str, *, least: float | int = -np.inf, most: float | int = np.inf
) -> Float[np.ndarray, " k"]:
    """A vector of finite float64 in a range (InputError)."""
    found = np.asarray(values, np.float64)
    if found.ndim != 1 or not np.isfinite(found).all() or (found < least).any() or (found > most).any():
        raise InputError(f"{name}: got {values!r}; expected a vector of numbers in [{least:g}, {most:g}]")
    return found


def refuse_below(value: Any, least: float | int, name: str, *, strictly: bool = False) -> None:
    """InputError for a plain number that is too small, or none."""
    if isinstance(value, int | float | np.number) and not (value > least if strictly else value >= least):
        raise InputError(f"{name}: got {value}; expected {'more than' if strictly else 'at least'} {least:g}")


def refuse_lengths(**vectors: np.ndarray) -> None:
    """InputError unless all are of one length."""
    if len({len(vector) for vector in vectors.values()}) > 1:
        found = ", ".join(f"{len(vector)} of {name}" for name, vector in vectors.items())
        raise InputError(f"{', '.join(vectors)}: got {found}; each latent has one of each")
