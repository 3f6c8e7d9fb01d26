"""Where the theorem stops holding: tails that are less and less a multiple of the identity."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from w2sg_jax import synthetic as syn
from w2sg_jax.report.style import mean_and_error, panels, points
from w2sg_jax.report.tables import markdown_table

from .predicted_gap import SMALL

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Config:
    """Which tails are measured; both models have one of the same law."""

    n: int = 300
    """n~ = n^."""
    seeds: int = 8
    overlaps: tuple[float, ...] = (0.9, 0.6, 0.3)
    """cos^2 of the principal angles; one strong direction more is not seen by the weak model."""
    gammas: tuple[float, float] = (0.1, 0.5)
    """Weak and strong."""
    exponents: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)
    """The variance of coordinate j falls as j^-exponent."""
    dimension: int = 20_000
    """Of these tails, and of the elliptical ones."""
    dofs: tuple[float, ...] = (2.5, 3.0, 4.0, 6.0, 10.0, 30.0, 100.0)
    """Degrees of freedom of elliptical tails."""
    times: tuple[float, ...] = (2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 200.0, 1000.0)
    """Dimension over n of isotropic Gaussian tails."""


TOY = Config(n=16, seeds=2, exponents=(0.0, 2.0), dimension=600, dofs=(), times=(2.0, 100.0))
SWEEPS = {
    "exponents": "exponent of the tail's power law",
    "dofs": "degrees of freedom, elliptical tail",
    "times": "D / n, isotropic tail",
}


def compute(config: Config, step: Callable[[int, int], None]) -> dict[str, Any]:
    """Measured over predicted, and delta, along three roads away from an isotropic tail of high dimension."""
    rows = []
    for place, sweep in enumerate(SWEEPS):
        step(place, len(SWEEPS))
        values = list(getattr(config, sweep))
        rows += _sweep(sweep, values, config) if values else []
    step(len(SWEEPS), len(SWEEPS))
    return {"rows": rows, "by_delta": _by_delta(rows)}


def _sweep(sweep: str, values: list[float], config: Config) -> list[dict[str, Any]]:
    n, zero = config.n, np.zeros(len(values))
    populations = syn.stack([_population(sweep, value, config) for value in values])
    found = syn.simulate(populations, zero, zero, n_train=n, n_w2s=n, seeds=range(config.seeds), check=True)
    assert found.conditions is not None
    measured = found.measured.pred_gap
    tables = {"with": measured / found.predicted.pred_gap, "without": measured / found.without.pred_gap}
    tables |= {name: getattr(found.conditions, name) for name in found.conditions._fields}
    return [
        {"sweep": sweep, "value": value} | {name: table[i].tolist() for name, table in tables.items()}
        for i, value in enumerate(values)
    ]


def _population(sweep: str, value: float, config: Config) -> syn.Population:
    def tail(gamma: float) -> syn.Tail:
        trace = gamma * config.n
        if sweep == "exponents":
            return syn.IndependentTail(trace, value, config.dimension)
        if sweep == "dofs":
            return syn.EllipticalTail(trace, float(config.dimension), value)
        return syn.GaussianTail(trace, value * config.n)

    tails = [tail(gamma) for gamma in config.gammas]
    return syn.correlated_pair(config.overlaps, np.ones(4) / 2, strong_only=1, tail_weak=tails[0], tail_strong=tails[1])


def delta_of(row: dict[str, Any]) -> np.ndarray:
    """The largest of the four conditions, for each seed."""
    return np.max([row[name] for name in syn.Conditions._fields], axis=0)


def _by_delta(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Relative errors of the prediction by delta, in bands."""
    delta = np.concatenate([delta_of(row) for row in rows])
    error = np.abs(np.concatenate([row["with"] for row in rows]) - 1)
    bands = ((0.0, 0.25), (0.25, 0.5), (0.5, 1.0), (1.0, 2.0), (2.0, 5.0), (5.0, np.inf))
    chosen = [(low, high, error[(delta >= low) & (delta < high)]) for low, high in bands]
    return [
        {
            "low": low,
            "high": high if np.isfinite(high) else None,
            "draws": len(one),
            "median_error": float(np.median(one)),
            "worst_error": float(one.max()),
        }
        for low, high, one in chosen
        if len(one)
    ]


def figure(result: dict[str, Any]) -> "Figure":
    """Above, measured over predicted; below, delta and the condition that sets it."""
    made, axes = panels(2, 3, 12, 6.6, sharex="col", sharey="row")
    for column, (sweep, label) in enumerate(SWEEPS.items()):
        rows = [row for row in result["rows"] if row["sweep"] == sweep]
        if not rows:
            continue
        x = [row["value"] for row in rows]
        above, below = axes[:, column]
        points(above, x, *mean_and_error([row["with"] for row in rows]), "with β + γ", 0)
        points(above, x, *mean_and_error([row["without"] for row in rows]), "with β alone", 1)
        above.axhline(1, color="0.4", linewidth=1)
        for series, name in enumerate(syn.Conditions._fields):
            points(below, x, *mean_and_error([row[name] for row in rows]), name.replace("_", " "), series)
        below.axhline(SMALL, color="0.4", linewidth=1)
        below.set(xlabel=label, yscale="log")
        if sweep != "exponents":
            below.set_xscale("log")
    axes[0, 0].set_ylabel("measured PredGap / predicted")
    axes[1, 0].set_ylabel("conditions, in effective ridges")
    axes[0, 0].legend(fontsize=8)
    axes[1, 0].legend(fontsize=8)
    return made


def markdown(result: dict[str, Any]) -> str:
    """The prediction's error by delta."""
    return markdown_table(
        ("δ", "draws", "median error of the prediction", "largest"),
        (
            [
                f"{row['low']:g} to {row['high']:g}" if row["high"] else f"above {row['low']:g}",
                str(row["draws"]),
                f"{row['median_error']:.0%}",
                f"{row['worst_error']:.0%}",
            ]
            for row in result["by_delta"]
        ),
    )
