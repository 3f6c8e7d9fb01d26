r"""The dimension that two representations share, and the variance of the weak labels that a strong model then inherits.

With the left singular bases of both on the unlabelled samples, $d_{s \wedge w} = \lVert U_s^\top U_w \rVert_F^2$. It
does not depend on how either representation is rotated; the authors' own code projects both at random before it
multiplies bases of the features, and depends on that.

Source: Dong et al., arXiv 2502.05075, for the leading order; the exact form is derived here.
"""

import math

from .predictor import Inputs, Predictor

SOURCE = "Dong et al. 2025, arXiv 2502.05075"


def shared(inputs: Inputs) -> float:
    r"""$d_{s \wedge w} = \lVert U_s^\top U_w \rVert_F^2$, between 0 and the smaller rank.

    It is the rank of the weak model wherever the strong one has $n - 1$ directions, as with $d_s \ge n$.

    Cost: $k_s k_w$.
    """
    return float((inputs.cross**2).sum())


def exact_variance(inputs: Inputs) -> float:
    r"""The variance of f_w2s under label noise of variance 1, of least squares with an intercept and no ridge.

    $$
    \operatorname{Var}(f_{w2s}) = \frac{1}{\tilde m - d_w - 1}
    \left[ d + (d_w - d) \frac{d_s}{\hat m - d_s - 1} \right], \qquad \tilde m = \tilde n - 1,\ \hat m = \hat n - 1
    $$

    It is exact for Gaussian representations that have d directions in common and are independent in the others (the
    intercept costs one sample of each set); the weak noise in the $d_w - d$ others is averaged out. d is that of the
    population. Samples overlap by chance too, $d_{s \wedge w} = d + (d_w - d)(d_s - d) / (\hat m - d)$ in
    expectation, which is solved for it:

    $$d = \frac{\hat m\, d_{s \wedge w} - d_w d_s}{d_{s \wedge w} + \hat m - d_w - d_s}$$

    Ranks stand for widths. NaN, undefined, where $\tilde n \le d_w + 2$ or $\hat n \le d_s + 2$ (the moments of the
    inverse Wishart matrices do not exist), and where both models together span all samples with the least overlap that
    they can have, which any d would explain.

    Cost: $k_s k_w$.
    """
    weak, strong = inputs.weak_model.factored.rank, inputs.strong_model.factored.rank
    train, unlabelled = inputs.n_train - 1, inputs.n - 1
    overlap = shared(inputs)
    free = overlap + unlabelled - weak - strong
    if train - weak - 1 <= 0 or unlabelled - strong - 1 <= 0 or free <= LEAST_FREE * unlabelled:
        return math.nan
    common = (unlabelled * overlap - weak * strong) / free
    return (common + (weak - common) * strong / (unlabelled - strong - 1)) / (train - weak - 1)


LEAST_FREE = 1e-9
"""Overlaps are sums of squares of products of n terms: beyond 1e-9 of n their difference from the least one is real."""

CORRELATION_DIMENSION = Predictor(
    "correlation_dimension", "dimension shared by both models", ("representations",), 1, "k_s k_w", SOURCE, shared
)
EXACT_VARIANCE = Predictor(
    "exact_variance",
    "inherited variance of least squares",
    ("representations", "train_labels"),
    1,
    "k_s k_w",
    f"derived here from {SOURCE}",
    exact_variance,
)
