"""Asking: opens questions, closes them when their time or their cause is over, and looks again after an answer."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from runbook.agenda import Wait
from runbook.alert import Notice
from runbook.ask import RUN, SKIP, Ask, AskKind, AskState, Standing, hash_of, key_of
from runbook.engine.alerting import Alerting
from runbook.engine.parts import BROKER_JOB
from runbook.engine.planner import Planner
from runbook.engine.watch import LOGIN
from runbook.finding import Seen
from runbook.job import IfLate, JobSpec, Key
from runbook.people import evidence
from runbook.people.asks import end_manual
from runbook.run import Entry, State, Try
from runbook.session import Session

if TYPE_CHECKING:
    from runbook.adapters.store import Books, Look

log = logging.getLogger(__name__)

PATIENCE = timedelta(minutes=5)  # what the feed finds is a person's only when it lasts: the guide's own five minutes
LOOK = timedelta(seconds=5)  # between two looks at what was found
MOST = 3  # times that one question comes back in a session
_GIVE_UP = timedelta(minutes=2)  # a look after an answer that has not come by then did not come


@dataclass(frozen=True, slots=True)
class _Due:
    """What there is to do, as read before anything is written."""

    rows: tuple[Entry, ...] = ()  # of waiting rows, those that nobody was asked about
    late: tuple[Key, ...] = ()  # planned rows that have to wait for a person
    ended: tuple[Ask, ...] = ()
    looks: tuple[Ask, ...] = ()
    raised: tuple[Ask, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.rows or self.late or self.ended or self.looks or self.raised)


class Asking:
    """Minds the asks. What it does follows from the ledger alone, so a restart neither loses nor repeats a question."""

    def __init__(
        self, planner: Planner, alerting: Alerting, jobs: Mapping[str, JobSpec], standing: Sequence[Standing]
    ) -> None:
        self._planner = planner
        self._alerting = alerting
        self._jobs = jobs
        self._standing = {one.name: one for one in standing}
        self._searched: datetime | None = None

    def next(self, books: Books, now: datetime) -> datetime | None:
        """A deadline, or a look after an answer."""
        at = [a.deadline for a in books.asks.waiting()] + [a.verify_at for a in books.asks.to_verify()]
        return min((one for one in at if one is not None and one > now), default=None)

    def due(self, store: Look, now: datetime) -> None:
        search = self._searched is None or not timedelta() <= now - self._searched < LOOK
        with store.read() as books:
            due = self._read(books, now, search=search)
        if search:
            self._searched = now
        if not due:
            return
        with store.write() as books:
            due = self._read(books, now, search=search)  # anew: a person may have answered in between
            for key in due.late:
                books.ledger.hold(key, "a person is asked")
            for ended in due.ended:
                self._end(books, ended, now)
            held = [e for key in due.late if (e := books.ledger.entry(key)) is not None]
            for entry in (*due.rows, *held):
                self.put(books, self._about(books, entry, now), now, tell=True)
            for raised in due.raised:
                self.put(books, raised, now, tell=not self._told_otherwise(books, raised, now))
            for ask in due.looks:
                self._look(books, ask, now)

    # -- what there is to do ------------------------------------------------------------------------------------------

    def _read(self, books: Books, now: datetime, *, search: bool) -> _Due:
        waiting = books.asks.waiting()
        asked = {(a.session, a.name, a.slot) for a in waiting}
        rows = tuple(e for e in books.ledger.held() if (e.key.session, e.key.job, e.key.slot) not in asked)
        ended = tuple(closed for ask in waiting if (closed := self._over(books, ask, now)) is not None)
        looks = tuple(a for a in books.asks.to_verify() if a.verify_at is not None and a.verify_at <= now)
        raised = tuple(self._raised(books, waiting, now)) if search else ()
        return _Due(rows, tuple(self._late(books, now)), ended, looks, raised)

    def _late(self, books: Books, now: datetime) -> Iterator[Key]:
        if any(job.asks is not None or job.if_late is IfLate.ASK for job in self._jobs.values()):
            yield from (d.key for d in self._planner.judge(books, now, None) if isinstance(d, Wait) and d.ask)

    def _over(self, books: Books, ask: Ask, now: datetime) -> Ask | None:
        """The ask as it ends now: its cause is gone, or its time."""
        held = evidence.current(books, ask)
        if held is not None and hash_of(held) != ask.hash:
            return ask.void(self._why(books, ask, held), now)
        return ask.expired(now)

    def _why(self, books: Books, ask: Ask, held: Mapping[str, object]) -> str:
        if ask.kind is not AskKind.FINDING:
            return "its row moved, or was ended otherwise"
        if held.get("finding") != "none":
            return f"something else is found now: {str(held.get('finding')).replace('_', ' ')}"
        newest = _newest(books.ledger.of_job(ask.session, BROKER_JOB), ask.asked)
        if newest is not None:
            return f"verified by {BROKER_JOB} at {self._clock(newest[1].ended)}"
        return "the feed is back on the stream"

    def _raised(self, books: Books, waiting: Sequence[Ask], now: datetime) -> Iterator[Ask]:
        """The one standing question that something found raises, if none is open."""
        session = self._session(now)
        if not self._standing or session is None or any(a.kind is AskKind.FINDING for a in waiting):
            return
        found = {seen.finding: seen for seen in evidence.found(books, session.date)}
        for one in self._standing.values() if found else ():
            seen = next((found[f] for f in one.when if f in found), None)
            if seen is not None and (made := self._put(books, one, seen, session, now)) is not None:
                yield made
                return

    def _session(self, now: datetime) -> Session | None:
        """The session that is on, or whose open is near enough that somebody should have logged in."""
        begun = self._planner.calendar.session_at(now)
        if begun is not None and now < begun.close:
            return begun
        coming = self._planner.calendar.next_session(now)
        return coming if coming is not None and LOGIN.at(coming) <= now else None

    def _put(self, books: Books, one: Standing, seen: Seen, session: Session, now: datetime) -> Ask | None:
        deadline = one.spec.deadline.at(session)
        before = books.asks.named(one.name)
        today = [a for a in before if a.session == session.date]
        last = today[-1] if today else None
        if now >= deadline or seen.since is None or len(today) >= MOST:
            return None
        if one.once and any(a.state is AskState.ANSWERED and a.answer != a.default for a in before):
            return None
        no = last is not None and _said_no(last) and dict(last.evidence) == seen.evidence()
        if last is not None and (no or last.verify_at is not None):
            return None
        begun = seen.since if last is None or last.at is None else max(seen.since, last.at)
        # A check that failed is news at once, also after an answer; what the feed shows has to last.
        ripe = begun == seen.since if seen.by_check else now >= begun + PATIENCE
        if not ripe:
            return None
        told = (
            f"{seen.says}; it was answered {last.answer} at {self._clock(last.at)}"
            if last and last.answer
            else seen.says
        )
        spec = one.spec
        return Ask(
            key_of(AskKind.FINDING, one.name, session.date, seen.evidence(), n=len(today)), AskKind.FINDING, session.date,
            one.name, spec.question, spec.choices, spec.default, seen.evidence(), now, deadline, None, told, spec.how,
            spec.link, spec.contact, spec.verify, spec.verify_after,
        )  # fmt: skip

    # -- doing it -------------------------------------------------------------------------------------------------------

    def _about(self, books: Books, entry: Entry, now: datetime) -> Ask:
        """The question about a row that waits for a person."""
        key, job = entry.key, self._jobs.get(entry.key.job)
        spec = job.asks if job is not None else None
        cut = entry.last is not None and entry.last.outcome is State.ABANDONED
        kind = AskKind.MANUAL if spec is not None else AskKind.ABANDONED if cut else AskKind.LATE
        held = evidence.of_row(entry, kind)
        earlier = sum(ask.about(key) for ask in books.asks.of_session(key.session))
        made = key_of(kind, key.job, key.session, held, key.slot, earlier)
        if spec is not None:
            return Ask(
                made, kind, key.session, key.job, spec.question, spec.choices, spec.default, held, now,
                entry.occurrence.latest_start, key.slot, "", spec.how, spec.link, spec.contact, spec.verify, spec.verify_after,
            )  # fmt: skip
        planned = self._clock(entry.occurrence.planned)
        seen = f"its process ended while it ran; how far it came is not known ({len(entry.tries)} tries)" if cut else (
            f"it was due at {planned}, and it is {self._clock(now)}"
        )  # fmt: skip
        question = f"{key.job} ({planned}): run it {'once more' if cut else 'late'}, or skip it?"
        return Ask(
            made, kind, key.session, key.job, question, (RUN, SKIP), SKIP, held, now, entry.occurrence.latest_start, key.slot, seen,
        )  # fmt: skip

    def put(self, books: Books, ask: Ask, now: datetime, *, tell: bool = True) -> None:
        """Open `ask`, unless its key was asked before, and tell it once."""
        made = books.asks.open(ask)
        if made is None:
            return
        log.warning("ask %d, %s: %s", made.number, made.name, made.question)
        if tell:
            title = f"[ASK] {made.name} #{made.number}"
            notice = Notice(f"ask@{made.number}", title, made.lines(self._planner.calendar.zone))
            self._alerting.notice(books, notice, now, made.session, self._to(made))

    def _told_otherwise(self, books: Books, ask: Ask, now: datetime) -> bool:
        """Before the open the watch's reminder of the login names the first question: one message is enough."""
        coming = self._planner.session(ask.session)
        first = not any(a.kind is AskKind.FINDING for a in books.asks.of_session(ask.session))
        return first and coming is not None and now < coming.open and BROKER_JOB in self._jobs

    def _end(self, books: Books, ask: Ask, now: datetime) -> None:
        if not books.asks.store(ask):
            return
        log.info("ask %d, %s: %s", ask.number, ask.name, ask.ending)
        key = Key(ask.session, ask.name, ask.slot or "")
        if ask.state is AskState.VOID:
            entry = books.ledger.entry(key) if ask.slot is not None else None
            later = entry is not None and entry.state is State.WAITING_HUMAN and entry.occurrence.planned > now
            if entry is not None and later and ask.kind is not AskKind.ABANDONED:
                books.ledger.reopen(
                    key, entry.occurrence.planned, "its time has moved"
                )  # else it is asked anew at once
            return
        if ask.kind is AskKind.MANUAL:
            end_manual(books, ask, "nobody", now)
        elif ask.kind in (AskKind.LATE, AskKind.ABANDONED):
            books.ledger.end([key], State.SKIPPED, f"ask {ask.number}: {ask.ending}")
        if ask.kind is not AskKind.FINDING:
            title = f"[WARN] {ask.name}: nobody answered, {ask.answer} holds #{ask.number}"
            self._alerting.notice(
                books, Notice(f"ask@{ask.number}/default", title, (ask.question,)), now, ask.session, self._to(ask)
            )

    def _look(self, books: Books, ask: Ask, now: datetime) -> None:
        """Have the job run that looks again; write down what it found once it has."""
        assert ask.number is not None and ask.verify is not None and ask.verify_at is not None  # noqa: PT018
        row = books.ledger.nearest(ask.verify, now)
        rows = [*books.ledger.of_job(ask.session, ask.verify), *([row] if row is not None else [])]
        newest = _newest(rows, ask.verify_at)
        if newest is not None:
            entry, one = newest
            books.asks.looked(
                ask.number, f"{one.verdict or one.outcome}: {one.reason} ({entry.key.job} at {self._clock(one.ended)})"
            )
        elif not ask.verified:
            if row is None:
                books.asks.looked(ask.number, f"not looked at: {ask.verify} has no row to run")
                return
            data = {
                "session": str(row.key.session),
                "job": row.key.job,
                "slot": row.key.slot,
                "reason": f"ask {ask.number}",
            }
            books.desk.ask("run", data, f"ask:{ask.number}", now)
            books.asks.looked(ask.number, "asked for", over=False)
        elif now - ask.verify_at > _GIVE_UP:
            books.asks.looked(
                ask.number, f"not looked at: {ask.verify} did not end within {_GIVE_UP.seconds // 60} min"
            )

    def _to(self, ask: Ask) -> Sequence[str] | None:
        job = self._jobs.get(ask.name)
        return job.to if job is not None else None

    def _clock(self, instant: datetime | None) -> str:
        return f"{instant.astimezone(self._planner.calendar.zone):%H:%M}" if instant else "an unknown time"


def _said_no(ask: Ask) -> bool:
    """A person said that it will not be done today, or nobody said anything until the deadline."""
    return ask.state is AskState.DEFAULTED or (ask.state is AskState.ANSWERED and ask.answer == ask.default)


def _newest(rows: Sequence[Entry], since: datetime) -> tuple[Entry, Try] | None:
    """The newest ended try that began at `since` or later."""
    tries = [(e, t) for e in rows for t in e.tries if t.ended is not None and t.started >= since]
    return max(tries, key=lambda pair: pair[1].started, default=None)
