"""Points that need a process of their own: for its memory, or for its number of devices.

`in_child(function, **arguments)` calls a function of this module in a fresh process; both are JSON.
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SAMPLING_S = 0.005
TIMEOUT_S = 600


def in_child(function: str, *, devices: int | None = None, **arguments: Any) -> dict[str, Any]:
    """Call a function of this module in a process of its own, with this many virtual CPU devices if there are any."""
    command = [sys.executable, "-m", "benchmarks.children", function, json.dumps(arguments)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))}
    if devices is not None:
        flags = os.environ.get("XLA_FLAGS", "")
        environment["XLA_FLAGS"] = f"{flags} --xla_force_host_platform_device_count={devices}".strip()
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=environment, cwd=ROOT, timeout=TIMEOUT_S
    )
    if done.returncode != 0:
        raise RuntimeError(f"{function} {arguments}: {done.stderr.strip()[-2000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def gap_of_files(weak: str, strong: str, ridge: float, repeats: int) -> dict[str, Any]:
    """Moments and gap of a pair on disk: seconds, and the growth of this process's own memory (not file pages)."""
    import numpy as np

    import w2sg_jax as w2sg
    from w2sg_jax.bench import timed

    rng = np.random.default_rng(0)
    w2sg.gap(w2sg.moments(rng.normal(size=(9, 3)), rng.normal(size=(9, 3))))
    pair = [np.load(path, mmap_mode="r") for path in (weak, strong)]
    with memory() as grown:
        first = time.perf_counter()
        m = w2sg.moments(*pair)
        first = time.perf_counter() - first
        w2sg.gap(m, ridge)
    accumulate = first if repeats == 0 else timed(lambda: w2sg.moments(*pair), repeats=repeats).median
    return {
        "moments_s": accumulate,
        "gap_s": timed(lambda: w2sg.gap(m, ridge), repeats=3).median,
        "memory_mib": grown["mib"],
        "first_moments_s": first,
    }


def moments_on_devices(count: int, n: int, width: int, repeats: int) -> dict[str, Any]:
    """Seconds for the moments of a (width, width) pair shared by the first devices."""
    import jax

    import w2sg_jax as w2sg
    from w2sg_jax.bench import pair, timed

    weak, strong = pair(n, width, width)
    timing = timed(lambda: w2sg.moments(weak, strong, devices=jax.devices()[:count]), repeats=repeats)
    return {"devices": count, "seconds": timing.median, "first_s": timing.first}


def known_norm(width: int, ridge: float, seed: int) -> dict[str, Any]:
    """Seconds and peak memory, moments included, of the norm of a wide pair that is known."""
    import w2sg_jax as w2sg
    from benchmarks.problems import known_pair

    with memory() as grown:
        m, norm = known_pair(width, ridge, seed)
        start = time.perf_counter()
        found = w2sg.leading_gap(m, ridge)
        seconds = time.perf_counter() - start
    return {
        "d": width,
        "seconds": seconds,
        "memory_mib": grown["mib"],
        "method": found.method,
        "products": found.products,
        "residual": found.residual,
        "relative_difference": abs(found.norm - norm) / norm,
    }


@contextmanager
def memory() -> Iterator[dict[str, float | None]]:
    """Growth of this process's anonymous memory so far, at its peak, in MiB: no pages of files. Linux alone."""
    grown: dict[str, float | None] = {"mib": None}
    if not Path("/proc/self/status").exists():
        yield grown
        return
    before, peak, stop = _anonymous(), 0.0, threading.Event()
    grown["mib"] = peak

    def watch() -> None:
        nonlocal peak
        while True:
            ended = stop.wait(SAMPLING_S)
            peak = max(peak, _anonymous() - before)
            grown["mib"] = peak
            if ended:
                return

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield grown
    finally:
        stop.set()
        thread.join()


def _anonymous() -> float:
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) / 2**10 for line in status if line.startswith("RssAnon"))


if __name__ == "__main__":
    functions = {one.__name__: one for one in (gap_of_files, moments_on_devices, known_norm)}
    print(json.dumps(functions[sys.argv[1]](**json.loads(sys.argv[2]))))
