"""Parses the address of a cluster: `tcp://host:port` of a running scheduler, or `local:N` for one to be started
here."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from fama_fast.errors import ConfigError, nearest_name

_SCHEMES = ("tcp", "tls", "ws", "wss", "ucx", "local")
_REMOTE = re.compile(r"(tcp|tls|ws|wss|ucx)://(\S+):(\d{1,5})/?\Z")
_LOCAL = re.compile(r"local:(\d+)\Z")
_MOST = 256  # processes of one machine


@dataclass(frozen=True)
class Address:
    """The address of a cluster: either a scheduler's `url`, or the number of `local` workers to start."""

    url: str | None = None
    local: int = 0

    def __str__(self) -> str:
        return self.url or f"local:{self.local}"


def read_address(text: str) -> Address:
    """An address from its text.

    Raises:
        ConfigError: it is neither.
    """
    match = _LOCAL.match(text)
    if match:
        workers = int(match[1])
        if not 1 <= workers <= _MOST:
            here = f"this machine has {os.cpu_count()} cores"
            raise ConfigError(f"cluster {text!r}: local takes 1 to {_MOST} workers ({here})")
        return Address(local=workers)
    match = _REMOTE.match(text)
    if match and 0 < int(match[3]) < 65536:
        return Address(url=text.rstrip("/"))
    near = nearest_name(text.partition(":")[0], _SCHEMES)
    form = {"local": "local:2"}.get(near or "", f"{near or 'tcp'}://127.0.0.1:8786")
    raise ConfigError(
        f"cluster must be local:N or the address of a scheduler, tcp://host:port, not {text!r}; did you mean {form}?"
    )
