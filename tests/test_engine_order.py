"""What is made again, what waits for another, what needs it, and two rows of one job."""

from __future__ import annotations

import threading
from datetime import timedelta

from runbook.errors import JobFailed
from runbook.job import Context, IfLate, Retries, Verdict
from runbook.run import State
from runbook.trigger import Anchor
from tests.engine_world import OK, fail, job, make
from tests.fakes import (
    at,
    until,
)

__all__ = ["make"]  # the fixture

THRICE = Retries(2, timedelta(minutes=1))


def test_a_failure_with_retries_left_is_made_again_quietly_and_ends_well(make):
    w = make(job("sum", "open-30m", retries=THRICE))
    w.steps.does["sum"] = fail
    w.start().go("08:45", "08:45:59")
    assert len(w.steps.called) == 1
    assert w.entry("sum", "open-30m").state is State.PLANNED
    w.go("08:46:05", "08:47:59")
    assert len(w.steps.called) == 2  # the second wait is twice as long
    w.steps.does["sum"] = lambda _ctx: OK
    w.go("08:48:15")
    held = w.entry("sum", "open-30m")
    assert (held.state, held.verdict, [t.outcome for t in held.tries]) == (
        State.SUCCEEDED, Verdict.OK, [State.FAILED, State.FAILED, State.SUCCEEDED],
    )  # fmt: skip
    assert w.told() == []


def test_a_failure_whose_retries_are_spent_is_told_once(make):
    w = make(job("sum", "open-30m", retries=THRICE))
    w.steps.does["sum"] = fail
    w.start().go("08:45", "08:46:05", "08:48:15", "08:52:30", "09:30")
    held = w.entry("sum", "open-30m")
    assert (held.state, len(held.tries)) == (State.FAILED, 3)
    assert len(w.told()) == 1


def test_a_failure_that_is_still_there_at_its_deadline_is_told_while_it_is_tried_on(make):
    w = make(job("sum", "open-30m", deadline=Anchor.parse("open-29m"), retries=THRICE))
    w.steps.does["sum"] = fail
    w.start().go("08:45", "08:46:05")
    assert w.entry("sum", "open-30m").state is State.PLANNED
    assert len(w.told()) == 1


def test_a_hung_attempt_is_made_again_too(make):
    w = make(job("sum", "open-30m", timeout=0.2, retries=THRICE))
    hang = threading.Event()
    w.steps.does["sum"] = lambda _ctx: hang.wait(30)
    w.start().go("08:45")
    until(lambda: w.entry("sum", "open-30m").state is State.PLANNED, "it is not given up")
    w.steps.does["sum"] = lambda _ctx: OK
    w.go("08:46:10")
    hang.set()
    assert [t.outcome for t in w.entry("sum", "open-30m").tries] == [State.TIMED_OUT, State.SUCCEEDED]


def test_retries_that_fell_into_a_downtime_are_over_and_told(make):
    w = make(job("sum", "open-30m", latest="open-20m", retries=THRICE))
    w.steps.does["sum"] = fail
    w.start().go("08:45")
    w.stop()
    later = w.again("09:30").start()
    held = later.entry("sum", "open-30m")
    assert (held.state, "not tried after 08:55" in held.reason) == (State.FAILED, True)
    assert "failed: sum of 2026-11-23: the log is gone; not tried" in later.message("started").message.body


def test_what_comes_after_another_waits_for_it_and_runs_whatever_it_came_to(make):
    released = threading.Event()
    w = make(job("recon", "close+10m"), job("report", "close+10m", after=("recon",)))

    def recon(_ctx: Context) -> object:
        released.wait(10.0)
        raise JobFailed("books are gone")

    w.steps.does["recon"] = recon
    w.start()
    w.clock.jump_to(at("15:50"))
    w.turn(4)
    assert w.states() == {"recon close+10m": State.RUNNING, "report close+10m": State.PLANNED}
    released.set()
    w.settle()
    assert w.states() == {"recon close+10m": State.FAILED, "report close+10m": State.SUCCEEDED}


def test_what_needs_another_is_skipped_when_that_failed(make):
    w = make(job("first", "open"), job("second", "open", needs=("first",)), job("third", "open", needs=("second",)))
    w.steps.does["first"] = fail
    w.start()
    w.go("09:15")
    assert w.entry("second", "open").reason == "dependency (first failed)"
    assert w.entry("third", "open").reason == "dependency (second skipped)"
    assert w.steps.names() == ["first open"]


def test_two_rows_of_one_job_do_not_run_at_once(make):
    w = make(job("mine", "open", "open+1m"), now="09:20")
    running, most = 0, 0
    lock = threading.Lock()

    def count(_ctx: Context) -> object:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        threading.Event().wait(0.05)
        with lock:
            running -= 1
        return OK

    w.steps.does["mine"] = count
    w.start()
    assert set(w.states().values()) == {State.SUCCEEDED}
    assert most == 1


def test_a_job_that_must_not_be_late_is_skipped_by_a_late_start(make):
    w = make(job("gate", "open-30m", if_late=IfLate.SKIP), job("feed", "open-30m"), now="09:00")
    w.start()
    assert w.states() == {"gate open-30m": State.SKIPPED, "feed open-30m": State.SUCCEEDED}
    assert "if_late: skip" in w.entry("gate", "open-30m").reason
