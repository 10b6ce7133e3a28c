"""The almanac: keeps the session table in the ledger fresh, and the calendars read from it in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from runbook.errors import CalendarError
from runbook.session import SessionCalendar

if TYPE_CHECKING:
    from runbook.adapters.exchange import Refreshed
    from runbook.adapters.store import Store

FIRST = date(2023, 1, 1)  # before it the calendar data was not checked
_CASH = {"NFO": "NSE", "BFO": "BSE"}  # whose closing auction quiets an index while its derivatives trade on


def exchanges(exchange: str) -> list[str]:
    """What must be known for a desk on `exchange`: its own timetable, and the cash market its indices stand on."""
    return [exchange, *([_CASH[exchange]] if exchange in _CASH else [])]


class Almanac:
    """Calendars by exchange. `refresh` runs the library in a child process; everything else reads the ledger."""

    def __init__(
        self, store: Store, exchange: str, refresh: Callable[[Sequence[str], date, date, date], Refreshed]
    ) -> None:
        self._store = store
        self._exchange = exchange
        self._refresh = refresh
        self._held: dict[str, SessionCalendar] = {}

    def refresh(self, now: datetime) -> tuple[str, ...]:
        """Compute and store the calendars; gives the warnings. Raises CalendarError and keeps what is there."""
        names = exchanges(self._exchange)
        last = date(now.year + 1, 12, 31)
        made = self._refresh(names, FIRST, last, date(now.year, 12, 31))
        self.keep([made.calendars[name] for name in names], made.provenance, now)
        return made.warnings

    def keep(self, calendars: Sequence[SessionCalendar], provenance: Mapping[str, Any], now: datetime) -> None:
        """Store calendars with where they came from; what is in memory is read anew."""
        with self._store.write() as books:
            for calendar in calendars:
                books.calendars.keep(calendar, provenance, now)
        self._held.clear()

    def calendar(self, exchange: str | None = None) -> SessionCalendar:
        """The calendar of `exchange`, by default the desk's own; raises CalendarError when none was ever computed."""
        name = exchange or self._exchange
        if name not in self._held:
            with self._store.read() as books:
                found = books.calendars.load(name)
            if found is None:
                raise CalendarError(f"no calendar of {name} in the ledger", hint="`runbook init` computes it")
            self._held[name] = found
        return self._held[name]

    def cash(self) -> SessionCalendar | None:
        """The calendar of the cash market under this desk's derivatives, if that is another one."""
        name = _CASH.get(self._exchange)
        return self.calendar(name) if name else None
