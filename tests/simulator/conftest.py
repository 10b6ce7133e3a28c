"""A simulator on a frozen Sunday of November 2026, the day the transcripts were taken, and two plain clients."""

from __future__ import annotations

import contextlib
import http.client
import json
import re
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from runbook.clock import RehearsalClock, host_monotonic
from runbook.simulator import Simulator

OPEN = datetime(2026, 11, 22, 3, 45, tzinfo=UTC)  # 09:15 IST
CLOSE = OPEN + timedelta(hours=6, minutes=15)
MORNING = OPEN + timedelta(minutes=20)
TRANSCRIPTS = Path(__file__).parent.parent / "transcripts"


class Told:
    """An HTTP answer."""

    def __init__(self, status: int, headers: dict[str, str], text: str) -> None:
        self.status, self.headers, self.text = status, headers, text

    @property
    def body(self) -> Any:
        return json.loads(self.text)


class Web:
    """Plain HTTP to one simulator over one kept-alive line."""

    def __init__(self, sim: Simulator, url: str | None = None) -> None:
        where = urlsplit(url or sim.rest_url)
        self._sim = sim
        self._line = http.client.HTTPConnection(where.hostname or "", where.port, timeout=5)

    def post(self, path: str, **fields: object) -> Told:
        return self.ask("POST", f"/api/v1/{path}", {"apikey": self._sim.api_key, **fields})

    def ask(self, method: str, path: str, body: object = None, content_type: str = "application/json") -> Told:
        sent = body if isinstance(body, str) or body is None else json.dumps(body)
        self._line.request(method, path, sent, {"Content-Type": content_type} if sent is not None else {})
        answer = self._line.getresponse()
        return Told(answer.status, dict(answer.headers.items()), answer.read().decode())

    def close(self) -> None:
        self._line.close()


class Talk:
    """One WebSocket to one simulator."""

    def __init__(self, sim: Simulator, socket: ClientConnection) -> None:
        self._sim, self._socket = sim, socket
        self.ticks: list[dict[str, Any]] = []

    def say(self, frame: object) -> None:
        self._socket.send(frame if isinstance(frame, str) else json.dumps(frame))

    def reply(self, timeout: float = 3.0) -> dict[str, Any]:
        """The next frame that is no tick."""
        until = host_monotonic() + timeout
        while True:
            frame: dict[str, Any] = json.loads(self._socket.recv(timeout=until - host_monotonic()))
            if frame.get("type") != "market_data":
                return frame
            self.ticks.append(frame)

    def ask(self, frame: object) -> dict[str, Any]:
        self.say(frame)
        return self.reply()

    def log_in(self, key: str | None = None) -> dict[str, Any]:
        return self.ask({"action": "authenticate", "api_key": key or self._sim.api_key})

    def follow(self, symbol: str = "NIFTY", exchange: str = "NSE_INDEX", mode: int = 1) -> dict[str, Any]:
        return self.ask({"action": "subscribe", "symbols": [{"symbol": symbol, "exchange": exchange}], "mode": mode})

    def tick(self, timeout: float = 3.0) -> dict[str, Any]:
        while not self.ticks:
            self.ticks.append(json.loads(self._socket.recv(timeout=timeout)))
        return self.ticks.pop(0)

    def raw(self, timeout: float = 3.0) -> str | bytes:
        return self._socket.recv(timeout=timeout)

    def is_silent(self, seconds: float) -> bool:
        """True when nothing comes for so many real seconds; what was on its way before does not count."""
        self.ticks.clear()
        with contextlib.suppress(TimeoutError):
            while True:
                self._socket.recv(timeout=0.05)
        try:
            self._socket.recv(timeout=seconds)
        except TimeoutError:
            return True
        return False

    def end(self, timeout: float = 3.0) -> ConnectionClosed:
        """How the connection ends."""
        until = host_monotonic() + timeout
        try:
            while True:
                self._socket.recv(timeout=until - host_monotonic())
        except ConnectionClosed as closed:
            return closed

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def clock() -> RehearsalClock:
    return RehearsalClock(MORNING, rate=20)


