"""The labelled molecules, and what is refused of them."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from rich.console import Console

from w2sg_jax import InputError
from w2sg_jax.datasets import MoleculeSet, load_esol, load_freesolv, load_lipophilicity
from w2sg_jax.datasets.smiles import refuse_invalid

from .options import Options

SETS: dict[str, Callable[[Path | None], MoleculeSet]] = {
    "ESOL": load_esol,
    "FreeSolv": lambda _: load_freesolv(),
    "Lipophilicity": lambda _: load_lipophilicity(),
}


def set_names(options: Options) -> tuple[str, ...]:
    """The names of the sets, each once.

    Raises:
        InputError: an unknown set, or none.
    """
    unknown = [name for name in options.sets if name not in SETS]
    if unknown or not options.sets:
        raise InputError(f"sets: {unknown[0] if unknown else 'none'} is not one of {', '.join(SETS)}")
    return tuple(dict.fromkeys(options.sets))


def labelled_sets(options: Options, console: Console) -> list[MoleculeSet]:
    """The sets that were asked for; ESOL is left out, and that is said, where it cannot be had.

    Raises:
        InputError: an unknown set, or none.
    """
    found = []
    for name in set_names(options):
        try:
            found.append(SETS[name](options.data_dir))
        except InputError as error:
            if len(options.sets) == 1:
                raise
            console.print(f"{name} is left out: {error}", markup=False, highlight=False, soft_wrap=True)
    return found


def checked(datasets: Sequence[MoleculeSet]) -> Sequence[MoleculeSet]:
    """Refuse what cannot be measured.

    Raises:
        InputError: a text that is no SMILES (all are counted, the first are named), or a constant target.
    """
    for data in datasets:
        refuse_invalid(data.smiles, data.name)
        if not np.isfinite(data.target).all() or np.ptp(data.target) == 0:
            raise InputError(f"{data.name}: the target is constant or not finite; there is nothing to predict")
    return datasets
