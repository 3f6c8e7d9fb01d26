"""The language models of the experiment: two networks, cut to their first blocks."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Network:
    """A decoder, whole or cut to its first blocks.

    Attributes:
        name: in tables.
        hub: where it is published.
        depths: blocks of its weak models; none of a network that is strong alone.
        whole: all its blocks, which a strong model has.
    """

    name: str
    hub: str
    depths: tuple[int, ...]
    whole: int

    def called(self, depth: int) -> str:
        """A weak model in tables, such as "smollm2[:8]"."""
        return self.name if self.depths == (self.whole,) else f"{self.name}[:{depth}]"


NETWORKS = (
    Network("smollm2", "HuggingFaceTB/SmolLM2-135M-Instruct", (2, 4, 8, 12, 16, 20, 24, 30), 30),
    Network("gemma", "google/gemma-3-270m", (2, 4, 8, 12, 16, 18), 18),
)


@dataclass(frozen=True)
class Task:
    """A task as it is run here.

    Attributes:
        name: of ``datasets.load_text``.
        max_length: tokens that longer texts are cut to.
    """

    name: str
    max_length: int


STRONG = ("smollm2",)
"""Networks that are strong models by default."""
TASKS = (Task("amazon", 64), Task("sciq", 64))
