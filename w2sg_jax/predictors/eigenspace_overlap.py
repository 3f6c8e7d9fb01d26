r"""The eigenspace overlap score: the share of directions of the samples that both models span."""

from .discrepancy import shared
from .predictor import Inputs, Predictor


def eigenspace_overlap(inputs: Inputs) -> float:
    r"""$\lVert U_s^\top U_w \rVert_F^2 / \max(d_w, d_s)$, between 0 and 1.

    Centred, which the authors do not do, and with ranks for the widths of their full-rank matrices. Where $d_s \ge n$
    the strong model spans everything, and the score is the weak rank over $n - 1$.

    Cost: $k_s k_w$. Source: May et al., arXiv 1909.01264.
    """
    return shared(inputs) / max(inputs.weak_model.factored.rank, inputs.strong_model.factored.rank)


EIGENSPACE_OVERLAP = Predictor(
    "eigenspace_overlap",
    "eigenspace overlap score",
    ("representations",),
    -1,
    "k_s k_w",
    "May et al. 2019, arXiv 1909.01264",
    eigenspace_overlap,
)
