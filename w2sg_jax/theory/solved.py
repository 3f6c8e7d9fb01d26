r"""Many weak models beside one strong model, without eigenvectors: Cholesky factors and Lanczos.

The strong model is factored once. Functions on the samples that it can express are vectors of $L^\top$-space,
$L L^\top = \Sigma_s$; where the samples are fewer than the columns of a model, they take the place (the dual side).
With $M = \Sigma + \beta I$,

$$
P_s = L^\top M_s^{-1} L, \qquad Y = L^\top M_s^{-1} \Sigma_{sw} L_w^{-\top}, \quad L_w L_w^\top = M_w, \qquad
P_s (I - P_w)^2 P_s = P_s^2 - Y (I + \beta_w L_w^{-1} L_w^{-\top})\, Y^\top,
$$

whose largest eigenvalue is the squared gap norm. Nothing is formed whose errors a small ridge would blow up: squares
err by about $\varepsilon / \sqrt\beta$, and where that is too much for a small gap, ``Solved.resolved`` says so.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from ..numerics.backend import on_host
from ..numerics.lanczos import Ritz, lanczos_together, largest_eigenvalue
from ..numerics.linalg import Host, eigenpairs, eigenvalues, pivoted_cholesky, regular_cholesky, symmetric
from ..numerics.rounding import KERNEL_MARGIN, LARGEST_RIDGE, SQUARED, TOLERATED, dual_error, epsilon, floor
from ..second_moments.moments import Part, Target
from .influence import Functions, Quadratic, Slopes
from .kernel import Traces, refuse_constant
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
    r"""What is kept of one model's representation, in units of unit trace.

    Attributes:
        rows: the n samples, in raw units; None where only sums are at hand.
        unit: what rows are multiplied with for unit trace and to be divided by sqrt(n).
        second: $\Sigma$; None where the samples are at hand and not more than the columns.
        labels: $H^\top y/n$, (d, c), in label units; no column without labels, None where the samples are at hand.
        dtype: the precision in which products were accumulated.
        center: whether means were subtracted.
    """

    rows: Float[np.ndarray, "n d"] | None
    unit: float
    second: Float[np.ndarray, "d d"] | None
    labels: Float[np.ndarray, "d c"] | None
    dtype: str
    center: bool

    @property
    def samples(self) -> Float[np.ndarray, "n d"]:
        """The rows, which are at hand."""
        assert self.rows is not None
        return self.rows

    @property
    def width(self) -> int:
        """Columns."""
        return self.samples.shape[1] if self.second is None else len(self.second)

    def kernel(self) -> Float[np.ndarray, "n n"]:
        """K/n. Cost: n^2 d."""
        return Host().gram(self.samples.T) * self.unit**2

    def whole_second(self) -> Float[np.ndarray, "d d"]:
        r"""$\Sigma$, from the samples where they are fewer than the columns."""
        return Host().gram(self.samples) * self.unit**2 if self.second is None else self.second

    def rank(self, kernel: Float[np.ndarray, "n n"] | None = None) -> int:
        """Directions above rounding; K/n where it is at hand."""
        if self.second is None:
            return _kernel_rank(self.kernel() if kernel is None else kernel, self.center)
        regular = regular_cholesky(self.second, self.dtype) is not None
        return len(self.second) if regular else _counted(self.second, self.dtype)


def _kernel_rank(kernel: np.ndarray, centred: bool) -> int:
    """The rank of K/n, (n, n): n - 1 where centring took away just one direction, which a constant fills again."""
    n = len(kernel)
    filled = kernel + n**-2.0 if centred else kernel
    full = regular_cholesky(filled, "float64", margin=KERNEL_MARGIN * n) is not None
    return n - int(centred) if full else _counted(kernel, "float64")


def _counted(second: np.ndarray, dtype: str) -> int:
    values = eigenvalues(second)
    return int((values > floor(values[0], len(values), dtype)).sum())


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
    cross: Float[np.ndarray, "d_w d_s"] | None
    ridge: float


class _ByColumns(NamedTuple):
    r"""The strong model in $L^\top$-space.

    Attributes:
        smoother: $P_s$, (d, d).
        head: $M_s^{-1} L$, (d, d): of a function in that space, the weights of its smoothed version.
        second, lower: $\Sigma_s$ and the Cholesky factor of $M_s$.
        labels, smoothed: $H_s^\top y/n$ and $P_s y$, (d, c).
    """

    smoother: Float[Any, "d d"]
    head: Float[Any, "d d"]
    second: Float[Any, "d d"]
    lower: Float[Any, "d d"]
    labels: Float[Any, "d c"]
    smoothed: Float[Any, "d c"]


class _ByRows(NamedTuple):
    """The strong model on the samples: P_s and y / sqrt(n)."""

    smoother: Float[Any, "n n"]
    labels: Float[Any, "n c"]


class _Covered(NamedTuple):
    """A weak model with columns of its own: Y, L_w^-1 and what stands between Y and its transpose."""

    y: Float[Any, "r d_w"]
    inverse: Float[Any, "d_w d_w"]
    square: Float[Any, "d_w d_w"]
    dof: Float[Any, ""] | float


class _Missed(NamedTuple):
    """A weak model by the samples: I - P_w."""

    residual: Float[Any, "n n"]
    dof: Float[Any, ""] | float


class _Found(NamedTuple):
    """What is computed of one pair; the slopes are (weak, strong), the functions as in ``Functions``."""

    gap: Float[Any, ""]
    of_gap: tuple[Any, Any]
    of_norm: tuple[Any, Any] | None
    strong: Float[Any, "m k"]
    weak: Float[Any, "q k"]


def _by_columns(
    la: Any, second: Float[Any, "d d"], root: Float[Any, "d d"], labels: Float[Any, "d c"], ridge: Any
) -> _ByColumns:
    r"""From $\Sigma_s$ and a root L of it. Cost: $3.3 d^3$."""
    lower = la.root(la.shifted(second, ridge))
    half = la.solve(lower, root)
    head = la.solve(lower, half, transposed=True)
    return _ByColumns(la.gram(half), head, second, lower, labels, la.cross(head, labels))


def _by_rows(la: Any, kernel: Float[Any, "n n"], labels: Float[Any, "n c"], ridge: Any) -> _ByRows:
    """Cost: n^3."""
    return _ByRows(la.shifted(-ridge * la.whole_inverse(la.root(la.shifted(kernel, ridge))), 1.0), labels)


def _covered(la: Any, second: Float[Any, "d_w d_w"], seen: Float[Any, "r d_w"], ridge: Any, *, large: bool) -> _Covered:
    r"""From $\Sigma_w$ and $L^\top M_s^{-1} \Sigma_{sw}$ (or $P_s H_w / \sqrt n$). Cost: $r d_w^2 + 1.7 d_w^3$."""
    lower = la.root(la.shifted(second, ridge))
    inverse = la.triangular_inverse(lower)
    if large:
        dof = (la.product(inverse, second) * inverse).sum()
    else:
        dof = len(second) - ridge * (inverse**2).sum()
    return _Covered(la.right_solve(lower, seen), inverse, la.shifted(ridge * la.gram(inverse.T), 1.0), dof)


def _missed(la: Any, kernel: Float[Any, "n n"], ridge: Any) -> _Missed:
    """Cost: n^3."""
    inverse = la.whole_inverse(la.root(la.shifted(kernel, ridge)))
    return _Missed(ridge * inverse, (inverse * kernel).sum())


def _finish_columns(
    la: Any,
    strong: _ByColumns,
    weak: _Covered,
    cross: Float[Any, "d_w d_s"],
    labels: Float[Any, "d_w c"],
    ridge: Any,
    top: tuple[Any, Float[Any, "d 1"]] | None,
) -> _Found:
    """What follows for one pair by columns; ``top`` is the norm and its left singular vector."""
    p = strong.smoother
    inside = la.matvec(weak.inverse, labels)
    theta = la.matvec(weak.inverse, inside, transposed=True)
    f = strong.smoothed - la.matvec(weak.y, inside)
    q = la.matvec(weak.inverse, la.matvec(weak.y, f, transposed=True), transposed=True)
    missed = strong.labels - la.matvec(cross, theta, transposed=True)
    of_gap = (ridge * (q * theta).sum(), (f * (f - la.smoothed(p, f))).sum())
    if top is None:
        on_strong = la.columns(la.resolve(strong.lower, missed), la.matvec(strong.head, f))
        return _Found((f**2).sum(), of_gap, None, on_strong, la.columns(theta, q))
    norm, u = top
    z, yu = la.matvec(strong.head, u), la.matvec(weak.y, u, transposed=True)
    t = la.matvec(weak.inverse, yu, transposed=True)
    again = ridge * la.matvec(weak.inverse, la.matvec(weak.inverse, t), transposed=True)
    covered = la.matvec(weak.inverse, la.times(weak.square, yu), transposed=True)
    rest = la.times(strong.second, z) - la.matvec(cross, covered, transposed=True)
    of_norm = (ridge * (t * again).sum() / norm, norm * (1 - (u * la.smoothed(p, u)).sum()))
    on_strong = la.columns(
        la.resolve(strong.lower, missed), la.matvec(strong.head, f), la.resolve(strong.lower, rest / norm**2), z
    )
    return _Found((f**2).sum(), of_gap, of_norm, on_strong, la.columns(theta, q, t, again))


def _finish_rows(
    la: Any,
    strong: _ByRows,
    weak: _Covered | _Missed,
    rows: Float[Any, "n d_w"] | None,
    unit: Any,
    top: tuple[Any, Float[Any, "n 1"]] | None,
) -> _Found:
    """What follows for one pair on the samples; ``rows`` are those of a weak model, which ``unit`` multiplies."""
    p, y = strong.smoother, strong.labels

    def smooth(x: Any) -> Any:
        """P_w x."""
        if isinstance(weak, _Missed):
            return x - la.smoothed(weak.residual, x)
        inside = la.matvec(weak.inverse, la.matvec(rows, unit * x, transposed=True))
        return unit * la.matvec(rows, la.matvec(weak.inverse, inside, transposed=True))

    fitted = smooth(y)
    e = y - fitted
    f = la.smoothed(p, e)
    g = la.smoothed(p, f)
    h = smooth(g)
    scale = len(p) ** 0.5
    of_gap = ((h * e).sum(), (f * (f - g)).sum())
    if top is None:
        return _Found((f**2).sum(), of_gap, None, scale * la.columns(f, g), scale * la.columns(fitted, h))
    norm, u = top
    z = la.smoothed(p, u)
    seen = smooth(z)
    again = smooth(z - seen)
    of_norm = ((seen * (z - seen - again)).sum() / norm, norm * (1 - (u * z).sum()))
    on_strong, on_weak = la.columns(f, g, u, z), la.columns(fitted, h, seen, again)
    return _Found((f**2).sum(), of_gap, of_norm, scale * on_strong, scale * on_weak)


def _square_of_covered(la: Any, smoother: Any, weak: _Covered) -> Any:
    r"""$\lVert P_s (I - P_w) \rVert_F^2$, of a weak model with columns of its own. Cost: r d_w^2."""
    return la.inner(smoother, smoother) - la.inner(la.gram(weak.y), weak.square)


def _square_of_missed(la: Any, squared: Any, weak: _Missed) -> Any:
    """The same on the samples, from P_s^2. Cost: n^3."""
    return la.inner(squared, la.gram(weak.residual))


def _quadratic(
    la: Any,
    sigma_strong: Float[Any, "d_s d_s"],
    sigma_weak: Float[Any, "d_w d_w"],
    cross: Float[Any, "d_w d_s"],
    ridges: tuple[float, float],
) -> Quadratic:
    r"""The influence on the squared Frobenius norm.

    With $B = M^{-1}$, $W = B_s \Sigma_s B_s$, $N = B_w + \beta_w B_w^2$, $S = \Sigma_s - \Sigma_{sw} N \Sigma_{ws}$ and
    $Q = \Sigma_{ws} W \Sigma_{sw}$, it is $T = \operatorname{tr} W S$ and

    $$
    A = B_s S B_s + W - 2 \operatorname{sym}(W S B_s), \quad B = -2 N \Sigma_{ws} W, \quad
    D = B_w Q B_w + 2 \beta_w \operatorname{sym}(B_w^2 Q B_w).
    $$

    Cost: about $8 d_s^3 + 4 d_s^2 d_w + 10 d_w^3$.
    """
    (inverse_weak, inverse_strong) = (
        la.whole_inverse(la.root(la.shifted(sigma, ridge)))
        for sigma, ridge in zip((sigma_weak, sigma_strong), ridges, strict=True)
    )
    w = la.product(la.product(inverse_strong, sigma_strong), inverse_strong)
    squared = la.product(inverse_weak, inverse_weak)
    n = inverse_weak + ridges[0] * squared
    covered = la.product(n, cross)
    s = sigma_strong - la.cross(cross, covered)
    q = la.product(la.product(cross, w), cross.T)
    wsb = la.product(la.product(w, s), inverse_strong)
    a = la.product(la.product(inverse_strong, s), inverse_strong) + w - wsb - wsb.T
    b = -2 * la.product(covered, w)
    qb = la.product(q, inverse_weak)
    mixed = la.product(squared, qb)
    d = la.product(inverse_weak, qb) + ridges[0] * (mixed + mixed.T)
    mean = la.inner(a, sigma_strong) + la.inner(b, cross) + la.inner(d, sigma_weak)
    slopes = Slopes(2 * ridges[0] ** 2 * float(la.inner(squared, qb)), 2 * ridges[1] * float(np.trace(wsb)))
    return Quadratic(float(la.inner(w, s)), a, b, d, float(mean), slopes)


class Strong:
    r"""A strong model at its ridge, factored once for all weak models.

    Args:
        side: of the model.
        ridge: $\beta_s > 0$, at unit trace.
        label_rows: $y / \sqrt n$, (n, c), where the samples are at hand.
        label_square: mean square of the labels, summed over columns.

    Cost: $3.7 d^3$, or $2 n^3$ on the dual side.
    """

    def __init__(self, side: Side, ridge: float, label_rows: Float[np.ndarray, "n c"] | None, label_square: float):
        self.side, self.ridge, self.label_rows, self.label_square = side, ridge, label_rows, label_square

    @cached_property
    def by_columns(self) -> _ByColumns:
        """In L^T-space."""
        second = self.side.second
        assert second is not None
        try:
            root = Host().root(second)
        except ArithmeticError:
            root = np.asfortranarray(pivoted_cholesky(second.copy(order="K"), "float64").T)
        return _by_columns(Host(), second, root, self.labels_of(self.side), self.ridge)

    @cached_property
    def by_rows(self) -> _ByRows:
        """On the samples."""
        return _by_rows(Host(), self._kernel, self.label_rows, self.ridge)

    @cached_property
    def squared_rows(self) -> np.ndarray:
        """P_s^2 on the samples."""
        return Host().gram(self.by_rows.smoother)

    @cached_property
    def _kernel(self) -> np.ndarray:
        return self.side.kernel()

    @cached_property
    def rank(self) -> int:
        """Directions above rounding."""
        return self.side.rank(self._kernel if self.side.second is None else None)

    @property
    def smoother(self) -> np.ndarray:
        """P_s on the smaller side."""
        return (self.by_rows if self.side.second is None else self.by_columns).smoother

    def labels_of(self, side: Side) -> np.ndarray:
        """H^T y/n of a model."""
        if side.labels is not None:
            return side.labels
        assert self.label_rows is not None
        return side.unit * Host().cross(side.samples, self.label_rows)

    def share(self, gap: float) -> float:
        """A predicted gap as a share of the labels' mean square."""
        return gap / self.label_square if self.label_square > 0 else 1.0

    def dof(self) -> float:
        """The effective dimension."""
        return float(np.trace(self.smoother))

    @cached_property
    def top_gain(self) -> float:
        """The largest eigenvalue of P_s, which bounds the norm."""
        return largest_eigenvalue(self.smoother)


