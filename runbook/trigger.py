"""When a job is due: anchors to the open and close of a session, and what they come to on a given day."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Literal

from runbook.fault import Unfit
from runbook.session import Session

_UNITS = {
    "h": timedelta(hours=1),
    "m": timedelta(minutes=1),
    "s": timedelta(seconds=1),
    "ms": timedelta(milliseconds=1),
}
_DURATION = re.compile(
    r"(?:(?P<h>\d+(?:\.\d+)?)h)?(?:(?P<m>\d+(?:\.\d+)?)m)?(?:(?P<s>\d+(?:\.\d+)?)s)?(?:(?P<ms>\d+(?:\.\d+)?)ms)?",
    re.ASCII,
)
_ANCHOR = re.compile(r"(?P<base>open|close)(?:(?P<sign>[+-])(?P<offset>.+))?", re.ASCII)
_CLOCK = re.compile(r"(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2}))?", re.ASCII)
_SHORTEST = timedelta(hours=1)  # a Muhurat evening: no session is shorter
_FURTHEST = timedelta(hours=24)  # a session's jobs lie within a day of it; more is a slip such as 45h for 45m
_DENSEST = timedelta(seconds=1)  # each firing is a row of the ledger

_ACCEPTED_DURATION = "a number with h, m, s or ms, the larger first"
_ACCEPTED_ANCHOR = "open or close, with + or - and a duration, or a quoted clock time of the exchange"


def parse_duration(text: object) -> timedelta:
    """`90s`, `2m`, `1h30m`, `1.5s`, `500ms` as a timedelta; raises Unfit for anything else, a bare number too."""
    compact = "".join(text.split()).lower() if isinstance(text, str) else ""
    match = _DURATION.fullmatch(compact)
    if not compact or not match:
        what = f"{text!r} has no unit" if _is_number(text) else f"{text!r} is no duration"
        raise Unfit(what, accepted=_ACCEPTED_DURATION, example="90s or 1h30m")
    try:
        return sum((_UNITS[unit] * float(n) for unit, n in match.groupdict().items() if n), timedelta())
    except OverflowError as exc:
        raise Unfit(f"{text!r} is too long", accepted=_ACCEPTED_DURATION, example="90s or 1h30m") from exc


def format_duration(length: timedelta) -> str:
    """A duration as `parse_duration` reads it: 5400 s is 1h30m, nothing is 0s."""
    left, text = abs(length), ""
    for unit, size in _UNITS.items():
        count, left = divmod(left, size)
        text += f"{count}{unit}" if count else ""
    return text or "0s"


def _is_number(value: object) -> bool:
    if isinstance(value, str):
        return value.strip().replace(".", "", 1).isdigit()
    return isinstance(value, int | float) and not isinstance(value, bool)


@dataclass(frozen=True, slots=True)
class Anchor:
    """A point of every session: an offset from its open or close, or a clock time of the exchange on its date.

    `text` is how it was written, without spaces; it names the occurrence in the ledger, so that a moved open moves
    the occurrence instead of making another.
    """

    text: str
    base: Literal["open", "close", "clock"]
    offset: timedelta = timedelta()
    clock: time | None = None

    @classmethod
    def parse(cls, text: object) -> Anchor:
        """`open`, `open-45m`, `close+1h30m`, `16:30`; raises Unfit with what is accepted."""
        if not isinstance(text, str):
            raise Unfit(f"{text!r} is no anchor", accepted=_ACCEPTED_ANCHOR, example='open-45m or "16:30"')
        compact = "".join(text.split()).lower()
        if match := _CLOCK.fullmatch(compact):
            hour, minute, second = (int(part or 0) for part in match.groups())
            try:
                clock = time(hour, minute, second)
            except ValueError as exc:
                raise Unfit(f"{text!r} is no time of day", accepted="00:00 to 23:59", example='"16:30"') from exc
            return cls(clock.isoformat("seconds" if second else "minutes"), "clock", clock=clock)
        match = _ANCHOR.fullmatch(compact)
        if not match:
            raise Unfit(f"{text!r} is no anchor", accepted=_ACCEPTED_ANCHOR, example='open-45m or "16:30"')
        base: Literal["open", "close"] = "open" if match["base"] == "open" else "close"
        if not match["offset"]:
            return cls(base, base)
        try:
            offset = parse_duration(match["offset"])
        except Unfit as exc:
            raise Unfit(f"{text!r}: {exc.args[0]}", accepted=exc.accepted, example=f"{base}{match['sign']}45m") from exc
        if offset > _FURTHEST:
            raise Unfit(f"{text!r} is more than 24h away", accepted="at most 24h", example=f"{base}{match['sign']}45m")
        return cls(compact, base, -offset if match["sign"] == "-" else offset)

    def at(self, session: Session) -> datetime:
        """The instant in `session`, in UTC: the arithmetic is of real time, also over a change of the clocks."""
        if self.clock is not None:
            return datetime.combine(session.date, self.clock, session.zone).astimezone(UTC)
        edge = session.open if self.base == "open" else session.close
        return edge.astimezone(UTC) + self.offset

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class At:
    """Once at each of `anchors`."""

    anchors: tuple[Anchor, ...]

    def __post_init__(self) -> None:
        texts = [anchor.text for anchor in self.anchors]
        if not texts:
            raise Unfit("no anchor", accepted="at least one anchor", example="open-45m")
        if twice := sorted({text for text in texts if texts.count(text) > 1}):
            raise Unfit(f"{twice[0]} stands twice", accepted="each anchor once", example="[open-60m, open-10m]")

    def __str__(self) -> str:
        return ", ".join(anchor.text for anchor in self.anchors)


@dataclass(frozen=True, slots=True)
class Every:
    """Again and again from `start`, which is included, until `until`, which is not."""

    every: timedelta
    start: Anchor
    until: Anchor

    def __post_init__(self) -> None:
        if self.every < _DENSEST:
            raise Unfit(f"every {format_duration(self.every)} is too often", accepted="at least 1s", example="30s")

    def __str__(self) -> str:
        return f"every {format_duration(self.every)} from {self.start} until {self.until}"


Trigger = At | Every


@dataclass(frozen=True, slots=True)
class Firing:
    """One due time of a job in a session. `slot` names it: the anchor's text, or the ordinal of a repeat ('0001')."""

    slot: str
    at: datetime


