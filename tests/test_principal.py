"""principal: the eigenpairs of the full decomposition above a threshold, and never fewer."""

import jax
import numpy as np
import pytest
from helpers import rotation

from w2sg_jax.numerics.lanczos import Ritz, lanczos
from w2sg_jax.theory import spectrum
from w2sg_jax.theory.spectrum import BLOCK, principal

D = 1000
SPECTRA = {
    "power_law": (1 / np.arange(1, D + 1.0), 0.06),
    "steep": (np.geomspace(1, 1e-12, D), 0.6),
    "spikes": (np.concatenate([[9, 5, 5, 4], np.full(D - 4, 1e-2)]), 0.1),
    "repeated": (np.concatenate([np.ones(BLOCK), np.full(D - BLOCK, 1e-3)]), 0.5),
    "deficient": (np.concatenate([np.linspace(1, 2, 20), np.zeros(D - 20)]), 0.1),
    "scaled": (1e-9 / np.arange(1, D + 1.0) ** 2, 1e-2),
}


def matrix(eigenvalues, seed=0):
    vectors = rotation(np.random.default_rng(seed), len(eigenvalues))
    sigma = (vectors * eigenvalues) @ vectors.T
    return (sigma + sigma.T) / 2, vectors


@pytest.mark.parametrize("name", SPECTRA)
def test_equals_the_full_decomposition(name):
    eigenvalues, threshold = SPECTRA[name]
    sigma, vectors = matrix(eigenvalues)
    order = np.argsort(eigenvalues)[::-1]
    kept = eigenvalues[order] >= threshold * eigenvalues.max()
    found = principal(sigma, threshold)
    assert found is not None and len(found.eigenvalues) == kept.sum() and found.residual <= 1e-10
    np.testing.assert_allclose(found.eigenvalues, eigenvalues[order][kept], rtol=1e-12)
    truth = vectors[:, order[kept]]
    angle = np.linalg.norm(found.eigenvectors - truth @ (truth.T @ found.eigenvectors), 2)
    assert angle <= 1e-9
    np.testing.assert_allclose(found.eigenvectors.T @ found.eigenvectors, np.eye(kept.sum()), atol=1e-12)


@pytest.mark.parametrize("copies", [BLOCK + 1, 3 * BLOCK, D])
def test_copies_that_the_block_cannot_show_are_not_missed(copies):
    """A Krylov space has at most one copy of an eigenvalue for each vector that it starts from."""
    sigma, _ = matrix(np.concatenate([np.ones(copies), np.full(D - copies, 1e-2)]))
    found = principal(sigma, 0.5)
    assert found is None or len(found.eigenvalues) == copies


def test_without_the_last_test_copies_would_be_missed(monkeypatch):
    sigma, _ = matrix(np.concatenate([np.ones(3 * BLOCK), 1e-2 / np.arange(1, D - 3 * BLOCK + 1)]))
    assert principal(sigma, 0.5) is None
    real, nothing_left = lanczos, Ritz(np.zeros(1), np.zeros((D, 1)), np.zeros(1), 1)
    monkeypatch.setattr(spectrum, "lanczos", lambda *given, **how: real(*given, **how) if how else nothing_left)
    found = principal(sigma, 0.5)
    assert found is not None and len(found.eigenvalues) < 3 * BLOCK


def test_too_many_directions_are_left_to_the_full_decomposition():
    sigma, _ = matrix(1 / np.arange(1, D + 1.0))
    assert principal(sigma, 1e-3) is None
    assert principal(np.eye(8), 0.5) is None


def test_the_device_product_is_that_of_the_host(monkeypatch):
    sigma, _ = matrix(SPECTRA["power_law"][0])
    host = principal(sigma, 0.06)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    device = principal(sigma, 0.06)
    assert host is not None and device is not None
    np.testing.assert_allclose(device.eigenvalues, host.eigenvalues, rtol=1e-12)
