"""A language model by its published shape: what it would take, before any file of it is fetched."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from flax import nnx

from .._errors import InputError
from .language_model import FAMILIES

WORDS_TO_TOKENS = 1.4
"""Tokens a word, about, of English texts."""


@dataclass(frozen=True, eq=False)
class Shape:
    """What is known of a model without its files.

    Attributes:
        config: what its ``config.json`` says, as far as shapes go.
    """

    config: Mapping[str, Any]

    @cached_property
    def network(self) -> Any:
        """Our model of it, whose arrays are shapes alone (InputError: an architecture that is not supported)."""
        kind = self.config["model_type"]
        known = next((one for one in FAMILIES if kind in one[0].MODEL_TYPES), None)
        if known is None:
            raise InputError(f"config: the architecture {kind!r} is not supported")
        family, make = known
        found = family.config_of(dict(self.config))
        return nnx.eval_shape(lambda: make(found, rngs=nnx.Rngs(0)))

    @property
    def parameters(self) -> int:
        """Without heads."""
        return sum(leaf.size for _, leaf in nnx.to_flat_state(nnx.state(self.network)))

    @property
    def embedding(self) -> int:
        """Parameters that tokens are looked up in."""
        return self.network.config.vocabulary * self.network.config.width

    def flops(self, lengths: Sequence[int]) -> float:
        """Of a pass over texts of so many tokens: two a token and parameter of the blocks, and attention."""
        width, depth = self.network.config.width, self.network.config.depth
        blocks = self.parameters - self.embedding
        return float(sum(2 * blocks * length + 4 * depth * width * length**2 for length in lengths))
