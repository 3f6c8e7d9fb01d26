r"""Weak head, pseudo-labels, strong head: what the pipeline says of samples that the weak head is fitted without.

$f_{w2s}$ is linear in the labels of D~, and D^ is no part of that: leaving samples of D~ out changes the weak head by a
known amount, and $f_{w2s}$ by what the strong head makes of it. With $S = \frac1n \mathbb 1 \mathbb 1^\top + P_w$ of
the weak head on D~, its residuals $e = (I - S) \tilde y$, and T with $f_{w2s}(\tilde X) = T \tilde y$,

$$
y_g - f_{w2s}^{(-g)}(x_g) = (y - T y)_g + T_{gg} (I - S_{gg})^{-1} e_g
$$

for every group g of samples of D~: exactly what refitting both heads without the group gives, whatever the widths, from
one factorisation of each representation. Ours; for one head it is Allen's PRESS (see ``leave_one_out``).

Coordinates: rows are divided by $\sqrt n$ of their split, representations in units of unit trace on the split that
their head is fitted on, and turned to its principal components there.
"""

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

from .._errors import InputError
from ..numerics.backend import by_backend, cut, times
from ..numerics.backend import cross as cross_of
from ..numerics.checks import ArrayInput, as_groups, as_labels, as_samples, check_option, refuse_non_finite
from ..numerics.rounding import CONSTANT, SMALLEST_SQUARED_RIDGE, epsilon
from ..second_moments.moments import Moments
from .kernel import joint_factor, refuse_constant
from .leave_one_out import PATH, LabelledComponents, LeaveOneOut, along_path, members_of, minimum
from .smoother import remaining
from .spectrum import kept, spectrum, spectrum_of_rows
from .targets import Targets, as_targets

AUTO = "auto"
"""Stands for the ridge with the smallest leave-one-out error on D~."""
Ridge = float | str | tuple[float | str, float | str]
FEWEST = 8
"""Samples that errors are told from."""
MODELS = ("weak", "strong")
LARGEST_SQUARE = 1e140
"""Mean square of labels; influences take squares of it."""


class Rows(NamedTuple):
    r"""One representation on one split.

    Attributes:
        rows: (r, d) that stand for the samples, of unit trace, divided by $\sqrt n$, less their mean if heads have an
            intercept.
        mean: what was subtracted, (d,), in raw units; zero without an intercept.
        trace: of the second moment in raw units.
        n: samples.
        exact: whether the rows are the samples; else they come from their second moment.
    """

    rows: Float[Any, "r d"]
    mean: Float[np.ndarray, " d"]
    trace: float
    n: int
    exact: bool


class Train(NamedTuple):
    r"""The labelled split D~.

    Attributes:
        strong: the strong model's representation.
        labels: (r, c), less their means, divided by $\sqrt n$; of sums the part that representations explain at most.
        label_square: mean square of the labels less their means, summed over columns.
        members: rows of the groups that are left out together, as ``members_of``; empty where there are sums.
        center: whether heads have intercepts.
        notes: what the reader should know of the labels.
    """

    strong: Rows
    labels: Float[np.ndarray, "r c"]
    label_square: float
    members: tuple[np.ndarray, ...]
    center: bool
    notes: tuple[str, ...] = ()

    @property
    def n(self) -> int:
        """Samples."""
        return self.strong.n

    @property
    def alone(self) -> bool:
        """Whether every sample is a group by itself."""
        return all(rows.shape[1] == 1 for rows in self.members)

    def sums(self, values: Float[np.ndarray, "n j"]) -> Float[np.ndarray, "_ j"]:
        """Sums over the samples of each group."""
        return np.concatenate([values[rows].sum(axis=1) for rows in self.members])


class TrainedHead(NamedTuple):
    r"""A ridge head that is fitted on D~ and its labels, in principal coordinates.

    Attributes:
        rows: the representation.
        eigenvalues, vectors: (k,), (d, k) of the directions that are kept.
        components: (r, k), rows in these coordinates.
        choice: leave-one-out errors along the path of ridges, or generalised cross-validation where there are sums.
    """

    rows: Rows
    eigenvalues: Float[np.ndarray, " k"]
    vectors: Float[Any, "d k"]
    components: Float[np.ndarray, "r k"]
    choice: LeaveOneOut


