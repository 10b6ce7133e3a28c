"""The day's milestones for the world outside: each word of a session once, and whether it was heard."""

from __future__ import annotations

from datetime import date, datetime

from sqlalchemy import bindparam, select, update

from runbook.adapters.store.book import Book
from runbook.adapters.store.schema import milestone
from runbook.heartbeat import Milestone, Word

OWED, HEARD, DROPPED = "owed", "heard", "dropped"
_WORDS = select(milestone.c.word).where(milestone.c.session == bindparam("day"))
_OWED = (
    select(milestone)
    .where(milestone.c.state == OWED)
    .order_by(milestone.c.session, milestone.c.at, milestone.c.changed_at)
)


class Milestones(Book):
    """The book of milestones within one transaction."""

    def words(self, session: date) -> frozenset[Word]:
        """What of this session has been said, or is about to be."""
        return frozenset(Word(word) for word in self._c.execute(_WORDS, {"day": session}).scalars())

    def owe(self, one: Milestone, now: datetime) -> bool:
        """Write down that `one` is to be said; False when it was before, by whichever process."""
        row = self._insert(milestone).values(
            session=one.session, word=one.word, at=one.at, body=one.body, state=OWED, changed_at=now
        )
        added = self._c.execute(row.on_conflict_do_nothing().returning(milestone.c.word))
        return added.first() is not None  # the count of an INSERT's rows is not kept by every driver

    def owed(self) -> list[Milestone]:
        """What is still to be said, in order."""
        return [Milestone(r.session, Word(r.word), r.at, r.body) for r in self._c.execute(_OWED)]

    def said(self, one: Milestone, now: datetime, *, heard: bool, reason: str = "") -> None:
        """`one` was heard, or is given up for `reason`."""
        where = (milestone.c.session == one.session, milestone.c.word == one.word)
        values = {"state": HEARD if heard else DROPPED, "reason": reason, "changed_at": now}
        self._c.execute(update(milestone).where(*where).values(values))
