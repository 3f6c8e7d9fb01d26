"""The computation of a ranking: many weak models against one strong model, with intervals over samples."""

import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from .._errors import InputError
from ..numerics.backend import device_memory, on_host, padded_widths, product_dtype
from ..numerics.checks import (
    ArrayInput,
    as_confidence,
    as_ridge,
    as_threshold,
    check_option,
)
from ..numerics.rounding import TOLERATED, may_solve
from ..numerics.settings import own_settings
from ..parallel.mesh import as_mesh
from ..second_moments.checkpoints import Checkpoints
from ..second_moments.from_arrays import PassOptions, Progress, accumulate, refuse_bad_target, refuse_bad_values
from ..second_moments.moments import Part, Target, pair_of
from ..theory.gap import accuracy, close, gap_of_pair, rounding_of_norm
from ..theory.gap_operator import functions_of_pair, make_pair
from ..theory.influence import Functions
from ..theory.kernel import Traces, joint_factor
from ..theory.leave_one_out import LeaveOneOut
from ..theory.pipeline import AUTO, Ridge
from ..theory.predicted_errors import PredictedErrors
from ..theory.second_pass import Covariances, Model, covariances
from ..theory.smoother import Parameters, unit_trace_ridges
from ..theory.solved import Strong, Weak, applies, solve, strong_of, trace_of, weak_of
from ..theory.spectrum import Spectrum
from ..theory.uncertainty import Joint, best, corrected, intervals, rough
from .beside import Beside
from .candidates import Candidates, checked_candidates, same_models, train_parts
from .errors import JOINT, LABEL_FREE_RIDGE, RankedErrors, predicted_errors
from .neighbours import FEWEST as NEIGHBOURED
from .neighbours import Neighbours
from .result import ERRORS, Ranking, RankingRow, RidgeCurve, failed_row, order, ordered

SUMS_BYTES = 1 << 32
"""Of the sums and factors of weak models that are held together on the host."""
DEVICE_SHARE = 8
"""Of a device's memory those of weak models get one in so many: a copy in units of unit trace and one side by side come
to them, and what their program needs."""
NAN = float("nan")
VANISHED = 1e-10
"""A norm, or the root of a predicted gap beside that of the labels, that is no more than rounding."""
FEW_MODELS = 10
"""Weak models; fewer do not tell how well a predictor orders them."""
FEW_GROUPS = 30
"""Groups of samples; from fewer, intervals are too narrow."""


class _Settings(NamedTuple):
    """Of one ranking.

    Attributes:
        ridges: of each weak model, filled as they are chosen; in units of ``scale``.
        ridge: of the strong model, in a list that is empty until it is chosen.
        threshold, scale: as in ``gap``.
        options, checkpoints: of its passes over the samples.
        widths: what each weak width is padded to where principal components are needed.
        skip: whether a model whose representation is constant is a row with its reason, not the end.
        frobenius: whether intervals of Frobenius norms are asked for.
    """

    ridges: dict[str, float]
    ridge: list[float]
    threshold: tuple[float, float]
    scale: str
    options: PassOptions
    checkpoints: Checkpoints
    widths: dict[int, int]
    skip: bool
    frobenius: bool


