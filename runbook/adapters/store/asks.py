"""What people are asked and what they hold back: asks and pauses."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import date, datetime, timedelta
from typing import Any

from sqlalchemy import Row as SqlRow
from sqlalchemy import Select, and_, bindparam, or_, select, update

from runbook.adapters.store.book import Book, once
from runbook.adapters.store.schema import ask as table
from runbook.adapters.store.schema import pause
from runbook.ask import RUN, Ask, AskKind, AskState
from runbook.job import Key
from runbook.pause import Pause

_ASKS = select(table).order_by(table.c.id)
_UNFINISHED = _ASKS.where(or_(table.c.state == AskState.OPEN, table.c.verify_at.is_not(None)))
_OF_SESSION = _ASKS.where(table.c.session == bindparam("day"))
_BY_KEY = _ASKS.where(table.c.key == bindparam("key"))
_NAMED = _ASKS.where(table.c.name == bindparam("name"), table.c.kind == AskKind.FINDING)
_APPROVED = _ASKS.where(
    table.c.session.in_(bindparam("days")),
    table.c.kind.in_((AskKind.LATE, AskKind.ABANDONED)),
    table.c.state == AskState.ANSWERED,
    table.c.answer == RUN,
)
_PAUSES = select(pause).order_by(pause.c.id)
_HELD = _PAUSES.where(
    pause.c.since <= bindparam("now"),
    pause.c.ended_at.is_(None),
    or_(pause.c.until.is_(None), pause.c.until > bindparam("now")),
)


class Asks(Book):
    """The book of asks within one transaction."""

    def open(self, ask: Ask, epoch: int = 0) -> Ask | None:
        """Put a question; gives it with its number, or None when its key was asked before."""
        row = self._insert(table).values(_columns(ask) | {"key": ask.key, "epoch": epoch}).on_conflict_do_nothing()
        if self._c.execute(row.returning(table.c.id)).scalar_one_or_none() is None:
            return None
        return self.by_key(ask.key)

    def store(self, ask: Ask) -> bool:
        """Write how an open ask ended; False when it had ended before: whoever changes the row has the word."""
        where = and_(table.c.id == ask.number, table.c.state == AskState.OPEN)
        return self._c.execute(update(table).where(where).values(_columns(ask))).rowcount == 1

    def looked(self, number: int, verified: str, *, over: bool = True) -> None:
        """Write down what the look after an answer came to; `over`: nobody has to look again."""
        values: dict[str, Any] = {"verified": verified} | ({"verify_at": None} if over else {})
        self._c.execute(update(table).where(table.c.id == number).values(values))

    def ask(self, number: int) -> Ask | None:
        return next(iter(self._all(_ASKS.where(table.c.id == number))), None)

    def by_key(self, key: str) -> Ask | None:
        return next(iter(self._all(_BY_KEY, key=key)), None)

    def waiting(self) -> list[Ask]:
        """Everything that is open, in the order it was asked."""
        return [ask for ask in self._unfinished() if ask.state is AskState.OPEN]

    def to_verify(self) -> list[Ask]:
        """What was answered and has yet to be looked at again."""
        return [ask for ask in self._unfinished() if ask.verify_at is not None]

    @once
    def _unfinished(self) -> list[Ask]:
        return self._all(_UNFINISHED)

    def of_session(self, day: date) -> list[Ask]:
        return self._all(_OF_SESSION, day=day)

    def named(self, name: str) -> list[Ask]:
        """All asks of one standing question, the oldest first."""
        return self._all(_NAMED, name=name)

    def newest(self, most: int) -> list[Ask]:
        """The newest asks, the oldest of them first."""
        rows = self._c.execute(select(table).order_by(table.c.id.desc()).limit(most))
        return [_ask(row) for row in rows][::-1]

    def approved(self, sessions: Iterable[date]) -> set[Key]:
        """The occurrences that a person said to run although they were late, or cut off."""
        held = self._all(_APPROVED, days=list(sessions))
        return {Key(ask.session, ask.name, ask.slot or "") for ask in held}

    def _all(self, query: Select[Any], **asked: Any) -> list[Ask]:
        return [_ask(row) for row in self._c.execute(query, asked)]


class Pauses(Book):
    """The book of pauses within one transaction."""

    def add(self, held: Pause) -> Pause:
        values = {"job": held.job, "since": held.since, "until": held.until, "reason": held.reason, "by": held.by}
        done = self._c.execute(pause.insert().values(values))
        assert done.inserted_primary_key is not None
        return replace(held, number=int(done.inserted_primary_key[0]))

    def end(self, number: int, by: str, now: datetime) -> None:
        where = and_(pause.c.id == number, pause.c.ended_at.is_(None))
        self._c.execute(update(pause).where(where).values(ended_at=now, ended_by=by))

    @once
    def held(self, now: datetime) -> list[Pause]:
        """What is in force at `now`, the oldest first."""
        return self._all(_HELD, now=now)

    def between(self, start: datetime, end: datetime) -> list[Pause]:
        """What was in force at some time between the two instants."""
        ended = or_(pause.c.ended_at.is_(None), pause.c.ended_at > start)
        lasted = or_(pause.c.until.is_(None), pause.c.until > start)
        return self._all(_PAUSES.where(pause.c.since < end, ended, lasted))

    def _all(self, query: Select[Any], **asked: Any) -> list[Pause]:
        return [
            Pause(r.job, r.since, r.until, r.reason, r.by, r.ended_at, r.ended_by or "", r.id)
            for r in self._c.execute(query, asked)
        ]


def _columns(ask: Ask) -> dict[str, Any]:
    return {
        "kind": ask.kind, "session": ask.session, "name": ask.name, "slot": ask.slot, "question": ask.question,
        "choices": list(ask.choices), "safe_default": ask.default, "evidence": dict(ask.evidence), "evidence_hash": ask.hash,
        "asked_at": ask.asked, "deadline": ask.deadline, "state": ask.state, "answer": ask.answer,
        "answered_by": ask.by or None, "answered_at": ask.at, "note": ask.note, "verify_at": ask.verify_at,
        "verified": ask.verified,
        "data": {"seen": ask.seen, "how": list(ask.how), "link": ask.link, "contact": ask.contact, "verify": ask.verify,
                 "verify_after": ask.verify_after.total_seconds()},
    }  # fmt: skip


def _ask(r: SqlRow[Any]) -> Ask:
    more = r.data
    return Ask(
        r.key, AskKind(r.kind), r.session, r.name, r.question, tuple(r.choices), r.safe_default, r.evidence, r.asked_at,
        r.deadline, r.slot, more["seen"], tuple(more["how"]), more["link"], more["contact"], more["verify"],
        timedelta(seconds=more["verify_after"]), AskState(r.state), r.answer, r.answered_by or "", r.answered_at, r.note,
        r.verify_at, r.verified, r.id,
    )  # fmt: skip
