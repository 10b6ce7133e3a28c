"""What the calendar costs: the ledger's table against a table made by hand and against the library in the process.

    .venv/bin/python bench/bench_calendar.py [runs]

Memory and the library's own times are of fresh processes, the median of `runs` (5). The daemon is the real one, put
together with everything but its engine started. Byte-compile first (`make env` does), or the first refresh pays for it.
"""

from __future__ import annotations

import gc
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import timeit
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from runbook.adapters.exchange import Refreshed, refresh
from runbook.adapters.files import shipped_calendar
from runbook.plan import plan_days
from runbook.session import INDIA, Day, DayStatus, Session, SessionCalendar
from runbook.trigger import Anchor, At, Trigger

ROOT = Path(__file__).resolve().parents[1]
NOW = datetime(2026, 11, 23, 5, 0, tzinfo=UTC)
HORIZON = date(2026, 12, 31)
GOALS = {"memory": 1.15, "lookup": 5.0, "plan": 0.2, "refresh": 3.0}


def rss() -> float:
    """Resident memory of this process in MiB."""
    gc.collect()
    line = next(text for text in Path("/proc/self/status").read_text().splitlines() if text.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def by_hand(exchange: str) -> SessionCalendar:
    """What a desk types in: two weeks of plain weekdays."""
    days = {}
    for n in range(14):
        day = NOW.date() + timedelta(days=n)
        if day.weekday() < 5:
            start = datetime(day.year, day.month, day.day, 3, 45, tzinfo=UTC)
            session = Session(exchange, day, ((start, start + timedelta(minutes=385)),))
            days[day] = Day(day, DayStatus.OPEN, "regular session", session=session)
    return SessionCalendar(exchange, INDIA, max(days), days)


def computed(exchanges: list[str], first: date = date(2023, 1, 1), last: date = date(2027, 12, 31)) -> Refreshed:
    return refresh(shipped_calendar(), None, exchanges, first, last, horizon=HORIZON)


# --- what runs in a fresh process ------------------------------------------------------------------------------------


def child_daemon(kind: str, site: str) -> None:
    """Memory of the daemon: `hand`, `ledger` (a table somebody computed), `start` (it has computed it), `library`."""
    from runbook import app

    config = app.load_config(Path(site), {"OPENALGO_API_KEY": "bench"})
    if kind == "start":
        daemon = app.Daemon(config)
    else:
        typed = [by_hand(name) for name in ("NFO", "NSE")]
        keep = (lambda almanac: almanac.keep(typed, {}, NOW)) if kind != "ledger" else lambda _almanac: None
        daemon = app.Daemon(config, app.Hooks(calendar=keep))
    daemon.start(run=False)
    began = time.perf_counter()
    tables = [daemon.almanac.calendar(name) for name in ("NFO", "NSE")]
    took = (time.perf_counter() - began) * 1000
    if kind == "library":
        import pandas_market_calendars as library

        tables.append(library.get_calendar("NSE").schedule("2023-01-01", "2027-12-31"))
    print(json.dumps({"rss": rss(), "load_ms": took, "days": sum(len(getattr(t, "days", ())) for t in tables)}))
    os._exit(0)  # nothing of this daemon is worth a tidy end


def child_library() -> None:
    """How long the library takes for what a table answers, in microseconds."""
    import pandas as pd
    import pandas_market_calendars as library

    calendar = library.get_calendar("NSE")
    year = calendar.schedule("2026-01-01", "2026-12-31")
    now = pd.Timestamp(NOW)
    opens = year["market_open"]
    print(
        json.dumps(
            {
                "next session: schedule(today, +10 days)": each(
                    lambda: calendar.schedule(NOW.date(), NOW.date() + timedelta(days=10)).iloc[0], 50
                ),
                "next session: search in a frame that is kept": each(lambda: year.iloc[opens.searchsorted(now)], 500),
                "phase at t: open_at_time on the year": each(lambda: calendar.open_at_time(year, now), 50),
            }
        )
    )


def child_refresh(kind: str) -> None:
    """Wall time of a cold refresh, and the longest that another thread of the process had to wait meanwhile."""
    names = {
        "desk": ["NSE", "NFO", "BSE", "BFO", "CDS", "MCX"],
        "library": ["NSE", "BSE", "XNYS", "XLON", "XHKG", "24/7"],
    }
    done, gaps = threading.Event(), [0.0]

    def beat() -> None:
        last = time.perf_counter()
        while not done.wait(0.005):
            now = time.perf_counter()
            gaps[0], last = max(gaps[0], now - last), now

    watcher = threading.Thread(target=beat)
    watcher.start()
    began = time.perf_counter()
    made = computed(names[kind], date(2024, 1, 1), HORIZON)
    took = time.perf_counter() - began
    done.set()
    watcher.join()
    rows = sum(len(c.days) for c in made.calendars.values())
    print(json.dumps({"seconds": took, "gap_ms": gaps[0] * 1000, "rows": rows}))


# --- the run -----------------------------------------------------------------------------------------------------------


def each(what: Callable[[], object], number: int) -> float:
    """Microseconds of one call, the best of five."""
    return min(timeit.repeat(what, number=number, repeat=5)) / number * 1e6


def fresh(*args: str) -> dict[str, float]:
    command = [sys.executable, str(Path(__file__).resolve()), *args]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    found: dict[str, float] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def median(runs: int, *args: str) -> dict[str, float]:
    found = [fresh(*args) for _ in range(runs)]
    return {key: statistics.median(f[key] for f in found) for key in found[0]}


def verdict(value: float, goal: float) -> str:
    return f"goal {goal:g}: {'reached' if value <= goal else 'MISSED'}"


@dataclass(frozen=True)
class Job:
    name: str
    trigger: Trigger


def memory(folder: Path, runs: int, made: Refreshed) -> None:
    from runbook import app

    site = folder / "site"
    site.mkdir()
    shutil.copy(ROOT / "config.yaml", site)
    shutil.copytree(ROOT / "jobs", site / "jobs")
    sites = {kind: site if kind == "hand" else Path(shutil.copytree(site, folder / kind)) for kind in KINDS}
    store = app.open_store(app.load_config(sites["ledger"], {"OPENALGO_API_KEY": "bench"}))
    store.migrate()
    with store.write() as books:
        for calendar in made.calendars.values():
            books.calendars.keep(calendar, made.provenance, NOW)
    store.close()
    print(f"memory of the daemon (MiB, median of {runs} fresh processes)")
    base = 0.0
    for kind, label in KINDS.items():
        fresh("daemon", kind, str(sites[kind]))  # the first run makes the tables; that is not what is weighed
        found = median(runs, "daemon", kind, str(sites[kind]))
        base = base or found["rss"]
        ratio = found["rss"] / base
        goal = "" if kind in ("hand", "library") else verdict(ratio, GOALS["memory"])
        loaded = f"{found['days']:.0f} days read in {found['load_ms']:.0f} ms"
        print(f"  {label:<42}{found['rss']:7.1f}{ratio:7.2f} x  {loaded:<28}{goal}")


KINDS = {
    "hand": "a table made by hand",
    "ledger": "the ledger's table, NFO and NSE, 5 years",
    "start": "the same, computed by this daemon at start",
    "library": "by hand, and the library in the process",
}


def lookups(table: SessionCalendar) -> None:
    now, local = NOW, NOW.astimezone(INDIA)
    session = table.session_at(now)
    assert session is not None
    assert table.next_session(now) is not None
    ours = {
        "next session": each(lambda: table.next_session(now), 20_000),
        "next session, asked in IST": each(lambda: table.next_session(local), 20_000),
        "phase at t (session and phase)": each(
            lambda: found.phase_at(now) if (found := table.session_at(now)) else None, 20_000
        ),
        "day of a date": each(lambda: table.day(NOW.date()), 20_000),
    }
    theirs = fresh("library")
    print("questions (us each, best of five)")
    for label, took in ours.items():
        print(f"  {label:<50}{took:10.2f}      {verdict(took, GOALS['lookup'])}")
    for label, took in theirs.items():
        against = ours["next session" if label.startswith("next") else "phase at t (session and phase)"]
        print(f"  {'library, ' + label:<50}{took:10.1f}{took / against:9.0f} x the table")


def planning(table: SessionCalendar) -> None:
    anchors = (
        "open-60m",
        "open-45m",
        "open-15m",
        "open",
        "open+5m",
        "close-15m",
        "close",
        "close+10m",
        "close+30m",
        "16:30",
    )
    jobs = [Job(f"job{i}", At((Anchor.parse(text),))) for i, text in enumerate(anchors)]
    first = HORIZON - timedelta(days=999)
    rows = plan_days(table, jobs, first, HORIZON)
    took = min(timeit.repeat(lambda: plan_days(table, jobs, first, HORIZON), number=1, repeat=5))
    runs = sum(len(row.runs) for row in rows)
    print(f"plan: {len(rows)} days, {len(jobs)} jobs, {runs} runs in {took:.3f} s      {verdict(took, GOALS['plan'])}")


def main(runs: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        made = computed(["NFO", "NSE"])
        memory(Path(name), runs, made)
        lookups(made.calendars["NFO"])
        planning(made.calendars["NFO"])
    for kind, label in (("desk", "the six segments of India"), ("library", "six calendars of the library")):
        found = median(runs, "refresh", kind)
        print(
            f"cold refresh of {label}, 3 years: {found['seconds']:.2f} s, {found['rows']:.0f} days; another thread waited "
            f"{found['gap_ms']:.0f} ms at most      {verdict(found['seconds'], GOALS['refresh'])}"
        )


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["daemon", kind, site]:
            child_daemon(kind, site)
        case ["library"]:
            child_library()
        case ["refresh", kind]:
            child_refresh(kind)
        case [*rest]:
            main(int(rest[0]) if rest else 5)
