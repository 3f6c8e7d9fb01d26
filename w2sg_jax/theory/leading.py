r"""The leading singular values of $P_s (I - P_w)$ alone: Lanczos with Cholesky factors, or principal components
alone."""

from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Float

from .._errors import InputError
from ..numerics.backend import by_backend, compiled, cut, divided, eigenvalues_of, fetched, on_host, resident
from ..numerics.checks import as_count, as_ridge, as_threshold
from ..numerics.lanczos import lanczos, relative
from ..numerics.linalg import Device, Host
from ..numerics.rounding import TOLERATED, epsilon
from ..numerics.settings import own_settings
from ..second_moments.moments import Moments, check_moments
from .gap import gap
from .kernel import Traces, traces_of, unit_trace_second
from .smoother import InverseResolvent, SpectralResolvent, covered, unit_trace_ridges
from .spectrum import principal

TOLERANCE = 1e-8
"""Of the residual, relative; a singular value is right to half of it."""


@dataclass(frozen=True, eq=False)
class LeadingGap:
    r"""The gap norm of wide representations, and how it was found.

    Attributes:
        norm: $\lVert P_s (I - P_w) \rVert_{op}$, as in ``Gap``.
        singular_values: the leading ones of P_s (I - P_w), descending.
        residual: how far the iterations were from the end. Of Lanczos, |G v - s^2 v| / s^2 of the worst pair (s, v),
            G = T^T T: no s is off by more than half of it, relative. Of principal components, the angle by which the
            subspace may be off. 0 where the full computation was done.
        method: "lanczos"; "principal" where the strong model has a threshold; or "full" where the full computation was
            done, because the iterations did not converge, a representation is close to rank deficient, or the norm is
            too small for the squared form.
        products: times that G was applied.
        rank_weak, rank_strong: kept directions; all of them without a threshold.
        dof_weak, dof_strong: effective dimensions tr P.
        ridge_weak, ridge_strong: what was added to K/n, in the units of ``scale``.
        threshold_weak, threshold_strong: share of the largest eigenvalue below which directions were left out.
    """

    norm: float
    singular_values: Float[np.ndarray, " count"]
    residual: float
    method: str
    products: int
    rank_weak: int
    rank_strong: int
    dof_weak: float
    dof_strong: float
    ridge_weak: float
    ridge_strong: float
    threshold_weak: float
    threshold_strong: float
    n: int
    scale: str

    def to_dict(self) -> dict[str, Any]:
        """Plain Python values, ready for JSON."""
        return asdict(self) | {"singular_values": self.singular_values.tolist()}


@own_settings()
def leading_gap(
    m: Moments,
    ridge: float | tuple[float, float] = 1e-2,
    threshold: float | tuple[float, float] = 0.0,
    *,
    count: int = 1,
    scale: str = "trace",
) -> LeadingGap:
    r"""Compute the gap norm alone, for representations so wide that ``gap`` takes long.

    With $M = \Sigma + \beta I$ and $R R^\top = \Sigma_s$, the squares of the singular values are the eigenvalues of

    $$
    G = R^\top M_s^{-1} S M_s^{-1} R, \qquad
    S = \Sigma_s - \Sigma_{sw} (M_w^{-1} + \beta_w M_w^{-2})\, \Sigma_{ws} = H_s^\top (I - P_w)^2 H_s / n,
    $$

    which is applied to vectors and never formed. A model with a threshold enters by its principal components alone; if
    the strong one has few, G is as small and is formed.

    Args:
        m: moments of the pair.
        ridge, threshold, scale: as in ``gap``.
        count: how many singular values.

    Returns:
        LeadingGap.

    Raises:
        InputError: as ``gap``.

    Cost: $d^3$ for a model without a threshold (Cholesky factors and an inverse), $2 d^2 m$ with one, m being a few
    times the directions kept; and about $5 d^2$ numbers read for each product with G. Memory beyond the moments: a half
    of them ($d = d_w = d_s$). The squared form leaves an absolute error of about $\varepsilon / (\beta_s \beta_w)$ in
    the squared norm: where that is too much, the full computation is done instead.
    Source: arXiv 2502.00620, the label-free bound of the main theorem.
    """
    check_moments(m, "m")
    ridges, thresholds, count, traces = (
        as_ridge(ridge),
        as_threshold(threshold),
        as_count(count, "count", 1),
        traces_of(m),
    )
    if count >= m.d_strong - 1:
        raise InputError(f"count: got {count} of {m.d_strong} singular values; w2sg_jax.gap computes all of them")
    unit = unit_trace_ridges(ridges, traces, scale)
    found = None if m.rows is not None else _iterated(m, traces, unit, thresholds, count)
    if found is None:
        found = _full(m, ridge, threshold, count, scale)
    return LeadingGap(
        norm=float(found.singular_values[0]),
        **found._asdict(),
        ridge_weak=ridges[0],
        ridge_strong=ridges[1],
        threshold_weak=thresholds[0],
        threshold_strong=thresholds[1],
        n=int(m.n),
        scale=scale,
    )


