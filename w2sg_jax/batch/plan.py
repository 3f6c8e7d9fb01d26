"""Configurations from a TOML file: lists are crossed."""

import itertools
import math
import tomllib
import typing
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from .._errors import InputError
from .trial import from_plain, unknown_field

Config = TypeVar("Config")
BLOCKS = "trials"
MOST = 1_000_000
"""Trials of one block; more are a slip."""


def load_configs(path: str | Path, config_type: type[Config]) -> list[Config]:
    """Read configurations; each key is a field, and lists are crossed.

        ridge = [1e-3, 1e-2]         # six trials
        seed = [0, 1, 2]

        [[trials]]                   # or blocks, each crossed by itself, with what stands above as their default
        method = "full"

    Where a field itself is a tuple, a list of lists is crossed and a list is one value.

    Args:
        path: the TOML file.
        config_type: the frozen dataclass of the trial.

    Returns:
        Configurations in the order of the file, the last list running fastest; equal ones once.

    Raises:
        InputError: no TOML, an unknown field, a value of another type, or an empty list.
    """
    try:
        data = tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: is no TOML ({error})") from error
    blocks = data.pop(BLOCKS, [{}])
    if not isinstance(blocks, list) or not all(isinstance(block, dict) for block in blocks):
        raise InputError(f"{path}: {BLOCKS} has to be a list of tables, written [[{BLOCKS}]]")
    try:
        return list(dict.fromkeys(config for block in blocks for config in _crossed(data | block, config_type)))
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    except TypeError as error:
        name = config_type.__name__
        raise InputError(f"{name}: equal trials cannot be told ({error}); make its fields tuples, not lists") from error


def _crossed(values: Mapping[str, Any], config_type: type[Config]) -> Iterator[Config]:
    known = [field.name for field in fields(config_type)]  # pyright: ignore[reportArgumentType]
    kinds = typing.get_type_hints(config_type)
    choices = {}
    for name, value in values.items():
        if name not in known:
            raise unknown_field(name, config_type.__name__, known)
        choices[name] = value if _is_list_of_values(value, kinds[name]) else [value]
        if not choices[name]:
            raise InputError(f"{name}: the list is empty, so that there is no trial; leave it out for the default")
    count = math.prod(map(len, choices.values()))
    if count > MOST:
        raise InputError(f"the lists cross to {count} trials, more than {MOST}; split the plan")
    for chosen in itertools.product(*choices.values()):
        yield from_plain(dict(zip(choices, chosen, strict=True)), config_type)


def _is_list_of_values(value: Any, kind: Any) -> bool:
    if not isinstance(value, list):
        return False
    is_tuple = typing.get_origin(kind) is tuple or kind is tuple
    return not is_tuple or all(isinstance(one, list) for one in value)
