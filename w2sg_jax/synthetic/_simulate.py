"""Many configurations and seeds in one program: draw, fit, measure, predict."""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from .._errors import InputError
from ..numerics.backend import float64, mapped_together
from ._conditions import Conditions, conditions
from ._draw import draw
from ._entries import Entries, gaussian
from ._heads import Measured, Predicted, measure, predict
from ._population import EffectiveRidges, Population, effective_ridges

CHUNK = 64
"""Draws in one call: one program serves any number of configurations and seeds; on an accelerator they are vmapped."""


class Simulation(NamedTuple):
    """One row a configuration, one column a seed; float64."""

    measured: Measured
    """errors of fitted heads"""
    predicted: Predicted
    """the main theorem with the effective ridges beta + gamma"""
    without: Predicted
    """the same with beta alone"""
    conditions: Conditions | None
    """of decomposability, on these draws; None where they were not asked for"""


def stack(populations: Sequence[Population]) -> Population:
    """Populations of equal shapes as one, with a leading axis; pad A with rows of zeros where widths differ.

    Args:
        populations: at least one; tails of one law.

    Raises:
        ValueError: laws or shapes differ, or there are none.
    """
    if not populations:
        raise InputError("populations: empty; pass at least one")
    return jax.tree.map(lambda *leaves: np.stack(leaves).astype(np.float64), *jax.device_get(list(populations)))


def simulate(
    populations: Population,
    ridge_weak: Float[np.ndarray, " configs"],
    ridge_strong: Float[np.ndarray, " configs"],
    *,
    n_train: int,
    n_w2s: int,
    seeds: Sequence[int] = (0,),
    latents: Entries = gaussian,
    check: bool = False,
) -> Simulation:
    r"""Run every configuration with every seed: heads that are really fitted, beside the theorem on the same draw.

    Args:
        populations: from ``stack``.
        ridge_weak, ridge_strong: (configs,) $\beta$ of each configuration, what is added to K/n.
        n_train, n_w2s: samples of D~ and D^; one pair a program.
        seeds: a configuration's draws depend on its place and the seed alone.
        latents: law of the independent coordinates of z.
        check: also compute the conditions of decomposability, which doubles the time.

    Raises:
        InputError: ridges that are negative or not one a population; no seed.

    Returns:
        Simulation, (configs, seeds) in each of its numbers.

    Cost: of a draw with a Gaussian tail about $(\tilde n + \hat n)^3$ flops: 1000 of 300 + 300 samples take less than a
    minute on 2 cores. vmapped on an accelerator, 64 at a time; on a CPU ``lax.map`` runs one draw after the other,
    because there batches of decompositions may wait for each other's threads for ever.
    """
    populations = jax.device_get(populations)
    ridge_weak, ridge_strong = (np.asarray(jax.device_get(ridges)) for ridges in (ridge_weak, ridge_strong))
    configs = _configurations(populations, ridge_weak, ridge_strong)
    if not len(seeds):
        raise InputError("seeds: empty; pass at least one")
    places, draws = (axis.ravel() for axis in np.meshgrid(np.arange(configs), np.asarray(seeds), indexing="ij"))
    size = min(CHUNK, 1 << (len(places) - 1).bit_length())
    chunks = []
    with float64():
        for start in range(0, len(places), size):
            rows = np.minimum(np.arange(start, start + size), len(places) - 1)  # the last one fills up the last chunk
            chosen = places[rows]
            one_each = jax.tree.map(lambda x, chosen=chosen: x[chosen], populations)
            ridges = EffectiveRidges(ridge_weak[chosen], ridge_strong[chosen])
            options = {
                "n_train": n_train,
                "n_w2s": n_w2s,
                "latents": latents,
                "check": check,
                "batch": mapped_together(CHUNK),
            }
            placed = jax.device_put((one_each, ridges, chosen, draws[rows]))
            chunks.append(jax.device_get(_simulate(*placed, **options)))
    return jax.tree.map(lambda *x: np.concatenate(x)[: len(places)].reshape(configs, len(seeds)), *chunks)


def _configurations(populations: Population, *ridges: Float[np.ndarray, " configs"]) -> int:
    """How many there are, the same of all (InputError)."""
    if np.ndim(populations.target) != 2:
        raise InputError("populations: expected the outcome of stack([...]), with a leading axis")
    count = len(populations.target)
    for name, values in zip(("ridge_weak", "ridge_strong"), ridges, strict=True):
        if np.shape(values) != (count,) or not (np.asarray(values) >= 0).all():
            raise InputError(f"{name}: expected one ridge, 0 or more, for each of {count} populations, got {values!r}")
    return count


@partial(jax.jit, static_argnames=("n_train", "n_w2s", "latents", "check", "batch"))
def _simulate(
    populations: Population,
    ridges: EffectiveRidges,
    places: Any,
    seeds: Any,
    *,
    n_train: int,
    n_w2s: int,
    latents: Entries,
    check: bool,
    batch: int | None,
) -> Simulation:
    def one(row: tuple[Population, EffectiveRidges, Any, Any]) -> Simulation:
        p, beta, place, seed = row
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(0), seed), place)
        drawn = draw(key, p, n_train, n_w2s, latents)
        effective = effective_ridges(p, *beta, n_train, n_w2s)
        found = measure(drawn, *beta), predict(drawn, effective), predict(drawn, beta)
        return Simulation(*found, conditions(drawn, effective) if check else None)

    return jax.lax.map(one, (populations, ridges, places, seeds), batch_size=batch)