@own_settings()
def rank(
    weak: Mapping[str, ArrayInput],
    strong: ArrayInput,
    labels: ArrayInput | None = None,
    *,
    train: tuple[Mapping[str, ArrayInput], ArrayInput, ArrayInput] | None = None,
    groups: ArrayLike | None = None,
    train_groups: ArrayLike | None = None,
    ridge: Ridge = AUTO,
    threshold: float | tuple[float, float] = 0.0,
    by: str | None = None,
    also: str | Sequence[str] = (),
    confidence: float = 0.95,
    errors: str = "row",
    center: bool = True,
    scale: str = "trace",
    dtype: str | None = None,
    devices: Any = None,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: float = 120.0,
    progress: Progress | None = None,
) -> Ranking:
    r"""Rank weak models as supervisors of one strong model, best first, with intervals over samples.

    Args:
        weak: name -> (n, d) representation of the same samples by each weak model.
        strong: (n, d_strong) representation of those samples by the strong model.
        labels: (n,) or (n, c) labels of those samples, if known: gives ``predicted``.
        train: the labelled split that the weak models are fitted on, as (name -> (n~, d), (n~, d_strong), labels):
            gives the predicted errors and ``supervised``, which need no label beyond those of any set-up.
        groups: (n,) which samples belong together, such as several answers to one question, by names or numbers: they
            are counted as one draw. Without it every sample is drawn by itself.
        train_groups: (n~,) the same of the labelled split.
        ridge: "auto", a number, a pair of numbers for the weak models and the strong one, or a pair of either. A number
            is the ridge that the heads are fitted with. "auto" is what has the smallest leave-one-out error on
            ``train``, for each weak model and the strong one with its labels, as one would fit the heads; without
            ``train`` it is 0.01.
        threshold, scale: as in ``gap``; predicted errors are of heads that keep every direction.
        by: the quantity to order by: "err_w2s", "supervised", "predicted", "norm", "frobenius", "err_weak"
            (ascending), "mutual_knn" or "dof_weak" (descending); by default "err_w2s" with ``train``, "predicted" with
            labels alone, and "mutual_knn" without any, which is of representations as they are, not centred ("norm"
            where it is undefined, which a warning tells).
        also: names of further predictors out of ``predictors.PREDICTORS``, or "all" that can be computed: rows have
            their values in ``also``, at the ridges of the row.
        confidence: of the intervals, and of the set of models that may be best.
        errors: "row": a weak model whose representation is constant comes last, with its reason. "raise": it ends the
            ranking.
        center, dtype, devices, checkpoint, checkpoint_every: as in ``moments``.
        progress: called with (done, total) models.

    Returns:
        Ranking. Its intervals come from the influence of each sample (see ``theory.influence``), on the scale of the
        logarithm or, of the norm, of the logit, so that they lie where the quantities can. They cover what is expected
        at this number of samples, for these models, at these ridges. ``frobenius`` has one where the ranking is by it
        and every direction is kept, at a cost of d^3 for each model; effective dimensions have none.

    Raises:
        InputError: no weak model, representations of different n, a name missing in ``train``, or as ``gap``.

    Cost: of predicted errors that of ``predict_errors`` for each weak model, with the strong one decomposed once; then
    two passes over the samples, the first for all weak models that fit into 4 GiB of sums together (on a device,
    into an eighth of its memory). The strong model is factored once; each weak model costs
    $2 d_s^2 d_w + 2 d_s d_w^2 + 2 d_w^3$ flops, or $n^2 d_w + 2 n^3$ of fewer samples than it has columns, and the norm
    some 50 products with vectors.
    Source: arXiv 2502.00620 for what is ranked by; the intervals are ours.
    """
    samples = [checked_candidates(weak, strong, labels, "", groups)]
    if train is not None:
        samples.append(checked_candidates(*train_parts(train), "train ", train_groups))
        same_models(samples[0], samples[1])
    elif train_groups is not None:
        raise InputError("train_groups: given without train=(weak, strong, labels)")
    confidence = as_confidence(confidence)
    check_option(scale, "scale", ("trace", "none"))
    check_option(center, "center", (True, False))
    check_option(errors, "errors", ("row", "raise"))
    dtype = product_dtype(dtype, as_mesh(devices))
    options = PassOptions(center, dtype, None, devices, checkpoint, checkpoint_every)
    widths = padded_widths(array.shape[1] for sample in samples for array in sample.weak.values())
    skip = errors == "row" and len(samples[0].weak) > 1
    wanted = _as_ridges(ridge)
    predicting = train is not None and all(isinstance(one, str) or may_solve(one) for one in wanted)
    has_neighbours = samples[0].strong.shape[0] >= NEIGHBOURED
    asked, by = by, order(by, labels is not None, train is not None, predicting, has_neighbours)
    settings = _Settings(
        {},
        [],
        as_threshold(threshold),
        scale,
        options,
        options.checkpoints(),
        widths,
        skip,
        by == "frobenius",
    )
    splits = [
        _Split(sample, settings, "train " if index else "", with_norm=index == 0)
        for index, sample in enumerate(samples)
    ]
    names = list(samples[0].weak)
    errors_of, reason = None, ""
    if train is not None and not predicting:
        reason = "heads have ridges from 1e-10 on"
    pool_of, train_of = samples[0], samples[1] if train is not None else None
    columns = (by,) if by == "mutual_knn" else ()
    beside = Beside(also, pool_of, train_of, center=center, scale=scale, without=columns) if len(also) else None
    if predicting and train_of is not None:
        told = {"center": center, "scale": scale, "confidence": confidence}
        errors_of, reason = predicted_errors(train_of, pool_of, wanted, **told)
        if errors_of is None and by in ERRORS:
            by = order(None, labels is not None, train is not None, False, has_neighbours)
    neighbours = Neighbours(samples[0]) if by == "mutual_knn" else None
    total = len(names) * (1 + (errors_of is not None) + (neighbours is not None))
    if progress is not None:
        progress(0, total)
    done = count(1)

    def report() -> None:
        if progress is not None:
            progress(next(done), total)

    for batch in _batches(samples):
        for name in batch:
            if errors_of is not None:
                _predict(errors_of, name, settings)
                report()
        _default_ridges(settings, wanted, batch)
        for split in splits:
            split.measure(batch, report if split is splits[-1] else lambda: None)
        if neighbours is not None:
            for name in batch:
                if name in splits[0].measured:
                    neighbours.measure(name)
                report()
    made = _ranking(splits, names, by, settings, confidence, errors_of, reason, neighbours, asked)
    if beside is not None:
        rows = tuple(_with_others(row, beside, made.ridge_strong) for row in made.rows)
        made = replace(made, rows=rows)
    settings.checkpoints.clear()
    return made


