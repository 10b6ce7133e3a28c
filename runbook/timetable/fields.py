"""How a time, a date, a zone and a week are written in calendar/, for the reader of a file and for an editor's schema."""

from __future__ import annotations

import re
from datetime import date, time
from itertools import pairwise
from typing import Annotated, Any, TypeVar
from zoneinfo import ZoneInfo

from pydantic import BeforeValidator, Field, WithJsonSchema

from runbook.fault import Unfit

_CLOCK = re.compile(r"(\d{1,2}):(\d{2})", re.ASCII)
_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")  # Monday is 0, as in date.weekday()


def _time(text: str) -> time | None:
    match = _CLOCK.fullmatch(text.strip())
    try:
        return time(int(match[1]), int(match[2])) if match else None
    except ValueError:
        return None


def _clock(value: object) -> time:
    """`17:00` as a time of day; a number is refused, since a reader of YAML 1.1 makes 1020 of it."""
    found = _time(value) if isinstance(value, str) else None
    if found is None:
        raise Unfit(f"found {value!r}", accepted="a time of day in quotes or plain", example='"17:00"')
    return found


def _window(value: object) -> tuple[time, time]:
    """`09:15-15:30` as two times of day, the second later."""
    accepted = {"accepted": "two times of day in quotes or plain, the later one second", "example": "09:15-15:30"}
    if not isinstance(value, str) or value.count("-") != 1:
        raise Unfit(f"found {value!r}", **accepted)
    start, end = (_time(part) for part in value.split("-"))
    if start is None or end is None:
        raise Unfit(f"{value!r} has what is no time of day", **accepted)
    if not start < end:
        raise Unfit(f"{value!r} ends before it starts", **accepted)
    return start, end


def _windows(value: object) -> object:
    """One window, or a list of windows each after the one before."""
    found = [_window(item) for item in (value if isinstance(value, list) else [value])]
    if not found or any(later[0] < earlier[1] for earlier, later in pairwise(found)):
        raise Unfit(f"found {value!r}", accepted="windows one after the other", example="[09:15-10:00, 11:30-12:30]")
    return tuple(found)


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


_WINDOW: dict[str, Any] = {"type": "string", "pattern": r"^\s*\d{1,2}:\d{2}\s*-\s*\d{1,2}:\d{2}\s*$"}
_WEEK = f"({'|'.join(_DAYS)})"

Window = tuple[time, time]
Clock = Annotated[
    time, BeforeValidator(_clock), WithJsonSchema({"type": "string", "pattern": r"^\s*\d{1,2}:\d{2}\s*$"})
]
OneWindow = Annotated[Window, BeforeValidator(_window), WithJsonSchema(_WINDOW)]
Windows = Annotated[
    tuple[Window, ...],
    BeforeValidator(_windows),
    WithJsonSchema({"anyOf": [_WINDOW, {"type": "array", "items": _WINDOW, "minItems": 1}]}),
]
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
