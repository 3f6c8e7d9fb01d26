"""From pairs to what is reported: leaderboards of every task and strong model, and answers to the page's questions."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64

from w2sg_jax.evaluation.correlation import groups_of, rank_correlation, with_test_rows
from w2sg_jax.evaluation.leaderboard import FEWEST, Entrant, Table, leaderboard, skill, tables_of
from w2sg_jax.evaluation.predictions import ERR_WEAK, FORETELL, baselines, column, entrants
from w2sg_jax.predictors import PREDICTORS

from .measure import FIXED, HEADS, MAPPED, MAPS, OWN
from .models import network_of
from .trials import CEILING, Pairs, above_chance

OF_RIDGE = {FIXED: "ridge 1e-2", OWN: "own ridges"}
NAIVE = (
    Entrant("layer", "layer, as a share of the depth", -1),
    Entrant("parameters", "parameters up to the layer", -1),
)
"""What needs no representation at all."""
LABEL_FREE_NEEDS = {"representations"}
HALVES = 2000
"""Random halves of the tasks."""
MEANS = "mean_of_both"
"""The mean of predicted and cross-validated error."""


@dataclass(frozen=True, eq=False)
class Pair:
    """One task and strong model.

    Attributes:
        task, strong: names.
        able: whether the strong model is surely above chance.
        ceiling: its ``CEILING``, means over splits.
        table: errors and predictors.
        measured: every measured quantity, (models, splits).
        seconds: predictor -> what it takes for one more weak model.
    """

    task: str
    strong: str
    able: bool
    ceiling: Mapping[str, float]
    table: Table
    measured: Mapping[str, Float64[np.ndarray, "models splits"]]
    seconds: Mapping[str, float]

    @property
    def error(self) -> Float64[np.ndarray, " models"]:
        """Err_w2s, the mean over splits."""
        return self.table.measured["err_w2s"].mean(axis=1)

    @property
    def above(self) -> Bool[np.ndarray, " models"]:
        """Weak models whose Err_w is above the ceiling."""
        means = {name: self.table.measured[name].mean(axis=1) for name in ("err_weak", "err_ceiling")}
        return means["err_weak"] > means["err_ceiling"]

    @property
    def foreign(self) -> Bool[np.ndarray, " models"]:
        """Weak models that are no layer of the strong model's own network."""
        return np.array([network_of(name) != network_of(self.strong) for name in self.table.models])

    def value(self, name: str) -> Float64[np.ndarray, " models"]:
        """Of a predictor, the mean over its splits."""
        return self.table.values[name].mean(axis=1)

    def spearman(self, entrant: Entrant, chosen: Bool[np.ndarray, " models"] | None = None) -> float:
        """Correlation with Err_w2s, signed; over the chosen models for which it is defined, NaN for fewer than 3."""
        x = entrant.sign * self.value(entrant.name)
        known = np.isfinite(x) & (True if chosen is None else chosen)
        return float(rank_correlation(x[None, known], self.error[None, known])[0]) if known.sum() >= FEWEST else np.nan


def pairs_of(measured: Pairs) -> list[Pair]:
    """Every task and strong model, in the order of the rows."""
    known = {ERR_WEAK, *(one.name for one in taking_part())}
    found = []
    for table in tables_of({**row, ERR_WEAK: row["err_weak"]} for row in measured.rows):
        ceiling = measured.about[table.task]["strong"][table.strong]
        both = [column(name, OWN) for name in FORETELL[:2]]
        others = {name: x for name, x in table.values.items() if name not in known and x.shape[1] == table.splits}
        values = {name: x for name, x in table.values.items() if name in known}
        if set(both) <= set(values):
            values[MEANS] = np.mean([values[name] for name in both], axis=0)
        found.append(
            Pair(
                table.task,
                table.strong,
                above_chance(ceiling),
                {name: float(np.mean(ceiling[name])) for name in CEILING},
                replace(table, values=values),
                {**others, **table.measured},
                measured.about[table.task]["seconds"],
            )
        )
    return found


