"""What a new table says of the past that the stored one did not: the past does not change, so somebody erred."""

from __future__ import annotations

from datetime import date

from runbook.session import Day, DayStatus, SessionCalendar
from runbook.timetable.days import LIBRARY, WEEK


def changed_past(old: SessionCalendar, new: SessionCalendar, today: date) -> tuple[str, ...]:
    """The days before `today` whose answer changed though no file accounts for it, each as `date: before -> after`.

    That is status, and the hours as far as the library gives them. A day that a file in calendar/ speaks of, in either
    table, was changed on purpose: it is not among them. Nor is a day that was unknown: to learn is no contradiction.
    """
    days = sorted(day for day in old.days.keys() | new.days.keys() if day < today)
    pairs = ((old.day(day), new.day(day)) for day in days)
    return tuple(
        f"{before.date}: {_told(before, old)} -> {_told(after, new)}"
        for before, after in pairs
        if _turned(before, after)
    )


def _turned(before: Day, after: Day) -> bool:
    if before.status is DayStatus.UNKNOWN or _stated(before) or _stated(after):
        return False
    if before.status is not after.status:
        return True
    # hours that come from a file name it: another source is another statement, not a library that changed its mind
    return before.sources == after.sources and _intervals(before) != _intervals(after)


def _stated(day: Day) -> bool:
    """Whether a file decided the day: who decided is told first."""
    return bool(day.sources) and not day.sources[0].startswith((LIBRARY, WEEK))


def _intervals(day: Day) -> object:
    return day.session.intervals if day.session else None


def _told(day: Day, calendar: SessionCalendar) -> str:
    if day.session is None:
        return f"{day.status} ({day.reason})"
    hours = (
        f"{a.astimezone(calendar.zone):%H:%M}-{b.astimezone(calendar.zone):%H:%M}" for a, b in day.session.intervals
    )
    return f"{day.status} {', '.join(hours)}"
