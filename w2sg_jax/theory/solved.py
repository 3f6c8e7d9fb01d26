r"""Many weak models beside one strong model, without eigenvectors: Cholesky factors and Lanczos.

The strong model is factored once, and stays where dense work is done. By the host the weak models follow one by one and
their Lanczos together; on a device those of one width are one program, which takes several small ones at a time. The
formulas are those of ``pair_by_solves``; where their rounding is too much for a small gap, ``Solved.resolved`` says so.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ..numerics.backend import (
    batch_size,
    by_backend,
    compiled,
    device_memory,
    divided,
    eigenvalues_of,
    on_host,
)
from ..numerics.lanczos import Ritz, lanczos_together, largest_eigenvalue, leading_pair
from ..numerics.linalg import (
    Device,
    Host,
    eigenpairs,
    pivoted_cholesky,
    product,
    regular_cholesky,
    symmetric,
)
from ..numerics.rounding import (
    KERNEL_MARGIN,
    REGULAR,
    SQUARED,
    TOLERATED,
    dual_error,
    epsilon,
    floor,
    may_solve,
)
from ..second_moments.moments import Part, Target
from .influence import Functions, Quadratic, Slopes, Squares
from .kernel import Traces, refuse_constant
from .pair_by_solves import (
    ByColumns,
    ByRows,
    Covered,
    Found,
    Missed,
    by_columns,
    by_rows,
    covered,
    finish_columns,
    finish_rows,
    missed,
    missed_twice,
    quadratic,
    seen_by,
    square_of_covered,
    square_of_missed,
    with_y,
)
from .smoother import unit_trace_ridges

SHARPEST = 1e-10
"""Residual of the squared norm, relative: the norm is right to half of it, and mostly to the square of it."""
LARGE_RIDGE = 0.1
"""Above it an effective dimension is small beside the number of directions, and is not computed as a difference."""
NAN = float("nan")
INHERITED = 1e-3
"""Of the squared norm, what rounding of the products may make up: beyond it a joint factor with pivoting is up to five
times more exact. Moments of float32 products reach it at ridges below about 1e-4."""


class Side(NamedTuple):
    r"""What is kept of one model's representation, in units of unit trace: arrays of the host, or of the device.

    Attributes:
        rows: the n samples, in raw units; None where only sums are at hand.
        unit: what rows are multiplied with for unit trace and to be divided by sqrt(n).
        second: $\Sigma$; None where the samples are at hand and not more than the columns.
        labels: $H^\top y/n$, (d, c), in label units; no column without labels, None where the samples are at hand.
        dtype: the precision in which products were accumulated.
        center: whether means were subtracted.
    """

    rows: Float[Any, "n d"] | None
    unit: float
    second: Float[Any, "d d"] | None
    labels: Float[Any, "d c"] | None
    dtype: str
    center: bool

    @property
    def samples(self) -> Float[Any, "n d"]:
        """The rows, which are at hand."""
        assert self.rows is not None
        return self.rows

    @property
    def width(self) -> int:
        """Columns."""
        return self.samples.shape[1] if self.second is None else len(self.second)

    def kernel(self) -> Float[Any, "n n"]:
        """K/n. Cost: n^2 d."""
        return _kernel_of_rows(self.samples, self.unit)

    def whole_second(self) -> Float[Any, "d d"]:
        r"""$\Sigma$, from the samples where they are fewer than the columns."""
        return _second_of_rows(self.samples, self.unit) if self.second is None else self.second

    def rank(self, kernel: Float[Any, "n n"] | None = None, inverse_norm: float | None = None) -> int:
        r"""Directions above rounding.

        Args:
            kernel: K/n, where it is at hand.
            inverse_norm: $\lVert S^{-1} \rVert_F$ of what ``_filled`` makes of K/n or of $\Sigma$, where that is.
        """
        gram, dtype, centred = self.second, self.dtype, False
        if gram is None:
            gram, dtype, centred = self.kernel() if kernel is None else kernel, "float64", self.center
        if on_host():
            margin = REGULAR if self.second is not None else KERNEL_MARGIN * len(gram)
            full = regular_cholesky(_filled(gram, centred=centred), dtype, margin) is not None
        else:
            if inverse_norm is None:
                inverse_norm = float(_inverse_norm_of(gram, centred=centred))
            full = inverse_norm * floor(2.0, len(gram), dtype) < 1  # all eigenvalues are above; not so of NaN
        if full:
            return len(gram) - int(centred)
        values = eigenvalues_of(gram)
        return int((values > floor(values[0], len(values), dtype)).sum())


def _filled(gram: Float[Any, "k k"], *, centred: bool) -> Float[Any, "k k"]:
    """K/n (n, n) with a constant in the one direction that centring took away; else as it is."""
    return gram + len(gram) ** -2.0 if centred else gram


def _inverse_norm(la: Any, gram: Float[Any, "k k"], *, centred: bool, width: Any = None) -> Float[Any, ""]:
    r"""$\lVert S^{-1} \rVert_F$, at least one over the smallest eigenvalue; NaN where there is none. Cost: about 3 k^3.

    Args:
        gram: K/n or $\Sigma$.
        centred: as in ``_filled``.
        width: columns that are no padding, where some are.
    """
    filled = _filled(gram, centred=centred)
    if width is not None:
        filled = filled + jnp.diag((jnp.arange(len(gram)) >= width).astype(gram.dtype))
    inverse = la.gram(la.triangular_inverse(la.root(filled)))
    return la.inner(inverse, inverse) ** 0.5


def _spectral_root(sigma: Float[jax.Array, "d d"]) -> Float[jax.Array, "d d"]:
    r"""L with $L L^\top = \Sigma$ by eigenpairs: of any rank."""
    values, vectors = jnp.linalg.eigh(sigma)
    return vectors * jnp.sqrt(jnp.maximum(values, 0.0))


def _top_pair(s: Float[jax.Array, "d d"]) -> tuple[jax.Array, jax.Array]:
    found = leading_pair(lambda v: product(s, v), len(s))
    return found.value, found.residual


def _in_unit_trace(la: Any, second: Any, labels: Any, cross: Any, trace: Any, other: Any) -> tuple[Any, Any, Any]:
    r"""$\Sigma$, $H^\top y/n$ and $\Sigma_{ws}$ (or None) in units of unit trace; ``other`` is the strong trace."""
    # Roots first: the product of two traces may overflow, or vanish, where they do not.
    unit_cross = None if cross is None else cross / (trace**0.5 * other**0.5)
    return second / trace, labels / trace**0.5, unit_cross


def _mean_square(la: Any, x: Any) -> Any:
    return la.inner(x, x) / len(x)


_kernel_of_rows = by_backend(lambda la, rows, unit: la.gram(rows.T) * unit**2, fetch=False)
_second_of_rows = by_backend(lambda la, rows, unit: la.gram(rows) * unit**2, fetch=False)
_cross_of_rows = by_backend(lambda la, weak, strong, unit: unit * la.cross(weak, strong), fetch=False)
_where_dense = by_backend(lambda la, x: x, fetch=False)
_unit_sums = by_backend(_in_unit_trace, fetch=False)
_squared_matrix = by_backend(lambda la, s: la.gram(s), fetch=False)
_trace_of_matrix = by_backend(lambda la, s: s.diagonal().sum())
_mean_square_of = by_backend(_mean_square)
_sum_of_squares = by_backend(lambda la, s: la.inner(s, s))
_root_of = by_backend(lambda la, s: la.root(s), fetch=False)
_strong_columns, _strong_rows = by_backend(by_columns, fetch=False), by_backend(by_rows, fetch=False)
_kernel_squares = by_backend(lambda la, kernel: _squares_of(kernel))
_quadratic = by_backend(quadratic, fetch=False)
_spectral_root_of = compiled(_spectral_root, fetch=False)
_inverse_norm_of = compiled(partial(_inverse_norm, Device()), static=("centred",))
_top_of = compiled(_top_pair)


class Sizes(NamedTuple):
    r"""What takes as long as the norm and is not always asked for.

    Attributes:
        rank: directions of the weak model.
        square: $\lVert P_s (I - P_w) \rVert_F^2$; None where rounding is not far below it.
    """

    rank: int
    square: float | None


class Solved(NamedTuple):
    r"""One pair.

    Attributes:
        norm, second: the two largest singular values of $P_s (I - P_w)$, the other one roughly; NaN where not asked.
        predicted: the predicted gap in squared label units; None without labels.
        dof: effective dimension of the weak model.
        sizes: computes them; factors are held until it is let go.
        resolved: whether rounding is far below norm and predicted gap.
        functions: of the influences.
    """

    norm: float
    second: float
    predicted: float | None
    dof: float
    sizes: Callable[[], Sizes]
    resolved: bool
    functions: Functions


class Weak(NamedTuple):
    r"""A weak model as ``solve`` takes it.

    Attributes:
        side: of the model.
        cross: $\Sigma_{ws} = H_w^\top H_s / n$, at unit traces; None where the samples are at hand.
        ridge: $\beta_w > 0$, at unit trace.
    """

    side: Side
    cross: Float[Any, "d_w d_s"] | None
    ridge: float


class Strong:
    r"""A strong model at its ridge, factored once for all weak models.

    Args:
        side: of the model.
        trace: of its second moment, in raw units.
        ridge: $\beta_s > 0$, at unit trace.
        label_rows: $y / \sqrt n$, (n, c), where the samples are at hand.
        label_square: mean square of the labels, summed over columns.

    Cost: $3.7 d^3$, or $2 n^3$ on the dual side.
    """

    def __init__(
        self, side: Side, trace: float, ridge: float, label_rows: Float[Any, "n c"] | None, label_square: float
    ):
        self.side, self.trace, self.ridge = side, trace, ridge
        self.label_rows, self.label_square = label_rows, label_square

    @cached_property
    def by_columns(self) -> ByColumns:
        """In L^T-space."""
        second = self.side.second
        assert second is not None
        return _strong_columns(second, _any_root(second), self.labels_of(self.side), self.ridge)

    @cached_property
    def by_rows(self) -> ByRows:
        """On the samples."""
        return _strong_rows(self._kernel, self.label_rows, self.ridge)

    @cached_property
    def squared_rows(self) -> Float[Any, "n n"]:
        """P_s^2 on the samples."""
        return _squared_matrix(self.by_rows.smoother)

    @cached_property
    def _kernel(self) -> Float[Any, "n n"]:
        return self.side.kernel()

    @cached_property
    def squares(self) -> Float[np.ndarray, " n"]:
        """The squared length of each sample at unit trace."""
        return _kernel_squares(self._kernel)

    @cached_property
    def rank(self) -> int:
        """Directions above rounding."""
        return self.side.rank(self._kernel if self.side.second is None else None)

    @property
    def smoother(self) -> Float[Any, "k k"]:
        """P_s on the smaller side."""
        return (self.by_rows if self.side.second is None else self.by_columns).smoother

    @cached_property
    def square(self) -> float:
        """Its squared Frobenius norm."""
        return float(_sum_of_squares(self.smoother))

    def labels_of(self, side: Side) -> Float[Any, "d c"]:
        """H^T y/n of a model."""
        if side.labels is not None:
            return side.labels
        assert self.label_rows is not None
        return _cross_of_rows(side.samples, self.label_rows, side.unit)

    def cross_of(self, weak: Weak) -> Float[Any, "d_w d_s"]:
        r"""$\Sigma_{ws}$ of a weak model."""
        if weak.cross is not None:
            return weak.cross
        return _cross_of_rows(weak.side.samples, self.side.samples, weak.side.unit * self.side.unit)

    def share(self, gap: float) -> float:
        """A predicted gap as a share of the labels' mean square."""
        return gap / self.label_square if self.label_square > 0 else 1.0

    @cached_property
    def dof(self) -> float:
        """The effective dimension."""
        return float(_trace_of_matrix(self.smoother))

    @cached_property
    def top_gain(self) -> float:
        """The largest eigenvalue of P_s, which bounds the norm."""
        if on_host():
            return largest_eigenvalue(self.smoother)
        value, residual = map(float, _top_of(self.smoother))
        return value if residual <= SHARPEST * value else float(eigenvalues_of(self.smoother)[0])


