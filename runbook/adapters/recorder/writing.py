"""Recorded ticks: one small SQLite file for each session, written by a thread of its own."""

from __future__ import annotations

import sqlite3
import threading
import zlib
from collections import deque
from contextlib import suppress
from datetime import date, datetime
from pathlib import Path
from types import TracebackType
from typing import Self

from runbook.adapters.recorder.form import BITS, SCHEMA, STEPS, VERSION, epoch, session_file
from runbook.adapters.recorder.shelf import unpack
from runbook.errors import StoreError
from runbook.market import Instrument, Quote, Source, Tick

_HUGE = 1 << 60  # what SQLite's integers hold, with room
_Item = tuple[Source, Tick | Quote, datetime]
_Row = tuple[int, Instrument, Source, int, int | None, tuple[int | None, int | None] | None]


class Recorder:
    """Writes the ticks of one session; opening the same session again appends.

    `record` may be called from any thread and never waits: it puts the tick in memory, and a thread commits what is there
    each second. When the disk cannot keep up and `capacity` ticks wait, further ones are dropped, counted in `dropped`
    and in the file. A process that is killed loses at most what was not committed: the last second.
    """

    def __init__(self, folder: Path, session: date, *, capacity: int = 50_000, every: float = 1.0) -> None:
        self.path = session_file(folder, session)
        self.dropped = 0
        self.refused = 0  # what was handed in and is no price: zero, not a number, a quote outside its own day's range
        self.written = 0
        self.fault: str | None = None  # why the last commit failed; None while all is well
        self._capacity = capacity
        self._every = every
        self._epoch = epoch(session)
        self._waiting: deque[_Item] = deque()
        self._pending: list[_Row] = []  # taken from the queue, not yet committed
        self._told = 0  # drops that are in the file
        self._drops = threading.Lock()
        self._stop = threading.Event()
        self._last = 0  # the highest id in the file
        self._series: dict[tuple[Instrument, Source], int] = {}
        try:
            folder.mkdir(parents=True, exist_ok=True)
            unpack(folder, session)
            self._db = self._open()
        except (OSError, EOFError, zlib.error, sqlite3.Error) as error:
            raise StoreError(f"ticks cannot be recorded in {self.path}: {error}", hint="move that file away") from error
        self._thread = threading.Thread(target=self._write, name="recorder", daemon=True)
        self._thread.start()

    def record(self, source: Source, value: Tick | Quote, received_at: datetime) -> bool:
        """Keep one price, received at an aware instant; False when it had to be dropped. Never blocks, never raises."""
        if len(self._waiting) + len(self._pending) >= self._capacity or self._stop.is_set():
            with self._drops:
                self.dropped += 1
            return False
        self._waiting.append((source, value, received_at))
        return True

    def close(self, timeout: float = 5.0) -> bool:
        """Write what waits and close the file; True when all of it was written in time."""
        self._stop.set()
        self._thread.join(timeout)
        return not self._thread.is_alive() and self.fault is None and not (self._waiting or self._pending)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open(self) -> sqlite3.Connection:
        db = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=5.0)
        try:
            db.execute("PRAGMA journal_mode = WAL")
            # NORMAL: a killed process loses nothing committed; a power cut may lose the last seconds, never the file.
            db.execute("PRAGMA synchronous = NORMAL")
            (version,) = db.execute("PRAGMA user_version").fetchone()
            if version == 0:
                db.executescript(f"BEGIN;{SCHEMA}PRAGMA user_version = {VERSION};COMMIT;")
            elif version != VERSION:
                raise StoreError(f"{self.path} has form {version}, this runbook writes form {VERSION}")
            self._run = (db.execute("SELECT max(run) FROM lost").fetchone()[0] or 0) + 1
        except BaseException:
            db.close()
            raise
        return db

    def _write(self) -> None:
        """The writer: drain, commit, wait; until it is told to stop and nothing is left."""
        try:
            while not self._stop.wait(self._every):
                self._commit()
            self._commit()
            with suppress(sqlite3.Error):  # a reader holds the file: the log beside it is folded in at the next opening
                self._db.execute("PRAGMA busy_timeout = 200")
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                # A finished session is one plain file, which can be copied, and read where nothing may be written.
                self._db.execute("PRAGMA journal_mode = DELETE")
        finally:
            self._db.close()

    def _commit(self) -> None:
        """Write all that waits in one transaction. When that fails it waits on, and the next round tries again."""
        self._drain()
        dropped = self.dropped
        if not self._pending and dropped == self._told:
            return
        try:
            self._db.execute("BEGIN IMMEDIATE")
            # Asked anew each time: another recorder may have this session open while a monitor is being replaced.
            self._last = self._db.execute("SELECT max(id) FROM ticks").fetchone()[0] or 0
            for row in self._pending:
                self._insert(*row)
            if dropped:
                self._db.execute("INSERT OR REPLACE INTO lost VALUES (?, ?)", (self._run, dropped))
            self._db.execute("COMMIT")
        except sqlite3.Error as error:
            self._series.clear()  # what this transaction named is not in the file
            self.fault = f"ticks are not being written to {self.path.name}: {error}"
            with suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            return
        self.written += len(self._pending)
        self._pending = []
        self._told = dropped
        self.fault = None

    def _drain(self) -> None:
        """Take what waits now, as rows."""
        for _ in range(len(self._waiting)):
            source, value, received_at = self._waiting.popleft()
            try:
                self._pending.append(_row(source, value, received_at))
            except (ValueError, OverflowError):
                self.refused += 1

    def _insert(
        self,
        millis: int,
        instrument: Instrument,
        source: Source,
        price: int,
        lag: int | None,
        sides: tuple[int | None, int | None] | None,
    ) -> None:
        number = self._free(millis - self._epoch)
        row = (number, self._series_of(instrument, source), price, lag)
        self._db.execute("INSERT INTO ticks VALUES (?, ?, ?, ?)", row)
        self._last = max(self._last, number)
        if sides:
            self._db.execute("INSERT INTO sides VALUES (?, ?, ?)", (number, *sides))

    def _free(self, millis: int) -> int:
        """An unused id of that millisecond; the 257th of one millisecond moves to the next."""
        first = millis << BITS
        if first > self._last:
            return first
        if self._last < first | (1 << BITS) - 1:  # what one read of the stream brought shares its millisecond
            return self._last + 1
        while True:
            # The clock was set back, two feeds met, or the session was opened again: look what is taken.
            among = (first, first | (1 << BITS) - 1)
            (taken,) = self._db.execute("SELECT max(id) FROM ticks WHERE id BETWEEN ? AND ?", among).fetchone()
            if taken is None:
                return first
            if taken < among[1]:
                return int(taken) + 1
            first += 1 << BITS

    def _series_of(self, instrument: Instrument, source: Source) -> int:
        known = self._series.get((instrument, source))
        if known is None:
            row = (instrument.symbol, instrument.exchange, source.value)
            self._db.execute("INSERT OR IGNORE INTO series (symbol, exchange, source) VALUES (?, ?, ?)", row)
            query = "SELECT id FROM series WHERE symbol = ? AND exchange = ? AND source = ?"
            known = int(self._db.execute(query, row).fetchone()[0])
            self._series[instrument, source] = known
        return known


def _row(source: Source, value: Tick | Quote, received_at: datetime) -> _Row:
    """One price in whole steps; raises ValueError or OverflowError for what is no price."""
    price = round(value.ltp * STEPS)
    if not 0 < price < _HUGE:
        raise ValueError("a price is positive, and fits")
    millis = round(received_at.timestamp() * 1000)
    if isinstance(value, Tick):
        lag = None if value.ltt is None or value.ltt > _HUGE else millis - value.ltt
        return millis, value.instrument, source, price, lag, None
    if fault := value.fault:
        raise ValueError(fault)
    bid, ask = (round(side * STEPS) if side > 0 else None for side in (value.bid, value.ask))
    return millis, value.instrument, source, price, None, (bid, ask) if bid or ask else None
