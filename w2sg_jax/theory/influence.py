r"""How much each sample moves the predicted gap and the gap norm: intervals without resampling.

The influence of sample i on a quantity is its derivative in the weight of that sample, so that the standard error over
samples is sd(influence) / sqrt(n). For the operator $A = P_s (I - P_w)$ between two functions u and v on the samples,

$$
\partial_i \langle u, A v \rangle = z_i (e_i - f_i) - h_i e_i
    - |x_{s,i}|^2 \, \tfrac1n \langle f, u - z \rangle + |x_{w,i}|^2 \, \tfrac1n \langle h, e \rangle,
\qquad e = (I - P_w) v, \quad f = P_s e, \quad z = P_s u, \quad h = P_w z,
$$

where u and v are kept as they are, and the two squared lengths come from the division by the trace: they are 1 in raw
units. A threshold adds what the principal subspace turns by (``turn``). The centring of representations and labels is
in it: it changes the second moments in second order alone.

Sources: ours. Hampel (1974) for influence functions; Kato for the perturbation of the principal subspace.
"""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float


class Seen(NamedTuple):
    r"""What both smoothers make of u and v on the samples; several columns are added up.

    Attributes:
        u, z: u and $P_s u$.
        e, f: $(I - P_w) v$ and $P_s (I - P_w) v$.
        h: $P_w P_s u$.
    """

    u: Float[Any, "n c"]
    z: Float[Any, "n c"]
    e: Float[Any, "n c"]
    f: Float[Any, "n c"]
    h: Float[Any, "n c"]


class Squares(NamedTuple):
    """The squared length of each sample in units of unit trace, (n,); 1 in raw units, where no trace is divided by."""

    weak: Any
    strong: Any


class Slopes(NamedTuple):
    r"""What the quantity would change with the logarithm of each ridge, with the sign that the influence has.

    Attributes:
        weak: $\langle h, e \rangle / n$.
        strong: $\langle f, u - z \rangle / n$.
    """

    weak: Any
    strong: Any


def of_operator(
    seen: Seen, squares: Squares, slopes: Slopes, turned: Float[Any, " n"] | float = 0.0
) -> Float[Any, " n"]:
    r"""The influence of each sample on $\langle u, P_s (I - P_w) v \rangle / n$ where u and v are fixed functions.

    Args:
        seen: of u and v.
        squares: of the samples.
        slopes: over all samples, of which those in ``seen`` may be a part.
        turned: what a threshold adds, by ``turn``.

    Cost: a few passes over n numbers.
    """
    _, z, e, f, h = seen
    by_ridges = squares.weak * slopes.weak - squares.strong * slopes.strong
    return (z * (e - f) - h * e).sum(axis=1) + by_ridges + turned


def of_predicted_gap(
    value: Float[Any, ""] | float,
    seen: Seen,
    squares: Squares,
    slopes: Slopes,
    turned: Float[Any, " n"] | float = 0.0,
) -> Float[Any, " n"]:
    r"""The influence on the predicted gap $\lVert P_s (I - P_w) y \rVert^2 / n$, of u = f and v = y."""
    return (seen.f**2).sum(axis=1) - value + 2 * of_operator(seen, squares, slopes, turned)


def of_singular_value(
    value: Float[Any, ""] | float,
    seen: Seen,
    v: Float[Any, "n 1"],
    squares: Squares,
    slopes: Slopes,
    turned: Float[Any, " n"] | float = 0.0,
) -> Float[Any, " n"]:
    r"""The influence on a simple singular value s of $P_s (I - P_w)$.

    Args:
        seen: of its singular pair, u on the strong side and v on the weak one, each of mean square 1.
        v: on the samples.
        squares, slopes, turned: as in ``of_operator``.
    """
    weights = (seen.u * seen.f).sum(axis=1) - value / 2 * (seen.u**2 + v**2).sum(axis=1)
    return weights + of_operator(seen, squares, slopes, turned)


