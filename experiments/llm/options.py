"""What the command line asks for."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import FlagCreatePairsOff

from .models import TASKS

RESULTS = Path(__file__).parents[1] / "results" / "llm"
"""The results in the repository."""


@dataclass(frozen=True)
class Options:
    """The paper's third experiment: language models fine-tuned end to end.

    Weak models are decoders cut to their first blocks, strong ones the whole of them. A weak one is fine-tuned on
    labelled texts and labels others, on which the strong one is fine-tuned; beside it one that sees true labels. Ridge
    and logistic heads on the same models, frozen, stand in the same table, and predictors from representations before
    and after fine-tuning. Networks are fetched from the hub, or read from the disk: --models smollm2=FILE.gguf. Killed
    at any time, it goes on when called again. Exit codes: 0 done, 1 trials failed, 2 input that cannot be used, 70 an
    error in the program, 130 interrupted.

    Example:
      python -m experiments.llm --out llm --models smollm2 --strong smollm2 --tasks amazon
    """

    out: Path = Path("w2sg-llm")
    """Folder for states and records, and for the small results in `results`; made if need be."""
    zoo: Literal["cuts", "hub"] = "cuts"
    """cuts: two small networks cut to their first blocks, which the published results are of. hub: 28 published models
    of 0.1 to 3 billion parameters beside one of seven."""
    models: tuple[str, ...] = ()
    """Networks of weak models: NAME to fetch it from the hub, NAME=PATH to read a folder or a GGUF file; by default
    all."""
    strong: tuple[str, ...] = ()
    """Networks that are strong models, whole; by default smollm2, of the zoo hub the one that is strong alone."""
    tasks: tuple[str, ...] = tuple(one.name for one in TASKS)
    """Tasks."""
    data_dir: Path | None = None
    """Folder where published files are looked for before they are fetched (also the environment variable W2SG_DATA)."""
    rows: int = 500
    """Texts of a task, of which 35, 35 and 30% are labelled, weakly labelled and test rows."""
    splits: int = 3
    """Random splits; each also has another order of texts and other adapters."""
    epochs: int = 3
    """Passes over the texts."""
    batch_size: int = 16
    """Texts a step."""
    learning_rate: float = 1e-3
    """Peak of the schedule."""
    rank: int = 8
    """Of the adapters, which all linear maps of the blocks have; 0 fine-tunes the whole models."""
    labels: tuple[Literal["soft", "hard"], ...] = ("soft",)
    """What the strong model learns from: the weak model's probabilities, or its decisions."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the networks' arithmetic; what learns is float32."""
    workers: int | None = None
    """Processes for the trials; by default one a GPU, or one for every two cores."""
    ray: str | None = None
    """Address of a Ray cluster to run trials on instead: HOST:PORT, "auto", or "local"."""
    retry_failed: Annotated[bool, FlagCreatePairsOff] = False
    """Run trials that failed again."""
    dry_run: Annotated[bool, FlagCreatePairsOff] = False
    """Say what would be trained, with how many operations, and stop; of the zoo hub by published shapes, without
    fetching a model, with steps and memory."""
    from_trials: Annotated[bool, FlagCreatePairsOff] = False
    """Make tables and figures of the trials in the repository; nothing is fetched or trained."""

    @property
    def results(self) -> Path:
        """Folder of trials, tables and figures, small enough to keep."""
        return self.out / "results"