def _any_root(second: Float[Any, "d d"]) -> Float[Any, "d d"]:
    r"""L with $L L^\top = \Sigma$, triangular where $\Sigma$ is regular."""
    if not on_host():
        root = _root_of(second)
        return root if np.isfinite(_trace_of_matrix(root)) else _spectral_root_of(second)
    try:
        return _root_of(second)
    except ArithmeticError:
        return np.asfortranarray(pivoted_cholesky(second.copy(order="K"), "float64").T)


def _side_of_sums(
    part: Part, cross: Any, trace: float, other: float, *, dtype: str, center: bool
) -> tuple[Side, Float[Any, "d d_s"] | None]:
    r"""One model from sums, in units of unit trace, and $\Sigma_{ws}$ beside a strong model of that trace."""
    assert part.second is not None and part.labels is not None
    second = symmetric(part.second) if isinstance(part.second, np.ndarray) else part.second
    second, labels, unit_cross = _unit_sums(second, part.labels, cross, trace, other)
    return Side(None, 1.0, second, labels, dtype, center), unit_cross


def _side_of_rows(part: Part, trace: float, *, dtype: str, center: bool) -> Side:
    """One model from its samples, in units of unit trace: the smaller side."""
    assert part.rows is not None
    n, d = part.rows.shape
    unit = (n * trace) ** -0.5
    second = _second_of_rows(part.rows, unit) if n > d else None
    return Side(_where_dense(part.rows), unit, second, None, dtype, center)


