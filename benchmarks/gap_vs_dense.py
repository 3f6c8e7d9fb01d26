"""The gap beside its dense definition: two n x n smoothers and an operator norm by SVD, in float64 NumPy.

    python -m benchmarks.gap_vs_dense

Both are checked to agree to 1e-9 before anything is timed. Times are after warm-up (compilation is reported apart),
synchronised, the median of the runs. Peak memory is that of a process of its own, beyond its input.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax
import matplotlib.figure
import numpy as np
import rich.console
import rich.table
import tyro

import w2sg_jax as w2sg
from w2sg_jax.atomic import write_text
from w2sg_jax.report.record import record, to_json

AGREEMENT = 1e-9


@dataclass(frozen=True)
class Config:
    """What is measured, and where the result goes."""

    d_weak: int = 384
    """Width of the weak representation."""
    d_strong: int = 768
    """Width of the strong representation."""
    dense_n: tuple[int, ...] = (1000, 2000, 3000, 6000)
    """Numbers of samples at which the dense definition is timed too."""
    ours_n: tuple[int, ...] = (20_000, 50_000, 100_000)
    """Numbers of samples at which only the moments route is timed."""
    ridge: float = 1e-2
    """Ridge, in units of unit trace."""
    repeats: int = 7
    """Runs of the moments route at each n; the dense definition runs once above n = 2000."""
    seed: int = 0
    """Seed of the samples."""
    out: Path | None = None
    """Folder for JSON and figure; by default benchmarks/results/<device>."""


def main(config: Config) -> dict[str, Any]:
    """Run the benchmark and return its record."""
    console = rich.console.Console()
    product_rate = matrix_product_rate()
    rows = []
    for n in sorted({*config.dense_n, *config.ours_n}):
        with console.status(f"n = {n}"):
            rows.append(measure(n, config, product_rate))
        console.print(_line(rows[-1]))
    device = jax.devices()[0].device_kind.replace(" ", "-").lower()
    result = {"matrix_product_gflops": product_rate / 1e9, "rows": rows, "slope": slope(rows)}
    settings = asdict(config) | {"out": str(config.out) if config.out else None}
    entry = record("benchmarks.gap_vs_dense", settings, {}, result) | {"commit": commit()}
    folder = config.out or Path(__file__).parent / "results" / device
    folder.mkdir(parents=True, exist_ok=True)
    write_text(folder / "gap_vs_dense.json", to_json(entry))
    figure(result, folder / "gap_vs_dense.png")
    console.print(table(result))
    console.print(f"written to {folder}")
    return entry


def samples(n: int, config: Config) -> tuple[np.ndarray, np.ndarray]:
    """A pair with power-law spectra that shares half of the weak directions, up to a tenth of noise."""
    rng = np.random.default_rng(config.seed)
    strong = rng.standard_normal((n, config.d_strong))
    weak = rng.standard_normal((n, config.d_weak))
    shared = min(config.d_weak, config.d_strong) // 2
    weak[:, :shared] = strong[:, :shared] + 0.1 * weak[:, :shared]
    weak *= np.arange(1, config.d_weak + 1.0) ** -0.5
    strong *= np.arange(1, config.d_strong + 1.0) ** -0.5
    return weak, strong


def dense_norm(weak: np.ndarray, strong: np.ndarray, ridge: float) -> float:
    """|P_s (I - P_w)|_op as it is written: n x n kernels, solves and an SVD."""
    n = len(weak)

    def smoother(h: np.ndarray) -> np.ndarray:
        h = h - h.mean(axis=0)
        kernel = h @ h.T / (h**2).sum()
        return np.linalg.solve(kernel + ridge * np.eye(n), kernel)

    p_strong = smoother(strong)
    return float(np.linalg.svd(p_strong - p_strong @ smoother(weak), compute_uv=False)[0])


def measure(n: int, config: Config, product_rate: float) -> dict[str, Any]:
    """Time one n; agreement first."""
    weak, strong = samples(n, config)
    row: dict[str, Any] = {"n": n}
    start = time.perf_counter()
    ours = w2sg.gap(w2sg.moments(weak, strong), config.ridge).norm
    first = time.perf_counter() - start
    if n in config.dense_n:
        start = time.perf_counter()
        truth = dense_norm(weak, strong, config.ridge)
        dense = [time.perf_counter() - start]
        row["relative_difference"] = abs(ours - truth) / truth
        if row["relative_difference"] > AGREEMENT:
            raise ArithmeticError(f"n = {n}: dense {truth!r}, ours {ours!r}; nothing is timed")
        dense += [_timed(lambda: dense_norm(weak, strong, config.ridge)) for _ in range(2 if n <= 2000 else 0)]
        row["dense_s"] = float(np.median(dense))
    total = [_timed(lambda: w2sg.gap(w2sg.moments(weak, strong), config.ridge)) for _ in range(config.repeats)]
    accumulate = [_timed(lambda: w2sg.moments(weak, strong)) for _ in range(config.repeats)]
    width = config.d_weak + config.d_strong
    row |= {
        "norm": ours,
        "ours_s": float(np.median(total)),
        "ours_spread_s": [min(total), max(total)],
        "first_call_s": first,
        "moments_s": float(np.median(accumulate)),
        "moments_share": _share(n * width * (width + 1), accumulate, product_rate) if n > width else None,
        "moments_share_plain": _share(2 * n * blocks_of(config), accumulate, product_rate) if n > width else None,
        "memory_beyond_input_mib": memory_beyond_input(weak, strong),
    }
    if "dense_s" in row:
        row["times_faster"] = row["dense_s"] / row["ours_s"]
    return row


def _share(flops: int, times: list[float], product_rate: float) -> float:
    return flops / float(np.median(times)) / product_rate


def blocks_of(config: Config) -> int:
    """Entries of Sigma_w, Sigma_s and Sigma_sw: what three plain matrix products would compute."""
    return config.d_weak**2 + config.d_strong**2 + config.d_weak * config.d_strong


def matrix_product_rate(size: int = 2048, repeats: int = 7) -> float:
    """The machine's own float64 matrix-product rate, flops a second (best of several)."""
    a = np.random.default_rng(0).standard_normal((size, size))
    _timed(lambda: a @ a)
    return 2 * size**3 / min(_timed(lambda: a @ a) for _ in range(repeats))


