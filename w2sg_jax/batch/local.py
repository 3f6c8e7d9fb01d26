"""Trials on this machine: worker processes that share its cores, or its GPUs, and are replaced when they die."""

import contextlib
import json
import os
import queue
import shutil
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Generator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .._errors import InputError
from .execute import ENDED, STARTED, record_of
from .trial import Trial
from .worker import CORES, PROBE, UNUSABLE

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
"""Environment variables that tell libraries how many threads to start."""


def default_workers() -> int:
    """One for each GPU; without any, one for every two cores."""
    return len(gpus()) or max(1, len(cores()) // 2)


def cores() -> list[int]:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def gpus() -> list[str]:
    """The NVIDIA GPUs that this process may use, without starting JAX on them."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [one for one in chosen.split(",") if one.strip() not in ("", "-1")]
    if not shutil.which("nvidia-smi"):
        return []
    found = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)
    return [str(number) for number, line in enumerate(found.stdout.splitlines()) if line.startswith("GPU ")]


def run_locally(
    trials: Sequence[Trial], workers: int, *, logs: Path, attempts: int
) -> Generator[tuple[str, dict[str, Any]]]:
    """Run trials in worker processes.

    Args:
        trials: in the order in which they are started.
        workers: processes at a time.
        logs: folder for what they print, a file each.
        attempts: of a trial whose worker dies; the last one makes a failed record.

    Yields:
        ("started", {"id"}) and ("ended", record), as it happens.

    Raises:
        InputError: no trial can run here.
    """
    logs.mkdir(exist_ok=True)
    left, events = deque(trials), queue.SimpleQueue()
    crew = [_Worker(index, left, events, logs, attempts, workers) for index in range(min(workers, len(trials)))]
    try:
        for worker in crew:
            worker.thread.start()
        ended = 0
        while ended < len(trials):
            what, event = events.get()
            if what == "broken":
                raise event["error"]
            ended += what == ENDED
            yield what, event
    finally:
        for worker in crew:
            worker.stop()
        for worker in crew:
            worker.thread.join()
            worker.close()


class _Worker:
    """A thread that hands trials to one process, and starts another when that dies."""

    def __init__(self, index: int, left: deque[Trial], events: Any, logs: Path, attempts: int, workers: int) -> None:
        self.thread = threading.Thread(target=self._run, daemon=True, name=f"w2sg-worker-{index}")
        self.left, self.events, self.attempts = left, events, attempts
        self.log = logs / f"worker-{index}.log"
        self.environment = environment(index, workers)
        self.process: subprocess.Popen[str] | None = None
        self.stopping = threading.Event()
        self.lock = threading.Lock()

    def close(self) -> None:
        """Wait for the process, and close its pipes."""
        if self.process is not None:
            _end_of(self.process)

    def _run(self) -> None:
        """Hand out trials until there are none left."""
        try:
            while not self.stopping.is_set():
                try:
                    trial = self.left.popleft()
                except IndexError:
                    return
                self.events.put((STARTED, {"id": trial.id}))
                record = self._record_of(trial)
                if record is not None:
                    self.events.put((ENDED, record))
        except BaseException as error:
            self.events.put(("broken", {"error": error}))

    def stop(self) -> None:
        """End the process, whatever it is doing."""
        self.stopping.set()
        with self.lock:
            if self.process is not None:
                _kill_group(self.process)

    def _record_of(self, trial: Trial) -> dict[str, Any] | None:
        ends = []
        while len(ends) < self.attempts:
            process = self._ready()
            if process is None:
                return None
            record = _reply(process, asdict(trial))
            if record is not None:
                return record
            ends.append(_end_of(process))
            if self.stopping.is_set():
                return None
        error = f"the process that ran it ended {len(ends)} times: {', '.join(ends)}; its output is in {self.log}"
        process = self._ready()  # another of its kind, for the next trial, says what computed it
        return record_of(trial, None, error) | ((_reply(process, PROBE) if process is not None else None) or {})

    def _ready(self) -> subprocess.Popen[str] | None:
        """The process, a new one if need be; None when this thread is to stop."""
        with self.lock:
            if self.stopping.is_set():
                return None
            if self.process is None or self.process.poll() is not None:
                with open(self.log, "a", encoding="utf-8") as log:
                    self.process = subprocess.Popen(
                        [sys.executable, "-m", "w2sg_jax.batch.worker"],
                        stdin=subprocess.PIPE,
                        stdout=subprocess.PIPE,
                        stderr=log,
                        text=True,
                        env=self.environment,
                        process_group=0,
                    )
                threading.Thread(target=_end_with, args=(self.process,), daemon=True).start()
            return self.process


def _reply(process: subprocess.Popen[str], order: Any) -> dict[str, Any] | None:
    """What a worker answers; None where it has died.

    Raises:
        InputError: no trial can run there.
    """
    assert process.stdin is not None and process.stdout is not None
    try:
        print(json.dumps(order), file=process.stdin, flush=True)
        line = process.stdout.readline()
    except OSError:  # it died before it took the order
        return None
    if not line.endswith("\n"):
        return None
    answer = json.loads(line)
    if UNUSABLE in answer:
        raise InputError(answer[UNUSABLE])
    return answer


def _end_with(process: subprocess.Popen[str]) -> None:
    """Wait for a worker and end what it started: children that outlive it would hold its pipes open for ever."""
    process.wait()
    _kill_group(process)


def _kill_group(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def environment(index: int, workers: int) -> dict[str, str]:
    """Environment of a worker: its share of the cores, its GPU, and our import path."""
    mine = cores()[index::workers] or cores()[index % len(cores()) :][:1]
    found = os.environ | {name: str(len(mine)) for name in THREADS} | {CORES: ",".join(map(str, mine))}
    found["PYTHONPATH"] = import_path()
    cards = gpus()
    if cards:
        found["CUDA_VISIBLE_DEVICES"] = cards[index % len(cards)]
    return found


def import_path() -> str:
    """Where this process imports from, for PYTHONPATH."""
    return os.pathsep.join(path or os.getcwd() for path in sys.path)


def _end_of(process: subprocess.Popen[str]) -> str:
    code = process.wait()
    for pipe in (process.stdin, process.stdout):
        with contextlib.suppress(OSError):
            if pipe is not None:
                pipe.close()
    if code >= 0:
        return f"exit code {code}"
    try:
        name = signal.Signals(-code).name
    except ValueError:  # a real-time one has no name
        return f"signal {-code}"
    return f"{name}, out of memory perhaps" if name == "SIGKILL" else name