def side_of(part: Part, trace: float, *, dtype: str, center: bool) -> Side:
    """One model in units of unit trace; of samples at hand the smaller side.

    Args:
        part: of the moments.
        trace: of its second moment.
        dtype, center: as in ``Moments``.
    """
    if part.rows is None:
        assert part.second is not None and part.labels is not None
        second = np.divide(symmetric(part.second), trace, order="F")
        return Side(None, 1.0, second, np.divide(part.labels, np.sqrt(trace), order="F"), dtype, center)
    n, d = part.rows.shape
    unit = (n * trace) ** -0.5
    second = Host().gram(part.rows) * unit**2 if n > d else None
    return Side(part.rows, unit, second, None, dtype, center)


def strong_of(target: Target, trace: float, ridge: float) -> Strong:
    """The strong model and the labels of moments, at a ridge.

    Args:
        target: of the moments.
        trace: of the strong model's second moment.
        ridge: at unit trace.
    """
    side = side_of(target.strong, trace, dtype=target.dtype, center=target.center)
    rows = target.label_rows
    label_rows = None if rows is None else np.divide(rows, np.sqrt(target.n), order="F")
    return Strong(side, ridge, label_rows, float(np.trace(target.label_second)))


def trace_of(part: Part, name: str, *, dtype: str, center: bool) -> float:
    """Mean squared length of a sample; InputError where the representation is constant."""
    if part.rows is not None:
        trace = float(np.einsum("ij,ij->", part.rows, part.rows)) / len(part.rows)
    else:
        assert part.second is not None
        trace = float(np.trace(part.second))
    refuse_constant(name, trace, part.mean, center=center, dtype=dtype)
    return trace


