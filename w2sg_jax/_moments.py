"""Moments: the one pass over the samples. Everything about a pair of models follows from them."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from ._errors import InputError
from ._inputs import (
    Array,
    ArrayInput,
    as_count,
    as_labels,
    as_samples,
    at_least_two,
    check_option,
    refuse_non_finite,
    refuse_overflow,
    same_rows,
)
from ._linalg import Device, Host

BLOCK_BYTES = 1 << 26


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["n", "mean", "mean_rest", "rows", "product"],
    meta_fields=["d_weak", "d_strong", "d_labels", "center", "dtype"],
)
@dataclass(frozen=True, eq=False)
class Moments:
    """Sufficient statistics of the joint vector z = (h_w, h_s, y): its count, mean and second moment J.

    J = Z^T Z / n is centred when ``center`` and always divided by n, never n - 1. While the samples are fewer than
    the columns of z, the samples themselves are the smaller record (the dual side): then ``rows`` holds them,
    centred, and ``product`` is None. Otherwise ``product`` holds J.

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

    @property
    def second(self) -> Float[Any, "D D"]:
        """The joint second moment J = Z^T Z / n."""
        if self.product is not None:
            return self.product
        assert self.rows is not None
        return self.rows.T @ self.rows / self.n

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
        """Sigma_w = H_w^T H_w / n."""
        return self._block(self.weak_columns, self.weak_columns)

    @property
    def sigma_strong(self) -> Float[Any, "d_strong d_strong"]:
        """Sigma_s = H_s^T H_s / n."""
        return self._block(self.strong_columns, self.strong_columns)

    @property
    def sigma_cross(self) -> Float[Any, "d_strong d_weak"]:
        """Sigma_sw = H_s^T H_w / n."""
        return self._block(self.strong_columns, self.weak_columns)

    def _block(self, left: slice, right: slice) -> Float[Any, "a b"]:
        if self.product is not None:
            return self.product[left, right]
        assert self.rows is not None
        return self.rows[:, left].T @ self.rows[:, right] / self.n


def moments(
    weak: ArrayInput,
    strong: ArrayInput,
    labels: ArrayInput | None = None,
    *,
    center: bool = True,
    dtype: str = "float64",
    block_rows: int | None = None,
) -> Moments:
    """Accumulate the moments of a weak and a strong representation of the same samples, in one pass.

    J = (1/n) sum_i (z_i - mean)(z_i - mean)^T with z = (h_w, h_s, y), block by block; blocks are centred by their
    own means and merged with the mean-difference correction of Chan, Golub and LeVeque, so that an offset costs no
    digits. Never forms an n x n matrix.

    Args:
        weak: (n, d_weak) representation by the weak model; NumPy, JAX or torch, any real dtype. Narrow floats are
            upcast a block at a time.
        strong: (n, d_strong) representation of the same samples by the strong model.
        labels: (n,) or (n, c) labels, or None. They are numbers here: for more than two classes pass one-hot columns
            (``np.eye(classes)[y]``), not codes.
        center: subtract means (labels too). False gives the paper's raw second moments.
        dtype: precision of the products, "float64" or "float32" (full float32: TF32 and bfloat16 products are
            pinned off). Blocks are merged in float64 either way, and the result is float64.
        block_rows: rows a block; by default about 64 MiB of float64.

    Returns:
        Moments, NumPy float64.

    Raises:
        InputError: different n, empty, one sample, NaN or Inf (by row and column), wrong rank or kind of numbers.

    Cost: n (d_weak + d_strong + c)^2 flops on the CPU, where the symmetric product is used; memory
    (d_weak + d_strong + c)^2 and one block. Source: arXiv 2502.00620, section 3 (the kernels); Chan, Golub and
    LeVeque (1979) for the merge.
    """
    check_option(dtype, "dtype", ("float64", "float32"))
    check_option(center, "center", (True, False))
    weak, strong = as_samples(weak, "weak"), as_samples(strong, "strong")
    n = same_rows((weak, strong), ("weak", "strong"))
    parts: list[Array] = [weak, strong]
    names = ["weak", "strong"]
    if labels is not None:
        parts.append(as_labels(labels, n))
        names.append("labels")
    if center:
        at_least_two(n, "weak")
    block_rows = None if block_rows is None else as_count(block_rows, "block_rows", 1)
    widths = [part.shape[1] for part in parts] + [0] * (3 - len(parts))
    result = _accumulate(parts, n, widths, center, dtype, block_rows)
    _refuse_bad_values(result, parts, names)
    return result


