"""Ticks in batches while nobody is in a hurry; everything else at once. The lulls here are so long that no test meets their end by luck."""

from __future__ import annotations

import json
import queue
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

import pytest
from websockets.sync.server import ServerConnection

from runbook.adapters.ticks import OpenAlgoStream, Patience
from runbook.clock import Clock, RehearsalClock, SystemClock, host_monotonic
from runbook.feed.events import Closed, Connected, Garbage, StreamEvent, Subscribed, Ticks
from runbook.market import Instrument
from tests.adapters.replay import KEY, StreamReplay, ack, auth_ok, frame, market_data, raw_server, upgraded

NIFTY = Instrument("NIFTY", "NSE_INDEX")
Heard = queue.Queue[StreamEvent]


@pytest.fixture
def heard() -> Heard:
    return queue.Queue()


@pytest.fixture
def make() -> Iterator[Callable[..., OpenAlgoStream]]:
    made: list[OpenAlgoStream] = []

    def stream(url: str, patience: Patience, clock: Clock | None = None) -> OpenAlgoStream:
        made.append(OpenAlgoStream(url, KEY, clock or SystemClock(), patience))
        return made[-1]

    yield stream
    for s in made:
        s.close()


class Teller:
    """A script that sends what a test puts in: frames, or None to close."""

    def __init__(self) -> None:
        self.say: queue.Queue[object] = queue.Queue()
        self.socket: ServerConnection | None = None

    def __call__(self, ws: ServerConnection) -> None:
        self.socket = ws
        threading.Thread(target=self._send, daemon=True).start()
        for message in ws:
            kind = json.loads(message)["action"]
            ws.send(json.dumps(auth_ok() if kind == "authenticate" else ack("NIFTY")))

    def _send(self) -> None:
        assert self.socket is not None
        while (what := self.say.get()) is not None:
            self.socket.send(json.dumps(what))
        self.socket.close(1001)


@pytest.fixture
def teller(server: StreamReplay) -> Teller:
    made = Teller()
    server.scripts = [made]
    return made


def flowing(stream: OpenAlgoStream, teller: Teller, heard: Heard) -> None:
    """Connect, and hear the first tick, with which a lull begins."""
    stream.connect(1, [NIFTY], heard.put)
    assert heard.get(timeout=5) == Connected(1, "angel")
    assert isinstance(heard.get(timeout=5), Subscribed)
    teller.say.put(market_data(26000.0))
    first = heard.get(timeout=5)
    assert isinstance(first, Ticks)
    assert [t.ltp for t in first.ticks] == [26000.0]


def test_what_comes_within_a_lull_is_one_event_in_order(
    server: StreamReplay, teller: Teller, make: Callable[..., OpenAlgoStream], heard: Heard
) -> None:
    stream = make(server.url, Patience(lull=2.0))
    flowing(stream, teller, heard)
    for n in range(50):
        teller.say.put(market_data(26001.0 + n))
    batch = heard.get(timeout=5)
    assert isinstance(batch, Ticks)
    assert [t.ltp for t in batch.ticks] == [26001.0 + n for n in range(50)]
    assert heard.empty()


def test_a_batch_is_parted_by_what_is_no_tick_so_that_the_order_stays(
    server: StreamReplay, teller: Teller, make: Callable[..., OpenAlgoStream], heard: Heard
) -> None:
    stream = make(server.url, Patience(lull=2.0))
    flowing(stream, teller, heard)
    for one in (market_data(1.5), market_data(2.5), market_data(-1), market_data(3.5), None):
        teller.say.put(one)
    got = [heard.get(timeout=5) for _ in range(4)]
    assert [type(e) for e in got] == [Ticks, Garbage, Ticks, Closed]
    assert [[t.ltp for t in e.ticks] for e in got if isinstance(e, Ticks)] == [[1.5, 2.5], [3.5]]


def test_who_is_in_a_hurry_gets_what_waits_at_once_and_each_tick_as_it_comes(
    server: StreamReplay, teller: Teller, make: Callable[..., OpenAlgoStream], heard: Heard
) -> None:
    stream = make(server.url, Patience(lull=600.0, ping_every=600.0))
    flowing(stream, teller, heard)
    teller.say.put(market_data(26001.0))
    stream.hurry(True)
    for n in range(3):
        assert isinstance(heard.get(timeout=5), Ticks)
        teller.say.put(market_data(26002.0 + n))
    assert isinstance(heard.get(timeout=5), Ticks)
    stream.connect(2, [NIFTY], heard.put)  # the hurry outlives a connection
    for kind in (Connected, Subscribed):
        assert isinstance(heard.get(timeout=5), kind)


def test_who_is_in_a_hurry_gets_what_comes_within_its_short_lull_together(
    server: StreamReplay, teller: Teller, make: Callable[..., OpenAlgoStream], heard: Heard
) -> None:
    stream = make(server.url, Patience(lull=600.0, hurry=1.5, ping_every=600.0))
    stream.hurry(True)
    flowing(stream, teller, heard)
    for n in range(20):
        teller.say.put(market_data(26001.0 + n))
    got = heard.get(timeout=5)
    assert isinstance(got, Ticks)
    assert [t.ltp for t in got.ticks] == [26001.0 + n for n in range(20)]


