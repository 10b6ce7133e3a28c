"""An attempt in the ledger, from its beginning to its end: claimed when it is due or asked for, settled when it is over."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from datetime import date, datetime
from typing import TYPE_CHECKING

from runbook import agenda
from runbook.alert import JobSettled, Notice
from runbook.engine.alerting import Alerting
from runbook.engine.parts import SCHEDULER
from runbook.engine.planner import Planner
from runbook.job import JobSpec, Key, Verdict
from runbook.run import Attempt, Run, State

if TYPE_CHECKING:
    from runbook.adapters.store import Books, Look
    from runbook.day import Request

_FAILED = (State.FAILED, State.TIMED_OUT, State.ABANDONED)


class Attempts:
    """Writes what begins and what has ended, with the alerts that follow from it in the same transaction."""

    def __init__(self, planner: Planner, alerting: Alerting, jobs: Mapping[str, JobSpec]) -> None:
        self._planner = planner
        self._alerting = alerting
        self._jobs = jobs

    def claim(
        self,
        store: Look,
        now: datetime,
        epoch: int,
        busy: Collection[str],
        down: tuple[datetime, datetime] | None,
        *,
        due: bool,
        ahead: bool,
    ) -> tuple[list[Attempt], bool]:
        """Take all that may start at `now`, in one transaction, and end what no longer may; `ahead` of `now` only the first.

        `busy`: the jobs that run. `due`: something is known to be; to ask twice would make it late. Gives what begins,
        and whether anything ended.
        """
        if not due:
            wanted = agenda.Start if ahead else (agenda.Start, agenda.End)
            with store.read() as books:
                if not any(isinstance(d, wanted) for d in self._planner.judge(books, now, down)):
                    return [], False
        free: dict[str, Key] = {}  # one row of a job at a time
        ended = False
        with store.write() as books:
            for decision in self._planner.judge(books, now, down):
                match decision:
                    case agenda.Start(key) if key.job not in busy:
                        free.setdefault(key.job, key)
                    case agenda.End() if not ahead:
                        self._end(books, decision, now)
                        ended = True
                    case _:
                        pass
            return books.ledger.claim_all(list(free.values()), SCHEDULER, now, epoch) if free else [], ended

    def _end(self, books: Books, end: agenda.End, now: datetime) -> None:
        key, job = end.key, self._jobs.get(end.key.job)
        books.ledger.end([key], end.state, end.reason)
        if job is not None and (end.state is State.MISSED or (job.retries and end.state in _FAILED)):
            cause = JobSettled(
                key.job, key.slot, end.state, reason=end.reason, severity=job.severity, repeating=job.repeating
            )
            self._alerting.decide(books, [cause], now, key.session, job.to)

    def asked(
        self, books: Books, request: Request, running: Collection[Key], epoch: int, now: datetime
    ) -> tuple[str, Attempt | None]:
        """Claim what a person asks for by hand; gives the answer to him, and the attempt where there is one."""
        key = Key(date.fromisoformat(request.data["session"]), request.data["job"], request.data["slot"])
        job, held = self._jobs.get(key.job), books.ledger.entry(key)
        if job is None or held is None:
            return f"there is no {key}", None
        if job.asks is not None:
            return f"{key} is done by a person: `runbook asks`", None
        if key in running or held.state is State.RUNNING:
            return f"{key} is running already", None
        attempt = books.ledger.claim(key, request.by, now, epoch, again=True)
        return (f"started as attempt {attempt.n}" if attempt else f"{key} could not be claimed"), attempt

    def settle(self, books: Books, job: JobSpec, done: Run, epoch: int) -> bool:
        """Write how it ended, and what that means; False where it was given up before, and does not count."""
        key, held = done.key, books.ledger.entry(done.key)
        if done.actor != SCHEDULER and held and held.occurrence.planned > done.ended:
            # Looked at by hand before its time: the planned run stays planned.
            done = replace(done, again_at=held.occurrence.planned)
        if not books.ledger.settle(done, epoch):
            return False
        deadline = held.occurrence.deadline if held else None
        settled = JobSettled(
            key.job, key.slot, done.outcome, str(done.verdict or Verdict.UNKNOWN), done.reason, done.hint or "", job.severity,
            job.repeating, job.repeat_until_ok is not None or done.again_at is not None, deadline is not None and done.ended >= deadline,
        )  # fmt: skip
        asked = done.actor != SCHEDULER
        self._alerting.decide(books, [settled, *done.causes], done.ended, key.session, job.to, asked=asked)
        if done.tell is not None:
            notice = Notice(f"{key.job}@{key.session}/{key.slot}", *done.tell)
            self._alerting.notice(books, notice, done.ended, key.session, job.to, asked=asked)
        return True
