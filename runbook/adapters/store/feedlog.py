"""The feed's own rows: one per change of mode, one sample a minute."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any

from sqlalchemy import select

from runbook.adapters.store.book import Book
from runbook.adapters.store.schema import feed_event, feed_sample
from runbook.day import FeedChange, FeedSample


class FeedLog(Book):
    """The book of the feed within one transaction."""

    def change(self, session: date, change: FeedChange) -> None:
        self._c.execute(
            feed_event.insert().values(
                session=session, at=change.at, from_mode=change.was, to_mode=change.now, reason=change.reason,
                hint=change.hint, evidence=dict(change.evidence),
            )
        )  # fmt: skip

    def sample(self, session: date, at: datetime, data: Mapping[str, Any]) -> None:
        """Totals of the session so far; a second one for the same minute takes its place."""
        row = self._insert(feed_sample).values(session=session, at=at, data=dict(data))
        self._c.execute(row.on_conflict_do_update(index_elements=["session", "at"], set_={"data": dict(data)}))

    def changes(self, session: date) -> list[FeedChange]:
        rows = self._c.execute(select(feed_event).where(feed_event.c.session == session).order_by(feed_event.c.id))
        return [FeedChange(r.at, r.from_mode, r.to_mode, r.reason, r.hint, r.evidence) for r in rows]

    def ever_live(self) -> bool:
        """True when ticks were seen on the stream at some time, in whatever session."""
        live = select(feed_event.c.id).where(feed_event.c.to_mode == "LIVE").limit(1)
        return self._c.execute(live).scalar_one_or_none() is not None

    def samples(self, session: date) -> list[FeedSample]:
        rows = self._c.execute(select(feed_sample).where(feed_sample.c.session == session).order_by(feed_sample.c.at))
        return [FeedSample(r.at, r.data) for r in rows]