def applies(ridges: tuple[float, float], thresholds: tuple[float, float]) -> bool:
    """Whether solves on the host do: every direction is kept, no ridge is 0, and the dense work is the host's."""
    return on_host() and max(thresholds) == 0 and 0 < min(ridges) <= max(ridges) < LARGEST_RIDGE


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
    cross: Float[np.ndarray, "d_weak d_strong"] | None,
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
    strong, side = strong_of(target, traces.strong, unit[1]), side_of(weak, traces.weak, **kind)
    unit_cross = None if cross is None else np.divide(cross, np.sqrt(traces.weak * traces.strong), order="F")
    ((_, one),) = solve(strong, [Weak(side, unit_cross, unit[0])], with_norm=with_norm)
    return SolvedPair(strong, side, one, traces, unit) if one.resolved else None


def solve(
    strong: Strong,
    weak: Sequence[Weak],
    *,
    with_norm: bool = True,
    with_sizes: bool = False,
    with_frobenius: bool = False,
) -> Iterator[tuple[int, Solved]]:
    r"""The gap of many weak models beside one strong model: the number of each and what was found, as they are done.

    Args:
        strong: the strong model.
        weak: the weak ones.
        with_norm: whether norms are asked for, or predicted gaps alone.
        with_sizes: whether ranks and Frobenius norms are, which are computed when they are asked for otherwise.
        with_frobenius: whether influences on Frobenius norms are, at $8 d_s^3 + 10 d_w^3$ more.

    Cost: $2 d_s^2 d_w + 2 d_s d_w^2 + 2 d_w^3$ a model; on the dual side $n^2 d_w + n^3$, twice that with sizes. And
    some 50 products with vectors for the norms, of all models at a time where they share the strong one.
    """
    routes: dict[str, list[int]] = {}
    for index, model in enumerate(weak):
        routes.setdefault(_route(strong.side, model.side), []).append(index)
    for route, indices in routes.items():
        solver = _columns if route == "columns" else _rows
        for index, one in zip(indices, solver(strong, [weak[index] for index in indices], with_norm), strict=True):
            if with_sizes:
                known = one.sizes()
                one = one._replace(sizes=lambda known=known: known)  # the factors may go
            if with_frobenius:
                one = one._replace(functions=one.functions._replace(frobenius=_frobenius(strong, weak[index])))
            yield index, one