def strong_of(target: Target, trace: float, ridge: float) -> Strong:
    """The strong model and the labels of moments, at a ridge.

    Args:
        target: of the moments.
        trace: of the strong model's second moment.
        ridge: at unit trace.
    """
    kind: dict[str, Any] = {"dtype": target.dtype, "center": target.center}
    if target.strong.rows is None:
        side, _ = _side_of_sums(target.strong, None, trace, trace, **kind)
    else:
        side = _side_of_rows(target.strong, trace, **kind)
    label_rows = None if target.label_rows is None else divided(target.label_rows, target.n**0.5)
    return Strong(side, trace, ridge, label_rows, float(np.trace(target.label_second)))


def weak_of(
    part: Part, cross: Float[Any, "d_weak d_strong"] | None, trace: float, ridge: float, strong: Strong
) -> Weak:
    """A weak model of moments, at a ridge.

    Args:
        part, cross: of the moments.
        trace: of its second moment.
        ridge: at unit trace.
        strong: the strong model beside it.
    """
    kind: dict[str, Any] = {"dtype": strong.side.dtype, "center": strong.side.center}
    if part.rows is None:
        return Weak(*_side_of_sums(part, cross, trace, strong.trace, **kind), ridge)
    return Weak(_side_of_rows(part, trace, **kind), None, ridge)


