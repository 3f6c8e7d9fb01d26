"""Weights of pretrained models: from a folder of safetensors, straight to where the parameters are to lie.

One tensor is read at a time, from a mapped file; a stack of layers is filled on the device, so that host memory never
holds the model beside it. Names, shapes and completeness are checked before anything is read.
"""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax.sharding import Mesh, NamedSharding, PartitionSpec, Sharding
from jaxtyping import Shaped

from .._errors import InputError
from ..store import array_files
from ..store.content import path_hash

FIRST = 4
"""Of many tensors that do not fit, so many are named."""
INDEX = "model.safetensors.index.json"
SINGLE = "model.safetensors"
AXIS = "devices"
UNREAD = (".bin", ".pt", ".h5", ".onnx", ".msgpack")
"""Weights in other formats: they can run code when they are read, or have lost the names of their tensors."""
OLD_NAMES = (("LayerNorm.weight", "LayerNorm.gamma"), ("LayerNorm.bias", "LayerNorm.beta"))
"""The first files of BERT say gamma and beta."""


@runtime_checkable
class Checkpoint(Protocol):
    """The files of a model: its configuration as in config.json, and tensors by the names of its family."""

    config: dict[str, Any]
    shapes: dict[str, tuple[int, ...]]

    def read(self, name: str) -> Shaped[np.ndarray, "..."]:
        """One tensor."""
        ...

    def content_hash(self) -> str:
        """sha256 of the files, for keys of what was made with them."""
        ...


class FolderCheckpoint:
    """A folder with config.json and safetensors, in one file or in shards with their index.

    Args:
        folder: of the model.

    Raises:
        InputError: a file is missing or damaged; weights are there in another format alone.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.config = read_json(folder / "config.json")
        files = self._files()
        self._entries: dict[str, tuple[Path, array_files.Entry]] = {}
        for file in files:
            for name, entry in array_files.safetensors_entries(file).items():
                if name in self._entries:
                    raise InputError(f"{file}: the tensor {name!r} stands in {self._entries[name][0].name} too")
                self._entries[name] = file, entry
        self.shapes = {name: entry.shape for name, (_, entry) in self._entries.items()}
        self.files = files

    def _files(self) -> list[Path]:
        if (self.folder / SINGLE).is_file():
            return [self.folder / SINGLE]
        if (self.folder / INDEX).is_file():
            shards = read_json(self.folder / INDEX).get("weight_map")
            if not isinstance(shards, dict) or not all(isinstance(one, str) for one in shards.values()):
                raise InputError(f"{self.folder / INDEX}: it has no weight_map; fetch the file again")
            files = [self.folder / Path(name).name for name in sorted(set(shards.values()))]
            missing = [file.name for file in files if not file.is_file()]
            if missing:
                raise InputError(f"{self.folder}: {len(missing)} of {len(files)} shards are missing: {few(missing)}")
            return files
        others = sorted(file.name for file in self.folder.iterdir() if file.suffix in UNREAD)
        found = f" (there is {few(others)}, which is not read)"
        raise InputError(f"{self.folder}: no {SINGLE} and no {INDEX}{found if others else ''}; save it as safetensors")

    def read(self, name: str) -> Shaped[np.ndarray, "..."]:
        """One tensor, mapped."""
        path, entry = self._entries[name]
        if not jnp.issubdtype(entry.dtype, jnp.floating):
            raise InputError(
                f"{path}: the tensor {name!r} holds {entry.dtype}; quantised weights are read from GGUF files alone: "
                "give the model's own folder, or such a file"
            )
        return array_files.read(path, entry, array_files.stamp_of(path), mmap=True)

    def content_hash(self) -> str:
        """sha256 of config.json and of the weights' files."""
        return "".join(path_hash(file) for file in (self.folder / "config.json", *self.files))


