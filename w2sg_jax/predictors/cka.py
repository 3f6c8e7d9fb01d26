r"""Linear CKA: how similar two representations are, whatever rotation and scale they come in."""

import numpy as np
from jaxtyping import Float


def linear_cka(x: Float[np.ndarray, "n d_x"], y: Float[np.ndarray, "n d_y"]) -> float:
    r"""Compute the linear centred kernel alignment of two representations of the same samples, the biased estimate.

    $$\frac{\lVert X^\top Y \rVert_F^2}{\lVert X^\top X \rVert_F \, \lVert Y^\top Y \rVert_F}$$

    Args:
        x: (n, d_x); columns are centred here.
        y: (n, d_y), the same samples.

    Returns:
        Between 0 and 1, 1 where one is the other up to rotation and scale; NaN where one is constant.

    Cost: 2 n (d_x + d_y)^2 flops.
    Source: Kornblith et al., Similarity of Neural Network Representations Revisited (2019).
    """
    x, y = x - x.mean(axis=0), y - y.mean(axis=0)
    return float(np.linalg.norm(y.T @ x) ** 2 / (np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)))
