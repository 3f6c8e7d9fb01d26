r"""Inherited variance: the noise of the weak labels that a strong ridge head takes over."""

from .predictor import Inputs, Predictor


def inherited_variance(inputs: Inputs) -> float:
    r"""$\lVert D_s C D_w \rVert_F^2 / \tilde n = \operatorname{tr}(P_s^2 P_w^2) / \tilde n$, for noise of variance 1.

    The form of ``discrepancy`` for ridge heads, defined at any width: gains in the place of ranks, on the bases of the
    unlabelled samples. At ridge 0 it is $d_{s \wedge w} / \tilde n$.

    Cost: $k_s k_w$. Source: derived here, after Dong et al., arXiv 2502.05075.
    """
    weak, strong = (
        inputs.weak_model.factored.gains(inputs.ridge[0]),
        inputs.strong_model.factored.gains(inputs.ridge[1]),
    )
    return float(strong**2 @ (inputs.cross**2 @ weak**2)) / inputs.n_train


INHERITED_VARIANCE = Predictor(
    "inherited_variance",
    "inherited variance of ridge heads",
    ("representations", "train_labels"),
    1,
    "k_s k_w",
    "derived here from Dong et al. 2025, arXiv 2502.05075",
    inherited_variance,
)
