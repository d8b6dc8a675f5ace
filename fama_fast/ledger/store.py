"""An open database with the ledger's tables: connections, transactions, layout versions, clear errors.

SQLite (write-ahead log, writers wait for each other) by a file's path, PostgreSQL by URL. A database that is
newer, foreign, damaged or gone is refused by name, with what to do; an older one is brought up to date. What
the tables mean is `ledger`'s and `lineage`'s business.
"""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from fama_fast.errors import StoreError
from fama_fast.ledger import schema
from fama_fast.ledger.migrations import MIGRATIONS
from fama_fast.terminal import is_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

BUSY_SECONDS = 60  # how long a writer waits for another one
_WRITES = "fama_writes"
_RESTORE = "; put a copy of it back, or name another with --ledger"
# What reading a value or a document that is not as it was written ends in. Faults of this program among them are told
# with their cause.
NOT_UNDERSTOOD = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)


class Store:
    """An open database. Use `open`; close it or use it as a context manager."""

    def __init__(self, engine: sa.Engine, place: str, file: Path | None = None) -> None:
        """`place` is what messages call it; `file` the SQLite file, None on a server."""
        self._engine = engine
        self.place = place
        self._file = file

    @classmethod
    def open(cls, place: str | Path, *, create: bool = True) -> Self:
        """The store at a file path or SQLAlchemy URL; made when absent and `create`.

        Raises:
            StoreError: missing (without `create`), unwritable, corrupt, another program's database, one of a
                later layout, or a server that cannot be reached.
        """
        url, shown = _url(str(place))
        file = None
        if url.get_backend_name() == "sqlite":
            if url.database in (None, "", ":memory:"):
                raise StoreError(f"ledger {shown}: a database in memory would not outlive the run: name a file")
            file = Path(str(url.database)).expanduser().absolute()
            check_file(Path(str(url.database)), create=create)
        try:
            engine = _sqlite_engine(file) if file else sa.create_engine(url, poolclass=NullPool)
        except (SQLAlchemyError, ImportError) as error:
            raise StoreError(f"ledger {shown}: {_first_line(error)}{_driver_hint(error)}") from error
        store = cls(engine, shown, file)
        store._prepare(create=create)
        return store

    def close(self) -> None:
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def transaction(self, *, write: bool = False) -> Iterator[sa.Connection]:
        """A transaction; one that writes waits for its turn before it reads."""
        try:
            with self._engine.connect() as bare:
                connection = bare.execution_options(**{_WRITES: write})
                with connection.begin():
                    yield connection
        except SQLAlchemyError as error:
            if self._file is not None and not self._file.exists():
                raise StoreError(f"ledger {self.place}: the file has gone since the run began") from error
            raise StoreError(f"ledger {self.place}: {_first_line(error)}{_advice(error)}") from error
        except NOT_UNDERSTOOD as error:
            raise _damaged(self.place, "what stands in it", error) from error

    # Layout

    def _prepare(self, *, create: bool) -> None:
        if not self._tables():
            if not create:
                raise StoreError(f"ledger {self.place}: the database is empty, no run was ever recorded in it")
            if self._create():
                return
        version = self._version()
        if version > schema.SCHEMA_VERSION:
            raise StoreError(
                f"ledger {self.place}: its layout is version {version}, this program knows up to version "
                f"{schema.SCHEMA_VERSION}: use the program that wrote it or a later one, or another ledger"
            )
        if version < schema.SCHEMA_VERSION:
            self._migrate()
        missing = set(schema.metadata.tables) - self._tables()
        if missing:
            raise StoreError(f"ledger {self.place}: damaged, the tables {', '.join(sorted(missing))} are missing")

    def _tables(self) -> set[str]:
        with self.transaction() as c:
            return set(sa.inspect(c).get_table_names())

    def _version(self) -> int:
        meta: dict[str, str] = {}
        if "meta" in self._tables():
            try:
                with self.transaction() as c:
                    meta = _meta(c)
            except StoreError:
                meta = {}  # another program's table of that name
        if meta.get("name") != schema.SCHEMA_NAME or not meta.get("version", "").isdigit():
            raise StoreError(f"ledger {self.place}: this is a database of something else, not a fama_fast ledger")
        return int(meta["version"])

    def _migrate(self) -> None:
        """All steps from the database's version to today's, in one transaction."""
        with self.transaction(write=True) as c:
            if c.dialect.name == "postgresql":
                c.exec_driver_sql("LOCK TABLE meta IN ACCESS EXCLUSIVE MODE")
            # Another process may have been quicker while this one waited for its turn.
            version = int(_meta(c)["version"])
            for step in MIGRATIONS:
                if step.to > version:
                    step.apply(c)
            table = schema.meta
            c.execute(table.update().where(table.c.key == "version").values(value=str(schema.SCHEMA_VERSION)))

    def _create(self) -> bool:
        """Create the tables; False when another process was quicker."""
        if self._file is not None:
            _write_ahead(self._file, self.place)
        entries = [
            {"key": "name", "value": schema.SCHEMA_NAME},
            {"key": "version", "value": str(schema.SCHEMA_VERSION)},
        ]
        try:
            with self.transaction(write=True) as c:
                if sa.inspect(c).has_table("meta"):
                    return False
                schema.metadata.create_all(c)
                c.execute(schema.meta.insert(), entries)
        except StoreError:
            # On a server two processes may both have seen an empty database; one of them made the tables.
            if "meta" not in self._tables():
                raise
            return False
        return True


