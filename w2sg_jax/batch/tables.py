"""Records as tables to read."""

from collections import Counter
from collections.abc import Sequence
from itertools import takewhile
from pathlib import PurePath
from typing import Any

import rich.table
from rich.console import Console
from rich.markup import escape

from .execute import DONE, FAILED
from .records import flat
from .run import Results

MOST_COLUMNS = 10
WIDEST = 48


def overview(records: Sequence[dict[str, Any]], *, planned: int) -> str:
    """How many trials there are of each kind, in one line."""
    counts = Counter(record["status"] for record in records)
    left = planned - counts[DONE] - counts[FAILED]
    return f"{counts[DONE]} done, {counts[FAILED]} failed" + (f", {left} left" if left > 0 else "")


def told_failures(results: Results, console: Console) -> bool:
    """Whether trials failed; then how many, why the first did, and what runs them again are printed."""
    if not results.failed:
        return False
    console.print(overview(results.records, planned=len(results.records)))
    console.print(results.failed[0]["error"], markup=False)
    console.print("--retry-failed runs them again", markup=False)
    return True


def table(records: Sequence[dict[str, Any]], *, most: int = 40) -> rich.table.Table:
    """What differs between the configurations, and what came out, a row a trial."""
    rows = [flat(record) for record in records]
    names = list(dict.fromkeys(name for row in rows for name in row))
    settings = [name for name in names if name.startswith("config.") and _differs(rows, name)]
    results = [name for name in names if name.startswith("result.") and not _is_long(rows, name)]
    shown = [*settings, *results][:MOST_COLUMNS]
    made = rich.table.Table(caption=_caption(len(rows) - most, len(settings) + len(results) - len(shown)))
    for heading in ("trial", "status", *(name.partition(".")[2] for name in shown)):
        made.add_column(escape(heading), justify="left" if heading in ("trial", "status") else "right")
    columns = [[_cell(value) for value in _short([row.get(name) for row in rows])] for name in shown]
    for row, *cells in list(zip(rows, *columns, strict=True))[:most]:
        made.add_row(row["id"][:8], row["status"], *cells)
    return made


def _short(values: list[Any]) -> list[Any]:
    """Paths without the folders and the ending that all of them have in common."""
    if len(values) < 2 or not all(isinstance(value, str) for value in values):
        return values
    paths = [PurePath(value) for value in values]
    levels = zip(*(path.parts[:-1] for path in paths), strict=False)
    shared = len(list(takewhile(lambda level: len(set(level)) == 1, levels)))
    if not shared:
        return values
    endings = {path.suffix for path in paths}
    ending = endings.pop() if len(endings) == 1 else ""
    return [str(PurePath(*path.parts[shared:])).removesuffix(ending) for path in paths]


def _differs(rows: list[dict[str, Any]], name: str) -> bool:
    return len({str(row.get(name)) for row in rows}) > 1


def _is_long(rows: list[dict[str, Any]], name: str) -> bool:
    return any(isinstance(row.get(name), list) for row in rows)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return escape(text if len(text) <= WIDEST else f"{text[: WIDEST - 1]}…")


def _caption(rows: int, columns: int) -> str | None:
    left = [f"{count} more {what}" for count, what in ((rows, "trials"), (columns, "columns")) if count > 0]
    return f"{' and '.join(left)}: --json has them all" if left else None
