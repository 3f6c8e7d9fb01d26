"""Makes the fixture of tests/test_predictors.py: what well-kept libraries say of two small pairs of representations.

    python -m venv peers && peers/bin/pip install numpy scipy scikit-learn rsatoolbox repsim
    peers/bin/python tests/parity/predictors.py

It writes tests/parity/predictors.json: versions of the libraries, and of each case the arrays, to two decimals, and
"quantity (library)" -> value. The values are of raw, uncentred arrays: each library does its own centring.
"""

import json
from importlib.metadata import version
from pathlib import Path

import numpy as np
import repsim
from rsatoolbox.data import Dataset
from rsatoolbox.rdm import calc_rdm, compare
from scipy.linalg import subspace_angles
from scipy.spatial import procrustes
from sklearn.decomposition import PCA
from sklearn.linear_model import Ridge
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import StandardScaler

HERE = Path(__file__).parent
LIBRARIES = ("numpy", "scipy", "scikit-learn", "rsatoolbox", "repsim")
RIDGE = (3e-2, 1e-2)
SIZES = {"more samples than columns": (32, 6, 9), "fewer samples than columns": (30, 7, 40)}
NEIGHBOURS = 10


def main() -> None:
    rng = np.random.default_rng(0)
    cases = {}
    for name, (n, d_weak, d_strong) in SIZES.items():
        latent = rng.normal(size=(n, 8)) / np.arange(1, 9) ** 0.5
        weak = latent[:, :6] @ rng.normal(size=(6, d_weak)) + 0.5 * rng.normal(size=(n, d_weak)) + 0.3
        strong = latent @ rng.normal(size=(8, d_strong)) + 0.5 * rng.normal(size=(n, d_strong)) - 0.2
        labels = latent @ rng.normal(size=(8, 2)) + 0.3 * rng.normal(size=(n, 2))
        arrays = {key: np.round(x, 2) for key, x in {"weak": weak, "strong": strong, "labels": labels}.items()}
        cases[name] = {key: x.tolist() for key, x in arrays.items()} | {"values": values(**arrays)}
    found = {"libraries": {name: version(name) for name in LIBRARIES}, "ridge": RIDGE, "cases": cases}
    (HERE / "predictors.json").write_text(json.dumps(found) + "\n")


def values(weak: np.ndarray, strong: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Of one pair."""
    n = len(weak)
    p_w, p_s = (smoother(h, ridge) for h, ridge in zip((weak, strong), RIDGE, strict=True))
    residual = np.eye(n) - 1 / n - p_w  # of centred labels
    gap, missed = p_s @ residual, (np.eye(n) - p_s) @ p_w
    y = labels - labels.mean(axis=0)
    cosines = np.cos(subspace_angles(*(basis(h) for h in (weak, strong)))) ** 2
    denoised = [PCA(0.99, svd_solver="full").fit_transform(h) for h in (weak, strong)]
    rdms = [calc_rdm(Dataset(h), method="euclidean") for h in (weak, strong)]
    wider = max(weak.shape[1], strong.shape[1])
    padded = [np.pad(h, ((0, 0), (0, wider - h.shape[1]))) for h in (weak, strong)]
    nearest = [neighbours(h) for h in (weak, strong)]
    # repsim.cka with this estimator divides by the biased one.
    hsic = repsim.hsic([weak, strong], "linear", "song")
    return {
        "norm (scikit-learn)": np.linalg.norm(gap, 2),
        "frobenius (scikit-learn)": np.linalg.norm(gap) / n**0.5,
        "predicted (scikit-learn)": (((gap @ y) ** 2).sum() / n),
        "misfit (scikit-learn)": ((y - p_s @ y) ** 2).sum() / n,
        "label_free_misfit (scikit-learn)": (missed**2).sum() / n,
        "gulp (scikit-learn)": np.linalg.norm(p_w - p_s),
        "dof_weak (scikit-learn)": np.trace(p_w),
        "dof_strong (scikit-learn)": np.trace(p_s),
        "cka (rsatoolbox)": compare(*rdms, method="cosine_cov").item(),
        "cka (repsim)": repsim.cka([weak, strong], "linear", "gretton")[0, 1],
        "debiased_cka (repsim)": hsic[0, 1] / (hsic[0, 0] * hsic[1, 1]) ** 0.5,
        "scipy.spatial.procrustes (scipy)": procrustes(*padded)[2],
        # repsim.svcca makes every singular value 1 before it keeps 99% of their squares.
        "svcca (scikit-learn, scipy)": np.cos(subspace_angles(*denoised)).mean(),
        "pwcca, both ways (repsim)": repsim.pwcca([weak, strong])[0, 1],
        "mutual_knn (scikit-learn)": float(np.mean([len(a & b) / NEIGHBOURS for a, b in zip(*nearest, strict=True)])),
        "correlation_dimension (scipy)": cosines.sum(),
        "eigenspace_overlap (scipy)": cosines.sum() / max(basis(h).shape[1] for h in (weak, strong)),
    }


def smoother(h: np.ndarray, ridge: float) -> np.ndarray:
    """P less the mean: predictions of ridge heads with an intercept, on every unit label."""
    n = len(h)
    rows = StandardScaler(with_std=False).fit_transform(h)
    rows *= n**0.5 / np.linalg.norm(rows)
    head = Ridge(alpha=n * ridge, solver="svd").fit(rows, np.eye(n))
    return head.predict(rows) - 1 / n


def basis(h: np.ndarray) -> np.ndarray:
    """All principal components that are not rounding."""
    found = PCA(svd_solver="full").fit(h)
    return found.transform(h)[:, found.singular_values_ > 1e-10 * found.singular_values_[0]]


def neighbours(h: np.ndarray) -> list[set[int]]:
    found = NearestNeighbors(n_neighbors=NEIGHBOURS, metric="cosine", algorithm="brute").fit(h)
    return [set(row.tolist()) for row in found.kneighbors(return_distance=False)]


if __name__ == "__main__":
    main()
