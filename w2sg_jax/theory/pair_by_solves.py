r"""One pair by Cholesky solves: the formulas, in the operations of ``numerics.linalg``, for the host or a device.

Functions on the samples that the strong model can express are vectors of $L^\top$-space, $L L^\top = \Sigma_s$; where
the samples are fewer than the columns of a model, they take the place (the dual side). With $M = \Sigma + \beta I$,

$$
P_s = L^\top M_s^{-1} L, \qquad Y = L^\top M_s^{-1} \Sigma_{sw} L_w^{-\top}, \quad L_w L_w^\top = M_w, \qquad
P_s (I - P_w)^2 P_s = P_s^2 - Y (I + \beta_w L_w^{-1} L_w^{-\top})\, Y^\top,
$$

whose largest eigenvalue is the squared gap norm. Nothing is formed whose errors a small ridge would blow up: squares
err by about $\varepsilon / \sqrt\beta$.
"""

from typing import Any, NamedTuple

from jaxtyping import Float

from .influence import Quadratic, Slopes


class ByColumns(NamedTuple):
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


class ByRows(NamedTuple):
    """The strong model on the samples: P_s and y / sqrt(n)."""

    smoother: Float[Any, "n n"]
    labels: Float[Any, "n c"]


class Covered(NamedTuple):
    r"""A weak model with columns of its own.

    Attributes:
        y: Y; on the samples $Q = H_w L_w^{-\top} / \sqrt n$, with $Y = P_s Q$.
        inverse: $L_w^{-1}$.
        square: $I + \beta_w L_w^{-1} L_w^{-\top}$, what stands between Y and its transpose.
        dof: the effective dimension.
    """

    y: Float[Any, "r d_w"]
    inverse: Float[Any, "d_w d_w"]
    square: Float[Any, "d_w d_w"]
    dof: Float[Any, ""] | float


class Missed(NamedTuple):
    """A weak model by the samples: I - P_w."""

    residual: Float[Any, "n n"]
    dof: Float[Any, ""] | float


class Found(NamedTuple):
    """What is computed of one pair; the slopes are (weak, strong), the functions as in ``Functions``."""

    gap: Float[Any, ""]
    of_gap: tuple[Any, Any]
    of_norm: tuple[Any, Any] | None
    strong: Float[Any, "m k"]
    weak: Float[Any, "q k"]


def by_columns(
    la: Any, second: Float[Any, "d d"], root: Float[Any, "d d"], labels: Float[Any, "d c"], ridge: Any
) -> ByColumns:
    r"""From $\Sigma_s$ and a root L of it. Cost: $3.3 d^3$."""
    lower = la.root(la.shifted(second, ridge))
    half = la.solve(lower, root)
    head = la.solve(lower, half, transposed=True)
    return ByColumns(la.gram(half), head, second, lower, labels, la.cross(head, labels))


def by_rows(la: Any, kernel: Float[Any, "n n"], labels: Float[Any, "n c"], ridge: Any) -> ByRows:
    """Cost: n^3."""
    return ByRows(la.shifted(-ridge * la.whole_inverse(la.root(la.shifted(kernel, ridge))), 1.0), labels)


def covered(la: Any, second: Float[Any, "d_w d_w"], seen: Float[Any, "r d_w"], ridge: Any, *, large: bool) -> Covered:
    r"""From $\Sigma_w$ and $L^\top M_s^{-1} \Sigma_{sw}$ (or $H_w / \sqrt n$). Cost: $r d_w^2 + 1.7 d_w^3$."""
    lower = la.root(la.shifted(second, ridge))
    inverse = la.triangular_inverse(lower)
    if large:
        dof = (la.product(inverse, second) * inverse).sum()
    else:
        dof = len(second) - ridge * (inverse**2).sum()
    return Covered(la.right_solve(lower, seen), inverse, la.shifted(ridge * la.gram(inverse.T), 1.0), dof)


def missed(la: Any, kernel: Float[Any, "n n"], ridge: Any) -> Missed:
    """Cost: n^3."""
    inverse = la.whole_inverse(la.root(la.shifted(kernel, ridge)))
    return Missed(ridge * inverse, (inverse * kernel).sum())


