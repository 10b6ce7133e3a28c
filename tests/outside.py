"""A dead-man's switch on loopback: healthchecks' ping API as far as a sender sees it."""

from __future__ import annotations

import threading
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CHECK = "3b6d2c1e-0000-4000-8000-secretsecret"


class Server:
    """Healthchecks' ping API as far as a sender sees it."""

    def __init__(self) -> None:
        self.got: list[tuple[str, str]] = []
        self.status, self.says = 200, "OK"
        self.held = threading.Event()
        self.hangs = self.drips = False
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                outer.got.append((self.path, body))
                if outer.hangs:
                    outer.held.wait(20)
                    return
                if outer.drips:
                    with suppress(OSError):
                        for byte in b"HTTP/1.1 200 OK\r\n" + b"X-Slow: 1\r\n" * 100:
                            self.wfile.write(bytes([byte]))
                            if outer.held.wait(0.05):
                                return
                    return
                self.send_response(outer.status)
                if outer.status == 302:
                    self.send_header("Location", "http://127.0.0.1:9/elsewhere")
                self.send_header("Content-Length", str(len(outer.says)))
                self.end_headers()
                self.wfile.write(outer.says.encode())

            def log_message(self, *args):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/{CHECK}"
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def stop(self) -> None:
        self.held.set()
        self._server.shutdown()
        self._server.server_close()
