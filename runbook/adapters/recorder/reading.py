"""The ticks of one session, for reconciliation and for replays; also while they are being written."""

from __future__ import annotations

import gzip
import sqlite3
import zlib
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

from runbook.adapters.recorder.form import BITS, STEPS, VERSION, epoch, packed_file, session_file
from runbook.errors import StoreError
from runbook.market import Instrument, Source
from runbook.recon.ranges import PriceRange


class Recorded(NamedTuple):
    """One price as it was received (UTC); `ltt` is the broker's last-trade time in epoch milliseconds, None without one."""

    received_at: datetime
    instrument: Instrument
    source: Source
    ltp: float
    ltt: int | None


class RecordedTicks:
    """Reads the ticks of one session, also while they are being written; implements the noun's PriceRanges."""

    def __init__(self, db: sqlite3.Connection, session: date) -> None:
        self._db = db
        self._epoch = epoch(session)

    @classmethod
    def open(cls, folder: Path, session: date) -> RecordedTicks | None:
        """The recorded ticks of a session, or None when nothing was recorded; raises StoreError for a file that is none."""
        path, packed = session_file(folder, session), packed_file(folder, session)
        if not path.is_file():
            path = packed
            if not path.is_file():
                return None
        try:
            db = _unpacked(path) if path == packed else _connected(path)
            try:
                (version,) = db.execute("PRAGMA user_version").fetchone()
                if version not in (0, VERSION):
                    raise StoreError(f"{path} has form {version}, this runbook reads form {VERSION}")
            except BaseException:
                db.close()
                raise
        except (sqlite3.Error, OSError, EOFError, zlib.error) as error:
            raise StoreError(f"recorded ticks in {path} cannot be read: {error}", hint="move that file away") from error
        if version == 0:  # the recorder was killed before its first commit
            db.close()
            return None
        return cls(db, session)

    def rows(self) -> Iterator[Recorded]:
        """All that was recorded, in the order of receipt."""
        series = {
            number: (Instrument(symbol, exchange), Source(source))
            for number, symbol, exchange, source in self._ask("SELECT id, symbol, exchange, source FROM series")
        }
        try:
            for number, which, price, lag in self._db.execute("SELECT id, series, price, lag FROM ticks ORDER BY id"):
                millis = (number >> BITS) + self._epoch
                instrument, source = series[which]
                received_at = datetime.fromtimestamp(millis / 1000, UTC)
                yield Recorded(received_at, instrument, source, price / STEPS, None if lag is None else millis - lag)
        except sqlite3.Error as error:
            raise StoreError(f"the recorded ticks cannot be read: {error}") from error

    def around(self, instrument: Instrument, at: datetime, window: timedelta) -> PriceRange | None:
        """The range recorded within `window` of `at`, both ends included; None when nothing was."""
        centre = round(at.timestamp() * 1000) - self._epoch
        half = round(window.total_seconds() * 1000)
        first, last = (centre - half) << BITS, ((centre + half) << BITS) | (1 << BITS) - 1
        return self._range(instrument, "AND t.id BETWEEN :first AND :last", {"first": first, "last": last})

    def day(self, instrument: Instrument) -> PriceRange | None:
        """The range of all that was recorded of an instrument; None when nothing was."""
        return self._range(instrument, "", {})

    def count(self, instrument: Instrument | None = None) -> int:
        """How many prices were recorded, of one instrument or of all."""
        if instrument is None:
            return int(self._ask("SELECT count(*) FROM ticks")[0][0])
        found = self.day(instrument)
        return found.records if found else 0

    def by_source(self) -> Mapping[Source, int]:
        """How many prices each source gave."""
        query = "SELECT s.source, count(*) FROM ticks t JOIN series s ON s.id = t.series GROUP BY s.source"
        return {Source(source): number for source, number in self._ask(query)}

    def instruments(self) -> tuple[Instrument, ...]:
        """What was recorded, in order."""
        rows = self._ask("SELECT DISTINCT symbol, exchange FROM series ORDER BY symbol, exchange")
        return tuple(Instrument(symbol, exchange) for symbol, exchange in rows)

    def span(self) -> tuple[datetime, datetime] | None:
        """When the first and the last price was received (UTC); None when there is none."""
        ((first, last),) = self._ask("SELECT min(id), max(id) FROM ticks")
        return None if first is None else (self._instant(first), self._instant(last))

    @property
    def dropped(self) -> int:
        """How many prices the recorder had to drop in this session: its coverage has holes it does not show."""
        return int(self._ask("SELECT coalesce(sum(ticks), 0) FROM lost")[0][0])

    def close(self) -> None:
        self._db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _range(self, instrument: Instrument, stretch: str, values: dict[str, Any]) -> PriceRange | None:
        # A quote's bid and ask are prices at which one could trade, so they widen the range; SQLite's two-argument min
        # is NULL when a side is, hence the coalesce.
        query = f"""
            SELECT min(min(t.price, coalesce(q.bid, t.price), coalesce(q.ask, t.price))),
                   max(max(t.price, coalesce(q.bid, t.price), coalesce(q.ask, t.price))), count(*),
                   sum(s.source = :pushed)
            FROM ticks t JOIN series s ON s.id = t.series LEFT JOIN sides q ON q.id = t.id
            WHERE s.symbol = :symbol AND s.exchange = :exchange {stretch}"""  # noqa: S608 - the stretch is one of two texts above
        names = {"symbol": instrument.symbol, "exchange": instrument.exchange, "pushed": Source.WEBSOCKET.value}
        ((low, high, records, pushed),) = self._ask(query, names | values)
        return PriceRange(Decimal(low) / STEPS, Decimal(high) / STEPS, records, not pushed) if records else None

    def _ask(self, query: str, values: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        try:
            return self._db.execute(query, values or {}).fetchall()
        except sqlite3.Error as error:
            raise StoreError(f"the recorded ticks cannot be read: {error}") from error

    def _instant(self, number: int) -> datetime:
        return datetime.fromtimestamp(((number >> BITS) + self._epoch) / 1000, UTC)


def _connected(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=5.0, check_same_thread=False)


def _unpacked(path: Path) -> sqlite3.Connection:
    """A packed session in memory: some 7 MB for as long as it is read, and nothing to clear away afterwards."""
    db = sqlite3.connect(":memory:", check_same_thread=False)
    try:
        with gzip.open(path) as file:
            content = file.read()
        if not content:
            raise OSError("it is empty")
        db.deserialize(content)
    except BaseException:
        db.close()
        raise
    return db
