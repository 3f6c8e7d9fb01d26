"""The process that runs transformers and sentence-transformers: ``foreign_worker.py``, asked by lines of JSON.

Its memory and JAX's do not meet. Nothing that a model ships is run unless the user says so, and weights are read from
formats that hold numbers alone.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import weakref
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from .._errors import InputError

COMMAND = (sys.executable, "-P", str(Path(__file__).with_name("foreign_worker.py")))
"""Of the worker; -P, so that no module beside it, or in the folder of work, stands for a library's."""
MARK = "w2sg "
"""Before every answer of the worker."""
PATIENCE = 2.0
"""Seconds that a worker has to end by itself."""
ENVIRONMENT = MappingProxyType(
    {
        "TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1",  # a pickle may run code when it is read; this makes tensors alone of it
        "TRANSFORMERS_VERBOSITY": "error",
        "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        "USE_TF": "0",
        "USE_FLAX": "0",
        "PYTHONIOENCODING": "utf-8",
    }
)
"""Of the worker, beside that of the user."""


class Worker:
    """The process of the libraries: started when it is first asked, again after it has ended, and killed with ours.

    Args:
        trusted: whether the code that models ship may be run; without it nothing is fetched either.
    """

    def __init__(self, trusted: bool = False):
        self.trusted = trusted
        self._lock = threading.Lock()
        self._process: subprocess.Popen[str] | None = None
        self._errors: Any = None
        self._before = 0  # bytes of standard error that earlier requests caused
        self._end: Any = None

    def ask(self, name: str, request: dict[str, Any], on_rows: Callable[[int], None] | None = None) -> Any:
        """The answer to a request.

        Args:
            name: of the model, for messages.
            request: as a method of ``foreign_worker.Library`` takes it, whose name is under "do".
            on_rows: called with the number of rows just done.

        Raises:
            InputError: the library refuses, or its process ends; with the last line of what it said.
        """
        with self._lock:
            try:
                return self._asked(name, request, on_rows)
            except InputError:
                raise
            except BaseException:
                self._stop()  # it may be at work still: its answer must not be taken for that to the next request
                raise

    def close(self) -> None:
        """End the process, with all that it holds; the next request starts another."""
        with self._lock:
            self._stop()

    def _asked(self, name: str, request: dict[str, Any], on_rows: Callable[[int], None] | None) -> Any:
        process = self._started()
        assert process.stdin is not None and process.stdout is not None
        self._before = os.fstat(self._errors.fileno()).st_size
        try:
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
        except OSError:
            raise self._ended(name, process) from None
        for line in process.stdout:
            if not line.startswith(MARK):
                continue  # of a library that writes past Python's own streams
            try:
                found = json.loads(line.removeprefix(MARK))
                ((kind, value),) = found.items()
            except (ValueError, AttributeError):
                self._stop()
                raise InputError(f"{name}: the process of its library answers {line.strip()[:80]!r}; run it again, and "
                                 "report it if it does so again") from None  # fmt: skip
            if kind == "error":
                raise self._refused(name, str(value))
            if kind == "answer":
                return value
            if on_rows is not None:
                on_rows(int(value))
        raise self._ended(name, process)

    def _started(self) -> subprocess.Popen[str]:
        if self._process is not None and self._process.poll() is None:
            return self._process
        self._stop()
        environment = {key: value for key, value in os.environ.items() if key != "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"}
        environment |= ENVIRONMENT | ({} if self.trusted else {"HF_HUB_OFFLINE": "1"})
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  it lives as long as the process
        process = self._process = subprocess.Popen(
            COMMAND,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=environment,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,  # an interrupt is ours to answer, by ending it
        )
        # At the end of the interpreter too; where that ends without one, the end of its input tells the worker.
        self._end = weakref.finalize(self, _end, process, self._errors)
        return process

    def _stop(self) -> None:
        if self._end is not None:
            self._end()
        self._process = self._errors = self._end = None

    def _said(self) -> list[str]:
        """Lines that the worker, or its libraries, wrote to standard error since the request."""
        try:
            self._errors.seek(self._before)
            return [line for line in self._errors.read().decode("utf-8", "replace").splitlines() if line.strip()]
        except (OSError, ValueError, AttributeError):
            return []

    def _refused(self, name: str, reason: str) -> InputError:
        if "trust_remote_code" in reason and not self.trusted:
            return InputError(f"{name}: it comes with Python code of its own, which is not run; read it, and take "
                              "--trust-remote-code (trust_remote_code=True) if you trust it")  # fmt: skip
        if "OutOfMemoryError" in reason or "not enough memory" in reason:
            reason += "; take --dtype bfloat16, a smaller --max-length, or a smaller model"
        return self._told(InputError(f"{name}: its own library refuses it ({reason[:500]})"))

    def _ended(self, name: str, process: subprocess.Popen[str]) -> InputError:
        try:
            code = process.wait(PATIENCE)
        except subprocess.TimeoutExpired:  # it closed its output and lives on
            code = None
        said = self._said()
        how = f": {said[-1][:300]}" if said else ""
        if code is not None and code < 0:
            killed = " (the kernel does so when memory runs out)" if code == -signal.SIGKILL else ""
            how = f" by signal {-code}{killed}{how}"
        error = self._told(InputError(f"{name}: the process of its own library ended{how}"))
        self._stop()
        return error

    def _told(self, error: InputError) -> InputError:
        """An error with all that the worker said, which a traceback shows."""
        error.add_note("\n".join(["standard error of the process:", *self._said()[-50:]]))
        return error


def _end(process: subprocess.Popen[str], errors: Any) -> None:
    """Tell a process to end, by the end of its input, and kill one that does not."""
    for stream in (process.stdin, process.stdout):
        with contextlib.suppress(OSError):
            if stream is not None:
                stream.close()
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    errors.close()


@cache
def worker(trusted: bool) -> Worker:
    """The process that all models share; code that models ship runs in another one."""
    return Worker(trusted)
