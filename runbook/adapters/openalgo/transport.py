"""The only file that speaks HTTP: an allow-list of reads, each with a deadline, a size cap, and the key in its body only."""

from __future__ import annotations

import http.client
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from http.cookiejar import DefaultCookiePolicy
from types import MappingProxyType

import requests
from urllib3.exceptions import NameResolutionError, NewConnectionError, ProtocolError

from runbook.adapters.openalgo.address import parsed, shown
from runbook.adapters.paced import PacedAdapter, Wait, causes, within
from runbook.adapters.trust import authorities
from runbook.budget import Budget, BudgetSpent
from runbook.clock import host_monotonic
from runbook.errors import BadAnswer, GatewayError, GatewayUnreachable, UsageError

log = logging.getLogger(__name__)

MAX_BODY = 8 * 1024 * 1024
_SLOW = "OpenAlgo is up but hangs, or its broker does: see its log (`journalctl -u openalgo`); restart the unit if it stays so"
_TLS = (
    "is `openalgo.url` right about http:// and https://, and the certificate valid? Where your own authority signed it, "
    "SSL_CERT_FILE in the environment names its PEM file"
)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One call runbook may make. `broker`: the broker is asked behind it; `patience` multiplies the read time-out."""

    method: str
    path: str
    keyed: bool = True
    broker: bool = True
    patience: float = 1.0


# All that runbook can ask of OpenAlgo. Nothing here changes anything there: no order, no toggle, no path that is a guess
# (a 404 counts towards a ban of this host's address).
ENDPOINTS: Mapping[str, Endpoint] = MappingProxyType(
    {
        "health": Endpoint("GET", "/health/status", keyed=False, broker=False),
        "ping": Endpoint("POST", "/api/v1/ping", broker=False),
        "mode": Endpoint("POST", "/api/v1/analyzer", broker=False),
        "search": Endpoint("POST", "/api/v1/search", broker=False),
        "holidays": Endpoint("POST", "/api/v1/market/holidays", broker=False),
        "timings": Endpoint("POST", "/api/v1/market/timings", broker=False),
        "quotes": Endpoint("POST", "/api/v1/quotes"),
        "multiquotes": Endpoint("POST", "/api/v1/multiquotes", patience=2.0),  # some brokers are asked name by name
        "funds": Endpoint("POST", "/api/v1/funds"),
        "orders": Endpoint("POST", "/api/v1/orderbook"),
        "trades": Endpoint("POST", "/api/v1/tradebook"),
        "positions": Endpoint("POST", "/api/v1/positionbook"),
        "history": Endpoint("POST", "/api/v1/history", patience=2.5),  # 17 s were seen under the broker's rate limit
    }
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, whatever it was."""

    where: str  # "ping (POST http://127.0.0.1:5000/api/v1/ping)": how messages name the call
    endpoint: Endpoint
    status: int
    content_type: str
    location: str
    body: bytes
    date: str = ""  # the server's own clock


