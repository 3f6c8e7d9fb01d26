"""A model of what a run costs: a pure function of the job and of the device that does it."""

from dataclasses import dataclass

import numpy as np

from w2sg_jax.bench import pass_work
from w2sg_jax.second_moments.accumulator import rows_of_block

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
    block = block_rows(job)
    work = pass_work(
        job.n / rows,
        weak,
        target,
        dtype=job.dtype,
        itemsize=job.itemsize,
        symmetric=job.host,
        block_rows=block,
    )
    entries = sum(w * w + w * target for w in weak) + target**2
    sums = 8 * entries / job.columns
    adding = work.adding / job.columns
    collective = 2 * (rows - 1) / rows * (2 * 8 * width * job.n / rows / block + sums)
    flops, read = work.flops / job.columns, job.n / rows * width * job.itemsize
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
        memory=sums + block * width * (job.itemsize + np.dtype(job.dtype).itemsize),
        read=read,
        **seconds,
        pass_s=max(computing, seconds["reading_s"]),
        norm_s=job.models * norm_seconds(job.d_weak, job.d_strong, device),
    )


def block_rows(job: Job) -> int:
    """Samples a block of one device."""
    return rows_of_block(job.models * job.d_weak + job.d_strong, job.dtype, host=job.host)


def norm_seconds(d_weak: int, d_strong: int, device: Device) -> float:
    """The gap norm by ``leading_gap``: three Cholesky factors, two inverses, and products with stored matrices."""
    flops = (d_weak**3 + 2 * d_strong**3) / 3 + 2 * (d_weak**3 + d_strong**3) / 3
    # R, M_s^-1 and M_w^-1 twice each, half a matrix; Sigma_sw twice, whole.
    read = 8 * PRODUCTS * (2 * d_strong**2 + d_weak**2 + 2 * d_weak * d_strong)
    return flops / (device.gram_flops or device.flops) + read / device.bandwidth


H100 = Device(
    "H100 SXM", "NVIDIA H100 data sheet: float64 by tensor cores and float32 67 TFLOP/s, HBM3 3.35 TB/s", 67e12, 3.35e12
)
TPU_V5P = Device(
    "TPU v5p",
    "Google Cloud TPU v5p page: bfloat16 459 TFLOP/s, of which a float32 product takes six passes; HBM 2.765 TB/s",
    459e12 / 6,
    2.765e12,
    memory=95e9,
)
