"""How a connection comes about: TCP, TLS and the handshake, each under a deadline, and in words why it did not."""

from __future__ import annotations

import contextlib
import errno
import socket
import ssl
import threading
from collections.abc import Callable
from urllib.parse import urlsplit

import websocket

from runbook.adapters.trust import authorities
from runbook.errors import StreamClosed
from runbook.feed.events import ConnectFailed

_DOWN = frozenset({502, 503, 504})


class NotConnected(Exception):
    """`failed` says why; None when it was given up, and nobody wants to hear it."""

    def __init__(self, failed: ConnectFailed | None) -> None:
        super().__init__()
        self.failed = failed


class Dial:
    """One attempt to reach `url`, and the socket it leads to. `failed` makes the event of words and a hint."""

    def __init__(self, url: str, seconds: float, failed: Callable[..., ConnectFailed]) -> None:
        self._url = url
        self._seconds = seconds
        self._failed = failed
        self._connecting = True
        self._given_up = threading.Event()
        self.socket: socket.socket | None = None

    # --- from any thread ---------------------------------------------------------------------------------------------

    def give_up(self) -> None:
        """No connection is wanted any more; one that stands is not touched."""
        self._given_up.set()
        if self._connecting:
            self.cut()

    def cut(self) -> None:
        """Whoever waits on the socket returns."""
        sock = self.socket
        if sock is not None:
            with contextlib.suppress(OSError, ValueError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)  # not SSLSocket's own: that one is not for two threads

    # --- the thread that connects ------------------------------------------------------------------------------------

    def connect(self) -> websocket.WebSocket:
        """A connected WebSocket; raises NotConnected. Blocks for TCP, and once more for TLS and the handshake together."""
        late = threading.Event()

        def too_late() -> None:
            late.set()
            self.cut()

        guard = threading.Timer(self._seconds, too_late)  # no time-out of a socket knows a dripping handshake
        guard.daemon = True
        try:
            # Our own socket: the library's would take a proxy from the environment, and could not be interrupted.
            self.socket = self._reach()
            guard.start()
            if self._given_up.is_set():
                raise NotConnected(None)
            if self._url.startswith("wss:"):
                context = ssl.create_default_context(cafile=authorities())
                host = urlsplit(self._url).hostname
                tls = context.wrap_socket(self.socket, server_hostname=host, do_handshake_on_connect=False)
                self.socket = tls
                tls.do_handshake()
            ws = websocket.create_connection(
                self._url,
                timeout=self._seconds,
                socket=self.socket,
                enable_multithread=True,
                redirect_limit=0,  # the key goes to the configured address only
                suppress_origin=True,
            )
        except (OSError, websocket.WebSocketException, ValueError) as e:
            raise NotConnected(self._why(e)) from None
        finally:
            guard.cancel()
            self._connecting = False
        if late.is_set():  # in the very instant in which the handshake ended
            raise NotConnected(self._why(TimeoutError()))
        return ws

    def _reach(self) -> socket.socket:
        parts = urlsplit(self._url)
        port = parts.port or (443 if parts.scheme == "wss" else 80)
        sock = socket.create_connection((parts.hostname or "", port), self._seconds)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return sock

    def _why(self, e: Exception) -> ConnectFailed:
        if isinstance(e, ConnectionRefusedError):
            return self._failed("connection refused", refused=True, hint=StreamClosed.hint)
        if isinstance(e, websocket.WebSocketBadStatusException):
            if e.status_code in _DOWN:
                return self._failed(f"HTTP {e.status_code} from a proxy", refused=True, hint=StreamClosed.hint)
            return self._failed(f"no WebSocket at that address: HTTP {e.status_code}", hint="check `openalgo.stream`")
        if isinstance(e, ssl.SSLError):
            return self._failed(
                f"TLS failed: {e.reason or e}",
                hint="is `openalgo.stream` right about ws:// and wss://? Where your own authority signed the certificate, SSL_CERT_FILE names it",
            )
        return self._failed(f"no connection: {said_of(e)}")


def said_of(e: BaseException) -> str:
    """A fault of a socket in a few words."""
    if isinstance(e, TimeoutError | websocket.WebSocketTimeoutException):
        return "timed out"
    if isinstance(e, OSError) and e.errno in {errno.EHOSTUNREACH, errno.ENETUNREACH}:
        return "the host cannot be reached"
    text = (e.strerror if isinstance(e, OSError) else None) or str(e) or type(e).__name__
    return " ".join(text.split())[:200]
