"""The planner: keeps the ledger's agenda in step with the calendar and the jobs, and says what may start now."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

from runbook import agenda
from runbook.alert import Notice
from runbook.almanac import REPLAN
from runbook.engine.parts import Parts
from runbook.job import IfLate, JobSpec, Key
from runbook.pause import pause_of
from runbook.run import Attempt, Entry, Moved
from runbook.session import Session, SessionCalendar

if TYPE_CHECKING:
    from runbook.adapters.store import Books

log = logging.getLogger(__name__)

AHEAD = 2  # sessions planned ahead
_FAR = timedelta(days=30)
_LINES = 8  # of the message about moved steps


class Planner:
    """Plans the running session and the next ones. `calendar` is the one the ledger was last planned by."""

    def __init__(self, parts: Parts) -> None:
        self._p = parts
        self._jobs = {job.name: job for job in parts.jobs}
        self._done: tuple[date, datetime] | None = None
        self.calendar: SessionCalendar = parts.calendar()

    def session(self, day: date) -> Session | None:
        """The session of `day`, or the assumed one of a weekday that the calendar does not know."""
        return self.calendar.session_of(day)

    def until(self, job: JobSpec, attempt: Attempt) -> datetime | None:
        """When the retries of `job` end in the attempt's session; None where they do not say."""
        session = self.session(attempt.occurrence.key.session)
        until = job.retries.until if job.retries else None
        return until.at(session) if until is not None and session is not None else None

    def when(self, instant: datetime) -> str:
        return f"{instant.astimezone(self.calendar.zone):%a %d %b %H:%M}"

    def stale(self, now: datetime) -> bool:
        """True when the agenda must be written anew: a new day, or another calendar. Asks for the calendar once."""
        fresh = self._p.calendar()
        changed = fresh is not self.calendar
        self.calendar = fresh
        if changed or self._done is None:
            self._done = None  # until it is written, it is not planned
            return True
        today = self.calendar.today(now)
        due = datetime.combine(today, REPLAN, self.calendar.zone)
        planned_for, planned_at = self._done
        if planned_at >= due or (now < due and planned_for == today - timedelta(days=1)):
            return False
        self._done = None
        return True

    def plan(self, books: Books, now: datetime, *, first: bool = False) -> Notice | None:
        """Write the agenda; after a downtime also of the sessions that were missed. Gives what moved, as news.

        `first`: the ledger is new, and what was over before it began is nobody's loss.
        """
        today = self.calendar.today(now)
        start = today
        if not first and (known := books.ledger.sessions(1)):
            start = max(min(known[0] + timedelta(days=1), today), today - timedelta(days=7))
        sessions = self._sessions(start, today, now, first=first)
        rows = agenda.agenda(self._p.jobs, sessions)
        moved = books.ledger.plan(rows, self._p.config_hash, now)
        last = max((s.date for s in sessions), default=today)
        days = [day for n in range(_FAR.days + 1) if (day := today + timedelta(days=n)) <= last]
        gone = books.ledger.cancel(
            [o.key for o, _ in rows], days, "no longer planned: the calendar or the jobs changed"
        )
        return self._news(moved, gone, now)

    def planned(self, now: datetime) -> None:
        """What `plan` wrote is committed."""
        self._done = (self.calendar.today(now), now)

    def judge(self, books: Books, now: datetime, down: tuple[datetime, datetime] | None) -> list[agenda.Decision]:
        """What becomes of each row that is due."""
        due = books.ledger.due(now)
        siblings: dict[tuple[date, str], list[Entry]] = {}
        for day in {e.key.session for e in due}:
            whole, running = self._beside({e.key.job for e in due if e.key.session == day})
            for entry in books.ledger.beside(day, whole, running):
                siblings.setdefault((day, entry.key.job), []).append(entry)
        asked = any(job.if_late is IfLate.ASK for e in due if (job := self._jobs.get(e.key.job)) is not None)
        unknown = {e.key.session: s.note for e in due if (s := self.calendar.assumed(e.key.session)) is not None}
        return agenda.judge(
            due, self._jobs, siblings, now, self.calendar.zone, down, unknown, self.paused(books, now) if due else {},
            books.asks.approved({e.key.session for e in due}) if asked else (),
        )  # fmt: skip

    def paused(self, books: Books, now: datetime) -> dict[str, str]:
        """The jobs that a person holds back at `now`, each with the words for it."""
        held = books.pauses.held(now)
        found = {name: pause_of(held, name, now) for name in self._jobs} if held else {}
        return {name: pause.words(self.calendar.zone, now) for name, pause in found.items() if pause is not None}

    def _beside(self, names: set[str]) -> tuple[set[str], set[str]]:
        """Of which jobs all rows matter to those in `names`, and of which only what runs."""
        due = [job for name in names if (job := self._jobs.get(name)) is not None]
        whole = {job.name for job in due if job.repeat_until_ok is not None}
        return whole | {name for job in due for name in (*job.needs, *job.after)}, {job.name for job in due} - whole

    def _sessions(self, start: date, today: date, now: datetime, *, first: bool) -> list[Session]:
        """The sessions to plan, those of unknown weekdays included: there what only reads will run."""
        held = {s.date: s for s in self.calendar.sessions(start, today + _FAR) if not (first and s.close <= now)}
        for n in range(_FAR.days):
            if (day := today + timedelta(days=n)) not in held and (session := self.calendar.assumed(day)):
                held[day] = session
        coming = sorted(held.values(), key=lambda s: s.open)
        return [s for s in coming if s.open <= now] + [s for s in coming if s.open > now][:AHEAD]

    def _news(self, moved: Sequence[Moved], gone: Sequence[Key], now: datetime) -> Notice | None:
        """What a person who reads the plan should know of, in a few lines."""
        if not moved and not gone:
            return None
        lines = []
        repeats = {job.name for job in self._p.jobs if job.repeating}
        for one in moved:
            if one.key.job in repeats and one.key.slot != "0001":
                continue
            lines.append(f"{one.key.job} of {one.key.session}: {self.when(one.was)} -> {self.when(one.now)}")
        for (day, job), count in sorted(Counter((key.session, key.job) for key in gone).items()):
            known = self.calendar.day(day)
            why = f"{known.status}: {known.reason}" if known.session is None else "the jobs changed"
            lines.append(f"{job} of {day} cancelled ({why})" + (f", {count} times" if count > 1 else ""))
        for line in lines:
            log.info("plan: %s", line)
        more = [f"and {len(lines) - _LINES} more: runbook plan"] if len(lines) > _LINES else []
        return Notice(f"plan@{now.isoformat()}", "[INFO] the plan has changed", (*lines[:_LINES], *more))
