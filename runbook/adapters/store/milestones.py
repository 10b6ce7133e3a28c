"""The day's milestones for the world outside: each word of a session once, and whether it was heard."""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import Connection, select, update
from sqlalchemy.dialects import postgresql, sqlite

from runbook.adapters.store.schema import milestone
from runbook.heartbeat import Milestone, Word

OWED, HEARD, DROPPED = "owed", "heard", "dropped"


class Milestones:
    """The book of milestones within one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._c = connection

    def words(self, session: date) -> frozenset[Word]:
        """What of this session has been said, or is about to be."""
        rows = self._c.execute(select(milestone.c.word).where(milestone.c.session == session)).scalars()
        return frozenset(Word(word) for word in rows)

    def owe(self, one: Milestone, now: datetime) -> bool:
        """Write down that `one` is to be said; False when it was before, by whichever process."""
        dialect = postgresql if self._c.dialect.name == "postgresql" else sqlite
        row = dialect.insert(milestone).values(
            session=one.session, word=one.word, at=one.at, body=one.body, state=OWED, changed_at=now
        )
        return self._c.execute(row.on_conflict_do_nothing()).rowcount == 1

    def owed(self) -> list[Milestone]:
        """What is still to be said, in order."""
        order = (milestone.c.session, milestone.c.at, milestone.c.changed_at)
        rows = self._c.execute(select(milestone).where(milestone.c.state == OWED).order_by(*order))
        return [Milestone(r.session, Word(r.word), r.at, r.body) for r in rows]

    def said(self, one: Milestone, now: datetime, *, heard: bool, reason: str = "") -> None:
        """`one` was heard, or is given up for `reason`."""
        where = (milestone.c.session == one.session, milestone.c.word == one.word)
        values = {"state": HEARD if heard else DROPPED, "reason": reason, "changed_at": now}
        self._c.execute(update(milestone).where(*where).values(values))
