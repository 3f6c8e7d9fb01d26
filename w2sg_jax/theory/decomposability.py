"""Decomposability: is there a principal subspace V outside of which a representation acts as extra ridge only?"""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from .._errors import InputError
from ..numerics.backend import fetched
from ..numerics.checks import ArrayInput, as_ridge, as_samples, as_threshold, check_option, refuse_non_finite
from ..numerics.lanczos import lanczos
from ..numerics.linalg import Host
from ..numerics.rounding import epsilon
from ..numerics.settings import own_settings
from .spectrum import Spectrum, spectrum_of_rows

SMALL = 0.5
"""delta up to which a representation is called decomposable: what the tail does beside ridge is half of the ridge."""
CLOSE = 1.25
"""The smallest V whose delta is within this factor of the least one is suggested."""
CANDIDATES = 12
"""Principal subspaces that are looked at: those after which the eigenvalues fall most, and as many of round sizes."""
SMALLEST = 1e-120
"""Size of a number whose square, and its square, are still far from vanishing."""
KRYLOV = 48
"""Dimension of the space on which an operator norm is computed."""


@dataclass(frozen=True, eq=False)
class Decomposability:
    r"""How far a representation is from $(\delta, \hat\gamma, \tilde\gamma)$-decomposable on V, the span of its leading
    components.

    Attributes:
        rank: dimension of V.
        threshold: the share of the w2s split's largest eigenvalue that selects V, for ``gap``; None where V is empty.
        gamma_train, gamma_w2s: $\tilde\gamma$ and $\hat\gamma$, the tail's mean eigenvalue in $K/n$ on each split.
        effective_train, effective_w2s: $\beta + \gamma$, what acts as the ridge on V.
        moments: condition 1, by how much the second moments on V differ from the population's, relative to
            $\Sigma_V$ + effective ridge (as the splits differ from each other, over $\sqrt 2$).
        identity: condition 2, $\lVert K_{V'}/n - \gamma I \rVert_{op}$, the larger of both splits.
        orthogonality: condition 3, $\lVert \hat H_{V'} \tilde H_{V'}^\top / \sqrt{\hat n \tilde n} \rVert_{op}$.
        tail_variance: condition 4, the largest variance on the other split of a tail component of one split.
        delta: the largest of the four. Conditions 2 to 4 are in units of the effective ridge, since that is what they
            perturb; all are without unit and do not change with the scale of the representation.
        decomposable: delta is at most 1/2.
        ridge, n_train, n_w2s, center, scale: what was asked for.
        reasoning: in words, why this V.
        warnings: plain ones, where no V makes the representation decomposable; else empty.
    """

    rank: int
    threshold: float | None
    gamma_train: float
    gamma_w2s: float
    effective_train: float
    effective_w2s: float
    moments: float
    identity: float
    orthogonality: float
    tail_variance: float
    delta: float
    decomposable: bool
    ridge: float
    n_train: int
    n_w2s: int
    center: bool
    scale: str
    reasoning: str
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain Python values, ready for JSON."""
        return asdict(self) | {"warnings": list(self.warnings)}


@own_settings()
def decomposability(
    h_train: ArrayInput,
    h_w2s: ArrayInput,
    ridge: float = 0.0,
    threshold: float | None = None,
    *,
    center: bool = True,
    scale: str = "trace",
) -> Decomposability:
    r"""Estimate gamma and delta of a representation, and the principal subspace V that makes delta least.

    The main theorem holds up to what $\delta$ stands for: outside V the kernel has to look like $\gamma I$ on each
    split ($\lVert K_{V'}/n - \gamma I \rVert_{op}$), samples of the splits have to be almost orthogonal there, and no
    direction may carry much variance; on V both splits have to agree. gamma is the mean eigenvalue of K/n outside V.
    All is estimated from the two splits: V and the tail of each from its own leading eigenvectors, conditions 3 and 4
    across splits.

    Args:
        h_train: (n_train, d), one model's representation of D~, the split that the weak model is fitted on.
        h_w2s: (n_w2s, d), the same model's of D^, the split that the weak model labels.
        ridge: beta of that model's head, what is added to K/n in the units of ``scale``; the larger it is, the less a
            tail matters.
        threshold: fixes V as the components with at least this share of the w2s split's largest eigenvalue; None
            (default) looks for the best V, the smallest within a quarter of the least delta.
        center: subtract each split's mean. False is the paper's raw form.
        scale: "trace" scales both splits to unit trace (of the mean of their second moments); "none" is raw.

    Returns:
        Decomposability. For ``gap`` of a pair pass the effective ridges and thresholds of both models; the gains of
        ``gap`` are $\lambda / (\lambda + \beta)$ with $\lambda = a + \gamma$, those of the theorem $a / (a + \beta)$:
        they differ by at most $\gamma / (\lambda + \beta)$.

    Raises:
        InputError: shapes that do not fit, fewer than three samples, NaN or Inf, a representation that is constant, or
            so small or large that its squares vanish or overflow; the same samples twice.

    Cost: two thin SVDs (or eigh, whichever side is smaller), one eigh of order min(n_train, d) + min(n_w2s, d), and
    products with 48 vectors for up to 25 subspaces.
    Source: arXiv 2502.00620, the definition of decomposability; how it is estimated is this project's.
    """
    check_option(center, "center", (True, False))
    check_option(scale, "scale", ("trace", "none"))
    train, w2s = (_rows(h, name, center) for h, name in ((h_train, "h_train"), (h_w2s, "h_w2s")))
    if train.shape[1] != w2s.shape[1]:
        raise InputError(
            f"h_train has {train.shape[1]} features and h_w2s has {w2s.shape[1]}; pass one model's representation of"
            " both splits"
        )
    beta = as_ridge(ridge)[0]
    cut = None if threshold is None else as_threshold(threshold)[0]
    if train.shape == w2s.shape and np.array_equal(train, w2s):
        raise InputError("h_train, h_w2s: both are the same samples; pass two splits that share none")
    trace = ((train**2).sum() + (w2s**2).sum()) / 2
    unit = np.sqrt(trace) if scale == "trace" else 1.0
    spectra = spectrum_of_rows(train / unit), spectrum_of_rows(w2s / unit)
    return of_spectra(*spectra, len(train), len(w2s), beta, cut, center=center, scale=scale)


def of_spectra(
    train: Spectrum,
    w2s: Spectrum,
    n_train: int,
    n_w2s: int,
    ridge: float = 0.0,
    threshold: float | None = None,
    *,
    center: bool,
    scale: str,
) -> Decomposability:
    """The decomposability of a representation whose spectra on both splits are at hand, in the same units.

    Args:
        train, w2s: of one model, on D~ and D^.
        n_train, n_w2s: samples of each.
        ridge, threshold, center, scale: as ``decomposability``; ``scale`` is only noted.
    """
    splits = _Splits(train, w2s, n_train - center, n_w2s - center, ridge)
    values = splits.values[1]
    if threshold is None:
        ranks = _candidates(splits)
    else:
        ranks = [int(((values >= threshold * values[0]) & (values > 0)).sum())]
    found = [splits.conditions(rank) for rank in ranks]
    least = min(one["delta"] for one in found)
    best = next(one for one in found if one["delta"] <= CLOSE * least)
    rank = best["rank"]
    best["threshold"] = _threshold(values, rank) if rank else None
    decomposable = bool(best["delta"] <= SMALL)
    return Decomposability(
        **best,
        decomposable=decomposable,
        ridge=ridge,
        n_train=n_train,
        n_w2s=n_w2s,
        center=center,
        scale=scale,
        reasoning=_reasoning(best, values, threshold is not None, len(found)),
        warnings=() if decomposable else (_warning(best, threshold is not None),),
    )


class _Splits:
    """Both spectra, what they have in common, and the four conditions as functions of the dimension of V."""

    def __init__(self, train: Spectrum, w2s: Spectrum, count_train: int, count_w2s: int, ridge: float) -> None:
        self.ridge, self.counts = ridge, (count_train, count_w2s)
        self.values = tuple(_clean(s)[:count] for s, count in ((train, count_train), (w2s, count_w2s)))
        vectors = (
            fetched(s.eigenvectors)[:, : len(values)] for s, values in zip((train, w2s), self.values, strict=True)
        )
        roots = [np.sqrt(values) for values in self.values]
        self.overlap = Host().cross(*vectors)  # V~^T V^
        self.cross = roots[0][:, None] * self.overlap * roots[1]  # U~^T H~ H^^T U^ / sqrt(n~ n^)
        both = np.block([[np.diag(self.values[0]), self.cross], [self.cross.T, np.diag(self.values[1])]]) / 2
        pooled, rotation = np.linalg.eigh(both)
        order = np.argsort(pooled)[::-1]
        self.pooled, self.rotation = np.maximum(pooled[order], 0.0), rotation[:, order]
        self.held_out = self.overlap.T**2 @ self.values[0], self.overlap**2 @ self.values[1]
        """Variance on D~ of the components of D^, and the other way round."""

    @property
    def largest_rank(self) -> int:
        """V of more than half the samples cannot agree on both splits."""
        return min(len(self.values[0]), len(self.values[1]), (min(self.counts) + 1) // 2)

    def conditions(self, rank: int) -> dict[str, Any]:
        """gamma of both splits, and the four conditions, for V of this dimension."""
        tails = [values[rank:] for values in self.values]
        gammas = [float(tail.sum() / max(count - rank, 1)) for tail, count in zip(tails, self.counts, strict=True)]
        effective = [self.ridge + gamma for gamma in gammas]
        identity = max(
            _over(max(_first(tail) - gamma, gamma - (tail[-1] if 0 < len(tail) == count - rank else 0.0)), ridge)
            for tail, gamma, ridge, count in zip(tails, gammas, effective, self.counts, strict=True)
        )
        middle = float(np.sqrt(effective[0] * effective[1]))
        found = {
            "moments": self._moments(rank, middle),
            "identity": float(identity),
            "orthogonality": _over(_operator_norm(self.cross[rank:, rank:]), middle),
            "tail_variance": _over(max(_largest(values[rank:]) for values in self.held_out), middle),
        }
        return {
            "rank": rank,
            "gamma_train": gammas[0],
            "gamma_w2s": gammas[1],
            "effective_train": effective[0],
            "effective_w2s": effective[1],
            **found,
            "delta": max(found.values()),
        }

    def _moments(self, rank: int, ridge: float) -> float:
        """|(S + r)^-1/2 (Sigma^_V - Sigma~_V) (S + r)^-1/2|_op / sqrt 2, V and S of the pooled samples."""
        if rank == 0:
            return 0.0
        split = len(self.values[0])
        parts = self.rotation[:split, :rank], self.rotation[split:, :rank]
        pooled = self.pooled[:rank]
        total = pooled + ridge
        weights = np.sqrt(np.divide(2 * pooled, total, out=np.zeros(rank), where=total > 0))
        difference = weights[:, None] * (parts[1].T @ parts[1] - parts[0].T @ parts[0]) * weights
        return float(np.abs(np.linalg.eigvalsh(difference)).max() / np.sqrt(2))


def _candidates(splits: _Splits) -> list[int]:
    """Dimensions of V worth a look: none, where the eigenvalues fall most, and some in between; ascending."""
    values, most = splits.values[1], splits.largest_rank
    following = np.append(values[1:], 0.0)[:most]
    falls = values[:most] / np.maximum(following, epsilon("float64") * values[0])
    steepest = 1 + np.argsort(-falls, kind="stable")[:CANDIDATES]
    round_sizes = np.unique(np.geomspace(1, most, CANDIDATES).astype(int))
    return sorted({0, *steepest.tolist(), *round_sizes.tolist()})


def _threshold(values: Float[np.ndarray, " k"], rank: int) -> float:
    """A share of the largest eigenvalue between the last one on V and the next: their geometric mean."""
    last, following = values[rank - 1], values[rank] if rank < len(values) else 0.0
    return float((np.sqrt(last * following) if following > 0 else last / 2) / values[0])


def _reasoning(best: dict[str, Any], values: Float[np.ndarray, " k"], fixed: bool, looked_at: int) -> str:
    rank = best["rank"]
    share = values[:rank].sum() / values.sum()
    chosen = "as the threshold says" if fixed else f"the smallest of {looked_at} looked at with a delta near the least"
    below = f"; the next eigenvalue is {values[rank] / values[0]:.2g} of the largest" if rank < len(values) else ""
    return (
        f"V: {rank} components with {share:.0%} of the trace, {chosen}{below}. The rest adds"
        f" gamma~ = {best['gamma_train']:.3g} and gamma^ = {best['gamma_w2s']:.3g} to the ridge: use"
        f" {best['effective_train']:.3g} for a head fitted on the train split, {best['effective_w2s']:.3g} for one"
        f" fitted on the w2s split. delta {best['delta']:.2g} is set by {_worst(best)}."
    )


_CONDITIONS = {
    "moments": "the second moments on V, which differ between the splits (too few samples for so many components)",
    "identity": "the kernel outside V, which is no multiple of the identity",
    "orthogonality": "samples of the two splits, which are not orthogonal outside V",
    "tail_variance": "a direction outside V that carries much variance",
}


def _worst(best: dict[str, Any]) -> str:
    return _CONDITIONS[max(_CONDITIONS, key=lambda name: best[name])]


def _warning(best: dict[str, Any], fixed: bool) -> str:
    what = "not decomposable on this V" if fixed else "not decomposable: no V makes delta small"
    todo = "leave threshold at None to look for another V" if fixed else "raise the ridge, or take more samples"
    return (
        f"{what}; delta is {best['delta']:.2g}, above {SMALL}, because of {_worst(best)}. The predicted gap may be off"
        f" by a factor, whatever effective ridge it is given; {todo}"
    )


def _rows(h: ArrayInput, name: str, center: bool) -> Float[np.ndarray, "n d"]:
    """H / sqrt(n) in float64, centred as asked."""
    samples = as_samples(h, name)
    if samples.shape[0] < 3:
        raise InputError(f"{name}: got {samples.shape[0]} samples; comparing two splits needs at least 3 of each")
    refuse_non_finite(samples, name)
    rows = np.asarray(samples).astype(np.float64)
    largest = np.abs(rows).max(initial=0.0)
    spread = np.ptp(rows, axis=0).max(initial=0.0) if center else largest
    if spread == 0:
        raise InputError(f"{name}: the representation is constant; there is nothing to split")
    if spread < SMALLEST or largest > 1 / SMALLEST:
        raise InputError(f"{name}: its squares vanish or overflow; multiply the representation by a constant")
    rows = rows - rows.mean(axis=0) if center else rows
    return rows / np.sqrt(len(rows))


def _clean(s: Spectrum) -> Float[np.ndarray, " k"]:
    """Eigenvalues, 0 where they are rounding errors."""
    values = np.asarray(s.eigenvalues)
    return np.where(values > s.floor, values, 0.0)


def _over(x: Any, ridge: float) -> float:
    """In units of the effective ridge; where there is none, nothing is left to perturb: 0."""
    return float(x / ridge) if ridge > 0 else 0.0


def _first(values: np.ndarray) -> float:
    return float(values[0]) if len(values) else 0.0


def _largest(values: np.ndarray) -> float:
    return float(values.max()) if len(values) else 0.0


def _operator_norm(x: Float[np.ndarray, "a b"]) -> float:
    r"""The largest singular value: on the Krylov space of $X^\top X$, from below and within about 1%, where X is
    large."""
    if min(x.shape) <= KRYLOV:
        return float(np.linalg.norm(x, 2)) if min(x.shape) else 0.0
    whole = lambda values, _: int(len(values) == KRYLOV)  # noqa: E731 (one line)
    found = lanczos(lambda v: x.T @ (x @ v), x.shape[1], whole, most=KRYLOV, start=np.ones((x.shape[1], 1)))
    assert found is not None  # a whole space is always accepted
    return float(np.sqrt(max(found.values[0], 0.0)))
