"""OpenAlgo's stream: one connection at a time, each with its generation."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from urllib.parse import urlsplit

from runbook.adapters.ticks.dialogue import Dialogue
from runbook.adapters.ticks.link import Emit, Link, Patience
from runbook.clock import Clock
from runbook.errors import UsageError
from runbook.market import Instrument

_DEFAULT = Patience()


class OpenAlgoStream:
    """`ports.TickStream` over OpenAlgo's WebSocket proxy, at `url` such as ws://127.0.0.1:8765.

    With `orders` it also asks to be told of orders, and emits OrderSeen for each change of one.
    """

    def __init__(
        self, url: str, api_key: str, clock: Clock, patience: Patience = _DEFAULT, *, orders: bool = False
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"ws", "wss"} or not parts.hostname:
            raise UsageError("the stream's address is not one of ws:// or wss://", hint="e.g. ws://127.0.0.1:8765")
        self._url = url
        self._key = api_key
        self._clock = clock
        self._patience = patience
        self._orders = orders
        self._hurried = False
        self._lock = threading.Lock()
        self._link: Link | None = None

    def __repr__(self) -> str:
        parts = urlsplit(self._url)
        return f"OpenAlgoStream({parts.scheme}://{parts.hostname})"

    def connect(self, generation: int, instruments: Sequence[Instrument], emit: Emit) -> None:
        dialogue = Dialogue(generation, instruments, self._key, orders=self._orders)
        link = Link(self._url, generation, dialogue, self._clock, self._patience, emit, hurried=self._hurried)
        with self._lock:
            old, self._link = self._link, link
        if old is not None:
            old.silence()
        link.start()

    def resubscribe(self, *, authenticate: bool = True) -> None:
        """As the port says; a refusal to authenticate is emitted as ConnectFailed and ends the generation."""
        if link := self._held():
            link.ask_again(authenticate=authenticate)

    def follow(self, instruments: Sequence[Instrument]) -> None:
        """As the port says; without a connection there is nothing to follow on. OpenAlgo's refusal is in Subscribed."""
        if link := self._held():
            link.follow(instruments)

    def hurry(self, on: bool) -> None:
        self._hurried = on
        if link := self._held():
            link.hurry(on)

    def drop(self) -> None:
        self._let_go()

    def close(self) -> None:
        link = self._let_go()
        if link is not None:
            link.join(self._patience.close)

    def _held(self) -> Link | None:
        with self._lock:
            return self._link

    def _let_go(self) -> Link | None:
        with self._lock:
            link, self._link = self._link, None
        if link is not None:
            link.silence()
        return link
