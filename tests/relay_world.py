"""A relay on a free port of loopback, a feed whose state tests set by hand, and bots on real sockets."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from runbook.adapters.relay import Patience, Relay
from runbook.clock import SystemClock, host_monotonic
from runbook.feed.policy import Policy
from runbook.feed.price import FeedStatus, Price
from runbook.feed.state import Link, LinkState, State, initial
from runbook.feed.table import Mode
from runbook.market import Instrument, Source
from runbook.symbols import NSE_INDICES

KEY = "ab" * 32
NIFTY = Instrument("NIFTY", "NSE_INDEX")
SBIN = Instrument("SBIN", "NSE")
OPTION = Instrument("NIFTY24NOV2626000CE", "NFO")
NOON = datetime(2026, 11, 23, 6, 30, tzinfo=UTC)
NOON_MS = int(NOON.timestamp() * 1000)


def price(instrument: Instrument = NIFTY, ltp: object = 26052.3, **more: Any) -> Price:
    """A tick of noon; give `source` for a price over REST."""
    told = {"source": Source.WEBSOCKET, "received_at": NOON, "last_changed_at": NOON, **more}
    return Price(instrument, ltp, **told)  # type: ignore[arg-type]


def status(mode: Mode = Mode.LIVE, source: Source | None = Source.WEBSOCKET, reason: str = "ticks flow") -> FeedStatus:
    return FeedStatus(mode, source, NOON, reason, "angel")


class Feed:
    """The feed as the relay sees it: a state, and what it was asked to follow."""

    def __init__(self, *watched: Instrument) -> None:
        self.state: State | None = None
        self.asked: list[Instrument] = []
        if watched:
            self.watch(*watched)

    def watch(self, *watched: Instrument) -> None:
        link = Link(state=LinkState.UP, generation=1)
        self.state = replace(initial(watched, Policy(), 1), mode=Mode.LIVE, link=link)

    def follow(self, instruments: tuple[Instrument, ...]) -> None:
        """Watch these, too; what is no index and no symbol of these tests OpenAlgo refuses."""
        self.asked += instruments
        assert self.state is not None
        self.watch(*self.state.watched, *instruments)
        known = {"RELIANCE", "SBIN", OPTION.symbol}
        refused = tuple(
            i
            for i in self.state.watched
            if i.symbol not in known and not (i.is_index and i.symbol in (*NSE_INDICES, "SENSEX"))
        )
        self.state = replace(self.state, link=replace(self.state.link, refused=refused))


class Bot:
    """A client of the relay."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.ticks: list[dict[str, Any]] = []
        self.standing: list[dict[str, Any]] = []

    def say(self, frame: object) -> None:
        self.connection.send(frame if isinstance(frame, str | bytes) else json.dumps(frame))

    def ask(self, frame: object) -> dict[str, Any]:
        """The reply; ticks and the feed's standing are put aside."""
        self.say(frame)
        return self.reply()

    def reply(self, seconds: float = 5.0) -> dict[str, Any]:
        until = host_monotonic() + seconds
        while True:
            frame = self._next(until)
            if frame.get("type") == "market_data":
                self.ticks.append(frame)
            elif frame.get("type") == "feed_status":
                self.standing.append(frame)
            else:
                return frame

    def tick(self, seconds: float = 5.0) -> dict[str, Any]:
        until = host_monotonic() + seconds
        while not self.ticks:
            frame = self._next(until)
            (self.ticks if frame.get("type") == "market_data" else self.standing).append(frame)
        return self.ticks.pop(0)

    def stands(self, seconds: float = 5.0) -> dict[str, Any]:
        until = host_monotonic() + seconds
        while not self.standing:
            frame = self._next(until)
            (self.ticks if frame.get("type") == "market_data" else self.standing).append(frame)
        return self.standing.pop(0)

    def _next(self, until: float) -> dict[str, Any]:
        return json.loads(self.connection.recv(timeout=until - host_monotonic()))

    def log_in(self, key: str = KEY) -> dict[str, Any]:
        return self.ask({"action": "authenticate", "api_key": key})

    def follow(self, *instruments: Instrument, mode: object = 1) -> dict[str, Any]:
        symbols = [{"symbol": i.symbol, "exchange": i.exchange} for i in instruments]
        return self.ask({"action": "subscribe", "symbols": symbols, "mode": mode})

    def leave(self, *instruments: Instrument, mode: int = 1) -> dict[str, Any]:
        symbols = [{"symbol": i.symbol, "exchange": i.exchange, "mode": mode} for i in instruments]
        return self.ask({"action": "unsubscribe", "symbols": symbols})

    def heard(self) -> int:
        """The number of frames that had come when a ping sent now was answered."""
        before = len(self.ticks) + len(self.standing)
        assert self.ask({"action": "ping"})["type"] == "pong"
        return len(self.ticks) + len(self.standing) - before

    def end(self, seconds: float = 5.0) -> tuple[int, str]:
        """(code, reason) of the close."""
        until = host_monotonic() + seconds
        try:
            while True:
                self.connection.recv(timeout=until - host_monotonic())
        except ConnectionClosed as closed:
            return (closed.rcvd.code, closed.rcvd.reason) if closed.rcvd else (1006, "")


class RelayWorld:
    """Makes relays and bots, and ends them."""

    def __init__(self, stack: contextlib.ExitStack) -> None:
        self._stack = stack
        self.relay: Relay

    def relay_of(self, feed: Feed, *, follows: bool = False, **more: Any) -> Relay:
        """A relay that has started; with `follows` the feed watches whatever a client asks for."""
        wanted = feed.follow if follows else None
        self.relay = Relay("ws://127.0.0.1:0", KEY, SystemClock(), lambda: feed.state, wanted=wanted, **more)
        self.relay.start()
        self._stack.callback(self.relay.stop)
        return self.relay

    def bot(self, *instruments: Instrument, mode: int = 1, log_in: bool = True) -> Bot:
        """A bot that is connected, authenticated unless told otherwise, and subscribed."""
        url = f"ws://127.0.0.1:{self.relay.port}"
        bot = Bot(self._stack.enter_context(connect(url, compression=None, close_timeout=1)))
        if log_in:
            assert bot.log_in()["status"] == "success"
        if instruments:
            assert bot.follow(*instruments, mode=mode)["status"] == "success"
            bot.stands()
        return bot

    def deaf(self) -> socket.socket:
        """A bot that follows NIFTY and then reads nothing at all."""
        raw = socket.socket()
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._stack.enter_context(raw)
        raw.connect(("127.0.0.1", self.relay.port))
        raw.sendall(
            b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        for frame in (
            {"action": "authenticate", "api_key": KEY},
            {"action": "subscribe", "symbol": "NIFTY", "exchange": "NSE_INDEX", "mode": 1},
        ):
            text = json.dumps(frame).encode()
            raw.sendall(bytes([0x81, 0xFE]) + len(text).to_bytes(2) + bytes(4) + text)  # masked with zeros
        return raw


@contextlib.contextmanager
def relay_world() -> Iterator[RelayWorld]:
    with contextlib.ExitStack() as stack:
        yield RelayWorld(stack)


__all__ = ["KEY", "NIFTY", "NOON", "NOON_MS", "OPTION", "SBIN", "Bot", "Feed", "Patience", "RelayWorld", "price",
           "relay_world", "status"]  # fmt: skip
