"""Writing a file whole or not at all.

The file is written beside its target under a temporary name and moved into place at the end, so a reader
never meets half a result and a failed write leaves what was there before. It imports nothing of the package
but errors and `terminal`.
"""

from __future__ import annotations

import os
import stat
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from fama_fast.errors import OutputError
from fama_fast.terminal import is_text

if TYPE_CHECKING:
    from collections.abc import Iterator


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__


def ensure_writable(path: str | Path) -> Path:
    """`path` as a Path, after proving that a file can be created there; nothing is left behind.

    Call it before a long computation whose result goes to `path`.

    Raises:
        OutputError: the folder is missing or not a folder, `path` is a folder, or the file cannot be created.
    """
    target = Path(path).expanduser()
    folder = target.parent
    if not is_text(target):
        raise OutputError(f"cannot write {target}: the name is not UTF-8 text")
    if not folder.exists():
        raise OutputError(f"cannot write {target}: the folder {folder} does not exist")
    if not folder.is_dir():
        raise OutputError(f"cannot write {target}: {folder} is not a folder")
    if target.is_dir():
        raise OutputError(f"cannot write {target}: it is a folder")
    if target.exists() and not os.access(target, os.W_OK):
        raise OutputError(f"cannot write {target}: the file there is read-only")
    try:
        handle, probe = tempfile.mkstemp(dir=folder, prefix=f".{target.name[:64]}.", suffix=".tmp")
        os.close(handle)
        Path(probe).unlink()
    except OSError as error:
        raise OutputError(f"cannot write {target}: {_reason(error)}") from error
    return target


def _mode_for(target: Path) -> int:
    """Permissions of the finished file: those of the file it replaces, else what `open` would have given."""
    if target.exists():
        return stat.S_IMODE(target.stat().st_mode)
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask


@contextmanager
def atomic_write(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`; move it onto `path` when the block ends well.

    On any exception the temporary file is removed and `path` is as it was.

    Raises:
        OutputError: the file cannot be created, written or moved; the message names `path`.
    """
    target = ensure_writable(path)
    try:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name[:64]}.", suffix=".tmp")
        os.close(handle)
    except OSError as error:
        raise OutputError(f"cannot write {target}: {_reason(error)}") from error
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(_mode_for(target))
        temporary.replace(target)
    except OSError as error:
        raise OutputError(f"cannot write {target}: {_reason(error)}") from error
    finally:
        temporary.unlink(missing_ok=True)
