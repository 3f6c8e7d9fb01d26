"""Peers side by side on the same inputs: dense definitions, scikit-learn, torch where it is installed, and ours.

    python -m benchmarks.peers

The number of samples grows until each one would pass the limit of time or of memory. Every result is checked against
ours to 1e-9 before it is timed. Times are in float64, after a first call that is reported apart.
"""

import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from w2sg_jax.bench import Timing, measure_machine, timed
from w2sg_jax.report.style import COLOURS, MARKS, draw, panels
from w2sg_jax.report.tables import markdown_table, table
from w2sg_jax.terminal.console import standard_output

from .peer_routes import OURS, OURS_SCORES, PEERS, Route
from .problems import Problem, samples
from .results import folder_of, save

if TYPE_CHECKING:
    from matplotlib.figure import Figure

AGREEMENT = 1e-9


@dataclass(frozen=True)
class Config:
    """What is compared, and where the result goes."""

    widths: tuple[tuple[int, int], ...] = ((384, 1024), (1024, 4096))
    """Pairs of a weak and a strong width."""
    ns: tuple[int, ...] = (1000, 2000, 4000, 10_000, 30_000, 100_000, 300_000)
    """Numbers of samples, ascending."""
    ridge: float = 1e-2
    """Ridge, in units of unit trace; per-sample scores take that of RADS-Lin."""
    time_limit: float = 20.0
    """Seconds a call: no route goes on to an n at which it is expected to take longer."""
    memory_limit: float = 6.0
    """GiB beyond the input, by an estimate; the input itself stays below it too."""
    memory_n: tuple[int, ...] = (10_000, 100_000)
    """Numbers of samples at which the memory of ours is measured, in a process of its own."""
    repeats: int = 3
    """Timed calls after the first one."""
    once_above: float = 4.0
    """Seconds of a first call above which it is not repeated, and counts itself."""
    machine_size: int = 4096
    """Size of the matrix product by which the machine is measured."""
    seed: int = 0
    """Seed of the samples."""
    out: Path | None = None
    """Folder for JSON and figure; by default benchmarks/results/<device>."""


@dataclass
class Runner:
    """One route at one pair of widths: its times so far, and what ended it."""

    route: Route
    times: list[tuple[int, float]] = field(default_factory=list)
    ended: str | None = None

    def expected(self, n: int) -> float:
        """Seconds at n: from the last time by the known power of n, or by the last two times if they grow faster."""
        if not self.times:
            return 0.0
        power = float(self.route.power)
        if len(self.times) > 1:
            (n_0, t_0), (n_1, t_1) = self.times[-2:]
            power = min(max(power, np.log(t_1 / t_0) / np.log(n_1 / n_0)), power + 0.5)
        last, seconds = self.times[-1]
        return seconds * (n / last) ** power

    def alive(self, n: int, widths: tuple[int, int], config: Config) -> bool:
        """Whether it goes on to n; if not, ``ended`` says why."""
        if self.ended is None:
            seconds, memory = self.expected(n), self.route.memory(n, *widths) / 2**30
            if not self.route.installed:
                self.ended = f"{self.route.needs} is not installed"
            elif memory > config.memory_limit:
                self.ended = f"memory: about {memory:.0f} GiB at n = {n}"
            elif seconds > config.time_limit:
                self.ended = f"time: about {seconds:.0f} s at n = {n}"
        return self.ended is None


def main(config: Config) -> dict[str, Any]:
    """Run the benchmark and return its record."""
    console = standard_output()
    machine = measure_machine(size=config.machine_size)
    results = []
    for widths in config.widths:
        results.append(compare(widths, config, console))
        console.print(_table(results[-1]))
    entry = save("peers", config, {"machine": asdict(machine), "widths": results})
    folder = folder_of(config.out)
    draw(folder / "peers.png", lambda: figure(results), console)
    console.print(f"written to {folder}")
    return entry


def compare(widths: tuple[int, int], config: Config, console: Console) -> dict[str, Any]:
    """All routes at one pair of widths, to where each of them ends."""
    ours, scores = Runner(OURS), Runner(OURS_SCORES)
    runners = [ours, scores, *(Runner(route) for route in PEERS)]
    rows: list[dict[str, Any]] = []
    for n in sorted(config.ns):
        running = [r for r in runners if r.alive(n, widths, config)]
        if not running or 4 * n * sum(widths) > config.memory_limit * 2**30:
            break
        with console.status(f"widths {widths}, n = {n}: samples"):
            problem = samples(n, *widths, seed=config.seed, ridge=config.ridge)
        truths: dict[str, Any] = {}
        for runner in running:
            if runner in (ours, scores) or runner.route.quantity in truths:
                with console.status(f"widths {widths}, n = {n}: {runner.route.name}"):
                    rows.append(time_route(runner, problem, truths, config))
            else:
                runner.ended = f"nothing to be checked against at n = {n}"
        if n in config.memory_n and ours in running:
            next(row for row in rows if row["n"] == n)["memory_mib"] = memory_beyond_input(problem)
    ended = {runner.route.name: runner.ended for runner in runners}
    return {"d_weak": widths[0], "d_strong": widths[1], "rows": rows, "ended": ended}