class _Found(NamedTuple):
    """The fields of ``LeadingGap`` that are computed."""

    singular_values: np.ndarray
    residual: float
    method: str
    products: int
    rank_weak: int
    rank_strong: int
    dof_weak: float
    dof_strong: float


class _Model(NamedTuple):
    r"""One model as the iterations need it, and its sizes.

    Attributes:
        resolvent: $(\Sigma + \beta I)^{-1}$, of every direction or of principal components.
        root: R with $R R^\top = \Sigma$, its lower half, where it is needed.
        rank: kept directions.
        dof: effective dimension.
        as_strong, as_weak: largest $\lambda / (\lambda + \beta)^2$ and $1 / (\lambda + \beta)$: by how much rounding of
            the moments grows where the model is the strong or the weak one.
        residual: of the principal components; 0 for every direction.
    """

    resolvent: InverseResolvent | SpectralResolvent
    root: Any | None
    rank: int
    dof: float
    as_strong: float
    as_weak: float
    residual: float


def _full(m: Moments, ridge: Any, threshold: Any, count: int, scale: str) -> _Found:
    g = gap(m, ridge, threshold, scale=scale)
    return _Found(g.singular_values[:count], 0.0, "full", 0, g.rank_weak, g.rank_strong, g.dof_weak, g.dof_strong)


def _iterated(
    m: Moments, traces: Traces, ridges: tuple[float, float], thresholds: tuple[float, float], count: int
) -> _Found | None:
    """The singular values by iterations, or None where they do not do."""
    models: list[_Model] = []
    for name, ridge, threshold in zip(("weak", "strong"), ridges, thresholds, strict=True):
        sigma = unit_trace_second(m, traces, name)
        if threshold > 0:
            model = _of_components(sigma, ridge, threshold)
        else:
            model = _of_every_direction(sigma, ridge, with_root=name == "strong")
        if model is None:
            return None
        models.append(model)
    weak, strong = models
    cross = divided(cut(m.product, m.weak_columns, m.strong_columns), traces.weak**0.5 * traces.strong**0.5)
    found = (_by_components if strong.root is None else _by_lanczos)(weak, strong, cross, count)
    if found is None:
        return None
    values, residual, products = found
    rounding = epsilon(m.dtype) * strong.as_strong * (2 + weak.as_weak)
    if not values[-1] > 0 or rounding / values[-1] > 2 * TOLERATED:
        return None
    residual = max(residual, weak.residual, strong.residual)
    method = "lanczos" if products else "principal"
    return _Found(np.sqrt(values), residual, method, products, weak.rank, strong.rank, weak.dof, strong.dof)


def _of_every_direction(sigma: Float[Any, "d d"], ridge: float, *, with_root: bool) -> _Model | None:
    """None at ridge 0 and where Sigma is not positive definite; on the host Sigma is overwritten. Cost: d^3, d^3 / 3
    for the root."""
    if ridge <= 0:
        return None
    try:
        root, inverse, trace = (_in_place if on_host() else _by_device)(sigma, ridge, with_root=with_root)
    except ArithmeticError:
        return None
    if not np.isfinite(trace):
        return None
    d, dof = len(sigma), len(sigma) - ridge * float(trace)
    return _Model(InverseResolvent(inverse, ridge), root, d, dof, 0.25 / ridge, 1 / ridge, 0.0)


