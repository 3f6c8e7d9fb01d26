"""The weak model's error in two parts: what the strong model copies and what it corrects."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from w2sg_jax import synthetic as syn
from w2sg_jax.report.style import MARKS, mean_and_error, panels, points
from w2sg_jax.report.tables import markdown_table


@dataclass(frozen=True)
class Config:
    """Which families are measured, and where."""

    n: int = 400
    """n~ = n^."""
    seeds: int = 10
    dimension: float = 20_000
    """Of both tails."""
    gamma: float = 0.05
    """Of both tails."""
    ridges: tuple[float, ...] = (0.0, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
    """Strong ridges, at the middle overlap; elsewhere both ridges are 0."""
    overlaps: tuple[float, ...] = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
    middle: float = 0.5


TOY = Config(n=16, seeds=2, dimension=600, ridges=(0.0, 1.0), overlaps=(0.2, 0.8))
PARTS = {"copied": "copied: PredGap", "corrected": "corrected", "err_weak": "Err_w, all of it", "err_w2s": "Err_w2s"}
SWEEPS = {
    "ridge": "strong ridge β_s + γ_s",
    "correction": "overlap, errors outside the strong V",
    "copying": "overlap, errors inside the strong V",
}


def compute(config: Config, step: Callable[[int, int], None]) -> dict[str, Any]:
    """Both families against the overlap, one against the strong ridge; measured, and in the limit."""
    jobs = {
        "ridge": (syn.error_correction, [(config.middle, ridge) for ridge in config.ridges]),
        "correction": (syn.error_correction, [(overlap, 0.0) for overlap in config.overlaps]),
        "copying": (syn.error_copying, [(overlap, 0.0) for overlap in config.overlaps]),
    }
    rows = []
    for place, (sweep, (family, settings)) in enumerate(jobs.items()):
        step(place, len(jobs))
        rows += _sweep(sweep, family, settings, config)
    step(len(jobs), len(jobs))
    return {"rows": rows, "gamma": config.gamma}


def _sweep(
    sweep: str, family: Callable[..., syn.Population], settings: list[tuple[float, float]], config: Config
) -> list[dict[str, Any]]:
    tail = syn.GaussianTail(config.gamma * config.n, config.dimension)
    populations = [family(overlap, tail_weak=tail, tail_strong=tail) for overlap, _ in settings]
    ridges = np.array([ridge for _, ridge in settings])
    n = config.n
    found = syn.simulate(
        syn.stack(populations), 0 * ridges, ridges, seeds=range(config.seeds), n_train=n, n_w2s=n
    ).measured
    rows = []
    for i, p in enumerate(populations):
        limit = syn.limit(p, syn.effective_ridges(p, 0.0, ridges[i], n, n))
        parts = {
            "copied": (found.pred_gap, limit.pred_gap),
            "corrected": (found.corrected, limit.corrected),
            "err_weak": (found.err_weak, limit.err_weak),
            "err_w2s": (found.err_w2s, limit.err_w2s),
        }
        row: dict[str, Any] = {"sweep": sweep, "overlap": settings[i][0], "ridge": settings[i][1]}
        rows.append(row | {name: {"measured": m[i].tolist(), "limit": float(at)} for name, (m, at) in parts.items()})
    return rows


def draw(result: dict[str, Any]) -> Figure:
    """Marks are fitted heads, lines the closed forms."""
    figure, axes = panels(1, 3, 12, 4.2, sharey=True)
    for axis, (sweep, label) in zip(axes.flat, SWEEPS.items(), strict=True):
        rows = [row for row in result["rows"] if row["sweep"] == sweep]
        x = [row["ridge"] + result["gamma"] if sweep == "ridge" else row["overlap"] for row in rows]
        for series, (part, name) in enumerate(PARTS.items()):
            axis.plot(x, [row[part]["limit"] for row in rows], color=MARKS[series]["color"], linewidth=1)
            points(axis, x, *mean_and_error([row[part]["measured"] for row in rows]), name, series, joined=False)
        axis.set_xlabel(label)
        if sweep == "ridge":
            axis.set_xscale("log")
    axes[0, 0].set_ylabel("mean square, of a target of variance 1")
    axes[0, 0].legend(fontsize=8)
    return figure


def markdown(result: dict[str, Any]) -> str:
    """Mean squares along the overlap, measured and in the limit."""
    rows = {(row["sweep"], row["overlap"]): row for row in result["rows"] if row["sweep"] != "ridge"}
    overlaps = sorted({overlap for _, overlap in rows})
    chosen = overlaps[1::2] if len(overlaps) > 2 else overlaps

    def cell(sweep: str, overlap: float, part: str) -> str:
        row = rows[sweep, overlap][part]
        return f"{np.mean(row['measured']):.3f} ({row['limit']:.3f})"

    return markdown_table(
        ("measured (closed form), at overlap", *(f"{overlap:g}" for overlap in chosen)),
        (
            [f"{name}{where}", *(cell(sweep, overlap, part) for overlap in chosen)]
            for sweep, where in (("correction", "; errors outside the strong V"), ("copying", "; errors inside it"))
            for part, name in (
                ("err_weak", "Err_w"),
                ("copied", "copied"),
                ("corrected", "corrected"),
                ("err_w2s", "Err_w2s"),
            )
        ),
    )