class StrongHead(NamedTuple):
    r"""The strong model: factored on D^, where its head is fitted, with D~ in those coordinates; and fitted on D~.

    Attributes:
        rows: of D^.
        eigenvalues, components: as in ``TrainedHead``, of D^.
        train: (r~, k), D~ in these coordinates, less its own mean.
        shift: (k,), mean of D~ minus mean of D^ in these coordinates.
        outside: D~ in all d coordinates and its shift, where some directions have no variance on D^; else None.
        ceiling: the head on D~ with true labels.
    """

    rows: Rows
    eigenvalues: Float[np.ndarray, " k"]
    components: Float[np.ndarray, "r k"]
    train: Float[np.ndarray, "r k"]
    shift: Float[np.ndarray, " k"]
    outside: tuple[Float[Any, "r d"], Float[np.ndarray, " d"]] | None
    ceiling: TrainedHead


class Pipeline(NamedTuple):
    r"""Both heads at some ridges, and what they leave of D~.

    Coordinates are principal ones of the weak model on D~ (k_w) and of the strong model on D^ (k_s).

    Attributes:
        inverse_weak, inverse_strong: $1 / (\lambda + \beta)$.
        weak: (k_w, c) weights of the weak head.  strong: (k_s, c) of the strong head on pseudo-labels.
        pool: (r^, k_w), D^ as the weak model sees it.
        cross: (k_s, k_w), $\Sigma_{sw}$ of D^.  cross_train: of D~.
        shift: (k_w,), mean of D^ minus mean of D~.
        through: (r~, k_w), what a change of the weak head's weights does to $f_{w2s}$ on D~, over $\sqrt n$.
        residual_weak, residual_w2s: (r~, c) of D~'s own labels, over $\sqrt n$.
        left_weak, left_w2s: (n~, c) residuals of samples whose groups are left out; None where there are sums.
        offset: (c,), mean residual of $f_{w2s}$ on D~; in ``residual_w2s`` where rows are samples.
    """

    ridge_weak: float
    ridge_strong: float
    inverse_weak: Float[np.ndarray, " k_w"]
    inverse_strong: Float[np.ndarray, " k_s"]
    weak: Float[np.ndarray, "k_w c"]
    strong: Float[np.ndarray, "k_s c"]
    pool: Float[np.ndarray, "p k_w"]
    cross: Float[np.ndarray, "k_s k_w"]
    cross_train: Float[np.ndarray, "k_s k_w"]
    shift: Float[np.ndarray, " k_w"]
    through: Float[np.ndarray, "r k_w"]
    residual_weak: Float[np.ndarray, "r c"]
    residual_w2s: Float[np.ndarray, "r c"]
    left_weak: Float[np.ndarray, "n c"] | None
    left_w2s: Float[np.ndarray, "n c"] | None
    offset: Float[np.ndarray, " c"]


def sample_rows(h: ArrayInput, name: str, *, center: bool) -> Rows:
    """Rows of samples that are at hand; InputError where they are constant or not finite."""
    samples = as_samples(h, name)
    refuse_non_finite(samples, name)
    rows = np.array(samples, np.float64)
    mean = rows.mean(axis=0) if center else np.zeros(rows.shape[1])
    rows -= mean[None, :]
    n = len(rows)
    with np.errstate(over="ignore"):
        trace = float((rows**2).sum() / n)
    if not np.isfinite(trace):
        raise InputError(f"{name}: the values are so large that their squares overflow; divide them by a constant")
    refuse_constant(name, trace, mean, center=center, dtype="float64")
    rows /= np.sqrt(n * trace)
    return Rows(rows, mean, trace, n, exact=True)


def labelled(train: Any, groups: ArrayLike | None, classes: bool | None, *, center: bool) -> tuple[Rows, Train]:
    """The weak model's rows on D~, and what all weak models share of D~, from arrays or moments (InputError)."""
    if isinstance(train, Moments):
        for value, name in ((groups, "train_groups"), (classes, "classes")):
            if value is not None:
                raise InputError(f"{name}: moments hold numbers alone; give the samples as (weak, strong, y)")
        if train.d_labels == 0:
            raise InputError("train: these moments hold no labels; make them with moments(weak, strong, y)")
        weak, strong, labels, square = _of_moments(train)
        _refuse_constant_labels(square, float((train.mean[train.label_columns] ** 2).sum()))
        group = members_of(np.arange(strong.n)) if strong.exact else ()
        return weak, Train(strong, labels, square, group, train.center)
    if not isinstance(train, tuple | list) or len(train) != 3:
        raise InputError("train: expected (weak, strong, y), or moments of them")
    weak, strong = (sample_rows(train[place], f"train {name}", center=center) for place, name in enumerate(MODELS))
    return weak, labelled_split(weak, strong, train[2], groups, classes, center=center)


