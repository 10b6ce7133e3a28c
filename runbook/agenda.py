"""The agenda: which occurrences a session holds, and what may start now. Pure; the ledger keeps what it says."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from types import MappingProxyType
from zoneinfo import ZoneInfo

from runbook.job import IfLate, JobSpec, Key, Occurrence
from runbook.run import Entry, State
from runbook.session import Session
from runbook.trigger import firings

_OPEN_END = timedelta(hours=12)  # a job that names no latest start may run until well after the close
_PUNCTUAL = timedelta(minutes=1)  # later than this is late


def occurrences(job: JobSpec, session: Session) -> list[Occurrence]:
    """The rows of one job in one session. A repeat's latest start is its next firing: a check is not made up for."""
    due = firings(job.trigger, session)
    deadline = job.deadline.at(session) if job.deadline else None
    if job.repeating:
        ends = [f.at for f in due[1:]] + [session.close]
        return [
            Occurrence(Key(session.date, job.name, f.slot), f.at, f.at, end, deadline)
            for f, end in zip(due, ends, strict=True)
        ]
    if job.latest_start:
        latest = job.latest_start.at(session)
    else:
        latest = session.close + (timedelta(days=2 * job.catch_up_sessions + 2) if job.catch_up_sessions else _OPEN_END)
    return [Occurrence(Key(session.date, job.name, f.slot), f.at, f.at, max(latest, f.at), deadline) for f in due]


def agenda(jobs: Iterable[JobSpec], sessions: Iterable[Session]) -> list[tuple[Occurrence, bool]]:
    """All rows of `jobs` in `sessions`; with each, whether it is one of a repeat."""
    return [(o, job.repeating) for session in sessions for job in jobs for o in occurrences(job, session)]


@dataclass(frozen=True, slots=True)
class Start:
    """Claim this row and run it."""

    key: Key


@dataclass(frozen=True, slots=True)
class End:
    """End this row without running it."""

    key: Key
    state: State
    reason: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Leave it planned; something it stands behind has not ended. `ask`: a person has the word."""

    key: Key
    reason: str
    ask: bool = False


Decision = Start | End | Wait


def judge(
    due: Sequence[Entry],
    jobs: Mapping[str, JobSpec],
    siblings: Mapping[tuple[date, str], Sequence[Entry]],
    now: datetime,
    zone: ZoneInfo,
    down: tuple[datetime, datetime] | None = None,
    unknown: Mapping[date, str] = MappingProxyType({}),
    paused: Mapping[str, str] = MappingProxyType({}),
    approved: Collection[Key] = (),
) -> list[Decision]:
    """What becomes of each due row. `siblings` are the rows of the (session, job) pairs that the due rows mention: all of them;
    of the row's own job, unless it is repeated until it passes, what runs is enough.

    `unknown` are the days of which the calendar does not know whether they are sessions, each with why: what acts is held.
    `paused` are the jobs that a person holds back, each in words; `approved` the rows that one said to run however late.
    """
    held = {key for key, job in jobs.items() if job.acts}
    return [
        End(entry.key, State.SKIPPED, f"held: {unknown[entry.key.session]}")
        if entry.key.session in unknown and entry.key.job in held
        else _one(entry, jobs, siblings, now, zone, down, paused, approved)
        for entry in due
    ]


def _one(
    entry: Entry,
    jobs: Mapping[str, JobSpec],
    siblings: Mapping[tuple[date, str], Sequence[Entry]],
    now: datetime,
    zone: ZoneInfo,
    down: tuple[datetime, datetime] | None,
    paused: Mapping[str, str],
    approved: Collection[Key],
) -> Decision:
    key, occurrence = entry.key, entry.occurrence
    if key.job in paused:
        return End(key, State.SKIPPED, paused[key.job])
    job = jobs.get(key.job)
    if job is None:
        return End(key, State.CANCELLED, f"{key.job} is no longer in the configuration")
    own = siblings.get((key.session, key.job), ())
    if job.repeat_until_ok is not None:
        newer = [e for e in own if e.occurrence.planned > occurrence.planned and e.occurrence.planned <= now]
        if newer:
            state = _came_to(entry) if entry.verdict else State.SKIPPED
            seen = f"{entry.reason}; " if entry.verdict else ""
            heir = max(newer, key=lambda e: e.occurrence.planned)
            return End(key, state, f"{seen}the check goes on as {heir.key.slot}")
    if now > occurrence.latest_start:
        latest = _clock(occurrence.latest_start, zone, now)
        if entry.verdict:
            return End(key, _came_to(entry), f"{entry.reason}; not tried after {latest}")
        if down and down[0] <= occurrence.due <= down[1]:
            return End(key, State.MISSED, f"runbook was not running; latest start was {latest}")
        return End(key, State.MISSED, f"not started by its latest start, {latest}")
    if any(e.state is State.RUNNING for e in own):
        return Wait(key, f"{key.job} still runs")
    for name in (*job.needs, *job.after):
        others = siblings.get((key.session, name), ())
        waiting = [e for e in others if not e.state.final]
        if name in job.after:  # what is planned later is not waited for
            waiting = [e for e in waiting if e.occurrence.planned <= occurrence.planned]
        if waiting:
            return Wait(key, f"waits for {name}")
        bad = [e for e in others if e.state is not State.SUCCEEDED]
        if name in job.needs and (bad or not others):
            why = f"{name} {bad[-1].state}" if bad else f"{name} has no row in this session"
            return End(key, State.SKIPPED, f"dependency ({why})")
    if job.asks is not None:
        return Wait(key, "a person does this", ask=True)
    late = now - occurrence.due > _PUNCTUAL
    if job.if_late is IfLate.SKIP and late:
        return End(key, State.SKIPPED, f"late: it was due at {_clock(occurrence.due, zone, now)}, and `if_late: skip`")
    if job.if_late is IfLate.ASK and late and key not in approved:
        return Wait(key, f"late: it was due at {_clock(occurrence.due, zone, now)}, a person is asked", ask=True)
    return Start(key)


def _came_to(entry: Entry) -> State:
    """What a check that was tried until now came to: the outcome of its last try, where that is known."""
    last = entry.last.outcome if entry.last is not None else None
    return last if last is not None and last.final else State.SUCCEEDED


def _clock(instant: datetime, zone: ZoneInfo, now: datetime) -> str:
    local = instant.astimezone(zone)
    return f"{local:%H:%M}" if local.date() == now.astimezone(zone).date() else f"{local:%Y-%m-%d %H:%M}"
