"""Quiet hours follow the sessions: outside of them only what is critical rings; the rest arrives as one digest."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from runbook.session import Session, SessionCalendar

_LAST = timedelta(minutes=5)  # what has its time at the very end of the waking hours is told in them
_FAR = 14  # days in which a session must come, or nothing is held back for it


@dataclass(frozen=True, slots=True)
class Hours:
    """The waking hours of a desk: `around` each session, before its open and after its close.

    A weekday that nobody knows counts as an ordinary one: it may be a trading day, and then silence would be wrong.
    """

    calendar: SessionCalendar
    around: timedelta = timedelta(minutes=60)

    def loud(self, now: datetime) -> bool:
        """Whether everything is told at once. True too where no session is known to come: nothing can wait for it."""
        near = [s for s in self._near(now) if s.close + self.around + _LAST >= now]
        return not near or any(s.open - self.around <= now for s in near)

    def wakes(self, now: datetime) -> datetime | None:
        """When the next waking hours begin, after `now`."""
        return min((at for s in self._near(now) if (at := s.open - self.around) > now), default=None)

    def begun(self, now: datetime) -> datetime | None:
        """When the newest waking hours began, at `now` or before."""
        return max((at for s in self._near(now) if (at := s.open - self.around) <= now), default=None)

    def close_after(self, now: datetime) -> datetime | None:
        """The close of the session that is on at `now`, or of the next."""
        return min((s.close for s in self._near(now) if s.close > now), default=None)

    def opens_after(self, instant: datetime) -> datetime | None:
        """The first open after `instant`."""
        return min((s.open for s in self._near(instant) if s.open > instant), default=None)

    def _near(self, now: datetime) -> Iterator[Session]:
        today = self.calendar.today(now)
        for n in range(-3, _FAR + 1):
            if (session := self.calendar.session_of(today + timedelta(days=n))) is not None:
                yield session
