"""Data sets: what is bundled with the package or fetched once, checked whenever it is read."""

from .corpus import load_corpus as load_corpus
from .molecules import MoleculeSet as MoleculeSet
from .molecules import load_esol as load_esol
from .molecules import load_freesolv as load_freesolv
from .molecules import load_lipophilicity as load_lipophilicity
from .molecules import load_moses_sample as load_moses_sample
