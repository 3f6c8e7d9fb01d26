r"""The gap operator $P_s (I - P_w)$ of a pair, from both models' principal components: any ridge and any threshold."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from .._errors import InputError
from ..numerics import rounding
from ..numerics.backend import by_backend, compiled, cut, eigenvalues_of, float64
from ..numerics.linalg import Device, product
from ..second_moments.moments import Moments
from .influence import Functions, Slopes, Turn
from .kernel import Factor, unit_trace_second
from .smoother import Parameters, by_components, effective_dimension, gains, inverse_gains
from .spectrum import Spectrum, kept, rank, spectrum, spectrum_of_rows


class Pair(NamedTuple):
    """A weak and a strong model in principal coordinates; every ridge and threshold is cheap from here.

    ``weak_components`` = F_w V_w and ``strong_components`` = F_s V_s are the principal components of the r rows that
    stand for the samples; ``label_rows`` = F_y (no columns without labels).
    """

    weak: Spectrum
    strong: Spectrum
    weak_components: Float[Any, "r k_weak"]
    strong_components: Float[Any, "r k_strong"]
    label_rows: Float[Any, "r c"]


class GapOperator(NamedTuple):
    r"""What is known of $P_s (I - P_w)$ at some ridges and thresholds.

    Attributes:
        gram: (k, k), $T^\top T$ or $T T^\top$ with the squared singular values of the operator, where dense work is
            done.
        trace: of it.
        label_gap: its squared length on the labels, in units of their second moment.
        dof_weak, dof_strong, rank_weak, rank_strong: effective dimensions and kept directions of both smoothers.
        top_gain: the largest strong gain, which bounds the norm.
    """

    gram: Float[Any, "k k"]
    trace: Float[Any, ""]
    label_gap: Float[Any, ""]
    dof_weak: Float[Any, ""]
    dof_strong: Float[Any, ""]
    rank_weak: Any
    rank_strong: Any
    top_gain: Float[Any, ""]


def make_pair(m: Moments, factor: Factor, strong: Spectrum | None = None, *, width: int | None = None) -> Pair:
    """Decompose both models once.

    Args:
        m, factor: of the pair.
        strong: eigenpairs of the strong model that are at hand.
        width: the weak model is padded to this width with columns of zeros, and F with rows of zeros, so that pairs of
            other widths share programs; what is kept stays the same.
    """
    more = 0 if width is None else width - m.d_weak
    weak_rows, strong_rows, label_rows = (
        _padded(x, 0 if factor.exact else more, columns)
        for x, columns in ((factor.weak, more), (factor.strong, 0), (factor.label_rows, 0))
    )
    weak = _spectrum(m, factor, "weak", more)
    strong = _spectrum(m, factor, "strong", 0) if strong is None else strong
    weak_components, strong_components = _components(weak_rows, weak.eigenvectors, strong_rows, strong.eigenvectors)
    return Pair(weak, strong, weak_components, strong_components, label_rows)


def _padded(x: Any, rows: int, columns: int) -> Any:
    if not (rows or columns):
        return x
    pads = ((0, rows), (0, columns))
    if not isinstance(x, jax.Array):
        return np.pad(x, pads)
    with float64():
        return jnp.pad(x, pads)


def _spectrum(m: Moments, factor: Factor, model: str, more: int) -> Spectrum:
    if factor.exact:
        return spectrum_of_rows(_padded(getattr(factor, model), 0, more), m.dtype)
    return spectrum(_padded(unit_trace_second(m, factor.traces, model), more, more), m.dtype)


def gap_operator(pair: Pair, p: Parameters) -> GapOperator:
    """$P_s (I - P_w)$ of a decomposed pair at some ridges and thresholds: float64, by one compiled program.

    Cost: $4 r k_w (k_s + c) + 2 r k_s^2$ flops for r rows, k kept directions and c label columns.
    """
    gram, *numbers = _compiled(pair, p)
    return GapOperator(gram, *jax.device_get(numbers))


def _gap_operator(pair: Pair, p: Parameters) -> GapOperator:
    r"""The operator's Gram matrix, its value on the labels, and the sizes of both smoothers: pure, vmapped over ``p``.

    The residual $E = (I - P_w) F_s V_s$ and $T = E\, \Lambda_s^{1/2} (\Lambda_s + \beta_s)^{-1}$, which has the
    singular values of $P_s (I - P_w)$: no cancellation of squares, no division by a small eigenvalue.
    """
    la = Device()
    weak = by_components(pair.weak_components, pair.weak, p.ridge_weak, p.threshold_weak)
    strong_gains = gains(pair.strong, p.ridge_strong, p.threshold_strong)
    weights = inverse_gains(pair.strong, p.ridge_strong, p.threshold_strong) * jnp.sqrt(pair.strong.eigenvalues)
    t = weak.residual(la, pair.strong_components) * weights[None, :]
    label_gap = weights[:, None] * la.cross(pair.strong_components, weak.residual(la, pair.label_rows))
    return GapOperator(
        gram=la.gram(t) if t.shape[0] >= t.shape[1] else la.gram(t.T),
        trace=(t**2).sum(),
        label_gap=(label_gap**2).sum(),
        dof_weak=effective_dimension(pair.weak, p.ridge_weak, p.threshold_weak),
        dof_strong=strong_gains.sum(),
        rank_weak=rank(pair.weak, p.threshold_weak),
        rank_strong=rank(pair.strong, p.threshold_strong),
        top_gain=strong_gains[0],
    )


@np.errstate(divide="ignore", invalid="ignore", over="ignore")  # a norm of 0 has no influence
def functions_of_pair(
    m: Moments, factor: Factor, pair: Pair, p: Parameters, norm: float | None, gap: float | None
) -> Functions:
    r"""What the influences are made of, by principal components: any ridge and any threshold.

    Args:
        m, factor, pair, p: of the pair.
        norm: of the operator; None where its influence is not asked for.
        gap: the predicted gap in squared label units; None likewise.
    """
    with float64():
        weak, strong = (
            _Model(components, s.eigenvectors, jax.device_get(inverse_gains(s, ridge, threshold)))
            for s, components, ridge, threshold in (
                (pair.weak, pair.weak_components, p.ridge_weak, p.threshold_weak),
                (pair.strong, pair.strong_components, p.ridge_strong, p.threshold_strong),
            )
        )
    values = pair.strong.eigenvalues
    weights = np.sqrt(values) * strong.inverse
    scale = np.where(strong.inverse > 0, values, np.inf) ** -0.5
    on_strong, on_weak, of_gap, of_norm, coordinates = _functions_of(
        weak, strong, pair.label_rows, factor.traces.labels**0.5, (weights, scale), norm, m.n, sampled=factor.exact
    )
    of_weak, of_strong = ([pair[side] for pair in coordinates] for side in (0, 1))
    turns = (
        _turn(pair.weak, weak.inverse, p.ridge_weak, of_weak, m.d_weak, gap is not None, -1),
        _turn(pair.strong, strong.inverse, p.ridge_strong, of_strong, m.d_strong, gap is not None, 1),
    )
    return Functions(
        norm,
        gap,
        on_strong,
        on_weak if factor.exact else on_weak[: m.d_weak],
        factor.exact,
        None if gap is None else Slopes(*map(float, of_gap)),
        None if norm is None else Slopes(*map(float, of_norm)),
        turns,
    )


class _Model(NamedTuple):
    """One model on the rows of a factor: principal components, eigenvectors, and the inverse gains of those kept."""

    components: Any
    vectors: Any
    inverse: Any

    def along(self, la: Any, x: Any) -> Any:
        """Coordinates of H^T x/n along the eigenvectors."""
        return la.cross(self.components, x)

    def smoothed(self, la: Any, x: Any) -> Any:
        """P x."""
        return la.product(self.components, self.inverse[:, None] * self.along(la, x))

    def weights(self, la: Any, x: Any) -> Any:
        """Those of P x."""
        return la.product(self.vectors, self.inverse[:, None] * self.along(la, x))


def _functions(
    la: Any,
    weak: _Model,
    strong: _Model,
    labels: Any,
    label_scale: Any,
    of_strong: tuple[Any, Any],
    norm: Any,
    n: Any,
    *,
    sampled: bool,
) -> tuple[Any, Any, tuple[Any, Any], tuple[Any, Any], list[Any]]:
    """Functions of the strong and of the weak model, the slopes of gap and norm, and coordinates for the turns.

    Args:
        of_strong: what the strong components are multiplied with for T (see ``_gap_operator``), and for functions of
            length 1.
    """
    y = labels * label_scale
    e = y - weak.smoothed(la, y)
    f = strong.smoothed(la, e)
    g = strong.smoothed(la, f)
    h = weak.smoothed(la, g)
    on_strong, on_weak, of_norm = [e, f], [y, g], (0.0, 0.0)
    of_gap = (h * e).sum(), (f * (f - g)).sum()
    coordinates = [((weak.along(la, g), weak.along(la, y)), (strong.along(la, f), strong.along(la, e)))]
    if norm is not None:
        t = strong.components - weak.smoothed(la, strong.components)
        v = la.leading_vector(la.gram(t * of_strong[0][None, :]))
        u = la.product(strong.components, of_strong[1][:, None] * v)
        z = strong.smoothed(la, u)
        r = z - weak.smoothed(la, z)
        seen, again = z - r, weak.smoothed(la, r)
        of_norm = (seen * (r - again)).sum() / norm, norm * (1 - (u * z).sum())
        on_strong += [(r - again) / norm**2, u]
        on_weak += [z, r]
        missed = (r - again) / norm
        coordinates.append(
            ((weak.along(la, z), weak.along(la, r / norm)), (strong.along(la, u), strong.along(la, missed)))
        )
    parts = []
    for model, functions in ((strong, la.columns(*on_strong)), (weak, la.columns(*on_weak))):
        parts.append(n**0.5 * model.smoothed(la, functions) if sampled else model.weights(la, functions))
    return parts[0], parts[1], of_gap, of_norm, coordinates


_functions_of = by_backend(_functions, static=("sampled",))


def _turn(
    s: Spectrum,
    inverse: np.ndarray,
    ridge: Any,
    pairs: list[tuple[np.ndarray, np.ndarray]],
    width: int,
    with_gap: bool,
    sign: int,
) -> Turn | None:
    """What a threshold adds of a model with so many columns; None where it leaves out nothing but rounding."""
    keep, values = inverse > 0, s.eigenvalues
    if not (~keep & (values > s.floor)).any():
        return None
    vectors = cut(s.eigenvectors, slice(width), slice(None))
    of_norm = pairs[1] if len(pairs) > 1 else None
    return Turn(vectors, values, keep, float(ridge), pairs[0] if with_gap else None, of_norm, sign)


def refuse_ambiguous_rank(pair: Pair, p: Parameters) -> None:
    """At ridge 0 a smoother is a projector: refuse when rounding decides its rank."""
    for name, s, ridge, threshold in (
        ("weak", pair.weak, p.ridge_weak, p.threshold_weak),
        ("strong", pair.strong, p.ridge_strong, p.threshold_strong),
    ):
        if ridge > 0:
            continue
        smallest = s.eigenvalues[np.asarray(kept(s, threshold))][-1]
        if smallest < rounding.AMBIGUOUS * s.floor:
            raise InputError(
                f"ridge: 0 for the {name} model, whose kernel is rank deficient: its smallest kept eigenvalue is"
                f" {smallest:.1e} of unit trace and rounding reaches {float(s.floor):.1e}, so rounding would decide the"
                " answer; pass a ridge > 0 (1e-8 is safe) or a threshold (1e-9)"
            )


def singular_values_of(gram: Float[Any, "k k"]) -> Float[np.ndarray, " k"]:
    """Square roots of the eigenvalues of a Gram matrix, descending."""
    return np.sqrt(np.maximum(eigenvalues_of(gram), 0.0))


def _principal_components(weak: Any, weak_vectors: Any, strong: Any, strong_vectors: Any) -> tuple[Any, Any]:
    return product(weak, weak_vectors), product(strong, strong_vectors)


_compiled, _components = compiled(_gap_operator, fetch=None), compiled(_principal_components, fetch=None)
