"""Which encoders are trained: 150 weak ones over width, depth, heads and training length, and a strong one."""

import numpy as np

from w2sg_jax.training import PretrainConfig
from w2sg_jax.training.zoo import ModelPlan, Zoo

EDGES = (32, 44, 60)
"""Padded lengths in training."""
BATCH = 64
LONGEST_WEAK, SHORTEST_WEAK = 1200, 100
"""Steps of a weak model's training."""
NAMING = "w{width}-d{depth}-h{heads}-s{steps}"
"""Of a model; its name in the published zoo and trials."""
WEAK_SHAPES = (
    # width, depth, heads, models
    (8, 1, 1, 6),
    (8, 2, 2, 6),
    (8, 4, 4, 6),
    (8, 8, 2, 5),
    (12, 1, 2, 6),
    (12, 2, 3, 6),
    (12, 4, 2, 6),
    (12, 8, 3, 5),
    (16, 1, 2, 6),
    (16, 2, 4, 6),
    (16, 4, 8, 6),
    (16, 8, 4, 5),
    (24, 1, 3, 6),
    (24, 2, 4, 6),
    (24, 4, 6, 6),
    (24, 8, 3, 3),
    (32, 1, 2, 6),
    (32, 2, 4, 6),
    (32, 4, 8, 5),
    (32, 6, 4, 4),
    (48, 1, 4, 6),
    (48, 2, 6, 5),
    (48, 4, 8, 3),
    (64, 1, 4, 6),
    (64, 2, 8, 4),
    (64, 3, 4, 3),
    (96, 1, 6, 4),
    (96, 2, 8, 3),
    (128, 1, 8, 3),
    (128, 2, 4, 2),
)
"""150 models; wide and deep ones are fewer, so that the weights of all of them stay small on disk."""


def paper_zoo() -> Zoo:
    """The zoo of the experiment, 150 weak encoders, and a strong one of 192 x 6."""
    seeds = iter(range(1, 1000))
    weak = tuple(
        _plan(width, depth, heads, int(steps), next(seeds))
        for width, depth, heads, models in WEAK_SHAPES
        for steps in lengths(models)
    )
    return Zoo(_plan(192, 6, 8, 2500, 0), weak)


def lengths(models: int) -> np.ndarray:
    """Training lengths of the models of a shape, evenly spaced in the logarithm."""
    return np.rint(np.geomspace(SHORTEST_WEAK, LONGEST_WEAK, models))


def _plan(width: int, depth: int, heads: int, steps: int, seed: int) -> ModelPlan:
    rate = 5e-3 if width < 48 else 3e-3 if width < 96 else 1.5e-3
    training = PretrainConfig(steps, BATCH, rate, bucket_edges=EDGES, seed=seed)
    return ModelPlan(width, depth, heads, training, NAMING)
