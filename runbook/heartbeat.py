"""What a dead-man's switch outside is told: that runbook lives, each minute, and the milestones of each day.

A switch that hears nothing raises its alarm by itself; so silence is a word too, and nothing here may say "ready" in its place.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID, uuid5

from runbook.alert import Severity
from runbook.job import JobSpec, Verdict
from runbook.run import Entry, State
from runbook.session import ASSUMED, DayStatus, Session, SessionCalendar
from runbook.trigger import Anchor

EVERY = timedelta(seconds=60)
START = Anchor.parse("open-45m")
_CLOSED = timedelta(minutes=10)  # before the usual open: after 09:00, when the switch begins to expect a word
_LATER = timedelta(hours=1)  # a session that opens so much later than usual is told of in the morning
_USUAL = timedelta(days=30)  # the sessions that "usual" is taken from
_WORKING = 5  # Monday to Friday: the days on which the outside expects a word
_RUNS = UUID("6f0c3a0e-6f0b-5d0e-9a36-2b1a6f6f7c11")  # the name space of run ids; any would do, it must only stay


class Word(StrEnum):
    """One milestone of a day."""

    START = "start"
    READY = "ready"
    FAIL = "fail"
    CLOSED = "closed"  # no session, or not yet: nothing is wrong, and it says so

    @property
    def signal(self) -> str:
        """What is appended to the address: healthchecks' own words, "" for success."""
        return {Word.START: "start", Word.FAIL: "fail"}.get(self, "")


@dataclass(frozen=True, slots=True)
class Milestone:
    """One word about one day. `body` is JSON."""

    session: date
    word: Word
    at: datetime
    body: str

    @property
    def run(self) -> UUID:
        """The same for all words of a day, by whichever process: so the switch can measure from start to ready."""
        return run_id("milestones", self.session, START.text)


def run_id(job: str, session: date, slot: str) -> UUID:
    """The id of an occurrence for the world outside."""
    return uuid5(_RUNS, f"{job}/{session}/{slot}")


def due(last: datetime | None, now: datetime) -> bool:
    """Whether it is time for the next ping; a clock that was set back does not hold it up."""
    return last is None or now - last >= EVERY or now < last


def stand(
    calendar: SessionCalendar, now: datetime, *, coming: datetime | None, alerts: int, undelivered: int
) -> Mapping[str, Any]:
    """The body of the minute's ping. `coming` is when the next step is due, None when none is planned."""
    today = calendar.day(calendar.today(now))
    session = today.session
    state = f"{today.status}: {today.reason}" if session is None else str(session.phase_at(now))
    local = coming.astimezone(calendar.zone).isoformat(timespec="seconds") if coming else None
    return {
        "session": str(session.date) if session else None,
        "state": state,
        "next": local,
        "open_alerts": alerts,
        "undelivered": undelivered,
    }


def milestone(
    calendar: SessionCalendar,
    entries: Callable[[], Sequence[Entry]],
    jobs: Sequence[JobSpec],
    said: frozenset[Word],
    now: datetime,
) -> Milestone | None:
    """The word that is due now and not `said` yet; None when there is none. `entries` reads today's occurrences."""
    today = calendar.today(now)
    session = calendar.session_of(today)
    if (quiet := _quiet(calendar, today, session)) is not None and Word.CLOSED not in said and now >= quiet[0]:
        end = session.open if session is not None else quiet[0] + _LATER
        return Milestone(today, Word.CLOSED, quiet[0], _body(today, quiet[1])) if now < end else None
    if session is None or Word.READY in said or not START.at(session) <= now < session.close:
        return None
    if not said - {Word.CLOSED} and now < session.open:
        return Milestone(today, Word.START, START.at(session), _body(today, "the steps before the open begin"))
    deadline, missing = _readiness(session, entries(), jobs)
    if session.name == ASSUMED:
        missing = [f"the calendar does not know today: {calendar.day(today).reason}", *missing]
    clock = f"{now.astimezone(calendar.zone):%H:%M}"
    if not missing:
        late = ", late" if now > deadline else ""
        return Milestone(today, Word.READY, now, _body(today, f"ready at {clock}{late}"))
    if now >= deadline and Word.FAIL not in said:
        return Milestone(today, Word.FAIL, now, _body(today, "not ready: " + "; ".join(missing)))
    return None


def foreseen(calendar: SessionCalendar, jobs: Sequence[JobSpec], now: datetime) -> datetime | None:
    """When the passing of time alone brings the next word, so that somebody looks then."""
    today = calendar.today(now)
    session = calendar.session_of(today)
    marks = [quiet[0]] if (quiet := _quiet(calendar, today, session)) else []
    if session is not None:
        marks += [START.at(session), session.open]
        marks += [job.deadline.at(session) for job in jobs if _gates(job) and job.deadline is not None]
    return min((mark for mark in marks if mark > now), default=None)


def _gates(job: JobSpec) -> bool:
    """Whether the day is not ready without it: its failure is critical."""
    return job.severity is Severity.CRITICAL and not job.repeating


def _readiness(session: Session, entries: Sequence[Entry], jobs: Sequence[JobSpec]) -> tuple[datetime, list[str]]:
    """(by when it must be ready, what is not): of each critical step the last look before the open counts."""
    missing, deadlines, looked = [], [], False
    for job in filter(_gates, jobs):
        rows = [e for e in entries if e.key.job == job.name and e.occurrence.planned < session.open]
        if not rows:
            continue
        looked = True
        last = max(rows, key=lambda e: e.occurrence.planned)
        if last.occurrence.deadline is not None and last.occurrence.deadline <= session.open:
            deadlines.append(last.occurrence.deadline)
        if last.state is not State.SUCCEEDED or last.verdict not in (Verdict.OK, Verdict.ATTENTION):
            missing.append(f"{job.name}: {last.reason or last.state}")
    if not looked:
        missing.append("no critical step is planned before the open, so nobody can say")
    return max(deadlines, default=session.open), missing


def _quiet(calendar: SessionCalendar, today: date, session: Session | None) -> tuple[datetime, str] | None:
    """(when to say so, what) on a working day whose morning has no session; None on every other day."""
    if today.weekday() >= _WORKING:
        return None
    known = calendar.day(today)
    usual = _usual_open(calendar, today)
    if usual is None:
        return None
    if known.status is DayStatus.CLOSED:
        return usual - _CLOSED, f"{calendar.exchange} closed: {known.reason}"
    if session is not None and session.open - usual >= _LATER:
        opens = f"{session.open.astimezone(calendar.zone):%H:%M}"
        return usual - _CLOSED, f"{calendar.exchange} opens at {opens} today ({session.name})"
    return None


def _usual_open(calendar: SessionCalendar, today: date) -> datetime | None:
    """When a session of these weeks opens: most often, so that one special evening does not count."""
    near = calendar.sessions(today - _USUAL, today + _USUAL)
    times: Counter[time] = Counter(s.open.astimezone(calendar.zone).time() for s in near if s.date != today)
    if not times:
        return None
    return datetime.combine(today, times.most_common(1)[0][0], calendar.zone)


def _body(day: date, text: str) -> str:
    return json.dumps({"session": str(day), "state": text})
