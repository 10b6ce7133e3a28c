"""The calendar held against OpenAlgo's: six forms of disagreement told apart, of which three are no second opinion.

OpenAlgo's list is entered by hand, its hours carry no dates and come shifted from a host in another zone. So it never
decides a day: where the two contradict each other, a person reads the circular.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from runbook.alert import Severity
from runbook.budget import Budget, BudgetSpent
from runbook.errors import GatewayError
from runbook.ports import HolidayRow, MarketCalendar, OpenHours
from runbook.session import Confidence, Day, DayStatus, SessionCalendar

AHEAD = 7  # days after today whose hours are asked for, one call each: OpenAlgo bans who asks too much
_CALLS = 10
_YEARS = range(2020, 2051)  # OpenAlgo refuses to be asked of another

_EQUITY = (time(9, 15), time(15, 40))
# OpenAlgo's one table of hours: what an ordinary day answers, whatever its date.
_USUAL: Mapping[str, tuple[time, time]] = {
    "NSE": (time(9, 15), time(15, 30)), "BSE": (time(9, 15), time(15, 30)), "NFO": _EQUITY, "BFO": _EQUITY,
    "CDS": (time(9, 0), time(17, 0)), "BCD": (time(9, 0), time(17, 0)), "MCX": (time(9, 0), time(23, 55)),
    "NCO": (time(9, 0), time(23, 55)),
}  # fmt: skip
_LATER_CLOSE = date(2026, 8, 3)  # NFO and BFO close at 15:40 since then; OpenAlgo says so of every date
_SUMMER_CLOSE = time(23, 30)  # of MCX while New York is on summer time, which OpenAlgo does not know


class Form(StrEnum):
    """What kind of disagreement it is. The last four are no contradiction: there is no second opinion."""

    OPEN_OR_CLOSED = "open or closed"
    CLOSE = "different close"
    SPECIAL = "special window"
    ZONE = "zone fault"
    EMPTY = "empty year"
    UNREACHABLE = "unreachable"
    SILENT = "not spoken of"

    @property
    def contradicts(self) -> bool:
        return self in (Form.OPEN_OR_CLOSED, Form.CLOSE, Form.SPECIAL)


@dataclass(frozen=True, slots=True)
class Finding:
    """One disagreement; `day` is None where it is about the whole answer. `todo` is the next step for a person."""

    form: Form
    severity: Severity
    day: date | None
    ours: str
    theirs: str
    todo: str

    @property
    def text(self) -> str:
        return f"{self.ours}; {self.theirs}" if self.ours else self.theirs


@dataclass(frozen=True, slots=True)
class Opinion:
    """What OpenAlgo answered: the list of each year asked for, the hours of each day asked for, or why there is none."""

    years: Mapping[int, Sequence[HolidayRow] | str] = field(default_factory=dict)
    days: Mapping[date, Sequence[OpenHours] | str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Crosscheck:
    """What came of it. `agreed` counts days on which both say the same, `unheard` those without a second opinion."""

    exchange: str
    first: date
    last: date
    findings: tuple[Finding, ...]
    agreed: int
    hours_agreed: int
    unheard: int

    @property
    def contradictions(self) -> tuple[Finding, ...]:
        return tuple(f for f in self.findings if f.form.contradicts)

    @property
    def verdict(self) -> str:
        """`contradiction`, `agree`, or `no second opinion` when nothing at all could be compared."""
        if self.contradictions:
            return "contradiction"
        return "agree" if self.agreed else "no second opinion"


def ask(source: MarketCalendar, first: date, last: date, today: date, budget: Budget) -> Opinion:
    """Ask for the years from `first` to `last`, and the hours of today and the next days; never more than ten calls.

    An OpenAlgo that does not answer is not asked for the rest.
    """
    ahead = [today + timedelta(days=n) for n in range(AHEAD + 1)]
    days = [day for day in ahead if first <= day <= last]
    years = sorted({y for day in (first, last, *days) for y in (day.year,)})[: _CALLS - len(days)]
    lists: dict[int, Sequence[HolidayRow] | str] = {}
    hours: dict[date, Sequence[OpenHours] | str] = {}
    failed: str | None = None
    for year in years:
        try:
            lists[year] = failed or (source.holidays(year, budget) if year in _YEARS else ())
        except (GatewayError, BudgetSpent) as exc:
            lists[year] = failed = str(exc)
    for day in days:
        try:
            hours[day] = failed or source.timings(day, budget)
        except (GatewayError, BudgetSpent) as exc:
            hours[day] = failed = str(exc)
    return Opinion(lists, hours)


def crosscheck(calendar: SessionCalendar, opinion: Opinion, first: date, last: date, today: date) -> Crosscheck:
    """Hold each day from `first` to `last` against what OpenAlgo says of the calendar's exchange."""
    check = _Check(calendar, opinion, today)
    findings = list(check.of_years(first, last))
    agreed = hours_agreed = unheard = 0
    if not any(f.form is Form.SILENT and f.day is None for f in findings):
        for day in calendar.span(first, last):
            said = check.of_day(day)
            findings += said.findings
            contradicted = any(f.form.contradicts for f in said.findings)
            agreed += said.heard and not contradicted
            hours_agreed += said.hours and not contradicted
            unheard += not said.heard
    findings.sort(key=lambda f: (not f.form.contradicts, f.day or date.min))
    return Crosscheck(calendar.exchange, first, last, tuple(findings), agreed, hours_agreed, unheard)


