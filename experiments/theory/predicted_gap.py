"""Predicted against measured PredGap over hundreds of random configurations, with and without the effective ridge."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from w2sg_jax import synthetic as syn
from w2sg_jax.report.style import MARKS, panels
from w2sg_jax.report.tables import markdown_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SMALL = 0.5
"""delta up to which a draw counts as decomposable, as in ``w2sg_jax.decomposability``."""
MOST = 6
"""Largest dimension of a principal subspace; smaller ones are padded with zeros."""


@dataclass(frozen=True)
class Config:
    """Which configurations are drawn."""

    sizes: tuple[tuple[int, int], ...] = ((200, 400), (400, 200), (400, 400), (800, 400))
    """Pairs n~, n^."""
    gaussian: int = 100
    """Configurations a pair of sizes with Gaussian tails, of dimension 20 to 1000 times the samples."""
    low: int = 25
    """With Gaussian tails of a low dimension, 1 to 10 times the samples."""
    elliptical: int = 25
    """With elliptical tails of a high dimension."""
    independent: int = 50
    """With tails of independent sub-Gaussian, and as many with heavy-tailed, coordinates (latents too)."""
    independent_size: tuple[int, int] = (200, 300)
    """n~, n^ of those."""
    dimension: int = 20_000
    """And the dimension of their tails."""
    dof: float = 5.0
    """Degrees of freedom of heavy-tailed coordinates and of elliptical tails."""
    seed: int = 0


TOY = Config(((12, 16),), 4, 4, 4, 0)


def compute(config: Config, step: Callable[[int, int], None]) -> dict[str, Any]:
    """Measure every configuration once."""
    rng = np.random.default_rng(config.seed)
    jobs = [(family, count, sizes) for sizes in config.sizes for family, count in _gaussian_families(config)]
    jobs += [(family, config.independent, config.independent_size) for family in ("sub-Gaussian", "heavy-tailed")]
    jobs = [job for job in jobs if job[1]]
    rows: list[dict[str, Any]] = []
    for done, (family, count, sizes) in enumerate(jobs):
        step(done, len(jobs))
        rows += _measure(rng, family, count, sizes, config)
    step(len(jobs), len(jobs))
    return {"rows": rows, "fits": {name: _fit(rows, *which) for name, which in SUBSETS.items()}}


def _gaussian_families(config: Config) -> tuple[tuple[str, int], ...]:
    return ("Gaussian", config.gaussian), ("low-dimensional", config.low), ("elliptical", config.elliptical)


def _measure(
    rng: np.random.Generator, family: str, count: int, sizes: tuple[int, int], config: Config
) -> list[dict[str, Any]]:
    drawn = [_population(rng, family, sizes, config) for _ in range(count)]
    populations = syn.stack([one for one, _ in drawn])
    ridges = np.array([ridge for _, ridge in drawn])
    entries = {"sub-Gaussian": syn.rademacher, "heavy-tailed": syn.student_t(config.dof)}.get(family, syn.gaussian)
    found = syn.simulate(
        populations, *ridges.T, n_train=sizes[0], n_w2s=sizes[1], seeds=(config.seed,), latents=entries, check=True
    )
    assert found.conditions is not None
    columns = {
        "measured": found.measured.pred_gap,
        "predicted": found.predicted.pred_gap,
        "without": found.without.pred_gap,
        "norm": found.predicted.norm,
        "err_w2s": found.measured.err_w2s,
        "delta": np.max(np.stack(found.conditions), axis=0),
    }
    return [
        {"family": family, "n_train": sizes[0], "n_w2s": sizes[1]}
        | {name: float(f"{values[i, 0]:.6g}") for name, values in columns.items()}
        for i in range(count)
    ]


def _population(
    rng: np.random.Generator, family: str, sizes: tuple[int, int], config: Config
) -> tuple[syn.Population, tuple[float, float]]:
    """Random variances and directions, a random target in the strong span, random tails and ridges."""
    k_weak, k_strong = rng.integers(1, MOST + 1, size=2)
    p = 2 * MOST
    a_weak, a_strong = np.zeros((MOST, p)), np.zeros((MOST, p))
    a_strong[:k_strong, :k_strong] = np.diag(_log_uniform(rng, 0.3, 3.0, k_strong) ** 0.5)
    mixed = np.zeros((k_weak, p))
    mixed[:, :k_strong] = rng.normal(size=(k_weak, k_strong)) * rng.uniform(0.2, 3.0)
    mixed[:, MOST : MOST + k_weak] = np.eye(k_weak)
    mixed /= np.linalg.norm(mixed, axis=1, keepdims=True)
    a_weak[:k_weak] = mixed * _log_uniform(rng, 0.3, 3.0, k_weak)[:, None] ** 0.5
    target = np.zeros(p)
    target[:k_strong] = rng.normal(size=k_strong)
    target /= np.linalg.norm(target)
    tails = [_tail(rng, family, samples, sum(sizes), config) for samples in sizes]
    ridges = [0.0 if rng.random() < 0.5 else float(_log_uniform(rng, 1e-3, 0.3)) for _ in range(2)]
    return syn.Population(a_weak, a_strong, target, 0.0, *tails), (ridges[0], ridges[1])


def _tail(rng: np.random.Generator, family: str, n: int, most: int, config: Config) -> syn.Tail:
    """A tail of gamma = 0.01 to 1 on its own head's samples."""
    trace = float(_log_uniform(rng, 0.01, 1.0)) * n
    if family in ("sub-Gaussian", "heavy-tailed"):
        entries = syn.rademacher if family == "sub-Gaussian" else syn.student_t(config.dof)
        return syn.IndependentTail(trace, 0.0, config.dimension, entries)
    times = _log_uniform(rng, 1.0, 10.0) if family == "low-dimensional" else _log_uniform(rng, 20.0, 1000.0)
    if family == "elliptical":
        return syn.EllipticalTail(trace, float(times * most), config.dof)
    return syn.GaussianTail(trace, float(times * most))


