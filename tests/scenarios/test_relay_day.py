"""A bot on the relay of a real `runbook serve`, through a stream that goes mute, and to the end of the daemon."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from runbook.clock import host_monotonic
from runbook.simulator import Simulator
from tests.scenarios.serving import Site, wait_until


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as held:
        yield held


def desk(folder: Path, stack: ExitStack, port: int) -> tuple[Simulator, Site]:
    sim = stack.enter_context(Simulator(seed=5, mode="analyze"))
    feed = f'feed: {{warn_after: 2s, fallback_after: 4s, relay: "ws://127.0.0.1:{port}"}}\n'
    site = Site(folder / "desk", sim, extra=feed)
    stack.callback(site.phone.stop)
    return sim, site


def test_a_bot_on_the_relay_has_prices_through_a_mute_stream_and_is_told_which(tmp_path: Path, stack: ExitStack):
    port = free_port()
    sim, site = desk(tmp_path, stack, port)
    serving = site.serve()
    stack.callback(serving.kill)
    serving.ready().feed("LIVE")
    bot = stack.enter_context(connect(f"ws://127.0.0.1:{port}", compression=None))
    heard: list[dict[str, Any]] = []

    def hear(what: str, kind: str, **fields: object) -> dict[str, Any]:
        """The next frame of this kind in which these fields stand; all frames are kept."""
        until = host_monotonic() + 40
        while True:
            assert host_monotonic() < until, f"not within 40 s: {what}"
            frame = json.loads(bot.recv(timeout=40))
            heard.append(frame)
            shown = {**frame, **frame.get("data", {})}
            if shown.get("type") == kind and all(shown.get(k) == v for k, v in fields.items()):
                return frame

    bot.send(json.dumps({"action": "authenticate", "api_key": sim.api_key}))
    assert hear("the key is right", "auth")["broker"] == "angel"
    bot.send(json.dumps({"action": "subscribe", "symbol": "NIFTY", "exchange": "NSE_INDEX", "mode": "LTP"}))
    assert hear("it is subscribed", "subscribe")["status"] == "success"
    hear("ticks come", "market_data", source="WEBSOCKET")
    more = [{"symbol": "BANKNIFTY", "exchange": "NSE_INDEX"}, {"symbol": "NOPE", "exchange": "NSE"}]
    bot.send(json.dumps({"action": "subscribe", "symbols": more, "mode": 1}))
    hear("what config.yaml does not name is taken", "subscribe")
    hear("what OpenAlgo refuses is told", "feed_status", refused=["NSE:NOPE"])
    hear("ticks of it come", "market_data", symbol="BANKNIFTY", source="WEBSOCKET")
    sim.switch("mute")
    hear("the doubt is told", "feed_status", mode="SUSPECT", source=None)
    doubt = len(heard)
    hear("the fallback is told", "feed_status", mode="FALLBACK", source="REST_POLLING")
    assert {frame["type"] for frame in heard[doubt:]} == {"feed_status"}  # no price while nobody is trusted
    hear("of both", "market_data", symbol="BANKNIFTY", source="REST_POLLING")
    polled = hear("prices come over REST", "market_data", symbol="NIFTY", source="REST_POLLING")
    assert polled["data"]["received_at"] >= polled["data"]["last_changed_at"]
    assert site.state()["relay"] == {"clients": 1}

    serving.process.send_signal(signal.SIGTERM)
    with pytest.raises(ConnectionClosed) as closed:
        hear("the end", "nothing")
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1001, "runbook stops")
    last = [frame for frame in heard if frame["type"] == "feed_status"][-1]
    assert (last["mode"], last["reason"]) == ("OFF", "runbook stops")
    assert serving.process.wait(timeout=15) == 0
    assert sim.api_key not in serving.said()


def test_a_daemon_whose_relay_has_no_port_goes_on_without_it_and_says_so(tmp_path: Path, stack: ExitStack):
    taken = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    _, site = desk(tmp_path, stack, taken.getsockname()[1])
    serving = site.serve()
    stack.callback(serving.kill)
    serving.ready().feed("LIVE")
    assert "Address already in use; runbook goes on without it" in serving.said()
    wait_until("the ledger knows it", lambda: "relay" in site.state() and site.state()["relay"] is None)
    assert serving.end(signal.SIGTERM)[0] == 0
