import errno
import os
import sys
from collections.abc import Callable

from .._errors import InputError
from .streams import Terminated, abandon, terminating, usable_streams
from .text import printable

READER_GONE, USAGE_ERROR, INTERRUPTED, TERMINATED = 1, 2, 130, 143


def guarded(name: str, run: Callable[[], int]) -> int:
    """Run a command; interruptions, and failures that are the user's to mend, become a line on stderr and an exit code.

    Args:
        name: of the command, before each such line.
        run: the command; returns its exit code.
    """
    with usable_streams(), terminating():
        return _guarded(name, run)


def _guarded(name: str, run: Callable[[], int]) -> int:
    try:
        code = run()
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        print(f"{name}: interrupted", file=sys.stderr)
        return INTERRUPTED
    except Terminated:
        print(f"{name}: terminated", file=sys.stderr)
        return TERMINATED
    except BrokenPipeError:
        abandon(sys.stdout)
        return READER_GONE
    except (InputError, OSError) as error:
        if os.environ.get("W2SG_DEBUG"):
            raise
        print(f"{name}: {printable(' '.join(reason(error).split()))}", file=sys.stderr)
        return USAGE_ERROR


def reason(error: InputError | OSError) -> str:
    """The error's text; a full disk that no file is named for is that of the output stream."""
    if isinstance(error, OSError) and error.errno == errno.ENOSPC and error.strerror and error.filename is None:
        abandon(sys.stdout)
        return f"standard output: cannot be written ({error.strerror}); free some space, or lead it elsewhere"
    return str(error)
