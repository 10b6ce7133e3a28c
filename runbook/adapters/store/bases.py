"""What SQLite and PostgreSQL do differently: how one connects, how a writer comes to stand alone, what an error means.

Everything else in this folder is the same SQL on both.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from sqlalchemy import create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DatabaseError, OperationalError

from runbook.errors import StoreBusy, StoreError

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine

_READS = "reads"  # the execution option of a transaction that only looks
_WRITERS = 0x72756E62  # `runb`: the advisory lock that writers of one PostgreSQL database queue for
_WAITED_IN_VAIN = ("55P03", "40001", "40P01")  # lock_not_available, serialization_failure, deadlock_detected


class Base(Protocol):
    """One kind of database. `name` is what messages call it: never with a password."""

    name: str
    engine: Engine

    @property
    def exists(self) -> bool: ...
    def fault(self, exc: DatabaseError) -> StoreError:
        """SQLAlchemy's error as ours: what is busy can be tried again, what is broken must be said."""
        ...


def base_of(place: Path | str, busy_seconds: float) -> Base:
    """The database at `place`: a file of SQLite, or a URL of PostgreSQL; raises StoreError for any other."""
    if isinstance(place, Path):
        return Sqlite(place, busy_seconds)
    try:
        url = make_url(place)
    except ArgumentError:
        url = None
    if url is None or url.drivername != "postgresql+psycopg":
        found = "no database address" if url is None else f"a database of {url.drivername}"
        hint = "accepted: a file of SQLite, or postgresql+psycopg://USER@HOST/DATABASE"
        raise StoreError(f"{found}, which the ledger cannot lie in", hint=hint)
    return Postgres(url, busy_seconds)


class Sqlite:
    """One file on a local disk. Writers hold its lock from their first statement on: none fails half-way for a lock."""

    def __init__(self, path: Path, busy_seconds: float) -> None:
        self.path = path
        self.name = path.name
        self.engine = create_engine(URL.create("sqlite", database=str(path)), connect_args={"timeout": busy_seconds})
        event.listen(self.engine, "connect", _configure)
        event.listen(self.engine, "begin", _begin_sqlite)

    @property
    def exists(self) -> bool:
        return self.path.is_file()

    def fault(self, exc: DatabaseError) -> StoreError:
        if not isinstance(exc, OperationalError):
            hint = "move the file away and start again; a backup lies beside it if an upgrade was made"
            return StoreError(f"{self.name}: {exc.orig}", hint=hint)
        if "locked" in str(exc.orig) or "busy" in str(exc.orig):
            return StoreBusy(f"{self.name} stayed locked by another process")
        hint = f"can {self.path.parent} be written to, and has its disk room?"
        return StoreError(f"{self.name}: {exc.orig}", hint=hint)


class Postgres:
    """One database of a PostgreSQL server. Writers queue for one advisory lock, which the end of the transaction frees.

    A lock of the transaction, not of the session: it cannot stay behind on a pooled connection, and a writer that is
    stopped in mid-transaction loses it after twice the patience of the others, when the server ends its transaction.
    """

    def __init__(self, url: URL, busy_seconds: float) -> None:
        if importlib.util.find_spec("psycopg") is None:
            raise StoreError(
                "the ledger lies in PostgreSQL, and psycopg is not installed",
                hint="pip install 'openalgo-runbook[postgres]'",
            )
        self.name = f"{url.database or url.username} on {url.host or url.query.get('host', 'the local socket')}"
        wait = max(1, int(busy_seconds * 1000))
        settings = {
            "lock_timeout": wait, "idle_in_transaction_session_timeout": 2 * wait, "timezone": "UTC",
            "default_transaction_isolation": r"read\ committed",
        }  # fmt: skip
        options = " ".join(f"-c {key}={value}" for key, value in settings.items())
        arguments = {"options": options, "application_name": "runbook", "connect_timeout": max(2, int(busy_seconds))}
        self.engine = create_engine(url, connect_args=arguments, pool_pre_ping=True)
        event.listen(self.engine, "begin", _begin_postgres)

    @property
    def exists(self) -> bool:
        try:
            self.engine.connect().close()
        except OperationalError:
            return False
        return True

    def fault(self, exc: DatabaseError) -> StoreError:
        if getattr(exc.orig, "sqlstate", None) in _WAITED_IN_VAIN:
            return StoreBusy(
                f"{self.name} stayed locked by another process", hint="see pg_stat_activity; nothing was lost"
            )
        text = " ".join(str(exc.orig).split())
        hint = "does PostgreSQL run, and may this user write to the database?"
        return StoreError(f"{self.name}: {text}", hint=hint if isinstance(exc, OperationalError) else None)


def _configure(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # sqlite3's own BEGIN comes too late: `database is locked` is born there
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    reads = connection.get_execution_options().get(_READS, False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


def _begin_postgres(connection: Connection) -> None:
    if connection.get_execution_options().get(_READS, False):
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
    else:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITERS})")
