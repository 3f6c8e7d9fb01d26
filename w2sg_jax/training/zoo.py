"""Which encoders the quickstart trains: one strong, many weak ones of different sizes and training lengths."""

from dataclasses import dataclass

from .._errors import InputError
from ..encoders import EncoderConfig
from . import PretrainConfig


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

    @property
    def name(self) -> str:
        """What tables, figures and files call the encoder: width, depth and training steps."""
        return f"w{self.width}-d{self.depth}-s{self.training.steps}"

    def encoder(self, vocabulary: int) -> EncoderConfig:
        """The shape of the encoder over a vocabulary of that size."""
        return EncoderConfig(vocabulary, self.width, self.depth, self.heads)

    @property
    def cost(self) -> int:
        """Training cost in arbitrary units, for progress bars: molecules times work a molecule."""
        return self.training.steps * self.training.batch_size * self.depth * (self.width + 30) * self.width


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
