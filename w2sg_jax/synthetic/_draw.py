"""Draws from a population: in kernel form, where the tail's dimension costs nothing, or as arrays."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ..numerics.backend import float64
from ..numerics.linalg import product
from ..numerics.settings import own_settings
from ._entries import Entries, gaussian
from ._population import Population
from ._tails import Grams


class Draw(NamedTuple):
    """Samples of D~ (train) and D^ (w2s): principal parts and labels, tails as Gram matrices (None: no tail)."""

    population: Population
    weak_train: Float[Array, "n_train k_weak"]
    weak_w2s: Float[Array, "n_w2s k_weak"]
    strong_w2s: Float[Array, "n_w2s k_strong"]
    y_train: Float[Array, " n_train"]
    y_w2s: Float[Array, " n_w2s"]
    tail_weak: Grams | None
    """of both splits together, those of D~ first"""
    tail_strong: Grams | None
    """of D^"""


class Samples(NamedTuple):
    """Samples as arrays: principal columns first, then the tail."""

    weak: Float[np.ndarray, "n d_weak"]
    strong: Float[np.ndarray, "n d_strong"]
    y: Float[np.ndarray, " n"]


@own_settings()
def draw(key: Array, p: Population, n_train: int, n_w2s: int, latents: Entries = gaussian) -> Draw:
    r"""Draw both splits in kernel form: pure, for jit, vmap and ``lax.map``; in the precision that is switched on.

    Args:
        key: of the random numbers.
        p: the population, a single one.
        n_train, n_w2s: samples of D~ and D^.
        latents: law of the independent coordinates of z.

    Cost: that of the tails' Gram matrices, $(\tilde n + \hat n)^3 / 3$ for Gaussian ones.
    """
    p, keys = jax.tree.map(jnp.asarray, p), jax.random.split(key, 4)
    z = latents(keys[0], (n_train + n_w2s, p.target.shape[0]))
    y = product(z, p.target) + p.noise * gaussian(keys[1], (len(z),))
    return Draw(
        p,
        product(z[:n_train], p.weak.T),
        product(z[n_train:], p.weak.T),
        product(z[n_train:], p.strong.T),
        y[:n_train],
        y[n_train:],
        p.tail_weak.grams(keys[2], len(z)),
        p.tail_strong.grams(keys[3], n_w2s),
    )


@own_settings()
def samples(key: Array, p: Population, n: int, latents: Entries = gaussian) -> Samples:
    """Draw n samples as float64 arrays, for ``moments``, ``decomposability`` or ``weak_to_strong``.

    Args:
        key: of the random numbers.
        p: the population, a single one.
        n: samples.
        latents: law of the independent coordinates of z.

    Returns:
        Samples: weak (n, d_weak), strong (n, d_strong) and labels (n,); neither centred nor scaled.

    Cost: memory $n (d_w + d_s)$.
    """
    with float64():
        made: tuple[Any, ...] = _arrays(key, p, n, latents)
        return Samples(*jax.device_get(made))


def _arrays(key: Array, p: Population, n: int, latents: Entries) -> tuple[Array, Array, Array]:
    p, keys = jax.tree.map(jnp.asarray, p), jax.random.split(key, 4)
    z = latents(keys[0], (n, p.target.shape[0]))
    weak, strong = (
        jnp.concatenate([product(z, a.T), tail.rows(tail_key, n)], axis=1)
        for a, tail, tail_key in ((p.weak, p.tail_weak, keys[1]), (p.strong, p.tail_strong, keys[2]))
    )
    return weak, strong, product(z, p.target) + p.noise * gaussian(keys[3], (n,))
