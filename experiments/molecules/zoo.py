"""Which encoders are trained: 150 weak ones over width, depth, heads and training length, and a strong one."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from w2sg_jax.encoders import EncoderConfig
from w2sg_jax.training import PretrainConfig

EDGES = (32, 44, 60)
"""Padded lengths in training."""
BATCH = 64
LONGEST_WEAK, SHORTEST_WEAK = 1200, 100
"""Steps of a weak model's training."""


@dataclass(frozen=True)
class Shape:
    """What equal-shaped encoders have in common."""

    width: int
    depth: int
    heads: int

    @property
    def name(self) -> str:
        """Of the group of models."""
        return f"w{self.width}-d{self.depth}-h{self.heads}"

    def encoder(self, vocabulary: int) -> EncoderConfig:
        """The encoder over a vocabulary of that size."""
        return EncoderConfig(vocabulary, self.width, self.depth, self.heads)

    @property
    def parameters(self) -> int:
        """Weights of the blocks: attention and perceptron, with norms and biases; embeddings are not counted."""
        return self.depth * (12 * self.width**2 + 7 * self.width)

    @property
    def cost(self) -> float:
        """Of a training step, in arbitrary units, for progress bars: it was about milliseconds on two cores."""
        return self.depth * self.width * (0.08 + self.width / 1500)


@dataclass(frozen=True)
class Group:
    """Encoders of one shape that are trained together, on the same batches."""

    shape: Shape
    trainings: tuple[PretrainConfig, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """One for each model."""
        return tuple(f"{self.shape.name}-s{training.steps}" for training in self.trainings)

    @property
    def cost(self) -> float:
        """Of the whole training, in units of ``Shape.cost``."""
        return self.shape.cost * sum(training.steps for training in self.trainings)


@dataclass(frozen=True)
class Zoo:
    """One strong encoder and groups of weak ones."""

    strong: Group
    weak: tuple[Group, ...]

    @property
    def groups(self) -> tuple[Group, ...]:
        """All of them, the strong one first."""
        return (self.strong, *self.weak)

    @cached_property
    def models(self) -> dict[str, tuple[Shape, PretrainConfig]]:
        """name -> shape and training of every weak model."""
        return {
            name: (group.shape, training)
            for group in self.weak
            for name, training in zip(group.names, group.trainings, strict=True)
        }

    @property
    def strong_name(self) -> str:
        """Of the strong model."""
        return self.strong.names[0]


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
    groups = [
        Group(
            Shape(width, depth, heads),
            tuple(_training(width, int(steps), next(seeds)) for steps in lengths(models)),
        )
        for width, depth, heads, models in WEAK_SHAPES
    ]
    strong = Group(Shape(192, 6, 8), (_training(192, 2500, 0),))
    return Zoo(strong, tuple(groups))


def lengths(models: int) -> np.ndarray:
    """Training lengths of the models of a group, evenly spaced in the logarithm."""
    return np.rint(np.geomspace(SHORTEST_WEAK, LONGEST_WEAK, models))


def _training(width: int, steps: int, seed: int) -> PretrainConfig:
    rate = 5e-3 if width < 48 else 3e-3 if width < 96 else 1.5e-3
    return PretrainConfig(steps, BATCH, rate, bucket_edges=EDGES, seed=seed)
