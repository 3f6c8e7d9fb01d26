r"""Which samples carry the gap: $|[P_s (I - P_w) y]_i|$, and by how much each one moves it."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from .._errors import InputError
from ..numerics.backend import by_backend
from ..numerics.checks import (
    Array,
    ArrayInput,
    as_confidence,
    as_groups,
    as_labels,
    as_ridge,
    as_samples,
    as_threshold,
    same_rows,
)
from ..numerics.settings import own_settings
from ..second_moments.from_arrays import (
    PassOptions,
    accumulate,
    again,
    moments,
    over_processes,
    refuse_bad_target,
    refuse_bad_values,
)
from ..second_moments.moments import Moments, pair_of
from .gap import Gap, close, gap_of_pair, gap_of_solved
from .gap_operator import functions_of_pair, make_pair
from .influence import Functions, covariance, summed_by_group
from .kernel import Traces, joint_factor
from .second_pass import Model, influence_blocks
from .smoother import Parameters, unit_trace_ridges
from .solved import solve_pair
from .uncertainty import Joint, corrected, effective_draws, intervals, rough


@own_settings()
def gap_scores(
    weak: ArrayInput,
    strong: ArrayInput,
    labels: ArrayInput | None,
    ridge: float | tuple[float, float] = 1e-2,
    threshold: float | tuple[float, float] = 0.0,
    *,
    center: bool = True,
    scale: str = "trace",
    dtype: str | None = None,
) -> Float[np.ndarray, " n"]:
    r"""Score each sample by $|[P_s (I - P_w)\, y]_i|$: the error that weak supervision leaves on it in the strong
    model.

    $$
    [P_s (I - P_w)\, y]_i = h_s(x_i)^\top V_s (\Lambda_s + \beta_s)^{-1} V_s^\top H_s^\top (I - P_w)\, y / n
    $$

    With several label columns, the Euclidean norm over them. The mean of the squared scores is ``gap(...).predicted``.

    Args:
        weak, strong: (n, d_weak), (n, d_strong) representations of the same samples.
        labels: (n,) or (n, c); true labels or pseudo-labels.
        ridge, threshold, scale: as in ``gap``.
        center, dtype: as in ``moments``.

    Returns:
        (n,) float64, in the units of the labels.

    Raises:
        InputError: as ``moments`` and ``gap``.

    Cost: ``moments`` and ``gap``, then $2 n d_s c$ flops.
    Source: arXiv 2502.00620, main theorem, by sample; with ridge 0.1 / n and labels from the weak model it is the
    score of RADS-Lin.
    """
    if labels is None:
        raise InputError("labels: None; a score is |[P_s (I - P_w) y]_i| and needs labels or pseudo-labels")
    m = moments(weak, strong, labels, center=center, dtype=dtype)
    return scores_of(m, as_samples(strong, "strong"), ridge, threshold, scale=scale)


def scores_of(
    m: Moments,
    strong: Array,
    ridge: float | tuple[float, float],
    threshold: float | tuple[float, float],
    *,
    scale: str,
) -> Float[np.ndarray, " n"]:
    """The scores of the samples behind moments with labels that are at hand; see ``gap_scores``."""
    ridges, thresholds = as_ridge(ridge), as_threshold(threshold)
    found = solve_pair(m.target, *m.weak, ridges, thresholds, scale, with_norm=False)
    if found is not None:
        functions, trace = found.solved.functions, found.traces.strong
    else:
        functions, traces, _ = _decomposed(m, ridges, thresholds, scale, with_norm=False)
        trace = traces.strong
    f = functions.strong[:, : m.d_labels]
    if functions.sampled:
        return np.linalg.norm(f, axis=1)
    model, scores = Model(strong, m.target.strong.mean, trace), np.zeros(int(m.n))
    for rows, (block,) in again([strong], len(scores)):
        scores[rows] = _lengths(model.unit(block, center=m.center), f)
    return over_processes(scores)


def _lengths_of(la: Any, x: Any, f: Any) -> Any:
    """The length over label columns of each sample's value."""
    return (la.product(x, f) ** 2).sum(axis=1) ** 0.5


_lengths = by_backend(_lengths_of)


@dataclass(frozen=True, eq=False)
class GapInfluence:
    r"""How much each sample moves the gap of one pair, and how sure it is.

    Attributes:
        gap: the pair's gap.
        norm, predicted: (n,), the influence of each sample on either: its derivative in the weight of the sample, of
            mean 0. Without this sample a value would be about influence / n smaller. ``predicted`` is None without
            labels.
        scores: (n,), as ``gap_scores``; None without labels.
        standard_errors: of ``norm`` and ``predicted``, over samples or groups.
        intervals: (low, high) of either, inside its range.
        confidence: of the intervals.
        warnings: those of the gap, and of the intervals.
    """

    gap: Gap
    norm: Float[np.ndarray, " n"]
    predicted: Float[np.ndarray, " n"] | None
    scores: Float[np.ndarray, " n"] | None
    standard_errors: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    confidence: float
    warnings: tuple[str, ...]


