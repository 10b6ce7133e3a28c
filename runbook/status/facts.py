"""What a status is made of, and what is read out of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from runbook.alert import Alert
from runbook.ask import Ask
from runbook.day import DayFacts, Lease
from runbook.pause import Pause
from runbook.report.ahead import next_after
from runbook.report.parts import Next, Step
from runbook.report.steps import steps
from runbook.session import Session, SessionCalendar
from runbook.spans import span

BAD = ("bad", "failed", "timed out", "abandoned", "missed")


@dataclass(frozen=True, slots=True)
class StatusFacts:
    """All that a status is made of. `day` is of the current session, else of the newest; `alerts` are not resolved."""

    now: datetime
    calendar: SessionCalendar
    day: DayFacts | None
    lease: Lease | None
    alerts: tuple[Alert, ...]
    unsent: int
    notes: Sequence[str] = ()
    mode: str = ""
    asks: tuple[Ask, ...] = ()  # open ones, of whatever session
    pauses: tuple[Pause, ...] = ()  # in force
    critical: frozenset[str] = frozenset()  # jobs without which nothing may be called green

    @property
    def today(self) -> date:
        return self.calendar.today(self.now)

    @property
    def session(self) -> Session | None:
        """The session that is on, which may have begun yesterday; else today's."""
        begun = self.calendar.session_at(self.now)
        return begun if begun is not None and self.now < begun.close else self.calendar.day(self.today).session

    @property
    def alive(self) -> bool:
        return self.lease is not None and self.now < self.lease.expires

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps of `day`, one row a job."""
        return steps(self.day.entries, (), self.day.rolled) if self.day is not None else ()

    @property
    def feed(self) -> Mapping[str, Any]:
        """What the daemon last said of the feed; empty where it says nothing."""
        return self._said("feed")

    @property
    def pings(self) -> Mapping[str, Any]:
        """Who watches from outside, and when each was last heard."""
        return self._said("watch")

    @property
    def coming(self) -> Next:
        """The next session; today's own until it opens."""
        session = self.session
        begin = self.today - timedelta(days=1) if session is not None and self.now < session.open else self.today
        return next_after(self.calendar, begin)

    def since(self, at: datetime) -> str:
        """How long ago `at` was, in words."""
        return span(max(0.0, (self.now - at).total_seconds()))

    def _said(self, name: str) -> Mapping[str, Any]:
        found = self.lease.data.get(name) if self.lease is not None else None
        return found if isinstance(found, Mapping) else {}


def instant(text: object) -> datetime | None:
    """An instant that the daemon wrote down, or None where it is none."""
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return found if found.tzinfo else None
