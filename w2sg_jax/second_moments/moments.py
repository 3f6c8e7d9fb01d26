"""Moments: what is kept of the samples. Everything about a pair of models follows from them."""

from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Float

from .._errors import InputError
from ..numerics.backend import by_backend, compiled, cut, fetched, on_host, side_by_side
from ..numerics.settings import own_settings


class Part(NamedTuple):
    r"""What is kept of one representation beside the labels, in raw units.

    Attributes:
        rows: the n samples, centred if moments are; None where there are sums.
        second: $\Sigma = H^\top H / n$, or None.
        labels: $H^\top y / n$, (d, c), or None.
        mean: what was subtracted, (d,), on the host; without meaning unless centred.

    Arrays but the mean are on the device where dense work is done there, else on the host.
    """

    rows: Float[Any, "n d"] | None
    second: Float[Any, "d d"] | None
    labels: Float[Any, "d c"] | None
    mean: Float[np.ndarray, " d"]


class Target(NamedTuple):
    """What all weak models of one set of samples share.

    Attributes:
        n: samples.
        strong: the strong model.
        label_rows: the centred labels, (n, c), where the samples are at hand.
        label_mean: of the labels, (c,).
        label_second: second moment of the labels, (c, c).
        center, dtype: as in ``Moments``.
    """

    n: float
    strong: Part
    label_rows: Float[Any, "n c"] | None
    label_mean: Float[np.ndarray, " c"]
    label_second: Float[np.ndarray, "c c"]
    center: bool
    dtype: str


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["n", "mean", "mean_rest", "rows", "product"],
    meta_fields=["d_weak", "d_strong", "d_labels", "center", "dtype"],
)
@dataclass(frozen=True, eq=False)
class Moments:
    r"""Sufficient statistics of the joint vector $z = (h_w, h_s, y)$: its count, mean and second moment $J$.

    $J = Z^T Z / n$ is centred when ``center`` and always divided by $n$, never $n - 1$. While the samples are fewer
    than the columns of $z$, the samples themselves are the smaller record (the dual side): then ``rows`` holds them,
    centred, and ``product`` is None. Otherwise ``product`` holds $J$. Either one stays where it was made: on the host,
    or on an accelerator that has float64 at speed. The properties are NumPy arrays wherever that is; of the fields
    themselves take ``np.asarray`` there, since JAX's arithmetic is float32 unless 64-bit types are switched on.

    Attributes:
        n: number of samples.
        mean: mean of z, shape (d_weak + d_strong + d_labels,); weak columns first, then strong, then labels.
        mean_rest: what rounding left out of ``mean``, so that the means of two blocks can be subtracted to full
            precision even where they are large beside their difference; zero unless ``center``.
        rows: float64 samples (n, D) minus the mean when ``center``, or None.
        product: float64 second moment (D, D), or None.
        center: whether J is centred.
        dtype: the precision in which the products were accumulated, "float64" or "float32".
    """

    n: float
    mean: Float[Any, " D"]
    mean_rest: Float[Any, " D"]
    rows: Float[Any, "n D"] | None
    product: Float[Any, "D D"] | None
    d_weak: int = field(metadata={"static": True})
    d_strong: int = field(metadata={"static": True})
    d_labels: int = field(metadata={"static": True})
    center: bool = field(metadata={"static": True})
    dtype: str = field(metadata={"static": True})

    def __getstate__(self) -> dict[str, Any]:
        """What is pickled and copied: arrays of the host, since JAX reads its own back as float32."""
        return {name: fetched(value) for name, value in self.__dict__.items()}

    @property
    def second(self) -> Float[Any, "D D"]:
        """The joint second moment $J = Z^T Z / n$."""
        return self._block(slice(None), slice(None))

    @property
    def weak_columns(self) -> slice:
        """Where the weak representation stands in z."""
        return slice(0, self.d_weak)

    @property
    def strong_columns(self) -> slice:
        """Where the strong representation stands in z."""
        return slice(self.d_weak, self.d_weak + self.d_strong)

    @property
    def label_columns(self) -> slice:
        """Where the labels stand in z."""
        return slice(self.d_weak + self.d_strong, self.d_weak + self.d_strong + self.d_labels)

    @property
    def sigma_weak(self) -> Float[Any, "d_weak d_weak"]:
        r"""$\Sigma_w = H_w^T H_w / n$."""
        return self._block(self.weak_columns, self.weak_columns)

    @property
    def sigma_strong(self) -> Float[Any, "d_strong d_strong"]:
        r"""$\Sigma_s = H_s^T H_s / n$."""
        return self._block(self.strong_columns, self.strong_columns)

    @property
    def sigma_cross(self) -> Float[Any, "d_strong d_weak"]:
        r"""$\Sigma_{sw} = H_s^T H_w / n$."""
        return self._block(self.strong_columns, self.weak_columns)

    @property
    def target(self) -> Target:
        """The strong model and the labels."""
        y, mean = self.label_columns, self.mean + self.mean_rest
        label_rows = None if self.rows is None else cut(self.rows, slice(None), y)
        strong = self._part(self.strong_columns)
        return Target(self.n, strong, label_rows, mean[y], self._block(y, y), self.center, self.dtype)

    @property
    def weak(self) -> tuple[Part, Float[Any, "d_weak d_strong"] | None]:
        r"""The weak model, and $\Sigma_{ws}$ where there are sums."""
        cross = None if self.product is None else cut(self.product, self.weak_columns, self.strong_columns)
        return self._part(self.weak_columns), cross

    def _part(self, columns: slice) -> Part:
        mean = (self.mean + self.mean_rest)[columns]
        if self.rows is not None:
            return Part(cut(self.rows, slice(None), columns), None, None, mean)
        of_labels = cut(self.product, columns, self.label_columns)
        return Part(None, cut(self.product, columns, columns), of_labels, mean)

    @np.errstate(under="ignore")  # what underflows is nothing beside the rest
    def _block(self, left: slice, right: slice) -> Float[Any, "a b"]:
        if self.product is not None:
            return fetched(cut(self.product, left, right))
        assert self.rows is not None
        if on_host() or isinstance(self.rows, Tracer):
            return self.rows[:, left].T @ self.rows[:, right] / self.n
        return fetched(_cross_of_rows(cut(self.rows, slice(None), left), cut(self.rows, slice(None), right), self.n))


