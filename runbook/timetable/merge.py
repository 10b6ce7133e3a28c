"""What all files together say of each exchange: the site over the base, an exchange over the one it is like."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any
from zoneinfo import ZoneInfo

from runbook.errors import CalendarFaults
from runbook.fault import Fault, nearest
from runbook.timetable.sheet import Closed, Hours, Layer, Phases, Sheet, Special


@dataclass(frozen=True, slots=True)
class Said:
    """One statement about one day and the file it stands in; `inherited` when it is about the exchange this is like."""

    entry: Closed | Special
    file: str
    inherited: bool = False

    @property
    def source(self) -> str:
        return f"{self.file}: {self.entry.source}"


@dataclass(frozen=True, slots=True)
class Timetable:
    """All that is stated about an exchange, each once: the site's word over the base's, its own over its like's."""

    exchange: str
    library: str
    zone: ZoneInfo | None
    known_until: date
    hours: tuple[Hours, ...] = ()  # newest first
    phases: tuple[Phases, ...] = ()  # newest first
    days: Mapping[date, Said] = field(default_factory=dict, repr=False)


def merge(sheets: Sequence[Sheet]) -> dict[str, Timetable]:
    """The timetable of each exchange the sheets speak of; raises CalendarFaults with all contradictions."""
    by_exchange: dict[str, list[Sheet]] = {}
    for sheet in sorted(sheets, key=lambda s: s.layer):
        by_exchange.setdefault(sheet.content.exchange, []).append(sheet)
    faults = [fault for group in by_exchange.values() for fault in _said_twice(group)]
    tables: dict[str, Timetable] = {}
    for exchange in by_exchange:
        chain = _chain(exchange, by_exchange, faults)
        if chain and (table := _merged(exchange, chain, faults)):
            tables[exchange] = table
    if faults:
        raise CalendarFaults(faults)
    return tables


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


def _merged(exchange: str, chain: Sequence[Sequence[Sheet]], faults: list[Fault]) -> Timetable | None:
    # the last one written wins: base before site, and within each the exchange it is like before its own
    sheets = [(s, depth > 0) for layer in Layer for depth, g in _farthest_first(chain) for s in g if s.layer is layer]
    days: dict[date, Said] = {}
    for sheet, inherited in sheets:
        entries: list[Closed | Special] = [*sheet.content.closed, *sheet.content.sessions]
        days |= {entry.day: Said(entry, sheet.document.path, inherited) for entry in entries}
    library = _nearest_said(chain, "library")
    horizons = [[s.content.known_until for s in group if s.content.known_until] for group in chain]
    known_until = next((max(dates) for dates in horizons if dates), None)
    own = chain[0][-1].document
    if library is None:
        faults.append(own.fault((), "neither `library` nor `like` is given", "one of them", "library: NSE"))
    if known_until is None:
        faults.append(
            own.fault((), "`known_until` is missing", "the last day that is known", "known_until: 2026-12-31")
        )
    if library is None or known_until is None:
        return None
    hours: tuple[Hours, ...] = _dated(chain, "hours")
    phases: tuple[Phases, ...] = _dated(chain, "phases")
    return Timetable(exchange, library, _nearest_said(chain, "zone"), known_until, hours, phases, days)


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
