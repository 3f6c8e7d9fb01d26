"""From model names and texts to a ranking: `predict`.

Texts are split by hash into what weak models are fitted on (train), what they would label (w2s) and a test part that is
not read; every model represents both parts, in a store that keeps what is there; and the weak models are ranked by the
predicted error of the strong model after fine-tuning on their labels, with intervals over groups of rows.
"""

import difflib
import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import starmap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ._errors import InputError
from .datasets import TextSet, TextSplits, load_text, text_splits
from .encoders.foreign_model import Hf, open_model
from .encoders.language_model import OWN, Key, NotFinite
from .extraction.texts import Extraction, Model, Settings, extraction, short_data, short_name, suffix_of
from .numerics.checks import as_count
from .parallel.mesh import as_mesh
from .ranking.candidates import FEWEST
from .ranking.rank import rank
from .ranking.result import failed_row
from .store import load
from .store.array_files import as_path

if TYPE_CHECKING:
    from .ranking.result import Ranking

STORE = "w2sg-store"
"""The folder of representations, where no other is named."""
GIVEN = {"weak", "strong", "labels", "train", "groups", "train_groups"}
"""What `rank` is given here; its other options are the caller's."""
ROWS = 3000
"""Of all three parts together, by default."""


@dataclass(frozen=True)
class Chosen:
    """One representation of one model."""

    model: str
    """path or name on the hub"""
    layer: int
    pooling: str | None
    """None for the pipeline's own"""


@dataclass(frozen=True, eq=False)
class Prediction:
    """What `predict` will do: rows, models, and what of their representations is missing."""

    data: TextSet
    splits: TextSplits
    models: Mapping[str, Extraction]
    """by path or name on the hub"""
    strong: tuple[str, Key]
    """model, and layer with pooling"""
    weak: Mapping[str, tuple[str, Key]]
    """by the name in the ranking"""
    failed: dict[str, str] = field(default_factory=dict)
    """weak models whose states are not finite, and what was said of them; filled by ``extract``"""

    @property
    def alike(self) -> tuple[str, ...]:
        """A warning for each group of models that are the same representation, whatever they are called."""
        named: dict[Path, list[str]] = {}
        for name, (model, key) in (("the strong model", self.strong), *self.weak.items()):
            named.setdefault(self.models[model].entries[key].folder, []).append(name)
        same = (names for names in named.values() if len(names) > 1)
        return tuple(f"{', '.join(names[:-1])} and {names[-1]} are the same representation" for names in same)

    @property
    def strong_name(self) -> str:
        """What people call the strong model, with its layer."""
        return _called(self.models[self.strong[0]].model, self.strong[1])

    def extract(
        self, progress: Callable[[int, int], None] | None = None, *, devices: Any = None, errors: str = "row"
    ) -> None:
        """Compute the representations that are missing, model by model.

        Args:
            progress, devices: as in ``Extraction.run``, whose errors these are too.
            errors: "row": a weak model whose states are not finite is not ranked. "raise": it ends the extraction.
        """
        total, before = sum(plan.rows for plan in self.models.values()), 0
        for plan in self.models.values():

            def report(done: int, _: int, before: int = before) -> None:
                if progress is not None:
                    progress(before + done, total)

            try:
                plan.run(report, devices=devices)
            except NotFinite as error:
                if errors == "raise" or self.models[self.strong[0]] is plan:
                    raise
                for name, (model, key) in self.weak.items():
                    if self.models[model] is plan and plan.entries[key].missing():
                        self.failed[name] = str(error)
                if len(self.failed) == len(self.weak):
                    raise
            before += plan.rows

    def rank(self, progress: Callable[[int, int], None] | None = None, **options: Any) -> "Ranking":
        """The ranking, once all representations are there; options as ``rank``."""
        middle = len(self.splits.train)

        def parts(model: str, key: Key) -> tuple[Any, Any]:
            rows = load(self.models[model].entries[key].folder)
            return np.asarray(rows[:middle]), np.asarray(rows[middle:])

        found = {name: parts(*one) for name, one in self.weak.items() if name not in self.failed}
        strong_train, strong = parts(*self.strong)
        train = ({name: pair[0] for name, pair in found.items()}, strong_train, self.data.label[self.splits.train])
        ranking = rank(
            {name: pair[1] for name, pair in found.items()},
            strong,
            train=train,
            groups=self.data.group[self.splits.w2s],
            train_groups=self.data.group[self.splits.train],
            progress=progress,
            **options,
        )
        return replace(ranking, rows=ranking.rows + tuple(starmap(failed_row, self.failed.items())))


