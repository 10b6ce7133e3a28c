"""The only door to SQLAlchemy and Alembic: the ledger, in a file of SQLite or a database of PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import inspect, select, text
from sqlalchemy.exc import DatabaseError

from runbook.adapters.store.actions import Actions
from runbook.adapters.store.alerts import Alerts
from runbook.adapters.store.asks import Asks, Pauses
from runbook.adapters.store.bases import Sqlite, base_of
from runbook.adapters.store.calendars import Calendars
from runbook.adapters.store.copies import Proof, copy, lost_between, measure, prove, prune, refuse_unfit, restore
from runbook.adapters.store.desk import DeskBook
from runbook.adapters.store.feedlog import FeedLog
from runbook.adapters.store.fence import newest
from runbook.adapters.store.ledger import Ledger
from runbook.adapters.store.milestones import Milestones
from runbook.adapters.store.repeats import Repeats
from runbook.adapters.store.schema import HEAD, metadata
from runbook.adapters.store.silences import Silences
from runbook.errors import LeaseLost, StoreError, StoreNewer

if TYPE_CHECKING:
    from sqlalchemy import Connection

BUSY_SECONDS = 15  # longer than a backup or a database browser holds the file
_NEWEST = select(newest())
_MIGRATIONS = Path(__file__).parent / "migrations"


class Books:
    """The books of the ledger within one transaction; `write` commits them together or not at all."""

    def __init__(self, connection: Connection) -> None:
        self.ledger = Ledger(connection)
        self.alerts = Alerts(connection)
        self.feed = FeedLog(connection)
        self.calendars = Calendars(connection)
        self.desk = DeskBook(connection)
        self.actions = Actions(connection)
        self.milestones = Milestones(connection)
        self.repeats = Repeats(connection)
        self.asks = Asks(connection)
        self.pauses = Pauses(connection)
        self.silences = Silences(connection)


class Store:
    """The ledger at `place`: a file of SQLite, or a URL of PostgreSQL. One writer at a time, and it waits at its beginning.

    `epoch` is that of the daemon which writes through this store, from the moment it has the lease: once another has
    taken the lease after it, each `write` raises LeaseLost and changes nothing. None (the command line) is not held back.
    """

    def __init__(self, place: Path | str, *, busy_seconds: float = BUSY_SECONDS) -> None:
        self._base = base_of(place, busy_seconds)
        self._engine = self._base.engine
        self.epoch: int | None = None

    @property
    def name(self) -> str:
        """What messages call it; no password is in it."""
        return self._base.name

    @property
    def path(self) -> Path:
        """The file; raises StoreError where there is none."""
        if not isinstance(self._base, Sqlite):
            raise StoreError(f"{self.name} is no file", hint="PostgreSQL has its own tools: pg_dump, pg_restore")
        return self._base.path

    @property
    def exists(self) -> bool:
        return self._base.exists

    @contextmanager
    def write(self) -> Iterator[Books]:
        """A transaction that stands alone; raises StoreBusy when another process kept it waiting for too long."""
        with self._named(), self._engine.begin() as connection:
            # No take-over can come between this look and the end: it would be a write as well.
            if self.epoch is not None and connection.execute(_NEWEST).scalar_one() > self.epoch:
                raise LeaseLost("another process has taken the lease of this database")
            yield Books(connection)

    @contextmanager
    def read(self) -> Iterator[Books]:
        """A consistent view that never waits for a writer."""
        with self._named(), self._looking() as connection:
            yield Books(connection)

    @contextmanager
    def _looking(self) -> Iterator[Connection]:
        with self._engine.connect().execution_options(reads=True) as connection, connection.begin():
            yield connection

    def version(self) -> str | None:
        """The migration the file stands on; None for a file without tables. Loads nothing heavy."""
        with self._looking() as connection:
            if not inspect(connection).has_table("alembic_version"):
                return None
            found: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one_or_none()
            return found

    def check(self) -> None:
        """Refuse a file that this runbook cannot read; for commands that only look."""
        with self._named():
            held = self.version()
        if held != HEAD:
            if held is not None and held > HEAD:
                raise StoreNewer(f"{self.name} is of version {held}, this runbook knows {HEAD}")
            raise StoreError(f"{self.name} has no tables of this version yet", hint="start `runbook serve` once")

    def migrate(self) -> None:
        """Bring the tables to this version; an older file is copied beside itself first, a newer one is refused.

        PostgreSQL takes a migration back as a whole when a part of it fails; there nothing is copied.
        """
        from alembic import command
        from alembic.config import Config

        file = self._base.path if isinstance(self._base, Sqlite) else None
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
        with self._named():
            held = self.version()
            if held == HEAD:
                return
            if held is not None and held > HEAD:
                raise StoreNewer(f"{self.name} is of version {held}, this runbook knows {HEAD}")
            if held is None and (tables := self._tables()):
                found = f"{self.name} is a database of another program (it has a table {tables[0]!r})"
                raise StoreError(found, hint="give runbook a `database:` of its own")
            if held is not None and file is not None:
                self.backup(file.with_suffix(f".before-{HEAD}.db"))
            config = Config()
            config.set_main_option("script_location", str(_MIGRATIONS))
            with self._engine.begin() as connection:
                config.attributes["connection"] = connection
                command.upgrade(config, "head")

    def _tables(self) -> list[str]:
        with self._looking() as connection:
            return sorted(inspect(connection).get_table_names())

    def backup(self, target: Path, day: date | None = None) -> Proof:
        """A consistent copy while others read and write, opened once to prove it; takes its name only when it is proved."""
        return copy(self.path, target, day)

    def differences(self) -> list[Any]:
        """Where the file's tables differ from the code's; empty after `migrate`."""
        from alembic.autogenerate import compare_metadata
        from alembic.migration import MigrationContext

        with self._engine.connect().execution_options(reads=True) as connection:
            return list(compare_metadata(MigrationContext.configure(connection), metadata))

    def pragmas(self) -> dict[str, Any]:
        """What makes a commit durable, as SQLite's file really has it."""
        names = ("journal_mode", "synchronous", "busy_timeout", "foreign_keys")
        with self._engine.connect().execution_options(reads=True) as connection:
            return {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in names}

    def close(self) -> None:
        self._engine.dispose()

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except DatabaseError as exc:
            raise self._base.fault(exc) from exc


__all__ = [
    "BUSY_SECONDS", "HEAD", "Books", "Proof", "Store", "lost_between", "measure", "prove", "prune", "refuse_unfit", "restore",
]  # fmt: skip
