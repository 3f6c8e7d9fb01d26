"""Weak-to-strong pipelines of ridge heads, 50 splits by 20 ridges: beside a loop over scikit-learn's Ridge.

    python -m benchmarks.ridge_fits

A pipeline is a weak head, its pseudo-labels, a strong head on them, the ceiling, and four errors on test samples. Two
users of scikit-learn: one fits head by head, the other passes all ridges at once, for one SVD a head and split. All
results are checked to agree to 1e-8 before anything is timed.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import tyro
from sklearn.linear_model import Ridge

import w2sg_jax as w2sg
from w2sg_jax.bench import measure_machine, timed
from w2sg_jax.datasets import load_freesolv, load_lipophilicity
from w2sg_jax.report.style import COLOURS, draw, panels
from w2sg_jax.report.tables import markdown_table, table
from w2sg_jax.terminal.console import standard_output

from .results import folder_of, save

if TYPE_CHECKING:
    from matplotlib.figure import Figure

AGREEMENT = 1e-8
MEASURED = ("err_weak", "err_w2s", "err_ceiling", "pred_gap")
HEADINGS = (
    "molecules",
    "samples",
    "widths",
    "ours [s]",
    "Ridge loop [s]",
    "times",
    "Ridge, one SVD a head [s]",
    "times",
    "differs by",
)
MOLECULES = {"FreeSolv": load_freesolv, "Lipophilicity": load_lipophilicity}


@dataclass(frozen=True)
class Size:
    """One problem: molecules, and counts of their commonest pairs (weak) and triples (strong) of letters."""

    molecules: str
    """FreeSolv or Lipophilicity."""
    samples: int
    """Of each of the three splits."""
    d_weak: int
    """Pairs of letters that are counted."""
    d_strong: int
    """Triples of letters that are counted."""


@dataclass(frozen=True)
class Config:
    """What is fitted, and where the result goes."""

    sizes: tuple[Size, ...] = (Size("FreeSolv", 214, 30, 60), Size("Lipophilicity", 600, 64, 128))
    """Problems."""
    splits: int = 50
    """Random splits of the molecules."""
    ridges: int = 20
    """Ridges, evenly spaced in the logarithm between 1e-4 and 1."""
    repeats: int = 7
    """Timed runs of ours; the loops run three times."""
    machine_size: int = 4096
    """Size of the matrix product by which the machine is measured."""
    out: Path | None = None
    """Folder for JSON and figure; by default benchmarks/results/<device>."""


class Pipelines(NamedTuple):
    """Representations and labels of all molecules, row numbers (splits, samples) of the three parts, ridges."""

    weak: np.ndarray
    strong: np.ndarray
    labels: np.ndarray
    parts: tuple[np.ndarray, np.ndarray, np.ndarray]
    ridges: np.ndarray


Errors = dict[str, np.ndarray]


def main(config: Config) -> dict[str, Any]:
    """Run the benchmark and return its record."""
    console = standard_output()
    machine = measure_machine(size=config.machine_size)
    rows = []
    for size in config.sizes:
        with console.status(f"{size.molecules}, widths {size.d_weak} and {size.d_strong}"):
            rows.append(time_size(size, config))
    title = f"{rows[0]['pipelines']} weak-to-strong pipelines and ceilings: seconds, median"
    console.print(table(title, HEADINGS, map(_cells, rows)))
    entry = save("ridge_fits", config, {"machine": asdict(machine), "rows": rows})
    folder = folder_of(config.out)
    draw(folder / "ridge_fits.png", lambda: figure(rows), console)
    console.print(f"written to {folder}")
    return entry


def time_size(size: Size, config: Config) -> dict[str, Any]:
    """Time one problem; agreement first."""
    problem = make_problem(size, config.splits, config.ridges)
    routes: dict[str, Callable[[], Errors]] = {
        "ours": partial(ours, problem),
        "loop": partial(loop, problem),
        "paths": partial(paths, problem),
    }
    truth = routes["ours"]()
    worst = max(difference(routes[name](), truth) for name in ("loop", "paths"))
    if not worst <= AGREEMENT:
        raise ArithmeticError(f"{size}: the results differ by {worst:.1e}; nothing is timed")
    row = asdict(size) | {"pipelines": config.splits * config.ridges, "largest_difference": worst}
    for name, run in routes.items():
        timing = timed(run, repeats=config.repeats if name == "ours" else 2)
        row |= {f"{name}_{key}_s": value for key, value in timing._asdict().items()}
    row |= {f"times_faster_than_{name}": row[f"{name}_median_s"] / row["ours_median_s"] for name in ("loop", "paths")}
    return row


def make_problem(size: Size, splits: int, ridges: int) -> Pipelines:
    """Fragment counts of bundled molecules, and random splits of them."""
    molecules = MOLECULES[size.molecules]()
    orders = [np.random.default_rng(seed).permutation(len(molecules))[: 3 * size.samples] for seed in range(splits)]
    train, w2s, test = np.split(np.stack(orders), 3, axis=1)
    weak, strong = fragments(molecules.smiles, 2, size.d_weak), fragments(molecules.smiles, 3, size.d_strong)
    return Pipelines(weak, strong, molecules.target, (train, w2s, test), np.geomspace(1e-4, 1, ridges))


def fragments(smiles: tuple[str, ...], length: int, d: int) -> np.ndarray:
    """Counts of the d commonest strings of this length, (n, d)."""
    counts = [Counter(s[i : i + length] for i in range(len(s) - length + 1)) for s in smiles]
    commonest = sum(counts, Counter()).most_common(d)
    return np.array([[float(c[f]) for f, _ in commonest] for c in counts])


def ours(problem: Pipelines) -> Errors:
    """All splits and ridges in one call."""
    train, w2s, test = problem.parts
    found = w2sg.weak_to_strong_splits(
        problem.weak, problem.strong, problem.labels, train=train, w2s=w2s, test=test, ridges=problem.ridges.tolist()
    )
    return {name: np.asarray(getattr(found, name)) for name in MEASURED}


def loop(problem: Pipelines) -> Errors:
    """scikit-learn, head by head."""
    weak, strong, y = problem[:3]
    found = np.empty((len(MEASURED), len(problem.parts[0]), len(problem.ridges)))
    for s, (train, w2s, test) in enumerate(zip(*problem.parts, strict=True)):
        for r, ridge in enumerate(problem.ridges):
            f_weak = head(weak[train], y[train], ridge)
            f_w2s = head(strong[w2s], f_weak(weak[w2s]), ridge)
            f_ceiling = head(strong[w2s], y[w2s], ridge)
            outputs = f_weak(weak[test]), f_w2s(strong[test]), f_ceiling(strong[test])
            found[:3, s, r] = [((f - y[test]) ** 2).mean() for f in outputs]
            found[3, s, r] = ((outputs[1] - outputs[2]) ** 2).mean()
    return dict(zip(MEASURED, found, strict=True))


def paths(problem: Pipelines) -> Errors:
    """scikit-learn, all ridges of a head at once: a target and a penalty each, one SVD."""
    weak, strong, y = problem[:3]
    found = np.empty((len(MEASURED), len(problem.parts[0]), len(problem.ridges)))
    for s, (train, w2s, test) in enumerate(zip(*problem.parts, strict=True)):
        same = [np.repeat(y[rows, None], len(problem.ridges), axis=1) for rows in (train, w2s, test)]
        f_weak = head(weak[train], same[0], problem.ridges, solver="svd")
        f_w2s = head(strong[w2s], f_weak(weak[w2s]), problem.ridges, solver="svd")
        f_ceiling = head(strong[w2s], same[1], problem.ridges, solver="svd")
        outputs = f_weak(weak[test]), f_w2s(strong[test]), f_ceiling(strong[test])
        found[:3, s] = [((f - same[2]) ** 2).mean(axis=0) for f in outputs]
        found[3, s] = ((outputs[1] - outputs[2]) ** 2).mean(axis=0)
    return dict(zip(MEASURED, found, strict=True))


def head(h: np.ndarray, y: np.ndarray, ridge: Any, **options: Any) -> Callable[[np.ndarray], np.ndarray]:
    """A ridge head on the representation that is centred and of unit trace on the samples it is fitted on."""
    mean = h.mean(axis=0)
    unit = np.sqrt(((h - mean) ** 2).sum() / len(h))
    fitted = Ridge(alpha=len(h) * ridge, **options).fit((h - mean) / unit, y)
    return lambda x: fitted.predict((x - mean) / unit)


def difference(found: Errors, truth: Errors) -> float:
    """The largest relative one."""
    return float(max(np.abs(found[name] / truth[name] - 1).max() for name in MEASURED))


def markdown(entry: dict[str, Any]) -> str:
    """The result for its page of the documentation."""
    return markdown_table(HEADINGS, map(_cells, entry["result"]["rows"]))


def _cells(row: dict[str, Any]) -> list[str]:
    return [
        row["molecules"],
        str(row["samples"]),
        f"{row['d_weak']}, {row['d_strong']}",
        f"{row['ours_median_s']:.3f}",
        f"{row['loop_median_s']:.2f}",
        f"{row['times_faster_than_loop']:.0f}",
        f"{row['paths_median_s']:.2f}",
        f"{row['times_faster_than_paths']:.1f}",
        f"{row['largest_difference']:.0e}",
    ]


def figure(rows: list[dict[str, Any]]) -> "Figure":
    """Seconds of the three ways, a group of bars for each problem."""
    made, ((axes,),) = panels(1, 1, 6, 4)
    labels = {"loop": "scikit-learn, head by head", "paths": "scikit-learn, one SVD a head", "ours": "w2sg_jax"}
    for shift, (name, label) in enumerate(labels.items()):
        times = [row[f"{name}_median_s"] for row in rows]
        bars = axes.bar(np.arange(len(rows)) + 0.27 * (shift - 1), times, 0.25, label=label, color=COLOURS[shift])
        faster = ["" if name == "ours" else f"{row[f'times_faster_than_{name}']:.0f}×" for row in rows]
        axes.bar_label(bars, faster)
    axes.margins(y=0.1)
    axes.grid(visible=False, axis="x")
    names = [f"{row['molecules']}\n{row['d_weak']} and {row['d_strong']} wide" for row in rows]
    axes.set_xticks(np.arange(len(rows)), names)
    axes.set(ylabel="time [s]", yscale="log", title=f"{rows[0]['pipelines']} weak-to-strong pipelines of ridge heads")
    made.legend(loc="outside lower center", ncols=3, fontsize=8)
    return made


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))
