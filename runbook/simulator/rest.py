"""The REST side: one Starlette app that lets a request through the gates of the real server, in their order."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Mapping
from email.utils import format_datetime

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from runbook.simulator import answers, forms, ledger
from runbook.simulator.answers import NOT_ALLOWED, Endpoint, bad
from runbook.simulator.faults import Fault
from runbook.simulator.forms import KEY_ONLY
from runbook.simulator.openalgo import OpenAlgo

_SLICE = 0.02  # real seconds between looks at a fault that holds an answer back
_UNREADABLE = "The browser (or proxy) sent a request that this server could not understand."
_HTML = "text/html; charset=utf-8"
_PAGE = '<!doctype html>\n<html lang="en">\n  <head>\n    <meta charset="UTF-8" />\n    <title>OpenAlgo</title>\n'
_PAGE += '  </head>\n  <body>\n    <div id="root"></div>\n  </body>\n</html>\n'
_BAD_GATEWAY = (
    "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n"
    "<hr><center>nginx/1.24.0 (Ubuntu)</center>\r\n</body>\r\n</html>\r\n"
)
_REDIRECT = (
    "<!doctype html>\n<html lang=en>\n<title>Redirecting...</title>\n<h1>Redirecting...</h1>\n<p>You should be redirected "
    'automatically to the target URL: <a href="/rate-limited">/rate-limited</a>. If not, click the link.\n'
)
_NO_COOKIE = "Session not found - please refresh page"

_POST: Mapping[str, Endpoint] = {
    "ping": Endpoint(answers.ping, KEY_ONLY),
    "analyzer": Endpoint(answers.analyzer, KEY_ONLY, repr_errors=True),
    "analyzer/toggle": Endpoint(answers.toggle, forms.TOGGLE, repr_errors=True),
    "quotes": Endpoint(answers.quotes, forms.INSTRUMENT),
    "multiquotes": Endpoint(answers.multiquotes, forms.INSTRUMENTS),
    "depth": Endpoint(answers.depth, forms.INSTRUMENT, key="none"),
    "history": Endpoint(answers.history, forms.HISTORY),
    "intervals": Endpoint(answers.intervals, KEY_ONLY),
    "symbol": Endpoint(answers.symbol, forms.INSTRUMENT),
    "search": Endpoint(answers.search, forms.SEARCH, key="key"),
    "market/holidays": Endpoint(answers.holidays, forms.HOLIDAYS, key="none"),
    "market/timings": Endpoint(answers.timings, forms.TIMINGS, key="none"),
    "telegram/notify": Endpoint(answers.telegram, forms.TELEGRAM, key="none"),
    "funds": Endpoint(ledger.funds, KEY_ONLY),
    "orderbook": Endpoint(ledger.orderbook, KEY_ONLY),
    "tradebook": Endpoint(ledger.tradebook, KEY_ONLY),
    "positionbook": Endpoint(ledger.positionbook, KEY_ONLY),
    "holdings": Endpoint(ledger.holdings, KEY_ONLY),
    "pnl/symbols": Endpoint(ledger.pnl_symbols, KEY_ONLY),
    "openposition": Endpoint(ledger.openposition, forms.OPEN_POSITION),
    "orderstatus": Endpoint(ledger.orderstatus, forms.ORDER_STATUS, repr_errors=True),
    "placeorder": Endpoint(ledger.placeorder, forms.ORDER, repr_errors=True, calls_per_second=10),
    "cancelorder": Endpoint(ledger.cancelorder, forms.ORDER_STATUS, repr_errors=True, calls_per_second=10),
}
_PREFIX = "/api/v1/"
_HEALTH = {"/health/status": (300, 60.0), "/health/check": (60, 60.0)}


class Rest:
    """Answers HTTP for one OpenAlgo; everything runs on the server's loop, so its state needs no lock here."""

    def __init__(self, server: OpenAlgo) -> None:
        self._server = server
        self._windows: dict[str, deque[float]] = {}
        methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]
        self.app = Starlette(routes=[Route("/{path:path}", self._serve, methods=methods)])

    async def _serve(self, request: Request) -> Response:
        server, faults = self._server, self._server.faults
        path = request.url.path
        server.note(request.method, path)
        body = await _body(request)
        if Fault.HANG in faults:
            while Fault.HANG in faults:  # noqa: ASYNC110 - the switch is thrown from any thread
                await asyncio.sleep(_SLICE)
        elif Fault.SLOW in faults:
            await self._late(faults.seconds(Fault.SLOW))
        response = self._answer(request.method, path, request.headers.get("content-type", ""), body)
        response.headers["Date"] = format_datetime(server.now(), usegmt=True)
        return response

    async def _late(self, seconds: float) -> None:
        """Hold the answer back, in real seconds, but no longer than the fault is on: a stop must not wait for it."""
        for _ in range(int(seconds / _SLICE)):
            if Fault.SLOW not in self._server.faults:
                return
            await asyncio.sleep(_SLICE)

    def _answer(self, method: str, path: str, content_type: str, body: bytes) -> Response:
        faults = self._server.faults
        if Fault.HTML_502 in faults:
            return Response(_BAD_GATEWAY, 502, {"Content-Type": "text/html"})
        if Fault.BANNED in faults:
            return Response("Access Denied: Your IP has been banned", 403, {"Content-Type": "text/plain"})
        bare = path.rstrip("/") or "/"
        if method == "OPTIONS":
            return Response("", 200, {"Content-Type": _HTML})
        if method in ("GET", "HEAD"):
            return self._get(bare)
        endpoint = _POST.get(bare.removeprefix(_PREFIX)) if bare.startswith(_PREFIX) else None
        if method != "POST" or endpoint is None:
            return _missing(path)
        return self._post(bare, endpoint, content_type, body)

    def _post(self, path: str, endpoint: Endpoint, content_type: str, body: bytes) -> Response:
        if Fault.RATE_LIMITED in self._server.faults or self._over(path, endpoint.calls_per_second, 1.0):
            return _restx({"message": f"{endpoint.calls_per_second} per 1 second"}, 429)
        if not content_type.split(";", maxsplit=1)[0].strip().lower().endswith("json"):
            return _json(bad("An unexpected error occurred", 500))
        try:
            asked = json.loads(body)
        except (ValueError, RecursionError):
            return _restx({"message": _UNREADABLE}, 400)
        if not isinstance(asked, dict):
            return _restx({"message": "Internal Server Error"}, 500)
        if wrong := forms.errors_of(endpoint.form, asked):
            return _json(bad(str(wrong) if endpoint.repr_errors else wrong, 400))
        return _json(self._admitted(endpoint, asked))

    def _admitted(self, endpoint: Endpoint, asked: forms.Body) -> answers.Answer:
        key = asked.get("apikey")
        refused = (endpoint.key == "session" and not self._server.admits(key)) or (
            endpoint.key == "key" and not self._server.knows_key(key)
        )
        return bad(NOT_ALLOWED, 403) if refused else endpoint.answer(self._server, asked)

    def _over(self, path: str, most: int, window: float) -> bool:
        """True when this call is one too many; seconds are the clock's, so a rehearsal is not punished for its pace."""
        now = self._server.clock.monotonic()
        seen = self._windows.setdefault(path, deque())
        while seen and seen[0] <= now - window:
            seen.popleft()
        if len(seen) >= most:
            return True
        seen.append(now)
        return False

    # -- GET ---------------------------------------------------------------------------------------------------------

    def _get(self, path: str) -> Response:
        if path in _HEALTH:
            if Fault.RATE_LIMITED in self._server.faults or self._over(path, *_HEALTH[path]):
                return Response(_REDIRECT, 302, {"Content-Type": _HTML, "Location": "/rate-limited"})
            return _plain(self._health(full=path.endswith("check")))
        if path == "/api/config/host":
            return _plain({"host_server": "http://127.0.0.1:5000", "is_localhost": True})
        if path in ("/api/websocket/health", "/api/websocket/status"):
            state = {"healthy": False} if path.endswith("health") else {"authenticated": False, "connected": False}
            return _plain({**state, "message": _NO_COOKIE, "status": "error"})
        if path == "/auth/session-status":
            says = {"authenticated": False, "logged_in": False, "message": "Not authenticated", "status": "success"}
            return _plain(says)
        if path in ("/", "/rate-limited"):
            return Response(_PAGE, 200, {"Content-Type": _HTML})
        return _missing(path)

    def _health(self, *, full: bool) -> dict[str, object]:
        """Green whatever the broker and the stream do: the real one sees neither."""
        says: dict[str, object] = {
            "description": "OpenAlgo Trading Platform",
            "serviceId": "openalgo",
            "status": "pass",
            "version": "1.0",
        }
        if full:
            at = self._server.now().strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            whole = self._server.now().strftime("%Y-%m-%dT%H:%M:%SZ")
            seen = {"componentId": "fd_count", "observedUnit": "count", "observedValue": 44}
            memory = {"componentId": "rss", "observedUnit": "MiB", "observedValue": 369.07}
            proxy = {"componentId": "websocket_proxy", "observedUnit": "count", "observedValue": 0}
            says["checks"] = {
                "database:connectivity": [
                    {"componentId": c, "status": "pass", "time": at} for c in ("openalgo", "logs", "latency")
                ],
                "system:file-descriptors": [{**seen, "status": "pass", "time": whole}],
                "system:memory": [{**memory, "status": "pass", "time": whole}],
                "websocket:proxy": [{**proxy, "status": "pass", "time": at}],
            }
        return says


async def _body(request: Request) -> bytes:
    try:
        return await request.body()
    except ClientDisconnect:
        return b""


def _json(answer: answers.Answer) -> Response:
    return _plain(answer.payload, answer.status)


def _plain(payload: Mapping[str, object], status: int = 200) -> Response:
    text = json.dumps(payload, sort_keys=True, separators=(",", ":")) + "\n"
    return Response(text, status, {"Content-Type": "application/json"})


def _restx(payload: Mapping[str, object], status: int) -> Response:
    """An answer of the framework below, which spaces its JSON and knows no `status`."""
    return Response(json.dumps(payload) + "\n", status, {"Content-Type": "application/json"})


def _missing(path: str) -> Response:
    if path.startswith("/api/"):
        return _json(bad("Not found", 404, path=path))
    return Response(_PAGE, 404, {"Content-Type": _HTML})
