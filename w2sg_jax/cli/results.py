"""`w2sg results`: what a batch run has come to, finished or not."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from rich.console import Console
from tyro.conf import FlagCreatePairsOff, Positional


@dataclass(frozen=True)
class ResultsOptions:
    """Shows a run of trials, while it runs or later: how many are done, failed and left, and what came out.

    The folder is the --out of an experiment. Nothing in it is changed. Columns are the settings in which trials
    differ, and their results; --json prints every record whole. The folder's records.parquet, once there, has the
    same for pandas, polars or DuckDB.

    Example:
      w2sg results runs/theory
    """

    folder: Positional[Path]
    """Folder of the run."""
    failed: Annotated[bool, FlagCreatePairsOff] = False
    """Show only trials that failed, with their tracebacks."""
    all: Annotated[bool, FlagCreatePairsOff] = False
    """Show also trials that the last run did not ask for: of other settings, an older version, or other inputs."""
    rows: int = 40
    """Rows of the table, at most."""
    json: Annotated[bool, FlagCreatePairsOff] = False
    """Print one JSON object to stdout and everything else to stderr."""


def run(options: ResultsOptions, out: Console, progress: Console) -> dict[str, Any]:
    """Print the tables and return the records."""
    from ..batch.execute import FAILED
    from ..batch.records import Records
    from ..batch.tables import overview, table
    from ..numerics.checks import as_count

    as_count(options.rows, "rows", 1)
    records = Records(options.folder)
    planned = records.planned().get("trials", [])
    known = records.all()
    left = [one for one in planned if one not in known]
    order = {one: place for place, one in enumerate(planned)}
    rows = sorted(known.values(), key=lambda record: order.get(record["id"], len(order)))
    asked = [record for record in rows if record["id"] in order or not order]
    if not options.all and len(asked) < len(rows):
        others, rows = len(rows) - len(asked), asked
        out.print(
            f"{others} more records, of other settings, versions or inputs than the last run's: --all", markup=False
        )
    out.print(overview(rows, planned=len(rows) + len(left)))
    shown = [row for row in rows if row["status"] == FAILED] if options.failed else rows
    if shown:
        out.print(table(shown, most=options.rows))
    if options.failed:
        for row in shown:
            out.print(f"{row['id']} {row['config']}\n{row['error']}", markup=False, soft_wrap=True)
    return {"folder": str(options.folder), "planned": len(rows) + len(left), "records": shown}
