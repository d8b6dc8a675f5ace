"""Tells which process works on a run, and whether that process still exists.

A run that is killed cannot say so. On the machine that it ran on the process table is asked; from elsewhere (a ledger
on a server, a folder that machines or containers share) a run counts as lost when its process has not been heard of for
a while (`Heartbeat`). It knows no ledger tables.
"""

from __future__ import annotations

import contextlib
import functools
import os
import socket
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, Self

from fama_fast.errors import FamaError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

BEAT_SECONDS = 60.0
SILENT_SECONDS = 600.0  # without a sign of life: many beats, and clocks of machines that differ by minutes

RUNNING, FINISHED, INTERRUPTED, FAILED = "running", "finished", "interrupted", "failed"
LOST = "lost"  # its process is gone and said nothing: killed, or the machine stopped
UNFINISHED = "unfinished"  # begun by a version that did not record its process


def this_process() -> dict[str, Any]:
    """Text that identifies this process among all others: host, boot, process ids' namespace, id, and when it began."""
    pid = os.getpid()
    return {"host": socket.gethostname(), "pid": pid, **_machine(pid), "began": _began(pid) or ""}


@functools.lru_cache(maxsize=4)
def _machine(_pid: int) -> dict[str, str]:
    """Boot id and namespace of this machine; empty where there is no /proc."""
    boot = namespace = ""
    with contextlib.suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        namespace = str(Path("/proc/self/ns/pid").readlink())
    return {"boot": boot, "namespace": namespace}


def _began(pid: int) -> str | None:
    """The time at which a process began, in clock ticks since the boot; None when it is gone (or ended and was not
    waited for), "" where there is no /proc."""
    if not Path("/proc/self/stat").exists():
        return ""
    try:
        # The name of the program stands in brackets and may hold anything, brackets too.
        state, *rest = (
            Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        )
    except (OSError, ValueError):
        return None
    return None if state in "ZX" else rest[18]


def is_gone(owner: Mapping[str, Any], seen_at: str | None) -> bool:
    """Whether the process that `this_process` described has ended.

    Args:
        owner: its description. seen_at: when it was last heard of, UTC.
    """
    here = this_process()
    if all(owner.get(key) == here[key] for key in ("host", "boot", "namespace")):
        began = _began(int(owner["pid"]))
        if here["boot"]:
            return bool(began != owner["began"])
        if sys.platform != "win32" and not _is_there(int(owner["pid"])):
            return True
    heard = None if seen_at is None else datetime.fromisoformat(seen_at)
    return heard is None or (datetime.now(UTC) - heard).total_seconds() > SILENT_SECONDS


def _is_there(pid: int) -> bool:
    """Whether a process of this id exists, where the system has no /proc. Not for Windows, where it would end it."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:  # another user's
        return True
    return True


class Owned(Protocol):
    """The columns of `runs` about a run's process."""

    @property
    def status(self) -> str: ...
    @property
    def owner(self) -> dict[str, Any] | None: ...
    @property
    def seen_at(self) -> str | None: ...
    @property
    def reason(self) -> str | None: ...
    @property
    def version(self) -> str: ...


def status_now(run: Owned) -> str:
    """The status of a run: as recorded, but `lost` or `unfinished` in place of a `running` whose process is gone."""
    if run.status != RUNNING:
        return run.status
    if run.owner is None:
        return UNFINISHED
    return LOST if is_gone(run.owner, run.seen_at) else RUNNING


def why(run: Owned) -> str:
    """The reason, in words, why an unfinished run is not going on; empty for others."""
    now = status_now(run)
    if now == LOST:
        return f"{owner_text(run.owner)} ended without a word"
    if now == UNFINISHED:
        return f"begun by version {run.version}, which did not record its process"
    return run.reason or ""


def in_words(error: BaseException) -> str:
    """An error on one line: the message of this package's own errors, with the kind before it of any other."""
    text = (str(error).strip() or "no message").splitlines()[0][:500]
    return text if isinstance(error, FamaError) else f"{type(error).__name__}: {text}"


def owner_text(owner: Mapping[str, Any] | None) -> str:
    """A process description for messages."""
    return "its process" if owner is None else f"process {owner.get('pid')} on {owner.get('host')}"


class Heartbeat:
    """While the block runs, calls `beat` every minute from a thread that never holds the process up.

    What `beat` raises is passed over: a ledger that cannot be reached will be met by the run itself.
    """

    def __init__(self, beat: Callable[[], None], seconds: float = BEAT_SECONDS) -> None:
        self._beat, self._seconds = beat, seconds
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._go_on, name="fama-fast heartbeat", daemon=True)

    def _go_on(self) -> None:
        while not self._over.wait(self._seconds):
            with contextlib.suppress(Exception):
                self._beat()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()  # it is not waited for: a beat may hang with its database
