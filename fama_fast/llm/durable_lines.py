"""Appends lines to a file so that they are on disk when the call returns, also where several processes append at once.

A line is appended whole and synced; a half line that a killed run left at the end is cleared away first.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def append_line(path: Path, line: bytes) -> None:
    """Append a line (with its end) to a file, which is made where it is missing; on disk when this returns.

    Raises:
        OSError: it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    new = not path.exists()
    with path.open("a+b") as file, _locked(file):
        file.seek(0, os.SEEK_END)
        torn = False
        if file.tell():
            file.seek(-1, os.SEEK_END)
            torn = file.read(1) != b"\n"
        if torn:  # the half line of a killed run must not swallow this one
            _drop_half_line(file)
        file.write(line)
        file.flush()
        os.fsync(file.fileno())
    if new:
        _sync_folder(path.parent)


def _drop_half_line(file: Any) -> None:
    file.seek(0)
    complete = file.read().rfind(b"\n") + 1
    file.truncate(complete)


def _sync_folder(folder: Path) -> None:
    """Sync a folder to disk so that a new file's name is durable, where the system can."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def _locked(file: Any) -> Iterator[None]:
    """Lock the file against other processes; where the system has no such locks, one process a log."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    fcntl.flock(file.fileno(), fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(file.fileno(), fcntl.LOCK_UN)
