"""The `fama-fast` command: runs a sub-command, and turns expected errors into one message and an exit code.

Exit codes: 0 done, 1 finished but nothing met the bar, 2 wrong use or bad input, 130 interrupted. An error
that is none of the package's own keeps its traceback (and the exit code 2): it is a fault of this program and must not
be dressed up as the user's.
"""

from __future__ import annotations

import signal
import sys
import traceback
import warnings
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from fama_fast.cli.json_errors import exit_code_of
from fama_fast.errors import EXIT_BROKEN_PIPE

if TYPE_CHECKING:
    from collections.abc import Sequence


def command() -> NoReturn:
    """Run `main` as a whole process, which ends with its exit code."""
    from fama_fast.cli.signals import never_lost

    _warn_in_words()
    with never_lost():
        code = main()
    # While it ends, Python puts the default handler back, by which a late Ctrl-C would kill what had ended well.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    sys.exit(code)


def _warn_in_words() -> None:
    """Show warnings of this package as notes, without the line of code that raised them."""
    package, others = Path(__file__).resolve().parent.parent, warnings.showwarning

    def show(
        message: Warning | str, category: Any, filename: str, lineno: int, file: Any = None, line: str | None = None
    ) -> None:
        if file is None and package in Path(filename).resolve().parents:
            _print_failure(f"warning: {message}")
        else:
            others(message, category, filename, lineno, file, line)

    warnings.showwarning = show


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
            _print_failure(f"error: cannot write what is printed: {failed.strerror or failed}")
            return EXIT_USAGE
        return code


def _outcome(argv: Sequence[str] | None) -> int:
    """The exit code of a command, after printing what stopped it."""
    from fama_fast.cli.app import command_line
    from fama_fast.errors import EXIT_OK, EXIT_USAGE, FamaError
    from fama_fast.terminal import wrapped

    arguments = sys.argv[1:] if argv is None else list(argv)
    try:
        command_line()(args=arguments, prog_name="fama-fast")
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else EXIT_OK if stop.code is None else EXIT_USAGE
        if code == EXIT_USAGE and stop.__context__ is not None and arguments[:1] == ["mine"] and "--json" in arguments:
            from fama_fast.mining.progress.json_lines import error_line

            print(error_line("", stop.__context__, code), flush=True)
        elif code == EXIT_USAGE and stop.__context__ is not None and hasattr(stop.__context__, "format_message"):
            _show_error(arguments, stop.__context__)  # wrong use
        return code
    except BrokenPipeError:
        raise
    except (FamaError, KeyboardInterrupt, OSError) as error:
        _print_failure(wrapped(_in_words(error), sys.stderr))
        _show_error(arguments, error)
        return exit_code_of(error)
    except Exception as error:  # noqa: BLE001  (whatever it is: 1 would say that a search found nothing)
        _print_failure(traceback.format_exc().rstrip())
        _show_error(arguments, error)
        return exit_code_of(error)
    return EXIT_OK


def _show_error(given: Sequence[str], error: BaseException) -> None:
    """Print an error for machines on standard output: `{"error": ...}`. `mine` has its own last line."""
    if "--json" not in given or given[:1] == ["mine"]:
        return
    from fama_fast.cli.json_errors import error_object
    from fama_fast.terminal import say_json

    with suppress(OSError):
        say_json(error_object(error, exit_code_of(error)))


def _in_words(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "interrupted"
    text = str(error)
    if isinstance(error, OSError):
        why = error.strerror or str(error) or type(error).__name__
        text = f"cannot read or write: {f'{error.filename}: ' if error.filename else ''}{why}"
    return "\n  ".join([f"error: {text}", *getattr(error, "__notes__", ())])


def _print_failure(text: str) -> None:
    """Print on standard error what went wrong, after what was printed before it, as far as the pipe is still read."""
    from fama_fast.terminal import message

    for stream, line in ((sys.stdout, ""), (sys.stderr, message(text) + "\n")):
        with suppress(OSError):
            stream.write(line)
            stream.flush()
