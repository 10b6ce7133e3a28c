"""The almanac: keeps the session table in the ledger fresh, and the calendars read from it in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from runbook.errors import CalendarError
from runbook.market import Instrument
from runbook.session import Session, SessionCalendar
from runbook.timetable.changes import changed_past

if TYPE_CHECKING:
    from runbook.adapters.exchange import Refreshed
    from runbook.adapters.store import Store

FIRST = date(2023, 1, 1)  # before it the calendar data was not checked
REPLAN = time(0, 5)  # exchange time: a new day is looked at
_LIBRARY = timedelta(days=7)  # how often the library itself is asked; files are read far more often
_CASH = {"NFO": "NSE", "BFO": "BSE"}  # the market of the index and the shares under these derivatives


class Why(StrEnum):
    """Why the calendar is to be resolved anew."""

    START = "runbook started"
    LIBRARY = "the library was last asked a week ago"
    FILES = "a calendar file changed"
    DAY = "a new day began"


@dataclass(frozen=True, slots=True)
class World:
    """What the almanac asks of the world; `app` gives it.

    `compute` builds calendars, asking the library in a child unless an earlier answer of it is handed in. `stamp` says
    in a moment whether any calendar file changed: equal stamps, equal files. `current` says whether the library that is
    installed is the one that gave an answer.
    """

    compute: Callable[[Sequence[str], date, date, date, Mapping[str, Any] | None], Refreshed]
    stamp: Callable[[], object]
    current: Callable[[Mapping[str, Any]], bool] = lambda _said: True


def exchanges(exchange: str) -> list[str]:
    """What must be known for a desk on `exchange`: its own timetable, and the cash market its indices stand on."""
    return [exchange, *([_CASH[exchange]] if exchange in _CASH else [])]


def quieted(session: Session | None, now: datetime, watched: Sequence[Instrument]) -> frozenset[Instrument]:
    """What of `watched` may stand still although its derivatives trade on: index and shares in the cash auction and the tail."""
    if session is None or not session.phase_at(now).alone:
        return frozenset()
    return frozenset(i for i in watched if i.is_index or i.exchange in _CASH.values())


def _unchanged(
    old: Mapping[str, SessionCalendar | None] | Mapping[str, SessionCalendar],
    new: Mapping[str, SessionCalendar],
    now: datetime,
) -> None:
    """Raises CalendarError when a day before today is answered otherwise, though no file says so."""
    told = [
        f"{name} {day}"
        for name, before in old.items()
        if before is not None
        for day in changed_past(before, new[name], before.today(now))
    ]
    if told:
        more = f" and {len(told) - 3} more" if len(told) > 3 else ""
        raise CalendarError(
            f"the library has changed its mind about the past: {'; '.join(told[:3])}{more}",
            hint="compare the installed versions with requirements.lock; the last good table stays in use",
        )


def ticks_due(session: Session | None, now: datetime, watched: Sequence[Instrument]) -> bool:
    """Whether a tick of any of `watched` is promised at `now`; with nothing watched, whether the exchange trades."""
    if session is None or not session.phase_at(now).trading:
        return False
    return not watched or not quieted(session, now, watched).issuperset(watched)


class Almanac:
    """Calendars by exchange, out of the ledger. `refresh` computes them anew; nothing else does."""

    def __init__(self, store: Store, exchange: str, world: World) -> None:
        self._store = store
        self._exchange = exchange
        self._world = world
        self._held: dict[str, SessionCalendar] = {}
        self._stamp: object = None
        self._resolved: datetime | None = None

    def due(self, now: datetime) -> Why | None:
        """Why `refresh` should be called, or None; costs a look at some file names."""
        if self._resolved is None:
            return None  # whoever starts refreshes first
        if self._world.stamp() != self._stamp:
            return Why.FILES
        calendar = self.calendar()
        if self._resolved < datetime.combine(calendar.today(now), REPLAN, calendar.zone) <= now:
            with self._store.read() as books:
                kept = books.calendars.library()
            return Why.LIBRARY if kept is None or now - kept[0] >= _LIBRARY else Why.DAY
        return None

    def refresh(self, now: datetime, why: Why = Why.START) -> tuple[str, ...]:
        """Compute and store the calendars; gives the warnings.

        Raises CalendarError (the library failed, or has changed its mind about the past) or ConfigError (a fault in a
        file); the table that was there stays in use then, with what the files say where the library alone failed, and the next
        change of a file or the next day tries again.
        """
        self._stamp, self._resolved = self._world.stamp(), now
        names = exchanges(self._exchange)
        with self._store.read() as books:
            kept = books.calendars.library()
            old = {name: books.calendars.load(name) for name in names}
            source = books.calendars.provenance(names[0])
        ask = why in (Why.START, Why.LIBRARY) or kept is None or not self._world.current(kept[1])
        said = kept[1] if kept and not ask else None
        try:
            made = self._compute(names, now, said)
            if source is not None and source[2].get("files") == made.provenance.get("files"):
                # No file was edited, so nobody meant to change a past day: a new release of the library did.
                _unchanged(old, made.calendars, now)
            elif kept is not None and said is None:
                # Both may have changed: what it said before, under the files of today, shows what is the library's doing.
                _unchanged(self._compute(names, now, kept[1]).calendars, made.calendars, now)
        except CalendarError:
            if kept is not None and said is None:
                self._by_what_was_said(names, now, kept[1])
            raise
        if made.said and (said is None or made.said != said):
            with self._store.write() as books:
                books.calendars.keep_library(made.said, now)
        self.keep([made.calendars[name] for name in names], made.provenance, now)
        return made.warnings

    def _compute(self, names: Sequence[str], now: datetime, said: Mapping[str, Any] | None) -> Refreshed:
        return self._world.compute(names, FIRST, date(now.year + 1, 12, 31), date(now.year, 12, 31), said)

    def _by_what_was_said(self, names: Sequence[str], now: datetime, said: Mapping[str, Any]) -> None:
        """The library is not to be had or not to be believed: its last good answer counts, and what the files say now over it."""
        try:
            made = self._compute(names, now, said)
        except CalendarError:  # that answer does not cover what is asked: the table that was there stays
            return
        if any(self.computed_from(name) != made.provenance.get("files") for name in names):
            self.keep([made.calendars[name] for name in names], made.provenance, now)

    def said(self, now: datetime) -> Mapping[str, Any] | None:
        """What the library answered, unless that is older than a daemon that runs would let it become."""
        with self._store.read() as books:
            kept = books.calendars.library()
        return kept[1] if kept and now - kept[0] < _LIBRARY + timedelta(days=1) else None

    def computed_from(self, exchange: str) -> Mapping[str, str]:
        """The digests of the files that the table of `exchange` was computed from; empty when there is no table."""
        with self._store.read() as books:
            source = books.calendars.provenance(exchange)
        return source[2].get("files", {}) if source else {}

    def keep(self, calendars: Sequence[SessionCalendar], provenance: Mapping[str, Any], now: datetime) -> None:
        """Store calendars with where they came from; what is in memory is read anew."""
        with self._store.write() as books:
            for calendar in calendars:
                books.calendars.keep(calendar, provenance, now)
        self._held.clear()

    def calendar(self, exchange: str | None = None) -> SessionCalendar:
        """The calendar of `exchange`, by default the desk's own; raises CalendarError when none was ever computed."""
        name = exchange or self._exchange
        found = self._held.get(name)
        if found is None:
            with self._store.read() as books:
                found = books.calendars.load(name)
            if found is None:
                raise CalendarError(f"no calendar of {name} in the ledger", hint="`runbook init` computes it")
            self._held[name] = found
        return found
