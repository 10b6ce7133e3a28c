from __future__ import annotations

import json
import math
import queue
import socket
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from websockets.sync.server import ServerConnection

from runbook.adapters.ticks import OpenAlgoStream, Patience
from runbook.adapters.ticks.link import MAX_FRAME
from runbook.clock import RehearsalClock, SystemClock, host_monotonic
from runbook.errors import BrokerSessionGone, UsageError, WrongKey
from runbook.feed.events import Closed, Connected, ConnectFailed, Garbage, StreamEvent, Subscribed, TickReceived, Ticks
from runbook.market import Instrument
from tests.adapters.ear import Ear, says
from tests.adapters.replay import (
    KEY,
    StreamReplay,
    ack,
    auth_ok,
    conversation,
    frame,
    market_data,
    raw_server,
    saying,
    upgraded,
)

NIFTY = Instrument("NIFTY", "NSE_INDEX")
RELIANCE = Instrument("RELIANCE", "NSE")
SBIN = Instrument("SBIN", "NSE")
NOPE = Instrument("NOPE", "NSE")


@pytest.fixture
def make() -> Iterator[Callable[..., OpenAlgoStream]]:
    made: list[OpenAlgoStream] = []

    def stream(url: str, patience: Patience | None = None, key: str = KEY) -> OpenAlgoStream:
        made.append(OpenAlgoStream(url, key, SystemClock(), patience or Patience(connect=2, reply=2)))
        return made[-1]

    yield stream
    for s in made:
        s.close()


@pytest.fixture
def stream(replay: StreamReplay, make: Callable[..., OpenAlgoStream]) -> OpenAlgoStream:
    made: OpenAlgoStream = make(replay.url)
    return made


# --- recorded conversations ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "client", "since"),
    [
        ("revoke_relogin", "C", None),
        ("revoke_relogin", "E", None),
        ("revoke_relogin", "F", None),
        ("revoke_relogin", "K", None),
        ("stream_drop", "C", None),
        ("stream_drop", "F", None),
        ("stream_mute", "C", None),
        ("snapshot_on_resubscribe", "C", None),
    ],
)
def test_a_recorded_connection_gives_its_broker_its_subscription_and_its_ticks(
    file: str, client: str, since: str | None, replay: StreamReplay, stream: OpenAlgoStream, ear: Ear
) -> None:
    script = conversation(file, client, since)
    ticks = [f for f in script[1][1] if isinstance(f, dict) and f["type"] == "market_data"]
    assert [action for action, _ in script[:2]] == ["authenticate", "subscribe"]
    assert ticks
    replay.scripts = [script]
    stream.connect(3, [NIFTY], ear.heard.put)
    assert ear.next() == Connected(3, "angel")
    assert ear.next() == Subscribed(3, (NIFTY,), ())
    before = time.monotonic()
    for recorded in ticks:
        event = ear.next()
        assert isinstance(event, TickReceived)
        assert event.generation == 3
        assert event.tick.instrument == NIFTY
        assert (event.tick.ltp, event.tick.ltt) == (recorded["data"]["ltp"], recorded["data"]["ltt"])
        assert before - 5 < event.at <= time.monotonic()
    assert replay.heard.get(timeout=2) == {"action": "authenticate", "api_key": KEY}
    assert replay.heard.get(timeout=2) == {
        "action": "subscribe",
        "symbols": [{"symbol": "NIFTY", "exchange": "NSE_INDEX"}],
        "mode": 1,
    }


def test_the_recorded_partial_acknowledgement_names_who_is_refused_and_why(
    replay: StreamReplay, stream: OpenAlgoStream, ear: Ear
) -> None:
    good = conversation("stream_protocol", "C", "good key")
    mixed = conversation("stream_protocol", "C", "unknown symbol; wrong exchange")[3]
    assert mixed[1][0]["status"] == "partial"
    replay.scripts = [[good[0], mixed]]
    stream.connect(1, [SBIN, NOPE, RELIANCE], ear.heard.put)
    assert ear.until(Subscribed)[-1] == Subscribed(
        1,
        (SBIN,),
        ((NOPE, "Symbol NOPE not found for exchange NSE"), (RELIANCE, "the acknowledgement does not name it")),
    )


