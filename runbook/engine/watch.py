"""The watch: what the passing of time alone brings: hold-downs, deadlines, and the one reminder of the morning's login."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import TYPE_CHECKING

from runbook.alert import JobSettled, LoginDue, Tick
from runbook.ask import AskKind
from runbook.engine.alerting import Alerting
from runbook.engine.parts import BROKER_JOB
from runbook.engine.planner import Planner
from runbook.job import JobSpec, Key, Verdict
from runbook.run import Entry, State
from runbook.trigger import Anchor

if TYPE_CHECKING:
    from runbook.adapters.store import Books, Look

LOGIN = Anchor.parse("open-30m")


class Watch:
    """Remembers what it has said, so that a deadline and a reminder are told once to a process."""

    def __init__(self, planner: Planner, alerting: Alerting, jobs: Mapping[str, JobSpec], dashboard: str) -> None:
        self._planner = planner
        self._alerting = alerting
        self._jobs = jobs
        self._dashboard = dashboard
        self._reminded: set[date] = set()
        self._overdue: set[Key] = set()

    def knows(self, books: Books, now: datetime) -> None:
        """Deadlines that passed before the start: its one message names what comes late, and none is told again."""
        self._overdue |= {entry.key for entry in books.ledger.overdue(now)}

    def next(self, books: Books, now: datetime) -> datetime | None:
        """When to look again at the latest: an alert's hold-down runs out."""
        settles = (a.settles_at for a in books.alerts.unresolved() if a.settles_at is not None)
        return min((at for at in settles if at > now), default=None)

    def due(self, store: Look, now: datetime) -> None:
        """Do what is due."""
        with store.read() as books:
            settles = [a for a in books.alerts.unresolved() if a.settled(now)]
            login = self._login(books, now)
            late = self._past_deadline(books, now)
        if not settles and not login and not late:
            return
        with store.write() as books:
            for entry, job in late:
                why = f"not ended by its deadline, {self._planner.when(entry.occurrence.deadline or now)}"
                cause = JobSettled(job.name, entry.key.slot, State.MISSED, reason=why, severity=job.severity)
                self._alerting.decide(books, [cause], now, entry.key.session, job.to)
            if settles:
                self._alerting.decide(books, [Tick()], now, self._planner.calendar.today(now))
            if login and all(e.verdict is not Verdict.OK for e in login):
                session = login[-1].key.session
                asked = next((a for a in books.asks.waiting() if a.kind is AskKind.FINDING), None)
                answer = f"; then: {asked.how_to_answer}" if asked is not None else ""
                reminder = LoginDue(session, login[-1].reason, f"log in: {self._dashboard}{answer}")
                self._alerting.decide(books, [reminder], now, session)
        self._reminded |= {entry.key.session for entry in login}
        self._overdue |= {entry.key for entry, _ in late}

    def _login(self, books: Books, now: datetime) -> list[Entry]:
        """The rows of the broker's check that have a verdict, once open-30m has come; none yet: asked again next turn."""
        coming = self._planner.calendar.next_session(now)
        if coming is None or coming.date in self._reminded or LOGIN.at(coming) > now or BROKER_JOB not in self._jobs:
            return []
        rows = books.ledger.states(coming.date)
        return [e for e in rows if e.key.job == BROKER_JOB and e.verdict is not None]

    def _past_deadline(self, books: Books, now: datetime) -> list[tuple[Entry, JobSpec]]:
        """What has not ended by its deadline and is not told yet; what repeats until it passes is judged by its verdict."""
        late = [e for e in books.ledger.overdue(now) if e.key not in self._overdue]
        jobs = ((entry, self._jobs.get(entry.key.job)) for entry in late)
        return [(e, job) for e, job in jobs if job is not None and job.repeat_until_ok is None and not job.repeating]
