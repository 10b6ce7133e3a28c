"""What will happen when: the days of a calendar with the due times of each job, as rows, text and JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any, Protocol
from zoneinfo import ZoneInfo

from runbook.pause import Pause
from runbook.session import Confidence, Day, DayStatus, Session, SessionCalendar
from runbook.trigger import At, Trigger, describe, format_duration, ordinal, repeats


class Planned(Protocol):
    """What a plan needs to know of a job."""

    @property
    def name(self) -> str: ...
    @property
    def trigger(self) -> Trigger: ...


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """A due time of a job; a repeat is one of these with its first and last time and the count of all."""

    job: str
    slot: str  # the anchor's text, or the first and last ordinal of a repeat
    first: datetime
    last: datetime
    count: int
    why: str  # the arithmetic in words
    paused: str = ""  # by whom, until when and why, where it is held back


@dataclass(frozen=True, slots=True)
class PlanRow:
    """One day of the plan; open and close are given exactly on a session's day."""

    exchange: str
    day: Day
    runs: tuple[PlannedRun, ...] = ()

    @property
    def date(self) -> date:
        return self.day.date

    @property
    def open(self) -> datetime | None:
        return self.day.session.open if self.day.session else None

    @property
    def close(self) -> datetime | None:
        return self.day.session.close if self.day.session else None


def plan_days(
    calendar: SessionCalendar, jobs: Iterable[Planned], first: date, last: date, pauses: Sequence[Pause] = ()
) -> list[PlanRow]:
    """A row for every day from `first` to `last`, both included, with its runs in order of time.

    `pauses` are those in force; a run that falls into one says so. On an unknown weekday the runs are those of an ordinary one: what reads will look, what acts is held.
    """
    jobs = list(jobs)
    days = ((day, calendar.session_of(day.date)) for day in calendar.span(first, last))
    rows = [PlanRow(calendar.exchange, day, _runs(session, jobs)) for day, session in days]
    return [replace(row, runs=tuple(_held(run, pauses, calendar.zone) for run in row.runs)) for row in rows]


def _held(run: PlannedRun, pauses: Sequence[Pause], zone: ZoneInfo) -> PlannedRun:
    """The run with a pause that it falls into, or of a repeat some of its firings."""
    found = next((p for p in pauses if p.covers(run.job) and p.meets(run.first, run.last)), None)
    return run if found is None else replace(run, paused=found.words(zone, run.first))


def _runs(session: Session | None, jobs: Iterable[Planned]) -> tuple[PlannedRun, ...]:
    if session is None:
        return ()
    runs = [run for job in jobs for run in _due(job, session)]
    return tuple(sorted(runs, key=lambda run: (run.first, run.job)))


def _due(job: Planned, session: Session) -> Iterator[PlannedRun]:
    trigger = job.trigger
    if isinstance(trigger, At):
        for anchor in trigger.anchors:
            at = anchor.at(session)
            yield PlannedRun(job.name, anchor.text, at, at, 1, describe(anchor, session))
        return
    first, count = repeats(trigger, session)
    if count:
        slot = ordinal(1) if count == 1 else f"{ordinal(1)}..{ordinal(count)}"
        why = f"every {format_duration(trigger.every)} from {describe(trigger.start, session)}"
        why += f" until {describe(trigger.until, session)}"
        yield PlannedRun(job.name, slot, first, first + (count - 1) * trigger.every, count, why)


def render_plan(rows: Iterable[PlanRow], zone: ZoneInfo) -> str:
    """The plan for a terminal, times in `zone`; a day without a session says why in words."""
    rows = list(rows)
    width = max((len(run.job) for row in rows for run in row.runs), default=0)
    lines: list[str] = []
    for row in rows:
        lines.append(_headline(row, zone))
        for run in row.runs:
            when = _clock(run.first, row.date, zone)
            if run.count > 1:
                when += f"-{_clock(run.last, row.date, zone)}"
            what = f"{run.why} ({run.count} times)" if run.count > 1 else run.why
            what += f"; {run.paused}" if run.paused else ""
            lines.append(f"  {when:<19}{run.job:<{width}}  {what}".rstrip())
        if row.runs and row is not rows[-1]:
            lines.append("")
    return "\n".join(lines) + "\n" if lines else ""


def _headline(row: PlanRow, zone: ZoneInfo) -> str:
    day = row.day
    head = f"{day.date} {day.date:%A}"
    if day.session is None:
        if day.status is not DayStatus.UNKNOWN:
            return f"{head:<21} closed: {day.reason}"
        looks = "; what only reads looks at the ordinary hours, what acts is held" if row.runs else ""
        return f"{head:<21} unknown: {day.reason}{looks}"
    hours = ", ".join(
        f"{_clock(start, day.date, zone)}-{_clock(end, day.date, zone)}" for start, end in day.session.intervals
    )
    text = f"{head:<21} {row.exchange} {hours} {day.session.open.astimezone(zone):%Z}"
    text += f", {day.reason}" if day.session.name != "regular" else ""
    if expiring := day.session.expiring_close:
        text += f", what expires that day until {_clock(expiring, day.date, zone)}"
    if day.confidence is not Confidence.HIGH:
        text += f" (confidence {day.confidence}: {day.note or ', '.join(day.sources)})"
    return text


def _clock(instant: datetime, day: date, zone: ZoneInfo) -> str:
    """HH:MM, with seconds where there are any, and with +1d or -1d where it falls on another date in `zone`."""
    local = instant.astimezone(zone)
    off = (local.date() - day).days
    return local.strftime("%H:%M:%S" if local.second else "%H:%M") + (f"{off:+d}d" if off else "")


def to_json(rows: Iterable[PlanRow], zone: ZoneInfo) -> list[dict[str, Any]]:
    """The rows as JSON-able values; times are ISO 8601 with the offset of `zone`."""

    def iso(instant: datetime) -> str:
        return instant.astimezone(zone).isoformat()

    return [
        {
            "date": row.date.isoformat(),
            "weekday": f"{row.date:%A}",
            "exchange": row.exchange,
            "status": row.day.status.value,
            "reason": row.day.reason,
            "name": row.day.session.name if row.day.session else None,
            "open": iso(row.open) if row.open else None,
            "close": iso(row.close) if row.close else None,
            "intervals": [[iso(start), iso(end)] for start, end in row.day.session.intervals]
            if row.day.session
            else [],
            "confidence": row.day.confidence.value,
            "note": row.day.note,
            "sources": list(row.day.sources),
            "runs": [
                {
                    "job": run.job,
                    "slot": run.slot,
                    "first": iso(run.first),
                    "last": iso(run.last),
                    "count": run.count,
                    "why": run.why,
                    "paused": run.paused or None,
                }
                for run in row.runs
            ],
        }
        for row in rows
    ]
