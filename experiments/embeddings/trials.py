"""What was measured, in one small file, from which tables and figures are made again in seconds.

A row for each task, strong model, weak model and split; a column for each quantity, of which one is a list: Err_w2s
over bootstrap samples of the test rows. Numbers are float32: trials repeat to seven digits on no two machines. A
predictor that was not computed there is missing, one that is undefined is NaN.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from w2sg_jax import InputError
from w2sg_jax.evaluation.leaderboard import KEYS, RESAMPLED
from w2sg_jax.store.atomic import replacing

TRIALS = "trials.parquet"
CEILING = ("lead", "standard_error", "err_ceiling", "err_ceiling_01")
"""Of a strong model on each split."""
CONFIDENT = 1.96
"""Standard errors."""
_KEY = b"w2sg_jax embedding trials"


@dataclass(frozen=True)
class Pairs:
    """All that was measured.

    Attributes:
        rows: plain rows, one a task, strong model, weak model and split.
        about: task -> its title, sizes, "strong": each strong model's ``CEILING`` over splits, and "seconds": predictor
            -> what it takes for one more weak model; empty where no strong model is above chance.
    """

    rows: Sequence[Mapping[str, Any]]
    about: Mapping[str, Mapping[str, Any]]


def above_chance(ceiling: Mapping[str, Sequence[float]]) -> bool:
    """Whether a strong model that is fitted on true labels is better than their mean, with 95% confidence.

    Splits share their rows: the standard error of one is taken for that of the average.
    """
    return float(np.mean(ceiling["lead"])) > CONFIDENT * float(np.mean(ceiling["standard_error"]))


def write_trials(path: Path, pairs: Pairs, made_from: Mapping[str, Any]) -> None:
    """Write every row, what is known of tasks, and what it was made from."""
    names = list(dict.fromkeys(name for row in pairs.rows for name in row if name not in (*KEYS, RESAMPLED)))
    numbers = {name: pa.array([row.get(name) for row in pairs.rows], pa.float32(), from_pandas=False) for name in names}
    keys = {name: pa.array([row[name] for row in pairs.rows], pa.int32() if name == "split" else None) for name in KEYS}
    again = {RESAMPLED: pa.array([row.get(RESAMPLED) for row in pairs.rows], pa.list_(pa.float32()))}
    metadata = {_KEY: json.dumps({"about": pairs.about, "made_from": made_from})}
    table = pa.table(keys | numbers | again).replace_schema_metadata(metadata)
    words = [name for name in KEYS if name != "split"]
    encoding: dict[str, Any] = {"use_dictionary": words, "use_byte_stream_split": [*names, f"{RESAMPLED}.list.element"]}
    encoding |= {"compression": "zstd", "write_page_checksum": True}
    with replacing(path) as temporary:
        pq.write_table(table, temporary, **encoding)


def read_trials(path: Path) -> tuple[Pairs, Mapping[str, Any]]:
    """Read what ``write_trials`` wrote: the pairs, and what they were made from.

    Raises:
        InputError: the file is missing, damaged or of another kind.
    """
    try:
        table = pq.read_table(path, page_checksum_verification=True)
        said = json.loads((table.schema.metadata or {})[_KEY])
        pairs, made_from = Pairs([], said["about"]), said["made_from"]
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: not a whole file of trials ({error}); measure them, without --from-trials") from None
    if lacking := [name for name in KEYS if name not in table.column_names]:
        raise InputError(f"{path}: no column {', '.join(lacking)}; measure trials again, without --from-trials")
    rows = [{name: value for name, value in row.items() if value is not None} for row in table.to_pylist()]
    return Pairs(rows, pairs.about), made_from
