"""Texts with one label each: a record, and a reader of one's own files (CSV, TSV, JSON lines, Parquet, Arrow)."""

import csv
import difflib
import io
import json
import math
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from .._errors import InputError
from ..store.array_files import as_path, choose, kind, refusal
from ..store.content import texts_hash
from ..store.folders import TABLES
from ..store.tables import TableColumns, read_columns
from .prompts import columns_of, fill

SEPARATED = {".csv": ",", ".tsv": "\t"}
LINES = (".jsonl", ".ndjson", ".json")
NAMED = 5
"""Rows, or classes, that a message names before it counts the others."""
SHOWN = 60
"""Characters of a value in a message."""


@dataclass(frozen=True, eq=False)
class TextSet:
    """Texts with one label each; row i of `label` and `group` belongs to `texts[i]`. Rows are numbered from 0."""

    name: str
    """what tables and files call the set"""
    texts: tuple[str, ...]
    """n texts as a model is to read them: prompts that are filled in"""
    label: Float64[np.ndarray, " n"]
    """0 or 1 for two classes, else the target of a regression; read-only"""
    group: Int64[np.ndarray, " n"]
    """which rows belong together, numbered from 0 as they appear; read-only"""
    group_keys: tuple[str, ...]
    """a hash of what makes each group one: its content, by which ``text_splits`` draws"""
    classes: tuple[str, ...]
    """the names of the classes 0 and 1; none for a regression"""
    positive: str
    """what the label 1 means, in words; "" for a regression"""
    rows: str
    """which rows these are, and of which files"""
    repeats: tuple[int, ...]
    """rows with the text of an earlier row, but for case, white space and Unicode's compatible forms. They are kept,
    in the group of the earlier one"""
    contradictions: tuple[int, ...]
    """those of `repeats` whose label is another one"""
    licence: str
    """the terms of the texts; "" if they are not known"""
    template: str
    """the prompt before its columns are filled in"""

    def __len__(self) -> int:
        return len(self.texts)

    @property
    def groups(self) -> int:
        """How many groups there are: what is drawn for splits, and what intervals should count."""
        return len(self.group_keys)

    @property
    def duplicates(self) -> int:
        """How many rows repeat an earlier one."""
        return len(self.repeats)

    @property
    def balance(self) -> float | None:
        """The share of rows with the label 1; None for a regression."""
        return float(self.label.mean()) if self.classes else None

    @property
    def majority_error(self) -> float | None:
        """The error rate of always naming the larger class; None for a regression."""
        return None if self.balance is None else min(self.balance, 1 - self.balance)


def text_set(
    name: str,
    texts: Sequence[str],
    label: Sequence[float | int] | np.ndarray,
    *,
    together: Sequence[str] | None = None,
    classes: tuple[str, ...] = (),
    positive: str = "",
    rows: str = "",
    licence: str = "",
    template: str = "{text}",
) -> TextSet:
    """Put texts and labels together, and find out which rows may not be parted.

    Args:
        name, classes, positive, rows, licence, template: as in ``TextSet``.
        texts: n texts.
        label: n numbers; 0 and 1 where there are classes.
        together: n names: rows of one name are a group. By default each text is one. Groups that share a text become
            one, so that no text is ever in two parts of a split.

    Raises:
        InputError: a text is empty or no Unicode; all labels are one.
    """
    if isinstance(texts, str) or not all(isinstance(one, str) for one in texts):
        came = "one string" if isinstance(texts, str) else "something else among them"
        raise InputError(f"{name}: expected a sequence of strings as texts, got {came}")
    if len(texts) != len(label) or (together is not None and len(together) != len(texts)):
        counts = f"{len(texts)} texts, {len(label)} labels" + (f", {len(together)} groups" if together else "")
        raise InputError(f"{name}: got {counts}; expected one of each a row")
    _refuse_texts(name, texts)
    try:
        y = np.array(label, np.float64)
    except (TypeError, ValueError):
        raise InputError(f"{name}: labels are no numbers; give 0 and 1, with classes=(name of 0, name of 1)") from None
    if y.ndim != 1 or not np.isfinite(y).all():
        raise InputError(f"{name}: expected one finite label a row, got shape {y.shape}, or NaN among them")
    if classes and (len(classes) != 2 or not np.isin(y, (0, 1)).all()):
        raise InputError(f"{name}: with classes labels are 0 and 1, and there are two of them; got {classes}")
    if len(y) == 0 or np.ptp(y) == 0:
        came = f"all {len(y)} rows have the label {_class_of(y[0], classes)}" if len(y) else "there are no rows"
        raise InputError(f"{name}: {came}; give rows with two labels at least")
    plain = [texts_hash(normalised(text)) for text in texts]
    own = plain if together is None else [texts_hash("group", one) for one in together]
    group, group_keys = _groups(own, plain)
    y.setflags(write=False)
    first: dict[str, int] = {}
    earlier = [first.setdefault(one, row) for row, one in enumerate(plain)]
    repeats = tuple(row for row, other in enumerate(earlier) if other != row)
    contradictions = tuple(row for row in repeats if y[row] != y[earlier[row]])
    return TextSet(
        name, tuple(texts), y, group, group_keys, classes, positive, rows, repeats, contradictions, licence, template
    )


