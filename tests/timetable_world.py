"""An Indian exchange in a few lines: files of statements, and a library that is made up here."""

import copy
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from runbook.errors import CalendarFaults
from runbook.fault import Document, Fault
from runbook.session import INDIA, Day, SessionCalendar
from runbook.timetable import Layer, Library, LibraryDay, build, merge, parse

FIRST, LAST = date(2026, 11, 20), date(2027, 1, 31)
SAID = {"source": "circular 1", "checked": date(2026, 11, 22), "confidence": "high"}
NSE: dict[str, Any] = {
    "exchange": "NSE",
    "library": "NSE",
    "zone": "Asia/Kolkata",
    "known_until": date(2026, 12, 31),
    "hours": [{"from": date(2020, 1, 1), "intervals": "09:15-15:30", **SAID}],
    "phases": [{"from": date(2020, 1, 1), "pre_open": "09:00-09:15", "post_close": "15:40-16:00", **SAID}],
    "closed": [{"date": date(2026, 11, 24), "name": "Gurunanak Jayanti", **SAID}],
}
NFO: dict[str, Any] = {
    "exchange": "NFO",
    "like": "NSE",
    "hours": [
        {"from": date(2020, 1, 1), "intervals": "09:15-15:40", **SAID},
        {"from": date(2026, 12, 7), "intervals": "09:15-15:45", "note": "one source", **SAID, "confidence": "low"},
    ],
    "phases": [{"from": date(2026, 12, 1), "pre_open": "09:00-09:15", **SAID}],
}


def library(
    *, closed: tuple[str, ...] = ("2026-11-24", "2026-12-25"), special: dict[str, str] | None = None
) -> Library:
    days = {}
    for n in range((LAST - FIRST).days + 1):
        day = FIRST + timedelta(days=n)
        if day.weekday() < 5 and str(day) not in closed:
            start = datetime(day.year, day.month, day.day, 3, 45, tzinfo=UTC)
            days[day] = LibraryDay(day, ((start, start + timedelta(hours=6)),), (special or {}).get(str(day), ""))
    return Library("NSE", ZoneInfo("Asia/Calcutta"), frozenset(range(5)), days, {date(2026, 12, 25): "Christmas"})


def base(data: dict[str, Any], **more: Any) -> tuple[dict[str, Any], Layer]:
    return copy.deepcopy(data) | more, Layer.BASE


def site(data: dict[str, Any]) -> tuple[dict[str, Any], Layer]:
    return data, Layer.SITE


def calendar(
    exchange: str,
    *files: tuple[dict[str, Any], Layer],
    of: Library | None = None,
    first: date = FIRST,
    last: date = LAST,
    horizon: date = date(2026, 12, 31),
) -> SessionCalendar:
    sheets = [
        s for i, (data, layer) in enumerate(files) for s in parse([Document(f"{layer.name}{i}.yaml", data)], layer)
    ]
    tables = merge(sheets)
    table = tables.get(exchange)
    given = (of or library()) if table is None or table.library else None
    return build(exchange, tables, given, first, last, horizon=horizon)


def indian(*files: tuple[dict[str, Any], Layer], exchange: str = "NFO", of: Library | None = None) -> SessionCalendar:
    return calendar(exchange, base(NSE), base(NFO), *files, of=of)


def hours(day: Day) -> str:
    assert day.session, day
    return ", ".join(f"{a.astimezone(INDIA):%H:%M}-{b.astimezone(INDIA):%H:%M}" for a, b in day.session.intervals)


def phases(day: Day) -> list[str]:
    assert day.session, day
    return [
        f"{p.name} {p.start.astimezone(INDIA):%H:%M}-{p.end.astimezone(INDIA):%H:%M}{f' {p.part}' if p.part else ''}"
        for p in day.session.phases
    ]


def faults(*files: tuple[dict[str, Any], Layer]) -> list[Fault]:
    with pytest.raises(CalendarFaults) as caught:
        calendar("NSE", *files)
    return list(caught.value.faults)


def closed(day: str, **more: Any) -> dict[str, Any]:
    return {"date": date.fromisoformat(day), "name": "Election", **SAID, **more}


def special(day: str, **more: Any) -> dict[str, Any]:
    return {"date": date.fromisoformat(day), "name": "Muhurat trading", **SAID, **more}
