r"""How large a representation is: effective dimension, stable rank and width, which any other predictor has to beat.

All of the unlabelled samples, centred. A larger weak model should be the better supervisor; a larger strong one has
more that the weak one may lack.
"""

from .predictor import Inputs, Predictor


def dof_weak(inputs: Inputs) -> float:
    r"""$\operatorname{tr} P_w$, the effective dimension of the weak model."""
    return float(inputs.weak_model.factored.gains(inputs.ridge[0]).sum())


def dof_strong(inputs: Inputs) -> float:
    r"""$\operatorname{tr} P_s$, the effective dimension of the strong model."""
    return float(inputs.strong_model.factored.gains(inputs.ridge[1]).sum())


def stable_rank_weak(inputs: Inputs) -> float:
    r"""$\lVert H_w \rVert_F^2 / \lVert H_w \rVert_{op}^2$, which is $1 / \lambda_1$ at unit trace."""
    return 1.0 / float(inputs.weak_model.factored.eigenvalues[0])


def stable_rank_strong(inputs: Inputs) -> float:
    r"""$\lVert H_s \rVert_F^2 / \lVert H_s \rVert_{op}^2$."""
    return 1.0 / float(inputs.strong_model.factored.eigenvalues[0])


def width(inputs: Inputs) -> float:
    """d_w, columns of the weak representation."""
    return float(inputs.weak.shape[1])


BASELINE = "a baseline"
R = ("representations",)
DOF_WEAK = Predictor("dof_weak", "effective dimension, weak model", R, -1, "none", BASELINE, dof_weak)
DOF_STRONG = Predictor("dof_strong", "effective dimension, strong model", R, 1, "none", BASELINE, dof_strong)
STABLE_RANK_WEAK = Predictor("stable_rank_weak", "stable rank, weak model", R, -1, "none", BASELINE, stable_rank_weak)
STABLE_RANK_STRONG = Predictor(
    "stable_rank_strong", "stable rank, strong model", R, 1, "none", BASELINE, stable_rank_strong
)
WIDTH = Predictor("width", "width of the weak model", R, -1, "none", BASELINE, width)
