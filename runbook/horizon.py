"""The horizon: which of the coming days the calendar does not know, and how pressing that is."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

from runbook.alert import CalendarDoubt, Severity
from runbook.session import DayStatus, SessionCalendar

AHEAD = 7  # days: notice enough to find the exchange's circular
_BEHIND = 7
_SATURDAY = 5


def doubts(calendar: SessionCalendar, today: date) -> Iterator[CalendarDoubt]:
    """The first unknown weekday of the coming week, critical when no session lies before it; and those that are over.

    One day is told, not each: where knowledge ends, every day after it is unknown too.
    """
    days = [today + timedelta(days=n) for n in range(1, AHEAD + 1)]
    unknown = [d for d in map(calendar.day, days) if d.status is DayStatus.UNKNOWN and d.date.weekday() < _SATURDAY]
    first = unknown[0].date if unknown else None
    for n in range(-_BEHIND, AHEAD + 1):
        day = today + timedelta(days=n)
        if day != first:
            known = calendar.day(day)
            reason = f"{known.status}: {known.reason}" if known.status is not DayStatus.UNKNOWN else "the day has come"
            if n <= 0 or known.status is not DayStatus.UNKNOWN:
                yield CalendarDoubt("unknown", today, day, reason, over=True)
    if first is None:
        return
    eve = not any(calendar.sessions(today + timedelta(days=1), first - timedelta(days=1)))
    more = f", and {len(unknown) - 1} more within a week" if len(unknown) > 1 else ""
    reason = f"{first:%A %d %B %Y}: {unknown[0].reason}{more}"
    yield CalendarDoubt("unknown", today, first, reason, Severity.CRITICAL if eve else Severity.WARNING)
