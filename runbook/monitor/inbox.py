"""Where events wait to be taken in: in the order in which they came, by one thread at a time, whichever it is."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Generic, TypeVar

T = TypeVar("T")


class Inbox(Generic[T]):
    """Hands what is put into it to `take`. One thread owns it; one that brings much may take in what waits itself.

    What `take` raises is raised in the owner's next turn, and nothing more is taken; nor is it after `close`.
    """

    def __init__(self, take: Callable[[T], None]) -> None:
        self._take = take
        self._waiting: deque[T] = deque()
        self._woken = threading.Event()
        self._turn = threading.Lock()
        self._wanted = False  # the owner waits for his turn, and nobody comes before him
        self._fault: Exception | None = None
        self._closed = False

    def put(self, item: T) -> None:
        """Leave it for the owner, and wake him. From any thread; never waits."""
        self._waiting.append(item)
        self._woken.set()

    def bring(self, item: T) -> None:
        """Take it in on this thread, after all that waits, or leave it to whoever is at it. Never waits, never raises.

        For what comes hundreds of times a second: to wake another thread for it costs more than to take it.
        """
        self._waiting.append(item)
        if self._wanted or not self._turn.acquire(blocking=False):
            self._woken.set()
            return
        try:
            with suppress(Exception):  # kept for the owner
                self._empty()
        finally:
            self._turn.release()

    # -- the owner's ------------------------------------------------------------------------------------------------

    def wait(self, seconds: float) -> None:
        """Until something is put, or so long."""
        self._woken.wait(seconds)
        self._woken.clear()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Nobody takes anything meanwhile: what `take` changes may be changed here."""
        self._wanted = True
        with self._turn:
            self._wanted = False
            yield

    def take(self) -> None:
        """Take what waits by now; raises what was raised on any thread."""
        with self.turn():
            self._empty()

    def close(self) -> None:
        """Within a turn: what comes from now on is passed over."""
        self._closed = True

    def _empty(self) -> None:
        if self._fault is not None:
            raise self._fault
        try:
            for _ in range(0 if self._closed else len(self._waiting)):
                self._take(self._waiting.popleft())
        except Exception as exc:
            self._fault = exc
            self._woken.set()
            raise