def memory_beyond_input(weak: np.ndarray, strong: np.ndarray) -> float:
    """Growth of the peak resident memory, in MiB, of a fresh process that reads the pair and computes one gap."""
    code = """
import resource, sys, numpy as np, w2sg_jax as w2sg
def peak():
    if sys.platform != "linux":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    status = open("/proc/self/status").read()  # Linux carries ru_maxrss over from the parent process
    return int(status.split("VmHWM:")[1].split()[0]) / 2**10
w2sg.gap(w2sg.moments(*np.random.default_rng(0).normal(size=(2, 50, 3))))
pair = [np.load(path) for path in sys.argv[1:]]
before = peak()
w2sg.gap(w2sg.moments(*pair))
print(peak() - before)
"""
    with tempfile.TemporaryDirectory() as folder:
        paths = [f"{folder}/weak.npy", f"{folder}/strong.npy"]
        for path, array in zip(paths, (weak, strong), strict=True):
            np.save(path, array)
        command = [sys.executable, "-c", code, *paths]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1])
    return float(done.stdout.split()[-1])


def slope(rows: list[dict[str, Any]]) -> float | None:
    """Fitted exponent of our time in n, over the three largest n."""
    largest = rows[-3:]
    if len(largest) < 3:
        return None
    return float(np.polyfit(np.log([r["n"] for r in largest]), np.log([r["ours_s"] for r in largest]), 1)[0])


def commit() -> str | None:
    """The checkout's commit, or None outside one."""
    found = subprocess.run(
        ["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False, cwd=Path(__file__).parent
    )
    return found.stdout.strip() or None


def table(result: dict[str, Any]) -> rich.table.Table:
    """The result as a table."""
    made = rich.table.Table(
        title=f"float64 matrix product of this machine: {result['matrix_product_gflops']:.0f} GFLOP/s"
    )
    for name in ("n", "dense [s]", "ours [s]", "times faster", "error", "moments [s]", "share", "plain share", "MiB"):
        made.add_column(name, justify="right", no_wrap=True)
    for row in result["rows"]:
        made.add_row(
            str(row["n"]),
            _number(row.get("dense_s"), ".2f"),
            f"{row['ours_s']:.3f}",
            _number(row.get("times_faster"), ".0f"),
            _number(row.get("relative_difference"), ".0e"),
            f"{row['moments_s']:.3f}",
            _number(row["moments_share"], ".0%"),
            _number(row["moments_share_plain"], ".0%"),
            f"{row['memory_beyond_input_mib']:.0f}",
        )
    made.caption = (
        "share: the moments' flops (half of J, by symmetry) over their time, beside the machine's matrix-product rate;"
        " plain share: the flops of three full products Sigma_w, Sigma_s, Sigma_sw instead. None where n is below the"
        " joint width: no product is formed. MiB: growth of peak memory beyond the input"
    )
    return made


def figure(result: dict[str, Any], path: Path) -> None:
    """Time against n, log-log."""
    made = matplotlib.figure.Figure(figsize=(6, 4), layout="constrained")
    axes = made.subplots()
    rows = result["rows"]
    dense = [row for row in rows if "dense_s" in row]
    axes.loglog([r["n"] for r in dense], [r["dense_s"] for r in dense], "s-", label="dense definition (NumPy, n × n)")
    axes.loglog([r["n"] for r in rows], [r["ours_s"] for r in rows], "o-", label="w2sg_jax.gap(moments)")
    axes.loglog([r["n"] for r in rows], [r["moments_s"] for r in rows], "o:", label="of which moments")
    for row in dense:
        axes.annotate(f"{row['times_faster']:.0f}×", (row["n"], row["dense_s"]), (4, -12), textcoords="offset points")
    axes.set(xlabel="samples n", ylabel="time [s]", title="Gap norm of one pair, float64")
    axes.grid(which="both", alpha=0.3)
    axes.legend()
    made.savefig(path, dpi=150)


def _timed(function: Callable[[], Any]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def _number(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _line(row: dict[str, Any]) -> str:
    return json.dumps(
        {key: row[key] for key in ("n", "ours_s", "dense_s", "times_faster", "moments_share") if row.get(key)}
    )


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
