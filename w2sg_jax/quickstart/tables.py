"""The quickstart's tables."""

from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.table import Table

from .result import PREDICTORS, DatasetResult

COLUMNS = (
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
    for _, heading in COLUMNS:
        table.add_column(heading, justify="right", no_wrap=True)
    means = {quantity: result.measured.mean(quantity) for quantity, _ in COLUMNS}
    for row in np.argsort(means["err_w2s"], kind="stable"):
        numbers = [_number(float(means[quantity][row])) for quantity, _ in COLUMNS]
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
        found = [result.correlations[predictor.quantity] for result in results]
        cells = [f"{c.value:.2f} [{c.low:.2f}, {c.high:.2f}]" for c in found]
        table.add_row(predictor.title + (" (-)" if predictor.sign < 0 else ""), *cells)
    return table


def _number(value: float) -> str:
    return "undefined" if np.isnan(value) else f"{value:.3f}" if value < 100 else f"{value:.1f}"