def _log_uniform(rng: np.random.Generator, low: float, high: float, size: int | None = None) -> Any:
    return np.exp(rng.uniform(np.log(low), np.log(high), size))


SUBSETS = {
    "decomposable": (True, "predicted"),
    "decomposable, ridge alone": (True, "without"),
    "not decomposable": (False, "predicted"),
    "not decomposable, ridge alone": (False, "without"),
}


def _fit(rows: list[dict[str, Any]], small: bool, quantity: str) -> dict[str, Any]:
    """R^2 and slope of log measured on log predicted, R^2 about the identity line, and the typical factor between."""
    chosen = [row for row in rows if (row["delta"] <= SMALL) == small]
    if len(chosen) < 3:
        return {"count": len(chosen), "r2": None, "slope": None, "r2_identity": None, "median_error": None}
    x, y = (np.log10([max(row[name], 1e-300) for row in chosen]) for name in (quantity, "measured"))
    slope, intercept = np.polyfit(x, y, 1)
    spread = ((y - y.mean()) ** 2).sum()
    return {
        "count": len(chosen),
        "r2": float(1 - ((y - slope * x - intercept) ** 2).sum() / spread),
        "slope": float(slope),
        "r2_identity": float(1 - ((y - x) ** 2).sum() / spread),
        "median_error": float(np.median(np.abs(10 ** (y - x) - 1))),
    }


def figure(result: dict[str, Any]) -> "Figure":
    """Two log-log panels: with the effective ridge, and with the ridge alone."""
    made, axes = panels(1, 2, 11, 5.2, sharex=True, sharey=True)
    rows = result["rows"]
    floor = min(row["measured"] for row in rows) / 3
    for axis, quantity, title in zip(
        axes.flat, ("predicted", "without"), ("with the effective ridge β + γ", "with β alone"), strict=True
    ):
        for small in (False, True):
            chosen = [row for row in rows if (row["delta"] <= SMALL) == small]
            fit = result["fits"][
                ("" if small else "not ") + "decomposable" + ("" if quantity == "predicted" else ", ridge alone")
            ]
            style = MARKS[0] if small else MARKS[1]
            x = [max(row[quantity], floor) for row in chosen]
            text = f"δ {'≤' if small else '>'} {SMALL}: {fit['count']} draws"
            text += "" if fit["r2"] is None else f", R² {fit['r2']:.3f}, slope {fit['slope']:.2f}"
            axis.loglog(
                x,
                [row["measured"] for row in chosen],
                linestyle="",
                label=text,
                markersize=3.5,
                fillstyle="full" if small else "none",
                alpha=0.8,
                **style,
            )
        ends = [floor, max(row["measured"] for row in rows) * 1.5]
        axis.loglog(ends, ends, color="0.4", linewidth=1, linestyle="--", label="predicted = measured")
        axis.set(xlabel="predicted |P_s (I − P_w) y|² / n on the w2s split", title=title)
        axis.legend(fontsize=8, loc="upper left")
    axes[0, 0].set_ylabel("measured PredGap of fitted heads")
    return made


def markdown(result: dict[str, Any]) -> str:
    """R^2 and slopes."""
    headings = ("draws", "number", "R² log-log", "slope", "R² about identity", "median error")
    return markdown_table(
        headings,
        (
            [name, str(fit["count"])]
            + (
                [""] * 4
                if fit["r2"] is None
                else [f"{fit[key]:.3f}" for key in ("r2", "slope", "r2_identity")] + [f"{fit['median_error']:.0%}"]
            )
            for name, fit in result["fits"].items()
        ),
    )
