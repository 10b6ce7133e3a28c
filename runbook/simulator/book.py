"""The order book behind the simulated server: orders, trades and positions of one day, and the engine that fills them."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from enum import StrEnum

from runbook.market import Instrument
from runbook.simulator.contracts import Contract
from runbook.simulator.market import IST, Day, Market

_ROLLOVER = timedelta(hours=3)  # a book's day begins at 03:00 IST
_LOOK_BACK = 3_600  # seconds of prices an order is checked against after a jump of the clock
_CAPITAL = 10_000_000.0


class Status(StrEnum):
    OPEN = "open"
    TRIGGER_PENDING = "trigger pending"
    COMPLETE = "complete"
    CANCELLED = "cancelled"
    REJECTED = "rejected"


@dataclass(slots=True)
class Order:
    """One order. `price` is what the book prints: the limit, or for MARKET the last price when it was placed."""

    id: str
    instrument: Instrument
    action: str
    quantity: int
    pricetype: str
    product: str
    price: float
    trigger: float
    strategy: str
    placed: datetime
    status: Status = Status.OPEN
    average: float = 0.0
    filled: int = 0
    reason: str = ""
    looked: datetime | None = None  # prices up to here have been tried

    @property
    def is_buy(self) -> bool:
        return self.action == "BUY"

    @property
    def pending(self) -> int:
        return self.quantity - self.filled if self.status in (Status.OPEN, Status.TRIGGER_PENDING) else 0


@dataclass(frozen=True, slots=True)
class Trade:
    """One fill."""

    id: str
    order: Order
    price: float
    at: datetime


@dataclass(slots=True)
class Position:
    """What is held of one instrument in one product; `mark` is the last price seen."""

    instrument: Instrument
    product: str
    quantity: int = 0
    average: float = 0.0
    mark: float = 0.0
    realized: dict[date, float] = field(default_factory=dict)
    touched: date | None = None

    @property
    def unrealized(self) -> float:
        return round((self.mark - self.average) * self.quantity, 2) if self.quantity else 0.0

    def apply(self, action: str, quantity: int, price: float, day: date) -> None:
        """Add a fill; what closes realises, what is left over opens the other way round."""
        signed = quantity if action == "BUY" else -quantity
        if self.quantity * signed < 0:
            closed = min(abs(self.quantity), quantity)
            side = 1 if self.quantity > 0 else -1
            gain = (price - self.average) * closed * side
            self.realized[day] = round(self.realized.get(day, 0.0) + gain, 2)
        total = self.quantity + signed
        if total == 0:
            self.average = 0.0
        elif self.quantity * total < 0:
            self.average = price
        elif abs(total) > abs(self.quantity):
            self.average = round((self.average * abs(self.quantity) + price * quantity) / abs(total), 4)
        self.quantity = total
        self.mark = price
        self.touched = day


@dataclass(frozen=True, slots=True)
class Ticket:
    """What a caller asks for."""

    instrument: Instrument
    action: str
    quantity: int
    pricetype: str = "MARKET"
    product: str = "MIS"
    price: float = 0.0
    trigger: float = 0.0
    strategy: str = ""


class Refused(Exception):
    """The order is refused; `order_id` is there when the refusal left a row in the book."""

    def __init__(self, why: str, order_id: str | None = None) -> None:
        super().__init__(why)
        self.order_id = order_id


def book_day(when: datetime) -> date:
    return (when.astimezone(IST) - _ROLLOVER).date()


class Book:
    """Orders, trades and positions. `quote` gives the day's figures of an instrument, or None when the broker is dumb.

    Safe from any thread: the server's loop fills while a test looks.
    """

    def __init__(
        self,
        seed: int,
        market: Market,
        quote: Callable[[Instrument], Day | None],
        digits: int,
        capital: float = _CAPITAL,
    ) -> None:
        self._random = random.Random(f"orders {seed}")
        self._market = market
        self._quote = quote
        self._digits = digits
        self.capital = capital
        self.orders: list[Order] = []
        self.trades: list[Trade] = []
        self.positions: dict[tuple[Instrument, str], Position] = {}
        self.listeners: list[Callable[[Order, float], None]] = []
        self.first_used: datetime | None = None
        self.lock = threading.RLock()

    # -- orders ------------------------------------------------------------------------------------------------------

    def place(self, ticket: Ticket, now: datetime) -> Order:
        """Accept an order and fill it when it can be; Refused says why not, in the server's words."""
        with self.lock:
            contract = self._market.contract(ticket.instrument)
            if contract is None:
                raise Refused(f"Symbol {ticket.instrument.symbol} not found on {ticket.instrument.exchange}")
            _check_form(ticket, contract)
            day = self._quote(ticket.instrument)
            held = self.positions.get((ticket.instrument, ticket.product))
            price = ticket.price if ticket.pricetype in ("LIMIT", "SL") else 0.0
            if ticket.pricetype == "MARKET":
                price = self._market_price(ticket, day, held)
            order = self._new(ticket, price, now)
            if ticket.product == "CNC" and not order.is_buy and (held is None or held.quantity < ticket.quantity):
                order.status, order.reason = Status.REJECTED, _no_shares(ticket.instrument.symbol)
                self.orders.append(order)
                raise Refused(order.reason, order.id)
            self._check_funds(order, contract, price or ticket.trigger, held)
            if ticket.pricetype in ("SL", "SL-M"):
                order.status = Status.TRIGGER_PENDING
            self.orders.append(order)
            self._tell(order, order.price)
            if day is not None:
                self._try_at_once(order, day, now)
            return order

    def enter(self, ticket: Ticket, price: float, when: datetime, order_id: str | None = None) -> Order:
        """Write a filled order straight into the book, as somebody who traded elsewhere would leave it."""
        with self.lock:
            order = self._new(ticket, ticket.price, when)
            if order_id is not None:
                order.id = order_id
            self.orders.append(order)
            self._fill(order, price, when)
            return order

    def cancel(self, order_id: str) -> bool:
        with self.lock:
            for order in self.orders:
                if order.id == order_id and order.pending:
                    order.status = Status.CANCELLED
                    self._tell(order, order.price)
                    return True
            return False

    def match(self, now: datetime) -> None:
        """Fill what the prices since the last look have touched; nothing while the broker gives no quote."""
        with self.lock:
            for order in self.orders:
                if not order.pending:
                    continue
                day = self._quote(order.instrument)
                if day is None:
                    order.looked = now
                elif order.pricetype == "MARKET":
                    self._fill(order, _side(order, day), now)
                else:
                    self._walk(order, now)

    def _walk(self, order: Order, now: datetime) -> None:
        since = max(order.looked or order.placed, now - timedelta(seconds=_LOOK_BACK))
        at = since + timedelta(seconds=1)
        while at <= now:
            price = self._market.price_at(order.instrument, at)
            if order.pricetype == "LIMIT" and _reached(order, price):
                self._fill(order, order.price, at)
                return
            if order.pricetype in ("SL", "SL-M") and _triggered(order, price):
                self._fill(order, price, at)
                return
            order.looked = at
            at += timedelta(seconds=1)

    def _try_at_once(self, order: Order, day: Day, now: datetime) -> None:
        if order.pricetype == "MARKET":
            self._fill(order, _side(order, day), now)
        elif order.pricetype == "LIMIT" and _reached(order, day.ltp):
            self._fill(order, day.ltp, now)

    def _fill(self, order: Order, price: float, at: datetime) -> None:
        order.status, order.average, order.filled = Status.COMPLETE, price, order.quantity
        stamp = at.astimezone(IST)
        self.trades.append(Trade(f"TRADE-{stamp:%Y%m%d-%H%M%S}-{self._random.getrandbits(32):08x}", order, price, at))
        key = (order.instrument, order.product)
        position = self.positions.setdefault(key, Position(*key))
        position.apply(order.action, order.quantity, price, book_day(at))
        self._tell(order, price)

    def _new(self, ticket: Ticket, price: float, now: datetime) -> Order:
        if self.first_used is None:
            self.first_used = now
        number = self._random.randrange(10**self._digits)
        return Order(
            f"{now.astimezone(IST):%y%m%d}{number:0{self._digits}d}",
            ticket.instrument, ticket.action.upper(), ticket.quantity, ticket.pricetype, ticket.product,
            price, ticket.trigger, ticket.strategy, now, looked=now,
        )  # fmt: skip

    def _tell(self, order: Order, price: float) -> None:
        for listener in tuple(self.listeners):
            listener(order, price)

    def _market_price(self, ticket: Ticket, day: Day | None, held: Position | None) -> float:
        if day is not None:
            return day.ltp
        if held is not None and held.quantity:
            return held.mark
        raise Refused(
            f"Cannot place MARKET order for {ticket.instrument.symbol} - unable to fetch current price. "
            "Please try again later or use LIMIT order with a specific price."
        )

    # -- what is left of a day ---------------------------------------------------------------------------------------

    def orders_of(self, day: date) -> list[Order]:
        """Newest first."""
        with self.lock:
            return [o for o in reversed(self.orders) if book_day(o.placed) == day]

    def trades_of(self, day: date) -> list[Trade]:
        """Newest first."""
        with self.lock:
            return [t for t in reversed(self.trades) if book_day(t.at) == day]

    def positions_of(self, day: date) -> list[Position]:
        """Open ones, and those closed on that day; marked at the present price where the broker gives one."""
        with self.lock:
            found = [p for p in self.positions.values() if p.quantity or p.touched == day]
            for position in found:
                quote = self._quote(position.instrument)
                if quote is not None:
                    position.mark = quote.ltp
            return found

    def used_margin(self) -> float:
        total = 0.0
        for p in self.positions.values():
            contract = self._market.contract(p.instrument)
            if contract is not None:
                total += abs(p.quantity) * p.average / _leverage(contract, p.product)
        return round(total, 2)

    def realized(self, day: date | None = None) -> float:
        """Realised profit of one day, or of all."""
        rows = (amount for p in self.positions.values() for d, amount in p.realized.items() if day in (None, d))
        return round(sum(rows, 0.0), 2)

    def available(self) -> float:
        return round(self.capital + self.realized() - self.used_margin(), 2)

    def _check_funds(self, order: Order, contract: Contract, price: float, held: Position | None) -> None:
        closing = held is not None and held.quantity * (1 if order.is_buy else -1) < 0
        needed = round(order.quantity * price / _leverage(contract, order.product), 2)
        short = round(needed - self.available(), 2)
        if short > 0 and not closing:
            raise Refused(
                f"Insufficient funds. Required: ₹{needed:.2f}, Available: ₹{self.available():.2f}, Shortage: ₹{short:.2f}"
            )


