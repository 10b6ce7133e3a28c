"""Time is handed around: the host's clock, and one for rehearsals that jumps and runs fast."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from freezegun import freeze_time

from runbook.clock import Clock, RehearsalClock, SystemClock, host_monotonic, host_now

START = datetime(2026, 11, 23, 2, 30, tzinfo=UTC)


def test_the_system_clock_is_aware_and_in_utc():
    with freeze_time("2026-11-23 03:45:00"):
        assert SystemClock().now() == host_now() == datetime(2026, 11, 23, 3, 45, tzinfo=UTC)


def test_a_stepped_clock_moves_the_wall_time():
    with freeze_time("2026-11-23 03:45:00") as host:
        clock = SystemClock()
        host.move_to("2026-11-23 01:45:00")
        assert clock.now().hour == 1


def test_the_system_clock_s_seconds_are_the_host_s():
    clock = SystemClock()
    with freeze_time("2026-11-23") as host:
        before, other = clock.monotonic(), host_monotonic()
        host.tick(5)
        assert (clock.monotonic() - before, host_monotonic() - other) == (5, 5)
    assert clock.real(7.5) == 7.5


@pytest.mark.parametrize("clock", [SystemClock(), RehearsalClock(START), RehearsalClock(START, 30.0)])
def test_a_wait_ends_at_once_when_the_event_is_set_and_says_whether_it_is(clock: Clock):
    event = threading.Event()
    assert clock.wait(event, 0.01) is False
    assert clock.wait(event, -1.0) is False
    event.set()
    assert clock.wait(event, 3600.0) is True
    assert clock.wait(event, 0.0) is True


@pytest.mark.parametrize("clock", [SystemClock(), RehearsalClock(START, 30.0)])
def test_a_waiter_is_woken_by_the_event(clock: Clock):
    event, woken = threading.Event(), threading.Event()

    def waiting() -> None:
        if clock.wait(event, 36_000.0):
            woken.set()

    thread = threading.Thread(target=waiting, daemon=True)
    thread.start()
    event.set()
    thread.join(5.0)
    assert woken.is_set()


def test_a_rehearsal_begins_where_it_is_told_and_keeps_the_host_s_pace():
    with freeze_time("2030-01-01") as host:
        clock = RehearsalClock(START.astimezone())
        assert clock.now() == START
        host.tick(10)
        assert clock.now() == START + timedelta(seconds=10)
        assert clock.now().tzinfo is UTC


def test_a_rehearsal_runs_at_its_rate_from_the_instant_it_is_given():
    with freeze_time("2030-01-01") as host:
        clock = RehearsalClock(START, rate=30.0)
        assert (clock.rate, clock.real(60.0)) == (30.0, 2.0)
        host.tick(2)
        assert clock.monotonic() == pytest.approx(60.0)
        clock.set_rate(1.0)
        host.tick(2)
        assert clock.now() == START + timedelta(seconds=62)
        assert clock.real(60.0) == 60.0


def test_a_jump_moves_both_times_forward_and_never_back():
    with freeze_time("2030-01-01"):
        clock = RehearsalClock(START)
        assert clock.jump_to(START + timedelta(hours=1)) == 3600.0
        assert (clock.now(), clock.monotonic()) == (START + timedelta(hours=1), 3600.0)
        assert clock.jump_to(START) == 0.0
        assert clock.now() == START + timedelta(hours=1)


def test_a_jump_wakes_a_sleeper_whose_time_it_passes():
    clock, done = RehearsalClock(START), threading.Event()

    def sleeping() -> None:
        clock.wait(threading.Event(), 3600.0)
        done.set()

    thread = threading.Thread(target=sleeping, daemon=True)
    thread.start()
    assert not done.wait(0.05)
    clock.jump_to(START + timedelta(hours=1, seconds=1))
    assert done.wait(5.0)


def test_a_fast_rehearsal_waits_its_own_seconds():
    clock = RehearsalClock(START, rate=100.0)
    began, before = time.monotonic(), clock.monotonic()
    assert clock.wait(threading.Event(), 5.0) is False
    assert clock.monotonic() - before >= 5.0
    assert time.monotonic() - began < 4.0


def test_a_rehearsal_needs_a_zone():
    with pytest.raises(ValueError, match="aware"):
        RehearsalClock(datetime(2026, 11, 23, 8, 0))