def _as_ridges(ridge: Any) -> tuple[float | str, float | str]:
    """The (weak, strong) pair, each a number or "auto" (InputError)."""
    pair = ridge if isinstance(ridge, tuple | list) and len(ridge) == 2 else (ridge, ridge)
    first, second = (one if isinstance(one, str) and one == AUTO else as_ridge(one)[0] for one in pair)
    return first, second


def _predict(errors: RankedErrors, name: str, settings: _Settings) -> None:
    """Errors and ridges of a weak model; one that cannot be used is told where its moments are made."""
    try:
        found = errors.measure(name)
    except InputError:
        return
    settings.ridges[name] = found.ridge_weak
    settings.ridge[:] = [found.ridge_strong]


def _with_others(row: RankingRow, beside: Beside, ridge_strong: float) -> RankingRow:
    """A row with the values of other predictors, unless there is nothing of its model."""
    return row if row.error else replace(row, also=beside.measure(row.name, (row.ridge_weak, ridge_strong)))


def _default_ridges(settings: _Settings, wanted: tuple[float | str, float | str], names: Sequence[str]) -> None:
    """The ridges that were given, or the one for want of labels, where none was chosen."""
    first, second = (LABEL_FREE_RIDGE if isinstance(one, str) else one for one in wanted)
    for name in names:
        settings.ridges.setdefault(name, first)
    if not settings.ridge:
        settings.ridge[:] = [second]


class _Measured(NamedTuple):
    """One weak model on one split, with NaN for what was not asked for; the last two are for the second pass."""

    norm: float
    frobenius: float
    predicted: float | None
    rank: int
    dof: float
    warnings: tuple[str, ...]
    rounding: float
    functions: Functions
    model: Model