def _in_place(sigma: np.ndarray, ridge: float, *, with_root: bool) -> tuple[Any, Any, Any]:
    """The root, the lower half of the inverse of Sigma + ridge I, and its trace."""
    la, root = Host(), None
    if with_root:
        root = la.root(sigma, clean=False)
    sigma.flat[:: len(sigma) + 1] += ridge
    inverse = la.inverse(la.root(sigma, clean=False, overwrite=True))
    return root, inverse, np.trace(inverse)


def _root_and_inverse(sigma: jax.Array, ridge: jax.Array, *, with_root: bool) -> tuple[Any, Any, Any]:
    """The same in a program; NaN where there is none."""
    la = Device()
    root = la.root(sigma) if with_root else None
    inverse = la.whole_inverse(la.root(la.shifted(sigma, ridge)))
    trace = inverse.diagonal().sum() + (0.0 if root is None else 0.0 * root.sum())
    return root, inverse, trace


def _by_device(sigma: Any, ridge: float, *, with_root: bool) -> tuple[Any, Any, Any]:
    root, inverse, trace = _device_parts(sigma, ridge, with_root=with_root)
    return root, inverse, fetched(trace)


_device_parts = compiled(_root_and_inverse, static=("with_root",), fetch=False)


def _of_components(sigma: Float[Any, "d d"], ridge: float, threshold: float) -> _Model | None:
    """None where the components above the threshold are too many to compute them alone."""
    found = principal(sigma, threshold)
    if found is None:
        return None
    values, inverse = found.eigenvalues, 1 / (found.eigenvalues + ridge)
    resolvent = SpectralResolvent(found.eigenvectors, values, ridge)
    sizes = float((values * inverse).sum()), float((values * inverse**2).max()), float(inverse.max())
    return _Model(resolvent, None, len(values), *sizes, float(found.residual))


def _by_components(weak: _Model, strong: _Model, cross: Any, count: int) -> tuple[np.ndarray, float, int]:
    """The leading eigenvalues of the k x k matrix G of k strong components."""
    assert isinstance(strong.resolvent, SpectralResolvent)
    gram = _component_gram(weak.resolvent, strong.resolvent, cross)
    return eigenvalues_of(gram)[:count], 0.0, 0


def _gram_of_components(la: Any, weak: Any, strong: SpectralResolvent, cross: Any) -> Any:
    vectors, values, ridge = strong
    gains = values / (values + ridge)
    e = la.product(cross, vectors * (gains / values**0.5))
    seen = la.cross(e, covered(la, weak, e))
    return la.diagonal(gains**2) - (seen + seen.T) / 2


_component_gram = by_backend(_gram_of_components, fetch=False)


def _by_lanczos(weak: _Model, strong: _Model, cross: Any, count: int) -> tuple[np.ndarray, float, int] | None:
    """The leading eigenvalues of G, applied to vectors; the residual is that of the vectors, computed once more."""
    apply = resident(_squared_operator, weak.resolvent, strong.resolvent, strong.root, cross)
    found = lanczos(apply, cross.shape[1], relative(TOLERANCE, count))
    if found is None:
        return None
    pairs = zip(found.values, found.vectors.T, strict=True)
    residual = max(float(np.linalg.norm(apply(v) - s * v) / s) for s, v in pairs)
    return (found.values, residual, found.products + count) if residual <= 2 * TOLERANCE else None


def _squared_operator(la: Any, weak: Any, strong: InverseResolvent, root: Any, cross: Any, v: Any) -> Any:
    r"""G v. $\Sigma_s z = M_s z - \beta_s z$ needs no product, since $M_s z = R v$."""
    rv = la.lower_times(root, v)
    z = strong.solve(la, rv)
    seen = la.matvec(cross, covered(la, weak, la.matvec(cross, z)), transposed=True)
    missed = rv - strong.ridge * z - seen
    return la.lower_times(root, strong.solve(la, missed), transposed=True)
