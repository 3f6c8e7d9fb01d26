"""The driver: which trials are left, who runs them, and a record of each on disk as soon as it ends."""

import os
from collections import Counter
from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import rich.console

from .._errors import InputError
from ..terminal.progress import progress_bar
from .execute import DONE, ENDED, FAILED, STARTED
from .local import default_workers, run_locally
from .on_ray import run_on_ray
from .records import COMPACTED_FROM, Records
from .trial import TrialFunction, find, make_trial

ATTEMPTS = 3


@dataclass(frozen=True)
class Results:
    """What a run came to.

    Attributes:
        folder: where its records are.
        records: of every configuration that was asked for, in that order; see ``execute``.
    """

    folder: Path
    records: list[dict[str, Any]]

    @property
    def failed(self) -> list[dict[str, Any]]:
        """The records of trials that failed."""
        return [record for record in self.records if _has_failed(record)]

    @property
    def done(self) -> list[dict[str, Any]]:
        """The records of trials that gave a result."""
        return [record for record in self.records if record["status"] == DONE]


def run(
    function: TrialFunction[Any],
    configs: Iterable[Any],
    out: str | os.PathLike[str],
    *,
    workers: int | None = None,
    ray: str | None = None,
    cpus: float = 1.0,
    gpus: float = 0.0,
    retry_failed: bool = False,
    attempts: int = ATTEMPTS,
    console: rich.console.Console | None = None,
) -> Results:
    """Run a trial for each configuration that has no record yet, and return the records of all.

    Interrupted or killed, at any time, it goes on where it was when it is called again; nothing that was recorded is
    run again, and nothing is counted twice.

    Args:
        function: of ``trial``, importable by name.
        configs: its configurations; equal ones are one trial.
        out: folder for the records; made where it is not there. Trials of other functions may share it.
        workers: processes on this machine; by default one a GPU, or one for every two cores.
        ray: address of a Ray cluster to run on instead: HOST:PORT, "auto" for the one that this machine belongs to, or
            "local" for one that is started here.
        cpus, gpus: of the cluster, for each trial; some node has to have as many.
        retry_failed: run failed trials again.
        attempts: of a trial whose process dies, for want of memory perhaps.
        console: for progress; none by default.

    Raises:
        InputError: an input that cannot be read, another process that is running trials in the folder, or a machine
            or cluster where no trial can run.
        OSError: a record that cannot be written; those before it are kept.
    """
    find(function.name)
    folder = Path.cwd()
    trials = list({one.id: one for one in (make_trial(function, config, folder) for config in configs)}.values())
    if not trials:
        raise InputError("configs: empty; pass at least one configuration")
    workers = default_workers() if workers is None else workers
    if workers < 1 or attempts < 1:
        raise InputError(f"workers and attempts: got {workers} and {attempts}; each has to be at least 1")
    if not (cpus >= 0 and gpus >= 0):
        raise InputError(f"cpus and gpus: got {cpus} and {gpus}; neither can be negative")
    records = Records(out, create=True)
    with records.locked():
        known = {key: record for key, record in records.all().items() if not (retry_failed and _has_failed(record))}
        left = [one for one in trials if one.id not in known]
        records.plan({"function": function.name, "version": function.version, "trials": [one.id for one in trials]})
        if left:
            if ray is None:
                events = run_locally(left, workers, logs=records.folder / "logs", attempts=attempts)
            else:
                events = run_on_ray(left, ray, attempts=attempts, cpus=cpus, gpus=gpus)
            counts = Counter(known[one.id]["status"] for one in trials if one.id in known)
            known |= _kept(events, records, counts, len(trials), console)
        records.compact()
    return Results(records.folder, [known[one.id] for one in trials])


def _has_failed(record: Mapping[str, Any]) -> bool:
    return record["status"] == FAILED


def _kept(
    events: Generator[tuple[str, dict[str, Any]]],
    records: Records,
    counts: Counter[str],
    total: int,
    console: rich.console.Console | None,
) -> dict[str, dict[str, Any]]:
    """Write each record as its trial ends, show how far it is, and return them all."""
    found = {}
    quiet = rich.console.Console(quiet=True)
    with progress_bar(console or quiet, "trials") as progress:
        try:
            for what, event in events:
                if what == STARTED:
                    counts["running"] += 1
                if what == ENDED:
                    records.add(event)
                    records.compact(least=COMPACTED_FROM)
                    counts["running"] -= 1
                    counts[event["status"]] += 1
                    found[event["id"]] = event
                if progress is not None:
                    done = f"{counts[DONE]} done, {counts['running']} running, {counts[FAILED]} failed of {total}"
                    progress(counts[DONE] + counts[FAILED], total, done)
        finally:
            events.close()
    return found
