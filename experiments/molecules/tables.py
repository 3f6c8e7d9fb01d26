"""The table of the experiment on the terminal."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from .analyse import PREDICTORS


def correlation_table(found: Mapping[str, Any]) -> Table:
    """Spearman's correlation of every predictor with Err_w2s, a column a set."""
    table = Table(
        title="Spearman correlation with the measured Err_w2s over weak models",
        caption="In brackets: 95% bootstrap interval over shapes of weak models and splits. Signed so that 1 is best.",
    )
    table.add_column("predictor", no_wrap=True)
    for name in found:
        table.add_column(name, justify="right", no_wrap=True)
    for one in PREDICTORS:
        table.add_row(one.title, *(cell(result["spearman"][one.name]) for result in found.values()))
    return table


def cell(correlation: Mapping[str, float]) -> str:
    """A correlation with its interval."""
    return f"{correlation['value']:.2f} [{correlation['low']:.2f}, {correlation['high']:.2f}]"
