"""Trials on a Ray cluster: as many at once as its resources allow; Ray replaces lost workers and nodes.

Needs ``pip install "w2sg_jax[ray]"`` on every node, and the trials' module importable there from the same paths.
"""

import contextlib
import json
import logging
import socket
from collections import Counter, deque
from collections.abc import Generator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from .._errors import InputError, check
from .execute import ENDED, STARTED, computed_by, execute, record_of
from .local import THREADS, import_path
from .trial import Trial

LOCAL = "local"
PROBE_SECONDS = 60.0
"""Seconds that a question to another worker may take."""
AHEAD = 2
"""Trials that are handed to Ray for each one that can run, so that no node waits for the next."""


def run_on_ray(
    trials: Sequence[Trial], address: str, *, attempts: int, cpus: float, gpus: float
) -> Generator[tuple[str, dict[str, Any]]]:
    """Run trials as Ray tasks; the records come back to this process.

    Args:
        trials: in the order in which they are handed out.
        address: of the cluster, "auto" for the one that this machine belongs to, or "local" to start one here.
        attempts: of a trial whose worker or node is lost; the last one makes a failed record.
        cpus, gpus: that each trial takes.

    Yields:
        ("started", {"id"}) when a trial is handed to Ray, and ("ended", record).

    Raises:
        InputError: Ray is not installed, there is no cluster at the address, none of its nodes has what a trial takes,
            or JAX has no device there that JAX_PLATFORMS names.
    """
    check("ray", extra="ray")
    import ray
    import ray.exceptions

    ours = not ray.is_initialized()
    if ours:
        _refuse_silent(address)
        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.WARNING)
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise InputError(f"ray: no cluster at {address!r} ({error})") from error
    task = ray.remote(num_cpus=cpus, num_gpus=gpus, max_retries=attempts - 1)(_execute)
    task = task.options(runtime_env={"env_vars": _environment(cpus)})
    probe = ray.remote(num_cpus=cpus, num_gpus=gpus)(computed_by)
    left, pending = deque(trials), {}
    try:
        _refuse_too_much(ray.nodes(), cpus, gpus)
        while left or pending:
            while left and len(pending) < _places(ray.cluster_resources(), cpus, gpus):
                trial = left.popleft()
                pending[task.remote(asdict(trial))] = trial
                yield STARTED, {"id": trial.id}
            for done in ray.wait(list(pending), timeout=1.0)[0]:
                trial = pending.pop(done)
                try:
                    record = json.loads(ray.get(done))
                except ray.exceptions.RayError as error:
                    cause = getattr(error, "cause", None)
                    if isinstance(cause, InputError):  # a trial's own end in its record
                        raise InputError(str(cause)) from error
                    record = record_of(trial, None, f"Ray could not run it in {attempts} attempts: {error}")
                    with contextlib.suppress(ray.exceptions.RayError):  # another worker says what would compute it
                        record |= ray.get(probe.remote(), timeout=PROBE_SECONDS)
                yield ENDED, record
    finally:
        for left_over in pending:
            ray.cancel(left_over, force=True)
        if ours:
            ray.shutdown()


def _refuse_silent(address: str) -> None:
    """InputError unless something listens at HOST:PORT; Ray itself would wait for minutes."""
    host, _, port = address.rpartition(":")
    if "://" in address:
        raise InputError(f"ray: {address} is of Ray's client; name the cluster's own address, HOST:PORT, or auto")
    if not host or not port.isdigit():
        return
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except OSError as error:
        raise InputError(f"ray: nothing listens at {address} ({error}); start it with ray start --head") from error


def _refuse_too_much(nodes: Sequence[Mapping[str, Any]], cpus: float, gpus: float) -> None:
    """InputError where no node has what one trial takes; Ray itself would wait for such a node for ever.

    Args:
        nodes: as ``ray.nodes`` tells of them.
        cpus, gpus: of each trial.
    """
    found = [node["Resources"] for node in nodes if node["Alive"]]
    sizes = Counter((node.get("CPU", 0.0), node.get("GPU", 0.0)) for node in found)
    if any(cpus <= here and gpus <= cards for here, cards in sizes):
        return
    kinds = sorted(sizes.items())
    listed = ", ".join(f"{count} with {here:g} CPUs and {cards:g} GPUs" for (here, cards), count in kinds)
    raise InputError(
        f"cpus and gpus: a trial asks for {cpus:g} CPUs and {gpus:g} GPUs of one node, and no node of the Ray cluster"
        f" has them; its nodes: {listed or 'none'}"
    )


def _execute(trial: dict[str, Any]) -> str:
    return json.dumps(execute(Trial(**trial)))


def _places(resources: Mapping[str, float], cpus: float, gpus: float) -> int:
    """How many trials to have handed out."""
    places = [resources.get(name, 0.0) / each for name, each in (("CPU", cpus), ("GPU", gpus)) if each]
    return max(1, int(AHEAD * min(places, default=1.0)))


def _environment(cpus: float) -> dict[str, str]:
    threads = str(max(1, int(cpus)))
    return dict.fromkeys(THREADS, threads) | {"PYTHONPATH": import_path()}