def predict(
    data: str | TextSet,
    strong: str | os.PathLike[str],
    weak: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | Mapping[str, str | os.PathLike[str]],
    *,
    n: int | None = ROWS,
    seed: int = 0,
    store: str | os.PathLike[str] = STORE,
    max_length: int | None = None,
    prompt: str | None = None,
    dtype: str = "float32",
    stored: str = "float32",
    hf: Hf = False,
    trust_remote_code: bool = False,
    data_dir: str | os.PathLike[str] | None = None,
    devices: Any = None,
    progress: Callable[[int, int], None] | None = None,
    **options: Any,
) -> "Ranking":
    """Rank weak models as supervisors of a strong one, from their names and labelled texts.

    Args:
        data: a data set that is known by name, or texts with labels (``datasets.read_text``).
        strong: the strong model: a folder, a GGUF file, or a name on the hub; with ``#LAYER`` or ``#LAYER:POOLING``
            a layer of it.
        weak: weak models in the same way, or by the names that the ranking is to use.
        n: rows of all three parts of the split together, at most; None for all.
        seed: of the split.
        store: folder that representations are kept in; what is there is not computed again.
        max_length, prompt: as in ``LanguageModel.represent``.
        dtype: of the models' parameters and arithmetic, "float32" or "bfloat16".
        stored: of what is kept, "float32" or "float16".
        hf: whether models are run by their own library (transformers, sentence-transformers) in a process of its own:
            those that our encoders do not read (True), or all ("all").
        trust_remote_code: whether Python code that such models ship may be run, with the user's rights.
        data_dir: folder with published data.
        devices: that share the work of the models: "all", or some of ``jax.local_devices()``.
        progress: called with rows done and rows in all; then with models.
        options: of ``rank``, such as ``ridge``; not its ``dtype``.

    Returns:
        The ranking by the predicted error, Err_w2s.

    Raises:
        InputError: a model, a layer or data that cannot be used.
        OSError: the store cannot be written.

    Cost: one pass of each model over the rows of two parts, as ``LanguageModel.represent``; then ``rank``.
    """
    _check_options(options)
    devices = None if (mesh := as_mesh(devices)) is None else list(mesh.devices.flat)
    texts = load_text(data, data_dir) if isinstance(data, str) else data
    plan = prediction(
        texts,
        strong,
        weak,
        n=n,
        seed=seed,
        store=as_path(store),
        settings=Settings(max_length, prompt, dtype, stored),
        hf=hf,
        trust_remote_code=trust_remote_code,
    )
    plan.extract(progress, devices=devices, errors=options.get("errors", "row"))
    return plan.rank(progress, **options)