def trace_of(part: Part, name: str, *, dtype: str, center: bool) -> float:
    """Mean squared length of a sample; InputError where the representation is constant."""
    if part.rows is not None:
        trace = float(_mean_square_of(part.rows))
    else:
        assert part.second is not None
        trace = float(_trace_of_matrix(part.second))
    refuse_constant(name, trace, part.mean, center=center, dtype=dtype)
    return trace


def applies(ridges: tuple[float, float], thresholds: tuple[float, float]) -> bool:
    """Whether solves do: every direction is kept, and no ridge is as small as rounding."""
    return max(thresholds) == 0 and may_solve(*ridges)


class SolvedPair(NamedTuple):
    """One pair of moments: both sides, what follows, traces in raw units and ridges at unit trace."""

    strong: Strong
    weak: Side
    solved: Solved
    traces: Traces
    ridges: tuple[float, float]


def solve_pair(
    target: Target,
    weak: Part,
    cross: Float[Any, "d_weak d_strong"] | None,
    ridges: tuple[float, float],
    thresholds: tuple[float, float],
    scale: str,
    *,
    with_norm: bool = True,
) -> SolvedPair | None:
    """``solve`` for one pair, or None where solves do not apply or the gap is too close to rounding."""
    kind: dict[str, Any] = {"dtype": target.dtype, "center": target.center}
    traces = Traces(trace_of(weak, "weak", **kind), trace_of(target.strong, "strong", **kind), 0.0)
    unit = unit_trace_ridges(ridges, traces, scale)
    if not applies(unit, thresholds):
        return None
    strong = strong_of(target, traces.strong, unit[1])
    model = weak_of(weak, cross, traces.weak, unit[0], strong)
    ((_, one),) = solve(strong, [model], with_norm=with_norm)
    return SolvedPair(strong, model.side, one, traces, unit) if one.resolved else None


