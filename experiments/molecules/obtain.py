"""What was measured: read where it is published, or measured here."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float
from rich.console import Console

from w2sg_jax import InputError, batch, load
from w2sg_jax.batch.local import cores, gpus
from w2sg_jax.batch.tables import told_failures
from w2sg_jax.datasets import MoleculeSet, load_corpus
from w2sg_jax.encoders import Encoder
from w2sg_jax.training.zoo import Zoo
from w2sg_jax.training.zoo_training import Corpus, Damaged, train_zoo

from . import chemistry
from .bundle import STRONG, WEAK, load_strong, load_weak, save_strong, save_weak
from .measure import Pairing, measure
from .options import Options
from .represent import Represented, add, represent_all
from .sets import checked, labelled_sets, set_names
from .trials import TRIALS, Measured, Provenance, provenance, read_trials, write_trials


def published(options: Options, zoo: Zoo, console: Console) -> tuple[Measured, Provenance] | None:
    """What was measured with the zoo that --from-zoo reads, and what it was made from.

    None where it has to be measured; why is said.

    Raises:
        InputError: the file of it is damaged, or a set is unknown.
    """
    names = set_names(options)
    path = options.zoo / TRIALS
    if not options.from_zoo or options.measure:
        return None
    if not all((options.zoo / name).is_file() for name in (TRIALS, WEAK, STRONG)):
        console.print(f"{path}: no trials are published there; measuring", highlight=False, soft_wrap=True)
        return None
    measured, made_from = read_trials(path)
    whole = all(measured.get(name, {}).keys() >= {plan.name for plan in zoo.weak} for name in names)
    if not whole or made_from != provenance(options.zoo, options.splits, options.seed):
        console.print(
            f"{path} is of other encoders, sets, splits, or of another seed; measuring", highlight=False, soft_wrap=True
        )
        return None
    return {name: measured[name] for name in names}, made_from


def measure_all(
    options: Options, zoo: Zoo, datasets: Sequence[MoleculeSet] | None, console: Console
) -> tuple[Measured, Provenance] | None:
    """Run every trial and write what came out; None, after a report, where one failed."""
    datasets = checked(labelled_sets(options, console) if datasets is None else datasets, options, console)
    sets = _represented(options, zoo, datasets, console)
    pairings = {one.data.name: _pairings(one, zoo, options) for one in sets}
    results = batch.run(
        measure,
        [pairing for of_set in pairings.values() for pairing in of_set.values()],
        options.out / "trials",
        workers=options.workers if options.workers is not None else len(gpus()) or len(cores()),
        ray=options.ray,
        retry_failed=options.retry_failed,
        console=console,
    )
    if told_failures(results, console):
        return None
    by_weak = {record["config"]["weak"]: record["result"] for record in results.done}
    measured = {
        data: {name: by_weak[str(pairing.weak)] for name, pairing in of_set.items()}
        for data, of_set in pairings.items()
    }
    made_from = provenance(options.trained, options.splits, options.seed)
    write_trials(options.results / TRIALS, measured, made_from)
    return read_trials(options.results / TRIALS)


def represented_by_zoo(
    published: Path, zoo: Zoo, datasets: Sequence[MoleculeSet], folder: Path, console: Console
) -> list[Represented]:
    """Every set, represented by the weak models of a trained zoo, and by its strong one.

    Args:
        published: folder of the zoo's two files.
        zoo: its plans.
        datasets: labelled sets.
        folder: for representations; what is there already is used again.
        console: for progress.

    Raises:
        InputError: a file of the zoo is missing, damaged, or of other molecules.
    """
    encoders, tokenizer = load_weak(published / WEAK, zoo)
    strong = load_strong(published / STRONG, datasets)
    sets = represent_all(encoders, tokenizer, datasets, folder, console)
    return [add(one, {zoo.strong.name: strong[one.data.name]}, console) for one in sets]


def _represented(options: Options, zoo: Zoo, datasets: Sequence[MoleculeSet], console: Console) -> list[Represented]:
    """Every set, represented by all encoders, and by RDKit where it is installed."""
    folder = options.out / "representations"
    extra = _chemistry(datasets, console)  # before hours of training, because RDKit may refuse a molecule
    if options.from_zoo:
        sets = represented_by_zoo(options.zoo, zoo, datasets, folder, console)
    else:
        smiles, labelled = load_corpus(options.corpus, options.data_dir), {data.name: data.smiles for data in datasets}
        corpus = Corpus.build(smiles, labelled, longest=zoo.longest)
        if corpus.too_long:
            console.print(f"{options.corpus}: {corpus.too_long} molecules are too long to train on and are left out")
        encoders = _trained(options, zoo, corpus, console)
        sets = represent_all(encoders, corpus.tokenizer, datasets, folder, console)
        save_weak(options.results / WEAK, zoo, encoders, corpus.tokenizer)
        strong = {one.data.name: np.asarray(load(one.models[zoo.strong.name])) for one in sets}
        save_strong(options.results / STRONG, strong, datasets)
    return [add(one, extra[one.data.name], console) for one in sets]


def _trained(options: Options, zoo: Zoo, corpus: Corpus, console: Console) -> dict[str, Encoder]:
    """The encoders by name, the strong one first."""
    try:
        models = train_zoo(zoo, corpus, options.out / "cache", console, retrain_damaged=options.retrain_damaged)
    except Damaged as error:
        raise InputError(f"{error}; --retrain-damaged trains it again") from error
    return {name: model.encoder for name, model in models.items()}


def _chemistry(datasets: Sequence[MoleculeSet], console: Console) -> dict[str, dict[str, Float[np.ndarray, "n d"]]]:
    """Data set -> candidate from elsewhere -> representation."""
    if not chemistry.installed():
        return {data.name: {} for data in datasets}
    with console.status("fingerprints and descriptors"):
        return {data.name: chemistry.chemistry(data.smiles) for data in datasets}


def _pairings(one: Represented, zoo: Zoo, options: Options) -> dict[str, Pairing]:
    """A trial for every weak candidate of a set."""
    strong = one.models[zoo.strong.name]
    return {
        name: Pairing(path, strong, one.molecules, one.target, options.splits, options.seed)
        for name, path in one.models.items()
        if name != zoo.strong.name
    }
