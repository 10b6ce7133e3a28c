"""The days of an exchange: its timetable laid over the sessions of the library."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import TypeVar
from zoneinfo import ZoneInfo

from runbook.session import INDIA, Confidence, Day, DayStatus, Phase, PhaseName, Session, SessionCalendar
from runbook.timetable.fields import Window
from runbook.timetable.merge import Said, Timetable
from runbook.timetable.sheet import Closed, Entry, Hours, Phases, Special, weaker

_ALIASES = {"Asia/Calcutta": "Asia/Kolkata"}  # the library's old name for the one zone of India

# How the first source of a day is called that no file speaks of.
LIBRARY, WEEK = "library ", "its regular weekdays"
# Which edge of the day a phase stands at.
_EDGES = {
    PhaseName.PRE_OPEN: "opens", PhaseName.CLOSING_AUCTION: "closes", PhaseName.CASH_AUCTION: "closes",
    PhaseName.TAIL: "closes", PhaseName.POST_CLOSE: "closes",
}  # fmt: skip

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
    exchange: str,
    timetables: Mapping[str, Timetable],
    library: Library | None,
    first: date,
    last: date,
    *,
    horizon: date,
) -> SessionCalendar:
    """The calendar of `exchange` from `first` to `last`; without a timetable it is the library's.

    `library` is what the timetable names, None where it names a week. `horizon` ends what is believed of a calendar of
    which no file says how far it is known.
    """
    timetable = timetables.get(exchange) or Timetable(exchange, library.name if library else None, None, None)
    if (library.name if library else None) != timetable.library:
        raise ValueError(f"{exchange} stands on {timetable.library}, not on {library}")
    zone = timetable.zone or (library.zone if library else INDIA)  # merge sees to it that a week has its own
    zone = ZoneInfo(_ALIASES.get(zone.key, zone.key))
    known_until = timetable.known_until or horizon
    days = _Table(timetable, library, zone, known_until).days(first, last)
    return SessionCalendar(exchange, zone, known_until, days)


@dataclass(frozen=True, slots=True)
class _Table:
    timetable: Timetable
    library: Library | None
    zone: ZoneInfo
    known_until: date

    def days(self, first: date, last: date) -> dict[date, Day]:
        """Every day of which something can be said, also why nothing is known of it."""
        days: dict[date, Day] = {}
        for day in (first + timedelta(days=n) for n in range((last - first).days + 1)):
            said = self.timetable.days.get(day)
            if found := self.stated(said) if said else self.derived(day):
                days[day] = found
        return days

    def stated(self, said: Said) -> Day:
        """A day that a file speaks of, also where nothing else is known; what is too weak to decide needs a second."""
        day = self._closed(said, said.entry) if isinstance(said.entry, Closed) else self._special(said, said.entry)
        if said.entry.confidence is not Confidence.LOW or day.status is DayStatus.UNKNOWN:
            return day
        other = self.stated(said.over) if said.over else self.derived(said.entry.day)
        if other is None or other.status is DayStatus.UNKNOWN:
            reason = f"perhaps {day.status}: {said.entry.name}, but the source is weak and there is no second"
            return _unknown(day.date, reason, day.sources, said.entry.note)
        if other.status is day.status:
            return day
        reason = f"{said.source} says {day.status} ({said.entry.name}), {other.sources[0]} {other.status}"
        return _unknown(day.date, reason, (*day.sources, *other.sources), said.entry.note)

    def derived(self, day: date) -> Day | None:
        """A day on which the library or the week has the word, and the timetable gives the hours."""
        table = self.timetable
        if day < table.known_from:
            return _unknown(day, f"the calendar of {table.exchange} is known from {table.known_from}")
        if day > self.known_until:
            return None  # the calendar itself answers for what lies past its horizon
        found = self._usual(day)
        if found is None:
            return self._without(day)
        hours, phases = _effective(table.hours, day), _effective(table.phases, day)
        if found.special or hours is None:
            if not found.intervals:
                return _unknown(day, f"{table.exchange} is open, but nothing says when", (self._source,))
            return self._open(day, _unnamed(found.intervals), {}, (), found.special or "regular", (self._source,))
        windows = phases.windows() if phases else {}
        trading = _trading(day, hours.on(day), self.zone)
        return self._open(day, trading, windows, (hours, phases), "regular", (self._source, hours.source))

    @property
    def _source(self) -> str:
        return LIBRARY + self.library.name if self.library else WEEK

    def _usual(self, day: date) -> LibraryDay | None:
        """The session of `day` as the library or the week has it."""
        if self.library:
            return self.library.days.get(day)
        return LibraryDay(day, ()) if day.weekday() in (self.timetable.week or ()) else None

    def _without(self, day: date) -> Day:
        """A day without a session that no file speaks of."""
        week = self.library.week if self.library else self.timetable.week or frozenset()
        if day.weekday() not in week:
            return Day(day, DayStatus.CLOSED, "weekend", (self._source,))
        name = self.library.holidays.get(day, "") if self.library else ""
        if self.timetable.complete:
            called = f" ({name})" if name else ""
            reason = f"{self._source} has a holiday{called}, the list of all holidays in calendar/ has none"
            return _unknown(day, reason, (self._source,))
        # a closure without a statement rests on the library alone
        return Day(day, DayStatus.CLOSED, name or "holiday (library)", (self._source,), Confidence.MEDIUM)

    def _closed(self, said: Said, entry: Closed) -> Day:
        also = self.library and entry.day in self.library.days
        note = f"{entry.note}; {self._source} has a session".removeprefix("; ") if also else entry.note
        agree = self._usual(entry.day) is None  # a weekday rule knows no holidays: its session is no second opinion
        sources = (said.source, self._source) if agree else (said.source,)
        return Day(entry.day, DayStatus.CLOSED, entry.name, sources, entry.confidence, note=note)

    def _special(self, said: Said, entry: Special) -> Day:
        day = entry.day
        hours, usual = _effective(self.timetable.hours, day), _effective(self.timetable.phases, day)
        regular = usual.windows() if usual else {}
        windows = entry.windows()
        if said.inherited:  # a segment without a pre-open has none on a special day either
            windows = {kind: window for kind, window in windows.items() if kind in regular}
        if entry.intervals:
            trading = _trading(day, entry.intervals, self.zone)
            return self._open(day, trading, windows, (entry,), entry.name, (said.source,))
        sources: tuple[str, ...] = (said.source,)
        if hours:
            trading = _trading(day, hours.on(day), self.zone)
        else:
            also = self._usual(day)
            trading, sources = _unnamed(also.intervals if also else ()), (said.source, self._source)
        trading = _cut(day, trading, entry, self.zone)
        if not trading:
            return _unknown(day, f"{entry.name}: open, but nothing says when", (said.source,), entry.note)
        # around another open there is no telling when the auction before it is, nor what follows another close
        moved = {kind for kind, at in _EDGES.items() if getattr(entry, at)}
        windows = {kind: window for kind, window in regular.items() if kind not in moved} | windows
        return self._open(day, trading, windows, (entry, hours), entry.name, sources)

    def _open(
        self,
        day: date,
        trading: tuple[Phase, ...],
        windows: Mapping[PhaseName, tuple[Window, ...]],
        entries: Sequence[Entry | None],
        name: str,
        sources: tuple[str, ...],
    ) -> Day:
        said = [entry for entry in entries if entry]
        confidence = weaker(*(entry.weakest for entry in said))
        note = "; ".join(dict.fromkeys(entry.note for entry in said if entry.note))
        session = Session(
            self.timetable.exchange,
            day,
            _intervals(trading),
            _phases(day, trading, windows, self.zone),
            name,
            "; ".join(sources),
            confidence,
            note,
            self.zone,
            self._expiring(day, trading, said),
        )
        reason = "regular session" if name == "regular" else name
        return Day(day, DayStatus.OPEN, reason, sources, confidence, session, note)

    def _expiring(self, day: date, trading: tuple[Phase, ...], said: Sequence[Entry]) -> datetime | None:
        """When contracts that expire on the day stop, as the hours that count say it; None when trading ends before."""
        clock = next((entry.expiring_close for entry in said if isinstance(entry, Hours)), None)
        at = clock.on(day, self.zone) if clock else None
        return at if at and trading[0].start < at < trading[-1].end else None


def _trading(day: date, windows: Iterable[Window], zone: ZoneInfo) -> tuple[Phase, ...]:
    """The stretches of trading by the clock, with what each part of the day is called."""
    return _aware(PhaseName.CONTINUOUS, day, windows, zone)


def _unnamed(intervals: Intervals) -> tuple[Phase, ...]:
    return tuple(Phase(PhaseName.CONTINUOUS, start, end) for start, end in intervals)


def _intervals(trading: Iterable[Phase]) -> Intervals:
    """Stretches that touch, such as a morning and an evening, are one."""
    joined: list[tuple[datetime, datetime]] = []
    for phase in trading:
        if joined and joined[-1][1] == phase.start:
            joined[-1] = (joined[-1][0], phase.end)
        else:
            joined.append((phase.start, phase.end))
    return tuple(joined)


def _phases(
    day: date, trading: tuple[Phase, ...], windows: Mapping[PhaseName, tuple[Window, ...]], zone: ZoneInfo
) -> tuple[Phase, ...]:
    """The given phases, plain trading where none of them is, and the breaks of a split day, in order."""
    given = [phase for kind, told in windows.items() for phase in _aware(kind, day, told, zone)]
    # no phase makes the day longer: what trades beside the cash market does so within the hours that count
    phases = [piece for phase in given for piece in (_within(phase, trading) if phase.name.trading else (phase,))]
    stretches = list(trading)
    for phase in phases:
        stretches = [
            replace(stretch, start=start, end=end)
            for stretch in stretches
            for start, end in (
                (stretch.start, min(stretch.end, phase.start)),
                (max(stretch.start, phase.end), stretch.end),
            )
            if start < end
        ]
    gaps = ((before.end, after.start) for before, after in pairwise(trading))
    breaks = [Phase(PhaseName.BREAK, start, end) for start, end in gaps if start < end]
    return tuple(sorted((*phases, *stretches, *breaks), key=lambda phase: phase.start))


def _within(phase: Phase, trading: Iterable[Phase]) -> Iterator[Phase]:
    for start, end in _intervals(trading):
        if max(start, phase.start) < min(end, phase.end):
            yield replace(phase, start=max(start, phase.start), end=min(end, phase.end))


def _cut(day: date, trading: tuple[Phase, ...], entry: Special, zone: ZoneInfo) -> tuple[Phase, ...]:
    """`trading` with the open and the close that `entry` gives in place of its own; empty when nothing is left."""
    if entry.opens:
        opens = entry.opens.on(day, zone)
        left = [phase for phase in trading if phase.end > opens]
        trading = (*(replace(phase, start=opens) for phase in left[:1]), *left[1:])
    if entry.closes:
        closes = entry.closes.on(day, zone)
        left = [phase for phase in trading if phase.start < closes]
        trading = (*left[:-1], *(replace(phase, end=closes) for phase in left[-1:]))
    return trading


def _unknown(day: date, reason: str, sources: tuple[str, ...] = (), note: str = "") -> Day:
    return Day(day, DayStatus.UNKNOWN, reason, sources, Confidence.LOW, note=note)


def _aware(kind: PhaseName, day: date, windows: Iterable[Window], zone: ZoneInfo) -> tuple[Phase, ...]:
    return tuple(Phase(kind, w.start.on(day, zone), w.end.on(day, zone), w.part) for w in windows)


_Dated = TypeVar("_Dated", Hours, Phases)


def _effective(entries: Sequence[_Dated], day: date) -> _Dated | None:
    """The newest entry that has begun."""
    return next((entry for entry in entries if entry.since <= day), None)
