"""Checkpoints of a pass over the samples: a killed run goes on where it was, and ends with the same bits."""

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from .._errors import InputError
from ..numerics.checks import Array
from ..numerics.settings import rows_of
from ..parallel.processes import ALONE, Process
from ..store.atomic import save_safetensors
from ..store.content import bytes_hash
from ..store.shards import Shards
from .accumulator import Accumulator, Layout

FORMAT = "w2sg_jax pass 1"
SAMPLED_ROWS = 64


class Checkpoints:
    """Where the passes of one computation leave their states, and how often.

    Args:
        folder: made if need be; None for no checkpoints.
        every: seconds between two of them.

    Raises:
        InputError: the folder is a file or cannot be made, or the time is not a positive number.
    """

    def __init__(self, folder: str | os.PathLike[str] | None, every: float) -> None:
        self.folder = None if folder is None else Path(folder)
        self.every = every
        self.opened: list[PassCheckpoint] = []
        if not isinstance(every, int | float) or not every > 0:
            raise InputError(f"checkpoint_every: got {every!r}; expected a number of seconds above 0")
        if self.folder is not None:
            if self.folder.exists() and not self.folder.is_dir():
                raise InputError(f"checkpoint: {self.folder} is a file; give the name of a folder")
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise InputError(f"checkpoint: cannot make the folder {self.folder} ({error.strerror})") from error

    def open(
        self, arrays: Sequence[Array], layout: Layout, rows: int, groups: int, process: Process
    ) -> "PassCheckpoint":
        """The checkpoint of the pass over these arrays with these settings, from an earlier run too.

        Each of several processes that share the pass has its own.
        """
        if self.folder is None:
            return PassCheckpoint(None, self.every)
        identity = identity_of(arrays, layout, rows, groups, process)
        self.opened.append(PassCheckpoint(self.folder / f"pass-{identity[:20]}.safetensors", self.every))
        return self.opened[-1]

    def clear(self) -> None:
        """Delete what was opened: the computation has ended."""
        for checkpoint in self.opened:
            if checkpoint.path is not None:
                checkpoint.path.unlink(missing_ok=True)


class PassCheckpoint:
    """The state of one pass in one file.

    The name of the file is a hash of all that the sums depend on: shapes and settings, samples of the content, and the
    names, sizes and times of shards. So another input never goes on from it.
    """

    def __init__(self, path: Path | None, every: float) -> None:
        self.path = path
        self.every = every
        self.saved = time.monotonic()

    def restore(self, accumulators: Sequence[Accumulator]) -> int:
        """Fill fresh accumulators from the file, if it is there; return the number of the block that comes next, or 0.

        Raises:
            InputError: the file is damaged.
        """
        if self.path is None or not self.path.exists():
            return 0
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(self.path, "numpy") as file:
                metadata = file.metadata() or {}
                found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
            if metadata.get("format") != FORMAT:
                raise KeyError("format")
            for index, accumulator in enumerate(accumulators):
                prefix = f"{index}/"
                state = {name.removeprefix(prefix): x for name, x in found.items() if name.startswith(prefix)}
                accumulator.restore(state)
            return int(metadata["blocks"])
        except (SafetensorError, KeyError, ValueError) as error:
            raise InputError(
                f"checkpoint: {self.path} is damaged ({error}); delete it, and the pass starts from the first sample"
            ) from error

    def after_block(self, blocks: int, accumulators: Sequence[Accumulator]) -> None:
        """Save the state if it is time to."""
        if time.monotonic() - self.saved >= self.every:
            self.save(blocks, accumulators)

    def save(self, blocks: int, accumulators: Sequence[Accumulator]) -> None:
        """Save the state after so many blocks of all."""
        if self.path is None:
            return
        arrays = {
            f"{index}/{name}": array
            for index, accumulator in enumerate(accumulators)
            for name, array in accumulator.state().items()
        }
        save_safetensors(self.path, arrays, {"format": FORMAT, "blocks": str(blocks)})
        self.saved = time.monotonic()


def identity_of(
    arrays: Sequence[Array], layout: Layout, rows: int, groups: int, process: Process | None = ALONE
) -> str:
    """SHA-256 of all that the sums of a pass depend on; of the values, some rows from either end and the middle.

    For no process in particular (None): also the times of shards, which copies need not share, are left out.
    """
    mesh = None if layout.mesh is None else dict(layout.mesh.shape)
    settings = [layout.weak_widths, layout.d_strong, layout.d_labels, layout.center, layout.dtype, mesh, rows, groups]
    settings.append(None if process is None else [process.index, process.count])
    parts = [json.dumps(settings).encode()]
    for array in arrays:
        n = array.shape[0]
        parts.append(f"{array.shape} {array.dtype}".encode())
        if process is not None and isinstance(array, Shards):
            parts.append(array.stamp.encode())
        for start in (0, max(0, n // 2 - SAMPLED_ROWS // 2), max(0, n - SAMPLED_ROWS)):
            parts.append(_bytes(rows_of(array, slice(start, start + SAMPLED_ROWS))))
    return bytes_hash(*parts)


def _bytes(rows: Any) -> bytes:
    return np.ascontiguousarray(jax.device_get(rows)).tobytes()
