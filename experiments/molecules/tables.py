"""Tables of the experiment: correlations on the terminal, and every model's means on disk."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.table import Table

from w2sg_jax.atomic import replacing

from .analyse import PREDICTORS, Tables


def correlation_table(found: Mapping[str, Any]) -> Table:
    """Spearman's correlation of every predictor with Err_w2s, a column a set."""
    table = Table(
        title="Spearman correlation with the measured Err_w2s over weak models",
        caption="In brackets: 95% bootstrap interval over weak models and splits. Signed so that 1 is best.",
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


def write_models(path: Path, tables: Sequence[Tables]) -> None:
    """Means over splits and standard errors of every quantity, one row for each data set and model."""
    rows: list[dict[str, Any]] = []
    for t in tables:
        for index, model in enumerate(t.models):
            row: dict[str, Any] = {"data": t.data, "model": model}
            for name, table in t.tables.items():
                values = table[index]
                row[name] = float(values.mean())
                if np.ptp(values) > 0:
                    row[f"{name}_se"] = float(values.std(ddof=1) / np.sqrt(len(values)))
            rows.append(row)
    with replacing(path) as temporary:
        pq.write_table(pa.Table.from_pylist(sorted(rows, key=lambda row: -len(row))), temporary, compression="zstd")