def labelled_split(
    weak: Rows, strong: Rows, y: Any, groups: ArrayLike | None, classes: bool | None, *, center: bool
) -> Train:
    """What all weak models share of D~, where its samples are at hand; ``weak`` is any one of them (InputError)."""
    check_option(classes, "classes", (True, False, None))
    if weak.n != strong.n:
        raise InputError(f"train weak: {weak.n} samples, and {strong.n} in train strong; give the same ones")
    if strong.n < FEWEST:
        raise InputError(f"train: {strong.n} samples; errors are predicted from at least {FEWEST}")
    given = as_labels(y, strong.n, "train y")
    refuse_non_finite(given, "train y")
    targets = as_targets(given, classes)
    values = targets.values
    with np.errstate(over="ignore"):
        mean = values.mean(axis=0) if center else np.zeros(values.shape[1])
        labels = (values - mean[None, :]) / np.sqrt(strong.n)
        square = float((labels**2).sum())
        _refuse_constant_labels(square, float((mean**2).sum()))
    group = as_groups(groups, strong.n, "train_groups")
    members = members_of(np.arange(strong.n) if group is None else group)
    return Train(strong, labels, square, members, center, _of_classes(targets, given.shape[1], classes))


def unlabelled_rows(unlabelled: Any, weak: Rows, train: Train, called: str = "unlabelled") -> tuple[Rows, Rows]:
    """Both models' rows on D^, from arrays or moments (InputError); ``called`` is its name in messages."""
    if isinstance(unlabelled, Moments):
        if unlabelled.center != train.center:
            raise InputError(f"{called}: center differs from that of train; make both with one setting")
        found = _of_moments(unlabelled)[:2]
    else:
        if not isinstance(unlabelled, tuple | list) or len(unlabelled) != 2:
            raise InputError(f"{called}: expected (weak, strong), or moments of them")
        first, second = (
            sample_rows(unlabelled[place], f"{called} {name}", center=train.center) for place, name in enumerate(MODELS)
        )
        found = first, second
    if found[0].n != found[1].n:
        raise InputError(
            f"{called} weak: {found[0].n} samples, and {found[1].n} in {called} strong; give the same ones"
        )
    for one, other, name in zip(found, (weak, train.strong), MODELS, strict=True):
        if len(one.mean) != len(other.mean):
            raise InputError(
                f"{called} {name}: {len(one.mean)} columns, and {len(other.mean)} in train; give one model's"
            )
    if found[0].n < FEWEST:
        raise InputError(f"{called}: {found[0].n} samples; errors are predicted from at least {FEWEST}")
    return found


def _of_classes(targets: Targets, columns: int, classes: bool | None) -> tuple[str, ...]:
    """What the reader should know of labels that are classes in one column."""
    if not targets.classes or columns > 1:
        return ()
    notes = []
    counts = np.bincount(targets.decided(), minlength=len(targets.names))
    if classes is None and len(targets.names) > 2:
        notes.append(
            f"train y: its integers are taken as {len(targets.names)} classes, one column each; for numbers pass "
            "floats, or classes=False"
        )
    rare = [name for name, count in zip(targets.names, counts, strict=True) if count < 2]
    if rare:
        notes.append(
            f"train y: classes with fewer than two samples ({', '.join(rare[:5])}): D~ is too small for its classes"
        )
    return tuple(notes)


def _refuse_constant_labels(square: float, mean_square: float) -> None:
    """Refuse labels that do not vary, or whose squares do not do as numbers (InputError)."""
    if square <= (CONSTANT * epsilon("float64")) ** 2 * mean_square and mean_square < LARGEST_SQUARE:
        raise InputError("train y: the labels are constant; there is nothing to learn")
    if not 1 / LARGEST_SQUARE < square < LARGEST_SQUARE:
        what = (
            "large that their squares overflow; divide" if square > 1 else "small that their squares vanish; multiply"
        )
        raise InputError(f"train y: the labels are so {what} them by a constant")


