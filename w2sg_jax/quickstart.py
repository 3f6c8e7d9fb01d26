"""`w2sg quickstart`: the whole method on real molecules, offline."""

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path

import numpy as np
from rich.console import Console

from . import store
from ._errors import InputError
from .datasets import MoleculeSet, load_freesolv, load_lipophilicity, load_moses_sample
from .datasets.splits import Splits, make_splits
from .evaluation.measure import measure
from .evaluation.result import DatasetResult, QuickstartResult, summarise
from .extraction.extract import extract
from .numerics.checks import as_count
from .report.figures import metric_against_error
from .report.record import to_json
from .report.style import draw
from .report.tables import correlation_table, model_table
from .store.atomic import check_writable, replacing, write_text
from .terminal.progress import progress_bar
from .training import PretrainConfig
from .training.zoo import ModelPlan, Zoo
from .training.zoo_training import Corpus, train_zoo


def _plan(width: int, depth: int, heads: int, steps: int, seed: int, *, rate: float = 5e-3) -> ModelPlan:
    return ModelPlan(width, depth, heads, PretrainConfig(steps, 64, rate, bucket_edges=(40, 52), seed=seed))


DEFAULT_ZOO = Zoo(
    strong=_plan(96, 4, 6, 900, 0, rate=2e-3),
    weak=(
        _plan(8, 1, 2, 600, 1),
        _plan(8, 2, 2, 150, 2),
        _plan(12, 1, 2, 400, 3),
        _plan(16, 1, 2, 300, 4),
        _plan(16, 2, 2, 600, 5),
        _plan(24, 2, 3, 400, 6),
        _plan(32, 1, 4, 200, 7),
        _plan(32, 2, 4, 600, 8),
        _plan(48, 2, 4, 400, 9, rate=3e-3),
        _plan(64, 2, 4, 400, 10, rate=3e-3),
    ),
)
"""About seven minutes of training on 2 cores."""

RIDGE = 1e-4
"""Of every head and every predictor: what is added to K/n of unit-trace representations. Not tuned."""


@dataclass(frozen=True)
class QuickstartConfig:
    """The whole method on real molecules, offline, in minutes.

    Trains one strong and ten weak encoders on 50 000 molecules (four to eight minutes on 2 cores; kept for
    the next run, and continued if interrupted), lets each weak one supervise the strong one on two measured
    properties, and compares what that cost with what the gap predicted beforehand.

    Example:
      w2sg quickstart --out molecules --splits 20
    """

    out: Path = Path("w2sg-quickstart")
    """Folder for results, figures, representations and trained encoders; made if it is not there."""
    splits: int = 10
    """Random splits of each data set into train, w2s and test parts."""
    seed: int = 0
    """Of the splits and of the bootstrap intervals; the trained encoders do not depend on it."""


def run_quickstart(
    config: QuickstartConfig,
    *,
    zoo: Zoo = DEFAULT_ZOO,
    pretraining: Sequence[str] | None = None,
    datasets: Sequence[MoleculeSet] | None = None,
    console: Console | None = None,
) -> QuickstartResult:
    """Pretrain the zoo, extract representations, measure weak-to-strong generalization, and correlate.

    Writes to `config.out`, each file whole or not at all:
    `results.json`; `representations/SET/MODEL.safetensors` with `target.npy` and `smiles.txt`; `SET.png`
    (predictors against the measured Err_w2s); `cache/` with the trained encoders and what they made of the molecules,
    which the next run reuses.

    Args:
        config: Where to write, how many splits, which seed.
        zoo: The encoders, for something else than the default.
        pretraining: Unlabelled SMILES to train on; by default the bundled sample of MOSES.
        datasets: Labelled sets; by default FreeSolv and Lipophilicity.
        console: Where progress and tables go; by default standard output.

    Raises:
        InputError: splits or seed are no such numbers, `out` is a file, or a data set is too small.
        OSError: `out` cannot be written.
    """
    started = time.perf_counter()
    console = console or Console()
    _check(config)
    datasets = (load_freesolv(), load_lipophilicity()) if datasets is None else tuple(datasets)
    splits = [make_splits(data.smiles, splits=config.splits, seed=config.seed) for data in datasets]
    config.out.mkdir(parents=True, exist_ok=True)
    check_writable(config.out / "results.json")
    smiles = load_moses_sample() if pretraining is None else pretraining
    represented = {data.name: data.smiles for data in datasets}
    corpus = Corpus.build(smiles, represented, longest=zoo.longest)
    if corpus.too_long:
        console.print(f"{corpus.too_long} molecules have more than {zoo.longest} tokens: no model is trained on them")
    cache = config.out / "cache"
    models = train_zoo(zoo, corpus, cache, console, retrain_damaged=True)
    encoders = {name: model.encoder for name, model in models.items()}
    extracted = extract(encoders, corpus.tokenizer, represented, cache / "representations", console)
    results = tuple(
        _analyse(data, own, extracted.files[data.name], zoo, config, console)
        for data, own in zip(datasets, splits, strict=True)
    )
    console.print(correlation_table(results))
    result = QuickstartResult(
        datasets=results,
        ridge=RIDGE,
        models={name: model.key for name, model in models.items()},
        reused=not extracted.made and all(model.reused for model in models.values()),
        seconds=time.perf_counter() - started,
        versions={package: version(package) for package in ("jax", "jaxlib", "flax", "optax", "numpy")},
        out=config.out,
    )
    write_text(config.out / "results.json", to_json(result.to_dict(), indent=1))
    for found in results:
        draw(config.out / f"{found.data.name}.png", partial(metric_against_error, found), console)
    console.print(f"{result.seconds:.0f} s; results, figures and representations are in {config.out}", highlight=False)
    return result


def _check(config: QuickstartConfig) -> None:
    if config.out.exists() and not config.out.is_dir():
        raise InputError(f"out: {config.out} is a file; give the name of a folder")
    for name, least in (("splits", 1), ("seed", 0)):
        as_count(getattr(config, name), name, least)


def _analyse(
    data: MoleculeSet, splits: Splits, files: Mapping[str, Path], zoo: Zoo, config: QuickstartConfig, console: Console
) -> DatasetResult:
    """Measure one data set, given each model's representation of it; write its figure and show its table."""
    if splits.duplicates:
        console.print(f"{data.name}: {splits.duplicates} rows repeat a molecule and are left out")
    representations = {name: np.asarray(store.load(path)) for name, path in files.items()}
    weak = {plan.name: representations[plan.name] for plan in zoo.weak}
    with progress_bar(console, f"{data.name}: splits") as progress:
        measured = measure(weak, representations[zoo.strong.name], data.target, splits, ridge=RIDGE, progress=progress)
    widths = tuple(plan.width for plan in zoo.weak)
    result = summarise(data, zoo.strong.name, splits, measured, widths, seed=config.seed)
    _write_representations(config.out / "representations" / data.name, data, files)
    console.print(model_table(result))
    return result


def _write_representations(folder: Path, data: MoleculeSet, files: Mapping[str, Path]) -> None:
    """What a user may want to try other predictors on: representations by the names of models, labels and SMILES."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, path in files.items():
        with replacing(folder / f"{name}.safetensors") as temporary:
            shutil.copyfile(path, temporary)
    store.save(folder / "target.npy", np.asarray(data.target))
    write_text(folder / "smiles.txt", "\n".join(data.smiles) + "\n")