class _Split:
    """The samples of one split, and what is known of each weak model on them.

    Args:
        sample: checked.
        settings: of the ranking.
        prefix: before names in messages.
        with_norm: whether norms, Frobenius norms and ranks are asked for, or predicted gaps alone.
    """

    def __init__(self, sample: Candidates, settings: _Settings, prefix: str, *, with_norm: bool):
        self.sample, self.settings, self.prefix, self.with_norm = sample, settings, prefix, with_norm
        self.measured: dict[str, _Measured] = {}
        self.failed: dict[str, str] = {}
        self.strong: dict[bool, Strong] = {}
        self.spectrum: Spectrum | None = None
        self.strong_model: Model | None = None
        self.label_mean, self.label_square = np.zeros(0), 0.0
        self.rank_strong, self.dof_strong = 0, float("nan")

    def measure(self, names: Sequence[str], report: Callable[[], None]) -> None:
        """Some weak models together; ``report`` is called as each is done."""
        settings, arrays = self.settings, [self.sample.weak[name] for name in names]
        (sums,) = accumulate(
            arrays, self.sample.target, settings.options, checkpoints=settings.checkpoints, at_once=True
        )
        target = sums.target()
        strong = self._strong(target)
        chosen: dict[str, Weak] = {}
        models: dict[str, Model] = {}
        for index, name in enumerate(names):
            part, cross = sums.weak(index)
            refuse_bad_values(part, arrays[index], f"{self.prefix}weak model {name!r}")
            try:
                trace = trace_of(part, "weak", dtype=target.dtype, center=target.center)
            except InputError as error:
                if not settings.skip:
                    raise InputError(f"{self.prefix}weak model {name!r}: {error}") from error
                self.failed[name] = f"{self.prefix}{error}"
                report()
                continue
            models[name] = Model(arrays[index], part.mean, trace)
            ridge = self._ridges(name, trace)[0]
            if strong is not None and may_solve(ridge):
                chosen[name] = weak_of(part, cross, trace, ridge, strong)
        if strong is not None:
            self._solve(target, strong, chosen, models, report)
        for name, model in models.items():
            if name not in self.measured:
                self._decompose(target, name, *sums.weak(names.index(name)), model)
                report()

    def covariances(self, names: Sequence[str], groups: np.ndarray | None) -> Covariances:
        """Of these models' estimates."""
        assert self.strong_model is not None
        chosen = [(self.measured[name].functions, self.measured[name].model) for name in names]
        labels = None if self.sample.labels is None else (self.sample.labels, self.label_mean)
        center, scale = self.settings.options.center, self.settings.scale
        return covariances(chosen, self.strong_model, labels, groups, center=center, scale=scale)

    def _strong(self, target: Target) -> Strong | None:
        """The strong model, factored once, or twice where some weak models are narrow enough for sums and others keep
        the samples; None where solves do not apply."""
        if self.strong_model is None:
            refuse_bad_target(target, self.sample.strong, self.sample.labels, self.prefix)
            trace = trace_of(target.strong, f"{self.prefix}strong", dtype=target.dtype, center=target.center)
            self.strong_model = Model(self.sample.strong, target.strong.mean, trace)
            self.label_mean, self.label_square = target.label_mean, float(np.trace(target.label_second))
        ridge = self._strong_ridge()
        if not applies((ridge, ridge), self.settings.threshold):
            return None
        of_samples = target.strong.rows is not None
        if of_samples not in self.strong:
            made = self.strong[of_samples] = strong_of(target, self.strong_model.trace, ridge)
            self.dof_strong = made.dof
            if self.with_norm:
                self.rank_strong = made.rank
        return self.strong[of_samples]

    def _ridges(self, name: str, trace: float) -> tuple[float, float]:
        """Both at unit trace, of a weak model with this trace."""
        assert self.strong_model is not None
        traces = Traces(trace, self.strong_model.trace, 0.0)
        return unit_trace_ridges((self.settings.ridges[name], self.settings.ridge[0]), traces, self.settings.scale)

    def _strong_ridge(self) -> float:
        """At unit trace."""
        assert self.strong_model is not None
        traces = Traces(1.0, self.strong_model.trace, 0.0)
        return unit_trace_ridges((1.0, self.settings.ridge[0]), traces, self.settings.scale)[1]

    def _solve(
        self,
        target: Target,
        strong: Strong,
        weak: Mapping[str, Weak],
        models: Mapping[str, Model],
        report: Callable[[], None],
    ) -> None:
        """By solves; leaves out models whose gap is so small that they do not tell it from rounding."""
        settings, names = self.settings, list(weak)
        top_gain = strong.top_gain if self.with_norm else 1.0
        options = {"with_sizes": self.with_norm, "with_frobenius": self.with_norm and settings.frobenius}
        for index, one in solve(
            strong, list(weak.values()), with_norm=self.with_norm, widths=settings.widths, **options
        ):
            name = names[index]
            rank, square = one.sizes() if self.with_norm else (0, NAN)
            if not one.resolved or square is None:
                continue
            notes, rounding = (), TOLERATED
            if self.with_norm:
                exact, ridges = weak[name].side.rows is not None, (weak[name].ridge, strong.ridge)
                known = (target.dtype, exact, ridges, one.norm, top_gain)
                notes, rounding = accuracy(*known) + close(one.norm, one.second), rounding_of_norm(*known)
            self.measured[name] = _Measured(
                one.norm,
                float(np.sqrt(square / target.n)),
                one.predicted,
                rank,
                one.dof,
                notes,
                rounding,
                one.functions,
                models[name],
            )
            report()

    def _decompose(self, target: Target, name: str, part: Part, cross: Any, model: Model) -> None:
        """By principal components: with a threshold, at ridge 0, or for a gap near rounding."""
        settings = self.settings
        m = pair_of(target, part, cross)
        try:
            factor = joint_factor(m)
            pair = make_pair(m, factor, self.spectrum, width=settings.widths[m.d_weak])
            self.spectrum = pair.strong
            own = settings.ridges[name], settings.ridge[0]
            g = gap_of_pair(m, factor, pair, own, settings.threshold, scale=settings.scale)
        except InputError as error:
            raise InputError(f"{self.prefix}weak model {name!r}: {error}") from error
        parameters = Parameters(*self._ridges(name, model.trace), *settings.threshold)
        functions = functions_of_pair(m, factor, pair, parameters, g.norm if self.with_norm else None, g.predicted)
        self.rank_strong, self.dof_strong = g.rank_strong, g.dof_strong
        self.measured[name] = _Measured(
            g.norm,
            g.frobenius,
            g.predicted,
            g.rank_weak,
            g.dof_weak,
            g.warnings + (close(g.norm, float(g.singular_values[1])) if len(g.singular_values) > 1 else ()),
            rounding_of_norm(target.dtype, part.rows is not None, self._ridges(name, model.trace), g.norm, 1.0),
            functions,
            model,
        )


