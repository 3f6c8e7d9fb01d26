"""`w2sg extract`: representations of texts by a language model, kept in a store."""

import contextlib
import dataclasses
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from rich.console import Console
from tyro.conf import FlagCreatePairsOff, Positional, arg

from .._errors import InputError
from ..terminal.progress import progress_bar
from .texts import TextOptions, texts_of

if TYPE_CHECKING:
    from ..extraction.texts import Extraction

STORE = Path("w2sg-store")
"""Where representations are kept, if nothing else is asked for."""
LINE_EVERY = 60.0
"""Seconds between lines of progress, where there is no bar."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """What representations depend on beside model and texts, and where they are kept."""

    max_length: Annotated[int | None, arg(metavar="INT")] = None
    """Tokens that longer texts are cut to; by default as the model's own pipeline does."""
    prompt: Annotated[str | None, arg(metavar="TEXT")] = None
    """Before each text: the name of a prompt of the model's own, such as query, or the text itself."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Of parameters and arithmetic; bfloat16 halves the memory and has 3 digits."""
    stored: Literal["float32", "float16"] = "float32"
    """Of what is kept."""
    store: Annotated[Path, arg(metavar="DIR")] = STORE
    """Folder of representations, each under the hash of what made it; what is there is not computed again."""
    devices: Annotated[Literal["all"] | None, arg(metavar="{all}")] = None
    """Share the rows among all devices, and the parameters where they are larger than one of them."""
    hf: Annotated[tuple[Literal["all"], ...] | None, arg(metavar="[all]")] = None
    """Run the models that our encoders do not read by their own library (transformers, sentence-transformers), in a
    process of its own; all: run every model so."""
    trust_remote_code: Annotated[bool, FlagCreatePairsOff] = False
    """With --hf: run Python code that a model ships, with your rights. Read it first."""
    dry_run: Annotated[bool, FlagCreatePairsOff] = False
    """Say what would be done, in which memory and time, and stop."""
    json: Annotated[bool, FlagCreatePairsOff] = False
    """Print one JSON object, with settings, versions and hashes; the table goes to stderr."""

    @property
    def settings(self) -> Any:
        """As ``extraction`` takes them."""
        from ..extraction.texts import Settings

        return Settings(self.max_length, self.prompt, self.dtype, self.stored)

    @property
    def by(self) -> dict[str, Any]:
        """Who runs the models, as ``open_model`` takes it."""
        return {
            "hf": False if self.hf is None else "all" if self.hf else True,
            "trust_remote_code": self.trust_remote_code,
        }


@dataclasses.dataclass(frozen=True)
class ExtractOptions(ModelOptions, TextOptions):
    """Representations of texts by a language model: any layers and poolings, by one pass, kept in a store.

    MODEL is a folder with config.json, safetensors and tokenizer (as save_pretrained writes it), a GGUF file, or
    a name on the Hugging Face hub (owner/name, and --revision). BERT, RoBERTa, XLM-R, MPNet, DistilBERT, Llama,
    Mistral, Qwen 2 and 3, Gemma and Gemma 3, GPT-2 and GPT-NeoX are read. Layer 0 is the embedding, layer L the
    last block before the final norm, and -1 what the model's own pipeline gives. Any other model is run by its
    own library with --hf. A run that is killed goes on where it was; nothing stale is ever used.

    Example:
      w2sg extract models/minilm --data sciq --layers all --pool mean cls
      w2sg rank w2sg-store::smollm2@sciq w2sg-store::minilm#3:mean@sciq w2sg-store::minilm@sciq
    """

    model: Annotated[Positional[str], arg(metavar="MODEL")]
    """Folder, GGUF file, or name on the hub."""
    data: Annotated[str, arg(metavar="NAME|FILE")]
    """Texts: a data set that is known by name (w2sg datasets lists them), or a file of your own, also unlabelled."""
    layers: Annotated[str, arg(metavar="all|L[,L...]")] = "-1"
    """Layers: all (0 to L, and -1), or some, such as 0,6,12."""
    pool: Annotated[tuple[Literal["mean", "cls", "last"], ...], arg(metavar="{mean,cls,last} ...")] = ()
    """How the tokens of a text become one row; by default as the model's own pipeline does, else the mean for
    encoders and the last token for decoders."""
    n: Annotated[int | None, arg(metavar="INT")] = None
    """The first so many rows alone."""
    revision: Annotated[str | None, arg(metavar="NAME")] = None
    """Of a model on the hub."""
    store: Annotated[Path, arg(metavar="DIR", aliases=["--out"])] = dataclasses.field(default=STORE, kw_only=True)
    """Folder of representations, each under the hash of what made it; what is there is not computed again."""


