"""`w2sg predict`: from model names and texts to a ranking."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any, Literal

from rich.console import Console
from tyro.conf import arg

from .._errors import InputError
from ..terminal.progress import progress_bar
from .extract import ModelOptions, announce, before_models, devices_of, texts_bar
from .texts import TextOptions, text_set_of


@dataclasses.dataclass(frozen=True)
class PredictOptions(ModelOptions, TextOptions):
    """Which weak models would supervise a strong one best, from model names and labelled texts.

    The texts are split by hash: weak models would be fitted on one part (train) and label the other (w2s); the
    third is not read. Every model represents both parts, in a store that keeps what is there, so that a run that
    is killed goes on. The weak models are ranked by the predicted error of the strong model after fine-tuning
    on their labels, in squared label units, told from the labelled part. Smaller is better. Intervals count rows
    of one question or author once.

    A model is a folder with config.json, safetensors and tokenizer, a GGUF file, or a name on the Hugging Face
    hub; MODEL#LAYER and MODEL#LAYER:POOL take a layer of it, and NAME=MODEL gives weak models names of your own, all of
    them.

    Example:
      w2sg predict --data sciq --strong gemma3.gguf --weak minilm minilm#3 smollm2.gguf --out sciq
      w2sg predict --data mine.csv --text question --label answer --strong a/folder --weak b/folder c/folder
    """

    data: Annotated[str, arg(metavar="NAME|FILE")]
    """Texts: a data set that is known by name (w2sg datasets lists them), or a file of your own."""
    strong: Annotated[str, arg(metavar="MODEL")]
    """The strong model."""
    weak: Annotated[tuple[str, ...], arg(metavar="MODEL [MODEL ...]")]
    """The weak models."""
    n: int = 3000
    """Rows of all three parts together, at most; 0 for all."""
    seed: int = 0
    """Of the split."""
    ridge: float | Literal["auto"] = "auto"
    """Of the heads, added to K/n in units of unit trace: pass their weight decay. auto: each model's own, by
    leave-one-out on the labelled part."""
    confidence: float = 0.95
    """Of the intervals."""
    out: Annotated[Path | None, arg(metavar="DIR")] = None
    """Write ranking.json, ranking.txt and ranking.png to this folder, which is made if need be."""


def run(options: PredictOptions, tables: Console, progress: Console) -> dict[str, Any]:
    """Extracts what is missing, ranks, prints the table, writes --out and returns the record of the run.

    Raises:
        InputError, OSError: models, texts or folders that cannot be used.
    """
    from ..from_models import prediction
    from ..report.record import record
    from ..report.tables import print_warnings
    from .files import named_models
    from .rank import output_folder, show_ranking, write_ranking

    out = output_folder(None if options.out is None else str(options.out))
    data = text_set_of(options.data, options)
    weak = named_models(options.weak)
    if "=" in options.strong and not Path(options.strong.partition("#")[0]).exists():
        raise InputError(f"--strong: {options.strong!r}: names are for weak models; give the strong one as MODEL")
    before_models(options, progress)
    plan = prediction(
        data,
        options.strong,
        weak,
        n=options.n or None,
        seed=options.seed,
        store=options.store,
        settings=options.settings,
        **options.by,
    )
    announce(list(plan.models.values()), progress)
    print_warnings(progress, plan.alike)
    inputs = {
        "data": {"name": data.name, "rows": data.rows, "train": len(plan.splits.train), "w2s": len(plan.splits.w2s)},
        "representations": {
            entry.name: dict(entry.made_from) for model in plan.models.values() for entry in model.entries.values()
        },
    }
    if options.dry_run:
        return record("predict", dataclasses.asdict(options), inputs, {})
    with texts_bar(progress) as report:
        plan.extract(report, devices=devices_of(options))
    with progress_bar(progress, "weak models") as report:
        ranking = plan.rank(report, ridge=options.ridge, confidence=options.confidence)
    strong = f"{plan.strong_name} on {data.name}"
    table = show_ranking(ranking, strong, tables, progress)
    result = record("predict", dataclasses.asdict(options), inputs, ranking.to_dict())
    if out:
        written = write_ranking(out, result, ranking, table, strong, progress)
        progress.print(f"wrote {out}/{written}", markup=False, highlight=False, soft_wrap=True)
    return result
