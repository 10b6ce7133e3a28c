"""How a time, a date, a zone and a week are written in calendar/, for the reader of a file and for an editor's schema."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import Annotated, Any, TypeVar
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, Field, WithJsonSchema

from runbook.fault import Unfit, nearest

_CLOCK = re.compile(r"(\d{1,2}):([0-5]\d)", re.ASCII)
_DAY, _LATEST = 24 * 60, 30 * 60  # minutes: a session may run on to 06:00 of the next day
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")  # Monday is 0, as in date.weekday()
_TRADING_PARTS = ("morning", "evening")
_PRE_OPEN_PARTS = ("order_entry", "matching", "buffer", "unknown")
_UNNAMED = "unknown"  # how a file says that it does not know what a stretch is called


@dataclass(frozen=True, slots=True, order=True)
class DayTime:
    """A time by the exchange's clock, in minutes from midnight; from 24:00 to 30:00 it is one of the next calendar day."""

    minutes: int

    def on(self, day: date, zone: ZoneInfo) -> datetime:
        """The instant in UTC, for the day that is told."""
        after, minutes = divmod(self.minutes, _DAY)
        return datetime.combine(day + timedelta(days=after), time(*divmod(minutes, 60)), zone).astimezone(UTC)

    def __str__(self) -> str:
        return f"{self.minutes // 60:02}:{self.minutes % 60:02}"


@dataclass(frozen=True, slots=True)
class Window:
    """From `start` to `end`, which is later; `part` is what the exchange calls it, empty where nobody says."""

    start: DayTime
    end: DayTime
    part: str = ""

    def __str__(self) -> str:
        return f"{self.start}-{self.end}"


def day_time(text: str) -> DayTime | None:
    """`09:15`, or `24:15` for a quarter past midnight; None for anything else."""
    match = _CLOCK.fullmatch(text.strip())
    minutes = int(match[1]) * 60 + int(match[2]) if match else _LATEST + 1
    return DayTime(minutes) if minutes <= _LATEST else None


def _late(value: object) -> DayTime:
    """`17:00` as a time of day; a number is refused, since a reader of YAML 1.1 makes 1020 of it."""
    found = day_time(value) if isinstance(value, str) else None
    if found is None:
        raise Unfit(f"found {value!r}", accepted="a time of day in quotes or plain", example='"17:00"')
    return found


def _clock(value: object) -> DayTime:
    """A time of the session's own date."""
    found = _late(value)
    if found.minutes >= _DAY:
        raise Unfit(f"found {value!r}", accepted="a time of the session's own date, before 24:00", example='"17:00"')
    return found


def _window(value: object) -> Window:
    """`09:15-15:30` as two times of day, the second later."""
    accepted = {"accepted": "two times of day in quotes or plain, the later one second", "example": "09:15-15:30"}
    if not isinstance(value, str) or value.count("-") != 1:
        raise Unfit(f"found {value!r}", **accepted)
    start, end = (day_time(part) for part in value.split("-"))
    if start is None or end is None:
        raise Unfit(f"{value!r} has what is no time of day", **accepted)
    if not start < end:
        over = DayTime(end.minutes + _DAY)
        if start.minutes < _DAY and over.minutes <= _LATEST:
            accepted = {
                "accepted": "the later time second; past midnight the hours count on, to 30:00 for 06:00 of the next day",
                "example": f"{start}-{over}",
            }
        raise Unfit(f"{value!r} ends before it starts", **accepted)
    return Window(start, end)


def _ordered(value: object, windows: Sequence[Window], example: str) -> tuple[Window, ...]:
    """`windows`, which must follow one another and begin on the session's own date."""
    if not windows or any(later.start < earlier.end for earlier, later in pairwise(windows)):
        raise Unfit(f"found {value!r}", accepted="windows one after the other", example=example)
    if windows[0].start.minutes >= _DAY:
        raise Unfit(f"found {value!r}", accepted="a first window that begins before 24:00", example=example)
    return tuple(windows)


def _windows(value: object) -> object:
    """One window, a list of windows each after the one before, or the parts of the day by name."""
    if isinstance(value, dict):
        return _parts(value, _TRADING_PARTS, "{morning: 09:00-17:00, evening: 17:00-23:30}")
    found = [_window(item) for item in (value if isinstance(value, list) else [value])]
    return _ordered(value, found, "[09:15-10:00, 11:30-12:30]")


