"""Weak-to-strong fine-tuning as ridge heads: weak head -> pseudo-labels -> strong head, and its errors."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ._errors import InputError
from ._inputs import Array, ArrayInput, as_labels, as_ridge, as_samples, check_option, refuse_non_finite, same_rows
from ._labels import as_targets
from ._ridge import components, fit, outputs

NOISE_ERRORS = 2.0
"""PGR is undefined while its denominator is below this many standard errors."""
BATCH_BYTES = 1 << 28

Numbers = float | Float[np.ndarray, "..."]


@dataclass(frozen=True, eq=False)
class WeakToStrong:
    """Measured weak-to-strong generalization on the test split; floats, or arrays (splits, ridges).

    Squared errors are E[(f(x) - y)^2] summed over label columns; the ``_01`` twins are shares of wrong classes, None
    unless labels are classes.

    Attributes:
        err_weak, err_w2s, err_ceiling: Err_w, Err_w2s and Err_sc.
        pred_gap: PredGap = E[(f_w2s(x) - f_sc(x))^2];  pred_gap_01: share of samples where the two disagree.
        pgr: (Err_w - Err_w2s) / (Err_w - Err_sc); NaN, undefined, while the denominator is within two standard errors
            of 0 (paired over test samples).  pgr_denominator, pgr_noise: that denominator and its standard error.
        residual_w2s: mean squared residual of the strong head on the pseudo-labels that it was fitted on.
        ridge_weak, ridge_strong: what was added to K/n, in units of ``scale``.
    """

    err_weak: Numbers
    err_w2s: Numbers
    err_ceiling: Numbers
    pred_gap: Numbers
    pgr: Numbers
    pgr_denominator: Numbers
    pgr_noise: Numbers
    residual_w2s: Numbers
    err_weak_01: Numbers | None
    err_w2s_01: Numbers | None
    err_ceiling_01: Numbers | None
    pred_gap_01: Numbers | None
    pgr_01: Numbers | None
    ridge_weak: Numbers
    ridge_strong: Numbers
    center: bool
    scale: str

    def to_dict(self) -> dict[str, Any]:
        """Plain Python values, ready for JSON (NaN where undefined)."""
        return {key: value.tolist() if isinstance(value, np.ndarray) else value for key, value in asdict(self).items()}


class Split(NamedTuple):
    """The arrays of one experiment: labelled set, weakly labelled set, test set."""

    train_weak: Any
    train_y: Any
    w2s_weak: Any
    w2s_strong: Any
    w2s_y: Any
    test_weak: Any
    test_strong: Any
    test_y: Any


def weak_to_strong(
    train: tuple[ArrayInput, ArrayInput],
    w2s: tuple[ArrayInput, ArrayInput, ArrayInput],
    test: tuple[ArrayInput, ArrayInput, ArrayInput],
    ridge: float | tuple[float, float] = 1e-4,
    *,
    ids: tuple[Any, Any, Any] | None = None,
    classes: bool | None = None,
    center: bool = True,
    scale: str = "trace",
) -> WeakToStrong:
    """Fit the weak head on ``train``, label ``w2s`` with it, fit the strong head on those labels, measure on ``test``.

    f_w = weak head on (train_weak, y); f_w2s = strong head on (w2s_strong, f_w(w2s_weak)); f_sc = strong head on
    (w2s_strong, y). Centring and scale of a head come from the split that it is fitted on.

    Args:
        train: (weak, y) of the labelled split.
        w2s: (weak, strong, y) of the split that the weak model labels; its y is used by the ceiling only.
        test: (weak, strong, y) of fresh samples.
        ridge: one number or the (weak, strong) pair; what is added to K/n. 0 is the min-norm interpolator.
        ids: identifiers of the samples of the three splits; an identifier in two splits is refused.
        classes: True when labels are classes; by default integers and booleans are.
        center, scale: as in ``gap``.

    Raises:
        InputError: shapes that do not fit, NaN or Inf, overlapping splits, a constant representation.

    Cost: three factorisations (see ``ridge_path``); float64.
    Source: arXiv 2502.00620, section 2.
    """
    if ids is not None:
        _refuse_overlap(ids)
    arrays, is_class, boundary = _checked_split(train, w2s, test, classes)
    pair = np.array([as_ridge(ridge)])
    with jax.enable_x64(True):
        measured = _measure(arrays, pair, boundary, center=center, scale=_known(scale))
        measured = {key: float(value[0]) for key, value in jax.device_get(measured).items()}
    return _record(measured, is_class, float(pair[0, 0]), float(pair[0, 1]), center, scale)


def weak_to_strong_splits(
    weak: ArrayInput,
    strong: ArrayInput,
    labels: ArrayInput,
    *,
    train: ArrayInput,
    w2s: ArrayInput,
    test: ArrayInput,
    ridges: Sequence[float | tuple[float, float]] = (1e-4,),
    classes: bool | None = None,
    center: bool = True,
    scale: str = "trace",
) -> WeakToStrong:
    """Run ``weak_to_strong`` for S splits of one data set and R ridges at once: vmapped over both.

    Args:
        weak, strong: (n, d_weak), (n, d_strong) representations of all samples.
        labels: (n,) or (n, c).
        train, w2s, test: row numbers of each split, integers (S, n_split); a row in two of them is refused.
        ridges: R ridges, each a number or a (weak, strong) pair.
        classes, center, scale: as in ``weak_to_strong``.

    Returns:
        WeakToStrong with arrays (S, R).

    Raises:
        InputError: as ``weak_to_strong``; a row number out of range.

    Cost: 3 S factorisations, shared by all ridges.
    """
    weak, strong = as_samples(weak, "weak"), as_samples(strong, "strong")
    n = same_rows((weak, strong), ("weak", "strong"))
    y = as_labels(labels, n)
    for array, name in ((weak, "weak"), (strong, "strong"), (y, "labels")):
        refuse_non_finite(array, name)
    indices = [_checked_rows(rows, n, name) for rows, name in ((train, "train"), (w2s, "w2s"), (test, "test"))]
    if len({rows.shape[0] for rows in indices}) != 1:
        raise InputError("train, w2s and test: pass the same number of splits (rows) in each")
    for split in zip(*indices, strict=True):
        _refuse_overlap(split)
    targets = as_targets(y, classes)
    pairs = np.array([as_ridge(ridge) for ridge in ridges])
    row_bytes = 8 * (weak.shape[1] + strong.shape[1]) * sum(rows.shape[1] for rows in indices)
    with jax.enable_x64(True):
        measured = jax.device_get(
            _measure_splits(
                *(jnp.asarray(x, jnp.float64) for x in (weak, strong, targets.values)),
                tuple(jnp.asarray(rows) for rows in indices),
                pairs,
                targets.boundary,
                center=center,
                scale=_known(scale),
                batch=max(1, BATCH_BYTES // row_bytes),
            )
        )
    return _record(measured, targets.classes, pairs[:, 0], pairs[:, 1], center, scale)


@partial(jax.jit, static_argnames=("center", "scale", "batch"))
def _measure_splits(weak, strong, y, indices, ridges, boundary, *, center, scale, batch):
    def one(rows):
        train, w2s, test = rows
        split = Split(weak[train], y[train], weak[w2s], strong[w2s], y[w2s], weak[test], strong[test], y[test])
        return _measure(split, ridges, boundary, center=center, scale=scale)

    return jax.lax.map(one, indices, batch_size=batch)


@partial(jax.jit, static_argnames=("center", "scale"))
def _measure(
    split: Split, ridges: Float[Any, "R 2"], boundary: Any, *, center: bool, scale: str
) -> dict[str, Float[Any, " R"]]:
    weak = components(split.train_weak, center=center, scale=scale)
    strong = components(split.w2s_strong, center=center, scale=scale)
    weak_head = fit(weak, split.train_y[None], ridges[:, 0], center=center)
    pseudo_labels = outputs(weak, weak_head, split.w2s_weak)
    w2s_head = fit(strong, pseudo_labels, ridges[:, 1], center=center)
    ceiling_head = fit(strong, split.w2s_y[None], ridges[:, 1], center=center)
    f_weak = outputs(weak, weak_head, split.test_weak)
    f_w2s = outputs(strong, w2s_head, split.test_strong)
    f_ceiling = outputs(strong, ceiling_head, split.test_strong)
    on_pseudo_labels = outputs(strong, w2s_head, split.w2s_strong)
    squared = [_squares(f - split.test_y) for f in (f_weak, f_w2s, f_ceiling)]
    wrong = [_decide(f, boundary) != _decide(split.test_y, boundary) for f in (f_weak, f_w2s, f_ceiling)]
    disagree = _decide(f_w2s, boundary) != _decide(f_ceiling, boundary)
    return (
        _errors(squared, _squares(f_w2s - f_ceiling), "")
        | _errors([w.astype(f_weak.dtype) for w in wrong], disagree.astype(f_weak.dtype), "_01")
        | {"residual_w2s": _squares(on_pseudo_labels - pseudo_labels).mean(axis=-1)}
    )


def _errors(losses: list[jax.Array], between: jax.Array, suffix: str) -> dict[str, jax.Array]:
    """Means over test samples (last axis), and PGR where its denominator stands out of the noise."""
    err_weak, err_w2s, err_ceiling = (loss.mean(axis=-1) for loss in losses)
    difference = losses[0] - losses[2]
    denominator = difference.mean(axis=-1)
    noise = difference.std(axis=-1) / jnp.sqrt(difference.shape[-1])
    rounding = 1e3 * jnp.finfo(noise.dtype).eps * (err_weak + err_ceiling)
    defined = denominator > NOISE_ERRORS * noise + rounding
    pgr = jnp.where(defined, (err_weak - err_w2s) / jnp.where(defined, denominator, 1.0), jnp.nan)
    return {
        f"err_weak{suffix}": err_weak,
        f"err_w2s{suffix}": err_w2s,
        f"err_ceiling{suffix}": err_ceiling,
        f"pred_gap{suffix}": between.mean(axis=-1),
        f"pgr{suffix}": pgr,
        f"pgr_denominator{suffix}": denominator,
        f"pgr_noise{suffix}": noise,
    }


def _squares(x: jax.Array) -> jax.Array:
    return (x**2).sum(axis=-1)


def _decide(f: jax.Array, boundary: Any) -> jax.Array:
    """The class: the side of the boundary for one column, the arg-max for several."""
    return f[..., 0] > boundary if f.shape[-1] == 1 else f.argmax(axis=-1)


def _record(
    measured: dict[str, Any],
    classes: bool,
    ridge_weak: Numbers,
    ridge_strong: Numbers,
    center: bool,
    scale: str,
) -> WeakToStrong:
    if not np.isfinite(measured["err_w2s"]).all() or not np.isfinite(measured["err_weak"]).all():
        raise InputError(
            "a representation is constant on the split that its head is fitted on (or its values overflow); check the"
            " layer or pooling that it came from"
        )
    measured = {key: value for key, value in measured.items() if key not in ("pgr_denominator_01", "pgr_noise_01")}
    if not classes:
        measured = {key: None if key.endswith("_01") else value for key, value in measured.items()}
    return WeakToStrong(**measured, ridge_weak=ridge_weak, ridge_strong=ridge_strong, center=center, scale=scale)


def _checked_split(train, w2s, test, classes) -> tuple[Split, bool, float]:
    for value, name, parts in (
        (train, "train", "weak, y"),
        (w2s, "w2s", "weak, strong, y"),
        (test, "test", "weak, strong, y"),
    ):
        if not isinstance(value, tuple | list) or len(value) != len(parts.split(", ")):
            raise InputError(f"{name}: expected a tuple ({parts})")
    weak = [as_samples(x[0], f"{name} weak") for x, name in ((train, "train"), (w2s, "w2s"), (test, "test"))]
    strong = [as_samples(x[1], f"{name} strong") for x, name in ((w2s, "w2s"), (test, "test"))]
    same_rows((weak[1], strong[0]), ("w2s weak", "w2s strong"))
    same_rows((weak[2], strong[1]), ("test weak", "test strong"))
    labels = [
        as_labels(x[-1], len(h), f"{name} y")
        for x, h, name in ((train, weak[0], "train"), (w2s, weak[1], "w2s"), (test, weak[2], "test"))
    ]
    _same_width([*weak, *strong, *labels])
    everything = [weak[0], labels[0], weak[1], strong[0], labels[1], weak[2], strong[1], labels[2]]
    for array, name in zip(everything, Split._fields, strict=True):
        refuse_non_finite(array, name)
    targets = as_targets(np.concatenate([np.asarray(y) for y in labels]), classes)
    ends = np.cumsum([len(y) for y in labels])[:-1]
    train_y, w2s_y, test_y = np.split(targets.values, ends)
    floats = [np.asarray(x).astype(np.float64) for x in (weak[0], weak[1], strong[0], weak[2], strong[1])]
    split = Split(floats[0], train_y, floats[1], floats[2], w2s_y, floats[3], floats[4], test_y)
    return split, targets.classes, targets.boundary


def _same_width(arrays: list[Array]) -> None:
    for start, stop, what in (
        (0, 3, "weak representations"),
        (3, 5, "strong representations"),
        (5, 8, "labels"),
    ):
        widths = [array.shape[1] for array in arrays[start:stop]]
        if len(set(widths)) > 1:
            raise InputError(f"the {what} of the splits differ in width: {widths}; they must come from one model")


def _checked_rows(rows: ArrayInput, n: int, name: str) -> np.ndarray:
    indices = np.atleast_2d(np.asarray(rows))
    if indices.dtype.kind not in "iu" or indices.ndim != 2 or indices.shape[1] == 0:
        raise InputError(
            f"{name}: expected row numbers of shape (splits, samples), got {indices.dtype} {indices.shape}"
        )
    if indices.min() < 0 or indices.max() >= n:
        raise InputError(f"{name}: row {int(indices.min() if indices.min() < 0 else indices.max())} of {n} samples")
    return indices


def _refuse_overlap(ids: Sequence[Any]) -> None:
    names = ("train", "w2s", "test")
    sets = [set(np.asarray(part).tolist()) for part in ids]
    for i, j in ((0, 1), (0, 2), (1, 2)):
        shared = sets[i] & sets[j]
        if shared:
            raise InputError(
                f"{names[i]} and {names[j]} share {len(shared)} samples, for example {sorted(shared, key=str)[0]!r};"
                " the three splits must be disjoint"
            )


def _known(scale: str) -> str:
    check_option(scale, "scale", ("trace", "none"))
    return scale
