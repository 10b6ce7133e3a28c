"""Who says what of one day, which word counts, and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from runbook.session import Confidence, Day, DayStatus, SessionCalendar

if TYPE_CHECKING:
    from runbook.timetable import Closed, Hours, Library, Phases, Sheet, Special, Timetable, Window


@dataclass(frozen=True, slots=True)
class Statement:
    """What one source says of the day: `about` the day, its hours, its phases or the horizon; `where` is file:line."""

    where: str
    about: str
    says: str
    source: str = ""  # the circular or page, when it was read, how sure
    counts: bool = False
    why: str = ""


@dataclass(frozen=True, slots=True)
class Testimony:
    """All statements on a day, and the sentence that says which of them made the answer."""

    exchange: str
    day: Day
    statements: tuple[Statement, ...]
    verdict: str


def testify(
    exchange: str,
    day: Day,
    sheets: Sequence[Sheet],
    tables: Mapping[str, Timetable],
    library: Library | str | None,
    calendar: SessionCalendar,
) -> Testimony:
    """The testimony on `day`, which is the answer all of it came to in `calendar`.

    `library` is the reason where it gave no answer, None where the exchange has a week in its place.
    """
    case = _Case(exchange, day, _chain(exchange, sheets), tables.get(exchange), calendar)
    return Testimony(exchange, day, (*case.library(library), *case.files()), case.verdict(library))


@dataclass(frozen=True, slots=True)
class _Case:
    exchange: str
    day: Day
    chain: Sequence[Sequence[Sheet]]  # the exchange's own files first, then those of the one it is like
    table: Timetable | None
    calendar: SessionCalendar

    @property
    def date(self) -> date:
        return self.day.date

    def library(self, library: Library | str | None) -> Iterator[Statement]:
        if isinstance(library, str):
            yield Statement("library", "day", f"gave no answer: {library}")
            return
        said, past, why = self._said(), self.date > self.calendar.known_until, ""
        counts = self.day.status is not DayStatus.UNKNOWN and said is None
        if past and said is None:
            counts, why = False, f"not believed past {self.calendar.known_until}: it calls every weekday open there"
        elif self.table is not None and self.date < self.table.known_from and said is None:
            counts, why = False, f"not believed before {self.table.known_from}"
        elif said is not None:
            why = (
                "a file speaks of the day"
                if said.entry.confidence is not Confidence.LOW
                else "held against a weak source"
            )
        if library is None:
            week = (self.table.week if self.table else None) or frozenset()
            says = "open" if self.date.weekday() in week else "closed: weekend"
            yield Statement("the days of its week", "day", says, "", counts, why)
            return
        found = library.days.get(self.date)
        if found is not None:
            says = "open " + ", ".join(f"{self._clock(a)}-{self._clock(b)}" for a, b in found.intervals)
            says += f" ({found.special})" if found.special else ""
        elif self.date.weekday() not in library.week:
            says = "closed: weekend"
        else:
            says = f"closed: {library.holidays.get(self.date) or 'a holiday it has no name for'}"
        yield Statement(f"library {library.name}", "day", says, "", counts, why)

    def _clock(self, instant: datetime) -> str:
        return f"{instant.astimezone(self.calendar.zone):%H:%M}"

    def files(self) -> Iterator[Statement]:
        said = self._said()
        for depth, group in enumerate(self.chain):
            for sheet in sorted(group, key=lambda s: -s.layer):
                yield from self._horizon(sheet)
                for section in ("closed", "sessions"):
                    for i, entry in enumerate(getattr(sheet.content, section)):
                        if entry.day == self.date:
                            counts = said is not None and entry is said.entry
                            counts = counts and self.day.status is not DayStatus.UNKNOWN
                            why = self._why(sheet, depth, counts=counts)
                            yield self._statement(sheet, (section, i), "day", _day_words(entry), entry, counts, why)
                for section in ("hours", "phases"):
                    yield from self._dated(sheet, depth, section)

    def _horizon(self, sheet: Sheet) -> Iterator[Statement]:
        until = sheet.content.known_until
        if until is not None:
            counts = until == self.calendar.known_until
            yield Statement(_where(sheet, ("known_until",)), "horizon", f"known until {until}", "", counts)

    def _dated(self, sheet: Sheet, depth: int, section: str) -> Iterator[Statement]:
        """The entry of the section that has begun last, as this file has it."""
        begun = [(e.since, i, e) for i, e in enumerate(getattr(sheet.content, section)) if e.since <= self.date]
        if not begun or self.day.session is None:
            return
        since, i, entry = max(begun, key=lambda row: row[0])
        held: Sequence[Hours | Phases] = getattr(self.table, section) if self.table else ()
        effective = next((e for e in held if e.since <= self.date), None)
        counts = entry is effective and self._uses_regular()
        says = f"{_words(entry, self.date)}, from {since} on"
        why = (
            ""
            if counts
            else "the day has hours of its own"
            if entry is effective
            else f"{self.exchange} has {section} of its own"
            if depth
            else "another file's word counts"
        )
        yield self._statement(sheet, (section, i), section, says, entry, counts, why)

    def _uses_regular(self) -> bool:
        """Whether the day's times are those of the regular section."""
        said = self._said()
        if said is None:
            return self.day.session is not None and self.day.session.name == "regular"
        return getattr(said.entry, "intervals", None) is None

    def _statement(
        self, sheet: Sheet, path: tuple[str, int], about: str, says: str, entry: Any, counts: bool, why: str
    ) -> Statement:
        source = f"{entry.source}, checked {entry.checked}, confidence {entry.confidence}"
        source += f"; {entry.note}" if entry.note else ""
        return Statement(_where(sheet, path), about, says, source, counts, why)

    def _why(self, sheet: Sheet, depth: int, *, counts: bool) -> str:
        if counts:
            return ""
        said = self._said()
        if said is not None and said.file.startswith("calendar/") and not sheet.document.path.startswith("calendar/"):
            return "the site's word wins over what ships"
        return (
            f"{self.exchange}'s own word wins over that of the exchange it is like" if depth else "another entry counts"
        )

    def _said(self) -> Any:
        return self.table.days.get(self.date) if self.table else None

    def verdict(self, library: Library | str | None) -> str:
        """The rule that made the answer, in one sentence."""
        said, until = self._said(), self.calendar.known_until
        other = "the library" if library is not None else "the week"
        if self.day.status is DayStatus.UNKNOWN:
            if said is not None:
                return f"nobody: {self.day.reason}. A source of confidence low decides no day by itself"
            return f"nobody: {self.day.reason}"
        if said is not None:
            inherited = f", of the exchange {self.exchange} is like" if said.inherited else ""
            return f"{said.file}{inherited}: a statement in calendar/ wins over {other}"
        if isinstance(library, str):
            return "the session table in the ledger: the library could not be asked"
        if self.table is None:
            return f"the library alone, believed until {until}: no file in calendar/ speaks of {self.exchange}"
        return f"{other}: no file speaks of the day, and it lies before {until}, where knowledge ends"