@contextmanager
def understood(place: str | Callable[[], str], what: str) -> Iterator[None]:
    """Context in which documents of a store are read: one of another shape than this program writes is damage.

    Args:
        place: what messages call the store. what: what is read.

    Raises:
        StoreError: something is.
    """
    try:
        yield
    except NOT_UNDERSTOOD as error:
        raise _damaged(place if isinstance(place, str) else place(), what, error) from error


def _damaged(place: str, what: str, error: BaseException) -> StoreError:
    why = f"{type(error).__name__}: {_first_line(error)}"
    return StoreError(f"ledger {place}: damaged: {what} cannot be understood ({why}){_RESTORE}")


def _url(text: str) -> tuple[sa.URL, str]:
    """The database's URL, and its text for messages, without a password."""
    if "://" not in text:
        return sa.URL.create("sqlite", database=text), text
    try:
        url = sa.make_url(text)
    except SQLAlchemyError as error:
        raise StoreError(f"ledger: {text.partition('://')[0]}://...: this is not a database URL") from error
    if url.drivername in ("postgresql", "postgres"):
        url = url.set(drivername="postgresql+psycopg")
    return url, url.render_as_string(hide_password=True)


def _sqlite_engine(file: Path) -> sa.Engine:
    """Engine of a file that exists already: one that has gone is an error, never an empty database."""
    uri = f"file:{quote(str(file))}?mode=rw"

    def connect() -> sqlite3.Connection:
        # Transactions are begun below; the module's own way begins none before CREATE TABLE.
        c = sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None)
        c.execute("PRAGMA foreign_keys=ON")
        c.execute("PRAGMA synchronous=FULL")  # a committed round survives the machine, not only the process
        return c

    engine = sa.create_engine("sqlite://", creator=connect, poolclass=NullPool)

    def begin(c: Any) -> None:
        # A transaction that reads first and writes later cannot wait for another writer: it would have read
        # what that one changes.
        c.exec_driver_sql("BEGIN IMMEDIATE" if c.get_execution_options().get(_WRITES) else "BEGIN")

    sa.event.listen(engine, "begin", begin)
    return engine


def _write_ahead(file: Path, place: str) -> None:
    """Switch SQLite to its write-ahead log, so that readers and a writer work at once. The change takes the file alone,
    so it is tried again for a while."""
    for _ in range(100):
        try:
            with closing(sqlite3.connect(file, timeout=BUSY_SECONDS)) as c:
                c.execute("PRAGMA journal_mode=WAL")
                return
        except sqlite3.Error as error:
            if "locked" not in str(error):
                raise StoreError(f"ledger {place}: {error}{_advice(error)}") from error
            time.sleep(0.05)
    raise StoreError(f"ledger {place}: the file is locked by another program")


def _meta(c: sa.Connection) -> dict[str, str]:
    return {str(k): str(v) for k, v in c.execute(sa.select(schema.meta.c.key, schema.meta.c.value))}


def _first_line(error: BaseException) -> str:
    original = getattr(error, "orig", None) or error
    return (str(original).strip() or type(original).__name__).splitlines()[0][:300]


def _driver_hint(error: BaseException) -> str:
    return ": install fama_fast[postgres]" if "psycopg" in str(error) else ""


def _advice(error: BaseException) -> str:
    text = str(error).casefold()
    if "disk is full" in text or "disk i/o error" in text or "no space left" in text:
        return " (is the disk full, or a quota reached?)"
    if "malformed" in text or "not a database" in text or "could not decode" in text:
        return _RESTORE
    return ""


def check_file(path: Path, *, create: bool) -> None:
    """Check that there is a file at `path`; it is made when absent and `create`.

    Raises:
        StoreError: there is none, or a folder, or it cannot be made.
    """
    if not is_text(path):
        raise StoreError(f"ledger {path}: the name is not UTF-8 text")
    if path.is_dir():
        raise StoreError(f"ledger {path}: it is a folder, not a file")
    if path.exists():
        return
    if not create:
        raise StoreError(f"ledger {path}: there is no such file; 'fama-fast mine' makes it")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError as error:
        what = "make it" if path.parent.is_dir() else "make its folder"
        raise StoreError(f"ledger {path}: cannot {what}: {error.strerror or error}") from error
