"""The seeded market: what every instrument costs at every second, inside its sessions and outside them."""

from __future__ import annotations

import bisect
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, timezone
from functools import lru_cache

from runbook.market import Instrument
from runbook.simulator.contracts import Contract, Kind, Master
from runbook.simulator.walk import drift, node

IST = timezone(timedelta(hours=5, minutes=30), "IST")
Window = tuple[datetime, datetime]

_MINUTE = 60
_EDGE = 86_400  # a market that is always open counts its day from midnight IST ...
_KNOWN = 6 * 3_600  # ... but not from longer ago than this before it was made, for each second of a day costs its look
_YEAR = 365.25 * 86_400
_VOLATILITY = 0.13
_CARRY = 0.065  # a future stands above its index by this much a year


@dataclass(frozen=True, slots=True)
class Day:
    """The figures of one instrument's day up to an instant."""

    ltp: float
    open: float
    high: float
    low: float
    prev_close: float
    volume: int
    oi: int
    bid: float
    ask: float


@dataclass(frozen=True, slots=True)
class Candle:
    """One bar; `start` is epoch seconds."""

    start: int
    open: float
    high: float
    low: float
    close: float
    volume: int


class Market:
    """Prices that depend on the seed, the instrument and the second alone.

    `sessions` are the windows in which prices move (aware UTC, ascending); none means that the market never shuts.
    Between windows a price stands at its last trade.
    """

    def __init__(self, seed: int, sessions: Sequence[Window], day: datetime) -> None:
        self.seed = seed
        self.sessions = tuple((_second(a), _second(b)) for a, b in sessions)
        self._opens = [a for a, _ in self.sessions]
        self._born = _second(day)
        coming = next((opened for opened, closed in sessions if closed > day), day)
        self.master = Master(coming.astimezone(IST).date())
        self._minute = lru_cache(maxsize=65_536)(self._minute_uncached)
        self._running: dict[tuple[Instrument, int], tuple[int, float, float]] = {}

    # -- the instruments a test or a bot asks for by role ------------------------------------------------------------

    @property
    def near_future(self) -> Instrument:
        return self._nifty(lambda c: c.kind is Kind.FUTURE and c.expiry == self.master.expiries[0])

    @property
    def far_future(self) -> Instrument:
        return self._nifty(lambda c: c.kind is Kind.FUTURE and c.expiry == self.master.expiries[1])

    @property
    def call(self) -> Instrument:
        """The call at the money (at NIFTY's base level)."""
        return self._nifty(lambda c: c.kind is Kind.CALL and c.strike == c.base)

    @property
    def put(self) -> Instrument:
        return self._nifty(lambda c: c.kind is Kind.PUT and c.strike == c.base)

    def _nifty(self, wanted: Callable[[Contract], bool]) -> Instrument:
        return next(c.instrument for c in self.master if c.name == "NIFTY" and wanted(c))

    def contract(self, instrument: Instrument) -> Contract | None:
        return self.master.get(instrument)

    # -- time --------------------------------------------------------------------------------------------------------

    def is_open(self, when: datetime) -> bool:
        second = _second(when)
        if not self.sessions:
            return True
        at = bisect.bisect_right(self._opens, second) - 1
        return at >= 0 and second < self.sessions[at][1]

    def last_trade(self, when: datetime) -> datetime:
        """The instant of the last trade at or before `when`: itself in a session, else the close before it."""
        if self.is_open(when):
            return when
        at = bisect.bisect_right(self._opens, _second(when)) - 1
        if at >= 0:
            return datetime.fromtimestamp(self.sessions[at][1], UTC)
        return datetime.fromtimestamp(self._close_before_all(), UTC)

    def _close_before_all(self) -> int:
        """The close of the working day before the first session, which nobody told us: the same hour, no weekend."""
        close = datetime.fromtimestamp(self.sessions[0][1], UTC) - timedelta(days=1)
        while close.astimezone(IST).weekday() >= 5:
            close -= timedelta(days=1)
        return _second(close)

    def _live_second(self, second: int) -> int:
        """The second whose price is shown at `second`."""
        if not self.sessions:
            return second
        at = bisect.bisect_right(self._opens, second) - 1
        return min(second, self.sessions[at][1]) if at >= 0 else self._close_before_all()

    def _day_start(self, second: int) -> int:
        if self.sessions:
            return self._opens[max(0, bisect.bisect_right(self._opens, second) - 1)]
        shift = int(IST.utcoffset(None).total_seconds())
        return max((second + shift) // _EDGE * _EDGE - shift, self._born - _KNOWN)

    # -- prices ------------------------------------------------------------------------------------------------------

    def price_at(self, instrument: Instrument, when: datetime) -> float:
        """What the instrument costs at `when`; KeyError when nobody lists it."""
        return self._price(self._listed(instrument), self._live_second(_second(when)))

    def last_at(self, instrument: Instrument, when: datetime) -> Day:
        """The last price alone, in the form of a Day whose other figures are nothing."""
        return Day(self.price_at(instrument, when), 0.0, 0.0, 0.0, 0.0, 0, 0, 0.0, 0.0)

    def day_at(self, instrument: Instrument, when: datetime) -> Day:
        """The day's figures as a quote shows them at `when`."""
        contract = self._listed(instrument)
        asked = _second(when)
        second = self._live_second(asked)
        start = self._day_start(asked)
        ltp = self._price(contract, second)
        if second < start:  # before the first session: yesterday's close is all there is
            return self._figures(contract, Day(ltp, ltp, ltp, ltp, ltp, 0, 0, 0.0, 0.0), 0)
        prev = self._price(contract, self._close_of_day_before(start))
        low, high = self._range(contract, start, second)
        day = Day(ltp, self._price(contract, start), high, low, prev, 0, 0, 0.0, 0.0)
        return self._figures(contract, day, second - start)

    def candles(self, instrument: Instrument, since: datetime, until: datetime, step: int) -> Iterator[Candle]:
        """The bars of `step` seconds (a multiple of 60) in the sessions between two instants, the last one unfinished."""
        contract = self._listed(instrument)
        begin, end = _second(since), _second(until)
        windows = self.sessions or ((begin, end),)
        for opened, closed in windows:
            start = max(opened, begin - (begin - opened) % step)
            for at in range(start, min(closed, end), step):
                stop = min(at + step, closed, end)
                yield self._candle(contract, at, stop)

    def _candle(self, contract: Contract, start: int, stop: int) -> Candle:
        low, high = self._extremes(contract, start, stop - 1)
        return Candle(
            start,
            self._price(contract, start),
            high,
            low,
            self._price(contract, stop - 1),
            0 if contract.is_index else self._volume(contract, stop - start),
        )

    def _listed(self, instrument: Instrument) -> Contract:
        contract = self.master.get(instrument)
        if contract is None:
            raise KeyError(str(instrument))
        return contract

    def _price(self, contract: Contract, second: int) -> float:
        level = contract.base * (1.0 + drift(self.seed, contract.name, second))
        if contract.kind is Kind.FUTURE and contract.expiry is not None:
            years = max(0.0, (_expiry_second(contract) - second) / _YEAR)
            level *= 1.0 + _CARRY * years
            level += node(self.seed, contract.instrument.symbol, 1, second) * 1.5  # the basis breathes
        elif contract.kind in (Kind.CALL, Kind.PUT):
            level = self._premium(contract, level, second)
        return _tidy(level, contract.tick)

    @staticmethod
    def _premium(contract: Contract, spot: float, second: int) -> float:
        """Bachelier's price without interest: enough for a premium that moves with its delta and dies at expiry."""
        years = max(1e-6, (_expiry_second(contract) - second) / _YEAR)
        width = spot * _VOLATILITY * math.sqrt(years)
        gap = spot - contract.strike if contract.kind is Kind.CALL else contract.strike - spot
        z = gap / width
        density = math.exp(-z * z / 2) / math.sqrt(2 * math.pi)
        return max(contract.tick, gap * 0.5 * (1 + math.erf(z / math.sqrt(2))) + width * density)

    def _range(self, contract: Contract, start: int, second: int) -> tuple[float, float]:
        """Lowest and highest price of the day so far; remembered, so that only the new seconds cost anything."""
        key = (contract.instrument, start)
        done, low, high = self._running.get(key, (start - 1, math.inf, -math.inf))
        if second <= done:
            return self._extremes(contract, start, second)
        more_low, more_high = self._extremes(contract, done + 1, second)
        low, high = min(low, more_low), max(high, more_high)
        self._running[key] = (second, low, high)
        return low, high

    def _extremes(self, contract: Contract, first: int, last: int) -> tuple[float, float]:
        """Lowest and highest price of the seconds `first`..`last`, both included."""
        low, high = math.inf, -math.inf
        at = first
        while at <= last:
            if at % _MINUTE == 0 and at + _MINUTE - 1 <= last:
                a, b = self._minute(contract, at)
                at += _MINUTE
            else:
                a = b = self._price(contract, at)
                at += 1
            low, high = min(low, a), max(high, b)
        return low, high

    def _minute_uncached(self, contract: Contract, start: int) -> tuple[float, float]:
        prices = [self._price(contract, s) for s in range(start, start + _MINUTE)]
        return min(prices), max(prices)

    def _close_of_day_before(self, start: int) -> int:
        at = bisect.bisect_left(self._opens, start)
        if not self.sessions:
            return start - 1
        return self.sessions[at - 1][1] if at > 0 else self._close_before_all()

    def _volume(self, contract: Contract, seconds: int) -> int:
        return seconds * (75 if contract.lot == 1 else contract.lot)

    def _figures(self, contract: Contract, day: Day, elapsed: int) -> Day:
        if contract.is_index:
            return day
        half = max(contract.tick, 0.05)
        return Day(
            day.ltp, day.open, day.high, day.low, day.prev_close,
            volume=self._volume(contract, elapsed),
            oi=1_200_000 + contract.lot * (elapsed // 7),
            bid=_tidy(day.ltp - half, contract.tick),
            ask=_tidy(day.ltp + half, contract.tick),
        )  # fmt: skip


def _second(when: datetime) -> int:
    return math.floor(when.timestamp())


@lru_cache(maxsize=1024)
def _expiry_second(contract: Contract) -> int:
    if contract.expiry is None:
        raise ValueError(f"{contract.instrument} has no expiry")
    return _second(datetime.combine(contract.expiry, time(15, 30), IST))


def _tidy(value: float, tick: float) -> float:
    return round(max(1, round(value / tick)) * tick, 2)