def _chain(exchange: str, sheets: Sequence[Sheet]) -> list[list[Sheet]]:
    """The files about the exchange, about the one it is like, and so on."""
    chain: list[list[Sheet]] = []
    seen: list[str] = []
    name: str | None = exchange
    while name and name not in seen:
        seen.append(name)
        group = [sheet for sheet in sheets if sheet.content.exchange == name]
        chain.append(group)
        name = next((s.content.like for s in sorted(group, key=lambda s: -s.layer) if s.content.like), None)
    return chain


def related(exchange: str, sheets: Sequence[Sheet]) -> tuple[list[str], list[str]]:
    """(the exchanges `exchange` is like, those that are like it): whose days a statement about one touches."""
    above = [group[0].content.exchange for group in _chain(exchange, sheets)[1:] if group]
    names = dict.fromkeys(sheet.content.exchange for sheet in sheets)
    below = [
        n for n in names if n != exchange and any(g and g[0].content.exchange == exchange for g in _chain(n, sheets))
    ]
    return above, below


def _where(sheet: Sheet, path: tuple[str | int, ...]) -> str:
    return f"{sheet.document.path}:{sheet.document.line_of(path)}"


def _day_words(entry: Closed | Special) -> str:
    from runbook.timetable import Closed  # pydantic: who only looks for the names pays nothing

    if isinstance(entry, Closed):
        return f"closed: {entry.name}"
    said = [_spans(entry.intervals)] if entry.intervals else ["the regular hours"]
    said += [f"from {entry.opens}"] if entry.opens else []
    said += [f"until {entry.closes}"] if entry.closes else []
    said += [f"{kind} {_spans(told)}" for kind, told in entry.windows().items()]
    return f"open {', '.join(said)}: {entry.name}"


def _words(entry: Hours | Phases, day: date) -> str:
    """The times that an entry of hours or phases gives for `day`."""
    from runbook.timetable import Hours

    if isinstance(entry, Hours):
        last = f", contracts that expire on the day until {entry.expiring_close}" if entry.expiring_close else ""
        return _spans(entry.on(day)) + last
    return ", ".join(f"{kind} {_spans(told)}" for kind, told in entry.windows().items()) or "none"


def _spans(windows: Sequence[Window]) -> str:
    """`09:15-15:30`; of named parts the whole with the parts after it."""
    if not any(window.part for window in windows):
        return ", ".join(map(str, windows))
    parts = ", ".join(f"{window.part.replace('_', ' ') or 'not named'} {window}" for window in windows)
    return f"{windows[0].start}-{windows[-1].end} ({parts})"


def render_testimony(told: Testimony) -> list[str]:
    """The statements by what they are about, the one that counts marked with an arrow."""
    lines: list[str] = []
    for about, title in (
        ("day", "the day"),
        ("hours", "its hours"),
        ("phases", "its phases"),
        ("horizon", "the horizon"),
    ):
        rows = [s for s in told.statements if s.about == about]
        if not rows:
            continue
        lines.append(title)
        width = max(len(s.where) for s in rows)
        for s in rows:
            lines.append(
                f"  {'->' if s.counts else '  '} {s.where:<{width}}  {s.says}" + (f"  ({s.why})" if s.why else "")
            )
            if s.source:
                lines.append(f"     {'':<{width}}  {s.source}")
    return [*lines, "", f"what counts: {told.verdict}"]


def testimony_json(told: Testimony) -> list[dict[str, Any]]:
    keys = ("where", "about", "says", "source", "counts", "why")
    return [{key: getattr(s, key) for key in keys} for s in told.statements]
