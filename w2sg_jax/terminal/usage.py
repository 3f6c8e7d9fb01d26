"""Options from arguments, and what is wrong with them in one line: tyro says it in a box of many."""

import contextlib
import dataclasses
import inspect
import io
import os
import re
import shutil
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import tyro

from .._errors import InputError

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_WIDE = "100000"  # columns, so that no word of a message is broken


def parse(options_type: type, arguments: Sequence[str], prog: str) -> Any:
    """The options that the arguments say; a ``~`` before a path is expanded, after NAME= too.

    Args:
        options_type: a dataclass; its docstring is the first part of the help.
        arguments: those after the name of the command.
        prog: what the user typed for the command.

    Raises:
        SystemExit: help was printed.
        InputError: an argument is wrong, missing or empty.
    """
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            options = tyro.cli(options_type, args=list(arguments), prog=prog, description=_description(options_type))
    except SystemExit as stop:
        if not stop.code:
            raise
    else:
        _refuse_empty(options, arguments, prog)
        fields = dataclasses.fields(options)
        return dataclasses.replace(options, **{field.name: _expanded(getattr(options, field.name)) for field in fields})
    raise InputError(f"{_complaint(options_type, arguments, prog)}; see {prog} --help")


def _description(options_type: type) -> str:
    """The class docstring, filled to the terminal; the leading blank keeps tyro from joining the lines."""
    width = min(100, shutil.get_terminal_size().columns) - 1
    paragraphs = (inspect.getdoc(options_type) or "").split("\n\n")
    filled = [text if "\n  " in text else textwrap.fill(text, width, break_on_hyphens=False) for text in paragraphs]
    return textwrap.indent("\n\n".join(filled), " ")


def _expanded(value: Any) -> Any:
    """A value with the home folder for ``~``: a shell expands it only where an argument begins with it.

    So `--labels=~/y.npy` and `NAME=~/a.npy` come as they are written. What follows a path, as in FILE::array, stays.
    """
    if isinstance(value, Path):
        return Path(os.path.expanduser(value))
    if isinstance(value, tuple):
        return tuple(map(_expanded, value))
    if not isinstance(value, str):
        return value
    name, equals, path = value.rpartition("=~")
    if equals and "/" not in name:
        return f"{name}={os.path.expanduser('~' + path)}"
    return os.path.expanduser(value)


def _complaint(options_type: type, arguments: Sequence[str], prog: str) -> str:
    """What tyro says of wrong arguments, as one line."""
    box = io.StringIO()
    with _columns(_WIDE), contextlib.redirect_stderr(box), contextlib.suppress(SystemExit):
        tyro.cli(options_type, args=list(arguments), prog=prog)
    message, *more = _sections(_COLOUR.sub("", box.getvalue())) or [["wrong arguments"]]
    if message[0].startswith("Missing from"):
        return f"missing: {' and '.join(_items(message))}"
    text = " ".join(" ".join(message).split()).rstrip(".")
    if text.startswith("Unrecognized options: ") and not text.startswith("Unrecognized options: -"):
        text = text.replace("Unrecognized options", "unexpected arguments", 1)
    close = [item.split()[0] for section in more if _is_suggestion(section[0]) for item in _items(section)]
    return text + (f"; did you mean {' or '.join(close[:3])}?" if close else "")


def _sections(box: str) -> list[list[str]]:
    """The lines between the rules of a box, without its title and sides, which are blank in ASCII."""
    sections: list[list[str]] = [[]]
    for line in box.splitlines()[1:]:
        if not line.startswith(("│", " ")):
            continue
        inner = line[2:-1].rstrip()
        if inner and not inner.strip("─-"):
            sections.append([])
        elif inner:
            sections[-1].append(inner)
    return [section for section in sections if section]


def _is_suggestion(heading: str) -> bool:
    return heading.startswith(("Perhaps you meant", "Arguments similar to"))


def _items(section: Sequence[str]) -> list[str]:
    """The indented lines; what explains them is indented further."""
    return [line.strip() for line in section if re.match(r" {4}\S", line)]


def _refuse_empty(options: Any, arguments: Sequence[str], prog: str) -> None:
    """An empty value is a shell variable that is not set far more often than it is meant."""
    given = {argument.partition("=")[0].replace("_", "-") for argument in arguments}
    for field in dataclasses.fields(options):
        value = getattr(options, field.name)
        nothing = value == Path() and any(text == "" or text.endswith("=") for text in arguments)
        if nothing or value == "" or (isinstance(value, tuple) and "" in value):
            flag = "--" + field.name.replace("_", "-")
            name = flag if flag in given else field.name.upper()
            raise InputError(f"{name}: the value is empty (a shell variable that is not set?); see {prog} --help")


@contextlib.contextmanager
def _columns(width: str) -> Iterator[None]:
    """The width that a terminal claims to have."""
    before = os.environ.get("COLUMNS")
    os.environ["COLUMNS"] = width
    try:
        yield
    finally:
        os.environ.pop("COLUMNS")
        if before is not None:
            os.environ["COLUMNS"] = before
