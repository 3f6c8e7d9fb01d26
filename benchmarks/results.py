"""Where benchmarks leave their results: one JSON a benchmark and device, from which the tables of the documentation are
made."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jax

from w2sg_jax.report.record import checkout_of, record, to_json
from w2sg_jax.store.atomic import write_text

RESULTS = Path(__file__).parent / "results"


def folder_of(out: Path | None) -> Path:
    """The folder that was asked for, or that of this machine's device; made if need be."""
    folder = out or RESULTS / jax.devices()[0].device_kind.replace(" ", "-").lower()
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def save(name: str, config: Any, result: dict[str, Any]) -> dict[str, Any]:
    """Write NAME.json with settings, versions, device, cores, threads of BLAS where set, and commit; return the record.

    Args:
        name: of the benchmark.
        config: a dataclass with a field ``out``, the folder or None.
        result: what was measured.
    """
    settings = asdict(config) | {"out": str(config.out) if config.out else None}
    entry = record(f"benchmarks.{name}", settings, {}, result) | {
        **checkout_of(Path(__file__)),
        "cores": os.cpu_count(),
    }
    entry["blas_threads"] = os.environ.get("OPENBLAS_NUM_THREADS")
    write_text(folder_of(config.out) / f"{name}.json", to_json(entry) + "\n")
    return entry
