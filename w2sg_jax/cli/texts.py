"""Labelled texts on the command line: a known name, or a file of one's own with the names of its columns."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import arg

from .._errors import InputError

if TYPE_CHECKING:
    from ..datasets import TextSet

OWN = ("text", "template", "label", "group", "positive")
"""Options of one's own files."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class TextOptions:
    """Where texts are, and which columns of one's own file are what."""

    data_dir: Annotated[Path | None, arg(metavar="DIR")] = None
    """Folder with published files; by default what W2SG_DATA names."""
    text: Annotated[tuple[str, ...], arg(metavar="COLUMN ...")] = ()
    """Of your own file: the column with the text, or several, which follow each other on lines of their own."""
    template: Annotated[str | None, arg(metavar="TEMPLATE")] = None
    """Of your own file: how a text is made of columns instead, with their names between braces."""
    label: Annotated[str | None, arg(metavar="COLUMN")] = None
    """Of your own file: the column of labels, two classes or a number to be predicted."""
    group: Annotated[str | None, arg(metavar="COLUMN")] = None
    """Of your own file: rows with the same value in this column are never parted."""
    positive: Annotated[str | None, arg(metavar="CLASS")] = None
    """Of your own file: the class that is labelled 1, all others being 0."""


def texts_of(name: str, options: TextOptions) -> tuple[str, tuple[str, ...]]:
    """Name and texts of a data set, of which the user's own file need not have labels."""
    from ..datasets import TASKS, read_unlabelled

    if options.label or name in TASKS or not Path(name).exists():
        data = text_set_of(name, options)
        return data.name, data.texts
    return Path(name).stem, read_unlabelled(name, text=options.text or None, template=options.template)


def text_set_of(name: str, options: TextOptions) -> "TextSet":
    """The data set of a known name, or of the user's file."""
    from ..datasets import TASKS, load_text, read_text

    if name in TASKS:
        if given := [option for option in OWN if getattr(options, option)]:
            raise InputError(f"--{given[0]}: is for files of your own; {name} has columns and a prompt of its own")
        return load_text(name, options.data_dir)
    if not (Path(name).exists() or Path(name).suffix or Path(name).parent.name):
        return load_text(name, options.data_dir)  # which says what names there are
    if not options.label and Path(name).exists():
        raise InputError(f"--label: name the column of {name} that holds the labels")
    return read_text(
        name,
        text=options.text or None,
        template=options.template,
        label=options.label or "",
        group=options.group,
        positive=options.positive,
    )
