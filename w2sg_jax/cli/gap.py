"""`w2sg gap`: one weak and one strong model."""

import dataclasses
from typing import Annotated, Any, Literal

from rich.console import Console
from tyro.conf import FlagCreatePairsOff, Positional, arg

from .._errors import InputError
from ..terminal.progress import progress_bar

FILE = arg(metavar="FILE")
FLOAT = arg(metavar="FLOAT")


@dataclasses.dataclass(frozen=True)
class GapOptions:
    """How much of a strong model's potential one weak supervisor would cost, told from representations.

    Row i of every file belongs to sample i. The samples are those that the weak model would label; no
    training takes place. The gap norm |P_s (I - P_w)| is the largest share of a direction that the strong
    model can express and the weak one cannot: near 0 the weak model covers the strong one, near 1 something
    is lost entirely. With labels, the predicted gap |P_s (I - P_w) y|^2 / n is the expected squared
    distance between the strong model trained on weak labels and the same model trained on true ones, in
    squared label units.

    The ridge is what is added to K/n, K being the kernel of representations that are centred and scaled to
    unit trace (K/n has trace 1). It is the weight decay of the heads: 0.01 means that directions with much
    less than 1% of the variance count as not learnable.

    Files: .safetensors, .npy, .npz, .parquet or .arrow, or a folder of shards; FILE::name chooses one array
    or column of several. What is larger than memory is read as it is needed.

    Example:
      w2sg gap minilm.npy llama.npy --labels y.npy --ridge 1e-3
    """

    weak: Annotated[Positional[str], arg(metavar="WEAK")]
    """Representations of the samples by the weak model, (n, d_weak)."""
    strong: Annotated[Positional[str], arg(metavar="STRONG")]
    """Representations of the same samples by the strong model, (n, d_strong)."""
    labels: Annotated[str | None, FILE] = None
    """Labels of the samples, (n,) or (n, columns)."""
    ridge: float = 1e-2
    """Added to K/n of both models, in units of unit trace (raw units with --scale none)."""
    ridge_weak: Annotated[float | None, FLOAT] = None
    """Ridge of the weak model, if it is another."""
    ridge_strong: Annotated[float | None, FLOAT] = None
    """Ridge of the strong model, if it is another."""
    threshold: float = 0.0
    """Keep directions whose variance is at least this share of the largest; 0 keeps all."""
    center: bool = True
    """Subtract the means of representations and labels."""
    scale: Literal["trace", "none"] = "trace"
    """trace: unit trace, so that a ridge means the same for every model; none: as in the paper."""
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
    scores: Annotated[str | None, FILE] = None
    """Write |P_s (I - P_w) y| of every sample here, (n,): which samples carry the loss. Needs --labels."""
    json: Annotated[bool, FlagCreatePairsOff] = False
    """Print one JSON object, with settings, versions and content hashes; the table goes to stderr."""


def ridges(options: Any) -> float | tuple[float, float]:
    """--ridge alone, or the (weak, strong) pair if a model has its own."""
    if options.ridge_weak is None and options.ridge_strong is None:
        return options.ridge
    return (
        options.ridge if options.ridge_weak is None else options.ridge_weak,
        options.ridge if options.ridge_strong is None else options.ridge_strong,
    )


def run(options: GapOptions, tables: Console, progress: Console) -> dict[str, Any]:
    """Computes the gap, prints its table and returns the record of the run.

    Raises:
        InputError, OSError: input that cannot be used.
    """
    if options.scores and not options.labels:
        raise InputError("--scores needs --labels: a sample's score is |P_s (I - P_w) y|")
    import w2sg_jax as w2sg

    from .. import store
    from ..numerics.checks import as_samples
    from ..report.record import record
    from ..report.tables import gap_table, print_warnings
    from ..theory.scores import scores_of
    from .files import described, read, refuse_input

    locations = {"weak": options.weak, "strong": options.strong, "labels": options.labels}
    if options.scores:
        store.check_target(options.scores)
        refuse_input(options.scores, [location for location in locations.values() if location], "--scores")
    arrays = {role: (location, read(location)) for role, location in locations.items() if location}
    weak, strong = arrays["weak"][1], arrays["strong"][1]
    labels = arrays["labels"][1] if options.labels else None
    with progress_bar(progress, "samples") as report:
        m = w2sg.moments(
            weak,
            strong,
            labels,
            center=options.center,
            dtype=None if options.precision == "auto" else options.precision,
            devices=options.devices,
            checkpoint=options.checkpoint,
            checkpoint_every=options.checkpoint_every,
            progress=report,
        )
    with progress.status("computing the gap"):
        gap = w2sg.gap(m, ridges(options), options.threshold, scale=options.scale)
    tables.print(gap_table(gap, options.weak, options.strong))
    print_warnings(progress, gap.warnings)
    if options.scores and labels is not None:
        with progress.status("scoring the samples"):
            scores = scores_of(m, as_samples(strong, "strong"), ridges(options), options.threshold, scale=options.scale)
            store.save(options.scores, scores)
        progress.print(f"wrote {options.scores}", markup=False, highlight=False, soft_wrap=True)
    inputs = described(arrays) if options.json else {}
    return record("gap", dataclasses.asdict(options), inputs, gap.to_dict())
