"""Predicted errors against those of fitted heads, over hundreds of random configurations of sizes, widths and tails."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import numpy as np
from scipy.linalg import solve

import w2sg_jax as w2sg
from w2sg_jax import synthetic as syn
from w2sg_jax.report.style import MARKS, panels
from w2sg_jax.report.tables import markdown_table

if TYPE_CHECKING:
    from matplotlib.figure import Figure


FAMILIES = ("low rank", "Gaussian tail", "power-law tail", "heavy tail", "elliptical tail", "correlated pair")


@dataclass(frozen=True)
class Config:
    """Which configurations are drawn."""

    cells: int = 8
    """Choices of sizes and widths in each of the four classes; every family is measured in each of them."""
    families: tuple[str, ...] = FAMILIES
    samples: tuple[int, ...] = (50, 100, 200, 400, 800, 2000)
    """n~."""
    pools: tuple[float, ...] = (0.5, 1, 2, 4)
    """n^ over n~."""
    widths: tuple[float, ...] = (0.1, 0.3, 0.8, 1.3, 3, 10)
    """Width over the samples that a head is fitted on."""
    widest: int = 2000
    requests: tuple[float, ...] = (0.5, 1, 2, 5)
    """Samples that errors are asked for over those at hand, where other sizes are asked for."""
    noises: tuple[float, ...] = (0, 0.1, 0.3, 1)
    """Standard deviations of the label noise; the target has variance 1."""
    ridges: tuple[float, float] = (1e-6, 1)
    """The smallest and the largest, over the trace."""
    fewest: int = 16
    """Draws of a configuration."""
    most: int = 160
    work: float = 4e10
    """Floating point operations of a configuration that further draws are made for."""
    largest: float = 1.5e10
    """Floating point operations of one draw, at most."""
    every: int = 4
    """One configuration in so many is also measured with ridges that are chosen."""
    dof: float = 5.0
    """Degrees of freedom of heavy tails."""
    seed: int = 0


TOY = Config(
    cells=1,
    families=("low rank", "power-law tail", "correlated pair"),
    samples=(20,),
    pools=(1,),
    widths=(0.4, 2),
    requests=(0.5, 2),
    fewest=4,
    most=4,
    seed=1,
)
ROWS = 2048
"""Samples that are drawn at once, so that few shapes are compiled."""
Split = tuple[np.ndarray, np.ndarray, np.ndarray]
"""weak, strong, y"""
CLEARED = 12
"""Configurations after which compiled programs are given up."""
SPIKES = 6
"""Latents of spiked representations, at most."""
ERRORS = {"err_w2s": "Err_w2s", "err_weak": "Err_w", "err_ceiling": "Err_sc", "pred_gap": "PredGap"}
QUANTITIES = (*ERRORS, "gain")
CLASSES = {
    (False, False): "sizes at hand, pool larger than the width",
    (False, True): "sizes at hand, pool smaller",
    (True, False): "other sizes, pool larger than the width",
    (True, True): "other sizes, pool smaller",
}
"""By whether other sizes are asked for, and whether D^ has at most as many samples as the strong model is wide."""
SIGNIFICANT = 3.0
"""Standard errors beyond which a difference counts as bias, if they are of enough draws."""
ENOUGH = 20
HEADS = {"err_weak": (slice(0, 1), "weak model"), "err_ceiling": (slice(1, 2), "strong model")}
"""What errors of one head alone are drawn against."""
SHOWN = 0.3, 3.5
"""Of measured over predicted in the figure."""
TICKS = 0.33, 0.5, 0.7, 0.9, 1, 1.1, 1.4, 2, 3


class Cell(NamedTuple):
    """Sizes at hand, sizes that are asked for, and widths."""

    n_train: int
    n_w2s: int
    asked: tuple[int, int]
    d_weak: int
    d_strong: int

    @property
    def other(self) -> bool:
        """Whether other sizes are asked for."""
        return self.asked != (self.n_train, self.n_w2s)

    @property
    def small(self) -> bool:
        """Whether D^ leaves directions of the strong model without variance."""
        return self.n_w2s <= self.d_strong

    @property
    def operations(self) -> float:
        """Of one prediction, roughly."""
        shapes = (self.n_train, self.d_weak), (self.n_train, self.d_strong), (self.n_w2s, self.d_strong)
        return sum(20.0 * n * d * min(n, d) for n, d in shapes)


class Fitted(NamedTuple):
    """Heads on one pair of splits."""

    errors: np.ndarray
    """of ``QUANTITIES``, expected on fresh samples with noisy labels"""
    shares: tuple[float, float]
    """effective dimension over n of the weak head and of the strong head"""


def compute(config: Config, step: Callable[[int, int], None]) -> dict[str, Any]:
    """Measure every configuration, and sum up."""
    rng = np.random.default_rng(config.seed)
    jobs = [(cell, family) for cell in _cells(rng, config) for family in config.families]
    rows = []
    for done, (cell, family) in enumerate(jobs):
        step(done, len(jobs))
        rng = np.random.default_rng((config.seed, done))  # more draws of one configuration leave the others as they are
        chosen = (done + done // len(config.families)) % config.every == 0  # no family always, none never
        rows.append(_measured(rng, cell, family, config, chosen=chosen))
        if (done + 1) % CLEARED == 0:
            jax.clear_caches()  # programs for shapes that do not come back: a process has room for so many only
    step(len(jobs), len(jobs))
    return {"rows": rows}


def _cells(rng: np.random.Generator, config: Config) -> list[Cell]:
    """As many of each class."""
    left = dict.fromkeys(CLASSES, config.cells)
    cells = []
    while any(left.values()):
        n = int(rng.choice(config.samples))
        size = max(int(n * rng.choice(config.pools)), 8)
        widths = [max(int(count * rng.choice(config.widths)), 4) for count in (n, size)]
        times = rng.choice(config.requests, 2) if rng.random() < 0.5 else (1, 1)
        cell = Cell(n, size, (max(int(n * times[0]), 10), max(int(size * times[1]), 10)), *widths)
        affordable = cell.operations <= config.largest and max(widths) <= config.widest
        kind = cell.other, cell.small
        if affordable and left[kind]:
            left[kind] -= 1
            cells.append(cell)
    return cells


def _measured(rng: np.random.Generator, cell: Cell, family: str, config: Config, *, chosen: bool) -> dict[str, Any]:
    """One configuration: means over draws of what is predicted, and over others of what fitted heads have."""
    p, latents = _population(rng, family, cell, config)
    least, most = np.log10(config.ridges)
    relative = 10 ** rng.uniform(least, most, 2)
    center = bool(rng.integers(2))
    traces = [float((a**2).sum() + tail.trace) for a, tail in ((p.weak, p.tail_weak), (p.strong, p.tail_strong))]
    ridges = tuple(relative if center else relative * traces)
    draws = int(np.clip(config.work / cell.operations, config.fewest, config.most))
    options = {"center": center, "scale": "trace" if center else "none"}
    splits = _splits(rng, p, (cell.n_train, cell.n_w2s), latents, draws)
    sizes = {"n_train": cell.asked[0], "n_w2s": cell.asked[1]}
    found = [w2sg.predict_errors(train, pool[:2], **sizes, ridge=ridges, **options) for train, pool in splits]
    fitted = [_fitted(p, *one, ridges, center=center) for one in _splits(rng, p, cell.asked, latents, draws)]
    values = np.array([[_estimate(one, name) for name in QUANTITIES] for one in found])
    measured = np.array([one.errors for one in fitted])
    notes = [[" do not resolve " in " ".join(one.warnings) for one in found]]
    row = {
        "family": family,
        **cell._asdict(),
        "center": center,
        "noise": float(p.noise),
        "ridges": relative.tolist(),
        "draws": draws,
        "shares": np.mean([one.shares for one in fitted], axis=0).tolist(),
        "unresolved": float(np.mean(notes)),
    }
    row |= _compared(values, measured) | _covered(found, values, measured.mean(axis=0))
    if chosen:
        row["choice"] = _choice(p, splits, options)
    return _rounded(row)


def _estimate(found: w2sg.PredictedErrors, quantity: str) -> float:
    """The prediction; of PredGap its estimate, also where it is not positive and therefore undefined."""
    return found.gap_passed + found.gap_fitting if quantity == "pred_gap" else getattr(found, quantity)


def _compared(values: np.ndarray, measured: np.ndarray) -> dict[str, Any]:
    """Means of both, and the standard error of the ratio of them."""
    (mean, error), (truth, spread) = (
        (one.mean(axis=0), one.std(axis=0, ddof=1) / np.sqrt(len(one))) for one in (values, measured)
    )
    ratio = mean / truth
    return {
        "predicted": dict(zip(QUANTITIES, mean.tolist(), strict=True)),
        "measured": dict(zip(QUANTITIES, truth.tolist(), strict=True)),
        "error": dict(zip(QUANTITIES, (np.hypot(error, ratio * spread) / np.abs(truth)).tolist(), strict=True)),
    }


def _covered(found: Sequence[w2sg.PredictedErrors], values: np.ndarray, truth: np.ndarray) -> dict[str, Any]:
    """Shares of intervals that hold the truth, and standard errors over the spread of what they are of."""
    covered, wide = {}, {}
    for place, name in enumerate(QUANTITIES):
        ends = np.array([one.intervals.get(name, (np.inf, -np.inf)) for one in found])  # undefined: holds nothing
        covered[name] = float(((ends[:, 0] <= truth[place]) & (truth[place] <= ends[:, 1])).mean())
        told = np.mean([one.standard_errors[name] for one in found])
        wide[name] = float(told / values[:, place].std(ddof=1))
    return {"covered": covered, "wide": wide}


def _choice(p: syn.Population, splits: Sequence[tuple[Split, Split]], options: dict[str, Any]) -> dict[str, Any]:
    """Ridges that are chosen on each draw, and heads with them, beside a pair that is good and the same for all."""

    def told(ridges: Any) -> tuple[list[w2sg.PredictedErrors], np.ndarray]:
        found = [w2sg.predict_errors(train, pool[:2], ridge=ridges, **options) for train, pool in splits]
        pairs = [(one.ridge_weak, one.ridge_strong) for one in found]
        fitted = [
            _fitted(p, *one, pair, center=options["center"]).errors for one, pair in zip(splits, pairs, strict=True)
        ]
        return found, np.array(fitted)

    outcome: dict[str, Any] = {}
    good = None
    for name in ("auto", "fixed"):
        found, measured = told("auto" if good is None else good)
        if good is None:
            good = tuple(np.exp(np.median(np.log([(one.ridge_weak, one.ridge_strong) for one in found]), axis=0)))
        values = np.array([[_estimate(one, quantity) for quantity in QUANTITIES] for one in found])
        outcome[name] = _compared(values, measured) | _covered(found, values, measured.mean(axis=0))
    return outcome


def _rounded(row: Any) -> Any:
    """To four significant digits."""
    if isinstance(row, dict):
        return {name: _rounded(value) for name, value in row.items()}
    if isinstance(row, list | tuple):
        return [_rounded(value) for value in row]
    return float(f"{row:.4g}") if isinstance(row, float) else row


def _population(
    rng: np.random.Generator, family: str, cell: Cell, config: Config
) -> tuple[syn.Population, syn.Entries]:
    """Random spectra, a target of variance 1 on the latents, and the law of these."""
    noise = float(rng.choice(config.noises))
    widths = cell.d_weak, cell.d_strong
    if family == "correlated pair":
        k = min(widths)
        target = _target(rng, widths[1]).tolist()
        made = syn.correlated_pair(
            rng.uniform(0.1, 1, k), target, weak_only=widths[0] - k, strong_only=widths[1] - k, noise=noise
        )
        return made, syn.gaussian
    if family == "low rank":
        count = max(widths) + max(widths) // 5
        weak, strong = (_variances(rng, width, count) for width in widths)
        return syn.low_rank(weak, strong, _target(rng, count), noise=noise), syn.gaussian
    k = min(SPIKES, min(widths) - 1)
    spikes = [np.exp(rng.uniform(np.log(0.3), np.log(3), k)) for _ in widths]
    for one in spikes:
        one[rng.random(k) < 0.25] = 0  # a latent that this model does not see
    target = rng.normal(size=k)
    sizes = cell.n_train, cell.n_w2s
    tails = [
        _tail(family, float(np.exp(rng.uniform(np.log(0.3), np.log(0.3 * n)))), width - k, rng, config)
        for width, n in zip(widths, sizes, strict=True)
    ]
    target /= np.linalg.norm(target)
    made = syn.spiked(spikes[0], spikes[1], target, tail_weak=tails[0], tail_strong=tails[1], noise=noise)
    return made, syn.student_t(config.dof) if family == "heavy tail" else syn.gaussian


def _target(rng: np.random.Generator, count: int) -> np.ndarray:
    """Random coefficients that fall, of length 1."""
    target = rng.normal(size=count) / np.arange(1, count + 1) ** rng.uniform(0.3, 1)
    return target / np.linalg.norm(target)


def _variances(rng: np.random.Generator, width: int, count: int) -> np.ndarray:
    """A power law over the latents that a model sees; the first ones, which make most of the target, are likelier."""
    chances = 1 / np.arange(1, count + 1)
    seen = rng.choice(count, width, replace=False, p=chances / chances.sum())
    variances = np.zeros(count)
    variances[np.sort(seen)] = np.arange(1.0, width + 1) ** -rng.choice([0, 0.5, 1, 1.5])
    return variances


def _tail(family: str, trace: float, dimension: int, rng: np.random.Generator, config: Config) -> syn.Tail:
    if family == "Gaussian tail":
        return syn.GaussianTail(trace, float(dimension))
    if family == "elliptical tail":
        return syn.EllipticalTail(trace, float(dimension), config.dof)
    if family == "power-law tail":
        return syn.IndependentTail(trace, float(rng.uniform(0.5, 1.5)), dimension)
    return syn.IndependentTail(trace, 0.0, dimension, syn.student_t(config.dof))


def _splits(
    rng: np.random.Generator, p: syn.Population, sizes: tuple[int, int], latents: syn.Entries, draws: int
) -> list[tuple[Split, Split]]:
    """D~ and D^ of these sizes, so many times."""
    n = sum(sizes)
    rows = max(ROWS, 1 << (n - 1).bit_length())
    made: list[tuple[Split, Split]] = []
    while len(made) < draws:
        drawn = syn.samples(jax.random.key(int(rng.integers(2**31))), p, rows, latents)
        for start in range(0, min(rows // n, draws - len(made)) * n, n):
            weak, strong, y = (one[start : start + n] for one in drawn)
            first, rest = slice(sizes[0]), slice(sizes[0], None)
            made.append(((weak[first], strong[first], y[first]), (weak[rest], strong[rest], y[rest])))
    return made


def _fitted(
    p: syn.Population,
    train: Split,
    w2s: Split,
    ridges: Sequence[float],
    *,
    center: bool,
) -> Fitted:
    """Errors of both heads and of the ceiling, exact over fresh samples, whose labels have the noise.

    Args:
        p: what the splits are drawn from.
        train, w2s: D~ and D^, (weak, strong, y) each.
        ridges: weak and strong, in units of the trace with ``center``, else in raw units.
        center: whether heads have intercepts.
    """
    models = (p.weak, p.tail_weak), (p.strong, p.tail_strong)
    pseudo_head, pseudo_own, share = _head(train[0], train[2][:, None], ridges[0], center=center)
    pseudo = w2s[0] @ pseudo_head + pseudo_own
    heads, own, other = _head(w2s[1], np.column_stack([pseudo[:, 0], w2s[2]]), ridges[1], center=center)
    target = np.asarray(p.target)

    def missed(coefficients: np.ndarray, intercept: float, model: int, wanted: float) -> float:
        a, tail = models[model]
        k = len(a)
        latent = np.asarray(a).T @ coefficients[:k] - wanted * target
        return float((latent**2).sum() + _tail_square(tail, coefficients[k:]) + intercept**2)

    noise = float(p.noise) ** 2
    err_weak = missed(pseudo_head[:, 0], pseudo_own[0], 0, 1) + noise
    err_w2s, err_ceiling = (missed(heads[:, i], own[i], 1, 1) + noise for i in range(2))
    gap = missed(heads[:, 0] - heads[:, 1], own[0] - own[1], 1, 0)
    return Fitted(np.array([err_w2s, err_weak, err_ceiling, gap, err_weak - err_w2s]), (share, other))


def _tail_square(tail: syn.Tail, coefficients: np.ndarray) -> float:
    """Mean square of a linear function of the tail."""
    variances = tail.variances if isinstance(tail, syn.IndependentTail) else tail.largest
    return float((np.asarray(variances) * coefficients**2).sum()) if len(coefficients) else 0.0


def _head(h: np.ndarray, y: np.ndarray, ridge: float, *, center: bool) -> tuple[np.ndarray, np.ndarray, float]:
    """Coefficients, intercepts, and effective dimension over n, of ridge regression on the smaller side."""
    n, d = h.shape
    mean, middle = (h.mean(axis=0), y.mean(axis=0)) if center else (np.zeros(d), np.zeros(y.shape[1]))
    rows, values = h - mean, y - middle
    added = ridge * ((rows**2).sum() / n if center else 1.0)
    gram = (rows.T @ rows if d <= n else rows @ rows.T) / n
    regular = gram + added * np.eye(len(gram))
    sides = np.hstack([rows.T @ values / n if d <= n else values / n, gram])
    solved = solve(regular, sides, assume_a="pos")
    head = solved[:, : y.shape[1]] if d <= n else rows.T @ solved[:, : y.shape[1]]
    return head, middle - mean @ head, float(np.trace(solved[:, y.shape[1] :]) / n)


def bias(row: dict[str, Any], name: str) -> float:
    """Relative error of the mean prediction; of the gain, in units of the larger error that it is the difference of."""
    return abs(row["predicted"][name] - row["measured"][name]) / _unit(row, name)


def _unit(row: dict[str, Any], name: str) -> float:
    """What errors of a quantity are relative to."""
    measured = row["measured"]
    return max(measured["err_weak"], measured["err_w2s"]) if name == "gain" else abs(measured[name])


def _groups(rows: list[dict[str, Any]]) -> list[tuple[str, list[dict[str, Any]]]]:
    """Configurations that the table tells together."""
    resolved = [row for row in rows if row["unresolved"] == 0]
    groups = [("all", rows), ("resolved", resolved)]
    for (other, small), name in CLASSES.items():
        here = [row for row in rows if _kind(row) == (other, small)]
        if other:
            groups.append((f"{name}, resolved", [row for row in here if row in resolved]))
            groups.append((f"{name}, not resolved", [row for row in here if row not in resolved]))
        else:
            groups.append((name, here))
    groups += [(f"{family}, resolved", [row for row in resolved if row["family"] == family]) for family in FAMILIES]
    for low, high in ((0.0, 0.3), (0.3, 0.7), (0.7, 1.0)):
        title = f"effective dimension {low:g} to {high:g} of n, resolved"
        groups.append((title, [row for row in resolved if low <= max(row["shares"]) < high]))
    return [(name, some) for name, some in groups if some]


def _kind(row: dict[str, Any]) -> tuple[bool, bool]:
    """The class of a configuration."""
    return tuple(row["asked"]) != (row["n_train"], row["n_w2s"]), row["n_w2s"] <= row["d_strong"]


def figure(result: dict[str, Any]) -> "Figure":
    """Measured over predicted, against width over n above and against effective dimension over n below."""
    made, axes = panels(2, len(ERRORS), 15, 7.2, sharey=True, sharex="row")
    for column, (name, title) in enumerate(ERRORS.items()):
        heads, whose = HEADS.get(name, (slice(None), "larger of both"))
        for family, style in zip(FAMILIES, MARKS, strict=False):
            rows = [row for row in result["rows"] if row["family"] == family and row["predicted"][name] > 0]
            for reached in (True, False):
                some = [row for row in rows if (row["unresolved"] == 0) == reached]
                y = [row["measured"][name] / row["predicted"][name] for row in some]
                label = family if reached else "samples do not resolve it" if family == FAMILIES[0] else None
                fill = {"fillstyle": "full", "markeredgewidth": 0.0} if reached else {"fillstyle": "none"}
                for axis, shares in zip(axes[:, column], (_widths, _effective), strict=True):
                    x = [max(shares(row)[heads]) for row in some]
                    axis.plot(x, y, linestyle="", markersize=4, label=label, **fill, **style)
        axes[0, column].set(title=title, xscale="log", xlabel=f"width / samples, {whose}")
        axes[1, column].set(xlabel=f"effective dimension / samples, {whose}")
        for axis in axes[:, column]:
            axis.axhline(1, color="0.4", linewidth=1)
            axis.set(yscale="log", ylim=SHOWN)
            axis.set_yticks(TICKS, [f"{tick:g}" for tick in TICKS])
            axis.minorticks_off()
    for axis in axes[:, 0]:
        axis.set_ylabel("measured / predicted")
    axes[0, 0].legend(fontsize=7, ncols=2)
    return made


def _widths(row: dict[str, Any]) -> list[float]:
    """Widths of both models over the samples that their heads are to be fitted on."""
    return [row[width] / n for width, n in zip(("d_weak", "d_strong"), row["asked"], strict=True)]


def _effective(row: dict[str, Any]) -> list[float]:
    """Effective dimensions over the same."""
    return row["shares"]


def markdown(result: dict[str, Any]) -> str:
    """Errors of the prediction by class, intervals, and what choosing ridges adds."""
    rows = result["rows"]
    headings = ("median relative error (90% quantile)", "configurations", *ERRORS.values(), "gain")
    lines = []
    for title, some in _groups(rows):
        found = [[bias(row, name) for row in some] for name in QUANTITIES]
        cells = [f"{np.median(one):.1%} ({np.quantile(one, 0.9):.0%})" for one in found]
        lines.append([title, str(len(some)), *cells])
    told = [row for row in rows if row["unresolved"] == 0]
    lines.append(
        ["resolved, what draws alone would give", str(len(told)), *(_by_chance(told, name) for name in QUANTITIES)]
    )
    enough = [row for row in told if row["draws"] >= ENOUGH]
    if enough:
        lines.append(
            [f"resolved, off by more than {SIGNIFICANT:g} standard errors", str(len(enough))]
            + [f"{np.mean([_sigmas(row, name) > SIGNIFICANT for row in enough]):.0%}" for name in QUANTITIES]
        )
    for title, some in (
        ("sizes at hand", [row for row in rows if not _kind(row)[0]]),
        ("other sizes, resolved", [row for row in told if _kind(row)[0]]),
    ):
        lines += _intervals(f"{title}: ", some)
    choices = [row["choice"] for row in rows if "choice" in row]
    for name in ("fixed", "auto"):
        some = [one[name] for one in choices]
        ratios = [np.median([one["predicted"][name] / one["measured"][name] for one in some]) for name in ERRORS]
        gain = np.median([(one["predicted"]["gain"] - one["measured"]["gain"]) / _unit(one, "gain") for one in some])
        title = f"ridges {'chosen' if name == 'auto' else 'fixed at the median choice'}: "
        lines.append(
            [f"{title}predicted / measured, median", str(len(some)), *(f"{one:.3f}" for one in ratios), f"{gain:+.1%}"]
        )
        lines += _intervals(title, some)
    lines.append(["measured with chosen ridges / with fixed ones, median", str(len(choices)), *_chosen(choices), "–"])
    return markdown_table(headings, lines)


def _chosen(choices: Sequence[dict[str, Any]]) -> list[str]:
    """Measured errors of heads with chosen ridges over those of heads with fixed ones."""
    pairs = [(one["auto"]["measured"], one["fixed"]["measured"]) for one in choices]
    return [f"{np.median([auto[name] / fixed[name] for auto, fixed in pairs]):.3f}" for name in ERRORS]


def _intervals(title: str, some: Sequence[dict[str, Any]]) -> list[list[str]]:
    """Lines on intervals: what they cover, and how wide they are."""
    if not some:
        return []
    covered = [f"{np.mean([row['covered'][name] for row in some]):.0%}" for name in QUANTITIES]
    wide = [f"{np.median([row['wide'][name] for row in some]):.2f}" for name in QUANTITIES]
    count = str(len(some))
    return [
        [f"{title}95% intervals cover", count, *covered],
        [f"{title}standard error / spread, median", count, *wide],
    ]


def _sigmas(row: dict[str, Any], name: str) -> float:
    """By how many of its standard errors a ratio is not 1."""
    return abs(row["predicted"][name] / row["measured"][name] - 1) / row["error"][name]


def _by_chance(rows: list[dict[str, Any]], name: str) -> str:
    """Median and 90% quantile of relative errors if there were no bias, normal with the ratios' standard errors."""
    scales = [abs(row["measured"][name]) / _unit(row, name) for row in rows]
    errors = np.array([row["error"][name] * scale for row, scale in zip(rows, scales, strict=True)])
    drawn = np.abs(np.random.default_rng(0).normal(size=(200, len(rows))) * errors)
    return f"{np.median(drawn):.1%} ({np.quantile(drawn, 0.9):.0%})"
