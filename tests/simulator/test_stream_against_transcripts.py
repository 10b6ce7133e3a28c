"""The simulated stream held against what a real OpenAlgo 2.0.2.1 said, frame by frame."""

from __future__ import annotations

import json
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

_BROWSER = {
    "browser: logout": "session_revoked",
    "ticks=silent": "mute",
    "proxy: SIGTERM": "drop",
    "proxy: started again": "accept",
}
_BROWSER |= {"fake broker: ticks=silent": "mute", "fake broker: ticks=on": "unmute"}


class Replay:
    """Says what the recorded clients said and compares each answer; ticks are looked at elsewhere."""

    def __init__(self, sim: Any, talk_to: Any, differs: Any) -> None:
        self.sim, self.talk_to, self.differs = sim, talk_to, differs
        self.talks: dict[str, Any] = {}
        self.wrong: list[str] = []
        self.same_login = False

    def play(self, entries: list[dict[str, Any]]) -> None:
        for entry in entries:
            client, way, frame = entry["client"], entry["dir"], entry["frame"]
            if client == "*":
                self.same_login = frame.startswith("D. second login")  # the token lives: nothing happens
            elif client == "X":
                self._switch(frame)
            elif way == "--" and frame == "connected":
                self.talks[client] = self.talk_to(self.sim)
            elif way == "--" and client in self.talks:
                self._close(client, frame)
            elif way == "=>":
                self.talks[client].say(self._mine(frame))
            elif way == "<=" and frame.get("type") != "market_data":
                self._compare(entry, self.talks[client].reply())

    def _switch(self, what: str) -> None:
        if what == "browser: login" and not self.same_login:
            self.sim.switch("login")
        elif what in _BROWSER:
            self.sim.switch(_BROWSER[what])

    def _close(self, client: str, frame: str) -> None:
        talk = self.talks.pop(client)
        if "code=1000" in frame or "code=1011" in frame:
            talk.close()
            return
        closed = talk.end()
        said = f"closed code={closed.rcvd.code} reason={closed.rcvd.reason!r}"
        if said != frame:
            self.wrong.append(f"{said} against {frame}")

    def _mine(self, frame: Any) -> Any:
        if isinstance(frame, dict) and frame.get("api_key") == "<APIKEY>":
            return {**frame, "api_key": self.sim.api_key}
        return frame

    def _compare(self, entry: dict[str, Any], ours: dict[str, Any]) -> None:
        real = entry["frame"]
        for frame in (real, ours):  # the real server lists these from a set
            if isinstance(frame.get("successful"), list):
                frame["successful"].sort(key=lambda row: row["symbol"])
        if difference := self.differs(real, ours):
            self.wrong.append(f"{entry['t']} {json.dumps(real)[:90]}: {difference}")


@pytest.mark.parametrize(
    "name", ["stream_protocol", "stream_mute", "stream_drop", "revoke_relogin", "snapshot_on_resubscribe"]
)
def test_every_request_is_answered_with_the_frame_of_the_real_proxy(name, simulate, talk_to, transcript, differs):
    replay = Replay(simulate(auth_deadline=0.5), talk_to, differs)
    replay.play(transcript(name))
    assert replay.wrong == []


@pytest.mark.parametrize("mode", [1, 2, 3])
def test_ticks_have_the_keys_and_types_of_the_real_ones(mode, talk, transcript, differs):
    real = [
        e["frame"]
        for e in transcript("stream_protocol")
        if e["client"] == "C" and isinstance(e["frame"], dict) and e["frame"].get("type") == "market_data"
    ]
    like = next(frame for frame in real if frame["mode"] == mode)
    talk.log_in()
    talk.follow(like["symbol"], like["exchange"], mode)
    assert differs(like, talk.tick()) is None


def test_a_lower_mode_client_is_sent_the_higher_modes_data_under_its_own_mode(sim, talk, talk_to):
    other = talk_to(sim)
    for one, mode in ((talk, 3), (other, 1)):
        one.log_in()
        one.follow("SBIN", "NSE", mode)
    tick = other.tick()
    assert (tick["mode"], tick["data"]["mode"], "depth" in tick["data"]) == (1, 3, True)


def test_paper_fills_are_pushed_to_those_who_asked(simulate, talk_to, web_to, transcript, differs):
    sim = simulate(mode="analyze")
    talk, web = talk_to(sim), web_to(sim)
    talk.log_in()
    talk.ask({"action": "subscribe_orders"})
    real = [e["frame"] for e in transcript("order_updates") if e["dir"] == "<="][2:4]
    web.post(
        "placeorder", strategy="t", symbol="RELIANCE", exchange="NSE", action="BUY", quantity=10, pricetype="MARKET"
    )
    ours = [talk.reply(), talk.reply()]
    assert differs(real, ours) is None
    assert [f["order_status"] for f in ours] == ["open", "complete"]


def test_an_unauthenticated_socket_is_closed_with_4401(simulate, talk_to):
    talk = talk_to(simulate(auth_deadline=0.2))
    closed = talk.end()
    assert (closed.rcvd.code, closed.rcvd.reason) == (4401, "auth timeout")


def test_a_client_that_answers_no_ping_is_closed_with_1011(simulate):
    import socket
    from urllib.parse import urlsplit

    where = urlsplit(simulate(ping=(0.1, 0.1)).stream_url)
    with socket.create_connection((where.hostname, where.port), timeout=3) as raw:
        raw.sendall(
            b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        said = b""
        while b"keepalive ping timeout" not in said:
            piece = raw.recv(4096)
            assert piece, said
            said += piece
    assert b"\x88" in said
    assert (1011).to_bytes(2) in said


def test_a_stopped_simulator_closes_its_sockets_with_1001(clock, talk_to):
    from runbook.simulator import Simulator

    sim = Simulator(clock=clock).start()
    talk = talk_to(sim)
    sim.stop()
    with pytest.raises(ConnectionClosed) as closed:
        talk.raw()
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1001
