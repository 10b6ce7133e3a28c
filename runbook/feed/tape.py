"""A session as it can be replayed: what arrived when, and what REST would have answered at a time."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from runbook.market import Instrument, Quote, Source, Tick
from runbook.session import PhaseName, Session

BEFORE = 900.0  # of pre-open that are played before the session
AFTER = 900.0  # and of silence after it
_TAKEN = 60.0  # REST answers within so many seconds of a silence say that runbook itself had left the socket

Row = tuple[datetime, Instrument, Source, float, int | None]  # (received, instrument, source, ltp, ltt)
Quiet = Callable[[datetime, Sequence[Instrument]], frozenset[Instrument]]


@dataclass(frozen=True, slots=True)
class Tape:
    """What arrived in one session, in order, as (seconds since the open, tick).

    `quote` is what REST says at a time; `phase` and `quiet` are what the calendar says of it, where it is not simply open
    for `length` seconds. A replay goes from `begin` to `end`: a record may start late and end early.
    """

    name: str
    instruments: tuple[Instrument, ...]
    ticks: Sequence[tuple[float, Tick]]
    length: float
    quote: Callable[[Instrument, float], Quote]
    phase: Callable[[float], PhaseName] | None = None
    quiet: Callable[[float], frozenset[Instrument]] = lambda _at: frozenset()
    begin: float = -BEFORE
    end: float = field(default=float("inf"))
    polls: Sequence[float] = ()  # when answers of REST were recorded

    @property
    def until(self) -> float:
        """When a replay ends."""
        return min(self.end, self.length + AFTER)

    def phase_at(self, at: float) -> PhaseName:
        if self.phase is not None:
            return self.phase(at)
        if at < 0:
            return PhaseName.PRE_OPEN
        return PhaseName.CONTINUOUS if at < self.length else PhaseName.POST_CLOSE

    def candle_age(self, at: float) -> float:
        """Seconds since the newest 1-minute candle began: on a tape the market lives, whatever the socket brings."""
        return at % 60.0

    def silence(self, at: float) -> float:
        """Seconds without a tick by `at`."""
        place = bisect_right(self.ticks, at, key=_time)
        return at - (self.ticks[place - 1][0] if place else max(self.begin, 0.0))

    def was_left(self, at: float) -> bool:
        """True when runbook itself polled REST around `at`: it saw then what the replay sees now."""
        place = bisect_right(self.polls, at - _TAKEN)
        return place < len(self.polls) and self.polls[place] <= at + _TAKEN


def recorded(session: Session, rows: Iterable[Row], quiet: Quiet = lambda _now, _all: frozenset()) -> Tape | None:
    """The tape of a session that was recorded; None when no tick of the socket is among the rows.

    What REST said while ticks flowed is not in a record, so it is taken to move all the time, around the last price that
    came: then every silence of the socket counts against it, and figures err towards too many alarms.
    """
    ticks: list[tuple[float, Tick]] = []
    polls: list[float] = []
    prices: dict[Instrument, tuple[list[float], list[float]]] = {}
    ends: list[float] = []
    for received, instrument, source, ltp, ltt in rows:
        at = (received - session.open).total_seconds()
        ends = [ends[0] if ends else at, at]
        times, known = prices.setdefault(instrument, ([], []))
        times.append(at)
        known.append(ltp)
        if source is Source.WEBSOCKET:
            ticks.append((at, Tick(instrument, ltp, ltt)))
        else:
            polls.append(at)
    if not ticks:
        return None
    instruments = tuple(sorted(prices, key=lambda i: (not i.is_index, not i.is_future, i)))

    def quote(instrument: Instrument, at: float) -> Quote:
        times, known = prices[instrument]
        place = bisect_right(times, at)
        beat = max(1, int((at + 2 * BEFORE) * 2))
        return Quote(instrument, known[place - 1] if place else 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, beat, 0)

    def moment(at: float) -> datetime:
        return session.open + timedelta(seconds=at)

    return Tape(
        name=session.date.isoformat(),
        instruments=instruments,
        ticks=ticks,
        length=(session.close - session.open).total_seconds(),
        quote=quote,
        phase=lambda at: session.phase_at(moment(at)),
        quiet=lambda at: quiet(moment(at), instruments),
        begin=max(-BEFORE, float(int(ends[0]) - 1)),
        end=ends[-1] + 1,
        polls=polls,
    )


def _time(tick: tuple[float, Tick]) -> float:
    return tick[0]
