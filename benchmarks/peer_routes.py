"""The ways to the gap that are compared: what each computes, as its users write it, and what it costs.

All of them take the same float32 representations and compute in float64, centred and at unit trace.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np

import w2sg_jax as w2sg

from .problems import BLOCK_ROWS, Problem

RADS_FLOOR = 1e-12


@dataclass(frozen=True)
class Route:
    """One way to a quantity.

    Attributes:
        name: for tables and figures.
        quantity: "norm", "predicted" or "scores" (per sample, at the ridge of RADS-Lin).
        power: of n, to which the time grows.
        needs: the package that must be installed.
        run: Problem -> the quantity.
        memory: (n, d_weak, d_strong) -> bytes beyond the input, roughly.
    """

    name: str
    quantity: str
    power: int
    needs: str
    run: Callable[[Problem], Any]
    memory: Callable[[int, int, int], float]

    @property
    def installed(self) -> bool:
        """Whether it can run here."""
        return find_spec(self.needs) is not None


def ours(problem: Problem) -> tuple[float, float | None]:
    """The gap norm and the predicted gap by w2sg_jax, from one pass."""
    found = w2sg.gap(w2sg.moments(problem.weak, problem.strong, problem.labels), problem.ridge)
    return found.norm, found.predicted


def ours_scores(problem: Problem) -> np.ndarray:
    """gap_scores at the ridge of RADS-Lin, converted to units of unit trace."""
    weak, strong = (_rads_ridge(trace, len(h)) / trace for h, trace in _traces(problem))
    return w2sg.gap_scores(problem.weak, problem.strong, problem.labels, (weak, strong))


def numpy_norm(problem: Problem) -> float:
    """|P_s (I - P_w)|_op as it is written: n x n kernels, solves and an SVD."""

    def smoother(h: np.ndarray) -> np.ndarray:
        h = _unit_trace(h)
        kernel = h @ h.T / len(h)
        return np.linalg.solve(kernel + problem.ridge * np.eye(len(h)), kernel)

    p_strong = smoother(problem.strong)
    return float(np.linalg.svd(p_strong - p_strong @ smoother(problem.weak), compute_uv=False)[0])


def rads_lin_scores(problem: Problem) -> np.ndarray:
    """s_i = |[P_s (I - P_w)(y - mean)]_i| with ridges 0.1 tr(K/n)/n + 1e-12 in raw units: two n x n solves."""

    def smoothed(h: np.ndarray, y: np.ndarray) -> np.ndarray:
        h = _centred(h)
        kernel = h @ h.T / len(h)
        ridge = _rads_ridge(np.trace(kernel), len(h))
        return kernel @ np.linalg.solve(kernel + ridge * np.eye(len(h)), y)

    y = problem.labels - problem.labels.mean()
    return np.abs(smoothed(problem.strong, y - smoothed(problem.weak, y)))


def kernel_ridge_gap(problem: Problem) -> float:
    """|P_s (I - P_w) y|^2 / n by two fits of scikit-learn's KernelRidge: alpha = n * ridge."""
    from sklearn.kernel_ridge import KernelRidge

    ridge: Any = len(problem.labels) * problem.ridge

    def smoothed(h: np.ndarray, y: np.ndarray) -> np.ndarray:
        h = _unit_trace(h)
        return KernelRidge(alpha=ridge, kernel="linear").fit(h, y).predict(h)

    return _gap_by(smoothed, problem)


def pca_ridge_gap(problem: Problem) -> float:
    """|P_s (I - P_w) y|^2 / n the primal way: scikit-learn's Ridge on principal components."""
    from sklearn.decomposition import PCA
    from sklearn.linear_model import Ridge

    def smoothed(h: np.ndarray, y: np.ndarray) -> np.ndarray:
        components = min(len(h) - 1, h.shape[1])
        scores = PCA(components, svd_solver="covariance_eigh").fit_transform(_unit_trace(h))
        return Ridge(alpha=len(h) * problem.ridge, fit_intercept=False).fit(scores, y).predict(scores)

    return _gap_by(smoothed, problem)


def torch_norm(problem: Problem) -> float:
    """The definition in torch: n x n kernels, Cholesky solves and the spectral norm."""
    torch = import_module("torch")

    def smoother(h: np.ndarray) -> Any:
        a = torch.as_tensor(h, device=_torch_device()).double()
        a -= a.mean(dim=0)
        kernel = a @ a.T / (a**2).sum()
        root = torch.linalg.cholesky(kernel + problem.ridge * torch.eye(len(a), dtype=a.dtype, device=a.device))
        return torch.cholesky_solve(kernel, root)

    p_strong = smoother(problem.strong)
    return float(torch.linalg.matrix_norm(p_strong - p_strong @ smoother(problem.weak), ord=2))


