"""Who looks at the dates that were held back for the test: user, command and time of this process's looks.

It knows no tables; `ledger` writes them.
"""

from __future__ import annotations

import getpass
import os
import re
import secrets
import shlex
import socket
import sys
from pathlib import Path
from typing import Any

from fama_fast.ledger.records import now, storable

_LONGEST_COMMAND = 1000
_PASSWORD = re.compile(r"(?<=://)[^/@\s]*@")


def look(data_hash: str, why: str, run_id: str | None = None) -> dict[str, Any]:
    """The row of a look that happens now; `why` is what for: verdict, score, report."""
    return {
        "id": secrets.token_hex(16),
        "data_hash": data_hash,
        "run_id": run_id,
        "at": now(),
        "who": storable(f"{_user()}@{socket.gethostname()}"),
        "command": storable(_command()),
        "why": why,
    }


def _user() -> str:
    """The user's name; the number where the system has none, as in a container."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        return str(os.getuid()) if hasattr(os, "getuid") else "unknown"


def _command() -> str:
    """The command line of this process, without what may be a password in an address."""
    program, *rest = sys.argv or ["python"]
    return _PASSWORD.sub("***@", shlex.join([Path(program).name, *rest]))[:_LONGEST_COMMAND]
