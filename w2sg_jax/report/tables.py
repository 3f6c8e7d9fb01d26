"""Results as tables: on a terminal and in Markdown, by one writer each, with numbers written one way."""

import math
from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..evaluation.result import PREDICTORS, DatasetResult
from ..terminal.text import printable

if TYPE_CHECKING:
    from ..ranking.result import Ranking
    from ..theory.scores import GapInfluence

RANKING_HEADINGS = {
    "err_w2s": "predicted error Err_w2s",
    "err_weak": "weak model's error, left out",
    "pred_gap": "predicted PredGap",
    "supervised": "predicted gap, supervised split",
    "predicted": "predicted gap",
    "mutual_knn": "shared neighbours",
    "norm": "gap norm",
    "probability_best": "probability best",
    "frobenius": "expected gap (root)",
    "dof_weak": "effective dimension",
}
"""What a reader is told that a field of a ranking is; in this order."""
WITH_INTERVAL = ("err_w2s", "err_weak", "pred_gap", "supervised", "predicted", "mutual_knn", "norm")
"""Fields of a ranking that can have an interval."""
LEFT_OUT_FIRST = ("dof_weak", "frobenius", "pred_gap", "predicted", "norm", "supervised", "err_weak", "mutual_knn",
                  "err_w2s")  # fmt: skip
"""Fields of a ranking that leave a narrow terminal, in this order, unless it is ordered by them."""
DIFFERENCE = "difference"
"""Stands for the column with differences to the first model."""
MODEL_HEADINGS = {
    "norm": "gap\nnorm",
    "frobenius": "Frobe-\nnius",
    "supervised": "pred. gap\nsuperv.",
    "predicted": "pred. gap\nhidden",
    "err_weak": "\nErr_w",
    "err_w2s": "\nErr_w2s",
    "err_ceiling": "\nErr_sc",
}
"""What the columns of a quickstart are called; everything fits a terminal of 80 characters."""


