r"""The ridge that a head would be given: leave-one-out errors over a path of ridges, exact and in closed form.

A ridge head with an intercept is a linear smoother, $\hat y = S y$ with $S = \frac1n \mathbb 1 \mathbb 1^\top + P$, and
what it says of samples that it is fitted without follows from one fit with all of them: for a group g of samples

$$
y_g - \hat y_g^{(-g)} = (I - S_{gg})^{-1} (y - \hat y)_g
$$

Sources: Allen (1974), PRESS, of single samples; Golub, Heath and Wahba (1979), generalised cross-validation.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Float

from .._errors import InputError
from ..numerics.backend import compiled, times
from ..numerics.backend import cross as cross_of
from ..numerics.checks import ArrayInput, as_groups, as_ridges, at_least_two
from ..numerics.linalg import product
from ..numerics.rounding import may_square
from ..numerics.settings import own_settings
from .ridge import components, labelled_samples, refuse_constant
from .spectrum import kept

PATH = tuple(float(f"{10**exponent:.6g}") for exponent in np.linspace(-6, 2, 49))
"""Ridges that are tried, in units of unit trace: six a decade, from next to none to all but the mean."""
REFINED = 1e-3
"""How closely the minimum is found, in powers of ten of the ridge."""


@dataclass(frozen=True, eq=False)
class LeaveOneOut:
    r"""Errors of ridge heads on samples, or groups of them, that they are not fitted on.

    Errors are means over samples of the squared error, summed over columns of labels, in squared label units.

    Attributes:
        ridges: (R,) the path, ascending, in the units of ``scale``.
        errors: (R,) leave-one-out errors along it.
        gcv: (R,) generalised cross-validation, which puts one average block in the place of every group's.
        ridge: with the smallest leave-one-out error, between two of the path where it is not at an end of it.
        error: leave-one-out error at ``ridge``.
        gcv_ridge, gcv_error: the same of generalised cross-validation.
        residuals: (n, c) labels minus what a head at ``ridge`` says of them that is fitted without their group.
        dof: effective dimension $\operatorname{tr} P$ at ``ridge``, the intercept apart.
        n_groups: groups that were left out, one after the other.
        scale: the units of ridges.
        warnings: whether a minimum is at an end of the path.
    """

    ridges: Float[np.ndarray, " R"]
    errors: Float[np.ndarray, " R"]
    gcv: Float[np.ndarray, " R"]
    ridge: float
    error: float
    gcv_ridge: float
    gcv_error: float
    residuals: Float[np.ndarray, "n c"] = field(repr=False)
    dof: float
    n_groups: int
    scale: str
    warnings: tuple[str, ...]


class LabelledComponents(NamedTuple):
    r"""A representation whose smoothers are $Z (\Lambda + \beta)^{-1} Z^\top$, and labels, both less their means.

    ``rows`` is Z, principal components of the samples over $\sqrt n$; ``constant``: whether it has no variance.
    """

    rows: Float[Any, "n k"]
    eigenvalues: Float[Any, " k"]
    keep: Bool[Any, " k"]
    y: Float[Any, "n c"]
    constant: Any


class _Left(NamedTuple):
    """At R ridges: errors, residuals of samples that were left out, effective dimensions."""

    error: Float[np.ndarray, " R"]
    gcv: Float[np.ndarray, " R"]
    residuals: Float[np.ndarray, "n R c"]
    dof: Float[np.ndarray, " R"]


@own_settings()
def leave_one_out(
    h: ArrayInput,
    y: ArrayInput,
    *,
    groups: ArrayLike | None = None,
    ridges: Sequence[float] | np.ndarray = PATH,
    center: bool = True,
    scale: str = "trace",
) -> LeaveOneOut:
    r"""Leave-one-out errors of ridge heads over a path, and the ridge where they are smallest.

    A head that is fitted without some samples keeps its penalty, $n \beta \lVert\theta\rVert^2$ beside the sum of
    squares, and the unit of the representation; its intercept is its own.

    Args:
        h: (n, d) representation of the labelled samples.
        y: (n,) or (n, c) targets.
        groups: (n,) which samples belong together, by names or numbers: they are left out together. By default each
            sample is left out by itself.
        ridges: the path, positive; each is what is added to $K/n$.
        center, scale: as in ``ridge_path``.

    Raises:
        InputError: bad shapes, NaN or Inf, a ridge that is not positive, a constant representation, fewer than two
            groups.

    Cost: the factorisation of ``ridge_path``; then $2 n k (1 + c)$ a ridge with k = min(n, d), and
    $\sum_g n_g^2 k + n_g^3$ for groups of $n_g > 1$ samples.
    """
    h64, y64 = labelled_samples(h, y, center=center, scale=scale)
    n = len(h64)
    at_least_two(n, "h")
    path = np.unique(as_ridges(ridges))
    if path[0] <= 0:
        raise InputError(f"ridges: got {path[0]:g}; a path of leave-one-out errors needs positive ridges")
    group = as_groups(groups, n, "groups")
    members = members_of(np.arange(n) if group is None else group)
    factored = _factor(h64, y64, center=center, scale=scale, squared=may_square(path, scale))
    refuse_constant(factored.constant)
    return along_path(factored, members, path, center=center, scale=scale)


def along_path(
    factored: LabelledComponents,
    members: tuple[np.ndarray, ...],
    path: Float[np.ndarray, " R"],
    *,
    center: bool,
    scale: str,
) -> LeaveOneOut:
    """``leave_one_out`` of a representation that is factored already.

    Args:
        factored: representation and labels.
        members: the rows of all groups, as ``members_of``.
        path: ridges, ascending.
        center, scale: of the representation.
    """

    def at(some: np.ndarray) -> _Left:
        return _along(factored, members, some, center=center)

    found = at(path)
    notes: list[str] = []
    best = [
        minimum(
            path,
            found[place],
            lambda ridge, place=place: float(at(np.array([ridge]))[place][0]),
            what,
            notes,
        )
        for place, what in enumerate(("leave-one-out error", "generalised cross-validation"))
    ]
    last = at(np.array([best[0][0]]))
    return LeaveOneOut(
        ridges=path,
        errors=found.error,
        gcv=found.gcv,
        ridge=best[0][0],
        error=float(last.error[0]),
        gcv_ridge=best[1][0],
        gcv_error=best[1][1],
        residuals=last.residuals[:, 0],
        dof=float(last.dof[0]),
        n_groups=sum(len(rows) for rows in members),
        scale=scale,
        warnings=tuple(notes),
    )


def minimum(
    path: Float[np.ndarray, " R"],
    errors: Float[np.ndarray, " R"],
    error: Callable[[float], float],
    what: str,
    notes: list[str],
) -> tuple[float, float]:
    """Ridge and error of the minimum, refined between its neighbours on the path; at an end a note is made.

    Args:
        path, errors: ridges, ascending, and their errors.
        error: of any ridge.
        what: the error is called in the note.
        notes: of warnings.
    """
    index = int(np.argmin(errors))
    if index in (0, len(path) - 1):
        notes.append(f"the {what} is smallest at the {'end' if index else 'beginning'} of the path, {path[index]:g}")
        return float(path[index]), float(errors[index])

    from scipy.optimize import minimize_scalar  # changes settings of the process when it is imported

    bounds = np.log10(path[[index - 1, index + 1]])
    refined = minimize_scalar(
        lambda x: error(float(10.0**x)), bounds=bounds, method="bounded", options={"xatol": REFINED}
    )
    if refined.fun <= errors[index]:
        return float(10.0**refined.x), float(refined.fun)
    return float(path[index]), float(errors[index])


def members_of(group: np.ndarray) -> tuple[np.ndarray, ...]:
    """The rows of all groups, (groups, size) for each size that there is."""
    order = np.argsort(group, kind="stable")
    sizes = np.bincount(group)
    starts = np.concatenate([[0], np.cumsum(sizes)])[:-1]
    return tuple(
        order[starts[sizes == size][:, None] + np.arange(size)[None, :]] for size in np.unique(sizes) if size > 0
    )


def _factored(h: Array, y: Array, *, center: bool, scale: str, squared: bool) -> LabelledComponents:
    parts = components(h, center=center, scale=scale, squared=squared)
    n = jnp.asarray(h.shape[0], h.dtype)
    rows = parts.rows if parts.rotation is None else product(parts.rows, parts.rotation)
    left = y - y.mean(axis=0)[None, :] if center else y
    return LabelledComponents(
        rows * jnp.sqrt(n), parts.spectrum.eigenvalues, kept(parts.spectrum), left, parts.constant
    )


def _along(factored: LabelledComponents, members: tuple[np.ndarray, ...], ridges: np.ndarray, *, center: bool) -> _Left:
    """Errors at some ridges: products for all of them at once where samples are left out one by one."""
    rows, y, keep = factored.rows, factored.y, np.asarray(factored.keep)
    n, c = y.shape
    own = center / n  # the intercept's share of each entry of S
    regular = np.where(keep[:, None], np.asarray(factored.eigenvalues)[:, None] + ridges[None, :], 1.0)
    inverse = np.where(keep[:, None], 1 / regular, 0.0)
    moments = cross_of(rows, y)
    heads = (inverse[:, :, None] * moments[:, None, :]).reshape(len(inverse), -1)
    rest = y[:, None, :] - times(rows, heads).reshape(n, len(ridges), c)
    left, gcv = np.empty_like(rest), np.zeros(len(ridges))
    for places in members:
        size = places.shape[1]
        if size == 1:
            diagonal = times(rows[places[:, 0]] ** 2, inverse) + own
            left[places[:, 0]] = rest[places[:, 0]] / (1 - diagonal)[:, :, None]
            mean = diagonal.mean(axis=0)
            gcv += (rest[places[:, 0]] ** 2).sum(axis=(0, 2)) / (1 - mean) ** 2
            continue
        some = rows[places]
        for index in range(len(ridges)):
            ends = rest[places, index]
            block = np.matmul(some * inverse[None, None, :, index], np.swapaxes(some, 1, 2)) + own
            left[places, index] = np.linalg.solve(np.eye(size)[None] - block, ends)
            mean = np.trace(block, axis1=1, axis2=2).mean() / size
            beside = (block.sum(axis=(1, 2)).mean() - mean * size) / (size * (size - 1))
            # The average block is a I + b 1 1^T, whose inverse is written out.
            outside = 1 - (mean - beside)
            shared = beside / (outside * (outside - size * beside))
            gcv[index] += ((ends / outside + shared * ends.sum(axis=1, keepdims=True)) ** 2).sum()
    dof = np.where(keep[:, None], np.asarray(factored.eigenvalues)[:, None] * inverse, 0.0).sum(axis=0)
    return _Left((left**2).sum(axis=(0, 2)) / n, gcv / n, left, dof)


_factor = compiled(_factored, static=("center", "scale", "squared"))
