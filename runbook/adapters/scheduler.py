"""The only door to APScheduler: an alarm clock in memory. It wakes; it never works, and it remembers nothing."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.memory import MemoryJobStore
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.interval import IntervalTrigger

from runbook.clock import Clock, host_now

# Not a DateTrigger: a trigger that ends has its job removed, and that raises in the scheduler's thread during a shutdown.
_NEVER_AGAIN = IntervalTrigger(days=36_500, timezone=UTC)
PULSE = 15.0  # seconds: caps every sleep, so a suspend, a stepped clock or a lost wake-up costs at most this


class AlarmClock:
    """Calls `wake` at a set instant, or `early` real seconds before it, and on every pulse; `wake` must neither raise nor block."""

    def __init__(self, clock: Clock, wake: Callable[[], None], early: float = 0.0) -> None:
        self._clock = clock
        self._wake = wake
        self._early = early
        self._scheduler = BackgroundScheduler(
            timezone=UTC,
            jobstores={"default": MemoryJobStore()},
            executors={"default": ThreadPoolExecutor(max_workers=1)},
            job_defaults={"misfire_grace_time": None, "coalesce": True, "max_instances": 1},
        )

    def start(self) -> None:
        self._scheduler.start()
        seconds = max(0.25, self._clock.real(PULSE))
        self._scheduler.add_job(self._wake, IntervalTrigger(seconds=seconds, timezone=UTC), id="pulse")

    def at(self, instant: datetime) -> None:
        """Wake at `instant` of the engine's clock; the last call counts."""
        delay = max(0.0, self._clock.real((instant - self._clock.now()).total_seconds()) - self._early)
        # APScheduler sleeps by the host's clock, whatever clock the engine lives by.
        when = host_now() + timedelta(seconds=delay)
        self._scheduler.add_job(self._wake, _NEVER_AGAIN, id="due", next_run_time=when, replace_existing=True)

    def stop(self) -> None:
        self._scheduler.shutdown(wait=False)
