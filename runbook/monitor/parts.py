"""What the monitor is made of, and what others see of it."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from runbook.clock import Clock
from runbook.engine import CauseNews, FeedNews, FeedTotals
from runbook.feed import price
from runbook.feed.policy import Policy
from runbook.feed.state import State, source
from runbook.feed.table import Mode
from runbook.market import Instrument, Quote, Source, Tick
from runbook.ports import Gateway, TickStream
from runbook.session import Session

log = logging.getLogger(__name__)

EVALUATE = 1.0  # seconds
MOST_WATCHED = 50  # one multiquotes call reads as many
LINGER = timedelta(minutes=2)  # after the close, before the socket is given back


class Keeper(Protocol):
    """Where ticks are kept; see adapters/recorder."""

    dropped: int
    written: int
    fault: str | None

    def record(self, source: Source, value: Tick | Quote, received_at: datetime) -> bool: ...
    def close(self, timeout: float = 5.0) -> bool: ...


class NoKeeper:
    """A Keeper that keeps nothing: for who asked for no files."""

    dropped = 0
    written = 0
    fault: str | None = None

    def record(self, source: Source, value: Tick | Quote, received_at: datetime) -> bool:  # noqa: ARG002 - a Keeper's form
        return True

    def close(self, timeout: float = 5.0) -> bool:  # noqa: ARG002 - likewise
        return True


@dataclass(frozen=True, slots=True)
class FeedParts:
    """What the monitor is made of; `app` puts it together. `quiet` names what promises no ticks at an instant."""

    clock: Clock
    stream: TickStream
    gateway: Gateway
    policy: Policy
    recorder: Callable[[Session], Keeper]
    post: Callable[[FeedNews | FeedTotals | CauseNews], None]
    mode: str
    say: Callable[[str], None] = log.info
    quiet: Callable[[datetime, Sequence[Instrument]], frozenset[Instrument]] = lambda _now, _all: frozenset()
    over: Callable[[Session], object] = lambda _session: None  # called once when a session has ended by itself
    publish: Callable[[Sequence[price.Price]], None] = lambda _prices: None  # what may be handed on; must not block
    listened: Callable[[], bool] = lambda: True  # False: nobody is there to publish to, and no price need be made
    publish_status: Callable[[price.FeedStatus], None] = lambda _status: None


@dataclass(frozen=True, slots=True)
class Watching:
    """How the feed stands, for steps and screens."""

    running: bool
    state: State | None
    at: float
    session: Session | None

    @property
    def mode(self) -> Mode:
        return self.state.mode if self.state else Mode.OFF

    @property
    def source(self) -> Source | None:
        return source(self.state) if self.state else None


def watched(instruments: Iterable[Instrument]) -> str:
    return ", ".join(i.symbol for i in instruments)
