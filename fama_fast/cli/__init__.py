"""The `fama-fast` command: one message and an exit code for whatever goes wrong on purpose.

Exit codes: 0 done, 1 finished but nothing met the bar, 2 wrong use or bad input, 130 interrupted. An error
that is none of the package's own keeps its traceback: it is a fault of this program and must not be dressed
up as the user's.
"""

from __future__ import annotations

import signal
import sys
from contextlib import suppress
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
    from fama_fast.errors import EXIT_USAGE
    from fama_fast.terminal import shielded

    with shielded() as streams:
        try:
            code = _outcome(argv)
        except BrokenPipeError:
            code = EXIT_BROKEN_PIPE
        failed = streams.flush()
        if streams.reader_gone:
            return EXIT_BROKEN_PIPE
        if failed is not None and code != EXIT_USAGE:
            _tell(f"error: cannot write what is printed: {failed.strerror or failed}")
            return EXIT_USAGE
        return code


def _outcome(argv: Sequence[str] | None) -> int:
    """The exit code of a command, what stopped it being said."""
    from fama_fast.cli.app import build_app
    from fama_fast.errors import EXIT_OK, EXIT_USAGE, FamaError

    try:
        build_app()(args=None if argv is None else list(argv), prog_name="fama-fast")
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else EXIT_OK if stop.code is None else EXIT_USAGE
    except FamaError as error:
        _tell(f"error: {error}")
        return EXIT_USAGE
    except KeyboardInterrupt:
        _tell("interrupted")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        raise
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _tell(f"error: cannot read or write: {where}{error.strerror or error}")
        return EXIT_USAGE
    return EXIT_OK


def _tell(text: str) -> None:
    """Say on standard error what went wrong, after what was printed before it, as far as anybody still reads."""
    from fama_fast.terminal import message

    for stream, line in ((sys.stdout, ""), (sys.stderr, message(text) + "\n")):
        with suppress(OSError):
            stream.write(line)
            stream.flush()