def test_partial_may_mean_that_nothing_at_all_was_accepted(
    replay: StreamReplay, stream: OpenAlgoStream, ear: Ear
) -> None:
    good = conversation("stream_protocol", "C", "good key")
    none = conversation("stream_protocol", "C", "unknown symbol; wrong exchange")[0]
    replay.scripts = [[good[0], none]]
    stream.connect(1, [NOPE], ear.heard.put)
    event = ear.until(Subscribed)[-1]
    assert isinstance(event, Subscribed)
    assert event.accepted == ()
    assert [i for i, _ in event.refused] == [NOPE]


def test_the_recorded_higher_mode_tick_is_read_and_brings_its_volume(
    replay: StreamReplay, stream: OpenAlgoStream, ear: Ear
) -> None:
    second = conversation("stream_protocol", "D", "second client at LTP")
    depth = second[1][1][1]
    assert depth["data"]["depth"]
    replay.scripts = [second]
    stream.connect(1, [SBIN], ear.heard.put)
    event = ear.until(TickReceived)[-1]
    assert isinstance(event, TickReceived)
    assert (event.tick.ltp, event.tick.volume) == (depth["data"]["ltp"], depth["data"]["volume"])


def test_a_wrong_key_as_recorded_fails_with_the_hint_to_copy_it_again(
    replay: StreamReplay, stream: OpenAlgoStream, ear: Ear
) -> None:
    wrong = [e for e in conversation("stream_protocol", "C") if e[0] == "authenticate"][1]
    assert wrong[1][0]["message"] == "Invalid API key"
    replay.scripts = [[wrong]]
    stream.connect(1, [NIFTY], ear.heard.put)
    event = ear.next()
    assert isinstance(event, ConnectFailed)
    assert not event.refused
    assert "API key is wrong" in event.reason
    assert event.hint == WrongKey.hint


def test_a_revoked_broker_session_as_recorded_fails_with_the_hint_to_log_in(
    replay: StreamReplay, stream: OpenAlgoStream, ear: Ear
) -> None:
    script = conversation("revoke_relogin", "D")
    assert script[0][1][0]["message"] == "No broker configuration found for user"
    replay.scripts = [script]
    stream.connect(1, [NIFTY], ear.heard.put)
    event = ear.next()
    assert isinstance(event, ConnectFailed)
    assert "broker session is gone" in event.reason
    assert event.hint == BrokerSessionGone.hint


def test_an_evicted_adapter_as_recorded_fails_on_subscribing_with_the_hint_to_log_in(
    replay: StreamReplay, stream: OpenAlgoStream, ear: Ear
) -> None:
    script = conversation("revoke_relogin", "D")
    evicted = next(e for e in script if e[0] == "subscribe")
    replay.scripts = [[("authenticate", [auth_ok()]), evicted]]
    stream.connect(1, [NIFTY], ear.heard.put)
    assert ear.next() == Connected(1, "angel")
    event = ear.next()
    assert isinstance(event, ConnectFailed)
    assert "Broker adapter not found" in event.reason
    assert event.hint == BrokerSessionGone.hint


def test_after_a_relogin_resubscribing_on_the_same_socket_brings_ticks_back_as_recorded(
    replay: StreamReplay, stream: OpenAlgoStream, ear: Ear
) -> None:
    first, again = conversation("revoke_relogin", "C"), conversation("revoke_relogin", "C", "B3.")
    replay.scripts = [[*first[:2], *again]]
    stream.connect(1, [NIFTY], ear.heard.put)
    ear.until(TickReceived)
    stream.resubscribe()
    after = ear.until(TickReceived)
    assert after[0] == Subscribed(1, (NIFTY,), ())  # no second Connected: it is the same connection
    assert isinstance(after[-1], TickReceived)
    assert after[-1].tick.ltp == 26068.15
    actions = [replay.heard.get(timeout=2)["action"] for _ in range(4)]
    assert actions == ["authenticate", "subscribe"] * 2


def test_resubscribing_while_the_session_is_still_revoked_ends_the_generation_with_the_reason(
    replay: StreamReplay, stream: OpenAlgoStream, ear: Ear
) -> None:
    replay.scripts = [conversation("revoke_relogin", "C")]  # the next authenticate of C is refused
    stream.connect(1, [NIFTY], ear.heard.put)
    ear.until(TickReceived)
    stream.resubscribe()
    event = ear.next()
    assert isinstance(event, ConnectFailed)
    assert "No broker configuration" in event.reason
    assert replay.ended.get(timeout=2)[0] == 1000