class Transport:
    """One keep-alive session to one OpenAlgo; threads may share it."""

    def __init__(self, url: str, api_key: str, connect_timeout: float, read_timeout: float) -> None:
        parts = parsed(url)
        self.shown = shown(parts)
        self._base = url.split("?", 1)[0].split("#", 1)[0].rstrip("/")
        self._key = api_key
        self._connect = connect_timeout
        self._read = read_timeout
        self._session = requests.Session()
        self._session.trust_env = False  # no proxy, no netrc from the environment: the key goes to this address only
        if parts.scheme == "https":
            self._session.verify = authorities() or True
        self._session.headers.update({"Accept-Encoding": "identity", "User-Agent": "runbook"})
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        adapter = PacedAdapter(pool_connections=1, pool_maxsize=8)
        self._session.mount("http://", adapter)
        self._session.mount("https://", adapter)

    def call(self, name: str, fields: Mapping[str, object], budget: Budget) -> Answer:
        """One read, answered before `budget` ends; raises GatewayUnreachable, BadAnswer or BudgetSpent."""
        endpoint = ENDPOINTS.get(name)
        if endpoint is None:
            raise UsageError(f"runbook never calls {name!r}: it only reads, and only {', '.join(ENDPOINTS)}")
        where = f"{name} ({endpoint.method} {self.shown}{endpoint.path})"
        read = self._read * endpoint.patience
        begun = host_monotonic()
        try:
            answer = self._send(where, endpoint, fields, budget, read)
        except _Stale:  # the server closed an idle connection just as it was used: a read may be asked again
            try:
                answer = self._send(where, endpoint, fields, budget, read)
            except _Stale as e:
                raise GatewayUnreachable(str(e)) from e
        log.debug(
            "%s: %d, %d bytes in %.0f ms", where, answer.status, len(answer.body), 1000 * (host_monotonic() - begun)
        )
        return answer

    def close(self) -> None:
        self._session.close()

    def _send(
        self, where: str, endpoint: Endpoint, fields: Mapping[str, object], budget: Budget, read: float
    ) -> Answer:
        connect = budget.take(self._connect)
        wait = Wait(until=host_monotonic() + budget.take(self._connect + read), idle=read, stop=budget.stop)
        body = {"apikey": self._key, **fields} if endpoint.keyed else None
        try:
            with (
                within(wait),
                self._session.request(
                    endpoint.method,
                    self._base + endpoint.path,
                    json=body,
                    timeout=(connect, budget.take(read)),
                    stream=True,
                    allow_redirects=False,
                ) as response,
            ):
                content = _content(where, response)
                headers = response.headers
                return Answer(
                    where,
                    endpoint,
                    response.status_code,
                    headers.get("Content-Type", "").lower(),
                    headers.get("Location", ""),
                    content,
                    headers.get("Date", ""),
                )
        except requests.RequestException as e:
            e.request = e.response = None  # the request's body holds the key: nothing that prints locals may reach it
            raise _failure(where, e, wait, connect) from e


def _content(where: str, response: requests.Response) -> bytes:
    pieces: list[bytes] = []
    size = 0
    for piece in response.iter_content(65536):
        size += len(piece)
        if size > MAX_BODY:
            raise BadAnswer(
                f"{where}: HTTP {response.status_code} with more than {MAX_BODY // 1024 // 1024} MiB of text"
            )
        pieces.append(piece)
    return b"".join(pieces)


class _Stale(GatewayUnreachable):
    """A kept connection was closed under the request."""


def _failure(where: str, e: requests.RequestException, wait: Wait, connect: float) -> GatewayError | BudgetSpent:
    """What a transport failure means; `wait.ended` knows more than the library's exception does."""
    found = causes(e)
    if wait.ended == "given up":
        return BudgetSpent(f"{where}: the step was given up while waiting for the answer")
    if wait.ended is not None:
        return GatewayUnreachable(f"{where}: connected, but {wait.ended}", hint=_SLOW)
    if any(isinstance(c, ConnectionRefusedError) for c in found):
        return GatewayUnreachable(f"{where}: connection refused")
    if any(isinstance(c, NameResolutionError) for c in found):
        return GatewayUnreachable(f"{where}: the host's name has no address", hint="check `openalgo.url` and the DNS")
    if isinstance(e, requests.exceptions.SSLError):
        return GatewayUnreachable(f"{where}: TLS failed: {_innermost(found)}", hint=_TLS)
    if isinstance(e, requests.ConnectTimeout):
        return GatewayUnreachable(f"{where}: no connection within {connect:.3g} s")
    if isinstance(e, requests.exceptions.ChunkedEncodingError | requests.exceptions.ContentDecodingError):
        return BadAnswer(f"{where}: the answer broke off: {_innermost(found)}")
    if any(isinstance(c, NewConnectionError) for c in found):
        return GatewayUnreachable(f"{where}: no connection: {_innermost(found)}")
    if any(isinstance(c, ConnectionResetError | BrokenPipeError) for c in found):
        return _Stale(f"{where}: the server closed the connection without an answer")
    if any(isinstance(c, http.client.HTTPException | ProtocolError) for c in found):
        return BadAnswer(f"{where}: the answer is not HTTP: {_innermost(found)}")
    return GatewayUnreachable(f"{where}: {_innermost(found)}")


def _innermost(causes: list[BaseException]) -> str:
    inner = next((c for c in reversed(causes) if isinstance(c, OSError) and c.strerror), causes[-1])
    text = getattr(inner, "strerror", None) or str(inner) or type(inner).__name__
    return str(text)[:200]
