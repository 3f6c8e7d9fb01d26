"""Moments of batches as they come, for instance from a data loader or a model."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from itertools import chain
from typing import Any

import jax
import numpy as np

from .._errors import InputError
from ..numerics.backend import all_finite, product_dtype
from ..numerics.checks import (
    Array,
    ArrayInput,
    as_count,
    as_labels,
    as_samples,
    at_least_two,
    check_option,
    refuse_non_finite,
    refuse_overflow,
    same_rows,
)
from ..numerics.settings import own_settings, rows_of
from ..parallel.mesh import as_mesh
from ..store.prefetch import prefetched
from ..store.shards import Shards
from .accumulator import Accumulator, Layout
from .from_arrays import QUIET
from .moments import Moments


@own_settings()
@np.errstate(**QUIET)
def moments_from_batches(
    batches: Iterable[Sequence[ArrayInput] | Mapping[str, ArrayInput]],
    *,
    center: bool = True,
    dtype: str | None = None,
    block_rows: int | None = None,
    devices: Any = None,
) -> Moments:
    """Accumulate the moments of batches of samples as they come, for instance from a data loader or a model.

    Args:
        batches: (weak, strong) or (weak, strong, labels) of each batch, (rows, d_weak), (rows, d_strong) and (rows,) or
            (rows, c); any number of rows, NumPy, JAX or torch. Or mappings with these names as keys and no others, as
            ``dataset.iter(batch_size=1024)`` of a Hugging Face dataset yields them. What is on disk needs no batches:
            ``moments`` reads what ``load`` opens.
        center, dtype, block_rows, devices: as in ``moments``. Batches are regrouped into blocks of this many rows, so
            that the result does not depend, to the last bit, on how the samples were batched.

    Returns:
        Moments, as ``moments`` of the concatenated batches returns.

    Raises:
        InputError: no batch, batches that do not fit each other, NaN or Inf (by batch, row and column).

    Cost: as ``moments``; one block of samples is held, and the batches are read ahead in a thread.
    """
    check_option(center, "center", (True, False))
    mesh = as_mesh(devices)
    dtype = product_dtype(dtype, mesh)
    _refuse_no_batches(batches)
    with closing(prefetched(enumerate(batches), lambda item: _checked_batch(*item))) as checked:
        first = next(checked, None)
        if first is None:
            raise InputError("batches: there was none; pass (weak, strong) or (weak, strong, labels) for each")
        widths = [part.shape[1] for part in first]
        layout = Layout((widths[0],), widths[1], sum(widths[2:]), center, dtype, mesh)
        rows = layout.block_rows if block_rows is None else as_count(block_rows, "block_rows", 1)
        accumulator = Accumulator(layout)
        for block in _regrouped(chain([first], checked), widths, rows, reuse=layout.on_host):
            accumulator.add(block[:1], block[1:])
    if center:
        at_least_two(accumulator.n, "batches")
    found = accumulator.moments()
    if not all_finite(found.rows if found.rows is not None else found.product):
        refuse_overflow("batches")
    return found


def _refuse_no_batches(batches: Any) -> None:
    """Says what else to call for a file or an array, and for one batch alone."""
    if isinstance(batches, str | bytes | os.PathLike | Shards | np.ndarray):
        what = repr(batches) if isinstance(batches, str | os.PathLike) else type(batches).__name__
        raise InputError(
            f"batches: got {what}; files and arrays go to moments(load(path, key=...), load(path, key=...)), which"
            " reads them as it goes"
        )
    if isinstance(batches, Mapping) or not isinstance(batches, Iterable):
        raise InputError(
            f"batches: got {type(batches).__name__}; pass an iterable of batches, [batch] for a single one"
        )


def _parts(index: int, batch: Mapping[str, Any]) -> list[Any]:
    """Weak, strong and labels from a mapping."""
    names = [name for name in ("weak", "strong", "labels") if name in batch]
    if names[:2] != ["weak", "strong"] or len(names) != len(batch):
        raise InputError(
            f"batches: batch {index} has the keys {', '.join(map(str, batch))}; expected weak, strong and, if there are"
            " any, labels: rename and select the columns first"
        )
    return [batch[name] for name in names]


def _checked_batch(index: int, batch: Any) -> list[Array]:
    if isinstance(batch, Mapping):
        batch = _parts(index, batch)
    if not isinstance(batch, tuple | list) or len(batch) not in (2, 3):
        raise InputError(f"batches: batch {index} is no tuple (weak, strong) or (weak, strong, labels)")
    names = [f"batch {index}, {name}" for name in ("weak", "strong", "labels")]
    weak, strong = (as_samples(part, name) for part, name in zip(batch[:2], names, strict=False))
    same_rows((weak, strong), names[:2])
    parts = [weak, strong]
    if len(batch) == 3:
        parts.append(as_labels(batch[2], weak.shape[0], names[2]))
    for part, name in zip(parts, names, strict=False):
        refuse_non_finite(part, name)
    return parts


def _regrouped(
    batches: Iterable[list[Array]], widths: list[int], rows: int, *, reuse: bool
) -> Iterator[list[np.ndarray]]:
    """Blocks of ``rows`` samples from batches of any size; the last one may be smaller.

    Args:
        batches: checked arrays of each batch.
        widths: their columns.
        rows: samples a block.
        reuse: write each block over the last one. A device may still be reading that one, or compute on it in place.
    """
    room = [np.empty((rows, width)) for width in widths]
    filled = 0
    for index, batch in enumerate(batches):
        found = [part.shape[1] for part in batch]
        if found != widths:
            raise InputError(f"batches: batch {index} has arrays of widths {found}, the first one {widths}")
        start, size = 0, batch[0].shape[0]
        while start < size:
            step = min(rows - filled, size - start)
            for block, part in zip(room, batch, strict=True):
                block[filled : filled + step] = jax.device_get(rows_of(part, slice(start, start + step)))
            filled, start = filled + step, start + step
            if filled == rows:
                yield room
                room = room if reuse else [np.empty_like(block) for block in room]
                filled = 0
    if filled:
        yield [block[:filled] for block in room]
