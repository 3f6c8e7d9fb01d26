"""The one Lanczos against full eigendecompositions: hard spectra, small sizes, blocks, whole spaces."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from helpers import rotation

from w2sg_jax.numerics import lanczos as lanczos_module
from w2sg_jax.numerics.lanczos import lanczos, largest_eigenvalue, leading_pair, relative

D = 120
SPECTRA = {
    "power law": np.arange(1, D + 1.0) ** -1.0,
    "repeated": np.repeat([3.0, 2.0, 1.0], D // 3),
    "cluster": np.concatenate([1 - 1e-9 * np.arange(4), np.linspace(0.5, 0.0, D - 4)]),
    "low rank": np.concatenate([[5.0, 1.0], np.zeros(D - 2)]),
    "tiny": 1e-100 * np.arange(1, D + 1.0) ** -1.0,
}


def matrix(values):
    turn = rotation(np.random.default_rng(0), len(values))
    return (turn * values) @ turn.T


@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize("block", [1, 8])
def test_leading_pairs_are_those_of_the_full_decomposition(name, block):
    s = matrix(SPECTRA[name])
    found = lanczos(lambda x: s @ x, D, relative(1e-9), block=block)
    assert found is not None
    scale = SPECTRA[name].max()
    assert abs(found.values[0] - scale) <= 1e-9 * scale
    np.testing.assert_allclose(found.vectors.T @ found.vectors, np.eye(1), atol=1e-12)
    residual = np.linalg.norm(s @ found.vectors[:, 0] - found.values[0] * found.vectors[:, 0])
    assert residual <= found.residuals[0] + 1e-12 * scale


@pytest.mark.parametrize("block", [1, 8])
def test_a_basis_stays_orthogonal_where_the_space_ends_and_copies_are_found_by_random_directions(block):
    """A repeated eigenvalue ends the Krylov space after three steps; the basis goes on to the whole space."""
    s = matrix(SPECTRA["repeated"])
    whole = lanczos(lambda x: s @ x, D, lambda values, _: len(values) * (len(values) == D), block=block)
    assert whole is not None
    np.testing.assert_allclose(whole.values, np.sort(SPECTRA["repeated"])[::-1], rtol=1e-10)
    np.testing.assert_allclose(whole.vectors.T @ whole.vectors, np.eye(D), atol=1e-10)


@pytest.mark.parametrize("size", [1, 2, 3, 7])
def test_small_matrices_have_their_largest_eigenvalue(size):
    s = matrix(np.arange(1.0, size + 1))
    assert largest_eigenvalue(s) == pytest.approx(size, rel=1e-10)


def test_what_does_not_converge_is_none_and_the_same_start_gives_the_same_bits():
    s = matrix(SPECTRA["power law"])
    assert lanczos(lambda x: s @ x, D, relative(1e-12), most=4) is None
    first, second = (lanczos(lambda x: s @ x, D, relative(1e-9), start=np.ones((D, 1))) for _ in range(2))
    assert first is not None and second is not None
    np.testing.assert_array_equal(first.vectors, second.vectors)


ENDS = SPECTRA | {
    "one direction": np.append(1.0, np.zeros(39)),
    "none": np.zeros(40),
    "all equal": np.ones(40),
    "few": np.array([3.0, 2.0, 0.5]),
    "one": np.array([2.0]),
    "flat": 1 - 1e-3 * np.arange(300) / 300,
    "close": np.append([1.0, 1 - 1e-5], np.linspace(0.99, 0.0, 298)),
}


@pytest.mark.parametrize("name", ENDS)
def test_the_leading_pair_inside_a_program(name):
    values, a = ENDS[name], matrix(ENDS[name])
    d = len(values)
    with jax.enable_x64(True):
        find = jax.jit(jax.vmap(lambda a: leading_pair(lambda v: a @ v, d)))
        found = jax.device_get(find(jnp.stack([jnp.asarray(a), 2 * jnp.asarray(a)])))
    for place, scale in enumerate((1.0, 2.0)):
        truth, vector = scale * values, found.vector[place][:, 0]
        assert abs(found.value[place] - truth[0]) <= 1e-13 * truth[0]
        assert abs(found.second[place] - (truth[1] if d > 1 else 0.0)) <= 1e-2 * truth[0]
        assert found.residual[place] <= 1e-10 * truth[0]
        assert np.linalg.norm(vector) == pytest.approx(1.0, abs=1e-12)
        assert np.linalg.norm(scale * a @ vector - truth[0] * vector) <= 1.1e-10 * truth[0]


def test_a_leading_pair_that_does_not_converge_says_so(monkeypatch):
    monkeypatch.setattr(lanczos_module, "MOST_CYCLES", 1)
    with jax.enable_x64(True):
        values = jnp.asarray(ENDS["flat"])
        found = leading_pair(lambda v: values * v, len(values))
    assert float(found.residual) > 1e-10 * float(found.value)