@pytest.fixture
def simulate(clock: RehearsalClock) -> Iterator[Callable[..., Simulator]]:
    with contextlib.ExitStack() as stack:

        def build(**settings: Any) -> Simulator:
            settings = {"clock": clock, "session": (OPEN, CLOSE), **settings}
            return stack.enter_context(Simulator(**settings))

        yield build


@pytest.fixture
def sim(simulate: Callable[..., Simulator]) -> Simulator:
    return simulate()


@pytest.fixture
def web_to() -> Iterator[Callable[..., Web]]:
    with contextlib.ExitStack() as stack:
        yield lambda sim, url=None: stack.enter_context(contextlib.closing(Web(sim, url)))


@pytest.fixture
def web(sim: Simulator, web_to: Callable[..., Web]) -> Web:
    return web_to(sim)


@pytest.fixture
def talk_to() -> Iterator[Callable[[Simulator], Talk]]:
    with contextlib.ExitStack() as stack:

        def dial(sim: Simulator) -> Talk:
            return Talk(sim, stack.enter_context(connect(sim.stream_url, compression=None)))

        yield dial


@pytest.fixture
def talk(sim: Simulator, talk_to: Callable[[Simulator], Talk]) -> Talk:
    return talk_to(sim)


@pytest.fixture
def until() -> Callable[[Callable[[], object]], None]:
    """Wait until something is so; the clock of the host is the deadline."""

    def wait(so: Callable[[], object], seconds: float = 5.0) -> None:
        stop = host_monotonic() + seconds
        pause = threading.Event()
        while not so():
            assert host_monotonic() < stop, "it did not come to be in time"
            pause.wait(0.01)

    return wait


@pytest.fixture(scope="session")
def transcript() -> Callable[[str], list[dict[str, Any]]]:
    return lambda name: json.loads((TRANSCRIPTS / f"{name}.json").read_text(encoding="utf-8"))


_NUMBER = re.compile(r"\d+(?:\.\d+)?")
_EXACT = {"message", "status", "code", "type", "mode", "order_status", "action", "adapter_status", "reason"}


def _differs(real: Any, ours: Any, where: str) -> str | None:
    if isinstance(real, dict) and isinstance(ours, dict):
        if set(real) != set(ours):
            return f"{where}: keys {sorted(set(real) ^ set(ours))} are on one side only"
        return next((d for k in real if (d := _differs(real[k], ours[k], f"{where}.{k}"))), None)
    if isinstance(real, list) and isinstance(ours, list):
        if not real or not ours:
            return f"{where}: {real!r:.80} against {ours!r:.80}" if bool(real) != bool(ours) else None
        if len(real) == len(ours):
            pairs = list(zip(real, ours, strict=True))
            return next((d for n, (a, b) in enumerate(pairs) if (d := _differs(a, b, f"{where}[{n}]"))), None)
        for n, b in enumerate(ours):  # lists of other lengths: each of ours must look like one of theirs
            found = [_differs(a, b, f"{where}[{n}]") for a in real]
            if None not in found:
                return found[0]
        return None
    if type(real) is not type(ours):
        return f"{where}: {real!r} against {ours!r}"
    name = where.rsplit(".", 1)[-1].split("[", maxsplit=1)[0]
    if isinstance(real, str) and name in _EXACT and _NUMBER.sub("#", real) != _NUMBER.sub("#", ours):
        return f"{where}: {real!r} against {ours!r}"
    return None


@pytest.fixture(scope="session")
def differs() -> Callable[[Any, Any], str | None]:
    """Where two answers differ in shape, type or wording; numbers, prices, ids and times may."""
    return lambda real, ours: _differs(real, ours, "")
