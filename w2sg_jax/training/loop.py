"""The steps of a training run, with checkpoints and reports."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import jax
import numpy as np
from jaxtyping import Float32

from ..numerics.checks import as_count
from .batches import BatchPlan
from .checkpoint import TrainingState, load_checkpoint, save_checkpoint


@dataclass(frozen=True)
class TrainingProgress:
    """What a run reports while it goes on."""

    step: int
    """steps done, those of earlier sessions included"""
    steps: int
    """steps in all"""
    loss: float
    """mean masked-token cross-entropy since the last report, nats"""
    tokens_per_second: float
    """real tokens (no padding) since the last report, compilation included"""


@dataclass(frozen=True)
class TrainingLoop:
    """Steps over the corpus, with checkpoints and reports: what one model and many models have in common."""

    step: Callable
    """params, optimizer state, identifiers, number of the step -> params, optimizer state, loss"""
    plan: BatchPlan
    """the batch of each step"""
    check: Callable[[np.ndarray], None]
    """called with the losses so far; raises where they have diverged"""
    checkpoint: Path | None
    """file of the state, or None"""
    fingerprint: str
    """hash of what the run depends on"""
    checkpoint_every: int
    report_every: int
    on_progress: Callable[[TrainingProgress], None] | None

    def __post_init__(self) -> None:
        for name in ("checkpoint_every", "report_every"):
            as_count(getattr(self, name), name, 1)

    def run(self, state: TrainingState) -> TrainingState:
        """Train to the end, from the checkpoint where there is one; as many steps as the state has room for losses."""
        if self.checkpoint is not None and self.checkpoint.exists():
            state = load_checkpoint(self.checkpoint, state, fingerprint=self.fingerprint)
        steps = len(state.losses)
        while (done := int(state.step)) < steps:
            stop = min(steps, *((done // every + 1) * every for every in (self.report_every, self.checkpoint_every)))
            started = time.perf_counter()
            state, seen = self._until(stop, state)
            rate = seen / (time.perf_counter() - started)
            self.check(state.losses[:stop])
            if self.checkpoint is not None and (stop == steps or stop % self.checkpoint_every == 0):
                save_checkpoint(self.checkpoint, state, fingerprint=self.fingerprint)
            if self.on_progress is not None:
                self.on_progress(TrainingProgress(stop, steps, float(np.nanmean(state.losses[done:stop])), rate))
        return state

    def _until(self, stop: int, state: TrainingState) -> tuple[TrainingState, int]:
        """Take steps up to number `stop`, and wait for them; the new state, and the real tokens that were seen."""
        params, optimizer_state, seen, losses = state.params, state.optimizer, 0, []
        for index in range(int(state.step), stop):
            ids = self.plan.batch(index)
            placed = jax.device_put((ids, np.int32(index)))
            params, optimizer_state, loss = self.step(params, optimizer_state, *placed)
            seen += int(np.count_nonzero(ids))
            losses.append(loss)
        history = state.losses.copy()
        history[int(state.step) : stop] = jax.device_get(losses)
        return TrainingState(params, optimizer_state, np.array(stop, np.int32), history), seen


def refuse_diverged(losses: Float32[np.ndarray, " steps"], name: str) -> None:
    """FloatingPointError where a loss is not finite."""
    if not np.isfinite(losses).all():
        bad = int(np.flatnonzero(~np.isfinite(losses))[0])
        raise FloatingPointError(f"{name} of step {bad} is not finite; lower the learning rate")