def _of_moments(m: Moments) -> tuple[Rows, Rows, Float[np.ndarray, "r c"], float]:
    """Rows of both models, labels over sqrt(n) and their mean square, from moments."""
    factor = joint_factor(m)
    n, traces = int(m.n), factor.traces
    mean = np.asarray(m.mean) + np.asarray(m.mean_rest) if m.center else np.zeros(len(m.mean))
    parts = (
        (factor.weak, m.weak_columns, traces.weak),
        (factor.strong, m.strong_columns, traces.strong),
    )
    weak, strong = (Rows(rows, mean[columns], trace, n, factor.exact) for rows, columns, trace in parts)
    return weak, strong, np.asarray(factor.label_rows) * np.sqrt(traces.labels), traces.labels


def principal(rows: Rows, ridge: float) -> tuple[Float[np.ndarray, " k"], Any, Float[np.ndarray, "r k"]]:
    """Eigenvalues and eigenvectors of the directions that are kept, and the rows in their coordinates.

    Fewer rows than columns are decomposed by their Gram matrix, unless the ridge is too small for squares.
    """
    few = rows.rows.shape[0] <= rows.rows.shape[1] and ridge >= SMALLEST_SQUARED_RIDGE
    found = spectrum(_gram(rows.rows.T)) if few else spectrum_of_rows(rows.rows)
    k = int(np.asarray(kept(found)).sum())
    eigenvalues = np.asarray(found.eigenvalues[:k])
    vectors = cut(found.eigenvectors, slice(None), slice(k))
    if not few:
        return eigenvalues, vectors, times(rows.rows, vectors)
    left, roots = np.asarray(vectors), np.sqrt(eigenvalues)
    return eigenvalues, cross_of(rows.rows, left / roots[None, :]), left * roots[None, :]


def trained_head(rows: Rows, train: Train, ridge: float | str) -> TrainedHead:
    r"""A head on D~: factored, and with the errors of samples that are left out, at one ridge or along the path.

    Cost: a decomposition, $9 \min(n, d)^3$, and the path of ``leave_one_out``.
    """
    eigenvalues, vectors, components = principal(rows, SMALLEST_SQUARED_RIDGE if isinstance(ridge, str) else ridge)
    ridges = np.array(PATH if ridge == AUTO else [ridge], np.float64)
    choice = _along(eigenvalues, components, train, ridges)
    if ridge != AUTO:
        choice = replace(choice, warnings=())  # an end of a path of one ridge
    return TrainedHead(rows, eigenvalues, vectors, components, choice)


def _along(
    eigenvalues: Float[np.ndarray, " k"], components: Float[np.ndarray, "r k"], train: Train, ridges: np.ndarray
) -> LeaveOneOut:
    """Errors of samples, or groups of them, that are left out: exact where samples are at hand."""
    if not train.strong.exact:
        return _by_generalised_cross_validation(eigenvalues, components, train, ridges)
    root, keep = np.sqrt(train.n), np.ones(len(eigenvalues), bool)
    factored = LabelledComponents(components, eigenvalues, keep, train.labels * root, np.zeros((), bool))
    return along_path(factored, train.members, ridges, center=train.center, scale="trace")


def path_notes(weak: TrainedHead, strong: StrongHead) -> list[str]:
    """Warnings of ridges that were chosen at an end of their path."""
    called = "leave-one-out error" if weak.rows.exact else "generalised cross-validation"
    found = (("weak", weak.choice), ("strong", strong.ceiling.choice))
    return [f"{name} head: {note}" for name, one in found for note in one.warnings if called in note]


def chosen_ridges(
    weak: TrainedHead, strong: StrongHead, ridges: tuple[float | str, float | str, float | str]
) -> tuple[float, float, float]:
    """Of the weak head, of the strong one on D^ and of that on D~: those that were given, or chosen on D~."""
    top = strong.ceiling.choice.ridge
    first, second, third = (
        choice if isinstance(one, str) else one
        for one, choice in zip(ridges, (weak.choice.ridge, top, top), strict=True)
    )
    return first, second, third


def left_out(head: TrainedHead, train: Train, ridge: float) -> LeaveOneOut:
    """A head's errors without each group of D~, at one ridge."""
    return replace(_along(head.eigenvalues, head.components, train, np.array([ridge])), warnings=())


def strong_head(pool: Rows, train: Train, ridge: float | str) -> StrongHead:
    """The strong model on both splits; ``ridge`` is that of its head, or chosen on D~."""
    eigenvalues, vectors, components = principal(pool, SMALLEST_SQUARED_RIDGE if isinstance(ridge, str) else ridge)
    unit = np.sqrt(train.strong.trace / pool.trace)
    shift = (train.strong.mean - pool.mean) / np.sqrt(pool.trace)
    rows = train.strong.rows * unit
    outside = (rows, shift) if len(eigenvalues) < rows.shape[1] else None
    inside = np.asarray(times(shift[None, :], vectors))[0]
    ceiling = trained_head(train.strong, train, ridge)
    return StrongHead(pool, eigenvalues, components, times(rows, vectors), inside, outside, ceiling)


