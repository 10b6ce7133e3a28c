"""Sessions and phases of an exchange, and where the knowledge of them ends."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Any
from zoneinfo import ZoneInfo

INDIA = ZoneInfo("Asia/Kolkata")


ASSUMED = "assumed"  # the name of a session that nobody has announced
_SATURDAY = 5
_NEAR = timedelta(
    days=366
)  # how far the hours of the last known session may be carried: a list that never comes ends no watch


class DayStatus(StrEnum):
    """What is known of a calendar day. UNKNOWN is an answer of its own: never open, never closed."""

    OPEN = "open"
    CLOSED = "closed"
    UNKNOWN = "unknown"


class PhaseName(StrEnum):
    """The phase of a trading day, in the order in which a day has them; `trading` says whether ticks are promised."""

    PRE_OPEN = "pre_open"
    CONTINUOUS = "continuous"
    CLOSING_AUCTION = "closing_auction"
    CASH_AUCTION = "cash_auction"  # of derivatives: they trade, their index and shares are in the closing auction
    TAIL = "tail"  # of derivatives: they trade, their index and shares have closed
    POST_CLOSE = "post_close"
    BREAK = "break"  # between two intervals of a split session
    SHUT = "shut"

    @property
    def trading(self) -> bool:
        """Whether what is listed on this exchange trades continuously, so that its ticks are promised."""
        return self in _TRADING

    @property
    def alone(self) -> bool:
        """Whether the derivatives trade alone: of the cash market under them no tick is promised."""
        return self in _ALONE


_ALONE = frozenset({PhaseName.CASH_AUCTION, PhaseName.TAIL})
_TRADING = _ALONE | {PhaseName.CONTINUOUS}


class Confidence(StrEnum):
    """How well a statement of the calendar is founded."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


def _utc(instant: datetime) -> datetime:
    """`instant` in the zone the tables are kept in: two zones in one comparison cost 25 times as much."""
    if instant.tzinfo is None:
        raise TypeError(f"{instant} has no zone")
    return instant.astimezone(UTC)


@dataclass(frozen=True, slots=True)
class Phase:
    """One phase; `start` and `end` are aware datetimes, end exclusive.

    `part` is the exchange's own word for a part of it, such as `matching` in a pre-open or `evening`; empty where there is none.
    """

    name: PhaseName
    start: datetime
    end: datetime
    part: str = ""


def joined(phases: Iterable[Phase]) -> list[tuple[Phase, tuple[Phase, ...]]]:
    """`phases` in order, those of one name that touch as one, each with the parts that have a word of their own."""
    found: list[tuple[Phase, tuple[Phase, ...]]] = []
    for phase in phases:
        parts = (phase,) if phase.part else ()
        if found and (found[-1][0].name, found[-1][0].end) == (phase.name, phase.start):
            whole, before = found.pop()
            found.append((replace(whole, end=phase.end), before + parts))
        else:
            found.append((replace(phase, part=""), parts))
    return found


@dataclass(frozen=True, slots=True)
class Session:
    """One trading session. `date` is the exchange's session date; all times are aware.

    `intervals` are the stretches of continuous trading, in order: one, or several on a split day. `open` and `close`,
    which anchors count from, are the first start and the last end. `expiring_close`, where it is given, is when contracts stop
    that expire on this day; which ones those are is not known here.
    """

    exchange: str
    date: date
    intervals: tuple[tuple[datetime, datetime], ...]
    phases: tuple[Phase, ...] = ()
    name: str = "regular"
    source: str = ""
    confidence: Confidence = Confidence.HIGH
    note: str = ""
    zone: ZoneInfo = INDIA  # in which the exchange's clock times, such as "16:30", are meant
    expiring_close: datetime | None = None

    @property
    def open(self) -> datetime:
        return self.intervals[0][0]

    @property
    def close(self) -> datetime:
        return self.intervals[-1][1]

    def phase_at(self, instant: datetime) -> PhaseName:
        """The phase `instant` falls in; SHUT outside all of them."""
        instant = _utc(instant)
        for phase in self.phases:
            if phase.start <= instant < phase.end:
                return phase.name
        for start, end in self.intervals:
            if start <= instant < end:
                return PhaseName.CONTINUOUS
        if self.open <= instant < self.close:
            return PhaseName.BREAK
        return PhaseName.SHUT


@dataclass(frozen=True, slots=True)
class Day:
    """What the calendar says of one date, and why. `session` is given exactly when the status is OPEN."""

    date: date
    status: DayStatus
    reason: str
    sources: tuple[str, ...] = ()
    confidence: Confidence = Confidence.HIGH
    session: Session | None = None
    note: str = ""


def day_to_row(day: Day) -> dict[str, Any]:
    """`day` as plain values for JSON or a table, times as ISO 8601 in UTC."""
    session = day.session
    return {
        "date": day.date.isoformat(),
        "status": day.status.value,
        "reason": day.reason,
        "intervals": [[a.isoformat(), b.isoformat()] for a, b in session.intervals] if session else [],
        "phases": [[p.name.value, p.start.isoformat(), p.end.isoformat(), p.part] for p in session.phases]
        if session
        else [],
        "expiring_close": session.expiring_close.isoformat() if session and session.expiring_close else None,
        "name": session.name if session else "",
        "sources": list(day.sources),
        "confidence": day.confidence.value,
        "note": day.note,
    }


