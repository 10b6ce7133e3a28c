"""The state of the simulated OpenAlgo: what its REST side and its stream both look at."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

from runbook.clock import Clock
from runbook.market import Instrument
from runbook.simulator.book import Book
from runbook.simulator.contracts import Contract
from runbook.simulator.faults import Fault, Faults
from runbook.simulator.market import Day, Market, Window

BROKER = "angel"
USER = "trader"
_CALLS_KEPT = 20_000
_BROKER_SILENT = (Fault.TOKEN_DEAD, Fault.BROKER_502, Fault.BROKER_LIMITED, Fault.EMPTY_SUCCESS, Fault.ZERO)


class Call(NamedTuple):
    """One thing that was asked: over REST by its method and path, over the stream as WS and its action."""

    at: datetime
    method: str
    path: str


class OpenAlgo:
    """One server: its key, its mode, its broker session, its books, and the faults that are on."""

    def __init__(self, clock: Clock, seed: int, sessions: Sequence[Window], *, analyze: bool) -> None:
        self.clock = clock
        self.seed = seed
        self.market = Market(seed, sessions, clock.now())
        self.faults = Faults()
        self.api_key = hashlib.sha256(f"openalgo key {seed}".encode()).hexdigest()
        self.paper = Book(seed, self.market, self._tradable, digits=8)
        self.live = Book(seed + 1, self.market, self._tradable, digits=9)
        self.calls: deque[Call] = deque(maxlen=_CALLS_KEPT)
        self._analyze = analyze
        self.analyzer_logs = 0

    def now(self) -> datetime:
        return self.clock.now()

    def note(self, method: str, path: str) -> None:
        self.calls.append(Call(self.now(), method, path))

    # -- who may ask -------------------------------------------------------------------------------------------------

    def knows_key(self, key: object) -> bool:
        return key == self.api_key and Fault.WRONG_KEY not in self.faults

    def admits(self, key: object) -> bool:
        """A right key and a broker session; from outside the two cannot be told apart."""
        return self.knows_key(key) and Fault.SESSION_REVOKED not in self.faults

    @property
    def analyze(self) -> bool:
        return self._analyze != (Fault.WRONG_MODE in self.faults)

    def set_analyze(self, analyze: bool) -> None:
        self._analyze = analyze != (Fault.WRONG_MODE in self.faults)

    @property
    def book(self) -> Book:
        return self.paper if self.analyze else self.live

    # -- what the broker says over REST ------------------------------------------------------------------------------

    def contract(self, instrument: Instrument) -> Contract | None:
        return None if Fault.SYMBOLS_GONE in self.faults else self.market.contract(instrument)

    def rest_instant(self) -> datetime:
        """The instant whose prices REST shows: now, or when it froze."""
        return self.faults.since(Fault.FROZEN, Fault.FROZEN_ALL) or self.now()

    def day(self, instrument: Instrument) -> Day:
        return self.market.day_at(instrument, self.rest_instant())

    def _tradable(self, instrument: Instrument) -> Day | None:
        """The quote the paper engine fills at, or None when the broker gives it none."""
        if self.faults.any(*_BROKER_SILENT) or self.contract(instrument) is None:
            return None
        return self.day(instrument)