def _batches(samples: Sequence[Candidates]) -> Iterator[list[str]]:
    """Weak models that are accumulated together: as many as fit into memory, so that the strong one is read once."""
    memory = None if on_host() else device_memory()
    most = SUMS_BYTES if memory is None else memory // DEVICE_SHARE
    batch, used = [], 0
    for name in samples[0].weak:
        needed = 0
        for sample in samples:
            width = sample.weak[name].shape[1]
            needed += 8 * 2 * width * (width + sample.strong.shape[1] + 1)
        if batch and used + needed > most:
            yield batch
            batch, used = [], 0
        batch, used = [*batch, name], used + needed
    yield batch


def _ranking(
    splits: Sequence[_Split],
    names: Sequence[str],
    by: str,
    settings: _Settings,
    confidence: float,
    errors: RankedErrors | None,
    reason: str,
    neighbours: Neighbours | None,
    asked: str | None,
) -> Ranking:
    """What all models' measurements say together."""
    failed = {name: reason for split in splits for name, reason in split.failed.items()}
    known = [name for name in names if name not in failed]
    if not known:
        raise InputError(f"every weak model is constant; the first: {next(iter(failed.values()))}")
    joints: dict[str, Joint] = {}
    few: dict[str, np.ndarray] = {}
    for split, quantity in zip(splits, ("predicted", "supervised"), strict=False):
        found = split.covariances(known, split.sample.groups)
        if found.gap is not None:
            gaps = np.array([split.measured[name].predicted for name in known])
            dofs = np.array([split.measured[name].dof for name in known])
            draws = split.sample.n_groups or split.sample.strong.shape[0]
            covariance = corrected(found.gap.covariance, dofs, split.dof_strong, draws)
            rounding = np.array([split.measured[name].rounding for name in known]) * 2
            joints[quantity] = Joint(gaps, covariance, split.label_square, found.gap.draws, rounding)
            few |= {quantity: found.gap.draws}
        if found.frobenius is not None:
            values = np.array([split.measured[name].frobenius for name in known])
            joints["frobenius"] = Joint(values, found.frobenius.covariance, None, found.frobenius.draws)
            few |= {"frobenius": found.frobenius.draws}
        if found.norm is not None:
            norms = np.array([split.measured[name].norm for name in known])
            rounding = np.array([split.measured[name].rounding for name in known])
            joints["norm"] = Joint(norms, found.norm.covariance, 1.0, found.norm.draws, rounding)
            few |= {"norm": found.norm.draws}
    predicted = {} if errors is None else errors.found
    if errors is not None and set(predicted) >= set(known):
        joints |= errors.joints(known)
        few |= {name: one.draws for name, one in joints.items() if name in JOINT and one.draws is not None}
    alike: dict[str, float] = {}
    notes: tuple[str, ...] = ()
    if neighbours is not None:
        if not neighbours.undefined:
            alike, notes = neighbours.values, neighbours.notes
            joints["mutual_knn"] = joint = neighbours.joint(known)
            few |= {} if joint.draws is None else {"mutual_knn": joint.draws}
        else:
            called, why = next(iter(neighbours.undefined.items()))
            if asked is not None:
                raise InputError(f"by: mutual_knn is undefined for {called}: {why}; or rank by norm")
            by, notes = "norm", (f"ranked by the norm: shared neighbours are undefined for {called}: {why}",)
    elif asked is None and by == "norm" and splits[0].sample.strong.shape[0] < NEIGHBOURED:
        notes = (f"ranked by the norm: shared neighbours need {NEIGHBOURED} samples",)
    ends = {quantity: intervals(joint, confidence) for quantity, joint in joints.items()}
    if "mutual_knn" in ends:  # of what is shared, not of what is not; a share of 0 or 1 is on its bound
        shares = 1 - joints["mutual_knn"].values[:, None]
        low, high = (1 - ends["mutual_knn"][:, ::-1]).T[:, :, None]
        ends["mutual_knn"] = np.concatenate([np.minimum(low, shares), np.maximum(high, shares)], axis=1)
    first = best(joints[by], confidence) if by in joints else None
    rows = []
    for place, name in enumerate(known):
        own = [split.measured[name] for split in splits]
        rows.append(
            RankingRow(
                name=name,
                norm=own[0].norm,
                frobenius=own[0].frobenius,
                predicted=own[0].predicted,
                supervised=own[1].predicted if len(own) > 1 else None,
                rank_weak=own[0].rank,
                rank_strong=splits[0].rank_strong,
                dof_weak=own[0].dof,
                dof_strong=splits[0].dof_strong,
                mutual_knn=alike.get(name),
                ridge_weak=settings.ridges[name],
                **_errors_of(predicted.get(name)),
                intervals={key: (float(pair[place, 0]), float(pair[place, 1])) for key, pair in ends.items()},
                probability_best=None if first is None else float(first.probability[place]),
                may_be_best=None if first is None else bool(first.possible[place]),
                warnings=tuple(
                    dict.fromkeys(
                        (
                            *(note for each in own for note in each.warnings),
                            *_vanished(own, [split.label_square for split in splits]),
                            *rough({key: float(draws[place]) for key, draws in few.items()}),
                            *(predicted[name].warnings if name in predicted else ()),
                        )
                    )
                ),
            )
        )
    rows = ordered(rows, by)
    places = [known.index(row.name) for row in rows]
    rows += [failed_row(name, failed[name]) for name in names if name in failed]
    target = splits[0].sample
    return Ranking(
        rows=tuple(rows),
        by=by,
        ridge_strong=settings.ridge[0],
        err_ceiling=next((one.err_ceiling for one in predicted.values()), None),
        label_variance=next((one.label_variance for one in predicted.values()), None),
        curve_strong=next((_curve(one.choice_strong) for one in predicted.values()), None),
        threshold=settings.threshold,
        n=target.strong.shape[0],
        n_train=splits[1].sample.strong.shape[0] if len(splits) > 1 else None,
        n_groups=target.n_groups,
        confidence=confidence,
        center=settings.options.center,
        scale=settings.scale,
        dtype=settings.options.dtype or "float64",
        covariances={
            key: tuple(tuple(map(float, line)) for line in joint.in_units()[np.ix_(places, places)])
            for key, joint in joints.items()
        },
        warnings=notes
        + _notes(splits, len(known))
        + _integers(splits)
        + ((f"no error is predicted: {reason}",) if reason else ()),
    )


