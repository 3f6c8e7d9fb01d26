"""Convergence in n: how fast the measured PredGap approaches the theorem's, by how the tail's dimension grows."""

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
    """Which sizes are measured."""

    ns: tuple[int, ...] = (50, 100, 200, 400, 800, 1600)
    """n~ = n^."""
    seeds: int = 16
    overlaps: tuple[float, ...] = (0.9, 0.6, 0.3)
    """cos^2 of the principal angles; one strong direction more is not seen by the weak model."""
    gammas: tuple[float, float] = (0.1, 0.5)
    """Weak and strong, at every n: the trace of a tail grows as n."""
    fixed: float = 20_000
    """Dimension of the tail that stays the same."""
    times: float = 10
    """Dimension over n, of the one that grows as n; and over n at n = 50 of the one that grows as n^2."""


TOY = Config(ns=(12, 16), seeds=2, fixed=400)
LAWS = ("n2", "fixed", "n")


def compute(config: Config, step: Callable[[int, int], None]) -> dict[str, Any]:
    """Relative errors of the predictions on the same draw and in the limit."""
    rows = []
    for place, n in enumerate(config.ns):
        step(place, len(config.ns))
        populations = [_population(config, n, law) for law in LAWS]
        found = syn.simulate(
            syn.stack(populations), np.zeros(3), np.zeros(3), n_train=n, n_w2s=n, seeds=range(config.seeds)
        )
        for i, law in enumerate(LAWS):
            p = populations[i]
            limit = syn.limit(p, syn.effective_ridges(p, 0.0, 0.0, n, n)).pred_gap
            measured = found.measured.pred_gap[i]
            rows.append(
                {"law": law, "n": n, "dimension": float(p.tail_weak.dimension)}  # pyright: ignore[reportAttributeAccessIssue]
                | {"measured": measured.tolist(), "limit": limit}
                | {"of_draw": (measured / found.predicted.pred_gap[i] - 1).tolist()}
                | {"of_limit": (measured / limit - 1).tolist()}
                | {"without": (measured / found.without.pred_gap[i] - 1).tolist()}
            )
    step(len(config.ns), len(config.ns))
    return {"rows": rows, "exponents": {law: _exponent(rows, law) for law in LAWS}}


def _population(config: Config, n: int, law: str) -> syn.Population:
    first = config.ns[0]
    dimension = {"n2": config.times * n * n / first, "fixed": config.fixed, "n": config.times * n}[law]
    tails = [syn.GaussianTail(gamma * n, float(dimension)) for gamma in config.gammas]
    return syn.correlated_pair(config.overlaps, np.ones(4) / 2, strong_only=1, tail_weak=tails[0], tail_strong=tails[1])


def _exponent(rows: list[dict[str, Any]], law: str) -> float:
    """Slope of the log root mean square error against log n."""
    chosen = [row for row in rows if row["law"] == law]
    sizes = np.log([row["n"] for row in chosen])
    return float(np.polyfit(sizes, np.log([_rms(row["of_draw"]) for row in chosen]), 1)[0])


def _rms(values: list[float]) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def _name(law: str, rows: list[dict[str, Any]]) -> str:
    fixed = next(row["dimension"] for row in rows if row["law"] == "fixed")
    return {"n2": "D grows as n²", "fixed": f"D = {fixed:.0f}", "n": "D grows as n"}[law]


def draw(result: dict[str, Any]) -> Figure:
    """Left: root mean square error. Right: the mean of measured over predicted."""
    figure, (left, right) = (lambda made: (made[0], made[1][0]))(panels(1, 2, 10, 4.2))
    for series, law in enumerate(LAWS):
        chosen = [row for row in result["rows"] if row["law"] == law]
        ns = [row["n"] for row in chosen]
        label = f"{_name(law, result['rows'])}: n^{result['exponents'][law]:.2f}"
        points(left, ns, [_rms(row["of_draw"]) for row in chosen], None, label, series)
        points(right, ns, *mean_and_error([row["of_draw"] for row in chosen]), _name(law, result["rows"]), series)
    without = [row for row in result["rows"] if row["law"] == "n2"]
    points(
        left,
        [row["n"] for row in without],
        [_rms(row["without"]) for row in without],
        None,
        "D grows as n², with β alone",
        3,
    )
    left.set(xscale="log", yscale="log", xlabel="samples n~ = n^", ylabel="RMS of measured / predicted − 1")
    right.set(xscale="log", xlabel="samples n~ = n^", ylabel="mean of measured / predicted − 1")
    right.axhline(0, color="0.4", linewidth=1)
    for axis in (left, right):
        axis.legend(fontsize=8)
    return figure


def markdown(result: dict[str, Any]) -> str:
    """RMS errors by n."""
    ns = sorted({row["n"] for row in result["rows"]})
    table = {(row["law"], row["n"]): row for row in result["rows"]}
    return markdown_table(
        ("RMS error at n =", *map(str, ns), "exponent"),
        (
            [
                _name(law, result["rows"]),
                *(f"{_rms(table[law, n]['of_draw']):.1%}" for n in ns),
                f"{result['exponents'][law]:.2f}",
            ]
            for law in LAWS
        ),
    )
