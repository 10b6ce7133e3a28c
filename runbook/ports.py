"""All that runbook asks of the world, on one page. Doors in `adapters/` implement these; nouns never see a door."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol
from uuid import UUID

from runbook.budget import Budget
from runbook.feed.events import StreamEvent
from runbook.market import Instrument, Quote
from runbook.phone import Batch, Keyboard

if TYPE_CHECKING:
    from runbook.command import Ended


class GatewayMode(StrEnum):
    """The one global switch of OpenAlgo: where an order sent to it would go."""

    LIVE = "live"
    ANALYZE = "analyze"


@dataclass(frozen=True, slots=True)
class Listing:
    """A row of the master contract, as `search` gives it. `expiry` is None for what does not expire."""

    instrument: Instrument
    name: str
    kind: str  # OpenAlgo's instrumenttype: FUT, CE, PE, EQ, AMXIDX ...
    expiry: date | None
    lot_size: int
    tick_size: float


@dataclass(frozen=True, slots=True)
class Fill:
    """A row of the trade book. `price` is in rupees, `quantity` in units; `time` is what the gateway printed.

    `at` is the instant `time` means, where it can be told: analyzer stamps are IST, a live stamp may lack its date.
    """

    order_id: str
    instrument: Instrument
    action: str  # BUY | SELL
    quantity: int
    price: float
    product: str
    time: str
    at: datetime | None
    strategy: str | None = None  # live books carry none
    trade_id: str | None = None


@dataclass(frozen=True, slots=True)
class Position:
    """A row of the position book; quantity 0 is a position closed today. `pnl` is the gateway's own figure."""

    instrument: Instrument
    product: str
    quantity: int
    average_price: float
    ltp: float
    pnl: float


@dataclass(frozen=True, slots=True)
class Order:
    """A row of the order book."""

    order_id: str
    instrument: Instrument
    action: str
    quantity: int
    status: str  # open | trigger pending | complete | cancelled | rejected
    product: str
    time: str
    strategy: str | None = None


@dataclass(frozen=True, slots=True)
class PositionBook:
    """The position book; `mode` is what the answer itself is tagged with. `pnl_today` only where the gateway gives a total."""

    mode: GatewayMode
    rows: tuple[Position, ...]
    pnl_today: float | None = None


@dataclass(frozen=True, slots=True)
class Candle:
    """The newest candle; `start` is exchange time, the only one REST gives."""

    start: datetime
    close: float


class Gateway(Protocol):
    """OpenAlgo over REST, read-only. Each call takes a Budget and raises a GatewayError that names the fault.

    Empty with success is not an answer where content is due: funds `{}` raises BrokerTokenDead.
    """

    def health(self, budget: Budget) -> str:
        """The status word of /health/status; needs no key, proves only that the server is up."""
        ...

    def ping(self, budget: Budget) -> str:
        """The broker's name; proves server, key and a broker session row, never the broker itself."""
        ...

    def mode(self, budget: Budget) -> GatewayMode: ...
    def quote(self, instrument: Instrument, budget: Budget) -> Quote: ...
    def quotes(
        self, instruments: Sequence[Instrument], budget: Budget
    ) -> tuple[tuple[Quote, ...], tuple[tuple[Instrument, str], ...]]:
        """One multiquotes call for at most 50 names: (quotes, (name, fault) for each that has none)."""
        ...

    def funds(self, budget: Budget) -> Mapping[str, float]: ...
    def orders(self, budget: Budget) -> tuple[GatewayMode, tuple[Order, ...]]: ...
    def trades(self, budget: Budget) -> tuple[GatewayMode, tuple[Fill, ...]]: ...
    def positions(self, budget: Budget) -> PositionBook: ...
    def search(self, query: str, exchange: str, budget: Budget) -> tuple[Listing, ...]: ...
    def last_candle(self, instrument: Instrument, day: date, budget: Budget) -> Candle | None:
        """The newest 1-minute candle of `day`, or None when the broker gave none."""
        ...


@dataclass(frozen=True, slots=True)
class OpenHours:
    """When one exchange trades on a day, as the gateway's own calendar has it; both ends are aware."""

    exchange: str
    start: datetime
    end: datetime


@dataclass(frozen=True, slots=True)
class HolidayRow:
    """One row of the gateway's holiday list. An exchange that is in neither `closed` nor `opens` is not spoken of."""

    date: date
    name: str
    kind: str  # TRADING_HOLIDAY | SETTLEMENT_HOLIDAY | SPECIAL_SESSION
    closed: tuple[str, ...]
    opens: tuple[OpenHours, ...]