def test_order_updates_and_pongs_as_recorded_are_passed_over(
    replay: StreamReplay, stream: OpenAlgoStream, ear: Ear
) -> None:
    updates = conversation("order_updates", "C")[1][1]
    pong = conversation("stream_protocol", "D", "ping variants")[0][1]
    assert {f["type"] for f in updates[1:-1]} == {"order_update"}
    frames = [*updates[:-1], *pong, market_data(26000.5)]
    replay.scripts = [says(*frames)]
    stream.connect(1, [NIFTY], ear.heard.put)
    kinds = [type(e) for e in ear.until(TickReceived)]
    assert kinds == [Connected, Subscribed, TickReceived]


# --- how it ends -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [1000, 1001, 1011, 4401])
def test_a_close_of_the_server_is_told_with_its_code(
    code: int, replay: StreamReplay, stream: OpenAlgoStream, ear: Ear
) -> None:
    replay.scripts = [[("authenticate", [auth_ok()]), ("subscribe", [ack("NIFTY"), code])]]
    stream.connect(1, [NIFTY], ear.heard.put)
    event = ear.until(Closed)[-1]
    assert isinstance(event, Closed)
    assert event.code == code
    assert event.reason
    assert ear.rest() == []


def test_the_recorded_close_of_an_unauthenticated_socket_is_told_as_4401(
    replay: StreamReplay, stream: OpenAlgoStream, ear: Ear
) -> None:
    def deadline(ws: ServerConnection) -> None:
        ws.recv()
        ws.close(4401, "auth timeout")

    replay.scripts = [deadline]
    stream.connect(1, [NIFTY], ear.heard.put)
    event = ear.next()
    assert isinstance(event, Closed)
    assert event.code == 4401
    assert "auth timeout" in event.reason


def test_nothing_on_the_port_is_told_as_refused(make: Callable[..., OpenAlgoStream], ear: Ear) -> None:
    make("ws://127.0.0.1:1").connect(4, [NIFTY], ear.heard.put)
    event = ear.next()
    assert isinstance(event, ConnectFailed)
    assert (event.generation, event.refused) == (4, True)
    assert "openalgo unit" in str(event.hint)


@pytest.mark.parametrize(("status", "refused"), [(502, True), (503, True), (404, False), (301, False), (200, False)])
def test_a_proxy_that_does_not_upgrade_is_told(
    status: int, refused: bool, make: Callable[..., OpenAlgoStream], ear: Ear
) -> None:
    head = f"HTTP/1.1 {status} X\r\nLocation: ws://127.0.0.1:9/\r\nContent-Length: 2\r\n\r\nno"
    with raw_server(saying(head.encode())) as port:
        make(f"ws://127.0.0.1:{port}").connect(1, [NIFTY], ear.heard.put)
        event = ear.next()
    assert isinstance(event, ConnectFailed)
    assert event.refused is refused


def test_a_connection_that_is_reset_is_told(replay: StreamReplay, stream: OpenAlgoStream, ear: Ear) -> None:
    def reset(ws: ServerConnection) -> None:
        ws.recv()
        ws.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
        ws.socket.shutdown(socket.SHUT_RDWR)

    replay.scripts = [reset]
    stream.connect(1, [NIFTY], ear.heard.put)
    event = ear.next()
    assert isinstance(event, Closed)
    assert event.code is None


def test_a_handshake_that_drips_is_given_up(make: Callable[..., OpenAlgoStream], ear: Ear) -> None:
    stop = threading.Event()

    def drip(conn: socket.socket) -> None:
        conn.recv(4096)
        conn.sendall(b"HTTP/1.1 101 Switching Protocols\r\nX-Drip: ")
        while not stop.wait(0.05):
            conn.sendall(b"1")

    with raw_server(drip) as port:
        make(f"ws://127.0.0.1:{port}", Patience(connect=0.4)).connect(1, [NIFTY], ear.heard.put)
        assert isinstance(ear.next(2), ConnectFailed)
        stop.set()


def test_an_authentication_that_is_never_answered_is_given_up(
    replay: StreamReplay, make: Callable[..., OpenAlgoStream], ear: Ear
) -> None:
    replay.scripts = [[]]
    make(replay.url, Patience(reply=0.3)).connect(1, [NIFTY], ear.heard.put)
    event = ear.next(3)
    assert isinstance(event, ConnectFailed)
    assert event.reason == "authenticate: no answer within 0.3 s"


