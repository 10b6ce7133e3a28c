from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runbook.adapters.recorder import RecordedTicks, Recorder, session_file
from runbook.errors import StoreError
from runbook.market import Instrument, Quote, Source, Tick
from runbook.recon import PriceRange

DAY = date(2026, 11, 23)
OPEN = datetime(2026, 11, 23, 3, 45, tzinfo=UTC)
NIFTY = Instrument("NIFTY", "NSE_INDEX")
CALL = Instrument("NIFTY24NOV2626000CE", "NFO")
WIDE = timedelta(seconds=2)


def tick(price, instrument=NIFTY, ltt=None) -> Tick:
    return Tick(instrument, price, ltt)


def quote(price, bid=0.0, ask=0.0, instrument=CALL, low=0.0, high=0.0) -> Quote:
    return Quote(instrument, price, bid, ask, high, low, 0.0, 0.0, 0, 0)


def record(folder: Path, *items, **options) -> Recorder:
    recorder = Recorder(folder, DAY, **options)
    for source, value, received_at in items:
        recorder.record(source, value, received_at)
    assert recorder.close(), recorder.fault
    return recorder


def reading(folder: Path) -> RecordedTicks:
    found = RecordedTicks.open(folder, DAY)
    assert found is not None
    return found


def test_what_is_recorded_is_read_back_with_its_time_and_its_source(tmp_path):
    items = [
        (Source.WEBSOCKET, tick(26049.90, ltt=int(OPEN.timestamp() * 1000) - 480), OPEN),
        (Source.WEBSOCKET, tick(145.05, CALL), OPEN + timedelta(milliseconds=7)),
        (Source.REST_POLLING, quote(145.10), OPEN + timedelta(seconds=9, milliseconds=123)),
    ]
    recorder = record(tmp_path, *items)
    with reading(tmp_path) as read:
        assert (read.count(), read.count(CALL), read.count(Instrument("X", "NFO"))) == (3, 2, 0)
        assert read.by_source() == {Source.WEBSOCKET: 2, Source.REST_POLLING: 1}
        assert read.instruments() == (NIFTY, CALL)
        assert read.span() == (OPEN, OPEN + timedelta(seconds=9, milliseconds=123))
        assert read.day(CALL) == PriceRange(Decimal("145.05"), Decimal("145.10"), 2)
    assert (recorder.written, recorder.dropped, recorder.refused) == (3, 0, 0)
    with sqlite3.connect(recorder.path) as db:
        assert db.execute("SELECT lag FROM ticks ORDER BY id").fetchall() == [(480,), (None,), (None,)]
    db.close()


def test_a_session_that_was_never_recorded_is_unknown_and_not_empty(tmp_path):
    assert RecordedTicks.open(tmp_path, DAY) is None
    assert RecordedTicks.open(tmp_path / "nowhere", DAY) is None


def test_an_instrument_that_was_not_recorded_has_no_range(tmp_path):
    record(tmp_path, (Source.WEBSOCKET, tick(26049.90), OPEN))
    with reading(tmp_path) as read:
        assert read.day(CALL) is None
        assert read.around(CALL, OPEN, WIDE) is None
        assert read.around(NIFTY, OPEN + timedelta(minutes=1), WIDE) is None


@pytest.mark.parametrize(("away", "inside"), [(-2001, False), (-2000, True), (0, True), (2000, True), (2001, False)])
def test_the_window_holds_both_of_its_ends_to_the_millisecond(tmp_path, away, inside):
    record(tmp_path, *[(Source.WEBSOCKET, tick(100.0), OPEN + timedelta(milliseconds=away))] * 2)
    with reading(tmp_path) as read:
        found = read.around(NIFTY, OPEN, WIDE)
        assert found == (PriceRange(Decimal(100), Decimal(100), 2) if inside else None)


