"""Moments of arrays in memory or on disk: one pass, memory that does not grow with n."""

import os
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from ..numerics.backend import all_finite, fetched, on_host, product_dtype
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
from ..parallel.processes import Meetings, Process, agree, own_process, summed
from ..store.prefetch import copied, on_disk, prefetched
from ..store.shards import Shards
from .accumulator import Accumulator, Layout, add_up, rows_of_block
from .checkpoints import Checkpoints, identity_of
from .moments import Moments, Part, Target

Progress = Callable[[int, int], None]
"""Called with (done, total)."""

QUIET: dict[str, Any] = {"over": "ignore", "under": "ignore", "invalid": "ignore"}
"""What is not finite shows in the sums and is then named by its row; what underflows is nothing beside the rest."""
ROUNDS = 8
"""Blocks go to groups in turn when each group gets at least so many of them; else their rows do."""


@dataclass(frozen=True)
class PassOptions:
    """How a pass over the samples is made: what ``moments`` and ``rank`` are told by the user, and hand on.

    Attributes:
        center, dtype, block_rows, devices: as in ``moments``.
        checkpoint, checkpoint_every: folder of the checkpoints, or None, and seconds between two of them.
        progress: called with (samples done, n) after each block.
    """

    center: bool = True
    dtype: str | None = None
    block_rows: int | None = None
    devices: Any = None
    checkpoint: str | os.PathLike[str] | None = None
    checkpoint_every: float = 120.0
    progress: Progress | None = None

    def checkpoints(self) -> Checkpoints:
        """Where the passes of one computation leave their states."""
        return Checkpoints(self.checkpoint, self.checkpoint_every)


@own_settings()
def moments(
    weak: ArrayInput,
    strong: ArrayInput,
    labels: ArrayInput | None = None,
    *,
    center: bool = True,
    dtype: str | None = None,
    block_rows: int | None = None,
    devices: Any = None,
    checkpoint: str | os.PathLike[str] | None = None,
    checkpoint_every: float = 120.0,
    progress: Progress | None = None,
) -> Moments:
    r"""Accumulate the moments of a weak and a strong representation of the same samples, in one pass.

    $J = \frac{1}{n} \sum_i (z_i - \bar z)(z_i - \bar z)^T$ with $z = (h_w, h_s, y)$, block by block; blocks are centred
    by their own means and added with the mean-difference correction of Chan, Golub and LeVeque, so that an offset
    costs no digits. Never forms an n x n matrix. In a group of processes (``jax.distributed.initialize``) all call
    this with the same arrays; each reads a share of the rows, and each returns the moments of all.

    Args:
        weak: (n, d_weak) representation by the weak model; NumPy (memory-mapped too), JAX or torch, any real dtype, or
            what ``load`` opens on disk. Narrow floats are upcast a block at a time.
        strong: (n, d_strong) representation of the same samples by the strong model.
        labels: (n,) or (n, c) labels, or None. They are numbers here: for more than two classes pass one-hot columns
            (``np.eye(classes)[y]``), not codes.
        center: subtract means (labels too). False gives the paper's raw second moments.
        dtype: precision of the products, "float64" or "float32" (full float32: TF32 and bfloat16 products are
            pinned off). None: float64 on CPUs and on accelerators that have it at speed (A100, H100, ...), else
            float32. Blocks are added in float64 either way, and the result is float64.
        block_rows: rows a block; by default about 64 MiB of float64.
        devices: None for the host on a CPU, else the first accelerator; "all", some of ``jax.local_devices()``, or a
            Mesh of "rows" and "columns": each device adds up the products of its rows (and of its columns).
        checkpoint: a folder where the sums are saved now and then; a killed run that is started again goes on from
            there and ends with the same bits. Deleted at the end.
        checkpoint_every: seconds between two checkpoints.
        progress: called with (samples done, n) after each block; in a group, of the share of this process.

    Returns:
        Moments, NumPy float64.

    Raises:
        InputError: different n, empty, one sample, NaN or Inf (by row and column), wrong rank or kind of numbers;
            other arrays in another process of the group.
        HostsLost: another process of the group has gone (a RuntimeError).

    Cost: $n (d_w + d_s + c)^2$ flops on the CPU, where the symmetric product is used; memory $(d_w + d_s + c)^2$ and
    some blocks; arrays on disk are read ahead.
    Source: arXiv 2502.00620, section 3 (the kernels); Chan, Golub and LeVeque (1979) for the correction.
    """
    weak, strong = as_samples(weak, "weak"), as_samples(strong, "strong")
    n = same_rows((weak, strong), ("weak", "strong"))
    target = [strong] if labels is None else [strong, as_labels(labels, n)]
    options = PassOptions(center, dtype, block_rows, devices, checkpoint, checkpoint_every, progress)
    checkpoints = options.checkpoints()
    groups = accumulate([weak], target, options, checkpoints=checkpoints)
    (found,) = pair_moments(groups, 0, "weak", weak, target)
    checkpoints.clear()
    return found