@own_settings()
def merge(first: Moments, second: Moments) -> Moments:
    r"""Moments of the union of two disjoint sets of samples; associative and commutative up to rounding.

    With $\delta$ the second mean minus the first, $n J = n_1 J_1 + n_2 J_2 + \frac{n_1 n_2}{n} \delta \delta^T$; the
    correction falls away when the moments are not centred.

    Args:
        first, second: moments of the same models, labels and settings.

    Returns:
        Moments of all $n = n_1 + n_2$ samples.

    Raises:
        InputError: the two differ in widths, centring or precision.

    Cost: $(d_w + d_s + c)^2$ flops and memory.
    Source: Chan, Golub and LeVeque (1979).
    """
    check_moments(first, "first")
    check_moments(second, "second")
    for name in ("d_weak", "d_strong", "d_labels", "center", "dtype"):
        one, other = getattr(first, name), getattr(second, name)
        if one != other:
            raise InputError(f"merge: {name} is {one!r} in the first moments and {other!r} in the second")
    n = first.n + second.n
    delta, mean, mean_rest = joint_mean(first.mean, first.mean_rest, second.mean, second.mean_rest, second.n / n)
    rows = product = None
    shares = first.n / n, second.n / n
    if first.rows is not None and second.rows is not None and n <= mean.shape[0]:
        shifts = (-delta * shares[1], delta * shares[0]) if first.center else (0.0, 0.0)
        rows = _stacked(first.rows, second.rows, shifts)
    else:
        products = (m.product if m.rows is None else _second_of_rows(m.rows, m.n) for m in (first, second))
        product = _merged(*products, delta, shares, center=first.center)
    return Moments(
        n, mean, mean_rest, rows, product, first.d_weak, first.d_strong, first.d_labels, first.center, first.dtype
    )


def _rows_of_both(la: Any, first: Any, second: Any, shifts: tuple[Any, Any]) -> Any:
    return la.stack(first + shifts[0], second + shifts[1])


def _product_of_both(
    la: Any, first: Any, second: Any, delta: Any, shares: tuple[Any, Any], *, center: bool
) -> Float[Any, "D D"]:
    found = first * shares[0]
    found += second * shares[1]
    if center:
        found += (delta * (shares[0] * shares[1]))[:, None] * delta[None, :]
    return found


def pair_of(target: Target, weak: Part, cross: Float[Any, "d_weak d_strong"] | None) -> Moments:
    """Moments of one pair from its parts."""
    strong = target.strong
    mean = np.concatenate([weak.mean, strong.mean, target.label_mean])
    rows = product = None
    if weak.rows is not None and strong.rows is not None and target.label_rows is not None:
        rows = side_by_side(weak.rows, strong.rows, target.label_rows)
    else:
        assert weak.labels is not None and strong.labels is not None and cross is not None
        own = (strong.second, strong.labels, target.label_second)
        product = joint_second(weak.second, cross, weak.labels, *own)
    widths = len(weak.mean), len(strong.mean), len(target.label_mean)
    return Moments(target.n, mean, np.zeros_like(mean), rows, product, *widths, target.center, target.dtype)


def joint_second(*blocks: Any) -> Any:
    r"""J from its blocks $\Sigma_w$, $\Sigma_{ws}$, $H_w^\top y/n$, $\Sigma_s$, $H_s^\top y/n$ and $y^\top y/n$."""
    return _joint_on_device(*blocks) if isinstance(blocks[0], jax.Array) else _joint(np, *blocks)


def _joint(xp: Any, weak: Any, cross: Any, weak_labels: Any, strong: Any, strong_labels: Any, labels: Any) -> Any:
    return xp.block(
        [[weak, cross, weak_labels], [cross.T, strong, strong_labels], [weak_labels.T, strong_labels.T, labels]]
    )


_joint_on_device = compiled(partial(_joint, jnp), fetch=False)
_stacked = by_backend(_rows_of_both, fetch=False)
_merged = by_backend(_product_of_both, static=("center",), fetch=False)
_second_of_rows = by_backend(lambda la, rows, n: la.gram(rows) / n, fetch=False)
_cross_of_rows = by_backend(lambda la, left, right, n: la.cross(left, right) / n)


def joint_mean(mean: Any, rest: Any, other: Any, other_rest: Any, share: Any) -> tuple[Any, Any, Any]:
    """The mean of two sets of samples in two parts, and how far the other's was; ``share`` is that of the other set.

    ``rest`` is what rounding left out of ``mean``. NumPy or JAX arrays.
    """
    delta = (other - mean) + (other_rest - rest)
    step = rest + delta * share
    moved = mean + step
    return delta, moved, step - (moved - mean)


def check_moments(m: Any, name: str) -> None:
    """Refuse what is not moments, such as the arrays themselves."""
    if not isinstance(m, Moments):
        raise InputError(f"{name}: expected Moments, as w2sg_jax.moments returns, got {type(m).__name__}")
