"""The files of a model on this machine: a folder or file of the user's, or fetched from the Hugging Face hub."""

import difflib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from .._errors import InputError, check

PATTERNS = ("*.json", "*.safetensors", "tokenizer*", "vocab*", "merges.txt", "*/config.json", "*/model.safetensors")
"""Of the hub's files those that are read."""
OTHERWISE = 'With --hf (hf=True) its own library runs it: pip install "w2sg_jax[hf]"'
"""What to do about a model that our encoders do not read."""


def located(models: Sequence[str], known: Mapping[str, str]) -> dict[str, str]:
    """Where each of some models is read, asked for as `NAME` or `NAME=PATH`.

    Args:
        models: what was asked for; none for all that are known.
        known: name -> what it is called on the hub.

    Raises:
        InputError: a name that is not known, or twice.
    """
    found: dict[str, str] = {}
    for text in models or tuple(known):
        name, _, path = text.partition("=")
        if name not in known:
            raise InputError(f"models: {name!r} is none of {', '.join(known)}; give NAME, or NAME=PATH")
        if name in found:
            raise InputError(f"models: {name} twice; give each network once")
        found[name] = path or known[name]
    return found


def fetched(model: str | Path, revision: str | None = None, patterns: Sequence[str] = PATTERNS) -> Path:
    """A folder, or a GGUF file, with the files of a model.

    Args:
        model: a path, or the name of a model on the hub ("owner/name").
        revision: of the hub's model.
        patterns: of the names of its files.

    Raises:
        InputError: there is no such file, and it is no name of the hub's; the hub does not answer, does not know the
            model, or wants the user to agree to a licence first.
    """
    path = Path(model).expanduser()
    if path.exists():
        if revision is not None:
            raise InputError(f"revision: {path} is on this machine and has none; leave it out")
        if path.is_file() and path.suffix.lower() != ".gguf":
            raise InputError(f"{path}: expected the folder of a model, or a .gguf file")
        return path
    if path.is_symlink():
        raise InputError(f"{path}: a link to {path.readlink()}, which is not there")
    if not isinstance(model, str) or not re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", model):
        raise InputError(f"{model}: there is no such folder or file, and the hub's models are named owner/name")
    if path.parent.is_dir():  # owner is a folder here: rather a slip than a name on the hub
        near = difflib.get_close_matches(path.name, [one.name for one in path.parent.iterdir()], n=1)
        if near:
            raise InputError(f"{model}: there is no such folder or file; did you mean {path.parent / near[0]}?")
    check("huggingface_hub", extra="models")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

    try:
        return Path(snapshot_download(model, revision=revision, allow_patterns=list(patterns)))
    except GatedRepoError:
        raise InputError(
            f"{model}: its owner asks for an agreement first: accept it at https://huggingface.co/{model}, then run "
            "hf auth login"
        ) from None
    except RevisionNotFoundError:
        raise InputError(f"revision: {model} has no revision {revision!r} on the hub") from None
    except RepositoryNotFoundError:
        raise InputError(f"{model}: the hub knows no such model, or it is private: run hf auth login") from None
    except Exception as error:  # a hub that does not answer says so in a dozen types, of three libraries
        reason = next(iter(str(error).splitlines()), type(error).__name__)
        raise InputError(
            f"{model}: the hub does not answer ({reason}); fetch https://huggingface.co/{model} elsewhere "
            "(config.json, *.safetensors, tokenizer.json and what else ends in .json) and give its folder"
        ) from None
