"""The last line of a `--json` command that fails: one object that says so, whatever it was that failed."""

from __future__ import annotations

import contextlib
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer

from fama_fast.cli import exit_code_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def error_as_json(wanted: bool, run: Callable[[], str]) -> Iterator[None]:
    """Around a command: what it raises is also written to standard output, if wanted, as the event `error`.

    Args:
        run: the id of the run that failed; empty where there is none yet.
    """
    try:
        yield
    except typer.Exit:
        raise
    except BaseException as error:
        if wanted and not isinstance(error, BrokenPipeError):
            from fama_fast.mining.progress_json import error_line

            with contextlib.suppress(OSError):
                print(error_line(run(), error, exit_code_of(error)), flush=True)
        raise
