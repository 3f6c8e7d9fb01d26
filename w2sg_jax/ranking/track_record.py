"""How well each quantity that a ranking can be ordered by has ordered weak models so far, where that was measured."""

MOLECULES: dict[str, tuple[float, float]] = {
    "err_w2s": (0.995, 0.998),
    "err_weak": (0.986, 0.994),
    "supervised": (0.983, 0.996),
    "predicted": (0.986, 0.996),
    "mutual_knn": (0.809, 0.861),
    "norm": (0.902, 0.930),
    "frobenius": (0.913, 0.946),
    "dof_weak": (0.910, 0.941),
}
"""Spearman's correlation with the measured Err_w2s, the lowest and the highest of three sets of molecules, over 150
encoders each, heads at their own ridges; from ``experiments/results/leaderboard``, which a test compares."""
TEXTS: dict[str, tuple[float, float, float]] = {
    "err_w2s": (0.961, 0.579, 0.998),
    "err_weak": (0.897, 0.324, 0.996),
    "supervised": (0.923, 0.488, 0.993),
    "predicted": (0.915, 0.490, 0.989),
    "mutual_knn": (0.518, 0.083, 0.815),
    "norm": (0.305, -0.295, 0.734),
    "frobenius": (0.323, -0.221, 0.733),
    "dof_weak": (-0.101, -0.253, 0.128),
}
"""The same over 86 representations of texts: the mean, the lowest and the highest of tasks and strong models that can
be supervised at all. What needs no labels has the ridge 1e-2, as it has without them; from
``experiments/results/embeddings``, likewise."""


def track_record(by: str) -> str:
    """A sentence for beside a ranking by this quantity."""
    low, high = MOLECULES[by]
    mean, least, most = TEXTS[by]
    return (
        f"rank correlation with measured errors so far: {low:.2f} to {high:.2f} on molecules, "
        f"{least:.2f} to {most:.2f} on texts, {mean:.2f} on average"
    )