def solve(
    strong: Strong,
    weak: Sequence[Weak],
    *,
    with_norm: bool = True,
    with_sizes: bool = False,
    with_frobenius: bool = False,
    widths: Mapping[int, int] | None = None,
) -> Iterator[tuple[int, Solved]]:
    r"""The gap of many weak models beside one strong model: the number of each and what was found, as they are done.

    Args:
        strong: the strong model.
        weak: the weak ones.
        with_norm: whether norms are asked for, or predicted gaps alone.
        with_sizes: whether ranks and Frobenius norms are, which are computed when they are asked for otherwise.
        with_frobenius: whether influences on Frobenius norms are, at $8 d_s^3 + 10 d_w^3$ more.
        widths: what each width is padded to on a device, where models of one width share a program.

    Cost: $2 d_s^2 d_w + 2 d_s d_w^2 + 2 d_w^3$ a model; on the dual side $n^2 d_w + n^3$, twice that with sizes. And
    some 50 products with vectors for the norms, of all models at a time where they share the strong one.
    """
    routes: dict[str, list[int]] = {}
    for index, model in enumerate(weak):
        routes.setdefault(_route(strong.side, model.side), []).append(index)
    for route, indices in routes.items():
        chosen = [weak[index] for index in indices]
        if on_host():
            solved = enumerate((_columns if route == "columns" else _rows)(strong, chosen, with_norm))
        else:
            solved = _on_device(strong, chosen, route, widths or {}, with_norm=with_norm)
        for place, one in solved:
            index = indices[place]
            if with_sizes:
                known = one.sizes()
                one = one._replace(sizes=lambda known=known: known)  # the factors may go
            if with_frobenius:
                one = one._replace(functions=one.functions._replace(frobenius=_frobenius(strong, weak[index])))
            yield index, one


def _frobenius(strong: Strong, weak: Weak) -> Quadratic:
    second_weak, second_strong = (side.whole_second() for side in (weak.side, strong.side))
    found = _quadratic(second_strong, second_weak, strong.cross_of(weak), (weak.ridge, strong.ridge))
    square, mean, slopes = jax.device_get((found.square, found.mean, found.slopes))
    return found._replace(square=float(square), mean=float(mean), slopes=Slopes(*map(float, slopes)))


def _route(strong: Side, weak: Side) -> str:
    if weak.second is None:
        return "rows"
    return "mixed" if strong.second is None else "columns"


def _largest(values: np.ndarray, residuals: np.ndarray) -> int:
    """Accepts the two leading pairs once the first has converged."""
    return min(2, len(values)) if residuals[0] <= SHARPEST * values[0] else 0


class _Top(NamedTuple):
    """The largest singular value of an operator, its left vector, and roughly the next singular value."""

    norm: float
    u: Float[np.ndarray, "r 1"]
    second: float


def _tops(
    apply: Callable[[np.ndarray, np.ndarray], np.ndarray], whole: Callable[[int], np.ndarray], size: int, count: int
) -> list[_Top]:
    """Of many operators A A^T of one size; see ``lanczos_together``. One that does not converge is decomposed whole."""

    def top(index: int, found: Ritz | None) -> _Top:
        if found is None:
            values, vectors = eigenpairs(whole(index))
            found = Ritz(values[:2], vectors[:, :2], np.zeros(2), size)
        values = np.sqrt(np.maximum(np.append(found.values, 0.0), 0.0))
        return _Top(float(values[0]), np.asfortranarray(found.vectors[:, :1]), float(values[1]))

    return [top(index, found) for index, found in enumerate(lanczos_together(apply, size, _largest, count))]


def _columns(strong: Strong, weak: Sequence[Weak], with_norm: bool) -> Iterator[Solved]:
    """Both models by their columns."""
    la, own, models, crosses = Host(), strong.by_columns, [], []
    for model in weak:
        crosses.append(strong.cross_of(model))
        seen = la.cross_transposed(own.head, crosses[-1])
        models.append(covered(la, model.side.second, seen, model.ridge, large=model.ridge > LARGE_RIDGE))
    tops = _tops_by_columns(own.smoother, models) if with_norm else [None] * len(models)
    for one, cross, model, top in zip(weak, crosses, models, tops, strict=True):
        labels = strong.labels_of(one.side)
        found = finish_columns(la, own, model, cross, labels, one.ridge, None if top is None else top[:2])

        def sizes(one: Weak = one, model: Covered = model) -> Sizes:
            return _sizes(strong, one, float(square_of_covered(la, own.smoother, model)), one.side.rank())

        yield _solved(strong, one, found, top, model.dof, sizes)


