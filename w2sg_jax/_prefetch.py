"""Reading ahead: the next blocks come from disk while the present one is computed."""

import queue
import threading
from collections.abc import Callable, Generator, Iterable
from typing import Any

import numpy as np

DEPTH = 2
"""Blocks that wait, at most, beside the one in use and the one that is read."""


def on_disk(array: Any) -> bool:
    """Whether the values of an array are still on disk: memory-mapped, or read from shards when sliced."""
    if getattr(array, "is_on_disk", False):
        return True
    while isinstance(array, np.ndarray):
        if isinstance(array, np.memmap):
            return True
        array = array.base
    return False


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
