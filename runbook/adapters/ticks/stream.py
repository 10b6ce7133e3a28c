"""The stream's bytes: one reader thread per connection, which does all the sending too; whoever listens only enqueues.

A generation ends with exactly one `Closed` or `ConnectFailed`, unless `close()` or a newer `connect()` ended it: then
nothing more is emitted. Other threads leave a note and wake the reader, so two threads never write to one socket.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import select
import socket
import ssl
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import websocket
from websocket._abnf import frame_buffer

from runbook.adapters.ticks.dialogue import Dialogue
from runbook.clock import Clock, host_monotonic
from runbook.errors import StreamClosed, UsageError
from runbook.feed.events import Closed, ConnectFailed, StreamEvent
from runbook.market import Instrument
from runbook.redact import words

MAX_FRAME = 4 * 1024 * 1024
_PART = -1
_DOWN = frozenset({502, 503, 504})
_CLOSE_CODES = {
    1001: "OpenAlgo's stream is shutting down",
    1011: "OpenAlgo's stream failed, or missed our pongs",
    4401: "OpenAlgo's stream closed a connection that had not authenticated",
}

_Emit = Callable[[StreamEvent], None]
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a connection waits, in seconds of the host."""

    connect: float = 5.0  # for TCP, and once more for TLS and the handshake together
    reply: float = 15.0  # to authenticate or subscribe: as long as OpenAlgo gives a client to authenticate
    ping_every: float = 10.0
    pong_within: float = 5.0
    frame: float = 5.0  # a frame that has begun must end
    close: float = 1.5  # twice: for the listener to return, and for the reader to end


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
        self._lock = threading.Lock()
        self._link: _Link | None = None

    def __repr__(self) -> str:
        parts = urlsplit(self._url)
        return f"OpenAlgoStream({parts.scheme}://{parts.hostname})"

    def connect(self, generation: int, instruments: Sequence[Instrument], emit: _Emit) -> None:
        dialogue = Dialogue(generation, instruments, self._key, orders=self._orders)
        link = _Link(self._url, generation, dialogue, self._clock, self._patience, emit)
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

    def drop(self) -> None:
        self._let_go()

    def close(self) -> None:
        link = self._let_go()
        if link is not None:
            link.join(self._patience.close)

    def _held(self) -> _Link | None:
        with self._lock:
            return self._link

    def _let_go(self) -> _Link | None:
        with self._lock:
            link, self._link = self._link, None
        if link is not None:
            link.silence()
        return link


class _Gone(Exception):
    """How the reader leaves its loop: `event` says why, None when nobody wants to hear it."""

    def __init__(self, event: StreamEvent | None) -> None:
        super().__init__()
        self.event = event