def _rows(strong: Strong, weak: Sequence[Weak], with_norm: bool) -> Iterator[Solved]:
    """The strong model by the samples; weak ones by the samples too, or by their columns."""
    la, own, models, kernels = Host(), strong.by_rows, [], []
    for side, _, ridge in weak:
        if side.second is None:
            kernels.append(side.kernel())
            models.append(missed(la, kernels[-1], ridge))
        else:
            kernels.append(None)
            models.append(covered(la, side.second, side.unit * side.samples, ridge, large=ridge > LARGE_RIDGE))
    tops = _tops_by_rows(own.smoother, models) if with_norm else [None] * len(models)
    for one, model, kernel, top in zip(weak, models, kernels, tops, strict=True):
        found = finish_rows(la, own, model, one.side.rows, one.side.unit, None if top is None else top[:2])

        def sizes(one: Weak = one, model: Any = model, kernel: np.ndarray | None = kernel) -> Sizes:
            if isinstance(model, Missed):
                square = square_of_missed(la, strong.squared_rows, model)
            else:
                square = square_of_covered(la, own.smoother, with_y(la, own.smoother, model))
            return _sizes(strong, one, float(square), one.side.rank(kernel))

        squares = _squares_of_rows(la, one.side.rows, one.side.unit) if kernel is None else _squares_of(kernel)
        yield _solved(strong, one, found, top, model.dof, sizes, squares)


def _sizes(strong: Strong, weak: Weak, square: float, rank: int) -> Sizes:
    """Once rounding is known to be far below the square."""
    if _by_columns(strong, weak):
        least = _error_of_squares(weak.ridge, strong.ridge) / TOLERATED * strong.square
    else:
        least = (dual_error(weak.ridge, strong.ridge) / TOLERATED) ** 2 * len(strong.smoother)
    return Sizes(rank, square if square > least else None)


def _squares_of(kernel: Any) -> Any:
    """The squared length of each sample at unit trace, from K/n."""
    return len(kernel) * kernel.diagonal()


def _squares_of_rows(la: Any, rows: Any, unit: Any) -> Any:
    """The same from the samples."""
    return len(rows) * unit**2 * la.square_lengths(rows)


def _by_columns(strong: Strong, weak: Weak) -> bool:
    return _route(strong.side, weak.side) == "columns"


def _error_of_squares(ridge: float, ridge_strong: float) -> float:
    return SQUARED * epsilon("float64") * (1 + ridge**-0.5 + ridge_strong**-0.5)


def _solved(
    strong: Strong,
    weak: Weak,
    found: Found,
    top: _Top | None,
    dof: Any,
    sizes: Callable[[], Sizes],
    squares: np.ndarray | None = None,
) -> Solved:
    """What is known of a pair, and whether rounding is far below it; ``squares`` are those of the weak samples."""
    c = (found.strong.shape[1] - (0 if top is None else 2)) // 2
    gap = float(found.gap) if c else None
    norm, second = (NAN, NAN) if top is None else (top.norm, top.second)
    of_gap = Slopes(*map(float, found.of_gap)) if c else None
    of_norm = Slopes(*map(float, found.of_norm)) if found.of_norm is not None else None
    known = [] if top is None else [norm**2]
    known += [] if gap is None else [strong.share(gap) ** (0.5 if _by_columns(strong, weak) else 1.0)]
    least = max(0.0, min(known))
    if _by_columns(strong, weak):
        inherited = epsilon(strong.side.dtype) * (1 / weak.ridge + 1 / strong.ridge)
        error = _error_of_squares(weak.ridge, strong.ridge)
        resolved = error <= TOLERATED * least and inherited <= INHERITED * least
    else:
        resolved = dual_error(weak.ridge, strong.ridge) <= TOLERATED * least**0.5
    sampled = not _by_columns(strong, weak)
    functions = Functions(None if top is None else norm, gap, found.strong, found.weak, sampled, of_gap, of_norm)
    if sampled:
        functions = functions._replace(squares=Squares(squares, strong.squares))
    return Solved(norm, second, gap, float(dof), sizes, bool(resolved), functions)


def _tops_by_columns(smoother: np.ndarray, models: Sequence[Covered]) -> list[_Top]:
    la = Host()

    def apply(v: np.ndarray, which: np.ndarray) -> np.ndarray:
        image = la.smoothed(smoother, la.smoothed(smoother, v))
        for place, index in enumerate(which):
            image[:, place] -= seen_by(la, models[index], v[:, place])
        return image

    return _tops(apply, lambda index: _whole(la, smoother, models[index]), len(smoother), len(models))


