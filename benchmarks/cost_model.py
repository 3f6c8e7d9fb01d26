"""What a run costs on machines that are not at hand: operations, bytes, traffic between devices, memory.

    python -m benchmarks.cost_model

The model (benchmarks/cost.py) is held against times that are measured here, with the limits that are measured here;
what it says of other devices rests on their vendors' numbers, and is no measurement.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import tyro

import w2sg_jax as w2sg
from benchmarks.cost import H100, TPU_V5P, Device, Job, block_rows, cost
from benchmarks.problems import synthetic_moments
from benchmarks.results import save
from w2sg_jax.bench import Machine, measure_machine, pair, pass_work, preparing_seconds, product_rate, timed
from w2sg_jax.numerics.backend import on_cpu
from w2sg_jax.report.tables import markdown_table, table
from w2sg_jax.second_moments.from_arrays import PassOptions, accumulate
from w2sg_jax.terminal.console import standard_output

WITHIN = 0.25
"""Of the measured time: how far the model may be off."""


@dataclass(frozen=True)
class Config:
    """What is measured, what is projected, and where the result goes."""

    widths: tuple[int, ...] = (512, 1024, 2048)
    """Widths of the measured pairs."""
    models: int = 8
    """Weak models of the measured pass over many."""
    flops: float = 1e12
    """Operations of each measured pass, about."""
    product: int = 2048
    """Rows and columns of the matrices whose product is the limit."""
    at_least: float = 1.0
    """Seconds for each measurement of the limits."""
    n: float = 1e9
    """Samples of the projected job."""
    d: int = 16_384
    """Widths of the projected pair."""
    devices: tuple[int, ...] = (64, 512)
    """Accelerators that it is projected for."""
    link: float = 50e9
    """Bytes a second from each of them to the others (one 400 Gb/s port)."""
    reading: float = 2e9
    """Bytes a second at which samples reach each of them: an assumption on storage."""
    out: Path | None = None
    """Folder for the JSON; by default benchmarks/results/<device>."""


def main(config: Config) -> dict[str, Any]:
    """Run the benchmark and return its record."""
    console = standard_output()
    with console.status("measuring"):
        machine = measure_machine(size=config.product, at_least=config.at_least)
        points = measured(config, machine)
    worst = max(abs(point["ratio"] - 1) for point in points)
    result = {
        "limits": asdict(machine),
        "points": points,
        "worst": worst,
        "holds": worst <= WITHIN,
        "projection": projection(config),
    }
    entry = save("cost_model", config, result)
    for title, (headings, rows) in _tables(entry).items():
        console.print(table(title, headings, rows))
    return entry


def measured(config: Config, machine: Machine) -> list[dict[str, Any]]:
    """Times of this machine beside the model with this machine's rates, measured for products of the same shape."""
    host = on_cpu()
    points = []
    for d in config.widths:
        for dtype in ("float64", "float32"):
            n = max(8 * d, int(config.flops / (4 * d * d)))
            weak, strong = pair(n, d, d)
            job = Job(n, d, d, dtype=dtype, itemsize=4, host=host)
            run = lambda weak=weak, strong=strong, dtype=dtype: accumulate([weak], [strong], PassOptions(dtype=dtype))  # noqa: E731
            points.append(_point(f"moments of ({d}, {d}), {dtype}", run, job, machine, config, "pass_s"))
    d = config.widths[0]
    n = max(8 * d, int(config.flops / (3 * config.models * d * d)))
    weak, strong = pair(n, d, d)
    job = Job(n, d, d, models=config.models, itemsize=4, host=host)
    run = lambda: accumulate([weak] * config.models, [strong])  # noqa: E731
    points.append(_point(f"moments of {config.models} weak models, ({d}, {d})", run, job, machine, config, "pass_s"))
    d = config.widths[-1]
    m = synthetic_moments(d)
    job = Job(10 * d, d, d, host=host)
    points.append(_point(f"leading gap of ({d}, {d})", lambda: w2sg.leading_gap(m), job, machine, config, "norm_s"))
    return points


