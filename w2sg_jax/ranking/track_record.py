"""How well each quantity that a ranking can be ordered by has ordered weak models so far, where that was measured."""

ORDERED: dict[str, tuple[float, float]] = {
    "err_w2s": (0.995, 0.998),
    "err_weak": (0.986, 0.994),
    "supervised": (0.983, 0.996),
    "predicted": (0.986, 0.996),
    "norm": (0.902, 0.930),
    "frobenius": (0.913, 0.946),
    "dof_weak": (0.910, 0.941),
}
"""Spearman's correlation with the measured Err_w2s, the lowest and the highest of three sets of molecules, over 150
encoders each, heads at their own ridges; from ``experiments/results/leaderboard``, which a test compares."""


def track_record(by: str) -> str:
    """A sentence for beside a ranking by this quantity."""
    low, high = ORDERED[by]
    return (
        f"so far it has ordered weak models with a rank correlation of {low:.2f} to {high:.2f} with measured errors "
        "(150 molecule encoders, three sets)"
    )
