"""Errors of a `--json` command as one JSON object on the last line.

`mine` ends with an event `error`, every other command with `{"error": {...}}`: `kind`, `message`, `exit_code` and what
else is known, such as the `duplicates` in data.
"""

from __future__ import annotations

import contextlib
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer

from fama_fast.errors import EXIT_BROKEN_PIPE, EXIT_INTERRUPTED

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def error_object(error: BaseException, exit_code: int) -> dict[str, Any]:
    """The JSON object that a command other than `mine` prints when it fails."""
    from fama_fast.errors import FamaError

    if isinstance(error, FamaError):
        known = error.as_dict()
    else:
        said = getattr(error, "format_message", None)  # of a wrong use, as the command line's library words it
        text = said() if said is not None else str(error)
        known = {"kind": type(error).__name__, "message": text or type(error).__name__}
    return {"error": {**known, "exit_code": exit_code}}


@contextmanager
def error_as_json(wanted: bool, run: Callable[[], str]) -> Iterator[None]:
    """Context around a command that, if wanted, also writes its error to standard output as the event `error`.

    Args:
        run: the id of the run that failed; empty where there is none yet.
    """
    try:
        yield
    except typer.Exit:
        raise
    except BaseException as error:
        if wanted and not isinstance(error, BrokenPipeError):
            from fama_fast.mining.progress.json_lines import error_line

            with contextlib.suppress(OSError):
                print(error_line(run(), error, exit_code_of(error)), flush=True)
        raise


def exit_code_of(error: BaseException) -> int:
    """The exit code of a command that raised this."""
    from fama_fast.errors import EXIT_USAGE

    if isinstance(error, KeyboardInterrupt):
        return EXIT_INTERRUPTED
    return EXIT_BROKEN_PIPE if isinstance(error, BrokenPipeError) else EXIT_USAGE