def test_an_answer_is_read_at_once_in_the_middle_of_a_lull(
    server: StreamReplay, teller: Teller, make: Callable[..., OpenAlgoStream], heard: Heard
) -> None:
    stream = make(server.url, Patience(lull=600.0, ping_every=600.0))
    flowing(stream, teller, heard)
    stream.resubscribe()
    assert heard.get(timeout=5) == Subscribed(1, (NIFTY,))
    began = host_monotonic()
    stream.close()
    assert host_monotonic() - began < 1


def test_a_lull_longer_than_a_pong_may_take_costs_no_connection(
    server: StreamReplay, teller: Teller, make: Callable[..., OpenAlgoStream], heard: Heard
) -> None:
    stream = make(server.url, Patience(lull=0.4, ping_every=0.3, pong_within=0.2))
    flowing(stream, teller, heard)
    until = host_monotonic() + 1.5
    while host_monotonic() < until:
        teller.say.put(market_data(26000.0))
        assert isinstance(heard.get(timeout=5), Ticks)


def test_a_lull_is_time_of_the_clock_so_that_a_rehearsal_is_not_blurred(
    server: StreamReplay, teller: Teller, make: Callable[..., OpenAlgoStream], heard: Heard
) -> None:
    clock = RehearsalClock(datetime(2026, 11, 23, 3, 30, tzinfo=UTC), rate=10_000.0)
    stream = make(server.url, Patience(lull=600.0), clock)
    flowing(stream, teller, heard)
    teller.say.put(market_data(26001.0))
    assert isinstance(heard.get(timeout=5), Ticks)


def test_a_flood_is_read_without_a_lull_and_whole(make: Callable[..., OpenAlgoStream], heard: Heard) -> None:
    """More than one read holds: the reader must not lean back while there is more."""
    number = 20_000
    stop = threading.Event()

    def flood(conn: socket.socket) -> None:
        upgraded(conn)
        conn.sendall(frame(json.dumps(auth_ok())) + frame(json.dumps(ack("NIFTY"))))
        conn.sendall(b"".join(frame(json.dumps(market_data(1.0 + n))) for n in range(number)))
        stop.wait(20)

    with raw_server(flood) as port:
        make(f"ws://127.0.0.1:{port}", Patience(lull=0.01)).connect(1, [NIFTY], heard.put)
        got: list[float] = []
        while len(got) < number:
            event = heard.get(timeout=10)
            if isinstance(event, Ticks):
                got += [t.ltp for t in event.ticks]
        stop.set()
    assert got == [1.0 + n for n in range(number)]


def test_a_ping_of_the_server_is_answered_with_its_own_words(make: Callable[..., OpenAlgoStream], heard: Heard) -> None:

    said: queue.Queue[bytes] = queue.Queue()

    def talk(conn: socket.socket) -> None:
        upgraded(conn)
        conn.sendall(frame(json.dumps(auth_ok())) + frame(json.dumps(ack("NIFTY"))) + b"\x89\x02hi")
        while True:
            head = conn.recv(2, socket.MSG_WAITALL)
            length = head[1] & 0x7F
            length = int.from_bytes(conn.recv(2, socket.MSG_WAITALL), "big") if length == 126 else length
            mask, body = conn.recv(4, socket.MSG_WAITALL), conn.recv(length, socket.MSG_WAITALL)
            if head[0] & 0x0F == 10:
                said.put(bytes(b ^ mask[n % 4] for n, b in enumerate(body)))
                return

    with raw_server(talk) as port:
        make(f"ws://127.0.0.1:{port}", Patience()).connect(1, [NIFTY], heard.put)
        assert said.get(timeout=5) == b"hi"


def test_pieces_with_a_ping_between_them_and_a_fault_after_them_are_heard_in_order(
    make: Callable[..., OpenAlgoStream], heard: Heard
) -> None:

    text = json.dumps(market_data(26000.5)).encode()
    pieces = b"\x01\x05" + text[:5] + b"\x89\x00" + b"\x80" + bytes([len(text) - 5]) + text[5:]

    def talk(conn: socket.socket) -> None:
        upgraded(conn)
        conn.sendall(frame(json.dumps(auth_ok())) + frame(json.dumps(ack("NIFTY"))) + pieces + b"\x83\x00")
        conn.recv(65536)

    with raw_server(talk) as port:
        make(f"ws://127.0.0.1:{port}", Patience()).connect(1, [NIFTY], heard.put)
        got = [heard.get(timeout=5) for _ in range(4)]
    assert [type(e) for e in got] == [Connected, Subscribed, Ticks, Closed]
    assert isinstance(got[3], Closed)
    assert "unknown kind 3" in got[3].reason
