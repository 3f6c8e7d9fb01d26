"""`w2sg datasets`: labelled texts, known by name or of one's own: what is in them, as models are to read them."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from rich.console import Console
from tyro.conf import FlagCreatePairsOff, Positional, arg

from .._errors import InputError
from .texts import OWN, TextOptions, text_set_of

if TYPE_CHECKING:
    import numpy as np

    from ..datasets import TextSet

SHOWN_CHARACTERS = 400
"""Of an example; a longer one is cut in its middle, since answers stand at the end."""
REPORTED = (
    *("name", "rows", "groups", "classes", "positive", "balance", "majority_error", "duplicates", "repeats"),
    *("contradictions", "licence", "template"),
)
"""Fields of a ``TextSet`` that stand in the record."""


@dataclasses.dataclass(frozen=True)
class DatasetsOptions(TextOptions):
    """Labelled texts: how many, how balanced, how they would be split, and the prompts that models read.

    Without a name, the data sets that are known. With one of their names, or with a file of your own and
    --label, that one: rows, groups that no split parts, classes, the error of always naming the larger class,
    rows that repeat an earlier one, the split by hash, the template of the prompt, and rows as they come out
    of it. Control characters and what turns the direction of writing are shown as escapes.

    Files of your own: CSV, TSV, JSON lines, Parquet, Arrow, or a folder of datasets' save_to_disk.

    Example:
      w2sg datasets sciq --data-dir data --show 4
      w2sg datasets mine.csv --template "{question} {passage}" --label answer --group passage
    """

    name: Annotated[Positional[str | None], arg(metavar="[NAME|FILE]")] = None
    """A data set that is known by name, or a file or folder of your own."""
    show: int = 4
    """Rows that are shown."""
    n: Annotated[int | None, arg(metavar="INT")] = None
    """Rows in the split, at most."""
    seed: int = 0
    """Of the split."""
    json: Annotated[bool, FlagCreatePairsOff] = False
    """Print one JSON object to stdout and everything else to stderr."""


def run(options: DatasetsOptions, tables: Console, progress: Console) -> dict[str, Any]:
    """Prints what is known of all data sets, or of one, and returns it; with --json, the record of the run.

    Raises:
        InputError, OSError: a name, a file or its content that cannot be used.
    """
    if options.show < 0:
        raise InputError(f"--show: got {options.show}; expected a number of rows, 0 or more")
    if options.name is None:
        if given := [name for name in OWN if getattr(options, name)]:
            raise InputError(f"--{given[0]}: which file? Name it: w2sg datasets FILE --{given[0]} ...")
        result = _overview(tables)
    else:
        result = _one(options, options.name, tables)
    if not options.json:
        return result
    from ..report.record import record

    return record("datasets", dataclasses.asdict(options), _inputs(options), result)


def _inputs(options: DatasetsOptions) -> dict[str, Any]:
    """Where the texts were, and the hash of each file."""
    from ..datasets.tasks import TASKS
    from ..store.content import path_hash

    if options.name is None:
        return {}
    if options.name in TASKS:
        files = TASKS[options.name].form(options.data_dir).files
        return {file.path: {"source": file.source, "hash": file.hash or file.archive_hash} for file in files}
    return {"file": {"location": options.name, "hash": f"sha256:{path_hash(Path(options.name))}"}}


def _overview(tables: Console) -> dict[str, Any]:
    """All data sets that are known by name."""
    from ..datasets import TASKS
    from ..report.tables import table

    headings = ("name", "data set", "rows", "0 and 1", "licence", "rows are", "from")
    rows = [
        (task.name, task.title, str(task.size), ", ".join(task.classes), task.licence, task.selection, task.source)
        for task in TASKS.values()
    ]
    tables.print(table("Texts that are known by name", headings, rows, words=(0, 1, 3, 4, 5, 6)))
    tables.print(
        "w2sg datasets NAME shows one; w2sg datasets FILE --text ... --label ... one of your own", markup=False
    )
    return {row[0]: dict(zip(headings[1:], row[1:], strict=True)) for row in rows}


def _one(options: DatasetsOptions, name: str, tables: Console) -> dict[str, Any]:
    """One data set: its properties, and the first of its rows."""
    from ..report.tables import table

    data = text_set_of(name, options)
    parts, problem = _split(data, options)
    properties = [*_properties(data), *_parts(data, parts)] + ([("split", f"none: {problem}")] if problem else [])
    tables.print(table(data.name, ("property", "value"), properties, words=(0, 1)))
    examples = range(min(options.show, len(data)))
    if examples:
        cells = [(str(row), _label(data, row), _cut(data.texts[row]), str(data.group[row])) for row in examples]
        tables.print(table("", ("row", "label", "text", "group"), cells, words=(1, 2)))
    facts = {field: getattr(data, field) for field in REPORTED}
    return {
        "size": len(data),
        **facts,
        "split": {part: len(rows) for part, rows in parts.items()},
        "split_problem": problem,
        "examples": [{"label": float(data.label[row]), "text": data.texts[row]} for row in examples],
    }


def _properties(data: "TextSet") -> list[tuple[str, str]]:
    """What is reported of every data set, in words."""
    if data.classes:
        ones = int(data.label.sum())
        labels = [
            ("label 0", f"{data.classes[0]}, {len(data) - ones} rows"),
            ("label 1", f"{data.classes[1]}, {ones} rows"),
            ("balance", f"{data.balance:.4f} of the rows have the label 1"),
            ("majority error", f"{data.majority_error:.4f}, of always naming the larger class"),
        ]
    else:
        span = f"from {data.label.min():g} to {data.label.max():g}, variance {data.label.var():.4g}"
        labels = [("label", f"a number, {span}")]
    return [
        ("rows", str(len(data))),
        ("which", data.rows),
        ("groups", f"{data.groups}, never parted by a split"),
        *labels,
        ("duplicates", _named_rows(data.repeats)),
        ("contradictions", _named_rows(data.contradictions)),
        ("licence", data.licence or "not known"),
        ("prompt", data.template),
    ]


def _split(data: "TextSet", options: DatasetsOptions) -> "tuple[dict[str, np.ndarray], str]":
    """The parts of the split by hash, or why there is none; with --n, that is an error."""
    from ..datasets import text_splits

    try:
        splits = text_splits(data, n=options.n, seed=options.seed)
    except InputError as error:
        if options.n is not None:
            raise
        return {}, str(error)
    return {"train": splits.train, "w2s": splits.w2s, "test": splits.test}, ""


def _parts(data: "TextSet", parts: "dict[str, np.ndarray]") -> list[tuple[str, str]]:
    """The sizes of the parts of a split, in words."""
    shares = {part: f", {data.label[rows].mean():.4f} with the label 1" for part, rows in parts.items()}
    return [(f"split: {part}", f"{len(rows)} rows{shares[part] * bool(data.classes)}") for part, rows in parts.items()]


def _named_rows(rows: tuple[int, ...]) -> str:
    """How many rows, and the first of them."""
    more = ", ..." if len(rows) > 5 else ""
    return f"{len(rows)} (rows {', '.join(map(str, rows[:5]))}{more})" if rows else "0"


def _label(data: "TextSet", row: int) -> str:
    value = data.label[row]
    return f"{value:g} ({data.classes[int(value)]})" if data.classes else f"{value:g}"


def _cut(text: str) -> str:
    half = SHOWN_CHARACTERS // 2
    more = len(text) - 2 * half
    return text if more <= 0 else f"{text[:half]} [... {more} characters ...] {text[-half:]}"