def pipeline(weak: TrainedHead, pool: Rows, strong: StrongHead, train: Train, ridges: tuple[float, float]) -> Pipeline:
    r"""Both heads at ridges in units of unit trace, and the residuals that they leave.

    Args:
        weak: fitted on D~.
        pool: the weak model's representation of D^.
        ridges: (weak, strong); the weak one need not be that of ``weak.choice``.

    Cost: $2 \hat n d_w k_w + 2 (\hat n + 2 \tilde n) k_s k_w$.
    """
    inverse_weak, inverse_strong = 1 / (weak.eigenvalues + ridges[0]), 1 / (strong.eigenvalues + ridges[1])
    root, unit = np.sqrt(train.n), np.sqrt(weak.rows.trace)
    seen = times(pool.rows * (np.sqrt(pool.trace) / unit), weak.vectors)
    shift = np.asarray(times((pool.mean - weak.rows.mean)[None, :] / unit, weak.vectors))[0]
    cross, cross_train = cross_of(strong.components, seen), cross_of(strong.train, weak.components)
    head = inverse_weak[:, None] * (weak.components.T @ train.labels)
    heads = inverse_strong[:, None] * (cross @ head)
    sample = strong.train + strong.shift[None, :] / root if train.strong.exact else strong.train
    through = times(sample * inverse_strong[None, :], cross) + shift[None, :] / root
    residual_weak = train.labels - weak.components @ head
    offset = -(shift @ head + strong.shift @ heads)
    residual = train.labels - strong.train @ heads
    left_weak = left_w2s = None
    if train.strong.exact:
        residual += offset[None, :] / root
        left_weak = left_out(weak, train, ridges[0]).residuals
        left_w2s = residual * root + _taken_out(through, weak.components * inverse_weak[None, :], left_weak, train)
    return Pipeline(
        *ridges,
        inverse_weak,
        inverse_strong,
        head,
        heads,
        seen,
        cross,
        cross_train,
        shift,
        through,
        residual_weak,
        residual,
        left_weak,
        left_w2s,
        offset,
    )


def _taken_out(
    through: Float[np.ndarray, "n k"], weighted: Float[np.ndarray, "n k"], left: Float[np.ndarray, "n c"], train: Train
) -> Float[np.ndarray, "n c"]:
    """$T_{gg} (I - S_{gg})^{-1} e_g$ of every group, without the blocks where groups are larger than one sample."""
    intercept = train.center / train.n
    if train.alone:
        return ((through * weighted).sum(axis=1) + intercept)[:, None] * left
    found = np.empty_like(left)
    for rows in train.members:
        for column in range(left.shape[1]):
            own = left[rows, column]
            moved = np.einsum("gik,gi->gk", weighted[rows], own)
            found[rows, column] = np.einsum("gik,gk->gi", through[rows], moved) + intercept * own.sum(axis=1)[:, None]
    return found


def _by_generalised_cross_validation(
    eigenvalues: Float[np.ndarray, " k"], components: Float[np.ndarray, "r k"], train: Train, ridges: Any
) -> LeaveOneOut:
    """The choice of a ridge where only second moments are there: no sample can be left out by itself."""
    squares = ((components.T @ train.labels) ** 2).sum(axis=1)
    n = train.n

    def error(ridge: float) -> float:
        inverse = 1 / (eigenvalues + ridge)
        rest = train.label_square - (squares * inverse * (2 - eigenvalues * inverse)).sum()
        left = remaining(eigenvalues, ridge, n, center=train.center)
        return float(max(rest, 0.0) / left**2)

    errors = np.array([error(float(ridge)) for ridge in ridges])
    notes: list[str] = []
    best, least = minimum(ridges, errors, error, "generalised cross-validation", notes)
    dof = float((eigenvalues / (eigenvalues + best)).sum())
    nothing = np.zeros((0, train.labels.shape[1]))
    return LeaveOneOut(
        ridges, np.full(len(errors), np.nan), errors, best, least, best, least, nothing, dof, n, "trace", tuple(notes)
    )


_gram = by_backend(lambda la, a: la.gram(a), fetch=False)
