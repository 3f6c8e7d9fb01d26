"""Which encoders are trained: one strong, many weak ones of different shapes and training lengths."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from .._errors import InputError
from ..encoders import EncoderConfig
from .pretrain import PretrainConfig


@dataclass(frozen=True)
class Shape:
    """What equal-shaped encoders have in common."""

    width: int
    """dimension of the representation"""
    depth: int
    """attention blocks"""
    heads: int
    """attention heads"""

    @property
    def name(self) -> str:
        """Width, depth and heads."""
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
class ModelPlan:
    """One encoder to be trained: its shape and its training."""

    width: int
    """dimension of its representation"""
    depth: int
    """attention blocks"""
    heads: int
    """attention heads"""
    training: PretrainConfig
    """how long and how it is trained"""
    naming: str = "w{width}-d{depth}-s{steps}"
    """how its name is made of its numbers; `{heads}` may stand in it too"""

    @property
    def name(self) -> str:
        """What tables, figures and files call the encoder."""
        return self.naming.format(width=self.width, depth=self.depth, heads=self.heads, steps=self.training.steps)

    @property
    def shape(self) -> Shape:
        """Width, depth and heads."""
        return Shape(self.width, self.depth, self.heads)


@dataclass(frozen=True)
class Group:
    """Encoders of one shape that are trained together, on the same batches."""

    plans: tuple[ModelPlan, ...]

    @property
    def shape(self) -> Shape:
        """Of all of them."""
        return self.plans[0].shape

    @property
    def name(self) -> str:
        """Of the model where it is alone, otherwise of the shape."""
        return self.plans[0].name if len(self.plans) == 1 else self.shape.name

    @property
    def names(self) -> tuple[str, ...]:
        """One for each model."""
        return tuple(plan.name for plan in self.plans)

    @property
    def trainings(self) -> tuple[PretrainConfig, ...]:
        """One for each model."""
        return tuple(plan.training for plan in self.plans)

    @property
    def order_seed(self) -> int:
        """Fixes the order of the corpus: a model that is alone has its own, as in ``pretrain``."""
        return self.trainings[0].seed if len(self.plans) == 1 else 0

    @property
    def cost(self) -> float:
        """Of the whole training, in units of ``Shape.cost``."""
        return self.shape.cost * sum(training.steps for training in self.trainings)


def grouped(plans: Iterable[ModelPlan]) -> tuple[Group, ...]:
    """Models that can be trained together: of one shape, their trainings alike but for seed, steps and learning rate.

    Groups come in the order of their first models.
    """
    found: dict[tuple[Shape, PretrainConfig], list[ModelPlan]] = {}
    for plan in plans:
        alike = replace(plan.training, seed=0, steps=1, learning_rate=1.0)
        found.setdefault((plan.shape, alike), []).append(plan)
    return tuple(Group(tuple(members)) for members in found.values())


@dataclass(frozen=True)
class Zoo:
    """One strong model and its candidate supervisors."""

    strong: ModelPlan
    """the model to be supervised"""
    weak: tuple[ModelPlan, ...]
    """the candidate supervisors"""

    def __post_init__(self) -> None:
        names = [plan.name for plan in self.plans]
        if len(set(names)) != len(names):
            raise InputError(f"weak: names must differ, got {names}; change a width, a depth or a number of steps")
        if len(self.weak) < 3:
            raise InputError(f"weak: a rank correlation needs at least 3 weak models, got {len(self.weak)}")

    @property
    def plans(self) -> tuple[ModelPlan, ...]:
        """All models, the strong one first."""
        return (self.strong, *self.weak)

    @property
    def longest(self) -> int:
        """Tokens of the longest molecule that every model can be trained on."""
        return min(plan.training.bucket_edges[-1] for plan in self.plans)
