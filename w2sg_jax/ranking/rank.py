"""The computation of a ranking: many weak models against one strong model, with bootstrap intervals."""

import os
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from .._errors import InputError
from ..numerics.backend import padded_widths, product_dtype
from ..numerics.checks import (
    Array,
    ArrayInput,
    as_count,
    as_labels,
    as_ridge,
    as_samples,
    as_threshold,
    check_option,
    same_rows,
)
from ..numerics.settings import own_settings
from ..parallel.mesh import as_mesh
from ..second_moments.accumulator import Accumulator
from ..second_moments.checkpoints import Checkpoints
from ..second_moments.from_arrays import PassOptions, Progress, accumulate, pair_moments
from ..second_moments.moments import Moments
from ..theory.gap import Gap, gap_of_pair
from ..theory.gap_operator import make_pair
from ..theory.kernel import joint_factor
from ..theory.spectrum import Spectrum
from .bootstrap import (
    block_count,
    few_blocks,
    left_out,
    merge_all,
    recentred_interval,
    resampled,
    resampling_counts,
    share_best,
)
from .result import Ranking, RankingRow, order, ordered

SPECTRA_BYTES = 1 << 30
"""Of the strong model's eigenpairs on bootstrap samples that are kept for all weak models."""

SUMS_BYTES = 1 << 32
"""Of the sums of weak models that are accumulated in one pass."""


class Candidates(NamedTuple):
    """The samples that one predictor is computed on."""

    weak: Mapping[str, Array]
    strong: Array
    labels: Array | None

    @property
    def target(self) -> list[Array]:
        """Strong representation, and labels if there are any."""
        return [self.strong] if self.labels is None else [self.strong, self.labels]

    def label_square(self, center: bool) -> float:
        """Mean squared length of the labels, centred as asked, which no predicted gap exceeds; 0 without labels."""
        if self.labels is None:
            return 0.0
        y = np.asarray(self.labels).astype(np.float64)
        return float(((y - y.mean(axis=0, keepdims=True) if center else y) ** 2).sum() / len(y))


def checked_candidates(weak: Any, strong: ArrayInput, labels: ArrayInput | None, prefix: str) -> Candidates:
    """The representations of one split, each of the same samples; ``prefix`` stands before their names in messages."""
    if not isinstance(weak, Mapping) or not weak:
        raise InputError(f"{prefix}weak: expected a mapping of at least one name to a representation")
    for name in weak:
        if not isinstance(name, str):
            raise InputError(f"{prefix}weak: the name {name!r} is a {type(name).__name__}; names are strings")
    checked_strong = as_samples(strong, f"{prefix}strong")
    checked = {name: as_samples(array, f"{prefix}weak[{name!r}]") for name, array in weak.items()}
    for name, array in checked.items():
        same_rows((checked_strong, array), (f"{prefix}strong", f"{prefix}weak[{name!r}]"))
    n = checked_strong.shape[0]
    if n < 8:
        raise InputError(f"{prefix}strong: {n} samples; a ranking needs at least 8")
    return Candidates(checked, checked_strong, None if labels is None else as_labels(labels, n, f"{prefix}labels"))


def train_parts(train: Any) -> tuple[Any, Any, Any]:
    """The three parts of the supervised split, or what is expected."""
    if not isinstance(train, tuple | list) or len(train) != 3 or train[2] is None:
        raise InputError("train: expected a tuple (mapping of names to representations, strong, labels)")
    return tuple(train)


def same_names(weak: Mapping[str, Array], trained: Mapping[str, Array]) -> None:
    """Refuse weak models that are in one of the splits alone."""
    different = set(weak) ^ set(trained)
    if different:
        raise InputError(f"train: the weak models differ from those to rank: {', '.join(sorted(different))}")


class _Settings(NamedTuple):
    """Of one ranking.

    Attributes:
        ridge, threshold, scale: as in ``gap``.
        options, checkpoints: of its passes over the samples.
        counts: how often each block of samples is drawn in each bootstrap sample.
        widths: what each weak width is padded to.
        confidence: of the intervals.
        by: the quantity that orders the models.
    """

    ridge: tuple[float, float]
    threshold: tuple[float, float]
    scale: str
    options: PassOptions
    checkpoints: Checkpoints
    counts: np.ndarray
    widths: dict[int, int]
    confidence: float
    by: str


