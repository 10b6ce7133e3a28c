"""The session table: what the calendar's child computed, with where it came from."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import delete, select

from runbook.adapters.store.book import Book
from runbook.adapters.store.schema import calendar_day, calendar_library, calendar_source
from runbook.session import SessionCalendar, day_from_row, day_to_row


class Calendars(Book):
    """The book of sessions within one transaction."""

    def keep(self, calendar: SessionCalendar, provenance: Mapping[str, Any], now: datetime) -> None:
        """Replace what is held of this exchange."""
        name = calendar.exchange
        self._c.execute(delete(calendar_day).where(calendar_day.c.exchange == name))
        self._c.execute(delete(calendar_source).where(calendar_source.c.exchange == name))
        rows = [
            {"exchange": name, "date": d.date, "status": d.status, "row": day_to_row(d)} for d in calendar.days.values()
        ]
        if rows:
            self._c.execute(calendar_day.insert(), rows)
        self._c.execute(
            calendar_source.insert().values(
                exchange=name, zone=calendar.zone.key, known_until=calendar.known_until,
                provenance=dict(provenance), computed_at=now,
            )
        )  # fmt: skip

    def keep_library(self, said: Mapping[str, Any], now: datetime) -> None:
        """What the library answered, so that a changed file needs no child."""
        self._c.execute(delete(calendar_library))
        self._c.execute(calendar_library.insert().values(name="all", said=dict(said), asked_at=now))

    def library(self) -> tuple[datetime, dict[str, Any]] | None:
        """(asked at, what it said), or None when it was never asked."""
        row = self._c.execute(select(calendar_library)).one_or_none()
        return None if row is None else (row.asked_at, row.said)

    def load(self, exchange: str) -> SessionCalendar | None:
        """The calendar of one exchange, or None when it was never computed."""
        source = self._c.execute(select(calendar_source).where(calendar_source.c.exchange == exchange)).one_or_none()
        if source is None:
            return None
        rows = self._c.execute(select(calendar_day.c.row).where(calendar_day.c.exchange == exchange)).scalars()
        zone = ZoneInfo(source.zone)
        days = {day.date: day for day in (day_from_row(row, exchange, zone) for row in rows)}
        return SessionCalendar(exchange, zone, source.known_until, days)

    def provenance(self, exchange: str) -> tuple[datetime, date, dict[str, Any]] | None:
        """(computed at, known until, where from) of one exchange."""
        row = self._c.execute(select(calendar_source).where(calendar_source.c.exchange == exchange)).one_or_none()
        return None if row is None else (row.computed_at, row.known_until, row.provenance)
