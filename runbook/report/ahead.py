"""The session after this one: when it opens, when to log in to the broker, and what is special about the week."""

from __future__ import annotations

from datetime import date, timedelta

from runbook.report.layout import plain, short_day
from runbook.report.parts import Next
from runbook.session import Day, DayStatus, SessionCalendar

LOGIN = timedelta(hours=1)  # before the open: brokers end their tokens at night, and the first check looks then
_WEEK = 7
_FURTHEST = 60  # days to look through; no exchange rests for longer


def next_after(calendar: SessionCalendar, day: date) -> Next:
    """The first session after `day`. A day that is not known ends the search: behind it nothing can be promised."""
    found: Day | None = None
    for seen in calendar.span(day + timedelta(days=1), day + timedelta(days=_FURTHEST)):
        if seen.status is not DayStatus.CLOSED:
            found = seen
            break
    remarks = _remarks(calendar, day)
    if found is None:
        return Next(None, "", None, None, None, f"the calendar has no session in {_FURTHEST} days", remarks)
    session = found.session
    if session is None:
        why = plain(found.reason) + (f" ({plain(found.note)})" if found.note else "")
        return Next(found.date, "", None, None, None, why, remarks)
    note = plain(session.note or found.note)
    return Next(found.date, session.name, session.open, session.close, session.open - LOGIN, note, remarks)


def _remarks(calendar: SessionCalendar, day: date) -> tuple[str, ...]:
    """The coming week's holidays, special sessions, and the days nobody knows."""
    out = []
    unknown: list[date] = []
    for seen in calendar.span(day + timedelta(days=1), day + timedelta(days=_WEEK)):
        if seen.status is DayStatus.UNKNOWN:
            unknown.append(seen.date)
        elif seen.status is DayStatus.CLOSED and "weekend" not in seen.reason:
            out.append(f"{short_day(seen.date)} closed: {plain(seen.reason)}")
        elif seen.session is not None and seen.session.name not in ("", "regular"):
            out.append(f"{short_day(seen.date)} special session: {plain(seen.session.name)}")
    if unknown:
        reason = plain(calendar.day(unknown[0]).reason)
        out.append(
            f"{short_day(unknown[0])} and on: not known ({reason})"
            if len(unknown) > 1
            else f"{short_day(unknown[0])}: not known ({reason})"
        )
    return tuple(out)
