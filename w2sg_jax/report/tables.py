"""Gaps and rankings as tables for a terminal."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from rich import box
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..evaluation.result import PREDICTORS, DatasetResult
from ..terminal.text import printable

if TYPE_CHECKING:
    from ..ranking.result import Ranking
    from ..theory.gap import Gap

COLUMNS = {
    "supervised": "predicted gap, supervised split",
    "predicted": "predicted gap",
    "norm": "gap norm",
    "share_best": "share best",
    "frobenius": "expected gap (root)",
    "dof_weak": "effective dimension",
}
"""What a reader is told that a field of a ranking is; in this order."""
WITH_INTERVAL = ("supervised", "predicted", "norm")


def number(value: float | int | None, digits: int = 4) -> str:
    """A number in a table: significant digits, never a long row of zeros; a dash for what is not there."""
    if value is None:
        return "–"
    if isinstance(value, int):
        return str(value)
    if value != 0 and not 1e-3 <= abs(value) < 1e6:
        return f"{value:.{digits - 1}e}"
    return f"{value:#.{digits}g}".rstrip(".")


def interval(bounds: tuple[float, float] | None) -> str:
    """An interval in a table."""
    return "–" if bounds is None else f"{number(bounds[0], 3)} to {number(bounds[1], 3)}"


def gap_table(gap: "Gap", weak: str, strong: str) -> Table:
    """One pair: every quantity beside what it means.

    Args:
        gap: the result.
        weak: what to call the weak model.
        strong: what to call the strong model.
    """
    table = _table(f"{weak} → {strong}, {gap.n} samples", "")
    table.add_column("value", justify="right")
    table.add_column("meaning")
    leading = ", ".join(number(float(value), 3) for value in gap.singular_values[:4])
    table.add_row("gap norm", number(gap.norm), "|P_s (I - P_w)|: 0 nothing is lost, 1 a direction is lost entirely")
    table.add_row("expected gap (root)", number(gap.frobenius), "|P_s (I - P_w)|_F / √n: the same, over random labels")
    if gap.predicted is not None:
        table.add_row("predicted gap", number(gap.predicted), "|P_s (I - P_w) y|² / n, in squared label units")
    table.add_row("singular values", number(len(gap.singular_values)), f"the largest: {leading}")
    for side in ("weak", "strong"):
        rank, dof = getattr(gap, f"rank_{side}"), getattr(gap, f"dof_{side}")
        dropped, ridge = getattr(gap, f"dropped_{side}"), getattr(gap, f"ridge_{side}")
        kept = f"of {rank} directions" + (f", {dropped} more left out" if dropped else "")
        unit = "of the total variance" if gap.scale == "trace" else "raw units"
        table.add_row(f"dimension, {side}", number(dof), f"{kept}, at ridge {ridge:g} ({unit})")
    return table


def ranking_table(ranking: "Ranking", title: str) -> Table:
    """Weak models, best first, with the intervals that the ranking has.

    Args:
        ranking: the result.
        title: what was ranked.
    """
    table = _table(title, "", "weak model")
    shown = [name for name in COLUMNS if any(getattr(row, name) is not None for row in ranking.rows)]
    bounded = [name for name in WITH_INTERVAL if any(name in row.intervals for row in ranking.rows)]
    for name in shown:
        table.add_column(_two_lines(COLUMNS[name]) + (" ▲" if name == ranking.by else ""), justify="right")
        if name in bounded:
            table.add_column(f"{100 * ranking.confidence:g}%\ninterval", style="dim")
    for place, row in enumerate(ranking.rows, 1):
        cells = [str(place), Text(printable(row.name))]
        for name in shown:
            cells.append(number(getattr(row, name)))
            if name in bounded:
                cells.append(interval(row.intervals.get(name)))
        table.add_row(*cells)
    return table


def bench_table(result: dict[str, Any]) -> Table:
    """What a machine reaches: a row for each pass that was timed, beside the machine's limits.

    Args:
        result: of `w2sg_jax.bench.short_bench`.
    """
    machine = result["machine"]
    rates = ", ".join(f"{rate / 1e9:,.0f} GFLOP/s in {dtype}" for dtype, rate in machine["flops"].items())
    title = f"{machine['device']}: {rates}, memory {machine['bandwidth'] / 1e9:,.0f} GB/s"
    table = _table(title, "")
    for name in ("seconds", "GFLOP/s", "share of the limit"):
        table.add_column(name, justify="right")
    table.add_column("bound by")
    for point in result["points"]:
        rate = point["flops"] / point["seconds"] / 1e9
        table.add_row(
            point["name"], number(point["seconds"], 3), f"{rate:,.0f}", f"{point['share']:.0%}", point["bound"]
        )
    return table


def _two_lines(heading: str) -> str:
    """Breaks a heading at the blank that makes its longer line shortest."""
    words = heading.split()
    breaks = ["\n".join((" ".join(words[:i]), " ".join(words[i:]))).strip() for i in range(1, len(words) + 1)]
    return min(breaks, key=lambda text: max(map(len, text.split("\n"))))


def _table(title: str, *columns: str) -> Table:
    table = Table(title=Text(printable(title)), title_justify="left", box=box.SIMPLE_HEAD)
    for column in columns:
        table.add_column(column)
    return table


def print_warnings(console: Console, warnings: tuple[str, ...]) -> None:
    """Prints what a reader should know of a number's accuracy, a line each."""
    for text in warnings:
        console.print(f"warning: {text}", style="yellow", soft_wrap=True, highlight=False, markup=False)


