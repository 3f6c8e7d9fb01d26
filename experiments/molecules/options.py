"""What the command line asks for."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import FlagCreatePairsOff

PUBLISHED = Path(__file__).parents[1] / "results" / "molecules"
"""The trained zoo and the results in the repository."""


@dataclass(frozen=True)
class Options:
    """Experiment I of the paper, on molecules: 150 small transformers supervise a larger one.

    Pretrains the zoo (an hour and more on two cores; killed, it goes on when called again, at most 50 steps back),
    lets each weak encoder supervise the strong one on ESOL, FreeSolv and Lipophilicity, and correlates what that
    cost with what each predictor said beforehand. With --from-zoo nothing is trained: the encoders, and what was
    measured with them, come from the repository, and tables and figures are made in seconds; with --measure as well,
    everything is measured again (13 minutes on 2 cores).

    FreeSolv, Lipophilicity and a sample of MOSES are bundled; ESOL, MOSES and GuacaMol are fetched once, or read from
    --data-dir (also the environment variable W2SG_DATA). Exit codes: 0 done, 1 trials failed, 2 input that cannot
    be used, 70 an error in the program, 130 interrupted.

    Example:
      python -m experiments.molecules --from-zoo --out molecules
    """

    out: Path = Path("w2sg-molecules")
    """Folder for encoders, representations and records, and for the small results in `results`; made if need be."""
    from_zoo: Annotated[bool, FlagCreatePairsOff] = False
    """Take the trained encoders of the repository, and what was measured with them at these splits and this seed."""
    measure: Annotated[bool, FlagCreatePairsOff] = False
    """With --from-zoo: run the encoders and the trials again."""
    zoo: Path = PUBLISHED
    """Folder of the trained zoo that --from-zoo reads."""
    sets: tuple[str, ...] = ("ESOL", "FreeSolv", "Lipophilicity")
    """Labelled sets."""
    corpus: str = "moses"
    """To pretrain on: moses, guacamol, moses-sample (bundled, 50 000 molecules), or a file of SMILES."""
    data_dir: Path | None = None
    """Folder where published files are looked for before they are fetched."""
    splits: int = 20
    """Random splits of each set into train, w2s and test parts (40, 40 and 20%)."""
    seed: int = 0
    """Of the splits and of the bootstrap."""
    workers: int | None = None
    """Processes for the trials; by default one a GPU, or one a core: the matrices are small."""
    ray: str | None = None
    """Run the trials on the Ray cluster at this address instead."""
    retry_failed: Annotated[bool, FlagCreatePairsOff] = False
    """Run trials that failed again."""
    retrain_damaged: Annotated[bool, FlagCreatePairsOff] = False
    """Train a group of models again when a file of it is damaged; without it, the file is named and the run ends."""

    @property
    def results(self) -> Path:
        """Folder of the zoo, tables and figures, small enough to keep."""
        return self.out / "results"

    @property
    def trained(self) -> Path:
        """Folder of the zoo's files, once they are there."""
        return self.zoo if self.from_zoo else self.results
