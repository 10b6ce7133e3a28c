"""The only door to SQLAlchemy and Alembic: the ledger, in a file of SQLite or a database of PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import inspect, select, text
from sqlalchemy.exc import DatabaseError

from runbook.adapters.store.actions import Actions
from runbook.adapters.store.alerts import Alerts
from runbook.adapters.store.asks import Asks, Pauses
from runbook.adapters.store.bases import Sqlite, base_of
from runbook.adapters.store.book import Answers
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

    def __init__(self, connection: Connection, answers: Answers | None = None) -> None:
        self.ledger = Ledger(connection, answers)
        self.alerts = Alerts(connection, answers)
        self.feed = FeedLog(connection, answers)
        self.calendars = Calendars(connection, answers)
        self.desk = DeskBook(connection, answers)
        self.actions = Actions(connection, answers)
        self.milestones = Milestones(connection, answers)
        self.repeats = Repeats(connection, answers)
        self.asks = Asks(connection, answers)
        self.pauses = Pauses(connection, answers)
        self.silences = Silences(connection, answers)


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
    def look(self) -> Iterator[Look]:
        """The ledger for one turn of the engine."""
        look = Look(self._looking, self.write, self._named)
        try:
            yield look
        finally:
            look.close()

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


class Look:
    """The ledger as one turn sees it: all that is read is of one instant, and asked once, until the turn itself writes."""

    def __init__(
        self,
        view: Callable[[], AbstractContextManager[Connection]],
        write: Callable[[], AbstractContextManager[Books]],
        named: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._view = view
        self._write = write
        self._named = named
        self._held = ExitStack()
        self._seen: Books | None = None

    @contextmanager
    def read(self, *, anew: bool = False) -> Iterator[Books]:
        """The view; it stays for whoever reads next. `anew`: one that begins now, for what another thread has just told of."""
        if anew:
            self.close()
        with self._named():
            try:
                if self._seen is None:
                    self._seen = Books(self._held.enter_context(self._view()), {})
                yield self._seen
            except BaseException:
                self.close()
                raise

    @contextmanager
    def write(self) -> Iterator[Books]:
        """A transaction that stands alone; whoever reads after it sees anew."""
        self.close()
        with self._write() as books:
            yield books

    def close(self) -> None:
        """Let go of the view."""
        self._seen = None
        self._held.close()


__all__ = [
    "BUSY_SECONDS", "HEAD", "Books", "Look", "Proof", "Store", "lost_between", "measure", "prove", "prune", "refuse_unfit", "restore",
]  # fmt: skip
