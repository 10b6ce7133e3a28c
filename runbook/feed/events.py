"""What the feed can be told. Times are seconds of `Clock.monotonic`; a generation counts our connections from 1."""

from __future__ import annotations

from dataclasses import dataclass

from runbook.market import Instrument, Quote, Tick


@dataclass(frozen=True, slots=True)
class Connected:
    """The socket is open and OpenAlgo accepted the key. It proves nothing of the broker's own feed."""

    generation: int
    broker: str


@dataclass(frozen=True, slots=True)
class Subscribed:
    """OpenAlgo acknowledged a subscription. An acknowledgement is not a tick."""

    generation: int
    accepted: tuple[Instrument, ...]
    refused: tuple[tuple[Instrument, str], ...] = ()


@dataclass(frozen=True, slots=True)
class TickReceived:
    """A parsed tick with a usable price, received at `at`."""

    generation: int
    tick: Tick
    at: float


@dataclass(frozen=True, slots=True)
class Ticks:
    """What one read of the socket brought, in order, each with a usable price; all of it was received at `at`."""

    generation: int
    ticks: tuple[Tick, ...]
    at: float


@dataclass(frozen=True, slots=True)
class OrderSeen:
    """OpenAlgo told of an order in `instrument`, whoever sent it; nothing else of the order is kept."""

    generation: int
    instrument: Instrument


@dataclass(frozen=True, slots=True)
class Garbage:
    """A frame that is no tick we can use: counted and shown, never a price."""

    generation: int
    what: str


@dataclass(frozen=True, slots=True)
class Closed:
    """The socket is gone, whoever closed it; `code` is the close code where one was sent."""

    generation: int
    reason: str
    code: int | None = None


@dataclass(frozen=True, slots=True)
class ConnectFailed:
    """Connecting, authenticating or subscribing failed. `refused` is True when nothing listens on the port.

    `asked` is the request that was refused, `authenticate` or `subscribe`; empty when it did not come so far.
    """

    generation: int
    reason: str
    refused: bool = False
    hint: str | None = None
    asked: str = ""


@dataclass(frozen=True, slots=True)
class SubscriptionLost:
    """OpenAlgo refused to subscribe again on a connection that it had accepted: the adapter behind it is gone.

    The connection lives on; to authenticate again is the cure.
    """

    generation: int
    reason: str
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class Polled:
    """One multiquotes answer, received at `at`; names without a usable quote are in `faults` with the reason."""

    quotes: tuple[Quote, ...]
    at: float
    faults: tuple[tuple[Instrument, str], ...] = ()


@dataclass(frozen=True, slots=True)
class PollFailed:
    """REST gave no quotes at all."""

    reason: str
    at: float
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class Probed:
    """The answer to ProbeCanaries, received at `at`. `reason` says why there was none at all."""

    quotes: tuple[Quote, ...]
    at: float
    faults: tuple[tuple[Instrument, str], ...] = ()
    reason: str | None = None
    hint: str | None = None


@dataclass(frozen=True, slots=True)
class CandleSeen:
    """The newest 1-minute candle over REST: it began `age` seconds before `at`; None when the broker gave none."""

    at: float
    age: float | None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class BrokerChecked:
    """The broker was asked over REST before a fallback: `ok` when a usable quote came back."""

    ok: bool
    reason: str
    at: float


StreamEvent = (
    Connected | Subscribed | SubscriptionLost | TickReceived | Ticks | OrderSeen | Garbage | Closed | ConnectFailed
)
Event = StreamEvent | Polled | PollFailed | Probed | CandleSeen | BrokerChecked
