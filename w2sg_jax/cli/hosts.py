"""A command that several processes share: what starts one of them, watches it, and explains how it ended."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from .._errors import InputError
from ..terminal.streams import Terminated

PEER_GONE = 3
REFUSED = "w2sg: refused"
"""What a process leaves in its log before it waits for process 0 to say the same."""
PATIENCE = 5.0
"""Seconds in which a process that was told to end has to."""
LOG_BYTES = 1 << 16

_FATAL = "JAX distributed service detected fatal errors"
_GONE = re.compile(r"stopped sending heartbeats\):\s*(?:\S*task:)?(\d+)")


def parse_hosts(text: str) -> tuple[str, int, int] | None:
    """(address, index, count) of `ADDRESS:PORT,INDEX,COUNT`; None for `auto`.

    Raises:
        InputError: anything else.
    """
    if text == "auto":
        return None
    found = re.fullmatch(r"(\S+:\d+),(\d+),(\d+)", text)
    if not found or not int(found[2]) < int(found[3]):
        raise InputError(
            f"--hosts: got {text!r}; expected auto, or ADDRESS:PORT,INDEX,COUNT with an INDEX from 0 to COUNT - 1,"
            " such as node1:7777,0,4"
        )
    return found[1], int(found[2]), int(found[3])


def supervised(arguments: Sequence[str], options: Any) -> int:
    """Run the command in a process of its own and return its exit code.

    When a process of the group is lost, JAX ends the others from native code, where Python has no say; and it logs to
    the standard streams. So this process waits for the other, keeps what native code prints, and explains the end.

    Raises:
        InputError: --hosts or --hosts-timeout cannot be understood.
    """
    parse_hosts(options.hosts)
    if options.hosts_timeout < 1:
        raise InputError(f"--hosts-timeout: got {options.hosts_timeout}; expected a number of seconds, 1 or more")
    with _started(arguments) as child:
        try:
            log = _read(child)
        except (KeyboardInterrupt, Terminated):
            _end(child)
            raise
    return _explained(child.wait(), log, options)


@contextmanager
def _started(arguments: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    """The process: its native output goes into a pipe, what Python prints to our streams; without us it ends."""
    streams = [os.dup(number) for number in (1, 2)]
    command = [sys.executable, "-m", "w2sg_jax.cli.member", *map(str, streams), *arguments]
    environment = dict(os.environ)
    platforms = environment.get("JAX_PLATFORMS", "")
    if platforms and "cpu" not in platforms.split(","):
        environment["JAX_PLATFORMS"] = f"{platforms},cpu"  # where sums over processes are formed
    try:
        child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=streams,
            env=environment,
        )
    finally:
        for stream in streams:
            os.close(stream)
    with child:
        yield child


def _read(child: subprocess.Popen[bytes]) -> str:
    """The end of what native code printed, once the process has ended."""
    assert child.stdout is not None
    log = b""
    while chunk := os.read(child.stdout.fileno(), LOG_BYTES):
        log = (log + chunk)[-LOG_BYTES:]
        if os.environ.get("W2SG_DEBUG"):
            os.write(2, chunk)
    return log.decode(errors="replace")


def _end(child: subprocess.Popen[bytes]) -> None:
    """End the process, in native code too."""
    child.terminate()
    try:
        child.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        child.kill()


def _explained(code: int, log: str, options: Any) -> int:
    """The exit code of the command; what the process could not say itself is said here."""
    if _FATAL in log:
        if REFUSED in log:
            return 2
        print(f"w2sg: {_lost(log, options)}", file=sys.stderr)
        return PEER_GONE
    if code in (-signal.SIGTERM, 128 + signal.SIGTERM):
        raise Terminated
    if code < 0:
        hint = " (out of memory?)" if code == -signal.SIGKILL else ""
        print(f"w2sg: this process was ended by {signal.Signals(-code).name}{hint}", file=sys.stderr)
        return 128 - code
    return code


def _lost(log: str, options: Any) -> str:
    if "RegisterTask" in log:
        return (
            f"not all processes came within {options.hosts_timeout} seconds; start the same command once for each, and"
            f" let all of them reach the address of process 0 ({options.hosts})"
        )
    gone = _GONE.search(log)
    who = f"process {gone[1]}" if gone else "process 0" if "Failed to send RPC" in log else "another process"
    return f"{who} has gone, and may have said why; {advice(options)}"


def advice(options: Any) -> str:
    """What to do when a process has gone."""
    if options.checkpoint:
        return f"start the same command again for all, and it goes on from {options.checkpoint}"
    return "start the same command again for all (with --checkpoint DIR it would go on where it was)"
