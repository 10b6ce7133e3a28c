"""What the feed asks its caller to do. Nothing here is done yet; `monitor` performs them in the order given."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from runbook.feed.table import Cause, Mode
from runbook.market import Instrument

Evidence = Mapping[str, object]  # plain values that json.dumps takes


@dataclass(frozen=True, slots=True)
class Connect:
    """Open a new connection under this generation number."""

    generation: int
    reason: str


@dataclass(frozen=True, slots=True)
class Resubscribe:
    """Subscribe all once more on the open socket; `authenticate` before it, which cures a broker login under our feet."""

    reason: str
    authenticate: bool = True


@dataclass(frozen=True, slots=True)
class Follow:
    """Subscribe these on the open socket, beside what is subscribed."""

    instruments: tuple[Instrument, ...]


@dataclass(frozen=True, slots=True)
class CloseStream:
    """Close the connection; nothing more of its generation is wanted."""

    reason: str


@dataclass(frozen=True, slots=True)
class VerifyBroker:
    """Ask for one quote over REST and answer with BrokerChecked."""


@dataclass(frozen=True, slots=True)
class ProbeCanaries:
    """Read these once over REST and answer with Probed."""

    instruments: tuple[Instrument, ...]


@dataclass(frozen=True, slots=True)
class AskCandle:
    """Ask for the newest 1-minute candle of `instrument` and answer with CandleSeen."""

    instrument: Instrument


@dataclass(frozen=True, slots=True)
class StartPolling:
    """Poll all instruments over REST, at once and then every `interval` seconds."""

    interval: float


@dataclass(frozen=True, slots=True)
class SetPollInterval:
    """Poll every `interval` seconds from now on; a poller that sleeps longer than that wakes up."""

    interval: float


@dataclass(frozen=True, slots=True)
class StopPolling:
    """Stop polling."""


@dataclass(frozen=True, slots=True)
class Note:
    """A line for the log."""

    text: str


@dataclass(frozen=True, slots=True)
class Paused:
    """runbook itself did not run for `seconds`; no silence of that time is held against the feed."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Transition:
    """A change of mode; `at` is in seconds of `Clock.monotonic`.

    `outage` numbers the incident it belongs to (0: none): all transitions from the first doubt to the return share it.
    `hint` is what a person can do, or empty.
    """

    before: Mode
    after: Mode
    cause: Cause
    at: float
    reason: str
    evidence: Evidence = field(default_factory=dict)
    hint: str = ""
    outage: int = 0

    @property
    def recovered(self) -> bool:
        """True when the socket has its trust back; leaving an outage because the session ends is no recovery."""
        return self.after is Mode.LIVE and self.outage > 0


@dataclass(frozen=True, slots=True)
class Announce:
    """Record this transition and tell whom it concerns."""

    transition: Transition


@dataclass(frozen=True, slots=True)
class SymbolTurned:
    """One instrument stopped ticking while the others go on (`over` False), or ticks again; `at` as in Transition.

    `ended`: it is over because nothing is promised any more, and nobody knows if it would tick.
    """

    instrument: Instrument
    at: float
    over: bool
    reason: str
    hint: str = ""
    ended: bool = False


Action = (
    Connect
    | Resubscribe
    | Follow
    | CloseStream
    | VerifyBroker
    | ProbeCanaries
    | AskCandle
    | SymbolTurned
    | StartPolling
    | SetPollInterval
    | StopPolling
    | Note
    | Paused
    | Announce
)
