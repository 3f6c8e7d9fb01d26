"""What a trial is: a frozen configuration, a function from it to a result, and an id that names both."""

import dataclasses
import difflib
import importlib
import json
import os
import sys
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

from .._errors import InputError
from ..store.content import bytes_hash, path_hash

Config = TypeVar("Config")
ID_DIGITS = 32


@dataclasses.dataclass(frozen=True)
class TrialFunction(Generic[Config]):
    """A function from a configuration to a result, which every process can find by its name.

    Attributes:
        run: the function.
        config_type: the frozen dataclass that it takes.
        version: changes when its results would; a trial of another version is another trial.
        name: "module:function".
    """

    run: Callable[[Config], Mapping[str, Any]]
    config_type: type[Config]
    version: str
    name: str

    def __call__(self, config: Config) -> Mapping[str, Any]:
        """Run one trial, here and now."""
        return self.run(config)


def trial(*, version: int | str) -> Callable[[Callable[[Any], Mapping[str, Any]]], TrialFunction[Any]]:
    """Make a trial of a function that takes one frozen dataclass and returns a mapping that JSON can hold.

        @trial(version=1)
        def fit(config: Config) -> dict[str, float]: ...

    Fields are numbers, text, paths, and tuples or frozen dataclasses of them. A path is an input: the content of the
    file or folder counts. The function gets it absolute, from the folder where the run started, with ``~`` expanded;
    id and record keep it as it is written.

    A worker runs many trials. Each starts in the folder where the run started, with the environment of its worker, and
    with the same state of ``random`` and ``numpy.random``: take seeds from the configuration.

    Args:
        version: of the function; increase it when the same configuration would give another result.

    Raises:
        TypeError: the function is none at the top level of a module, or its argument is annotated otherwise.
    """

    def decorate(function: Callable[[Any], Mapping[str, Any]]) -> TrialFunction[Any]:
        name, qualified = function.__name__, function.__qualname__
        if name != qualified:
            raise TypeError(f"{qualified}: other processes cannot import it; define it at the top level of a module")
        hints = [hint for key, hint in typing.get_type_hints(function).items() if key != "return"]
        config = hints[0] if len(hints) == 1 else None
        if not dataclasses.is_dataclass(config) or not config.__dataclass_params__.frozen:  # pyright: ignore[reportAttributeAccessIssue]
            raise TypeError(f"{name}: it has to take one argument, annotated with a frozen dataclass")
        return TrialFunction(function, config, str(version), f"{_module_of(function)}:{name}")  # pyright: ignore[reportArgumentType]

    return decorate


def _module_of(function: Callable[..., Any]) -> str:
    """The name by which another process imports the function's module; that of `python -m NAME` for `__main__`."""
    if function.__module__ != "__main__":
        return function.__module__
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    return "__main__" if spec is None else spec.name.removesuffix(".__main__")


def find(name: str) -> TrialFunction[Any]:
    """The trial function of this name.

    Raises:
        InputError: it cannot be imported.
    """
    module, _, attribute = name.partition(":")
    if module == "__main__":
        raise InputError(
            f"{attribute}: it is defined in a script, which other processes cannot import; run the script as"
            " python -m NAME, or move the function to a module"
        )
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise InputError(f"{name}: cannot be imported ({error}); run from the folder where its module is") from error
    if not isinstance(found, TrialFunction):
        raise InputError(f"{name}: is no trial; decorate it with w2sg_jax.batch.trial")
    return found


@dataclasses.dataclass(frozen=True)
class Trial:
    """One configuration to run.

    Attributes:
        id: hash of the function's name and version, the configuration, and the content of its inputs.
        function, version: of the function.
        config: the configuration as JSON has it.
        inputs: path, as it is written -> hash of its content.
        paths: path, as it is written -> where it is.
        folder: where the run started.
    """

    id: str
    function: str
    version: str
    config: dict[str, Any]
    inputs: dict[str, str]
    paths: dict[str, str]
    folder: str


