"""A leg: one execution as one side tells it, and the bot's trade log, which is a set of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from runbook.market import Instrument
from runbook.ports import Fill

# A price is a Decimal here and nowhere else: a log is text, "at most one tick apart" must be true at exactly one tick,
# and a day's P&L has to add up to the paisa whatever the order of the rows. The step is that of the recorded ticks: it
# holds a currency tick of 0.0025 and drops the noise of a float (145.10000000000002).
PRICE_STEP = Decimal("0.0001")


class LegSource(StrEnum):
    """Who says so."""

    BOT = "bot"
    GATEWAY = "gateway"


class Side(StrEnum):
    """Which way the quantity goes."""

    BUY = "BUY"
    SELL = "SELL"

    @property
    def sign(self) -> int:
        return 1 if self is Side.BUY else -1

    @classmethod
    def of(cls, text: str) -> Side:
        """BUY or SELL from what logs and books write; raises ValueError. LONG and SHORT are refused: an exit has both."""
        match text.strip().upper():
            case "BUY" | "B":
                return cls.BUY
            case "SELL" | "S":
                return cls.SELL
        raise ValueError(f"{text!r} is neither BUY nor SELL")


class TimeQuality(StrEnum):
    """What a stamp is worth. LOGGED_LATE was taken when the row was written, not when the trade happened."""

    EXACT = "exact"
    SECOND = "second"
    LOGGED_LATE = "logged_late"
    UNKNOWN = "unknown"

    @property
    def places(self) -> bool:
        """True when the stamp says where in the recorded prices to look."""
        return self in (TimeQuality.EXACT, TimeQuality.SECOND)


def rupees(value: float | str | Decimal) -> Decimal:
    """A price in rupees to the stored step; raises ValueError for what is no positive finite number."""
    try:
        found = Decimal(repr(value) if isinstance(value, float) else value)
        stored = found.quantize(PRICE_STEP)
    except ArithmeticError as error:
        raise ValueError(f"{value!r} is no price") from error
    if not stored.is_finite() or stored <= 0:
        raise ValueError(f"{value!r} is no price")
    return stored


def shown(price: Decimal) -> str:
    """A price as a person writes it: two decimals, or four where they are needed."""
    return f"{price:.2f}" if price == round(price, 2) else f"{price:.4f}"


@dataclass(frozen=True, slots=True)
class Leg:
    """One execution. `quantity` is in units, `price` in rupees, `at` aware or None; `row` says where it was read.

    An instrument whose exchange is empty could not be resolved: it is reported, never guessed.
    """

    source: LegSource
    instrument: Instrument
    side: Side
    quantity: int
    price: Decimal
    at: datetime | None
    time_quality: TimeQuality = TimeQuality.SECOND
    order_id: str | None = None
    strategy: str | None = None
    trade_id: str | None = None
    row: str = ""

    def __post_init__(self) -> None:
        if self.at is not None and self.at.tzinfo is None:
            raise ValueError("the time of a leg is aware")
        if self.quantity <= 0 or self.price <= 0:
            raise ValueError("the quantity and the price of a leg are positive")

    @property
    def resolved(self) -> bool:
        return bool(self.instrument.exchange)

    @property
    def identity(self) -> tuple[str, str, str, str, int, Decimal, str]:
        """All that tells this execution from another, without where it was read: the same in whatever order rows come."""
        stamp = self.at.timestamp() if self.at else -1.0
        name = self.instrument
        return (
            name.symbol,
            name.exchange,
            self.side,
            f"{stamp:017.3f}",
            self.quantity,
            self.price,
            self.order_id or "",
        )

    def __str__(self) -> str:
        stamp = f" at {self.at:%H:%M:%S}" if self.at else ""
        return f"{self.side} {self.quantity} {self.instrument.symbol} @ {shown(self.price)}{stamp}"

    def to_facts(self) -> dict[str, Any]:
        """The leg as JSON; the price is text, so that nothing rounds it on the way."""
        return {
            "source": self.source.value,
            "symbol": self.instrument.symbol,
            "exchange": self.instrument.exchange,
            "side": self.side.value,
            "quantity": self.quantity,
            "price": str(self.price),
            "at": self.at.isoformat() if self.at else None,
            "time_quality": self.time_quality.value,
            "order_id": self.order_id,
            "strategy": self.strategy,
            "trade_id": self.trade_id,
            "row": self.row,
        }

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Leg:
        return cls(
            source=LegSource(facts["source"]),
            instrument=Instrument(facts["symbol"], facts["exchange"]),
            side=Side(facts["side"]),
            quantity=facts["quantity"],
            price=Decimal(facts["price"]),
            at=datetime.fromisoformat(facts["at"]) if facts["at"] else None,
            time_quality=TimeQuality(facts["time_quality"]),
            order_id=facts["order_id"],
            strategy=facts["strategy"],
            trade_id=facts["trade_id"],
            row=facts["row"],
        )


def leg_of(fill: Fill, number: int) -> Leg:
    """A row of the gateway's trade book as a leg; raises ValueError when side, quantity or price cannot be read.

    The gateway prints whole seconds; a live book may print a time without its date, and then `at` is None.
    """
    return Leg(
        source=LegSource.GATEWAY,
        instrument=fill.instrument,
        side=Side.of(fill.action),
        quantity=fill.quantity,
        price=rupees(fill.price),
        at=fill.at,
        time_quality=TimeQuality.SECOND if fill.at else TimeQuality.UNKNOWN,
        order_id=fill.order_id or None,
        strategy=fill.strategy,
        trade_id=fill.trade_id,
        row=f"trade book:{number}",
    )


@dataclass(frozen=True, slots=True)
class RowFault:
    """A row, or a file, that could not be read: where, what was found, and what is accepted instead."""

    where: str
    found: str
    accepted: str

    def __str__(self) -> str:
        return f"{self.where}: {self.found}; accepted: {self.accepted}"


@dataclass(frozen=True, slots=True)
class TradeLog:
    """What the bot's own log says of one session.

    `legs` is None when no file was found or none could be read: that is unknown. An empty tuple is a log without trades.
    `other_rows` counts rows read and set aside with reason: another day, an event that is no fill, a refused order.
    """

    legs: tuple[Leg, ...] | None
    faults: tuple[RowFault, ...] = ()
    files: tuple[str, ...] = ()
    other_rows: int = 0
