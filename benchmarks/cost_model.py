"""What a run costs on machines that are not at hand: operations, bytes, traffic between devices, memory.

    python -m benchmarks.cost_model

The model is a pure function of a job and of a device. It is held against times that are measured here, with the limits
that are measured here; what it says of other devices rests on their vendors' numbers, and is no measurement.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import jax
import numpy as np
import rich.console
import rich.table
import tyro

import w2sg_jax as w2sg
from benchmarks.results import markdown_table, save
from benchmarks.scaling import synthetic_moments
from w2sg_jax._pass import BLOCK_BYTES, DEVICE_BLOCK_BYTES, FEWEST_ROWS
from w2sg_jax._streaming import accumulate
from w2sg_jax.bench import Machine, measure_machine, pair, pass_work, preparing_seconds, product_rate, timed

WITHIN = 0.25
"""Of the measured time: how far the model may be off."""
PRODUCTS = 75
"""Times that ``leading_gap`` applies its operator, as measured at widths of 512 to 4096."""


@dataclass(frozen=True)
class Job:
    """What is computed.

    Attributes:
        n: samples.
        d_weak, d_strong: widths.
        models: weak models of that width.
        devices: that share the samples.
        columns: of them, how many share each sum's columns.
        dtype: precision of the products.
        itemsize: bytes of a number as it comes.
        host: whether a CPU does the work: half of a symmetric product is saved.
    """

    n: float
    d_weak: int
    d_strong: int
    models: int = 1
    devices: int = 1
    columns: int = 1
    dtype: str = "float64"
    itemsize: int = 2
    host: bool = False


@dataclass(frozen=True)
class Device:
    """One device.

    Attributes:
        name, source: what it is, and where its numbers are from.
        flops: operations a second in the job's precision.
        bandwidth: bytes a second of its memory.
        gram_flops: operations a second of symmetric products of which half is computed; None for ``flops``.
        preparing: bytes a second while samples are cast and centred; None for ``bandwidth``.
        link: bytes a second to other devices.
        reading: bytes a second at which samples reach it.
        memory: its bytes.
    """

    name: str
    source: str
    flops: float
    bandwidth: float
    gram_flops: float | None = None
    preparing: float | None = None
    link: float = 50e9
    reading: float = 2e9
    memory: float = 80e9


@dataclass(frozen=True)
class Cost:
    """Of a job, for each device; times assume that nothing overlaps but reading ahead.

    Attributes:
        flops, traffic: of the pass: operations, and bytes between memory and cores.
        collective: bytes that the device sends to others.
        memory: bytes that it holds.
        read: bytes of samples that reach it.
        products_s, traffic_s, collective_s, reading_s: seconds for each.
        pass_s: all of the pass: reading, or the rest where that takes longer.
        norm_s: the gap norms from the moments, on one device for all models.
    """

    flops: float
    traffic: float
    collective: float
    memory: float
    read: float
    products_s: float
    traffic_s: float
    collective_s: float
    reading_s: float
    pass_s: float
    norm_s: float


def cost(job: Job, device: Device) -> Cost:
    """The model.

    A row device has n / rows of the samples and all columns of them; of the sums it has 1 / columns. Means are agreed
    upon twice a block; sums are added up once. Both over row devices, in a ring.
    """
    rows = job.devices // job.columns
    weak, target = [job.d_weak] * job.models, job.d_strong
    width = sum(weak) + target
    block_rows = max(FEWEST_ROWS[job.dtype], (BLOCK_BYTES if job.host else DEVICE_BLOCK_BYTES) // (8 * width))
    work = pass_work(
        job.n / rows,
        weak,
        target,
        dtype=job.dtype,
        itemsize=job.itemsize,
        symmetric=job.host,
        block_rows=block_rows,
    )
    entries = sum(w * w + w * target for w in weak) + target**2
    sums = 8 * entries / job.columns
    adding = work.adding / job.columns
    collective = 2 * (rows - 1) / rows * (2 * 8 * width * job.n / rows / block_rows + sums)
    flops, read = work.flops / job.columns, job.n / rows * width * job.itemsize
    block = block_rows * width * (job.itemsize + 8 + np.dtype(job.dtype).itemsize)
    seconds = {
        "products_s": (work.grams / (device.gram_flops or device.flops) + work.crosses / device.flops) / job.columns,
        "traffic_s": work.preparing / (device.preparing or device.bandwidth) + adding / device.bandwidth,
        "collective_s": collective / device.link,
        "reading_s": 0.0 if job.host else read / device.reading,
    }
    computing = seconds["products_s"] + seconds["traffic_s"] + seconds["collective_s"]
    return Cost(
        flops=flops,
        traffic=work.preparing + adding,
        collective=collective,
        memory=sums + block,
        read=read,
        **seconds,
        pass_s=max(computing, seconds["reading_s"]),
        norm_s=job.models * norm_seconds(job.d_weak, job.d_strong, device),
    )


def norm_seconds(d_weak: int, d_strong: int, device: Device) -> float:
    """The gap norm by ``leading_gap``: three Cholesky factors, two inverses, and products with stored matrices."""
    flops = (d_weak**3 + 2 * d_strong**3) / 3 + 2 * (d_weak**3 + d_strong**3) / 3
    # Once each: R twice, M_s^-1 twice, Sigma_s, M_w^-1 twice, as half a matrix; Sigma_sw twice, whole.
    read = 8 * PRODUCTS * (2.5 * d_strong**2 + d_weak**2 + 2 * d_weak * d_strong)
    return flops / (device.gram_flops or device.flops) + read / device.bandwidth


H100 = Device("H100 SXM", "NVIDIA H100 data sheet: float64 by tensor cores 67 TFLOP/s, HBM3 3.35 TB/s", 67e12, 3.35e12)
TPU_V5P = Device(
    "TPU v5p",
    "Google Cloud TPU v5p page: bfloat16 459 TFLOP/s, of which a float32 product takes six passes; HBM 2.765 TB/s",
    459e12 / 6,
    2.765e12,
    memory=95e9,
)


@dataclass(frozen=True)
class Config:
    """What is measured, what is projected, and where the result goes."""

    widths: tuple[int, ...] = (512, 1024, 2048)
    """Widths of the measured pairs."""
    models: int = 8
    """Weak models of the measured pass over many."""
    flops: float = 1e11
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
    console = rich.console.Console()
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
        made = rich.table.Table(title=title)
        for heading in headings:
            made.add_column(heading, justify="right")
        for row in rows:
            made.add_row(*row)
        console.print(made)
    return entry


def measured(config: Config, machine: Machine) -> list[dict[str, Any]]:
    """Times of this machine beside the model with this machine's limits, measured again for each of them."""
    host = jax.default_backend() == "cpu"
    points = []
    for d in config.widths:
        for dtype in ("float64", "float32"):
            n = max(8 * d, int(config.flops / (4 * d * d)))
            weak, strong = pair(n, d, d)
            job = Job(n, d, d, dtype=dtype, itemsize=4, host=host)
            run = lambda weak=weak, strong=strong, dtype=dtype: accumulate([weak], [strong], dtype=dtype)  # noqa: E731
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
    seconds = timed(run, repeats=2).low
    rate = product_rate(job.dtype, size=config.product, at_least=config.at_least / 4)
    machine.flops[job.dtype] = max(rate, machine.flops[job.dtype])
    gram_rate = product_rate(job.dtype, size=job.d_strong, at_least=config.at_least / 4, symmetric=job.host)
    here = Device(
        machine.device,
        "measured",
        machine.flops[job.dtype],
        machine.bandwidth,
        gram_flops=gram_rate,
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
    """The result for the README."""
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