def taking_part() -> list[Entrant]:
    """Every predictor at the fixed and at own ridges, the measured Err_w, naive ones, and the maps' other ridges."""
    found = entrants(OF_RIDGE, dict.fromkeys(PREDICTORS)) + list(NAIVE)
    found.append(Entrant(MEANS, "mean of predicted and cross-validated error, own ridges", foretells_error=True))
    return found + [
        Entrant(column(name, ridge), f"{PREDICTORS[name].title}, ridge {ridge}", PREDICTORS[name].sign)
        for name in MAPPED
        for ridge in MAPS
        if ridge not in OF_RIDGE
    ]


def label_free(entrant: Entrant) -> bool:
    """Whether it is a predictor that no label is needed for, of heads neither: own ridges are chosen with labels."""
    name, _, ridge = entrant.name.partition("@")
    return name in PREDICTORS and set(PREDICTORS[name].needs) <= LABEL_FREE_NEEDS and ridge != OWN


def board(pair: Pair, *, seed: int, draws: int) -> dict[str, Any]:
    """What is reported of the leaderboard of one pair.

    "reliability" of the measured errors, and "scores" by predictor: "spearman" and "skill" with their intervals,
    "ratio" of measured over predicted error, "best" share of draws, "lead" over each baseline; "above" the ceiling,
    "foreign" without the strong model's own network, and on "one_split".
    """
    chosen = [one for one in taking_part() if one.name in pair.table.values]
    made = leaderboard(pair.table, chosen, baselines=baselines(OWN), seed=seed, draws=draws)
    scores = {}
    for one in made.scores:
        everywhere, above = one.everywhere, one.above_ceiling
        scores[one.entrant.name] = {
            "spearman": asdict(everywhere.spearman),
            "skill": None if everywhere.skill is None else asdict(everywhere.skill),
            "ratio": everywhere.ratio,
            "best": everywhere.best,
            "lead": {name: asdict(lead) for name, lead in everywhere.to_baselines.items()},
            "above": None if above is None else above.spearman.value,
            "foreign": pair.spearman(one.entrant, pair.foreign),
            "one_split": one.on_one_split,
        }
    return {"reliability": made.reliability, "scores": scores}


def overview(pairs: Sequence[Pair], *, seed: int, draws: int) -> list[dict[str, Any]]:
    """Every predictor over all able pairs: means with intervals, in which families and splits are drawn for all alike.

    The best first; in each: "spearman" with "low" and "high", "least" and "most" of a pair, "above" the ceiling,
    "foreign" without the strong model's own network, "skill" (median over pairs) where an error is foretold, and
    "lead" over the baselines, paired, with intervals; and "seconds" for one more weak model (median over pairs).
    """
    able = [pair for pair in pairs if pair.able]
    chosen = [one for one in taking_part() if all(one.name in pair.table.values for pair in able)]
    names = [one.name for one in chosen]
    each = np.array([[pair.spearman(one) for one in chosen] for pair in able])
    samples = np.stack(list(_draws(able, chosen, seed=seed, draws=draws)))
    found = []
    for place, one in enumerate(chosen):
        low, high = _ends(samples[:, place])
        lead = {}
        for name in baselines(OWN):
            other = names.index(name)
            ends = _ends(samples[:, place] - samples[:, other])
            lead[name] = {"value": _mean(each[:, place] - each[:, other]), "low": ends[0], "high": ends[1]}
        found.append(
            {
                "name": one.name,
                "title": one.title,
                "hindsight": one.hindsight,
                "label_free": label_free(one) or one in NAIVE,
                "spearman": _mean(each[:, place]),
                "low": low,
                "high": high,
                "least": float(np.fmin.reduce(each[:, place])),
                "most": float(np.fmax.reduce(each[:, place])),
                "above": _mean(pair.spearman(one, pair.above) for pair in able),
                "foreign": _mean(pair.spearman(one, pair.foreign) for pair in able),
                "skill": _median(skill(pair.value(one.name), pair.error) for pair in able)
                if one.foretells_error
                else None,
                "seconds": _median(pair.seconds.get(one.name.partition("@")[0], np.nan) for pair in able),
                "lead": lead,
                "each": {f"{pair.task}, {pair.strong}": float(x) for pair, x in zip(able, each[:, place], strict=True)},
            }
        )
    return sorted(found, key=lambda one: -np.nan_to_num(one["spearman"], nan=-2.0))


