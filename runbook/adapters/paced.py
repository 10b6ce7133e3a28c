"""HTTP calls that end when they must: a deadline for the whole answer, and a stop that is noticed while waiting.

requests' time-outs hold for one socket operation: a server that sends a byte a second is never late by them. So every read of
status line, headers and body goes through `_Paced`, which knows when the whole call must be over.
"""

from __future__ import annotations

import http.client
import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

from runbook.clock import host_monotonic

_SLICE = 0.25  # real seconds: how soon a call that waits notices that it was given up


@dataclass(slots=True)
class Wait:
    """How long one call may take: until `until` (host seconds) in all, `idle` seconds between two bytes, while `stop` is not set.

    `ended` says in words why it was cut off; None while it was not.
    """

    until: float
    idle: float
    stop: threading.Event
    began: float = 0.0
    ended: str | None = None

    def __post_init__(self) -> None:
        self.began = host_monotonic()


class _Current(threading.local):
    wait: Wait | None = None


_current = _Current()


@contextmanager
def within(wait: Wait) -> Iterator[None]:
    """Calls of this thread over a session with a `PacedAdapter` keep to `wait`."""
    _current.wait = wait
    try:
        yield
    finally:
        _current.wait = None


def causes(e: BaseException) -> list[BaseException]:
    """An exception and all that it wraps: the libraries hide causes in `args`, `reason`, `__cause__` and `__context__`."""
    found: list[BaseException] = []
    todo: list[object] = [e]
    while todo and len(found) < 20:
        at = todo.pop(0)
        if not isinstance(at, BaseException) or any(at is f for f in found):
            continue
        found.append(at)
        todo += [getattr(at, "reason", None), *at.args, at.__cause__, at.__context__]
    return found


class _Paced(io.RawIOBase):
    """A socket's reading side that gives up at the call's deadline, or when the call is given up."""

    def __init__(self, raw: io.RawIOBase, sock: Any, wait: Wait) -> None:
        super().__init__()
        self._raw = raw  # the socket's own file object: closing it lets the socket go
        self._sock = sock
        self._wait = wait

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        wait = self._wait
        quiet_until = host_monotonic() + wait.idle
        while True:
            now = host_monotonic()
            if wait.stop.is_set():
                wait.ended = "given up"
            elif now >= wait.until:
                wait.ended = f"the answer was not complete after {now - wait.began:.3g} s"
            elif now >= quiet_until:
                wait.ended = f"nothing came for {wait.idle:.3g} s"
            if wait.ended is not None:
                raise TimeoutError(wait.ended)
            self._sock.settimeout(max(0.001, min(_SLICE, wait.until - now, quiet_until - now)))
            try:
                return int(self._sock.recv_into(buffer))
            except TimeoutError:
                continue

    def close(self) -> None:
        if not self.closed:
            self._raw.close()
            super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, sock: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        if _current.wait is not None:
            self.fp = io.BufferedReader(_Paced(self.fp.detach(), sock, _current.wait))


class _Connection(HTTPConnection):
    response_class = _Response


class _TlsConnection(HTTPSConnection):
    response_class = _Response


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _TlsConnection


_POOLS = {"http": _Pool, "https": _TlsPool}


class PacedAdapter(HTTPAdapter):
    """For `Session.mount`: direct connections, and those through a proxy, whose reads keep to `within`."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **kwargs)
        manager.pool_classes_by_scheme = _POOLS
        return manager
