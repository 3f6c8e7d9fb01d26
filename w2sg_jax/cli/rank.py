"""`w2sg rank`: many weak models against one strong model."""

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from rich.console import Console
from rich.table import Table
from tyro.conf import Positional, arg

from .._errors import InputError
from ..terminal.progress import progress_bar
from .options import FILE, PairOptions

if TYPE_CHECKING:
    from ..ranking.result import Ranking


NUMBER = re.compile(r"(?<![\w#.])[-+]?\d[\d.]*(?:e[-+]?\d+)?(?!\w)")
"""In a warning."""
MOST_NAMED = 3
"""Models that a warning names beside the first one."""
SHARE = 0.4
"""Of the machine's product rate, about what rankings reach."""
LONG = 60.0
"""Seconds of a ranking that says beforehand how long it takes."""
SLOWEST = 1e10
"""Operations a second that any machine reaches: what is short at this rate is not looked at."""


@dataclasses.dataclass(frozen=True)
class RankOptions(PairOptions):
    """Which of several weak models would supervise a strong one best, with intervals.

    Row i of every file belongs to sample i: the samples that a weak model would label. With the labelled set
    that the weak models are fitted on anyway (--train-strong, --train-weak, --train-labels) the ranking is by
    the predicted error of the strong model after fine-tuning on weak labels, in squared label units; no label
    of the samples themselves is needed. Without labels it is by the nearest neighbours that a weak model
    shares with the strong one, by cosines of representations as they are, not centred: take off an offset
    that is none of the model's own. There is no ridge to choose. Beside it stands the gap norm
    |P_s (I - P_w)|, the share of what the strong model can express and the weak one cannot (--by norm). The
    ridge is what is added to K/n, in units of unit trace: pass the weight decay of the heads if it is known.

    A weak model is called by its file's stem, by the array's name in FILE::name, or as NAME=FILE says.

    Example:
      w2sg rank llama.npy minilm.npy gpt2.npy use=use_512.npy --out ranking
      w2sg rank s.npy a.npy b.npy --train-strong s0.npy --train-weak a0.npy b0.npy --train-labels y0.npy
    """

    strong: Annotated[Positional[str], arg(metavar="STRONG")]
    """Representations of the samples by the strong model, (n, d_strong)."""
    weak: Annotated[Positional[tuple[str, ...]], arg(metavar="WEAK [WEAK ...]")]
    """Representations of the same samples by each weak model, (n, d_weak)."""
    train_strong: Annotated[str | None, FILE] = None
    """The strong model's representations of the set that the weak models are fitted on."""
    train_weak: Annotated[tuple[str, ...], arg(metavar="FILE [FILE ...]")] = ()
    """The weak models' representations of that set: one each, in the order of WEAK, or NAME=FILE for all."""
    train_labels: Annotated[str | None, FILE] = None
    """Labels of that set."""
    ridge: float | Literal["auto"] = dataclasses.field(  # pyright: ignore[reportIncompatibleVariableOverride]
        default="auto", kw_only=True
    )
    """Of the heads, added to K/n in units of unit trace (raw units with --scale none). auto: with the labelled set,
    each model's own by leave-one-out; else 0.01."""
    by: (
        Literal["err_w2s", "supervised", "predicted", "mutual_knn", "norm", "frobenius", "dof_weak", "err_weak"] | None
    ) = None
    """Order by this column, smaller first, of mutual_knn and dof_weak larger; by default the first of these that the
    files allow."""
    also: Annotated[tuple[str, ...], arg(metavar="NAME [NAME ...]")] = ()
    """Further predictors as columns: their names, or all that the files allow."""
    train_groups: Annotated[str | None, FILE] = None
    """The same of the set that the weak models are fitted on."""
    errors: Literal["row", "raise"] = "row"
    """A constant representation is a row with its reason (row), or the end of the ranking (raise)."""
    out: Annotated[str | None, arg(metavar="DIR")] = None
    """Write ranking.json, ranking.txt and ranking.png to this folder, which is made if need be."""


def run(options: RankOptions, tables: Console, progress: Console) -> dict[str, Any]:
    """Ranks the weak models, prints the table, writes --out and returns the record of the run.

    Raises:
        InputError, OSError: input that cannot be used.
    """
    locations = _locations(options)
    from ..report.record import record
    from .files import described, read

    out = output_folder(options.out)
    arrays = {role: (location, read(location)) for role, location in locations.items()}
    _announce({role: array.shape for role, (_, array) in arrays.items()}, progress)
    ranking = _ranking(options, {role: array for role, (_, array) in arrays.items()}, progress)
    table = show_ranking(ranking, options.strong, tables, progress)
    inputs = described(arrays) if options.json or out else {}
    result = record("rank", dataclasses.asdict(options), inputs, ranking.to_dict())
    if out:
        written = write_ranking(out, result, ranking, table, Path(options.strong).stem, progress)
        progress.print(f"wrote {out}/{written}", markup=False, highlight=False, soft_wrap=True)
    return result