@own_settings()
def rank(
    weak: Mapping[str, ArrayInput],
    strong: ArrayInput,
    labels: ArrayInput | None = None,
    *,
    train: tuple[Mapping[str, ArrayInput], ArrayInput, ArrayInput] | None = None,
    ridge: float | tuple[float, float] = 1e-2,
    threshold: float | tuple[float, float] = 0.0,
    by: str | None = None,
    bootstrap: int = 200,
    confidence: float = 0.95,
    seed: int = 0,
    center: bool = True,
    scale: str = "trace",
    dtype: str | None = None,
    devices: Any = None,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: float = 120.0,
    progress: Progress | None = None,
) -> Ranking:
    """Rank weak models as supervisors of one strong model, best first, with bootstrap intervals over samples.

    Args:
        weak: name -> (n, d) representation of the same samples by each weak model.
        strong: (n, d_strong) representation of those samples by the strong model.
        labels: (n,) or (n, c) labels of those samples, if known: gives ``predicted``.
        train: the labelled split that the weak models are fitted on, as (name -> (n~, d), (n~, d_strong), labels):
            gives ``supervised``, the label-aware predictor that needs no label beyond those of any set-up.
        ridge, threshold, scale: as in ``gap``; label-aware quantities are sharpest at the ridge of the heads.
        by: the quantity to order by: "supervised", "predicted", "norm", "frobenius" (ascending) or "dof_weak"
            (descending); by default the first of these that can be computed.
        bootstrap: number of bootstrap samples; 0 for none. Blocks of rows are drawn, the same for all models.
        confidence: of the intervals.  seed: of the bootstrap.
        center, dtype, devices, checkpoint, checkpoint_every: as in ``moments``.
        progress: called with (done, total) models.

    Returns:
        Ranking. Its intervals lie where the quantities can: they are quantiles of bootstrap samples on the scale of the
        logarithm, or of the logit where there is an upper bound, moved so that their median is the estimate.

    Raises:
        InputError: no weak model, representations of different n, a name missing in ``train``, or as ``gap``.

    Cost: one pass over the samples for all weak models that fit into 4 GiB of sums together; the strong model is
    decomposed once, and once a bootstrap sample (kept for all models up to 1 GiB), each weak model once and once a
    bootstrap sample.
    """
    samples = [checked_candidates(weak, strong, labels, "")]
    if train is not None:
        samples.append(checked_candidates(*train_parts(train), "train "))
        same_names(samples[0].weak, samples[1].weak)
    by = order(by, labels is not None, train is not None)
    bootstrap, seed = as_count(bootstrap, "bootstrap", 0), as_count(seed, "seed", 0)
    if not isinstance(confidence, float) or not 0 < confidence < 1:
        raise InputError(f"confidence: got {confidence!r}; expected a share in (0, 1), such as 0.95")
    check_option(scale, "scale", ("trace", "none"))
    check_option(center, "center", (True, False))
    widths = padded_widths(array.shape[1] for sample in samples for array in sample.weak.values())
    width = max(widths) + samples[0].strong.shape[1] + 1
    blocks = min(block_count(sample.strong.shape[0], width) for sample in samples)
    counts = resampling_counts(blocks, bootstrap, seed)
    dtype = product_dtype(dtype, as_mesh(devices))
    options = PassOptions(center, dtype, None, devices, checkpoint, checkpoint_every)
    settings = _Settings(
        as_ridge(ridge),
        as_threshold(threshold),
        scale,
        options,
        options.checkpoints(),
        counts,
        widths,
        confidence,
        by,
    )
    rows = ordered(_rows(samples, settings, progress), by)
    settings.checkpoints.clear()
    return Ranking(
        rows=tuple(rows),
        by=by,
        ridge=settings.ridge,
        threshold=settings.threshold,
        n=samples[0].strong.shape[0],
        n_train=samples[1].strong.shape[0] if train is not None else None,
        bootstrap=bootstrap,
        blocks=blocks,
        confidence=confidence,
        seed=seed,
        center=center,
        scale=scale,
        dtype=dtype,
        warnings=few_blocks(blocks) if bootstrap else (),
    )


def _rows(samples: list[Candidates], settings: _Settings, progress: Progress | None) -> list[RankingRow]:
    """One for each weak model, in the order that they were given in."""
    caches = [_StrongSpectra(), _StrongSpectra()]
    names = list(samples[0].weak)
    estimates, replicates = [], []
    for batch in _batches(samples, settings.counts.shape[1]):
        sums = [_sums(sample, batch, settings) for sample in samples]
        for index, name in enumerate(batch):
            if progress is not None:
                progress(len(estimates), len(names))
            found = []
            for sample, groups, cache in zip(samples, sums, caches, strict=False):
                blocks = pair_moments(groups, index, f"weak model {name!r}", sample.weak[name], sample.target)
                found.append(_gaps(blocks, name, settings, cache))
            estimates.append([gaps[0] for gaps in found if gaps[0] is not None])
            replicates.append(_replicates([gaps[1:] for gaps in found]))
    if progress is not None:
        progress(len(names), len(names))
    second_moments = [sample.label_square(settings.options.center) for sample in samples]
    best = share_best([drawn.get(settings.by) for drawn in replicates], settings.by)
    return [
        _row(name, gaps, drawn, share, settings.confidence, second_moments)
        for name, gaps, drawn, share in zip(names, estimates, replicates, best, strict=True)
    ]


