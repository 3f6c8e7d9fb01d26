"""Several processes, on one host or many, share a pass over the samples: who reads what, and sums over all of them."""

from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from .._errors import InputError
from ..numerics.settings import wide_types

HOSTS = "hosts"
CHUNK = 1 << 24
"""Numbers added up at a time: 128 MiB of float64."""
MEETINGS = 64
"""A pass has at most so many; between two of them one process may lag behind by half an hour, gloo's limit."""


class HostsLost(RuntimeError):
    """Another process of the group has gone, or does not answer any more."""


@dataclass(frozen=True)
class Process:
    """One of the processes that share a pass: its number, counted from 0, and how many there are."""

    index: int
    count: int

    def blocks(self, total: int) -> range:
        """The blocks that this process reads, of a number of blocks in order."""
        return range(total * self.index // self.count, total * (self.index + 1) // self.count)


ALONE = Process(0, 1)


def own_process() -> Process:
    """This process in the group that ``jax.distributed.initialize`` made; the only one where none was made.

    Raises:
        InputError: JAX_PLATFORMS leaves out the CPU.
    """
    if not jax.distributed.is_initialized():
        return ALONE
    try:
        return Process(jax.process_index("cpu"), jax.process_count("cpu"))
    except RuntimeError as error:
        raise InputError(
            f"JAX_PLATFORMS leaves out the CPU, which adds up the sums of several processes ({error}); add it, for"
            " example JAX_PLATFORMS=cuda,cpu"
        ) from error


def agree(identity: str, process: Process) -> None:
    """Refuse processes that share a pass over different arrays.

    Args:
        identity: hexadecimal hash of what this process is about to read, and how.
    """
    own = np.frombuffer(bytes.fromhex(identity), np.uint8)
    found = gathered(own.astype(np.float64), process)
    for index in range(1, process.count):
        if (found[index] != found[0]).any():
            raise InputError(
                f"process {index} of {process.count} has other arrays, settings or devices than process 0; all of them"
                " must open the same files with the same options, and each then reads its share of the rows"
            )


class Meetings:
    """Where the processes of a pass wait for each other: at equal shares of the blocks that each has to read.

    Args:
        process: this one; alone it meets nobody.
        blocks: of the pass.
    """

    def __init__(self, process: Process, blocks: int) -> None:
        self.own = process.blocks(blocks)
        self.number = min(MEETINGS, -(-blocks // process.count)) if process.count > 1 else 0
        self.held = 0

    def before_block(self, block: int) -> None:
        """Hold those that are due once this process has dealt with the blocks before this one.

        Raises:
            HostsLost: a process has gone.
        """
        done, size = block - self.own.start, len(self.own)
        due = self.number if done >= size else self.number * done // size
        while self.held < due:
            summed(np.zeros(1))
            self.held += 1


def gathered(x: np.ndarray, process: Process) -> np.ndarray:
    """(processes, ...): the arrays of all processes, which have one shape."""
    return placed(x[None], process.index, process.count)


def summed(x: np.ndarray) -> np.ndarray:
    """The sum over processes of float64 arrays of one shape, on every process.

    Raises:
        HostsLost: a process has gone.
    """
    flat, total = np.ascontiguousarray(x).reshape(-1), np.empty(x.size)
    for start in range(0, x.size, CHUNK):
        total[start : start + CHUNK] = _summed(flat[start : start + CHUNK])
    return total.reshape(x.shape)


def placed(rows: np.ndarray, start: int, total: int) -> np.ndarray:
    """The rows of all processes, on every process.

    Args:
        rows: float64 (rows, ...) of this process.
        start: the place of its first row among those of all.
        total: how many there are in all.
    """
    whole = np.zeros((total, *rows.shape[1:]))
    whole[start : start + len(rows)] = rows
    return summed(whole)


def _summed(x: np.ndarray) -> np.ndarray:
    """The sum over processes of vectors of one length, short enough for one message."""
    mesh = _one_cpu_a_process()
    try:
        with wide_types():
            stacked = jax.make_array_from_process_local_data(NamedSharding(mesh, P(HOSTS)), x[None])
            return jax.device_get(_over_processes(stacked, mesh=mesh).addressable_data(0))
    except (jax.errors.JaxRuntimeError, ValueError) as error:  # the second where the result is waited for
        raise HostsLost(f"a process of the group has gone or does not answer ({error})") from error


@partial(jax.jit, static_argnames="mesh")
def _over_processes(stacked: jax.Array, *, mesh: Mesh) -> jax.Array:
    def local(x: jax.Array) -> jax.Array:
        return jax.lax.psum(x[0], HOSTS)

    return jax.shard_map(local, mesh=mesh, in_specs=P(HOSTS), out_specs=P())(stacked)


@cache
def _one_cpu_a_process() -> Mesh:
    """The first CPU device of each process, in their order: sums live on the host, and are exact float64 there."""
    first: dict[int, Any] = {}
    for device in jax.devices("cpu"):
        first.setdefault(device.process_index, device)
    return Mesh(np.array([first[index] for index in sorted(first)]), (HOSTS,))