class _Link:
    """One connection of one generation."""

    def __init__(
        self, url: str, generation: int, dialogue: Dialogue, clock: Clock, patience: Patience, sink: _Emit
    ) -> None:
        self._url = url
        self._generation = generation
        self._dialogue = dialogue
        self._clock = clock
        self._patience = patience
        self._sink = sink
        self._silent = threading.Event()
        self._emitting = threading.RLock()  # re-entrant: who listens may close from within
        self._again = threading.Event()
        self._authenticating = True  # what `_again` asks for
        self._newcomers: deque[Instrument] = deque()
        self._socket: socket.socket | None = None
        self._connecting = True
        self._reply_by: float | None = None
        self._woken, self._waker = socket.socketpair()
        self._wake_lock = threading.Lock()
        self._thread = threading.Thread(target=self._run, name=f"stream-{generation}", daemon=True)

    # --- from any thread ---------------------------------------------------------------------------------------------

    def start(self) -> None:
        self._thread.start()

    def ask_again(self, *, authenticate: bool) -> None:
        self._authenticating = authenticate
        self._again.set()
        self._wake()

    def follow(self, instruments: Sequence[Instrument]) -> None:
        self._newcomers.extend(instruments)
        self._wake()

    def silence(self) -> None:
        """Emit nothing from now on, and let the reader close the socket; an emit that is under way is waited for."""
        self._silent.set()
        if self._emitting.acquire(timeout=self._patience.close):
            self._emitting.release()
        self._wake()
        if self._connecting:
            self._cut()

    def join(self, seconds: float) -> None:
        if self._thread is threading.current_thread():
            return
        self._thread.join(seconds / 2)
        if self._thread.is_alive():  # the polite way is stuck in a dead peer, or in who listens
            self._cut()
            self._thread.join(seconds / 2)

    def _wake(self) -> None:
        with self._wake_lock, contextlib.suppress(OSError):
            self._waker.send(b"!")

    def _cut(self) -> None:
        sock = self._socket
        if sock is not None:
            with contextlib.suppress(OSError, ValueError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)  # not SSLSocket's own: that one is not for two threads

    # --- the reader thread -------------------------------------------------------------------------------------------

    def _run(self) -> None:
        end: StreamEvent | None = None
        ws: _WebSocket | None = None
        try:
            ws = self._open()
            self._converse(ws)
        except _Gone as gone:
            end = gone.event
        except Exception as e:  # noqa: BLE001  a reader that dies in silence is the very fault we are here to find
            _log.exception("stream %d: the reader failed", self._generation)
            end = Closed(self._generation, f"the reader failed: {type(e).__name__}")
        finally:
            self._shut(ws)
        if end is not None:
            self._emit(end)

    def _open(self) -> _WebSocket:
        """A connected WebSocket; raises _Gone with what went wrong."""
        guard = threading.Timer(self._patience.connect, self._cut)  # no time-out of a socket knows a dripping handshake
        guard.daemon = True
        try:
            # Our own socket: the library's would take a proxy from the environment, and could not be interrupted.
            self._socket = self._dial()
            guard.start()
            if self._silent.is_set():
                raise _Gone(None)
            if self._url.startswith("wss:"):
                context = ssl.create_default_context()
                host = urlsplit(self._url).hostname
                tls = context.wrap_socket(self._socket, server_hostname=host, do_handshake_on_connect=False)
                self._socket = tls
                tls.do_handshake()
            ws = websocket.create_connection(
                self._url,
                timeout=self._patience.connect,
                class_=_WebSocket,
                socket=self._socket,
                enable_multithread=True,
                skip_utf8_validation=True,  # its check is pure Python and costs six times all the rest; decoding checks too
                redirect_limit=0,  # the key goes to the configured address only
                suppress_origin=True,
            )
        except (OSError, websocket.WebSocketException, ValueError) as e:
            raise _Gone(self._no_connection(e)) from None
        finally:
            guard.cancel()
            self._connecting = False
        assert isinstance(ws, _WebSocket)
        ws.settimeout(min(1.0, self._patience.frame / 2))
        return ws

    def _dial(self) -> socket.socket:
        parts = urlsplit(self._url)
        port = parts.port or (443 if parts.scheme == "wss" else 80)
        sock = socket.create_connection((parts.hostname or "", port), self._patience.connect)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def _no_connection(self, e: Exception) -> ConnectFailed:
        failed = self._dialogue.failed
        if isinstance(e, ConnectionRefusedError):
            return failed("connection refused", refused=True, hint=StreamClosed.hint)
        if isinstance(e, websocket.WebSocketBadStatusException):
            if e.status_code in _DOWN:
                return failed(f"HTTP {e.status_code} from a proxy", refused=True, hint=StreamClosed.hint)
            return failed(f"no WebSocket at that address: HTTP {e.status_code}", hint="check `openalgo.stream`")
        if isinstance(e, ssl.SSLError):
            return failed(f"TLS failed: {e.reason or e}", hint="is `openalgo.stream` right about ws:// and wss://?")
        return failed(f"no connection: {_said(e)}")

    def _converse(self, ws: _WebSocket) -> None:
        """Authenticate, then read until the generation is over."""
        dialogue, patience, sock = self._dialogue, self._patience, self._socket
        assert sock is not None
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        poll.register(self._woken, select.POLLIN)
        link, note = sock.fileno(), self._woken.fileno()
        hidden = sock.pending if isinstance(sock, ssl.SSLSocket) else lambda: 0  # TLS holds bytes that poll cannot see
        next_ping = host_monotonic() + patience.ping_every
        pong_left: float | None = None  # seconds we may still wait for it; what who listens takes does not count
        last_chance = False
        dialogue.authenticate()
        while not self._silent.is_set():
            if self._again.is_set() and dialogue.awaited is None:
                self._again.clear()
                (dialogue.authenticate if self._authenticating else dialogue.subscribe_again)()
            if self._newcomers and dialogue.takes_more:
                dialogue.follow([self._newcomers.popleft() for _ in range(len(self._newcomers))])
            if dialogue.outbox:
                self._send_all(ws)
            asked = host_monotonic()
            if pong_left is None and asked >= next_ping:
                self._send(ws, "", websocket.ABNF.OPCODE_PING)
                pong_left, last_chance = patience.pong_within, False
                next_ping = asked + patience.ping_every
            wait = next_ping - asked if pong_left is None else pong_left
            if self._reply_by is not None:
                wait = min(wait, self._reply_by - asked)
            if ws.amid_frame:
                wait = min(wait, ws.frame_by - asked)
            ready = {link} if hidden() else {fd for fd, _ in poll.poll(max(0.0, wait) * 1000 + 1)}
            now = host_monotonic()
            if note in ready:
                self._woken.recv(64)
            if pong_left is not None:
                pong_left -= now - asked
                if pong_left <= 0:
                    if link not in ready or last_chance:
                        raise self._closed(f"no pong within {patience.pong_within:g} s of a ping")
                    # the host may have slept: read first what has come meanwhile
                    pong_left, last_chance = min(1.0, patience.pong_within), True
            if link in ready:
                opcode = self._read(ws, now)
                if opcode == websocket.ABNF.OPCODE_PONG:
                    pong_left = None
            if ws.amid_frame and host_monotonic() >= ws.frame_by:
                raise self._closed(f"a frame began and did not end within {patience.frame:g} s")
            if link not in ready and self._reply_by is not None and now >= self._reply_by:
                self._reply_by = None
                self._told(dialogue.unanswered(patience.reply))

    def _read(self, ws: _WebSocket, now: float) -> int:
        """Read one frame and act on it; its opcode, or _PART of one that is not complete yet."""
        if not ws.amid_frame:
            ws.frame_by = now + self._patience.frame
        try:
            opcode, frame = ws.recv_data_frame(control_frame=True)
        except websocket.WebSocketTimeoutException:
            # the library keeps what it has of a frame; and TLS wakes us for records of its own, with no frame in them
            return _PART
        except websocket.WebSocketConnectionClosedException:
            raise self._closed("the connection was lost without a close") from None
        except (OSError, websocket.WebSocketException, ValueError) as e:
            raise self._closed(f"the connection broke: {_said(e)}") from None
        payload = frame.data.encode() if isinstance(frame.data, str) else bytes(frame.data)
        if opcode == websocket.ABNF.OPCODE_TEXT:
            self._told(self._dialogue.hear(payload, self._clock.monotonic()))
            if self._dialogue.awaited is None:
                self._reply_by = None
        elif opcode == websocket.ABNF.OPCODE_BINARY:
            self._emit(self._dialogue.garbage(f"a binary frame of {len(payload)} bytes"))
        elif opcode == websocket.ABNF.OPCODE_CLOSE:
            code = int.from_bytes(payload[:2], "big") if len(payload) >= 2 else None
            said = words(payload[2:].decode("utf-8", "replace"), "")
            known = _CLOSE_CODES.get(code or 0, "closed by the server")
            raise self._closed(f"{known} ({said})" if said else known, code)
        return int(opcode)

    def _told(self, event: StreamEvent | None) -> None:
        """Pass on what a frame meant; a failure ends the generation."""
        if isinstance(event, ConnectFailed):
            raise _Gone(event)
        if event is not None:
            self._emit(event)

    def _send_all(self, ws: _WebSocket) -> None:
        for frame in self._dialogue.outbox:
            self._send(ws, frame)
        self._dialogue.outbox.clear()
        self._reply_by = host_monotonic() + self._patience.reply

    def _send(self, ws: _WebSocket, payload: str, opcode: int = websocket.ABNF.OPCODE_TEXT) -> None:
        try:
            ws.send(payload, opcode)
        except (OSError, websocket.WebSocketException) as e:
            raise self._closed(f"sending failed: {_said(e)}") from None

    def _emit(self, event: StreamEvent) -> None:
        with self._emitting:
            if not self._silent.is_set():
                self._sink(event)

    def _closed(self, reason: str, code: int | None = None) -> _Gone:
        return _Gone(Closed(self._generation, reason, code))

    def _shut(self, ws: _WebSocket | None) -> None:
        """Say goodbye if that is possible at once, and free every descriptor."""
        sock = self._socket
        if ws is not None and ws.connected:
            with contextlib.suppress(OSError, ValueError, websocket.WebSocketException):
                ws.settimeout(0.2)
                ws.send_close()
                until = host_monotonic() + 0.2
                # What is unread when a socket closes makes it a reset, and the goodbye is lost with it.
                while sock is not None and host_monotonic() < until and sock.recv(65536):
                    pass
        if sock is not None:
            self._cut()
            with contextlib.suppress(OSError):
                sock.close()
        with self._wake_lock:
            self._woken.close()
            self._waker.close()


