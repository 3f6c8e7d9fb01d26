"""Which encoders the quickstart trains: one strong, many weak ones of different sizes and training lengths."""

from dataclasses import dataclass

from .._errors import InputError
from ..encoders import EncoderConfig
from ..training import PretrainConfig


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


def _plan(width: int, depth: int, heads: int, steps: int, seed: int, *, rate: float = 5e-3) -> ModelPlan:
    return ModelPlan(width, depth, heads, PretrainConfig(steps, 64, rate, bucket_edges=(40, 52), seed=seed))


DEFAULT_ZOO = Zoo(
    strong=_plan(96, 4, 6, 900, 0, rate=2e-3),
    weak=(
        _plan(8, 1, 2, 600, 1),
        _plan(8, 2, 2, 150, 2),
        _plan(12, 1, 2, 400, 3),
        _plan(16, 1, 2, 300, 4),
        _plan(16, 2, 2, 600, 5),
        _plan(24, 2, 3, 400, 6),
        _plan(32, 1, 4, 200, 7),
        _plan(32, 2, 4, 600, 8),
        _plan(48, 2, 4, 400, 9, rate=3e-3),
        _plan(64, 2, 4, 400, 10, rate=3e-3),
    ),
)
"""About seven minutes of training on 2 cores."""
