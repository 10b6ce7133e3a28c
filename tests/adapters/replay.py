"""Servers on loopback that answer as a recorded OpenAlgo did, or misbehave at the level of bytes."""

from __future__ import annotations

import base64
import hashlib
import json
import queue
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

TRANSCRIPTS = Path(__file__).parent.parent / "transcripts"
KEY = "5ec2e7" + "0123456789abcdef" * 3 + "5ec2e7ab00"


def transcript(name: str) -> list[dict[str, Any]]:
    recorded = json.loads((TRANSCRIPTS / f"{name}.json").read_text())
    assert isinstance(recorded, list)
    return recorded


def entry(file: str, name: str) -> dict[str, Any]:
    """The recorded exchange of that name."""
    found = [r for r in transcript(file) if r.get("name") == name]
    assert len(found) == 1, f"{name!r} is {len(found)} times in {file}"
    return found[0]


def answer(status: int, body: object, content_type: str = "application/json", **headers: str) -> dict[str, Any]:
    """An answer in the form of a transcript, for what was not recorded."""
    return {"status": status, "content_type": content_type, "body": body, "headers": headers}


class RestReplay:
    """HTTP/1.1 with keep-alive; `answers` maps (method, path) to a recorded answer or to a list of them, in order."""

    def __init__(self) -> None:
        self.answers: dict[tuple[str, str], Any] = {}
        self.asked: list[tuple[str, str, Any]] = []
        self.connections = 0
        replay = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 30

            def log_message(self, *args: object) -> None:
                pass

            def setup(self) -> None:
                replay.connections += 1
                super().setup()

            def answer(self) -> None:
                raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                replay.asked.append((self.command, self.path, json.loads(raw) if raw else None))
                given = replay.answers.get((self.command, self.path), answer(404, {"message": "Not found"}))
                if isinstance(given, list):
                    given = given.pop(0) if len(given) > 1 else given[0]
                body = given["body"]
                content = (body if isinstance(body, str) else json.dumps(body)).encode()
                head = [f"HTTP/1.1 {given['status']} X", f"Content-Type: {given['content_type']}"]
                head += [f"Content-Length: {len(content)}"]
                head += [f"{k}: {v}" for k, v in (given.get("headers") or {}).items()]
                self.wfile.write("\r\n".join([*head, "", ""]).encode() + content)

            do_GET = do_POST = answer  # noqa: N815  the library calls them so

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request: Any, client_address: Any) -> None:
                pass

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def reset(self) -> None:
        self.answers.clear()
        self.asked.clear()
        self.connections = 0

    def paths(self) -> list[str]:
        return [path for _, path, _ in self.asked]

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.socket.close()


@contextmanager
def raw_server(talk: Callable[[socket.socket], None]) -> Iterator[int]:
    """A TCP server whose `talk` gets each connection; yields its port. What `talk` still does at the end is cut off."""
    listener = socket.create_server(("127.0.0.1", 0))
    open_now: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def one(conn: socket.socket) -> None:
        with conn, suppress(OSError):
            talk(conn)

    def accept() -> None:
        while True:
            try:
                conn, _ = listener.accept()
            except OSError:
                return
            open_now.append(conn)
            threads.append(threading.Thread(target=one, args=(conn,), daemon=True))
            threads[-1].start()

    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()
    try:
        yield listener.getsockname()[1]
    finally:
        with suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        for conn in open_now:
            with suppress(OSError):
                conn.shutdown(socket.SHUT_RDWR)
        for thread in [accepting, *threads]:
            thread.join(5)


def read_request(conn: socket.socket) -> bytes:
    """One HTTP request, headers and body."""
    got = b""
    while b"\r\n\r\n" not in got:
        got += conn.recv(65536)
    head, _, body = got.partition(b"\r\n\r\n")
    length = next((int(h.split(b":")[1]) for h in head.split(b"\r\n") if h.lower().startswith(b"content-length")), 0)
    while len(body) < length:
        body += conn.recv(65536)
    return head + b"\r\n\r\n" + body


