"""Ridge heads on frozen representations: whole ridge paths from one factorisation, primal or dual."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._errors import InputError
from ..numerics import rounding
from ..numerics.backend import compiled
from ..numerics.checks import (
    ArrayInput,
    as_labels,
    as_ridges,
    as_samples,
    at_least_two,
    check_option,
    refuse_non_finite,
)
from ..numerics.linalg import product
from ..numerics.rounding import may_square
from ..numerics.settings import own_settings
from .spectrum import Spectrum, kept, of_second_moment


@dataclass(frozen=True, eq=False)
class RidgeHead:
    r"""Linear heads $f(x) = h(x)^\top \theta + b$, one for each ridge.

    Attributes:
        weights: (R, d, c) in the raw units of the representation.
        intercept: (R, c).
        ridges: (R,) what was added to K/n, in the units of ``scale``.
        dropped: directions at the rounding floor that were left out (the min-norm solution).
    """

    weights: Float[np.ndarray, "R d c"]
    intercept: Float[np.ndarray, "R c"]
    ridges: Float[np.ndarray, " R"]
    dropped: int

    def predict(self, h: ArrayInput) -> Float[np.ndarray, "R n c"]:
        """Outputs for representations ``h`` (n, d): one slice a ridge."""
        samples = as_samples(h, "h")
        refuse_non_finite(samples, "h")
        if samples.shape[1] != self.weights.shape[1]:
            raise InputError(f"h: {samples.shape[1]} features; the heads were fitted on {self.weights.shape[1]}")
        return np.asarray(samples).astype(np.float64) @ self.weights + self.intercept[:, None, :]


class Components(NamedTuple):
    r"""A representation factored once: $H / \sqrt n = U S V^\top$, centred and scaled.

    ``spectrum`` is S^2 and V, and (rows @ rotation)^T y is S U^T y / sqrt(n), so that the head is V (S^2 + ridge)^-1
    times it; without a rotation, ``rows`` is rotated already.
    """

    mean: Float[Array, " d"]
    scale: Float[Array, ""]
    spectrum: Spectrum
    rows: Float[Array, "n _"]
    rotation: Float[Array, "_ k"] | None
    constant: Array


class Fit(NamedTuple):
    """A path of heads in the coordinates of ``Components``: weights (R, d, c) and label means (R or 1, c)."""

    weights: Float[Array, "R d c"]
    label_mean: Float[Array, "#R c"]


@own_settings()
def ridge_path(
    h: ArrayInput, y: ArrayInput, ridges: Sequence[float], *, center: bool = True, scale: str = "trace"
) -> RidgeHead:
    r"""Fit ridge heads for every ridge, from one factorisation.

    $$
    \theta = (H^\top H/n + \beta I)^{-1} H^\top y/n = H^\top (K/n + \beta I)^{-1} y/n
    $$

    Args:
        h: (n, d) representation of the labelled samples.
        y: (n,) or (n, c) targets.
        ridges: R penalties $\beta$, each what is added to $K/n$ (mean squared error plus $\beta \lVert\theta\rVert^2$).
            0 gives the min-norm interpolator. scikit-learn's ``Ridge`` and ``KernelRidge`` have alpha = n * ridge, on
            the representation that is centred and scaled as here.
        center: subtract the means of h and y, which then form the intercept.
        scale: "trace" scales the representation to unit trace of its second moment before the ridge is added;
            "none" takes the ridge in raw units.

    Raises:
        InputError: bad shapes, NaN or Inf, a negative or NaN ridge, a constant representation.

    Cost: the smaller of $n d^2 + 9 d^3$ (primal, eigh) and $n^2 d$ (dual, thin SVD) once, then $2 d k c$ a ridge. With
    a ridge below 1e-6 of the trace the SVD is used above d samples too, about $6 n d^2$: it does not square the
    condition number, so that the min-norm limit is exact.
    Source: arXiv 2502.00620, section 2 (fine-tuning as a ridge head).
    """
    h64, y64 = labelled_samples(h, y, center=center, scale=scale)
    checked = np.array(as_ridges(ridges))
    options = {"center": center, "scale": scale, "squared": may_square(checked, scale)}
    weights, intercept, keep, constant = _raw_path(h64, y64, checked, **options)
    refuse_constant(constant)
    if not (np.isfinite(weights).all() and np.isfinite(intercept).all()):
        raise InputError("h, y: the values are finite but a fit on them overflows; divide them by a constant")
    return RidgeHead(weights, intercept, checked, h64.shape[1] - int(keep.sum()))


def labelled_samples(
    h: ArrayInput, y: ArrayInput, *, center: bool, scale: str
) -> tuple[Float[np.ndarray, "n d"], Float[np.ndarray, "n c"]]:
    """What heads are fitted on, in float64; InputError where that cannot be."""
    check_option(scale, "scale", ("trace", "none"))
    check_option(center, "center", (True, False))
    samples = as_samples(h, "h")
    targets = as_labels(y, samples.shape[0], "y")
    if center:
        at_least_two(samples.shape[0], "h")
    for array, name in ((samples, "h"), (targets, "y")):
        refuse_non_finite(array, name)
    return np.asarray(samples).astype(np.float64), np.asarray(targets).astype(np.float64)


def refuse_constant(constant: Array | np.ndarray) -> None:
    """InputError where that is so of a representation."""
    if constant:
        raise InputError("h: the representation is constant (the same for every sample); there is nothing to fit on")


def components(h: Float[Array, "n d"], *, center: bool, scale: str, squared: bool) -> Components:
    """Factor a representation for heads: pure, on the smaller side, or by the SVD unless ``squared`` is allowed."""
    n, d = h.shape
    mean = h.mean(axis=0) if center else jnp.zeros(d, h.dtype)
    a = (h - mean[None, :]) / jnp.sqrt(jnp.asarray(n, h.dtype))
    constant = jnp.abs(a).max() <= rounding.CONSTANT * rounding.epsilon(h.dtype) * jnp.abs(mean).max()
    if scale == "trace":
        largest = jnp.where(constant, 1.0, jnp.abs(a).max())  # so that no square overflows
        unit = largest * jnp.sqrt(((a / largest) ** 2).sum())
    else:
        unit = jnp.ones((), h.dtype)
    a = a / jnp.where(constant, 1.0, unit)
    if n > d and squared:
        values, basis = of_second_moment(product(a.T, a))
        rows, rotation = a, basis
        floor = rounding.floor(values[0], d, h.dtype)
    else:
        left, singular, right = jnp.linalg.svd(a, full_matrices=False)
        values, basis, rows, rotation = singular**2, right.T, left * singular[None, :], None
        floor = rounding.floor_of_singular_values(values[0], max(n, d), h.dtype)
    rows = rows / jnp.sqrt(jnp.asarray(n, h.dtype))
    return Components(mean, unit, Spectrum(values, basis, floor), rows, rotation, constant)


def fit(parts: Components, y: Float[Array, "#R n c"], ridges: Float[Array, " R"], *, center: bool) -> Fit:
    """Heads for R ridges, each on its own targets (or on the same ones, R or 1 slices): pure."""
    label_mean = y.mean(axis=1) if center else jnp.zeros((y.shape[0], y.shape[2]), y.dtype)
    moments = product(parts.rows.T, y - label_mean[:, None, :])
    if parts.rotation is not None:
        moments = product(parts.rotation.T, moments)
    keep = kept(parts.spectrum)[None, :]
    regular = jnp.where(keep, parts.spectrum.eigenvalues[None, :] + ridges[:, None], 1.0)
    inverse = jnp.where(keep, 1.0 / regular, 0.0)
    return Fit(product(parts.spectrum.eigenvectors, inverse[:, :, None] * moments), label_mean)


def outputs(parts: Components, heads: Fit, h: Float[Array, "m d"]) -> Float[Array, "R m c"]:
    """Predictions of a path of heads on new representations: pure."""
    centred = (h - parts.mean[None, :]) / parts.scale
    return product(centred, heads.weights) + heads.label_mean[:, None, :]


def _path_in_raw_units(h, y, ridges, *, center, scale, squared):
    """Weights and intercepts for the representation as it came; which directions were kept; whether it is constant."""
    parts = components(h, center=center, scale=scale, squared=squared)
    heads = fit(parts, y[None], ridges, center=center)
    weights = heads.weights / parts.scale
    return weights, heads.label_mean - product(parts.mean, weights), kept(parts.spectrum), parts.constant


_raw_path = compiled(_path_in_raw_units, static=("center", "scale", "squared"))
