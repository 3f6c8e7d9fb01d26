r"""The size of the gap operator: $\lVert P_s (I - P_w) \rVert$ in the operator norm and in the Frobenius norm."""

from .predictor import Inputs, Predictor

SOURCE = "Xue et al. 2025, arXiv 2502.00620"


def gap_norm(inputs: Inputs) -> float:
    r"""$\lVert P_s (I - P_w) \rVert_{op}$ on the unlabelled samples, in [0, 1): the paper's metric.

    Source: arXiv 2502.00620, label-free bound of the main theorem; see ``theory.gap``.
    """
    return inputs.gap.norm


def frobenius_norm(inputs: Inputs) -> float:
    r"""$\lVert P_s (I - P_w) \rVert_F / \sqrt n$: all directions count, where the operator norm saturates.

    Source: derived here, from the operator of arXiv 2502.00620; see ``theory.gap``.
    """
    return inputs.gap.frobenius


NORM = Predictor("norm", "gap norm", ("representations",), 1, "4 m^3 + 2 m d_s d_w, m = min(n, d_s)", SOURCE, gap_norm)
FROBENIUS = Predictor(
    "frobenius",
    "gap operator, Frobenius norm",
    ("representations",),
    1,
    "as the gap norm",
    f"derived here from {SOURCE}",
    frobenius_norm,
)
