"""Progress, where there is a terminal to see it: one bar, or one bar with a line for each job that is running."""

import contextlib
import threading
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Protocol

from rich.console import Console

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class Report(Protocol):
    """What a computation calls as it goes on."""

    def __call__(self, done: int, total: int, what: str | None = None, /) -> None:
        """So much of the total is done; `what` is written before the bar from now on."""


@contextlib.contextmanager
def progress_bar(console: Console, what: str) -> Iterator[Report | None]:
    """A bar over samples, models or trials on a terminal; nothing at all, and None, elsewhere."""
    if not _seen(console):
        yield None
        return
    with _bar(console) as bar:
        task = bar.add_task(what, total=None)

        def report(done: int, total: int, what: str | None = None, /) -> None:
            bar.update(task, completed=done, total=total, description=what)

        yield report


class Lines:
    """One bar for several jobs, and under it a line for each that is running; any thread may report.

    What is printed stands above the bar, and appears where there is no terminal, too.
    """

    def __init__(self, console: Console, what: str, costs: Mapping[str, float]) -> None:
        """`costs` has the work of each job by its name, in any unit."""
        self._console, self._what, self._costs = console, what, costs
        self._lock = threading.Lock()
        self._done = dict.fromkeys(costs, 0.0)
        self._finished = 0
        self._lines: dict[str, TaskID] = {}
        self._bar = _bar(console)
        self._all = self._bar.add_task(self._title(), total=sum(costs.values()))

    def __enter__(self) -> "Lines":
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def running(self, job: str, share: float, text: str) -> None:
        """This share of a job is done; its line says so."""
        with self._lock:
            if job not in self._lines:
                self._lines[job] = self._bar.add_task("", total=1.0)
            self._bar.update(self._lines[job], completed=share, description=f"  {text}")
            self._advance(job, share)

    def finished(self, job: str, text: str) -> None:
        """A job has ended: its line goes, and what came of it is printed."""
        with self._lock:
            if job in self._lines:
                self._bar.remove_task(self._lines.pop(job))
            self._finished += 1
            self._advance(job, 1.0)
        self.print(text)

    def print(self, text: str) -> None:
        """A line that stays."""
        self._console.print(f"  {text}", markup=False, highlight=False, soft_wrap=True)

    def _advance(self, job: str, share: float) -> None:
        self._done[job] = share * self._costs[job]
        self._bar.update(self._all, completed=sum(self._done.values()), description=self._title())

    def _title(self) -> str:
        return f"{self._what} {self._finished}/{len(self._costs)}"


def _seen(console: Console) -> bool:
    return console.is_terminal or console.is_jupyter


def _bar(console: Console) -> "Progress":
    """The look of every bar: what, bar, share, time that is left. It goes when it has ended."""
    from rich.progress import Progress  # slow to import, and `w2sg --help` is to answer at once

    return Progress(console=console, transient=True, disable=not _seen(console))