def _frobenius(strong: Strong, weak: Weak) -> Quadratic:
    second_weak, second_strong = (side.whole_second() for side in (weak.side, strong.side))
    cross = weak.cross
    if cross is None:
        cross = weak.side.unit * strong.side.unit * Host().cross(weak.side.samples, strong.side.samples)
    return _quadratic(Host(), second_strong, second_weak, cross, (weak.ridge, strong.ridge))


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
    for side, cross, ridge in weak:
        if cross is None:
            cross = side.unit * strong.side.unit * la.cross(side.samples, strong.side.samples)
        crosses.append(cross)
        seen = la.cross_transposed(own.head, crosses[-1])
        models.append(_covered(la, side.second, seen, ridge, large=ridge > LARGE_RIDGE))
    tops = _covered_tops(own.smoother, models) if with_norm else [None] * len(models)
    whole, noise = la.inner(own.smoother, own.smoother), epsilon(strong.side.dtype)
    for (side, _, ridge), cross, model, top in zip(weak, crosses, models, tops, strict=True):
        labels = strong.labels_of(side)
        found = _finish_columns(la, own, model, cross, labels, ridge, None if top is None else top[:2])
        error = SQUARED * epsilon("float64") * (1 + ridge**-0.5 + strong.ridge**-0.5)
        least = [strong.share(found.gap) ** 0.5] if labels.shape[1] else []
        least += [] if top is None else [top.norm**2]
        resolved = error <= TOLERATED * min(least) and noise * (1 / ridge + 1 / strong.ridge) <= INHERITED * min(least)

        def sizes(side: Side = side, model: _Covered = model, error: float = error / TOLERATED) -> Sizes:
            square = _square_of_covered(la, own.smoother, model)
            return Sizes(side.rank(), square if square > error * whole else None)

        yield _solved(found, top, model.dof, bool(resolved), sizes, sampled=False)


