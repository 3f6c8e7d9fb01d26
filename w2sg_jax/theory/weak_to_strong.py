"""Weak-to-strong fine-tuning as ridge heads: weak head -> pseudo-labels -> strong head, and its errors."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from .._errors import InputError
from ..numerics.backend import compiled, mapped_together
from ..numerics.checks import (
    ArrayInput,
    as_labels,
    as_ridge,
    as_samples,
    as_sequence,
    check_option,
    refuse_non_finite,
    same_rows,
)
from ..numerics.rounding import DENOMINATOR, epsilon, may_square
from ..numerics.settings import own_settings
from .ridge import components, fit, outputs
from .targets import Split, as_targets, checked_ids, checked_rows, checked_split, missing_classes, refuse_overlap

NOISE_ERRORS = 2.0
"""PGR is undefined while its denominator is below this many standard errors."""
BATCH_BYTES = 1 << 28
"""Of representations of the splits that are measured together on an accelerator."""
TWINS = ("err_weak_01", "err_w2s_01", "err_ceiling_01", "pred_gap_01", "pgr_01")
INTERNAL = ("pgr_denominator_01", "pgr_noise_01", "pgr_standard_error_01", "constant_weak", "constant_strong")

Numbers = float | Float[np.ndarray, "..."]


@dataclass(frozen=True, eq=False)
class WeakToStrong:
    r"""Measured weak-to-strong generalization on the test split; floats, or arrays (splits, ridges).

    Squared errors are $\mathbb{E}\,(f(x) - y)^2$ summed over label columns; the ``_01`` twins are shares of wrong
    classes, None unless labels are classes.

    Attributes:
        err_weak, err_w2s, err_ceiling: Err_w, Err_w2s and Err_sc.
        pred_gap: PredGap, $\mathbb{E}\,(f_{w2s}(x) - f_{sc}(x))^2$.
        pred_gap_01: share of samples where the two disagree.
        pgr: $(Err_w - Err_{w2s}) / (Err_w - Err_{sc})$; NaN, undefined, while the denominator is within two standard
            errors of 0 (paired over test samples).
        pgr_standard_error: of the ratio, over test samples (delta method); NaN where the ratio is.
        pgr_denominator, pgr_noise: that denominator and its standard error.
        residual_w2s: mean squared residual of the strong head on the pseudo-labels that it was fitted on.
        ridge_weak, ridge_strong: what was added to K/n, in units of ``scale``.
        warnings: what the reader should know of these numbers, such as a class that a head never saw; mostly empty.
    """

    err_weak: Numbers
    err_w2s: Numbers
    err_ceiling: Numbers
    pred_gap: Numbers
    pgr: Numbers
    pgr_standard_error: Numbers
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
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain Python values, ready for JSON (NaN where undefined)."""
        plain = {key: value.tolist() if isinstance(value, np.ndarray) else value for key, value in asdict(self).items()}
        return plain | {"warnings": list(self.warnings)}


@own_settings()
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

    $f_w$ is the weak head fitted on the train split and its y; $f_{w2s}$ the strong head on the w2s split and the
    pseudo-labels $f_w$; $f_{sc}$, the ceiling, the strong head on the w2s split and its own y. Centring and scale of a
    head come from the split that it is fitted on.

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
    _check_options(classes, center, scale)
    arrays, targets = checked_split(train, w2s, test, classes)
    sizes = [len(y) for y in (arrays.train_y, arrays.w2s_y, arrays.test_y)]
    if ids is not None:
        refuse_overlap(checked_ids(ids, sizes))
    pair = np.array([as_ridge(ridge)])
    options = {"classes": targets.classes, "center": center, "scale": scale, "squared": may_square(pair, scale)}
    measured = _on_split(arrays, pair, targets.boundary, **options)
    measured = {key: np.asarray(value).reshape(-1)[0].item() for key, value in measured.items()}
    rows = np.arange(sum(sizes[:2]))[None, :]
    notes = missing_classes(targets, rows[:, : sizes[0]], rows[:, sizes[0] :])
    return _record(measured, targets.classes, float(pair[0, 0]), float(pair[0, 1]), center, scale, notes)


