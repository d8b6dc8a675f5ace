"""Lets one writer at a time into a store, by an advisory lock that the operating system drops when its holder dies.

The lock file says who holds it, for the message to the other writer. On a file system that does not honour such locks
the commit itself still lets one writer through only (`manifest.commit`).
"""

from __future__ import annotations

import datetime as dt
import json
import os
import socket
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from fama_fast.errors import OutputError, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def writer_lock(root: Path) -> Iterator[None]:
    """Hold the store for writing.

    Raises:
        StoreError: another process holds it; it is named. OutputError: the lock file cannot be made.
    """
    path = root / "writer.lock"
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}") from error
    try:
        if not _take(handle):
            raise StoreError(f"{root} is being written by {_owner(handle)}: wait for it to end, nothing was done")
        started = dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
        text = json.dumps({"process": os.getpid(), "host": socket.gethostname(), "since": started})
        os.ftruncate(handle, 0)
        os.lseek(handle, 0, os.SEEK_SET)
        os.write(handle, text.encode())
        yield
        os.ftruncate(handle, 0)
    finally:
        os.close(handle)


def _take(handle: int) -> bool:
    if sys.platform == "win32":
        return True  # the commit keeps writers apart
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _owner(handle: int) -> str:
    try:
        os.lseek(handle, 0, os.SEEK_SET)
        owner = json.loads(os.read(handle, 4096))
        return f"process {owner['process']} on {owner['host']} since {owner['since']}"
    except (ValueError, KeyError, TypeError):
        return "another process"
