"""Data sets: what is bundled with the package, checked whenever it is read."""

from w2sg_jax.datasets.molecules import MoleculeSet as MoleculeSet
from w2sg_jax.datasets.molecules import load_freesolv as load_freesolv
from w2sg_jax.datasets.molecules import load_lipophilicity as load_lipophilicity
from w2sg_jax.datasets.molecules import load_moses_sample as load_moses_sample
