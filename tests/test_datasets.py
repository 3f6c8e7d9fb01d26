"""The bundled molecules: what they hold, and that a damaged file is noticed."""

import re
from importlib.resources import files

import numpy as np
import pytest

from w2sg_jax.datasets import load_freesolv, load_lipophilicity, load_moses_sample, molecules


def test_freesolv_is_the_published_set():
    data = load_freesolv()
    assert len(data) == len(data.target) == 642
    assert data.unit == "kcal/mol"
    hydration = dict(zip(data.smiles, data.target, strict=True))
    assert hydration["CCO"] == -5.0  # ethanol, as published
    assert hydration["c1ccccc1"] == -0.9  # benzene


def test_lipophilicity_is_the_published_set():
    data = load_lipophilicity()
    assert len(data) == len(data.target) == 4200
    assert (data.target.min(), data.target.max()) == (-1.5, 4.5)
    assert data.target[data.smiles.index("Cn1c(CN2CCN(CC2)c3ccc(Cl)cc3)nc4ccccc14")] == 3.54


def test_moses_sample_is_distinct_and_plain():
    sample = load_moses_sample()
    assert len(sample) == len(set(sample)) == 50_000
    assert list(sample) == sorted(sample)
    assert not any(re.search(r"[@+/\\PI]", smiles) for smiles in sample)


@pytest.mark.parametrize("load", [load_freesolv, load_lipophilicity])
def test_no_molecule_occurs_twice(load):
    smiles = load().smiles
    assert len(set(smiles)) == len(smiles)


@pytest.mark.parametrize("load", [load_freesolv, load_lipophilicity])
def test_targets_are_float64_finite_and_read_only(load):
    target = load().target
    assert target.dtype == np.float64 and np.isfinite(target).all()
    with pytest.raises(ValueError, match="read-only"):
        target[0] = 0.0


def test_bundle_is_under_two_megabytes_with_a_notice():
    folder = files("w2sg_jax.datasets").joinpath("data")
    sizes = {item.name: len(item.read_bytes()) for item in folder.iterdir()}
    assert set(sizes) == {*molecules.SHA256, "NOTICE.md"}
    assert sum(sizes.values()) < 2_000_000
    notice = folder.joinpath("NOTICE.md").read_text()
    assert all(name in notice for name in molecules.SHA256)


def test_a_damaged_file_is_named(monkeypatch):
    monkeypatch.setattr(molecules, "SHA256", {**molecules.SHA256, "freesolv.csv": "0" * 64})
    with pytest.raises(ValueError, match=r"freesolv\.csv: its sha256 is 4b3f0931\w+, expected 0+; .* reinstall"):
        load_freesolv()
