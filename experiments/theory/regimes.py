"""Two theories that disagree in sign: from the bias-dominated to the variance-dominated regime.

The gap norm (arXiv 2502.00620) says: the more of the strong model's directions the weak one misses, the larger the
error. The discrepancy d_w - d_{s and w} (Dong et al., arXiv 2502.05075) says: the less of the weak model's directions
the strong one shares, the less of its noise is inherited, the smaller the error. Both are right where their term
dominates.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from w2sg_jax import synthetic as syn
from w2sg_jax.evaluation.correlation import correlate
from w2sg_jax.report.style import MARKS, mean_and_error, panels, points
from w2sg_jax.report.tables import markdown_table

LEAST_SQUARES = 1e-10
"""Ridge of the heads, which have no tail here."""


@dataclass(frozen=True)
class Config:
    """The map, and what is drawn in each of its cells."""

    n: int = 100
    """n~ = n^."""
    d: int = 10
    """d_w = d_s; the first direction is shared, the others have overlaps that differ from pair to pair."""
    missing: tuple[float, ...] = (0.0, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
    """Share of the target's variance on the directions that the weak model sees in part: the bias."""
    noise: tuple[float, ...] = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
    """Variance of the label noise, of a target of variance 1: the variance."""
    pairs: int = 40
    """Weak models in each cell."""
    seeds: int = 10
    """Draws of the samples of each."""
    shown: tuple[tuple[int, int], ...] = ((0, 4), (3, 3), (6, 2))
    """Cells (missing, noise) that are drawn in full: variance-dominated, in between, bias-dominated."""


TOY = Config(n=30, d=3, missing=(0.0, 1.0), noise=(0.1, 1.0), pairs=4, seeds=2, shown=((0, 1), (1, 1), (1, 0)))
PREDICTORS = {"norm": "gap norm", "discrepancy": "discrepancy", "both": "both together"}
"""The last one is bias + inherited variance, in closed form."""
SIGNS = {"norm": 1, "discrepancy": -1, "both": 1}
"""Correlations are positive where the theory is right: a large gap norm goes with a large error, small gain and small
PGR, a large discrepancy with the opposite."""
OUTCOMES = {"err_w2s": "Err_w2s", "gain": "gain Err_w − Err_w2s", "pgr": "PGR"}


def compute(config: Config, step: Callable[[int, int], None]) -> dict[str, Any]:
    """Rank correlations of both predictors with what is measured, in every cell of the map."""
    cells, total = [], len(config.missing) * len(config.noise)
    for i, missing in enumerate(config.missing):
        for j, noise in enumerate(config.noise):
            step(len(cells), total)
            seeds = range(len(cells) * config.seeds, (len(cells) + 1) * config.seeds)
            cells.append(_cell(missing, noise, config, seeds, full=(i, j) in config.shown))
    step(total, total)
    return {
        "cells": cells,
        "wins": {outcome: _wins(cells, outcome) for outcome in OUTCOMES},
        "boundary": boundary(config),
    }


def boundary(config: Config) -> list[float]:
    """The missing share at which bias and variance change equally, for each noise.

    From no overlap to full overlap the bias falls by about ``missing`` and the variance of Dong et al. rises by
    noise / n~ (d - 1)(1 - d / n^).
    """
    return [v / config.n * (config.d - 1) * (1 - config.d / config.n) for v in config.noise]


def _cell(missing: float, noise: float, config: Config, seeds: range, *, full: bool) -> dict[str, Any]:
    """One cell; its draws are its own, its weak models those of every cell."""
    populations = _pairs(missing, noise, config)
    ridge = np.full(config.pairs, LEAST_SQUARES)
    n = config.n
    found = syn.simulate(syn.stack(populations), ridge, ridge, n_train=n, n_w2s=n, seeds=seeds)
    m = found.measured
    shared = np.array([syn.correlation_dimension(p) for p in populations])
    theory = np.array([_both(p, config) for p in populations])  # (pairs, 3): Err_w, Err_w2s, Err_sc
    predictors = {"norm": found.predicted.norm, "discrepancy": _each(config.d - shared, config)}
    measured = _losses(*(x.mean(axis=1) for x in (m.err_weak, m.err_w2s, m.err_ceiling)))
    measured["pgr"][~_defined(m.err_weak - m.err_ceiling)] = np.nan
    outcomes = {"err_w2s": m.err_w2s, "gain": m.err_w2s - m.err_weak, "pgr": _each(measured["pgr"], config)}
    spearman = {}
    for outcome, loss in outcomes.items():
        tables = predictors | {"both": _each(_losses(*theory.T)[outcome], config)}
        spearman[outcome] = {name: _spearman(SIGNS[name] * table, loss) for name, table in tables.items()}
    cell: dict[str, Any] = {"missing": missing, "noise": noise, "spearman": spearman}
    cell |= {"gain": _digits((m.err_weak - m.err_w2s).mean()), "pgr_defined": int(np.isfinite(measured["pgr"]).sum())}
    share = np.mean([_variance(p, config) for p in populations]) / theory[:, 1].mean()
    cell |= {"variance_share": _digits(share)}
    if full:
        cell["pairs"] = {"shared": shared.round(4).tolist(), "theory": [_digits(x) for x in theory[:, 1]]}
        cell["pairs"] |= {
            name: np.round(getattr(m, name), 6).tolist() for name in ("err_weak", "err_w2s", "err_ceiling")
        }
    return cell


