"""The second pass over the samples: how the estimates of all models vary together, by each sample's influence."""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from ..numerics.backend import compiled, fetched, on_host
from ..numerics.checks import Array
from ..second_moments.from_arrays import again, over_processes
from .influence import Functions, Quadratic, Squares, influences
from .uncertainty import effective_draws_of_sums


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

    def unit(self, block: Any, *, center: bool) -> Float[Any, "rows d"]:
        """Some of its samples, in units of unit trace, where dense work is done."""
        if not on_host():
            return _in_unit_trace(block, self.mean, self.trace, center=center)
        found = np.subtract(block, self.mean if center else 0.0, dtype=np.float64)
        found /= np.sqrt(self.trace)
        return found


def _unit(block: jax.Array, mean: jax.Array, trace: jax.Array, *, center: bool) -> jax.Array:
    block = block.astype(jnp.float64)
    return (block - mean if center else block) / jnp.sqrt(trace)


_in_unit_trace = compiled(_unit, static=("center",), fetch=False)


class Spread(NamedTuple):
    r"""How the estimates of k models vary over samples.

    Attributes:
        covariance: (k, k), of their relative changes.
        draws: (k,), as ``uncertainty.effective_draws``.
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
        return Spread(total / n**2, effective_draws_of_sums(np.diagonal(total), fourth))


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
    units = [
        np.array([1.0 if not getattr(one, name) else getattr(one, name) for one, _ in models], np.float64)
        for name in ("gap", "norm")
    ]
    units.append(np.array([_unit_of(one.frobenius, n) for one, _ in models]))
    kinds = [first.gap is not None, first.norm is not None, all(one.frobenius is not None for one, _ in models)]
    sums = [Sums(len(models), groups) if kind else None for kind in kinds]
    for start, found in influence_blocks(models, strong, labels, center=center, scale=scale):
        for total, unit, columns in zip(sums, units, zip(*(one[:3] for one in found), strict=True), strict=True):
            known = [column for column in columns if column is not None]
            if total is not None:
                total.add(start, np.stack(known, axis=1) / unit)
    return Covariances(*(None if total is None else total.spread(n) for total in sums))


def _unit_of(form: Quadratic | None, n: int) -> float:
    """The Frobenius norm as the result has it, where its influence was asked for."""
    return 1.0 if form is None or form.square <= 0 else float(np.sqrt(form.square / n))


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
    n, host, scaled = strong.samples.shape[0], on_host(), scale == "trace"
    for rows, (*weak, of_strong, y) in _blocks(models, strong, labels):
        x = None if of_strong is None else strong.unit(of_strong, center=center)
        y = y - labels[1] if labels and center else y
        values = _strong_values(models, x, rows) if host else [_part(f.strong, f, rows) for f, _ in models]
        found = []
        for (functions, model), block, of_x in zip(models, weak, values, strict=True):
            squares = Squares(1.0, 1.0)
            if scaled:
                known = functions.squares
                squares = None if known is None else Squares(known.weak[rows], known.strong[rows])
            rest = functions._replace(strong=None, weak=None, squares=None)
            arrays = (of_x, _part(functions.weak, functions, rows), y, squares)
            if host:
                w = None if block is None else model.unit(block, center=center)
                found.append(_on_block(rest, *arrays, w, x, n, sampled=functions.sampled))
            else:
                where, options = (block, model.mean, model.trace), {"sampled": functions.sampled, "center": center}
                found.append(_on_block_of_device(rest, *arrays, where, x, n, **options))
        yield rows.start, [Influenced(*each) for each in jax.device_get(found)]


def _part(columns: Any, functions: Functions, rows: slice) -> Any:
    """Values on a block of samples where functions are sampled; else the weights."""
    return columns[rows] if functions.sampled else columns


@np.errstate(divide="ignore", invalid="ignore")  # a norm of 0 has no influence
def _on_block(
    functions: Functions, of_x: Any, own: Any, y: Any, squares: Squares | None, w: Any, x: Any, n: Any, *, sampled: bool
) -> tuple[Any, ...]:
    """One pair on some samples: what ``Influenced`` holds.

    Args:
        functions: of the pair.
        of_x: the functions of the strong model on these samples.
        own: those of the weak model on them where they are sampled, else weights.
        y: centred labels.
        squares: of the samples; None where they are not known.
        w, x: samples of the weak and of the strong model, in units of unit trace; None where they are not needed.
        n: samples in all.
    """
    of_w = own if sampled else w @ own
    if squares is None:
        squares = Squares((w**2).sum(axis=1), (x**2).sum(axis=1))
    turned = [0.0, 0.0]
    for one, rows in zip(functions.turns, (w, x), strict=True):
        added = (0.0, 0.0) if one is None else one.on(rows)
        turned = [total + more for total, more in zip(turned, added, strict=True)]
    gap, norm = influences(functions, of_x, of_w, y, squares, (turned[0], turned[1]))
    return gap, norm, _of_frobenius(functions, w, x, squares, n), of_x[:, : y.shape[1]]


def _of_frobenius(functions: Functions, w: Any, x: Any, squares: Squares, n: Any) -> Float[Any, " rows"] | None:
    r"""The influence on $\sqrt{T / n}$, from that on T; None where it was not asked for."""
    form = functions.frobenius
    if form is None:
        return None
    by_traces = (squares.weak - 1) * form.slopes.weak - (squares.strong - 1) * form.slopes.strong
    return (form.on(w, x) + by_traces) / (2 * (n * form.square) ** 0.5)


def _from_samples(
    functions: Functions,
    of_x: Any,
    own: Any,
    y: Any,
    squares: Squares | None,
    where: tuple[Any, Any, Any],
    x: Any,
    n: Any,
    *,
    sampled: bool,
    center: bool,
) -> tuple[Any, ...]:
    """The same from the samples of the weak model in raw units, their mean and trace; ``of_x`` may be weights too."""
    w = None if where[0] is None else _unit(*where, center=center)
    return _on_block(functions, of_x if sampled else x @ of_x, own, y, squares, w, x, n, sampled=sampled)


_on_block_of_device = compiled(_from_samples, static=("sampled", "center"), fetch=False)


def _strong_values(models: Sequence[tuple[Functions, Model]], x: Any, rows: slice) -> Iterator[np.ndarray]:
    """What each pair's functions are on these samples of the strong model, by one product for all pairs."""
    weights = [functions.strong for functions, _ in models if not functions.sampled]
    products = iter(np.split(x @ np.concatenate(weights, axis=1), len(weights), axis=1)) if weights else iter(())
    for functions, _ in models:
        yield _part(functions.strong, functions, rows) if functions.sampled else next(products)


def _blocks(
    models: Sequence[tuple[Functions, Model]], strong: Model, labels: tuple[Array, np.ndarray] | None
) -> Iterator[tuple[slice, list[Any]]]:
    """The rows of each block that this process reads, and the samples on them, None of models that need none: the weak
    ones, the strong one, and labels."""
    needed = [functions.needs_samples for functions, _ in models]
    read = [model.samples for (_, model), needs in zip(models, needed, strict=True) if needs]
    read += [*([strong.samples] if any(needed) else []), *(labels[:1] if labels else ())]
    for rows, block in again(read, strong.samples.shape[0]):
        y = np.asarray(fetched(block.pop()), np.float64) if labels else np.zeros((rows.stop - rows.start, 0))
        parts = iter(block)
        yield rows, [*(next(parts) if needs else None for needs in (*needed, any(needed))), y]