def _draws(
    pairs: Sequence[Pair], chosen: Sequence[Entrant], *, seed: int, draws: int
) -> Iterator[Float64[np.ndarray, " entrants"]]:
    """Mean correlations over pairs in each bootstrap sample of families, splits and their test rows."""
    generator = np.random.default_rng(seed)
    families = list(dict.fromkeys(family for pair in pairs for family in pair.table.families))
    tables = []
    for pair in pairs:
        error = pair.table.measured["err_w2s"]
        by_split = np.stack([one.sign * _on_all_splits(pair.table, one.name) for one in chosen])
        rows = dict(zip(dict.fromkeys(pair.table.families), groups_of(pair.table.families), strict=True))
        again = pair.table.resampled
        tables.append((error[:, :, None] if again is None else again, by_split, rows))
    splits = min(pair.table.splits for pair in pairs)
    for _ in range(draws):
        drawn = [families[one] for one in generator.integers(len(families), size=len(families))]
        columns = generator.integers(splits, size=splits)
        found = []
        for error, by_split, rows in tables:
            picked = np.concatenate([rows.get(family, np.zeros(0, int)) for family in drawn])
            x = by_split[:, :, columns].mean(axis=2)[:, picked]
            y = with_test_rows(error, columns, generator)[picked]
            whole = np.isfinite(x).all(axis=1)
            value = np.full(len(x), np.nan)
            if len(picked) >= FEWEST:
                value[whole] = rank_correlation(x[whole], y[None])
                for place in np.flatnonzero(~whole):
                    known = np.isfinite(x[place])
                    if known.sum() >= FEWEST:
                        value[place] = rank_correlation(x[place][None, known], y[None, known])[0]
            found.append(value)
        yield np.array([_mean(values) for values in np.array(found).T])


