"""One process of a command that several share: joins the others, runs the command, and leaves.

Started by `hosts.supervised` as `python -m w2sg_jax.cli.member STDOUT STDERR COMMAND ...`, with the descriptors of
the two streams; its own are for what native code prints.
"""

import dataclasses
import io
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from .._errors import InputError
from ..parallel.processes import ALONE, HostsLost, Process, own_process
from ..terminal.guard import INTERRUPTED, TERMINATED, USAGE_ERROR, ending, missing_device
from ..terminal.streams import terminating, usable_streams
from ..terminal.usage import parse
from .hosts import PEER_GONE, REFUSED, advice, parse_hosts
from .main import COMMANDS

HEARTBEAT = 100
"""Seconds of silence after which a process counts as gone."""
FOREVER = 10**8
"""Seconds that the others wait for process 0, which writes the results alone."""
GRACE = 10.0
"""Seconds in which process 0 refuses the same input, if all of them do."""


def main(arguments: list[str]) -> None:
    """Run the command as one process of a group, and end this process."""
    out, err, name, *rest = arguments
    sys.stdout, sys.stderr = (os.fdopen(int(number), "w", encoding="utf-8") for number in (out, err))
    said = sys.stderr
    threading.Thread(target=_end_with_parent, daemon=True).start()
    options_type, run = COMMANDS[name]()
    options = parse(options_type, rest, f"w2sg {name}")
    part, code, text = _outcome(options, run)
    if code == 0:
        import jax

        jax.distributed.shutdown()
    elif text:
        if part.index > 0 and code == USAGE_ERROR:
            os.write(1, REFUSED.encode())
            time.sleep(GRACE)
        who = f"process {part.index} of {part.count}: " if part.index > 0 else ""
        print(f"w2sg: {who}{text}", file=said)
    for stream in (sys.stdout, said):
        stream.flush()
    os._exit(code)  # leaving in order would wait for processes that may have gone


def _outcome(options: Any, run: Callable[[Any], int]) -> tuple[Process, int, str]:
    """This process's place in the group, its exit code, and why it is not 0."""
    part = ALONE
    try:
        _join(options)
        refused = missing_device()
        if refused is not None:
            raise refused
        part = own_process()
        if part.index > 0:
            options = _silent(options)
        with usable_streams(), terminating():
            run(options)
            sys.stdout.flush()
        return part, 0, ""
    except HostsLost as error:
        time.sleep(
            _heartbeat(options) + GRACE
        )  # the runtime ends this process sooner, when it knows which one has gone
        return part, PEER_GONE, f"{error}; {advice(options)}"
    except BaseException as error:
        code, text = ending(error)
        return part, code, "" if code in (INTERRUPTED, TERMINATED) else text  # the parent says that


def _join(options: Any) -> None:
    """Meet the other processes, before any device is asked for."""
    import jax

    address, index, count = parse_hosts(options.hosts) or (None, None, None)
    try:
        jax.distributed.initialize(
            address,
            count,
            index,
            initialization_timeout=options.hosts_timeout,
            heartbeat_timeout_seconds=_heartbeat(options),
            shutdown_timeout_seconds=FOREVER,
        )
    except (ValueError, RuntimeError) as error:
        if address is None:
            raise InputError(
                f"--hosts auto: JAX finds no group of processes here ({error}); give ADDRESS:PORT,INDEX,COUNT"
            ) from error
        raise InputError(f"--hosts {options.hosts}: {error}; is the port free?") from error


def _heartbeat(options: Any) -> int:
    return min(HEARTBEAT, options.hosts_timeout)


def _silent(options: Any) -> Any:
    """What another process than the first one does: the same computation, but it writes and prints nothing."""
    sys.stdout, sys.stderr = io.StringIO(), io.StringIO()
    written = {"out": None, "scores": None, "json": False}
    return dataclasses.replace(options, **{key: value for key, value in written.items() if hasattr(options, key)})


def _end_with_parent() -> None:
    """The parent holds the other end of standard input."""
    sys.stdin.buffer.read()
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    main(sys.argv[1:])
