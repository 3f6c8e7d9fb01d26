"""Jobs in a few threads, all of which stop when one fails or the user interrupts."""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from typing import TypeVar

Result = TypeVar("Result")


class Stopped(Exception):
    """Raised inside a job that finds `stop` set."""


def run_jobs(jobs: Mapping[str, Callable[[], Result]], workers: int, stop: threading.Event) -> dict[str, Result]:
    """Run all jobs, `workers` at a time.

    Args:
        jobs: by name, in the order in which they start.
        workers: threads.
        stop: is set when a job fails or the user interrupts; jobs look at it whenever they report.

    Returns:
        name -> result, in the same order.

    Raises:
        BaseException: what the first job to fail raised, or KeyboardInterrupt, once the others have stopped.
    """
    with ThreadPoolExecutor(workers, thread_name_prefix="w2sg") as pool:
        futures = {name: pool.submit(job) for name, job in jobs.items()}
        try:
            done, _ = wait(futures.values(), return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()
        except BaseException:
            stop.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        return {name: future.result() for name, future in futures.items()}
