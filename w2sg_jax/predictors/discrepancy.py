r"""The dimension that two representations share, and the variance of the weak labels that a strong model then inherits.

With the left singular bases of both, $d_{s \wedge w} = \lVert U_s^\top U_w \rVert_F^2$. For least squares without a
ridge, labels with noise of variance $\sigma^2$, and Gaussian representations,

$$
\frac{\operatorname{Var}(f_{w2s})}{\sigma^2}
= \frac{1}{\tilde n - d_w - 1} \left[ d_{s \wedge w} + (d_w - d_{s \wedge w}) \frac{d_s}{\hat n - d_s - 1} \right]
$$

A weak error in directions that the strong model lacks, of which there are $d_w - d_{s \wedge w}$, is averaged out. The
authors' own code projects both representations at random before it multiplies bases of the *features*, so that its
dimension depends on how the features are rotated; here it is that of the samples, which does not.

Source: Dong et al., arXiv 2502.05075, Theorem 3.1 for the leading order; the exact form is derived here.
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
    r"""The variance above for $\sigma^2 = 1$, ranks in the place of widths.

    NaN, undefined, where $\tilde n \le d_w + 1$ or $\hat n \le d_s + 1$: the moments of the inverse Wishart matrices
    do not exist, and a strong model that interpolates inherits everything.

    Cost: $k_s k_w$.
    """
    weak, strong = inputs.weak_model.factored.rank, inputs.strong_model.factored.rank
    train, unlabelled = inputs.n_train - weak - 1, inputs.n - strong - 1
    if min(train, unlabelled) <= 0:
        return math.nan
    both = shared(inputs)
    return (both + (weak - both) * strong / unlabelled) / train


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