def _tops_by_rows(smoother: np.ndarray, models: Sequence[Covered | Missed]) -> list[_Top]:
    la = Host()

    def apply(v: np.ndarray, which: np.ndarray) -> np.ndarray:
        z = la.smoothed(smoother, v)
        for place, index in enumerate(which):
            z[:, place] = missed_twice(la, models[index], z[:, place])
        return la.smoothed(smoother, z)

    def whole(index: int) -> np.ndarray:
        model = models[index]
        if isinstance(model, Missed):
            return la.gram(la.product(model.residual, smoother))
        return _whole(la, smoother, with_y(la, smoother, model))

    return _tops(apply, whole, len(smoother), len(models))


def _whole(la: Any, smoother: Any, model: Covered) -> Any:
    """A A^T of a model with Y."""
    return la.gram(smoother) - la.product(la.product(model.y, model.square), model.y.T)


class _Stacked(NamedTuple):
    """Weak models of one width on a device, or one of them; what a route does not need is None.

    Attributes:
        second, cross, labels, rows: as in ``Side`` and ``Weak``, with the models first: (models, d, d) ...
        unit, ridge, width: of each model, (models,); columns beyond its width are zeros.
    """

    second: Any
    cross: Any
    labels: Any
    rows: Any
    unit: Any
    ridge: Any
    width: Any


class _TopOnDevice(NamedTuple):
    """As ``_Top``, with the residual of the squared norm, relative to it."""

    norm: jax.Array
    u: jax.Array
    second: jax.Array
    residual: jax.Array


class _Outcome(NamedTuple):
    """Of one pair on a device, or of several: what goes to the host. ``top`` without its vector."""

    found: Found
    top: tuple[Any, Any, Any] | None
    dof: Any
    square: Any
    inverse_norm: Any
    squares: Any