def day_from_row(row: Mapping[str, Any], exchange: str, zone: ZoneInfo) -> Day:
    """The Day that `day_to_row` made `row` of; exchange and zone are the calendar's."""
    day = date.fromisoformat(row["date"])
    status, confidence = DayStatus(row["status"]), Confidence(row["confidence"])
    sources, note = tuple(row["sources"]), row["note"]
    session = None
    if row["intervals"]:
        intervals = tuple((datetime.fromisoformat(a), datetime.fromisoformat(b)) for a, b in row["intervals"])
        phases = tuple(
            Phase(PhaseName(name), datetime.fromisoformat(a), datetime.fromisoformat(b), *part)
            for name, a, b, *part in row["phases"]  # rows from before parts were told have none
        )
        source, expiring = "; ".join(sources), row.get("expiring_close")
        session = Session(
            exchange, day, intervals, phases, row["name"], source, confidence, note, zone,
            datetime.fromisoformat(expiring) if expiring else None,
        )  # fmt: skip
    return Day(day, status, row["reason"], sources, confidence, session, note)


@dataclass(frozen=True, slots=True)
class SessionCalendar:
    """The days of one exchange. Past `known_until`, and wherever no row says more, the answer is UNKNOWN."""

    exchange: str
    zone: ZoneInfo
    known_until: date
    days: dict[date, Day] = field(repr=False)
    _opens: tuple[datetime, ...] = field(init=False, repr=False)
    _sessions: tuple[Session, ...] = field(init=False, repr=False)
    _assumed: dict[date, Session | None] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        held = sorted((d.session for d in self.days.values() if d.session), key=lambda s: s.open)
        object.__setattr__(self, "_sessions", tuple(held))
        object.__setattr__(self, "_opens", tuple(s.open for s in held))

    def day(self, day: date) -> Day:
        """What is known of `day`; never raises."""
        if found := self.days.get(day):
            return found
        reason = f"no row for this day in the calendar of {self.exchange}"
        if day > self.known_until:
            reason = f"the calendar of {self.exchange} is known until {self.known_until}"
        return Day(day, DayStatus.UNKNOWN, reason, confidence=Confidence.LOW)

    def span(self, first: date, last: date) -> Iterator[Day]:
        """Each day from `first` to `last`, both included."""
        while first <= last:
            yield self.day(first)
            first += timedelta(days=1)

    def today(self, now: datetime) -> date:
        """The date at the exchange at `now`."""
        return now.astimezone(self.zone).date()

    def session_at(self, now: datetime) -> Session | None:
        """The newest session that has opened by `now`, or None before the first."""
        i = bisect_right(self._opens, _utc(now))
        return self._sessions[i - 1] if i else None

    def next_session(self, now: datetime) -> Session | None:
        """The first session that opens after `now`; None where knowledge ends (ask `day` for why)."""
        i = bisect_right(self._opens, _utc(now))
        return self._sessions[i] if i < len(self._sessions) else None

    def assumed(self, day: date) -> Session | None:
        """The session an UNKNOWN weekday would have if it were an ordinary one, named "assumed"; None for any other day.

        It says when to look, never that the exchange is open: nothing is promised on it, and nothing may act on it.
        """
        if day not in self._assumed:
            self._assumed[day] = self._ordinary(day)
        return self._assumed[day]

    def _ordinary(self, day: date) -> Session | None:
        known = self.day(day)
        if known.status is not DayStatus.UNKNOWN or day.weekday() >= _SATURDAY:
            return None
        ordinary = next((s for s in reversed(self._sessions) if s.date < day and s.date.weekday() < _SATURDAY), None)
        if ordinary is None or day - ordinary.date > _NEAR:
            return None

        def moved(instant: datetime) -> datetime:
            local = instant.astimezone(self.zone)
            on = day + (local.date() - ordinary.date)  # an evening may end on the next date
            return datetime.combine(on, local.time(), self.zone).astimezone(UTC)

        hours = tuple((moved(a), moved(b)) for a, b in ordinary.intervals)
        phases = tuple(Phase(p.name, moved(p.start), moved(p.end), p.part) for p in ordinary.phases)
        return Session(self.exchange, day, hours, phases, ASSUMED, "", Confidence.LOW, known.reason, self.zone)

    def session_of(self, day: date) -> Session | None:
        """The session of `day`, or the assumed one of an UNKNOWN weekday."""
        found = self.days.get(day)
        return found.session if found is not None and found.session is not None else self.assumed(day)

    def sessions(self, first: date, last: date) -> Iterable[Session]:
        """The sessions dated from `first` to `last`, both included."""
        return (s for s in self._sessions if first <= s.date <= last)