def _announce(shapes: Mapping[str, tuple[int, ...]], console: Console) -> None:
    """Says how long the ranking will take, and in how much memory, where that is more than a minute."""
    from ..bench.machine import product_rate
    from ..ranking.cost import Work, flops, flops_of_errors, flops_of_neighbours, memory

    works: list[Work] = []
    for prefix in ("", "train_"):
        weak = [shape[1] for role, shape in shapes.items() if role.startswith(f"{prefix}weak/") and len(shape) == 2]
        strong = shapes.get(f"{prefix}strong", ())
        if weak and len(strong) == 2:
            works.append(Work(tuple(weak), strong[1], strong[0]))
    operations = sum(map(flops, works))
    if len(works) == 2:
        operations += flops_of_errors(works[1], works[0])
    elif works and "labels" not in shapes:
        operations += flops_of_neighbours(works[0])
    if operations / SLOWEST < LONG:
        return
    seconds = operations / (SHARE * product_rate("float64", size=1024, at_least=0.1))
    if seconds >= LONG:
        needed = sum(map(memory, works)) / 2**30
        console.print(f"about {seconds / 60:.0f} min on this machine, and {needed:.1f} GiB beside the samples")


def _ranking(options: RankOptions, data: Mapping[str, Any], console: Console) -> "Ranking":
    from .. import rank

    train = None
    if options.train_weak:
        train = (_group(data, "train_weak"), data["train_strong"], data["train_labels"])
    with progress_bar(console, "weak models") as progress:
        return rank(
            _group(data, "weak"),
            data["strong"],
            data.get("labels"),
            train=train,
            ridge=options.ridges,
            threshold=options.threshold,
            groups=data.get("groups"),
            train_groups=data.get("train_groups"),
            by=options.by,
            also="all" if options.also == ("all",) else options.also,
            confidence=options.confidence,
            errors=options.errors,
            scale=options.scale,
            **options.of_pass,
            progress=progress,
        )


def _locations(options: RankOptions) -> dict[str, str]:
    """Every file by its role; the weak models' roles end in their names."""
    from .files import named, paired

    if not options.weak:
        raise InputError("no weak model was given; pass at least one file after STRONG")
    weak = named(options.weak, "weak models")
    train = {"--train-strong": options.train_strong, "--train-labels": options.train_labels}
    missing = [name for name, value in (train | {"--train-weak": options.train_weak}).items() if not value]
    if 0 < len(missing) < 3:
        raise InputError(
            f"{' and '.join(missing)} missing; the training set needs all three of --train-strong,"
            " --train-weak and --train-labels"
        )
    train_weak = paired(options.train_weak, list(weak), "--train-weak") if options.train_weak else {}
    single = {
        "strong": options.strong,
        "labels": options.labels,
        "train_strong": options.train_strong,
        "train_labels": options.train_labels,
        "groups": options.groups,
        "train_groups": options.train_groups,
    }
    return (
        {role: location for role, location in single.items() if location}
        | {f"weak/{name}": location for name, location in weak.items()}
        | {f"train_weak/{name}": location for name, location in train_weak.items()}
    )


def _group(data: Mapping[str, Any], role: str) -> dict[str, Any]:
    return {name.removeprefix(f"{role}/"): array for name, array in data.items() if name.startswith(f"{role}/")}


def show_ranking(ranking: "Ranking", strong: str, tables: Console, progress: Console) -> Table:
    """Prints what the terminal has room for of the table of a ranking, and its warnings; returns the whole table."""
    from ..report.tables import print_warnings, ranking_table

    title = f"Weak supervisors for {strong}, best first, {ranking.n} samples"
    tables.print(ranking_table(ranking, title, tables.width))
    print_warnings(progress, ranking.warnings)
    print_warnings(progress, warnings_of_models(ranking))
    return ranking_table(ranking, title)


def warnings_of_models(ranking: "Ranking") -> tuple[str, ...]:
    """What a reader should know of single models; what several share but for its numbers is said once."""
    alike: dict[str, list[tuple[str, str]]] = {}
    for row in ranking.rows:
        for text in row.warnings if row.error is None else (f"not ranked: {row.error}",):
            alike.setdefault(NUMBER.sub("#", text), []).append((row.name, text))
    found = []
    for (name, text), *others in alike.values():
        names = [other for other, _ in others[:MOST_NAMED]]
        more = len(others) - len(names)
        named = ", ".join(names) + (f" and {more} more" if more else "")
        found.append(f"{name}: {text}" + (f"; the like of {named}" if others else ""))
    return tuple(found)


def output_folder(out: str | None) -> Path | None:
    """Makes the output folder before the work starts, so that a wrong name costs no work."""
    if out is None:
        return None
    from ..store.atomic import check_writable

    folder = Path(out)
    if folder.exists() and not folder.is_dir():
        raise InputError(f"--out: {out} is a file; give a folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out: {out} cannot be made ({error.strerror}); give another folder") from error
    check_writable(folder / "ranking.json")
    return folder


def write_ranking(
    out: Path, result: dict[str, Any], ranking: "Ranking", table: Table, strong: str, console: Console
) -> str:
    """Writes the record, the table and, last, the figure; returns the names of the files that were written."""
    import io

    from ..report.ranking_figure import ranking_figure
    from ..report.record import to_json
    from ..report.style import draw
    from ..store.atomic import write_text

    page = Console(file=io.StringIO(), width=200)
    page.print(table)
    text: str = page.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]
    write_text(out / "ranking.json", to_json(result) + "\n")
    write_text(out / "ranking.txt", text.encode("utf-8", "backslashreplace").decode())
    drawn = draw(out / "ranking.png", lambda: ranking_figure(ranking, strong), console)
    return "ranking.json, ranking.txt and ranking.png" if drawn else "ranking.json and ranking.txt"
