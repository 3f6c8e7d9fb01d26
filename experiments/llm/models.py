"""The language models of the experiment: two networks, cut to their first blocks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from w2sg_jax import InputError


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


def located(models: Sequence[str], networks: Sequence[Network]) -> Mapping[Network, str]:
    """Networks of `NAME` or `NAME=PATH`, and where each is read; all of them from the hub where none is named.

    Raises:
        InputError: a name that there is not, or twice.
    """
    known, found = {one.name: one for one in networks}, {}
    for text in models or tuple(known):
        name, _, path = text.partition("=")
        if name not in known:
            raise InputError(f"models: {name!r} is none of {', '.join(known)}; give NAME, or NAME=PATH")
        if known[name] in found:
            raise InputError(f"models: {name} twice; give each network once")
        found[known[name]] = path or known[name].hub
    return found