def test_a_quotes_bid_and_ask_widen_the_range_and_a_missing_side_does_not(tmp_path):
    record(
        tmp_path,
        (Source.REST_POLLING, quote(145.0, 144.8, 145.3), OPEN),
        (Source.REST_POLLING, quote(150.0, 0.0, 150.2), OPEN + timedelta(minutes=1)),
    )
    with reading(tmp_path) as read:
        assert read.around(CALL, OPEN, WIDE) == PriceRange(Decimal("144.8"), Decimal("145.3"), 1, sampled=True)
        assert read.around(CALL, OPEN + timedelta(minutes=1), WIDE) == PriceRange(
            Decimal(150), Decimal("150.2"), 1, sampled=True
        )


@pytest.mark.parametrize("price", [0.0025, 83.4275, 26049.90, 13.2475, 999_999.95])
def test_a_price_with_four_decimals_is_kept_to_the_last_digit(tmp_path, price):
    record(tmp_path, (Source.WEBSOCKET, tick(price), OPEN))
    with reading(tmp_path) as read:
        assert read.day(NIFTY) == PriceRange(Decimal(str(price)), Decimal(str(price)), 1)


@pytest.mark.parametrize(
    "bad",
    [
        tick(float("nan")),
        tick(float("inf")),
        tick(-1.0),
        tick(0.0),
        tick(1e300),
        quote(0.0),
        quote(100.0, low=101.0, high=102.0),
        quote(100.0, ask=float("inf")),
    ],
)
def test_what_is_no_price_is_counted_and_the_ticks_beside_it_are_kept(tmp_path, bad):
    recorder = record(
        tmp_path,
        (Source.WEBSOCKET, tick(1.0), OPEN),
        (Source.WEBSOCKET, bad, OPEN),
        (Source.WEBSOCKET, tick(2.0), OPEN),
    )
    assert recorder.refused == 1
    with reading(tmp_path) as read:
        assert read.count() == 2


def test_a_nonsensical_trade_time_costs_the_lag_and_not_the_price(tmp_path):
    record(tmp_path, (Source.WEBSOCKET, tick(1.0, ltt=10**30), OPEN))
    with reading(tmp_path) as read:
        assert read.count() == 1


def test_many_ticks_of_one_millisecond_and_a_clock_set_back_lose_nothing(tmp_path):
    burst = [(Source.WEBSOCKET, tick(100.0 + n), OPEN) for n in range(700)]
    back = [(Source.WEBSOCKET, tick(50.0), OPEN - timedelta(seconds=5))] * 3
    record(tmp_path, *burst)
    record(tmp_path, *back, *burst[:300])
    with reading(tmp_path) as read:
        assert read.count() == 1003
        assert read.around(NIFTY, OPEN - timedelta(seconds=5), timedelta(milliseconds=1)) == PriceRange(
            Decimal(50), Decimal(50), 3
        )
        # 257 in one millisecond do not fit: what is over moves by a millisecond for each 256 ticks.
        assert read.around(NIFTY, OPEN, timedelta(milliseconds=4)) == PriceRange(Decimal(100), Decimal(799), 1000)


def test_opening_the_same_session_again_appends(tmp_path):
    record(tmp_path, (Source.WEBSOCKET, tick(100.0), OPEN))
    record(tmp_path, (Source.WEBSOCKET, tick(101.0), OPEN + timedelta(seconds=1)))
    with reading(tmp_path) as read:
        assert read.day(NIFTY) == PriceRange(Decimal(100), Decimal(101), 2)
        assert [path.name for path in tmp_path.iterdir()] == ["2026-11-23.db"]


def test_two_recorders_of_one_session_do_not_disturb_each_other(tmp_path):
    first, second = Recorder(tmp_path, DAY, every=0.01), Recorder(tmp_path, DAY, every=0.01)
    for n in range(500):
        first.record(Source.WEBSOCKET, tick(100.0), OPEN + timedelta(milliseconds=n))
        second.record(Source.REST_POLLING, quote(145.0), OPEN + timedelta(milliseconds=n))
    assert first.close(), first.fault
    assert second.close(), second.fault
    with reading(tmp_path) as read:
        assert read.by_source() == {Source.WEBSOCKET: 500, Source.REST_POLLING: 500}


