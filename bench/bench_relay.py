"""What the relay adds between the feed and a bot: latency and CPU, beside a plain server and the bare sockets.

    .venv/bin/python bench/bench_relay.py [seconds] [rounds]

Latency is from the call of `publish` to the parsed frame in another process (CLOCK_MONOTONIC is the host's, one for all).
CPU is the serving thread's, in per cent of a core; "process" has the publisher's pacing in it, too. Plain is what one
writes first: an asyncio server that encodes and sends each tick for each client as it comes. Bare is no server at all:
the publisher writes a finished frame into each socket itself, so what bare shows is the host. Rounds are interleaved;
each figure is the median of the rounds, the p99 also the best of them, since neighbours on the host only ever add.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import selectors
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import cast

from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode

from runbook.adapters.relay import Relay
from runbook.adapters.relay.frames import market_data
from runbook.clock import SystemClock
from runbook.feed.policy import Policy
from runbook.feed.price import FeedStatus, Price
from runbook.feed.state import initial
from runbook.feed.table import Mode
from runbook.market import Instrument, Source

KEY = "k" * 64
SYMBOLS = [Instrument(f"SYM{n}", "NSE") for n in range(20)]
CASES = ((1000, 1), (200, 20), (3, 1))  # ticks a second, clients
GOAL_MS, GOAL_CPU = 5.0, 12.0


# --- the bots, in a process of their own -----------------------------------------------------------------------------


def frame(payload: dict[str, object]) -> bytes:
    text = json.dumps(payload).encode()
    size = bytes([0x80 | len(text)]) if len(text) < 126 else bytes([0xFE]) + len(text).to_bytes(2)
    return bytes([0x81]) + size + bytes(4) + text


def clients(port: int, count: int, seconds: float, key: str = KEY, names: Sequence[Instrument] = SYMBOLS) -> None:
    """Connect, subscribe to all, read; prints the latency of each tick in ns, as a JSON list, if `ltt` is such a time."""
    chooser = selectors.DefaultSelector()
    buffers: dict[socket.socket, bytearray] = {}
    for _ in range(count):
        sock = socket.create_connection(("127.0.0.1", port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     b"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Version: 13\r\n\r\n")  # fmt: skip
        head = b""
        while b"\r\n\r\n" not in head:
            head += sock.recv(1)
        sock.sendall(frame({"action": "authenticate", "api_key": key}))
        sock.sendall(
            frame(
                {
                    "action": "subscribe",
                    "symbols": [{"symbol": i.symbol, "exchange": i.exchange} for i in names],
                    "mode": 1,
                }
            )
        )
        chooser.register(sock, selectors.EVENT_READ)
        buffers[sock] = bytearray()
    print("ready", flush=True)
    took: list[int] = []
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for chosen, _ in chooser.select(0.1):
            sock = cast("socket.socket", chosen.fileobj)
            buffer = buffers[sock]
            buffer += sock.recv(262144)
            now = time.monotonic_ns()
            at = 0
            while len(buffer) - at >= 4:
                size, start = buffer[at + 1], at + 2
                if size == 126:
                    size, start = int.from_bytes(buffer[at + 2 : at + 4]), at + 4
                if len(buffer) - start < size:
                    break
                payload = bytes(buffer[start : start + size])
                at = start + size
                if b'"market_data"' in payload:
                    took.append(now - int(json.loads(payload)["data"]["ltt"]))
            del buffer[:at]
    print(json.dumps(took), flush=True)


# --- the two servers -------------------------------------------------------------------------------------------------


class Plain:
    """What one writes first: every tick is encoded and sent for each client as it comes."""

    def __init__(self) -> None:
        self._clients: set[ServerConnection] = set()
        self._ready = threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)

    def start(self) -> None:
        self.thread.start()
        self._ready.wait(5)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._halt = asyncio.Event()
        async with serve(self._handle, "127.0.0.1", 0, compression=None) as server:
            self.port = next(iter(server.sockets)).getsockname()[1]
            self._ready.set()
            await self._halt.wait()

    async def _handle(self, connection: ServerConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for message in connection:
                if "subscribe" in str(message):
                    self._clients.add(connection)

    def publish(self, prices: Sequence[Price]) -> None:
        asyncio.run_coroutine_threadsafe(self._send(prices), self._loop)

    async def _send(self, prices: Sequence[Price]) -> None:
        for price in prices:
            for client in tuple(self._clients):
                await client.send(market_data(price, 1, "angel"))

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._halt.set)
        self.thread.join(5)


class Bare:
    """Sockets and nothing else: who publishes writes, and has no thread of its own."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._clients: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            head = b""
            while b"\r\n\r\n" not in head:
                head += sock.recv(1)
            sock.sendall(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
            self._clients.append(sock)

    def publish(self, prices: Sequence[Price]) -> None:
        for price in prices:
            whole = Frame(Opcode.TEXT, market_data(price, 1, "angel").encode()).serialize(mask=False)
            for sock in self._clients:
                sock.sendall(whole)

    def stop(self) -> None:
        self._listener.close()
        for sock in self._clients:
            sock.close()


def made(name: str) -> tuple[Relay | Plain | Bare, Callable[[], threading.Thread]]:
    if name == "bare":
        return Bare(), threading.current_thread
    if name == "plain":
        plain = Plain()
        plain.start()
        return plain, lambda: plain.thread
    clock = SystemClock()
    state = initial(SYMBOLS, Policy(), 1)
    relay = Relay("ws://127.0.0.1:0", KEY, clock, lambda: state)
    relay.start()
    relay.publish_status(FeedStatus(Mode.LIVE, Source.WEBSOCKET, clock.now(), "bench", "angel"))
    return relay, lambda: next(t for t in threading.enumerate() if t.name == "relay")


def measure(name: str, rate: int, count: int, seconds: float) -> tuple[float, float, float, float, float]:
    """(p50, p99, max in ms, per cent of a core of the serving thread, of the process)."""
    server, thread = made(name)
    command = [sys.executable, __file__, "clients", str(server.port), str(count), str(seconds + 1.0)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    assert child.stdout.readline().strip() == "ready"
    time.sleep(0.3)
    clock_id = time.pthread_getcpuclockid(thread().ident or 0)
    thread_before, process_before, began = time.clock_gettime(clock_id), time.process_time(), time.monotonic()
    now, sent = datetime.now(UTC), 0
    while (passed := time.monotonic() - began) < seconds:
        if sent <= passed * rate:
            tick = Price(
                SYMBOLS[sent % 20], 25000.0 + sent % 100 * 0.05, Source.WEBSOCKET, now, now, ltt=time.monotonic_ns()
            )
            server.publish((tick,))
            sent += 1
        else:
            time.sleep(max(0.0, sent / rate - passed))
    spent = time.monotonic() - began
    own = (time.clock_gettime(clock_id) - thread_before) / spent * 100
    whole = (time.process_time() - process_before) / spent * 100
    took = sorted(ns / 1e6 for ns in json.loads(child.stdout.readline()))
    child.wait(10)
    server.stop()
    expected = sent * count
    assert len(took) >= expected, f"{name}: {len(took)} of {expected} frames arrived"
    return statistics.median(took), took[int(len(took) * 0.99)], took[-1], own, whole


def main(seconds: float, rounds: int) -> None:
    heads = ("ticks/s", "clients", "p50 ms", "p99 ms", "best p99", "max ms", "thread %", "process %")
    print(f"{'':7}" + "".join(f"{head:>10}" for head in heads))
    for rate, count in CASES:
        runs: dict[str, list[tuple[float, ...]]] = {name: [] for name in ("bare", "plain", "relay")}
        for _ in range(rounds):
            for name, found in runs.items():
                found.append(measure(name, rate, count, seconds))
        for name, found in runs.items():
            p50, p99, top, own, whole = (statistics.median(column) for column in zip(*found, strict=True))
            best = min(run[1] for run in found)
            row = f"{name:7}{rate:>10,}{count:>10}{p50:>10.2f}{p99:>10.2f}{best:>10.2f}{top:>10.1f}{own:>10.1f}{whole:>10.1f}"
            if name == "relay":
                row += "  ok" if best <= GOAL_MS and own <= GOAL_CPU else f"  MISSED: {GOAL_MS:g} ms, {GOAL_CPU:g} %"
            print(row, flush=True)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["clients", port, count, seconds]:
            clients(int(port), int(count), float(seconds))
        case ["hear", port, seconds, *names]:  # one client of a daemon's relay; bench_daemon.py starts it
            pairs = (name.partition(":") for name in names)
            told = [Instrument(symbol, exchange) for exchange, _, symbol in pairs]
            clients(int(port), 1, float(seconds), os.environ["BENCH_KEY"], told)
        case [*rest]:
            main(float(rest[0]) if rest else 8.0, int(rest[1]) if len(rest) > 1 else 3)