def _rows(strong: Strong, weak: Sequence[Weak], with_norm: bool) -> Iterator[Solved]:
    """The strong model by the samples; weak ones by the samples too, or by their columns."""
    la, own, models, kernels = Host(), strong.by_rows, [], []
    for side, _, ridge in weak:
        if side.second is None:
            kernel = side.kernel()
            kernels.append(kernel)
            models.append(_missed(la, kernel, ridge))
        else:
            seen = side.unit * la.product(own.smoother, side.samples)
            kernels.append(None)
            models.append(_covered(la, side.second, seen, ridge, large=ridge > LARGE_RIDGE))
    tops: list[_Top] | list[None] = [None] * len(models)
    if with_norm:
        tops = (_missed_tops if isinstance(models[0], _Missed) else _covered_tops)(own.smoother, models)
    for (side, _, ridge), model, kernel, top in zip(weak, models, kernels, tops, strict=True):
        found = _finish_rows(la, own, model, side.rows, side.unit, None if top is None else top[:2])
        least = [strong.share(found.gap)] if own.labels.shape[1] else []
        least += [] if top is None else [top.norm**2]
        error = dual_error(ridge, strong.ridge) / TOLERATED

        def sizes(
            side: Side = side, model: Any = model, kernel: np.ndarray | None = kernel, error: float = error
        ) -> Sizes:
            if isinstance(model, _Missed):
                square = _square_of_missed(la, strong.squared_rows, model)
            else:
                square = _square_of_covered(la, own.smoother, model)
            return Sizes(side.rank(kernel), square if square > error**2 * len(own.smoother) else None)

        yield _solved(found, top, model.dof, bool(error <= max(min(least), 0.0) ** 0.5), sizes, sampled=True)


