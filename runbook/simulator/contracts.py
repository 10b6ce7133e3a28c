"""The master contract of the simulated market: which instruments exist and what `symbol` and `search` tell of them."""

from __future__ import annotations

import calendar
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

from runbook.market import Instrument

EXCHANGES = (
    "NSE", "NFO", "CDS", "BSE", "BFO", "BCD", "MCX", "NCDEX", "NCO",
    "NSE_INDEX", "BSE_INDEX", "MCX_INDEX", "GLOBAL_INDEX", "CRYPTO",
)  # fmt: skip

_TUESDAY = calendar.TUESDAY


class Kind(StrEnum):
    """What sort of thing is traded; the values are those of OpenAlgo's `instrumenttype` on Angel."""

    INDEX = "AMXIDX"
    EQUITY = "EQ"
    FUTURE = "FUT"
    CALL = "CE"
    PUT = "PE"


@dataclass(frozen=True, slots=True)
class Contract:
    """One row of the master contract. `base` is the price level the walk swings around; strike is 0 where there is none."""

    instrument: Instrument
    kind: Kind
    name: str
    token: str
    base: float
    tick: float
    lot: int = 1
    expiry: date | None = None
    strike: float = 0.0
    broker_symbol: str = ""

    @property
    def is_index(self) -> bool:
        return self.kind is Kind.INDEX

    @property
    def is_derivative(self) -> bool:
        return self.expiry is not None

    @property
    def freeze(self) -> int:
        """The exchange's largest order, 24 lots for what has a lot."""
        return self.lot * 24 if self.lot > 1 else 1

    def row(self) -> dict[str, object]:
        """The row as `search` gives it."""
        return {
            "brexchange": self.instrument.exchange.removesuffix("_INDEX"),
            "brsymbol": self.broker_symbol or self.instrument.symbol,
            "exchange": self.instrument.exchange,
            "expiry": self.expiry.strftime("%d-%b-%y").upper() if self.expiry else "",
            "freeze_qty": self.freeze,
            "instrumenttype": str(self.kind),
            "lotsize": self.lot,
            "name": self.name,
            "strike": -0.01 if self.kind is Kind.FUTURE else self.strike,
            "symbol": self.instrument.symbol,
            "tick_size": 0.0 if self.is_index else self.tick,
            "token": self.token,
        }


def last_tuesday(year: int, month: int) -> date:
    last = date(year, month, calendar.monthrange(year, month)[1])
    return last - timedelta(days=(last.weekday() - _TUESDAY) % 7)


def expiries(day: date, count: int = 3) -> tuple[date, ...]:
    """The next monthly expiries, `day` itself included when it is one."""
    found: list[date] = []
    year, month = day.year, day.month
    while len(found) < count:
        expiry = last_tuesday(year, month)
        if expiry >= day:
            found.append(expiry)
        year, month = (year, month + 1) if month < 12 else (year + 1, 1)
    return tuple(found)


def spell(name: str, expiry: date, tail: str) -> str:
    """OpenAlgo's name of a derivative: NIFTY24NOV26FUT, NIFTY24NOV2626000CE."""
    return f"{name}{expiry:%d%b%y}{tail}".upper()


_INDICES = (
    ("NIFTY", "NSE_INDEX", "99926000", 26_000.0, "Nifty 50"),
    ("BANKNIFTY", "NSE_INDEX", "99926009", 58_000.0, "Nifty Bank"),
    ("FINNIFTY", "NSE_INDEX", "99926037", 27_500.0, "Nifty Fin Service"),
    ("INDIAVIX", "NSE_INDEX", "99926017", 13.5, "India VIX"),
    ("SENSEX", "BSE_INDEX", "99919000", 85_000.0, "SENSEX"),
)
_EQUITIES = (
    ("RELIANCE", "NSE", "2885", 1_540.0, "RELIANCE-EQ"),
    ("SBIN", "NSE", "3045", 975.0, "SBIN-EQ"),
    ("INFY", "NSE", "1594", 1_520.0, "INFY-EQ"),
    ("RELIANCE", "BSE", "500325", 1_540.0, "RELIANCE"),
)
_DERIVED = (("NIFTY", 75, 50), ("BANKNIFTY", 35, 100))  # underlying, lot, distance of strikes
_STRIKES_EACH_SIDE = 20


class Master:
    """The master contract as it stands on `day`: indices, equities, three months of futures, the near month's options."""

    def __init__(self, day: date) -> None:
        self.day = day
        self.expiries = expiries(day)
        self._rows: dict[Instrument, Contract] = {c.instrument: c for c in _rows(self.expiries)}

    def get(self, instrument: Instrument) -> Contract | None:
        return self._rows.get(instrument)

    def __iter__(self) -> Iterator[Contract]:
        return iter(self._rows.values())

    def search(self, query: str, exchange: str | None) -> list[Contract]:
        """Those whose symbol or name contains the query, the exact name first, as OpenAlgo lists them; at most 50."""
        wanted = query.upper()
        found = [
            c for c in self if wanted in c.instrument.symbol and (exchange is None or c.instrument.exchange == exchange)
        ]
        return sorted(found, key=lambda c: (c.instrument.symbol != wanted, c.kind is not Kind.FUTURE))[:50]


def _rows(months: tuple[date, ...]) -> Iterator[Contract]:
    levels: dict[str, float] = {}
    for name, exchange, token, base, broker in _INDICES:
        levels[name] = base
        yield Contract(Instrument(name, exchange), Kind.INDEX, name, token, base, 0.05, broker_symbol=broker)
    for name, exchange, token, base, broker in _EQUITIES:
        yield Contract(Instrument(name, exchange), Kind.EQUITY, name, token, base, 0.05, broker_symbol=broker)
    token_of = iter(range(37_054, 60_000))
    for name, lot, step in _DERIVED:
        for expiry in months:
            symbol = spell(name, expiry, "FUT")
            yield Contract(
                Instrument(symbol, "NFO"), Kind.FUTURE, name, str(next(token_of)), levels[name], 0.1, lot, expiry
            )
        middle = round(levels[name] / step) * step
        for offset in range(-_STRIKES_EACH_SIDE, _STRIKES_EACH_SIDE + 1):
            strike = middle + offset * step
            for kind in (Kind.CALL, Kind.PUT):
                symbol = spell(name, months[0], f"{strike}{kind}")
                yield Contract(
                    Instrument(symbol, "NFO"),
                    kind,
                    name,
                    str(next(token_of)),
                    levels[name],
                    0.05,
                    lot,
                    months[0],
                    float(strike),
                )
