"""What weak labels cost on a test part whose labels are 0 or 1: errors of what three models said, by group of rows.

Rows of one group, such as the answers to one question, tell less than as many others: a group counts once.
"""

import numpy as np
from jaxtyping import Float64, Shaped

SAMPLES = 25
"""Bootstrap samples of the test rows that are kept."""


def two_class_errors(
    y: Float64[np.ndarray, " n"],
    f_weak: Float64[np.ndarray, " n"],
    f_w2s: Float64[np.ndarray, " n"],
    f_ceiling: Float64[np.ndarray, " n"],
    group: Shaped[np.ndarray, " n"],
) -> dict[str, float]:
    """Errors in squares and, under "..._01", in shares of wrong classes; and PGR with its standard error.

    Args:
        y: labels, 0 or 1.
        f_weak, f_w2s, f_ceiling: what the weak model says, the strong one that learned from it, and the strong one that
            learned from true labels: 1 where the label is surely 1.
        group: which rows belong together.

    Returns:
        "err_weak", "err_w2s", "err_ceiling", "pred_gap", each also with "_01"; "pgr" and "pgr_standard_error" (delta
        method), NaN unless the weak model is behind the ceiling by more than two standard errors, as in
        ``weak_to_strong``.
    """
    said = {"weak": f_weak, "w2s": f_w2s, "ceiling": f_ceiling}
    losses = {name: (f - y) ** 2 for name, f in said.items()}
    found = {f"err_{name}": float(loss.mean()) for name, loss in losses.items()}
    found |= {f"err_{name}_01": float(((f > 0.5) != (y > 0.5)).mean()) for name, f in said.items()}
    found["pred_gap"] = float(((f_w2s - f_ceiling) ** 2).mean())
    found["pred_gap_01"] = float(((f_w2s > 0.5) != (f_ceiling > 0.5)).mean())
    possible, recovered = losses["weak"] - losses["ceiling"], losses["weak"] - losses["w2s"]
    defined = possible.mean() > 2 * standard_error(possible, group)
    pgr = float(recovered.mean() / possible.mean()) if defined else float("nan")
    noise = standard_error(recovered - pgr * possible, group) / possible.mean() if defined else float("nan")
    return found | {"pgr": pgr, "pgr_standard_error": float(noise)}


def standard_error(x: Float64[np.ndarray, " n"], group: Shaped[np.ndarray, " n"]) -> float:
    """Of a mean over rows, of which a group counts once."""
    by_group = np.bincount(np.unique(group, return_inverse=True)[1], x - x.mean())
    return float(np.sqrt((by_group**2).sum())) / len(x)


def drawn_rows(group: Shaped[np.ndarray, " n"]) -> Float64[np.ndarray, "samples n"]:
    """Weights of rows in ``SAMPLES`` bootstrap samples of their groups, the same ones at every call; each sums to 1."""
    place = np.unique(group, return_inverse=True)[1]
    groups = int(place.max()) + 1
    chosen = np.random.default_rng(0).integers(groups, size=(SAMPLES, groups))
    times = np.stack([np.bincount(one, minlength=groups) for one in chosen])[:, place]
    return times / times.sum(axis=1, keepdims=True)
