"""`w2sg quickstart`: the whole method on bundled molecules."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any

from rich.console import Console
from tyro.conf import FlagCreatePairsOff


@dataclasses.dataclass(frozen=True)
class QuickstartOptions:
    """The whole method on real molecules, offline, in minutes.

    Trains one strong and ten weak encoders on 50 000 molecules (four to eight minutes on 2 cores; kept for
    the next run, and continued if interrupted), lets each weak one supervise the strong one on two measured
    properties, and compares what that cost with what the gap predicted beforehand.

    Example:
      w2sg quickstart --out molecules --splits 20
    """

    out: Path = Path("w2sg-quickstart")
    """Folder for results, figures, representations and trained encoders; made if it is not there."""
    splits: int = 10
    """Random splits of each data set into train, w2s and test parts."""
    seed: int = 0
    """Of the splits and of the bootstrap intervals; the trained encoders do not depend on it."""
    json: Annotated[bool, FlagCreatePairsOff] = False
    """Print one JSON object, with settings, versions and results; tables and progress go to stderr."""


def run(options: QuickstartOptions, tables: Console, progress: Console) -> dict[str, Any]:
    """Runs the quickstart and returns the record of the run; ``tables`` shows its progress too.

    Raises:
        InputError, OSError: input that cannot be used.
    """
    from ..quickstart import QuickstartConfig, run_quickstart
    from ..report.record import record

    settings = {field.name: getattr(options, field.name) for field in dataclasses.fields(QuickstartConfig)}
    result = run_quickstart(QuickstartConfig(**settings), console=tables)
    return record("quickstart", settings, {}, result.to_dict())
