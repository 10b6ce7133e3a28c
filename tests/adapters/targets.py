"""What notifications are sent to in tests, on loopback: an HTTP receiver, targets that hang or drip, Telegram, mail."""

from __future__ import annotations

import json
import re
import socket
import socketserver
import ssl
import threading
from contextlib import contextmanager
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import trustme
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult

if TYPE_CHECKING:
    from collections.abc import Iterator

AUTHORITY = trustme.CA()  # vouches for what stands in for the world; lives as long as the tests
TOKEN = "123456789:AAFxm-secret_secret_secret_secret_xyz"
CHAT = -1001234567890


class Receiver:
    """An HTTP server that keeps what it is sent and answers `status`."""

    def __init__(self, port: int = 0) -> None:
        self.got: list[dict] = []
        self.status = 200
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                outer.got.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(outer.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self.server.server_port


class Telegram:
    """The Bot API's sendMessage behind an HTTPS proxy, as far as a sender sees it; it checks HTML as the real one does.

    Reached by the real plug-in, unchanged: HTTPS_PROXY leads api.telegram.org here, REQUESTS_CA_BUNDLE trusts its certificate.
    """

    def __init__(self) -> None:
        self.got: list[dict] = []
        self.methods: list[str] = []
        self.flooded = False
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        AUTHORITY.issue_cert("api.telegram.org").configure_cert(tls)
        outer = self

        class Api(BaseHTTPRequestHandler):
            def do_POST(self):
                payload = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                code, description = outer.judge(self.path, payload)
                answer: dict = {"ok": code == 200}
                if code == 200:
                    answer["result"] = {"message_id": len(outer.got)}
                else:
                    answer |= {"error_code": code, "description": description}
                if code == 429:
                    answer["parameters"] = {"retry_after": 30}
                body = json.dumps(answer).encode()
                self.send_response(code)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        class Proxy(socketserver.StreamRequestHandler):
            def handle(self):
                connect = self.rfile.readline().decode()
                while self.rfile.readline().strip():
                    pass
                assert connect.startswith("CONNECT api.telegram.org:443 "), connect
                self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                with tls.wrap_socket(self.request, server_side=True) as secured:
                    Api(secured, self.client_address, self.server)

        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Proxy)
        self.server.daemon_threads = True
        self.port = self.server.server_address[1]

    def judge(self, path: str, payload: dict) -> tuple[int, str]:
        match = re.fullmatch(r"/bot([^/]+)/(\w+)", path)
        assert match is not None
        self.methods.append(match[2])
        if match[1] != TOKEN:
            return 401, "Unauthorized"
        if self.flooded:
            return 429, "Too Many Requests: retry after 30"
        if payload["chat_id"] != CHAT:
            return 400, "Bad Request: chat not found"
        if payload.get("parse_mode") != "HTML":
            return 400, "Bad Request: the stand-in knows HTML only"
        bare = re.sub(r"</?(b|i|u|s|code|pre)>", "", payload["text"])
        if "<" in bare or ">" in bare or re.search(r"&(?!(lt|gt|amp|quot|#\d+);)", bare):
            return 400, "Bad Request: can't parse entities"
        if len(payload["text"]) > 4096:
            return 400, "Bad Request: message is too long"
        self.got.append(payload)
        return 200, ""


class Mailbox:
    """A real SMTP server with a login, in clear, or with `tls` from the first byte (`ssl`) or on demand (`starttls`)."""

    def __init__(self, *, tls: ssl.SSLContext | None = None, mode: str = "") -> None:
        self.got: list = []
        self.refuse: set[str] = set()

        def login(server, session, envelope, mechanism, data):
            return AuthResult(success=data.login == b"desk" and data.password == b"pass-word-9", handled=False)

        class Server(SMTP):
            def __init__(self, handler, **kwargs):
                more: dict[str, Any] = {"tls_context": tls, "require_starttls": True} if mode == "starttls" else {}
                super().__init__(handler, authenticator=login, auth_require_tls=False, **more, **kwargs)

        class Own(Controller):
            def factory(self):
                return Server(self.handler, hostname="mail.test")

        implicit: dict[str, Any] = {"ssl_context": tls} if mode == "ssl" else {}
        self.controller = Own(self, hostname="127.0.0.1", port=free_port(), **implicit)

    @property
    def port(self) -> int:
        return self.controller.port

    async def handle_RCPT(self, server, session, envelope, address, options):
        if not session.authenticated:
            return "530 log in first"
        if address in self.refuse:
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        self.got.append(message_from_bytes(envelope.content, policy=policy.default))
        return "250 accepted"


class Tarpit:
    """Accepts, reads a request, and never finishes an answer: silent, or one byte of a header every `drip` seconds."""

    def __init__(self, *, drip: float | None = None, smtp: bool = False) -> None:
        self.reached = threading.Event()
        self.over = threading.Event()
        self._drip, self._smtp = drip, smtp
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                link, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(link,), daemon=True).start()

    def _serve(self, link: socket.socket) -> None:
        with link:
            try:
                self._mail(link) if self._smtp else link.recv(65536)
                self.reached.set()
                if self._drip is None:
                    self.over.wait(30)
                    return
                link.sendall(b"HTTP/1.1 200 OK\r\nX-Slow: ")
                while not self.over.wait(self._drip):
                    link.sendall(b"x")
            except OSError:
                pass

    def _mail(self, link: socket.socket) -> None:
        """Take a whole message, and say nothing to its end."""
        link.sendall(b"220 tarpit\r\n")
        reader = link.makefile("rb")
        for line in reader:
            link.sendall(b"354 go on\r\n" if line.upper().startswith(b"DATA") else b"250 OK\r\n")
            if line.upper().startswith(b"DATA"):
                break
        for line in reader:
            if line == b".\r\n":
                return

    def close(self) -> None:
        self.over.set()
        self._listener.close()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


@contextmanager
def running(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