def _batches(samples: list[Candidates], groups: int) -> Iterator[list[str]]:
    """Weak models that are accumulated together: as many as fit into memory, so that the strong one is read once."""
    batch, used = [], 0
    for name in samples[0].weak:
        width = max(sample.weak[name].shape[1] for sample in samples)
        needed = 8 * groups * len(samples) * width * (width + samples[0].strong.shape[1] + 1)
        if batch and used + needed > SUMS_BYTES:
            yield batch
            batch, used = [], 0
        batch, used = [*batch, name], used + needed
    yield batch


def _sums(sample: Candidates, names: list[str], settings: _Settings) -> list[Accumulator]:
    weak = [sample.weak[name] for name in names]
    groups = settings.counts.shape[1]
    return accumulate(weak, sample.target, settings.options, groups=groups, checkpoints=settings.checkpoints)


def _gaps(blocks: list[Moments], name: str, settings: _Settings, cache: "_StrongSpectra") -> list[Gap | None]:
    """The gap on all samples, then on each bootstrap sample; None on one where a representation is constant."""
    try:
        gaps: list[Gap | None] = [_gap(merge_all(blocks), settings, cache, 0)]
    except InputError as error:
        raise InputError(f"weak model {name!r}: {error}") from error
    for index, m in enumerate(resampled(blocks, settings.counts), start=1):
        try:
            gaps.append(_gap(m, settings, cache, index))
        except InputError:
            gaps.append(None)
    return gaps


def _gap(m: Moments, settings: _Settings, cache: "_StrongSpectra", index: int) -> Gap:
    factor = joint_factor(m)
    pair = make_pair(m, factor, cache.get(index), width=settings.widths[m.d_weak])
    cache.put(index, pair.strong)
    return gap_of_pair(m, factor, pair, settings.ridge, settings.threshold, scale=settings.scale)


class _StrongSpectra:
    """The strong model's eigenpairs on all samples (index 0) and on bootstrap samples, shared by all weak models."""

    def __init__(self) -> None:
        self._known: dict[int, Spectrum] = {}
        self._bytes = 0

    def get(self, index: int) -> Spectrum | None:
        return self._known.get(index)

    def put(self, index: int, found: Spectrum) -> None:
        if index in self._known or (index > 0 and self._bytes > SPECTRA_BYTES):
            return
        self._known[index] = found
        self._bytes += found.eigenvectors.nbytes


def _replicates(found: list[list[Gap | None]]) -> dict[str, np.ndarray]:
    """Bootstrap replicates of each real-valued quantity; NaN where one has no value."""
    if not found[0]:
        return {}
    keys = {key: (0, key) for key in ("norm", "frobenius", "dof_weak", "dof_strong", "predicted")}
    if len(found) > 1:
        keys["supervised"] = (1, "predicted")
    values = {
        quantity: [np.nan if g is None else getattr(g, key) for g in found[which]]
        for quantity, (which, key) in keys.items()
    }
    return {quantity: np.array(drawn) for quantity, drawn in values.items() if None not in drawn}


def _row(
    name: str,
    gaps: list[Gap],
    replicates: dict[str, np.ndarray],
    share: float | None,
    confidence: float,
    second_moments: list[float],
) -> RankingRow:
    """The row of one model; ``second_moments`` are those of the labels of each split."""
    g = gaps[0]
    supervised = gaps[1].predicted if len(gaps) > 1 else None
    values = {
        "norm": g.norm,
        "frobenius": g.frobenius,
        "dof_weak": g.dof_weak,
        "dof_strong": g.dof_strong,
        "predicted": g.predicted,
        "supervised": supervised,
    }
    above = {
        "norm": 1.0,
        "frobenius": float(np.sqrt(g.rank_strong / g.n)),
        "dof_weak": float(g.rank_weak),
        "dof_strong": float(g.rank_strong),
        "predicted": second_moments[0],
        "supervised": second_moments[-1],
    }
    intervals = {
        key: recentred_interval(values[key], drawn, confidence, above=above.get(key))
        for key, drawn in replicates.items()
    }
    return RankingRow(
        name=name,
        norm=g.norm,
        frobenius=g.frobenius,
        predicted=g.predicted,
        supervised=supervised,
        rank_weak=g.rank_weak,
        rank_strong=g.rank_strong,
        dof_weak=g.dof_weak,
        dof_strong=g.dof_strong,
        intervals=intervals,
        share_best=share,
        warnings=tuple(dict.fromkeys(note for each in gaps for note in each.warnings)) + left_out(replicates),
    )