def merge(first: Moments, second: Moments) -> Moments:
    """Moments of the union of two disjoint sets of samples; associative and commutative up to rounding.

    With delta = mean_2 - mean_1:  n J = n_1 J_1 + n_2 J_2 + (n_1 n_2 / n) delta delta^T  (Chan, Golub and LeVeque);
    the correction falls away when the moments are not centred.

    Args:
        first, second: moments of the same models, labels and settings.

    Raises:
        InputError: the two differ in widths, centring or precision.

    Cost: (d_weak + d_strong + c)^2.
    """
    check_moments(first, "first")
    check_moments(second, "second")
    for name in ("d_weak", "d_strong", "d_labels", "center", "dtype"):
        one, other = getattr(first, name), getattr(second, name)
        if one != other:
            raise InputError(f"merge: {name} is {one!r} in the first moments and {other!r} in the second")
    n = first.n + second.n
    delta = (second.mean - first.mean) + (second.mean_rest - first.mean_rest)
    step = first.mean_rest + delta * (second.n / n)
    mean = first.mean + step
    mean_rest = step - (mean - first.mean)
    rows = product = None
    if first.rows is not None and second.rows is not None and n <= mean.shape[0]:
        shifts = (-delta * (second.n / n), delta * (first.n / n)) if first.center else (0.0, 0.0)
        rows = np.concatenate([first.rows + shifts[0], second.rows + shifts[1]])
    else:
        product = first.second * (first.n / n)
        product += second.second * (second.n / n)
        if first.center:
            product += np.multiply.outer(delta * (first.n * second.n / n**2), delta)
    return Moments(
        n, mean, mean_rest, rows, product, first.d_weak, first.d_strong, first.d_labels, first.center, first.dtype
    )


def check_moments(m: Any, name: str) -> None:
    """Refuse what is not moments, such as the arrays themselves."""
    if not isinstance(m, Moments):
        raise InputError(f"{name}: expected Moments, as w2sg_jax.moments returns, got {type(m).__name__}")


def _accumulate(
    parts: list[Array], n: int, widths: list[int], center: bool, dtype: str, block_rows: int | None
) -> Moments:
    total, buffer = None, None
    for block in _blocks(parts, n, sum(widths), block_rows):
        rows = block[0].shape[0]
        if rows > sum(widths) and (_on_accelerator(block) or jax.default_backend() != "cpu"):
            block_moments = _on_device(block, widths, center, dtype)
        else:
            buffer = np.empty((rows, sum(widths))) if buffer is None else buffer[:rows]
            block_moments = _on_host(block, widths, center, dtype, buffer)
        total = block_moments if total is None else merge(total, block_moments)
    assert total is not None
    return total


def _blocks(parts: list[Array], n: int, width: int, block_rows: int | None) -> Iterator[list[Array]]:
    """Slices of equal size, about 64 MiB of float64 each (one whole block where the dual side is kept)."""
    most = block_rows or max(1024, BLOCK_BYTES // (8 * width))
    if block_rows is None and n <= width:
        most = n
    count = -(-n // most)
    step = -(-n // count)
    for start in range(0, n, step):
        yield [part[start : start + step] for part in parts]


def _on_device(block: list[Array], widths: list[int], center: bool, dtype: str) -> Moments:
    with jax.enable_x64(True):
        mean, mean_rest, product = jax.device_get(_device_product(tuple(block), center=center, dtype=dtype))
    return Moments(
        float(block[0].shape[0]), mean, mean_rest, None, product, widths[0], widths[1], widths[2], center, dtype
    )


def _on_host(block: list[Array], widths: list[int], center: bool, dtype: str, joint: np.ndarray) -> Moments:
    """``joint`` is room for the block's rows in float64."""
    n = len(joint)
    ends = np.cumsum(widths)
    for part, start, stop in zip(block, ends - widths, ends, strict=False):
        joint[:, start:stop] = np.asarray(part)
    with np.errstate(invalid="ignore", over="ignore"):
        mean = joint.mean(axis=0)
        mean_rest = np.zeros_like(mean)
        if center:
            joint -= mean
            mean_rest = joint.mean(axis=0)
            joint -= mean_rest
        if n <= sum(widths):
            rows, product = joint.astype(dtype).astype(np.float64), None
        else:
            rows, product = None, Host().gram(joint.astype(dtype, copy=False)).astype(np.float64) / n
    return Moments(float(n), mean, mean_rest, rows, product, widths[0], widths[1], widths[2], center, dtype)


@partial(jax.jit, static_argnames=("center", "dtype"))
def _device_product(block: tuple[jax.Array, ...], *, center: bool, dtype: str) -> tuple[jax.Array, ...]:
    joint = jnp.concatenate([part.astype(jnp.float64) for part in block], axis=1)
    mean = joint.mean(axis=0)
    mean_rest = (joint - mean).mean(axis=0) if center else jnp.zeros_like(mean)
    x = (joint - mean - mean_rest if center else joint).astype(dtype)
    return mean, mean_rest, Device().gram(x).astype(jnp.float64) / x.shape[0]


def _on_accelerator(block: list[Array]) -> bool:
    return any(
        isinstance(part, jax.Array) and any(device.platform != "cpu" for device in part.devices()) for part in block
    )


def _refuse_bad_values(result: Moments, parts: list[Array], names: list[str]) -> None:
    if np.isfinite(result.rows if result.rows is not None else result.second).all():
        return
    for part, name in zip(parts, names, strict=True):
        refuse_non_finite(part, name)
    columns = (result.weak_columns, result.strong_columns, result.label_columns)
    sizes = result.second.diagonal()
    overflown = [name for name, c in zip(names, columns, strict=False) if not np.isfinite(sizes[c]).all()]
    refuse_overflow(" and ".join(overflown or names))
