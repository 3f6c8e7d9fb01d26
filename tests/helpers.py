"""Inputs that break linear algebra, the tolerance as a formula, and a disk that is soon full."""

import contextlib
import os
import subprocess
import sys
import time

import jax
import ml_dtypes
import numpy as np
import pytest

RIDGES = (1e-8, 1e-6, 1e-4, 1e-2, 10.0, (1e-6, 1e-2), (1e-2, 1e-6))


def tolerance(ridge):
    """Relative error that second moments allow: their rounding over the ridge, and 1e-9 where that is smaller."""
    smallest = min(ridge) if isinstance(ridge, tuple) else ridge
    return max(1e-9, 4.5 * np.finfo(float).eps / smallest)


def relative(value, truth):
    return abs(value - truth) / abs(truth)


def several(count):
    """So many devices: of the default kind, or where that has fewer, virtual ones of the host."""
    return (jax.devices() if jax.device_count() >= count else jax.devices("cpu"))[:count]


def rotation(rng, d):
    return np.linalg.qr(rng.normal(size=(d, d)))[0]


def _power_law(rng, n, d, smallest=1e-12):
    """Eigenvalues from 1 down to ``smallest``, in random directions."""
    return rng.normal(size=(n, d)) * np.geomspace(1, smallest, d) ** 0.5 @ rotation(rng, d)


def _orthonormal(rng, n, d):
    """Centred columns with equal second moments: every eigenvalue repeated."""
    x = rng.normal(size=(n, d))
    return np.linalg.qr(x - x.mean(axis=0))[0]


def cases():
    """name -> (weak, strong): one for each way in which the computation could fail."""
    rng = np.random.default_rng(0)
    n = 400
    latent = rng.normal(size=(n, 96))
    inside = latent @ rng.normal(size=(96, 96))
    tail = np.geomspace(1, 1e-12, 60) ** 0.5
    repeated = _orthonormal(rng, n, 60)
    duplicated = np.repeat(rng.normal(size=(40, 60)), 10, axis=0)
    offset_weak, offset_strong = latent[:, :40].copy(), latent[:, 20:90].copy()
    offset_weak[:, 3] += 1e4
    offset_strong[:, 5] -= 1e4
    few = rng.normal(size=(80, 300))
    return {
        "gaussian": (rng.normal(size=(n, 24)) + latent[:, :24], latent[:, :48]),
        "power_law": (_power_law(rng, n, 60), _power_law(rng, n, 48)),
        "power_law_shared": (
            latent[:, :60] * tail @ rotation(rng, 60),
            latent[:, :60] * tail[::-1] @ rotation(rng, 60),
        ),
        "strong_inside_weak": (inside, latent @ rng.normal(size=(96, 32))),
        "identical": (latent[:, :40], latent[:, :40]),
        "identical_power_law": (latent[:, :60] * tail, latent[:, :60] * tail),
        "n_below_d_strong": (few[:, :24] + rng.normal(size=(80, 24)), few[:, :200]),
        "n_below_d_weak": (few[:, :200], few[:, 190:220] + rng.normal(size=(80, 30))),
        "n_below_d_both": (few[:, :180], few[:, 100:]),
        "n_below_sum_of_d": (latent[:70, :40], latent[:70, 20:80]),
        "rank_one": (
            latent[:, :1] * rng.normal(size=(1, 30)),
            latent[:, 1:2] * rng.normal(size=(1, 20)) + latent[:, :1],
        ),
        "repeated_eigenvalues": (repeated[:, :30], repeated[:, 20:]),
        "duplicate_rows": (duplicated[:, :40], duplicated[:, 30:] @ rng.normal(size=(30, 25))),
        "offset": (offset_weak, offset_strong),
        "scales": (latent[:, :40] * 1e-12, (latent[:, 20:] + 0.1 * rng.normal(size=(n, 76))) * 1e12),
        "bfloat16": (latent[:, :40].astype(ml_dtypes.bfloat16), latent[:, 20:60].astype(ml_dtypes.bfloat16)),
        "float16": (latent[:, :40].astype(np.float16), latent[:, 20:60].astype(np.float16)),
    }


def labels_for(strong, columns=3):
    """Labels that the strong representation explains in part."""
    rng = np.random.default_rng(1)
    h = np.asarray(strong).astype(np.float64)
    h = (h - h.mean(axis=0)) / h.std()
    return h @ rng.normal(size=(h.shape[1], columns)) + rng.normal(size=(len(h), columns))


@contextlib.contextmanager
def small_disk(folder, size):
    """Mount a file system of this size on a folder; the test is skipped where that is not allowed."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("mounting a file system needs root")
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("this machine does not let its root mount")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)  # a process may still be leaving it


MINUTES = 10
"""How long a test waits for another process: far longer than it takes, so that no busy machine fails it."""


def wait_for(what, condition, *processes):
    """Wait until the condition holds, while these processes run; what it returned last."""
    deadline = time.monotonic() + 60 * MINUTES
    while not (found := condition()):
        for process in processes:
            assert process.poll() is None, f"it ended before there was {what}: {process.communicate()}"
        assert time.monotonic() < deadline, f"waited {MINUTES} minutes for {what}"
        time.sleep(0.02)
    return found


def output_of(process, what):
    """What a process printed by its end."""
    try:
        return process.communicate(timeout=60 * MINUTES)
    except subprocess.TimeoutExpired:
        process.kill()
        raise AssertionError(f"waited {MINUTES} minutes for the end of {what}: {process.communicate()}") from None


def both_splits(n_train=60, n_w2s=50, d_weak=8, d_strong=12, c=1, seed=0):
    """Both splits of a pair of models that see the same latents, away from the origin."""
    rng = np.random.default_rng(seed)
    latents = rng.normal(size=(n_train + n_w2s, 60))
    weak = latents @ rng.normal(size=(60, d_weak)) * np.arange(1, d_weak + 1.0) ** -0.5 + 3
    strong = latents @ rng.normal(size=(60, d_strong)) * np.arange(1, d_strong + 1.0) ** -0.3 - 2
    y = latents @ rng.normal(size=(60, c)) / 8 + 0.3 * rng.normal(size=(len(latents), c)) + 1
    return (weak[:n_train], strong[:n_train], y[:n_train]), (weak[n_train:], strong[n_train:])
