"""Prompts: a template filled with the columns of a row, and the wrong answer that a question is asked with."""

import difflib
from collections.abc import Iterable, Mapping
from string import Formatter

from .._errors import InputError
from ..store.content import texts_hash


def columns_of(template: str) -> tuple[str, ...]:
    """The names of columns that a template has between braces, each once, in their order.

    ``"{question} {passage}"`` has two. Braces that are meant as such are doubled. A name is the name of a column and
    nothing else: attributes, elements, conversions and formats of Python's own templates are refused.

    Raises:
        InputError: the braces do not match; there is no name; or more than a name stands between them.
    """
    names = dict.fromkeys(name for _, name in _parts(template) if name is not None)
    if not names:
        raise InputError(f"template: {template!r} names no column; write one between braces, such as {{text}}")
    return tuple(names)


def fill(template: str, row: Mapping[str, str]) -> str:
    """The template with the values of a row in the places of their names. Braces in values are text.

    Raises:
        InputError: as ``columns_of``; or the row has no such column (the nearest name is told).
    """
    filled = []
    for literal, name in _parts(template):
        filled.append(literal)
        if name is None:
            continue
        if name not in row:
            close = difflib.get_close_matches(name, row, n=1)
            hint = f"did you mean {{{close[0]}}}?" if close else f"there are {', '.join(map(repr, row))}"
            raise InputError(f"template: there is no column {name!r}; {hint}")
        filled.append(row[name])
    return "".join(filled)


def wrong_answer(question: str, right: Iterable[str], choices: Iterable[str]) -> str:
    """One of the choices that is not right: the one of the least hash with the question.

    So it depends on the question and on the choices alone, in whatever order and beside whatever other questions they
    stand, and on every machine in the same way.

    Args:
        question: what is asked.
        right: every answer that is right; choices that differ from one of them in case and white space only are right,
            too.
        choices: the answers to choose from; right ones among them are passed over.

    Raises:
        InputError: none of the choices is wrong.
    """
    known = {_plain(answer) for answer in right}
    wrong = [choice for choice in choices if _plain(choice) not in known]
    if not wrong:
        raise InputError(f"choices: none is a wrong answer to {question[:80]!r}; leave the question out")
    return min(wrong, key=lambda choice: texts_hash("wrong answer", question, choice))


def _plain(answer: str) -> str:
    return " ".join(answer.casefold().split())


def _parts(template: str) -> list[tuple[str, str | None]]:
    """Literal texts, and the name that follows each, if one does."""
    try:
        parsed = list(Formatter().parse(template))
    except ValueError as error:
        raise InputError(f"template: {template!r} cannot be read ({error}); double braces that are text") from None
    for _, name, form, conversion in parsed:
        if name is None:
            continue
        if name == "":
            raise InputError(f"template: {template!r} has empty braces; write the name of a column between them")
        if form or conversion or any(letter in name for letter in ".[]{}"):
            raise InputError(
                f"template: {template!r} asks for more than the column {name!r}; between braces is the name of a column"
                " and nothing else: no dot, brackets, colon or exclamation mark (rename the column if it has one)"
            )
    return [(literal, name) for literal, name, _, _ in parsed]
