"""How large one session of ticks is: naive rows against the recorder's file, plain and packed, side by side in one run.

    .venv/bin/python bench/bench_recorder.py [ticks]

The session is five symbols at 3 ticks a second for 6 h 15 min (337,500 ticks). Naive is what an ORM would write: an
automatic id, ISO texts, names in every row, an index to find a symbol's stretch of time. Both files are closed first.
"""

from __future__ import annotations

import random
import sqlite3
import sys
import tempfile
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from runbook.adapters.recorder import RecordedTicks, Recorder, packed_file, tidy
from runbook.market import Instrument, Source, Tick

DAY = date(2026, 11, 23)
NAMES = [("NIFTY", "NSE_INDEX", 26050.0), ("NIFTY24NOV26FUT", "NFO", 26080.0), ("BANKNIFTY", "NSE_INDEX", 57800.0),
         ("NIFTY24NOV2626000CE", "NFO", 145.0), ("NIFTY24NOV2626000PE", "NFO", 92.0)]  # fmt: skip


def ticks(number: int) -> list[tuple[datetime, Tick]]:
    """A seeded walk of five symbols, each about three times a second, with a broker's time stamp 20 to 900 ms old."""
    dice = random.Random(7)
    prices = [price for *_, price in NAMES]
    at = datetime(2026, 11, 23, 3, 45, tzinfo=UTC)
    out = []
    for i in range(number):
        k = i % len(NAMES)
        prices[k] = max(0.05, round(prices[k] + dice.choice((-2, -1, 0, 1, 2)) * 0.05, 2))
        at += timedelta(milliseconds=dice.randint(1, 132))
        ltt = int(at.timestamp() * 1000) - dice.randint(20, 900)
        out.append((at, Tick(Instrument(NAMES[k][0], NAMES[k][1]), prices[k], ltt)))
    return out


def naive(folder: Path, rows: list[tuple[datetime, Tick]]) -> Path:
    path = folder / "naive.db"
    db = sqlite3.connect(path)
    db.execute(
        "CREATE TABLE ticks (id INTEGER PRIMARY KEY AUTOINCREMENT, received_at TEXT, symbol TEXT, exchange TEXT,"
        " ltp REAL, ltt TEXT, source TEXT)"
    )
    db.execute("CREATE INDEX by_symbol ON ticks (symbol, received_at)")
    for at, tick in rows:
        ltt = datetime.fromtimestamp((tick.ltt or 0) / 1000, UTC).isoformat()
        row = (at.isoformat(), tick.instrument.symbol, tick.instrument.exchange, tick.ltp, ltt, "WEBSOCKET")
        db.execute("INSERT INTO ticks (received_at, symbol, exchange, ltp, ltt, source) VALUES (?,?,?,?,?,?)", row)
    db.commit()
    db.close()
    return path


def main(number: int) -> None:
    rows = ticks(number)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        began = time.perf_counter()
        plain = naive(folder, rows)
        naive_took = time.perf_counter() - began

        began = time.perf_counter()
        recorder = Recorder(folder, DAY, capacity=number + 1)
        calls = []
        for at, tick in rows:
            mark = time.perf_counter_ns()
            recorder.record(Source.WEBSOCKET, tick, at)
            calls.append(time.perf_counter_ns() - mark)
        assert recorder.close(60.0), recorder.fault
        took = time.perf_counter() - began

        read = RecordedTicks.open(folder, DAY)
        assert read is not None
        assert read.count() == number
        middle, tick = rows[number // 2]
        began = time.perf_counter()
        around = read.around(tick.instrument, middle, timedelta(seconds=2))
        around_took = time.perf_counter() - began
        began = time.perf_counter()
        read.day(tick.instrument)
        day_took = time.perf_counter() - began
        read.close()
        assert around is not None
        assert around.low <= round(around.high, 4)
        began = time.perf_counter()
        live = recorder.path.stat().st_size
        assert tidy(folder, DAY + timedelta(days=1), 60).packed == (DAY,)
        packed_took = time.perf_counter() - began
        packed = packed_file(folder, DAY)
        began = time.perf_counter()
        again = RecordedTicks.open(folder, DAY)
        assert again is not None
        assert again.around(tick.instrument, middle, timedelta(seconds=2)) == around
        again_took = time.perf_counter() - began
        again.close()
        calls.sort()
        print(f"{'':10}{'ticks':>10}{'MB':>8}{'B/tick':>8}{'write s':>9}")
        sizes = (("naive", plain.stat().st_size, naive_took), ("recorder", live, took),
                 ("packed", packed.stat().st_size, packed_took))  # fmt: skip
        for label, size, spent in sizes:
            print(f"{label:10}{number:>10,}{size / 1e6:>8.2f}{size / number:>8.1f}{spent:>9.2f}")
        print(
            f"naive / recorder: {sizes[0][1] / live:.1f} times, naive / packed: {sizes[0][1] / sizes[2][1]:.1f} times"
        )
        print(f"record(): p50 {calls[number // 2] / 1000:.2f} us, p99.9 {calls[number * 999 // 1000] / 1000:.1f} us")
        print(f"read: 4 s around an instant {around_took * 1000:.2f} ms, a symbol's whole day {day_took * 1000:.0f} ms")
        print(f"packed: opened and asked for 4 s around an instant in {again_took * 1000:.0f} ms")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 337_500)
