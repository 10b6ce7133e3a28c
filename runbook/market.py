"""What the market says: instruments, ticks, quotes. Prices are floats as the exchange prints them, never invented."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from runbook.errors import BadTick


class Source(StrEnum):
    """Where a price came from, in the guide's words."""

    WEBSOCKET = "WEBSOCKET"
    REST_POLLING = "REST_POLLING"


@dataclass(frozen=True, slots=True, order=True)
class Instrument:
    """One tradable or index name at OpenAlgo, e.g. NIFTY on NSE_INDEX or NIFTY24NOV26FUT on NFO."""

    symbol: str
    exchange: str

    def __hash__(self) -> int:
        return hash(self.symbol)  # asked several times for each tick; a text knows its own

    def __str__(self) -> str:
        return f"{self.exchange}:{self.symbol}"

    @property
    def is_index(self) -> bool:
        return self.exchange.endswith("_INDEX")

    @property
    def is_future(self) -> bool:
        return self.symbol.endswith("FUT")


@dataclass(frozen=True, slots=True)
class Tick:
    """A price pushed by the stream.

    `ltt` is the broker's last-trade time in epoch milliseconds, or None when the broker sends none;
    OpenAlgo's own `timestamp` is its receipt clock and is not kept.
    """

    instrument: Instrument
    ltp: float
    ltt: int | None
    volume: int | None = None


@dataclass(frozen=True, slots=True)
class Quote:
    """A price read over REST. It carries no time of the exchange: OpenAlgo sends none (facts: no cache, no timestamp)."""

    instrument: Instrument
    ltp: float
    bid: float
    ask: float
    high: float
    low: float
    open: float
    prev_close: float
    volume: int
    oi: int

    @property
    def fingerprint(self) -> tuple[float, float, float, int, int]:
        """What must move while the market does: (ltp, bid, ask, volume, oi)."""
        return (self.ltp, self.bid, self.ask, self.volume, self.oi)

    @property
    def fault(self) -> str | None:
        """Why this quote proves nothing, or None."""
        if not self.ltp > 0:
            return f"ltp is {self.ltp:g}"
        if self.low > 0 and self.high > 0 and not self.low <= self.ltp <= self.high:
            return f"ltp {self.ltp:g} lies outside the day's range [{self.low:g}, {self.high:g}]"
        return None


def price(value: object) -> float:
    """A price as a positive finite number; raises BadTick with what was found (string, null, NaN, zero, negative)."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadTick(f"ltp is {value!r:.60}, not a number")
    if not 0 < value < 1e12:  # false for NaN too; no price on earth is larger, and an int of 400 digits is no float
        raise BadTick(f"ltp is {value!r:.60}, not a positive number")
    return float(value)


def last_trade_millis(value: object) -> int | None:
    """`ltt` as epoch milliseconds: brokers send milliseconds, seconds or digits in a string; anything else is None."""
    if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 1e16:
        return None
    return int(value) if value > 1e12 else int(value * 1000)
