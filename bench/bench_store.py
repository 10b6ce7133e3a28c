"""What the ledger weighs and what its keep costs: growth by session, a copy that is read back, rolling up, the fence.

    .venv/bin/python bench/bench_store.py

Sixty sessions of 790 checks, each with its attempt and facts, and of 391 samples of the feed: nearly all that a day leaves.
"""

from __future__ import annotations

import sys
import tempfile
import time
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from runbook.adapters.store import Store, measure, schema

SESSIONS, CHECKS, SAMPLES = 60, 790, 391
FIRST = date(2026, 1, 1)
FACTS = {
    "mode": "LIVE", "source": "WEBSOCKET", "link": "up",
    "last_ticks": {"NIFTY": [26049.9, 0.3], "NIFTY24NOV26FUT": [26101.0, 0.8]},
}  # fmt: skip
TOTALS = {
    "mode": "LIVE", "seconds": {"websocket": 12345.6, "rest": 12.0, "blind": 0.0, "waiting": 2.0, "still": 0.0},
    "counts": {"polls": 121, "poll_failures": 0, "switches": 2}, "ticks": {"NIFTY": 45678, "NIFTY24NOV26FUT": 34567},
    "longest_gap": 3.2, "not_recorded": 0,
}  # fmt: skip


def fill(store: Store, day: date) -> None:
    """One session as it stands in the ledger when it is over."""
    opens = datetime(day.year, day.month, day.day, 3, 35, tzinfo=UTC)
    rows, tries = [], []
    for n in range(CHECKS):
        at = opens + timedelta(seconds=30 * n)
        key = {"session": day, "job": "check_feed", "slot": f"{n + 1:04d}"}
        said = {"verdict": "ok", "reason": "ticks on the WebSocket"}
        until = at + timedelta(seconds=30)
        times = {"planned_at": at, "due_at": at, "latest_start": until}
        rows.append(key | times | said | {"repeating": True, "state": "succeeded", "config_hash": "abc"})
        tries.append(
            key | said | {"n": 1, "actor": "scheduler", "started_at": at, "ended_at": at + timedelta(milliseconds=8),
                          "outcome": "succeeded", "facts": FACTS, "epoch": 1}
        )  # fmt: skip
    with store.write() as books:
        books.ledger._c.execute(schema.occurrence.insert(), rows)  # noqa: SLF001  # as many rows as a day leaves, at once
        books.ledger._c.execute(schema.attempt.insert(), tries)  # noqa: SLF001  # as above
        for n in range(SAMPLES):
            books.feed.sample(day, opens + timedelta(minutes=n), TOTALS)


def seconds(what, runs: int) -> list[float]:
    took = []
    for n in range(runs):
        began = time.perf_counter()
        what(n)
        took.append(time.perf_counter() - began)
    return sorted(took)


def middle(took: list[float]) -> str:
    return f"{took[len(took) // 2] * 1000:8.2f} ms, at most {took[-1] * 1000:.2f}"


def main() -> int:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        store = Store(folder / "runbook.db")
        store.migrate()
        days = [FIRST + timedelta(days=n) for n in range(SESSIONS)]
        for day in days:
            fill(store, day)
        with store.write() as books:
            epoch = books.desk.take("bench", 1, "here", datetime(2026, 4, 1, tzinfo=UTC), timedelta(hours=1))
        store.close()
        size = store.path.stat().st_size
        held = measure(store.path)
        each = size / SESSIONS
        print(
            f"{SESSIONS} sessions          {size / 1e6:8.1f} MB, {each / 1e3:.0f} kB a session, {each * 250 / 1e6:.0f} MB a year"
        )
        for table in sorted(held.tables, key=lambda t: -(t.size or 0))[:3]:
            print(f"  {table.name:<18}{(table.size or 0) / SESSIONS / 1e3:8.0f} kB a session")
        took = seconds(lambda n: store.backup(folder / "copy.db", days[n]), 7)
        print(f"copied and read back {middle(took)}")

        def write(_n: int) -> None:
            with store.write() as books:
                books.feed.sample(days[0], datetime(2026, 1, 1, tzinfo=UTC), TOTALS)

        for _ in range(2):  # by turns, so that a slow minute of the host meets both
            store.epoch = None
            print(f"a write              {middle(seconds(write, 200))}")
            store.epoch = epoch
            print(f"the same, fenced     {middle(seconds(write, 200))}")

        def roll(n: int) -> None:
            with store.write() as books:
                assert books.repeats.roll_up(days[n]) == CHECKS - 2

        print(f"rolling a session up {middle(seconds(roll, SESSIONS - 30))}")
        freed = measure(store.path).unused - held.unused
        print(
            f"freed by 30 sessions {freed / 1e6:8.1f} MB, {freed / 30 / 1e3:.0f} kB a session, used again before the file grows"
        )
        store.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
