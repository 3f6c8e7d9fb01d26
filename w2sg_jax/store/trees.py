"""Trees of arrays, such as the weights of a model, in safetensors files, each array under the name of its path.

JAX, which knows what a tree is, is imported when one is written or read, not before.
"""

from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from .._errors import InputError
from .atomic import save_safetensors
from .content import named_hash

_HASH = "sha256"


def write_tree(path: Path | str, tree: Any, metadata: dict[str, str]) -> None:
    """Write a pytree of arrays as safetensors, each leaf under the name of its path, whole or not at all.

    The metadata gain a hash of the content, which ``read_tree`` compares.
    """
    import jax

    named = {name: np.asarray(leaf, order="C") for name, leaf in _named_leaves(jax.device_get(tree)).items()}
    save_safetensors(path, named, metadata | {_HASH: named_hash(named)})


def read_metadata(path: Path | str) -> dict[str, str]:
    """The text metadata of a safetensors file.

    Raises:
        InputError: the file is damaged or is not safetensors.
    """
    try:
        with safe_open(path, "numpy") as file:
            return file.metadata() or {}
    except SafetensorError as error:
        raise _damaged(path, error) from None


def read_tree(path: Path | str, like: Any) -> Any:
    """Read a pytree of arrays with the structure, shapes and dtypes of `like` (arrays or shape descriptions).

    Raises:
        InputError: the content is not what was written; a leaf is missing, is extra, or has another shape or dtype
            (the first one is named).
    """
    import jax

    expected = _named_leaves(like)
    try:
        with safe_open(path, "numpy") as file:
            found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
            written = (file.metadata() or {}).get(_HASH)
    except SafetensorError as error:
        raise _damaged(path, error) from None
    if written is not None and written != named_hash(found):
        raise InputError(f"path: {path} is damaged, its content is not what was written; delete it and make it again")
    if found.keys() != expected.keys():
        odd = sorted(found.keys() ^ expected.keys())
        raise InputError(
            f"path: {path} misses, or has in excess, {odd[0]!r} ({len(odd)} names in all); "
            "was it made by another config?"
        )
    for name, leaf in expected.items():
        if (found[name].shape, found[name].dtype) != (leaf.shape, leaf.dtype):
            raise InputError(
                f"path: {path} holds {name!r} as {found[name].dtype}{found[name].shape}, "
                f"expected {leaf.dtype}{leaf.shape}; was it made by another config?"
            )
    leaves = jax.device_put([found[name] for name in expected])
    return jax.tree.unflatten(jax.tree.structure(like), leaves)


def _damaged(path: Path | str, error: SafetensorError) -> InputError:
    return InputError(f"path: {path} is not a whole safetensors file ({error}); delete it and make it again")


def _named_leaves(tree: Any) -> dict[str, Any]:
    """Names, as ``layers.0.kernel``, and leaves of a tree, in its order."""
    import jax

    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="."): leaf for path, leaf in leaves}