def test_a_subscription_that_is_never_answered_is_given_up(
    replay: StreamReplay, make: Callable[..., OpenAlgoStream], ear: Ear
) -> None:
    replay.scripts = [[("authenticate", [auth_ok()])]]
    make(replay.url, Patience(reply=0.3)).connect(1, [NIFTY], ear.heard.put)
    assert isinstance(ear.next(), Connected)
    event = ear.next(3)
    assert isinstance(event, ConnectFailed)
    assert event.reason == "subscribe: no answer within 0.3 s"


def test_a_half_open_link_is_noticed_by_the_missing_pong(make: Callable[..., OpenAlgoStream], ear: Ear) -> None:
    stop = threading.Event()

    def mute(conn: socket.socket) -> None:
        upgraded(conn)
        conn.sendall(frame(json.dumps(auth_ok())) + frame(json.dumps(ack("NIFTY"))))
        stop.wait(10)  # reads nothing, answers no ping

    with raw_server(mute) as port:
        began = host_monotonic()
        make(f"ws://127.0.0.1:{port}", Patience(ping_every=0.3, pong_within=0.3)).connect(1, [NIFTY], ear.heard.put)
        event = ear.until(Closed)[-1]
        took = host_monotonic() - began
        stop.set()
    assert isinstance(event, Closed)
    assert "no pong within 0.3 s" in event.reason
    assert 0.55 < took < 1.5


def test_ticks_do_not_stand_in_for_a_missing_pong(make: Callable[..., OpenAlgoStream], ear: Ear) -> None:
    stop = threading.Event()

    def deaf(conn: socket.socket) -> None:
        upgraded(conn)
        conn.sendall(frame(json.dumps(auth_ok())) + frame(json.dumps(ack("NIFTY"))))
        while not stop.wait(0.02):
            conn.sendall(frame(json.dumps(market_data(26000.0))))

    with raw_server(deaf) as port:
        make(f"ws://127.0.0.1:{port}", Patience(ping_every=0.2, pong_within=0.2)).connect(1, [NIFTY], ear.heard.put)
        event = ear.until(Closed)[-1]
        stop.set()
    assert isinstance(event, Closed)
    assert "no pong" in event.reason


def next_frame(conn: socket.socket) -> int:
    """Read one short frame of a client; its opcode."""
    head = conn.recv(2, socket.MSG_WAITALL)
    length = head[1] & 0x7F
    if length == 126:
        length = int.from_bytes(conn.recv(2, socket.MSG_WAITALL), "big")
    conn.recv(4 + length, socket.MSG_WAITALL)
    return head[0] & 0x0F