def read_json(path: Path, kind: type = dict) -> Any:
    """A JSON object in a file, or a list.

    Raises:
        InputError: there is no such file, or none in it.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"{path.parent}: there is no {path.name}; is it the folder of a model?") from None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path}: cannot be read as JSON ({error}); fetch it again") from None
    if not isinstance(found, kind):
        raise InputError(f"{path}: holds no JSON {'object' if kind is dict else kind.__name__}; fetch it again")
    return found


def few(names: Iterable[str]) -> str:
    """The first few of many names, and how many more there are."""
    every = list(names)
    rest = f" and {len(every) - FIRST} more" if len(every) > FIRST else ""
    return ", ".join(every[:FIRST]) + rest


class Place:
    """Where parameters lie: whole on each of some devices, or shared by them where the model is larger than one.

    Args:
        devices: some of this process; None for the default one.
        shared: whether each device holds a part of every matrix alone.
    """

    def __init__(self, devices: Sequence[Any] | None = None, *, shared: bool = False):
        self.mesh = None if devices is None else Mesh(np.asarray(devices), (AXIS,))
        self.shared = shared

    @property
    def devices(self) -> int:
        """How many there are."""
        return 1 if self.mesh is None else self.mesh.size

    def of(self, shape: tuple[int, ...]) -> Sharding | None:
        """Of a parameter, split along its longest axis that the devices divide."""
        axis = None
        if self.shared and len(shape) > 1:
            fit = [place for place in range(len(shape)) if shape[place] % self.devices == 0]
            axis = max(fit, key=lambda place: shape[place], default=None)
        return self._split(len(shape), axis)

    def of_rows(self) -> Sharding | None:
        """Of a batch: each device takes its share of the rows."""
        return self._split(1, 0)

    def _split(self, axes: int, axis: int | None) -> Sharding | None:
        if self.mesh is None:
            return None
        return NamedSharding(self.mesh, PartitionSpec(*(AXIS if place == axis else None for place in range(axes))))


class Source(NamedTuple):
    """Where a parameter comes from.

    Attributes:
        names: of the tensors, one a layer of a stack.
        stacked: whether there is one a layer.
        turned: whether the file has the transposed matrix.
    """

    names: list[str]
    stacked: bool
    turned: bool


class Fitted(NamedTuple):
    """Where each parameter of a model comes from, checked against the files.

    Attributes:
        graph: of the model.
        parameters: by name, its path in the model's state and its variable, of which the shape is known.
        sources: by name.
    """

    graph: Any
    parameters: dict[str, tuple[Any, Any]]
    sources: dict[str, Source]


def fitted(
    make: Callable[[], Any],
    names: Mapping[str, str],
    depth: int,
    checkpoint: Checkpoint,
    *,
    prefixes: tuple[str, ...],
    unused: tuple[str, ...],
) -> Fitted:
    """Find a model's parameters in a checkpoint, of which the headers are read.

    Args:
        make: the model (nnx.Module), of any weights; it is never run.
        names: tensors of the files by our parameters, as ``bert.names``.
        depth: layers.
        checkpoint: the files.
        prefixes: that the files may put before all names.
        unused: parts of names of tensors that may be there and are not needed.

    Raises:
        InputError: tensors are missing, or have other shapes, or there are others; the first few are named.
    """
    shapes = checkpoint.shapes
    if depth > len(shapes):  # before anything of that size is made
        raise InputError(f"config: {depth} layers, and the files have {len(shapes)} tensors in all; fetch them again")
    graph, state = nnx.split(nnx.eval_shape(make))
    flat = {".".join(map(str, path)): (path, leaf) for path, leaf in nnx.to_flat_state(state)}
    prefix = next((one for one in ("", *prefixes) if f"{one}{names['words']}.weight" in shapes), "")
    sources = {}
    for path in flat:
        ours, _, part = path.rpartition(".")
        theirs = prefix + names[ours].removeprefix("T:")
        stacked = "{}" in theirs
        layers = [theirs.format(layer) for layer in range(depth if stacked else 1)]
        present = [_present(f"{layer}.{part}", shapes) for layer in layers]
        sources[path] = Source(present, stacked, names[ours].startswith("T:"))
    _check({path: leaf.shape for path, (_, leaf) in flat.items()}, sources, shapes, unused)
    return Fitted(graph, flat, sources)


def load(found: Fitted, checkpoint: Checkpoint, *, dtype: Any, place: Place) -> Any:
    """The model (nnx.Module) with the weights of a checkpoint.

    Args:
        found: as from ``fitted``.
        checkpoint: the files.
        dtype: of the parameters.
        place: where they lie.
    """
    placed = [
        (path, leaf.replace(_placed(checkpoint, found.sources[name], leaf.shape, dtype, place)))
        for name, (path, leaf) in found.parameters.items()
    ]
    return nnx.merge(found.graph, nnx.from_flat_state(placed))


def _present(name: str, shapes: Mapping[str, Any]) -> str:
    """The name under which a tensor stands in old files, where it does."""
    for new, old in OLD_NAMES:
        if name not in shapes and name.replace(new, old) in shapes:
            return name.replace(new, old)
    return name


def _check(
    wanted: Mapping[str, tuple[int, ...]],
    sources: Mapping[str, Source],
    shapes: Mapping[str, tuple[int, ...]],
    unused: tuple[str, ...],
) -> None:
    """Refuse what does not fit, before anything is read (InputError)."""
    missing, misshapen = [], []
    for path, shape in wanted.items():
        source = sources[path]
        expected = shape[1:] if source.stacked else shape
        expected = expected[::-1] if source.turned else expected
        missing += [name for name in source.names if name not in shapes]
        found = [name for name in source.names if shapes.get(name, expected) != expected]
        misshapen += [f"{name} is {shapes[name]}, expected {expected}" for name in found]
    known = {name for source in sources.values() for name in source.names}
    extra = [name for name in shapes if name not in known and not any(f".{one}" in f".{name}" for one in unused)]
    told = [
        f"{len(names)} {what}: {few(names)}"
        for what, names in (("missing", missing), ("of another shape", misshapen), ("unknown", extra))
        if names
    ]
    if told:
        raise InputError(f"the tensors do not fit the configuration: {'; '.join(told)}")


def _placed(checkpoint: Checkpoint, source: Source, shape: tuple[int, ...], dtype: Any, place: Place) -> jax.Array:
    """A parameter on its devices; a stack of layers is filled there one by one."""
    where = place.of(shape)

    def one(name: str) -> np.ndarray:
        tensor = checkpoint.read(name)
        return (tensor.T if source.turned and tensor.ndim == 2 else tensor).astype(dtype)

    if not source.stacked:
        return jax.device_put(one(source.names[0]), where)
    stack = jax.jit(partial(jnp.zeros, shape, dtype), out_shardings=where)()
    for number, name in enumerate(source.names):
        stack = _filled(stack, one(name), number)
    return stack


@partial(jax.jit, donate_argnums=0)
def _filled(stack: jax.Array, layer: jax.Array, number: Any) -> jax.Array:
    return jax.lax.dynamic_update_index_in_dim(stack, layer, number, 0)


def parameter_bytes(checkpoint: Checkpoint, unused: tuple[str, ...], dtype: Any) -> int:
    """What the parameters take, told from the headers of the files."""
    needed = (shape for name, shape in checkpoint.shapes.items() if not any(f".{one}" in f".{name}" for one in unused))
    return sum(math.prod(shape) for shape in needed) * np.dtype(dtype).itemsize