ERROR_COLUMNS = (
    ("norm", "gap\nnorm"),
    ("frobenius", "Frobe-\nnius"),
    ("supervised", "pred. gap\nsuperv."),
    ("predicted", "pred. gap\nhidden"),
    ("err_weak", "\nErr_w"),
    ("err_w2s", "\nErr_w2s"),
    ("err_ceiling", "\nErr_sc"),
)
"""Quantity and heading, in the order of the columns; everything fits a terminal of 80 characters."""


_STYLE: dict[str, Any] = {
    "box": SIMPLE_HEAD,
    "title_justify": "left",
    "caption_justify": "left",
    "padding": (0, 1, 0, 0),
}


def model_table(result: DatasetResult) -> Table:
    """One row a weak model, in the order of the measured Err_w2s; averages over splits."""
    splits = len(result.splits)
    table = Table(
        title=f"{result.data.name}: {result.data.property_name}, {result.strong} supervised by each weak model",
        caption=f"Means over {splits} splits. Errors and predicted gaps in ({result.data.unit})², where the target's "
        f"variance is {np.var(result.data.target):.3g}. pred. gap superv.: on the split and labels that the weak "
        "model is fitted on; hidden: on the split that it labels, with the true labels.",
        **_STYLE,
    )
    table.add_column("\nweak model", no_wrap=True)
    for _, heading in ERROR_COLUMNS:
        table.add_column(heading, justify="right", no_wrap=True)
    means = {quantity: result.measured.mean(quantity) for quantity, _ in ERROR_COLUMNS}
    for row in np.argsort(means["err_w2s"], kind="stable"):
        numbers = [_number(float(means[quantity][row])) for quantity, _ in ERROR_COLUMNS]
        table.add_row(result.measured.names[row], *numbers)
    return table


def correlation_table(results: tuple[DatasetResult, ...]) -> Table:
    """Spearman's correlation of every predictor with the measured Err_w2s, one column a data set."""
    table = Table(
        title="Spearman correlation of each predictor with the measured Err_w2s",
        caption="In brackets: 95% bootstrap interval over weak models and splits. A predictor marked (-) is meant to "
        "fall as Err_w2s rises.",
        **_STYLE,
    )
    table.add_column("predictor", no_wrap=True)
    for result in results:
        table.add_column(result.data.name, justify="right", no_wrap=True)
    for predictor in PREDICTORS:
        found = [result.correlations[predictor.name] for result in results]
        cells = [f"{c.value:.2f} [{c.low:.2f}, {c.high:.2f}]" for c in found]
        table.add_row(predictor.title + (" (-)" if predictor.sign < 0 else ""), *cells)
    return table


def _number(value: float) -> str:
    return "undefined" if np.isnan(value) else f"{value:.3f}" if value < 100 else f"{value:.1f}"


def markdown_table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table of Markdown, for a page of the documentation."""
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (headings, ["---"] * len(headings), *rows))
