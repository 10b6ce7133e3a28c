"""Repeats of old sessions: of a stretch of firings that were all well, the first and the last stay, the others are counted.

Whatever was not well stays as it is, with its neighbours on both sides: so every hole keeps its edges, the first and the
last row of the day stay, and a report of the day says the same before and after.
"""

from __future__ import annotations

from datetime import date
from itertools import groupby
from typing import Any

from sqlalchemy import Row, and_, bindparam, delete, func, insert, select

from runbook.adapters.store.book import Book
from runbook.adapters.store.schema import attempt, occurrence, tally
from runbook.day import Tally
from runbook.job import Verdict
from runbook.run import State


class Repeats(Book):
    """The book of rolled-up repeats within one transaction."""

    def tallies(self, session: date) -> list[Tally]:
        """What was rolled up of a session, by time."""
        asked = select(tally.c.job, tally.c.first_at, tally.c.last_at, tally.c.count).where(tally.c.session == session)
        rows = self._c.execute(asked.order_by(tally.c.job, tally.c.first_at))
        return [Tally(job, first, last, count) for job, first, last, count in rows]

    def sessions(self, before: date) -> list[date]:
        """Earlier sessions whose repeats were never rolled up, the oldest first."""
        done = select(tally.c.session)
        where = and_(occurrence.c.repeating.is_(True), occurrence.c.session < before, occurrence.c.session.not_in(done))
        found = select(occurrence.c.session).where(where).distinct().order_by(occurrence.c.session)
        return list(self._c.execute(found).scalars())

    def rollable(self, session: date) -> int:
        """How many firings `roll_up` would take."""
        return sum(map(len, self._inner(session)))

    def roll_up(self, session: date) -> int:
        """Roll up the repeats of one session; gives how many firings are only counted from now on."""
        gone = self._inner(session)
        if gone:
            rows = [
                {"session": session, "job": inner[0].job, "first_at": inner[0].started_at,
                 "last_at": inner[-1].started_at, "count": len(inner)}
                for inner in gone
            ]  # fmt: skip
            self._c.execute(insert(tally), rows)
            keys = [{"of_job": r.job, "of_slot": r.slot} for inner in gone for r in inner]
            for table in (attempt, occurrence):
                of = and_(
                    table.c.session == session, table.c.job == bindparam("of_job"), table.c.slot == bindparam("of_slot")
                )
                self._c.execute(delete(table).where(of), keys)
        return sum(map(len, gone))

    def _inner(self, session: date) -> list[list[Row[Any]]]:
        """The firings within each stretch that was well: all but its first and its last."""
        found = []
        for _, rows in groupby(self._firings(session), key=lambda r: r.job):
            for well, stretch in groupby(rows, key=_well):
                if well and (inner := list(stretch)[1:-1]):
                    found.append(inner)
        return found

    def _firings(self, session: date) -> list[Row[Any]]:
        """Each firing of the repeats with its only attempt; where there are several, or none, `tries` says so."""
        of = and_(
            attempt.c.session == occurrence.c.session,
            attempt.c.job == occurrence.c.job,
            attempt.c.slot == occurrence.c.slot,
        )
        columns = (
            occurrence.c.job, occurrence.c.slot, occurrence.c.planned_at, occurrence.c.latest_start, occurrence.c.state,
            occurrence.c.verdict,
        )  # fmt: skip
        asked = (
            select(*columns, func.count(attempt.c.n).label("tries"), func.min(attempt.c.started_at).label("started_at"))
            .select_from(occurrence.outerjoin(attempt, of))
            .where(occurrence.c.session == session, occurrence.c.repeating.is_(True))
            .group_by(*columns)
            .order_by(occurrence.c.job, occurrence.c.planned_at, occurrence.c.slot)
        )
        return list(self._c.execute(asked))


def _well(row: Row[Any]) -> bool:
    """It ran once, in its own time, and what it found was ok: there is nothing to look up about it later."""
    if (row.state, row.verdict, row.tries) != (State.SUCCEEDED, Verdict.OK, 1):
        return False
    return bool(row.planned_at <= row.started_at < row.latest_start)