def _check_form(ticket: Ticket, contract: Contract) -> None:
    exchange = ticket.instrument.exchange
    if contract.is_derivative and ticket.quantity % contract.lot:
        raise Refused(f"Quantity must be in multiples of lot size {contract.lot}")
    if exchange in ("NSE", "BSE") and ticket.product == "NRML":
        raise Refused(
            f"NRML product not allowed for {exchange} equity segment. Use CNC for delivery or MIS for intraday."
        )
    if contract.is_derivative and ticket.product == "CNC":
        raise Refused(f"CNC product not allowed for {exchange} segment. Use NRML for overnight or MIS for intraday.")


def _no_shares(symbol: str) -> str:
    return (
        f"Cannot sell {symbol} in CNC. No positions or holdings available. "
        "CNC (delivery) requires existing shares. Use MIS for intraday short selling."
    )


def _leverage(contract: Contract, product: str) -> float:
    if contract.is_derivative:
        return 10.0 if contract.kind == "FUT" else 1.0
    return 5.0 if product == "MIS" else 1.0


def _side(order: Order, day: Day) -> float:
    return (day.ask if order.is_buy else day.bid) or day.ltp


def _reached(order: Order, price: float) -> bool:
    return price <= order.price if order.is_buy else price >= order.price


def _triggered(order: Order, price: float) -> bool:
    return price >= order.trigger if order.is_buy else price <= order.trigger
