"""`w2sg gap`: one weak and one strong model."""

import dataclasses
from typing import Annotated, Any

from rich.console import Console
from tyro.conf import Positional, arg

from .._errors import InputError
from ..terminal.progress import progress_bar
from .options import FILE, PairOptions


@dataclasses.dataclass(frozen=True)
class GapOptions(PairOptions):
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
    scores: Annotated[str | None, FILE] = None
    """Write |P_s (I - P_w) y| of every sample here, (n,): which samples carry the loss. Needs --labels."""


def run(options: GapOptions, tables: Console, progress: Console) -> dict[str, Any]:
    """Computes the gap, prints its table and returns the record of the run.

    Raises:
        InputError, OSError: input that cannot be used.
    """
    if options.scores and not options.labels:
        raise InputError("--scores needs --labels: a sample's score is |P_s (I - P_w) y|")
    from .. import store
    from ..report.record import record
    from ..report.tables import gap_table, print_warnings
    from ..second_moments.from_arrays import PassOptions
    from ..theory.scores import influence_of
    from .files import described, read, refuse_input

    locations = {role: getattr(options, role) for role in ("weak", "strong", "labels", "groups")}
    if options.scores:
        store.check_target(options.scores)
        refuse_input(options.scores, [location for location in locations.values() if location], "--scores")
    arrays = {role: (location, read(location)) for role, location in locations.items() if location}
    weak, strong = arrays["weak"][1], arrays["strong"][1]
    labels = arrays["labels"][1] if options.labels else None
    with progress_bar(progress, "samples") as report:
        found = influence_of(
            weak,
            strong,
            labels,
            options.ridges,
            options.threshold,
            groups=arrays["groups"][1] if options.groups else None,
            confidence=options.confidence,
            scale=options.scale,
            options=PassOptions(**options.of_pass, progress=report),
        )
    with progress.status("all singular values"):
        table = gap_table(found, options.weak, options.strong)
    tables.print(table)
    print_warnings(progress, found.warnings)
    if options.scores and found.scores is not None:
        store.save(options.scores, found.scores)
        progress.print(f"wrote {options.scores}", markup=False, highlight=False, soft_wrap=True)
    inputs = described(arrays) if options.json else {}
    result = found.gap.to_dict() | {"intervals": found.intervals, "confidence": found.confidence}
    return record("gap", dataclasses.asdict(options), inputs, result | {"warnings": list(found.warnings)})