def _spearman(predictor: np.ndarray, loss: np.ndarray) -> list[float | None]:
    """Value and 95% interval over the weak models for which both are defined; None where that is fewer than half."""
    defined = np.isfinite(np.hstack([predictor, loss]).sum(axis=1))
    if 2 * defined.sum() < len(defined):
        return [None] * 3
    found = correlate(predictor[defined], loss[defined], seed=0)
    return [None if np.isnan(x) else _digits(x) for x in (found.value, found.low, found.high)]


def _defined(denominators: np.ndarray) -> np.ndarray:
    """Whether the mean over seeds stands out of their noise by two standard errors, as in ``weak_to_strong``."""
    mean, error = mean_and_error(denominators)
    return mean > 2 * error


def _digits(x: Any) -> float:
    return float(f"{x:.4g}")


def _pairs(missing: float, noise: float, config: Config) -> list[syn.Population]:
    """Weak models of overlaps around levels from 0 to 1; the same ones in every cell."""
    rng = np.random.default_rng(0)
    made = []
    for level in np.linspace(0.02, 0.98, config.pairs):
        spread = 8.0
        overlaps = np.append(1.0, rng.beta(spread * level, spread * (1 - level), config.d - 1))
        signs = rng.choice([-1.0, 1.0], config.d - 1) * np.sqrt(missing / (config.d - 1))
        made.append(syn.correlated_pair(overlaps, np.append(np.sqrt(1 - missing), signs), noise=float(np.sqrt(noise))))
    return made


def _each(values: np.ndarray, config: Config) -> np.ndarray:
    """The same value for every seed."""
    return np.repeat(values[:, None], config.seeds, axis=1)


def _losses(err_weak: np.ndarray, err_w2s: np.ndarray, err_ceiling: np.ndarray) -> dict[str, np.ndarray]:
    """What is better when it is smaller: the error, and minus the gain and PGR."""
    gain, most = err_weak - err_w2s, err_weak - err_ceiling
    pgr = np.divide(gain, most, out=np.full(len(gain), np.nan), where=most > 0)
    return {"err_w2s": err_w2s, "gain": -gain, "pgr": -pgr}


def _both(p: syn.Population, config: Config) -> tuple[float, float, float]:
    """Err_w, Err_w2s and Err_sc as both theories together have them: the limit's bias, and the variance.

    What the weak model misses of the target is noise to its least squares too: sigma^2 + bias stands for sigma^2.
    """
    bias, freedom = _bias(p), config.d / (config.n - config.d - 1)
    weak = bias.err_weak + (float(p.noise) ** 2 + bias.err_weak) * freedom
    return weak, bias.err_w2s + _variance(p, config), bias.err_ceiling + float(p.noise) ** 2 * freedom


def _bias(p: syn.Population) -> syn.Limit:
    return syn.limit(p, syn.EffectiveRidges(LEAST_SQUARES, LEAST_SQUARES))


def _variance(p: syn.Population, config: Config) -> float:
    noise = np.sqrt(float(p.noise) ** 2 + _bias(p).err_weak)
    noisy = syn.Population(p.weak, p.strong, p.target, noise, p.tail_weak, p.tail_strong)
    return syn.inherited_variance(noisy, config.n, config.n)


def _wins(cells: list[dict[str, Any]], outcome: str) -> dict[str, int]:
    """Cells in which a theory's 95% interval lies above 0."""
    lowest = {name: [cell["spearman"][outcome][name][1] for cell in cells] for name in PREDICTORS}
    right = {name: [low is not None and low > 0 for low in column] for name, column in lowest.items()}
    return {name: sum(column) for name, column in right.items()} | {
        "neither": sum(not (a or b) for a, b in zip(right["norm"], right["discrepancy"], strict=True)),
        "undefined": sum(cell["spearman"][outcome]["norm"][0] is None for cell in cells),
        "cells": len(cells),
    }