def _solved(
    found: _Found, top: _Top | None, dof: Any, resolved: bool, sizes: Callable[[], Sizes], *, sampled: bool
) -> Solved:
    c = (found.strong.shape[1] - (0 if top is None else 2)) // 2
    gap = float(found.gap) if c else None
    norm, second = (NAN, NAN) if top is None else (top.norm, top.second)
    of_gap = Slopes(*map(float, found.of_gap)) if c else None
    of_norm = Slopes(*map(float, found.of_norm)) if found.of_norm is not None else None
    functions = Functions(None if top is None else norm, gap, found.strong, found.weak, sampled, of_gap, of_norm)
    return Solved(norm, second, gap, float(dof), sizes, resolved, functions)


def _covered_tops(smoother: np.ndarray, models: Sequence[Any]) -> list[_Top]:
    la = Host()

    def apply(v: np.ndarray, which: np.ndarray) -> np.ndarray:
        image = la.smoothed(smoother, la.smoothed(smoother, v))
        for place, index in enumerate(which):
            model = models[index]
            seen = la.times(model.square, la.matvec(model.y, v[:, place], transposed=True))
            image[:, place] -= la.matvec(model.y, seen)
        return image

    def whole(index: int) -> np.ndarray:
        model = models[index]
        return la.gram(smoother) - la.product(la.product(model.y, model.square), model.y.T)

    return _tops(apply, whole, len(smoother), len(models))


def _missed_tops(smoother: np.ndarray, models: Sequence[Any]) -> list[_Top]:
    la = Host()

    def apply(v: np.ndarray, which: np.ndarray) -> np.ndarray:
        z = la.smoothed(smoother, v)
        for place, index in enumerate(which):
            missed = models[index].residual
            z[:, place] = la.smoothed(missed, la.smoothed(missed, z[:, place]))
        return la.smoothed(smoother, z)

    def whole(index: int) -> np.ndarray:
        return la.gram(la.product(models[index].residual, smoother))

    return _tops(apply, whole, len(smoother), len(models))
