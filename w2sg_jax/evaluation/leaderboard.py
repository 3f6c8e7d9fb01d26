r"""A leaderboard: which predictor foretells the measured Err_w2s best, over weak models that teach one strong model.

A table holds one task and strong model: measured errors and values of predictors, by weak model and split. It is all
that is needed, wherever it was measured (`tables_of` makes it of plain rows). Order is judged by Spearman's
correlation; size, of what foretells the error itself, by the skill about the identity,

$$
1 - \frac{\sum_m (p_m - e_m)^2}{\sum_m (e_m - \bar e)^2},
$$

of learned parts, the labels' variance less an error: the variance is the same for all weak models, and cancels.

Two baselines are always in it, because whoever has labels for a weak model has them for free: the weak model's
leave-one-out error, and the cross-validated pipeline.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Float64

from .._errors import InputError
from ..numerics.checks import as_count
from .correlation import DRAWS, Correlation, drawn_groups, groups_of, interval, rank_correlation

MEASURED = ("err_w2s", "err_weak", "err_ceiling")
"""Errors that a table has to hold."""
KEYS = ("task", "strong", "model", "family", "split")
"""Columns of plain rows that are neither errors nor predictors."""
RESAMPLED = "err_w2s_resampled"
"""Column of plain rows: a list of Err_w2s over bootstrap samples of the test rows."""
BASELINES = ("leave_one_out_weak", "cross_validated_err_w2s")
"""Predictors that every leaderboard holds."""
FEWEST = 3
"""Models that are ordered; of fewer any order is as good as another."""
TIE = 1e-12
"""Correlations that are as close are equal but for rounding."""


@dataclass(frozen=True)
class Entrant:
    """A predictor, as it takes part.

    Attributes:
        name: of its values in a table.
        title: in words.
        sign: +1 where a larger value should go with a larger error, else -1.
        foretells_error: whether it is Err_w2s itself, in squared label units.
        hindsight: whether it needs labels that nobody has beforehand: it is shown, and never the best.
        seconds: what it takes for one more weak model; None where that was not measured.
    """

    name: str
    title: str
    sign: int = 1
    foretells_error: bool = False
    hindsight: bool = False
    seconds: float | None = None


@dataclass(frozen=True, eq=False)
class Table:
    """One task and strong model.

    Attributes:
        task, strong: their names.
        models: the weak models.
        families: what each of them is much like; the models of a family are drawn together.
        measured: error -> (models, splits); ``MEASURED`` at least.
        values: predictor -> (models, its splits), the first of all splits or all of them; NaN where undefined.
        resampled: (models, splits, samples) Err_w2s over bootstrap samples of each split's test rows, the same ones for
            all models, so that intervals know how few these are; or None.
    """

    task: str
    strong: str
    models: tuple[str, ...]
    families: tuple[str, ...]
    measured: Mapping[str, Float64[np.ndarray, "models splits"]]
    values: Mapping[str, Float64[np.ndarray, "models _"]]
    resampled: Float64[np.ndarray, "models splits samples"] | None = None

    def __post_init__(self) -> None:
        """Refuse tables that do not fit (InputError)."""
        missing = [name for name in MEASURED if name not in self.measured]
        if missing:
            raise InputError(
                f"{self.task}: {', '.join(missing)} not measured; a leaderboard needs {', '.join(MEASURED)}"
            )
        if len(self.families) != len(self.models) or len(self.models) < FEWEST:
            raise InputError(
                f"{self.task}: {len(self.models)} models and {len(self.families)} families; give one family a model, "
                f"and {FEWEST} models at least"
            )
        shape = len(self.models), self.splits
        for name, table in self.measured.items():
            if table.shape != shape or not np.isfinite(table).all():
                raise InputError(f"{self.task}: {name} is not {shape[0]} models x {shape[1]} splits of finite numbers")
        more = self.resampled
        if more is not None and (more.shape[:2] != shape or not more.shape[2] or not np.isfinite(more).all()):
            raise InputError(f"{self.task}: {RESAMPLED} is not {shape[0]} models x {shape[1]} splits of finite numbers")
        for name, table in self.values.items():
            if len(table) != shape[0] or not 1 <= table.shape[1] <= shape[1] or np.isinf(table).any():
                raise InputError(f"{self.task}: {name} is not {shape[0]} models x up to {shape[1]} splits of numbers")

    @property
    def splits(self) -> int:
        """Of the measured errors."""
        return self.measured["err_w2s"].shape[1]


@dataclass(frozen=True)
class Standing:
    """How well one predictor does over some weak models.

    Attributes:
        spearman: its correlation with the measured Err_w2s, signed so that 1 is best; NaN where all its values tie.
        to_best: that minus the correlation of the best predictor without hindsight, in the same draws.
        to_baselines: baseline -> that minus the correlation of the baseline.
        best: share of draws in which it is the best; predictors that tie share a draw. NaN with hindsight, where it is
            undefined for a model, and where its correlation is.
        undefined: models for which it is. Its correlation, and what it is compared with, are over the others.
        skill: about the identity; None where it foretells no error. NaN where all models have the same error.
        ratio: median over models of measured over predicted error; None likewise.
    """

    spearman: Correlation
    to_best: Correlation
    to_baselines: Mapping[str, Correlation]
    best: float
    undefined: int
    skill: Correlation | None
    ratio: float | None


@dataclass(frozen=True)
class Score:
    """One predictor.

    Attributes:
        entrant: the predictor.
        splits: that its values are averages of.
        everywhere: over all weak models.
        above_ceiling: over those with Err_w above Err_sc, who can be surpassed; None where they are fewer than 3.
        within_families: mean over families of 3 models and more of its correlation inside of them, over draws of
            families; NaN where it is the same for all models of one.
        on_one_split: mean over splits of its correlation on one of them, which is all that there is in use; NaN where
            it is undefined for a model.
    """

    entrant: Entrant
    splits: int
    everywhere: Standing
    above_ceiling: Standing | None
    within_families: Correlation
    on_one_split: float


@dataclass(frozen=True)
class Leaderboard:
    """One task and strong model, the best predictor first; those that are undefined last.

    Attributes:
        task, strong: their names.
        models, splits, families: how many.
        above_ceiling: weak models whose mean Err_w is above the mean Err_sc.
        errors: mean of each measured quantity over models and splits.
        reliability: Spearman's correlation of Err_w2s over even splits with that over odd ones; NaN for one split.
        baselines: names of the baselines.
        draws: bootstrap samples, of families and splits, and of test rows where the table has them.
        scores: one a predictor.
    """

    task: str
    strong: str
    models: int
    splits: int
    families: int
    above_ceiling: int
    errors: Mapping[str, float]
    reliability: float
    baselines: tuple[str, ...]
    draws: int
    scores: tuple[Score, ...]

    def score(self, name: str) -> Score:
        """That of one predictor (KeyError)."""
        return {one.entrant.name: one for one in self.scores}[name]

    def to_dict(self) -> dict[str, Any]:
        """Plain Python values, ready for JSON; undefined numbers are None."""
        return _plain(asdict(self))


def tables_of(rows: Iterable[Mapping[str, Any]]) -> list[Table]:
    """Tables of plain rows, one a weak model and split, such as a Parquet file of a batch run has.

    Args:
        rows: each with ``KEYS`` and ``MEASURED``, maybe ``RESAMPLED``, and every other column a predictor. Where a
            predictor has no value at all on a split (None, or no column), it was not computed there; NaN is one that is
            undefined.

    Raises:
        InputError: a row is missing or twice there, or a predictor has a split for some models only.
    """
    found: dict[tuple[str, str], dict[tuple[str, Any], Mapping[str, Any]]] = {}
    families: dict[tuple[str, str, str], str] = {}
    for row in rows:
        absent = [name for name in (*KEYS, *MEASURED) if row.get(name) is None]
        if absent:
            raise InputError(f"rows: one has no {', '.join(absent)}; it has {', '.join(row)}")
        of_table = found.setdefault((row["task"], row["strong"]), {})
        key = row["model"], row["split"]
        if key in of_table:
            raise InputError(f"rows: {row['task']}, {row['strong']}: {key[0]} has two rows of split {key[1]}")
        of_table[key] = row
        families[(row["task"], row["strong"], row["model"])] = row["family"]
    return [_table(*names, of_table, families) for names, of_table in found.items()]


def leaderboard(
    table: Table,
    entrants: Sequence[Entrant],
    *,
    baselines: tuple[str, ...] = BASELINES,
    seed: int,
    draws: int = DRAWS,
) -> Leaderboard:
    """Hold predictors against what was measured.

    Weak models stand for others that one could have had, whole families of them, and splits and test rows for other
    samples: all are drawn, the same for all predictors, so that differences are paired.

    Args:
        table: of one task and strong model.
        entrants: predictors that the table has values of.
        baselines: names of entrants that all are compared with.
        seed: of the bootstrap.
        draws: bootstrap samples.

    Raises:
        InputError: an entrant without values, one that is there twice, or a baseline that is no entrant.

    Cost: a sort of every predictor over the models, for each draw.
    """
    names = [one.name for one in entrants]
    without = [name for name in names if name not in table.values]
    if without or len(set(names)) < len(names):
        raise InputError(f"entrants: {', '.join(without) or 'one name'} " + ("without values" if without else "twice"))
    for name in baselines:
        if name not in names:
            raise InputError(f"baselines: {name} is not among the entrants; every leaderboard shows it")
    draws = as_count(draws, "draws", 1)
    measured = {name: values.mean(axis=1) for name, values in table.measured.items()}
    above = measured["err_weak"] > measured["err_ceiling"]
    everywhere = _standings(table, entrants, baselines, np.ones(len(above), bool), seed, draws)
    subset: Sequence[Standing | None] = [None] * len(names)
    if above.sum() >= FEWEST:
        subset = _standings(table, entrants, baselines, above, seed, draws)
    within = _within_families(table, entrants, seed, draws)
    scores = [
        Score(one, table.values[one.name].shape[1], standing, of_subset, inside, _on_one_split(table, one))
        for one, standing, of_subset, inside in zip(entrants, everywhere, subset, within, strict=True)
    ]
    scores.sort(key=lambda one: -np.nan_to_num(one.everywhere.spearman.value, nan=-2.0))
    errors = table.measured["err_w2s"]
    halves = [errors[:, first::2].mean(axis=1)[None] for first in (0, 1)] if table.splits > 1 else []
    return Leaderboard(
        task=table.task,
        strong=table.strong,
        models=len(table.models),
        splits=table.splits,
        families=len(set(table.families)),
        above_ceiling=int(above.sum()),
        errors={name: float(values.mean()) for name, values in measured.items()},
        reliability=float(rank_correlation(*halves)[0]) if halves else float("nan"),
        baselines=tuple(baselines),
        draws=draws,
        scores=tuple(scores),
    )


def skill(predicted: Float[np.ndarray, " models"], measured: Float[np.ndarray, " models"]) -> float:
    """R^2 about the identity: 1 is exact, 0 as good as the measured mean for all; NaN where all are alike."""
    spread = ((measured - measured.mean()) ** 2).sum()
    return float(1 - ((predicted - measured) ** 2).sum() / spread) if spread > 0 else float("nan")


def _standings(
    table: Table,
    entrants: Sequence[Entrant],
    baselines: Sequence[str],
    chosen: Bool[np.ndarray, " models"],
    seed: int,
    draws: int,
) -> list[Standing]:
    """Of every entrant, over the chosen models."""
    names, signs = [one.name for one in entrants], np.array([1.0, *(one.sign for one in entrants)])
    columns = [table.measured["err_w2s"], *(_on_all_splits(table, name) for name in names)]
    # A model for which a predictor is undefined on some splits has no average over them.
    own = [table.measured["err_w2s"].mean(axis=1), *(table.values[name].mean(axis=1) for name in names)]
    whole = (np.stack(own, axis=1) * signs)[chosen]
    quantities = (np.stack(columns, axis=-1) * signs)[chosen]
    defined = np.isfinite(whole)
    quantities[~np.broadcast_to(defined[:, None], quantities.shape)] = np.nan
    complete = np.all(defined, axis=0)[1:]
    eligible = complete & ~np.array([one.hindsight for one in entrants])

    value = _against(whole, [])[:, 0]
    candidates = np.where(eligible, value, np.nan)
    best = int(np.nanargmax(candidates)) if np.isfinite(candidates).any() else 0
    references = [best, *(names.index(name) for name in baselines)]
    value = _against(whole, references)
    groups = groups_of([family for family, is_in in zip(table.families, chosen, strict=True) if is_in])
    resampled = None if table.resampled is None else table.resampled[chosen]
    samples = np.empty((draws, *value.shape))
    skills = np.full((draws, len(names)), np.nan)
    foretelling = [place for place, one in enumerate(entrants) if one.foretells_error]
    for draw, one in enumerate(drawn_groups(quantities, groups, seed=seed, draws=draws, resampled=resampled)):
        samples[draw] = _against(one, references)
        for place in foretelling:
            skills[draw, place] = _skill_where_defined(one, place)
    shares = _shares(np.where(eligible, samples[:, :, 0], np.nan))
    return [
        Standing(
            spearman=interval(float(value[place, 0]), samples[:, place, 0]),
            to_best=_difference(value, samples, place, 1),
            to_baselines={name: _difference(value, samples, place, 2 + index) for index, name in enumerate(baselines)},
            best=float(shares[place]) if eligible[place] and np.isfinite(value[place, 0]) else float("nan"),
            undefined=int((~defined[:, place + 1]).sum()),
            skill=interval(_skill_where_defined(whole, place), skills[:, place]) if one.foretells_error else None,
            ratio=_ratio(whole, place) if one.foretells_error else None,
        )
        for place, one in enumerate(entrants)
    ]


def _against(x: Float[np.ndarray, "m columns"], references: Sequence[int]) -> Float[np.ndarray, "columns-1 _"]:
    """Spearman's correlation of every predictor with the error in the first column, and that of each reference.

    A predictor that is undefined for some models, and what it is compared with, are judged by the others; NaN where
    these are fewer than 3, and for a reference that is undefined for some of these.
    """
    found = np.full((x.shape[1] - 1, 1 + len(references)), np.nan)
    complete = np.all(np.isfinite(x), axis=0)
    own = _correlations(x[:, complete])
    found[complete[1:], 0] = own
    for index, place in enumerate(references):
        found[complete[1:], 1 + index] = found[place, 0] if complete[place + 1] else np.nan
    for place in np.flatnonzero(~complete[1:]):
        rows = np.isfinite(x[:, place + 1])
        if rows.sum() >= FEWEST:
            columns = [0, place + 1, *(1 + one for one in references)]
            part = x[rows][:, columns]
            known = np.all(np.isfinite(part), axis=0)
            found[place, known[1:]] = _correlations(part[:, known])
    return found


def _correlations(x: Float[np.ndarray, "m columns"]) -> Float[np.ndarray, " columns-1"]:
    """Spearman's correlation of every further column with the first."""
    others = x.T[1:]
    return rank_correlation(others, x.T[:1]) if len(others) else np.zeros(0)