def firings(trigger: Trigger, session: Session) -> tuple[Firing, ...]:
    """All due times of `trigger` in `session`; a repeat whose start is not before its end has none."""
    if isinstance(trigger, At):
        return tuple(Firing(anchor.text, anchor.at(session)) for anchor in trigger.anchors)
    start, count = repeats(trigger, session)
    return tuple(Firing(ordinal(n), start + (n - 1) * trigger.every) for n in range(1, count + 1))


def repeats(trigger: Every, session: Session) -> tuple[datetime, int]:
    """The first due time of a repeat and how many there are, without making them."""
    start, until = trigger.start.at(session), trigger.until.at(session)
    return start, max(0, -((start - until) // trigger.every))  # rounded up: a last, shorter step still fires


def ordinal(n: int) -> str:
    """The slot of the n-th firing of a repeat, counted from 1."""
    return f"{n:04d}"


def order_fault(earlier: Anchor, later: Anchor, sessions: Iterable[Session] = ()) -> str | None:
    """Why `earlier` does not come before `later`, or None.

    Anchors on one edge are compared as they stand; anchors on different edges only in `sessions` (a start of
    open+6h is right on a full day and wrong on a Muhurat evening, so who asks says which days matter).
    """
    if earlier.base == later.base and _key(earlier) >= _key(later):
        return f"{earlier} is not before {later}"
    for session in sessions:
        if earlier.at(session) >= later.at(session):
            first, second = describe(earlier, session), describe(later, session)
            return f"{earlier} is not before {later} on {session.date}: {first}, {second}"
    return None


def room(earlier: Anchor, later: Anchor) -> timedelta | None:
    """The least time between the two in any session, or None where it cannot be told (a clock time and an edge)."""
    if earlier.base == later.base:
        return _key(later) - _key(earlier)
    if (earlier.base, later.base) == ("open", "close"):
        return _SHORTEST - earlier.offset + later.offset
    return None


def _key(anchor: Anchor) -> timedelta:
    clock = anchor.clock or time()
    return anchor.offset + timedelta(hours=clock.hour, minutes=clock.minute, seconds=clock.second)


def describe(anchor: Anchor, session: Session) -> str:
    """The arithmetic in words: 'open 09:15 - 45m = 08:30 IST'; with the date where it is not the session's."""
    result = anchor.at(session).astimezone(session.zone)
    text = f"{_wall(result)} {result:%Z}"
    if result.date() != session.date:
        text += f" on {result:%A} {result.date()}"
    if anchor.base == "clock":
        return text
    edge = (session.open if anchor.base == "open" else session.close).astimezone(session.zone)
    if not anchor.offset:
        return f"{anchor.base} = {text}"
    sign, written = anchor.text[len(anchor.base)], anchor.text[len(anchor.base) + 1 :]
    return f"{anchor.base} {_wall(edge)} {sign} {written} = {text}"


def _wall(instant: datetime) -> str:
    """HH:MM, with what is smaller only where there is any."""
    form = "minutes" if not (instant.second or instant.microsecond) else "auto"
    return instant.time().isoformat(form)
