"""What the command line asks for."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import FlagCreatePairsOff

RESULTS = Path(__file__).parents[1] / "results" / "leaderboard"
"""The results in the repository."""


@dataclass(frozen=True)
class Options:
    """Hold every predictor against the measured errors, with the trained molecular zoo of the repository.

    150 weak encoders supervise a larger one on ESOL, FreeSolv and Lipophilicity, over random splits, with two kinds of
    heads: of ridge 1e-4, and with ridges chosen by leave-one-out. Killed, it goes on when called again.

    FreeSolv and Lipophilicity are bundled; ESOL is fetched once, or read from --data-dir (also the environment
    variable W2SG_DATA). Exit codes: 0 done, 1 trials failed, 2 input that cannot be used, 70 an error in the program,
    130 interrupted.

    Example:
      python -m experiments.leaderboard --out leaderboard
    """

    out: Path = Path("w2sg-leaderboard")
    """Folder for representations and records, and for the small results in `results`; made if need be."""
    sets: tuple[str, ...] = ("ESOL", "FreeSolv", "Lipophilicity")
    """Labelled sets."""
    data_dir: Path | None = None
    """Folder where published files are looked for before they are fetched."""
    splits: int = 20
    """Random splits of each set into train, w2s and test parts (40, 40 and 20%), as in the molecular experiment."""
    splits_of_all: int = 5
    """Of these the first, on which costly predictors are computed too: label-free ones differ little between splits."""
    seed: int = 0
    """Of the splits and of the bootstrap."""
    draws: int = 2000
    """Bootstrap samples of an interval."""
    workers: int | None = None
    """Processes for the trials; by default one a core: the matrices are small."""
    retry_failed: Annotated[bool, FlagCreatePairsOff] = False
    """Run trials that failed again."""

    @property
    def results(self) -> Path:
        """Folder of the table and figures, small enough to keep."""
        return self.out / "results"
