"""The whole experiment: a zoo, what its models make of the labelled molecules, trials, correlations, figures."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from rich.console import Console
from tyro.conf import FlagCreatePairsOff

from benchmarks.results import terminal
from w2sg_jax import InputError, batch, load
from w2sg_jax._inputs import as_count
from w2sg_jax.atomic import check_writable, write_text
from w2sg_jax.batch.tables import overview
from w2sg_jax.datasets import MoleculeSet, load_corpus, load_esol, load_freesolv, load_lipophilicity
from w2sg_jax.datasets.smiles import refuse_invalid
from w2sg_jax.report.ranking_figure import save_figure
from w2sg_jax.report.record import commit_of, record, to_json

from . import chemistry
from .analyse import Tables, analyse, tables_of
from .bundle import STRONG, WEAK, load_strong, load_weak, save_strong, save_weak
from .figures import correlation_figure, map_figure, scatter_figure
from .measure import RIDGE, RIDGES, THRESHOLDS, Pairing, measure
from .represent import Represented, add, represent_all
from .tables import correlation_table, write_models
from .train import Corpus, train_zoo
from .zoo import Zoo, paper_zoo

PUBLISHED = Path(__file__).parents[1] / "results" / "molecules"
"""The trained zoo and the results in the repository."""
FAILED = 1


@dataclass(frozen=True)
class Options:
    """Experiment I of the paper, on molecules: 150 small transformers supervise a larger one.

    Pretrains the zoo (an hour and more on two cores; killed, it loses at most 50 steps and goes on when called again),
    lets each weak encoder supervise the strong one on ESOL, FreeSolv and Lipophilicity, and correlates what that
    cost with what each predictor said beforehand. With --from-zoo nothing is trained: the encoders come from the
    repository.

    FreeSolv, Lipophilicity and a sample of MOSES are bundled; ESOL, MOSES and GuacaMol are fetched once, or read from
    --data-dir (also the environment variable W2SG_DATA). Exit codes: 0 done, 1 trials failed, 2 input that cannot
    be used, 130 interrupted.

    Example:
      python -m experiments.molecules --from-zoo --out molecules
    """

    out: Path = Path("w2sg-molecules")
    """Folder for encoders, representations and records, and for the small results in `results`; made if need be."""
    from_zoo: Annotated[bool, FlagCreatePairsOff] = False
    """Take the trained encoders of the repository."""
    zoo: Path = PUBLISHED
    """Folder of the trained zoo that --from-zoo reads."""
    sets: tuple[str, ...] = ("ESOL", "FreeSolv", "Lipophilicity")
    """Labelled sets."""
    corpus: str = "moses"
    """To pretrain on: moses, guacamol, moses-sample (bundled, 50 000 molecules), or a file of SMILES."""
    data_dir: Path | None = None
    """Folder where published files are looked for before they are fetched."""
    splits: int = 20
    """Random splits of each set into train, w2s and test parts (40, 40 and 20%)."""
    seed: int = 0
    """Of the splits and of the bootstrap."""
    workers: int | None = None
    """Processes for the trials; by default one for every two cores."""
    ray: str | None = None
    """Run the trials on the Ray cluster at this address instead."""
    retrain_damaged: Annotated[bool, FlagCreatePairsOff] = False
    """Train a group of models again when a file of it is damaged; without it, the file is named and the run ends."""

    @property
    def results(self) -> Path:
        """Folder of the zoo, tables and figures, small enough to keep."""
        return self.out / "results"


def run(
    options: Options,
    *,
    zoo: Zoo | None = None,
    datasets: Sequence[MoleculeSet] | None = None,
    console: Console | None = None,
) -> int:
    """Run the experiment and return the exit code.

    Args:
        options: from the command line.
        zoo: other encoders than those of the experiment.
        datasets: other labelled sets.
        console: for progress and tables; standard output by default.
    """
    started = time.perf_counter()
    console, zoo = console or terminal(), zoo or paper_zoo()
    for name, least in (("splits", 2), ("seed", 0)):
        as_count(getattr(options, name), name, least)
    if options.out.exists() and not options.out.is_dir():
        raise InputError(f"out: {options.out} is a file; give the name of a folder")
    datasets = checked(labelled_sets(options, console) if datasets is None else datasets)
    options.results.mkdir(parents=True, exist_ok=True)
    check_writable(options.results / "results.json")
    sets = _represented(options, zoo, datasets, console)
    results = batch.run(
        measure,
        [pairing for one in sets for pairing in _pairings(one, zoo, options).values()],
        options.out / "trials",
        workers=options.workers,
        ray=options.ray,
        console=console,
    )
    if results.failed:
        console.print(overview(results.records, planned=len(results.records)))
        console.print(results.failed[0]["error"], markup=False)
        return FAILED
    tables, elsewhere = _tables(sets, zoo, options, results)
    found = _report(tables, elsewhere, zoo, options, console)
    _write_result(found, zoo, options, time.perf_counter() - started)
    console.print(f"results and figures are in {options.results}", highlight=False)
    return 0


def labelled_sets(options: Options, console: Console) -> list[MoleculeSet]:
    """The sets that were asked for; ESOL is left out, and that is said, where it cannot be had.

    Raises:
        InputError: an unknown set, or none.
    """
    known = {
        "ESOL": lambda: load_esol(options.data_dir),
        "FreeSolv": load_freesolv,
        "Lipophilicity": load_lipophilicity,
    }
    unknown = [name for name in options.sets if name not in known]
    if unknown or not options.sets:
        raise InputError(f"sets: {unknown[0] if unknown else 'none'} is not one of {', '.join(known)}")
    found = []
    for name in dict.fromkeys(options.sets):
        try:
            found.append(known[name]())
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


def _represented(options: Options, zoo: Zoo, datasets: Sequence[MoleculeSet], console: Console) -> list[Represented]:
    """Every set, represented by all encoders, and by RDKit where it is installed."""
    folder = options.out / "representations"
    if options.from_zoo:
        encoders, tokenizer = load_weak(options.zoo / WEAK, zoo)
        strong = load_strong(options.zoo / STRONG, datasets)
        sets = represent_all(encoders, tokenizer, datasets, folder, console)
        sets = [add(one, {zoo.strong_name: strong[one.data.name]}) for one in sets]
    else:
        smiles = load_corpus(options.corpus, options.data_dir)
        corpus = Corpus.build(smiles, datasets)
        if corpus.too_long:
            console.print(f"{options.corpus}: {corpus.too_long} molecules are too long to train on and are left out")
        encoders = train_zoo(zoo, corpus, options.out / "cache", console, retrain_damaged=options.retrain_damaged)
        sets = represent_all(encoders, corpus.tokenizer, datasets, folder, console)
        save_weak(options.results / WEAK, zoo, encoders, corpus.tokenizer)
        strong = {one.data.name: np.asarray(load(one.models[zoo.strong_name])) for one in sets}
        save_strong(options.results / STRONG, strong, datasets)
    if not chemistry.installed():
        return sets
    with console.status("fingerprints and descriptors"):
        return [add(one, chemistry.chemistry(one.data.smiles)) for one in sets]


def _pairings(one: Represented, zoo: Zoo, options: Options) -> dict[str, Pairing]:
    """A trial for every weak candidate of a set."""
    strong = one.models[zoo.strong_name]
    return {
        name: Pairing(path, strong, one.molecules, one.target, options.splits, options.seed)
        for name, path in one.models.items()
        if name != zoo.strong_name
    }


def _tables(
    sets: Sequence[Represented], zoo: Zoo, options: Options, results: batch.Results
) -> tuple[list[Tables], list[Tables]]:
    """Of the zoo and of the candidates from elsewhere, for each set."""
    by_weak = {record["config"]["weak"]: record["result"] for record in results.done}
    static = {
        name: {
            "width": shape.width,
            "depth": shape.depth,
            "heads": shape.heads,
            "steps": training.steps,
            "parameters": shape.parameters,
        }
        for name, (shape, training) in zoo.models.items()
    }
    tables, elsewhere = [], []
    for one in sets:
        found = {name: by_weak[str(pairing.weak)] for name, pairing in _pairings(one, zoo, options).items()}
        tables.append(tables_of(one.data.name, {name: found[name] for name in static}, static))
        others = {name: result for name, result in found.items() if name not in static}
        widths = {name: {"width": result["width"]} for name, result in others.items()}
        if others:
            elsewhere.append(tables_of(one.data.name, others, widths))
    return tables, elsewhere


def _report(
    tables: Sequence[Tables], elsewhere: Sequence[Tables], zoo: Zoo, options: Options, console: Console
) -> dict[str, Any]:
    """Correlations of every set, their table, and the figures."""
    shapes = [shape.name for shape, _ in zoo.models.values()]
    found = {}
    for t in tables:
        with console.status(f"{t.data}: intervals"):
            found[t.data] = analyse(t, shapes, seed=options.seed)
    others = {t.data: t for t in elsewhere}
    for t in tables:
        figure = scatter_figure(t, found[t.data], zoo, others.get(t.data))
        save_figure(figure, options.results / f"{t.data.lower()}.png")
    save_figure(map_figure(found), options.results / "maps.png")
    save_figure(correlation_figure(found), options.results / "correlations.png")
    write_models(options.results / "models.parquet", [*tables, *elsewhere])
    console.print(correlation_table(found))
    return found


def _write_result(found: dict[str, Any], zoo: Zoo, options: Options, seconds: float) -> None:
    strong, training = zoo.strong.shape, zoo.strong.trainings[0]
    settings = {
        "corpus": options.corpus,
        "from_zoo": options.from_zoo,
        "splits": options.splits,
        "seed": options.seed,
        "ridge": RIDGE,
        "ridges": RIDGES,
        "thresholds": THRESHOLDS,
        "strong": {"shape": strong, "parameters": strong.parameters, "training": training},
        "weak_models": len(zoo.models),
    }
    entry = record("experiments.molecules", settings, {}, {"seconds": seconds, "sets": found})
    entry["commit"] = commit_of(Path(__file__).parent)
    write_text(options.results / "results.json", to_json(entry, indent=1) + "\n")