def test_a_full_queue_drops_counts_and_never_waits(tmp_path):
    recorder = Recorder(tmp_path, DAY, capacity=10, every=60.0)
    kept = [recorder.record(Source.WEBSOCKET, tick(100.0), OPEN) for _ in range(25)]
    assert kept == [True] * 10 + [False] * 15
    recorder._commit()
    changes = recorder._db.total_changes
    recorder._commit()
    assert recorder._db.total_changes == changes, "with nothing new nothing is written"
    assert recorder.close()
    with reading(tmp_path) as read:
        assert (read.count(), read.dropped) == (10, 15)
    recorder = record(tmp_path, (Source.WEBSOCKET, tick(100.0), OPEN))
    with reading(tmp_path) as read:
        assert (read.count(), read.dropped) == (11, 15)
    assert recorder.record(Source.WEBSOCKET, tick(100.0), OPEN) is False


def test_ticks_wait_while_another_process_holds_the_file_and_are_written_after(tmp_path):
    recorder = Recorder(tmp_path, DAY, every=0.01)
    recorder._db.execute("PRAGMA busy_timeout = 20")
    holder = sqlite3.connect(recorder.path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    recorder.record(Source.WEBSOCKET, tick(100.0), OPEN)
    failed = threading.Event()
    while recorder.fault is None:
        failed.wait(0.005)
    assert "locked" in recorder.fault
    recorder.record(Source.WEBSOCKET, tick(101.0), OPEN)
    holder.execute("ROLLBACK")
    holder.close()
    assert recorder.close()
    with reading(tmp_path) as read:
        assert read.day(NIFTY) == PriceRange(Decimal(100), Decimal(101), 2)


def test_ticks_wait_while_the_disk_is_full_and_are_written_after(tmp_path):
    recorder = Recorder(tmp_path, DAY, every=0.01)
    (pages,) = recorder._db.execute("PRAGMA page_count").fetchone()
    recorder._db.execute(f"PRAGMA max_page_count = {pages}")
    for n in range(2000):
        recorder.record(Source.WEBSOCKET, tick(100.0), OPEN + timedelta(milliseconds=n))
    while recorder.fault is None:
        threading.Event().wait(0.005)
    assert "full" in recorder.fault
    recorder._db.execute("PRAGMA max_page_count = 100000")
    assert recorder.close(), recorder.fault
    with reading(tmp_path) as read:
        assert read.by_source() == {Source.WEBSOCKET: 2000}


def test_threads_may_record_at_once(tmp_path):
    recorder = Recorder(tmp_path, DAY, every=0.005)

    def feed(n: int) -> None:
        for k in range(400):
            recorder.record(Source.WEBSOCKET, tick(100.0 + n), OPEN + timedelta(milliseconds=k))

    threads = [threading.Thread(target=feed, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert recorder.close()
    with reading(tmp_path) as read:
        assert read.count() == 1600


def test_a_reader_sees_what_is_committed_while_the_recorder_goes_on(tmp_path):
    recorder = Recorder(tmp_path, DAY, every=0.01)
    recorder.record(Source.WEBSOCKET, tick(100.0), OPEN)
    while not recorder.written:
        threading.Event().wait(0.005)
    with reading(tmp_path) as read:
        assert read.count() == 1
        recorder.record(Source.WEBSOCKET, tick(101.0), OPEN)
        assert recorder.close()
        assert read.count() == 2


def test_a_file_that_is_no_database_is_an_error_with_a_hint_for_both_sides(tmp_path):
    session_file(tmp_path, DAY).write_bytes(b"this is no database at all, but long enough to be read as one" * 40)
    for opening in (lambda: Recorder(tmp_path, DAY), lambda: RecordedTicks.open(tmp_path, DAY)):
        with pytest.raises(StoreError, match="not a database") as caught:
            opening()
        assert caught.value.hint == "move that file away"


def test_a_file_of_a_later_form_is_refused_and_left_alone(tmp_path):
    db = sqlite3.connect(session_file(tmp_path, DAY))
    db.execute("PRAGMA user_version = 99")
    db.close()
    before = session_file(tmp_path, DAY).read_bytes()
    for opening in (lambda: Recorder(tmp_path, DAY), lambda: RecordedTicks.open(tmp_path, DAY)):
        with pytest.raises(StoreError, match="form 99"):
            opening()
    assert session_file(tmp_path, DAY).read_bytes()[:18] == before[:18]


def test_a_folder_that_cannot_be_made_is_an_error_of_ours(tmp_path):
    (tmp_path / "ticks").write_text("a file stands here")
    with pytest.raises(StoreError, match="cannot be recorded"):
        Recorder(tmp_path / "ticks", DAY)


def test_a_damaged_file_is_an_error_of_ours(tmp_path):
    record(tmp_path, *((Source.WEBSOCKET, tick(100.0 + n), OPEN + timedelta(seconds=n)) for n in range(3000)))
    path = session_file(tmp_path, DAY)
    whole = bytearray(path.read_bytes())
    whole[4096 * 6 :] = b"\xff" * (len(whole) - 4096 * 6)
    path.write_bytes(whole)
    with reading(tmp_path) as read, pytest.raises(StoreError, match="cannot be read"):
        read.day(NIFTY)


_CHILD = """
import sys
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from runbook.adapters.recorder import Recorder
from runbook.market import Instrument, Source, Tick

recorder = Recorder(Path(sys.argv[1]), date(2026, 11, 23), every=0.005, capacity=300)
start, n, told = datetime(2026, 11, 23, 3, 45, tzinfo=UTC), 0, 0
while True:
    n += recorder.record(Source.WEBSOCKET, Tick(Instrument("NIFTY", "NSE_INDEX"), 26000 + n / 10_000, None), start + timedelta(milliseconds=n))
    if recorder.written != told:
        told = recorder.written
        print(told, flush=True)
"""


def test_a_recorder_killed_in_mid_write_loses_at_most_what_was_not_committed(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", _CHILD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    told = [int(child.stdout.readline()) for _ in range(5)]
    os.kill(child.pid, signal.SIGKILL)
    told += [int(line) for line in child.stdout.read().split("\n")[:-1] if line]
    child.stdout.close()
    assert child.wait() == -signal.SIGKILL
    assert session_file(tmp_path, DAY).with_name("2026-11-23.db-wal").exists()
    with reading(tmp_path) as read:
        kept = read.count()
        assert kept >= told[-1] > 0
        # The rows are the first ones, without a hole: what is lost is the end.
        assert read.day(NIFTY) == PriceRange(Decimal(26000), Decimal(26000) + Decimal(kept - 1) / 10_000, kept)
    record(tmp_path, (Source.WEBSOCKET, tick(1.0), OPEN))
    with reading(tmp_path) as read:
        assert read.count() == kept + 1
    db = sqlite3.connect(session_file(tmp_path, DAY))
    assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    db.close()


@settings(max_examples=12, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from([NIFTY, CALL]), st.integers(1, 10**9), st.integers(-4000, 22_500_000)), max_size=40
    )
)
def test_any_window_of_any_day_has_the_range_of_its_ticks(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("ticks")
    record(
        folder,
        *(
            (Source.WEBSOCKET, tick(steps / 10_000, name), OPEN + timedelta(milliseconds=ms))
            for name, steps, ms in rows
        ),
    )
    with reading(folder) as read:
        for name, _, ms in rows[:5]:
            near = [Decimal(steps) / 10_000 for n, steps, other in rows if n == name and abs(other - ms) <= 2000]
            assert read.around(name, OPEN + timedelta(milliseconds=ms), WIDE) == PriceRange(
                min(near), max(near), len(near)
            )
        assert read.count() == len(rows)


def test_a_session_of_ticks_stays_small(tmp_path):
    many = [
        (
            Source.WEBSOCKET,
            tick(26000 + n % 500 / 20, (NIFTY, CALL)[n % 2], int(OPEN.timestamp() * 1000) + n * 66 - 300),
            OPEN + timedelta(milliseconds=66 * n),
        )
        for n in range(20_000)
    ]
    recorder = record(tmp_path, *many)
    assert recorder.path.stat().st_size / len(many) < 21