def saying(raw: bytes) -> Callable[[socket.socket], None]:
    """A `talk` that reads one request and answers it with these bytes."""

    def talk(conn: socket.socket) -> None:
        read_request(conn)
        conn.sendall(raw)

    return talk


Exchange = tuple[str, list[Any]]  # (action of the client, what the server sent before the next one)


def conversation(file: str, client: str, since: str | None = None) -> list[Exchange]:
    """What one client of a stream transcript asked and got, from the heading `since` on."""
    exchanges: list[Exchange] = []
    begun = since is None
    for line in transcript(file):
        if line["client"] == "*" and since is not None and str(line["frame"]).startswith(since):
            begun = True
        if not begun or line["client"] != client:
            continue
        if line["dir"] == "=>":
            frame = line["frame"]
            exchanges.append((str(frame.get("action") or frame.get("type")) if isinstance(frame, dict) else "", []))
        elif line["dir"] == "<=" and exchanges:
            exchanges[-1][1].append(line["frame"])
        elif line["dir"] == "--" and exchanges and str(line["frame"]).startswith("closed code="):
            exchanges[-1][1].append(int(str(line["frame"]).split("=")[1].split()[0]))
    return exchanges


class StreamReplay:
    """A WebSocket server; each connection plays one script, and what clients send is kept in `heard`.

    A script is a list of exchanges: a client's frame is answered by the next one with its action (those in between, which
    runbook does not ask, are passed over); a number among the answers closes with that code. Or it is a function.
    """

    def __init__(self) -> None:
        self.scripts: list[Sequence[Exchange] | Callable[[ServerConnection], None]] = []
        self.heard: queue.Queue[Any] = queue.Queue()
        self.ended: queue.Queue[tuple[int | None, str]] = queue.Queue()  # (close code a client sent, reason)
        self._server = serve(self._talk, "127.0.0.1", 0, ping_interval=None, compression=None, close_timeout=1)
        self.port = self._server.socket.getsockname()[1]
        self.url = f"ws://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def _talk(self, ws: ServerConnection) -> None:
        script = self.scripts.pop(0) if len(self.scripts) > 1 else self.scripts[0]
        with suppress(ConnectionClosed):
            if callable(script):
                script(ws)
            else:
                self._play(ws, script)
        self.ended.put((ws.close_code, ws.close_reason or ""))

    def _play(self, ws: ServerConnection, script: Sequence[Exchange]) -> None:
        left = list(script)
        for message in ws:
            frame = json.loads(message)
            self.heard.put(frame)
            while left and left[0][0] != frame["action"]:
                left.pop(0)
            if not left:
                continue
            for reply in left.pop(0)[1]:
                if isinstance(reply, int):
                    ws.close(reply)
                    return
                ws.send(json.dumps(reply))

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()


def auth_ok(broker: str = "angel") -> Mapping[str, Any]:
    return {"type": "auth", "status": "success", "message": "Authentication successful", "broker": broker}


def ack(*names: str, status: str = "success") -> Mapping[str, Any]:
    rows = [{"symbol": n, "exchange": "NSE_INDEX", "status": "success", "mode": "LTP", "depth": 5} for n in names]
    return {"type": "subscribe", "status": status, "subscriptions": rows}


def market_data(
    ltp: object, symbol: object = "NIFTY", exchange: object = "NSE_INDEX", **more: object
) -> dict[str, Any]:
    return {"type": "market_data", "symbol": symbol, "exchange": exchange, "mode": 1, "data": {"ltp": ltp, **more}}


def upgraded(conn: socket.socket) -> None:
    """Answer a WebSocket handshake by hand, and the authentication with it."""
    key = next(h.split(": ")[1] for h in conn.recv(4096).decode().split("\r\n") if h.startswith("Sec-WebSocket-Key"))
    accept = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()
    head = "HTTP/1.1 101 X\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
    conn.sendall((head + accept + "\r\n\r\n").encode())


def frame(text: str) -> bytes:
    payload = text.encode()
    size = bytes([len(payload)]) if len(payload) < 126 else b"\x7e" + len(payload).to_bytes(2, "big")
    return b"\x81" + size + payload
