"""Progress of a command, where there is a terminal to see it."""

import contextlib
from collections.abc import Callable, Iterator

from rich.console import Console


@contextlib.contextmanager
def progress_bar(console: Console, what: str) -> Iterator[Callable[[int, int], None] | None]:
    """A bar over samples or weak models on a terminal; nothing at all elsewhere."""
    if not console.is_terminal:
        yield None
        return
    from rich.progress import Progress

    with Progress(console=console, transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
