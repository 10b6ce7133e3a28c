"""The steps of a session as a person reads them: one line to a row, and one to all rows of a repeat."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from itertools import groupby

from runbook.day import Tally
from runbook.job import JobSpec, Verdict
from runbook.report.layout import plain
from runbook.report.parts import Hole, Stage, Step
from runbook.run import Entry, State, Try

PUNCTUAL = timedelta(minutes=1)  # later than this is late, as in agenda.py

ASKED = "waits for a person"
_WORDS = {
    State.PLANNED: "planned",
    State.WAITING_HUMAN: ASKED,
    State.RUNNING: "running",
    State.FAILED: "failed",
    State.TIMED_OUT: "timed out",
    State.ABANDONED: "abandoned",
    State.MISSED: "missed",
    State.SKIPPED: "skipped",
    State.CANCELLED: "cancelled",
}
_BROKEN = (State.FAILED, State.TIMED_OUT, State.ABANDONED)
_NOT_WANTED = (State.SKIPPED, State.CANCELLED)  # the calendar or the configuration took it back: nothing went wrong
# The word for many rows is that of the worst of them; `planned` is no news while others ran.
_WORST_FIRST = (
    "bad", "failed", "timed out", "abandoned", "missed", "attention", "unknown", "cancelled", "running", ASKED,
    "ok", "skipped", "planned",
)  # fmt: skip
_PARTLY = ("failed", "timed out", "abandoned", "missed", "cancelled")  # of a repeat that also ran well


def word(entry: Entry) -> str:
    """How a row stands, in one word. It succeeded and said nothing of what it found: that is unknown, never ok."""
    if entry.state is State.SUCCEEDED:
        return str(entry.verdict or Verdict.UNKNOWN)
    return _WORDS[entry.state]


def steps(entries: Sequence[Entry], jobs: Sequence[JobSpec], rolled: Sequence[Tally] = ()) -> tuple[Step, ...]:
    """All rows of a session as steps, by time, then as the configuration has them. What was rolled up counts as ever."""
    order = {job.name: n for n, job in enumerate(jobs)}
    rows = sorted(entries, key=lambda e: (e.key.job, e.occurrence.planned, e.key.slot))
    found: list[Step] = []
    for (job, repeating), group in groupby(rows, key=lambda e: (e.key.job, e.repeating)):
        held = list(group)
        found += [_many(held, sum(t.count for t in rolled if t.job == job))] if repeating else map(_one, held)
    return tuple(sorted(found, key=lambda s: (s.first, order.get(s.job, len(order)), s.job, s.slot)))


def own(step: Step, stage: Stage) -> bool:
    """The row that writes this report: it cannot have ended, and that is no news."""
    return stage is Stage.OVER and step.job == "report_day" and step.state == "running"


def _one(entry: Entry) -> Step:
    first, last = (entry.tries[0], entry.tries[-1]) if entry.tries else (None, None)
    late = first.started - entry.occurrence.planned if first else timedelta()
    state = word(entry)
    return Step(
        job=entry.key.job,
        slot=entry.key.slot,
        repeating=False,
        first=entry.occurrence.planned,
        last=entry.occurrence.planned,
        rows=1,
        ran=int(first is not None),
        tries=len(entry.tries),
        ok=int(state == "ok"),
        missed=int(entry.state is State.MISSED),
        skipped=int(entry.state in _NOT_WANTED),
        broken=int(entry.state in _BROKEN),
        waiting=int(not entry.state.final),
        state=state,
        newest=state,
        started=last.started if last else None,
        took=_took(last),
        late_by=late.total_seconds() if late > PUNCTUAL else None,
        ended_late=_ended_late(entry),
        reason=_reason(entry),
        hint=plain(last.hint or "") if last and state != "ok" else "",
    )


def _many(rows: list[Entry], rolled: int) -> Step:
    """One line for `rows` and for as many more as were rolled up: each of those ran once, and was ok."""
    words = [word(row) for row in rows]
    ran = [row for row in rows if row.tries]
    newest = max(ran, key=lambda row: row.tries[-1].started, default=None)
    state = next(w for w in _WORST_FIRST if w in words)
    if state in _PARTLY and "ok" in words:
        state = "attention"
    worst = next((w for w in _WORST_FIRST if w in words and w != "missed"), "missed")
    told = [row for row, w in zip(rows, words, strict=True) if w == worst]
    speaks = told[-1] if worst not in ("ok", "planned") else newest or told[-1]
    last = newest.tries[-1] if newest else None
    return Step(
        job=rows[0].key.job,
        slot="",
        repeating=True,
        first=rows[0].occurrence.planned,
        last=rows[-1].occurrence.planned,
        rows=len(rows) + rolled,
        ran=len(ran) + rolled,
        tries=sum(len(row.tries) for row in rows) + rolled,
        ok=words.count("ok") + rolled,
        missed=words.count("missed"),
        skipped=sum(row.state in _NOT_WANTED for row in rows),
        broken=sum(row.state in _BROKEN for row in rows),
        waiting=sum(not row.state.final for row in rows),
        state=state,
        newest=word(newest) if newest else state,
        started=last.started if last else None,
        took=_took(last),
        late_by=None,
        ended_late=None,
        reason=_reason(speaks),
        hint=plain(speaks.last.hint or "") if speaks.last and state != "ok" else "",
        holes=_holes(rows),
    )


def _holes(rows: list[Entry]) -> tuple[Hole, ...]:
    found = []
    for missed, group in groupby(rows, key=lambda row: row.state is State.MISSED):
        if missed:
            held = list(group)
            # A repeat's latest start is its next firing: that is where the hole ends.
            found.append(Hole(held[0].occurrence.planned, held[-1].occurrence.latest_start, len(held)))
    return tuple(found)


def _took(run: Try | None) -> float | None:
    return (run.ended - run.started).total_seconds() if run and run.ended else None


def _ended_late(entry: Entry) -> datetime | None:
    """The deadline, where the row was ok only after it. A row that is due at the deadline itself cannot keep it."""
    deadline, last = entry.occurrence.deadline, entry.last
    if word(entry) != "ok" or deadline is None or last is None or last.ended is None:
        return None
    if deadline <= entry.occurrence.planned:
        return None
    return deadline if last.ended > deadline else None


def _reason(entry: Entry) -> str:
    return plain(entry.reason or (entry.last.reason if entry.last else ""))
