"""What all files together say of each exchange: the site over the base, an exchange over the one it is like."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

from runbook.errors import CalendarFaults
from runbook.fault import Fault, nearest
from runbook.timetable.sheet import PLACES, Closed, Hours, Layer, Phases, Sheet, Special, misplaced


@dataclass(frozen=True, slots=True)
class Said:
    """One statement about one day and the file it stands in; `inherited` when it is about the exchange this is like.

    `over` is the statement it wins over, which counts again where this one is too weak to decide.
    """

    entry: Closed | Special
    file: str
    inherited: bool = False
    over: Said | None = None

    @property
    def source(self) -> str:
        return f"{self.file}: {self.entry.source}"


@dataclass(frozen=True, slots=True)
class Timetable:
    """All that is stated about an exchange, each once: the site's word over the base's, its own over its like's.

    Its days are those of `library`, or of `week` (Monday is 0) where the library has no such calendar.
    """

    exchange: str
    library: str | None
    zone: ZoneInfo | None
    known_until: date | None  # None: no file says, and whoever asks the library has to
    known_from: date = date.min
    week: frozenset[int] | None = None
    complete: bool = False  # the closures on weekdays are all stated
    hours: tuple[Hours, ...] = ()  # newest first
    phases: tuple[Phases, ...] = ()  # newest first
    days: Mapping[date, Said] = field(default_factory=dict, repr=False)


def merge(sheets: Sequence[Sheet]) -> dict[str, Timetable]:
    """The timetable of each exchange the sheets speak of; raises CalendarFaults with all contradictions."""
    by_exchange: dict[str, list[Sheet]] = {}
    for sheet in sorted(sheets, key=lambda s: s.layer):
        by_exchange.setdefault(sheet.content.exchange, []).append(sheet)
    # a file that only names an exchange, as `runbook init` writes it, says nothing of it yet
    by_exchange = {name: group for name, group in by_exchange.items() if any(map(_says_something, group))}
    faults = [fault for group in by_exchange.values() for told in (_said_twice, _misplaced) for fault in told(group)]
    tables: dict[str, Timetable] = {}
    for exchange in by_exchange:
        chain = _chain(exchange, by_exchange, faults)
        if chain and (table := _merged(exchange, chain, by_exchange.keys() - {exchange}, faults)):
            tables[exchange] = table
    if faults:
        raise CalendarFaults(faults)
    return tables


def _says_something(sheet: Sheet) -> bool:
    return any(value for name, value in sheet.content if name != "exchange")


def _said_twice(group: Sequence[Sheet]) -> Iterator[Fault]:
    """Two statements of one layer about one date."""
    seen: dict[tuple[Layer, str, date], str] = {}
    for sheet in group:
        for section in ("hours", "phases", "closed", "sessions"):
            for i, entry in enumerate(getattr(sheet.content, section)):
                when = entry.since if section in ("hours", "phases") else entry.day
                kind = section if section in ("hours", "phases") else "day"
                key = (sheet.layer, kind, when)
                if first := seen.get(key):
                    found = f"{when} is already stated in {first}"
                    yield sheet.document.fault((section, i), found, "one statement for a date")
                seen.setdefault(key, f"{sheet.document.path}:{sheet.document.line_of((section, i))}")


def _misplaced(group: Sequence[Sheet]) -> Iterator[Fault]:
    """Phases that do not go with the hours they stand beside, where one layer states both of this exchange.

    A site that changes the hours alone makes no fault of what ships: phases that promise ticks are cut to the hours then.
    """
    for layer in Layer:
        sheets = [sheet for sheet in group if sheet.layer is layer]
        hours = [entry for sheet in sheets for entry in sheet.content.hours]
        phases = [(entry, sheet, i) for sheet in sheets for i, entry in enumerate(sheet.content.phases)]
        for entry, sheet, i in phases:
            until = min((e.since for e, *_ in phases if e.since > entry.since), default=date.max)
            first = max((h.since for h in hours if h.since <= entry.since), default=entry.since)
            beside = (w for h in hours if first <= h.since < until for w in (h.intervals, h.winter_intervals) if w)
            found = next((why for windows in beside if (why := misplaced(entry.windows(), windows))), None)
            if found:
                yield sheet.document.fault(("phases", i), found, PLACES, "pre_open: 09:00-09:15")


def _chain(exchange: str, groups: Mapping[str, list[Sheet]], faults: list[Fault]) -> list[list[Sheet]]:
    """The sheets of the exchange, of the one it is like, and so on; the like of the site counts."""
    chain, seen = [], [exchange]
    while True:
        group = groups[exchange]
        chain.append(group)
        told = next((s for s in reversed(group) if s.content.like), None)
        if told is None:
            return chain
        like = str(told.content.like)
        if like not in groups or like in seen:
            found = f"{like} is like {exchange} itself" if like in seen else f"there is no calendar {like}"
            others = sorted(set(groups) - set(seen))
            faults.append(told.document.fault(("like",), found, nearest(like, others) + ", ".join(others)))
            return []
        seen.append(exchange := like)


def _merged(
    exchange: str, chain: Sequence[Sequence[Sheet]], others: Iterable[str], faults: list[Fault]
) -> Timetable | None:
    # the last one written wins: base before site, and within each the exchange it is like before its own
    sheets = [(s, depth > 0) for layer in Layer for depth, g in _farthest_first(chain) for s in g if s.layer is layer]
    days: dict[date, Said] = {}
    for sheet, inherited in sheets:
        entries: list[Closed | Special] = [*sheet.content.closed, *sheet.content.sessions]
        for entry in entries:
            days[entry.day] = Said(entry, sheet.document.path, inherited, days.get(entry.day))
    library, week = _base(chain)
    zone = _nearest_said(chain, "zone")
    known_until, known_from = _bound(chain, "known_until", max), _bound(chain, "known_from", min)
    lacking = []
    if not library and not week:
        near = nearest(exchange, sorted(others))
        what = f"nothing says where the days of {exchange} come from"
        lacking.append((what, near + "`library`, `like` or `weekdays`", f"library: {exchange}"))
    elif week and not zone:
        lacking.append(("`zone` is missing, and no library gives one", "a time zone", "zone: Asia/Kolkata"))
    if week and not known_until:
        lacking.append(("`known_until` is missing", "the last day that is known", "known_until: 2026-12-31"))
    if lacking:
        faults += [chain[0][-1].document.fault((), *fault) for fault in lacking]
        return None
    return Timetable(
        exchange, library, zone, known_until, known_from or date.min, week,
        bool(_nearest_said(chain, "lists_all_holidays")), _dated(chain, "hours"), _dated(chain, "phases"), days,
    )  # fmt: skip


def _base(chain: Sequence[Sequence[Sheet]]) -> tuple[str | None, frozenset[int] | None]:
    """Where the days come from: the nearest calendar that names its library or its week; the site over the base."""
    for group in chain:
        for content in (sheet.content for sheet in reversed(group)):
            if content.library or content.weekdays:
                return content.library, content.weekdays
    return None, None


def _bound(chain: Sequence[Sequence[Sheet]], key: str, widest: Callable[[Iterable[date]], date]) -> date | None:
    """The nearest calendar that states it; of its base and its site the one that knows more."""
    stated = ([v for s in group if (v := getattr(s.content, key))] for group in chain)
    return next((widest(dates) for dates in stated if dates), None)


def _farthest_first(chain: Sequence[Sequence[Sheet]]) -> list[tuple[int, Sequence[Sheet]]]:
    return list(enumerate(chain))[::-1]


def _nearest_said(chain: Sequence[Sequence[Sheet]], key: str) -> Any:
    return next((v for group in chain for s in reversed(group) if (v := getattr(s.content, key))), None)


def _dated(chain: Sequence[Sequence[Sheet]], section: str) -> tuple[Any, ...]:
    """The nearest calendar that gives the section gives all of it; a date stated by the site is the site's."""
    for group in chain:
        if entries := {e.since: e for sheet in group for e in getattr(sheet.content, section)}:
            return tuple(entries[since] for since in sorted(entries, reverse=True))
    return ()
