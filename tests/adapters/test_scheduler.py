"""The alarm clock wakes at an instant and on every pulse, and does nothing else."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest

from runbook.adapters.scheduler import AlarmClock
from runbook.clock import Clock, RehearsalClock, SystemClock

START = datetime(2026, 11, 23, 2, 30, tzinfo=UTC)
SOON = 5.0  # real seconds that a wake-up may take before a test fails


class Woken:
    """Counts wake-ups and lets a test wait for the n-th."""

    def __init__(self) -> None:
        self.times = 0
        self._changed = threading.Condition()

    def __call__(self) -> None:
        with self._changed:
            self.times += 1
            self._changed.notify_all()

    def reaches(self, times: int, seconds: float = SOON) -> bool:
        with self._changed:
            return self._changed.wait_for(lambda: self.times >= times, seconds)


Make = Callable[..., tuple[AlarmClock, Woken]]


@pytest.fixture
def make() -> Iterator[Make]:
    made: list[AlarmClock] = []

    def alarm(clock: Clock, wake: Callable[[], None] | None = None) -> tuple[AlarmClock, Woken]:
        woken = Woken()
        made.append(AlarmClock(clock, wake or woken))
        made[-1].start()
        return made[-1], woken

    yield alarm
    for one in made:
        one.stop()


def test_it_wakes_at_the_instant_it_was_given(make):
    clock = SystemClock()
    alarm, woken = make(clock)
    due = clock.now() + timedelta(seconds=0.15)
    alarm.at(due)
    assert woken.reaches(1)
    assert clock.now() >= due
    assert woken.times == 1


def test_an_instant_that_has_passed_wakes_at_once(make):
    alarm, woken = make(SystemClock())
    alarm.at(SystemClock().now() - timedelta(hours=2))
    assert woken.reaches(1)


def test_a_new_instant_takes_the_old_one_s_place(make):
    clock = SystemClock()
    alarm, woken = make(clock)
    alarm.at(clock.now() + timedelta(seconds=0.1))
    alarm.at(clock.now() + timedelta(hours=1))
    assert not woken.reaches(1, 0.4)
    alarm.at(clock.now())
    assert woken.reaches(1)


def test_the_pulse_comes_again_and_again_without_being_asked(make):
    _, woken = make(RehearsalClock(START, rate=60.0))  # 15 s are a quarter of a second
    assert woken.reaches(3)


def test_the_pulse_goes_on_after_a_wake_up_that_raised(make):
    fallen = threading.Event()

    def wake() -> None:
        if not fallen.is_set():
            fallen.set()
            raise ZeroDivisionError
        woken()

    woken = Woken()
    make(RehearsalClock(START, rate=60.0), wake)
    assert woken.reaches(1)
    assert fallen.is_set()


def test_an_instant_is_one_of_the_engine_s_clock(make):
    """Half an hour of a rehearsal at 6000 times the pace is 0.3 s; on its own clock an hour never comes here."""
    clock = RehearsalClock(START, rate=6000.0)
    alarm, woken = make(clock)
    due = clock.now() + timedelta(minutes=30)
    alarm.at(due)
    assert woken.reaches(1)


def test_stopping_ends_its_threads_and_wakes_nobody_more(make):
    before = set(threading.enumerate())
    alarm = AlarmClock(RehearsalClock(START, rate=60.0), woken := Woken())
    alarm.start()
    assert woken.reaches(1)
    alarm.stop()
    for thread in set(threading.enumerate()) - before:
        thread.join(SOON)
    assert set(threading.enumerate()) <= before
    seen = woken.times
    alarm.at(START)  # the engine may still be in its last turn
    assert not woken.reaches(seen + 1, 0.4)


def test_stopping_just_as_it_wakes_raises_in_no_thread():
    """APScheduler removes a job that is over, and that raised in its thread when a shutdown had begun (4 of 10 times)."""
    clock = SystemClock()
    raised: list[threading.ExceptHookArgs] = []
    before, threading.excepthook = threading.excepthook, raised.append
    try:
        for _ in range(40):
            alarm = AlarmClock(clock, woken := Woken())
            alarm.start()
            alarm.at(clock.now())
            assert woken.reaches(1)
            alarm.stop()
    finally:
        threading.excepthook = before
    assert raised == []