def prediction(
    data: TextSet,
    strong: str | os.PathLike[str],
    weak: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | Mapping[str, str | os.PathLike[str]],
    *,
    n: int | None = ROWS,
    seed: int = 0,
    store: Path = Path(STORE),
    settings: Settings | None = None,
    hf: Hf = False,
    trust_remote_code: bool = False,
) -> Prediction:
    """What `predict` will do, with what is there already; arguments and errors are those of `predict`."""
    if not isinstance(data, TextSet):
        raise InputError(
            f"data: expected texts with labels, got {type(data).__name__}; datasets.read_text reads a file of them, "
            "and datasets.text_set puts lists together"
        )
    if isinstance(weak, str | os.PathLike):
        weak = [os.fspath(weak)]
    if not isinstance(weak, Sequence | Mapping):
        raise InputError(f"weak: expected models by path or name, got {type(weak).__name__}")
    n, seed = None if n is None else as_count(n, "n", 3), as_count(seed, "seed", 0)
    splits = text_splits(data, n=n, seed=seed)
    for part, found_rows in (("train", splits.train), ("w2s", splits.w2s)):
        if len(found_rows) < FEWEST:
            raise InputError(
                f"{data.name}: {len(found_rows)} rows in the part {part}; a ranking needs at least {FEWEST}: give more "
                "texts, or a larger n"
            )
    rows = np.concatenate([splits.train, splits.w2s])
    texts = [data.texts[row] for row in rows]
    named = weak.items() if isinstance(weak, Mapping) else ((None, one) for one in weak)
    chosen = [(name, _chosen(one)) for name, one in named]
    best = _chosen(strong)
    opened: dict[str, Model] = {}
    open_one = partial(open_model, hf=hf, trust_remote_code=trust_remote_code)
    keys: dict[Chosen, Key] = {}
    problems: list[InputError] = []
    for one in (best, *(one for _, one in chosen)):
        try:
            keys[one] = _key(one, opened, open_one)
        except InputError as error:
            problems.append(error)
    if problems:  # of all models at once: each may have to be fetched
        told = list(dict.fromkeys(map(str, problems)))
        raise InputError(f"{len(told)} models cannot be used: {'; '.join(told)}") if len(told) > 1 else problems[0]
    found: dict[str, tuple[str, Key]] = {}
    for name, one in chosen:
        name = name or _called(opened[one.model], keys[one])
        if name in found:
            raise InputError(f"weak: two models would be called {name!r}; name them, as a=MODEL b=MODEL")
        found[name] = one.model, keys[one]
    if not found:
        raise InputError("weak: no model; give at least one")
    top = best.model, keys[best]
    _same_prompt(opened, None if settings is None else settings.prompt)
    wanted: dict[str, list[Key]] = {}
    for model, key in (top, *found.values()):
        if key not in wanted.setdefault(model, []):
            wanted[model].append(key)
    called = f"{short_data(data.name)}-{len(rows)}-{seed}"
    plans = {model: extraction(opened[model], texts, keys, store, called, settings) for model, keys in wanted.items()}
    return Prediction(data, splits, plans, top, found)


def _same_prompt(models: Mapping[str, Model], asked: str | None) -> None:
    """Refuse a name that is a prompt of some models and would be the text itself for others (InputError)."""
    found = {name: model.prompt_of(asked) for name, model in models.items()}
    named = [name for name, text in found.items() if asked is not None and text != asked]
    if named and len(named) < len(found):
        other = next(name for name in found if name not in named)
        raise InputError(
            f"prompt: {asked!r} is a prompt of {named[0]} and none of {other}, which would read the word itself; give "
            f"the text, such as {found[named[0]]!r}"
        )


def _check_options(options: Mapping[str, Any]) -> None:
    """Refuse options that `rank` has not (InputError), before any work is done."""
    known = inspect.signature(rank).parameters.keys() - GIVEN
    for name in options:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise InputError(f"{name}: neither predict nor rank has such an option{hint}")


def _called(model: Model, key: Key) -> str:
    """What people call a layer of a model."""
    return f"{short_name(model.name)}{suffix_of(key, model)}"


def _chosen(model: str | os.PathLike[str]) -> Chosen:
    """MODEL, MODEL#LAYER or MODEL#LAYER:POOLING; a path that is there may have a # in its name."""
    if not isinstance(model, str | os.PathLike):
        raise InputError(f"model: expected a path or a name on the hub, got {type(model).__name__}")
    text = os.fspath(model)
    model, mark, rest = text.rpartition("#")
    if not mark or os.path.exists(text):
        return Chosen(text, OWN, None)
    layer, _, pooling = rest.partition(":")
    try:
        return Chosen(model, int(layer), pooling or None)
    except ValueError:
        raise InputError(f"{text}: expected MODEL#LAYER or MODEL#LAYER:POOLING, such as {model}#6:mean") from None


def _key(chosen: Chosen, opened: dict[str, Model], open_one: Callable[[str], Model]) -> Key:
    """The layer and pooling, of a model that is opened once."""
    if chosen.model not in opened:
        opened[chosen.model] = open_one(chosen.model)
    model = opened[chosen.model]
    return model.keys([chosen.layer], None if chosen.pooling is None else [chosen.pooling])[0]