def _difference(
    value: Float[np.ndarray, "q r"], samples: Float[np.ndarray, "draws q r"], place: int, reference: int
) -> Correlation:
    """A correlation less that of a reference."""
    return interval(
        float(value[place, 0] - value[place, reference]), samples[:, place, 0] - samples[:, place, reference]
    )


def _shares(samples: Float[np.ndarray, "draws q"]) -> Float[np.ndarray, " q"]:
    """How often each is the largest; those that tie share a draw. Draws in which all are undefined are left out."""
    samples = samples[np.isfinite(samples).any(axis=1)]
    if not len(samples):
        return np.full(samples.shape[1], np.nan)
    first = samples >= np.nanmax(samples, axis=1, keepdims=True) - TIE
    return (first / first.sum(axis=1, keepdims=True)).mean(axis=0)


def _skill_where_defined(x: Float[np.ndarray, "m columns"], place: int) -> float:
    """``skill`` over models for which a predictor is defined."""
    pair = x[:, [place + 1, 0]]
    pair = pair[np.isfinite(pair).all(axis=1)]
    return skill(*pair.T) if len(pair) >= FEWEST else float("nan")


def _ratio(x: Float[np.ndarray, "m columns"], place: int) -> float:
    """Median over models of measured over predicted error; a prediction of 0 has none."""
    predicted, measured = x[:, place + 1], x[:, 0]
    known = np.isfinite(predicted) & (predicted != 0)
    return float(np.median(measured[known] / predicted[known])) if known.any() else float("nan")


