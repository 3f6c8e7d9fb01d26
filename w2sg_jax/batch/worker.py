"""A process that runs trials: one line of JSON in for each, one line out.

    python -m w2sg_jax.batch.worker

What trials print goes to stderr, and there is nothing for them to read. When the pipe that trials come from is closed,
the process ends at once: nobody waits for it any more.
"""

import json
import os
import queue
import sys
import threading
from typing import TextIO

from .._errors import InputError
from .execute import computed_by, execute
from .trial import Trial

CORES = "W2SG_WORKER_CORES"
"""Environment variable: the cores that this process keeps to, as numbers with commas."""
PROBE = "computed by"
"""In the place of a trial: a question for what would compute it."""
UNUSABLE = "no trial can run"
"""Key of a reply that is no record: why not, for whoever started the run."""


def main() -> None:
    """Run trials until there are no more."""
    keep_to(os.environ.get(CORES, ""))
    orders = os.fdopen(os.dup(0), encoding="utf-8")
    with open(os.devnull, encoding="utf-8") as nothing:
        os.dup2(nothing.fileno(), 0)
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    trials: queue.SimpleQueue[str] = queue.SimpleQueue()
    threading.Thread(target=_read, args=(orders, trials), daemon=True).start()
    while True:
        order = json.loads(trials.get())
        try:
            record = computed_by() if order == PROBE else execute(Trial(**order))
        except InputError as error:
            record = {UNUSABLE: str(error)}
        sys.stdout.flush()
        print(json.dumps(record), file=replies, flush=True)


def keep_to(cores: str) -> None:
    """Stay on these cores, where the system lets a process choose; JAX's threads are as many."""
    if cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, [int(core) for core in cores.split(",")])


def _read(orders: TextIO, trials: "queue.SimpleQueue[str]") -> None:
    for line in orders:
        trials.put(line)
    os._exit(0)


if __name__ == "__main__":
    main()
