"""A year's list of holidays as an exchange publishes it: read from CSV or YAML, and what taking it in would change."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from io import StringIO
from typing import Any

from runbook.fault import Document, Fault
from runbook.session import Day, DayStatus, SessionCalendar

ROWS = "rows"  # under this key a YAML file that is a bare list is read

_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_ISO = re.compile(r"(\d{4})-(\d{2})-(\d{2})", re.ASCII)
_NAMED = re.compile(r"(\d{1,2})[- ]([A-Za-z]{3,9})[- ,]+(\d{4}|\d{2})", re.ASCII)
_CLOCK = re.compile(r"\d{1,2}:\d{2}", re.ASCII)
_DATES = "2027-01-26, 26-Jan-2027 or 26-Jan-27"
_COLUMNS = {
    "date": "date", "name": "name", "description": "name", "holiday": "name", "holidays": "name", "kind": "kind",
    "type": "kind", "open": "open", "close": "close", "day": "weekday", "weekday": "weekday", "note": "note",
    "sr. no.": "", "sr.no.": "", "sr no": "", "s.no.": "", "no": "", "no.": "", "#": "",
}  # fmt: skip
_KINDS = {"": "closed", "closed": "closed", "holiday": "closed", "trading holiday": "closed",
          "open": "sessions", "session": "sessions", "special": "sessions"}  # fmt: skip
_FIRST_QUARTER, _LAST_QUARTER, _FEWEST = 3, 10, 8  # a list that reaches from one to the other, with so many closures


@dataclass(frozen=True, slots=True)
class Listed:
    """One row: `section` is closed or sessions, `given` what the row itself says of the entry beside its date and name."""

    line: int
    day: date
    name: str
    section: str
    given: Mapping[str, Any] = field(default_factory=dict)

    def entry(self, defaults: Mapping[str, Any]) -> dict[str, Any]:
        """The entry as it is written into a file of calendar/."""
        return {"date": self.day, "name": self.name, **defaults, **self.given}


def read_csv(text: str, where: str) -> tuple[list[Listed], list[Fault]]:
    """The rows of `date,name[,kind,open,close]`, with or without a line of headings; and every fault of all rows."""
    head = next((line for line in text.splitlines() if line.strip()), "")
    delimiter = max(",;\t", key=head.count)
    reader = csv.reader(StringIO(text.lstrip("\ufeff")), delimiter=delimiter, skipinitialspace=True)
    columns: list[str] | None = None
    rows: list[Listed] = []
    faults: list[Fault] = []
    for cells in reader:
        values = [" ".join(cell.split()) for cell in cells]
        if not any(values) or values[0].startswith("#"):
            continue
        if columns is None:
            columns = ["date", "name", "kind", "open", "close"]
            if "date" in [value.casefold() for value in values]:
                columns, unknown = _columns(values)
                faults += [
                    Fault(
                        where,
                        reader.line_num,
                        "",
                        f"unknown column {name!r}",
                        "date, name, kind, open, close, day",
                        "date,name",
                    )
                    for name in unknown
                ]
                continue
        if len(values) > len(columns) and any(values[len(columns) :]):
            found = f"{len(values)} values for {len(columns)} columns"
            faults.append(
                Fault(where, reader.line_num, "", found, "a name with a comma in double quotes", '"Holi, second day"')
            )
            continue
        row = dict(zip(columns, values, strict=False))
        _take(_from_cells(row, where, reader.line_num), rows, faults)
    return rows, [*faults, *_twice(rows, where), *_none(rows, faults, where)]


def read_document(document: Document) -> tuple[list[Listed], list[Fault]]:
    """The rows of a YAML file: `closed` and `sessions` as in calendar/, or a bare list of {date, name}."""
    rows: list[Listed] = []
    faults: list[Fault] = []
    others = sorted(document.data.keys() - {ROWS, "closed", "sessions", "exchange", "known_until"})
    faults += [document.fault((key,), f"unknown key {key!r}", "closed, sessions, or a bare list") for key in others]
    for section in (ROWS, "closed", "sessions"):
        entries = document.data.get(section) or []
        if not isinstance(entries, list):
            faults.append(
                document.fault(
                    (section,), "no list", "a list of {date, name}", "- {date: 2027-01-26, name: Republic Day}"
                )
            )
            continue
        for i, entry in enumerate(entries):
            line = document.line_of((section, i))
            if not isinstance(entry, dict):
                faults.append(
                    document.fault(
                        (section, i), "no mapping", "date and name", "{date: 2027-01-26, name: Republic Day}"
                    )
                )
            else:
                _take(_from_entry(entry, section, document.path, line), rows, faults)
    return rows, [*faults, *_twice(rows, document.path), *_none(rows, faults, document.path)]


def parse_day(text: object) -> date | None:
    """`2027-01-26`, `26-Jan-2027`, `26-Jan-27`; None for anything else: 02/03/2027 means two different days."""
    if isinstance(text, date):
        return text
    given = text.strip() if isinstance(text, str) else ""
    try:
        if match := _ISO.fullmatch(given):
            return date(*(int(part) for part in match.groups()))
        if match := _NAMED.fullmatch(given):
            month = next((i for i, m in enumerate(_MONTHS, 1) if match[2].casefold().startswith(m)), 0)
            year = int(match[3]) + (2000 if len(match[3]) == 2 else 0)
            return date(year, month, int(match[1]))
    except ValueError:
        return None
    return None


def _take(made: Listed | Fault, rows: list[Listed], faults: list[Fault]) -> None:
    if isinstance(made, Fault):
        faults.append(made)
    else:
        rows.append(made)


def _columns(values: Sequence[str]) -> tuple[list[str], list[str]]:
    return (
        [_COLUMNS.get(value.casefold(), "") for value in values],
        [value for value in values if value.casefold() not in _COLUMNS],
    )


def _from_cells(row: Mapping[str, str], where: str, line: int) -> Listed | Fault:
    day = parse_day(row.get("date", ""))
    if day is None:
        return Fault(where, line, "date", f"{row.get('date', '')!r} is no date", _DATES)
    told = row.get("weekday", "")
    if told and not _WEEKDAYS[day.weekday()].startswith(told.casefold()[:3]):
        return Fault(
            where,
            line,
            "day",
            f"{day} is a {_WEEKDAYS[day.weekday()].title()}, not {told!r}",
            "the date or the day put right",
        )
    if not row.get("name"):
        return Fault(where, line, "name", "no name", "what the day is called", f"{day},Republic Day")
    section = _KINDS.get(row.get("kind", "").casefold())
    opens, closes = row.get("open", ""), row.get("close", "")
    if section is None:
        return Fault(
            where,
            line,
            "kind",
            f"{row['kind']!r} is no kind",
            "closed or session",
            f"{day},Muhurat trading,session,18:00,19:00",
        )
    if bool(opens) != bool(closes) or any(t and not _CLOCK.fullmatch(t) for t in (opens, closes)):
        found = f"open {opens!r} and close {closes!r}"
        return Fault(
            where, line, "open", found, "two times of day, or none", f"{day},Muhurat trading,session,18:00,19:00"
        )
    if opens and section == "closed" and row.get("kind"):
        return Fault(
            where,
            line,
            "kind",
            f"{row['kind']} with hours",
            "session where there are hours",
            f"{day},Muhurat trading,session,18:00,19:00",
        )
    given: dict[str, Any] = {"note": row["note"]} if row.get("note") else {}
    if opens:
        given = {"intervals": f"{opens}-{closes}"} | given
    return Listed(line, day, row["name"], "sessions" if opens else section, given)


def _from_entry(entry: Mapping[str, Any], section: str, where: str, line: int) -> Listed | Fault:
    day = parse_day(entry.get("date"))
    if day is None:
        found = "no date" if "date" not in entry else f"{entry['date']!r} is no date"
        return Fault(where, line, "date", found, _DATES)
    if not isinstance(entry.get("name"), str) or not entry["name"].strip():
        return Fault(where, line, "name", "no name", "what the day is called", "name: Republic Day")
    given = {key: value for key, value in entry.items() if key not in ("date", "name")}
    if section == ROWS:  # a bare list tells the two apart by what stands in the row
        section = "sessions" if given.keys() & {"intervals", "opens", "closes"} else "closed"
    return Listed(line, day, entry["name"].strip(), section, given)


def _twice(rows: Iterable[Listed], where: str) -> Iterator[Fault]:
    seen: dict[date, int] = {}
    for row in rows:
        if row.day in seen:
            yield Fault(where, row.line, "date", f"{row.day} stands already on line {seen[row.day]}", "each date once")
        seen.setdefault(row.day, row.line)


def _none(rows: Sequence[Listed], faults: Sequence[Fault], where: str) -> list[Fault]:
    return (
        [] if rows or faults else [Fault(where, None, "", "no row", "one row for each day", "2027-01-26,Republic Day")]
    )


# --- what it would change ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Change:
    """One day of the preview. `word` is newly closed, newly open, new hours, newly unknown, unchanged or contradicts."""

    word: str
    before: Day
    after: Day
    listed: Listed | None = None
    stated: str = ""  # what a file says of the day that the list contradicts


def horizon(rows: Sequence[Listed], known_until: date, covers: str = "guess") -> tuple[date | None, str]:
    """(the new `known_until`, why): 31 December of the list's year when the list covers it and nothing lies between."""
    years = sorted({row.day.year for row in rows})
    if len(years) != 1:
        return None, f"the list spans {years[0]} to {years[-1]}, so it covers no single year"
    end = date(years[0], 12, 31)
    closures = [row.day for row in rows if row.section == "closed"]
    whole = (
        len(closures) >= _FEWEST and min(closures).month <= _FIRST_QUARTER and max(closures).month >= _LAST_QUARTER
        if covers == "guess"
        else covers == "year"
    )
    if not whole:
        return None, f"the list does not look like all of {years[0]} (`--covers year` says that it is)"
    if end <= known_until:
        return None, f"the calendar is known until {known_until} already"
    if known_until < date(years[0] - 1, 12, 31):
        return None, f"{known_until + timedelta(days=1)} to {years[0] - 1}-12-31 is not known yet: import that first"
    return end, f"the list covers {years[0]}"


