"""Many days in one process: what must not grow does not, and what grows does so as foretold."""

from __future__ import annotations

import gc
import threading
import tracemalloc
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from runbook import growth
from runbook.alert import FeedWord
from runbook.engine import FeedTotals
from runbook.feed.policy import Policy
from runbook.feed.state import initial
from runbook.job import Found, Verdict
from runbook.market import Instrument
from runbook.monitor.herald import totals
from runbook.session import INDIA, Day, DayStatus, SessionCalendar
from tests.days.script import Script, jobs
from tests.days.world import World
from tests.fakes import MONDAY, session

FACTS = {
    "mode": "LIVE", "source": "websocket", "link": "up",
    "last_ticks": {"NIFTY": [26049.9, 0.4], "NIFTY24NOV26FUT": [26101.55, 0.7]},
}  # fmt: skip
PAIR = (Instrument("NIFTY", "NSE_INDEX"), Instrument("NIFTY24NOV26FUT", "NFO"))


@dataclass(frozen=True, slots=True)
class Counted:
    """What a process holds at the end of a day."""

    day: date
    threads: int
    descriptors: int
    memory: int  # bytes that the code of runbook has asked for and not given back
    size: int  # of the database
    sessions: int


def weekdays(days: int) -> SessionCalendar:
    """So many days from a Monday on, each weekday a session."""
    found = {}
    for day in (MONDAY + timedelta(days=n) for n in range(days + 7)):
        weekend = day.weekday() >= 5
        found[day] = (
            Day(day, DayStatus.CLOSED, "weekend") if weekend else Day(day, DayStatus.OPEN, "", session=session(day))
        )
    return SessionCalendar("NFO", INDIA, max(found), found)


class Month(World):
    """Days without trouble, with facts and samples as large as real ones; the journal of the judge would be in the way."""

    def __init__(self, days: int, folder: Path, every: str) -> None:
        script = Script(0)
        script.calendar, script.jobs = weekdays(days), jobs(every, own=False)
        super().__init__(script, folder)
        self.judge.unburdened()
        self.counted: list[Counted] = []
        self._sample = totals(initial(PAIR, Policy())) | {"recorded": 20_000, "not_recorded": 0}
        for n in range(days):
            day = MONDAY + timedelta(days=n)
            begins = n * 86_400.0
            self.later(begins + 1, "", lambda day=day: setattr(script, "day", day))  # type: ignore[misc]
            if day.weekday() < 5:
                opens = (session(day).open - script.start).total_seconds()
                for minute in range(-15, 385):
                    self.later(opens + 60 * minute, "", self.minute)
                self.later((session(day).close - script.start).total_seconds(), "", lambda: self.feed(FeedWord.OFF))
            self.later(begins + 80_000, "", self.count)

    def minute(self) -> None:
        if self.engine is not None:
            at = self.clock.now().replace(second=0, microsecond=0)
            self.engine.post(FeedTotals(self.script.day, at, self._sample))

    def found(self, job: str, found: Found) -> Found:
        return Found(found.verdict, "ticks on the WebSocket", FACTS) if job == "check_feed" else found

    def count(self) -> None:
        gc.collect()
        held = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(True, "*/runbook/*")])
        memory = sum(one.size for one in held.statistics("filename"))
        with self.store._engine.connect() as connection:
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
            size = pages * connection.exec_driver_sql("PRAGMA page_size").scalar_one()
            planned = connection.exec_driver_sql("SELECT count(DISTINCT session) FROM occurrence").scalar_one()
        self.log.clear()
        files = len(list(Path("/proc/self/fd").iterdir()))
        self.counted.append(Counted(self.script.day, threading.active_count(), files, memory, size, planned))


def play_month(folder: Path, days: int, every: str = "5m") -> tuple[Month, list[Counted]]:
    """Play so many days on end in one process; its counts at the end of each."""
    tracemalloc.start()
    world = Month(days, folder, every)
    try:
        world.boot()
        world._run(days * 86_400.0)
        return world, world.counted
    finally:
        tracemalloc.stop()
        world.end()


def foretold(world: Month) -> growth.Growth:
    return growth.of_session(world.jobs, session(), len(world.script.channels))


__all__ = ["FACTS", "Counted", "Month", "Verdict", "foretold", "play_month"]
