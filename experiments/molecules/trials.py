"""What was measured, in one small file, from which tables and figures are made again in seconds.

A row for each data set and weak model; a column for each quantity, which holds a number for each split. Numbers are
float32: trials repeat to seven digits on no two machines.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from w2sg_jax import InputError
from w2sg_jax.store.atomic import replacing

from .bundle import STRONG, WEAK, zoo_hash
from .measure import DELTAS, MAPPED, MEASURED, RIDGE, RIDGES, THRESHOLDS, measure

TRIALS = "trials.parquet"
BY_SPLIT = (*MEASURED, *MAPPED, "cka")
"""Lists over splits."""
COUNTS = ("width", "molecules")
_KEY = b"w2sg_jax molecular trials"
_MAP = "map_"
"""Prefix of a mean over splits for each ridge and threshold, ridges first."""

Measured = dict[str, dict[str, dict[str, Any]]]
"""Data set -> weak model -> result of ``measure``."""
Provenance = dict[str, Any]
"""What trials depend on."""


def provenance(zoo: Path, splits: int, seed: int) -> Provenance:
    """What trials depend on: the files of a zoo, the splits, and what ``measure`` does with them.

    Raises:
        InputError: a file of the zoo is missing or damaged.
    """
    files = {name: zoo_hash(zoo / name) for name in (WEAK, STRONG)}
    made_by = {"measure": measure.version, "ridge": RIDGE, "ridges": RIDGES, "thresholds": THRESHOLDS}
    return json.loads(json.dumps({"files": files, "splits": splits, "seed": seed, **made_by}))


def write_trials(path: Path, measured: Measured, made_from: Provenance) -> None:
    """Write every result, and what it was made from."""
    rows = [
        {
            "data": data,
            "model": model,
            **{name: result[name] for name in (*COUNTS, *DELTAS, *BY_SPLIT)},
            **{f"{_MAP}{name}": np.ravel(result["maps"][name]).tolist() for name in MAPPED},
        }
        for data, results in measured.items()
        for model, result in results.items()
    ]
    table = pa.Table.from_pylist(rows, schema=_schema()).replace_schema_metadata({_KEY: json.dumps(made_from)})
    split_bytes = [f"{name}.list.element" for name in _lists()]
    encoding: dict[str, Any] = {"use_dictionary": ["data", "model"], "use_byte_stream_split": split_bytes}
    encoding |= {"compression": "zstd", "write_page_checksum": True}
    with replacing(path) as temporary:
        pq.write_table(table, temporary, **encoding)


def read_trials(path: Path) -> tuple[Measured, Provenance]:
    """Read what ``write_trials`` wrote.

    Raises:
        InputError: the file is damaged, of another kind, or holds numbers that are not finite.
    """
    try:
        table = pq.read_table(path, page_checksum_verification=True)
        made_from = json.loads((table.schema.metadata or {})[_KEY])
    except (OSError, pa.ArrowException, KeyError, ValueError) as error:
        raise InputError(f"{path}: not a whole file of trials ({error}); fetch it again or pass --measure") from None
    if not table.schema.equals(_schema()):
        raise InputError(f"{path}: other columns than those of {_KEY.decode()}; pass --measure")
    measured: Measured = {}
    for row in table.to_pylist():
        measured.setdefault(row["data"], {})[row["model"]] = _result(row, made_from.get("splits"), path)
    return measured, made_from


def _result(row: Mapping[str, Any], splits: int | None, path: Path) -> dict[str, Any]:
    """A row as ``measure`` gave it."""
    shape = len(RIDGES), len(THRESHOLDS)
    sizes = dict.fromkeys(DELTAS, 1) | dict.fromkeys(BY_SPLIT, splits)
    sizes |= {f"{_MAP}{name}": shape[0] * shape[1] for name in MAPPED}
    numbers = {name: np.array(row[name], np.float64) for name in sizes}
    if any(numbers[name].size != size or not np.isfinite(numbers[name]).all() for name, size in sizes.items()):
        raise InputError(f"{path}: {row['model']} on {row['data']} is not complete; pass --measure")
    return {
        **{name: row[name] for name in (*COUNTS, *DELTAS)},
        **{name: numbers[name].tolist() for name in BY_SPLIT},
        "maps": {name: numbers[f"{_MAP}{name}"].reshape(shape).tolist() for name in MAPPED},
    }


def _lists() -> tuple[str, ...]:
    return (*BY_SPLIT, *(f"{_MAP}{name}" for name in MAPPED))


def _schema() -> pa.Schema:
    text, counts = [(name, pa.string()) for name in ("data", "model")], [(name, pa.int32()) for name in COUNTS]
    numbers = [(name, pa.float32()) for name in DELTAS]
    return pa.schema([*text, *counts, *numbers, *((name, pa.list_(pa.float32())) for name in _lists())])
