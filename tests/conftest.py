"""Fixtures for every test. The package is imported inside them: the type-checking import hook comes first."""

import jax
import numpy as np
import pytest

jax.config.update("jax_num_cpu_devices", 8)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