def normalised(text: str) -> str:
    """A text but for case, white space and Unicode's compatible forms: equal ones are one text to a split."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _groups(own: Sequence[str], plain: Sequence[str]) -> tuple[np.ndarray, tuple[str, ...]]:
    """Number the groups; those that share a text are one, by union-find, and have the least of their keys."""
    above = {key: key for key in own}

    def root(key: str) -> str:
        while above[key] != key:
            above[key] = key = above[above[key]]
        return key

    holder: dict[str, str] = {}
    for key, text in zip(own, plain, strict=True):
        one, other = root(key), root(holder.setdefault(text, key))
        above[max(one, other)] = min(one, other)
    numbers: dict[str, int] = {}
    group = np.array([numbers.setdefault(root(key), len(numbers)) for key in own], np.int64)
    group.setflags(write=False)
    return group, tuple(numbers)


def read_text(
    path: Path | str,
    *,
    text: str | Sequence[str] | None = None,
    template: str | None = None,
    label: str,
    group: str | None = None,
    positive: str | None = None,
) -> TextSet:
    """Read texts and labels from a file of one's own.

    Args:
        path: a .csv or .tsv file whose first line names the columns; .jsonl (also .ndjson or .json), one JSON object a
            line; .parquet or .arrow; or a folder of those, as ``datasets.Dataset.save_to_disk`` writes. All UTF-8.
        text: the column with the text, or several, which follow each other on lines of their own.
        template: how a text is made of columns instead, such as ``"{question} {passage}"``: the names of columns
            between braces, as ``prompts.columns_of`` reads it. With `text`, it may name those columns only.
        label: the column of labels. Truth values, or two different numbers or words, are two classes: the one that
            sorts last is 1. More than two different numbers are the target of a regression. More than two classes
            of words are refused, since a label is one column: `positive` chooses one of them.
        group: a column; rows with the same value in it stay together in splits. By default each text is alone. Equal
            texts are in one group in any case.
        positive: the class that is labelled 1, all others being 0.

    Raises:
        InputError: there is no such file, it is of an unknown kind or damaged, or is not UTF-8; a column is missing
            (the nearest name is told), there twice, or holds lists; a text is empty, a label or a group missing or not
            to be read (rows are named, and numbered from 0 without the line of names); all labels are one.
    """
    file, others = as_path(path), [label] + ([] if group is None else [group])
    texts, template, table = _filled(file, text, template, others)
    y, classes = _labels(file, label, table, positive)
    together = None if group is None else _group_names(file, group, table.values[group])
    return text_set(
        file.stem or str(file),
        texts,
        y,
        together=together,
        classes=classes,
        positive=f"{label} is {classes[1]}" if classes else "",
        rows=f"all {len(texts)} rows of {file}",
        template=template,
    )


def read_unlabelled(
    path: Path | str, *, text: str | Sequence[str] | None = None, template: str | None = None
) -> tuple[str, ...]:
    """Read texts without labels from a file of one's own: what a gap norm needs.

    Args, Raises: those of ``read_text``.
    """
    return tuple(_filled(as_path(path), text, template, [])[0])


def _filled(
    file: Path, text: str | Sequence[str] | None, template: str | None, others: Sequence[str]
) -> tuple[list[str], str, TableColumns]:
    """The texts of a file, their template, and other columns beside them."""
    if not file.exists():
        raise refusal(file, "there is no such file", _nearest(file))
    wanted = [text] if isinstance(text, str) else list(text or ())
    for name, given in (("text", wanted), ("template", [template] * (template is not None)), ("columns", others)):
        if not all(isinstance(one, str) for one in given):
            raise InputError(f"{name}: expected the name of a column, got {given!r:.60}")
    parts = wanted if template is None else list(columns_of(template))
    if not parts:
        raise InputError("text: name the column with the texts, or pass a template such as '{question} {passage}'")
    if wanted and (unknown := [name for name in parts if name not in wanted]):
        raise InputError(f"template: it names the column {unknown[0]!r}, which text does not; name it there too")
    needed = list(dict.fromkeys([*parts, *others]))
    table = _read_table(file, needed)
    rows = list(zip(*(_words(file, name, table.values[name]) for name in parts), strict=True))
    empty = (row for row, cells in enumerate(rows) if not any(cell.strip() for cell in cells))
    _refuse_rows(str(file), "the text is empty", "drop them", empty)
    if template is None:
        template, texts = "\n".join(f"{{{name}}}" for name in parts), ["\n".join(cells) for cells in rows]
    else:
        texts = [fill(template, dict(zip(parts, cells, strict=True))) for cells in rows]
    _refuse_texts(str(file), texts)
    return texts, template, table


def _read_table(path: Path, names: Sequence[str]) -> TableColumns:
    """The columns, by the suffix of the file."""
    if path.is_dir() or path.suffix in TABLES:
        return read_columns(path, names)
    if what := kind(path):
        raise refusal(path, f"this is {what}", "give a regular file")
    suffix = path.suffix.lower()
    if suffix in SEPARATED:
        return TableColumns(_read_separated(path, SEPARATED[suffix], names), {})
    if suffix in LINES:
        return TableColumns(read_json_lines(path, names), {})
    known = ", ".join([*SEPARATED, *LINES, *TABLES])
    came = f"the suffix {path.suffix!r} is none of a table" if path.suffix else "the name has no suffix"
    raise refusal(path, came, f"write it as one of {known}, or as a folder by datasets' save_to_disk")


def _nearest(path: Path) -> str:
    if not path.parent.is_dir():
        return f"the folder {path.parent} does not exist either"
    close = difflib.get_close_matches(path.name, [other.name for other in path.parent.iterdir()], n=1)
    return f"did you mean {path.with_name(close[0])}?" if close else "check the path"


def decoded(path: Path, content: bytes) -> str:
    """The text of a file in UTF-8, with or without a byte order mark; InputError for any other bytes."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        came = f"line {line} is not UTF-8 (byte {content[error.start]:#04x})"
        raise refusal(path, came, "save the file as UTF-8") from None


def _read_separated(path: Path, delimiter: str, names: Sequence[str]) -> dict[str, list[Any]]:
    """Columns of a table with a first line of names."""
    head, rows = separated(path, decoded(path, path.read_bytes()), delimiter)
    for name in names:
        choose(path, head, name, what="column")
    places = [head.index(name) for name in names]
    return {name: [row[place] for row in rows] for name, place in zip(names, places, strict=True)}


def separated(path: Path, text: str, delimiter: str = ",") -> tuple[list[str], list[list[str]]]:
    """The names of the columns of a CSV file, and its rows: as many cells each as there are names.

    Raises:
        InputError: there is no line of names, or two names are equal; a quote is not closed, or is followed by more
            text; a row has more or fewer cells than there are names.
    """
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows = []
    limit = csv.field_size_limit(1 << 30)  # of the process: by default no text is longer than 131072 characters
    try:
        head = next(reader, [])
        if not head:
            raise refusal(path, "the first line is empty", "name the columns there")
        if twice := [name for name in dict.fromkeys(head) if head.count(name) > 1]:
            raise refusal(path, f"the file has {head.count(twice[0])} columns {twice[0]!r}", "rename them")
        for row in reader:
            if not row:
                continue
            if len(row) != len(head):
                came = f"row {len(rows)}, which ends in line {reader.line_num}, has {len(row)} cells for {len(head)}"
                todo = "put quotes around cells with a separator or a line break in them, and double quotes in those"
                raise refusal(path, f"{came} columns", todo)
            rows.append(row)
    except csv.Error as error:
        came = f"line {reader.line_num}, row {len(rows)}: a quote is broken ({error})"
        raise refusal(path, came, "double every quote inside a quoted cell, and close the cell with one") from None
    finally:
        csv.field_size_limit(limit)
    return head, rows


def read_json_lines(path: Path, names: Sequence[str]) -> dict[str, list[Any]]:
    """Columns of a file with one JSON object a line."""
    found: dict[str, list[Any]] = {name: [] for name in names}
    text = decoded(path, path.read_bytes())
    if text.lstrip()[:1] == "[":
        raise refusal(path, "this file is one JSON array", "write one object a line (JSON lines)")
    row = 0
    # Only "\n" ends a line of JSON lines: splitlines would break texts at the separators that JSON leaves as they are.
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            pairs = json.loads(line, object_pairs_hook=_Pairs)
        except (ValueError, RecursionError) as error:
            reason = error.msg if isinstance(error, json.JSONDecodeError) else type(error).__name__
            raise refusal(path, f"line {number} is no JSON ({reason})", "write one object a line") from None
        if not isinstance(pairs, _Pairs):
            raise refusal(path, f"line {number} is no JSON object", "write one object a line, with names of columns")
        keys = [key for key, _ in pairs]
        if twice := next((key for key in keys if keys.count(key) > 1), None):
            raise refusal(path, f"line {number} has the name {twice!r} twice", "rename one of them")
        for name in names:
            if name not in keys:
                came = f"row {row} (line {number}) has no column {name!r}"
                close = difflib.get_close_matches(name, keys, n=1)
                hint = f"did you mean {close[0]!r}?" if close else f"it has {', '.join(map(repr, keys)) or 'none'}"
                raise refusal(path, came, hint)
            found[name].append(dict(pairs)[name])
        row += 1
    if not row:
        raise refusal(path, "there are no rows", "write one JSON object a line")
    return found


class _Pairs(list[tuple[str, Any]]):
    """A JSON object as it is written, with names that occur twice."""


def _words(path: Path, name: str, values: Sequence[Any]) -> list[str]:
    """A column of texts; numbers are written out."""
    _refuse_nested(path, name, values)
    none = (row for row, value in enumerate(values) if value is None)
    _refuse_rows(f"{path}: column {name!r}", "there is no value", "drop them, or write an empty text", none)
    return [str(value) for value in values]


def _group_names(path: Path, name: str, values: Sequence[Any]) -> list[str]:
    _refuse_nested(path, name, values)
    none = (row for row, value in enumerate(values) if _is_missing(value))
    _refuse_rows(f"{path}: group column {name!r}", "there is no value", "give each a group, or drop them", none)
    return [str(value) for value in values]


def _labels(path: Path, name: str, table: TableColumns, positive: str | None) -> tuple[list[float], tuple[str, ...]]:
    """Labels as numbers, and the names of the classes 0 and 1; no names for a regression."""
    values = table.values[name]
    where = f"{path}: label column {name!r}"
    if not values:
        raise refusal(path, "there are no rows", "write it again, with at least one")
    _refuse_nested(path, name, values)
    none = (row for row, value in enumerate(values) if _is_missing(value))
    _refuse_rows(where, "there is no label", "label them, or drop them", none)
    names = table.class_names.get(name)
    if names and all(isinstance(value, int) and 0 <= value < len(names) for value in values):
        values, sort = [names[value] for value in values], {one: place for place, one in enumerate(names)}
    elif all(isinstance(value, bool) for value in values):
        values, sort = [str(value) for value in values], {"False": 0.0, "True": 1.0}
    elif (numbers := _numbers(where, values)) is not None:
        if len(set(numbers)) > 2 and positive is None:
            return numbers, ()
        shown = {number: _shown(number) for number in sorted(set(numbers))}
        values, sort = [shown[number] for number in numbers], {one: number for number, one in shown.items()}
    else:
        values = [str(value).strip() for value in values]
        sort = {one: place for place, one in enumerate(sorted(set(values)))}
    classes = sorted(set(values), key=lambda one: sort[one])
    if len(classes) == 1:
        raise InputError(f"{where}: all {len(values)} rows are {classes[0][:SHOWN]!r}; give rows of two classes")
    if positive is not None and positive not in classes:
        close = difflib.get_close_matches(positive, classes, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"there are {_listed(classes)}"
        raise InputError(f"positive: {where} has no class {positive!r}; {hint}")
    if len(classes) > 2 and positive is None:
        raise InputError(
            f"{where}: there are {len(classes)} classes ({_listed(classes)}), and a label is one column; name with"
            f" positive (--positive) the one that is to be 1, such as {classes[0][:SHOWN]!r}, or keep rows of two"
        )
    one = classes[-1] if positive is None else positive
    others = [other for other in classes if other != one]
    return [float(value == one) for value in values], (others[0] if len(others) == 1 else f"not {one}", one)


_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(nan|inf|infinity)", re.IGNORECASE | re.ASCII)


def _numbers(where: str, values: Sequence[Any]) -> list[float] | None:
    """The values as numbers if they are some; None if all of them are words.

    Raises:
        InputError: some are and some are not, or one is not finite (the first row is named).
    """
    found: list[float | None] = []
    for value in values:
        written = value.strip() if isinstance(value, str) else value
        if isinstance(written, str):
            found.append(float(written) if _NUMBER.fullmatch(written) else None)
        else:
            found.append(None if isinstance(written, bool) else _as_float(written))
    if all(number is None for number in found):
        return None
    for row, number in enumerate(found):
        if number is None or not math.isfinite(number):
            came = "no number, as others are" if number is None else "not finite"
            raise InputError(
                f"{where}: row {row} is {str(values[row])[:SHOWN]!r}, which is {came}; correct or drop it, or write all"
                " labels as words"
            )
    return [number for number in found if number is not None]


def _as_float(number: float | int) -> float:
    try:
        return float(number)
    except OverflowError:  # of an integer that JSON spells with hundreds of digits
        return math.inf


def _shown(number: float) -> str:
    return str(int(number)) if number.is_integer() and abs(number) < 1e15 else repr(number)


def _class_of(value: float, classes: tuple[str, ...]) -> str:
    return repr(classes[int(value)]) if classes else f"{value:g}"


def _is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, str) and not value.strip()) or value != value  # NaN is not itself


def _refuse_nested(path: Path, name: str, values: Sequence[Any]) -> None:
    """Refuse a column of lists or objects, which JSON lines may have."""
    for row, value in enumerate(values):
        if not isinstance(value, str | int | float | None):
            what = "an object" if isinstance(value, _Pairs | Mapping) else "a list"
            came = f"row {row} of the column {name!r} is {what}"
            raise refusal(path, came, "write one text or number a row, and what belongs together as columns")


_HALF = re.compile("[\ud800-\udfff]")


def _refuse_texts(where: str, texts: Sequence[str]) -> None:
    """InputError for texts that no tokenizer has a use for."""
    blank = (row for row, text in enumerate(texts) if not any(map(_seen, text)))
    _refuse_rows(where, "the text is empty, or nothing of it can be seen,", "drop them", blank)
    halves = (row for row, text in enumerate(texts) if _HALF.search(text))
    _refuse_rows(where, "the text has half of a surrogate pair, which is no Unicode", "repair or drop them", halves)


def _seen(character: str) -> bool:
    """Whether a character has a shape: no white space, no control or format character, such as those of zero width."""
    return not character.isspace() and unicodedata.category(character) not in ("Cc", "Cf")


def _refuse_rows(where: str, came: str, todo: str, rows: Iterable[int]) -> None:
    """InputError that names the first of these rows, if there are any."""
    if found := list(rows):
        more = f" and {len(found) - NAMED} more" if len(found) > NAMED else ""
        listed = ", ".join(map(str, found[:NAMED]))
        raise InputError(f"{where}: {came} in row{'s' if len(found) > 1 else ''} {listed}{more}; {todo}")


def _listed(classes: Sequence[str]) -> str:
    more = f" and {len(classes) - NAMED} more" if len(classes) > NAMED else ""
    return ", ".join(repr(one[:SHOWN]) for one in classes[:NAMED]) + more
