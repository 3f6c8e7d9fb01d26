"""A ranking as a picture: one row a weak model, best on top, one panel a predictor, with intervals."""

from typing import TYPE_CHECKING

from ..terminal.text import printable
from .style import COLOURS, panels
from .tables import RANKING_HEADINGS, WITH_INTERVAL

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from ..ranking.result import Ranking, RankingRow

MOST_ROWS = 60
NARROWEST = 0.01
"""Of the values in a panel, that its axis spans."""
DRAWN = tuple(name for name in WITH_INTERVAL if name != "pred_gap")
"""Of the quantities with intervals; the predicted PredGap stands in the table."""


PURE = ("norm", "mutual_knn")
"""Numbers without a unit."""


def ranking_figure(ranking: "Ranking", strong: str, unit: str = "squared label units") -> "Figure":
    """Draws every predictor that the ranking has, weak models in the ranking's order.

    Args:
        ranking: the result.
        strong: what to call the strong model.
        unit: unit of the predicted gaps.

    Returns:
        A matplotlib figure that belongs to no window; only the best 60 models are drawn, and it says so.
    """
    rows = [row for row in ranking.rows if row.error is None][:MOST_ROWS]
    shown = [name for name in DRAWN if any(getattr(row, name) is not None for row in rows)]
    names = [_short(row.name) for row in rows]
    paired = ranking.by in ranking.covariances and len(rows) > 1
    width = 1.5 + 0.08 * max(map(len, names)) + 3.4 * (len(shown) + paired)
    figure, axes = panels(1, len(shown) + paired, width, 1.9 + 0.3 * len(rows), sharey=True)
    for name, axis in zip(shown, axes[0], strict=False):
        _draw(axis, ranking, rows, name)
        axis.set_xlabel(RANKING_HEADINGS[name] + ("" if name in PURE else f"\n({unit})"))
    if paired:
        _draw_differences(axes[0, -1], ranking, rows)
    axes[0, 0].set_yticks(range(len(rows)), names)
    axes[0, 0].set_ylim(len(rows) - 0.5, -0.5)
    figure.suptitle(_title(ranking, len(rows), strong))
    return figure


def _title(ranking: "Ranking", shown: int, strong: str) -> str:
    title = f"Weak supervisors for {_short(strong)}, best on top"
    if shown < len(ranking.rows):
        title += f" (the best {shown} of {len(ranking.rows)})"
    title += f"\n{100 * ranking.confidence:g}% intervals over {ranking.n} samples"
    if ranking.may_be_best:
        title += "; filled: may be the best"
    return title


def _draw(axis: "Axes", ranking: "Ranking", rows: "list[RankingRow]", name: str) -> None:
    """A point, and a line for its interval, of every model that has this quantity."""
    for place, row in enumerate(rows):
        if getattr(row, name) is not None:
            _point(axis, place, row, getattr(row, name), row.intervals.get(name))
    low, high = axis.get_xlim()
    least = NARROWEST * max(abs(low), abs(high))
    if high - low < least:  # values that are as good as equal: a common offset would stand in the label
        axis.set_xlim((low + high - least) / 2, (low + high + least) / 2)
    _without_rules(axis)
    if name == ranking.by:
        axis.set_title("ranked by this", fontsize="small")


def _draw_differences(axis: "Axes", ranking: "Ranking", rows: "list[RankingRow]") -> None:
    """How much larger each model's value is than that of the first, on the same samples."""
    for place, row in enumerate(rows[1:], 1):
        found = ranking.difference(row.name, rows[0].name)
        _point(axis, place, row, found.value, found.interval)
    axis.axvline(0.0, color="0.6", linewidth=0.8)
    _without_rules(axis)
    axis.set_title("on the same samples", fontsize="small")
    axis.set_xlabel(f"{RANKING_HEADINGS[ranking.by]},\nminus that of the first")


def _point(axis: "Axes", place: int, row: "RankingRow", value: float, interval: "tuple[float, float] | None") -> None:
    """A value of one model, filled where the model may be the best, and its interval."""
    if interval is not None:
        axis.plot(interval, (place, place), color=COLOURS[0], linewidth=1.5, alpha=0.6)
    fill = "full" if row.may_be_best is not False else "none"
    axis.plot(value, place, "o", color=COLOURS[0], markersize=5, fillstyle=fill)


def _without_rules(axis: "Axes") -> None:
    """Few numbers below a panel, small ones with a common power of ten: long ones would run into each other."""
    from matplotlib.ticker import MaxNLocator

    axis.xaxis.set_major_locator(MaxNLocator(4))
    axis.ticklabel_format(axis="x", scilimits=(-2, 4), useMathText=True)
    axis.grid(visible=False, axis="y")
    axis.tick_params(axis="y", length=0)


def _short(name: str, most: int = 40) -> str:
    """A name that fits beside an axis; a dollar sign is text, not mathematics."""
    name = printable(name)
    return (name if len(name) <= most else f"{name[: most - 1]}…").replace("$", r"\$")
