"""One job on one day: when it is due and by what arithmetic, by which rules, what is written, what starting it now would do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from types import MappingProxyType
from typing import Any
from zoneinfo import ZoneInfo

from runbook import agenda
from runbook.day import Tally
from runbook.job import IfLate, JobSpec, Occurrence, OnAbandoned
from runbook.run import Entry, State
from runbook.session import Day, Session
from runbook.trigger import At, Every, describe, format_duration


@dataclass(frozen=True, slots=True)
class Slot:
    """One due time, or all of a repeat as one: `count` of them, `last` the last. `entry` is its row of the ledger."""

    name: str
    due: datetime
    last: datetime
    count: int
    arithmetic: str
    latest_start: datetime
    deadline: datetime | None
    entry: Entry | None
    states: Mapping[str, int]  # how many rows of a repeat are in each state
    now: str  # what would happen if it were started now


@dataclass(frozen=True, slots=True)
class Explained:
    """All there is to say of the job on the day."""

    job: JobSpec
    exchange: str
    day: Day
    slots: tuple[Slot, ...]
    latest: str | None
    deadline: str | None
    rules: tuple[tuple[str, str], ...]


def explain(
    job: JobSpec,
    day: Day,
    jobs: Mapping[str, JobSpec],
    held: Sequence[Entry],
    exchange: str,
    now: datetime,
    zone: ZoneInfo,
    assumed: Session | None = None,
    rolled: Sequence[Tally] = (),
    paused: Mapping[str, str] = MappingProxyType({}),
) -> Explained:
    """`held` are all rows of the day in the ledger; none of a day that is not planned yet. `rolled` is what is only counted.

    `paused` are the jobs that a person holds back, in words. `assumed` is the session by whose hours a day is looked at that the calendar does not know.
    """
    session = day.session or assumed
    if session is None:
        return Explained(job, exchange, day, (), None, None, tuple(_rules(job)))
    latest = describe(job.latest_start, session) if job.latest_start else None
    deadline = describe(job.deadline, session) if job.deadline else None
    unknown = {} if day.session else {day.date: day.reason}
    well = sum(tally.count for tally in rolled if tally.job == job.name)
    slots = _slots(job, session, jobs, held, well, now, zone, unknown, paused)
    return Explained(job, exchange, day, tuple(slots), latest, deadline, tuple(_rules(job)))


def _slots(
    job: JobSpec,
    session: Session,
    jobs: Mapping[str, JobSpec],
    held: Sequence[Entry],
    well: int,
    now: datetime,
    zone: ZoneInfo,
    unknown: Mapping[date, str],
    paused: Mapping[str, str],
) -> list[Slot]:
    rows = agenda.occurrences(job, session)
    entries = {entry.key: entry for entry in held}
    day = _as_planned(session, jobs.values(), entries)
    if not isinstance(job.trigger, Every):
        anchors = {anchor.text: describe(anchor, session) for anchor in job.trigger.anchors}
        return [
            Slot(
                o.key.slot, o.planned, o.planned, 1, anchors[o.key.slot], o.latest_start, o.deadline, entries.get(o.key),
                {}, _now(o, entries.get(o.key), jobs, day, now, zone, unknown, paused),
            )
            for o in rows
        ]  # fmt: skip
    if not rows:
        return []
    trigger = job.trigger
    text = f"every {format_duration(trigger.every)} from {describe(trigger.start, session)} until {describe(trigger.until, session)}"
    states: dict[str, int] = {str(State.SUCCEEDED): well} if well else {}
    for o in rows:
        if entry := entries.get(o.key):
            states[str(entry.state)] = states.get(str(entry.state), 0) + 1
    current = next((o for o in reversed(rows) if o.planned <= now), rows[0])
    entry = entries.get(current.key)
    return [
        Slot(
            current.key.slot, rows[0].planned, rows[-1].planned, len(rows), text, current.latest_start, current.deadline,
            entry, states, _now(current, entry, jobs, day, now, zone, unknown, paused),
        )
    ]  # fmt: skip


def _as_planned(session: Session, jobs: Any, entries: Mapping[Any, Entry]) -> dict[Any, list[Entry]]:
    """The rows of the day: those that are held, and as the daemon will write them where none is yet."""
    day: dict[Any, list[Entry]] = {}
    for job in jobs:
        for o in agenda.occurrences(job, session):
            entry = entries.get(o.key) or Entry(o, job.repeating, State.PLANNED, None, "", "")
            day.setdefault((session.date, job.name), []).append(entry)
    return day


def _now(
    occurrence: Occurrence,
    entry: Entry | None,
    jobs: Mapping[str, JobSpec],
    day: Mapping[Any, list[Entry]],
    now: datetime,
    zone: ZoneInfo,
    unknown: Mapping[date, str],
    paused: Mapping[str, str],
) -> str:
    """What the daemon would do with the row at `now`."""
    row = entry or Entry(occurrence, jobs[occurrence.key.job].repeating, State.PLANNED, None, "", "")
    if row.state is State.WAITING_HUMAN:
        return "a person was asked: `runbook asks`; it goes on with the answer"
    if row.state is State.RUNNING:
        return "it runs now; a second one would not be started"
    if row.state.final:
        return f"it has ended ({row.state}); `runbook run {occurrence.key.job} --again` would run it once more"
    decision = agenda.judge([row], jobs, day, now, zone, unknown=unknown, paused=paused)[0]
    match decision:
        case agenda.Start():
            ahead = row.occurrence.due - now
            if ahead > timedelta():
                return f"it would run, {_length(ahead)} before it is due; by itself it waits until then"
            return "it would run at once"
        case agenda.Wait():
            return f"it would wait: {decision.reason}"
        case agenda.End():
            return f"it would not run: {decision.state}, {decision.reason}"


def _rules(job: JobSpec) -> list[tuple[str, str]]:
    """The policy of the job in words: (what happens, what is done then)."""
    found = [("takes", f"at most {job.timeout:g} s, then it is ended as timed out")]
    if job.asks is not None:
        asked = job.asks
        found = [
            ("asks", f"{asked.question} ({' or '.join(asked.choices)})"),
            ("unanswered", f"at {asked.deadline}: {asked.default}, which skips it"),
        ]
    if job.repeat_until_ok is not None:
        found.append(
            (
                "not ok",
                f"tried again each {format_duration(job.repeat_until_ok)} until it passes or its latest start is over",
            )
        )
    if job.needs:
        found.append(("needs", f"{', '.join(job.needs)}: waits for it, and is skipped unless it succeeded"))
    if job.after:
        found.append(
            ("after", f"{', '.join(job.after)}: waits until what is planned before it has ended, whatever came of it")
        )
    late = "runs all the same, until its latest start; after that it is missed"
    if job.repeating:
        late = "a firing that was not started before the next one is missed; it is not made up for"
    elif job.if_late is IfLate.SKIP:
        late = "is skipped when found more than a minute after its time"
    elif job.if_late is IfLate.ASK:
        late = "a person is asked when it is found more than a minute after its time; unanswered at its latest start it is skipped"
    found.append(("late", late))
    again = {
        OnAbandoned.RERUN: "runs again", OnAbandoned.FAIL: "is not run again: it ends as abandoned",
        OnAbandoned.ASK: "waits for a person's word; unanswered at its latest start it is skipped",
    }[job.on_abandoned]  # fmt: skip
    found.append(("cut off", f"when its process dies in the middle it {again}"))
    if job.catch_up_sessions:
        found.append(("missed", f"made up for within the next {job.catch_up_sessions} sessions"))
    if job.acts:
        found.append(("unknown", "it changes something, so on a day that the calendar does not know it is held"))
    if job.resident:
        found.append(("lives on", "what it starts lives in the daemon; without one it cannot run"))
    to = ", ".join(job.to) if job.to is not None else "every channel"
    found.append(("fails", f"an alert, {job.severity}, to {to}"))
    return found


def _length(span: timedelta) -> str:
    return format_duration(timedelta(minutes=round(span.total_seconds() / 60)) if span > timedelta(minutes=2) else span)


def render_explained(told: Explained, zone: ZoneInfo) -> str:
    """For a terminal."""
    job, day = told.job, told.day
    lines = [f"{job.name} on {day.date:%A} {day.date}", "", f"  day        {told.exchange} {_hours(day, zone)}"]
    lines += [f"             {text}" for text in (*day.sources, *([f"note: {day.note}"] if day.note else []))]
    if told.slots and day.session is None:
        lines.append("             what only reads looks at the ordinary hours, what acts is held")
    lines.append(f"  runs       {job.run or 'a person'}, {'at ' if isinstance(job.trigger, At) else ''}{job.trigger}")
    if not told.slots:
        why = (
            "without a session there is no open and no close: nothing is planned"
            if day.session is None
            else "no firing falls into this session"
        )
        lines.append(f"  due        {why}")
    for slot in told.slots:
        lines += ["", *_slot_lines(slot, told, zone)]
    lines += ["", "rules", *(f"  {what:<10} {text}" for what, text in told.rules)]
    return "\n".join(lines) + "\n"


def _slot_lines(slot: Slot, told: Explained, zone: ZoneInfo) -> list[str]:
    lines = [f"{told.job.trigger if slot.count > 1 else slot.name}"]
    due = f"{slot.arithmetic}" if slot.count == 1 else f"{slot.arithmetic}: {slot.count} times"
    lines.append(f"  due        {due}")
    if slot.count > 1:
        lines.append(f"  first,last {_at(slot.due, zone)}, {_at(slot.last, zone)}")
    elif told.job.latest_start:
        lines.append(f"  latest     {told.latest}")
    else:
        latest = slot.latest_start.astimezone(zone)
        when = f"{latest:%H:%M}" if latest.date() == told.day.date else f"{latest:%A %Y-%m-%d %H:%M}"
        lines.append(f"  latest     {when}, since none is given")
    if told.deadline:
        lines.append(f"  deadline   {told.deadline}, told when it has not succeeded by then")
    if slot.states:
        lines.append("  ledger     " + ", ".join(f"{n} {state}" for state, n in sorted(slot.states.items())))
    if slot.entry is not None:
        held = slot.entry
        name = f"{slot.name}: " if slot.count > 1 else ""
        text = (
            f"{name}{held.state}"
            + (f", {held.verdict}" if held.verdict else "")
            + (f": {held.reason}" if held.reason else "")
        )
        lines.append(f"  {'ledger' if not slot.states else '':<10} {text}")
        lines += [
            f"             try {t.n} at {_at(t.started, zone)} by {t.actor}: {t.outcome or 'running'}"
            for t in held.tries[-3:]
        ]
    elif not slot.states:
        lines.append("  ledger     no row yet: the daemon writes it when it plans this session")
    lines.append(f"  now        {slot.name + ': ' if slot.count > 1 else ''}{slot.now}")
    return lines


def _hours(day: Day, zone: ZoneInfo) -> str:
    if day.session is None:
        return f"{day.status}: {day.reason} (confidence {day.confidence})"
    spans = ", ".join(f"{_at(a, zone)}-{_at(b, zone)}" for a, b in day.session.intervals)
    return f"open {spans} {day.session.open.astimezone(zone):%Z}, {day.reason} (confidence {day.confidence})"


def _at(instant: datetime, zone: ZoneInfo) -> str:
    local = instant.astimezone(zone)
    return f"{local:%H:%M:%S}" if local.second else f"{local:%H:%M}"


def explained_json(told: Explained, zone: ZoneInfo) -> dict[str, Any]:
    """As JSON-able values; times are ISO 8601 with the offset of `zone`."""

    def iso(instant: datetime | None) -> str | None:
        return instant.astimezone(zone).isoformat() if instant else None

    day, session = told.day, told.day.session
    return {
        "job": told.job.name,
        "run": told.job.run,
        "trigger": str(told.job.trigger),
        "date": day.date.isoformat(),
        "exchange": told.exchange,
        "day": {
            "status": day.status.value, "reason": day.reason, "sources": list(day.sources), "confidence": day.confidence.value,
            "note": day.note, "intervals": [[iso(a), iso(b)] for a, b in session.intervals] if session else [],
        },
        "latest_start": told.latest,
        "deadline": told.deadline,
        "slots": [
            {
                "slot": s.name, "first": iso(s.due), "last": iso(s.last), "count": s.count, "why": s.arithmetic,
                "latest_start": iso(s.latest_start), "deadline": iso(s.deadline), "ledger": _row(s, iso), "now": s.now,
            }
            for s in told.slots
        ],
        "rules": [{"when": what, "then": text} for what, text in told.rules],
    }  # fmt: skip


def _row(slot: Slot, iso: Any) -> dict[str, Any] | None:
    if slot.entry is None and not slot.states:
        return None
    held = slot.entry
    return {
        "state": str(held.state) if held else None, "verdict": str(held.verdict) if held and held.verdict else None,
        "reason": held.reason if held else None, "states": dict(slot.states),
        "tries": [{"n": t.n, "started": iso(t.started), "ended": iso(t.ended), "by": t.actor,
                   "outcome": str(t.outcome) if t.outcome else None, "reason": t.reason} for t in held.tries] if held else [],
    }  # fmt: skip
