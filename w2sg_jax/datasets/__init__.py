"""Data sets: what is bundled with the package, checked whenever it is read."""

from .molecules import MoleculeSet as MoleculeSet
from .molecules import load_freesolv as load_freesolv
from .molecules import load_lipophilicity as load_lipophilicity
from .molecules import load_moses_sample as load_moses_sample
