"""What the user sees while the zoo is trained: one bar for all models, one line for each that is running."""

import threading
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from ..training import TrainingProgress
from .zoo import ModelPlan

ENCODING_SHARE = 0.05
"""Share of a model's cost that extracting its representations takes, for the bar."""


class ZooProgress:
    """Progress of several models that are trained at the same time, from several threads."""

    def __init__(self, plans: tuple[ModelPlan, ...], console: Console):
        self._console, self._plans, self._lock = console, plans, threading.Lock()
        self._done = dict.fromkeys((plan.name for plan in plans), 0.0)
        self._finished = 0
        self._lines: dict[str, TaskID] = {}
        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn(), TimeRemainingColumn())
        self._bar = Progress(*columns, console=console)
        self._all = self._bar.add_task(self._title(), total=sum(plan.cost for plan in plans))

    def __enter__(self) -> "ZooProgress":
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def resumed(self, plan: ModelPlan) -> None:
        """A model's training was interrupted and goes on."""
        self._console.print(f"  {plan.name:<14} goes on from its last checkpoint", highlight=False)

    def damaged(self, plan: ModelPlan, name: str) -> None:
        """A file of an earlier run is damaged and was deleted."""
        self._console.print(f"  {plan.name:<14} {name} is damaged and is made again", highlight=False)

    def training(self, plan: ModelPlan, state: TrainingProgress) -> None:
        """A model has come to `state.step`."""
        text = f"step {state.step}/{state.steps}, loss {state.loss:.3f}, {state.tokens_per_second:,.0f} tokens/s"
        self._update(plan, (1 - ENCODING_SHARE) * state.step / state.steps, text)

    def representing(self, plan: ModelPlan, done: int, total: int) -> None:
        """A trained model has represented `done` of `total` molecules."""
        self._update(plan, 1 - ENCODING_SHARE * (1 - done / total), f"representations {done}/{total}")

    def finished(self, plan: ModelPlan, seconds: float, *, reused: bool) -> None:
        """A model is trained and its representations are on disk."""
        with self._lock:
            if plan.name in self._lines:
                self._bar.remove_task(self._lines.pop(plan.name))
            self._finished += 1
            self._advance(plan, 1.0)
        how = "reused from an earlier run" if reused else f"trained in {seconds:.0f} s"
        self._console.print(f"  {plan.name:<14} {how}", highlight=False)

    def _update(self, plan: ModelPlan, share: float, text: str) -> None:
        with self._lock:
            if plan.name not in self._lines:
                self._lines[plan.name] = self._bar.add_task("", total=1.0)
            line = self._lines[plan.name]
            self._bar.update(line, completed=share, description=f"  {plan.name:<14} {text}")
            self._advance(plan, share)

    def _advance(self, plan: ModelPlan, share: float) -> None:
        self._done[plan.name] = share
        completed = sum(model.cost * self._done[model.name] for model in self._plans)
        self._bar.update(self._all, completed=completed, description=self._title())

    def _title(self) -> str:
        return f"encoders {self._finished}/{len(self._plans)}"
