"""Fixtures for every test. The package is imported inside them: the type-checking import hook comes first."""

import numpy as np
import pytest


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