def time_route(runner: Runner, problem: Problem, truths: dict[str, Any], config: Config) -> dict[str, Any]:
    """Run a route, check it, then time it; what is ours becomes the truth for the others."""
    route, n = runner.route, len(problem.labels)
    start = time.perf_counter()
    value = route.run(problem)
    first = time.perf_counter() - start
    row: dict[str, Any] = {"route": route.name, "quantity": route.quantity, "n": n}
    if route is OURS:
        truths["norm"], truths["predicted"] = value
    elif route is OURS_SCORES:
        truths["scores"] = value
    else:
        row["relative_difference"] = difference(value, truths[route.quantity])
        if not row["relative_difference"] <= AGREEMENT:
            raise ArithmeticError(
                f"{route.name}, n = {n}: differs from ours by {row['relative_difference']:.1e}; nothing is timed"
            )
    timing = Timing(first, first, first, first)
    if first <= config.once_above:
        timing = timed(lambda: route.run(problem), repeats=config.repeats)._replace(first=first)
    runner.times.append((n, timing.median))
    return row | {f"{key}_s": value for key, value in timing._asdict().items()}


def difference(value: Any, truth: Any) -> float:
    """Relative, of numbers or vectors."""
    return float(np.linalg.norm(np.subtract(value, truth)) / np.linalg.norm(truth))


def memory_beyond_input(problem: Problem) -> float:
    """Growth of the peak resident memory, in MiB, of a fresh process that reads the samples and computes one gap."""
    code = """
import resource, sys, numpy as np
from benchmarks.peer_routes import ours
from benchmarks.problems import Problem, samples
def peak():
    if sys.platform != "linux":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    status = open("/proc/self/status").read()  # Linux carries ru_maxrss over from the parent process
    return int(status.split("VmHWM:")[1].split()[0]) / 2**10
ours(samples(50, 4, 4, seed=0, ridge=1.0))
problem = Problem(*(np.load(path) for path in sys.argv[1:4]), float(sys.argv[4]))
before = peak()
ours(problem)
print(peak() - before)
"""
    with tempfile.TemporaryDirectory() as folder:
        paths = [f"{folder}/{name}.npy" for name in Problem._fields[:3]]
        for path, array in zip(paths, problem[:3], strict=True):
            np.save(path, array)
        command = [sys.executable, "-c", code, *paths, str(problem.ridge)]
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1])
    return float(done.stdout.split()[-1])


def _table(result: dict[str, Any]) -> Table:
    """Seconds of every route at every n, and where it ends."""
    headings, rows = _cells(result)
    title = f"Widths {result['d_weak']} and {result['d_strong']}: seconds, median"
    return table(title, headings, rows, caption=_notes(result), words=(0, len(headings) - 2, len(headings) - 1))


def markdown(entry: dict[str, Any]) -> str:
    """The result for its page of the documentation."""
    parts = []
    for result in entry["result"]["widths"]:
        title = f"Seconds, widths {result['d_weak']} and {result['d_strong']}:"
        parts += [title, markdown_table(*_cells(result)), *filter(None, [_notes(result)])]
    return "\n\n".join(parts)


def _cells(result: dict[str, Any]) -> tuple[list[str], list[list[str]]]:
    ns = sorted({row["n"] for row in result["rows"]})
    made = []
    for name, ended in result["ended"].items():
        rows = {row["n"]: row for row in result["rows"] if row["route"] == name}
        if not rows:
            continue
        errors = [row["relative_difference"] for row in rows.values() if "relative_difference" in row]
        times = [f"{rows[n]['median_s']:.3g}" if n in rows else "" for n in ns]
        made.append([name, *times, f"{max(errors):.0e}" if errors else "", ended or ""])
    return ["", *(f"n = {n}" for n in ns), "differs by", "ends by"], made


def _notes(result: dict[str, Any]) -> str:
    """Memory of ours, and the routes that have no time."""
    found = [f"{row['memory_mib']:.0f} MiB at n = {row['n']}" for row in result["rows"] if "memory_mib" in row]
    notes = [f"Memory of gap(moments) beyond the input: {', '.join(found)}."] if found else []
    measured = {row["route"] for row in result["rows"]}
    notes += [f"{name}: {ended}." for name, ended in result["ended"].items() if name not in measured]
    return " ".join(notes)


def figure(results: list[dict[str, Any]]) -> "Figure":
    """Time against n, log-log, one panel for each pair of widths; a cross where a limit ended a route."""
    made, (row,) = panels(1, len(results), 5 * len(results) + 1, 4.5, sharey=True)
    for axes, result in zip(row, results, strict=True):
        for number, (name, ended) in enumerate(result["ended"].items()):
            rows = [row for row in result["rows"] if row["route"] == name]
            if not rows:
                continue
            line = "-" if name in (OURS.name, OURS_SCORES.name) else "--"
            ns, times = [row["n"] for row in rows], [row["median_s"] for row in rows]
            axes.loglog(ns, times, linestyle=line, label=name, markersize=4, **MARKS[number])
            if ended:
                axes.plot(ns[-1:], times[-1:], "x", color=COLOURS[number], markersize=11)
        axes.set(xlabel="samples n", title=f"widths {result['d_weak']} and {result['d_strong']}")
        axes.grid(which="minor", color="0.95", linewidth=0.5)
    row[0].set_ylabel("time [s], float64")
    row[0].legend(fontsize=8)
    return made


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