def _on_all_splits(table: Table, name: str) -> Float[np.ndarray, "models splits"]:
    """A predictor's values over all splits: one of fewer splits repeats them, so that a draw finds some of them."""
    values = table.values[name]
    return values[:, np.arange(table.splits) % values.shape[1]]


def _within_families(table: Table, entrants: Sequence[Entrant], seed: int, draws: int) -> list[Correlation]:
    """The mean correlation inside of families, over draws of families."""
    groups = [rows for rows in groups_of(table.families) if len(rows) >= FEWEST]
    error = table.measured["err_w2s"].mean(axis=1)
    generator = np.random.default_rng(seed)
    picked = generator.integers(len(groups), size=(draws, len(groups))) if groups else np.zeros((draws, 0), int)
    found = []
    for one in entrants:
        x = one.sign * table.values[one.name].mean(axis=1)
        each = np.array([_correlations(np.stack([error[rows], x[rows]], axis=1))[0] for rows in groups])
        known = len(groups) > 0 and bool(np.isfinite(each).all() and np.isfinite(x).all())
        found.append(
            interval(float(each.mean()), each[picked].mean(axis=1))
            if known
            else Correlation(float("nan"), float("nan"), float("nan"))
        )
    return found


def _on_one_split(table: Table, entrant: Entrant) -> float:
    """The mean over splits of a predictor's correlation on each."""
    values = table.values[entrant.name].T
    if not np.isfinite(values).all():
        return float("nan")
    return float(entrant.sign * rank_correlation(values, table.measured["err_w2s"].T[: len(values)]).mean())


