"""Who listens to a stream in tests, and the shortest server a stream can talk to."""

from __future__ import annotations

import json
import queue
from collections.abc import Callable
from typing import Any

import pytest
from websockets.sync.server import ServerConnection

from runbook.clock import host_monotonic
from runbook.feed.events import StreamEvent, TickReceived, Ticks
from tests.adapters.replay import ack, auth_ok


class Heard(queue.Queue[StreamEvent]):
    """A queue that takes a batch of ticks apart, for tests that do not ask how they came."""

    def put(self, item: StreamEvent, block: bool = True, timeout: float | None = None) -> None:
        parts = [TickReceived(item.generation, t, item.at) for t in item.ticks] if isinstance(item, Ticks) else [item]
        for part in parts:
            super().put(part, block, timeout)


class Ear:
    """Collects what a stream emits, ticks one by one; waits for it with a deadline."""

    def __init__(self) -> None:
        self.heard: Heard = Heard()

    def next(self, within: float = 5) -> StreamEvent:
        try:
            return self.heard.get(timeout=within)
        except queue.Empty:
            pytest.fail(f"nothing was emitted within {within} s")

    def until(self, kind: type[StreamEvent], within: float = 5) -> list[StreamEvent]:
        """All events up to the first of `kind`, that one last."""
        got: list[StreamEvent] = []
        deadline = host_monotonic() + within
        while not got or not isinstance(got[-1], kind):
            got.append(self.next(max(0.01, deadline - host_monotonic())))
        return got

    def rest(self) -> list[StreamEvent]:
        got = []
        while not self.heard.empty():
            got.append(self.heard.get())
        return got


def says(*frames: Any) -> Callable[[ServerConnection], None]:
    """Authenticates, acknowledges NIFTY, then sends these frames (bytes as binary, str as they are) and stays."""

    def script(ws: ServerConnection) -> None:
        ws.recv()
        ws.send(json.dumps(auth_ok()))
        ws.recv()
        ws.send(json.dumps(ack("NIFTY")))
        for each in frames:
            ws.send(each if isinstance(each, str | bytes) else json.dumps(each))
        for _ in ws:
            pass

    return script
