"""Read-only access to the ledger, enforced by the database itself.

SQLite is opened with `mode=ro`: in its write-ahead log a reader sees the last committed round and never makes a writer
wait. PostgreSQL transactions are READ ONLY. A store of an older layout is refused, not brought up to date: that is a
write, and another program's to decide.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from fama_fast.errors import StoreError
from fama_fast.ledger import schema
from fama_fast.ledger.ledger import Ledger
from fama_fast.ledger.store import check_file

if TYPE_CHECKING:
    from collections.abc import Iterator

WAIT_SECONDS = 5  # for a lock: only a database without a write-ahead log makes a reader wait


class ReadOnlyLedger(Ledger):
    """A ledger that can be read only. Use `open`; every question is one short transaction of its own."""

    @classmethod
    def open(cls, place: str | Path, *, create: bool = False) -> Self:
        """The ledger at a file path or SQLAlchemy URL.

        Raises:
            StoreError: it is missing, empty, damaged, of another layout or not a ledger, or cannot be reached.
        """
        if create:
            raise StoreError("a ledger that is only read cannot be made")
        text = str(place)
        if "://" not in text:
            return cls._of_file(Path(text).expanduser())
        try:
            url = sa.make_url(text)
        except SQLAlchemyError as error:
            raise StoreError(f"ledger: {text.partition('://')[0]}://...: this is not a database URL") from error
        if url.get_backend_name() == "sqlite":
            return cls._of_file(Path(url.database or "").expanduser())
        return cls._of_server(url)

    @classmethod
    def _of_file(cls, path: Path) -> Self:
        check_file(path, create=False)
        file = path.absolute()
        engine = sa.create_engine("sqlite://", creator=lambda: _connected(file), poolclass=NullPool)
        sa.event.listen(engine, "begin", lambda c: c.exec_driver_sql("BEGIN"))
        return cls._checked(cls(engine, str(path), file))

    @classmethod
    def _of_server(cls, url: sa.URL) -> Self:
        if url.drivername in ("postgresql", "postgres"):
            url = url.set(drivername="postgresql+psycopg")
        shown = url.render_as_string(hide_password=True)
        try:
            engine = sa.create_engine(
                url,
                poolclass=NullPool,
                isolation_level="REPEATABLE READ",  # one snapshot for the questions of one transaction
                execution_options={"postgresql_readonly": True},
            )
        except (SQLAlchemyError, ImportError) as error:
            hint = ": install fama_fast[postgres]" if "psycopg" in str(error) else ""
            raise StoreError(f"ledger {shown}: {str(error).splitlines()[0][:300]}{hint}") from error
        return cls._checked(cls(engine, shown))

    @classmethod
    def _checked(cls, store: Self) -> Self:
        version = store.layout()
        if version is None:
            raise StoreError(f"ledger {store.place}: this is a database of something else, not a fama_fast ledger")
        if version > schema.SCHEMA_VERSION:
            raise StoreError(
                f"ledger {store.place}: its layout is version {version}, this program knows up to version "
                f"{schema.SCHEMA_VERSION}: use the program that wrote it or a later one"
            )
        if version < schema.SCHEMA_VERSION:
            raise StoreError(
                f"ledger {store.place}: its layout is version {version}, and reading it needs version "
                f"{schema.SCHEMA_VERSION}: 'fama-fast runs list --ledger ...' brings it up to date"
            )
        return store

    def layout(self) -> int | None:
        """The version of the database's layout; None when it is no ledger.

        Raises:
            StoreError: there is no table in it, or some are missing.
        """
        with self.transaction() as c:
            tables = set(sa.inspect(c).get_table_names())
            if not tables:
                raise StoreError(f"ledger {self.place}: the database is empty, no run was ever recorded in it")
            if "meta" not in tables:
                return None
            columns = {column["name"] for column in sa.inspect(c).get_columns("meta")}
            if not {"key", "value"} <= columns:
                return None
            meta = {str(k): str(v) for k, v in c.execute(sa.select(schema.meta.c.key, schema.meta.c.value))}
        if meta.get("name") != schema.SCHEMA_NAME or not meta.get("version", "").isdigit():
            return None
        missing = set(schema.metadata.tables) - tables
        if missing and int(meta["version"]) == schema.SCHEMA_VERSION:
            raise StoreError(f"ledger {self.place}: damaged, the tables {', '.join(sorted(missing))} are missing")
        return int(meta["version"])

    @contextmanager
    def transaction(self, *, write: bool = False) -> Iterator[sa.Connection]:
        """A transaction that reads.

        Raises:
            StoreError: asked to write, or the database fails.
        """
        if write:
            raise StoreError(f"ledger {self.place}: it was opened for reading only")
        with super().transaction() as c:
            yield c


def _connected(file: Path) -> sqlite3.Connection:
    """A connection that cannot write.

    A folder in which nothing can be made holds no write-ahead log either: nobody is writing, so the file may be read
    as one that never changes.
    """
    log = file.with_name(file.name + "-wal")
    still = not os.access(file.parent, os.W_OK) and not log.exists()
    uri = f"file:{quote(str(file))}?mode=ro{'&immutable=1' if still else ''}"
    return sqlite3.connect(uri, uri=True, timeout=WAIT_SECONDS, isolation_level=None)