def _table(
    task: str,
    strong: str,
    rows: Mapping[tuple[str, Any], Mapping[str, Any]],
    families: Mapping[tuple[str, str, str], str],
) -> Table:
    """The rows of one task and strong model, by weak model and split."""
    models = tuple(dict.fromkeys(model for model, _ in rows))
    splits = tuple(dict.fromkeys(split for _, split in rows))
    absent = [(model, split) for model in models for split in splits if (model, split) not in rows]
    if absent:
        raise InputError(f"rows: {task}, {strong}: {absent[0][0]} has no row of split {absent[0][1]}")
    own = (*KEYS, *MEASURED, RESAMPLED)
    names = dict.fromkeys(name for row in rows.values() for name in row if name not in own)
    values = {}
    for name in names:
        has = np.array([[rows[model, split].get(name) is not None for split in splits] for model in models])
        computed = np.any(has, axis=0)
        if not has[:, computed].all():
            model, split = (one[0] for one in np.nonzero(~has & computed))
            raise InputError(
                f"rows: {task}, {strong}: {models[model]} has no {name} on split {splits[split]}, and others have; "
                "give NaN where it is undefined"
            )
        if not computed[: computed.sum()].all():
            raise InputError(f"rows: {task}, {strong}: {name} is computed on some splits, but not on the first ones")
        kept = [split for split, is_there in zip(splits, computed, strict=True) if is_there]
        if kept:
            values[name] = np.array([[float(rows[model, split][name]) for split in kept] for model in models])
    measured = {
        name: np.array([[float(rows[model, split][name]) for split in splits] for model in models]) for name in MEASURED
    }
    told = [[rows[model, split].get(RESAMPLED) for split in splits] for model in models]
    lists = [one for of_model in told for one in of_model if one is not None]
    if lists and (len(lists) < len(models) * len(splits) or len({len(one) for one in lists}) > 1):
        raise InputError(f"rows: {task}, {strong}: {RESAMPLED} is a list of as many numbers in every row, or in none")
    return Table(
        task,
        strong,
        models,
        tuple(families[task, strong, model] for model in models),
        measured,
        values,
        np.array(told, float) if lists else None,
    )


def _plain(value: Any) -> Any:
    """Python values; numbers that are undefined are None."""
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and not np.isfinite(value) else value
