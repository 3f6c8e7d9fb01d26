"""Families with known answers: each a constructor of a population whose limits are known in closed form."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from .._errors import InputError
from ._checks import as_vector, refuse_below, refuse_lengths
from ._population import Population
from ._tails import NoTail, Tail

Numbers = Sequence[float | int] | Float[np.ndarray, " k"]


def low_rank(weak: Numbers, strong: Numbers, target: Numbers, *, noise: float = 0.0) -> Population:
    r"""Exactly low-rank representations: both models see the same latents, with gains of their own, and nothing else.

    With variances $w_i$ and $s_i$ of latent $i$, $P_w$ and $P_s$ have the gains $w_i / (w_i + \beta_w)$ and
    $s_i / (s_i + \beta_s)$, so the gap norm is $\max_i \frac{s_i}{s_i + \beta_s} \frac{\beta_w}{w_i + \beta_w}$, and
    PredGap is the sum over $i$ of the squares of the same products times $\theta_i$, the target's coefficients.

    Args:
        weak, strong: (p,) variances of the latents; 0 for one that the model does not see.
        target: (p,) coefficients.
        noise: standard deviation of the label noise.

    Raises:
        InputError: vectors of several lengths, a negative variance, numbers that are not finite.
    """
    return spiked(weak, strong, target, tail_weak=NoTail(), tail_strong=NoTail(), noise=noise)


def spiked(
    weak: Numbers, strong: Numbers, target: Numbers, *, tail_weak: Tail, tail_strong: Tail, noise: float = 0.0
) -> Population:
    r"""Spiked covariances: ``low_rank`` plus tails, which act as the ridges $\gamma = \mathrm{tr} \Sigma / n$.

    The formulas of ``low_rank`` hold with $\beta + \gamma$ in the place of $\beta$ while the tails are decomposable:
    ``GaussianTail`` and ``IndependentTail`` of exponent 0, with sub-Gaussian or heavy entries alike, are when their
    dimension is large beside n; power laws and ``EllipticalTail`` are not.

    Args:
        weak, strong, target, noise: as ``low_rank``.
        tail_weak, tail_strong: laws of the tails.
    """
    variances_weak, variances_strong = as_vector(weak, "weak", least=0), as_vector(strong, "strong", least=0)
    coefficients = as_vector(target, "target")
    refuse_lengths(weak=variances_weak, strong=variances_strong, target=coefficients)
    refuse_below(noise, 0, "noise")
    a_weak, a_strong = (np.diag(np.sqrt(variances)) for variances in (variances_weak, variances_strong))
    return Population(a_weak, a_strong, coefficients, noise, tail_weak, tail_strong)


def correlated_pair(
    overlaps: Numbers,
    target: Numbers,
    *,
    weak_only: int = 0,
    strong_only: int = 0,
    tail_weak: Tail | None = None,
    tail_strong: Tail | None = None,
    noise: float = 0.0,
) -> Population:
    r"""A weak and a strong model of unit variances with chosen principal angles: overlap $o_i = \cos^2$ of the i-th.

    Weak feature $i$ is $\sqrt{o_i} s_i + \sqrt{1 - o_i} u_i$, with $s_i$ the i-th strong feature and $u_i$ of its own.
    So $d_{s \wedge w} = \sum_i o_i$. Least squares (effective ridges $\to 0$) gives, for a target $t$ in the strong
    span, a gap norm of $\max_i \sqrt{1 - o_i}$ (1 where there are strong_only features),
    $Err_w = \sum_i t_i^2 (1 - o_i)$, $Err_{w2s} = PredGap = \sum_i t_i^2 (1 - o_i)^2$, $Err_{sc} = 0$, and with equal
    overlaps $PGR = o$.

    Args:
        overlaps: (k,) in [0, 1].
        target: (k + strong_only,) coefficients on the strong features.
        weak_only, strong_only: further features that the other model does not see.
        tail_weak, tail_strong: laws of the tails; none by default.
        noise: standard deviation of the label noise.

    Raises:
        InputError: an overlap outside [0, 1], or a target of another length.
    """
    shared, wanted = as_vector(overlaps, "overlaps", least=0, most=1), as_vector(target, "target")
    for value, name in ((weak_only, "weak_only"), (strong_only, "strong_only"), (noise, "noise")):
        refuse_below(value, 0, name)
    if len(wanted) != len(shared) + strong_only:
        raise InputError(f"target: got {len(wanted)} coefficients for {len(shared)} + {strong_only} strong features")
    k, d_strong, d_weak = len(shared), len(shared) + strong_only, len(shared) + weak_only
    a_strong = np.eye(d_strong, d_strong + d_weak)
    a_weak = np.zeros((d_weak, d_strong + d_weak))
    a_weak[np.arange(k), np.arange(k)] = np.sqrt(shared)
    a_weak[:, d_strong:] = np.diag(np.concatenate([np.sqrt(1 - shared), np.ones(weak_only)]))
    coefficients = np.concatenate([wanted, np.zeros(d_weak)])
    return Population(a_weak, a_strong, coefficients, noise, tail_weak or NoTail(), tail_strong or NoTail())


def error_correction(overlap: float, *, tail_weak: Tail, tail_strong: Tail, noise: float = 0.0) -> Population:
    r"""The strong model interpolates the weak labels, at ridge 0, and still beats its supervisor.

    A ``correlated_pair`` of one feature and target $s$: the weak model's feature is $\sqrt{o} s + \sqrt{1 - o} u$. Its
    error along $u$ is not in the strong principal subspace, so the strong model stores it in its tail, where it costs
    nothing on fresh samples. With gains $g = 1 / (1 + \gamma)$ of both heads, the errors tend to
    $Err_w = 1 - 2 o g_w + o g_w^2$, $Err_{w2s} = (1 - o g_w g_s)^2$, $Err_{sc} = (1 - g_s)^2$ and
    $PredGap = g_s^2 (1 - o g_w)^2$. As $\gamma \to 0$, $Err_{w2s} / Err_w \to 1 - o$.

    Args:
        overlap: $o$ in [0, 1].
        tail_weak, tail_strong: laws of the tails, the strong one of a dimension much larger than n.
        noise: standard deviation of the label noise.
    """
    return correlated_pair([overlap], [1.0], tail_weak=tail_weak, tail_strong=tail_strong, noise=noise)


def error_copying(overlap: float, *, tail_weak: Tail, tail_strong: Tail, noise: float = 0.0) -> Population:
    r"""The same weak model, with the same Err_w, but its errors are copied: the strong model sees u too.

    The strong principal subspace holds both $s$ and $u$, so $f_w$ lies in it: $P_s f_w = f_w$ up to the strong ridge.
    With the gains of ``error_correction``, $Err_{sc} = (1 - g_s)^2$ as there, but
    $Err_{w2s} = 1 - 2 o g_w g_s + o g_w^2 g_s^2$ and $PredGap = g_s^2 (1 - 2 o g_w + o g_w^2)$. As $\gamma \to 0$,
    $Err_{w2s}$, $Err_w$ and $PredGap$ tend to $1 - o$: nothing is corrected.

    Args:
        overlap, tail_weak, tail_strong, noise: as ``error_correction``.
    """
    p = error_correction(overlap, tail_weak=tail_weak, tail_strong=tail_strong, noise=noise)
    return Population(p.weak, np.eye(2), p.target, noise, tail_weak, tail_strong)
