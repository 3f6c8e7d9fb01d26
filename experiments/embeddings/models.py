"""The representations of the experiment: layers of networks, and features that are counted without one."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Network:
    """A network whose layers are candidates.

    Attributes:
        name: in tables.
        hub: where it is published.
        pools: how tokens become one row.
        own: whether there is one candidate, which the model's own pipeline gives, in the place of layers.
        prompt: before each text, which the model's makers ask for; or None.
    """

    name: str
    hub: str
    pools: tuple[str, ...]
    own: bool = False
    prompt: str | None = None

    def keys(self, depth: int) -> list[tuple[int, str]]:
        """Layers with poolings.

        The embedding of the last token says little of the text: layer 0 is pooled by its mean alone.
        """
        return [(layer, pool) for pool in self.pools for layer in range(depth + 1) if layer or pool == "mean"]


NETWORKS = (
    Network("paraphrase", "sentence-transformers/paraphrase-MiniLM-L3-v2", ("mean",)),
    Network("minilm", "sentence-transformers/all-MiniLM-L6-v2", ("mean",)),
    Network("e5", "intfloat/multilingual-e5-small", ("mean",), prompt="query: "),
    Network("mpnet", "sentence-transformers/all-mpnet-base-v2", ("mean",)),
    Network("smollm2", "HuggingFaceTB/SmolLM2-135M-Instruct", ("mean", "last")),
    Network("gemma", "google/gemma-3-270m", ("mean", "last")),
)
STRONG = ("minilm#6:mean", "mpnet#12:mean", "smollm2#15:mean", "smollm2#20:last", "gemma#11:last", "gemma#17:last")
"""Strong models: of each network a layer that carries much, of decoders a middle and a late one."""


@dataclass(frozen=True)
class Task:
    """A task as it is run here.

    Attributes:
        name: of ``datasets.load_text``.
        rows: taken, at most; a third of them and more are labelled, as many are weakly labelled, the rest is the test.
        max_length: tokens that longer texts are cut to.
    """

    name: str
    rows: int
    max_length: int


TASKS = (
    Task("justice", 2400, 128),
    Task("sciq", 2400, 128),
    Task("commonsense", 1800, 128),
    Task("amazon", 1800, 128),
    Task("cosmos_qa", 1000, 256),
    Task("boolq", 1000, 256),
)
"""Fewer rows where texts are long: a pass costs what its tokens do."""


def called(network: Network, key: tuple[int, str]) -> str:
    """A representation in tables, such as "smollm2#20:last"."""
    return network.name if network.own else f"{network.name}#{key[0]}:{key[1]}"


def family(representation: str) -> str:
    """What representations have in common that are much alike: one network and pooling, or one kind of features."""
    network = network_of(representation)
    _, _, pool = representation.partition(":")
    return f"{network}, {pool}" if pool else network


def network_of(representation: str) -> str:
    """The network, or kind of features, of "smollm2#20:last"."""
    return representation.partition("#")[0]