def test_a_host_that_slept_reads_the_pong_that_came_meanwhile_before_it_judges(
    make: Callable[..., OpenAlgoStream], ear: Ear, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept = [0.0]
    stop = threading.Event()
    monkeypatch.setattr("runbook.adapters.ticks.link.host_monotonic", lambda: host_monotonic() + slept[0])

    def talk(conn: socket.socket) -> None:
        upgraded(conn)
        conn.sendall(frame(json.dumps(auth_ok())) + frame(json.dumps(ack("NIFTY"))))
        while next_frame(conn) != 9:
            pass
        slept[0] = 3600.0
        conn.sendall(b"\x8a\x00" + frame(json.dumps(market_data(26000.5))))
        stop.wait(10)

    with raw_server(talk) as port:
        make(f"ws://127.0.0.1:{port}", Patience(ping_every=0.2)).connect(1, [NIFTY], ear.heard.put)
        assert [type(e) for e in ear.until(TickReceived)] == [Connected, Subscribed, TickReceived]
        stop.set()


def test_a_server_that_answers_pings_is_kept_though_it_says_nothing_else(
    replay: StreamReplay, make: Callable[..., OpenAlgoStream], ear: Ear
) -> None:
    replay.scripts = [says()]
    stream = make(replay.url, Patience(ping_every=0.1, pong_within=0.1, reply=0.3))
    stream.connect(1, [NIFTY], ear.heard.put)
    ear.until(Subscribed)
    with pytest.raises(queue.Empty):
        ear.heard.get(timeout=0.6)


def test_a_listener_that_was_slow_is_not_taken_for_a_missing_pong(
    replay: StreamReplay, make: Callable[..., OpenAlgoStream], ear: Ear
) -> None:
    """The pong waits in the socket while the listener sleeps: what has come is read before the link is judged."""
    replay.scripts = [says(*[market_data(26000.0 + i) for i in range(3)])]

    def slow(event: StreamEvent) -> None:
        if isinstance(event, Ticks):
            time.sleep(0.9)
        ear.heard.put(event)

    make(replay.url, Patience(ping_every=0.1, pong_within=0.1)).connect(1, [NIFTY], slow)
    got = [ear.next() for _ in range(5)]
    assert [type(e) for e in got] == [Connected, Subscribed, *[TickReceived] * 3]
    with pytest.raises(queue.Empty):
        ear.heard.get(timeout=0.5)


@pytest.mark.parametrize("cut", [1, 3, 20])
def test_a_frame_that_stops_half_way_ends_the_connection(
    cut: int, make: Callable[..., OpenAlgoStream], ear: Ear
) -> None:
    stop = threading.Event()

    def half(conn: socket.socket) -> None:
        upgraded(conn)
        conn.sendall(frame(json.dumps(auth_ok())) + frame(json.dumps(market_data(1.5)))[:cut])
        stop.wait(10)

    with raw_server(half) as port:
        make(f"ws://127.0.0.1:{port}", Patience(frame=0.3)).connect(1, [NIFTY], ear.heard.put)
        event = ear.until(Closed)[-1]
        stop.set()
    assert isinstance(event, Closed)
    assert "did not end within 0.3 s" in event.reason


def test_a_frame_that_drips_for_ever_ends_the_connection(make: Callable[..., OpenAlgoStream], ear: Ear) -> None:
    stop = threading.Event()

    def drip(conn: socket.socket) -> None:
        upgraded(conn)
        conn.sendall(frame(json.dumps(auth_ok())) + b"\x81\x7e\xff\xff")
        while not stop.wait(0.02):
            conn.sendall(b" ")

    with raw_server(drip) as port:
        make(f"ws://127.0.0.1:{port}", Patience(frame=0.3)).connect(1, [NIFTY], ear.heard.put)
        event = ear.until(Closed, within=3)[-1]
        stop.set()
    assert isinstance(event, Closed)
    assert "did not end within 0.3 s" in event.reason


def test_a_frame_that_pauses_is_waited_for(make: Callable[..., OpenAlgoStream], ear: Ear) -> None:
    stop = threading.Event()
    whole = frame(json.dumps(market_data(26000.5)))

    def pause(conn: socket.socket) -> None:
        upgraded(conn)
        conn.sendall(frame(json.dumps(auth_ok())) + frame(json.dumps(ack("NIFTY"))) + whole[:30])
        stop.wait(0.7)  # longer than the socket's own patience, shorter than a frame's
        conn.sendall(whole[30:])
        stop.wait(10)

    with raw_server(pause) as port:
        make(f"ws://127.0.0.1:{port}", Patience(frame=1.0)).connect(1, [NIFTY], ear.heard.put)
        assert isinstance(ear.until(TickReceived)[-1], TickReceived)
        stop.set()


def test_a_frame_in_pieces_is_put_together(make: Callable[..., OpenAlgoStream], ear: Ear) -> None:
    stop = threading.Event()

    def pieces(conn: socket.socket) -> None:
        upgraded(conn)
        conn.sendall(frame(json.dumps(auth_ok())) + frame(json.dumps(ack("NIFTY"))))
        for byte in frame(json.dumps(market_data(26000.5, ltt=1795337852224))):
            conn.sendall(bytes([byte]))
            time.sleep(0.002)
        stop.wait(10)

    with raw_server(pieces) as port:
        make(f"ws://127.0.0.1:{port}").connect(1, [NIFTY], ear.heard.put)
        event = ear.until(TickReceived)[-1]
        stop.set()
    assert isinstance(event, TickReceived)
    assert event.tick.ltp == 26000.5


def test_a_frame_that_would_fill_the_memory_ends_the_connection(make: Callable[..., OpenAlgoStream], ear: Ear) -> None:
    stop = threading.Event()

    def huge(conn: socket.socket) -> None:
        upgraded(conn)
        conn.sendall(b"\x81\x7f" + (MAX_FRAME + 1).to_bytes(8, "big"))
        stop.wait(10)

    with raw_server(huge) as port:
        make(f"ws://127.0.0.1:{port}").connect(1, [NIFTY], ear.heard.put)
        event = ear.next()
        stop.set()
    assert isinstance(event, Closed)
    assert str(MAX_FRAME + 1) in event.reason


def test_a_listener_that_fails_ends_the_generation_and_is_logged(
    replay: StreamReplay, stream: OpenAlgoStream, ear: Ear, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(event: StreamEvent) -> None:
        ear.heard.put(event)
        if isinstance(event, Ticks):
            raise RuntimeError("the queue is full")

    replay.scripts = [says(market_data(26000.0))]
    stream.connect(1, [NIFTY], broken)
    event = ear.until(Closed)[-1]
    assert isinstance(event, Closed)
    assert "RuntimeError" in event.reason
    assert "the queue is full" in caplog.text


# --- frames that are no price ----------------------------------------------------------------------------------------

GARBAGE = [
    ("not json", "not JSON"),
    ('{"type":"market_data","symbol":"NIFTY","exchange":"NSE_INDEX","data":{"ltp":NaN}}', "not JSON"),
    ('{"type":"market_data","symbol":"NIFTY","exchange":"NSE_INDEX","data":{"ltp":-Infinity}}', "not JSON"),
    ('{"type":"market_data","symbol":"NIFTY","exchange":"NSE_INDEX","data":{"ltp":1e999}}', "ltp is inf"),
    ('{"type":"market_data","symbol":"NIFTY","exchange":"NSE_INDEX","data":{"ltp":' + "9" * 400 + "}}", "ltp is 999"),
    ("[1]", "list"),
    ("null", "NoneType"),
    ("", "not JSON"),
    ("[" * 50_000, "not JSON"),
    (b"\x00\x01", "binary"),
    (market_data("26000"), "ltp is '26000'"),
    (market_data(None), "ltp is None"),
    (market_data(-1), "ltp is -1"),
    (market_data(0), "ltp is 0"),
    (market_data(True), "ltp is True"),
    (market_data({}), "ltp is {}"),
    (market_data(1.0, symbol="BANKNIFTY"), "'BANKNIFTY', which was not subscribed"),
    (market_data(1.0, exchange="NSE"), "'NSE' 'NIFTY', which was not subscribed"),
    (market_data(1.0, symbol=[1]), "which was not subscribed"),
    (market_data(1.0, symbol=None), "which was not subscribed"),
    ({"type": "market_data", "symbol": "NIFTY", "exchange": "NSE_INDEX", "ltp": 26000.0}, "without data"),
    ({"type": "ltp", "ltp": 26000.0}, "type 'ltp'"),
    ({"type": ["market_data"]}, "type"),
    ({"hello": 1}, "type None"),
    ({"status": "error", "code": "SERVER_ERROR", "message": "oops"}, "SERVER_ERROR: oops"),
]


@pytest.mark.parametrize(("sent", "what"), GARBAGE, ids=range(len(GARBAGE)))
def test_a_frame_that_is_no_price_is_garbage_and_the_connection_lives_on(
    sent: Any, what: str, replay: StreamReplay, stream: OpenAlgoStream, ear: Ear
) -> None:
    replay.scripts = [says(sent, market_data(26000.5))]
    stream.connect(1, [NIFTY], ear.heard.put)
    got = ear.until(TickReceived)
    assert [type(e) for e in got] == [Connected, Subscribed, Garbage, TickReceived]
    assert isinstance(got[2], Garbage)
    assert what in got[2].what
    assert len(got[2].what) < 250
    assert isinstance(got[3], TickReceived)
    assert got[3].tick.ltp == 26000.5


def test_text_that_is_not_utf8_is_garbage_although_the_library_does_not_check(
    make: Callable[..., OpenAlgoStream], ear: Ear
) -> None:
    stop = threading.Event()

    def latin(conn: socket.socket) -> None:
        upgraded(conn)
        conn.sendall(frame(json.dumps(auth_ok())) + frame(json.dumps(ack("NIFTY"))) + b'\x81\x04"\xff\xfe"')
        stop.wait(10)

    with raw_server(latin) as port:
        make(f"ws://127.0.0.1:{port}").connect(1, [NIFTY], ear.heard.put)
        event = ear.until(Garbage)[-1]
        stop.set()
    assert isinstance(event, Garbage)
    assert "not JSON" in event.what


@pytest.mark.parametrize(
    ("ltt", "millis"),
    [
        (1795337852224, 1795337852224),
        (1795337852, 1795337852000),
        ("1795337852", 1795337852000),
        (None, None),
        ("soon", None),
        (-1, None),
        ("²", None),
        ("9" * 4000, None),
        (math.pi * 1e300, None),
        ([1], None),
    ],
)
def test_the_last_trade_time_is_read_in_each_unit_or_left_out(
    ltt: object, millis: int | None, replay: StreamReplay, stream: OpenAlgoStream, ear: Ear
) -> None:
    replay.scripts = [says(market_data(26000.5, ltt=ltt))]
    stream.connect(1, [NIFTY], ear.heard.put)
    event = ear.until(TickReceived)[-1]
    assert isinstance(event, TickReceived)
    assert event.tick.ltt == millis


@pytest.mark.parametrize(
    ("volume", "units"),
    [
        ("75", 75),
        ("75.0", 75),
        ("0", 0),
        ("-1", None),
        ("1e999", None),
        ("9" * 400, None),
        ("true", None),
        ('"75"', None),
    ],
)
def test_a_volume_is_a_count_or_left_out(
    volume: str, units: int | None, replay: StreamReplay, stream: OpenAlgoStream, ear: Ear
) -> None:
    replay.scripts = [says(json.dumps(market_data(26000.5, volume=0)).replace('"volume": 0', f'"volume": {volume}'))]
    stream.connect(1, [NIFTY], ear.heard.put)
    event = ear.until(TickReceived)[-1]
    assert isinstance(event, TickReceived)
    assert event.tick.volume == units


# --- closing, generations, threads -----------------------------------------------------------------------------------


def test_a_closed_generation_emits_nothing_more_and_says_goodbye(
    replay: StreamReplay, stream: OpenAlgoStream, ear: Ear
) -> None:
    def flood(ws: ServerConnection) -> None:
        ws.recv()
        ws.send(json.dumps(auth_ok()))
        ws.recv()
        ws.send(json.dumps(ack("NIFTY")))
        pace = threading.Event()
        while not pace.wait(0.002):  # not faster: a full buffer would leave no room for a goodbye
            ws.send(json.dumps(market_data(26000.5)))

    replay.scripts = [flood]
    stream.connect(1, [NIFTY], ear.heard.put)
    ear.until(TickReceived)
    stream.close()
    ear.rest()
    with pytest.raises(queue.Empty):
        ear.heard.get(timeout=0.3)
    assert replay.ended.get(timeout=2)[0] == 1000


def test_a_new_connection_silences_the_old_one(replay: StreamReplay, stream: OpenAlgoStream, ear: Ear) -> None:
    replay.scripts = [says(market_data(1.5)), says(market_data(2.5))]
    stream.connect(1, [NIFTY], ear.heard.put)
    ear.until(TickReceived)
    stream.connect(2, [NIFTY], ear.heard.put)
    got = ear.until(TickReceived)
    assert {e.generation for e in got} == {2}
    assert replay.ended.get(timeout=2)[0] == 1000


def test_a_listener_may_close_the_stream_that_calls_it(replay: StreamReplay, stream: OpenAlgoStream) -> None:
    took: list[float] = []
    heard: list[StreamEvent] = []
    closed = threading.Event()

    def close_at_once(event: StreamEvent) -> None:
        if isinstance(event, Ticks):
            began = host_monotonic()
            stream.close()
            took.append(host_monotonic() - began)
        heard.append(event)
        if isinstance(event, Ticks):
            closed.set()

    replay.scripts = [says(market_data(1.5), market_data(2.5))]
    stream.connect(1, [NIFTY], close_at_once)
    assert closed.wait(5)
    assert replay.ended.get(timeout=2)[0] == 1000
    assert took[0] < 0.5
    assert [type(e) for e in heard] == [Connected, Subscribed, Ticks]


@pytest.mark.parametrize("phase", ["listener", "handshake", "half-open"])
def test_closing_never_blocks_for_five_seconds(phase: str, make: Callable[..., OpenAlgoStream], ear: Ear) -> None:
    release = threading.Event()
    reached = threading.Event()

    def talk(conn: socket.socket) -> None:
        if phase == "handshake":
            reached.set()
            release.wait(10)
            return
        upgraded(conn)
        conn.sendall(frame(json.dumps(auth_ok())) + b"\x81\x7e")  # and the beginning of a frame
        release.wait(10)

    def listen(event: StreamEvent) -> None:
        ear.heard.put(event)
        reached.set()
        if phase == "listener":
            release.wait(10)

    with raw_server(talk) as port:
        patience = Patience(close=0.4 if phase == "listener" else 1.5)
        assert 2 * Patience().close < 4.5
        stream = make(f"ws://127.0.0.1:{port}", patience)
        stream.connect(1, [NIFTY], listen)
        assert reached.wait(5)
        began = host_monotonic()
        stream.close()
        took = host_monotonic() - began
        heard = ear.rest()
        release.set()
    assert took < (0.6 if phase == "handshake" else 2 * patience.close + 0.5)
    assert [type(e) for e in heard] == ([] if phase == "handshake" else [Connected])
    assert ear.rest() == []


def test_closing_twice_closing_unopened_and_resubscribing_a_dead_one_do_nothing(
    make: Callable[..., OpenAlgoStream], ear: Ear
) -> None:
    stream = make("ws://127.0.0.1:1")
    stream.close()
    stream.resubscribe()
    stream.connect(1, [NIFTY], ear.heard.put)
    ear.until(ConnectFailed)
    stream.resubscribe()
    stream.close()
    stream.close()
    assert ear.rest() == []


def test_fifty_reconnects_leave_no_thread_and_no_descriptor(
    replay: StreamReplay, make: Callable[..., OpenAlgoStream], ear: Ear
) -> None:
    replay.scripts = [says(market_data(1.5))]
    stream = make(replay.url)

    def readers() -> int:
        return sum(t.name.startswith("stream-") for t in threading.enumerate())

    def round_trip(generation: int) -> None:
        stream.connect(generation, [NIFTY], ear.heard.put)
        ear.until(TickReceived)
        stream.close()
        replay.ended.get(timeout=2)

    def settled(count: Callable[[], int], at_most: int) -> int:
        deadline = host_monotonic() + 3
        while (now := count()) > at_most and host_monotonic() < deadline:
            time.sleep(0.01)
        return now

    def descriptors() -> int:
        return sum(1 for _ in Path("/proc/self/fd").iterdir())

    for generation in range(3):
        round_trip(generation)
    settled(threading.active_count, 3)
    before = descriptors()
    threads = threading.active_count()
    for generation in range(3, 53):
        round_trip(generation)
    refused = make("ws://127.0.0.1:1")
    for generation in range(53, 103):
        refused.connect(generation, [NIFTY], ear.heard.put)
        ear.until(ConnectFailed)
        refused.close()
    assert settled(readers, 0) == 0
    assert settled(threading.active_count, threads) <= threads
    assert settled(descriptors, before) <= before


# --- secrets, clocks, addresses --------------------------------------------------------------------------------------


def test_the_key_is_in_no_event_though_the_server_echoes_it(
    replay: StreamReplay, stream: OpenAlgoStream, ear: Ear
) -> None:
    echo = {"status": "error", "code": "X", "message": f"bad key {KEY}"}
    replay.scripts = [
        says(f"not json {KEY}", {"type": KEY}, echo),
        [("authenticate", [echo])],
    ]
    stream.connect(1, [NIFTY], ear.heard.put)
    got = [ear.next() for _ in range(5)]
    stream.connect(2, [NIFTY], ear.heard.put)
    got.append(ear.next())
    assert isinstance(got[-1], ConnectFailed)
    assert KEY not in repr(got)
    assert KEY[:20] not in repr(got)
    assert KEY not in repr(stream)


def test_a_tick_is_stamped_with_the_clock_it_was_given(replay: StreamReplay, ear: Ear) -> None:
    clock = RehearsalClock(datetime(2026, 11, 23, 3, 30, tzinfo=UTC))
    clock.jump_to(datetime(2026, 11, 23, 4, 30, tzinfo=UTC))
    stream = OpenAlgoStream(replay.url, KEY, clock)
    replay.scripts = [says(market_data(1.5))]
    stream.connect(1, [NIFTY], ear.heard.put)
    event = ear.until(TickReceived)[-1]
    stream.close()
    assert isinstance(event, TickReceived)
    assert 3600 <= event.at < 3610


def test_no_proxy_of_the_environment_is_used(
    replay: StreamReplay, stream: OpenAlgoStream, ear: Ear, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    replay.scripts = [says(market_data(1.5))]
    stream.connect(1, [NIFTY], ear.heard.put)
    assert isinstance(ear.until(TickReceived)[-1], TickReceived)


@pytest.mark.parametrize("url", ["http://127.0.0.1:8765", "127.0.0.1:8765", "ws://"])
def test_an_address_that_is_no_stream_is_refused_at_once(url: str) -> None:
    with pytest.raises(UsageError):
        OpenAlgoStream(url, KEY, SystemClock())
