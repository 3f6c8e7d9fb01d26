"""How time and memory grow: in samples n, in width d, in the number of weak models, in devices.

    python -m benchmarks.scaling

Claims: linear in n with memory that does not grow with it, cubic in d, linear in the number of models with the strong
model's share paid once. Exponents are fitted to the larger points; the machine's own line (products at the measured
matrix-product rate, or memory traffic at the measured bandwidth, whichever takes longer) is drawn beside each.
"""

import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
import tyro

import w2sg_jax as w2sg
from benchmarks.children import in_child
from benchmarks.problems import synthetic_moments
from benchmarks.results import folder_of, save
from benchmarks.scaling_figure import figure
from w2sg_jax.bench import Machine, measure_machine, pair, pass_work, timed
from w2sg_jax.numerics.backend import on_cpu
from w2sg_jax.report.style import draw
from w2sg_jax.report.tables import markdown_table, table
from w2sg_jax.second_moments.from_arrays import accumulate
from w2sg_jax.terminal.console import standard_output

WARMED = 4096
"""Widest pair that is run more than once."""
FITTED = 3
"""Largest points to which an exponent is fitted."""


@dataclass(frozen=True)
class Config:
    """What is measured, and where the result goes."""

    n: tuple[int, ...] = (1_000, 10_000, 100_000, 1_000_000, 10_000_000)
    """Samples, float16 on disk."""
    n_widths: tuple[int, int] = (64, 128)
    """Widths of their pair."""
    d_gap: tuple[int, ...] = (256, 512, 1024, 2048, 4096)
    """Widths at which the whole gap is timed, from moments."""
    d_leading: tuple[int, ...] = (256, 512, 1024, 2048, 4096, 8192, 16_384)
    """Widths at which the gap norm alone is timed, from moments."""
    models: tuple[int, ...] = (1, 2, 5, 10, 20, 50)
    """Weak models against one strong model."""
    models_n: int = 16_384
    """Their samples."""
    models_widths: tuple[int, int] = (128, 256)
    """Width of each weak model and of the strong one."""
    devices: tuple[int, ...] = (1, 2, 4, 8)
    """Devices that share the pass over the samples; on a CPU virtual ones."""
    devices_n: int = 32_768
    """Their samples."""
    devices_width: int = 256
    """Width of both representations there."""
    ridge: float = 1e-2
    """Ridge, in units of unit trace."""
    memory_gib: float = 16.0
    """Points that are estimated to need more are left out; the record says which."""
    disk_gib: float = 4.0
    """The same for files in the temporary folder."""
    product: int = 2048
    """Rows and columns of the matrices whose product is the limit."""
    at_least: float = 1.0
    """Seconds for each measurement of the limits."""
    out: Path | None = None
    """Folder for JSON and figure; by default benchmarks/results/<device>."""


def main(config: Config) -> dict[str, Any]:
    """Run the benchmark and return its record."""
    console = standard_output()
    machine = measure_machine(size=config.product, at_least=config.at_least)
    parts: dict[str, Callable[[Config, Machine], list[dict[str, Any]]]] = {
        "n": in_samples,
        "d": in_width,
        "models": in_models,
        "devices": in_devices,
    }
    result: dict[str, Any] = {"limits": asdict(machine)}
    for name, part in parts.items():
        with console.status(f"scaling in {name}"):
            rows = part(config, machine)
        result[name] = {"rows": rows, "exponents": exponents(rows, name)}
        fitted = ", ".join(f"{key} {value:.2f}" for key, value in result[name]["exponents"].items())
        caption = f"exponents over the largest points: {fitted}" if fitted else ""
        console.print(table(f"Scaling in {name}", *_cells(name, result[name]), caption=caption, words=()))
    entry = save("scaling", config, result)
    draw(folder_of(config.out) / "scaling.png", lambda: figure(entry["result"]), console)
    return entry


def in_samples(config: Config, machine: Machine) -> list[dict[str, Any]]:
    """Files of float16, each read in a fresh process."""
    rows = []
    for n in config.n:
        size = 2 * n * sum(config.n_widths)
        if size > config.disk_gib * 2**30:
            rows.append({"n": n, "skipped": f"{size / 2**30:.1f} GiB on disk"})
            continue
        with tempfile.TemporaryDirectory(prefix="w2sg-scaling-") as folder:
            weak, strong = _files(Path(folder), n, config.n_widths)
            found = in_child(
                "gap_of_files", weak=weak, strong=strong, ridge=config.ridge, repeats=3 if n <= 1_000_000 else 0
            )
        hardware = _hardware(machine, n, [config.n_widths[0]], config.n_widths[1], 2)
        rows.append({"n": n, **found, "seconds": found["moments_s"] + found["gap_s"], "hardware_s": hardware})
    return rows


