"""A PostgreSQL server of the tests' own: in a temporary folder, reached through a socket there, gone afterwards."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from pathlib import Path


def binaries() -> Path | None:
    """The folder of initdb and pg_ctl: from the search path, or where Debian puts them; None without a server."""
    found = shutil.which("initdb")
    places = [Path(found).parent] if found else []
    places += [p.parent for p in sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)]
    return next((p for p in places if (p / "pg_ctl").exists()), None)


class Server:
    """Start, stop and start again. The server refuses to run as root, so root lends it another user."""

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        self.folder = Path(tempfile.mkdtemp(prefix="pg-"))  # short: a socket's path is at most 107 characters
        self._as: list[str] = []
        if os.geteuid() == 0:
            user = next(u for u in ("postgres", "nobody") if _exists(u))
            shutil.chown(self.folder, user)
            self._as = ["runuser", "-u", user, "--"]
        self._data = self.folder / "data"
        self._do("initdb", "-D", str(self._data), "-U", "tester", "-A", "trust", "--no-sync", "-E", "UTF8")

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://tester@/{database}?host={self.folder}"

    def start(self) -> None:
        options = f"-c listen_addresses='' -c unix_socket_directories='{self.folder}' -c fsync=off"
        self._do("pg_ctl", "-D", str(self._data), "-w", "-l", str(self.folder / "log"), "-o", options, "start")

    def stop(self) -> None:
        self._do("pg_ctl", "-D", str(self._data), "-w", "-m", "immediate", "stop")

    def create(self, database: str) -> str:
        """A new empty database; its URL."""
        import psycopg

        with psycopg.connect(self.url(), autocommit=True) as c:
            c.execute(psycopg.sql.SQL("CREATE DATABASE {}").format(psycopg.sql.Identifier(database)))
        return self.url(database)

    def remove(self) -> None:
        if (self._data / "postmaster.pid").exists():
            self.stop()
        shutil.rmtree(self.folder)

    def _do(self, program: str, *arguments: str) -> None:
        # Output goes to a file: a server that inherits a pipe would keep its reader waiting.
        with (self.folder / "commands").open("a+", encoding="utf-8") as log:
            command = [*self._as, str(self._programs / program), *arguments]
            done = subprocess.run(command, stdout=log, stderr=log, cwd=self.folder, check=False)
            log.seek(0)
            assert done.returncode == 0, f"{program}: {log.read()}"


def _exists(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True