def turn(
    kept: Float[Any, "n k"],
    dropped: Float[Any, "n m"],
    kept_eigenvalues: Float[Any, " k"],
    dropped_eigenvalues: Float[Any, " m"],
    ridge: Any,
    left: tuple[Float[Any, " k"], Float[Any, " m"]],
    right: tuple[Float[Any, " k"], Float[Any, " m"]],
    between: Float[Any, "k m"] | None = None,
) -> Float[Any, " n"]:
    r"""What sample i changes of $a^\top F(\Sigma)\, c$ by turning the principal subspace.

    F is $1 / (\lambda + \beta)$ on that subspace and 0 on the rest.

    $$\sum_{j \text{ kept},\, k \text{ dropped}} \frac{x_{ij} x_{ik} (a_j c_k + a_k c_j)}
        {(\lambda_j + \beta) (\lambda_j - \lambda_k)}$$

    Args:
        kept, dropped: the samples' coordinates along eigenvectors that are kept and that are not.
        kept_eigenvalues, dropped_eigenvalues: of those.
        ridge: $\beta$.
        left, right: a and c, each by its coordinates along the kept and along the dropped eigenvectors.
        between: 1 for pairs that are of a kept and a dropped one, 0 for others, where all eigenvectors are given twice.

    Cost: 2 n k m flops.
    """
    weights = left[0][:, None] * right[1][None, :] + right[0][:, None] * left[1][None, :]
    gaps = (kept_eigenvalues + ridge)[:, None] * (kept_eigenvalues[:, None] - dropped_eigenvalues[None, :])
    weights = weights / gaps if between is None else weights * between / (gaps * between + (1 - between))
    return ((kept @ weights) * dropped).sum(axis=1)


class Turn(NamedTuple):
    r"""A model whose threshold leaves directions out, for ``turn``.

    Attributes:
        vectors, eigenvalues: all of its principal components, (d, k) and (k,).
        keep: (k,), those that are kept.
        ridge: at unit trace.
        of_gap, of_norm: a and c of either quantity along the eigenvectors, (k, columns) each; or None.
        sign: with which the turn enters.
    """

    vectors: Float[Any, "d k"]
    eigenvalues: Float[Any, " k"]
    keep: Bool[Any, " k"]
    ridge: Any
    of_gap: tuple[Any, Any] | None
    of_norm: tuple[Any, Any] | None
    sign: Any

    def on(self, rows: Float[Any, "n d"]) -> tuple[Float[Any, " n"] | float, Float[Any, " n"] | float]:
        """What the turn adds of these samples (unit trace) to the influence on the gap and on the norm.

        In a program, where shapes do not depend on what is kept, all eigenvectors take both places.
        """
        along, keep, between = rows @ self.vectors, self.keep, None
        if isinstance(keep, np.ndarray):
            places = (keep, ~keep)
        else:
            places = (slice(None), slice(None))
            inside = keep.astype(along.dtype)
            between = inside[:, None] * (1 - inside)[None, :]
        kept, dropped = (along[:, place] for place in places)
        values = self.eigenvalues[places[0]], self.eigenvalues[places[1]]
        found = []
        for pair in (self.of_gap, self.of_norm):
            total = 0.0
            for a, c in zip(*(x.T for x in pair), strict=True) if pair else ():
                left, right = ((x[places[0]], x[places[1]]) for x in (a, c))
                total += self.sign * turn(kept, dropped, *values, self.ridge, left, right, between)
            found.append(total)
        return found[0], found[1]


class Quadratic(NamedTuple):
    r"""The influence on $T = \lVert P_s (I - P_w) \rVert_F^2$ as a form in the samples,
    $x_s^\top A x_s + x_w^\top B x_s + x_w^\top D x_w$ and what the traces add.

    Attributes:
        square: T.
        strong, cross, weak: A (d_s, d_s), B (d_w, d_s), D (d_w, d_w).
        mean: of the form over all samples.
        slopes: what T changes with the logarithm of each ridge.
    """

    square: Any
    strong: Float[Any, "d_s d_s"]
    cross: Float[Any, "d_w d_s"]
    weak: Float[Any, "d_w d_w"]
    mean: Any
    slopes: Slopes

    def on(self, weak: Float[Any, "n d_w"], strong: Float[Any, "n d_s"]) -> Float[Any, " n"]:
        """Of some samples (unit trace), without what the traces add. Cost: 2 n (d_s^2 + d_w d_s + d_w^2)."""
        form = ((strong @ self.strong + weak @ self.cross) * strong).sum(axis=1)
        return form + ((weak @ self.weak) * weak).sum(axis=1) - self.mean


