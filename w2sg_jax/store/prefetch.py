"""Reading ahead: the next blocks come from disk while the present one is computed."""

import mmap
import queue
import threading
from collections.abc import Callable, Generator, Iterable
from typing import Any

import numpy as np

from .._errors import InputError

DEPTH = 2
"""Blocks that wait, at most, beside the one in use and the one that is read."""


def on_disk(array: Any) -> bool:
    """Whether the values of an array are still on disk: memory-mapped, or read when sliced."""
    return getattr(array, "is_on_disk", False) or _mapped(array) is not None


def copied(rows: Any) -> np.ndarray:
    """A copy of rows that may be mapped from a file.

    Raises:
        InputError: the file has become shorter; the system would kill a process that looks at what is gone.
    """
    mapped = _mapped(rows)
    file: Any = None if mapped is None else mapped.base
    if mapped is not None and isinstance(file, mmap.mmap) and file.size() < mapped.offset + mapped.nbytes:
        raise InputError(
            f"{mapped.filename}: the mapped file has become shorter since it was opened; write or copy it again"
        )
    return np.array(rows)


def _mapped(array: Any) -> np.memmap | None:
    """The map of a whole array that an array is a view of, if there is one."""
    found = None
    while isinstance(array, np.ndarray):
        found = array if isinstance(array, np.memmap) else found
        array = array.base
    return found


def prefetched(items: Iterable[Any], read: Callable[[Any], Any]) -> Generator[Any]:
    """Yield ``read(item)`` for each item, computed ahead in a thread; its errors are raised here.

    Args:
        items: iterated in the thread.
        read: turns an item into what is yielded; what it returns must not be overwritten by a later call.
    """
    ready: queue.Queue[tuple[bool, Any]] = queue.Queue(DEPTH)
    stop = threading.Event()

    def put(entry: tuple[bool, Any]) -> bool:
        while not stop.is_set():
            try:
                ready.put(entry, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def work() -> None:
        try:
            for item in items:
                if not put((True, read(item))):
                    return
            put((False, None))
        except BaseException as error:  # raised again in the thread that waits for it
            put((False, error))

    thread = threading.Thread(target=work, name="w2sg-prefetch", daemon=True)
    thread.start()
    try:
        while True:
            more, value = ready.get()
            if more:
                yield value
            elif value is None:
                return
            else:
                raise value
    finally:
        stop.set()
        thread.join()