def torch_moments_norm(problem: Problem) -> float:
    """The norm from second moments in torch: block products, two eigh, and D_s (I - C (2 D_w - D_w^2) C^T) D_s."""
    torch = import_module("torch")

    device = _torch_device()
    arrays = [torch.from_numpy(h) for h in (problem.weak, problem.strong)]
    means = [h.mean(dim=0, dtype=torch.float64).to(device) for h in arrays]
    widths = [len(mean) for mean in means]
    sigma_w, sigma_s, sigma_sw = (
        torch.zeros(a, b, dtype=torch.float64, device=device)
        for a, b in ((widths[0], widths[0]), (widths[1], widths[1]), (widths[1], widths[0]))
    )
    for start in range(0, len(problem.weak), BLOCK_ROWS):
        w, s = (h[start : start + BLOCK_ROWS].to(device).double() - mean for h, mean in zip(arrays, means, strict=True))
        for total, left, right in ((sigma_w, w, w), (sigma_s, s, s), (sigma_sw, s, w)):
            total.addmm_(left.T, right)

    def directions(sigma: Any) -> tuple[Any, Any]:
        values, vectors = torch.linalg.eigh(sigma)
        keep = values > len(values) * torch.finfo(values.dtype).eps * values[-1]
        values, vectors = values[keep], vectors[:, keep]
        return vectors / values.sqrt(), values / (values + problem.ridge * values.sum())

    (basis_w, gains_w), (basis_s, gains_s) = directions(sigma_w), directions(sigma_s)
    c = basis_s.T @ sigma_sw @ basis_w
    inner = torch.eye(len(c), dtype=c.dtype, device=device) - (c * (2 * gains_w - gains_w**2)) @ c.T
    return float(torch.linalg.eigvalsh(gains_s[:, None] * inner * gains_s)[-1].sqrt())


def _gap_by(smoothed: Callable[[np.ndarray, np.ndarray], np.ndarray], problem: Problem) -> float:
    y = problem.labels - problem.labels.mean()
    return float((smoothed(problem.strong, y - smoothed(problem.weak, y)) ** 2).mean())


def _centred(h: np.ndarray) -> np.ndarray:
    h = h.astype(np.float64)
    return h - h.mean(axis=0)


def _unit_trace(h: np.ndarray) -> np.ndarray:
    h = _centred(h)
    return h / np.sqrt((h**2).sum() / len(h))


def _traces(problem: Problem) -> list[tuple[np.ndarray, float]]:
    """tr(K/n) of both representations, a block of columns at a time: no copy of the input."""
    pair = (problem.weak, problem.strong)
    return [(h, sum(float(np.var(c, dtype=np.float64, axis=0).sum()) for c in _column_blocks(h))) for h in pair]


def _column_blocks(h: np.ndarray, width: int = 64) -> list[np.ndarray]:
    return [h[:, start : start + width] for start in range(0, h.shape[1], width)]


def _rads_ridge(trace: float, n: int) -> float:
    return 0.1 * trace / n + RADS_FLOOR


def _torch_device() -> str:
    torch = import_module("torch")

    return "cuda" if torch.cuda.is_available() else "cpu"


def _square(count: float) -> Callable[[int, int, int], float]:
    """So many n x n float64 matrices, and a float64 copy of the wider representation."""
    return lambda n, d_weak, d_strong: 8 * (count * n**2 + 2 * n * max(d_weak, d_strong))


def _tall(count: float) -> Callable[[int, int, int], float]:
    """So many float64 copies of the wider representation, and some matrices of its second moment."""
    return lambda n, d_weak, d_strong: 8 * (count * n * max(d_weak, d_strong) + 4 * max(d_weak, d_strong) ** 2)


def _moments(count: float) -> Callable[[int, int, int], float]:
    """So many joint second moments, and some blocks of samples; below as many samples, the rows themselves."""
    return lambda n, d_weak, d_strong: (
        8 * (d_weak + d_strong) * (count * min(n, d_weak + d_strong) + (d_weak + d_strong) + 2 * BLOCK_ROWS)
    )


OURS = Route("w2sg_jax: gap(moments)", "gap", 1, "jax", ours, _moments(4))
OURS_SCORES = Route("w2sg_jax: gap_scores", "scores", 1, "jax", ours_scores, _moments(6))
PEERS = (
    Route("definition, NumPy", "norm", 3, "numpy", numpy_norm, _square(5)),
    Route("definition, torch", "norm", 3, "torch", torch_norm, _square(5)),
    Route("moments, torch", "norm", 1, "torch", torch_moments_norm, _moments(4)),
    Route("RADS-Lin, NumPy", "scores", 3, "numpy", rads_lin_scores, _square(3)),
    Route("KernelRidge, scikit-learn", "predicted", 3, "sklearn", kernel_ridge_gap, _square(3)),
    Route("PCA and Ridge, scikit-learn", "predicted", 1, "sklearn", pca_ridge_gap, _tall(4)),
)
