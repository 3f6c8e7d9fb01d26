"""The share of the machine's limit: moments beside its matrix-product rate, and the whole gap beside the moments.

    python -m benchmarks.limits

Claims: for d >= 1024 the moments of a (d, d) pair run at 75% or more of the matrix-product rate that is measured right
before and after, in the same precision; at n = 10^6 the whole gap takes at most 1.3 times the moments. Operations are
counted twice: those that are computed (half of each symmetric product on a CPU, all on an accelerator), and those of
three full products.
"""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import tyro

import w2sg_jax as w2sg
from benchmarks.results import save
from w2sg_jax.bench import measure_machine, pair, pass_work, product_rate, timed
from w2sg_jax.numerics.backend import on_cpu
from w2sg_jax.report.tables import markdown_table, table
from w2sg_jax.terminal.console import standard_output

LEAST_SHARE, MOST_TIMES = 0.75, 1.3
HEADINGS = ("d", "precision", "n", "moments [s]", "limit [GFLOP/s]", "share", "counting full products")


@dataclass(frozen=True)
class Config:
    """What is measured, and where the result goes."""

    widths: tuple[int, ...] = (1024, 2048, 4096)
    """Width of both representations."""
    dtypes: tuple[str, ...] = ("float64", "float32")
    """Precision of the products."""
    flops: float = 2e12
    """Operations of a pass, about; there are always eight times as many samples as columns of a pair."""
    repeats: int = 1
    """Passes after the first; the median is kept, like that of the product."""
    product: int = 4096
    """Rows and columns of the matrices whose product is the limit."""
    at_least: float = 2.0
    """Seconds for each measurement of the limit."""
    whole_n: int = 1_000_000
    """Samples of the whole gap; 0 to leave it out."""
    whole_widths: tuple[int, int] = (384, 768)
    """Widths of its pair."""
    out: Path | None = None
    """Folder for the JSON; by default benchmarks/results/<device>."""


def main(config: Config) -> dict[str, Any]:
    """Run the benchmark and return its record."""
    console = standard_output()
    machine = measure_machine(size=config.product, at_least=config.at_least)
    rows = []
    for d in config.widths:
        for dtype in config.dtypes:
            with console.status(f"d = {d}, {dtype}"):
                rows.append(time_pass(d, dtype, config))
    whole = None
    if config.whole_n:
        with console.status(f"gap of {config.whole_widths}, n = {config.whole_n}"):
            whole = time_whole_gap(config)
    entry = save("limits", config, {"limits": asdict(machine), "rows": rows, "whole": whole})
    title = f"Moments of a (d, d) pair: share of the matrix-product rate, at least {LEAST_SHARE:.0%}"
    console.print(table(title, HEADINGS, map(_cells, rows), caption=_whole(whole) if whole else "", words=(1,)))
    return entry


def time_pass(d: int, dtype: str, config: Config) -> dict[str, Any]:
    """One width and precision, between two measurements of the limit."""
    n = max(16 * d, int(config.flops / (4 * d * d)))
    weak, strong = pair(n, d, d)
    limit = product_rate(dtype, size=config.product, at_least=config.at_least)
    timing = timed(lambda: w2sg.moments(weak, strong, dtype=dtype), repeats=config.repeats)
    limit = max(limit, product_rate(dtype, size=config.product, at_least=config.at_least))
    work = pass_work(n, [d], d, dtype=dtype, itemsize=4, symmetric=on_cpu())
    share = work.flops / timing.median / limit
    return {
        "d": d,
        "n": n,
        "dtype": dtype,
        "seconds": timing.median,
        "limit_flops": limit,
        "share": share,
        "share_of_full_products": work.flops_full / timing.median / limit,
        "holds": share >= LEAST_SHARE,
    }


def time_whole_gap(config: Config) -> dict[str, Any]:
    """Moments of many samples, kept as float16, and the gap, which does not depend on n."""
    weak, strong = pair(config.whole_n, *config.whole_widths, "float16")
    moments = timed(lambda: w2sg.moments(weak, strong), repeats=1)
    m = w2sg.moments(weak[: 4 * sum(config.whole_widths)], strong[: 4 * sum(config.whole_widths)])
    gap = timed(lambda: w2sg.gap(m), repeats=config.repeats)
    times = (moments.median + gap.median) / moments.median
    return {
        "n": config.whole_n,
        "widths": config.whole_widths,
        "moments_s": moments.median,
        "gap_s": gap.median,
        "times_the_moments": times,
        "holds": times <= MOST_TIMES,
    }


def markdown(entry: dict[str, Any]) -> str:
    """The result for its page of the documentation."""
    made = markdown_table(HEADINGS, map(_cells, entry["result"]["rows"]))
    whole = entry["result"]["whole"]
    return made if whole is None else f"{made}\n\n{_whole(whole)}"


def _cells(row: dict[str, Any]) -> list[str]:
    shares = f"{row['share']:.0%}", f"{row['share_of_full_products']:.0%}"
    return [
        str(row["d"]),
        row["dtype"],
        str(row["n"]),
        f"{row['seconds']:.2f}",
        f"{row['limit_flops'] / 1e9:.0f}",
        *shares,
    ]


def _whole(whole: dict[str, Any]) -> str:
    weak, strong = whole["widths"]
    return (
        f"At n = {whole['n']} and widths {weak} and {strong} the whole gap takes {whole['times_the_moments']:.2f} times"
        f" the moments ({whole['moments_s']:.1f} s + {whole['gap_s']:.2f} s)."
    )


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