def make_trial(function: TrialFunction[Config], config: Config, folder: Path | None = None) -> Trial:
    """The trial of a configuration.

    Args:
        function: of ``trial``.
        config: its configuration.
        folder: that relative paths start from; the current one by default.

    Raises:
        InputError: a value that cannot be kept, or an input that cannot be read.
    """
    if type(config) is not function.config_type:
        raise InputError(f"{function.name}: got a {type(config).__name__}, not a {function.config_type.__name__}")
    folder = folder or Path.cwd()
    written: list[Path] = []
    plain = to_plain(config, written)
    paths = {str(path): str(folder / os.path.expanduser(path)) for path in written}
    inputs = {path: content_of(Path(place)) for path, place in paths.items()}
    named = {"function": function.name, "version": function.version, "config": plain, "inputs": inputs}
    try:
        text = json.dumps(named, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except ValueError:
        raise InputError(f"{config}: NaN and infinities cannot be kept in a configuration; use None") from None
    key = bytes_hash(text.encode())[:ID_DIGITS]
    return Trial(key, function.name, function.version, plain, inputs, paths, str(folder))


def to_plain(config: Any, paths: list[Path]) -> dict[str, Any]:
    """The configuration as JSON has it, every field of it, defaults too; its paths are added to the list."""

    def other(value: Any) -> Any:
        raise InputError(f"{config}: a {type(value).__name__} cannot be kept in a configuration")

    def plain(value: Any) -> Any:
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
        if isinstance(value, Path):
            paths.append(value)
            return str(value)
        if isinstance(value, tuple | list):
            return [plain(one) for one in value]
        return msgspec.to_builtins(value, enc_hook=other, str_keys=True)

    return plain(config)


def from_plain(plain: Mapping[str, Any], config_type: type[Config], paths: Mapping[str, str] | None = None) -> Config:
    """The configuration of what JSON or TOML has.

    Args:
        plain: values by field.
        config_type: the frozen dataclass.
        paths: path, as it is written -> the one that the configuration gets; by default as it is written.

    Raises:
        InputError: an unknown field, a missing one, or a value of another type; the message names it.
    """

    def converted(kind: type, value: Any) -> Any:
        if issubclass(kind, Path):
            return Path(value if paths is None else paths[value])
        raise NotImplementedError(f"a field of type {kind.__name__} cannot be read")

    try:
        config = msgspec.convert(plain, config_type, dec_hook=converted)
    except (msgspec.ValidationError, NotImplementedError, TypeError, ValueError) as error:
        raise InputError(f"{config_type.__name__}: {error}") from error
    _refuse_unknown(plain, config, config_type.__name__)
    return config


def unknown_field(name: str, where: str, known: Sequence[str]) -> InputError:
    """The error for a field that the dataclass has not."""
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"did you mean {close[0]}?" if close else f"it has {', '.join(known)}"
    return InputError(f"{name}: {where} has no such field; {hint}")


def _refuse_unknown(plain: Any, value: Any, where: str) -> None:
    """InputError where a table names what its dataclass has not."""
    if dataclasses.is_dataclass(value) and isinstance(plain, Mapping):
        known = [field.name for field in dataclasses.fields(value)]
        for name, item in plain.items():
            if name not in known:
                raise unknown_field(name, where, known)
            _refuse_unknown(item, getattr(value, name), f"{where}.{name}")
    elif isinstance(value, tuple) and isinstance(plain, list | tuple):
        for item, one in zip(plain, value, strict=True):
            _refuse_unknown(item, one, where)


def content_of(path: Path) -> str:
    """The hash of a file's content, or of all names and contents of a folder (SHA-256).

    Raises:
        InputError: there is no such file.
    """
    try:
        return path_hash(path)
    except OSError as error:
        came = f"{error.filename or path}: cannot be read ({error.strerror})"
        raise InputError(f"{came}; a path in a configuration is an input") from error