def accumulate(
    weak: Sequence[Array],
    target: Sequence[Array],
    options: PassOptions = PassOptions(),
    *,
    groups: int = 1,
    checkpoints: Checkpoints | None = None,
    at_once: bool = False,
) -> list[Accumulator]:
    """Sums for many weak models and one strong model, on each of some groups of the samples, in one pass over all.

    Args:
        weak: checked representations of the weak models.
        target: checked (strong,) or (strong, labels).
        options: of the pass.
        groups: disjoint groups of samples, interleaved; 1 for all samples.
        checkpoints: where the pass leaves its state, and goes on from that of an earlier run; none by default. The
            caller clears them when the whole computation has ended.
        at_once: as in ``Accumulator``.

    Returns:
        One accumulator for each group, for ``pair_moments``.
    """
    check_option(options.center, "center", (True, False))
    mesh, progress = as_mesh(options.devices), options.progress
    n = target[0].shape[0]
    if options.center:
        at_least_two(n // groups, "weak")
    d_labels = target[1].shape[1] if len(target) > 1 else 0
    layout = Layout(
        tuple(w.shape[1] for w in weak),
        target[0].shape[1],
        d_labels,
        options.center,
        product_dtype(options.dtype, mesh),
        mesh,
    )
    rows = layout.block_rows if options.block_rows is None else as_count(options.block_rows, "block_rows", 1)
    process = own_process()
    rows, in_turn = _cut(n, rows, groups, process)
    expected = n if groups == process.count == 1 else 0
    accumulators = [Accumulator(layout, expected, at_once=at_once) for _ in range(groups)]
    arrays = [*weak, *target]
    if process.count > 1:
        agree(identity_of(arrays, layout, rows, groups, None), process)
    checkpoint = (checkpoints or Checkpoints(None, 1.0)).open(arrays, layout, rows, groups, process)
    meetings = Meetings(process, -(-n // rows))
    own = meetings.own
    left = range(max(own.start, checkpoint.restore(accumulators)), own.stop)
    with closing(_blocks(arrays, rows, left)) as blocks, np.errstate(**QUIET):
        for index, block in zip(left, blocks, strict=True):
            for group, found in _grouped(block, index, groups, in_turn=in_turn):
                accumulators[group].add(found[: len(weak)], found[len(weak) :])
            checkpoint.after_block(index + 1, accumulators)
            meetings.before_block(index + 1)
            if progress is not None:
                progress(min(n, (index + 1) * rows) - own.start * rows, min(n, own.stop * rows) - own.start * rows)
        for array in arrays:
            if isinstance(array, Shards):
                array.check_unchanged()
        if process.count > 1:
            checkpoint.save(own.stop, accumulators)
            meetings.before_block(own.stop)
            for accumulator in accumulators:
                add_up(accumulator, process)
    return accumulators


def again(arrays: Sequence[Array], n: int) -> Iterator[tuple[slice, list[Any]]]:
    """The n samples once more, a block at a time, those that this process reads: which rows, and those of each array,
    on the host where dense work is done there."""
    process, host = own_process(), on_host()
    width = max(1, sum(array.shape[1] for array in arrays))
    rows = min(n, rows_of_block(width, "float64", host=host), -(-n // process.count))
    own = process.blocks(-(-n // rows))
    with closing(_blocks(arrays, rows, own)) as blocks:
        for number, block in zip(own, blocks, strict=True):
            which = slice(number * rows, min(n, (number + 1) * rows))
            yield which, [np.asarray(fetched(part)) for part in block] if host else block


def over_processes(x: np.ndarray) -> np.ndarray:
    """The sum of an array over the processes that share a pass."""
    return summed(x) if own_process().count > 1 else x


@np.errstate(**QUIET)
def pair_moments(
    accumulators: Sequence[Accumulator], index: int, name: str, weak: Array, target: Sequence[Array]
) -> list[Moments]:
    """Moments of the weak model of this number on each group; NaN and Inf are named by their row in ``weak``."""
    found = [accumulator.moments(index) for accumulator in accumulators]
    for each in found:
        refuse_bad_values(each.weak[0], weak, name)
        refuse_bad_target(each.target, target[0], target[1] if len(target) > 1 else None)
    return found


def _cut(n: int, rows: int, groups: int, process: Process) -> tuple[int, bool]:
    """Rows a block, and whether whole blocks go to the groups in turn; the groups do not depend on the processes."""
    rows = min(n, max(rows // groups, 1) * groups)
    in_turn = groups > 1 and n >= ROUNDS * groups * rows
    if not in_turn:  # a block for each process at least
        rows = min(rows, -(-n // (groups * process.count)) * groups)
    return rows, in_turn


def _blocks(arrays: Sequence[Array], rows: int, numbers: range) -> Generator[list[Array]]:
    """Slices of equal size with these numbers; read ahead where an array is on disk."""
    slices = (slice(number * rows, (number + 1) * rows) for number in numbers)
    if any(on_disk(array) for array in arrays):
        yield from prefetched(slices, lambda part: [copied(jax.device_get(rows_of(array, part))) for array in arrays])
        return
    for part in slices:
        yield [rows_of(array, part) for array in arrays]


def _grouped(block: list[Array], index: int, groups: int, *, in_turn: bool) -> Iterator[tuple[int, list[Array]]]:
    """The group of a whole block, or the rows of each group in it."""
    if in_turn or groups == 1:
        yield index % groups, block
        return
    for group in range(min(groups, block[0].shape[0])):
        yield group, [rows_of(part, slice(group, None, groups)) for part in block]


def refuse_bad_values(part: Part, array: Array, name: str) -> None:
    """Name the first NaN or Inf of an array by its row (InputError), where what was kept of it shows one."""
    kept = [x for x in (part.rows, part.second, part.labels, part.mean) if x is not None]
    if all_finite(*kept):
        return
    refuse_non_finite(array, name)
    if part.second is None or not np.isfinite(fetched(part.second).diagonal()).all():
        refuse_overflow(name)


def refuse_bad_target(target: Target, strong: Array, labels: Array | None, prefix: str = "") -> None:
    """The same of what all weak models share; ``prefix`` stands before the names."""
    refuse_bad_values(target.strong, strong, f"{prefix}strong")
    if labels is not None:
        refuse_bad_values(Part(None, target.label_second, None, target.label_mean), labels, f"{prefix}labels")
