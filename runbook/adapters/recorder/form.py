"""The form of a session's file, shared by who writes it and who reads it.

A tick is one row of a plain table: its id is the receipt time in milliseconds, shifted by eight bits to tell apart what
came in one millisecond; so rows are appended in order, pages are full, and no index is needed to find a stretch of time.
Prices are whole steps of 1/10000 rupee, `lag` is the receipt time minus the broker's last-trade time in milliseconds,
and a series is an instrument at a source. `PRAGMA user_version` is the version of this form.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

STEPS = 10_000  # of a rupee: holds a currency tick of 0.0025 and an index printed with four decimals
VERSION = 1
BITS = 8
SCHEMA = """
CREATE TABLE series (id INTEGER PRIMARY KEY, symbol TEXT NOT NULL, exchange TEXT NOT NULL, source TEXT NOT NULL,
                     UNIQUE (symbol, exchange, source));
CREATE TABLE ticks (id INTEGER PRIMARY KEY, series INTEGER NOT NULL, price INTEGER NOT NULL, lag INTEGER);
CREATE TABLE sides (id INTEGER PRIMARY KEY, bid INTEGER, ask INTEGER);  -- of quotes only: the stream sends no bid or ask
CREATE TABLE lost (run INTEGER PRIMARY KEY, ticks INTEGER NOT NULL);    -- what a recorder had to drop, a row a run
"""


def session_file(folder: Path, session: date) -> Path:
    """Where the ticks of a session lie: ticks/2026-11-23.db."""
    return folder / f"{session.isoformat()}.db"


def packed_file(folder: Path, session: date) -> Path:
    """Where they lie once the session is over and put by: ticks/2026-11-23.db.gz, the same file in gzip."""
    return folder / f"{session.isoformat()}.db.gz"


def epoch(session: date) -> int:
    """The millisecond from which a session's ids count: noon UTC the day before, so that no id of the day is negative."""
    return int((datetime.combine(session, time(), UTC) - timedelta(hours=12)).timestamp() * 1000)