def run(options: ExtractOptions, tables: Console, progress: Console) -> dict[str, Any]:
    """Extracts what is missing, prints where everything is and returns the record of the run.

    Raises:
        InputError, OSError: a model, texts or a folder that cannot be used.
    """
    from ..encoders.foreign_model import open_model
    from ..extraction.texts import extraction, short_data
    from ..report.record import record
    from ..report.tables import table

    data, texts = texts_of(options.data, options)
    if options.n is not None and not 1 <= options.n <= len(texts):
        raise InputError(f"--n: got {options.n}; {data} has {len(texts)} rows")
    texts = texts[: options.n]
    before_models(options, progress)
    model = open_model(options.model, revision=options.revision, **options.by)
    keys = model.keys(layers_of(options.layers, model.depth), options.pool or None)
    called = short_data(data) + ("" if options.n is None else f"-{options.n}")
    plan = extraction(model, texts, keys, options.store, called, options.settings)
    announce([plan], progress)
    if not options.dry_run:
        with texts_bar(progress) as report:
            plan.run(report, devices=devices_of(options))
    headings = ("representation", "rows", "width", "where")
    cells = [(entry.name, str(entry.rows), str(entry.width), str(entry.folder)) for entry in plan.entries.values()]
    tables.print(table(f"Representations by {options.model}", headings, cells, words=(0, 3)))
    if not options.dry_run:
        tables.print(f"read one as {options.store}::{cells[0][0]}", markup=False, highlight=False, soft_wrap=True)
    found = {
        entry.name: {"folder": str(entry.folder), "rows": entry.rows, "width": entry.width, **entry.made_from}
        for entry in plan.entries.values()
    }
    return record("extract", dataclasses.asdict(options), {}, {"representations": found, "cut": plan.tokens.cut})


def before_models(options: ModelOptions, console: Console) -> None:
    """Says what --trust-remote-code means, and leaves room on a GPU for the library of --hf."""
    if options.hf is None:
        return
    # JAX takes three quarters of a GPU's memory when it starts, which another process could not use then.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    if options.trust_remote_code:
        told = "--trust-remote-code: Python code that a model ships is run, and may read, change and send what you can"
        console.print(told, markup=False, highlight=False, soft_wrap=True)


@contextlib.contextmanager
def texts_bar(console: Console) -> Iterator[Callable[[int, int], None]]:
    """A bar over texts that says how many are done in a second, once the first ones are; in a file a line a minute."""
    with progress_bar(console, "texts") as bar:
        first: tuple[int, float] | None = None
        written = time.perf_counter()

        def report(done: int, total: int) -> None:
            nonlocal first, written
            now = time.perf_counter()
            first = first or (done, now)
            rate = (done - first[0]) / (now - first[1]) if now > first[1] else 0.0
            if bar is not None:
                bar(done, total, f"texts, {rate:.0f} a second" if rate else None)
            elif now - written >= LINE_EVERY:
                written = now
                told = f"{done} of {total} texts, {rate:.0f} a second"
                console.print(told, markup=False, highlight=False, soft_wrap=True)

        yield report


def layers_of(text: str, depth: int) -> list[int]:
    """The layers of `all` or `0,6,12`.

    Raises:
        InputError: it is neither.
    """
    if text == "all":
        return [*range(depth + 1), -1]
    try:
        return [int(layer) for layer in text.split(",")]
    except ValueError:
        raise InputError(f"--layers: got {text!r}; expected all, or numbers such as 0,6,12") from None


def devices_of(options: ModelOptions) -> Any:
    """The devices of --devices."""
    if options.devices is None:
        return None
    import jax

    return jax.local_devices()


def announce(plans: "Sequence[Extraction]", console: Console) -> None:
    """Says what will be done for each model, and how long it will take together."""
    from ..bench.machine import product_rate
    from ..extraction.texts import seconds, told

    for plan in plans:
        console.print(told(plan), markup=False, highlight=False, soft_wrap=True)
    if any(plan.missing for plan in plans):
        rate = product_rate("float32", size=1024, at_least=0.1)
        took = sum(seconds(plan, rate) for plan in plans)
        words = f"{took / 60:.0f} min" if took >= 90 else f"{took:.0f} s"
        console.print(f"about {words} on this machine", markup=False, highlight=False)
