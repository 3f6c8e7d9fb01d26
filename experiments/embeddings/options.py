"""What the command line asks for."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import FlagCreatePairsOff

from .models import TASKS

RESULTS = Path(__file__).parents[1] / "results" / "embeddings"
"""The results in the repository."""


@dataclass(frozen=True)
class Options:
    """The paper's second experiment: frozen representations of texts, ridge heads, every predictor.

    Every layer of the networks, and features that are counted, supervise six strong models on six tasks. Networks are
    fetched from the hub, or read from the disk: --models minilm=DIR smollm2=FILE.gguf. Killed at any time, it goes on
    when called again. About two hours on 2 cores; tables and figures from the trials in the repository take seconds:
    --from-trials. Exit codes: 0 done, 1 trials failed, 2 input that cannot be used, 70 an error in the program,
    130 interrupted.

    Example:
      python -m experiments.embeddings --out embeddings --models minilm=models/minilm mpnet smollm2 gemma
    """

    out: Path = Path("w2sg-embeddings")
    """Folder for representations and records, and for the small results in `results`; made if need be."""
    zoo: Literal["layers", "hub"] = "layers"
    """layers: those of four small networks, which the published results are of. hub: 22 published embedding models
    beside one of seven billion parameters."""
    models: tuple[str, ...] = ()
    """Networks: NAME to fetch it from the hub, NAME=PATH to read a folder or a GGUF file; by default all of the zoo."""
    tasks: tuple[str, ...] = tuple(one.name for one in TASKS)
    """Tasks."""
    data_dir: Path | None = None
    """Folder where published files are looked for before they are fetched (also the environment variable W2SG_DATA)."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of the networks' parameters and arithmetic."""
    splits: int = 3
    """Random splits of the rows of a task into labelled, weakly labelled and test rows (35, 35 and 30%)."""
    seed: int = 0
    """Of the bootstrap."""
    draws: int = 400
    """Bootstrap samples of an interval."""
    workers: int | None = None
    """Processes for the trials; by default one a core: the matrices are small."""
    ray: str | None = None
    """Address of a Ray cluster to run trials on instead: HOST:PORT, "auto", or "local"."""
    retry_failed: Annotated[bool, FlagCreatePairsOff] = False
    """Run trials that failed again."""
    dry_run: Annotated[bool, FlagCreatePairsOff] = False
    """Say what would be extracted, in which memory and time, and stop; of the zoo hub by published shapes, without
    fetching a model."""
    from_trials: Annotated[bool, FlagCreatePairsOff] = False
    """Make tables and figures of the trials in the repository; nothing is fetched or measured."""

    @property
    def results(self) -> Path:
        """Folder of trials, tables and figures, small enough to keep."""
        return self.out / "results"