def _point(name: str, run: Callable[[], Any], job: Job, machine: Machine, config: Config, part: str) -> dict[str, Any]:
    seconds = timed(run, repeats=1).median
    rows = None if part == "norm_s" else block_rows(job)
    shape: dict[str, Any] = {"size": job.d_strong, "rows": rows, "at_least": config.at_least / 4}
    # The host computes a single pair as one symmetric product.
    joint = rows is not None and job.host and job.models == 1
    gram_shape = shape | {"size": job.d_weak + job.d_strong} if joint else shape
    here = Device(
        machine.device,
        "measured",
        product_rate(job.dtype, **shape),
        machine.bandwidth,
        gram_flops=product_rate(job.dtype, symmetric=job.host, **gram_shape),
        preparing=_preparing_rate(job, config.at_least / 4),
    )
    model = getattr(cost(job, here), part)
    return {"name": name, "job": asdict(job), "measured_s": seconds, "model_s": model, "ratio": model / seconds}


def _preparing_rate(job: Job, at_least: float) -> float | None:
    """Bytes a second, as ``pass_work`` counts them, while the strong model's samples are cast and centred."""
    samples, _ = pair(min(int(job.n), 1 << 14), job.d_strong, job.d_strong)
    seconds = preparing_seconds(samples, job.dtype, at_least=at_least)
    work = pass_work(len(samples), [], job.d_strong, dtype=job.dtype, itemsize=4, symmetric=job.host)
    return work.preparing / seconds if seconds else None


def projection(config: Config) -> list[dict[str, Any]]:
    """The model of one large pair on accelerators that are not at hand."""
    rows = []
    for device, dtype in ((H100, "float64"), (H100, "float32"), (TPU_V5P, "float32")):
        for devices in config.devices:
            job = Job(config.n, config.d, config.d, devices=devices, dtype=dtype)
            used = replace(device, link=config.link, reading=config.reading)
            rows.append({"device": asdict(used), "job": asdict(job), "cost": asdict(cost(job, used))})
    return rows


def markdown(entry: dict[str, Any]) -> str:
    """The result for its page of the documentation."""
    settings, result = entry["settings"], entry["result"]
    tables = _tables(entry)
    (first, points), (second, rows) = tables.items()
    assumed = sorted({row["device"]["source"] for row in result["projection"]})
    note = (
        f"A model, not a measurement. Assumed: {'; '.join(assumed)}; links {settings['link'] / 1e9:.0f} GB/s; float16"
        f" samples reach each device at {settings['reading'] / 1e9:g} GB/s."
    )
    return f"{first}:\n\n{markdown_table(*points)}\n\n{second}:\n\n{markdown_table(*rows)}\n\n{note}"


def _tables(entry: dict[str, Any]) -> dict[str, tuple[list[str], list[list[str]]]]:
    settings, result = entry["settings"], entry["result"]
    points = [
        [point["name"], f"{point['measured_s']:.3g} s", f"{point['model_s']:.3g} s", f"{point['ratio']:.2f}"]
        for point in result["points"]
    ]
    rows = [_projected(row) for row in result["projection"]]
    d = settings["d"]
    return {
        "Model and measurement on this machine": (["", "measured", "model", "ratio"], points),
        f"Model of {settings['n']:.0e} samples, widths {d} and {d}": (
            ["devices", "precision", "products", "memory", "links", "reading", "pass", "norm", "memory a device"],
            rows,
        ),
    }


def _projected(row: dict[str, Any]) -> list[str]:
    job, found = row["job"], row["cost"]
    names = ("products_s", "traffic_s", "collective_s", "reading_s", "pass_s", "norm_s")
    times = [f"{found[name]:.3g} s" for name in names]
    return [f"{job['devices']} × {row['device']['name']}", job["dtype"], *times, f"{found['memory'] / 1e9:.1f} GB"]


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
