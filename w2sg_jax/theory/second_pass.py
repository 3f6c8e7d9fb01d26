"""The second pass over the samples: how the estimates of all models vary together, by each sample's influence."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from ..numerics.checks import Array
from ..second_moments.from_arrays import again, over_processes
from .influence import Functions, Squares, influences


class Model(NamedTuple):
    """One model as this pass needs it.

    Attributes:
        samples: its representation.
        mean: what was subtracted, (d,).
        trace: of its second moment.
    """

    samples: Array
    mean: Float[np.ndarray, " d"]
    trace: float

    def unit(self, block: np.ndarray, *, center: bool) -> Float[np.ndarray, "rows d"]:
        """Some of its samples, in units of unit trace."""
        found = np.subtract(block, self.mean if center else 0.0, dtype=np.float64)
        found /= np.sqrt(self.trace)
        return found


class Spread(NamedTuple):
    r"""How the estimates of k models vary over samples.

    Attributes:
        covariance: (k, k), in their units.
        draws: (k,), $(\sum_i \psi_i^2)^2 / \sum_i \psi_i^4$ over samples or groups: of so many equal influences the
            variance would be as well known.
    """

    covariance: Float[np.ndarray, "k k"]
    draws: Float[np.ndarray, " k"]


class Covariances(NamedTuple):
    """Of predicted gaps, of norms and of Frobenius norms; None for what was not asked for."""

    gap: Spread | None
    norm: Spread | None
    frobenius: Spread | None


class Sums:
    """Sums of influences: their products, or those of each group of samples, until all are known.

    Args:
        models: how many.
        groups: (n,) which group each sample belongs to, counted from 0; None where each is its own.
    """

    def __init__(self, models: int, groups: Int[np.ndarray, " n"] | None):
        self.groups = groups
        self.total = np.zeros((models if groups is None else int(groups.max()) + 1, models))
        self.fourth = np.zeros(models)

    def add(self, start: int, influence: Float[np.ndarray, "rows k"]) -> None:
        """Take in the influences of the samples from this number on."""
        if self.groups is None:
            self.total += influence.T @ influence
            self.fourth += (influence**4).sum(axis=0)
        else:
            np.add.at(self.total, self.groups[start : start + len(influence)], influence)

    def spread(self, n: int) -> Spread:
        """Of the estimates on n samples, over all processes."""
        total, fourth = over_processes(self.total), over_processes(self.fourth)
        if self.groups is not None:
            total, fourth = total.T @ total, (total**4).sum(axis=0)
        draws = np.full(len(fourth), np.inf)  # without any influence nothing rests on few samples
        np.divide(np.diagonal(total) ** 2, fourth, out=draws, where=fourth > 0)
        return Spread(total / n**2, draws)


def covariances(
    models: Sequence[tuple[Functions, Model]],
    strong: Model,
    labels: tuple[Array, np.ndarray] | None,
    groups: Int[np.ndarray, " n"] | None,
    *,
    center: bool,
    scale: str,
) -> Covariances:
    r"""Covariance over samples of the predicted gaps and of the norms of many weak models, from one pass.

    Args:
        models: of each weak model, what its influences are made of, and its samples.
        strong: the strong model.
        labels: (n, c), and what was subtracted from them; None without labels.
        groups: as in ``Sums``.
        center, scale: of the moments and of the ridges.

    Cost: $8 (c + 1)$ n (d_w + d_s) flops a model; more where a threshold leaves directions out.
    """
    n = strong.samples.shape[0]
    first = models[0][0]
    kinds = [first.gap is not None, first.norm is not None, all(one.frobenius is not None for one, _ in models)]
    sums = [Sums(len(models), groups) if kind else None for kind in kinds]
    for start, found in influence_blocks(models, strong, labels, center=center, scale=scale):
        for total, columns in zip(sums, zip(*(one[:3] for one in found), strict=True), strict=True):
            known = [column for column in columns if column is not None]
            if total is not None:
                total.add(start, np.stack(known, axis=1))
    return Covariances(*(None if total is None else total.spread(n) for total in sums))


class Influenced(NamedTuple):
    """One pair on a block of samples: influences on the predicted gap, on the norm and on the Frobenius norm, and f,
    whose length is the score."""

    gap: Float[np.ndarray, " rows"] | None
    norm: Float[np.ndarray, " rows"] | None
    frobenius: Float[np.ndarray, " rows"] | None
    f: Float[np.ndarray, "rows c"]


def influence_blocks(
    models: Sequence[tuple[Functions, Model]],
    strong: Model,
    labels: tuple[Array, np.ndarray] | None,
    *,
    center: bool,
    scale: str,
) -> Iterator[tuple[int, list[Influenced]]]:
    """The first row of each block that this process reads, and what there is of every model on it.

    Args, cost: as ``covariances``.
    """
    n = strong.samples.shape[0]
    for start, (*weak, of_strong, y) in _blocks(models, strong, labels):
        x = strong.unit(of_strong, center=center)
        y = y - labels[1] if labels and center else y
        strong_square = (x**2).sum(axis=1) if scale == "trace" else 1.0
        found = []
        for (functions, model), block, of_x in zip(models, weak, _strong_values(models, x, start), strict=True):
            w = model.unit(block, center=center)
            of_w = functions.weak[start : start + len(w)] if functions.sampled else w @ functions.weak
            squares = Squares((w**2).sum(axis=1) if scale == "trace" else 1.0, strong_square)
            by_weak, by_strong = (
                turn.on(rows) if turn is not None else (0.0, 0.0)
                for turn, rows in zip(functions.turns, (w, x), strict=True)
            )
            turned = (by_weak[0] + by_strong[0], by_weak[1] + by_strong[1])
            own = influences(functions, of_x, of_w, y, squares, turned)
            found.append(Influenced(*own, _of_frobenius(functions, w, x, squares, n), of_x[:, : y.shape[1]]))
        yield start, found


def _of_frobenius(
    functions: Functions, w: np.ndarray, x: np.ndarray, squares: Squares, n: int
) -> Float[np.ndarray, " rows"] | None:
    r"""The influence on $\sqrt{T / n}$, from that on T; None where it was not asked for."""
    form = functions.frobenius
    if form is None:
        return None
    by_traces = (squares.weak - 1) * form.slopes.weak - (squares.strong - 1) * form.slopes.strong
    return (form.on(w, x) + by_traces) / (2 * np.sqrt(n * form.square))


def _strong_values(models: Sequence[tuple[Functions, Model]], x: np.ndarray, start: int) -> Iterator[np.ndarray]:
    """What each pair's functions are on these samples of the strong model, by one product for all pairs."""
    weights = [functions.strong for functions, _ in models if not functions.sampled]
    products = iter(np.split(x @ np.concatenate(weights, axis=1), len(weights), axis=1)) if weights else iter(())
    for functions, _ in models:
        yield functions.strong[start : start + len(x)] if functions.sampled else next(products)


def _blocks(
    models: Sequence[tuple[Functions, Model]], strong: Model, labels: tuple[Array, np.ndarray] | None
) -> Iterator[tuple[int, list[np.ndarray]]]:
    """The first row and the samples of each block that this process reads."""
    arrays = [*(model.samples for _, model in models), strong.samples, *(labels[:1] if labels else ())]
    for start, block in again(arrays):
        y = block.pop().astype(np.float64) if labels else np.zeros((len(block[-1]), 0))
        yield start, [*block, y]
