"""What people have asked not to be told of for a while."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Row, Select, and_, bindparam, select, update

from runbook.adapters.store.book import Book, once
from runbook.adapters.store.schema import silence
from runbook.alert import Pattern, Silence
from runbook.fault import Unfit

_SILENCES = select(silence).order_by(silence.c.id)
_HOLDING = _SILENCES.where(silence.c.ended_at.is_(None), silence.c.until > bindparam("now"))


class Silences(Book):
    """The book of silences within one transaction."""

    def add(self, pattern: Pattern, until: datetime, reason: str, by: str, now: datetime) -> int:
        """Keep a silence; gives its number."""
        done = self._c.execute(
            silence.insert().values(pattern=str(pattern), since=now, until=until, reason=reason, by=by)
        )
        assert done.inserted_primary_key is not None
        return int(done.inserted_primary_key[0])

    @once
    def holding(self, now: datetime) -> list[Silence]:
        """Those that hold at `now`."""
        return self._some(_HOLDING, now=now)

    def newest(self, count: int) -> list[Silence]:
        """The newest of all, in order."""
        return self._some(select(silence).order_by(silence.c.id.desc()).limit(count))[::-1]

    def numbered(self, number: int) -> Silence | None:
        found = self._some(_SILENCES.where(silence.c.id == number))
        return found[0] if found else None

    def end(self, number: int, by: str, now: datetime) -> bool:
        """End a silence; False when it had been ended before."""
        where = and_(silence.c.id == number, silence.c.ended_at.is_(None))
        return self._c.execute(update(silence).where(where).values(ended_at=now, ended_by=by)).rowcount == 1

    def _some(self, query: Select[Any], **asked: Any) -> list[Silence]:
        found = []
        for row in self._c.execute(query, asked):
            try:
                found.append(_silence(row))
            except Unfit:  # of a rule that this version does not know: it silences nothing
                continue
        return found


def _silence(r: Row[Any]) -> Silence:
    pattern = Pattern.parse(r.pattern)
    return Silence(r.id, pattern, r.since, r.until, r.reason, r.by, r.ended_at, r.ended_by or "")
