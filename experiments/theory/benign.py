"""Benign overfitting: the strong model interpolates the weak labels and does better than the model that gave them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from w2sg_jax import synthetic as syn
from w2sg_jax.report.style import mean_and_error, panels, points
from w2sg_jax.report.tables import markdown_table


@dataclass(frozen=True)
class Config:
    """Sizes; both ridges are 0."""

    n: int = 400
    """n~ = n^ where the dimension changes."""
    times: tuple[float, ...] = (2, 3, 5, 10, 30, 100, 300, 1000, 10_000)
    """Dimension of both tails over n."""
    ns: tuple[int, ...] = (50, 100, 200, 400, 800, 1600)
    """n~ = n^ where tails have the dimension n^2 at least 100 n."""
    seeds: int = 10
    overlap: float = 0.9
    """cos^2 of the weak feature with the target."""
    gamma: float = 0.03
    """Of both tails."""
    noise: float = 0.5
    """Standard deviation of the label noise, which both the weak model and the ceiling interpolate."""


TOY = Config(n=16, times=(100,), ns=(16,), seeds=4)
ERRORS = {"err_weak": "Err_w", "err_w2s": "Err_w2s", "err_ceiling": "Err_sc, true labels"}


def compute(config: Config, step: Callable[[int, int], None]) -> dict[str, Any]:
    """Errors and training residuals against the tail's dimension and against n, and their limits."""
    jobs = [("times", config.n, [float(times) for times in config.times])]
    jobs += [("n", n, [float(max(n, 100))]) for n in config.ns]
    rows = []
    for place, (sweep, n, times) in enumerate(jobs):
        step(place, len(jobs))
        rows += _sweep(sweep, n, times, config)
    step(len(jobs), len(jobs))
    return {"rows": rows}


def _sweep(sweep: str, n: int, times: list[float], config: Config) -> list[dict[str, Any]]:
    tails = [syn.GaussianTail(config.gamma * n, one * n) for one in times]
    populations = [syn.error_correction(config.overlap, tail_weak=t, tail_strong=t, noise=config.noise) for t in tails]
    zero = np.zeros(len(times))
    found = syn.simulate(syn.stack(populations), zero, zero, seeds=range(config.seeds), n_train=n, n_w2s=n).measured
    rows = []
    for i, p in enumerate(populations):
        limit = syn.limit(p, syn.effective_ridges(p, 0.0, 0.0, n, n))
        row: dict[str, Any] = {"sweep": sweep, "n": n, "times": times[i], "residual": found.residual[i].tolist()}
        errors = {
            name: {"measured": getattr(found, name)[i].tolist(), "limit": getattr(limit, name)} for name in ERRORS
        }
        rows.append(row | errors)
    return rows


def draw(result: dict[str, Any]) -> Figure:
    """Above, test errors; below, the training error on the weak labels."""
    figure, axes = panels(2, 2, 10, 6, sharex="col", sharey="row", gridspec_kw={"height_ratios": (3, 1)})
    for column, (sweep, key, label) in enumerate(
        (("times", "times", "tail dimension D / n, n = {n}"), ("n", "n", "samples n~ = n^, D = n², at least 100 n"))
    ):
        rows = [row for row in result["rows"] if row["sweep"] == sweep]
        x = [row[key] for row in rows]
        for series, (name, text) in enumerate(ERRORS.items()):
            points(axes[0, column], x, *mean_and_error([row[name]["measured"] for row in rows]), text, series)
            axes[0, column].axhline(rows[-1][name]["limit"], color="0.4", linewidth=1, linestyle=(0, (1, 2)))
        points(axes[1, column], x, *mean_and_error([row["residual"] for row in rows]), "on the weak labels", 3)
        axes[1, column].set(xlabel=label.format(n=rows[0]["n"]), xscale="log", yscale="log")
        axes[1, column].set_ylim(1e-34, 1e-26)
        axes[0, column].set_yscale("log")
    axes[0, 0].set_ylabel("test error; dotted: limits")
    axes[1, 0].set_ylabel("training error")
    axes[0, 0].legend(fontsize=8)
    return figure


def markdown(result: dict[str, Any]) -> str:
    """Errors against the tail's dimension."""
    rows = [row for row in result["rows"] if row["sweep"] == "times"]
    return markdown_table(
        ("D / n", "training error on the weak labels", *ERRORS.values(), "PGR"),
        (
            [f"{row['times']:g}", f"{np.mean(row['residual']):.0e}"]
            + [f"{np.mean(row[name]['measured']):.3f}" for name in ERRORS]
            + [f"{_pgr(row):.2f}"]
            for row in rows
        ),
    )


def _pgr(row: dict[str, Any]) -> float:
    weak, w2s, ceiling = (np.mean(row[name]["measured"]) for name in ERRORS)
    return float((weak - w2s) / (weak - ceiling))
