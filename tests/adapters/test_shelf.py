"""What becomes of a session's file once the session is over."""

from __future__ import annotations

import gzip
import logging
import sqlite3
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from runbook.adapters.recorder import (
    RecordedTicks,
    Recorder,
    Tidied,
    packed_file,
    recorded_days,
    session_file,
    tidy,
    unpack,
)
from runbook.errors import StoreError
from runbook.market import Instrument, Source, Tick

NIFTY = Instrument("NIFTY", "NSE_INDEX")
DAYS = [date(2026, 11, day) for day in (18, 19, 20, 23)]
TODAY = DAYS[-1]


def record(folder: Path, day: date, number: int = 500) -> Path:
    opening = datetime(day.year, day.month, day.day, 3, 45, tzinfo=UTC)
    with Recorder(folder, day) as recorder:
        for i in range(number):
            at = opening + timedelta(milliseconds=137 * i)
            ltt = int(at.timestamp() * 1000) - i % 900
            recorder.record(Source.WEBSOCKET, Tick(NIFTY, 26000 + i % 7 * 0.05, ltt), at)
    return session_file(folder, day)


def rows(folder: Path, day: date) -> list:
    read = RecordedTicks.open(folder, day)
    assert read is not None
    with read:
        return list(read.rows())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for day in DAYS:
        record(tmp_path, day)
    return tmp_path


def test_sessions_that_are_over_are_packed_and_read_like_before(folder):
    before = {day: rows(folder, day) for day in DAYS}
    plain = session_file(folder, DAYS[0]).stat().st_size
    assert tidy(folder, TODAY, 60) == Tidied(packed=tuple(DAYS[:3]))
    assert {path.name for path in folder.iterdir()} == {f"{day}.db.gz" for day in DAYS[:3]} | {f"{TODAY}.db"}
    assert {day: rows(folder, day) for day in DAYS} == before
    assert packed_file(folder, DAYS[0]).stat().st_size < 0.8 * plain
    read = RecordedTicks.open(folder, DAYS[0])
    assert read is not None
    with read:
        found = read.around(NIFTY, datetime(2026, 11, 18, 3, 45, 1, tzinfo=UTC), timedelta(seconds=1))
        assert found is not None
        assert found.records == 15


def test_today_is_never_packed_or_deleted_nor_is_a_day_to_come(folder):
    later = TODAY + timedelta(days=1)
    record(folder, later)
    assert tidy(folder, TODAY, 1) == Tidied(deleted=tuple(DAYS[:3]))
    assert session_file(folder, TODAY).exists()
    assert session_file(folder, later).exists()


def test_the_newest_sessions_are_kept_and_each_deletion_is_told(folder, caplog):
    caplog.set_level(logging.INFO)
    done = tidy(folder, TODAY, 2)
    assert done == Tidied(packed=(DAYS[2],), deleted=(DAYS[0], DAYS[1]))
    assert recorded_days(folder) == DAYS[2:]
    told = [r.getMessage() for r in caplog.records]
    assert told == [f"ticks of {day} deleted: the newest 2 sessions are kept" for day in DAYS[:2]]


def test_a_packed_session_is_deleted_in_its_turn(folder):
    tidy(folder, TODAY, 60)
    assert tidy(folder, TODAY, 3).deleted == (DAYS[0],)
    assert not packed_file(folder, DAYS[0]).exists()


def test_what_is_no_session_is_left_alone(folder):
    names = ["notes.db", "2026-11-18.db.bak", "2026-99-99.db", "readme.txt"]
    for name in names:
        (folder / name).write_text("mine")
    tidy(folder, TODAY, 1)
    assert all((folder / name).read_text() == "mine" for name in names)


def test_a_file_that_another_program_has_open_stays_as_it_is_until_the_next_time(folder, caplog):
    other = sqlite3.connect(session_file(folder, DAYS[0]), isolation_level=None)
    other.execute("PRAGMA journal_mode = WAL")
    other.execute("BEGIN IMMEDIATE")
    assert tidy(folder, TODAY, 60).packed == (DAYS[1], DAYS[2])
    assert f"ticks of {DAYS[0]} stay unpacked" in caplog.text
    other.close()
    assert tidy(folder, TODAY, 60).packed == (DAYS[0],)


def test_what_a_killed_recorder_left_beside_the_file_is_packed_too(folder):
    path = session_file(folder, DAYS[0])
    copy = folder / "crash"
    copy.mkdir()
    db = sqlite3.connect(path, isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA wal_autocheckpoint = 0")
    db.execute("UPDATE ticks SET price = 270000000 WHERE id = (SELECT max(id) FROM ticks)")
    for name in (path.name, f"{path.name}-wal"):  # as the disk looks when the process is killed here
        (copy / name).write_bytes((folder / name).read_bytes())
    db.close()
    assert tidy(copy, TODAY, 60).packed == (DAYS[0],)
    assert [file.name for file in copy.iterdir()] == [f"{path.name}.gz"]
    assert rows(copy, DAYS[0])[-1].ltp == 27000


def test_a_packing_that_was_cut_off_is_cleared_away_and_done_again(folder):
    draft = folder / f"{DAYS[0]}.db.gz.new"
    draft.write_bytes(b"half")
    assert DAYS[0] in tidy(folder, TODAY, 60).packed
    assert not draft.exists()


def test_a_packed_session_that_is_recorded_again_is_appended_to(folder):
    number = len(rows(folder, DAYS[0]))
    tidy(folder, TODAY, 60)
    record(folder, DAYS[0], 10)
    assert len(rows(folder, DAYS[0])) == number + 10
    assert not packed_file(folder, DAYS[0]).exists()
    unpack(folder, date(2020, 1, 1))  # nothing there, nothing done


@pytest.mark.parametrize("spoilt", [b"no gzip at all", None, b""])
def test_a_packed_file_that_is_spoilt_is_named_and_never_read_as_empty(folder, spoilt):
    tidy(folder, TODAY, 60)
    packed = packed_file(folder, DAYS[0])
    packed.write_bytes(packed.read_bytes()[:-2000] if spoilt is None else spoilt)
    with pytest.raises(StoreError, match=f"{DAYS[0]}.db.gz cannot be read") as caught:
        RecordedTicks.open(folder, DAYS[0])
    assert caught.value.hint == "move that file away"


def test_a_gzip_of_something_else_is_refused(folder):
    session_file(folder, DAYS[0]).unlink()
    packed_file(folder, DAYS[0]).write_bytes(gzip.compress(b"not a database" * 1000))
    with pytest.raises(StoreError):
        RecordedTicks.open(folder, DAYS[0])


def test_rows_come_in_the_order_of_receipt_with_all_that_was_kept(tmp_path):
    opening = datetime(2026, 11, 23, 3, 45, tzinfo=UTC)
    call = Instrument("NIFTY24NOV2626000CE", "NFO")
    with Recorder(tmp_path, TODAY) as recorder:
        recorder.record(Source.WEBSOCKET, Tick(call, 145.05, None), opening + timedelta(milliseconds=250))
        recorder.record(Source.WEBSOCKET, Tick(NIFTY, 26049.9, 1_763_869_500_000), opening)
    first, second = rows(tmp_path, TODAY)
    assert first == (opening, NIFTY, Source.WEBSOCKET, 26049.9, 1_763_869_500_000)
    assert second == (opening + timedelta(milliseconds=250), call, Source.WEBSOCKET, 145.05, None)