def preview(
    rows: Sequence[Listed],
    before: SessionCalendar,
    after: SessionCalendar,
    stated: Mapping[date, str],
    first: date,
    last: date,
) -> list[Change]:
    """Every listed day, and every other day from `first` to `last` whose answer moves.

    `stated` is what the files say of single days as they stand: a listed day that turns such a statement around
    contradicts it.
    """
    listed = {row.day: row for row in rows}
    changes = []
    for was, now in zip(before.span(first, last), after.span(first, last), strict=True):
        row = listed.get(was.date)
        word = _word(was, now)
        turned = was.status is not now.status and was.status is not DayStatus.UNKNOWN
        if row is not None and was.date in stated and turned:
            changes.append(Change("contradicts", was, now, row, stated[was.date]))
        elif row is not None or word != "unchanged":
            changes.append(Change(word, was, now, row))
    return changes


def unlisted(rows: Sequence[Listed], calendar: SessionCalendar) -> list[Day]:
    """Days of the list's year that are closed by name although the list, which covers the year, does not name them."""
    years = {row.day.year for row in rows}
    named = {row.day for row in rows}
    spans = (calendar.span(date(year, 1, 1), date(year, 12, 31)) for year in years)
    return [
        day for span in spans for day in span
        if day.status is DayStatus.CLOSED and day.date not in named and day.reason != "weekend"
    ]  # fmt: skip


def _word(was: Day, now: Day) -> str:
    if was.status is now.status:
        hours = [day.session.intervals if day.session else () for day in (was, now)]
        return "unchanged" if hours[0] == hours[1] else "new hours"
    return {DayStatus.OPEN: "newly open", DayStatus.CLOSED: "newly closed", DayStatus.UNKNOWN: "newly unknown"}[
        now.status
    ]