class _Frames(frame_buffer):
    """The library's frames, refusing one that would fill the memory."""

    def recv_length(self) -> None:
        super().recv_length()
        if self.length is not None and self.length > MAX_FRAME:
            raise websocket.WebSocketProtocolException(f"a frame of {self.length} bytes")


class _WebSocket(websocket.WebSocket):
    """The library's WebSocket, which knows when the frame it reads must be complete."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.frame_by = host_monotonic()
        self.frame_buffer = _Frames(self._recv, skip_utf8_validation=True)

    @property
    def amid_frame(self) -> bool:
        return bool(self.frame_buffer.recv_buffer) or not self.frame_buffer.needs_header()

    def _recv(self, bufsize: int) -> Any:
        left = self.frame_by - host_monotonic()
        if left <= 0:
            raise websocket.WebSocketTimeoutException("the frame is late")
        return super()._recv(bufsize)  # type: ignore[no-untyped-call]  # the library has no types here


def _said(e: BaseException) -> str:
    if isinstance(e, TimeoutError | websocket.WebSocketTimeoutException):
        return "timed out"
    if isinstance(e, OSError) and e.errno in {errno.EHOSTUNREACH, errno.ENETUNREACH}:
        return "the host cannot be reached"
    text = (e.strerror if isinstance(e, OSError) else None) or str(e) or type(e).__name__
    return " ".join(text.split())[:200]