def table(
    title: str,
    headings: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    caption: str = "",
    words: Collection[int] = (0,),
    dim: Collection[int] = (),
) -> Table:
    """A table for a terminal. All of its text is text, not rich's markup; where it is too wide, its cells are folded.

    Args:
        title: above it; "" for none.
        headings: one a column, of one line or more.
        rows: the cells of each row, one a column.
        caption: below it; "" for none.
        words: columns that are read as words, on the left; the others are numbers, on the right.
        dim: columns that stand back.
    """
    made = Table(
        title=Text(printable(title), "table.title") if title else None,
        caption=Text("\n".join(map(printable, caption.split("\n"))), "table.caption") if caption else None,
        title_justify="left",
        caption_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    for index, heading in enumerate(headings):
        made.add_column(
            Text("\n".join(map(printable, heading.split("\n")))),
            justify="left" if index in words else "right",
            style="dim" if index in dim else "",
            overflow="fold",
        )
    for cells in rows:
        made.add_row(*(Text(printable(cell)) for cell in cells))
    return made


def markdown_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of Markdown, for a page of the documentation."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (headings, ["---"] * len(headings), *rows))


def number(value: float | int | None, digits: int = 4) -> str:
    """A number in a table: significant digits, never a long row of zeros; a dash for what is not there."""
    if value is None:
        return "–"
    if isinstance(value, int):
        return str(value)
    if math.isnan(value):
        return "undefined"
    if value != 0 and not 1e-3 <= abs(value) < 1e6:
        return f"{value:.{digits - 1}e}"
    return f"{value:#.{digits}g}".rstrip(".")


def interval(bounds: tuple[float, float] | None) -> str:
    """An interval in a table."""
    return "–" if bounds is None else f"{number(bounds[0], 3)} to {number(bounds[1], 3)}"


def correlation(value: float | None, low: float | None, high: float | None) -> str:
    """A correlation in a table, with its interval."""
    if value is None or low is None or high is None or math.isnan(value):
        return "undefined"
    return f"{value:.2f} [{low:.2f}, {high:.2f}]"


def gap_table(found: "GapInfluence", weak: str, strong: str) -> Table:
    """One pair: every quantity beside its interval and what it means.

    Args:
        found: the result.
        weak: what to call the weak model.
        strong: what to call the strong model.
    """
    gap, ends = found.gap, {name: interval(pair) for name, pair in found.intervals.items()}
    leading = ", ".join(number(float(value), 3) for value in gap.singular_values[:4])
    meaning = "|P_s (I - P_w)|: 0 nothing is lost, 1 a direction is lost entirely"
    rows = [
        ["gap norm", number(gap.norm), ends["norm"], meaning],
        ["expected gap (root)", number(gap.frobenius), "", "|P_s (I - P_w)|_F / √n: the same, over random labels"],
    ]
    if gap.predicted is not None:
        meaning = "|P_s (I - P_w) y|² / n, in squared label units"
        rows.append(["predicted gap", number(gap.predicted), ends["predicted"], meaning])
    rows.append(["singular values", number(len(gap.singular_values)), "", f"the largest: {leading}"])
    for side in ("weak", "strong"):
        rank, dof = getattr(gap, f"rank_{side}"), getattr(gap, f"dof_{side}")
        dropped, ridge = getattr(gap, f"dropped_{side}"), getattr(gap, f"ridge_{side}")
        kept = f"of {rank} directions" + (f", {dropped} more left out" if dropped else "")
        unit = "of the total variance" if gap.scale == "trace" else "raw units"
        rows.append([f"dimension, {side}", number(dof), "", f"{kept}, at ridge {ridge:g} ({unit})"])
    headings = ("", "value", f"{100 * found.confidence:g}% interval", "meaning")
    return table(f"{weak} → {strong}, {gap.n} samples", headings, rows, words=(0, 2, 3), dim=(2,))


def ranking_table(ranking: "Ranking", title: str, width: int | None = None) -> Table:
    """Weak models, best first, with the intervals that the ranking has; a dot marks those that may be the best.

    Args:
        ranking: the result.
        title: what was ranked.
        width: characters that there are; what has no room is left out, and named below. None for all.
    """
    shown = [name for name in RANKING_HEADINGS if any(getattr(row, name) is not None for row in ranking.rows)]
    columns = [column for name in shown for column in _ranking_columns(ranking, name)]
    for name in dict.fromkeys(name for row in ranking.rows for name in row.also):
        cells = [number(row.also.get(name)) for row in ranking.rows]
        columns.append(_Column(name, _two_lines(name.replace("_", " ")), cells, False))
    places = [f"{place} ●" if row.may_be_best else str(place) for place, row in enumerate(ranking.rows, 1)]
    first = [_Column("", "", places, True), _Column("", "weak model", list(ranking.names), True)]
    kept = f"● may be the best: these models hold it with {100 * ranking.confidence:g}% confidence"
    notes = [*_headline(ranking), *([kept] if ranking.may_be_best else [])]
    made = _of_columns(title, [*first, *columns], notes)
    left_out: list[str] = []
    last = [name for name in LEFT_OUT_FIRST if name != ranking.by]
    others = [
        name
        for name in dict.fromkeys(column.field for column in reversed(columns))
        if name in ranking.rows[0].also and name != ranking.by
    ]
    for field in (*others, *last, DIFFERENCE, "probability_best"):
        if width is None or Console(width=10_000).measure(made).maximum <= width:
            break
        if any(column.field == field for column in columns):
            columns = [column for column in columns if column.field != field]
            left_out.append(RANKING_HEADINGS.get(field, "difference to the first" if field == DIFFERENCE else field))
            wider = f"a wider terminal shows more: {', '.join(left_out)}"
            made = _of_columns(title, [*first, *columns], [*notes, wider])
    return made


def _headline(ranking: "Ranking") -> list[str]:
    """What a ranking says first, what its errors are to be held against, and how well it has ranked so far."""
    from ..ranking.track_record import track_record

    best = ranking.rows[0]
    if best.error is not None:
        return []
    notes = []
    if ranking.by == "err_w2s" and best.err_w2s is not None:
        ends = interval(best.intervals.get("err_w2s"))
        notes = [
            f"lowest predicted error: {best.name}, {number(best.err_w2s, 3)} ({100 * ranking.confidence:g}%: {ends})",
            f"its own error {number(best.err_weak, 3)}; the strong model's with true labels "
            f"{number(ranking.err_ceiling, 3)}; that of knowing nothing {number(ranking.label_variance, 3)}",
        ]
    return [*notes, f"▲ {track_record(ranking.by)}"]


class _Column(NamedTuple):
    """A column of a ranking: the field that it belongs to, its heading and cells, and whether these are words."""

    field: str
    heading: str
    cells: list[str]
    words: bool


def _ranking_columns(ranking: "Ranking", name: str) -> list[_Column]:
    """A field of a ranking, with its intervals and, if the ranking is by it, differences, where there are any."""
    rows = ranking.rows
    heading = _two_lines(RANKING_HEADINGS[name]) + (" ▲" if name == ranking.by else "")
    found = [_Column(name, heading, [number(getattr(row, name)) for row in rows], False)]
    if name in WITH_INTERVAL and any(name in row.intervals for row in rows):
        ends = [interval(row.intervals.get(name)) for row in rows]
        found.append(_Column(name, f"{100 * ranking.confidence:g}%\ninterval", ends, True))
    if name == ranking.by and name in ranking.covariances:
        best = ranking.names[0]
        ends = [None if row.error or row.name == best else ranking.difference(row.name, best).interval for row in rows]
        found.append(_Column(DIFFERENCE, "minus\nthe first", list(map(interval, ends)), True))
    return found


def _of_columns(title: str, columns: Sequence[_Column], notes: Sequence[str]) -> Table:
    words = [index for index, column in enumerate(columns) if column.words]
    rows = zip(*(column.cells for column in columns), strict=True)
    headings = [column.heading for column in columns]
    return table(title, headings, rows, caption="\n".join(notes), words=words, dim=words[2:])


def bench_table(result: dict[str, Any]) -> Table:
    """What a machine reaches: a row for each pass that was timed, beside the machine's limits.

    Args:
        result: of `w2sg_jax.bench.short_bench`.
    """
    machine = result["machine"]
    rates = ", ".join(f"{rate / 1e9:,.0f} GFLOP/s in {dtype}" for dtype, rate in machine["flops"].items())
    rows = [
        [
            point["name"],
            number(point["seconds"], 3),
            f"{point['flops'] / point['seconds'] / 1e9:,.0f}",
            f"{point['share']:.0%}",
            point["bound"],
        ]
        for point in result["points"]
    ]
    return table(
        f"{machine['device']}: {rates}, memory {machine['bandwidth'] / 1e9:,.0f} GB/s",
        ("", "seconds", "GFLOP/s", "share of the limit", "bound by"),
        rows,
        words=(0, 4),
    )


def model_table(result: DatasetResult) -> Table:
    """One row a weak model, in the order of the measured Err_w2s; averages over splits."""
    means = {quantity: result.measured.mean(quantity) for quantity in MODEL_HEADINGS}
    rows = [
        [result.measured.names[row], *(number(float(means[quantity][row])) for quantity in MODEL_HEADINGS)]
        for row in np.argsort(means["err_w2s"], kind="stable")
    ]
    return table(
        f"{result.data.name}: {result.data.property_name}, {result.strong} supervised by each weak model",
        ("\nweak model", *MODEL_HEADINGS.values()),
        rows,
        caption=f"Means over {len(result.splits)} splits. Errors and predicted gaps in ({result.data.unit})², where "
        f"the target's variance is {np.var(result.data.target):.3g}. pred. gap superv.: on the split and labels that "
        "the weak model is fitted on; hidden: on the split that it labels, with the true labels.",
    )


def correlation_table(results: tuple[DatasetResult, ...]) -> Table:
    """Spearman's correlation of every predictor with the measured Err_w2s, one column a data set."""
    rows = []
    for predictor in PREDICTORS:
        found = [result.correlations[predictor.name] for result in results]
        title = predictor.title + (" (-)" if predictor.sign < 0 else "")
        rows.append([title, *(correlation(one.value, one.low, one.high) for one in found)])
    return table(
        "Spearman correlation of each predictor with the measured Err_w2s",
        ("predictor", *(result.data.name for result in results)),
        rows,
        caption="In brackets: 95% bootstrap interval over weak models and splits. A predictor marked (-) is meant to "
        "fall as Err_w2s rises.",
    )


def print_warnings(console: Console, warnings: tuple[str, ...]) -> None:
    """Prints what a reader should know of a number's accuracy, a line each."""
    for text in warnings:
        console.print(f"warning: {text}", style="yellow", soft_wrap=True, highlight=False, markup=False)


def _two_lines(heading: str) -> str:
    """Breaks a heading at the blank that makes its longer line shortest."""
    words = heading.split()
    breaks = ["\n".join((" ".join(words[:i]), " ".join(words[i:]))).strip() for i in range(1, len(words) + 1)]
    return min(breaks, key=lambda text: max(map(len, text.split("\n"))))