def _on_device(
    strong: Strong, weak: Sequence[Weak], route: str, widths: Mapping[int, int], *, with_norm: bool
) -> Iterator[tuple[int, Solved]]:
    """Pairs of one route on a device, those of one width by one program: the number of each and what was found.

    All of order d^3 and n^2 d happens in the program. Functions and numbers alone come back; of a model that may lack
    directions, all eigenvalues.
    """
    own = strong.by_columns if route == "columns" else (strong.by_rows, strong.squared_rows)
    stacks: dict[int, list[int]] = {}
    for place, model in enumerate(weak):
        width = model.side.width
        stacks.setdefault(widths.get(width, width), []).append(place)
    size = len(strong.smoother)
    for width, places in stacks.items():
        bytes_each = 8 * (6 * width**2 + 4 * width * size + 4 * size**2)
        memory = device_memory()
        at_once = len(places) if memory is None else max(1, memory // 4 // bytes_each)
        for first in range(0, len(places), at_once):
            chosen = places[first : first + at_once]
            outcome = _mapped(
                own,
                _stacked(strong, [weak[place] for place in chosen], width, route),
                route=route,
                center=strong.side.center,
                with_norm=with_norm,
                large=max(weak[place].ridge for place in chosen) > LARGE_RIDGE,
                together=batch_size(max(width, size), bytes_each),
            )
            for number, place in enumerate(chosen):
                yield place, _fetched(strong, weak[place], jax.tree.map(lambda x: x[number], outcome))  # noqa: B023


def _stacked(strong: Strong, weak: Sequence[Weak], width: int, route: str) -> _Stacked:
    """Padded to one width."""
    sides = [model.side for model in weak]
    parts = (
        None if route == "rows" else [side.second for side in sides],
        [strong.cross_of(model) for model in weak] if route == "columns" else None,
        [strong.labels_of(side) for side in sides] if route == "columns" else None,
        None if route == "columns" else [side.samples for side in sides],
    )
    numbers = ([side.unit for side in sides], [model.ridge for model in weak], [side.width for side in sides])
    return _stack(parts, [np.array(each) for each in numbers], width=width)


def _padded_stack(parts: tuple[Any, ...], numbers: list[Any], *, width: int) -> _Stacked:
    def stack(arrays: Sequence[Any] | None, *axes: int) -> Any:
        if arrays is None:
            return None
        pads = [[(0, width - x.shape[axis] if axis in axes else 0) for axis in range(x.ndim)] for x in arrays]
        return jnp.stack([jnp.pad(x, pad) for x, pad in zip(arrays, pads, strict=True)])

    second, cross, labels, rows = parts
    return _Stacked(stack(second, 0, 1), stack(cross, 0), stack(labels, 0), stack(rows, 1), *numbers)


_stack = compiled(_padded_stack, static=("width",), fetch=False)


def _each(
    own: Any,
    models: _Stacked,
    *,
    route: str,
    center: bool,
    with_norm: bool,
    large: bool,
    together: int | None,
    **_: Any,
) -> _Outcome:
    """All models of a stack, some at a time; ``large`` as in ``covered``."""
    one = partial(_pair_by_columns if route == "columns" else _pair_by_rows, own)
    options = {"center": center, "with_norm": with_norm, "large": large}
    return jax.lax.map(lambda model: one(model, **options), models, batch_size=together)


def _pair_by_columns(own: ByColumns, weak: _Stacked, *, center: bool, with_norm: bool, large: bool) -> _Outcome:
    """What ``_columns`` does for one pair."""
    la, p = Device(), own.smoother
    model = covered(la, weak.second, la.cross_transposed(own.head, weak.cross), weak.ridge, large=large)
    top = _top(lambda v: product(p, product(p, v)) - seen_by(la, model, v), len(p)) if with_norm else None
    found = finish_columns(la, own, model, weak.cross, weak.labels, weak.ridge, None if top is None else top[:2])
    inverse_norm = _inverse_norm(la, weak.second, centred=False, width=weak.width)
    return _outcome(found, top, model.dof, square_of_covered(la, p, model), inverse_norm, None)


def _pair_by_rows(own: tuple[ByRows, Any], weak: _Stacked, *, center: bool, with_norm: bool, large: bool) -> _Outcome:
    """What ``_rows`` does for one pair."""
    la, (strong, squared) = Device(), own
    p = strong.smoother
    if weak.second is None:
        kernel = la.gram(weak.rows.T) * weak.unit**2
        model = missed(la, kernel, weak.ridge)
        square, inverse_norm = square_of_missed(la, squared, model), _inverse_norm(la, kernel, centred=center)
        squares = _squares_of(kernel)
    else:
        model = covered(la, weak.second, weak.unit * weak.rows, weak.ridge, large=large)
        square = square_of_covered(la, p, with_y(la, p, model))
        inverse_norm = _inverse_norm(la, weak.second, centred=False, width=weak.width)
        squares = _squares_of_rows(la, weak.rows, weak.unit)
    top = _top(lambda v: product(p, missed_twice(la, model, product(p, v))), len(p)) if with_norm else None
    found = finish_rows(la, strong, model, weak.rows, weak.unit, None if top is None else top[:2])
    return _outcome(found, top, model.dof, square, inverse_norm, squares)


def _top(apply: Callable[[jax.Array], jax.Array], size: int) -> _TopOnDevice:
    found = leading_pair(apply, size, tolerance=SHARPEST)
    values = jnp.sqrt(jnp.maximum(jnp.stack([found.value, found.second]), 0.0))
    return _TopOnDevice(values[0], found.vector, values[1], found.residual / found.value)


def _outcome(
    found: Found, top: _TopOnDevice | None, dof: Any, square: Any, inverse_norm: Any, squares: Any
) -> _Outcome:
    numbers = None if top is None else (top.norm, top.second, top.residual)
    return _Outcome(found, numbers, dof, square, inverse_norm, squares)


_mapped = compiled(_each, static=("route", "center", "with_norm", "large", "together"))


def _fetched(strong: Strong, weak: Weak, outcome: _Outcome) -> Solved:
    """One pair from what came back from a device."""
    found, side = outcome.found, weak.side
    top, converged = None, True
    if outcome.top is not None:
        norm, second, residual = map(float, outcome.top)
        top, converged = _Top(norm, np.empty((0, 1)), second), residual <= SHARPEST
    if _by_columns(strong, weak):
        found = found._replace(weak=found.weak[: side.width])

    def sizes() -> Sizes:
        rank = side.rank(inverse_norm=float(outcome.inverse_norm))
        return _sizes(strong, weak, float(outcome.square), rank)

    solved = _solved(strong, weak, found, top, outcome.dof, sizes, outcome.squares)
    return solved if converged else solved._replace(resolved=False)