def chosen_on_halves(
    pairs: Sequence[Pair], candidates: Callable[[Entrant], bool], *, seed: int, halves: int = HALVES
) -> list[dict[str, Any]]:
    """How often each candidate has the largest mean correlation on a random half of the tasks, and does on the other.

    What needs no representation stands beside them, and is never chosen: it is told apart by what one knows already.

    Tasks are drawn whole: the pairs of one share their weak models and their rows.

    Returns:
        One each, those chosen most often first: "name", "title", "chosen" (share of halves), "held_out" (mean
        correlation on the other halves where it was chosen), and "mean", "least" and "most" of all pairs.
    """
    able = [pair for pair in pairs if pair.able]
    entered = [one for one in taking_part() if candidates(one) or one in NAIVE]
    entered = [one for one in entered if all(one.name in pair.table.values for pair in able)]
    each = np.array([[pair.spearman(one) for one in entered] for pair in able])
    defined = np.all(np.isfinite(each), axis=0)
    entered, each = [one for one, is_in in zip(entered, defined, strict=True) if is_in], each[:, defined]
    eligible = np.array([one not in NAIVE for one in entered])
    tasks = list(dict.fromkeys(pair.task for pair in able))
    of_task = np.array([tasks.index(pair.task) for pair in able])
    generator = np.random.default_rng(seed)
    held: list[list[float]] = [[] for _ in entered]
    for _ in range(halves if len(tasks) > 1 else 0):
        half = generator.permutation(len(tasks))[: len(tasks) // 2]
        inside = np.isin(of_task, half)
        best = int(np.where(eligible, each[inside].mean(axis=0), -np.inf).argmax())
        held[best].append(float(each[~inside, best].mean()))
    total = max(1, sum(map(len, held)))
    found = [
        {
            "name": one.name,
            "title": one.title,
            "chosen": len(values) / total,
            "held_out": float(np.mean(values)) if values else None,
            "mean": float(x.mean()),
            "least": float(x.min()),
            "most": float(x.max()),
        }
        for one, values, x in zip(entered, held, each.T, strict=True)
    ]
    return sorted(found, key=lambda one: (-one["chosen"], -one["mean"]))


def ridge_cost(pairs: Sequence[Pair]) -> dict[str, Any]:
    """What a fixed ridge costs: Err_w2s of heads with it over that with own ridges, and correlations of mapped ones."""
    able = [pair for pair in pairs if pair.able]
    heads = {
        ridge: _quartiles(float((pair.measured[f"err_w2s@{ridge}"].mean(axis=1) / pair.error).mean()) for pair in able)
        for ridge in HEADS[:-1]
    }
    said = {one.name: one for one in taking_part()}
    maps = {
        name: {ridge: [pair.spearman(said[column(name, ridge)]) for pair in able] for ridge in MAPS} for name in MAPPED
    }
    return {"heads": heads, "maps": maps}


def orders(pairs: Sequence[Pair]) -> list[dict[str, Any]]:
    """Whether strong models order weak ones differently, and which predictors know.

    For any two able strong models of a task, over the weak models of both: "agreement", Spearman's correlation of
    their Err_w2s, and for each predictor that of its difference with the difference of errors.
    """
    found = []
    entered = [one for one in taking_part() if one.name in (ERR_WEAK, *ORDERED)]
    able = [pair for pair in pairs if pair.able]
    for one, other in combinations(able, 2):
        if one.task != other.task:
            continue
        shared = [name for name in one.table.models if name in other.table.models]
        rows = [[list(pair.table.models).index(name) for name in shared] for pair in (one, other)]
        errors = one.error[rows[0]], other.error[rows[1]]
        knows = {}
        for entrant in entered:
            said = one.value(entrant.name)[rows[0]] - other.value(entrant.name)[rows[1]]
            knows[entrant.name] = float(rank_correlation(entrant.sign * said[None], (errors[0] - errors[1])[None])[0])
        agreement = float(rank_correlation(errors[0][None], errors[1][None])[0])
        found.append({"task": one.task, "strong": [one.strong, other.strong], "agreement": agreement, "knows": knows})
    return found


ORDERED = tuple(
    column(name, OWN) for name in ("predicted_err_w2s", "cross_validated_err_w2s", "supervised", "norm", "mutual_knn")
)


def recovered(pairs: Sequence[Pair]) -> list[dict[str, Any]]:
    """PGR of each able pair: for how many weak models it is defined, its values, and what goes with it.

    Of weak models whose PGR is defined on every split: median, standard error over test rows (median), and
    correlations of predictors, signed so that 1 would be a smaller error with a larger PGR.
    """
    found = []
    entered = [one for one in taking_part() if one.name in (ERR_WEAK, *ORDERED, column("predicted_gain", OWN))]
    for pair in (one for one in pairs if one.able):
        pgr = pair.measured["pgr"]
        known = np.all(np.isfinite(pgr), axis=1)
        entry: dict[str, Any] = {"task": pair.task, "strong": pair.strong, "defined": int(known.sum())}
        entry["models"] = len(known)
        if known.sum() >= FEWEST:
            mean = pgr[known].mean(axis=1)
            entry["quartiles"] = np.quantile(mean, [0.25, 0.5, 0.75]).tolist()
            entry["standard_error"] = float(np.median(pair.measured["pgr_standard_error"][known]))
            entry["goes_with"] = {
                one.name: float(rank_correlation(one.sign * pair.value(one.name)[None, known], -mean[None])[0])
                for one in entered
            }
            entry["goes_with"]["err_w2s"] = float(rank_correlation(pair.error[None, known], -mean[None])[0])
        found.append(entry)
    return found


def _on_all_splits(table: Table, name: str) -> Float64[np.ndarray, "models splits"]:
    """A predictor's values over all splits: one that was computed on some of them repeats the mean of these."""
    values = table.values[name]
    return values if values.shape[1] == table.splits else np.repeat(values.mean(axis=1)[:, None], table.splits, axis=1)


def _mean(values: Iterable[float]) -> float:
    """Of those that are defined; NaN of none."""
    known = [value for value in values if np.isfinite(value)]
    return float(np.mean(known)) if known else float("nan")


def _median(values: Iterable[float]) -> float:
    """Of those that are defined; NaN of none."""
    known = [value for value in values if np.isfinite(value)]
    return float(np.median(known)) if known else float("nan")


def _quartiles(values: Iterable[float]) -> list[float]:
    return np.quantile(list(values), [0.25, 0.5, 0.75]).tolist()


def _ends(samples: Float64[np.ndarray, " draws"]) -> tuple[float, float]:
    """Of a 95% interval; NaN where no sample is defined."""
    known = samples[np.isfinite(samples)]
    low, high = np.quantile(known, [0.025, 0.975]) if len(known) else (np.nan, np.nan)
    return float(low), float(high)