@own_settings()
def gap_influence(
    weak: ArrayInput,
    strong: ArrayInput,
    labels: ArrayInput | None = None,
    ridge: float | tuple[float, float] = 1e-2,
    threshold: float | tuple[float, float] = 0.0,
    *,
    groups: ArrayLike | None = None,
    confidence: float = 0.95,
    center: bool = True,
    scale: str = "trace",
    dtype: str | None = None,
) -> GapInfluence:
    """Compute the gap of one pair with the influence of each sample on it, the scores and intervals over samples.

    Args:
        weak, strong: (n, d_weak), (n, d_strong) representations of the same samples.
        labels: (n,) or (n, c), or None.
        ridge, threshold, scale: as in ``gap``.
        groups: (n,) which samples belong together, by names or numbers: they count as one draw.
        confidence: of the intervals.
        center, dtype: as in ``moments``.

    Returns:
        GapInfluence; float64.

    Raises:
        InputError: as ``moments`` and ``gap``.

    Cost: ``moments`` and ``gap``, then $8 n (d_w + d_s)(c + 1)$ flops in a second pass over the samples.
    Source: ours; see ``theory.influence``.
    """
    options = PassOptions(center, dtype)
    return influence_of(
        weak, strong, labels, ridge, threshold, groups=groups, confidence=confidence, scale=scale, options=options
    )


def influence_of(
    weak: ArrayInput,
    strong: ArrayInput,
    labels: ArrayInput | None,
    ridge: float | tuple[float, float],
    threshold: float | tuple[float, float],
    *,
    groups: ArrayLike | None,
    confidence: float,
    scale: str,
    options: PassOptions,
) -> GapInfluence:
    """``gap_influence`` by a pass over the samples with these options."""
    weak, strong = as_samples(weak, "weak"), as_samples(strong, "strong")
    n, center = same_rows((weak, strong), ("weak", "strong")), options.center
    labels = None if labels is None else as_labels(labels, n)
    confidence, group = as_confidence(confidence), as_groups(groups, n, "groups")
    ridges, thresholds = as_ridge(ridge), as_threshold(threshold)
    checkpoints = options.checkpoints()
    (sums,) = accumulate([weak], [strong] if labels is None else [strong, labels], options, checkpoints=checkpoints)
    target, (part, cross) = sums.target(), sums.weak(0)
    refuse_bad_values(part, weak, "weak")
    refuse_bad_target(target, strong, labels)
    checkpoints.clear()
    moments_of_pair = partial(pair_of, target, part, cross)
    found = solve_pair(target, part, cross, ridges, thresholds, scale)
    if found is not None:
        g = gap_of_solved(found, target, moments_of_pair, ridges, thresholds, scale)
        functions, traces, notes = found.solved.functions, found.traces, close(g.norm, found.solved.second)
    else:
        functions, traces, g = _decomposed(moments_of_pair(), ridges, thresholds, scale, with_norm=True)
        notes = close(*g.singular_values[:2]) if len(g.singular_values) > 1 else ()
    own = Model(weak, part.mean, traces.weak), Model(strong, target.strong.mean, traces.strong)
    y = None if labels is None else (labels, target.label_mean)
    total = np.zeros((3, n))
    for start, (one,) in influence_blocks([(functions, own[0])], own[1], y, center=center, scale=scale):
        rows = slice(start, start + len(one.f))
        total[0, rows], total[2, rows] = one.norm, np.linalg.norm(one.f, axis=1)
        total[1, rows] = 0.0 if one.gap is None else one.gap
    total = over_processes(total)
    draws = n if group is None else int(group.max()) + 1
    units = np.array([g.norm or 1.0, g.predicted or 1.0])
    relative = total[:2].T / units
    few = effective_draws(summed_by_group(relative, group))
    joints = {"norm": Joint(np.array([g.norm]), covariance(relative[:, :1], group), 1.0, few[:1])}
    if g.predicted is not None:
        spread = corrected(covariance(relative[:, 1:], group), np.array([g.dof_weak]), g.dof_strong, draws)
        joints["predicted"] = Joint(np.array([g.predicted]), spread, float(np.trace(target.label_second)), few[1:])
    ends = {name: intervals(joint, confidence)[0] for name, joint in joints.items()}
    return GapInfluence(
        gap=g,
        norm=total[0],
        predicted=None if y is None else total[1],
        scores=None if y is None else total[2],
        standard_errors={name: float(joint.in_units()[0, 0] ** 0.5) for name, joint in joints.items()},
        intervals={name: (float(low), float(high)) for name, (low, high) in ends.items()},
        confidence=confidence,
        warnings=g.warnings + notes + rough({name: float(few[place]) for place, name in enumerate(joints)}),
    )


def _decomposed(
    m: Moments, ridges: tuple[float, float], thresholds: tuple[float, float], scale: str, *, with_norm: bool
) -> tuple[Functions, Traces, Gap]:
    """By principal components."""
    factor = joint_factor(m)
    pair = make_pair(m, factor)
    g = gap_of_pair(m, factor, pair, ridges, thresholds, scale=scale)
    parameters = Parameters(*unit_trace_ridges(ridges, factor.traces, scale), *thresholds)
    functions = functions_of_pair(m, factor, pair, parameters, g.norm if with_norm else None, g.predicted)
    return functions, factor.traces, g
