"""The only door to SQLAlchemy and Alembic: the ledger in one SQLite file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import create_engine, event, inspect, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DatabaseError, OperationalError

from runbook.adapters.store.alerts import Alerts
from runbook.adapters.store.calendars import Calendars
from runbook.adapters.store.desk import DeskBook
from runbook.adapters.store.feedlog import FeedLog
from runbook.adapters.store.ledger import Ledger
from runbook.adapters.store.milestones import Milestones
from runbook.adapters.store.schema import HEAD, metadata
from runbook.errors import StoreBusy, StoreError, StoreNewer

if TYPE_CHECKING:
    from sqlalchemy import Connection

BUSY_SECONDS = 15  # longer than a backup or a database browser holds the file
_MIGRATIONS = Path(__file__).parent / "migrations"


class Books:
    """The books of the ledger within one transaction; `write` commits them together or not at all."""

    def __init__(self, connection: Connection) -> None:
        self.ledger = Ledger(connection)
        self.alerts = Alerts(connection)
        self.feed = FeedLog(connection)
        self.calendars = Calendars(connection)
        self.desk = DeskBook(connection)
        self.milestones = Milestones(connection)


class Store:
    """One SQLite file. Writers hold the write lock from their first statement: no transaction fails half-way for a lock."""

    def __init__(self, path: Path, *, busy_seconds: float = BUSY_SECONDS) -> None:
        self.path = path
        self._engine = create_engine(URL.create("sqlite", database=str(path)), connect_args={"timeout": busy_seconds})
        event.listen(self._engine, "connect", _configure)
        event.listen(self._engine, "begin", _begin)

    @property
    def exists(self) -> bool:
        return self.path.is_file()

    @contextmanager
    def write(self) -> Iterator[Books]:
        """A transaction that holds the write lock; raises StoreBusy when another process kept it too long."""
        with _named(self.path), self._engine.begin() as connection:
            yield Books(connection)

    @contextmanager
    def read(self) -> Iterator[Books]:
        """A consistent view that never waits for a writer."""
        with _named(self.path), self._engine.connect().execution_options(reads=True) as connection, connection.begin():
            yield Books(connection)

    def version(self) -> str | None:
        """The migration the file stands on; None for a file without tables. Loads nothing heavy."""
        with self._engine.connect().execution_options(reads=True) as connection, connection.begin():
            if not inspect(connection).has_table("alembic_version"):
                return None
            found: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
            return found

    def check(self) -> None:
        """Refuse a file that this runbook cannot read; for commands that only look."""
        with _named(self.path):
            held = self.version()
        if held != HEAD:
            if held is not None and held > HEAD:
                raise StoreNewer(f"{self.path.name} is of version {held}, this runbook knows {HEAD}")
            raise StoreError(f"{self.path.name} has no tables of this version yet", hint="start `runbook serve` once")

    def migrate(self) -> None:
        """Bring the file to this version; an older one is copied beside itself first, a newer one is refused."""
        from alembic import command
        from alembic.config import Config

        self.path.parent.mkdir(parents=True, exist_ok=True)
        with _named(self.path):
            held = self.version()
            if held == HEAD:
                return
            if held is not None and held > HEAD:
                raise StoreNewer(f"{self.path.name} is of version {held}, this runbook knows {HEAD}")
            if held is None and (tables := self._tables()):
                found = f"{self.path.name} is a database of another program (it has a table {tables[0]!r})"
                raise StoreError(found, hint="give runbook a `database:` of its own")
            if held is not None:
                self.backup(self.path.with_suffix(f".before-{HEAD}.db"))
            config = Config()
            config.set_main_option("script_location", str(_MIGRATIONS))
            with self._engine.begin() as connection:
                config.attributes["connection"] = connection
                command.upgrade(config, "head")

    def _tables(self) -> list[str]:
        with self._engine.connect().execution_options(reads=True) as connection, connection.begin():
            return sorted(inspect(connection).get_table_names())

    def backup(self, target: Path) -> None:
        """A consistent copy by SQLite's own online backup, while others read and write."""
        with closing(sqlite3.connect(self.path)) as source, closing(sqlite3.connect(target)) as copy:
            source.backup(copy)

    def differences(self) -> list[Any]:
        """Where the file's tables differ from the code's; empty after `migrate`."""
        from alembic.autogenerate import compare_metadata
        from alembic.migration import MigrationContext

        with self._engine.connect().execution_options(reads=True) as connection:
            return list(compare_metadata(MigrationContext.configure(connection), metadata))

    def pragmas(self) -> dict[str, Any]:
        """What makes a commit durable, as the file really has it."""
        names = ("journal_mode", "synchronous", "busy_timeout", "foreign_keys")
        with self._engine.connect().execution_options(reads=True) as connection:
            return {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in names}

    def close(self) -> None:
        self._engine.dispose()


def _configure(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # sqlite3's own BEGIN comes too late: `database is locked` is born there
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin(connection: Connection) -> None:
    reads = connection.get_execution_options().get("reads", False)
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """SQLAlchemy's errors as ours: what is busy can be tried again, what is broken must be said."""
    try:
        yield
    except OperationalError as exc:
        if "locked" in str(exc.orig) or "busy" in str(exc.orig):
            raise StoreBusy(f"{path.name} stayed locked by another process") from exc
        hint = f"can {path.parent} be written to, and has its disk room?"
        raise StoreError(f"{path.name}: {exc.orig}", hint=hint) from exc
    except DatabaseError as exc:
        hint = "move the file away and start again; a backup lies beside it if an upgrade was made"
        raise StoreError(f"{path.name}: {exc.orig}", hint=hint) from exc
