"""Which precision a device gets, and why float32 products are pinned."""

from dataclasses import replace
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import relative, several
from oracles import dense_gap

import w2sg_jax as w2sg
from w2sg_jax.numerics import backend
from w2sg_jax.numerics.backend import fast_float64, float64, on_host, product_dtype
from w2sg_jax.parallel.mesh import mesh_of

RNG = np.random.default_rng(0)
LATENT = RNG.normal(size=(500, 96))
WEAK, STRONG = LATENT @ RNG.normal(size=(96, 96)), LATENT @ RNG.normal(size=(96, 32))
"""The strong model inside the weak one: the gap is small and rounding shows."""


@pytest.mark.parametrize(
    ("platform", "kind", "fast"),
    [
        ("cpu", "cpu", True),
        ("gpu", "NVIDIA H100 80GB HBM3", True),
        ("gpu", "NVIDIA H200", True),
        ("gpu", "NVIDIA A100-SXM4-40GB", True),
        ("gpu", "Tesla V100-SXM2-16GB", True),
        ("gpu", "AMD Instinct MI300X", True),
        ("gpu", "NVIDIA GeForce RTX 4090", False),
        ("gpu", "NVIDIA H20", False),
        ("gpu", "NVIDIA L40S", False),
        ("gpu", "NVIDIA A10G", False),
        ("tpu", "TPU v5p", False),
    ],
)
def test_float64_where_it_is_fast(platform, kind, fast, monkeypatch):
    device = SimpleNamespace(platform=platform, device_kind=kind)
    assert fast_float64(device) == fast
    monkeypatch.setattr(jax, "devices", lambda: [device])
    assert product_dtype(None, None) == ("float64" if fast else "float32")
    assert product_dtype("float64", None) == "float64" and product_dtype("float32", None) == "float32"


def test_a_mesh_has_the_precision_of_its_slowest_device(monkeypatch):
    mesh = mesh_of(several(4))
    assert product_dtype(None, mesh) == "float64"
    monkeypatch.setattr(backend, "fast_float64", lambda device: device.id != 2)
    assert product_dtype(None, mesh) == "float32"
    assert w2sg.moments(WEAK, STRONG, devices=mesh).dtype == "float32"


def test_another_precision_is_refused():
    with pytest.raises(w2sg.InputError, match=r"dtype: got 'float16', expected one of 'float64', 'float32'"):
        w2sg.rank({"a": WEAK}, STRONG, dtype="float16")


def test_beside_a_slow_accelerator_the_host_decomposes(monkeypatch):
    calls = {
        "gap": lambda: w2sg.gap(w2sg.moments(WEAK, STRONG), 1e-2, 1e-3).norm,
        "grid": lambda: w2sg.gap_grid(w2sg.moments(WEAK, STRONG), [1e-2]).norm[0, 0],
        "leading": lambda: w2sg.leading_gap(w2sg.moments(LATENT, STRONG)).norm,
    }
    truth = {name: call() for name, call in calls.items()}
    monkeypatch.setattr(backend, "fast_float64", lambda device: False)
    monkeypatch.setattr(jax, "default_backend", lambda: "tpu")
    assert on_host()
    with float64():
        assert jnp.zeros(()).devices() == {jax.devices("cpu")[0]} and jnp.zeros(()).dtype == np.float64
    for name, call in calls.items():
        assert call() == pytest.approx(truth[name], rel=1e-4), name  # products of float32 there


def rounded(x, bits):
    """Values with this many bits after the leading one, as tensor cores take their input."""
    mantissa, exponent = np.frexp(x)
    return np.ldexp(np.round(mantissa * 2.0 ** (bits + 1)) / 2.0 ** (bits + 1), exponent)


@pytest.mark.parametrize(("name", "bits"), [("TF32", 10), ("bfloat16", 7)])
@pytest.mark.parametrize("ridge", [1e-3, 1e-4])
def test_without_the_pin_products_on_tensor_cores_would_cost_digits(name, bits, ridge):
    """Products of inputs that are rounded as TF32 and bfloat16 units round them, summed without any further error."""
    truth = dense_gap(WEAK, STRONG, ridge=ridge).norm
    m = w2sg.moments(WEAK, STRONG, dtype="float32")
    z = rounded(np.concatenate([WEAK - WEAK.mean(axis=0), STRONG - STRONG.mean(axis=0)], axis=1), bits)
    emulated = replace(m, product=z.T @ z / len(z))
    pinned, loose = (relative(w2sg.gap(each, ridge).norm, truth) for each in (m, emulated))
    assert loose > 100 * pinned, (name, pinned, loose)
    assert relative(w2sg.gap(m, 1e-5).norm, dense_gap(WEAK, STRONG, ridge=1e-5).norm) < 1e-3, "the smallest ridge"
