"""What one file in calendar/ says of one exchange; CalendarFile is the format."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import IntEnum
from itertools import pairwise
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from runbook.errors import CalendarFaults
from runbook.fault import Document, Fault, Unfit, faults_from_validation
from runbook.session import Confidence, PhaseName
from runbook.timetable.fields import (
    Clock,
    Date,
    DayTime,
    LateClock,
    OneWindow,
    PreOpen,
    Rows,
    Text,
    Week,
    Window,
    Windows,
    Zone,
)

_KINDS = (  # in the order of the day
    PhaseName.PRE_OPEN, PhaseName.CLOSING_AUCTION, PhaseName.CASH_AUCTION, PhaseName.TAIL, PhaseName.POST_CLOSE,
)  # fmt: skip
_SURE = (
    "high (the exchange's own paper or daily file), medium (announced, or several lists kept by hand), low (one source)"
)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, arbitrary_types_allowed=True)


class Entry(_Strict):
    """A statement: who says so, when somebody last looked, and how sure it is."""

    source: Text = Field(description="the number of a circular, or a page", examples=["NSE/CMTR/72260"])
    checked: Date = Field(description="the date somebody last read the source", examples=["2026-11-22"])
    confidence: Confidence = Field(description=_SURE, examples=["high"])
    note: str = Field("", description="free text, shown with the day", examples=["three days' notice"])

    @property
    def weakest(self) -> Confidence:
        """The confidence in the least sure part of what is said."""
        return self.confidence


class _Phased(Entry):
    pre_open: PreOpen | None = Field(
        None,
        description="the call auction before trading: one window, or order_entry, matching and buffer",
        examples=["09:00-09:15", {"order_entry": "09:00-09:08", "matching": "09:08-09:12", "buffer": "09:12-09:15"}],
    )
    closing_auction: OneWindow | None = Field(
        None, description="the auction that ends continuous trading, also inside the hours", examples=["15:15-15:35"]
    )
    cash_auction: OneWindow | None = Field(
        None,
        description="of derivatives: they trade on while index and shares are in their closing auction",
        examples=["15:15-15:35"],
    )
    tail: OneWindow | None = Field(
        None, description="of derivatives: they trade on after the cash market has closed", examples=["15:35-15:40"]
    )
    post_close: OneWindow | None = Field(
        None, description="trading at the closing price after the close", examples=["15:50-16:00"]
    )

    def windows(self) -> dict[PhaseName, tuple[Window, ...]]:
        """The phases that are given, in the order of the day."""
        given = ((kind, getattr(self, kind.value)) for kind in _KINDS)
        return {kind: told if isinstance(told, tuple) else (told,) for kind, told in given if told is not None}

    @model_validator(mode="after")
    def _one_after_the_other(self) -> Self:
        told = [(kind, window) for kind, windows in self.windows().items() for window in windows]
        for (before, first), (after, second) in pairwise(told):
            if second.start < first.end:
                raise Unfit(
                    f"{after} {second} begins before {before} {first} has ended",
                    accepted=f"phases that follow one another: {', '.join(_KINDS)}",
                    example=f"{after}: {DayTime(first.end.minutes)}-{max(second.end, DayTime(first.end.minutes + 5))}",
                )
        return self


PLACES = "pre_open before the hours, post_close after them, the others within; a closing auction may begin at the close"


def misplaced(windows: Mapping[PhaseName, tuple[Window, ...]], hours: tuple[Window, ...]) -> str | None:
    """Why a phase cannot stand where it does beside these hours, or None."""
    opens, closes = hours[0].start, hours[-1].end
    for kind, told in windows.items():
        start, end = told[0].start, told[-1].end
        match kind:
            case PhaseName.PRE_OPEN:
                fits = end <= opens
            case PhaseName.POST_CLOSE:
                fits = start >= closes
            case PhaseName.CLOSING_AUCTION:
                fits = opens < start <= closes
            case _:
                fits = opens < start and end <= closes
        if not fits:
            return f"{kind} {start}-{end} does not go with the hours {opens}-{closes}"
    return None


class Hours(Entry):
    """Regular trading from a date on, until the next entry begins."""

    since: Date = Field(alias="from", description="the first date they hold on", examples=["2026-08-03"])
    intervals: Windows = Field(
        description="one window, or a list of them for a day in parts; with `summer_time_of`, those in summer time",
        examples=["09:15-15:30"],
    )
    winter_intervals: Windows | None = Field(
        None, description="the hours while `summer_time_of` has winter time", examples=["09:00-23:55"]
    )
    summer_time_of: Zone | None = Field(
        None,
        description="the time zone whose summer time decides between the two, by the date",
        examples=["America/New_York"],
    )

    expiring_close: LateClock | None = Field(
        None, description="when contracts stop that expire on the day, if before the others", examples=["15:30"]
    )

    @model_validator(mode="after")
    def _both_or_neither(self) -> Hours:
        if (self.winter_intervals is None) != (self.summer_time_of is None):
            raise Unfit(
                "hours that turn with the seasons need both keys",
                accepted="winter_intervals and summer_time_of",
                example="summer_time_of: America/New_York",
            )
        last = self.expiring_close
        if last is not None and not self.intervals[0].start < last <= self.intervals[-1].end:
            raise Unfit(
                f"expiring_close {last} lies outside {self.intervals[0].start}-{self.intervals[-1].end}",
                accepted="a time within the hours",
                example=f"expiring_close: {self.intervals[-1].end}",
            )
        return self

    def on(self, day: date) -> Windows:
        """The intervals of `day`: from the rules of the zone, so that no list of change-over dates can go stale."""
        zone = self.summer_time_of
        if self.winter_intervals is None or zone is None:
            return self.intervals

        def ahead(month: int, number: int) -> timedelta:
            return datetime(day.year, month, number, 12, tzinfo=zone).utcoffset() or timedelta()

        summer = ahead(day.month, day.day) > min(ahead(1, 1), ahead(7, 1))
        return self.intervals if summer else self.winter_intervals


class Phases(_Phased):
    """The parts of a regular day around trading, from a date on; an entry replaces all of the one before."""

    since: Date = Field(alias="from", description="the first date they hold on", examples=["2026-08-03"])


class Closed(Entry):
    """A day without trading."""

    day: Date = Field(alias="date", description="the date without trading", examples=["2027-01-26"])
    name: Text = Field(description="what the day is called", examples=["Republic Day"])


class Special(_Phased):
    """A day with trading that the library does not know, or at other hours; without any at the regular ones."""

    day: Date = Field(
        alias="date", description="the date with trading, on any day of the week", examples=["2026-11-08"]
    )
    name: Text = Field(description="what the session is called", examples=["Muhurat trading"])
    intervals: Windows | None = Field(
        None, description="the hours of the day, one window or a list", examples=["[09:15-10:00, 11:30-12:30]"]
    )
    opens: Clock | None = Field(None, description="the regular hours, but opening at this time", examples=["17:00"])
    closes: LateClock | None = Field(
        None, description="the regular hours, but closing at this time", examples=["17:00"]
    )
    hours_confidence: Confidence | None = Field(
        None, description=f"of the hours, where they are less sure than the day: {_SURE}", examples=["low"]
    )

    @model_validator(mode="after")
    def _one_way_to_say_it(self) -> Special:
        if self.intervals and (self.opens or self.closes):
            raise Unfit(
                "`intervals` beside `opens` or `closes`", accepted="one way to give the hours", example="opens: 17:00"
            )
        if self.opens and self.closes and not self.opens < self.closes:
            raise Unfit("it closes before it opens", accepted="opens before closes", example="opens: 17:00")
        if self.intervals and (fault := misplaced(self.windows(), self.intervals)):
            raise Unfit(
                fault, accepted=PLACES, example=f"intervals: {self.intervals[0].start}-{self.intervals[-1].end}"
            )
        return self

    @property
    def weakest(self) -> Confidence:
        return weaker(self.confidence, self.hours_confidence or self.confidence)


class CalendarFile(_Strict):
    """One file in calendar/: what it says of one exchange."""

    exchange: Text = Field(description="the exchange the file is about, as `config.yaml` names it", examples=["NFO"])
    like: Text | None = Field(None, description="the exchange here whose statements this one shares", examples=["NSE"])
    library: Text | None = Field(
        None, description="the calendar of pandas-market-calendars that gives the days", examples=["NSE", "XNYS"]
    )
    weekdays: Week | None = Field(
        None, description="in place of `library`, for an exchange it lacks: the days of trading", examples=["mon-fri"]
    )
    zone: Zone | None = Field(None, description="the time zone of all times in the file", examples=["Asia/Kolkata"])
    known_from: Date | None = Field(
        None, description="the first day that is known; before it a day is unknown", examples=["2026-01-01"]
    )
    known_until: Date | None = Field(
        None, description="the last day that is known; after it a day is unknown", examples=["2026-12-31"]
    )
    lists_all_holidays: bool | None = Field(
        None,
        description="true when `closed` names every closed weekday: a holiday only the library has is then unknown",
        examples=[True],
        strict=True,
    )
    hours: Rows[Hours] = Field((), description="regular trading from a date on; the newest that has begun counts")
    phases: Rows[Phases] = Field((), description="what is not plain trading on a regular day, from a date on")
    closed: Rows[Closed] = Field((), description="days without trading")
    sessions: Rows[Special] = Field((), description="days with trading where there is none else, or at other hours")

    @model_validator(mode="after")
    def _one_source_of_days(self) -> CalendarFile:
        if self.library and self.weekdays:
            raise Unfit("both `library` and `weekdays` are given", accepted="one of them", example="weekdays: mon-fri")
        return self


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


def weaker(*found: Confidence) -> Confidence:
    """The weakest of them; without any, HIGH."""
    return max(found, key=list(Confidence).index, default=Confidence.HIGH)  # HIGH is listed first


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