def _pre_open(value: object) -> object:
    """One window, or its parts by name."""
    example = "{order_entry: 09:00-09:08, matching: 09:08-09:12, buffer: 09:12-09:15}"
    if isinstance(value, dict):
        return _parts(value, _PRE_OPEN_PARTS, example)
    return _ordered(value, [_window(value)], "09:00-09:15")


def _parts(given: Mapping[object, object], names: Sequence[str], example: str) -> tuple[Window, ...]:
    """Windows by the name of the part, each one window or a list, in the order of the day."""
    if others := [name for name in given if name not in names]:
        accepted = nearest(str(others[0]), names) + ", ".join(names)
        raise Unfit(f"{others[0]!r} is the name of no part", accepted=accepted, example=example)
    found = [
        replace(_window(item), part="" if name == _UNNAMED else str(name))
        for name, told in given.items()
        for item in (told if isinstance(told, list) else [told])
    ]
    return _ordered(given, found, example)


def _date(value: object) -> object:
    """A date; a number is refused, since pydantic would read it as seconds since 1970."""
    if type(value) is date:
        return value
    try:
        if isinstance(value, str):
            return date.fromisoformat(value)
    except ValueError as exc:
        raise _no_date(value) from exc
    raise _no_date(value)


def _no_date(value: object) -> Unfit:
    return Unfit(f"found {value!r}", accepted="a date", example="2026-11-24")


def _zone(value: object) -> object:
    try:
        return ZoneInfo(value) if isinstance(value, str) else value
    except (ValueError, OSError, KeyError) as exc:  # KeyError: ZoneInfoNotFoundError
        raise Unfit(
            f"unknown time zone {value!r}", accepted="a name of the IANA database", example="Asia/Kolkata"
        ) from exc


def _week(value: object) -> object:
    """`mon-fri`, `sun-thu`, `sat` as numbers of weekdays; None stays None."""
    if value is None:
        return None
    first, dash, last = value.strip().lower().partition("-") if isinstance(value, str) else ("", "", "")
    if first not in _DAYS or (dash and last not in _DAYS):
        raise Unfit(f"found {value!r}", accepted=f"a first and a last of {', '.join(_DAYS)}", example="mon-fri")
    start = _DAYS.index(first)
    count = (_DAYS.index(last) - start) % 7 + 1 if dash else 1
    return frozenset((start + n) % 7 for n in range(count))


def _no_rows(value: object) -> object:
    """A key with nothing under it is an empty list, as in the file `runbook init` writes."""
    return () if value is None else value


_CLOCKED: dict[str, Any] = {"type": "string", "pattern": r"^\s*\d{1,2}:\d{2}\s*$"}
_WINDOW: dict[str, Any] = {"type": "string", "pattern": r"^\s*\d{1,2}:\d{2}\s*-\s*\d{1,2}:\d{2}\s*$"}
_LIST: dict[str, Any] = {"type": "array", "items": _WINDOW, "minItems": 1}
_WEEK = f"({'|'.join(_DAYS)})"


def _named(names: Sequence[str]) -> dict[str, Any]:
    part = {"anyOf": [_WINDOW, _LIST]}
    return {"type": "object", "properties": dict.fromkeys(names, part), "additionalProperties": False}


Windows = Annotated[
    tuple[Window, ...],
    BeforeValidator(_windows),
    WithJsonSchema({"anyOf": [_WINDOW, _LIST, _named(_TRADING_PARTS)]}),
]
OneWindow = Annotated[Window, BeforeValidator(_window), WithJsonSchema(_WINDOW)]
PreOpen = Annotated[
    tuple[Window, ...], BeforeValidator(_pre_open), WithJsonSchema({"anyOf": [_WINDOW, _named(_PRE_OPEN_PARTS)]})
]
Clock = Annotated[DayTime, BeforeValidator(_clock), WithJsonSchema(_CLOCKED)]
LateClock = Annotated[DayTime, BeforeValidator(_late), WithJsonSchema(_CLOCKED)]
Date = Annotated[date, BeforeValidator(_date)]
Zone = Annotated[ZoneInfo, BeforeValidator(_zone), WithJsonSchema({"type": "string"})]
Week = Annotated[
    frozenset[int],
    BeforeValidator(_week),
    WithJsonSchema({"type": "string", "pattern": rf"^\s*{_WEEK}(-{_WEEK})?\s*$"}),
]
Text = Annotated[str, Field(min_length=1)]
_T = TypeVar("_T")
Rows = Annotated[tuple[_T, ...], BeforeValidator(_no_rows)]