def _errors_of(found: PredictedErrors | None) -> dict[str, Any]:
    """The fields of a row that come with predicted errors; None for what is undefined."""
    if found is None:
        return {}
    fields = {name: getattr(found, name) for name in ("err_w2s", "err_weak", "pred_gap", "gain", "pgr")}
    told = {name: None if math.isnan(value) else value for name, value in fields.items()}
    return told | {"curve_weak": _curve(found.choice_weak)}


def _curve(choice: LeaveOneOut) -> RidgeCurve:
    """Plain numbers of a choice of ridges."""
    ridges, errors, gcv = (tuple(map(float, path)) for path in (choice.ridges, choice.errors, choice.gcv))
    return RidgeCurve(ridges, errors, gcv, float(choice.gcv_ridge))


def _vanished(measured: Sequence[_Measured], label_squares: Sequence[float]) -> tuple[str, ...]:
    """A warning where nothing is lost but for rounding, which is all that values and intervals tell then."""
    notes = []
    if 0 <= measured[0].norm <= VANISHED:
        notes.append("norm: 0 but for rounding; nothing is told apart at this ridge: raise it")
    for quantity, one, square in zip(("predicted", "supervised"), measured, label_squares, strict=False):
        if one.predicted is not None and square > 0 and one.predicted <= VANISHED**2 * square:
            notes.append(f"{quantity}: 0 but for rounding; nothing is told apart at this ridge: choose another")
    return tuple(notes)


def _integers(splits: Sequence[_Split]) -> tuple[str, ...]:
    """A warning where labels may be classes, which here are numbers."""
    for split in splits:
        labels = split.sample.labels
        if labels is None or labels.shape[1] > 1 or np.dtype(labels.dtype).kind not in "iu":
            continue
        values = len(np.unique(np.asarray(labels)))
        if values > 2:
            told = f"integers of {values} values are taken as numbers; for classes give one-hot columns"
            return (f"{split.prefix}labels: {told}",)
    return ()


def _notes(splits: Sequence[_Split], models: int) -> tuple[str, ...]:
    """What the intervals leave out."""
    notes = []
    if models < FEW_MODELS:
        notes.append(
            f"{models} weak model{'s' * (models > 1)} only: intervals are over samples; how well the values order weak"
            f" models in general cannot be told from fewer than {FEW_MODELS}"
        )
    for split in splits:
        groups = split.sample.n_groups
        if groups is not None and groups < FEW_GROUPS:
            notes.append(f"{split.prefix}groups: {groups} only; intervals from fewer than {FEW_GROUPS} are too narrow")
    return tuple(notes)
