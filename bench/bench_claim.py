"""From due to the first line of the step, the claim on disk included; beside APScheduler with its own SQLite job store.

    .venv/bin/python bench/bench_claim.py [seconds]

Ours is the real engine on a real file (WAL, synchronous FULL), woken by its own alarm clock a moment before the instant: the
claim is on disk before it, or as soon as it can be, and survives a kill. Theirs is a BackgroundScheduler with
SQLAlchemyJobStore on a file of the same folder, with as many threads as steps. Both run by turns in one process: a step alone
each second, and 100 steps due at one instant every 3 seconds. Of 100 at once each step's own wait counts, so the p99 is close
to the last one's.
"""

from __future__ import annotations

import gc
import sys
import tempfile
import threading
from datetime import datetime, timedelta
from pathlib import Path

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.sqlalchemy import SQLAlchemyJobStore
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.date import DateTrigger

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from runbook.adapters.scheduler import AlarmClock  # noqa: E402 - this checkout's: see the path above
from runbook.adapters.store import Store  # noqa: E402 - as above
from runbook.clock import RehearsalClock, host_now  # noqa: E402 - as above
from runbook.engine import EARLY, Engine, Parts  # noqa: E402 - as above
from runbook.job import Context, Found, JobSpec, Verdict  # noqa: E402 - as above
from runbook.session import INDIA  # noqa: E402 - as above
from runbook.teller import Teller, Voice  # noqa: E402 - as above
from runbook.trigger import Anchor, At, Every  # noqa: E402 - as above
from tests.fakes import MONDAY, FakeDesk, FakeNotifier, at, calendar, ledger_file  # noqa: E402 - as above

GOAL = {1: 8.0, 100: 30.0}
EVERY = {1: 1, 100: 3}  # seconds between two instants

_began: dict[str, datetime] = {}  # theirs: a step of a job store must be a function that can be found by name


def theirs_step(name: str) -> None:
    _began[name] = host_now()


def ours(folder: Path, number: int, instants: int) -> list[float]:
    """ms from due to the first line of each step."""
    clock = RehearsalClock(at("10:00"))
    waits: list[float] = []
    lock = threading.Lock()
    first = clock.now() + timedelta(seconds=3)
    first = first.replace(microsecond=0)
    texts = [f"{(first + timedelta(seconds=EVERY[number] * n)).astimezone(INDIA):%H:%M:%S}" for n in range(instants)]
    due = {Anchor.parse(text).text: first + timedelta(seconds=EVERY[number] * n) for n, text in enumerate(texts)}

    def step(ctx: Context) -> Found:
        now = clock.now()
        with lock:
            waits.append((now - due[ctx.key.slot]).total_seconds() * 1000)
        return Found(Verdict.OK, "done")

    jobs = [JobSpec(f"step_{n}", "a:b", At(tuple(map(Anchor.parse, texts))), 30.0) for n in range(number)]
    # A day has its repeats planned, too: they make the ledger as large as it really is.
    jobs.append(
        JobSpec("check", "a:b", Every(timedelta(seconds=30), Anchor.parse("14:00"), Anchor.parse("close")), 5.0)
    )
    store = Store(ledger_file(folder))
    engine: Engine
    alarm = AlarmClock(clock, lambda: engine.wake(), EARLY)
    teller = Teller(store, FakeNotifier(), ("phone",), clock)
    held = calendar()
    engine = Engine(
        Parts(
            clock, store, alarm, teller, Voice(("phone",), INDIA, ""), FakeDesk(), jobs, {j.name: step for j in jobs},
            "bench", "bench", 1, "bench", lambda: held, dict, lambda: None, "local_paper",
        )
    )  # fmt: skip
    gc.collect()
    gc.freeze()
    engine.start(holder_is_dead=True)
    try:
        pause, until = threading.Event(), first + timedelta(seconds=EVERY[number] * instants + 10)
        while len(waits) < number * instants and clock.now() < until:
            pause.wait(0.2)
    finally:
        engine.stop()
        store.close()
    assert len(waits) == number * instants, f"{len(waits)} of {number * instants} steps ran on {MONDAY}"
    return waits


def theirs(folder: Path, number: int, instants: int) -> list[float]:
    """The same of APScheduler with its own store."""
    _began.clear()
    scheduler = BackgroundScheduler(
        jobstores={"default": SQLAlchemyJobStore(url=f"sqlite:///{folder / 'jobs.db'}")},
        executors={"default": ThreadPoolExecutor(max_workers=number)}, timezone=INDIA,
    )  # fmt: skip
    scheduler.start()
    first = (host_now() + timedelta(seconds=3 + number / 20)).replace(microsecond=0)
    due = {}
    for n in range(instants):
        when = first + timedelta(seconds=EVERY[number] * n)
        for k in range(number):
            name = f"{n}-{k}"
            due[name] = when
            trigger = DateTrigger(when, timezone=INDIA)
            scheduler.add_job(theirs_step, trigger, args=(name,), id=name, misfire_grace_time=None)
    pause, until = threading.Event(), first + timedelta(seconds=EVERY[number] * instants + 30)
    while len(_began) < len(due) and host_now() < until:
        pause.wait(0.2)
    scheduler.shutdown()
    assert len(_began) == len(due), f"{len(_began)} of {len(due)} ran"
    return [(_began[name] - when).total_seconds() * 1000 for name, when in due.items()]


def row(label: str, number: int, waits: list[float]) -> float:
    ordered = sorted(waits)
    p99 = ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)]
    print(
        f"{label:<14}{number:>8}{len(waits):>8}{ordered[len(ordered) // 2]:>10.1f}{p99:>10.1f}{ordered[-1]:>10.1f}",
        flush=True,
    )
    return p99


def main(seconds: int) -> None:
    print(f"{'':<14}{'at once':>8}{'steps':>8}{'p50 ms':>10}{'p99 ms':>10}{'max ms':>10}", flush=True)
    for number in (1, 100):
        instants = max(3, seconds // EVERY[number])
        with tempfile.TemporaryDirectory() as name:
            mine = row("runbook", number, ours(Path(name), number, instants))
            other = row("APScheduler", number, theirs(Path(name), number, instants))
        reached, ahead = mine <= GOAL[number], mine < other
        print(
            f"{number} at once: goal p99 at most {GOAL[number]:g} ms {'reached' if reached else 'MISSED'}; "
            f"{'ahead of' if ahead else 'BEHIND'} APScheduler, which starts a step before it has written anything",
            flush=True,
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 60)