class Functions(NamedTuple):
    r"""What the influences of one pair are made of: functions on the samples, or the weights that give them.

    Attributes:
        norm: the gap norm; None where it was not asked for.
        gap: the predicted gap in squared label units; None without labels.
        strong: $f = P_s (I - P_w) y$ and $P_s f$, a column a label each; then u and $P_s u$ of the norm.
        weak: $P_w y$ and $P_w P_s f$, likewise; then $P_w z$ and $P_w r$ of $z = P_s u$ and $r = (I - P_w) z$.
        sampled: whether these are values on the samples; else weights, to be multiplied with samples of unit trace.
        of_gap, of_norm: slopes of either.
        turns: of the weak and of the strong model, where a threshold leaves directions out.
        frobenius: of the Frobenius norm, where it was asked for.
        squares: the squared length of each sample, where it is known: of values on the samples, so that these need not
            be read again.
    """

    norm: Any
    gap: Any
    strong: Float[Any, "m k"]
    weak: Float[Any, "q k"]
    sampled: bool
    of_gap: Slopes | None
    of_norm: Slopes | None
    turns: tuple[Turn | None, Turn | None] = (None, None)
    frobenius: Quadratic | None = None
    squares: Squares | None = None

    @property
    def needs_samples(self) -> bool:
        """Whether influences need the samples once more."""
        return not self.sampled or self.squares is None or self.turns != (None, None) or self.frobenius is not None


def influences(
    functions: Functions,
    strong: Float[Any, "n k"],
    weak: Float[Any, "n k"],
    labels: Float[Any, "n c"],
    squares: Squares,
    turned: tuple[Float[Any, " n"] | float, Float[Any, " n"] | float] = (0.0, 0.0),
) -> tuple[Float[Any, " n"] | None, Float[Any, " n"] | None]:
    """The influence of some samples on the predicted gap and on the norm; None for what was not asked for.

    Args:
        functions: of the pair.
        strong, weak: their values on these samples.
        labels: centred as the moments are.
        squares: of these samples.
        turned: what thresholds add to either.
    """
    c, gap, norm = labels.shape[1], None, None
    if functions.gap is not None and functions.of_gap is not None:
        f, g, fitted, h = strong[:, :c], strong[:, c : 2 * c], weak[:, :c], weak[:, c : 2 * c]
        gap = of_predicted_gap(functions.gap, Seen(f, g, labels - fitted, f, h), squares, functions.of_gap, turned[0])
    if functions.norm is not None and functions.of_norm is not None:
        u, z, seen, again = strong[:, -2:-1], strong[:, -1:], weak[:, -2:-1], weak[:, -1:]
        v = (z - seen) / functions.norm
        e = v - again / functions.norm
        pair = Seen(u, z, e, functions.norm * u, seen)
        norm = of_singular_value(functions.norm, pair, v, squares, functions.of_norm, turned[1])
    return gap, norm


def summed_by_group(influence: Float[np.ndarray, "n *k"], groups: np.ndarray | None) -> Float[np.ndarray, "g *k"]:
    """Influences of whole groups of rows that belong together, such as those of one question; rows without groups."""
    if groups is None:
        return influence
    names, group = np.unique(groups, return_inverse=True)
    total = np.zeros((len(names), *influence.shape[1:]))
    np.add.at(total, group, influence)
    return total


def covariance(influence: Float[np.ndarray, "n k"], groups: np.ndarray | None = None) -> Float[np.ndarray, "k k"]:
    r"""Covariance over samples of k estimates, $\sum_g \psi_g \psi_g^\top / n^2$, in units of their influences.

    Args:
        influence: of each sample on each estimate; of mean 0.
        groups: (n,), which rows belong together, if any do.
    """
    total = summed_by_group(influence, groups)
    return total.T @ total / len(influence) ** 2