class MarketCalendar(Protocol):
    """OpenAlgo's own calendar over REST: a second opinion, never the authority. Raises a GatewayError as Gateway does."""

    def holidays(self, year: int, budget: Budget) -> tuple[HolidayRow, ...]:
        """The list of a year; a year that nobody entered has no rows, which says nothing about it."""
        ...

    def timings(self, day: date, budget: Budget) -> tuple[OpenHours, ...]:
        """Who trades on `day`. The hours come from one table without dates, and are shifted by the server's zone."""
        ...


class TickStream(Protocol):
    """OpenAlgo's WebSocket: one connection at a time, each with a generation number of its own."""

    def connect(self, generation: int, instruments: Sequence[Instrument], emit: Callable[[StreamEvent], None]) -> None:
        """Begin to connect, authenticate and subscribe in a thread of its own; everything that happens is emitted."""
        ...

    def resubscribe(self, *, authenticate: bool = True) -> None:
        """Subscribe all again on the open socket; with `authenticate` before it, which cures a broker re-login.

        Emits Subscribed. Without authentication OpenAlgo may refuse, since the adapter behind us is gone: SubscriptionLost.
        """
        ...

    def follow(self, instruments: Sequence[Instrument]) -> None:
        """Subscribe further instruments on the open connection and leave the others alone; emits Subscribed for those
        that are new, at once for none. Before the first subscription they join it; `resubscribe` includes them.
        """
        ...

    def hurry(self, on: bool) -> None:
        """True: emit each tick the moment it comes. False, as at first: in batches, which costs a fraction of the CPU."""
        ...

    def drop(self) -> None:
        """Let the connection go and return at once: nothing more of its generation is emitted, its thread ends it."""
        ...

    def close(self) -> None:
        """Drop the connection and wait until it is gone; never blocks longer than 5 s."""
        ...


class Delivery(StrEnum):
    """What became of one send to one channel. UNKNOWN: it may have arrived."""

    SENT = "sent"
    FAILED = "failed"
    UNKNOWN = "unknown"
    MISCONFIGURED = "misconfigured"


@dataclass(frozen=True, slots=True)
class Message:
    """What a person reads: plain text; a door escapes it for its channel and cuts it to the channel's length.

    `about` are the keys of what it tells of, for a channel that can offer buttons; they are no part of the message itself.
    """

    title: str
    body: str
    about: tuple[str, ...] = field(default=(), compare=False)


class Switch(Protocol):
    """A dead-man's switch outside, which raises its alarm when it hears nothing; checks are known by name."""

    def ping(self, check: str, signal: str, body: str, run: UUID | None = None) -> str:
        """Say `signal` ("" success, start, fail); gives "" when it was taken, else why not, without a secret."""
        ...

    def close(self) -> None:
        """Give up what is under way; from another thread than that which pings."""
        ...


class Notifier(Protocol):
    """Sends one message to one channel, and says what became of it; never raises for a channel's failure."""

    def send(self, channel: str, message: Message, timeout: float) -> tuple[Delivery, str]:
        """(what became of it, why in one line without secrets); blocks at most `timeout` real seconds."""
        ...

    def close(self) -> None: ...


class Commands(Protocol):
    """Runs one command in a process group of its own, never through a shell; any thread may."""

    def run(
        self, argv: Sequence[str], timeout: float, stop: threading.Event | None = None, env: Sequence[str] = ()
    ) -> Ended:
        """Blocks at most `timeout` real seconds and some for its end; `stop` ends it early. Never raises for what it does."""
        ...

    def close(self) -> None:
        """End whatever runs, with all it started."""
        ...

    def kill(self) -> None:
        """The same without a moment's grace, for a process that is about to end itself."""
        ...


class Telephone(Protocol):
    """A bot that people talk to. Every call raises a PhoneError that says whose fault it is."""

    def name(self) -> str:
        """What the bot is called, without the @."""
        ...

    def listen(self, after: int | None, seconds: float) -> Batch:
        """What was said since; waits for it at most `seconds`. `after` confirms all before it: they never come again."""
        ...

    def say(self, chat: int, text: str, keyboard: Keyboard = (), reply_to: int = 0) -> None: ...
    def answer(self, press: str, text: str) -> None:
        """The short word that shows on top of the chat after a press."""
        ...

    def buttons(self, chat: int, message: int, keyboard: Keyboard) -> None:
        """Put these buttons under a message in place of those that are there."""
        ...

    def close(self) -> None:
        """End every call under way within a second, and refuse further ones."""
        ...
