"""What one file in calendar/ says of one exchange; CalendarFile is the format."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, time
from enum import IntEnum
from itertools import pairwise
from typing import Annotated, TypeVar
from zoneinfo import ZoneInfo

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from runbook.errors import CalendarFaults
from runbook.fault import Document, Fault, Unfit, faults_from_validation
from runbook.session import Confidence, PhaseName

_WINDOW = re.compile(r"(\d{1,2}):(\d{2})\s*-\s*(\d{1,2}):(\d{2})", re.ASCII)
_KINDS = (PhaseName.PRE_OPEN, PhaseName.CLOSING_AUCTION, PhaseName.POST_CLOSE)


def _window(value: object) -> tuple[time, time]:
    """`09:15-15:30` as two times of day, the second later."""
    match = _WINDOW.fullmatch(value.strip()) if isinstance(value, str) else None
    accepted = {"accepted": "two times of day in quotes or plain, the later one second", "example": "09:15-15:30"}
    if not match:
        raise Unfit(f"found {value!r}", **accepted)
    try:
        start, end = time(int(match[1]), int(match[2])), time(int(match[3]), int(match[4]))
    except ValueError as exc:
        raise Unfit(f"{value!r} is no time of day", **accepted) from exc
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
        return date.fromisoformat(value) if isinstance(value, str) else _no_date(value)
    except ValueError as exc:
        raise _no_date_error(value) from exc


def _no_date(value: object) -> object:
    raise _no_date_error(value)


def _no_date_error(value: object) -> Unfit:
    return Unfit(f"found {value!r}", accepted="a date", example="2026-11-24")


def _zone(value: object) -> object:
    try:
        return ZoneInfo(value) if isinstance(value, str) else value
    except (ValueError, OSError, KeyError) as exc:  # KeyError: ZoneInfoNotFoundError
        raise Unfit(
            f"unknown time zone {value!r}", accepted="a name of the IANA database", example="Asia/Kolkata"
        ) from exc


def _no_rows(value: object) -> object:
    """A key with nothing under it is an empty list, as in the file `runbook init` writes."""
    return () if value is None else value


Window = tuple[time, time]
_Window = Annotated[Window, BeforeValidator(_window)]
_Windows = Annotated[tuple[Window, ...], BeforeValidator(_windows)]
_Date = Annotated[date, BeforeValidator(_date)]
_Text = Annotated[str, Field(min_length=1)]
_T = TypeVar("_T")
_Rows = Annotated[tuple[_T, ...], BeforeValidator(_no_rows)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class Entry(_Strict):
    """A statement: who says so, when somebody last looked, and how sure it is."""

    source: _Text = Field(description="a circular number or a page", examples=["NSE/CMTR/72260"])
    checked: _Date = Field(description="the date somebody last read the source", examples=["2026-11-22"])
    confidence: Confidence = Field(examples=["high"])
    note: str = ""


class _Phased(Entry):
    pre_open: _Window | None = None
    closing_auction: _Window | None = None
    post_close: _Window | None = None

    def windows(self) -> dict[PhaseName, Window]:
        """The phases that are given."""
        return {kind: window for kind in _KINDS if (window := getattr(self, kind.value)) is not None}


class Hours(Entry):
    """Regular trading from a date on, until the next entry begins."""

    since: _Date = Field(alias="from")
    intervals: _Windows


class Phases(_Phased):
    """The parts of a regular day around trading, from a date on; an entry replaces all of the one before."""

    since: _Date = Field(alias="from")


class Closed(Entry):
    """A day without trading."""

    day: _Date = Field(alias="date")
    name: _Text = Field(description="what the day is called", examples=["Republic Day"])


class Special(_Phased):
    """A day with trading that the library does not know, or at other hours; without `intervals` at the regular ones."""

    day: _Date = Field(alias="date")
    name: _Text = Field(description="what the session is called", examples=["Muhurat trading"])
    intervals: _Windows | None = None


class CalendarFile(_Strict):
    """One file in calendar/: what it says of one exchange."""

    exchange: _Text = Field(description="the exchange the file is about", examples=["NFO"])
    like: _Text | None = None
    library: _Text | None = None
    zone: Annotated[ZoneInfo | None, BeforeValidator(_zone)] = None
    known_until: _Date | None = None
    hours: _Rows[Hours] = ()
    phases: _Rows[Phases] = ()
    closed: _Rows[Closed] = ()
    sessions: _Rows[Special] = ()


class Layer(IntEnum):
    """Who wrote a file; the higher wins."""

    BASE = 0  # ships with runbook
    SITE = 1  # the operator


@dataclass(frozen=True, slots=True)
class Sheet:
    """A file read and found in order, with its lines for what can only be judged beside the others."""

    layer: Layer
    document: Document
    content: CalendarFile


def parse(documents: Iterable[Document], layer: Layer) -> list[Sheet]:
    """Each document as a Sheet; raises CalendarFaults with all faults of all documents."""
    sheets: list[Sheet] = []
    faults: list[Fault] = []
    for document in documents:
        try:
            sheets.append(Sheet(layer, document, CalendarFile.model_validate(document.data)))
        except ValidationError as exc:
            faults += faults_from_validation(exc, document, CalendarFile)
    if faults:
        raise CalendarFaults(faults)
    return sheets