@dataclass(frozen=True, slots=True)
class _Said:
    """What OpenAlgo had to say of one day."""

    findings: tuple[Finding, ...] = ()
    heard: bool = False  # open or closed was compared
    hours: bool = False  # the hours were compared


@dataclass(frozen=True, slots=True)
class _Check:
    calendar: SessionCalendar
    opinion: Opinion
    today: date

    @property
    def name(self) -> str:
        return self.calendar.exchange

    @property
    def zone(self) -> ZoneInfo:
        return self.calendar.zone

    def of_years(self, first: date, last: date) -> Iterator[Finding]:
        """Why a year, or everything, has no second opinion: said once, not for each day."""
        if self.name not in _USUAL:
            todo = f"it knows {', '.join(_USUAL)}"
            yield Finding(Form.SILENT, Severity.INFO, None, "", f"OpenAlgo's calendar does not know {self.name}", todo)
            return
        told: set[str] = set()
        for year in range(first.year, last.year + 1):
            rows = self.opinion.years.get(year)
            if isinstance(rows, str) and rows not in told:
                told.add(rows)
                todo = "runbook's own calendar stays in force; `runbook doctor` says what is wrong with OpenAlgo"
                yield Finding(Form.UNREACHABLE, Severity.WARNING, None, "", f"no answer on {year}: {rows}", todo)
            elif rows is not None and not rows:
                theirs = f"OpenAlgo has no row at all for {year}: nobody entered that year"
                todo = "import the exchange's list here when it is out: `runbook calendar import FILE --source ...`"
                yield Finding(Form.EMPTY, Severity.INFO, None, "", theirs, todo)
        for day, hours in self.opinion.days.items():
            if isinstance(hours, str) and hours not in told:
                told.add(hours)
                yield Finding(
                    Form.UNREACHABLE, Severity.WARNING, None, "", f"no answer on {day}: {hours}", "ask again later"
                )

    def of_day(self, day: Day) -> _Said:
        rows = self.opinion.years.get(day.date.year)
        if rows is None or isinstance(rows, str) or not rows:
            return _Said()
        row = next((row for row in rows if row.date == day.date), None)
        listed = next((h for h in row.opens if h.exchange == self.name), None) if row else None
        if listed is not None and listed.start.astimezone(self.zone).date() != day.date:
            return _Said((self._shifted(day, f"its list puts {self.name} at {self._span(listed)}"),))
        timed = self.opinion.days.get(day.date)
        theirs: OpenHours | None
        if isinstance(timed, Sequence) and not isinstance(timed, str) and timed:
            theirs = next((h for h in timed if h.exchange == self.name), None)
            is_open, heard_hours = theirs is not None, theirs is not None
        elif row is None or row.kind == "SETTLEMENT_HOLIDAY":
            theirs, is_open, heard_hours = None, day.date.weekday() < 5, False
        elif listed is None and self.name not in row.closed:
            said = f"its row for the day ({row.name}) does not name {self.name}"
            return _Said((Finding(Form.SILENT, Severity.INFO, day.date, "", said, ""),))
        else:
            theirs, is_open, heard_hours = listed, listed is not None, listed is not None
        zone_fault: tuple[Finding, ...] = ()
        if theirs is not None and listed is None and (fault := self._zone_fault(day, theirs)):
            zone_fault, theirs, heard_hours = (fault,), None, False  # that it trades at all is still said
        if day.status is DayStatus.UNKNOWN:
            return _Said((self._ours_unknown(day, is_open=is_open), *zone_fault))
        if (day.session is not None) != is_open:
            return _Said((self._open_or_closed(day, row, is_open=is_open), *zone_fault), heard=True)
        if day.session is None or not heard_hours or theirs is None:
            return _Said((*zone_fault, *self._untold_special(day, row)), heard=True)
        usual = theirs.start.astimezone(self.zone).time() == _USUAL[self.name][0] and listed is None
        findings = tuple(self._hours(day, theirs, special=not usual))
        return _Said(findings, heard=True, hours=not findings)

    # --- the forms ---------------------------------------------------------------------------------------------------

    def _zone_fault(self, day: Day, theirs: OpenHours) -> Finding | None:
        """OpenAlgo's own ordinary hours, moved as one: its host counts midnight in another zone."""
        opens, closes = (datetime.combine(day.date, clock, self.zone) for clock in _USUAL[self.name])
        if theirs.start == opens or theirs.start - opens != theirs.end - closes:
            return None  # in place, or hours of another kind
        return self._shifted(day, f"its hours for {self.name} decode to {self._span(theirs)}")

    def _shifted(self, day: Day, what: str) -> Finding:
        todo = "set TZ=Asia/Kolkata on OpenAlgo's host, or update OpenAlgo; until then its hours mean nothing"
        return Finding(Form.ZONE, Severity.INFO, day.date, "", what, todo)

    def _ours_unknown(self, day: Day, *, is_open: bool) -> Finding:
        theirs = f"OpenAlgo says {'open' if is_open else 'closed'}"
        todo = "settle it here with the circular: `runbook calendar import`, `close` or `open`"
        return Finding(Form.SILENT, Severity.INFO, day.date, f"ours: unknown ({day.reason})", theirs, todo)

    def _open_or_closed(self, day: Day, row: HolidayRow | None, *, is_open: bool) -> Finding:
        named = f" ({row.name})" if row else " (a weekend)" if day.date.weekday() >= 5 else " (no holiday listed)"
        theirs = f"OpenAlgo says {'open' if is_open else 'closed'}{named}"
        todo = f"read the circular; if OpenAlgo is right: `runbook calendar {'open' if is_open else 'close'} {day.date} ...`"
        if day.confidence is Confidence.HIGH:
            todo += "; if not, correct OpenAlgo's holiday page"
        return self._finding(Form.OPEN_OR_CLOSED, Severity.CRITICAL, day, theirs, todo)

    def _untold_special(self, day: Day, row: HolidayRow | None) -> Iterator[Finding]:
        """A special session of ours on a day that OpenAlgo's list takes for an ordinary one."""
        if day.session is None or row is not None or self._ordinary(day) or day.date in self.opinion.days:
            return
        todo = f"read the circular; if OpenAlgo is right: `runbook calendar open {day.date} ... --replace`"
        theirs = "OpenAlgo lists nothing special for the day"
        yield self._finding(Form.SPECIAL, Severity.WARNING, day, theirs, todo)

    def _hours(self, day: Day, theirs: OpenHours, *, special: bool) -> Iterator[Finding]:
        assert day.session is not None
        opens, closes = theirs.start.astimezone(self.zone), theirs.end.astimezone(self.zone)
        if (opens, closes) == (day.session.open, day.session.close):
            return
        said = f"OpenAlgo says {self._span(theirs)}"
        todo = "read the circular"
        after = (closes.date() - day.date).days
        if opens.date() == day.date and 24 * after + closes.hour < 30:  # as far as a file can say it
            until = f"{24 * after + closes.hour:02}:{closes:%M}"
            command = f"`runbook calendar open {day.date} --from {opens:%H:%M} --until {until} ...`"
            todo += f"; if OpenAlgo is right: {command}"
        if (why := self._undated(day, closes.time())) and (not special or opens == day.session.open):
            yield Finding(Form.SILENT, Severity.INFO, day.date, "", f"{said}: {why}", "")
        elif special == self._ordinary(day):
            said += " as a special session" if special else " as on any ordinary day"
            yield self._finding(Form.SPECIAL, Severity.WARNING, day, said, todo)
        else:
            if day.confidence is not Confidence.HIGH:
                todo += f"; ours is not sure ({day.note or 'confidence ' + day.confidence})"
            yield self._finding(Form.CLOSE, Severity.WARNING, day, said, todo)

    def _undated(self, day: Day, closes: time) -> str:
        """Why a different close is only OpenAlgo's table without dates."""
        assert day.session is not None
        if closes != _USUAL[self.name][1]:
            return ""
        if self.name in ("NFO", "BFO") and day.date < _LATER_CLOSE:
            return "it gives the close of today for every date"
        ours = day.session.close.astimezone(self.zone).time()
        if self.name in ("MCX", "NCO") and ours == _SUMMER_CLOSE:
            return "it knows no summer time"
        return ""

    def _ordinary(self, day: Day) -> bool:
        return day.session is not None and day.session.name == "regular"

    def _finding(self, form: Form, severity: Severity, day: Day, theirs: str, todo: str) -> Finding:
        if day.session is None:
            ours = f"ours: closed ({day.reason})"
        else:
            spans = ", ".join(f"{self._clock(a)}-{self._clock(b)}" for a, b in day.session.intervals)
            ours = f"ours: open {spans}" + ("" if self._ordinary(day) else f" ({day.session.name})")
        if day.date < self.today:  # nothing runs on it any more
            severity = Severity.INFO
        return Finding(form, severity, day.date, ours, theirs, todo)

    def _span(self, hours: OpenHours) -> str:
        start, end = hours.start.astimezone(self.zone), hours.end.astimezone(self.zone)
        until = f"{end:%H:%M}" if end.date() == start.date() else f"{end:%Y-%m-%d %H:%M}"
        return f"{start:%Y-%m-%d %H:%M}-{until} {start:%Z}"

    def _clock(self, instant: datetime) -> str:
        return f"{instant.astimezone(self.zone):%H:%M}"


def ahead(findings: Iterable[Finding], today: date) -> list[Finding]:
    """The contradictions that still matter: about today or later."""
    return [f for f in findings if f.form.contradicts and f.day is not None and f.day >= today]