@own_settings()
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
    _check_options(classes, center, scale)
    weak, strong = as_samples(weak, "weak"), as_samples(strong, "strong")
    n = same_rows((weak, strong), ("weak", "strong"))
    y = as_labels(labels, n)
    for array, name in ((weak, "weak"), (strong, "strong"), (y, "labels")):
        refuse_non_finite(array, name)
    indices = [checked_rows(rows, n, name) for rows, name in ((train, "train"), (w2s, "w2s"), (test, "test"))]
    if len({rows.shape[0] for rows in indices}) != 1:
        raise InputError("train, w2s and test: pass the same number of splits (rows) in each")
    for split in zip(*indices, strict=True):
        refuse_overlap(split)
    targets = as_targets(y, classes)
    pairs = np.array([as_ridge(ridge) for ridge in as_sequence(ridges, "ridges")])
    row_bytes = 8 * (weak.shape[1] + strong.shape[1]) * sum(rows.shape[1] for rows in indices)
    measured = _on_splits(
        *(np.asarray(x).astype(np.float64) for x in (weak, strong, targets.values)),
        tuple(indices),
        pairs,
        targets.boundary,
        classes=targets.classes,
        center=center,
        scale=scale,
        squared=may_square(pairs, scale),
        batch=mapped_together(BATCH_BYTES // row_bytes),
    )
    notes = missing_classes(targets, *indices[:2])
    return _record(measured, targets.classes, pairs[:, 0], pairs[:, 1], center, scale, notes)


def _measure_splits(weak, strong, y, indices, ridges, boundary, *, batch, **options):
    def one(rows):
        train, w2s, test = rows
        split = Split(weak[train], y[train], weak[w2s], strong[w2s], y[w2s], weak[test], strong[test], y[test])
        return _measure(split, ridges, boundary, **options)

    return jax.lax.map(one, indices, batch_size=batch)


def _measure(
    split: Split, ridges: Float[Any, "R 2"], boundary: Any, *, classes: bool, center: bool, scale: str, squared: bool
) -> dict[str, jax.Array]:
    weak = components(split.train_weak, center=center, scale=scale, squared=squared)
    strong = components(split.w2s_strong, center=center, scale=scale, squared=squared)
    weak_head = fit(weak, split.train_y[None], ridges[:, 0], center=center)
    pseudo_labels = outputs(weak, weak_head, split.w2s_weak)
    w2s_head = fit(strong, pseudo_labels, ridges[:, 1], center=center)
    ceiling_head = fit(strong, split.w2s_y[None], ridges[:, 1], center=center)
    f_weak = outputs(weak, weak_head, split.test_weak)
    f_w2s = outputs(strong, w2s_head, split.test_strong)
    f_ceiling = outputs(strong, ceiling_head, split.test_strong)
    on_pseudo_labels = outputs(strong, w2s_head, split.w2s_strong)
    losses = [_squares(f - split.test_y[None]) for f in (f_weak, f_w2s, f_ceiling)]
    twins: dict[str, jax.Array] = {}
    if classes:
        wrong = [_decide(f, boundary) != _decide(split.test_y, boundary)[None] for f in (f_weak, f_w2s, f_ceiling)]
        disagree = _decide(f_w2s, boundary) != _decide(f_ceiling, boundary)
        twins = _errors([w.astype(f_weak.dtype) for w in wrong], disagree.astype(f_weak.dtype), "_01")
    return (
        _errors(losses, _squares(f_w2s - f_ceiling), "")
        | twins
        | {"residual_w2s": _squares(on_pseudo_labels - pseudo_labels).mean(axis=-1)}
        | {"constant_weak": weak.constant, "constant_strong": strong.constant}
    )


_OPTIONS = ("classes", "center", "scale", "squared")
_on_split, _on_splits = compiled(_measure, static=_OPTIONS), compiled(_measure_splits, static=(*_OPTIONS, "batch"))


def _errors(losses: list[jax.Array], between: jax.Array, suffix: str) -> dict[str, jax.Array]:
    """Means over test samples (last axis), and PGR where its denominator stands out of the noise."""
    err_weak, err_w2s, err_ceiling = (loss.mean(axis=-1) for loss in losses)
    difference = losses[0] - losses[2]
    denominator = difference.mean(axis=-1)
    count = difference.shape[-1]
    noise = difference.std(axis=-1) / jnp.sqrt(count) if count > 1 else jnp.full(denominator.shape, jnp.nan)
    rounding = DENOMINATOR * epsilon(noise.dtype) * (err_weak + err_ceiling)
    defined = denominator > NOISE_ERRORS * noise + rounding
    pgr = jnp.where(defined, (err_weak - err_w2s) / jnp.where(defined, denominator, 1.0), jnp.nan)
    size = jnp.where(defined, denominator, 1.0)[..., None]  # of the influence, whose squares would vanish or overflow
    influence = (losses[0] - losses[1]) / size - pgr[..., None] * difference / size
    return {
        f"err_weak{suffix}": err_weak,
        f"err_w2s{suffix}": err_w2s,
        f"err_ceiling{suffix}": err_ceiling,
        f"pred_gap{suffix}": between.mean(axis=-1),
        f"pgr{suffix}": pgr,
        f"pgr_standard_error{suffix}": influence.std(axis=-1) / jnp.sqrt(count),
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
    notes: tuple[str, ...],
) -> WeakToStrong:
    for model, split in (("weak", "train"), ("strong", "w2s")):
        if np.any(measured[f"constant_{model}"]):
            raise InputError(
                f"{model}: the representation is constant on the {split} split, that its head is fitted on (one sample"
                " is always constant); check the layer or pooling that it came from"
            )
    if not all(np.isfinite(measured[f"err_{which}"]).all() for which in ("weak", "w2s", "ceiling")):
        raise InputError("the values are finite but a fit on them overflows; divide representations by a constant")
    measured = {key: value for key, value in measured.items() if key not in INTERNAL}
    if not classes:
        measured |= dict.fromkeys(TWINS)
    settings = {"ridge_weak": ridge_weak, "ridge_strong": ridge_strong, "center": center, "scale": scale}
    return WeakToStrong(**measured, **settings, warnings=notes)


def _check_options(classes: bool | None, center: bool, scale: str) -> None:
    check_option(classes, "classes", (True, False, None))
    check_option(center, "center", (True, False))
    check_option(scale, "scale", ("trace", "none"))