def draw(result: dict[str, Any]) -> Figure:
    """Maps of rank correlations with Err_w2s and with the gain; below, three cells in full."""
    figure, axes = panels(3, 3, 13, 12)
    for row, outcome in enumerate(("err_w2s", "gain")):
        for axis, (name, title) in zip(axes[row], PREDICTORS.items(), strict=True):
            _map(axis, result, outcome, name)
            axis.set_title(f"{title}\nSpearman with {OUTCOMES[outcome]}", fontsize=9)
    shown = [cell for cell in result["cells"] if "pairs" in cell]
    for axis, cell in zip(axes[2], shown, strict=False):
        _full(axis, cell)
    return figure


def _map(axis: Axes, result: dict[str, Any], outcome: str, name: str) -> None:
    missing = sorted({cell["missing"] for cell in result["cells"]})
    noise = sorted({cell["noise"] for cell in result["cells"]})
    table = np.full((len(missing), len(noise)), np.nan)
    for cell in result["cells"]:
        i, j = missing.index(cell["missing"]), noise.index(cell["noise"])
        value, low, high = (np.nan if x is None else x for x in cell["spearman"][outcome][name])
        table[i, j] = value
        sure = low > 0 or high < 0
        axis.text(
            j,
            i,
            f"{value:.2f}",
            ha="center",
            va="center",
            fontsize=8,
            fontweight="bold" if sure else "normal",
            color="white" if abs(value) > 0.6 else "black",
        )
    axis.imshow(table, cmap="PuOr", vmin=-1, vmax=1, origin="lower", aspect="auto")
    axis.grid(visible=False)
    axis.set_xticks(range(len(noise)), [f"{x:g}" for x in noise], fontsize=8)
    axis.set_yticks(range(len(missing)), [f"{x:g}" for x in missing], fontsize=8)
    axis.set_xlabel("label noise, variance", fontsize=9)
    axis.set_ylabel("target missed in part, share", fontsize=9)
    for j, height in enumerate(result["boundary"] if outcome == "err_w2s" else ()):
        known = np.array(missing) > 0
        i = int(np.argmin(np.where(known, np.abs(np.log(np.where(known, missing, 1.0)) - np.log(height)), np.inf)))
        if abs(np.log(missing[i] / height)) < np.log(2):
            axis.add_patch(Rectangle((j - 0.5, i - 0.5), 1, 1, fill=False, edgecolor="black", linewidth=2))


def _full(axis: Axes, cell: dict[str, Any]) -> None:
    pairs = cell["pairs"]
    order = np.argsort(pairs["shared"])
    x = np.array(pairs["shared"])[order]
    for series, (name, label) in enumerate(
        {"err_weak": "Err_w", "err_w2s": "Err_w2s", "err_ceiling": "Err_sc"}.items()
    ):
        mean, error = mean_and_error(np.array(pairs[name])[order])
        points(axis, x, mean, error, label, series, joined=False)
    axis.plot(x, np.array(pairs["theory"])[order], color=MARKS[1]["color"], linewidth=1, label="both together, Err_w2s")
    axis.set(xlabel="shared dimension |V_s^T V_w|²", ylabel="error", ylim=(0, None))
    axis.set_title(f"label noise {cell['noise']:g}, missed in part {cell['missing']:g}", fontsize=9)
    axis.legend(fontsize=8)


def markdown(result: dict[str, Any]) -> str:
    """The cells that are drawn in full, with intervals, and in how many cells each theory is right."""
    headings = ("cell", "outcome", *PREDICTORS.values())
    rows = []
    for cell in result["cells"]:
        if "pairs" in cell:
            name = (
                f"noise {cell['noise']:g}, missed {cell['missing']:g}; variance {cell['variance_share']:.0%} of Err_w2s"
            )
            rows += [
                [name, text, *(_interval(cell["spearman"][outcome][one]) for one in PREDICTORS)]
                for outcome, text in OUTCOMES.items()
            ]
    for outcome, text in OUTCOMES.items():
        wins = result["wins"][outcome]
        rows.append(
            [f"cells of {wins['cells']} with an interval above 0", text, *(str(wins[one]) for one in PREDICTORS)]
        )
    return markdown_table(headings, rows)


def _interval(found: list[float | None]) -> str:
    return "undefined" if found[0] is None else f"{found[0]:.2f} [{found[1]:.2f}, {found[2]:.2f}]"
