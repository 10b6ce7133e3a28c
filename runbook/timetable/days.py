"""The days of an exchange: its timetable laid over the sessions of the library."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import TypeVar
from zoneinfo import ZoneInfo

from runbook.session import Confidence, Day, DayStatus, Phase, PhaseName, Session, SessionCalendar
from runbook.timetable.merge import Said, Timetable
from runbook.timetable.sheet import Closed, Entry, Hours, Phases, Window

_ALIASES = {"Asia/Calcutta": "Asia/Kolkata"}  # the library's old name for the one zone of India

Intervals = tuple[tuple[datetime, datetime], ...]


@dataclass(frozen=True, slots=True)
class LibraryDay:
    """A session of the library, in UTC; `special` names hours that are not its regular ones."""

    date: date
    intervals: Intervals
    special: str = ""


@dataclass(frozen=True, slots=True)
class Library:
    """What the library says of one calendar: nothing about where its knowledge ends."""

    name: str
    zone: ZoneInfo
    week: frozenset[int]  # the weekdays it can be open on, Monday is 0
    days: Mapping[date, LibraryDay] = field(repr=False)
    holidays: Mapping[date, str] = field(default_factory=dict, repr=False)


def build(
    exchange: str, timetables: Mapping[str, Timetable], library: Library, first: date, last: date, *, horizon: date
) -> SessionCalendar:
    """The calendar of `exchange` from `first` to `last`; without a timetable it is the library's, until `horizon`."""
    timetable = timetables.get(exchange) or Timetable(exchange, library.name, None, horizon)
    zone = timetable.zone or ZoneInfo(_ALIASES.get(library.zone.key, library.zone.key))
    days = resolve(timetable, library, first, last, zone)
    return SessionCalendar(exchange, zone, timetable.known_until, days)


def resolve(timetable: Timetable, library: Library, first: date, last: date, zone: ZoneInfo) -> dict[date, Day]:
    """Every day that is known; a statement about a day counts also past `known_until`, where the library does not."""
    table = _Table(timetable, library, zone)
    days: dict[date, Day] = {}
    for day in (first + timedelta(days=n) for n in range((last - first).days + 1)):
        if said := timetable.days.get(day):
            days[day] = table.stated(said)
        elif day <= timetable.known_until:
            days[day] = table.derived(day)
    return days


@dataclass(frozen=True, slots=True)
class _Table:
    timetable: Timetable
    library: Library
    zone: ZoneInfo

    @property
    def source(self) -> str:
        return f"library {self.library.name}"

    def stated(self, said: Said) -> Day:
        """A day that a file speaks of."""
        entry = said.entry
        also = self.library.days.get(entry.day)
        if isinstance(entry, Closed):
            note = f"{entry.note}; {self.source} has a session".removeprefix("; ") if also else entry.note
            sources = (said.source,) if also else (said.source, self.source)
            return Day(entry.day, DayStatus.CLOSED, entry.name, sources, entry.confidence, note=note)
        hours, usual = _effective(self.timetable.hours, entry.day), _effective(self.timetable.phases, entry.day)
        phases = usual.windows() if usual else {}
        windows = entry.windows()
        if entry.intervals is None:
            windows = phases | windows
        elif said.inherited:  # a segment without a pre-open has none on a special day either
            windows = {kind: window for kind, window in windows.items() if kind in phases}
        if entry.intervals:
            intervals = _aware(entry.day, entry.intervals, self.zone)
            return self._open(entry.day, intervals, windows, (entry,), entry.name, (said.source,))
        if hours:
            intervals = _aware(entry.day, hours.intervals, self.zone)
            return self._open(entry.day, intervals, windows, (entry, hours), entry.name, (said.source,))
        if also:
            return self._open(entry.day, also.intervals, windows, (entry,), entry.name, (said.source, self.source))
        return Day(entry.day, DayStatus.UNKNOWN, f"{entry.name}: open, but nothing says when", (said.source,))

    def derived(self, day: date) -> Day:
        """A day on which the library has the word, and the timetable gives the hours."""
        found = self.library.days.get(day)
        if found is None:
            weekend = day.weekday() not in self.library.week
            reason = "weekend" if weekend else self.library.holidays.get(day) or "holiday (library)"
            # a closure without a statement rests on the library alone
            confidence = Confidence.HIGH if weekend else Confidence.MEDIUM
            return Day(day, DayStatus.CLOSED, reason, (self.source,), confidence)
        hours, phases = _effective(self.timetable.hours, day), _effective(self.timetable.phases, day)
        if found.special or hours is None:
            return self._open(day, found.intervals, {}, (), found.special or "regular", (self.source,))
        windows = phases.windows() if phases else {}
        intervals = _aware(day, hours.intervals, self.zone)
        return self._open(day, intervals, windows, (hours, phases), "regular", (self.source, hours.source))

    def _open(
        self,
        day: date,
        intervals: Intervals,
        windows: Mapping[PhaseName, Window],
        entries: Iterable[Entry | None],
        name: str,
        sources: tuple[str, ...],
    ) -> Day:
        said = [entry for entry in entries if entry]
        weakest = list(Confidence)[::-1].index  # HIGH is listed first
        confidence = min((entry.confidence for entry in said), key=weakest, default=Confidence.HIGH)
        note = "; ".join(dict.fromkeys(entry.note for entry in said if entry.note))
        session = Session(
            self.timetable.exchange,
            day,
            intervals,
            _phases(day, intervals, windows, self.zone),
            name,
            "; ".join(sources),
            confidence,
            note,
            self.zone,
        )
        reason = "regular session" if name == "regular" else name
        return Day(day, DayStatus.OPEN, reason, sources, confidence, session, note)


def _phases(day: date, intervals: Intervals, windows: Mapping[PhaseName, Window], zone: ZoneInfo) -> tuple[Phase, ...]:
    """The given phases, trading where none of them is, and the breaks of a split day, in order."""
    phases = [Phase(kind, *_aware(day, (window,), zone)[0]) for kind, window in windows.items()]
    stretches = list(intervals)
    for phase in phases:
        stretches = [
            piece
            for start, end in stretches
            for piece in ((start, min(end, phase.start)), (max(start, phase.end), end))
            if piece[0] < piece[1]
        ]
    phases += [Phase(PhaseName.CONTINUOUS, start, end) for start, end in stretches]
    gaps = pairwise(intervals)
    phases += [Phase(PhaseName.BREAK, before[1], after[0]) for before, after in gaps]
    return tuple(sorted(phases, key=lambda phase: phase.start))


def _aware(day: date, windows: Iterable[Window], zone: ZoneInfo) -> Intervals:
    def instant(clock: time) -> datetime:
        return datetime.combine(day, clock, zone).astimezone(UTC)

    return tuple((instant(start), instant(end)) for start, end in windows)


_Dated = TypeVar("_Dated", Hours, Phases)


def _effective(entries: Sequence[_Dated], day: date) -> _Dated | None:
    """The newest entry that has begun."""
    return next((entry for entry in entries if entry.since <= day), None)
