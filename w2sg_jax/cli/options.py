"""The options that `w2sg gap` and `w2sg rank` share."""

import dataclasses
from typing import Annotated, Any, Literal

from tyro.conf import FlagCreatePairsOff, arg

FILE = arg(metavar="FILE")
FLOAT = arg(metavar="FLOAT")


@dataclasses.dataclass(frozen=True, kw_only=True)
class PairOptions:
    """Of a weak and a strong side, and of the pass over their samples."""

    labels: Annotated[str | None, FILE] = None
    """Labels of the samples, (n,) or (n, columns), if there are any: adds the predicted gap."""
    ridge: float = 1e-2
    """Added to K/n of every model, in units of unit trace (raw units with --scale none)."""
    ridge_weak: Annotated[float | None, FLOAT] = None
    """Ridge on the weak side, if it is another."""
    ridge_strong: Annotated[float | None, FLOAT] = None
    """Ridge on the strong side, if it is another."""
    threshold: float = 0.0
    """Keep directions whose variance is at least this share of the largest; 0 keeps all."""
    center: bool = True
    """Subtract the means of representations and labels."""
    scale: Literal["trace", "none"] = "trace"
    """trace: unit trace, so that a ridge means the same for every model; none: as in the paper."""
    groups: Annotated[str | None, FILE] = None
    """Which samples belong together, one number each: they count as one draw for the intervals."""
    confidence: float = 0.95
    """Of the intervals over samples."""
    precision: Literal["auto", "float64", "float32"] = "auto"
    """Precision of the products over samples; auto: float64 where the device has it at speed, else float32."""
    devices: Annotated[Literal["all"] | None, arg(metavar="{all}")] = None
    """Share the pass over the samples among all devices; by default the CPU, or the first accelerator."""
    checkpoint: Annotated[str | None, arg(metavar="DIR")] = None
    """Save the sums here now and then; a killed run goes on from there. Removed at the end."""
    checkpoint_every: float = 120.0
    """Seconds between two checkpoints."""
    hosts: Annotated[str | None, arg(metavar="{auto,ADDRESS:PORT,INDEX,COUNT}")] = None
    """Share the pass among processes, each started with this command. auto: on Slurm, Open MPI, Cloud TPU."""
    hosts_timeout: int = 300
    """Seconds to wait for all processes of --hosts to start."""
    json: Annotated[bool, FlagCreatePairsOff] = False
    """Print one JSON object, with settings, versions and content hashes; the table goes to stderr."""

    @property
    def ridges(self) -> Any:
        """--ridge alone, or the (weak, strong) pair if a side has its own."""
        if self.ridge_weak is None and self.ridge_strong is None:
            return self.ridge
        return (
            self.ridge if self.ridge_weak is None else self.ridge_weak,
            self.ridge if self.ridge_strong is None else self.ridge_strong,
        )

    @property
    def of_pass(self) -> dict[str, Any]:
        """What `moments` and `rank` are told of the pass."""
        return {
            "center": self.center,
            "dtype": None if self.precision == "auto" else self.precision,
            "devices": self.devices,
            "checkpoint": self.checkpoint,
            "checkpoint_every": self.checkpoint_every,
        }
