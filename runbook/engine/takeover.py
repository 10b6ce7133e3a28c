"""The takeover: what a starting engine finds of the one before it, and the one message about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from runbook import agenda, run
from runbook.alert import JobSettled, Notice
from runbook.engine.alerting import Alerting
from runbook.engine.planner import Planner
from runbook.job import JobSpec, Occurrence, OnAbandoned
from runbook.run import State

if TYPE_CHECKING:
    from runbook.adapters.store import Books

_AROUND = timedelta(hours=1)  # before the open and after the close: still in mid-session for whoever trades
AGAIN = "run again: the process that ran it ended"


def tidy(
    books: Books, jobs: Mapping[str, JobSpec], planner: Planner, alerting: Alerting, epoch: int, now: datetime
) -> None:
    """Rows that an earlier process left running are abandoned; what may be run again is planned once more."""
    for entry, attempt in books.ledger.running(before_epoch=epoch):
        ended = run.abandoned(attempt, now)
        books.ledger.settle(ended, epoch)
        job = jobs.get(entry.key.job)
        if not again(books, jobs, entry.occurrence, now) and job is not None and not job.repeating:
            cause = JobSettled(job.name, entry.key.slot, ended.outcome, reason=ended.reason, severity=job.severity)
            alerting.decide(books, [cause], now, entry.key.session, job.to)
    today = planner.calendar.today(now)
    for job in (job for job in jobs.values() if job.resident):
        for session in filter(None, (planner.session(today - timedelta(days=1)), planner.session(today))):
            for o in agenda.occurrences(job, session) if session.close > now else ():
                held = books.ledger.entry(o.key)
                if held and held.state is State.SUCCEEDED and now <= held.occurrence.latest_start:
                    books.ledger.reopen(o.key, max(now, o.planned), "run again: what it started ended with its process")


def again(books: Books, jobs: Mapping[str, JobSpec], occurrence: Occurrence, now: datetime) -> bool:
    """Plan what was cut off once more, where its job says that this does no harm."""
    job = jobs.get(occurrence.key.job)
    if job is None or job.repeating or job.on_abandoned is OnAbandoned.FAIL or now > occurrence.latest_start:
        return False
    if job.on_abandoned is OnAbandoned.ASK:
        books.ledger.hold(occurrence.key, "the process that ran it ended; a person is asked")
        return True
    books.ledger.reopen(occurrence.key, max(now, occurrence.planned), AGAIN)  # a clock may have been fast
    return True


def late_start(
    books: Books, planner: Planner, down: tuple[datetime, datetime] | None, epoch: int, now: datetime, *, first: bool
) -> Notice | None:
    """End what can no longer run, and say so once: down from when to when, what was missed, what runs now."""
    decisions = planner.judge(books, now, down)
    missed = [d for d in decisions if isinstance(d, agenda.End)]
    for end in missed:
        books.ledger.end([end.key], end.state, end.reason)
    session = planner.calendar.session_at(now)
    inside = session is not None and session.open - _AROUND <= now <= session.close + _AROUND
    lost = [d for d in missed if d.state is State.MISSED]
    failed = [d for d in missed if d.state in (State.FAILED, State.TIMED_OUT, State.ABANDONED)]  # no try is left
    if not lost and not failed and not (inside and down):
        return None
    lines = [f"down: {planner.when(down[0])} - {planner.when(down[1])}"] if down and not first else []
    counts = Counter((end.key.session, end.key.job) for end in lost)
    lines += [f"missed: {job} of {day}" + (f", {n} times" if n > 1 else "") for (day, job), n in sorted(counts.items())]
    lines += [f"{end.state}: {end.key.job} of {end.key.session}: {end.reason}" for end in failed]
    running = sorted({d.key.job for d in decisions if isinstance(d, agenda.Start)})
    lines.append(f"runs now: {', '.join(running) or 'nothing is due'}")
    title = "[WARN] runbook started in mid-session" if inside else "[WARN] runbook was not running"
    return Notice(f"late@{epoch}@{now.isoformat()}", title, tuple(lines))
