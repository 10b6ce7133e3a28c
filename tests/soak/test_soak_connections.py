"""A thousand connections that end in every way there is leave nothing behind."""

from __future__ import annotations

import itertools
import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import suppress

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from tests.adapters.replay import ack, auth_ok, frame, market_data
from tests.scenarios.played import ROOT
from tests.soak.connections import ENDINGS

pytestmark = [pytest.mark.soak, pytest.mark.timeout(600)]

CONNECTIONS = 1_000


def test_a_thousand_connections_leave_threads_descriptors_and_memory_as_they_were(
    record_property: Callable[[str, object], None],
):
    """The client in a process of its own, so that nothing else opens or closes anything there."""
    numbers = itertools.count()

    def talk(ws: ServerConnection) -> None:
        ending = ENDINGS[next(numbers) % len(ENDINGS)]
        with suppress(ConnectionClosed, OSError):
            ws.recv()
            ws.send(json.dumps(auth_ok()))
            ws.recv()
            if ending == "refused":
                ws.send(json.dumps({"status": "error", "code": "BROKER_ERROR", "message": "Broker adapter not found"}))
            else:
                ws.send(json.dumps(ack("NIFTY")))
                ws.send(json.dumps(market_data(26000.5)))
            if ending == "closed":
                ws.close(1001)
            elif ending == "reset":
                ws.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
                ws.socket.shutdown(socket.SHUT_RDWR)
            elif ending == "cut in a frame":
                ws.socket.sendall(frame(json.dumps(market_data(26000.5)))[:40])
            elif ending == "broken":
                ws.socket.sendall(b"\x83\x00")
            for _ in ws:
                pass

    with serve(talk, "127.0.0.1", 0, ping_interval=None, compression=None, close_timeout=1) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"ws://127.0.0.1:{server.socket.getsockname()[1]}"
        command = [sys.executable, "-W", "error", "-m", "tests.soak.connections", url, str(CONNECTIONS)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=500, check=False)
        server.shutdown()
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    counted = [tuple(map(int, line.split()[1:])) for line in done.stdout.splitlines() if line.startswith("counted ")]
    made, threads, descriptors, kib = zip(*counted, strict=True)
    assert made[-1] == CONNECTIONS
    said = f"threads {min(threads)} to {max(threads)}, descriptors {min(descriptors)} to {max(descriptors)}, {kib[0]} -> {kib[-1]} KiB"
    record_property("figure", f"{CONNECTIONS} connections: {said}")
    early = 4  # 200 connections: what is cached has been
    assert max(threads[early:]) <= max(threads[:early]), threads
    assert max(descriptors[early:]) <= max(descriptors[:early]), descriptors
    assert kib[-1] - kib[early] < 1024, f"KiB of memory: {kib}"
    assert next(numbers) == CONNECTIONS
