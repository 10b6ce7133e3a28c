"""What commands did against alerts, and what their verify came to."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from sqlalchemy import Row, bindparam, or_, select, update

from runbook.adapters.store.book import Book
from runbook.adapters.store.schema import action
from runbook.remedy import Action, Checked, Did

_ACTIONS = select(action).order_by(action.c.id)
_OF = _ACTIONS.where(
    action.c.name == bindparam("name"), or_(action.c.session == bindparam("day"), action.c.cause == bindparam("cause"))
)
_OPEN = _ACTIONS.where(or_(action.c.ended_at.is_(None), (action.c.outcome == Did.DONE) & action.c.verified.is_(None)))


class Actions(Book):
    """The book of actions within one transaction."""

    def begin(self, one: Action) -> int:
        """Write down a run before it starts; gives its number."""
        done = self._c.execute(
            action.insert().values(
                name=one.name, session=one.session, cause=one.cause, argv=list(one.argv), by=one.by, ask_id=one.ask,
                started_at=one.started, reason=one.reason, epoch=one.epoch,
            )
        )  # fmt: skip
        assert done.inserted_primary_key is not None
        return int(done.inserted_primary_key[0])

    def end(
        self, number: int, at: datetime, did: Did, reason: str, *, code: int | None = None, output: str = ""
    ) -> bool:
        """Write down how the command ended; False when that is written already."""
        values = {"ended_at": at, "outcome": did, "exit_code": code, "output": output, "reason": reason}
        where = (action.c.id == number, action.c.ended_at.is_(None))
        return self._c.execute(update(action).where(*where).values(values)).rowcount == 1

    def check(self, number: int, checked: Checked, reason: str) -> bool:
        """Write down what the verify came to; False when that is written already."""
        where = (action.c.id == number, action.c.verified.is_(None))
        return self._c.execute(update(action).where(*where).values(verified=checked, reason=reason)).rowcount == 1

    def of(self, name: str, session: date, cause: str = "") -> list[Action]:
        """The runs of one remedy in `session`, and those of any session against `cause`; the oldest first."""
        return [_action(r) for r in self._c.execute(_OF, {"name": name, "day": session, "cause": cause})]

    def one(self, number: int) -> Action:
        return _action(self._c.execute(_ACTIONS.where(action.c.id == number)).one())

    def open(self) -> list[Action]:
        """What runs, or has done its work and is not verified yet."""
        return [_action(r) for r in self._c.execute(_OPEN)]

    def of_session(self, session: date) -> list[Action]:
        return [_action(r) for r in self._c.execute(_ACTIONS.where(action.c.session == session))]


def _action(r: Row[Any]) -> Action:
    return Action(
        r.id, r.name, r.session, r.cause, tuple(r.argv), r.by, r.started_at, r.ended_at, Did(r.outcome) if r.outcome else None,
        r.exit_code, r.output, Checked(r.verified) if r.verified else None, r.reason, r.ask_id, r.epoch,
    )  # fmt: skip
