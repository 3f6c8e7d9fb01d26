"""How figures look, and how they come into files whatever settings of matplotlib the user has.

matplotlib is imported when a figure is drawn, without a backend for windows. Colours and marks differ in shape and in
lightness, so that they can be told apart in grey.
"""

import contextlib
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console

from ..store.atomic import replacing
from ..terminal.console import standard_error
from .tables import print_warnings

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKS: tuple[dict[str, Any], ...] = (
    {"color": "#12375c", "marker": "o"},
    {"color": "#c4622d", "marker": "s"},
    {"color": "#4a9d8f", "marker": "^"},
    {"color": "#9a9a9a", "marker": "D"},
    {"color": "#7b4b94", "marker": "v"},
    {"color": "#5aa2d6", "marker": "P"},
    {"color": "#8a6d1f", "marker": "X"},
    {"color": "#d18ab5", "marker": "<"},
)
"""Of the series, in order."""
COLOURS = tuple(mark["color"] for mark in MARKS)
DIVERGING = "PuOr"
"""Colour map of correlations, from -1 to 1."""
LINES = ("-", "--", ":", "-.", (0, (1, 3)))
DOTS_PER_INCH = 150
MOST_OF_A_CAUSE = 300
"""Characters of an error's text in a warning: LaTeX, for one, complains over pages."""


def draw(path: str | os.PathLike[str], make: Callable[[], "Figure"], console: Console | None = None) -> bool:
    """Make a figure and save it; one that fails is a warning in one line, for the results are written by then.

    Args:
        path: the file; see ``save_figure``.
        make: draws the figure, under our own settings. It may import matplotlib.
        console: where the warning goes; standard error by default.

    Returns:
        Whether the figure was saved. With W2SG_DEBUG set in the environment a failure is raised instead.
    """
    try:
        with own_settings():
            save_figure(make(), path)
    except Exception as error:
        if os.environ.get("W2SG_DEBUG"):
            raise
        cause = " ".join(str(error).split())[:MOST_OF_A_CAUSE]
        print_warnings(console or standard_error(), (f"{path}: no figure was drawn ({type(error).__name__}: {cause})",))
        return False
    return True


def save_figure(figure: "Figure", path: str | os.PathLike[str]) -> None:
    """Write a figure whole or not at all; the same figure gives the same file.

    A letter that the font lacks is drawn as a box, without a warning.

    Args:
        figure: from ``panels``, or any other.
        path: the suffix chooses the format (.png, .svg, .pdf).

    Raises:
        OSError: it cannot be written.
    """
    vector = Path(path).suffix == ".svg"
    with own_settings(), replacing(path) as temporary, warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+ .* missing from font", UserWarning)
        warnings.filterwarnings("ignore", "Matplotlib currently does not support", UserWarning)
        if vector:
            figure.savefig(temporary, metadata={"Date": None})
        else:
            figure.savefig(temporary, dpi=DOTS_PER_INCH)


@contextlib.contextmanager
def own_settings() -> Iterator[None]:
    """matplotlib's defaults instead of the user's: a matplotlibrc may ask for LaTeX or fonts that are not here.

    Texts look at the settings when they are made, files when they are written: drawing and saving both need this.
    """
    matplotlib = _matplotlib()
    with contextlib.ExitStack() as stack:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", matplotlib.MatplotlibDeprecationWarning)  # of settings that are going away
            defaults = {name: value for name, value in matplotlib.rcParamsDefault.items() if name != "backend"}
            stack.enter_context(matplotlib.rc_context(defaults | {"svg.hashsalt": "w2sg_jax"}))
        yield


def _matplotlib() -> Any:
    """Import matplotlib; where the user's backend or matplotlibrc makes that fail, once more without them."""
    try:
        import matplotlib
    except (ValueError, OSError):
        # What was imported until then would stand in the way; compiled modules are loaded once.
        for name, module in list(sys.modules.items()):
            if name.partition(".")[0] == "matplotlib" and str(getattr(module, "__file__", "")).endswith(".py"):
                del sys.modules[name]
        users = {name: os.environ.pop(name, None) for name in ("MPLBACKEND", "MATPLOTLIBRC")}
        os.environ["MATPLOTLIBRC"] = os.devnull  # is taken for an empty one
        try:
            import matplotlib
        finally:
            del os.environ["MATPLOTLIBRC"]
            os.environ.update({name: value for name, value in users.items() if value is not None})
    return matplotlib


def panels(
    rows: int, columns: int, width: float | int, height: float | int, **options: Any
) -> tuple["Figure", np.ndarray]:
    """A figure that belongs to no window, and its axes (rows, columns).

    Args:
        rows, columns: of panels.
        width, height: of all of it, in inches.
        options: of ``Figure.subplots``.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **options)
    for axis in axes.flat:
        axis.grid(color="0.92", linewidth=0.8)
        axis.set_axisbelow(True)
        axis.spines[["top", "right"]].set_visible(False)
    return figure, axes


def points(axis: "Axes", x: Any, y: Any, error: Any, label: str, series: int, *, joined: bool = True) -> None:
    """Means with standard errors, joined by a thin line or not."""
    axis.errorbar(
        x,
        y,
        yerr=error,
        label=label,
        linestyle=LINES[series] if joined else "",
        linewidth=1,
        markersize=4.5,
        elinewidth=1,
        **MARKS[series],
    )


def mean_and_error(values: Sequence[Any] | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means over the last axis (seeds) and their standard errors."""
    table = np.asarray(values, np.float64)
    return table.mean(axis=-1), table.std(axis=-1, ddof=min(1, table.shape[-1] - 1)) / np.sqrt(table.shape[-1])