def finish_columns(
    la: Any,
    strong: ByColumns,
    weak: Covered,
    cross: Float[Any, "d_w d_s"],
    labels: Float[Any, "d_w c"],
    ridge: Any,
    top: tuple[Any, Float[Any, "d 1"]] | None,
) -> Found:
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
        return Found((f**2).sum(), of_gap, None, on_strong, la.columns(theta, q))
    norm, u = top
    z, yu = la.matvec(strong.head, u), la.matvec(weak.y, u, transposed=True)
    t = la.matvec(weak.inverse, yu, transposed=True)
    again = ridge * la.matvec(weak.inverse, la.matvec(weak.inverse, t), transposed=True)
    seen = la.matvec(weak.inverse, la.smoothed(weak.square, yu), transposed=True)
    rest = la.smoothed(strong.second, z) - la.matvec(cross, seen, transposed=True)
    of_norm = (ridge * (t * again).sum() / norm, norm * (1 - (u * la.smoothed(p, u)).sum()))
    on_strong = la.columns(
        la.resolve(strong.lower, missed), la.matvec(strong.head, f), la.resolve(strong.lower, rest / norm**2), z
    )
    return Found((f**2).sum(), of_gap, of_norm, on_strong, la.columns(theta, q, t, again))


def finish_rows(
    la: Any,
    strong: ByRows,
    weak: Covered | Missed,
    rows: Float[Any, "n d_w"] | None,
    unit: Any,
    top: tuple[Any, Float[Any, "n 1"]] | None,
) -> Found:
    """What follows for one pair on the samples; ``rows`` are those of a weak model, which ``unit`` multiplies."""
    p, y = strong.smoother, strong.labels

    def smooth(x: Any) -> Any:
        """P_w x."""
        if isinstance(weak, Missed):
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
        return Found((f**2).sum(), of_gap, None, scale * la.columns(f, g), scale * la.columns(fitted, h))
    norm, u = top
    z = la.smoothed(p, u)
    seen = smooth(z)
    again = smooth(z - seen)
    of_norm = ((seen * (z - seen - again)).sum() / norm, norm * (1 - (u * z).sum()))
    on_strong, on_weak = la.columns(f, g, u, z), la.columns(fitted, h, seen, again)
    return Found((f**2).sum(), of_gap, of_norm, scale * on_strong, scale * on_weak)


def seen_by(la: Any, weak: Covered, v: Float[Any, " r"]) -> Float[Any, " r"]:
    r"""What the weak model takes from $P_s^2 v$: $Y (I + \beta_w L_w^{-1} L_w^{-\top}) Y^\top v$. Cost: 4 r d_w."""
    return la.matvec(weak.y, la.smoothed(weak.square, la.matvec(weak.y, v, transposed=True)))


def missed_twice(la: Any, weak: Covered | Missed, z: Float[Any, " n"]) -> Float[Any, " n"]:
    """(I - P_w)^2 z on the samples."""
    if isinstance(weak, Missed):
        return la.smoothed(weak.residual, la.smoothed(weak.residual, z))
    return z - seen_by(la, weak, z)


def with_y(la: Any, smoother: Float[Any, "n n"], weak: Covered) -> Covered:
    """On the samples: Y in place of Q. Cost: 2 n^2 d_w."""
    return weak._replace(y=la.product(smoother, weak.y))


def square_of_covered(la: Any, smoother: Any, weak: Covered) -> Any:
    r"""$\lVert P_s (I - P_w) \rVert_F^2$, of a weak model with Y. Cost: r d_w^2."""
    return la.inner(smoother, smoother) - la.inner(la.gram(weak.y), weak.square)


def square_of_missed(la: Any, squared: Any, weak: Missed) -> Any:
    """The same on the samples, from P_s^2. Cost: n^3."""
    return la.inner(squared, la.gram(weak.residual))


def quadratic(
    la: Any,
    sigma_strong: Float[Any, "d_s d_s"],
    sigma_weak: Float[Any, "d_w d_w"],
    cross: Float[Any, "d_w d_s"],
    ridges: tuple[Any, Any],
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
    slopes = Slopes(2 * ridges[0] ** 2 * la.inner(squared, qb), 2 * ridges[1] * wsb.diagonal().sum())
    return Quadratic(la.inner(w, s), a, b, d, mean, slopes)
