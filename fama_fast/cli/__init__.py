"""The `fama-fast` command: one message and an exit code for whatever goes wrong on purpose.

Exit codes: 0 done, 1 finished but nothing met the bar, 2 wrong use or bad input, 130 interrupted. An error
that is none of the package's own keeps its traceback: it is a fault of this program and must not be dressed
up as the user's.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from collections.abc import Sequence

EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141  # what a shell reports for a program whose reader went away


def command() -> NoReturn:
    """`main` as a whole process, which ends with its exit code."""
    code = main()
    # While it ends, Python puts the default handler back, by which a late Ctrl-C would kill what had ended well.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.exit(code)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line with `argv` (by default the process's arguments) and return the exit code."""
    from fama_fast.cli.app import build_app
    from fama_fast.errors import EXIT_OK, EXIT_USAGE, FamaError

    try:
        try:
            build_app()(args=None if argv is None else list(argv), prog_name="fama-fast")
        finally:
            sys.stdout.flush()
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else EXIT_OK if stop.code is None else EXIT_USAGE
    except FamaError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_USAGE
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # Python flushes standard output once more when it exits; without this it would complain then.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_BROKEN_PIPE
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"error: cannot read or write: {where}{error.strerror or error}", file=sys.stderr)
        return EXIT_USAGE
    return EXIT_OK
