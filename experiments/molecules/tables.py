"""The table of the experiment on the terminal."""

from collections.abc import Mapping
from typing import Any

from rich.table import Table

from w2sg_jax.report.tables import correlation, table

from .analyse import PREDICTORS


def correlation_table(found: Mapping[str, Any]) -> Table:
    """Spearman's correlation of every predictor with Err_w2s, a column a set."""
    return table(
        "Spearman correlation with the measured Err_w2s over weak models",
        ("predictor", *found),
        ([one.title, *(cell(result["spearman"][one.name]) for result in found.values())] for one in PREDICTORS),
        caption="In brackets: 95% bootstrap interval over shapes of weak models and splits. Signed so that 1 is best.",
    )


def cell(found: Mapping[str, float]) -> str:
    """A correlation with its interval."""
    return correlation(found["value"], found["low"], found["high"])
