"""A small day for the tests of reconciliation: a session, legs of both sides, books, and recorded prices."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from runbook.market import Instrument
from runbook.ports import Fill, GatewayMode, Order, Position, PositionBook
from runbook.recon import Books, Leg, LegSource, PriceRange, Side, TimeQuality, TradeLog
from runbook.session import Session

INDIA = ZoneInfo("Asia/Kolkata")
DAY = date(2026, 11, 23)
CALL = Instrument("NIFTY24NOV2626000CE", "NFO")
PUT = Instrument("NIFTY24NOV2626000PE", "NFO")
SESSION = Session(
    "NFO", DAY, ((datetime(2026, 11, 23, 9, 15, tzinfo=INDIA), datetime(2026, 11, 23, 15, 40, tzinfo=INDIA)),)
)


def at(text: str) -> datetime:
    """An instant of the day: at("10:15:02")."""
    return datetime.fromisoformat(f"2026-11-23T{text}+05:30")


def leg(
    side="BUY", quantity=75, price="145.10", when: str | None = "10:15:02", order_id: str | None = None, **more
) -> Leg:
    values: dict[str, Any] = {"source": LegSource.BOT, "instrument": CALL, "time_quality": TimeQuality.SECOND} | more
    return Leg(
        side=Side(side),
        quantity=quantity,
        price=Decimal(price),
        at=at(when) if when else None,
        order_id=order_id,
        **values,
    )


def fill_of(ours: Leg, **more) -> Fill:
    """The trade-book row that a correct gateway holds for a leg of the bot."""
    values: dict[str, Any] = {
        "order_id": ours.order_id or "",
        "instrument": ours.instrument,
        "action": ours.side.value,
        "quantity": ours.quantity,
        "price": float(ours.price),
        "product": "NRML",
        "time": "",
        "at": ours.at,
    }
    return Fill(**(values | more))


def order(order_id="26112200000001", status="complete", instrument=CALL) -> Order:
    return Order(order_id, instrument, "BUY", 75, status, "NRML", "2026-11-23 10:15:02")


def position(quantity=75, instrument=CALL, pnl=0.0) -> Position:
    return Position(instrument, "NRML", quantity, 145.1, 145.0, pnl)


def books(fills=(), *, mode=GatewayMode.ANALYZE, orders=(), positions=()) -> Books:
    return Books(mode, (mode, tuple(orders)), (mode, tuple(fills)), PositionBook(mode, tuple(positions)))


def log(*legs: Leg) -> TradeLog:
    return TradeLog(tuple(legs))


@dataclass(slots=True)
class Recorded:
    """Recorded prices as a list of (instrument, instant, price); a real PriceRanges."""

    prices: list[tuple[Instrument, datetime, Decimal]] = field(default_factory=list)

    def add(self, instrument: Instrument, when: str, *prices: str) -> Recorded:
        self.prices += [(instrument, at(when), Decimal(price)) for price in prices]
        return self

    def around(self, instrument: Instrument, at: datetime, window: timedelta) -> PriceRange | None:
        return self._of([p for i, t, p in self.prices if i == instrument and abs(t - at) <= window])

    def day(self, instrument: Instrument) -> PriceRange | None:
        return self._of([p for i, _, p in self.prices if i == instrument])

    @staticmethod
    def _of(found: list[Decimal]) -> PriceRange | None:
        return PriceRange(min(found), max(found), len(found)) if found else None


class Everywhere:
    """One range at every moment; unless it is given, 1 to 1,000,000 rupees: nothing is out of range, all is covered."""

    def __init__(self, found: PriceRange | None = None) -> None:
        self._found = found or PriceRange(Decimal(1), Decimal(1_000_000), 10)

    def around(self, instrument: Instrument, at: datetime, window: timedelta) -> PriceRange | None:
        return self._found

    def day(self, instrument: Instrument) -> PriceRange | None:
        return self._found
