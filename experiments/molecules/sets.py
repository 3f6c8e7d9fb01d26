"""The labelled molecules, and what is refused or left out of them."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from rich.console import Console

from w2sg_jax import InputError
from w2sg_jax.datasets import MoleculeSet, load_esol, load_freesolv, load_lipophilicity
from w2sg_jax.datasets.remote import Unreachable
from w2sg_jax.datasets.smiles import refuse_invalid
from w2sg_jax.datasets.splits import make_splits

from .options import Options

SETS: dict[str, Callable[[Path | None], MoleculeSet]] = {
    "ESOL": load_esol,
    "FreeSolv": lambda _: load_freesolv(),
    "Lipophilicity": lambda _: load_lipophilicity(),
}
NAMED = 12
"""Rows that a message names at most."""


def set_names(options: Options) -> tuple[str, ...]:
    """The names of the sets, each once.

    Raises:
        InputError: an unknown set, or none.
    """
    unknown = [name for name in options.sets if name not in SETS]
    if unknown or not options.sets:
        raise InputError(f"sets: {unknown[0]!r} is not one of {', '.join(SETS)}" if unknown else "sets: none is named")
    return tuple(dict.fromkeys(options.sets))


def labelled_sets(options: Options, console: Console) -> list[MoleculeSet]:
    """The sets that were asked for; one that its host refuses is left out, and that is said, if others remain.

    Raises:
        InputError: an unknown set, none that can be had, or a local file that is another one.
    """
    found, refused = [], []
    for name in set_names(options):
        try:
            found.append(SETS[name](options.data_dir))
        except Unreachable as error:
            refused.append(error)
            console.print(f"{name} is left out: {error}", markup=False, highlight=False, soft_wrap=True)
    if not found:
        raise refused[0]
    return found


def checked(datasets: Sequence[MoleculeSet], options: Options, console: Console) -> list[MoleculeSet]:
    """What can be measured of the sets: each molecule once; rows that repeat one are left out, and that is said.

    Raises:
        InputError: a set without a name of its own, or too small to split; a text that is no SMILES (all are counted,
            the first are named); a target that is constant, not finite, or not one number a molecule.
    """
    names = Counter(data.name for data in datasets)
    for name, count in names.items():
        if count > 1 or not name or Path(name).name != name:
            raise InputError(f"datasets: {name!r} has to be the name of one set, and of a file")
    found = []
    for data in datasets:
        refuse_invalid(data.smiles, data.name)
        found.append(_distinct(_with_target(data), console))
        make_splits(found[-1].smiles, splits=options.splits, seed=options.seed)
    return found


def _with_target(data: MoleculeSet) -> MoleculeSet:
    """The set with a target of float64, so that whole numbers are no classes."""
    try:
        target = np.asarray(data.target, np.float64)
    except (TypeError, ValueError):
        raise InputError(f"{data.name}: the target is not numeric") from None
    if target.shape != (len(data.smiles),):
        raise InputError(f"{data.name}: {len(data.smiles)} molecules and a target of shape {target.shape}")
    if not np.isfinite(target).all() or np.ptp(target) == 0:
        raise InputError(f"{data.name}: the target is constant or not finite; there is nothing to predict")
    return replace(data, target=target)


def _distinct(data: MoleculeSet, console: Console) -> MoleculeSet:
    """The first row of each molecule."""
    first: dict[str, int] = {}
    for row, smiles in enumerate(data.smiles):
        first.setdefault(smiles, row)
    rows = sorted(set(first.values()) - set(data.repeats))
    left_out = sorted(set(range(len(data))) - set(rows))
    if not left_out:
        return data
    named = ", ".join(f"{row} {data.smiles[row]}" for row in left_out[:NAMED])
    more = ", ..." if len(left_out) > NAMED else ""
    console.print(
        f"{data.name}: {len(left_out)} of {len(data)} rows repeat an earlier molecule and are left out ({named}{more})",
        markup=False, highlight=False, soft_wrap=True,
    )  # fmt: skip
    return replace(data, smiles=tuple(data.smiles[row] for row in rows), target=data.target[rows], repeats=())
