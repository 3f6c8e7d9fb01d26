"""`w2sg bench`: what this machine reaches, beside its limit."""

import dataclasses
from typing import Annotated, Any

from rich.console import Console
from tyro.conf import FlagCreatePairsOff

from ..terminal.progress import progress_bar


@dataclasses.dataclass(frozen=True)
class BenchOptions:
    """What this machine reaches, beside its own limit: under a minute on 2 idle cores.

    Measures how fast matrices are multiplied here and how fast memory is read, then how fast moments are
    accumulated from samples in memory and on disk, and how long one gap takes. A pass over n samples costs
    n (d_weak + d_strong)^2 operations (on an accelerator 6 n d^2 at equal widths), so its share of the
    matrix-product rate tells how much faster it could be at all. Wide representations should be bound by
    products; narrow ones are bound by memory traffic.

    Other work on the machine lowers the numbers: compare them when it is idle.

    Example:
      w2sg bench --json > bench.json
    """

    json: Annotated[bool, FlagCreatePairsOff] = False
    """Print one JSON object, with versions, device and results; the table goes to stderr."""


def run(options: BenchOptions, tables: Console, progress: Console) -> dict[str, Any]:
    """Measures the machine, prints the verdict and returns the record of the run."""
    from ..bench import Sizes, short_bench
    from ..report.record import record
    from ..report.tables import bench_table

    with progress_bar(progress, "measuring") as report:
        result = short_bench(Sizes(), report)
    tables.print(bench_table(result))
    for line in result["sentences"]:
        tables.print(line, highlight=False, soft_wrap=True)
    gap = result["gap"]
    tables.print(
        f"one gap of ({gap['d']}, {gap['d']}) from its moments takes {gap['seconds']:.2f} s, as long as the moments of"
        f" {gap['samples_in_that_time']} samples",
        highlight=False,
        soft_wrap=True,
    )
    for line in result["advice"]:
        tables.print(f"advice: {line}", highlight=False, soft_wrap=True)
    return record("bench", dataclasses.asdict(options), {}, result)