def in_width(config: Config, machine: Machine) -> list[dict[str, Any]]:
    """From moments of (d, d) pairs; the machine's line is that of the three factorisations of ``leading_gap``."""
    rows = []
    for d in sorted({*config.d_gap, *config.d_leading}):
        # The joint moment and half as much again for leading_gap, one and a half times as much for gap.
        needed = 8 * (2 * d) ** 2 * (2.5 if d in config.d_gap else 1.5) / 2**30
        row: dict[str, Any] = {"d": d, "memory_estimate_gib": needed}
        if needed > config.memory_gib:
            rows.append(row | {"skipped": f"{needed:.1f} GiB of memory estimated"})
            continue
        m = synthetic_moments(d)
        if d in config.d_gap:
            row["gap_s"] = _seconds(d, lambda m=m: w2sg.gap(m, config.ridge))
        if d in config.d_leading:
            row["leading_s"] = _seconds(d, lambda m=m: w2sg.leading_gap(m, config.ridge))
        rows.append(row | {"hardware_s": 7 / 3 * d**3 / machine.flops["float64"]})
    return rows


def in_models(config: Config, machine: Machine) -> list[dict[str, Any]]:
    """One pass over the samples for many weak models."""
    d_weak, d_strong = config.models_widths
    weak, strong = pair(config.models_n, d_weak, d_strong)
    rows = []
    for count in config.models:
        timing = timed(lambda count=count: accumulate([weak] * count, [strong]), repeats=3)
        hardware = _hardware(machine, config.models_n, [d_weak] * count, d_strong, 4)
        rows.append({"models": count, "seconds": timing.median, "hardware_s": hardware})
    return rows


def in_devices(config: Config, machine: Machine) -> list[dict[str, Any]]:
    """The pass shared by devices: real ones, or virtual ones of a CPU, which share its cores."""
    virtual = on_cpu()
    rows = []
    for count in config.devices:
        if not virtual and count > jax.device_count():
            rows.append({"devices": count, "skipped": f"there are {jax.device_count()}"})
            continue
        found = in_child(
            "moments_on_devices",
            devices=count if virtual else None,
            count=count,
            n=config.devices_n,
            width=config.devices_width,
            repeats=3,
        )
        width = config.devices_width
        work = pass_work(config.devices_n, [width], width, dtype="float64", itemsize=4, symmetric=False)
        used = min(count, os.cpu_count() or 1) / (os.cpu_count() or 1) if virtual else count
        hardware = work.flops / machine.flops["float64"] / used
        rows.append(found | {"virtual": virtual, "cores": os.cpu_count(), "hardware_s": hardware})
    return rows


def _seconds(d: int, run: Callable[[], Any]) -> float:
    """The best of three runs after one that warms up; of the widest, which take minutes, the first and only one."""
    if d <= WARMED:
        return timed(run, repeats=3 if d <= WARMED // 2 else 1).low
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def exponents(rows: Sequence[dict[str, Any]], axis: str) -> dict[str, float]:
    """Slope of log time against log size, over the largest points, for each time that was measured."""
    found = {}
    for name in ("seconds", "moments_s", "gap_s", "leading_s", "memory_mib"):
        points = np.array([(row[axis], row[name]) for row in rows if row.get(name)][-FITTED:], float)
        if len(points) == FITTED:
            found[name] = float(np.polyfit(np.log(points[:, 0]), np.log(points[:, 1]), 1)[0])
    return found


def markdown(entry: dict[str, Any]) -> str:
    """The result for its page of the documentation."""
    parts = []
    for name in ("n", "d", "models", "devices"):
        part = entry["result"][name]
        fitted = ", ".join(f"{_HEADINGS[key][0]} {value:.2f}" for key, value in part["exponents"].items())
        parts.append(markdown_table(*_cells(name, part)) + (f"\n\nFitted exponents: {fitted}." if fitted else ""))
    return "\n\n".join(parts)


_HEADINGS = {
    "seconds": ("time", "{:.3g} s"),
    "moments_s": ("moments", "{:.3g} s"),
    "gap_s": ("`gap`", "{:.3g} s"),
    "leading_s": ("`leading_gap`", "{:.3g} s"),
    "hardware_s": ("the machine's line", "{:.3g} s"),
    "memory_mib": ("memory beyond the files", "{:.0f} MiB"),
}


def _cells(name: str, part: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    shown = [key for key in _HEADINGS if any(key in row for row in part["rows"])]
    rows = []
    for row in part["rows"]:
        cells = [_HEADINGS[key][1].format(row[key]) if row.get(key) is not None else "" for key in shown]
        if "skipped" in row and cells:
            cells[0] = f"left out: {row['skipped']}"
        rows.append([str(row[name]), *cells])
    return [name, *(_HEADINGS[key][0] for key in shown)], rows


def _hardware(machine: Machine, n: int, weak: Sequence[int], target: int, itemsize: int) -> float:
    """What the machine itself needs: products or memory traffic, whichever takes longer."""
    symmetric = on_cpu()
    work = pass_work(n, weak, target, dtype="float64", itemsize=itemsize, symmetric=symmetric)
    return max(work.flops / machine.flops["float64"], work.traffic / machine.bandwidth)


def _files(folder: Path, n: int, widths: tuple[int, int]) -> tuple[str, str]:
    """A pair in float16, written a tile at a time."""
    tile = pair(min(n, 65_536), *widths, "float16")
    paths = []
    for name, array in zip(("weak.npy", "strong.npy"), tile, strict=True):
        path = folder / name
        out = np.lib.format.open_memmap(path, "w+", np.float16, (n, array.shape[1]))
        for start in range(0, n, len(array)):
            out[start : start + len(array)] = array[: n - start]
        out.flush()
        paths.append(str(path))
    return paths[0], paths[1]


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
