"""What one look at the world brought back, as plain values; nothing here judges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from runbook.bot import Judged
from runbook.errors import RunbookError
from runbook.market import Instrument, Quote, Tick
from runbook.session import PhaseName


class Reach(StrEnum):
    """What became of one TCP connection."""

    OPEN = "open"
    REFUSED = "refused"
    TIMEOUT = "timeout"
    NO_NAME = "no_name"  # the host's name has no address
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Knock:
    """One TCP connection to `address` (host:port), closed again at once; `seconds` it took."""

    address: str
    reach: Reach
    seconds: float = 0.0
    said: str = ""  # the system's own words where it failed


@dataclass(frozen=True, slots=True)
class Daemon:
    """`runbook serve` as far as the ledger, the lock and the pulse file tell.

    `ledger` is why the database cannot be read, "" when it can. `locked`: a process holds the daemon's lock now.
    `pulse_age` is the age of its last sign of life in seconds, None where there is none. `orphaned`: it ended without
    giving its lease back.
    """

    ledger: str = ""
    ledger_hint: str = ""
    locked: bool = False
    pid: int | None = None
    pulse_age: float | None = None
    orphaned: bool = False
    last: datetime | None = None
    watching: bool = False


@dataclass(frozen=True, slots=True)
class Clocks:
    """OpenAlgo's `Date` header beside our clock; `ahead` is ours minus theirs in seconds. The header knows whole seconds only."""

    ahead: float


@dataclass(frozen=True, slots=True)
class Market:
    """What the calendar promises now. `due`: a canary must move; `known`: the calendar knows today."""

    phase: PhaseName
    due: bool
    words: str
    known: bool = True
    opened: datetime | None = None


@dataclass(frozen=True, slots=True)
class Read:
    """One multiquotes call: when it was answered (host seconds), the quotes, and the names without one."""

    at: float
    quotes: tuple[Quote, ...]
    faults: tuple[tuple[Instrument, str], ...] = ()


@dataclass(frozen=True, slots=True)
class RestSeen:
    """What REST answered, call by call; None: not asked. An error stands where its answer would."""

    health: str | RunbookError | None = None
    broker: str | RunbookError | None = None  # ping
    mode: str | RunbookError | None = None
    reads: tuple[Read, ...] = ()
    quotes_error: RunbookError | None = None
    candle: datetime | None = None
    candle_asked: bool = False
    candle_error: str = ""
    unresolved: tuple[str, ...] = ()

    @property
    def refused_key(self) -> RunbookError | None:
        """The 401 or 403 after which nothing more was asked."""
        return self.broker if isinstance(self.broker, RunbookError) else None


@dataclass(slots=True)
class Line:
    """The ticks of one instrument while we listened; `moves` as the feed counts them."""

    ticks: int = 0
    moves: int = 0
    last: Tick | None = None
    ltt_moved: bool = False


@dataclass(frozen=True, slots=True)
class StreamSeen:
    """What the stream did, on a connection of our own or on the daemon's.

    `seconds` is how long ticks were listened for. `refused_port`: nothing listens there.
    """

    whose: str  # "own connection" | "daemon"
    connected: bool = False
    authenticated: bool = False
    broker: str = ""
    accepted: int | None = None  # symbols; None: not acknowledged
    refused: tuple[str, ...] = ()
    seconds: float = 0.0
    lines: Mapping[str, Line] = field(default_factory=dict)
    fault: str = ""
    hint: str = ""
    refused_port: bool = False
    closed: bool = False
    garbage: int = 0

    @property
    def ticks(self) -> int:
        return sum(line.ticks for line in self.lines.values())

    @property
    def moves(self) -> int:
        return sum(line.moves for line in self.lines.values())

    @property
    def rate(self) -> float:
        """Ticks a second while we listened."""
        return self.ticks / self.seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Seen:
    """Everything one walk saw. `rest` or `stream` None: not reached, for the reason in `skipped`."""

    daemon: Daemon
    market: Market
    rest_knock: Knock
    stream_knock: Knock
    rest: RestSeen
    stream: StreamSeen | None
    skipped: str = ""
    clocks: Clocks | None = None
    declared_mode: str = ""
    canaries: tuple[Instrument, ...] = ()
    bot: Judged | None = None
