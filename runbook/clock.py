"""The only file that reads the time; everything else is handed a Clock."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol

_SLICE = 0.02  # real seconds: how soon a sleeper of a RehearsalClock notices a jump


class Clock(Protocol):
    """What the engine asks of time.

    `now` is aware UTC wall time and may step; `monotonic` is seconds at the clock's own pace and never steps back.
    `real` says how many seconds of the host pass while `seconds` of this clock do: transport time-outs do not use it.
    """

    def now(self) -> datetime: ...
    def monotonic(self) -> float: ...
    def real(self, seconds: float) -> float: ...
    def wait(self, event: threading.Event, seconds: float) -> bool:
        """Wait for `event` at most `seconds` of this clock; True when the event is set."""
        ...


class SystemClock:
    """The host's clock."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    def real(self, seconds: float) -> float:
        return seconds

    def wait(self, event: threading.Event, seconds: float) -> bool:
        return event.wait(max(0.0, seconds))


class RehearsalClock:
    """A clock that starts at any instant, runs at `rate` times the host's pace, and can jump forward.

    Wall time and monotonic time move together, so a jump looks like time that passed, never like a stepped clock.
    """

    def __init__(self, start: datetime, rate: float = 1.0) -> None:
        if start.tzinfo is None:
            raise ValueError("a rehearsal starts at an aware datetime, such as 2026-11-23T08:00+05:30")
        self._start = start.astimezone(UTC)
        self._rate = rate
        self._elapsed = 0.0
        self._mark = time.monotonic()
        self._lock = threading.Lock()

    @property
    def rate(self) -> float:
        return self._rate

    def monotonic(self) -> float:
        with self._lock:
            return self._elapsed + (time.monotonic() - self._mark) * self._rate

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self.monotonic())

    def real(self, seconds: float) -> float:
        return seconds / self._rate

    def set_rate(self, rate: float) -> None:
        """Change the pace from this instant on."""
        with self._lock:
            self._settle()
            self._rate = rate

    def jump_to(self, instant: datetime) -> float:
        """Skip forward to `instant`; a past instant is no jump. Returns the seconds skipped."""
        with self._lock:
            self._settle()
            skipped = max(0.0, (instant - self._start).total_seconds() - self._elapsed)
            self._elapsed += skipped
            return skipped

    def wait(self, event: threading.Event, seconds: float) -> bool:
        until = self.monotonic() + seconds
        while (left := until - self.monotonic()) > 0:
            if event.wait(min(_SLICE, left / self._rate)):
                return True
        return event.is_set()

    def _settle(self) -> None:
        host = time.monotonic()
        self._elapsed += (host - self._mark) * self._rate
        self._mark = host


def host_monotonic() -> float:
    """Seconds of the host, for budgets of real work (sockets, jobs) that a rehearsal must not speed up."""
    return time.monotonic()


def host_now() -> datetime:
    """The host's wall time, for what sleeps by it although the engine lives by another clock."""
    return datetime.now(UTC)
