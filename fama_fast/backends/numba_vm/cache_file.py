"""The files that hold compiled code: one for each function and signature, sealed with a digest.

A file that is cut, altered, of another numba, not the user's own or no file at all is as good as none: its kernel is
compiled anew and written in its place. The digest is checked before anything is unpickled, since damage may also lie
in machine code, which would load and then compute something else.
"""

from __future__ import annotations

import hashlib
import logging
import os
import pickle
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

import llvmlite
import numba
from numba.core.serialize import dumps

from fama_fast.backends.numba_vm.trust import own_file

_LOG = logging.getLogger("fama_fast")
_SEAL = hashlib.sha256().digest_size
# O_NOFOLLOW: what a link leads to may be changed where the link lies in nobody else's reach.
_READ = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
_WRITE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)


class KernelFiles:
    """The compiled forms of one function, in the shape that numba's `Cache` asks for: `load`, `save`, `flush`."""

    def __init__(self, folder: str, name: str, stamp: str) -> None:
        """`name` begins every file's name; `stamp` is the digest of the source the function stands in."""
        self._folder = Path(folder)
        self._name = name
        self._of = (numba.__version__, llvmlite.__version__, stamp)

    def path(self, key: Any) -> Path:
        """The file of one signature, machine and state of the source."""
        which = hashlib.sha256(repr((self._of, key)).encode()).hexdigest()[:16]
        return self._folder / f"{self._name}.{which}.nbc"

    def load(self, key: Any) -> Any:
        """What was saved under `key`, or None where there is nothing sound."""
        path = self.path(key)
        sealed = _read(path)
        if sealed is None:
            return None
        seal, body = sealed[:_SEAL], sealed[_SEAL:]
        if hashlib.sha256(body).digest() != seal:
            _LOG.info("the compiled kernel %s is damaged: it is compiled anew", path)
            return None
        of, saved_key, data = pickle.loads(body)  # noqa: S301  (a file of the user's own, in a folder of the user's own)
        return data if of == self._of and saved_key == key else None

    def save(self, key: Any, data: Any) -> None:
        """Put `data` there whole or not at all.

        Raises:
            OSError: it cannot be written.
        """
        body = dumps((self._of, key, data))
        path = self.path(key)
        temporary = path.with_name(f"{path.name}.tmp.{uuid.uuid4().hex[:16]}")
        try:
            with os.fdopen(os.open(temporary, _WRITE, 0o600), "wb") as file:
                file.write(hashlib.sha256(body).digest() + body)
            if path.is_dir() and not path.is_symlink():
                set_aside(path)
            temporary.replace(path)
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)

    def flush(self) -> None:
        """Forget what was saved. Nothing here asks for it: sources decide what is stale."""


def _read(path: Path) -> bytes | None:
    try:
        with os.fdopen(os.open(path, _READ), "rb") as file:
            if own_file(os.fstat(file.fileno())):
                return file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        _LOG.info("the compiled kernel %s cannot be read (%s): it is compiled anew", path, error.strerror)
        return None
    _LOG.info("the compiled kernel %s is not a file of this user's alone: it is compiled anew", path)
    return None


def set_aside(path: Path) -> None:
    """Give what stands in the way of a file or folder of the cache another name."""
    path.replace(path.with_name(f"{path.name}.aside.{uuid.uuid4().hex[:8]}"))
